# SPDX-License-Identifier: Apache-2.0
"""Logs with something in them that somebody should look at, written line by line at chosen times, and what is found."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from onrecord.event.event import Event, encode
from onrecord.event.ids import uuid7
from onrecord.event.redacted import Redacted
from onrecord.event.schema import read_event
from onrecord.ledger.keys import open_keys
from onrecord.ledger.ledger import Ledger
from onrecord.ledger.lines import lines_from
from onrecord.ledger.place import Home
from onrecord.signal_settings import SignalSettings
from onrecord.views.signals.evaluation import BATCH, Evaluation
from onrecord.views.signals.finding import Finding, is_finding

RULES = SignalSettings().in_force(Path())
T0_US = 1_790_000_000_000_000  # a Monday in September 2026
MINUTE, HOUR, DAY = 60, 3600, 86400

_count = itertools.count()


def new_id() -> str:
    return uuid7(T0_US // 1000, (next(_count) << 8).to_bytes(10, "big"))  # of the last byte two bits count


def attempt(tool: str = "read_file", **fields: Any) -> dict[str, Any]:
    """An ordinary call of a person, as it is asked for."""
    return {
        "event_type": "tool_call",
        "phase": "attempt",
        "call_id": new_id(),
        "user_id": "u_ann",
        "session_id": "s-1",
        "server_id": "files",
        "tool_name": tool,
        "direction": "client_to_server",
        "risk_tier": 1,
        "data_classification": "medium",
        "policy_decision": "allow",
        "policy_id": "all",
        "arguments_valid": "valid",
        **fields,
    }


def result(tool: str = "read_file", **fields: Any) -> dict[str, Any]:
    """An ordinary end of such a call."""
    asked = attempt(tool)
    kept = ("event_type", "call_id", "user_id", "session_id", "server_id", "tool_name", "risk_tier")
    said = {name: asked[name] for name in kept}
    return {**said, "phase": "result", "result_status": "succeeded", "data_classification": "medium", **fields}


def other(event_type: str, **fields: Any) -> dict[str, Any]:
    """An event that is not one of a call."""
    return {"event_type": event_type, **fields}


class Record:
    """The logs of a home, to which anything can be written at any time; times never decrease."""

    def __init__(self, path: Path) -> None:
        self.home = Home(path)
        self._now_us = T0_US
        self._open: dict[str, Ledger] = {}

    def write(self, events: Iterable[tuple[float, dict[str, Any]]], log: str = "calls", wid: str = "w") -> list[str]:
        """Write events, each at its second, and return their ids."""
        ledger = self.ledger(log, wid)
        ids: list[str] = []
        for seconds, fields in events:
            self._now_us = max(self._now_us, T0_US + round(seconds * 1e6))
            event = Event(**{"event_id": new_id(), **fields})
            ledger.append(Redacted(event, encode(event)))
            ids.append(event.event_id)
        return ids

    def ledger(self, log: str = "calls", wid: str = "w") -> Ledger:
        """Return what writes a log."""
        ledger = self._open.get(f"{log} {wid}")
        if ledger is None:
            signer = open_keys(self.home, log)[0].signer
            ledger = Ledger.open(self.home, signer, log=log, wid=wid, clock=lambda: self._now_us)
            self._open[f"{log} {wid}"] = ledger
        return ledger

    def put(self, events: Iterable[Event]) -> None:
        """Put findings on the log `security`, as an evaluation does."""
        self.write(((0, {f: getattr(e, f) for f in e.__struct_fields__[6:]}) for e in events), "security", "f")

    def found(self, *, rules=RULES, batch: int = BATCH, now_s: float = 0) -> list[Finding]:
        """Look at what is new, and return what is found."""
        with Evaluation(self.home, rules, self.put, batch=batch) as evaluation:
            return [finding for some in evaluation.run(T0_US + round(now_s * 1e6)) for finding in some]

    def findings(self) -> list[Event]:
        """Return the findings on the record."""
        events = [read_event(line.data) for line in lines_from(self.home.log("security"))]
        return [event for event in events if is_finding(event)]

    def close(self) -> None:
        for ledger in self._open.values():
            ledger.close()
        self._open.clear()


def of(rule: str, found: Iterable[Finding]) -> list[Finding]:
    """Return what one rule found."""
    return [finding for finding in found if finding.rule.id == rule]
