# SPDX-License-Identifier: Apache-2.0
"""What a client of a revision up to 2025-11-25 asks of a server without a message: to be told things, and to leave."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from onrecord.doors.gateway.agreement import SESSION, value_of
from onrecord.doors.gateway.inbox import Inbox
from onrecord.doors.gateway.reply import Reply
from onrecord.doors.gateway.served import Served
from onrecord.doors.gateway.sessions import Session
from onrecord.doors.gateway.talk import Talk
from onrecord.doors.gateway.telling import Telling
from onrecord.doors.gateway.upstream import EVENTS, UpstreamFailed
from onrecord.doors.http_fields import Field, passed_back
from onrecord.event.call import Sender

PING_S = 15.0

Tell: TypeAlias = Callable[[int], Awaitable[None]]
"""Puts on the record with which status a server refuses."""

_OURS: Final = frozenset({401, 403, 407})  # statuses that are about the gateway's credentials, not the client's


async def listen(
    served: Served, session: Session | None, fields: list[Field], sender: Sender, reply: Reply, peer: str, tell: Tell
) -> None:
    """Hand on what a server says by itself, each message judged, until one of the two ends it."""
    inbox = Inbox()
    talk = session.talk if session else served.talk(served.met(sender.actor, address=peer))
    reading = asyncio.create_task(_read(served, talk, fields, sender, reply, inbox, tell))
    reading.add_done_callback(lambda _: inbox.wake())
    reply.watch(inbox.wake)
    served.listeners.add(reply)
    try:
        while not (reply.gone or reply.stopped) and (inbox or not reading.done()):
            item = inbox.take()
            if item is None:
                if not await inbox.wait(PING_S) and reply.started:
                    await reply.ping()
                continue
            if item.line is None:
                await reply.frame(b"" if item.frame is None else item.frame.raw)
                continue
            line = item.line if isinstance(item.line, bytes) else await talk.pool.run(item.line)
            if line is not None:
                await reply.line(line, item.frame, last=False)  # an answer here is to a request of another connection
        if not reply.ended:
            await reply.end()
    finally:
        served.listeners.discard(reply)
        reply.close()
        reading.cancel()
        if session is None:
            served.done(talk)
            if not talk.relay.is_idle:
                await talk.pool.run(talk.relay.finish, "the stream has ended")


async def _read(
    served: Served, talk: Talk, fields: list[Field], sender: Sender, reply: Reply, inbox: Inbox, tell: Tell
) -> None:
    telling = Telling(
        *(talk, served.upstream, inbox, fields, sender),
        longest=served.limits.max_message,
        within_s=served.limits.call_timeout_s,
    )
    try:
        async with served.upstream.asked("GET", fields, sender) as answer:
            given = passed_back(answer.fields)
            if answer.kind == EVENTS and answer.status == 200:
                reply.begins(200, given, stream=True)
                await served.reach.answered()
                await reply.open()
                await telling.stream(answer)
            else:
                await tell(answer.status)
                status = 502 if answer.status < 400 or answer.status in _OURS else answer.status
                reply.begins(status, _without_type(given))
    except UpstreamFailed as e:
        reply.begins(e.status, [])
        await served.reach.failed(e)


async def take_leave(
    served: Served, session: Session | None, fields: list[Field], sender: Sender, reply: Reply, tell: Tell
) -> None:
    """Hand on that a client ends its session."""
    try:
        async with (
            asyncio.timeout(served.limits.call_timeout_s),
            served.upstream.asked("DELETE", fields, sender) as answer,
        ):
            await tell(answer.status)
            status = 502 if answer.status in _OURS else answer.status
            reply.begins(status, _without_type(passed_back(answer.fields)))
            gone = answer.status < 300 or answer.status == 404
    except TimeoutError:
        reply.begins(504, [])
        gone = False
    except UpstreamFailed as e:
        reply.begins(e.status, [])
        await served.reach.failed(e)
        gone = False
    if session is not None and gone:
        served.sessions.end(value_of(fields, SESSION))
        await session.talk.pool.run(served.end, session)
    await reply.end()


def _without_type(fields: list[Field]) -> list[Field]:
    """Return the fields of an answer whose body is not handed on."""
    return [(name, value) for name, value in fields if name not in (b"content-type", b"content-length")]
