# SPDX-License-Identifier: Apache-2.0
"""The official Python SDK, `mcp` 2.x: a middleware that puts what a server is asked on the record, and what it asks.

The middleware sits outermost, but for the one that opens the SDK's own spans, which so cover what is decided. It sees
each request and notification as it came and each result as it goes, in the form in which the SDK sends it
(mcp/server/runner.py, `_serialize`). It does not see what the transport refuses: for that there is `asgi.py`. What a
handler asks of its client by `ctx.session` passes through a session of ours, which is the SDK's own with its two ways
out overridden.

Results are handed back as the very objects that came, and exceptions raised again as they were, unless a policy wants
something else in their place.

What the SDK takes for one connection is its outbound channel: of a stream, from its first message to its last; where
there is none, as since 2026-07-28 over HTTP and in memory, each request stands for itself. The channel is not public
(`ServerSession._connection`); without it each request stands for itself too.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

import anyio.to_thread
import mcp_types as types
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken
from mcp.server.connection import Connection
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.session import ServerSession
from mcp.shared.dispatcher import ProgressFnT
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from onrecord.doors import wire
from onrecord.doors.asgi import SEEN, address_of
from onrecord.doors.callers import Token
from onrecord.doors.conversation import Conversation
from onrecord.doors.framing import answer_line, notice_line, request_line
from onrecord.doors.inside import Inside, Running
from onrecord.doors.passage import Passage
from onrecord.doors.spans import on_span
from onrecord.errors import NotRecorded, OnRecordError
from onrecord.event.call import Raw, Sender
from onrecord.event.event import Event
from onrecord.rules.principal import META_KEY

AGAIN_S = 10.0  # between two times that a server is asked for its tools by us
MOST_PAGES = 100  # of a list of tools

_Context = ServerRequestContext[Any, Any]
_ResultT = TypeVar("_ResultT", bound=BaseModel)


class Recording:
    """A `ServerMiddleware` that records one server. `stop` ends that; the next message would begin it anew."""

    def __init__(self, inside: Inside) -> None:
        self.inside = inside
        self.stop = inside.stop
        self._listed: WeakKeyDictionary[Conversation, float] = WeakKeyDictionary()

    async def __call__(self, ctx: _Context, call_next: CallNext) -> HandlerResult:
        """Record one message, and what comes of it."""
        try:
            running = await self.inside.running()
            running.check()
        except NotRecorded as e:
            raise MCPError(wire.NOT_RECORDED, str(e)) from e
        except OnRecordError as e:
            self.inside.say(f"nothing is recorded, and no message goes through: {e}")
            raise MCPError(wire.NOT_RECORDED, "not recorded, so not run: the recorder cannot start") from None
        if ctx.request is not None:
            ctx.request.scope.get(SEEN, []).append(True)
        sender = _sender(running, ctx)
        passage, conversation, alone = _passage(running, ctx, sender)
        try:
            if ctx.request_id is None:
                return await _notice(passage, ctx, call_next)
            if ctx.method == "tools/call":
                await self._learn(passage, conversation, ctx, call_next)
            return await _Handled(passage, ctx, call_next).result(sender, on_span())
        finally:
            if alone:
                running.done(passage)

    async def _learn(self, passage: Passage, conversation: Conversation, ctx: _Context, call_next: CallNext) -> None:
        """Ask the server for its tools, where the client has not asked before it calls one of them."""
        name, now = (ctx.params or {}).get("name"), time.monotonic()
        known = not isinstance(name, str) or conversation.is_listed(name)
        if known or now < self._listed.get(conversation, 0.0):
            return
        self._listed[conversation] = now + AGAIN_S
        meta = {key: value for key, value in _meta(ctx).items() if key not in ("progressToken", META_KEY)}
        cursor: str | None = None
        for page in range(MOST_PAGES):
            params = {"_meta": meta, **({} if cursor is None else {"cursor": cursor})}
            asked = replace(ctx, method="tools/list", params=params, request_id=f"onrecord-list-{id(ctx):x}-{page}")
            try:
                listed = await _Handled(passage, asked, call_next).result(None)
            except (MCPError, ValidationError):
                return  # as a client would be told; then nothing is known of its tools
            following = _dumped(listed).get("nextCursor")
            if not isinstance(following, str) or following == cursor:
                return
            cursor = following


def put_into(middlewares: list[Any], recording: Recording) -> None:
    """Have `recording` come before all middlewares of a server but the SDK's own for spans, where that is the first."""
    spans = bool(middlewares) and type(middlewares[0]).__name__ == "OpenTelemetryMiddleware"
    middlewares.insert(1 if spans else 0, recording)


class _Handled:
    """One request of a client, and what its handler has made of it."""

    def __init__(self, passage: Passage, ctx: _Context, call_next: CallNext) -> None:
        assert ctx.request_id is not None
        self._passage = passage
        self._ctx = ctx
        self._next = call_next
        self._id = ctx.request_id
        self._line = request_line(self._id, ctx.method, _params(ctx.params))
        self._answer = b""
        self._result: HandlerResult = None
        self._raised: Exception | None = None

    async def result(self, sender: Sender | None, decided: Callable[[Event], None] | None = None) -> HandlerResult:
        """Return what the caller gets. Raises what it is told instead. `decided` gets the attempt of a call."""
        answer = await self._passage.request(
            self._line, self._id, self._forward, ask=self._ask, sender=sender, decided=decided
        )
        if answer is not self._answer:
            return _read(answer)
        if self._raised is not None:
            raise self._raised
        return self._result

    async def _forward(self, line: bytes) -> bytes:
        ctx = self._ctx if line is self._line else _rewritten(self._ctx, line)
        session = _RecordedSession(ctx.session, self._passage, ctx)
        try:
            self._result = await self._next(replace(ctx, session=session))
        except Exception as e:  # noqa: BLE001  # whatever a handler raises is recorded, then raised again
            self._raised = e
            self._answer = answer_line(self._id, _json(_error(e, ctx.protocol_version)), error=True)
            return self._answer
        error = isinstance(self._result, types.ErrorData)  # of a middleware that answers by itself
        self._answer = answer_line(self._id, _json(_dumped(self._result)), error=error)
        return self._answer

    async def _ask(self, question: bytes) -> bytes:
        """Send a question of ours to the client while its request waits, and return the answer."""
        asked = json.loads(question)
        request = types.ElicitRequest.model_validate({"method": asked["method"], "params": asked["params"]})
        about = ServerMessageMetadata(related_request_id=self._ctx.request_id)
        try:
            result = await self._ctx.session.send_request(request, types.ElicitResult, metadata=about)
        except (MCPError, ValidationError) as e:
            return answer_line(asked["id"], _json(_error(e, self._ctx.protocol_version)), error=True)
        return answer_line(asked["id"], _json(_dumped(result)))


class _RecordedSession(ServerSession):
    """A session whose requests and notifications to the client are on the record."""

    def __init__(self, inner: ServerSession, passage: Passage, ctx: _Context) -> None:
        vars(self).update(vars(inner))
        self._passage = passage
        self._token = _meta(ctx).get("progressToken")

    async def send_request(
        self,
        request: types.ServerRequest,
        result_type: type[_ResultT],
        request_read_timeout_seconds: float | None = None,
        metadata: ServerMessageMetadata | None = None,
        progress_callback: ProgressFnT | None = None,
    ) -> _ResultT:
        """Send a request to the client, and return the answer."""
        send = partial(
            super().send_request, request, result_type, request_read_timeout_seconds, metadata, progress_callback
        )
        if self.protocol_version in MODERN_PROTOCOL_VERSIONS:
            return await send()  # which refuses: a server asks by a result
        asked = _Asked(self._passage, request, self.protocol_version)
        answer = await asked.result(send)
        return answer if isinstance(answer, result_type) else result_type.model_validate(answer, by_name=False)

    async def _notify(self, notification: types.ServerNotification, *, request_scoped: bool) -> None:
        data = notification.model_dump(by_alias=True, mode="json", exclude_none=True)
        self._passage.notice(notice_line(data["method"], _params(data.get("params"))), of_client=False)
        await super()._notify(notification, request_scoped=request_scoped)

    async def report_progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        """Report progress to the client."""
        if self._token is not None:
            params = _json({"progressToken": self._token, "progress": progress})
            self._passage.notice(notice_line("notifications/progress", params), of_client=False)
        await super().report_progress(progress, total, message)


class _Asked:
    """One request of the server to its client."""

    def __init__(self, passage: Passage, request: types.ServerRequest, version: str) -> None:
        self._passage = passage
        self._version = version
        self._id = f"onrecord-server-{passage.next_number()}"
        data = request.model_dump(by_alias=True, mode="json", exclude_none=True)
        self._line = request_line(self._id, data["method"], _params(data.get("params")))
        self._answer = b""
        self._result: BaseModel | None = None
        self._raised: Exception | None = None

    async def result(self, send: Any) -> Any:
        """Return what the client answers, as the object that the SDK makes of it, or what replaces it."""

        async def forward(_line: bytes) -> bytes:
            try:
                self._result = await send()
            except Exception as e:  # noqa: BLE001  # as with a handler
                self._raised = e
                self._answer = answer_line(self._id, _json(_error(e, self._version)), error=True)
            else:
                self._answer = answer_line(self._id, _json(_dumped(self._result)))
            return self._answer

        answer = await self._passage.ask(self._line, self._id, forward)
        if answer is not self._answer:
            return _read(answer)
        if self._raised is not None:
            raise self._raised
        return self._result


async def _notice(passage: Passage, ctx: _Context, call_next: CallNext) -> HandlerResult:
    line = notice_line(ctx.method, _params(ctx.params))
    going = passage.notice(line, of_client=True)
    if going is None:
        return None
    ctx = ctx if going is line else _rewritten(ctx, going)
    return await call_next(replace(ctx, session=_RecordedSession(ctx.session, passage, ctx)))


# whose message it is


def _sender(running: Running, ctx: _Context) -> Sender | None:
    """Return who sent a message over HTTP; None for one of this machine."""
    if ctx.request is None:
        return None
    token = get_access_token()
    return running.sender_of(None if token is None else _token(token), address_of(ctx.request.scope))


def _token(token: AccessToken) -> Token:
    issuer = (token.claims or {}).get("iss")
    return Token(
        bearer=Raw(token.token),
        subject=token.subject or "",
        issuer=issuer if isinstance(issuer, str) else "",
        client_id=token.client_id,
        scopes=tuple(token.scopes),
    )


def _passage(running: Running, ctx: _Context, sender: Sender | None) -> tuple[Passage, Conversation, bool]:
    """Return the passage of a message, the conversation it belongs to, and whether it stands for itself."""
    connection: Connection | None = getattr(ctx.session, "_connection", None)
    if connection is not None and connection.has_standalone_channel:
        known = running.kept(connection.outbound)
        if known is None:
            known = running.keep(connection.outbound, running.conversation(local=sender is None))
            if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:  # then the SDK says when it ends
                leave = partial(running.leave, known.passage, "the connection has ended")
                connection.exit_stack.push_async_callback(anyio.to_thread.run_sync, leave)
        return known.passage, known.conversation, False
    conversation = running.here
    if sender is not None:
        conversation = running.callers.of(sender.actor, address=sender.address)
    return running.passage(conversation), conversation, True


# what the SDK has, and what stands on a line


def _meta(ctx: _Context) -> Mapping[str, Any]:
    meta = (ctx.params or {}).get("_meta")
    return cast(Mapping[str, Any], meta) if isinstance(meta, Mapping) else {}


def _rewritten(ctx: _Context, line: bytes) -> _Context:
    """Return `ctx` with the params that go on in place of those that came."""
    params: dict[str, Any] = json.loads(line).get("params", {})
    return replace(ctx, params=params, meta=types.RequestParams.model_validate(params, by_name=False).meta)


def _params(params: Mapping[str, Any] | None) -> bytes | None:
    """Return params as JSON; a number that is not finite stays one, and is refused."""
    return None if params is None else _json(params, finite=False)


def _json(value: object, *, finite: bool = True) -> bytes:
    """Return `value` as the SDK writes it; a lone surrogate, which it can't write, as an escape."""
    try:
        return to_json(value, inf_nan_mode="null" if finite else "constants")
    except (PydanticSerializationError, UnicodeEncodeError):
        return json.dumps(value, default=repr, separators=(",", ":")).encode()


def _dumped(result: HandlerResult) -> dict[str, Any]:
    """Return a result as it stands on the wire (mcp/server/runner.py, `_dump_result`)."""
    if isinstance(result, BaseModel):
        return result.model_dump(by_alias=True, mode="json", exclude_none=True)
    return result or {}


def _error(error: Exception, version: str) -> dict[str, Any]:
    """Return the error that a client is told of an exception (`modern_error_data`, `JSONRPCDispatcher`)."""
    if isinstance(error, MCPError):
        return error.error.model_dump(by_alias=True, mode="json", exclude_none=True)
    if isinstance(error, ValidationError):
        return {"code": wire.INVALID_PARAMS, "message": "Invalid request parameters", "data": ""}
    if version in MODERN_PROTOCOL_VERSIONS:
        return {"code": types.INTERNAL_ERROR, "message": "Internal server error"}
    return {"code": 0, "message": str(error)}


def _read(answer: bytes) -> dict[str, Any]:
    """Return the result that an answer of ours holds. Raises MCPError for an error."""
    message = json.loads(answer)
    if "error" in message:
        error = message["error"]
        raise MCPError(error["code"], error["message"], error.get("data"))
    return message["result"]
