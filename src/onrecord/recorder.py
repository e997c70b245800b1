# SPDX-License-Identifier: Apache-2.0
"""The life of one recorder: what it says of itself when it starts and stops.

Starting, stopping, keys and configuration are events like any other. A recorder that starts also
closes the calls of recorders that died: nobody knows whether those calls took effect, and the
record says exactly that.

Where a recorder service keeps the ledger, that is the recorder that says who lives and closes what was
left open; this one records its own start and stop through it.

A ledger that cannot be written does not keep a recorder from starting: calls of tier 2 and above
are refused one by one, with the reason, and everything else goes on.
"""

import platform
import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from msgspec.structs import replace

from onrecord.approving import Alarm
from onrecord.errors import LedgerError
from onrecord.event.event import Event
from onrecord.event.redacted import Redacted, closing_of, own_fact
from onrecord.guard import Guard
from onrecord.ledger.appending import Appending
from onrecord.ledger.place import Home
from onrecord.ledger.presence import Presence, dead_recorders, open_attempts
from onrecord.pins import Pins
from onrecord.rules.classify import FAIL_CLOSED
from onrecord.rules.declaration import Declaration
from onrecord.rules.redact import Redactor


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What a recorder says of its settings. `digest` is the SHA-256 of their file, in hex."""

    digest: str
    file: str
    tool_rules: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What clients may read of the settings in force, made when they ask; `listed`: a server's own list names it."""

    content: Callable[[], Declaration]
    listed: bool


class Recorder:
    """One process that records: its guard, its writer, and its own events."""

    def __init__(
        self,
        presence: Presence | None,
        writer: Appending,
        redactor: Redactor,
        guard: Guard,
        *,
        version: str,
        configuration: Configuration,
        declared: Declared,
        key_created: bool,
        standing: Callable[[], Mapping[str, bool]],
        pins: Pins,
        alarm: Alarm,
        say: Callable[[str], None],
    ) -> None:
        """`presence` is None where a service keeps the ledger; `standing` tells how far it is out of reach.

        `alarm` puts an event on the log `security`; `say` tells the person at the terminal.
        """
        self.guard = guard
        self.redactor = redactor
        self.pins = pins
        self.declared = declared
        self.alarm = alarm
        self.at_stop: Callable[[], None] = lambda: None  # ends what still records beside the calls
        self._writer = writer
        self._version = version
        self._configuration = configuration
        self._key_created = key_created
        self._standing = standing
        self._say = say
        self._base = Event()
        self._presence = presence
        if guard.approving is not None:
            guard.approving.alarm = alarm

    def start(self, base: Event, command: list[str]) -> None:
        """Record the start, and close what was left open: calls of dead recorders, and requests that have expired.

        `base` says who and which server.
        """
        self._base = base
        try:
            closed = self._record_start(base, command)
        except LedgerError as e:
            if self._presence is not None:
                with suppress(LedgerError):
                    self._presence.begin(0)  # the ledger may heal: what is left open then is looked for from its start
            self._say(f"nothing can be recorded: {e}; calls of tier 2 and above are refused until it can")
            return
        if closed:
            self._say(f"{closed} calls were left open by a recorder that died; recorded as unknown")
        if self.guard.approving is not None:
            self.guard.approving.tidy()

    def _record_start(self, base: Event, command: list[str]) -> int:
        """Return how many calls were closed. Raises LedgerError."""
        detail = {"version": self._version, "python": platform.python_version(), "platform": sys.platform}
        self._writer.await_ready()  # only then is it known how far the ledger is out of reach
        event = replace(
            base,
            event_id=self.guard.new_id(),
            event_type="recorder_start",
            action="start",
            detail={**detail, **self._standing()},
        )
        ticket = self._writer.append(self.redactor.fact(event, {"command": command}))
        seq = ticket.receipt.seq
        if self._presence is not None:
            self._presence.begin(seq)
        self._writer.append(self._configured(base))
        if self._key_created:
            self._writer.append(own_fact("key", event_id=self.guard.new_id(), action="create"))
        return 0 if self._presence is None else self._close_orphans(self._presence.home)

    def _configured(self, base: Event) -> Redacted:
        """Return the event that says which settings are in force, and the version of policy that is decided by."""
        said = self._configuration
        detail = {"settings": said.digest, "tool_rules": said.tool_rules, "fail_closed_from_tier": FAIL_CLOSED}
        event = replace(
            base,
            event_id=self.guard.new_id(),
            event_type="configuration",
            action="load",
            policy_version=self.guard.policy_version,
            detail=detail,
        )
        return self.redactor.fact(event, {"file": said.file} if said.file else {})

    def _close_orphans(self, home: Home) -> int:
        closed = 0
        with dead_recorders(home) as dead:
            for wid, seq in dead:
                for attempt in open_attempts(home.log(), wid, seq):
                    entry = closing_of(attempt, event_id=self.guard.new_id(), error_type="recorder_died")
                    self._writer.append(entry)
                    closed += 1
        return closed

    def _withheld(self) -> dict[str, dict[str, int]]:
        """Return how many events redaction withheld more of than it should have to, where there are any."""
        return {"redaction": dict(self.redactor.counts)} if self.redactor.counts else {}

    @contextmanager
    def briefly(self) -> Generator[None]:
        """Record for a verb that records nothing else, and close. Raises LedgerError."""
        try:
            self._writer.await_ready()
            yield
        finally:
            self._writer.close()

    def state(self, facts: Iterable[tuple[Event, Mapping[str, str | list[str]]]]) -> None:
        """Record facts, for such a verb. Raises LedgerError."""
        with self.briefly():
            for base, outside in facts:
                entry = self.redactor.fact(replace(base, event_id=self.guard.new_id()), outside)
                self._writer.append(entry, "signed").wait()

    def unready(self) -> str:
        """Return why nothing can be recorded now, "" where it can. It may wait, up to the append deadline."""
        try:
            self._writer.await_ready()
        except LedgerError as e:
            return str(e)
        return ""

    def stop(self, reason: str, calls: int) -> None:
        """Record the stop, and make all of it durable and signed. Says what could not be."""
        self.at_stop()
        event = replace(
            self._base,
            event_id=self.guard.new_id(),
            event_type="recorder_stop",
            action="stop",
            detail={"reason": reason, "calls": calls, **self._withheld()},
        )
        self.guard.note(self.redactor.fact(event, {}))
        try:
            self._writer.close()
            if self._presence is not None:
                self._presence.end()
        except LedgerError as e:
            self._say(f"the last entries may not be on the record: {e}")
        if self._writer.unwritten:
            self._say(f"{self._writer.unwritten} events could not be recorded, and this process ends")
