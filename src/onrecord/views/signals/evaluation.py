# SPDX-License-Identifier: Apache-2.0
"""Looks at what is new in the logs, records what the rules find in it, and moves on.

The order is: read a batch, record its findings, and only then write down that it was read. A process that dies in
between leaves findings on the record of events that count as unread. So the ids of those that may be of such events are
read first, and a finding that is there is not recorded again: its id is made of the rule and the events.

Findings themselves, and what people say about them, are looked at by no rule. One process evaluates at a time.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from types import TracebackType

import msgspec

from onrecord.errors import NotVerified, OnRecordError
from onrecord.event.event import Event
from onrecord.ledger.durable import FileLock, make_folder
from onrecord.ledger.lines import is_tombstone, lines_from, read_seq
from onrecord.ledger.place import Home, LogFolder
from onrecord.views.line import digest_of, event_of
from onrecord.views.signals.detector import Detector
from onrecord.views.signals.finding import Finding, is_finding
from onrecord.views.signals.queue import is_said
from onrecord.views.signals.rule import Rule
from onrecord.views.signals.state import Place, State, folder_of

BATCH = 10_000  # lines of a log that are read before what is found in them is recorded
WRITTEN_US = 60_000_000  # by then a line that was begun has come, or never will
FOUND_IN = "security"  # the log that findings are written to

_UNUSABLE = (sqlite3.Error, msgspec.MsgspecError, TypeError, ValueError, LookupError, OverflowError)
"""What is raised where the file holds something else than what was put there."""

Record = Callable[[Sequence[Event]], None]
"""Puts events on the log `security`, all or none, and returns when they are durable. Raises OnRecordError."""


class Evaluation:
    """The evaluation of the logs of a home. Raises LedgerBusy where another process is at it all that time."""

    def __init__(
        self, home: Home, rules: Sequence[Rule], record: Record, *, deadline_s: float = 0.0, batch: int = BATCH
    ) -> None:
        self._record = record
        self._batch = batch
        folder = folder_of(home)
        make_folder(folder)
        self._lock = FileLock(folder / "lock")
        try:
            self._lock.acquire(time.monotonic() + deadline_s)
            self._state = State(folder)
        except BaseException:
            self._lock.close()
            raise
        self._logs = [_Log(home.log(log), log, rules) for log in (FOUND_IN, "calls")]
        self._recorded: set[str] = set()  # findings that may be of events that were not looked at yet
        self.seen = 0  # lines so far

    def __enter__(self) -> "Evaluation":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._state.close()
        self._lock.close()

    def run(self, now_us: int) -> Iterator[list[Finding]]:
        """Look at all that is new, and yield, batch by batch, what is found that was not found before.

        What waits for its end is held against `now_us`. Raises OnRecordError, OSError.
        """
        try:
            self._enter()
            going = True
            while going:
                found = [finding for log in self._logs for finding in log.read(self._batch)]
                going = any(log.count for log in self._logs)
                if not going:
                    found += [finding for log in self._logs for finding in log.advance(now_us - WRITTEN_US)]
                new = [finding for finding in found if finding.id not in self._recorded]
                if new:
                    self._record([finding.event() for finding in new])
                self._keep(caught_up=not going)
                self.seen += sum(log.count for log in self._logs)
                yield new
        except _UNUSABLE as e:
            raise OnRecordError(
                f"what was looked at cannot be kept: {e}; delete the folder signals, and ask again"
            ) from e

    def _enter(self) -> None:
        """Go to where the logs were looked at, or to their beginning where they are other logs by now."""
        self._state.begin()
        same = all(log.goes_on(self._state.place(log.name)) for log in self._logs)
        for log in self._logs:
            log.enter(self._state, self._state.place(log.name) if same else Place(), fresh=not same)
        self._state.commit()
        first = self._logs[0]
        for line in lines_from(first.folder, first.place.known):
            event = event_of(line.data)
            if event is not None and is_finding(event):
                self._recorded.add(event.event_id)

    def _keep(self, *, caught_up: bool) -> None:
        self._state.begin()
        try:
            for log in self._logs:
                if caught_up:
                    log.place = log.place._replace(known=log.place.next)
                log.detector.settle()
                if log.is_new:
                    self._state.keep(log.name, log.place, log.detector.memory, log.detector.at_us)
                    log.kept = log.place
            self._state.commit()
        except BaseException:
            self._state.roll_back()
            raise


class _Log:
    """One log: how far it was read, and what holds its events against the rules."""

    def __init__(self, folder: LogFolder, name: str, rules: Sequence[Rule]) -> None:
        self.folder = folder
        self.name = name
        self.place = self.kept = Place()
        self.count = 0  # lines that were read last
        self._rules = rules
        self.detector: Detector

    def goes_on(self, place: Place) -> bool:
        """Say whether the log is the one that was looked at up to there."""
        if not 0 <= place.known <= place.next:
            return False
        if not place.next:
            return True
        line = next(iter(lines_from(self.folder, place.next - 1)), None)
        if line is None or read_seq(line.data) != place.next - 1:
            return False
        return is_tombstone(line.data) or digest_of(line.data) == place.digest

    def enter(self, state: State, place: Place, *, fresh: bool) -> None:
        """Begin at `place`, and with nothing remembered where that is another log than before."""
        if fresh:
            state.forget(self.name, set())
        self.place = self.kept = place
        self.detector = Detector(self._rules, self.name, state.memory(self.name))
        state.forget(self.name, self.detector.tags)

    @property
    def is_new(self) -> bool:
        """Whether there is anything to be kept."""
        return self.place != self.kept or self.detector.memory.changed

    def read(self, batch: int) -> list[Finding]:
        """Read the next lines, and return what is found with them."""
        lines = list(islice(lines_from(self.folder, self.place.next), batch))
        self.count = len(lines)
        found: list[Finding] = []
        for line in lines:
            if is_tombstone(line.data):
                self.detector.delete()
            elif (event := event_of(line.data)) is not None and not (self.name == FOUND_IN and _is_ours(event)):
                with suppress(NotVerified):  # its time is none; that is for verify, and no reason to look at no more
                    found += self.detector.see(event)
        if lines:
            last = lines[-1].data
            self.place = self.place._replace(next=read_seq(last) + 1, digest=digest_of(last))
        return found

    def advance(self, at_us: int) -> Iterator[Finding]:
        """Yield what has waited too long by then."""
        return self.detector.advance(at_us)


def _is_ours(event: Event) -> bool:
    return is_finding(event) or is_said(event)
