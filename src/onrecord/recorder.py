# SPDX-License-Identifier: Apache-2.0
"""The life of one recorder: what it says of itself when it starts and stops.

Starting, stopping, keys and configuration are events like any other. A recorder that starts also
closes the calls of recorders that died: nobody knows whether those calls took effect, and the
record says exactly that.

A ledger that cannot be written does not keep a recorder from starting: calls of tier 2 and above
are refused one by one, with the reason, and everything else goes on.
"""

import platform
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from msgspec.structs import replace

from onrecord.errors import LedgerError
from onrecord.event.event import Event
from onrecord.event.redacted import Redacted, closing_of, own_fact
from onrecord.guard import Guard
from onrecord.ledger.place import Home
from onrecord.ledger.presence import Presence, dead_recorders, open_attempts
from onrecord.ledger.writer import Writer
from onrecord.rules.classify import FAIL_CLOSED
from onrecord.rules.redact import Redactor


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What a recorder says of its settings. `digest` is the SHA-256 of their file, in hex."""

    digest: str
    file: str
    tool_rules: int


class Recorder:
    """One process that records: its guard, its writer, and its own events."""

    def __init__(
        self,
        home: Home,
        wid: str,
        writer: Writer,
        redactor: Redactor,
        guard: Guard,
        *,
        version: str,
        configuration: Configuration,
        key_created: bool,
        same_account: bool,
        say: Callable[[str], None],
    ) -> None:
        """`say` tells the person at the terminal."""
        self.guard = guard
        self.redactor = redactor
        self._home = home
        self._writer = writer
        self._version = version
        self._configuration = configuration
        self._key_created = key_created
        self._same_account = same_account
        self._say = say
        self._base = Event()
        self._presence = Presence(home, wid)

    def start(self, base: Event, command: list[str]) -> None:
        """Record the start, and close what dead recorders left open. `base` says who and which server."""
        self._base = base
        event = replace(
            base,
            event_id=self.guard.new_id(),
            event_type="recorder_start",
            action="start",
            detail={
                "version": self._version,
                "python": platform.python_version(),
                "platform": sys.platform,
                "same_account": self._same_account,
            },
        )
        try:
            ticket = self._writer.append(self.redactor.fact(event, {"command": command}))
            self._presence.begin(ticket.receipt.seq)
            self._writer.append(self._configured(base))
            if self._key_created:
                self._writer.append(own_fact("key", event_id=self.guard.new_id(), action="create"))
            closed = self._close_orphans()
        except LedgerError as e:
            with suppress(LedgerError):
                self._presence.begin(0)  # the ledger may heal: whatever is left open then is looked for from its start
            self._say(f"nothing can be recorded: {e}; calls of tier 2 and above are refused until it can")
            return
        if closed:
            self._say(f"{closed} calls were left open by a recorder that died; recorded as unknown")

    def _configured(self, base: Event) -> Redacted:
        """Return the event that says which settings are in force."""
        said = self._configuration
        event = replace(
            base,
            event_id=self.guard.new_id(),
            event_type="configuration",
            action="load",
            policy_version=said.digest,
            detail={"tool_rules": said.tool_rules, "fail_closed_from_tier": FAIL_CLOSED},
        )
        return self.redactor.fact(event, {"file": said.file} if said.file else {})

    def _close_orphans(self) -> int:
        closed = 0
        with dead_recorders(self._home) as dead:
            for wid, seq in dead:
                for attempt in open_attempts(self._home.log(), wid, seq):
                    entry = closing_of(attempt, event_id=self.guard.new_id(), error_type="recorder_died")
                    self._writer.append(entry)
                    closed += 1
        return closed

    def stop(self, reason: str, calls: int) -> None:
        """Record the stop, and make all of it durable and signed. Says what could not be."""
        event = replace(
            self._base,
            event_id=self.guard.new_id(),
            event_type="recorder_stop",
            action="stop",
            detail={"reason": reason, "calls": calls},
        )
        self.guard.note(self.redactor.fact(event, {}))
        try:
            self._writer.close()
            self._presence.end()
        except LedgerError as e:
            self._say(f"the last entries may not be on the record: {e}")
        if self._writer.unwritten:
            self._say(f"{self._writer.unwritten} events could not be recorded, and this process ends")
