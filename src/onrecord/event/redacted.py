# SPDX-License-Identifier: Apache-2.0
"""`Redacted`: an event that is fit to be written, and the only thing that a ledger takes.

Two places make one from scratch: `rules.redact`, from values that came from outside, and this file,
for facts that OnRecord states about itself from values of its own (`own_fact`, `deletion`). A
recorder service gets events that a door of the same kind has redacted; `received` takes them in. A
test names these places and finds no other.
"""

import re
from collections.abc import Sequence
from typing import final

import msgspec

from onrecord.event.event import Event, EventType, encode

OWN_FACTS: frozenset[EventType] = frozenset({"log_open", "log_recovered", "degraded", "gap", "key", "heartbeat"})

_RULE = re.compile(r"[A-Za-z0-9._:-]{1,64}")

# What a door may state of itself and of its calls. The rest is for whoever holds the ledger: a door that could state
# a deletion or a hand-over of the signing key could excuse a change of the record.
DOOR_FACTS: frozenset[EventType] = frozenset(
    {
        *("tool_call", "resource_read", "prompt_get", "completion", "sampling", "elicitation", "task", "request"),
        *("recorder_start", "recorder_stop", "install", "uninstall", "connection", "authentication"),
        *("policy_decision", "approval", "configuration", "tool_definition", "security", "access"),
        *("delivery_failure", "gap"),  # the gap is in what the door could hand over
    }
)

_NOTHING = Event()
_SET_BY_SERVICE = ("schema_version", "seq", "prev_hash", "timestamp", "wid", "wseq", "peer_uid", "peer_pid")


@final
class Redacted:
    """An event, encoded once. `body` is its JSON object without the keys that the ledger sets."""

    __slots__ = ("body", "event")

    def __init__(self, event: Event, body: bytes) -> None:
        if not body.startswith(b'{"event_id":'):
            raise ValueError("the keys that the ledger sets are not set yet, and the first of the others is event_id")
        self.event = event
        self.body = body

    def __repr__(self) -> str:
        return f"<redacted {self.event.event_type} {self.event.event_id}>"


def own_fact(
    event_type: EventType,
    *,
    event_id: str,
    action: str = "",
    detail: dict[str, str | int | bool] | None = None,
) -> Redacted:
    """Make the event of a fact about OnRecord itself; `detail` must hold no value from outside."""
    if event_type not in OWN_FACTS:
        raise ValueError(f"{event_type} events may hold values from outside; make them in rules.redact")
    event = Event(
        event_id=event_id,
        event_type=event_type,
        action=action,
        retention_class="standard",
        detail=dict(detail or {}),
    )
    return Redacted(event, encode(event))


def deletion(*, event_id: str, ranges: Sequence[tuple[int, int]], rule: str) -> Redacted:
    """Make the entry that says which lines go, `(first, last)` each, and by which rule; a rule is a plain name.

    Raises ValueError for a rule that could hold more than a name.
    """
    if not _RULE.fullmatch(rule):
        raise ValueError("a rule of retention has a name of letters, digits and ._:- , of at most 64 characters")
    event = Event(
        event_id=event_id,
        event_type="retention",
        action="delete",
        retention_class="standard",
        detail={"ranges": ranges, "count": sum(last - first + 1 for first, last in ranges), "rule": rule},
    )
    return Redacted(event, encode(event))


def with_detail(entry: Redacted, **more: str | int | bool) -> Redacted:
    """Return `entry` with further facts of our own in its detail."""
    event = msgspec.structs.replace(entry.event, detail={**entry.event.detail, **more})
    return Redacted(event, encode(event))


def received(event: Event, *, peer_uid: int | None, peer_pid: int | None) -> Redacted:
    """Make the entry of an event that a door has redacted and handed over, encoded anew.

    `peer_uid` and `peer_pid` are what the kernel says of the door's process. Raises ValueError where
    the event is not a door's to state, or says what only the ledger or its service may set.
    """
    if event.event_type not in DOOR_FACTS:
        raise ValueError(f"an event of type {event.event_type} is not a door's to state")
    if not event.event_id:
        raise ValueError("the event has no event_id")
    if any(getattr(event, name) != getattr(_NOTHING, name) for name in _SET_BY_SERVICE):
        raise ValueError(f"the event sets what only the ledger sets: one of {', '.join(_SET_BY_SERVICE)}")
    event = msgspec.structs.replace(event, peer_uid=peer_uid, peer_pid=peer_pid)
    return Redacted(event, encode(event))


def closing_of(attempt: Event, *, event_id: str, error_type: str) -> Redacted:
    """Make the closing event of an attempt whose recorder died; its values come from the record itself.

    Whether a call that was let through took effect is unknown, and the event says so. Any other one did not run.
    """
    status = "unknown" if attempt.policy_decision in ("", "allow") else "blocked"
    event = msgspec.structs.replace(ended(attempt, event_id=event_id), result_status=status, error_type=error_type)
    return Redacted(event, encode(event))


def ended(attempt: Event, *, event_id: str) -> Event:
    """Return what of an attempt stands on its result too: who, what, where, how risky; not what was asked."""
    return msgspec.structs.replace(
        attempt,
        schema_version=0,
        seq=-1,
        prev_hash="",
        timestamp="",
        wid="",
        wseq=-1,
        peer_uid=None,  # whoever hands over the end is asked anew
        peer_pid=None,
        event_id=event_id,
        phase="result",
        input_summary="",
        answers_summary="",
        arg_keys=(),
        arguments_valid="",
        arguments_unfit=(),
        policy_input="",
        input_size=None,
        policy_decision="",
        policy_reason="",
        policy_id="",
        policy_determining=(),
        policy_observed="",
        policy_consistency="",
        auth_time="",
        auth_context="",
        auth_methods=(),
        data_kinds=(),
        value_tags=(),
        sensitive_fields=(),
        suspicious_before=(),
        tainted_by=(),
        roles_present=(),
        approver_roles=(),
        suspicious_signals=(),
        repeats="",
        trace_faults=(),
        trace_propagated=False,
        redaction_error=False,
    )
