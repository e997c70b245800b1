# SPDX-License-Identifier: Apache-2.0
"""Events in the Elastic Common Schema: fields that ECS has, and below `onrecord` all others under their own names."""

from typing import Final

from onrecord.event.event import Event
from onrecord.views.forms.parts import CALLS, OWN, Object, Parts, is_id, is_ip, name_of, plant, said

VERSION: Final = "8.17.0"

# Where a field stands, if not below `onrecord`. These hold text, or a list of text, as they are.
PLACES: Final = {
    "timestamp": "@timestamp",
    "event_id": "event.id",
    "seq": "event.sequence",
    "policy_reason": "event.reason",
    "user_id": "user.id",
    "roles_present": "user.roles",
    "tenant_id": "organization.id",
    "server_id": "service.name",
    "server_version": "service.version",
    "policy_id": "rule.id",
    "policy_version": "rule.version",
    "error_type": "error.type",
    "error_summary": "error.message",
}

_CATEGORIES: Final = {
    **dict.fromkeys(CALLS | {"policy_decision"}, "api"),
    "connection": "session",
    "approval": "iam",
    "authentication": "authentication",
    **dict.fromkeys(("configuration", "tool_definition"), "configuration"),
    **dict.fromkeys(("install", "uninstall"), "package"),
    **dict.fromkeys(("recorder_start", "recorder_stop"), "process"),
    "security": "intrusion_detection",
}
_TYPES: Final = {
    **dict.fromkeys(CALLS, "access"),
    "approval": "change",
    **dict.fromkeys(("configuration", "tool_definition"), "change"),
    "install": "installation",
    "uninstall": "deletion",
    "recorder_start": "start",
    "recorder_stop": "end",
}
_CONNECTED: Final = {"open": "start", "close": "end"}
_DECIDING: Final = frozenset({"api", "intrusion_detection"})
_DECIDED: Final = {"allow": "allowed", "deny": "denied"}
_OUTCOMES: Final = {
    "succeeded": "success",
    **dict.fromkeys(("failed", "blocked", "cancelled", "timed_out"), "failure"),
    **dict.fromkeys(("accepted", "input_required", "unknown"), "unknown"),
}


def ecs(event: Event) -> Object:
    """Return an event as a document of ECS."""
    parts = Parts(event)
    made: Object = {"ecs": {"version": VERSION}}
    for name, path in PLACES.items():
        value = parts.take(name)
        if value is not None:
            plant(made, path, value)
    if is_ip(event.client_ip):
        plant(made, "client.ip", parts.take("client_ip"))
    if is_id(event.trace_id, 32):
        plant(made, "trace.id", parts.take("trace_id"))
        if is_id(event.span_id, 16):
            plant(made, "span.id", parts.take("span_id"))
    category = _CATEGORIES.get(event.event_type, "")
    made["event"] = {
        **made.get("event", {}),
        "kind": "alert" if event.event_type == "security" else "event",
        "module": OWN,
        "provider": OWN,
        "action": name_of(event),
        **said(
            category=[category] if category else [],
            type=_types(event, category) if category else [],
            outcome=_outcome(event),
            duration=None if event.latency_us is None else event.latency_us * 1000,
        ),
    }
    parts.take("latency_us")
    return made | said(**{OWN: parts.left()})


def _types(event: Event, category: str) -> list[str]:
    """Return what of the types that ECS has for a category fits."""
    if category == "session":
        return [_CONNECTED.get(event.action, "info")]
    known = [_TYPES.get(event.event_type, "")]
    if category in _DECIDING:
        known.append(_DECIDED.get(event.policy_decision, ""))
    return [each for each in known if each] or ["info"]


def _outcome(event: Event) -> str:
    if event.event_type == "authentication" and event.action in ("verify", "refuse"):
        return "success" if event.action == "verify" else "failure"
    return _OUTCOMES.get(event.result_status, "")
