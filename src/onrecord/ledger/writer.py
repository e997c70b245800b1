# SPDX-License-Identifier: Apache-2.0
"""Group commit: many threads append, one thread flushes and signs for all of them.

An append returns a `Ticket` as soon as its line is written. Waiting for a ticket waits for as much
durability as was asked for: written, flushed, or signed. What nobody waits for is flushed within
50 ms and signed within 250 ms all the same.

A ledger that fails is opened again, at most once a second, so that a full disk or a wrong
permission heals when its cause does; one that was rolled back or replaced keeps being refused.
Entries of harmless calls that cannot be written meanwhile wait in a bounded spool, and what the
spool could not hold is counted: both come onto the record with the next line that succeeds.
"""

import time
from collections import deque
from collections.abc import Callable
from threading import Condition, Lock, Thread
from typing import Literal, TypeAlias

from onrecord.errors import LedgerBusy, LedgerError
from onrecord.event.redacted import Redacted, with_detail
from onrecord.ledger.ledger import DEADLINE_S, Ledger, Receipt

Durability: TypeAlias = Literal["written", "flushed", "signed"]

FLUSH_S = 0.05  # the longest that a line stays with the operating system alone
SIGN_S = 0.25  # the longest that a flushed line stays unsigned; a signature costs some 0.5 ms of writes
RETRY_S = 1.0  # between two attempts to open a ledger that failed
SPOOL = 1_000  # entries; some 2 MB


class Ticket:
    """An entry that was written, and the way to wait until it is as durable as it must be."""

    __slots__ = ("_writer", "durability", "receipt")

    def __init__(self, writer: "Writer", receipt: Receipt, durability: Durability) -> None:
        self._writer = writer
        self.receipt = receipt
        self.durability: Durability = durability

    @property
    def settled(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.durability == "written"

    def wait(self, deadline_s: float = DEADLINE_S) -> None:
        """Return once the entry is durable. Raises a LedgerError where it isn't in time."""
        if not self.settled:
            self._writer.wait_until(self.receipt.seq, self.durability, deadline_s)


class Writer:
    """Appends for a whole process, with one committing thread behind it."""

    def __init__(
        self,
        open_ledger: Callable[[], Ledger],
        *,
        gap: Callable[[], Redacted],
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """`open_ledger` opens the log anew; `gap` makes the event that reports what the spool held."""
        self._open_ledger = open_ledger
        self._gap = gap
        self.deadline_s = deadline_s
        self._cond = Condition()
        self._ledger: Ledger | None = None
        self._opened_at = -RETRY_S
        self._last_error: LedgerError | None = None
        self._flushed = self._signed = 0  # entries
        self._appended = 0
        self._flush_to = self._sign_to = 0  # as far as somebody waits for
        self._closing = False
        self._retired: list[Ledger] = []  # broken ones; their files close with us, as a flush may be under way
        self._spool: deque[Redacted] = deque()
        self._lost = 0
        self._spool_lock = Lock()
        self._thread = Thread(target=self._commit_forever, name="onrecord-writer", daemon=True)
        self._thread.start()

    def append(self, entry: Redacted, durability: Durability = "written") -> Ticket:
        """Write `entry` and return its ticket. Raises a LedgerError where nothing of it was written."""
        ledger = self._usable()
        try:
            if self._spool or self._lost:
                self._drain(ledger)
            receipt = ledger.append(entry, deadline_s=self.deadline_s)
        except LedgerError as e:
            self._drop_if_broken(ledger, e)
            raise
        with self._cond:
            idle = self._appended <= self._signed
            self._appended = receipt.seq + 1
            if idle:
                self._cond.notify_all()
        return Ticket(self, receipt, durability)

    def spool(self, entry: Redacted) -> None:
        """Keep the entry of a harmless call until the ledger can be written again, if there is room."""
        with self._spool_lock:
            if len(self._spool) < SPOOL:
                self._spool.append(entry)
            else:
                self._lost += 1

    @property
    def unwritten(self) -> int:
        """How many entries are not on the record yet, or never will be."""
        return len(self._spool) + self._lost

    def wait_until(self, seq: int, durability: Durability, deadline_s: float) -> None:
        """Return once the entry at `seq` is flushed or signed. Raises a LedgerError where it isn't in time."""
        with self._cond:
            ledger = self._ledger
            if durability == "signed":
                self._sign_to = max(self._sign_to, seq + 1)
            self._flush_to = max(self._flush_to, seq + 1)
            self._cond.notify_all()

            def reached() -> bool:
                done = self._signed if durability == "signed" else self._flushed
                return done > seq or self._ledger is not ledger

            if not self._cond.wait_for(reached, deadline_s):
                raise LedgerBusy(f"the disk did not take the entry within {deadline_s:g} s")
            if self._ledger is not ledger or ledger is None:
                raise self._last_error or LedgerError("the ledger was closed")

    def close(self) -> None:
        """Flush, sign and close. Raises a LedgerError where the last lines could not be made durable."""
        with self._cond:
            self._closing = True
            self._cond.notify_all()
        self._thread.join(self.deadline_s * 2)
        ledger, self._ledger = self._ledger, None
        if ledger is None:
            if self._last_error is not None:
                raise self._last_error
            return
        if self._thread.is_alive() or self._signed < self._appended:
            raise LedgerBusy("the last entries are written, but were not signed in time")
        for each in (ledger, *self._retired):
            each.close()

    def _usable(self) -> Ledger:
        with self._cond:
            if self._ledger is not None:
                return self._ledger
            if self._closing:
                raise LedgerError("the recorder is closing")
            if self._last_error is not None and time.monotonic() - self._opened_at < RETRY_S:
                raise self._last_error
            self._opened_at = time.monotonic()
            try:
                self._ledger = self._open_ledger()
            except LedgerError as e:
                self._last_error = e
                raise
            self._flushed = self._signed = self._ledger.published
            self._flush_to = self._sign_to = 0
            self._appended = self._ledger.size
            self._last_error = None
            self._cond.notify_all()
            return self._ledger

    def _drop_if_broken(self, ledger: Ledger, error: LedgerError) -> None:
        if ledger.usable:
            return
        with self._cond:
            if self._ledger is ledger:
                self._ledger = None
                self._last_error = error
                self._opened_at = time.monotonic()
                self._retired.append(ledger)
                self._cond.notify_all()

    def _drain(self, ledger: Ledger) -> None:
        """Put on the record that there was a gap, and what the spool kept of it."""
        with self._spool_lock:
            held, lost = len(self._spool), self._lost
            if not held and not lost:
                return
            gap = with_detail(self._gap(), entries_spooled=held, entries_lost=lost)
            ledger.append(gap, deadline_s=self.deadline_s)
            self._lost -= lost
            for _ in range(held):
                ledger.append(self._spool[0], deadline_s=self.deadline_s)
                self._spool.popleft()

    def _commit_forever(self) -> None:
        next_sign = 0.0
        while True:
            with self._cond:
                self._cond.wait_for(lambda: self._closing or self._appended > self._signed)
                pause_s = FLUSH_S if self._appended > self._flushed else max(0.0, next_sign - time.monotonic())
                self._cond.wait_for(lambda: self._closing or self._awaited(), pause_s)
                ledger, closing = self._ledger, self._closing
                sign = "durably" if closing or self._sign_to > self._signed else "lightly"
            if ledger is None:
                if closing:
                    return
                time.sleep(FLUSH_S)
                continue
            try:
                self._mark(ledger, flushed=ledger.flush())
                if sign == "durably" or time.monotonic() >= next_sign:
                    signed = ledger.publish(durable=sign == "durably", deadline_s=self.deadline_s)
                    self._mark(ledger, signed=signed)
                    next_sign = time.monotonic() + SIGN_S
            except LedgerError as e:
                self._drop_if_broken(ledger, e)
                time.sleep(FLUSH_S)  # not a tight loop while a disk is full
            if closing:
                return

    def _awaited(self) -> bool:
        return self._flush_to > self._flushed or self._sign_to > self._signed

    def _mark(self, ledger: Ledger, *, flushed: int = 0, signed: int = 0) -> None:
        with self._cond:
            if self._ledger is ledger:
                self._flushed = max(self._flushed, flushed, signed)
                self._signed = max(self._signed, signed)
                self._cond.notify_all()
