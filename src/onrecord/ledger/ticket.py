# SPDX-License-Identifier: Apache-2.0
"""An entry that was written, and the ways to wait until it is as durable as it must be.

A thread that waits sleeps on a lock of its own, so a flush wakes those that it settles and nobody
else. An event loop gives a function instead (`looping.py`). Who flushes is the writer's affair.
"""

from collections.abc import Callable
from threading import Lock
from typing import Protocol

from onrecord.ledger.appending import Durability
from onrecord.ledger.ledger import Ledger
from onrecord.ledger.receipt import Receipt


class Waiter:
    """Somebody who waits for an entry; `wake` is called once, when there is nothing to wait for any more."""

    __slots__ = ("durability", "failed", "ledger", "seq", "wake")

    def __init__(self, ledger: Ledger, seq: int, durability: Durability, wake: Callable[[], object]) -> None:
        self.ledger = ledger
        self.seq = seq
        self.durability = durability
        self.wake = wake
        self.failed = False


class Desk(Protocol):
    """Where those who wait are listed: the writer."""

    deadline_s: float

    def enlist(self, waiter: Waiter) -> bool:
        """Have `waiter` woken when its entry is durable, or cannot be; False says that it is decided already."""
        ...

    def conclude(self, waiter: Waiter, limit_s: float) -> bytes:
        """Return the latest signed note where the waiter's entry is durable. Raises a LedgerError where it isn't."""
        ...


class Ticket:
    """An entry that was written, and the way to wait until it is as durable as it must be."""

    __slots__ = ("_desk", "_ledger", "durability", "receipt")

    def __init__(self, desk: Desk, ledger: Ledger, receipt: Receipt, durability: Durability) -> None:
        self._desk = desk
        self._ledger = ledger
        self.receipt = receipt
        self.durability: Durability = durability

    @property
    def settled(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.durability == "written"

    @property
    def deadline_s(self) -> float:
        """How long a wait may take where nobody says."""
        return self._desk.deadline_s

    def wait(self, deadline_s: float | None = None) -> None:
        """Return once the entry is durable. Raises a LedgerError where it isn't in time, by default the writer's."""
        if self.settled:
            return
        limit_s = self._desk.deadline_s if deadline_s is None else deadline_s
        asleep = Lock()  # one of its own: a flush wakes whom it settles, and nobody else
        asleep.acquire()
        conclude = self.when_settled(asleep.release)
        # in halves: where this process stood still, the thread that flushes did, too, and gets the second one
        if not asleep.acquire(timeout=limit_s / 2):
            asleep.acquire(timeout=limit_s / 2)
        conclude(limit_s)

    def when_settled(self, wake: Callable[[], object]) -> Callable[[float], None]:
        """Have `wake` called, once and in any thread, when there is nothing to wait for any more.

        Returns what is to be called then, or when the limit that it is given, in seconds, has passed: it
        returns where the entry is durable, and raises a LedgerError where it isn't.
        """
        waiter = Waiter(self._ledger, self.receipt.seq, self.durability, wake)
        if self.settled or not self._desk.enlist(waiter):
            wake()

        def conclude(limit_s: float) -> None:
            if not self.settled:
                note = self._desk.conclude(waiter, limit_s)
                if self.durability == "signed":
                    self.receipt.note = note

        return conclude
