# SPDX-License-Identifier: Apache-2.0
"""Which places in a value its JSON Schema marks as sensitive.

A property is marked by `"sensitive": true`, `x-sensitive`, `writeOnly` or `format: password`, and
with it everything inside. Which branch of an `anyOf` a value satisfies is not asked: what any
branch marks is marked, so a schema can say too much but never too little. What can't be understood
counts as marked: a reference that leads nowhere, a schema that is none, a value of another shape
than the one in which the marks lie (clients do send objects as JSON text), and whatever lies
deeper, or takes longer, than the limits.

This reads schemas and values; it validates neither.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from onrecord.event.call import Json
from onrecord.rules.pattern import Pattern, PatternError, utf8
from onrecord.rules.pointer import Tokens, parse

Object: TypeAlias = dict[str, Json]

DEEPEST = 64  # levels of a value, and references followed at one place
STEPS = 100_000  # pairs of schema and value that are looked at; past this the whole value is marked

_KEYWORDS = ("sensitive", "x-sensitive", "writeOnly")
_SAME_PLACE = ("if", "then", "else", "not")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_WITHIN_OBJECTS = ("properties", "patternProperties", "additionalProperties", "unevaluatedProperties")
_WITHIN_ARRAYS = ("items", "prefixItems", "contains", "additionalItems", "unevaluatedItems")


def has_marks(schema: Json) -> bool:
    """Say whether `schema` could mark anything; cheap to ask once per definition.

    This errs toward yes: a property that is called "sensitive" is enough.
    """
    waiting: list[Json] = [schema]
    for seen, node in enumerate(_drain(waiting)):
        if seen > STEPS:
            return True
        if isinstance(node, dict):
            if _could_mark(node, schema):
                return True
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
    return False


def _drain(waiting: list[Json]) -> Iterator[Json]:
    while waiting:
        yield waiting.pop()


def _could_mark(node: Object, root: Json) -> bool:
    if is_marked(node) or "$dynamicRef" in node or "$recursiveRef" in node:
        return True
    if node is not root and isinstance(node.get("$id"), str):
        return True  # a document inside the document: what its references mean is for `marked` to find out
    reference = node.get("$ref")
    if isinstance(reference, str) and _resolved(reference, root, root) is None:
        return True
    inner = [*_named(node.get("properties")).values(), node.get("additionalProperties", True)]
    return not all(isinstance(schema, dict | bool) for schema in inner)


def is_marked(schema: Object) -> bool:
    """Say whether `schema` itself marks all that it describes."""
    return any(schema.get(key) not in (None, False) for key in _KEYWORDS) or schema.get("format") == "password"


def marked(schema: Json, value: Json) -> list[Tokens]:
    """Return the places in `value` that `schema` marks, each with all that lies inside it."""
    search = _Search(root=schema)
    try:
        search.visit(schema, schema, value, ())
    except (_TooMuch, RecursionError):
        return [()]
    return list(search.found)


class _TooMuch(Exception):
    """The limit on steps is reached."""


@dataclass(slots=True)
class _Search:
    """One walk of a schema beside a value."""

    root: Json
    found: dict[Tokens, None] = field(default_factory=dict[Tokens, None])
    seen: set[tuple[int, Tokens]] = field(default_factory=set[tuple[int, Tokens]])
    patterns: dict[str, Pattern | None] = field(default_factory=dict[str, Pattern | None])
    reaching: dict[int, bool] = field(default_factory=dict[int, bool])
    steps: int = 0

    def visit(self, schema: Json, base: Json, value: Json, path: Tokens) -> None:
        """Note what `schema` marks in `value`, which lies at `path`; `base` is the document that `#` means."""
        if path in self.found or schema is True or schema is False:
            return
        if not isinstance(schema, dict):
            self.found[path] = None  # no schema at all
            return
        if (id(schema), path) in self.seen:
            return  # a cycle of references
        self.seen.add((id(schema), path))
        self.steps += 1
        if self.steps > STEPS:
            raise _TooMuch
        if is_marked(schema) or len(path) > DEEPEST:
            self.found[path] = None
            return
        if isinstance(schema.get("$id"), str):
            base = schema
        self._same_place(schema, base, value, path)
        if isinstance(value, dict):
            self._object(schema, base, value, path)
            self._misplaced(schema, base, path, _WITHIN_ARRAYS)
        elif isinstance(value, list):
            self._array(schema, base, value, path)
            self._misplaced(schema, base, path, _WITHIN_OBJECTS)
        elif isinstance(value, str):
            self._misplaced(schema, base, path, (*_WITHIN_ARRAYS, *_WITHIN_OBJECTS, "contentSchema"))

    def _same_place(self, schema: Object, base: Json, value: Json, path: Tokens) -> None:
        for key in _REFERENCES:
            reference = schema.get(key)
            if isinstance(reference, str):
                target = _resolved(reference, base, self.root)
                if target is None:
                    self.found[path] = None
                    return
                self.visit(*target, value, path)
        for key in ("allOf", "anyOf", "oneOf"):
            for branch in _listed(schema.get(key)):
                self.visit(branch, base, value, path)
        for key in _SAME_PLACE:
            if key in schema:
                self.visit(schema[key], base, value, path)
        for key in ("dependentSchemas", "dependencies"):
            for branch in _named(schema.get(key)).values():
                if isinstance(branch, dict):
                    self.visit(branch, base, value, path)

    def _object(self, schema: Object, base: Json, value: Object, path: Tokens) -> None:
        named = _named(schema.get("properties"))
        patterns = [(self._pattern(key), branch) for key, branch in _named(schema.get("patternProperties")).items()]
        others = [schema[key] for key in ("additionalProperties", "unevaluatedProperties") if key in schema]
        for key, child in value.items():
            branches = [branch for pattern, branch in patterns if pattern is None or pattern.occurs(utf8(key))]
            if key in named:
                branches.append(named[key])
            for branch in branches or others:
                self.visit(branch, base, child, (*path, key))
        if "propertyNames" in schema and self._reaches(schema["propertyNames"], base):
            self.found[path] = None  # the keys themselves are sensitive

    def _array(self, schema: Object, base: Json, value: list[Json], path: Tokens) -> None:
        items = schema.get("items")
        tuples = _listed(schema.get("prefixItems")) or _listed(items)
        others = [schema[key] for key in ("contains", "additionalItems", "unevaluatedItems") if key in schema]
        if isinstance(items, dict):
            others.append(items)
        for i, child in enumerate(value):
            if i < len(tuples):
                self.visit(tuples[i], base, child, (*path, str(i)))
            for branch in others:
                self.visit(branch, base, child, (*path, str(i)))

    def _misplaced(self, schema: Object, base: Json, path: Tokens, keys: tuple[str, ...]) -> None:
        """Mark the value where `schema` marks something inside, but the value has not the shape to place it in."""
        if any(key in schema and self._reaches(schema[key], base) for key in keys):
            self.found[path] = None

    def _reaches(self, schema: Json, base: Json) -> bool:
        if id(schema) not in self.reaching:
            self.reaching[id(schema)] = _reaches(schema, base, self.root)
        return self.reaching[id(schema)]

    def _pattern(self, expression: str) -> Pattern | None:
        """Return a property pattern ready to search, or None, which matches every key, where RE2 can't read it."""
        if expression not in self.patterns:
            try:
                self.patterns[expression] = Pattern(expression)
            except PatternError:
                self.patterns[expression] = None
        return self.patterns[expression]


def _reaches(schema: Json, base: Json, root: Json) -> bool:
    """Say whether `schema` marks anything, at any depth, references followed."""
    waiting: list[tuple[Json, Json]] = [(schema, base)]
    seen: set[int] = set()
    while waiting:
        node, inside = waiting.pop()
        if id(node) in seen or not isinstance(node, dict | list):
            continue
        seen.add(id(node))
        if len(seen) > STEPS:
            return True
        if isinstance(node, list):
            waiting.extend((child, inside) for child in node)
            continue
        if is_marked(node):
            return True
        if isinstance(node.get("$id"), str):
            inside = node
        for key in _REFERENCES:
            reference = node.get(key)
            if isinstance(reference, str):
                target = _resolved(reference, inside, root)
                if target is None:
                    return True
                waiting.append(target)
        waiting.extend((child, inside) for child in node.values())
    return False


def _named(value: Json) -> Object:
    return value if isinstance(value, dict) else {}


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


# references


def _resolved(reference: str, base: Json, root: Json) -> tuple[Json, Json] | None:
    """Return the schema that a reference means and the document it lies in; None where it leads out or nowhere."""
    address, _, fragment = reference.partition("#")
    document = base
    if address:
        document = next((node for node in (base, root) if _address_of(node) == address), None)
        if document is None:
            return None
    fragment = _unquoted(fragment)
    if fragment and not fragment.startswith("/"):
        return _anchor(fragment, document)
    try:
        tokens = parse(fragment)
    except ValueError:
        return None
    return _follow(tokens, document)


def _address_of(schema: Json) -> str | None:
    address = schema.get("$id") if isinstance(schema, dict) else None
    return address.rstrip("#") if isinstance(address, str) else None


def _follow(tokens: Tokens, document: Json) -> tuple[Json, Json] | None:
    node, base = document, document
    for token in tokens:
        if isinstance(node, dict) and token in node:
            node = node[token]
        elif isinstance(node, list) and token.isascii() and token.isdigit() and int(token[:9]) < len(node):
            node = node[int(token[:9])]
        else:
            return None
        if _address_of(node) is not None:
            base = node
    return (node, base) if isinstance(node, dict | bool) else None


def _anchor(name: str, document: Json) -> tuple[Json, Json] | None:
    waiting: list[Json] = [document]
    for seen, node in enumerate(_drain(waiting)):
        if seen > STEPS:
            return None
        if isinstance(node, dict):
            if name in (node.get("$anchor"), node.get("$dynamicAnchor")):
                return node, document
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
    return None


def _unquoted(fragment: str) -> str:
    """Return a URI fragment with its `%xx` decoded; one that is malformed stays and so leads nowhere."""
    if "%" not in fragment:
        return fragment
    first, *rest = fragment.split("%")
    try:
        decoded = bytearray(first.encode())
        for piece in rest:
            decoded += bytes([int(piece[:2], 16)]) + piece[2:].encode()
        return decoded.decode()
    except (ValueError, UnicodeError):
        return fragment
