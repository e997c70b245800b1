# SPDX-License-Identifier: Apache-2.0
"""What the span of a call says of its record: which events are those of the call, and what was decided.

The span is somebody else's, such as the one that the SDK opens for each message. It gets ids and words of ours, and
nothing that came with the call: what collects spans is not what the record is redacted for. Where OpenTelemetry is not
installed, or nothing is recorded by it, nothing happens.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from onrecord.event.event import Event

if TYPE_CHECKING:
    from opentelemetry.trace import Span


def on_span() -> Callable[[Event], None] | None:
    """Return what puts the attempt of a call on the span that is current here, None where none is recorded."""
    try:
        from opentelemetry.trace import get_current_span
    except ImportError:
        return None
    span = get_current_span()
    return partial(_put, span) if span.is_recording() else None


def _put(span: "Span", attempt: Event) -> None:
    span.set_attributes({"onrecord.call_id": attempt.call_id, "onrecord.event_id": attempt.event_id})
    if attempt.policy_decision:
        span.set_attribute("onrecord.decision", attempt.policy_decision)
    if attempt.risk_tier is not None:
        span.set_attribute("onrecord.tier", attempt.risk_tier)
