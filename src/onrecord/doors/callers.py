# SPDX-License-Identifier: Apache-2.0
"""The conversations of one server with those who call it over HTTP, by who that is.

Since 2026-07-28 the protocol has no sessions, and neither a connection nor a process stands for one. What is remembered
from one call to the next, as what suspicious output came before it, is remembered of who calls: the person and the
agent that a verified token names, else the address that it came from; a trace is what anybody says it is.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TypeAlias

from onrecord.doors.conversation import Conversation
from onrecord.doors.definitions import Definitions
from onrecord.event.call import Actor, Raw
from onrecord.event.event import Transport

Caller: TypeAlias = tuple[str, ...]
"""A person and their agent, else an address."""

REMEMBERED = 10_000  # callers; of more, those that have not called for longest are met anew


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Token:
    """An access token that came over HTTP, and what the server's own verifier says of it; "" where it says nothing."""

    bearer: Raw
    subject: str = ""
    issuer: str = ""
    client_id: str = ""
    scopes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "<token>"


def caller(actor: Actor, address: str) -> Caller:
    """Return who calls: `actor`, or where nobody is known, an address."""
    who = (actor.tenant_id, actor.identity_issuer, actor.user_id, actor.agent_id, actor.client_id, *actor.act_chain)
    return ("who", *who) if any(who[2:]) else ("address", address)


class Callers:
    """Those who call one server. Threads may share it."""

    def __init__(
        self, server_id: str, transport: Transport, new_id: Callable[[], str], definitions: Definitions | None
    ) -> None:
        """`definitions` are what the server has told any of them about its tools."""
        self._server = server_id
        self._transport: Transport = transport
        self._new_id = new_id
        self._definitions = definitions
        self._lock = Lock()
        self._known: OrderedDict[Caller, Conversation] = OrderedDict()

    def of(self, actor: Actor, *, address: str) -> Conversation:
        """Return the conversation with `actor`; where nobody is known, that of an address."""
        key = caller(actor, address)
        with self._lock:
            known = self._known.get(key)
            if known is None:
                known = Conversation(actor, self._server, self._transport, self._new_id, self._definitions)
                self._known[key] = known
                if len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)
            else:
                self._known.move_to_end(key)
        return known
