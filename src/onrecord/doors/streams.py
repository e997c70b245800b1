# SPDX-License-Identifier: Apache-2.0
"""A server of the older SDK (`mcp` 1.x) in this process, between the streams of its transport and itself.

Every transport of that SDK hands `Server.run` two streams of messages, and nothing reaches the server or its client by
another way. What is here stands between: each message becomes a line for the relay (`relay.py`), and goes on as the
same object where the relay lets the same line go on. What the SDK knows beside a message, such as the HTTP request
that it came with, stays with it.

The transport has parsed the bytes before, so what is judged here is what the server will see: of a key that stood
twice, the last. What could not be parsed is on the record as that, and is handed on as it came, which is an exception.
"""

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream

from onrecord.doors import wire
from onrecord.doors.annotations import Notes, notes_of
from onrecord.doors.asgi import SEEN, address_of
from onrecord.doors.callers import Token
from onrecord.doors.conversation import Conversation
from onrecord.doors.inside import Inside, Running
from onrecord.doors.passage import Passage
from onrecord.doors.post import Post
from onrecord.doors.ways import Ready, Route
from onrecord.errors import MessageRefused, NotRecorded, OnRecordError
from onrecord.event.call import NOTHING, Raw, RequestId, Sender

DRAIN_S = 2.0  # how long what was said last may take to reach a client

Item: TypeAlias = Any
"""What the streams carry: a `SessionMessage`, or the exception that stands for what could not be parsed."""

Inner: TypeAlias = Callable[[ObjectReceiveStream[Item], ObjectSendStream[Item]], Awaitable[None]]
"""Runs the server between the stream that it reads and the one that it writes."""


class Recording:
    """A server of the older SDK that is on the record."""

    def __init__(self, inside: Inside) -> None:
        self.inside = inside
        self.stop = inside.stop

    def attach(self, server: Any) -> None:
        """Have each connection of a low-level server go through here."""
        server.run = self.around(server.run)

    def around(self, run: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """Return what does as `Server.run`, and records."""

        async def recorded(read: Any, write: Any, *options: Any, stateless: bool = False, **more: Any) -> None:
            async def inner(reads: Any, writes: Any) -> None:
                await run(reads, writes, *options, stateless=stateless, **more)

            await Between(self.inside, read, write, stateless=stateless).run(inner)

        recorded.recording = self  # pyright: ignore[reportFunctionMemberAccess]  # so that it is known again
        return recorded


class Between:
    """One connection: what its client and its server say to each other."""

    def __init__(
        self, inside: Inside, read: ObjectReceiveStream[Item], write: ObjectSendStream[Item], *, stateless: bool
    ) -> None:
        """Must be made in the loop of the streams, which it owns. A `stateless` one is for one request over HTTP."""
        self._inside = inside
        self._read, self._write = read, write
        self._stateless = stateless
        self._running: Running | None = None
        self._passage: Passage | None = None
        into, self._server_reads = anyio.create_memory_object_stream[Item](0)
        self._server_writes, self._out_of = anyio.create_memory_object_stream[Item](0)
        self._to_server, self._to_client = Post(into), Post(write)
        self._notes: dict[RequestId, Notes] = {}  # of the requests that the server works on

    async def run(self, inner: Inner) -> None:
        """Have `inner` run the server, and carry messages until it ends."""
        said_all, told_all = anyio.Event(), anyio.Event()
        async with self._read, self._write, anyio.create_task_group() as tasks:
            tasks.start_soon(self._to_server.work)
            tasks.start_soon(_then, self._to_client.work, told_all)
            tasks.start_soon(self._up)
            tasks.start_soon(_then, self._down, said_all)
            try:
                with notes_of(self._notes_taken):  # which the task of each request inherits
                    await inner(self._server_reads, self._server_writes)
            finally:
                with anyio.move_on_after(DRAIN_S, shield=True):
                    await self._server_writes.aclose()
                    await said_all.wait()
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(self._end)
                self._to_client.close()
                with anyio.move_on_after(DRAIN_S, shield=True):
                    await told_all.wait()
                tasks.cancel_scope.cancel()

    async def _up(self) -> None:
        """Carry what the client says, until it is gone."""
        with suppress(anyio.ClosedResourceError):  # a transport may end a session by closing what we read
            async for item in self._read:
                try:
                    await self._from_client(item)
                except OnRecordError as e:
                    self._turn_away(item, e)
                await self._to_server.pass_on()
                await self._to_client.room()
        if self._passage is not None:
            await anyio.to_thread.run_sync(self._passage.relay.client_gone)
        self._to_server.close()

    async def _from_client(self, item: Item) -> None:
        """Carry one message of the client. Raises OnRecordError where nothing can be recorded."""
        if isinstance(item, Exception):
            nowhere, refusal = _Nowhere(), MessageRefused("it cannot be read as JSON-RPC", wire.PARSE_ERROR)
            passage, _ = await self._met(b"", None)
            passage.relay.refuse(refusal, 0, Route(nowhere, nowhere))
            self._to_server.put(item)  # of which the SDK tells the client that something was wrong
            return
        line, request = line_of(item), getattr(item.metadata, "request_context", None)
        if request is not None:
            request.scope.get(SEEN, []).append(True)
        passage, sender = await self._met(line, request)
        if is_request(item):
            self._notes[item.message.root.id] = Notes(passage.untaken)
        back, onward = _Way(self._to_client, _Back(item)), _Way(self._to_server, _Onward(item, line))
        await passage.hand_over(passage.relay.from_client, line, Route(back, onward, sender))

    def _turn_away(self, item: Item, error: OnRecordError) -> None:
        """Answer what cannot be recorded, and keep it from the server."""
        if is_request(item):
            why = str(error) if isinstance(error, NotRecorded) else f"not recorded, so not run: {error}"
            self._to_client.put(_Back(item)(wire.error_line(item.message.root.id, wire.NOT_RECORDED, why)))

    async def _down(self) -> None:
        """Carry what the server says, until it has ended.

        Nothing waits here for the server to read: it may do so only once what it says is taken.
        """
        async for item in self._out_of:
            line = line_of(item)
            back, onward = _Way(self._to_server, _Back(item)), _Way(self._to_client, _Onward(item, line))
            try:
                passage, _ = await self._met(line, None)
                await passage.hand_over(passage.relay.from_server, line, Route(back, onward, told=self._told(item)))
            except OnRecordError:
                continue  # a server that speaks first, and nothing can be recorded
            await self._to_client.pass_on()

    async def _met(self, line: bytes, request: Any) -> tuple[Passage, Sender | None]:
        """Return the passage of this connection, and who sent a message with an HTTP request, None where with none.

        Raises OnRecordError where nothing can be recorded.
        """
        running = self._running or await self._inside.running()
        running.check()
        self._running = running
        sender = None if request is None else running.sender_of(_token(request), address_of(request.scope))
        if self._passage is None:
            self._passage = running.passage(self._conversation(running, sender))
        return self._passage, sender

    def _notes_taken(self) -> Notes | None:
        """Return the notes of the request that is handled here, None where none is."""
        from mcp.server.lowlevel import server  # of the older line

        request: Any = getattr(server, "request_ctx").get(None)  # noqa: B009
        return None if request is None else self._notes.get(request.request_id)

    def _told(self, item: Item) -> Raw:
        """Return what the handler of a request has added to its record, where `item` is the answer to it."""
        root = item.message.root
        notes = None if hasattr(root, "method") else self._notes.pop(root.id, None)
        return NOTHING if notes is None else notes.told()

    def _conversation(self, running: Running, sender: Sender | None) -> Conversation:
        if sender is None or not self._stateless:
            return running.conversation(local=sender is None)
        return running.callers.of(sender.actor, address=sender.address)

    def _end(self) -> None:
        """Close what is open. Waits for decisions that are being made."""
        if self._running is not None and self._passage is not None:
            why = "the server ended before it answered; whether the call took effect is unknown, do not retry"
            if self._stateless:
                self._passage.relay.finish(why)
                self._running.done(self._passage)
            else:
                self._running.leave(self._passage, why)


def _token(request: Any) -> Token | None:
    """Return the token that the SDK has verified of an HTTP request, None where it was not asked to."""
    access: Any = getattr(request.scope.get("user"), "access_token", None)
    if access is None:
        return None
    issuer: object = dict[str, object](access.claims or {}).get("iss")
    return Token(
        bearer=Raw(access.token),
        subject=access.subject or "",
        issuer=issuer if isinstance(issuer, str) else "",
        client_id=access.client_id,
        scopes=tuple(access.scopes),
    )


async def _then(work: Callable[[], Awaitable[None]], done: anyio.Event) -> None:
    try:
        await work()
    finally:
        done.set()


class _Way:
    """The way of one message to one peer: lines become messages of the SDK."""

    def __init__(self, post: Post[Item], pack: "_Back | _Onward") -> None:
        self._post = post
        self._pack = pack

    def send(self, line: bytes | Ready, *, last: bool = False) -> None:
        """Send a line after those before it."""
        if not isinstance(line, bytes):
            self._post.put_later(partial(self._packed, line))
        else:
            self._post.put(self._pack(line))

    def _packed(self, ready: Ready) -> Item | None:
        line = ready()
        return None if line is None else self._pack(line)


class _Nowhere:
    """The way of an answer to nobody."""

    def send(self, line: bytes | Ready, *, last: bool = False) -> None:
        """Send nothing."""


@dataclass(frozen=True, slots=True)
class _Onward:
    """Makes of a line what goes on in the place of `came`: itself, where it is the line that came."""

    came: Item
    line: bytes

    def __call__(self, line: bytes) -> Item:
        if line is self.line:
            return self.came
        return replace(self.came, message=_message(self.came, line))


@dataclass(frozen=True, slots=True)
class _Back:
    """Makes of a line what goes to who sent `came`: an answer to it, or what is asked about it.

    An answer to a request whose id cannot be told has none here: the SDK leaves out what is null.
    """

    came: Item

    def __call__(self, line: bytes) -> Item:
        value = json.loads(line)
        if value.get("id", "") is None:
            return replace(self.came, message=_without_id(self.came, value["error"]), metadata=None)
        beside = None
        if "method" in value:  # over HTTP, by the stream of the request that it is about
            from mcp.shared.message import ServerMessageMetadata

            beside = ServerMessageMetadata(related_request_id=self.came.message.root.id)
        return replace(self.came, message=_message(self.came, line), metadata=beside)


def _message(like: Item, line: bytes) -> Any:
    return like.message.__class__.model_validate_json(line)


def _without_id(like: Item, error: Any) -> Any:
    from mcp.types import ErrorData, JSONRPCError

    return like.message.__class__(JSONRPCError.model_construct(jsonrpc="2.0", id=None, error=ErrorData(**error)))


def is_request(item: Item) -> bool:
    """Say whether what a stream carries is a request."""
    root: Any = None if isinstance(item, Exception) else item.message.root
    return hasattr(root, "id") and hasattr(root, "method")


def line_of(item: Item) -> bytes:
    """Return a message as a line: the values that the SDK's own session reads from it, written so that none is lost."""
    value = item.message.model_dump(by_alias=True, mode="json", exclude_none=True)
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
