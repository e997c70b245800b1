# SPDX-License-Identifier: Apache-2.0
"""What the references of a JSON Schema mean: pointers, anchors, and documents within the document.

Drafts disagree about which document a reference is read in, and dynamic ones depend on the way that
led there. Here a reference means every schema that it could mean, and whoever follows it takes the
strictest. One that leads nowhere, or out of the document, means nothing at all, which is for the
caller to notice; nothing is fetched.

Steps are counted, here and by the caller, because a schema is written by somebody else: each
document is read once, each reference in it worked out once.
"""

from typing import TypeAlias

from onrecord.event.call import Json
from onrecord.rules.pointer import Tokens, parse

Object: TypeAlias = dict[str, Json]
# The documents that `#` may mean: that of the innermost `$id`, and before it those of draft 4's `id`.
Base: TypeAlias = tuple[Json, ...]
Target: TypeAlias = tuple[Json, Base]

KEYWORDS = ("$ref", "$dynamicRef", "$recursiveRef")
STEPS = 100_000  # nodes of a schema, and pairs of schema and value, that are looked at

_NAMED = frozenset(  # what they hold are schemas by name, so no key in them is a keyword
    ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")
)
_DATA = frozenset(("enum", "const", "default", "examples"))


class TooMuch(Exception):
    """The limit on steps is reached."""


class References:
    """The references of one schema document."""

    __slots__ = ("_index", "_known", "_root", "_steps")

    def __init__(self, root: Json) -> None:
        self._root = root
        self._index: _Index | None = None
        self._known: dict[tuple[str, str, tuple[int, ...]], list[Target]] = {}
        self._steps = STEPS

    def spend(self, steps: int) -> None:
        """Count `steps`. Raises TooMuch where there have been too many."""
        self._steps -= steps
        if self._steps < 0:
            raise TooMuch

    def meant(self, keyword: str, reference: str, base: Base) -> list[Target]:
        """Return each schema that `reference` may mean, which stands in `base`; none where it leads nowhere."""
        about = (keyword, reference, tuple(map(id, base)))
        targets = self._known.get(about)
        if targets is None:
            self.spend(1 + len(reference) // 16)
            targets = self._known[about] = self._meant(keyword, reference, base)
        return targets

    def _meant(self, keyword: str, reference: str, base: Base) -> list[Target]:
        address, _, fragment = reference.partition("#")
        fragment = _unquoted(fragment)
        documents = self._documents(address, base) if address else base
        if fragment and not fragment.startswith("/"):
            anchors = self._indexed().anchors
            targets = [each for document in documents for each in anchors.get((id(document), fragment), [])]
        else:
            targets = [each for document in documents for each in _follow(fragment, document)]
        if targets and keyword == "$dynamicRef":
            targets = [*targets, *self._indexed().dynamic.get(fragment, [])]
        if targets and keyword == "$recursiveRef":
            targets = [*targets, *self._indexed().recursive]
        return targets

    def _documents(self, address: str, base: Base) -> list[Json]:
        near = [document for document in (*base, self._root) if _address(document) == address]
        if near or ":" not in address:
            return near[:1]
        return self._indexed().addresses.get(address, [])

    def _indexed(self) -> "_Index":
        if self._index is None:
            self._index = _Index(self._root, self)
        return self._index


class _Index:
    """What in a document can be referred to by name."""

    def __init__(self, root: Json, steps: References) -> None:
        self.anchors: dict[tuple[int, str], list[Target]] = {}  # by document and name
        self.dynamic: dict[str, list[Target]] = {}
        self.recursive: list[Target] = []
        self.addresses: dict[str, list[Json]] = {}
        waiting: list[tuple[Json, Base, bool]] = [(root, (root,), True)]  # with whether its keys are keywords
        while waiting:
            node, base, keywords = waiting.pop()
            steps.spend(1)
            if isinstance(node, list):
                waiting.extend((child, base, True) for child in node if isinstance(child, dict | list))
            elif isinstance(node, dict):
                if keywords:
                    base = inside(node, base)
                    self._note(node, base)
                waiting.extend(
                    (child, base, not keywords or key not in _NAMED)
                    for key, child in node.items()
                    if isinstance(child, dict | list) and not (keywords and key in _DATA)
                )

    def _note(self, node: Object, base: Base) -> None:
        names = {name for key in ("$anchor", "$dynamicAnchor") if isinstance(name := node.get(key), str)}
        names |= {name[1:] for key in ("$id", "id") if isinstance(name := node.get(key), str) and name[:1] == "#"}
        for name in names:
            for document in base:
                self.anchors.setdefault((id(document), name), []).append((node, base))
        dynamic = node.get("$dynamicAnchor")
        if isinstance(dynamic, str):
            self.dynamic.setdefault(dynamic, []).append((node, base))
        if node.get("$recursiveAnchor") is True:
            self.recursive.append((node, base))
        address = _address(node)
        if address:
            self.addresses.setdefault(address, []).append(node)


def inside(schema: Object, base: Base) -> Base:
    """Return the documents that `#` may mean within `schema`, which itself stands in `base`."""
    if "$id" not in schema and "id" not in schema:
        return base
    for key in ("$id", "id"):
        name = schema.get(key)
        if isinstance(name, str) and name[:1] != "#" and base[0] is not schema:
            return (schema,) if key == "$id" else (schema, *base)[:8]
    return base


def _address(schema: Json) -> str | None:
    if not isinstance(schema, dict):
        return None
    address = schema.get("$id", schema.get("id"))
    return address.rstrip("#") if isinstance(address, str) else None


def _follow(fragment: str, document: Json) -> list[Target]:
    try:
        tokens: Tokens = parse(fragment)
    except ValueError:
        return []
    node: Json = document
    base: Base = (document,)
    for token in tokens:
        if isinstance(node, dict) and token in node:
            node = node[token]
        elif isinstance(node, list) and token.isascii() and token.isdigit() and int(token[:9]) < len(node):
            node = node[int(token[:9])]
        else:
            return []
        if isinstance(node, dict):
            base = inside(node, base)
    return [(node, base)] if isinstance(node, dict | bool) else []


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
