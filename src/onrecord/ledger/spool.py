# SPDX-License-Identifier: Apache-2.0
"""What could not be written yet: a bounded place in memory, and a count of what it could not hold.

Entries of harmless calls, and ends of calls that ran, wait here while the log cannot be written.
They come onto the record behind a `gap` event that says how many they are and how many are lost.
Nothing here survives the process, and nothing decides what may wait.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from threading import Lock

from onrecord.event.redacted import Redacted, with_detail
from onrecord.ledger.appending import Line
from onrecord.ledger.tail import fits

SPOOL = 1_000  # entries; some 2 MB


class Spool:
    """The entries that wait. Threads may share it."""

    def __init__(self, gap: Callable[[], Redacted]) -> None:
        """`gap` makes the event that reports what waited."""
        self._gap = gap
        self._held: deque[Redacted] = deque()
        self._lost = 0
        self._counting = Lock()
        self._draining = Lock()

    def __len__(self) -> int:
        """Return how many entries are not on the record yet, or never will be."""
        return len(self._held) + self._lost

    def add(self, entry: Redacted) -> None:
        """Keep `entry` if there is room for it and a log could ever hold it; count it if not."""
        with self._counting:
            if len(self._held) < SPOOL and fits(entry.body):
                self._held.append(entry)
            else:
                self._lost += 1

    def lose(self) -> None:
        """Count an entry that no log will ever hold."""
        with self._counting:
            self._lost += 1

    def put_back(self, entries: Sequence[Redacted], *, recorded: Collection[str]) -> None:
        """Keep `entries` ahead of the others; forget those whose event id is among the `recorded`."""
        with self._draining, self._counting:
            held = [each for each in (*entries, *self._held) if each.event.event_id not in recorded]
            self._held = deque(held[:SPOOL])
            self._lost += max(0, len(held) - SPOOL)

    def drain(self, ledger: Line, *, deadline_s: float) -> int:
        """Put on the record that there was a gap, and what was kept of it; return the size of the log then.

        What is not written by the deadline, or while another thread is at it, goes on waiting. Raises a
        LedgerError where a line is refused: then nothing is lost, and the gap is reported again.
        """
        if not self or not self._draining.acquire(blocking=False):
            return 0
        try:
            end = time.monotonic() + deadline_s
            with self._counting:
                held, lost = len(self._held), self._lost
            gap = with_detail(self._gap(), entries_spooled=held, entries_lost=lost)
            size = ledger.append(gap, deadline_s=deadline_s).seq + 1
            with self._counting:
                self._lost -= lost
            while held and time.monotonic() < end:
                size = ledger.append(self._held[0], deadline_s=deadline_s).seq + 1
                self._held.popleft()  # nobody else takes from this end
                held -= 1
            return size
        finally:
            self._draining.release()
