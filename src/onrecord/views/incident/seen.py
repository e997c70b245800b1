# SPDX-License-Identifier: Apache-2.0
"""Events as they were gathered: from which ledger and log, and whether they are part of what was asked for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from onrecord.event.event import Event
from onrecord.views.incident.model import Citation, Gone, SubjectKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One event. `beside`: it is no part of what was asked for, and has to do with it."""

    ledger: str
    log: str
    event: Event
    beside: bool = False

    @property
    def place(self) -> tuple[str, str, int]:
        """Where it stands, which tells it from all others."""
        return self.ledger, self.log, self.event.seq

    @property
    def cite(self) -> Citation:
        """The same, to be cited."""
        return Citation(ledger=self.ledger, log=self.log, seq=self.event.seq, event_id=self.event.event_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """All events of an incident, in the order of time. `left` of what was asked for are not among them."""

    kind: SubjectKind
    subject: str
    seen: Sequence[Seen]
    ledgers: tuple[str, ...]
    left: int = 0
    gone: tuple[Gone, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class Told:
    """One call, and what of it was gathered."""

    number: int
    ledger: str
    call_id: str
    seen: list[Seen] = field(default_factory=list[Seen])

    @property
    def beside(self) -> bool:
        """Whether it is no part of what was asked for, but for what was said of its approval."""
        return all(one.beside for one in self.seen if one.event.phase != "approval" or not self.of("attempt"))

    def of(self, phase: str) -> list[Seen]:
        """Return its events of one phase."""
        return [one for one in self.seen if one.event.phase == phase]

    def rounds(self) -> Iterator[tuple[Seen | None, list[Seen]]]:
        """Yield the attempt and the closing events of each round, also where one of them is not there."""
        for number in sorted({one.event.round for one in self.seen if one.event.phase in ("attempt", "result")}):
            begun = [one for one in self.of("attempt") if one.event.round == number]
            yield (begun[0] if begun else None), [one for one in self.of("result") if one.event.round == number]

    def may_have_run(self, number: int = 0) -> bool:
        """Say whether a round of it was let through: at once, or once it was approved."""
        return any(
            one.event.round == number and one.event.policy_decision in ("", "allow")
            for one in (*self.of("attempt"), *self.of("decision"))
        )


def calls_of(seen: Sequence[Seen]) -> list[Told]:
    """Return the calls that events belong to, numbered as they begin: first those asked for, then those beside."""
    found: dict[tuple[str, str], Told] = {}
    for one in seen:
        if one.event.call_id and one.log == "calls" and one.event.phase:
            key = one.ledger, one.event.call_id
            told = found.setdefault(key, Told(number=0, ledger=one.ledger, call_id=one.event.call_id))
            told.seen.append(one)
    calls = sorted(found.values(), key=lambda told: told.beside)  # stable: else in the order of time
    for number, told in enumerate(calls, 1):
        told.number = number
    return calls
