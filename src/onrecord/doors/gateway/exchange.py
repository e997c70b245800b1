# SPDX-License-Identifier: Apache-2.0
"""One POST, from its message to the last byte of its answer. How it goes is drawn in `__init__.py`.

What goes on to the server is what the relay hands on; what the client hears is what the relay hands back, in that
order. The server's answer is read beside that, each message of it judged as it comes; reading waits where the client
takes it slowly, so that an exchange holds one message, not a whole answer.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from onrecord.doors import wire
from onrecord.doors.gateway.agreement import SESSION, is_modern, value_of
from onrecord.doors.gateway.inbox import Inbox, Item, ToClient, ToServer
from onrecord.doors.gateway.reach import Reach
from onrecord.doors.gateway.reply import Reply
from onrecord.doors.gateway.talk import Talk
from onrecord.doors.gateway.telling import Telling
from onrecord.doors.gateway.upstream import EVENTS, GONE, JSON, Answered, Upstream, UpstreamFailed, late
from onrecord.doors.http_fields import Field, passed_back
from onrecord.doors.protocol import is_brief
from onrecord.doors.ways import Route
from onrecord.doors.wire import Message, Request
from onrecord.errors import MessageRefused
from onrecord.event.call import Outcome, Sender

HOLD_S = 0.5  # without an answer or a request to the server, a call waits for a person, and its client is told
PING_S = 15.0
LINGER_S = 1.0  # for a server to end its stream after the answer, so that the connection can be used again

_OURS: Final = frozenset({401, 403, 407})  # statuses that are about the gateway's credentials, not the client's


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A message that came in, whole, and what goes on with it."""

    message: Message
    line: bytes
    fields: list[Field]
    sender: Sender


class Exchange:
    """One message of a client, and what comes of it."""

    def __init__(
        self,
        asked: Asked,
        talk: Talk,
        upstream: Upstream,
        reach: Reach,
        reply: Reply,
        *,
        longest: int,
        within_s: float,
        one_off: bool,
        opened: Callable[[Answered], Awaitable[bool]],
    ) -> None:
        """`within_s` is for what no relay looks after: all but calls, and what asks for news without end.

        `one_off` says that the relay is for this exchange alone; `opened` is told how the answer begins,
        and says whether the relay is kept from then on."""
        self._asked = asked
        self._talk = talk
        self._upstream = upstream
        self._reach = reach
        self._reply = reply
        self._one_off = one_off
        self._opened = opened
        self._inbox = Inbox()
        decided = partial(talk.brevity.hear, asked.message) if isinstance(asked.message, Request) else None
        self._route = Route(ToClient(self._inbox), ToServer(self._inbox), asked.sender, decided=decided)
        self._brief = brief = talk.brevity.of(asked.message)
        self._telling = Telling(
            *(talk, upstream, self._inbox, asked.fields, asked.sender),
            longest=longest,
            within_s=within_s,
            brief=brief,
        )
        self._longest = longest
        self._carrying: asyncio.Task[None] | None = None
        self._wants_answer = isinstance(asked.message, Request)
        looked_after = isinstance(asked.message, Request) and not is_brief(asked.message.method)
        self._within_s = None if looked_after else within_s

    async def run(self) -> None:
        """Go from the message to the end of its answer."""
        reply = self._reply
        try:
            await self._judge()
            reply.watch(self._inbox.wake)
            await self._pass_all()
            if self._carrying is not None and self._carrying.done() and (defect := self._carrying.exception()):
                raise defect
            if not reply.ended:
                await reply.end()
        finally:
            reply.close()
            self._let_go()
            if self._one_off and not self._talk.relay.is_idle:
                await self._close()

    async def _judge(self) -> None:
        asked, relay = self._asked, self._talk.relay
        if not self._wants_answer:
            self._reply.begins(202, [])
        try:
            await self._talk.from_client(asked.message, asked.line, self._route, brief=self._brief)
        except MessageRefused as e:
            self._reply.begins(400, [])
            await self._talk.pool.run(relay.refuse, e, len(asked.line), self._route)

    async def _close(self) -> None:
        """Close what is open, once what the server said is judged to its end."""
        relay, message = self._talk.relay, self._asked.message
        if self._carrying is not None:
            await asyncio.wait([self._carrying], timeout=LINGER_S)
        if self._reply.gone and isinstance(message, Request):
            await self._talk.pool.run(relay.cancel, message.id)
        await self._talk.pool.run(relay.finish, GONE)

    # what the client hears

    async def _pass_all(self) -> None:
        """Hand on what the relay hands out, until the answer is out, or none will come."""
        began = time.monotonic()
        while not self._reply.ended:
            item = self._inbox.take()
            if item is not None:
                await self._pass(item)
            elif (self._carrying.done() if self._carrying else not self._wants_answer) or await self._is_left():
                break
            elif not await self._inbox.wait(self._patience(began)) and self._may_ping():
                await self._reply.ping()

    def _patience(self, began: float) -> float:
        """Return how long nothing may be said to the client."""
        if self._reply.started or self._carrying is not None or not self._reply.can_stream:
            return PING_S
        return max(0.0, began + HOLD_S - time.monotonic())

    def _may_ping(self) -> bool:
        """Say whether the client may be told that its request is worked on: not while the server's answer may begin."""
        return self._reply.can_stream and (self._reply.started or self._carrying is None)

    async def _pass(self, item: Item) -> None:
        if item.line is None:
            await self._reply.frame(b"" if item.frame is None else item.frame.raw)
            return
        line = item.line if isinstance(item.line, bytes) else await self._talk.pool.run(item.line)
        if line is None:
            return
        if item.onward:
            self._carrying = asyncio.create_task(self._carry(line))
            self._carrying.add_done_callback(lambda _: self._inbox.wake())
        else:
            await self._reply.line(line, item.frame, last=item.last)

    async def _is_left(self) -> bool:
        """Say whether the client is gone, and with it the reason to go on.

        Up to 2025-11-25 a client that is gone has cancelled nothing; what waits for a person then waits for nobody.
        """
        message = self._asked.message
        if self._reply.stopped:
            return True
        if not self._reply.gone or not isinstance(message, Request):
            return False
        if is_modern(message):
            return True
        if self._carrying is None:
            await self._talk.pool.run(self._talk.relay.cancel, message.id)
            return True
        return False

    # what the server says

    async def _carry(self, line: bytes) -> None:
        """Send the request on, and judge what comes back."""
        asked = self._asked
        try:
            async with (
                asyncio.timeout(self._within_s),
                self._upstream.asked("POST", asked.fields, asked.sender, line) as answer,
            ):
                self._one_off = self._one_off and not await self._opened(answer)
                await self._take(answer)
        except TimeoutError:
            await self._fail(late(self._within_s or 0.0))
        except UpstreamFailed as e:
            await self._fail(e)

    async def _take(self, answer: Answered) -> None:
        fields = passed_back(answer.fields)
        if answer.kind == EVENTS and answer.status == 200:
            self._reply.begins(200, fields, stream=True)
            await self._reach.answered()
            resumable = await self._telling.stream(answer)
            if self._wants_answer and not self._inbox.answered and not (resumable and not self._one_off):
                raise UpstreamFailed(GONE, error_type="server_exited")
            return
        body = await answer.whole(self._longest)
        status = 502 if answer.status in _OURS else answer.status
        if answer.kind == JSON and not body.isspace() and body:
            self._reply.begins(status, fields)
            await self._telling.message(body)
        elif not self._wants_answer and answer.status < 300:
            self._reply.begins(status, [])
        if not self._inbox.answered and (self._wants_answer or answer.status >= 300):
            raise _unreadable(answer.status, [one for one in fields if one[0] == b"retry-after"])
        if answer.status >= 300:  # and it may be answered by an error that names no request
            await self._end("failed", f"http_{answer.status}")
        await self._reach.answered()

    async def _fail(self, failure: UpstreamFailed) -> None:
        """Answer in the server's place."""
        if failure.error_type != "http_404" or not value_of(self._asked.fields, SESSION):  # else the session has ended
            await self._reach.failed(failure)
        if isinstance(self._asked.message, Request):
            await self._end("unknown" if failure.ran else "failed", failure.error_type)
        if self._inbox.answered:
            return
        request_id = self._asked.message.id if isinstance(self._asked.message, Request) else None
        self._reply.begins(failure.status, [*failure.fields])
        self._inbox.put(Item(wire.error_line(request_id, failure.code, failure.why), True, False))

    async def _end(self, status: Outcome, error_type: str) -> None:
        message, relay = self._asked.message, self._talk.relay
        if isinstance(message, Request) and not (self._one_off and relay.is_idle):
            await self._talk.pool.run(relay.lost, message.id, status, error_type, self._route.back)

    def _let_go(self) -> None:
        """Read no further, once the server has had the time to end its stream."""
        task = self._carrying
        if task is None or task.done():
            return
        if self._reply.gone or self._reply.stopped:
            task.cancel()
            return
        timer = asyncio.get_running_loop().call_later(LINGER_S, task.cancel)
        task.add_done_callback(lambda _: timer.cancel())


def _unreadable(status: int, fields: list[Field]) -> UpstreamFailed:
    """Return what is said of an answer that is none."""
    if status < 300:
        why = "it may have run, but the server's answer is none that can be read; do not retry"
        return UpstreamFailed(why, error_type="unreadable_result", code=wire.UNREADABLE_RESULT)
    if status < 500:
        why = f"not run: the server refuses the request, with HTTP status {status}"
        given = 502 if status in _OURS else status
        return UpstreamFailed(why, error_type=f"http_{status}", ran=False, status=given, fields=fields)
    why = f"the server failed, with HTTP status {status}; whether the call took effect is unknown, do not retry"
    return UpstreamFailed(why, error_type=f"http_{status}", status=503 if status == 503 else 502, fields=fields)
