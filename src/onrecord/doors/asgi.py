# SPDX-License-Identifier: Apache-2.0
"""Around the ASGI application of a server: what is turned away before the SDK's middleware could see it.

A request without a good token (401, 403), one that is meant for no handler (400, 404, 405, 406, 413, 415, 421), and one
whose client went before it was answered are on the record, with the address that they came from. The event is
written before the answer goes out. What passes is handed on as it comes, chunk by chunk, and nothing is added to it;
what the SDK's middleware has seen is recorded there.

The end of the application's lifespan is that of the recorder: some servers end their process by a signal after it.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import partial
from typing import Any, TypeAlias

import anyio
import anyio.to_thread

from onrecord.doors.http_kinds import kind_of
from onrecord.doors.inside import Inside
from onrecord.errors import OnRecordError

SEEN = "onrecord.seen"  # in a scope: a list, empty until the SDK's middleware has seen a message of the request

_WHY = {
    400: "it is no message that the server can read, or its headers contradict it",
    401: "it came without a token that the server takes",
    403: "its token or its origin does not allow it",
    404: "its session is not known, or not its sender's",
    405: "the server does not take this HTTP method",
    406: "it does not accept what the server would answer",
    413: "it is larger than the server takes",
    415: "its content type is not what the server takes",
    421: "it names another host than the server's",
}

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


def address_of(scope: Mapping[str, Any]) -> str:
    """Return where a request comes from, "" where its server does not say."""
    return (scope.get("client") or ("",))[0]


class Around:
    """An ASGI application around that of a server."""

    def __init__(self, app: App, inside: Inside) -> None:
        self._app = app
        self._inside = inside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the life of the application."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] == "http":
            await _Request(self._inside, scope, receive, send).serve(self._app)
        else:
            await self._app(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def say(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown."):  # who hears it may end the process
                await self._stop()
            await send(message)

        try:
            await self._app(scope, receive, say)
        finally:
            await self._stop()

    async def _stop(self) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._inside.stop)


class _Request:
    """One HTTP request on its way through."""

    def __init__(self, inside: Inside, scope: Scope, receive: Receive, send: Send) -> None:
        self._inside = inside
        self._seen: list[bool] = []
        self._scope: dict[str, Any] = {**scope, SEEN: self._seen}
        self._receive = receive
        self._send = send
        self._status = 0
        self._gone = False

    async def serve(self, app: App) -> None:
        try:
            await app(self._scope, self._hear, self._say)
        finally:
            if self._gone and not self._status and not self._seen:
                with anyio.CancelScope(shield=True):
                    await self._tell("closed", "its client went before it was answered")

    async def _hear(self) -> Message:
        message = await self._receive()
        self._gone = self._gone or message["type"] == "http.disconnect"
        return message

    async def _say(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            if self._status in _WHY and not self._seen and (self._status != 404 or self._speaks_mcp()):
                kind = kind_of(self._status, self._scope["headers"], message.get("headers", ()))
                await self._tell(kind, _WHY[self._status])
        await self._send(message)

    def _speaks_mcp(self) -> bool:
        return any(name in (b"mcp-session-id", b"mcp-protocol-version") for name, _ in self._scope["headers"])

    async def _tell(self, kind: str, why: str) -> None:
        what = f"{self._scope['method']} {self._scope['path']}"
        tell = partial(self._inside.turned_away, kind, why, what, address_of(self._scope))
        try:
            await anyio.to_thread.run_sync(tell)
        except OnRecordError as e:
            self._inside.say(f"a request that was turned away is not on the record: {e}")
