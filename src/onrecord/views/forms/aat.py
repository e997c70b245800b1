# SPDX-License-Identifier: Apache-2.0
"""Events as an agent audit trail of draft-sharif-agent-audit-trail-06, an individual Internet-Draft.

Its text was not at hand when this was written; the rules are those that implementations of -02 and -06 check. A trail
is of one session: a record that begins it, one or two for each event, and one that ends it, each with the SHA-256 of
the canonical JSON of the one before. Records are not signed: what is signed is the log, and each record names the entry
there that it is made of.

The draft wants UUIDs of version 4 where events have those of version 7. A record's id is made of the SHA-256 of what it
stands for, so a trail that is exported twice is the same; the event's own ids are in `action_detail`. There are no
floats: they are text, and so are integers that not every reader can keep.
"""

import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any, Final, cast
from urllib.parse import quote
from uuid import UUID

from onrecord.event.event import Event
from onrecord.rules.canonical import canonical
from onrecord.version import __version__
from onrecord.views.forms.parts import CALLS, OWN, Object, Parts, placed, said

DRAFT: Final = "draft-sharif-agent-audit-trail-06"

_EXACT: Final = 2**53 - 1
_VERSION: Final = re.compile(r"\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?", re.ASCII)
_NO_VERSION: Final = "0.0.0"
_NO_TIME: Final = "1970-01-01T00:00:00.000000Z"
# What the draft's levels grade is an agent's own credential, of which the record says nothing: so the lowest.
_TRUST: Final = "L0"

# Names in `action_detail`. Fields that are not here have their own name below `action_detail.onrecord`.
NAMES: Final = {
    "event_id": "event_id",
    "seq": "seq",
    "call_id": "call_id",
    "correlation_id": "correlation_id",
    "session_id": "session_id",
    "user_id": "principal",
    "identity_source": "identity.source",
    "identity_assurance": "identity.assurance",
    "identity_issuer": "identity.issuer",
    "principal_type": "identity.principal_type",
    "tenant_id": "tenant_id",
    "client_id": "client.id",
    "client_name": "client.name",
    "client_version": "client.version",
    "agent_id": "agent.id",
    "agent_name": "agent.name",
    "client_ip": "ip",
    "model_step_id": "step_id",
    "tool_name": "tool_name",
    "server_id": "tool_server",
    "risk_tier": "risk_tier",
    "input_hash": "parameters_hash",
    "arg_keys": "arg_keys",
    "scope_required": "scope_required",
    "scope_present": "scope_present",
    "policy_reason": "reason",
    "policy_id": "policy_id",
    "policy_version": "policy_version",
    "approval_id": "approval.id",
    "approval_version": "approval.version",
    "approval_approver": "approval.approver",
    "approval_role": "approval.role",
    "approval_decision": "approval.decision",
    "approval_preview_hash": "approval.preview_hash",
    "approval_execution_match": "approval.execution_match",
    "downstream_resource": "resource",
    "before_summary": "change.before",
    "after_summary": "change.after",
    "rollback_reference": "rollback_ref",
    "idempotency_key": "idempotency_key",
    "suspicious_signals": "signals",
    "redaction_policy": "redaction.policy",
    "sensitive_fields": "redaction.fields",
    "trace_id": "trace_id",
    "span_id": "span_id",
}

_DECIDED: Final = {"": "success", "allow": "success", "deny": "denied", "needs_approval": "escalated"}
_ENDED: Final = {
    **dict.fromkeys(("succeeded", "accepted", "input_required"), "success"),
    "blocked": "denied",
    "timed_out": "timeout",
}
_VOTED: Final = {
    "requested": "escalated",
    "escalated": "escalated",
    "rejected": "denied",
    "expired": "denied",
    "withdrawn": "denied",
}


def trails(events: Iterable[Event]) -> Iterator[Object]:
    """Yield the records of a trail for each session, one trail behind the other. `events` are in their order.

    What belongs to no session is a trail for each process that wrote it.
    """
    sessions: dict[str, list[Event]] = {}
    for event in events:
        sessions.setdefault(event.session_id or f"wid:{event.wid}", []).append(event)
    for session, of_session in sessions.items():
        yield from _chained(_uuid("session", session), of_session)


def _chained(session: str, events: list[Event]) -> Iterator[Object]:
    """Yield the records of a trail, each with the hash of the one before."""
    begin: Object = {
        "event": "session_start",
        "draft": DRAFT,
        "exporter": f"{OWN} {__version__}",
        "about": "begins what was exported of a session; the session may have begun before",
    }
    end: Object = {"event": "session_end", "about": "ends what was exported of a session; the session may go on"}
    first, last = events[0], events[-1]
    made = [
        _record(first, session, ("begin", session), "lifecycle", begin, "success", "concurrent"),
        *(record for event in events for record in records(event)),
        _record(last, session, ("end", session, last.event_id), "lifecycle", end, "success", "post_execution"),
    ]
    made[-1]["action_detail"]["record_count"] = len(made)
    before: Object = {}
    hashes = b""
    for record in made:
        digest = sha256(canonical(before)).digest() if before else b""
        hashes += digest
        if record is made[-1]:
            record["action_detail"]["session_hash"] = sha256(hashes).hexdigest()
        before = record | {"parent_record_id": before.get("record_id"), "prev_hash": digest.hex() or None}
        yield before


def records(event: Event) -> Iterator[Object]:
    """Yield the records that an event is: a call and the decision on it, a result and its error, or one alone.

    They are not chained yet.
    """
    parts = Parts(event)
    session = _uuid("session", event.session_id or f"wid:{event.wid}")
    action_type, own, outcome, phase = _action(event)
    detail = {**_detail(parts), **own}
    yield _record(event, session, _identity(event), action_type, detail, outcome, phase)
    pointer = said(event_id=event.event_id, seq=event.seq, call_id=event.call_id)
    if action_type == "tool_call" and event.policy_decision:
        decision = {
            **pointer,
            "decision_type": "policy",
            "decision": event.policy_decision,
            **said(reason=event.policy_reason, policy_id=event.policy_id, policy_version=event.policy_version),
        }
        yield _record(event, session, ("decision", event.event_id), "decision", decision, outcome, "pre_execution")
    if action_type == "tool_response" and outcome == "failure" and event.error_type:
        error = {
            **pointer,
            "error_code": event.error_type,
            **said(error_message=event.error_summary),
            "parent_call_id": own["parent_call_id"],
        }
        yield _record(event, session, ("error", event.event_id), "error", error, "failure", "post_execution")


def _action(event: Event) -> tuple[str, Object, str, str]:
    """Return type, details of that type, outcome and phase of the record of an event."""
    if event.event_type in CALLS and event.phase == "attempt":
        name = event.tool_name or event.method or event.event_type
        call: Object = {"tool_name": name, "parameters_hash": event.input_hash or None}
        return "tool_call", call, _DECIDED[event.policy_decision], "pre_execution"
    if event.event_type in CALLS and event.phase == "result":
        response: Object = {"parent_call_id": _uuid(*_call(event))}
        if event.latency_us is not None:
            response["latency_ms"] = max(0, event.latency_us) // 1000
        return "tool_response", response, _ENDED.get(event.result_status, "failure"), "post_execution"
    if event.phase == "decision":
        return "decision", {"decision_type": "approval"}, _DECIDED[event.policy_decision], "pre_execution"
    if event.event_type == "approval":
        outcome = _VOTED.get(event.action, "success")
        if outcome == "escalated":
            return "escalation", {"escalation": event.action}, outcome, "pre_execution"
        return "decision", {"decision_type": "approval"}, outcome, "pre_execution"
    name = f"{event.event_type}.{event.action}" if event.action else event.event_type
    failed = event.action == "refuse" or event.event_type == "delivery_failure" or bool(event.error_type)
    denied = event.policy_decision == "deny"
    return "lifecycle", {"event": name}, "denied" if denied else "failure" if failed else "success", "concurrent"


def _detail(parts: Parts) -> Object:
    """Return all that an event says, in the terms of the draft where it has one."""
    fields = parts.left()
    return placed(fields, {name: NAMES.get(name, f"{OWN}.{name}") for name in fields})


def _record(
    event: Event, session: str, of: tuple[str, ...], action_type: str, detail: Object, outcome: str, phase: str
) -> Object:
    return {
        "record_id": _uuid(*of),
        "timestamp": event.timestamp or _NO_TIME,
        "agent_id": _agent(event),
        "agent_version": event.client_version if _VERSION.fullmatch(event.client_version) else _NO_VERSION,
        "session_id": session,
        "action_type": action_type,
        "action_detail": _exact(detail),
        "outcome": outcome,
        "trust_level": _TRUST,
        "record_phase": phase,
    }


def _agent(event: Event) -> str:
    """Return a URI of the agent: by its pseudonym, else by the client's id, else by the name that the client claims."""
    for kind, name in (("agent", event.agent_id), ("client", event.client_id), ("claimed", event.client_name)):
        if name:
            return f"urn:{OWN}:{kind}:{quote(name, safe='')}"
    return f"urn:{OWN}:agent:unknown"


def _identity(event: Event) -> tuple[str, ...]:
    """Return what the id of an event's record is made of: of a call, what its result knows as well."""
    if event.event_type in CALLS and event.phase == "attempt" and event.call_id:
        return _call(event)
    return ("event", event.event_id)


def _call(event: Event) -> tuple[str, ...]:
    return ("call", event.call_id, str(event.round))


def _uuid(*of: str) -> str:
    """Return a UUID in the shape of version 4, made of a digest."""
    digest = sha256("\x1f".join((OWN, "aat", *of)).encode()).digest()
    return str(UUID(bytes=digest[:16], version=4))


def _exact(value: Any) -> Any:
    """Return a JSON value with text in place of each float, and of each integer that not every reader can keep."""
    match value:
        case dict():
            return {name: _exact(each) for name, each in cast(Object, value).items()}
        case list():
            return [_exact(each) for each in cast(list[Any], value)]
        case bool():
            return value
        case int():
            return value if abs(value) <= _EXACT else str(value)
        case float():
            return repr(value)
        case _:
            return value
