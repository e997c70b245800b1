# SPDX-License-Identifier: Apache-2.0
"""Calls that are being decided on by somebody elsewhere, beside the thread that reads, so that others go on meanwhile.

Calls may overtake each other here, which the protocol lets them. What belongs to one call stays in order: what comes
while it is decided on wins over the decision. In which threads, `threads.py` says.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition
from typing import Generic, TypeAlias, TypeVar

from onrecord.doors.threads import Workers
from onrecord.event.call import Direction, RequestId
from onrecord.event.event import ResultStatus

DRAIN_S = 10.0  # a decision and its record each have a shorter deadline of their own

Key: TypeAlias = tuple[Direction, RequestId]

_T = TypeVar("_T")


@dataclass(slots=True, eq=False)
class _Work(Generic[_T]):
    key: Key
    decide: Callable[[], _T]
    then: Callable[[_T, ResultStatus], None]
    ended_as: ResultStatus = ""


class Deciding(Generic[_T]):
    """The calls of one connection that are being decided on."""

    def __init__(self, workers: Workers, failed: Callable[[Exception], None]) -> None:
        """`workers` decide; `failed` is told of a defect of ours in one of the threads."""
        self._workers = workers
        self._failed = failed
        self._cond = Condition()
        self._works: dict[Key, _Work[_T]] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._works

    def __bool__(self) -> bool:
        return bool(self._works)

    def run(self, key: Key, decide: Callable[[], _T], then: Callable[[_T, ResultStatus], None]) -> None:
        """Have `decide` run in one of the threads, and `then` with what came of it.

        `then` must not wait. It is told how the call has ended meanwhile, if it has; until it returns, nothing more
        happens to the call.
        """
        work = _Work(key, decide, then)
        with self._cond:
            self._works[key] = work
        self._workers.run(lambda: self._decide(work))

    def cancel(self, direction: Direction, request_id: RequestId, status: ResultStatus) -> bool:
        """End a call as `status`, and say whether it is being decided on."""
        with self._cond:
            work = self._works.get((direction, request_id))
            if work is not None:
                work.ended_as = work.ended_as or status
            return work is not None

    def drain(self, status: ResultStatus = "") -> None:
        """Wait until nothing is being decided on, with a limit; with a `status`, what is ends as that."""
        deadline = time.monotonic() + DRAIN_S
        with self._cond:
            for work in self._works.values():
                work.ended_as = work.ended_as or status
            self._cond.wait_for(lambda: not self._works, max(0.0, deadline - time.monotonic()))

    def _decide(self, work: _Work[_T]) -> None:
        try:
            given = work.decide()
            with self._cond:
                if self._works.get(work.key) is work:
                    del self._works[work.key]
                self._cond.notify_all()
                work.then(given, work.ended_as)
        except Exception as e:  # noqa: BLE001  # the top of what a thread does
            self._failed(e)
