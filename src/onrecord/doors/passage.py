# SPDX-License-Identifier: Apache-2.0
"""Between a handler in this process and the relay: a request as a line goes in, and what its caller gets comes out.

No SDK is known here. An adapter (`sdk.py`) turns what its SDK hands it into lines, and hands over a `forward` that runs
the handler and returns the answer as a line. The relay decides what goes on, when, and what comes back:

    request ─▶ relay ─▶ forward ─▶ relay ─▶ answer
                 │ refused, or the answer to be a question
                 └──────────────────────────▶ answer

The very line that `forward` was to return comes back where nothing was changed in it, so an adapter can hand on what
its handler returned instead of a copy. The handler runs in the task of its request and is cancelled with it. The event
loop is never blocked by what may take a while: what has to be durable first, a policy or keys elsewhere, and a call
that waits for an approval. What takes microseconds is done where it is, as a thread costs more.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from itertools import count
from threading import get_ident
from typing import Literal, TypeAlias

import anyio
import anyio.lowlevel
import anyio.to_thread
import msgspec

from onrecord.doors import framing, wire
from onrecord.doors.annotations import notes_taken
from onrecord.doors.relay import Relay
from onrecord.doors.ways import Kept, Ready, Route
from onrecord.doors.wire import Request
from onrecord.event.call import RequestId, Sender
from onrecord.event.event import Event

THREADS = 64  # in which what has to wait waits: many that wait for the device are settled by one flush

Forward: TypeAlias = Callable[[bytes], Awaitable[bytes]]
"""Makes the request that a line is, and returns the answer to it as a line."""

Ask: TypeAlias = Callable[[bytes], Awaitable[bytes]]
"""Sends a request of ours to who sent the one that waits, and returns the answer as a line."""

_Kind: TypeAlias = Literal["onward", "back", "beside"]
_Item: TypeAlias = bytes | Ready


class Passage:
    """The requests and notifications of one connection, both ways. Used in one event loop."""

    def __init__(
        self, relay: Relay, limiter: anyio.CapacityLimiter, *, waits: bool, untaken: Callable[[str], None]
    ) -> None:
        """`waits` says that deciding on a request may take a while; `limiter` bounds the threads of all passages.

        `untaken` is told why something that a handler added to the record of its call could not be taken.
        """
        self.relay = relay
        self.untaken = untaken
        self._limiter = limiter
        self._waits = waits
        self._numbers = count()

    def next_number(self) -> int:
        """Return the number of another request of the server, where its SDK keeps its own to itself."""
        return next(self._numbers)

    async def request(
        self,
        line: bytes,
        request_id: RequestId,
        forward: Forward,
        *,
        ask: Ask | None = None,
        sender: Sender | None = None,
        decided: Callable[[Event], None] | None = None,
    ) -> bytes:
        """Return the answer to a request of the client; `ask` is for questions of ours, while its request waits.

        `decided` gets the attempt of a call, see `Route`.
        """
        exchange = _Exchange(self, request_id, self.relay.from_client, self.relay.from_server, sender, decided)
        try:
            return await exchange.run(line, forward, ask)
        except anyio.get_cancelled_exc_class():
            await anyio.lowlevel.cancel_shielded_checkpoint()  # for what the client says of why, if it says something
            self.relay.cancel(request_id)
            exchange.end_cancelled()
            raise

    async def ask(self, line: bytes, request_id: RequestId, forward: Forward) -> bytes:
        """Return the client's answer to a request of the server. `forward` sends it, and returns what comes back."""
        exchange = _Exchange(self, request_id, self.relay.from_server, self.relay.from_client, None)
        try:
            return await exchange.run(line, forward, None)
        except anyio.get_cancelled_exc_class():
            about = msgspec.json.encode({"requestId": request_id})
            gone = framing.notice_line("notifications/cancelled", about)
            self.relay.from_server(gone, Route(Kept(), Kept()))
            exchange.end_cancelled()
            raise

    def notice(self, line: bytes, *, of_client: bool) -> bytes | None:
        """Return the notification that is to be handed on, None where none is."""
        onward = Kept()
        take = self.relay.from_client if of_client else self.relay.from_server
        take(line, Route(Kept(), onward))
        return next((one for one in onward.lines if isinstance(one, bytes)), None)

    async def settled(self, item: _Item) -> bytes | None:
        """Return the line that may go now, None where none may."""
        return item if isinstance(item, bytes) else await self.in_thread(item)

    async def in_thread(self, work: Ready) -> bytes | None:
        """Return what `work` returns, whatever becomes of this task meanwhile: it is never left half done."""
        with anyio.CancelScope(shield=True):
            return await anyio.to_thread.run_sync(work, limiter=self._limiter)

    async def hand_over(self, take: Callable[[bytes, Route], None], line: bytes, route: Route) -> None:
        """Have a request judged."""
        if self._waits:
            await self.in_thread(partial(take, line, route))
        else:
            take(line, route)


class _Exchange:
    """One request on its way, and what comes of it from whichever thread."""

    def __init__(
        self,
        passage: Passage,
        request_id: RequestId,
        take: Callable[[bytes, Route], None],
        give_back: Callable[[bytes, Route], None],
        sender: Sender | None,
        decided: Callable[[Event], None] | None = None,
    ) -> None:
        self._passage = passage
        self._id = request_id
        self._take = take
        self._give_back = give_back
        self._sender = sender
        self._decided = decided
        self._loop = asyncio.get_running_loop()
        self._thread = get_ident()
        self._items: deque[tuple[_Kind, _Item]] = deque()
        self._come: anyio.Event | None = None
        self._running: anyio.CancelScope | None = None
        self._open = False

    def put(self, kind: _Kind, item: _Item) -> None:
        """Take what the relay sends."""
        self._items.append((kind, item))
        if get_ident() == self._thread:
            self._wake()
        else:
            with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if self._come is not None:
            self._come.set()
        if self._running is not None and any(kind == "back" for kind, _ in self._items):
            self._running.cancel()  # it was answered in the place of the handler, which took too long

    async def run(self, line: bytes, forward: Forward, ask: Ask | None) -> bytes:
        back, onward = _Sending(self, back=True), _Sending(self, back=False)
        await self._passage.hand_over(self._take, line, Route(back, onward, self._sender, decided=self._decided))
        kind, item = await self._next(ask)
        if kind == "onward":
            going = await self._passage.settled(item)
            if going is not None:
                self._open = True
                await anyio.lowlevel.checkpoint_if_cancelled()
                return await self._made(going, forward)
            _, item = await self._next(None)  # it could not be recorded, and this says so
        answer = await self._passage.settled(item)
        assert answer is not None  # what answers a request is a line
        return answer

    async def _made(self, line: bytes, forward: Forward) -> bytes:
        """Make the request, and return what its caller gets."""
        answer = None
        with notes_taken(self._passage.untaken) as notes, anyio.CancelScope() as self._running:
            answer = await forward(line)
        self._running = None
        given = Kept()
        if answer is not None:
            self._open = False
            told = notes.told()
            self._give_back(answer, Route(Kept(), given, told=told))
        item = given.lines[0] if given.lines else (await self._next(None))[1]
        settled = await self._passage.settled(item)
        assert settled is not None
        return settled

    def end_cancelled(self) -> None:
        """Record that the request has ended, where it was made: nobody waits for its answer."""
        if self._open or any(kind == "onward" for kind, _ in self._items):
            ended = wire.error_line(self._id, wire.SERVER_GONE, "cancelled")
            self._give_back(ended, Route(Kept(), Kept()))

    async def _next(self, ask: Ask | None) -> tuple[_Kind, _Item]:
        """Return what becomes of the request; a question of ours is asked meanwhile."""
        kind, item = await self._come_in()
        if kind != "beside":
            return kind, item
        async with anyio.create_task_group() as tasks:
            while kind == "beside":
                if ask is not None and isinstance(item, bytes) and isinstance(wire.decode(item), Request):
                    tasks.start_soon(self._asked, ask, item)
                kind, item = await self._come_in()
            tasks.cancel_scope.cancel()  # a question that is still open needs no answer any more
        return kind, item

    async def _come_in(self) -> tuple[_Kind, _Item]:
        while not self._items:
            self._come = anyio.Event()
            await self._come.wait()
        return self._items.popleft()

    async def _asked(self, ask: Ask, question: bytes) -> None:
        answer = await ask(question)
        self._passage.relay.from_client(answer, Route(Kept(), Kept(), self._sender))


class _Sending:
    """The way to one side of an exchange."""

    __slots__ = ("_back", "_exchange")

    def __init__(self, exchange: _Exchange, *, back: bool) -> None:
        self._exchange = exchange
        self._back = back

    def send(self, line: bytes | Ready, *, last: bool = False) -> None:
        """Send a line."""
        self._exchange.put("onward" if not self._back else "back" if last else "beside", line)
