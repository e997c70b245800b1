# SPDX-License-Identifier: Apache-2.0
"""Whether the arguments of a call fit the input schema that the tool was listed with.

The schema is a server's, and a validator does what it says, so a schema is used only where the work it can make is
bounded (`schema_cost.py`): it refers to nothing outside of itself, its patterns are matched in linear time, and for
values that would make too much of it nothing is said. A definition that is not the pinned one is not believed.

What can't be told is "unchecked", never guessed: no schema, one that can't be used, a dialect that is not known, or no
validator (jsonschema-rs, an extra). Arguments that are too large, nest too deep or hold numbers too large for a schema
that can be used are "invalid" at no place: else a client could pad away the check. `format` is an annotation, as JSON
Schema 2020-12 has it, and is not checked.

Of what does not fit only the place is told: declared names and indices, `*` for any other; never a value.
"""

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, cast

from onrecord.event.call import Call, Definition, Json
from onrecord.event.event import Fits
from onrecord.rules import pointer
from onrecord.rules.pattern import Pattern, utf8
from onrecord.rules.schema_cost import Cost, NotBounded, cost_of

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError, Validator

REMEMBERED = 1_000  # schemas
STEPS = 2_000_000  # that one check may take; some 100 ms at the worst
TOLD_STEPS = 5_000  # up to so many, all places are told; past it the first
PLACES = 8
PATTERN = 1 << 20  # bytes of one compiled pattern
USUAL = (64, 4)  # places and depth of a value that each schema that is used can check
LARGE = 1 << 63  # from here on, integers in a list are compared each with each
DEPTH = 128  # of a value; see `doors/wire.py`
_TEXT = 256  # characters of a text that count as one place

_PLAIN = Pattern(r"[A-Za-z0-9_.$-]{1,64}\z")
_DIALECTS = {
    "": "2020-12",
    "json-schema.org/draft/2020-12/schema": "2020-12",
    "json-schema.org/draft/2019-09/schema": "2019-09",
    "json-schema.org/draft-07/schema": "7",
    "json-schema.org/draft-06/schema": "6",
}


class Fit(NamedTuple):
    """Whether arguments fit, and JSON Pointers of where they don't. Empty for what is no call of a tool."""

    valid: Fits = ""
    places: tuple[str, ...] = ()


class Checker(NamedTuple):
    """A schema that is fit to be used."""

    validator: "Validator"
    cost: Cost


UNCHECKED = Fit("unchecked")
TOO_MUCH = Fit("invalid")  # to be checked; of no place


class Fitting:
    """The schemas of one process, each looked at once. Threads may share it."""

    __slots__ = ("_checkers",)

    def __init__(self) -> None:
        self._checkers: dict[str, Checker | None] = {}

    def of(self, call: Call) -> Fit:
        """Return whether the arguments of `call` fit."""
        if call.event_type != "tool_call":
            return Fit()
        defined = call.definition
        if defined is None or defined.standing != "accepted":
            return UNCHECKED
        checker = self._checker(defined)
        if checker is None:
            return UNCHECKED
        arguments = call.arguments.open()
        try:
            return _fit(checker, {} if arguments is None else arguments, call.size_bytes)
        except (ValueError, RecursionError, OverflowError):
            return TOO_MUCH  # what no JSON says, or a number that the validator can't read

    def _checker(self, definition: Definition) -> Checker | None:
        digest = definition.digest
        if digest and digest in self._checkers:
            return self._checkers[digest]
        checker = checker_of(definition.input_schema.open())
        if len(self._checkers) >= REMEMBERED:
            self._checkers.clear()
        if digest:
            self._checkers[digest] = checker
        return checker


def checker_of(schema: Json) -> Checker | None:
    """Return what checks values by `schema`; None where it can't be used."""
    if not isinstance(schema, dict | bool) or find_spec("jsonschema_rs") is None:
        return None
    dialect = _dialect(schema.get("$schema", "") if isinstance(schema, dict) else "")
    if not dialect:
        return None
    import jsonschema_rs

    made = {
        "2020-12": jsonschema_rs.Draft202012Validator,
        "2019-09": jsonschema_rs.Draft201909Validator,
        "7": jsonschema_rs.Draft7Validator,
        "6": jsonschema_rs.Draft6Validator,
    }[dialect]
    try:
        cost = cost_of(schema)
        if cost.of(*USUAL) > STEPS:
            return None
        patterns = jsonschema_rs.RegexOptions(size_limit=PATTERN, dfa_size_limit=PATTERN)
        validator = made(schema, pattern_options=patterns, offline=True, validate_formats=False)
    except (NotBounded, ValueError, jsonschema_rs.ReferencingError):
        return None
    return Checker(cast("Validator", validator), cost)


def _dialect(said: Json) -> str:
    """Return which dialect a schema is in, by what it says; "" for one that is not known."""
    if not isinstance(said, str):
        return ""
    return _DIALECTS.get(said.removesuffix("#").removeprefix("https://").removeprefix("http://"), "")


def _fit(checker: Checker, arguments: Json, size_bytes: int) -> Fit:
    cost = checker.cost
    steps = cost.unrolled * size_bytes  # of a message of n bytes at most n / 2 are values
    if not steps or steps > STEPS:
        places, depth = _extent(arguments)
        steps = cost.of(places, depth)
        if depth > DEPTH or steps > STEPS:
            return TOO_MUCH
    if cost.unique and _lists_large(arguments):
        return TOO_MUCH
    validator = checker.validator
    if validator.is_valid(arguments):
        return Fit("valid")
    errors = validator.iter_errors(arguments) if steps <= TOLD_STEPS else _first(validator, arguments)
    named = [_place(error, cost) for error in islice(errors, 4 * PLACES)]
    return Fit("invalid", tuple(dict.fromkeys(named))[:PLACES])


def _first(validator: "Validator", arguments: Json) -> Iterator["ValidationError"]:
    import jsonschema_rs

    try:
        validator.validate(arguments)
    except jsonschema_rs.ValidationError as e:
        yield e


def _extent(value: Json) -> tuple[int, int]:
    """Return how many places `value` has, a long text counted as several, and how deep it is; at most what counts."""
    places = depth = 0
    level: list[Json] = [value]
    while level and depth <= DEPTH:
        depth += 1
        places += len(level)
        below: list[Json] = []
        for node in level:
            if isinstance(node, dict):
                below.extend(node.values())
                places += len(node)
            elif isinstance(node, list):
                below.extend(node)
            elif isinstance(node, str):
                places += len(node) // _TEXT
        level = below
    return places, depth


def _lists_large(value: Json) -> bool:
    """Say whether a list in `value` holds an integer of more than 64 bits, at any depth."""
    waiting: list[tuple[Json, bool]] = [(value, False)]
    while waiting:
        node, listed = waiting.pop()
        if isinstance(node, dict):
            waiting.extend((child, listed) for child in node.values())
        elif isinstance(node, list):
            waiting.extend((child, True) for child in node)
        elif listed and isinstance(node, int) and not -LARGE <= node < LARGE:
            return True
    return False


def _place(error: "ValidationError", cost: Cost) -> str:
    """Return the JSON Pointer of where an error is; of what is missing, where it should be."""
    path: Sequence[str | int] = error.instance_path
    if error.kind.name == "required":
        path = [*path, str(getattr(error.kind, "property", "*"))]
    return pointer.written([_told(token, cost.names) for token in path])


def _told(token: str | int, names: frozenset[str]) -> str:
    if isinstance(token, int):
        return str(token)
    return token if token in names and _PLAIN.fits(utf8(token)) else "*"
