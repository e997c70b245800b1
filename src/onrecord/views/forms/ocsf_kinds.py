# SPDX-License-Identifier: Apache-2.0
"""Of which class of OCSF 1.8.0 an event is, which activity of that class it tells of, and how it ended."""

from dataclasses import dataclass
from typing import Final

from onrecord.event.event import Event
from onrecord.views.forms.parts import CALLS, Object

OTHER: Final = 99


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A class of OCSF, the profiles that its events are in, and the numbers of its activities that we know of."""

    uid: int
    name: str
    category: int
    category_name: str
    profiles: tuple[str, ...] = ("security_control",)
    activities: tuple[tuple[str, str, int, str], ...] = ()  # type and action of an event, number, caption


API_ACTIVITY: Final = Kind(
    uid=6003,
    name="API Activity",
    category=6,
    category_name="Application Activity",
    profiles=("ai_operation", "trace", "security_control", "host"),
)
DETECTION_FINDING: Final = Kind(
    uid=2004,
    name="Detection Finding",
    category=2,
    category_name="Findings",
    profiles=("security_control", "host"),
    activities=(
        ("security", "acknowledged", 2, "Update"),
        ("security", "reopened", 2, "Update"),
        ("security", "closed", 3, "Close"),
        ("security", "", 1, "Create"),
    ),
)
ENTITY_MANAGEMENT: Final = Kind(
    uid=3004,
    name="Entity Management",
    category=3,
    category_name="Identity & Access Management",
    activities=(
        ("approval", "requested", 1, "Create"),
        ("tool_definition", "pinned", 1, "Create"),
        ("tool_definition", "changed", 3, "Update"),
    ),
)
AUTHENTICATION: Final = Kind(
    uid=3002,
    name="Authentication",
    category=3,
    category_name="Identity & Access Management",
    activities=(("authentication", "verify", 1, "Logon"), ("authentication", "refuse", 1, "Logon")),
)
EVENT_LOG_ACTIVITY: Final = Kind(
    uid=1008,
    name="Event Log Activity",
    category=1,
    category_name="System Activity",
    activities=(
        ("access", "export", 3, "Export"),
        ("retention", "delete", 2, "Delete"),
        ("log_open", "", 6, "Start"),
    ),
)
APPLICATION_LIFECYCLE: Final = Kind(
    uid=6002,
    name="Application Lifecycle",
    category=6,
    category_name="Application Activity",
    profiles=("security_control", "host"),
    activities=(
        ("install", "", 1, "Install"),
        ("uninstall", "", 2, "Remove"),
        ("recorder_start", "", 3, "Start"),
        ("recorder_stop", "", 4, "Stop"),
    ),
)

_OF_TYPE: Final = {
    **dict.fromkeys(CALLS | {"connection", "policy_decision"}, API_ACTIVITY),
    **dict.fromkeys(("approval", "tool_definition", "configuration"), ENTITY_MANAGEMENT),
    **dict.fromkeys(("recorder_start", "recorder_stop", "install", "uninstall"), APPLICATION_LIFECYCLE),
    "security": DETECTION_FINDING,
    "authentication": AUTHENTICATION,
}

_STATUS: Final = {"succeeded": (1, "Success"), "failed": (2, "Failure"), "unknown": (0, "Unknown")}
_FAILED: Final = frozenset({"blocked", "cancelled", "timed_out"})

_OBSERVED: Final = (3, "Observed", 17, "Logged")
_DENIED: Final = (2, "Denied", 2, "Blocked")
_DECIDED: Final = {
    "allow": (1, "Allowed", 1, "Allowed"),
    "deny": _DENIED,
    "needs_approval": (0, "Unknown", 14, "Delayed"),  # it is open whether it will run
}
_VOTED: Final = {
    "approved": (1, "Allowed", 8, "Approved"),
    "rejected": (2, "Denied", 25, "Rejected"),
    "expired": (2, "Denied", 25, "Rejected"),
}


def kind_of(event: Event) -> Kind:
    """Return the class of an event. What is about the log itself, and its readers, is Event Log Activity."""
    if event.event_type == "tool_definition" and event.suspicious_signals:
        return DETECTION_FINDING
    return _OF_TYPE.get(event.event_type, EVENT_LOG_ACTIVITY)


def activity_of(event: Event, kind: Kind) -> tuple[int, str]:
    """Return number and name of what an event tells of; 99, and a word of ours, where the class has none for it."""
    for event_type, action, number, caption in kind.activities:
        if event_type == event.event_type and action in (event.action, ""):
            return number, caption
    if kind is DETECTION_FINDING:
        return 1, "Create"
    return OTHER, event.action or event.phase or event.event_type


def status_of(event: Event) -> Object:
    """Return how it ended, as far as the event says that it has."""
    if event.result_status:
        number, caption = _STATUS.get(event.result_status, (OTHER, event.result_status))
        if event.result_status in _FAILED:
            number, caption = 2, "Failure"
        return {"status_id": number, "status": caption, "status_code": event.result_status}
    if event.event_type == "authentication" and event.action in ("verify", "refuse"):
        refused = event.action == "refuse"
        return {"status_id": 2, "status": "Failure"} if refused else {"status_id": 1, "status": "Success"}
    return {"status_id": 2, "status": "Failure"} if event.event_type == "delivery_failure" else {}


def control_of(event: Event) -> Object:
    """Return what was done about it: `action_id`, `disposition_id` and their captions; nothing where nothing was."""
    decided = _DECIDED.get(event.policy_decision)
    if event.event_type == "approval":
        decided = _VOTED.get(event.approval_decision)
    elif event.event_type == "authentication" and event.action == "refuse":
        decided = (2, "Denied", 26, "Unauthorized")
    elif event.phase == "result":
        decided = decided or {"blocked": _DENIED, "failed": (3, "Observed", 27, "Error")}.get(
            event.result_status, _OBSERVED
        )
    if decided is None:
        return {}
    action_id, action, disposition_id, disposition = decided
    return {"action_id": action_id, "action": action, "disposition_id": disposition_id, "disposition": disposition}
