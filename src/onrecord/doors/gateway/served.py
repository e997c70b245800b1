# SPDX-License-Identifier: Apache-2.0
"""One server behind the gateway: the way to it, who calls it, and the relays that are at work."""

from collections.abc import Callable
from dataclasses import dataclass

from onrecord.doors.callers import Callers
from onrecord.doors.conversation import Conversation
from onrecord.doors.definitions import Definitions
from onrecord.doors.gateway.brevity import Brevity
from onrecord.doors.gateway.reach import Reach
from onrecord.doors.gateway.reply import Reply
from onrecord.doors.gateway.sessions import Session, Sessions
from onrecord.doors.gateway.talk import Pool, Talk
from onrecord.doors.gateway.upstream import Upstream
from onrecord.doors.relay import Relay
from onrecord.doors.rounds import Rounds
from onrecord.doors.threads import Threads
from onrecord.event.call import Actor
from onrecord.event.event import Event
from onrecord.recorder import Recorder
from onrecord.rules.principal import IDENTITY

GONE = "the gateway ends; whether the call took effect is unknown, do not retry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one message and one call may take."""

    max_message: int  # bytes
    call_timeout_s: float


def base_of(recorder: Recorder, actor: Actor) -> Event:
    """Return what the events of the gateway itself say: who started it."""
    return Event(
        event_id=recorder.guard.new_id(), transport="http", **{name: getattr(actor, name) for name in IDENTITY}
    )


class Served:
    """What is behind one path."""

    def __init__(
        self,
        name: str,
        upstream: Upstream,
        recorder: Recorder,
        pool: Pool,
        limits: Limits,
        secret: bytes,
        threads: Threads,
        *,
        say: Callable[[str], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """`secret` seals questions of ours; every process that serves `name` has the same.

        `threads` are those of all servers.
        """
        self.name = name
        self.upstream = upstream
        self.reach = Reach(name, upstream.url, recorder, pool, say)
        self.limits = limits
        self.sessions = Sessions()
        self._pool = pool
        self._recorder = recorder
        self._rounds = Rounds(secret)
        self._definitions = Definitions(recorder.pins, name)
        self._callers = Callers(name, "http", recorder.guard.new_id, self._definitions)
        self._brevity = Brevity(recorder.guard)
        self._say = say
        self._failed = failed
        self._threads = threads
        self._one_off: set[Talk] = set()
        self.listeners: set[Reply] = set()  # that nothing but the end of this process would end
        self.calls = 0

    def met(self, actor: Actor, *, address: str) -> Conversation:
        """Return the conversation with those who call without a session."""
        return self._callers.of(actor, address=address)

    def begun(self, actor: Actor) -> Conversation:
        """Return a conversation that may become a session."""
        return Conversation(actor, self.name, "http", self._recorder.guard.new_id, self._definitions)

    def talk(self, conversation: Conversation) -> Talk:
        """Return a relay that nobody else uses yet; `done` is owed for it unless it becomes that of a session."""
        relay = Relay(
            self._recorder,
            conversation,
            self._rounds,
            call_timeout_s=self.limits.call_timeout_s,
            say=self._say,
            failed=self._failed,
            threads=self._threads,
        )
        talk = Talk(relay, self._pool, self._brevity)
        self._one_off.add(talk)
        return talk

    def keep(self, session_id: str, talk: Talk, actor: Actor) -> list[Session] | None:
        """Make a relay that of a session; return the sessions that end by that, None where it is no id of one."""
        ended = self.sessions.begin(session_id, talk, actor)
        if ended is not None:
            self._one_off.discard(talk)
        return ended

    def is_kept(self, talk: Talk) -> bool:
        """Say whether a relay is that of a session, or was."""
        return talk not in self._one_off

    def done(self, talk: Talk) -> None:
        """Forget a relay that was used for one exchange."""
        self._one_off.discard(talk)
        self.calls += talk.relay.calls

    def end(self, session: Session) -> None:
        """Close what is open in a session, and the session; not in the loop's thread."""
        session.talk.relay.finish(GONE)
        session.talk.relay.close()
        self.calls += session.talk.relay.calls

    def stop_listeners(self) -> None:
        """End the streams that wait for nothing but news."""
        for reply in list(self.listeners):
            reply.stop()

    def live(self) -> list[Relay]:
        """Return all relays that may have open calls; in the loop's thread."""
        return [talk.relay for talk in (*self._one_off, *(one.talk for one in self.sessions.all()))]
