# SPDX-License-Identifier: Apache-2.0
"""`onrecord://policy`: the settings that a client is recorded by, which it may read before it calls.

A read of it is judged, recorded and answered like any other, except that what would go to the server comes here, as if
to a server beside it, which alone answers it. So it is there whatever the server offers, and a resource of the server's
with a URI of our scheme can't be reached. A server's list is as it came, unless settings ask that ours stands in it,
behind the server's last.
"""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread
from typing import cast

import msgspec

from onrecord.doors import protocol, wire
from onrecord.doors.conversation import Conversation
from onrecord.doors.listed import ABOUT_US
from onrecord.doors.metadata import with_item
from onrecord.doors.ways import Ready, Route, Way
from onrecord.doors.wire import Object, Request, Response, is_object
from onrecord.event.call import Call, Json
from onrecord.guard import Guard
from onrecord.recorder import Declared
from onrecord.rules import declaration
from onrecord.rules.called import SCHEME, is_own

URI = f"{SCHEME}//policy"
_TYPE = "application/json"
_ENTRY = msgspec.json.encode(
    {
        "uri": URI,
        "name": "onrecord-policy",
        "title": "OnRecord policy",
        "description": "How calls here are recorded and decided on: retention, redaction, tiers, approvals",
        "mimeType": _TYPE,
    }
).decode()


class OwnResource:
    """The resource of one connection. Threads may share it."""

    def __init__(
        self,
        declared: Declared,
        guard: Guard,
        conversation: Conversation,
        *,
        take: Callable[[bytes, Route], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """`take` is given each answer as one line of a server; `failed` is told of a defect of ours."""
        self._declared = declared
        self._guard = guard
        self._conversation = conversation
        self._take = take
        self.failed = failed

    def route(self, request: Request, route: Route) -> Route:
        """Return the ways of a request of the client: those that it came with, unless it reads what is ours."""
        if request.method != "resources/read" or not is_own(request.method, request.params["uri"]):
            return route
        return Route(route.back, _Here(self, request, route.back), route.sender, own=True)

    def listed(self, request: Request, response: Response, line: bytes) -> bytes:
        """Return the answer to a quiet request: as it came, unless ours is to stand at the end of a list."""
        if request.method != "resources/list" or not self._declared.listed or not is_object(response.result):
            return line
        there = response.result.get("resources")
        if not isinstance(there, list) or response.result.get("nextCursor") is not None:
            return line
        if any(is_object(one) and one.get("uri") == URI for one in cast(list[Json], there)):
            return line
        return with_item(line, "resources", _ENTRY)

    def answer(self, request: Request, back: Way, here: Way) -> None:
        """Answer a read of what is ours, over `back`."""
        self._take(self._line(request), Route(here, back))

    def _line(self, request: Request) -> bytes:
        modern, uri = protocol.is_modern(request.params), request.params["uri"]
        if uri != URI:
            code = wire.INVALID_PARAMS if modern else wire.NO_RESOURCE
            error: Object = {"code": code, "message": "Resource not found", "data": {"uri": uri}}
            return wire.answer_line(request.id, error, error=True)
        result: Object = {"contents": [{"uri": URI, "mimeType": _TYPE, "text": self._text()}]}
        if modern:
            result |= {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
            result["_meta"] = {protocol.SERVER_KEY: ABOUT_US}
        return wire.answer_line(request.id, result)

    def _text(self) -> str:
        names = self._conversation.tool_names()
        calls = [self._call_of(name) for name in names[: declaration.MOST_TOOLS]]
        tools = declaration.tools([(call, self._guard.treatment(call)) for call in calls], len(names))
        return msgspec.json.encode(msgspec.structs.replace(self._declared.content(), tools=tools)).decode()

    def _call_of(self, name: str) -> Call:
        request = Request(id=0, method="tools/call", params={"name": name})
        return self._conversation.call(request, 0, "client_to_server")


@dataclass(frozen=True, slots=True)
class _Here:
    """The way to ourselves, for one request, which is answered over `back`."""

    own: OwnResource
    request: Request
    back: Way

    def send(self, line: bytes | Ready, *, last: bool = False) -> None:
        """Answer; where the record must become durable first, in a thread of its own: readers wait for nothing."""
        if isinstance(line, bytes):
            self.own.answer(self.request, self.back, self)
        else:
            Thread(target=self._await, args=(line,), name="onrecord-own-resource", daemon=True).start()

    def _await(self, ready: Ready) -> None:
        try:
            if ready() is not None:
                self.own.answer(self.request, self.back, self)
        except Exception as e:  # noqa: BLE001  # the top of a thread
            self.own.failed(e)
