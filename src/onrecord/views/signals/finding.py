# SPDX-License-Identifier: Apache-2.0
"""A finding: an event of the log `security` that says what a rule found, why, and in which events.

Its id is made of the rule and of the events that it is about, so whoever looks at the same events by the same rule
finds the same: that is how a finding that was written before a crash is known not to be new. What those events have in
common, as person, tool and call, stands in the finding's own fields, so that it is found by them. No value of a call
and no text of a tool is copied.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, TypeAlias

from onrecord.event.event import Event
from onrecord.event.ids import uuid7
from onrecord.ledger.clock import TimeText
from onrecord.views.signals.rule import Rule

SIGNAL = "signal:"
"""How the action of a finding begins; the id of its rule follows."""

NAMED = 20  # events that a finding names, the latest; a line has room for some more

# What of one event stands on a finding about it, where the event says it.
ABOUT = (
    *("call_id", "correlation_id", "trace_id", "user_id", "tenant_id", "agent_id", "client_ip", "client_name"),
    *("session_id", "server_id", "transport", "tool_name", "resource_uri", "prompt_name", "risk_tier"),
    *("data_classification", "approval_id", "approval_approver", "tool_definition_hash"),
)

Shared: TypeAlias = dict[str, Any]
"""Fields of an event by name, and what they say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What `rule` found at `at_us`. `events` are ids, oldest first, of `count` events; `why` is in words of our own.

    `seq` is the place of the last of them in the log of the rule. `left_out` findings like it were not recorded since
    the one before it.
    """

    rule: Rule
    at_us: int
    events: tuple[str, ...]
    seq: int
    count: int
    why: str
    shared: Shared = field(default_factory=dict[str, Any])
    left_out: int = 0

    @property
    def id(self) -> str:
        """The id of its event, which is the same wherever and whenever it is found."""
        told = "\0".join((self.rule.id, self.rule.log, *self.events))
        return uuid7(self.at_us // 1000, sha256(told.encode()).digest()[:10])

    def event(self) -> Event:
        """Return the event that says so."""
        rule = self.rule
        detail: dict[str, Any] = {
            "rule": rule.id,
            "title": rule.title,
            "severity": rule.severity,
            "why": self.why,
            "log": rule.log,
            "at": TimeText().of(self.at_us),
            "count": self.count,
            "by": list(rule.by),
            "events": list(self.events[-NAMED:]),
            "left_out": self.left_out,
            "owasp": rule.owasp,
            "mcp": list(rule.mcp),
            "asi": list(rule.asi),
            "atlas": list(rule.atlas),
        }
        return Event(
            event_id=self.id,
            event_type="security",
            action=f"{SIGNAL}{rule.id}",
            detail={key: value for key, value in detail.items() if value} | {"seq": self.seq},
            **self.shared,
        )


def shared_of(event: Event, names: Sequence[str] = ABOUT) -> Shared:
    """Return what an event says in those fields, without those in which it says nothing."""
    return {name: value for name in names if (value := getattr(event, name)) not in ("", None)}


def is_finding(event: Event) -> bool:
    """Say whether an event of the log `security` is a finding."""
    return event.event_type == "security" and event.action.startswith(SIGNAL)
