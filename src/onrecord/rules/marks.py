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
from contextlib import suppress
from dataclasses import dataclass, field

from onrecord.event.call import Json
from onrecord.rules.pattern import Pattern, PatternError, utf8
from onrecord.rules.pointer import Tokens
from onrecord.rules.references import KEYWORDS as _REFERENCES
from onrecord.rules.references import Base, Object, References, TooMuch, inside

DEEPEST = 64  # levels of a value, and references followed at one place
_PATTERN_MEMORY = 1 << 20  # bytes that the pattern of a property may use
_PATTERN = 256  # steps that it takes to read one

_KEYWORDS = ("sensitive", "x-sensitive", "writeOnly")
_SAME_PLACE = ("if", "then", "else", "not", "contentSchema")
_WITHIN_OBJECTS = ("properties", "patternProperties", "additionalProperties", "unevaluatedProperties", "propertyNames")
_WITHIN_ARRAYS = ("items", "prefixItems", "contains", "additionalItems", "unevaluatedItems")


def has_marks(schema: Json) -> bool:
    """Say whether `schema` could mark anything; cheap to ask once per definition.

    This errs toward yes: a property that is called "sensitive" is enough.
    """
    references = References(schema)
    try:
        return any(_could_mark(node, schema, references) for node in _objects(schema, references))
    except TooMuch:
        return True


def declared(schema: Json) -> frozenset[str]:
    """Return the names that `schema` gives to properties, as far as it is looked at."""
    found: set[str] = set()
    with suppress(TooMuch):
        for node in _objects(schema, References(schema)):
            found.update(_named(node.get("properties")))
            found.update(name for name in _listed(node.get("required")) if isinstance(name, str))
    return frozenset(found)


def _objects(schema: Json, references: References) -> Iterator[Object]:
    """Yield each object in `schema`, whatever it means there. Raises TooMuch."""
    waiting: list[Json] = [schema]
    while waiting:
        node = waiting.pop()
        references.spend(1)
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _could_mark(node: Object, root: Json, references: References) -> bool:
    if is_marked(node) or "$dynamicRef" in node or "$recursiveRef" in node:
        return True
    if node is not root and isinstance(node.get("$id"), str):
        return True  # a document inside the document: what its references mean is for `marked` to find out
    reference = node.get("$ref")
    if isinstance(reference, str) and not references.meant("$ref", reference, (root,)):
        return True
    inner = [*_named(node.get("properties")).values(), node.get("additionalProperties", True)]
    return not all(isinstance(schema, dict | bool) for schema in inner)


def is_marked(schema: Object) -> bool:
    """Say whether `schema` itself marks all that it describes."""
    return any(schema.get(key) not in (None, False) for key in _KEYWORDS) or schema.get("format") == "password"


def marked(schema: Json, value: Json) -> list[Tokens]:
    """Return the places in `value` that `schema` marks, each with all that lies inside it."""
    search = _Search(References(schema))
    try:
        search.visit(schema, (schema,), value, ())
    except (TooMuch, RecursionError):
        return [()]
    return list(search.found)


@dataclass(slots=True)
class _Search:
    """One walk of a schema beside a value."""

    references: References
    found: dict[Tokens, None] = field(default_factory=dict[Tokens, None])
    seen: set[tuple[int, Tokens]] = field(default_factory=set[tuple[int, Tokens]])
    patterns: dict[str, Pattern | None] = field(default_factory=dict[str, Pattern | None])
    reaching: dict[int, bool] = field(default_factory=dict[int, bool])

    def visit(self, schema: Json, base: Base, value: Json, path: Tokens) -> None:
        """Note what `schema` marks in `value`, which lies at `path`; `base` is the document it is in."""
        if path in self.found or schema is True or schema is False:
            return
        if not isinstance(schema, dict):
            self.found[path] = None  # no schema at all
            return
        if (id(schema), path) in self.seen:
            return  # a cycle of references
        self.seen.add((id(schema), path))
        self.references.spend(1)
        if is_marked(schema) or len(path) > DEEPEST:
            self.found[path] = None
            return
        base = inside(schema, base)
        self._same_place(schema, base, value, path)
        if isinstance(value, dict):
            self._object(schema, base, value, path)
            self._misplaced(schema, base, path, _WITHIN_ARRAYS)
        elif isinstance(value, list):
            self._array(schema, base, value, path)
            self._misplaced(schema, base, path, _WITHIN_OBJECTS)
        elif isinstance(value, str):
            self._misplaced(schema, base, path, (*_WITHIN_ARRAYS, *_WITHIN_OBJECTS, "contentSchema"))

    def _same_place(self, schema: Object, base: Base, value: Json, path: Tokens) -> None:
        for key in _REFERENCES:
            reference = schema.get(key)
            if isinstance(reference, str):
                targets = self.references.meant(key, reference, base)
                if not targets:
                    self.found[path] = None
                    return
                for target, there in targets:
                    self.visit(target, there, value, path)
        for key in ("allOf", "anyOf", "oneOf", "extends"):
            branches = schema.get(key)
            for branch in [branches] if isinstance(branches, dict) else _listed(branches):
                self.visit(branch, base, value, path)
        for key in _SAME_PLACE:
            if key in schema:
                self.visit(schema[key], base, value, path)
        for key in ("dependentSchemas", "dependencies"):
            for branch in _named(schema.get(key)).values():
                if isinstance(branch, dict):
                    self.visit(branch, base, value, path)

    def _object(self, schema: Object, base: Base, value: Object, path: Tokens) -> None:
        named, patterns = _named(schema.get("properties")), _named(schema.get("patternProperties"))
        others = [schema[key] for key in ("additionalProperties", "unevaluatedProperties") if key in schema]
        for key, child in value.items():
            branches = [named[key]] if key in named else []
            sure = bool(branches)
            for expression, branch in patterns.items():
                fits = self._fits(expression, key)
                sure = sure or fits is True
                if fits is not False:
                    branches.append(branch)
            for branch in branches if sure else [*branches, *others]:
                self.visit(branch, base, child, (*path, key))
        if "propertyNames" in schema and self._reaches(schema["propertyNames"], base):
            self.found[path] = None  # the keys themselves are sensitive

    def _array(self, schema: Object, base: Base, value: list[Json], path: Tokens) -> None:
        items = schema.get("items")
        tuples = (_listed(schema.get("prefixItems")), _listed(items))
        others = [schema[key] for key in ("contains", "additionalItems", "unevaluatedItems") if key in schema]
        if isinstance(items, dict):
            others.append(items)
        if not others and not any(tuples):
            return
        for i, child in enumerate(value):
            for branch in (*(inner[i] for inner in tuples if i < len(inner)), *others):
                self.visit(branch, base, child, (*path, str(i)))

    def _misplaced(self, schema: Object, base: Base, path: Tokens, keys: tuple[str, ...]) -> None:
        """Mark the value where `schema` marks something inside, but the value has not the shape to place it in."""
        if any(key in schema and self._reaches(schema[key], base) for key in keys):
            self.found[path] = None

    def _reaches(self, schema: Json, base: Base) -> bool:
        """Say whether `schema` marks anything, at any depth, references followed."""
        if id(schema) in self.reaching:
            return self.reaching[id(schema)]
        waiting: list[tuple[Json, Base]] = [(schema, base)]
        seen: set[int] = set()
        while waiting:
            node, there = waiting.pop()
            if id(node) in seen or not isinstance(node, dict | list) or self.reaching.get(id(node)) is False:
                continue
            self.references.spend(1)
            seen.add(id(node))
            if isinstance(node, list):
                waiting.extend((child, there) for child in node)
            elif self.reaching.get(id(node)) or is_marked(node) or not self._follow(node, there, waiting):
                self.reaching[id(schema)] = True
                return True
        self.reaching.update(dict.fromkeys([id(schema), *seen], False))  # whatever it leads to marks nothing either
        return False

    def _follow(self, node: Object, base: Base, waiting: list[tuple[Json, Base]]) -> bool:
        """Add to `waiting` what lies in `node` and what it refers to; return whether that leads anywhere."""
        base = inside(node, base)
        for key in _REFERENCES:
            reference = node.get(key)
            if isinstance(reference, str):
                targets = self.references.meant(key, reference, base)
                if not targets:
                    return False
                waiting.extend(targets)
        waiting.extend((child, base) for child in node.values())
        return True

    def _fits(self, expression: str, key: str) -> bool | None:
        """Say whether `key` fits the pattern of a property; None where validators may differ, or RE2 can't read it."""
        if expression not in self.patterns:
            self.references.spend(_PATTERN + len(expression) // 16)
            self.patterns[expression] = _pattern(expression)
        pattern = self.patterns[expression]
        self.references.spend(1 + len(key) // 64)
        if pattern is None or not _is_plain(expression, key):
            return None
        return pattern.occurs(utf8(key))


def _pattern(expression: str) -> Pattern | None:
    """Return a pattern as schemas have it, ready to search, or None where RE2 can't read it or might misread it."""
    escaped = False
    for char in expression:
        if escaped and char.isalnum() and char not in "dDwWsSbBnrtfvx":
            return None
        escaped = char == "\\" and not escaped
    if any(sign in expression for sign in ("[:", "\\x{", "{,")):
        return None
    try:
        return Pattern(expression, _PATTERN_MEMORY)
    except PatternError:
        return None


def _is_plain(expression: str, key: str) -> bool:
    r"""Say whether engines agree about `key`; what divides them are `\s` and `\w`, line ends, and large characters."""
    if key.isprintable():
        return key.isascii() or ("\\" not in expression and max(key) <= "\uffff")
    return False


def _named(value: Json) -> Object:
    return value if isinstance(value, dict) else {}


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
