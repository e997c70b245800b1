# SPDX-License-Identifier: Apache-2.0
"""How each kind of rule finds what it looks for, from one event after the other and what it remembers.

Time is that of the log: an event's own timestamp, which never decreases. So what is found depends on the events and
their order, and on nothing else: not on when, or in how many goes, they are looked at.
"""

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from statistics import median
from typing import Any, Protocol, TypeAlias

from onrecord.event.event import Event
from onrecord.ledger.clock import TimeText
from onrecord.views.signals.condition import Condition
from onrecord.views.signals.finding import ABOUT, Finding, Shared, shared_of
from onrecord.views.signals.memory import FOR_EVER, Memory
from onrecord.views.signals.rule import Rule, time_us

_HOUR_US, _DAY_US = 3_600_000_000, 86_400_000_000
_LEARNED_DAYS = 3  # with events, of which a rate is told
_APART = "\x1f"
_about: Callable[[Event], tuple[Any, ...]] = attrgetter(*ABOUT)


See: TypeAlias = Callable[[Event, int], Finding | None]
"""Takes the next event and its time, and returns what is found with it."""


class Looking(Protocol):
    """A rule at work on one log."""

    rule: Rule

    def at(self, event: Event) -> tuple[See, Condition | None] | None:
        """Return what takes events of the type and the phase of this one, None where none are asked for.

        With it goes a condition: where that cannot hold, they need not be shown.
        """
        ...

    def settle(self) -> None:
        """Put into memory what was held back so far."""
        ...


class _Matching:
    """What all kinds have: the condition, what they group by, and their memory."""

    def __init__(self, rule: Rule, memory: Memory) -> None:
        self.rule = rule
        self._mine = memory.shelf(rule.tag)
        self._when = Condition(rule.when)
        self._group = _grouping(rule.by)

    def at(self, event: Event) -> tuple[See, Condition | None] | None:
        return (self.see, self._when) if self._when.may_hold(event) else None

    def see(self, event: Event, at_us: int) -> Finding | None:
        raise NotImplementedError

    def settle(self) -> None:
        """Nothing is held back."""

    def _about_group(self, event: Event) -> Shared:
        """Return what many events have in common: what they are grouped by."""
        names = self.rule.by if "user_id" not in self.rule.by else (*self.rule.by, "tenant_id")
        return shared_of(event, names)


class Each(_Matching):
    """Every event for which the condition holds."""

    def see(self, event: Event, at_us: int) -> Finding | None:
        if not self._when.holds(event):
            return None
        return _of_one(self.rule, event, at_us, "one such event is a finding")


class Burst(_Matching):
    """So many within a while. Remembers as many as it counts: `[when, event, what is distinct]`, the oldest first."""

    def __init__(self, rule: Rule, memory: Memory) -> None:
        super().__init__(rule, memory)
        self._distinct = _grouping((rule.distinct,)) if rule.distinct else None
        self._window_us = rule.window_us

    def see(self, event: Event, at_us: int) -> Finding | None:
        if not self._when.holds(event):
            return None
        key = self._group(event)
        what = self._distinct(event) if self._distinct else ""
        after_us = at_us - self._window_us
        seen: list[list[Any]] = self._mine.get(key, at_us) or []
        if seen and seen[0][0] <= after_us:
            seen = [one for one in seen if one[0] > after_us]
        if self._distinct is not None:
            seen = [one for one in seen if one[2] != what]
        seen.append([at_us, event.event_id, what])
        rule = self.rule
        if len(seen) < rule.count:
            self._mine.put(key, seen, at_us + self._window_us)
            return None
        self._mine.drop(key)
        of = f"different {rule.distinct}" if rule.distinct else "events"
        why = f"{rule.count} {of} within {rule.window}{_same(rule.by)}, the last {_seconds(at_us - seen[0][0])} after "
        return Finding(
            rule=rule,
            at_us=at_us,
            events=tuple(one[1] for one in seen),
            seq=event.seq,
            count=len(seen),
            why=f"{why}the first",
            shared=self._about_group(event),
        )


class Following(_Matching):
    """One event a while after another. Remembers the latest of those that come first: `[when, event]`."""

    def __init__(self, rule: Rule, memory: Memory) -> None:
        super().__init__(rule, memory)
        self._after = Condition(rule.after)
        self._window_us = rule.window_us

    def at(self, event: Event) -> tuple[See, Condition | None] | None:
        match self._when.may_hold(event), self._after.may_hold(event):
            case True, False:
                return self._follow, self._when
            case False, True:
                return self._note, self._after
            case True, True:
                return self.see, None
            case _:
                return None

    def see(self, event: Event, at_us: int) -> Finding | None:
        found = self._follow(event, at_us)
        self._note(event, at_us)
        return found

    def _follow(self, event: Event, at_us: int) -> Finding | None:
        if not self._when.holds(event):
            return None
        first = self._mine.get(self._group(event), at_us)
        if first is None:
            return None
        why = f"{_seconds(at_us - first[0])} after the other event, within {self.rule.window}{_same(self.rule.by)}"
        return _of_one(self.rule, event, at_us, why, before=first[1])

    def _note(self, event: Event, at_us: int) -> None:
        if self._after.holds(event):
            self._mine.put(self._group(event), [at_us, event.event_id], at_us + self._window_us)


class First(_Matching):
    """Something new. Remembers when each thing was last seen, to the day or so, and when the rule began to learn."""

    def __init__(self, rule: Rule, memory: Memory) -> None:
        super().__init__(rule, memory)
        self._learn_us, self._forget_us = time_us(rule.learn), time_us(rule.forget)
        self._step_us = min(_DAY_US, self._forget_us // 8)
        self._began_us: int | None = None

    def see(self, event: Event, at_us: int) -> Finding | None:
        if not self._when.holds(event):
            return None
        key = f"={self._group(event)}"
        known = self._mine.get(key, at_us)
        if known is None or at_us - known[0] >= self._step_us:
            self._mine.put(key, [at_us], at_us + self._forget_us)
        if known is not None or at_us < self._began(at_us) + self._learn_us:
            return None
        why = f"nothing like it{_same(self.rule.by)} for {self.rule.forget}, or since this is looked for"
        return _of_one(self.rule, event, at_us, why)

    def _began(self, at_us: int) -> int:
        if self._began_us is None:
            kept = self._mine.get("began", at_us)
            if kept is None:
                kept = [at_us]
                self._mine.put("began", kept, FOR_EVER)
            self._began_us = int(kept[0])
        return self._began_us


class Rate(_Matching):
    """More in an hour than usual. Remembers `[hour, count, first event, day, peak of the day, [[day, peak]…]]`.

    Hours and days are those of UTC.
    """

    def see(self, event: Event, at_us: int) -> Finding | None:
        if not self._when.holds(event):
            return None
        rule, key = self.rule, self._group(event)
        hour = at_us // _HOUR_US
        known: list[Any] | None = self._mine.get(key, at_us)
        if known is None or known[0] != hour:
            day = at_us // _DAY_US
            if known is None:
                known = [hour, 0, event.event_id, day, 0, []]
            elif known[3] != day:
                peaks = [one for one in [*known[5], known[3:5]] if one[0] >= day - rule.days]
                known[3:] = day, 0, peaks
            known[:3] = hour, 0, event.event_id
            self._mine.put(key, known, (day + rule.days + 1) * _DAY_US)
        count = known[1] = known[1] + 1
        if count > known[4]:
            known[4] = count
        self._mine.changed.add(key)
        return self._judged(event, at_us, known) if count > rule.floor else None

    def _judged(self, event: Event, at_us: int, known: list[Any]) -> Finding | None:
        """Return a finding where this event is the first past the limit of its hour."""
        rule, (hour, count, first, _, _, peaks) = self.rule, known
        if len(peaks) < _LEARNED_DAYS:
            return None
        usual = median(one[1] for one in peaks)
        limit = max(rule.floor, int(rule.times * usual))
        if count != limit + 1:
            return None
        why = (
            f"{count} events in the hour of {TimeText().of(hour * _HOUR_US)[:16]}Z{_same(rule.by)}; more than {limit} "
            f"make a finding: {rule.times:g} times {usual:g}, the median of the busiest hours of {len(peaks)} of the "
            f"last {rule.days} days, and {rule.floor} at least"
        )
        events = tuple(dict.fromkeys((first, event.event_id)))
        shared = self._about_group(event)
        return Finding(rule=rule, at_us=at_us, events=events, seq=event.seq, count=count, why=why, shared=shared)


class Open(_Matching):
    """One that nothing ends. Remembers, between goes, which are open: `[when, event, its seq, what it is about]`."""

    def __init__(self, rule: Rule, memory: Memory) -> None:
        super().__init__(rule, memory)
        self._until = Condition(rule.until)
        self._window_us = rule.window_us
        rows = sorted(self._mine.all().items(), key=lambda row: (row[1][0], row[1][1]))
        self._open: dict[str, list[Any]] = dict(rows)  # the oldest first, as times never decrease
        self._settled = dict(self._open)

    def at(self, event: Event) -> tuple[See, Condition | None] | None:
        match self._when.may_hold(event), self._until.may_hold(event):
            case True, False:
                return self._begin, self._when
            case False, True:
                return self._end, self._until
            case True, True:
                return self.see, None
            case _:
                return None

    def see(self, event: Event, at_us: int) -> Finding | None:
        if self._until.holds(event):
            return self._end(event, at_us)
        return self._begin(event, at_us)

    def _begin(self, event: Event, at_us: int) -> None:
        if self._when.holds(event):
            self._open.setdefault(self._group(event), [at_us, event.event_id, event.seq, _about(event)])

    def _end(self, event: Event, _at_us: int) -> None:
        if self._until.holds(event):
            self._open.pop(self._group(event), None)

    def settle(self) -> None:
        for key, known in self._settled.items():
            if self._open.get(key) is not known:
                self._mine.drop(key)
        for key, known in self._open.items():
            if self._settled.get(key) is not known:
                self._mine.put(key, known, FOR_EVER)
        self._settled = dict(self._open)

    def due_us(self) -> int:
        """Return when the first of them has waited too long."""
        for known in self._open.values():
            return known[0] + self._window_us
        return FOR_EVER

    def overdue(self, at_us: int) -> Iterator[Finding]:
        """Yield what should have ended by then, and forget it."""
        while self._open:
            key, (since_us, event_id, seq, about) = next(iter(self._open.items()))
            if since_us + self._window_us > at_us:
                return
            del self._open[key]
            yield Finding(
                rule=self.rule,
                at_us=since_us + self._window_us,
                events=(event_id,),
                seq=seq,
                count=1,
                why=f"nothing has ended it for {self.rule.window}",
                shared={name: value for name, value in zip(ABOUT, about, strict=True) if value not in ("", None)},
            )


class Gap(_Matching):
    """Missing lines. Remembers of each writer `[wseq of its next line, event, lines deleted so far, when put]`."""

    _FORGET_US = 30 * _DAY_US

    def __init__(self, rule: Rule, memory: Memory) -> None:
        super().__init__(rule, memory)
        self._deleted: int | None = None

    def delete(self) -> None:
        """Note a line that was deleted on the record: nobody can tell whose it was."""
        self._deleted = self._count() + 1
        self._mine.put("deleted", [self._deleted], FOR_EVER)

    def see(self, event: Event, at_us: int) -> Finding | None:
        deleted = self._deleted if self._deleted is not None else self._count()
        key, wseq = f"={event.wid}", event.wseq
        known = self._mine.get(key, at_us)
        if known is None:
            self._mine.put(key, [wseq + 1, event.event_id, deleted, at_us], at_us + self._FORGET_US)
            return None  # what a writer wrote before its first line that is there, verify finds
        expected, before, deleted_before, put_us = known
        known[:3] = wseq + 1, event.event_id, deleted
        if at_us - put_us > _DAY_US:
            known[3] = at_us
            self._mine.put(key, known, at_us + self._FORGET_US)
        self._mine.changed.add(key)
        if wseq - expected <= deleted - deleted_before:
            return None
        why = f"lines {expected} to {wseq - 1} of the writer of this one are missing"
        return _of_one(self.rule, event, at_us, why, before=before)

    def _count(self) -> int:
        if self._deleted is None:
            kept = self._mine.get("deleted", 0)
            self._deleted = 0 if kept is None else int(kept[0])
        return self._deleted


KINDS: dict[str, type[Each | Burst | Following | First | Rate | Open | Gap]] = {
    "each": Each,
    "burst": Burst,
    "sequence": Following,
    "first": First,
    "rate": Rate,
    "open": Open,
    "gap": Gap,
}


def _grouping(names: Sequence[str]) -> Callable[[Event], str]:
    """Return what gives one text for what an event says in some columns."""
    if not names:
        return lambda _event: ""
    if len(names) == 1:
        get = attrgetter(names[0])
        return lambda event: str(get(event))
    many = attrgetter(*names)
    return lambda event: _APART.join(map(str, many(event)))


def _of_one(rule: Rule, event: Event, at_us: int, why: str, *, before: str = "") -> Finding:
    """Return a finding about one event, and that `before` it, if any."""
    events = (before, event.event_id) if before else (event.event_id,)
    shared = shared_of(event, ABOUT)
    return Finding(rule=rule, at_us=at_us, events=events, seq=event.seq, count=len(events), why=why, shared=shared)


def _same(by: Sequence[str]) -> str:
    return f" of the same {', '.join(by)}" if by else ""


def _seconds(us: int) -> str:
    return f"{us / 1e6:.0f} s"
