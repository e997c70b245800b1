# SPDX-License-Identifier: Apache-2.0
"""Which findings are open, which somebody looks at, and which are closed, worked out from the log `security`.

There is no table: a finding is open from the event that says it, and what people say about it are events of the same
log. What they say at the same moment, and what cannot follow from how a finding stands, changes nothing. Findings are
made whole from their events where those were withheld, as far as the rules know.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from onrecord.errors import NotVerified
from onrecord.event.event import Event
from onrecord.event.schema import read_event
from onrecord.ledger.lines import is_tombstone, lines_from
from onrecord.ledger.place import LogFolder
from onrecord.views.signals.finding import SIGNAL, is_finding
from onrecord.views.signals.rule import SEVERITIES, Severity

State: TypeAlias = Literal["open", "acknowledged", "closed"]
STATES: tuple[State, ...] = ("open", "acknowledged", "closed")
Said: TypeAlias = Literal["acknowledged", "closed", "reopened"]

# What leads from which states to which.
_STEPS: Mapping[str, tuple[frozenset[str], State]] = {
    "acknowledged": (frozenset({"open"}), "acknowledged"),
    "closed": (frozenset({"open", "acknowledged"}), "closed"),
    "reopened": (frozenset({"closed"}), "open"),
}
SHORTEST = 8  # characters of an id by which a finding is named


@dataclass(slots=True)
class Item:
    """A finding, how it stands, and what people said about it, oldest first."""

    event: Event
    state: State = "open"
    said: list[Event] = field(default_factory=list[Event])

    @property
    def id(self) -> str:
        return self.event.event_id

    @property
    def rule(self) -> str:
        """The id of the rule that found it."""
        return self.event.action.removeprefix(SIGNAL)

    def text(self, name: str) -> str:
        """Return a text of the finding's detail; "" where it says none."""
        value = self.event.detail.get(name, "")
        return value if isinstance(value, str) else ""

    @property
    def severity(self) -> str:
        """How bad it is; the worst where that was withheld."""
        said = self.text("severity")
        return said if said in SEVERITIES else SEVERITIES[-1]


def is_said(event: Event) -> bool:
    """Say whether an event of the log `security` is what somebody says about a finding."""
    return event.event_type == "security" and event.action in _STEPS and bool(event.detail.get("finding"))


def items_in(security: LogFolder) -> dict[str, Item]:
    """Return all findings by their ids, oldest first. Raises NotVerified, OSError."""
    return stand(_events(security))


def stand(events: Iterable[Event]) -> dict[str, Item]:
    """Return the findings among `events`, which are in their order, and how each stands after the last."""
    items: dict[str, Item] = {}
    for event in events:
        if is_finding(event):
            items.setdefault(event.event_id, Item(event))
        elif is_said(event):
            item = items.get(str(event.detail["finding"]))
            if item is not None and can(item, event.action):
                item.state = _STEPS[event.action][1]
                item.said.append(event)
    return items


def can(item: Item, said: str) -> bool:
    """Say whether that may be said of a finding as it stands."""
    return item.state in _STEPS[said][0]


def named(items: Mapping[str, Item], begins: str) -> list[Item]:
    """Return the findings that are meant by how an id begins."""
    if begins in items:
        return [items[begins]]
    return [item for name, item in items.items() if name.startswith(begins)] if len(begins) >= SHORTEST else []


def saying(item: Item, said: Said) -> Event:
    """Return the event of something that is said about a finding; who says it, and why, is added by who records it."""
    about = item.event
    return Event(
        event_type="security",
        action=said,
        session_id=about.session_id,
        correlation_id=about.correlation_id,
        call_id=about.call_id,
        server_id=about.server_id,
        detail={"finding": item.id, "rule": item.rule, "from": item.state, "to": _STEPS[said][1]},
    )


def at_least(severity: Severity) -> frozenset[str]:
    """Return this severity and those above it."""
    return frozenset(SEVERITIES[SEVERITIES.index(severity) :])


def _events(folder: LogFolder) -> Iterator[Event]:
    for line in lines_from(folder):
        if b'"security"' not in line.data or is_tombstone(line.data):
            continue
        try:
            yield read_event(line.data)
        except NotVerified:
            continue  # no event; that is for verify
