# SPDX-License-Identifier: Apache-2.0
"""Findings as programs and people get them, and who looks for them beside `onrecord watch`."""

import time
from collections.abc import Callable, Mapping

from onrecord.alerting import evaluation_of, rules_of
from onrecord.cli.terminal import say
from onrecord.errors import LedgerBusy, OnRecordError, plainly
from onrecord.event.event import Event
from onrecord.ledger.clock import now_us
from onrecord.ledger.lines import segment_files
from onrecord.ledger.place import Home
from onrecord.settings import Loaded
from onrecord.views.signals.finding import ABOUT, shared_of
from onrecord.views.signals.queue import Item

_WHERE = ("user_id", "server_id", "tool_name", "resource_uri", "client_ip", "approval_approver")


class Signals:
    """Looks for signals in a home, again and again, and tells what is found."""

    def __init__(
        self, home: Home, loaded: Loaded, tell: Callable[[Mapping[str, object]], None], *, within_s: float
    ) -> None:
        """A look ends soon after `within_s`; the next one goes on. Raises ConfigError."""
        self.told: set[str] = set()  # alarms that were told already: a finding about no other event is not
        self._home = home
        self._loaded = loaded
        self._rules = rules_of(loaded)
        self._tell = tell
        self._within_s = within_s
        self._said = ""

    def look(self) -> None:
        """Record and tell what is new; say, once, what stands in the way."""
        if not any(segment_files(self._home.log(log)) for log in ("calls", "security")):
            return
        end = time.monotonic() + self._within_s
        try:
            with evaluation_of(self._home, self._loaded, self._rules) as evaluation:
                for found in evaluation.run(now_us()):
                    for finding in found:
                        if not self.told.issuperset(finding.events):
                            self._tell(facts_of(Item(finding.event())))
                    if time.monotonic() > end:
                        return
        except LedgerBusy:
            return  # another process is at it
        except (OnRecordError, OSError) as e:
            if self._said != (why := plainly(e)):
                self._said = why
                say(f"signals are not looked for: {why}")


def facts_of(item: Item) -> dict[str, object]:
    """Return what is known of a finding, for programs."""
    event = item.event
    return {
        "event_id": item.id,
        "state": item.state,
        **event.detail,
        "rule": item.rule,
        "severity": item.severity,
        **shared_of(event, ABOUT),
        "said": [said_of(each) for each in item.said],
    }


def said_of(event: Event) -> dict[str, str]:
    """Return what somebody said about a finding: what, when, who, and why."""
    said = {
        "action": event.action,
        "at": event.timestamp,
        "by": event.user_id,
        "reason": event.detail.get("reason", ""),
    }
    return {name: text for name, text in said.items() if text}


def summary_of(facts: Mapping[str, object]) -> str:
    """Return a finding as one line."""
    where = " ".join(str(facts[name]) for name in _WHERE if name in facts)
    at = str(facts.get("at", ""))[:19].replace("T", " ")
    return f"{at}  {facts['severity']:<8}  {facts['event_id']}  {facts['rule']}  {where}".rstrip()
