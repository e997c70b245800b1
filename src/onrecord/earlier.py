# SPDX-License-Identifier: Apache-2.0
"""What the earlier calls of this process say of a new one: where it belongs, and whether it was made before.

It gives each attempt its call id, round and correlation id (`rules.links`), its trace where the client sent none
(`rules.trace_context`), and the call that it repeats (`rules.duplicates`). All of it is memory, bounded, and gone
with the process. Threads may share it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any

from onrecord.event.call import Call, Result
from onrecord.event.event import Event
from onrecord.rules.classify import Treatment
from onrecord.rules.duplicates import NEW, Asked, Comparison, Duplicates, asked
from onrecord.rules.links import Links
from onrecord.rules.policy import Verdict
from onrecord.rules.trace_context import traced

WINDOW_S = 600.0  # clients that retry do so within minutes


@dataclass(frozen=True, slots=True)
class Same:
    """What a call was compared by, and what came of it."""

    asked: Asked | None = None
    seen: Comparison = NEW


class Earlier:
    """The calls of one process, as far as later ones have to do with them."""

    def __init__(
        self, *, window_s: float = WINDOW_S, propagates: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """A call is remembered for `window_s`. `propagates` says whether a trace that begins here goes on.

        `clock` counts seconds and never goes back.
        """
        self._propagates = propagates
        self._clock = clock
        self._lock = Lock()
        self._links = Links()
        self._duplicates = Duplicates(window_s)

    def places(self, call: Call, event_id: str, new_call_id: str) -> dict[str, Any]:
        """Return what the attempt `event_id` says of where `call` belongs, by field of the event."""
        with self._lock:
            link = self._links.of(call, new_call_id)
        return {
            "call_id": link.call_id,
            "round": link.round,
            "correlation_id": link.correlation_id,
            **traced(call, link.correlation_id, event_id, propagates=self._propagates),
        }

    def compared(self, call: Call, treatment: Treatment, base: Event) -> tuple[Event, Same]:
        """Return the attempt `base` with what it repeats, and what `settled` is to be told; the call is remembered."""
        same = asked(call, base.call_id, treatment, base.input_hash)
        if same is None:
            return base, Same()
        with self._lock:
            seen = self._duplicates.judge(same, self._clock())
        return seen.on(base), Same(asked=same, seen=seen)

    def settled(self, same: Same, verdict: Verdict) -> Verdict:
        """Return `verdict`, or one that refuses a duplicate. What must not run, or not yet, is forgotten."""
        if same.asked is not None and same.seen.remembered and verdict.refuses:
            with self._lock:
                self._duplicates.forget(same.asked)
        return verdict if verdict.decision == "deny" else same.seen.verdict(verdict)

    def forget(self, call: Call, treatment: Treatment, attempt: Event) -> None:
        """Forget a call that was not made after all: the next one like it repeats nothing."""
        same = asked(call, attempt.call_id, treatment, attempt.input_hash)
        if same is not None:
            with self._lock:
                self._duplicates.forget(same)

    def expect(self, call: Call, attempt: Event, result: Result) -> None:
        """Note the requests that would continue `call`, which ended with `result`."""
        if result.rounds:
            with self._lock:
                self._links.open(call, attempt.call_id, attempt.round, attempt.correlation_id, result.rounds)
