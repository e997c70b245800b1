# SPDX-License-Identifier: Apache-2.0
"""Which calls belong together: the rounds of one call, and the calls of one request of the user.

A server that asks for input in between gets the answer in a new request. What links the two is a key that the door
reads from both (`protocol.continues`); it holds for the same person, server and tool, and once. Calls of one request
share a correlation id of ours: they name the same trace, the same request (`audit.corr_id` in baggage) or, within a
session, the same turn of the model. Where a client names none of them, each call is by itself.

Bounded: of what was opened and never came back the oldest is forgotten, and only the link is lost. Nothing here
locks; ids come from the caller.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

from onrecord.event.call import Call
from onrecord.rules.memory import short

REMEMBERED = 10_000  # open rounds, and keys of requests

_Key = tuple[str, ...]
_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Where a request belongs: which call it is part of, which round of it, and of which request of the user."""

    call_id: str
    round: int
    correlation_id: str


class Links:
    """What the calls of one process have in common."""

    __slots__ = ("_correlations", "_rounds")

    def __init__(self) -> None:
        self._rounds: OrderedDict[_Key, Link] = OrderedDict()
        self._correlations: OrderedDict[_Key, str] = OrderedDict()

    def of(self, call: Call, new_id: str) -> Link:
        """Return the link of the call that this request continues, or one of a new call with `new_id`."""
        for key in (call.confirmation.key, *call.rounds) if call.confirmation else call.rounds:
            link = self._rounds.pop(_round(call, key), None)
            if link is not None:
                return link
        keys = _requests(call)
        known = [self._correlations[key] for key in keys if key in self._correlations]
        correlation_id = known[0] if known else new_id
        for key in keys:
            remember(self._correlations, key, correlation_id)
        return Link(call_id=new_id, round=0, correlation_id=correlation_id)

    def open(self, call: Call, call_id: str, number: int, correlation_id: str, rounds: tuple[str, ...]) -> None:
        """Note that a request with one of the keys `rounds` will come after round `number` of `call`."""
        for key in rounds:
            following = Link(call_id=call_id, round=number + 1, correlation_id=correlation_id)
            remember(self._rounds, _round(call, key), following)


def _round(call: Call, key: str) -> _Key:
    at = call.connection
    return (*at.owner, at.server_id, short(call.method), short(call.name), short(key))


def _requests(call: Call) -> list[_Key]:
    """Return what the calls of one request have in common; a trace id is unique by itself, the others need not be."""
    trace, at = call.trace, call.connection
    keys: list[_Key] = []
    if trace.trace_id:
        keys.append(("trace", trace.trace_id))
    if trace.request:
        keys.append(("request", *at.owner, short(trace.request)))
    if trace.turn:
        keys.append(("turn", at.session_id, short(trace.turn)))
    return keys


def remember(table: "OrderedDict[_K, _V]", key: _K, value: _V) -> None:
    """Put `value` into a table that forgets what was put there longest ago."""
    table[key] = value
    table.move_to_end(key)
    if len(table) > REMEMBERED:
        table.popitem(last=False)
