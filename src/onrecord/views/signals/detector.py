# SPDX-License-Identifier: Apache-2.0
"""Holds the events of one log, in their order, against all rules that are about that log.

It knows no file and no clock. What is muted after a finding is counted, and the next finding like it says how many.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from operator import attrgetter

from onrecord.event.event import Event
from onrecord.ledger.clock import parse_time
from onrecord.views.signals.finding import Finding
from onrecord.views.signals.kinds import KINDS, Gap, Looking, Open, See
from onrecord.views.signals.memory import FOR_EVER, Memory
from onrecord.views.signals.rule import Rule

_NOTHING = ("", None, ())
MUTED = "/muted"  # follows the tag of a rule, for what is remembered of its findings
_SECOND = len("2026-11-21T09:30:00")


class Detector:
    """The rules of one log at work."""

    def __init__(self, rules: Iterable[Rule], log: str, memory: Memory) -> None:
        self.memory = memory
        self.at_us = 0  # when the latest event was written
        self._looking: list[Looking] = [KINDS[rule.kind](rule, memory) for rule in rules if rule.log == log]
        self._open = [one for one in self._looking if isinstance(one, Open)]
        self._gaps = [one for one in self._looking if isinstance(one, Gap)]
        self._asked: dict[tuple[str, str], _Asked] = {}  # by type and phase of an event
        self._second = ("", 0)

    def see(self, event: Event) -> list[Finding]:
        """Return what is found with the next event."""
        at_us = self._time_of(event.timestamp)
        self.at_us = at_us = max(at_us, self.at_us)
        found = list(self.advance(at_us)) if at_us >= self._due_us() else []
        asked = self._asked.get((event.event_type, event.phase))
        if asked is None:
            asked = self._asked[event.event_type, event.phase] = _Asked(self._looking, event)
        for see in asked.of(event):
            finding = see(event, at_us)
            if finding is not None and (finding := self._unmuted(finding)) is not None:
                found.append(finding)
        return found

    def _due_us(self) -> int:
        """Return when the next thing that waits for its end has waited too long."""
        return min((one.due_us() for one in self._open), default=FOR_EVER)

    def settle(self) -> None:
        """Put into memory all that is remembered."""
        for one in self._looking:
            one.settle()

    def advance(self, at_us: int) -> Iterator[Finding]:
        """Yield what has waited too long by then."""
        for one in self._open:
            for finding in one.overdue(at_us):
                if (loud := self._unmuted(finding)) is not None:
                    yield loud

    @property
    def tags(self) -> set[str]:
        """What these rules remember anything under."""
        return {f"{one.rule.tag}{more}" for one in self._looking for more in ("", MUTED)}

    def delete(self) -> None:
        """Note that a line was deleted on the record."""
        for one in self._gaps:
            one.delete()

    def _unmuted(self, finding: Finding) -> Finding | None:
        """Return a finding with how many like it were left out before it; None where it is left out itself."""
        rule = finding.rule
        if not rule.mute_us:
            return finding
        like = "\x1f".join(str(finding.shared.get(name, "")) for name in rule.per or rule.by)
        shelf = self.memory.shelf(f"{rule.tag}{MUTED}")
        muted = shelf.get(like, finding.at_us)
        if muted is not None and finding.at_us < muted[0]:
            shelf.put(like, [muted[0], muted[1] + 1], muted[0] + rule.mute_us)
            return None
        until_us = finding.at_us + rule.mute_us
        shelf.put(like, [until_us, 0], until_us + rule.mute_us)
        return finding if muted is None or not muted[1] else replace(finding, left_out=muted[1])

    def _time_of(self, text: str) -> int:
        """Return what `parse_time` does; of a second that was read before, sooner."""
        second, at_us = self._second
        if text[:_SECOND] == second and len(text) == _SECOND + 8:
            return at_us + int(text[_SECOND + 1 : -1])
        at_us = parse_time(text)
        if len(text) == _SECOND + 8 and text.endswith("Z"):
            self._second = text[:_SECOND], at_us - int(text[_SECOND + 1 : -1])
        return at_us


class _Asked:
    """Which rules are to see an event of one type and phase, by what it says in the columns that they ask about."""

    __slots__ = ("_always", "_columns")

    def __init__(self, looking: Iterable[Looking], event: Event) -> None:
        self._always: list[See] = []
        columns: dict[str, tuple[dict[object, list[See]], list[See]]] = {}
        for one in looking:
            asked = one.at(event)
            if asked is None:
                continue
            see, condition = asked
            if condition is None or condition.said is None:
                self._always.append(see)
                continue
            name, values = condition.said
            by_value, any_value = columns.setdefault(name, ({}, []))
            for value in values or ():
                by_value.setdefault(value, []).append(see)
            if values is None:
                any_value.append(see)
        self._columns = [(attrgetter(name), *tables) for name, tables in columns.items()]

    def of(self, event: Event) -> list[See]:
        """Return what is to see `event`."""
        asked = self._always
        for get, by_value, any_value in self._columns:
            said = get(event)
            if said in _NOTHING:
                continue
            if any_value or said in by_value:
                asked = [*asked, *any_value, *by_value.get(said, ())]
        return asked
