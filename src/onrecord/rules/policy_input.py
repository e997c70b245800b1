# SPDX-License-Identifier: Apache-2.0
"""Arguments that a policy reads: those that the manifest names, each of the type that it gives them, and no other.

    type       what is taken                                                                    in Cedar
    long       a whole number of 64 bits; 3.0 is one, up to 2**53                               Long
    decimal    a number, or a text of plain digits, of at most 4 digits behind the point        decimal
    bool       true or false                                                                    Bool
    string     a text of at most 1,024 characters                                               String
    strings    a list of at most 64 texts, as a set                                             Set<String>

Cedar has no floats, and nothing is rounded: a number that can't be said exactly is not taken. What is there and can't
be taken is *unread*, and a call with such an argument is denied, as a policy that forbids by it would not see it. What
is absent, or null, is absent: policies ask for it with `has`.

On the record stands what was asked (`written`), each value as the class allows, and what is withheld says so; so the
same question can be asked again (`read_back`), or not at all.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Literal, TypeAlias, cast

import msgspec

from onrecord.errors import ConfigError
from onrecord.event.call import Json
from onrecord.event.event import UNREADABLE
from onrecord.rules import pointer
from onrecord.rules.pattern import Pattern, utf8

Kind: TypeAlias = Literal["long", "decimal", "bool", "string", "strings"]
Value: TypeAlias = bool | int | str | Decimal | tuple[str, ...]

CEDAR: Mapping[str, str] = {
    "long": "Long",
    "decimal": "decimal",
    "bool": "Bool",
    "string": "String",
    "strings": "Set<String>",
}
LONGEST, MANY = 1_024, 64

_LONG = 2**63
_WHOLE = 2**53  # of floats, up to which each whole number is itself
_PLACES = Decimal("0.0001")
_DECIMAL = Decimal("922337203685477.5807")
_DIGITS = Pattern(r"-?[0-9]{1,15}(\.[0-9]{1,4})?\z")
_NAME = Pattern(r"[A-Za-z0-9_.$-]{1,64}\z")
_ABSENT = object()
_UNREAD = object()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Given:
    """What a call gives of what is declared: values by pointer, and the pointers of what can't be taken."""

    values: tuple[tuple[str, Value], ...] = ()
    unread: tuple[str, ...] = ()


NOTHING_GIVEN = Given()


def check(declared: Mapping[str, str], where: str) -> None:
    """Raise ValueError for pointers that can't be names, or of which one leads through another."""
    places = {text: pointer.parse(text) for text in declared}
    for text, tokens in places.items():
        if not tokens or not all(_NAME.fits(utf8(token)) for token in tokens):
            raise ValueError(f"{where}: {text!r}: use letters, digits and _.$- in each part, at most 64, and no '*'")
        for other, longer in places.items():
            if len(longer) > len(tokens) and longer[: len(tokens)] == tokens:
                raise ValueError(f"{where}: {other!r} lies within {text!r}; give one of them")


def merged(rules: Iterable[Mapping[str, Kind]]) -> dict[str, Kind]:
    """Return what all rules declare together. Raises ConfigError where they differ, or one place lies in another."""
    found: dict[str, Kind] = {}
    for declared in rules:
        for text, kind in declared.items():
            if found.setdefault(text, kind) != kind:
                raise ConfigError(
                    f"policy_input: {text!r} is {found[text]!r} in one rule and {kind!r} in another; "
                    "a policy can't tell them apart"
                )
    try:
        check(found, "policy_input of all rules")
    except ValueError as e:
        raise ConfigError(str(e)) from e
    return found


def given(declared: Sequence[tuple[str, Kind]], arguments: Json) -> Given:
    """Return what `arguments` give of what is declared."""
    values: list[tuple[str, Value]] = []
    unread: list[str] = []
    for text, kind in declared:
        taken = _taken(pointer.parse(text), kind, arguments)
        if taken is _UNREAD:
            unread.append(text)
        elif taken is not _ABSENT:
            values.append((text, cast(Value, taken)))
    return Given(values=tuple(values), unread=tuple(unread))


def _taken(tokens: pointer.Tokens, kind: Kind, value: Json) -> object:
    """Return the value at a place; what stands in the way of the place can't be taken either."""
    for token in tokens:
        if value is None:
            return _ABSENT
        if not isinstance(value, dict):
            return _UNREAD
        value = value.get(token)
    return _ABSENT if value is None else _READ[kind](value)


def _long(value: Json) -> object:
    if isinstance(value, float) and value.is_integer() and abs(value) <= _WHOLE:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and -_LONG <= value < _LONG else _UNREAD


def _decimal(value: Json) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return _UNREAD
    if isinstance(value, str) and not _DIGITS.fits(utf8(value)):
        return _UNREAD
    try:
        number = Decimal(repr(value) if isinstance(value, float) else value)
        if abs(number) > _DECIMAL or number != number.quantize(_PLACES):
            return _UNREAD
    except InvalidOperation:  # too large to be quantized
        return _UNREAD
    return number


def _bool(value: Json) -> object:
    return value if isinstance(value, bool) else _UNREAD


def _string(value: Json) -> object:
    return value if isinstance(value, str) and len(value) <= LONGEST else _UNREAD


def _strings(value: Json) -> object:
    if not isinstance(value, list) or len(value) > MANY:
        return _UNREAD
    texts = [one for one in value if isinstance(one, str) and len(one) <= LONGEST]
    return tuple(sorted(set(texts))) if len(texts) == len(value) else _UNREAD


_READ: Mapping[Kind, Callable[[Json], object]] = {
    "long": _long,
    "decimal": _decimal,
    "bool": _bool,
    "string": _string,
    "strings": _strings,
}


# for engines


def nested(values: Iterable[tuple[str, Value]], decimal: Callable[[str], Json]) -> dict[str, Json]:
    """Return `values` as objects within objects; `decimal` says how an engine reads such a number."""
    found: dict[str, Json] = {}
    for text, value in values:
        *outer, last = pointer.parse(text)
        at = found
        for token in outer:
            at = cast(dict[str, Json], at.setdefault(token, {}))
        at[last] = decimal(digits(value)) if isinstance(value, Decimal) else _plain(value)
    return found


def _plain(value: bool | int | str | tuple[str, ...]) -> Json:  # noqa: FBT001  # a value like the others
    return list(value) if isinstance(value, tuple) else value


def digits(number: Decimal) -> str:
    """Return a decimal as Cedar writes it: with a point, and one to four digits behind it."""
    text = f"{number:f}"
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction.rstrip('0') or '0'}"


def cedar_type(declared: Mapping[str, Kind]) -> str:
    """Return the Cedar type of what is declared: a record, in which each attribute may be absent."""
    tree: dict[str, object] = {}
    for text, kind in declared.items():
        *outer, last = pointer.parse(text)
        at = tree
        for token in outer:
            at = cast(dict[str, object], at.setdefault(token, {}))
        at[last] = CEDAR[kind]
    return _record(tree)


def _record(tree: Mapping[str, object]) -> str:
    parts = [
        f'"{name}"?: {_record(cast(Mapping[str, object], one)) if isinstance(one, dict) else one}'
        for name, one in tree.items()
    ]
    return f"{{ {', '.join(parts)} }}" if parts else "{}"


# on the record


def written(given: Given, declared: Iterable[str], withheld: Callable[[str], str]) -> str:
    """Return JSON of what was asked, by pointer: `{}` for what is absent, null for what can't be taken.

    `withheld` returns what is written in the place of the value at a pointer, "" where it may be shown.
    """
    values = dict(given.values)
    said: dict[str, Json] = {}
    for text in declared:
        if text in given.unread:
            said[text] = None
        elif text not in values:
            said[text] = {}
        elif label := withheld(text):
            said[text] = {"withheld": label}
        else:
            value = values[text]
            said[text] = {"decimal": digits(value)} if isinstance(value, Decimal) else _plain(value)
    return msgspec.json.encode(said).decode() if said else ""


def read_back(text: str, needed: Iterable[str] = ()) -> Given | None:
    """Return what `written` wrote; None where something is withheld, or is not there though it is `needed`."""
    try:
        said = msgspec.json.decode(text, type=dict[str, msgspec.Raw]) if text else {}
        values = {at: cast(Json, msgspec.json.decode(value)) for at, value in said.items()}
    except UNREADABLE:
        return None
    if not values.keys() >= set(needed):
        return None
    found: list[tuple[str, Value]] = []
    for at, value in values.items():
        if isinstance(value, dict):
            number = value.get("decimal")
            if value and (not isinstance(number, str) or not _DIGITS.fits(utf8(number))):
                return None
            if value:
                found.append((at, Decimal(cast(str, number))))
        elif isinstance(value, list):
            found.append((at, tuple(str(one) for one in value)))
        elif isinstance(value, float):
            return None
        elif value is not None:
            found.append((at, value))
    return Given(values=tuple(found), unread=tuple(at for at, value in values.items() if value is None))
