# SPDX-License-Identifier: Apache-2.0
"""The sessions of one server, up to 2025-11-25: a relay each, by the id that the server has given out.

A session belongs to whoever opened it; to anybody else it does not exist. One that nobody uses ends after a while, and
where one caller has too many, or all have, the least lately used of these does, unless something is open in it. A
session of an earlier process is not known here: its client is told so, and begins another, as the protocol has it.
"""

import re
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from onrecord.doors.gateway.talk import Talk
from onrecord.event.call import Actor

MOST, MOST_OF_ONE = 10_000, 1_000
IDLE_S = 3600.0

_ID = re.compile(r"[\x21-\x7E]{1,1024}")  # MCP 2025-11-25: visible ASCII


@dataclass(slots=True)
class Session:
    """One session: its relay, whose it is, and how many exchanges use it now."""

    talk: Talk
    owner: tuple[str, ...]
    used_at: float
    open: int = 0


def owner_of(actor: Actor) -> tuple[str, ...]:
    """Return who may use a session that `actor` opens."""
    known = (actor.user_id, actor.agent_id, actor.client_id)
    return (actor.tenant_id, actor.identity_issuer, *known, *actor.act_chain)


class Sessions:
    """The sessions of one server. For the event loop's thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[str, Session] = OrderedDict()
        self._many: Counter[tuple[str, ...]] = Counter()  # sessions, by owner

    def begin(self, session_id: str, talk: Talk, actor: Actor) -> list[Session] | None:
        """Keep a session that a server has given out; return what ends by that, None where it is no id of a session."""
        if not _ID.fullmatch(session_id):
            return None
        left, owner = self.end(session_id), owner_of(actor)
        self._known[session_id] = Session(talk, owner, self._clock())
        self._many[owner] += 1
        ended = [] if left is None else [left]
        return [*ended, *self._crowded_out(owner)]

    def _crowded_out(self, owner: tuple[str, ...]) -> list[Session]:
        """Forget a session where there is one too many, and return it: one of `owner` where that is whose are."""
        of_one = self._many[owner] > MOST_OF_ONE
        if not of_one and len(self._known) <= MOST:
            return []
        names = [name for name, one in self._known.items() if one.owner == owner or not of_one]
        gone = self.end(next((name for name in names if not self._known[name].open), names[0]))
        return [] if gone is None else [gone]

    def of(self, session_id: str, actor: Actor) -> Session | None:
        """Return a session of `actor`, None where there is none of that id."""
        found = self._known.get(session_id)
        if found is None or found.owner != owner_of(actor):
            return None
        found.used_at = self._clock()
        self._known.move_to_end(session_id)
        return found

    def end(self, session_id: str) -> Session | None:
        """Forget a session, and return it."""
        gone = self._known.pop(session_id, None)
        if gone is not None:
            self._many[gone.owner] -= 1
            if not self._many[gone.owner]:
                del self._many[gone.owner]
        return gone

    def idle(self) -> list[Session]:
        """Forget the sessions that nobody has used for long, and return them."""
        now = self._clock()
        over = [name for name, one in self._known.items() if not one.open and now - one.used_at > IDLE_S]
        return [one for one in map(self.end, over) if one is not None]

    def all(self) -> list[Session]:
        """Return all that are known."""
        return list(self._known.values())
