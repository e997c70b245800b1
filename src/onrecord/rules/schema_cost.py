# SPDX-License-Identifier: Apache-2.0
"""How much work a tool's schema can make of a value, told before it is used: a hostile server writes schemas too.

A validator walks schema and value together. Where two subschemas lead to the same place, and each of them leads on in
two ways, the work doubles with every level; a few lines can keep a machine busy for years. So each schema is looked
at once, and three numbers bound the work that it makes:

    unrolled   subschemas, each counted as often as a way leads to it; 0 where ways lead in circles
    together   the most that are applied to one place
    fan        the most ways in which one of them leads on to one place below

At one place below another at most `fan` times as much is done, so that a value of n places and depth d makes at most
n · unrolled, and at most n · together · fan^d steps. `uniqueItems` is linear too, but for integers of more than 64
bits, which are compared each with each: whether a schema has it is told. What can't be bounded has no cost here, and
is not used: references that lead to themselves, to elsewhere, or by a name that is found while validating.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias, cast
from urllib.parse import unquote

from onrecord.event.call import Json
from onrecord.rules import pointer

SUBSCHEMAS = 2_000
VALUES = 20_000  # in all of a schema
PATTERNS = 50  # each may take 10 ms to compile
IN_PLACE = 60  # subschemas within one another that are applied to one place; a validator's stack is finite
MOST = 10**12

_HERE_MANY = ("allOf", "anyOf", "oneOf")
_HERE_ONE = ("not", "if", "then", "else")
_HERE_NAMED = ("dependentSchemas", "dependencies")
_BELOW_ANY = (
    *("additionalProperties", "additionalItems", "contains", "propertyNames"),
    *("unevaluatedProperties", "unevaluatedItems"),
)
_UNKNOWN = ("$dynamicRef", "$recursiveRef")  # where these lead is found while validating
_REPEATS = ("unevaluatedProperties", "unevaluatedItems", "minContains", "maxContains")
_AGAIN = 3  # times that what these look back at, or count, may be done

_Object: TypeAlias = dict[str, Json]


class NotBounded(ValueError):
    """A schema may make work without bound, or so much that it is not used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What bounds the work of a schema; `names` are those of the properties that it declares."""

    unrolled: int
    together: int
    fan: int
    names: frozenset[str]
    unique: bool  # somewhere it has `uniqueItems`

    def of(self, places: int, depth: int) -> int:
        """Return the most steps for a value of so many places, so deep."""
        deep = self.together * min(self.fan ** min(depth, 40), MOST)
        return places * (min(self.unrolled, deep) if self.unrolled else deep)


def cost_of(schema: Json) -> Cost:
    """Return what bounds the work of `schema`, a document by itself. Raises NotBounded."""
    look = _Look(schema)
    try:
        here = look.here(schema)
        unrolled = look.unrolled(schema)
    except RecursionError as e:
        raise NotBounded("it nests too deep") from e
    return Cost(
        unrolled=unrolled or 0,
        together=max([here.count, *(one.count for one in look.places.values())]),
        fan=max([1, *(one.fan for one in look.places.values())]),
        names=frozenset(look.names),
        unique=look.unique,
    )


@dataclass(slots=True)
class _Here:
    """What is applied to one place by a subschema: how many, how deep, and what each leads on to."""

    count: int = 1
    depth: int = 1
    named: Counter[str] = field(default_factory=Counter[str])
    others: int = 0

    @property
    def fan(self) -> int:
        return max(self.named.values(), default=0) + self.others

    def add(self, other: "_Here") -> None:
        self.count += other.count
        self.depth = max(self.depth, other.depth + 1)
        self.named.update(other.named)
        self.others += other.others

    def again(self, times: int) -> None:
        self.count *= times
        self.others *= times
        for key in self.named:
            self.named[key] *= times


class _Look:
    """Looks at one document."""

    def __init__(self, root: Json) -> None:
        self._root = root
        self.places: dict[int, _Here] = {}
        self.names: set[str] = set()
        self.unique = False
        self._open: set[int] = set()
        self._below: set[int] = set()
        self._unrolled: dict[int, int | None] = {}
        self._room = SUBSCHEMAS * 50  # names that are added up
        self._check(root)

    def _check(self, root: Json) -> None:
        """Raise NotBounded for what is too large, or has a base of its own within, by which references are read."""
        waiting: list[Json] = [root]
        values = patterns = 0
        while waiting:
            node = waiting.pop()
            values += 1
            if isinstance(node, dict):
                named = node.get("patternProperties")
                self.unique = self.unique or "uniqueItems" in node
                patterns += ("pattern" in node) + (len(named) if isinstance(named, dict) else 0)
                if any(key in node for key in _UNKNOWN) or (node is not root and ("$id" in node or "id" in node)):
                    self._check_base(node)
                waiting.extend(node.values())
            elif isinstance(node, list):
                waiting.extend(node)
            if values > VALUES or patterns > PATTERNS:
                raise NotBounded("it is too large")

    def _check_base(self, node: _Object) -> None:
        if any(key in node for key in _UNKNOWN) or isinstance(node.get("$id"), str):
            raise NotBounded("where its references lead can't be told")

    def here(self, schema: Json) -> _Here:
        """Return what `schema` applies to a place, and look at all that lies below."""
        if not isinstance(schema, dict):
            return _Here()
        known = self.places.get(id(schema))
        if known is not None:
            return known
        if id(schema) in self._open:
            raise NotBounded("it refers to itself at the same place")
        if len(self.places) >= SUBSCHEMAS:
            raise NotBounded("it has too many parts")
        self._open.add(id(schema))
        found = _Here(count=1 + _size(schema.get("enum")) // 4 + _size(schema.get("const")) // 4)
        for name, one in self._named(schema):
            found.named[name] += isinstance(one, dict)  # `true` and `false` lead nowhere
        found.others = sum(isinstance(one, dict) for one in self._others(schema))
        for child in self._in_place(schema):
            found.add(self.here(child))
            self._room -= len(found.named) + 1
        if any(key in schema for key in _REPEATS):
            found.again(_AGAIN)
        if found.depth > IN_PLACE or found.count > MOST or self._room < 0:
            raise NotBounded("its parts nest too deep")
        self._open.discard(id(schema))
        self.places[id(schema)] = found
        for child in (*(one for _, one in self._named(schema)), *self._others(schema)):
            self._look_below(child)
        return found

    def _look_below(self, schema: Json) -> None:
        if isinstance(schema, dict) and id(schema) not in self._below:
            self._below.add(id(schema))
            held, self._open = self._open, set()  # another place: a way back is no circle at one place
            self.here(schema)
            self._open = held

    def unrolled(self, schema: Json) -> int | None:
        """Return how many parts `schema` has, each counted as often as a way leads to it; None for a circle."""
        if not isinstance(schema, dict):
            return 1
        if id(schema) in self._unrolled:
            return self._unrolled[id(schema)]  # None while it is open, which is a circle
        self._unrolled[id(schema)] = None
        total = 1 + _size(schema.get("enum")) // 4 + _size(schema.get("const")) // 4
        for child in (*self._in_place(schema), *(one for _, one in self._named(schema)), *self._others(schema)):
            inner = self.unrolled(child)
            if inner is None:
                return None
            total = min(total + inner, MOST)
        total *= _AGAIN if any(key in schema for key in _REPEATS) else 1
        self._unrolled[id(schema)] = total
        return total

    def _in_place(self, schema: _Object) -> Iterator[Json]:
        """Yield the subschemas that are applied where `schema` is."""
        for key in _HERE_MANY:
            yield from _listed(schema.get(key))
        for key in _HERE_ONE:
            if key in schema:
                yield schema[key]
        for key in _HERE_NAMED:
            yield from _mapped(schema.get(key)).values()
        if "$ref" in schema:
            yield self._at(schema["$ref"])

    def _named(self, schema: _Object) -> Iterator[tuple[str, Json]]:
        """Yield the subschemas for one name or index, with it."""
        declared = _mapped(schema.get("properties"))
        self.names.update(declared)
        yield from declared.items()
        for key in ("prefixItems", "items"):
            yield from ((str(number), one) for number, one in enumerate(_listed(schema.get(key))))

    def _others(self, schema: _Object) -> Iterator[Json]:
        """Yield the subschemas for any name or index."""
        yield from _mapped(schema.get("patternProperties")).values()
        for key in _BELOW_ANY:
            if key in schema:
                yield schema[key]
        if not isinstance(schema.get("items", []), list):
            yield schema["items"]

    def _at(self, reference: Json) -> Json:
        """Return what a reference within this document refers to."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise NotBounded("it refers to elsewhere")
        node = self._root
        try:
            for token in pointer.parse(unquote(reference[1:])):
                node = node[int(token)] if isinstance(node, list) else cast(_Object, node)[token]
        except (ValueError, LookupError, TypeError) as e:
            raise NotBounded("a reference leads nowhere") from e
        return node


def _size(value: Json) -> int:
    """Return how many values there are in `value`."""
    count, waiting = 0, [value]
    while waiting:
        node = waiting.pop()
        count += 1
        waiting.extend(node.values() if isinstance(node, dict) else node if isinstance(node, list) else ())
    return count


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _mapped(value: Json) -> _Object:
    return value if isinstance(value, dict) else {}
