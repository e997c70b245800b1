# SPDX-License-Identifier: Apache-2.0
"""Which events a rule is about: conditions on columns, all of which must hold.

    column = "x"                    says this; a list says one of these; of a column that lists, any of them
    column = { present = true }     says something; with false, nothing
    column = { not = ["x"] }        says none of these
    column = { least = 3 }          is a number, and so much or more; `most`: so much or less
    column = { lacks = "other" }    lists something that the other column does not
    column = { same = "other" }     says what the other column says, and that is something
    "detail.name" = true            the same of a member of `detail`

What is wrong with a condition is found when it is read, not when an event comes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from operator import attrgetter
from typing import Any, TypeAlias, cast

from onrecord.errors import ConfigError
from onrecord.event.event import Event
from onrecord.views.columns import BY_NAME, resource_of

Test: TypeAlias = Callable[[Event], bool]
Getter: TypeAlias = Callable[[Event], Any]

_DETAIL = "detail."
_OPERATORS = ("present", "not", "least", "most", "lacks", "same")
_TYPES: Mapping[str, type] = {"text": str, "integer": int, "boolean": bool, "json": str}
_NOT_ASKED = frozenset({"ts", "detail", "ext"})


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about a name that is not known: the nearest one, or all."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(names)}"


def check_column(name: str) -> None:
    """Raise ConfigError unless a condition may name the column."""
    if name.startswith(_DETAIL) and len(name) > len(_DETAIL):
        return
    if name not in BY_NAME or name in _NOT_ASKED:
        raise ConfigError(f"no column {name}; {nearest(name, BY_NAME.keys() - _NOT_ASKED)}")


def getter(name: str) -> Getter:
    """Return what reads a column of an event, as it is."""
    check_column(name)
    if name.startswith(_DETAIL):
        member = name[len(_DETAIL) :]
        return lambda event: event.detail.get(member)
    return resource_of if name == "resource" else attrgetter(name)


class Condition:
    """What an event must say.

    `said` is what it must say in a column, where it is one of some values, or anything: None. So events that say
    something else there need not be held against it.
    """

    __slots__ = ("_kinds", "holds", "said")

    def __init__(self, said: Mapping[str, object]) -> None:
        """Raises ConfigError, which names the column."""
        self._kinds: list[Test] = []
        tests: list[Test] = []
        self.said: tuple[str, frozenset[object] | None] | None = None
        for name, value in said.items():
            try:
                made = list(_tests(name, value))
            except ConfigError as e:
                raise ConfigError(f"{name}: {e}") from e
            if name in ("event_type", "phase"):
                self._kinds += made
                continue
            tests += made
            told = _told(name, value)
            if told is not None and (self.said is None or self.said[1] is None):
                self.said = told
        self.holds = _together(tests)
        """Whether it holds of an event of which it may."""

    def may_hold(self, event: Event) -> bool:
        """Say whether it can hold of events of the type and the phase of this one."""
        return all(test(event) for test in self._kinds)


def _together(tests: list[Test]) -> Test:
    """Return the test that all of `tests` hold."""
    if len(tests) == 1:
        return tests[0]

    def hold(event: Event) -> bool:
        for test in tests:  # noqa: SIM110  # a generator would cost more than most tests
            if not test(event):
                return False
        return True

    return hold


def _told(name: str, said: object) -> tuple[str, frozenset[object] | None] | None:
    """Return the column, and which of few values an event must say there, or None for any; None where that is open."""
    if name not in BY_NAME or name == "resource" or BY_NAME[name].kind not in ("text", "json"):
        return None
    if not isinstance(said, dict):
        values = cast(list[object], said) if isinstance(said, list) else [said]
        return name, frozenset(values) if BY_NAME[name].kind == "text" else None
    asked = cast(dict[str, object], said)
    return (name, None) if asked.get("present") is True or "lacks" in asked or "same" in asked else None


def _tests(name: str, said: object) -> Iterator[Test]:
    get = getter(name)
    if not isinstance(said, dict):
        yield _one_of(name, get, said)
        return
    asked = cast(dict[str, object], said)
    if not asked:
        raise ConfigError("says nothing")
    for operator, value in asked.items():
        yield _by_operator(name, get, operator, value)


def _by_operator(name: str, get: Getter, operator: str, value: object) -> Test:
    match operator:
        case "present":
            if not isinstance(value, bool):
                raise ConfigError("present is true or false")
            return lambda event: (get(event) not in (None, "", ())) is value
        case "not":
            one_of = _one_of(name, get, value)
            return lambda event: not one_of(event)
        case "least" | "most":
            if isinstance(value, bool) or not isinstance(value, int) or _type_of(name) not in (int, None):
                raise ConfigError(f"{operator} takes a whole number, and a column of numbers")
            return _bounded(get, value, least=operator == "least")
        case "lacks" | "same":
            if not isinstance(value, str):
                raise ConfigError(f"{operator} names a column")
            other = getter(value)
            if operator == "same":
                return lambda event: bool(said := get(event)) and said == other(event)
            return lambda event: bool(said := get(event)) and not set(said) <= set(other(event) or ())
        case _:
            raise ConfigError(f"unknown key {operator}; {nearest(operator, _OPERATORS)}")


def _bounded(get: Getter, bound: int, *, least: bool) -> Test:
    def holds(event: Event) -> bool:
        said = get(event)
        return isinstance(said, int) and (said >= bound if least else said <= bound)

    return holds


def _type_of(name: str) -> type | None:
    """Return of which type what a column says is; None where that is not fixed."""
    return None if name.startswith(_DETAIL) else _TYPES["text" if name == "resource" else BY_NAME[name].kind]


def _one_of(name: str, get: Getter, said: object) -> Test:
    values = cast(list[object], said) if isinstance(said, list) else [said]
    if not values:
        raise ConfigError("names no value")
    kind = _type_of(name)
    known = () if kind is None else BY_NAME[name].values
    for value in values:
        if not isinstance(value, str | int) or (kind is not None and type(value) is not kind):
            raise ConfigError(f"{value!r} is nothing that it can say")
        if known and value not in known:
            raise ConfigError(f"it never says {value}; {nearest(str(value), known)}")
    wanted = frozenset(values)
    if kind is str and BY_NAME[name].kind == "json":
        return lambda event: not wanted.isdisjoint(get(event))
    if len(values) == 1 and kind is not None:
        (only,) = values
        return lambda event: get(event) == only
    return lambda event: isinstance(value := get(event), str | int) and value in wanted
