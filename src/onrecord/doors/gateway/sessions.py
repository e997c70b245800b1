# SPDX-License-Identifier: Apache-2.0
"""The sessions of one server, up to 2025-11-25: a relay each, by the id that the server has given out.

A session belongs to whoever opened it; to anybody else it does not exist. One that nobody uses ends after a while, and
where there are too many, the one that was not used for longest does. A session of an earlier process is not known
here: its client is told so, and begins another, as the protocol has it.
"""

import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from onrecord.doors.gateway.talk import Talk
from onrecord.event.call import Actor

MOST = 10_000
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

    def begin(self, session_id: str, talk: Talk, actor: Actor) -> list[Session] | None:
        """Keep a session that a server has given out; return what ends by that, None where it is no id of a session."""
        if not _ID.fullmatch(session_id):
            return None
        left = self._known.pop(session_id, None)
        self._known[session_id] = Session(talk, owner_of(actor), self._clock())
        ended = [] if left is None else [left]
        if len(self._known) > MOST:
            ended.append(self._known.popitem(last=False)[1])
        return ended

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
        return self._known.pop(session_id, None)

    def idle(self) -> list[Session]:
        """Forget the sessions that nobody has used for long, and return them."""
        now = self._clock()
        over = [name for name, one in self._known.items() if not one.open and now - one.used_at > IDLE_S]
        return [self._known.pop(name) for name in over]

    def all(self) -> list[Session]:
        """Return all that are known."""
        return list(self._known.values())
