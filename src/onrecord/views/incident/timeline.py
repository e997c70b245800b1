# SPDX-License-Identifier: Apache-2.0
"""An event as one line of a timeline: what it is, and what it says that matters there."""

from collections.abc import Iterator

from onrecord.event.event import Event
from onrecord.views.incident.saying import named, several, target, values


def told(event: Event) -> str:
    """Return one line about `event`; names and values of others that could be read as anything else are in quotes."""
    return ", ".join(part for part in _parts(event) if part)


def _parts(event: Event) -> Iterator[str]:
    if event.event_type == "approval":
        yield f"approval {named(event.action)}: {target(event)}"
        yield f"by {named(event.approval_approver)}" if event.approval_approver else ""
    elif event.phase == "attempt":
        yield f"{target(event)} asked for"
        yield f"tier {event.risk_tier}"
        yield event.policy_decision
        yield f"by {named(event.policy_id)}" if event.policy_id not in ("", "none") else ""
        yield f"values {values(event.input_summary)}" if event.input_summary else ""
        yield "after flagged output" if event.suspicious_before or event.tainted_by else ""
    elif event.phase == "decision":
        yield f"{target(event)} decided again: {event.policy_decision}"
        yield f"approved by {named(event.approval_approver)}" if event.approval_approver else ""
    elif event.phase == "result":
        yield f"{target(event)} ended: {event.result_status}"
        yield named(event.error_type) if event.error_type else ""
        yield "late" if event.late else ""
        yield f"{event.latency_us / 1000:.1f} ms" if event.latency_us is not None else ""
        yield "output withheld from the caller" if event.policy_decision == "deny" else ""
    else:
        yield f"{event.event_type} {named(event.action)}".strip() if event.action else event.event_type
        yield target(event) if event.tool_name else named(event.server_id) if event.server_id else ""
    if event.suspicious_signals:
        yield f"flagged {several(event.suspicious_signals)}"
