# SPDX-License-Identifier: Apache-2.0
"""What is put on the record of HTTP requests that are turned away, or that a gateway cannot go on with.

Whoever reaches a server can make as many of them as they like. So of one minute some are recorded each by itself,
and of one address fewer; the rest is summed up in one event: how many there were, of which kinds, from how many
addresses. A flood costs the disk what a few clients with a wrong token do, and it does not go unseen.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from msgspec.structs import replace

from onrecord.doors.http_kinds import event_type_of
from onrecord.errors import NoCredentials
from onrecord.event.call import Actor, Sender
from onrecord.event.event import Event, Transport
from onrecord.recorder import Recorder
from onrecord.rules.principal import IDENTITY, PROVEN

if TYPE_CHECKING:
    from onrecord.doors.http_access import TurnedAway  # brings what verifies tokens along, which is an extra

WINDOW_S = 60.0
EACH = 20  # events of one window that stand by themselves
EACH_OF_ONE = 5  # of them, of one address
MOST_ADDRESSES = 1000  # that are told apart in a sum

Later: TypeAlias = Callable[[float, Callable[[], None]], Callable[[], None]]
"""Calls a function after so many seconds, in a thread or a loop of its own; what it returns calls that off."""

Outside: TypeAlias = Mapping[str, str | list[str]]
_NOTHING: Outside = {}


class Refusals:
    """Records what was turned away. Threads may share it; each call may wait for the ledger."""

    def __init__(
        self,
        recorder: Recorder,
        *,
        transport: Transport = "http",
        clock: Callable[[], float] = time.monotonic,
        later: Later | None = None,
    ) -> None:
        self._recorder = recorder
        self._transport: Transport = transport
        self._clock = clock
        self._later = later or _in_a_thread
        self._lock = threading.Lock()
        self._began_s = clock()
        self._by_address: Counter[str] = Counter()  # of what stands by itself
        self._summed: Counter[str] = Counter()
        self._addresses: set[str] = set()  # of what is summed up
        self._call_off: Callable[[], None] | None = None

    def turned_away(self, away: "TurnedAway", peer: str) -> None:
        """Record that a request from the address `peer` was not let in."""
        self._tell(
            replace(
                self._base(away.error_type, away.reason, away.server_id, away.actor),
                client_ip=peer,
                scope_required=away.needed,
                scope_present=away.actor.scopes,
            )
        )

    def without_credentials(self, error: NoCredentials, server_id: str, sender: Sender | None) -> None:
        """Record why there were no credentials for a server; a call that was not made has events of its own."""
        self._tell(self._base("no_credentials", error.why, server_id, Actor() if sender is None else sender.actor))

    def answered(self, kind: str, why: str, what: str, server_id: str, peer: str) -> None:
        """Record that a server in this process turned `what` away, a method and a path from the address `peer`."""
        self._tell(replace(self._base(kind, why, server_id, Actor()), client_ip=peer), {"request": what})

    def close(self) -> None:
        """Record what was only summed up so far."""
        with self._lock:
            sums = self._ended(self._clock())
        self._note(sums)

    def _base(self, kind: str, why: str, server_id: str, actor: Actor) -> Event:
        return Event(
            event_type=event_type_of(kind),
            action="refuse",
            transport=self._transport,
            server_id=server_id,
            policy_decision="deny",
            policy_reason=why,
            result_status="blocked",
            error_type=kind,
            **{name: getattr(actor, name) for name in (*IDENTITY, *PROVEN)},
        )

    def _tell(self, event: Event, outside: Outside = _NOTHING) -> None:
        """Record that something was turned away, which `event` says, and what of it comes `outside`, to be masked."""
        with self._lock:
            now_s, events = self._clock(), list[tuple[Event, Outside]]()
            if now_s - self._began_s >= WINDOW_S:
                events += self._ended(now_s)
            if self._by_address.total() < EACH and self._by_address[event.client_ip] < EACH_OF_ONE:
                self._by_address[event.client_ip] += 1
                events.append((event, outside))
            else:
                self._sum(event, now_s)
        self._note(events)

    def _sum(self, event: Event, now_s: float) -> None:
        self._summed[event.error_type] += 1
        if len(self._addresses) < MOST_ADDRESSES:
            self._addresses.add(event.client_ip)
        if self._call_off is None:
            self._call_off = self._later(max(0.0, self._began_s + WINDOW_S - now_s), self.close)

    def _ended(self, now_s: float) -> list[tuple[Event, Outside]]:
        """End a window; return the event that sums it up, where there is something to sum up. The lock is held."""
        if self._call_off is not None:
            self._call_off()
        seconds, self._began_s, self._call_off = int(now_s - self._began_s), now_s, None
        summed, addresses = dict(self._summed), len(self._addresses)
        self._by_address.clear()
        self._summed.clear()
        self._addresses.clear()
        if not summed:
            return []
        detail = {"count": sum(summed.values()), "seconds": seconds, "addresses": addresses, "kinds": summed}
        event = Event(
            event_type="security",
            action="refusals_summed",
            transport=self._transport,
            policy_decision="deny",
            policy_reason="more requests were turned away than are recorded each by itself",
            result_status="blocked",
            detail=detail,
        )
        return [(event, _NOTHING)]

    def _note(self, events: list[tuple[Event, Outside]]) -> None:
        guard = self._recorder.guard
        for event, outside in events:
            known = replace(event, event_id=guard.new_id(), policy_version=guard.policy_version)
            guard.note(self._recorder.redactor.fact(known, outside))


def _in_a_thread(seconds: float, what: Callable[[], None]) -> Callable[[], None]:
    timer = threading.Timer(seconds, what)
    timer.daemon = True
    timer.start()
    return timer.cancel
