# SPDX-License-Identifier: Apache-2.0
"""The lines that go out in the place of those that came: answers of ours, and what is handed on without what is ours.

Everything else goes as it came, byte for byte.
"""

from dataclasses import replace

from onrecord.approving import Look
from onrecord.doors import protocol, wire
from onrecord.doors.metadata import with_meta
from onrecord.doors.wire import Notification, Request, Response
from onrecord.errors import Denied, EndNotRecorded, MessageRefused
from onrecord.event.call import RequestId
from onrecord.permits import Delivery, Held, Permit, Refusal
from onrecord.rules import trace_context
from onrecord.rules.principal import META_KEY
from onrecord.screen import Screened

_NOT_GRANTED: dict[Look, tuple[str, str]] = {
    "rejected": ("approval_rejected", "an approver has rejected this call"),
    "expired": ("approval_expired", "nobody has approved this call in time"),
    "used": ("approval_used", "its approval was used by another call like it; ask again"),
    "lost": ("approval_lost", "the request for its approval is gone or was altered; ask again"),
}


def not_granted(held: Held, look: Look) -> tuple[str, str]:
    """Return why a call that waited for an approval is not made, on the record and to its caller."""
    return _NOT_GRANTED.get(look) or ("approval_pending", _pending(held))


def _pending(held: Held) -> str:
    """Return what a caller is told of a call that nobody has decided on yet."""
    approval_id = held.statement.id
    return f"it needs an approval, {approval_id}, which nobody has given yet; once they have, ask for the same again"


def refused(refusal: Refusal, request: Request) -> bytes:
    """Return the answer to a call that must not run, once that is durable."""
    try:
        refusal.redeem()
    except Denied as e:
        tool, modern = request.method == "tools/call", protocol.is_modern(request.params)
        return wire.denied_line(request.id, str(e), tool=tool, modern=modern)


def forwarded(permit: Permit, line: bytes) -> bytes:
    """Return the line that goes on: the one that came, but for a trace that its attempt says goes with it."""
    attempt = permit.attempt
    if not attempt.trace_propagated:
        return line
    began = trace_context.written(attempt.trace_id, attempt.span_id)
    return with_meta(line, {trace_context.TRACEPARENT: began}, trace_context.unusable(attempt.trace_faults))


def onward(message: Request | Notification, line: bytes) -> bytes:
    """Return what of a message of the client is handed on: the bytes that came, without a token for us."""
    if META_KEY not in protocol.meta_of(message.params):
        return line
    onward = with_meta(line, {}, (META_KEY,))
    meta = {key: value for key, value in protocol.meta_of(message.params).items() if key != META_KEY}
    if wire.decode(onward) != replace(message, params={**message.params, "_meta": meta}):
        raise MessageRefused("what is not to be handed on cannot be taken out of it", wire.AMBIGUOUS)
    return onward


def shown(screened: Screened, request: Request, response: Response, line: bytes) -> bytes:
    """Return the line that the caller gets: the one that came, unless a policy wants another in its place."""
    if screened.withheld:
        modern = isinstance(response.result, dict) and "resultType" in response.result
        return wire.withheld_line(request.id, screened.reason, tool=request.method == "tools/call", modern=modern)
    if screened.body is None:
        return line
    return wire.answer_line(request.id, screened.body.open(), error=response.error is not None)


def delivered(delivery: Delivery, request_id: RequestId, line: bytes) -> bytes:
    """Return the answer once its record is durable, or the error that stands for it."""
    try:
        delivery.redeem()
    except EndNotRecorded as e:
        return wire.error_line(request_id, wire.END_NOT_RECORDED, str(e))
    return line
