# SPDX-License-Identifier: Apache-2.0
"""The gateway as an ASGI app: who may come in, how much at once, and who does what with a request.

What is turned away is answered and put on the record here. Nothing is known here of what a message means.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from onrecord.doors import wire
from onrecord.doors.callers import caller
from onrecord.doors.gateway.agreement import SESSION, check, value_of
from onrecord.doors.gateway.exchange import Asked, Exchange
from onrecord.doors.gateway.intake import NEXT_S, ClientGone, Unfit, check_kind, read_body
from onrecord.doors.gateway.listening import listen, take_leave
from onrecord.doors.gateway.reply import Receive, Reply, Scope, Send
from onrecord.doors.gateway.room import Guest, Most, Room
from onrecord.doors.gateway.served import Served
from onrecord.doors.gateway.sessions import Session
from onrecord.doors.gateway.talk import Pool, Talk
from onrecord.doors.gateway.upstream import Answered, UpstreamFailed
from onrecord.doors.http_access import Document, Entry, Head, HttpAccess, TurnedAway, no_method
from onrecord.doors.http_fields import Field, passed_on
from onrecord.doors.http_kinds import kind_of
from onrecord.doors.http_telling import Refusals
from onrecord.doors.ways import Kept, Route
from onrecord.doors.wire import UNREADABLE_RESULT, Message, Request
from onrecord.errors import MessageRefused
from onrecord.event.call import Sender

AT_ONCE = 64 * 1024  # bytes of a body that is read in the loop's thread; a longer one takes others' time


class Gateway:
    """All servers behind one address."""

    def __init__(
        self,
        served: Mapping[str, Served],
        access: HttpAccess,
        refused: Refusals,
        pool: Pool,
        *,
        max_body: int,
        most: Most,
        read_timeout_s: float,
        ready: Callable[[], str],
        failed: Callable[[Exception], None],
    ) -> None:
        """`served` is by name; `ready` says why calls could not be recorded now, "" where they could.

        `failed` is told of a defect of ours.
        """
        self._served = served
        self._access = access
        self._refused = refused
        self._pool = pool
        self._max_body = max_body
        self._most, self._room = most, Room(most)
        self._read_timeout_s = read_timeout_s
        self._ready = ready
        self._failed = failed
        self._open = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self.ending = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        fields: list[Field] = scope["headers"]
        reply = Reply(send, receive, fields)
        head = Head(
            method=scope["method"],
            path=scope.get("raw_path") or scope["path"].encode(),
            fields=fields,
            query=scope["query_string"],
            peer=(scope.get("client") or ("",))[0],
        )
        if head.path in (b"/healthz", b"/readyz"):
            await self._tell_health(head, reply)
            return
        if self.ending or self._open >= self._most.requests:
            why = "the gateway is ending" if self.ending else "as many requests are open as may be"
            away = TurnedAway(status=503, error_type="busy", reason=why, more=((b"retry-after", NEXT_S),))
            await self._turn_away(away, head, reply)
            return
        self._open += 1
        self.idle.clear()
        try:
            await self._admit(head, reply, receive)
        except Exception as e:  # noqa: BLE001  # the top of a request
            self._failed(e)
            await reply.whole(500, [])
            await reply.end()
        finally:
            self._open -= 1
            if not self._open:
                self.idle.set()

    async def _tell_health(self, head: Head, reply: Reply) -> None:
        if head.method not in ("GET", "HEAD"):
            await self._turn_away(no_method("GET, HEAD"), head, reply)
            return
        why = "ending" if self.ending else ""
        if not why and head.path == b"/readyz":
            why = await self._pool.run(self._ready)
        text = b'{"status":"ok"}' if not why else b'{"status":"not ready"}'
        await reply.whole(503 if why else 200, [(b"content-type", b"application/json")], text)

    async def _admit(self, head: Head, reply: Reply, receive: Receive) -> None:
        admitted = await self._access.admit(head)
        if isinstance(admitted, Document):
            body = b"" if head.method == "HEAD" else admitted.body
            await reply.whole(admitted.status, [*admitted.fields], body)
        elif isinstance(admitted, TurnedAway):
            await self._turn_away(admitted, head, reply)
        else:
            try:
                await self._enter(admitted, head, reply, receive)
            except Unfit as e:
                await self._turn_away(e.away, head, reply)
            except ClientGone:
                pass  # nobody is there, and nothing was asked yet

    async def _enter(self, entry: Entry, head: Head, reply: Reply, receive: Receive) -> None:
        actor = entry.sender.actor
        guest = self._room.enter(caller(actor, head.peer))
        if guest is None:
            busy = TurnedAway(
                status=429,
                error_type="busy",
                reason="as many requests of one caller are open as may be",
                server_id=entry.place.server_id,
                actor=actor,
                more=((b"retry-after", NEXT_S),),
            )
            raise Unfit(busy)
        with guest:
            await self._serve(entry, head, reply, receive, guest)

    async def _turn_away(self, away: TurnedAway, head: Head, reply: Reply) -> None:
        await self._pool.run(self._refused.turned_away, away, head.peer)
        await reply.whole(away.status, [*away.fields], b"" if head.method == "HEAD" else away.body)

    async def _serve(self, entry: Entry, head: Head, reply: Reply, receive: Receive, guest: Guest) -> None:
        served = self._served[entry.place.server_id]
        session = self._session(served, entry, head)
        if session is not None:
            session.open += 1
        try:
            if head.method == "POST":
                await self._post(served, session, entry, head, reply, receive, guest)
            else:
                tell = partial(self._tell_refused, served.name, head, in_session=session is not None)
                fields, sender = _onward(entry, head.fields), entry.sender
                if head.method == "GET":
                    await listen(served, session, fields, sender, reply, head.peer, tell)
                else:
                    await take_leave(served, session, fields, sender, reply, tell)
        finally:
            if session is not None:
                session.open -= 1

    async def _tell_refused(self, server_id: str, head: Head, status: int, *, in_session: bool) -> None:
        """Record that the server refuses a GET or a DELETE, but for 405 in a session: then it has no use for them."""
        if status >= 400 and not (in_session and status == 405):
            kind = (
                f"http_{status}" if status in (401, 403) else kind_of(status, (), ())
            )  # these are about our credentials
            what = f"{head.method} {head.path.decode('latin-1')}"
            why = f"the server refuses it, with HTTP status {status}"
            await self._pool.run(self._refused.answered, kind, why, what, server_id, head.peer)

    def _session(self, served: Served, entry: Entry, head: Head) -> Session | None:
        """Return the session that a request names, None where it names none. Raises Unfit for one that is not there."""
        named = value_of(head.fields, SESSION)
        if not named:
            return None
        session = served.sessions.of(named, entry.sender.actor)
        if session is None:
            why = "there is no such session of this caller here; begin another"
            raise Unfit(TurnedAway(status=404, error_type="no_session", reason=why, server_id=served.name))
        return session

    async def _post(
        self,
        served: Served,
        session: Session | None,
        entry: Entry,
        head: Head,
        reply: Reply,
        receive: Receive,
        guest: Guest,
    ) -> None:
        fields = [*head.fields]
        check_kind(fields, served.name)
        limits = self._max_body, self._read_timeout_s
        line = await read_body(receive, fields, served.name, longest=limits[0], within_s=limits[1], hold=guest.hold)
        message = await self._read(served, session, entry.sender, head, line, reply)
        if message is None:
            return
        sender = replace(entry.sender, address=head.peer)
        asked = Asked(message=message, line=line, fields=_onward(entry, fields), sender=sender)
        if session is not None:
            await self._exchange(served, session.talk, asked, reply, one_off=False)
            return
        talk = _talk_for(served, message, entry.sender, head.peer)
        begins = isinstance(message, Request) and message.method == "initialize"
        try:
            await self._exchange(served, talk, asked, reply, one_off=True)
        finally:
            if begins and not served.is_kept(talk):
                await self._pool.run(talk.relay.close)
            served.done(talk)

    async def _exchange(self, served: Served, talk: Talk, asked: Asked, reply: Reply, *, one_off: bool) -> None:
        async def opened(answer: Answered) -> bool:
            given = value_of(answer.fields, SESSION)
            begins = isinstance(asked.message, Request) and asked.message.method == "initialize"
            if not (one_off and begins and given and answer.status == 200):
                return False
            ended = served.keep(given, talk, asked.sender.actor)
            if ended is None:
                told, why = Kept(), "it gave out a session whose id is none that can be used"
                refusal = MessageRefused(why, UNREADABLE_RESULT)
                await self._pool.run(talk.relay.withhold, refusal, len(given), Route(told, told, asked.sender))
                why = "the server's answer is withheld: the id of the session is none that can be used"
                raise UpstreamFailed(why, error_type="unreadable_result", code=UNREADABLE_RESULT)
            for one in ended:
                asyncio.get_running_loop().create_task(self._pool.run(served.end, one))
            return True

        limits = served.limits
        longest, within_s = limits.max_message, limits.call_timeout_s
        listens = isinstance(asked.message, Request) and asked.message.method == "subscriptions/listen"
        if listens:
            served.listeners.add(reply)
        try:
            await Exchange(
                *(asked, talk, served.upstream, served.reach, reply),
                longest=longest,
                within_s=within_s,
                one_off=one_off,
                opened=opened,
            ).run()
        finally:
            served.listeners.discard(reply)

    async def _read(
        self, served: Served, session: Session | None, sender: Sender, head: Head, line: bytes, reply: Reply
    ) -> Message | None:
        """Return the message in a body; None where it has no single reading, which is on the record and answered."""
        try:
            message = wire.decode(line) if len(line) <= AT_ONCE else await self._pool.run(wire.decode, line)
            check(head.fields, message)
        except MessageRefused as e:
            talk = session.talk if session else served.talk(served.met(sender.actor, address=head.peer))
            told = Kept()
            await self._pool.run(talk.relay.refuse, e, len(line), Route(told, told, sender))
            if session is None:
                served.done(talk)
            (said,) = (one for one in told.lines if isinstance(one, bytes))
            await reply.whole(400, [(b"content-type", b"application/json")], said)
            return None
        return message


def _onward(entry: Entry, fields: Sequence[Field]) -> list[Field]:
    """Return which of a caller's fields go on to the server."""
    return passed_on(fields, entry.place.further)


def _talk_for(served: Served, message: Message, sender: Sender, peer: str) -> Talk:
    """Return a relay for a message that names no session."""
    if isinstance(message, Request) and message.method == "initialize":
        return served.talk(served.begun(sender.actor))
    return served.talk(served.met(sender.actor, address=peer))
