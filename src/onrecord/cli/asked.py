# SPDX-License-Identifier: Apache-2.0
"""What of the record somebody asks for on the command line, as a question."""

from argparse import Namespace
from collections.abc import Iterator, Sequence
from difflib import get_close_matches

import msgspec

from onrecord.cli.query_options import CONDITIONS
from onrecord.cli.read import pseudonym
from onrecord.cli.times import span_us
from onrecord.errors import KeyFileError, OnRecordError
from onrecord.ledger.place import Home
from onrecord.views.columns import BY_NAME
from onrecord.views.question import FILTERS, SPANS, Condition, Question
from onrecord.views.words import phrases_of

_HIGHEST_TIER = 4


def question_of(options: Namespace, homes: Sequence[Home], words: str = "") -> Question:
    """Return what is asked for. An account may have a pseudonym in each of `homes`.

    Raises OnRecordError for what nobody can ask for.
    """
    since_us, until_us = span_us(options.since, options.until)
    return Question(
        conditions=tuple(_conditions(options, homes)),
        since_us=since_us,
        until_us=until_us,
        phrases=phrases_of(words) if words else (),
    )


def _conditions(options: Namespace, homes: Sequence[Home]) -> Iterator[Condition]:
    for option, (name, _, _) in CONDITIONS.items():
        given: list[str] = getattr(options, option)
        for each in given:
            values = [value.strip() for value in each.split(",")]
            if any("\ud800" <= letter <= "\udfff" for letter in each):
                raise OnRecordError(f"--{option} {each!r} is no text: it has bytes that are not UTF-8")
            if not all(values):
                raise OnRecordError(f"--{option} {each!r} names nothing; leave it out to ask for all")
            said = (each for value in values for each in _said(option, name, value, homes, options.tenant))
            yield Condition(column=name, values=tuple(said))


def _said(option: str, name: str, value: str, homes: Sequence[Home], tenants: Sequence[str]) -> Iterator[str | int]:
    """Yield what a column says where somebody asks for `value`; people are those of `tenants`, if any are given."""
    if name != "user_id":
        yield _value(option, name, value)
        return
    missing: OnRecordError | None = None
    known: set[str] = set()
    for home in homes:
        try:
            known.add(pseudonym(home, value, [each.strip() for given in tenants for each in given.split(",")]))
        except KeyFileError as e:
            missing = missing or e
    if missing is not None and not known:
        raise missing
    yield from sorted(known)


def _value(option: str, name: str, value: str) -> str | int:
    column = BY_NAME[name]
    if column.kind == "integer":
        if not (value.isascii() and value.isdecimal()):
            raise OnRecordError(f"--{option} {value!r} is no number")
        if name == "risk_tier" and int(value) > _HIGHEST_TIER:
            raise OnRecordError(f"--{option} {value!r}: there is no such risk_tier; there are: 0 to {_HIGHEST_TIER}")
        return int(value)
    if column.values and value not in column.values:
        known = ", ".join(sorted(column.values))
        raise OnRecordError(f"--{option} {value!r}: there is no such {name}; there are: {known}")
    return value


def columns_of(text: str, option: str, *, grouped: bool = False) -> tuple[str, ...]:
    """Return the columns that `text` names, by comma; of groups, only those that conditions may name, and spans."""
    known = (*FILTERS, *SPANS) if grouped else tuple(BY_NAME)
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            meant = f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(known)}"
            raise OnRecordError(f"{option} {name!r}: there is no such column{meant}")
    return names


def told(question: Question) -> str:
    """Return a question as the access log tells it: JSON of its conditions, by column; of two on one column, both."""
    said: dict[str, object] = {}
    for each in question.conditions:
        times = sum(key.partition(" ")[0] == each.column for key in said)
        said[f"{each.column} {times + 1}" if times else each.column] = list(each.values)
    if question.since_us is not None:
        said["since_us"] = question.since_us
    if question.until_us is not None:
        said["until_us"] = question.until_us
    if question.phrases:
        said["words"] = [" ".join(each.words) + ("*" if each.prefix else "") for each in question.phrases]
    return msgspec.json.encode(said).decode()
