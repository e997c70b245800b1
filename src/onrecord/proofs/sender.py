# SPDX-License-Identifier: Apache-2.0
"""Carries requests for approval to the service that decides, beside the door, and brings back what it has signed.

One thread asks about one request after the other, and lives only while something is open. A request is asked about
until it is decided, is over, or the service wants no more; where it cannot be reached, again and again, less and less
often. No caller waits for it. What ends with the process stands in the store: it is asked about by hand then
(`onrecord approvals send`), and a decision comes in by hand (`submit`).
"""

import heapq
import itertools
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Condition, Thread

from onrecord.proofs.webhook import Heard

MOST = 1_000  # requests at a time, as many as the store takes
MOST_DECISIONS = 64  # on one of them; who has sent so many is asked no more
LONGEST_PAUSE_S = 60.0  # of a service that cannot be reached


@dataclass(slots=True, kw_only=True)
class _Asked:
    """One request: what is sent, how often that failed in a row, and the decisions that were brought back before."""

    approval_id: str
    body: bytes
    failed: int = 0
    told: bool = False
    seen: set[str] = field(default_factory=set[str])


class Sender:
    """Asks one service. Threads may share it."""

    def __init__(
        self,
        ask: Callable[[str, bytes], Heard],
        *,
        is_open: Callable[[str], bool],
        take: Callable[[str, str], bool],
        fail: Callable[[str, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`is_open` says whether an approval still waits for a decision.

        `take` gets its id and a signed decision, and says whether that is settled; what isn't is brought again. `fail`
        gets the id, and why it could not be asked about, once for each request. None of the three may raise, and each
        may take its time. `clock` counts seconds and never goes back.
        """
        self._ask = ask
        self._is_open = is_open
        self._take = take
        self._fail = fail
        self._clock = clock
        self._changed = Condition()
        self._due: list[tuple[float, int, _Asked]] = []
        self._order = itertools.count()
        self._ids: set[str] = set()
        self._runs = False
        self._closed = False

    def put(self, approval_id: str, body: bytes) -> None:
        """Begin to ask about an approval, unless that is done already. Returns at once."""
        with self._changed:
            if self._closed or approval_id in self._ids or len(self._ids) >= MOST:
                return
            self._ids.add(approval_id)
            self._push(_Asked(approval_id=approval_id, body=body), 0.0)
            if not self._runs:
                with suppress(RuntimeError):  # no thread can be had now: the next request tries again
                    Thread(target=self._run, name="onrecord-webhook", daemon=True).start()
                    self._runs = True
            self._changed.notify()

    def close(self) -> None:
        """Ask no more. Returns at once; a question that is under way ends by itself."""
        with self._changed:
            self._closed = True
            self._due.clear()
            self._changed.notify()

    def _push(self, asked: _Asked, pause_s: float) -> None:
        heapq.heappush(self._due, (self._clock() + pause_s, next(self._order), asked))

    def _run(self) -> None:
        while (asked := self._next()) is not None:
            pause_s = self._once(asked)
            with self._changed:
                if pause_s is None or self._closed:
                    self._ids.discard(asked.approval_id)
                else:
                    self._push(asked, pause_s)

    def _next(self) -> _Asked | None:
        """Wait for the next request that is due; None where there is none left, and this thread ends."""
        with self._changed:
            while self._due:
                left_s = self._due[0][0] - self._clock()
                if left_s <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(left_s)
            self._runs = False
            return None

    def _once(self, asked: _Asked) -> float | None:
        """Ask about one request, and return how long to wait before the next time, None where there is none."""
        if not self._is_open(asked.approval_id):
            return None
        heard = self._ask(asked.approval_id, asked.body)
        for token in heard.tokens:
            if token not in asked.seen and self._take(asked.approval_id, token):
                asked.seen.add(token)  # it may well say again what it has said
        if heard.why and not asked.told:
            asked.told = True
            self._fail(asked.approval_id, heard.why)
        if heard.again_s is None or len(asked.seen) >= MOST_DECISIONS:
            return None
        asked.failed = asked.failed + 1 if heard.why else 0
        return backed_off(heard.again_s, asked.failed)


def backed_off(pause_s: float, failed: int) -> float:
    """Return how long to wait after so many failures in a row: twice as long each time, up to a minute."""
    doubled = pause_s * 2.0 ** max(0, min(failed, 16) - 1)
    return max(pause_s, min(doubled, LONGEST_PAUSE_S))
