# SPDX-License-Identifier: Apache-2.0
"""Collects what is said to one question: what is the same of several calls is said once, with all that it rests on.

What somebody else chose stands in quotes, or is JSON, and is cut; so it ends where its quotes do, and can't look like
a statement of ours.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from onrecord.event.event import Event
from onrecord.rules.neutral import neutral
from onrecord.views.incident.model import (
    QUESTIONS,
    Answer,
    Citation,
    NotKnown,
    QuestionName,
    Statement,
    Worth,
)
from onrecord.views.incident.seen import Gathered, Seen, Told, calls_of

LONGEST = 400  # characters of one quotation
MOST = 20  # names in one list

_PLAIN = re.compile(r"[A-Za-z0-9._:/#@+-]{1,160}")


def quoted(text: str) -> str:
    """Return `text` in quotes, with all that acts or hides written out."""
    return neutral(json.dumps(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…", ensure_ascii=False))


def named(text: str) -> str:
    """Return a name: as it is, or in quotes where it could be read as anything else."""
    return text if _PLAIN.fullmatch(text) else quoted(text)


def values(summary: str) -> str:
    """Return the JSON of a summary, or a quotation of what is not, or is too long."""
    try:
        value = json.loads(summary)
    except (ValueError, RecursionError):
        return quoted(summary)
    shown = neutral(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    return shown if len(shown) <= LONGEST else quoted(summary)


def several(names: Iterable[str]) -> str:
    """Return names with commas between them, the first of many."""
    listed = [named(name) for name in names]
    more = len(listed) - MOST
    return ", ".join(listed[:MOST]) + (f" and {more} more" if more > 0 else "")


def target(event: Event) -> str:
    """Return what is called, and at which server."""
    name = event.tool_name or event.resource_uri or event.prompt_name or event.method or event.event_type
    return f"{named(event.server_id or 'a server without a name')}/{named(name)}"


@dataclass(slots=True)
class _Heap:
    """Of one thing that is said: the calls, and the events."""

    calls: dict[int, None] = field(default_factory=dict[int, None])
    cites: dict[Citation, None] = field(default_factory=dict[Citation, None])


class Case:
    """What was gathered, by call, for those who answer."""

    def __init__(self, gathered: Gathered) -> None:
        self.gathered = gathered
        self.all = calls_of(gathered.seen)
        self.calls = [told for told in self.all if not told.beside]
        self.numbers = {(told.ledger, told.call_id): told.number for told in self.all}
        self.others = [one for one in gathered.seen if not (one.event.phase and one.event.call_id)]

    def number(self, one: Seen) -> int:
        """Return the number of the call that an event belongs to, 0 where it belongs to none."""
        return self.numbers.get((one.ledger, one.event.call_id), 0)

    def called(self, ledger: str, call_id: str) -> str:
        """Return what a call is called in the report."""
        number = self.numbers.get((ledger, call_id), 0)
        return f"call {number}" if number else f"the call {named(call_id)}, which is not shown here"

    def deleted_behind(self, one: Seen) -> str:
        """Return, as more of a reason, that lines behind an event were deleted; "" where none were."""
        for gone in self.gathered.gone:
            if (gone.ledger, gone.log) == (one.ledger, one.log) and gone.last > one.event.seq:
                return f"; or it is among those that were deleted under the rule {named(gone.rule)}"
        return ""

    def rounds(self) -> list[tuple[Told, Seen | None, list[Seen]]]:
        """Return each round of each call that was asked for: its attempt, and its closing events."""
        return [(told, begun, ended) for told in self.calls for begun, ended in told.rounds()]

    def attempts(self) -> list[Seen]:
        """Return the attempts of the calls that were asked for, in order."""
        return [one for told in self.calls for one in told.of("attempt")]

    def beside(self, *types: str) -> list[Seen]:
        """Return the events of these types that belong to no call."""
        return [one for one in self.others if one.event.event_type in types]


class Saying:
    """What is said to one question."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._said: dict[tuple[str, Worth, str], _Heap] = {}
        self._open: dict[tuple[str, str, str], _Heap] = {}

    def say(self, topic: str, worth: Worth, text: str, *rests_on: Seen) -> None:
        """Say something that rests on these events."""
        self._add(self._said.setdefault((topic, worth, text), _Heap()), rests_on)

    def fact(self, topic: str, text: str, *rests_on: Seen) -> None:
        """Say what was seen or decided here."""
        self.say(topic, "fact", text, *rests_on)

    def claim(self, topic: str, text: str, *rests_on: Seen) -> None:
        """Say what somebody says."""
        self.say(topic, "claim", text, *rests_on)

    def unknown(self, topic: str, text: str, why: str, *rests_on: Seen) -> None:
        """Say what the record does not say."""
        self._add(self._open.setdefault((topic, text, why), _Heap()), rests_on)

    def _add(self, heap: _Heap, rests_on: Iterable[Seen]) -> None:
        for one in rests_on:
            if number := self._case.number(one):
                heap.calls[number] = None
            heap.cites[one.cite] = None

    def answer(self, name: QuestionName) -> Answer:
        """Return all that was said."""
        return Answer(
            name=name,
            question=QUESTIONS[name],
            statements=tuple(
                Statement(topic=topic, worth=worth, text=text, calls=tuple(sorted(of.calls)), cites=tuple(of.cites))
                for (topic, worth, text), of in self._said.items()
            ),
            not_known=tuple(
                NotKnown(topic=topic, text=text, why=why, calls=tuple(sorted(of.calls)), cites=tuple(of.cites))
                for (topic, text, why), of in self._open.items()
            ),
        )
