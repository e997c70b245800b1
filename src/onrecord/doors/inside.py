# SPDX-License-Identifier: Apache-2.0
"""A server that is recorded from inside of its own process: its recorder, its connections, and who calls it.

The recorder starts with the first message, and not when the server is built: a program that only imports its server
writes nothing. It stops when the server does, or with the process; after a kill what was open is closed by the next
start, as everywhere. A defect of ours in a thread stops nothing that is a server's own, but from then on no request
goes through any more: nothing may happen unrecorded.
"""

import atexit
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag
from threading import Lock, Thread
from typing import TypeAlias
from weakref import WeakKeyDictionary, WeakSet

import anyio
import anyio.to_thread

from onrecord.doors.callers import Callers, Token
from onrecord.doors.conversation import Conversation
from onrecord.doors.definitions import Definitions
from onrecord.doors.http_telling import Refusals
from onrecord.doors.passage import THREADS, Passage
from onrecord.doors.relay import Relay
from onrecord.doors.rounds import SECRET, Rounds
from onrecord.doors.threads import of_many
from onrecord.errors import NotRecorded
from onrecord.event.call import Actor, Sender
from onrecord.event.event import Transport
from onrecord.recorder import Recorder

SWEEP_S = 0.5  # between two looks at calls that nobody answers
MOST_REASONS = 20  # for which annotations were not taken, that the person at the terminal hears of


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What records in this process.

    `waits` says that deciding on a call may take a while. `sender_of` says who sent a message over a network, by the
    token that came with it, if one did, and the address that it came from.
    """

    recorder: Recorder
    actor: Actor
    call_timeout_s: float
    waits: bool
    sender_of: Callable[[Token | None, str], Sender]


Build: TypeAlias = Callable[[], Built]


class Inside:
    """One server, recorded in its own process. Threads may share it."""

    def __init__(
        self,
        build: Build,
        server_id: str,
        say: Callable[[str], None],
        *,
        home: Path,
        config: Path,
        transport: Transport = "sdk",
    ) -> None:
        """`build` makes a recorder, which has not started yet, of `home` and the settings `config`.

        `say` tells the person at the terminal.
        """
        self._build = build
        self.say = say
        self._transport: Transport = transport
        self._lock = Lock()
        self._running: Running | None = None
        self.server_id = server_id
        self.home = home
        self.config = config

    async def running(self) -> "Running":
        """Return what records, started if need be. Raises OnRecordError where nothing can be recorded at all."""
        return self._running or await anyio.to_thread.run_sync(self.start)

    def start(self) -> "Running":
        """Start the recorder, unless it runs. May wait for the ledger."""
        with self._lock:
            if self._running is None:
                self._running = Running(self._build(), self.server_id, self._transport, self.say)
                atexit.register(self.stop, "exit")
            return self._running

    def turned_away(self, kind: str, why: str, what: str, address: str) -> None:
        """Record that `what`, which came from `address`, did not get as far as a handler. May wait for the ledger."""
        self.start().turned_away(kind, why, what, address)

    def stop(self, reason: str = "stopped") -> None:
        """End all connections, and stop the recorder; the next message would start another."""
        with self._lock:
            running, self._running = self._running, None
        if running is not None:
            running.stop(reason)
            atexit.unregister(self.stop)


@dataclass(frozen=True, slots=True)
class Kept:
    """A connection that lasts."""

    passage: Passage
    conversation: Conversation


class Running:
    """A recorder that runs, and the connections of its server."""

    def __init__(self, built: Built, server_id: str, transport: Transport, say: Callable[[str], None]) -> None:
        self.recorder = built.recorder
        self.sender_of = built.sender_of
        self._built = built
        self._say = say
        self._server_id = server_id
        self._transport: Transport = transport
        self._rounds = Rounds(os.urandom(SECRET))
        self._threads = of_many()
        self._limiter = anyio.CapacityLimiter(THREADS)
        self._kept: WeakKeyDictionary[object, Kept] = WeakKeyDictionary()
        self._relays: WeakSet[Relay] = WeakSet()
        self._lock = Lock()
        self._broken = ""
        self._refusals = Refusals(self.recorder, transport=transport)
        self._calls = 0
        self._reasons: set[str] = set()
        guard = self.recorder.guard
        self.callers = Callers(server_id, transport, guard.new_id, self._definitions())
        self.here = self.conversation(local=True)
        self.recorder.start(self.here.base(), list(sys.orig_argv))
        guard.note_identity(self.here.connection)
        self._ended = Flag()
        Thread(target=self._sweep, name="onrecord-sweep", daemon=True).start()

    def _definitions(self) -> Definitions:
        return Definitions(self.recorder.pins, self._server_id)

    def conversation(self, *, local: bool) -> Conversation:
        """Return a conversation in which nothing was said yet, with somebody on this machine or on a network."""
        actor = self._built.actor if local else Actor()
        return Conversation(actor, self._server_id, self._transport, self.recorder.guard.new_id, self._definitions())

    def check(self) -> None:
        """Raise NotRecorded where nothing may go through any more."""
        if self._broken:
            raise NotRecorded(f"not recorded, so not run: {self._broken}")

    def passage(self, conversation: Conversation) -> Passage:
        """Return the passage of a connection, or of a request that is one by itself."""
        relay = Relay(
            self.recorder,
            conversation,
            self._rounds,
            call_timeout_s=self._built.call_timeout_s,
            say=self._say,
            failed=self._fail,
            threads=self._threads,
        )
        with self._lock:
            self._relays.add(relay)
        return Passage(relay, self._limiter, waits=self._built.waits, untaken=self._untaken)

    def kept(self, connection: object) -> "Kept | None":
        """Return what is known of a connection that its SDK knows as `connection`."""
        return self._kept.get(connection)

    def keep(self, connection: object, conversation: Conversation) -> "Kept":
        """Know a connection for as long as its SDK does."""
        kept = self._kept[connection] = Kept(self.passage(conversation), conversation)
        return kept

    def leave(self, passage: Passage, why: str) -> None:
        """End a connection: what is open on it is closed, and that it ended is on the record, once."""
        if passage.relay not in self._relays:
            return
        passage.relay.finish(why)
        passage.relay.close()
        self.done(passage)

    def done(self, passage: Passage) -> None:
        """Forget the passage of one request, which has been answered."""
        with self._lock:
            self._relays.discard(passage.relay)
            self._calls += passage.relay.calls

    def stop(self, reason: str) -> None:
        """End all connections, and stop the recorder."""
        self._ended.set()
        for passage in [*(kept.passage for kept in self._kept.values()), self.passage(self.here)]:
            self.leave(passage, "the server has ended")
        self._kept.clear()
        self._refusals.close()
        self.recorder.stop(reason, self._calls)

    def turned_away(self, kind: str, why: str, what: str, address: str) -> None:
        """Record that `what`, which came from `address`, did not get as far as a handler."""
        self._refusals.answered(kind, why, what, self._server_id, address)

    def _untaken(self, why: str) -> None:
        """Tell the person at the terminal once why something that a handler added is not on the record."""
        with self._lock:
            new = why not in self._reasons and len(self._reasons) < MOST_REASONS
            if new:
                self._reasons.add(why)
        if new:
            self._say(f"{why}; it is not on the record, whose event says not_told: annotations")

    def _sweep(self) -> None:
        while not self._ended.wait(SWEEP_S):
            with self._lock:
                relays = list(self._relays)
            for relay in relays:
                try:
                    relay.sweep()
                except Exception as e:  # noqa: BLE001  # the top of a thread
                    self._fail(e)

    def _fail(self, error: Exception) -> None:
        """Let nothing through any more, after a defect of ours, and say where it is."""
        place = _place(error)
        self._broken = f"internal error: {place}"
        self._say(f"internal error: {place}; no request goes through any more")


def _place(error: Exception) -> str:
    """Return where an error was raised, without its message, which may hold values."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" in {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{where}"
