# SPDX-License-Identifier: Apache-2.0
"""The threads that relays share: those in which somebody elsewhere decides on calls, and one that looks at what waits.

A process with one connection has one relay, and one with many has many, of which each may be for one call. So the
threads are counted here, not there. They are started when they are needed, and end when there is nothing to do.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Condition, Lock, Thread

DECIDING = 8  # questions at once about the calls of one connection
OF_MANY = 32  # about those of many
POLL_S = 0.2  # between two looks


class Workers:
    """A few threads for work that waits for somebody elsewhere."""

    def __init__(self, most: int = DECIDING) -> None:
        """There are at most `most` of them."""
        self._most = most
        self._lock = Lock()
        self._queue: deque[Callable[[], None]] = deque()
        self._threads = 0

    def run(self, work: Callable[[], None]) -> None:
        """Have `work` run in one of the threads, in its turn. It must raise nothing."""
        with self._lock:
            self._queue.append(work)
            if self._threads < self._most:
                self._threads += 1
                Thread(target=self._work_on, name="onrecord-deciding", daemon=True).start()

    def _work_on(self) -> None:
        while True:
            with self._lock:
                if not self._queue:
                    self._threads -= 1
                    return
                work = self._queue.popleft()
            work()


class Looker:
    """One thread that looks, again and again, at what waits for something that nobody tells us of."""

    def __init__(self) -> None:
        self._cond = Condition()
        self._old: dict[object, Callable[[], bool]] = {}
        self._new: dict[object, Callable[[], bool]] = {}
        self._woken = False
        self._thread: Thread | None = None

    def watch(self, look: Callable[[], bool]) -> None:
        """Have `look` called at once and then in turns, until it says that nothing waits. It must raise nothing."""
        with self._cond:
            self._new[object()] = look
            if self._thread is None:
                self._thread = Thread(target=self._look_on, name="onrecord-approvals", daemon=True)
                self._thread.start()
            self._cond.notify_all()

    def wake(self) -> None:
        """Look at all of it at once: something was decided."""
        with self._cond:
            self._woken = True
            self._cond.notify_all()

    def _look_on(self) -> None:
        next_s = 0.0
        while (due := self._due(next_s)) is not None:
            looks, all_of_them = due
            for key, look in looks.items():
                if not look():
                    with self._cond:
                        del self._old[key]
            next_s = time.monotonic() + POLL_S if all_of_them else next_s

    def _due(self, next_s: float) -> tuple[dict[object, Callable[[], bool]], bool] | None:
        """Return what is to be looked at once it is, and whether it is all; None where there is nothing left."""
        with self._cond:
            if not self._old and not self._new:
                self._thread = None
                return None
            left_s = next_s - time.monotonic()
            self._cond.wait_for(lambda: self._new or self._woken, max(0.0, left_s))
            all_of_them = self._woken or time.monotonic() >= next_s
            looks, self._new = self._new, {}
            self._old |= looks
            self._woken = self._woken and not all_of_them
            return (dict(self._old), True) if all_of_them else (looks, False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Threads:
    """What one relay, or many, have for it."""

    deciding: Workers = field(default_factory=Workers)
    looking: Looker = field(default_factory=Looker)


def of_many() -> Threads:
    """Return the threads of a process that has many connections."""
    return Threads(deciding=Workers(OF_MANY))
