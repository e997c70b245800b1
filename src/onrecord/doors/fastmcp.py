# SPDX-License-Identifier: Apache-2.0
"""FastMCP 2.x, 3.x and 4.x: a middleware of its own kind, and the door of the SDK below it.

What FastMCP hands its middleware is not what is on the wire: errors are exceptions there, results are its own objects,
and what it refuses before it looks for a tool never comes. So a request of the wire is recorded below, by the door of
the SDK that this FastMCP stands on, and the middleware lets it pass. What has no wire, a call by `server.call_tool` in
the process itself, meets the middleware alone, and is recorded there. Each is recorded once: the door below marks its
request, and the middleware takes the mark.

A middleware is not told what server it was added to. Therefore FastMCP's way to the SDK is changed once for the whole
process, where the first middleware is made, so that each connection (2.x, 3.x) or message (4.x) looks whether its
server has one. See docs/decisions/0014.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from fastmcp import FastMCP
from fastmcp.server import low_level
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext

from onrecord.doors.asgi import Around
from onrecord.doors.fastmcp_calls import CALLS, Beside
from onrecord.doors.inside import Inside

Recording: TypeAlias = Any
"""The door of the SDK below: `sdk.Recording`, or `streams.Recording`, only one of which can be imported."""

_MARK: ContextVar[bool] = ContextVar("onrecord_wire", default=False)
"""Whether what is handled is a request of the wire that is recorded, and has not met the middleware yet."""


class Recorded(Middleware):
    """A middleware that puts what its server is asked on the record. The first of several counts."""

    def __init__(self, inside_of: Callable[[str], Inside]) -> None:
        """`inside_of` makes what records a server of that name."""
        self._inside_of = inside_of
        self._recordings: WeakKeyDictionary[object, Recording] = WeakKeyDictionary()
        _fit()

    def recording(self, server: Any) -> Recording:
        """Return the door of a server."""
        known = self._recordings.get(server)
        if known is None:
            known = self._recordings[server] = _door()(self._inside_of(server.name))
        return known

    def stop(self, reason: str = "stopped") -> None:
        """Stop recording; the next message would start it again."""
        for recording in self._recordings.values():
            recording.stop(reason)

    async def __call__(self, context: MiddlewareContext, call_next: CallNext) -> Any:
        """Record a call that came by no wire; let everything else pass."""
        asked = context.fastmcp_context
        if asked is None or context.type != "request" or context.method not in CALLS:
            return await call_next(context)
        if _MARK.get() and asked.request_context is not None:
            _MARK.set(False)  # what its handler calls from now on is another call
            return await call_next(context)
        return await Beside(self.recording(asked.fastmcp).inside, context, call_next).result()


def _door() -> Any:
    if _per_message() is None:
        from onrecord.doors.streams import Recording
    else:
        from onrecord.doors.sdk import Recording
    return Recording


def _per_message() -> Any:
    """Return the class by which FastMCP 4.x takes each message from its SDK, None before that."""
    return getattr(low_level, "FastMCPServerMiddleware", None)


def _fit() -> None:
    """Have each server of this process look for a middleware of ours, if that is not so yet."""
    kind, name = (low_level.LowLevelServer, "run") if _per_message() is None else (_per_message(), "__call__")
    theirs = getattr(kind, name)
    if not hasattr(theirs, "onrecord"):
        ours: Any = _connection(theirs) if _per_message() is None else _message(theirs)
        ours.onrecord = True
        setattr(kind, name, ours)
        FastMCP.http_app = _app(FastMCP.http_app)


def _app(make: Callable[..., Any]) -> Callable[..., Any]:
    """Return what makes the application of a server, with what is around it where the server has a middleware."""

    @wraps(make)
    def made(self: Any, *args: Any, **options: Any) -> Any:
        app, found = make(self, *args, **options), _found(self)
        if found is not None:
            app.add_middleware(Around, found.recording(self).inside)
        return app

    return made


def _connection(run: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @wraps(run)
    async def recorded(self: Any, *streams: Any, **more: Any) -> None:
        found = _found(self.fastmcp)
        if found is None:
            return await run(self, *streams, **more)

        async def marked(*inner: Any, **options: Any) -> None:
            _MARK.set(True)  # each request is handled in a task of its own, which inherits this
            await run(self, *inner, **options)

        return await found.recording(self.fastmcp).around(marked)(*streams, **more)

    return recorded


def _message(handle: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @wraps(handle)
    async def recorded(self: Any, ctx: Any, call_next: Any) -> Any:
        server = self._ref()
        found = None if server is None else _found(server)
        if found is None:
            return await handle(self, ctx, call_next)
        return await found.recording(server)(ctx, partial(_marked, handle, self, call_next))

    return recorded


async def _marked(handle: Callable[..., Awaitable[Any]], self: Any, call_next: Any, ctx: Any) -> Any:
    token = _MARK.set(ctx.request_id is not None)
    try:
        return await handle(self, ctx, call_next)
    finally:
        _MARK.reset(token)


def _found(server: Any) -> Recorded | None:
    return next((one for one in server.middleware if isinstance(one, Recorded)), None)
