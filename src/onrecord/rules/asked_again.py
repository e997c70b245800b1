# SPDX-License-Identifier: Apache-2.0
"""The question that a policy was asked about a call, made again from its attempt on the record.

All that a question holds is on the record, unless redaction withheld a part of it: a name that holds a
secret, or that is too long. Then there is no question, as one about another name would be a guess.
"""

from onrecord.event.event import Event
from onrecord.rules.policy import Context, Question, Resource, Subject, resource_type

_WITHHELD = "[REDACTED:"
_CUT = 256  # characters; a name of so many may have been longer


def is_asked(event: Event) -> bool:
    """Say whether a policy was, or would have been, asked about this event: whether it is the attempt of a call."""
    return event.phase == "attempt"


def question_again(attempt: Event) -> Question | None:
    """Return what was asked about `attempt`; None where the record does not have all of it."""
    kind = resource_type(attempt.event_type)
    names = {"tool": attempt.tool_name, "resource": attempt.resource_uri, "prompt": attempt.prompt_name}
    name = names.get(kind, attempt.server_id)
    if attempt.redaction_error or len(name) >= _CUT:
        return None
    if any(_WITHHELD in text for text in (name, *attempt.scope_required, *attempt.scope_present)):
        return None
    return Question(
        subject=Subject(
            id=attempt.user_id,
            tenant=attempt.tenant_id,
            source=attempt.identity_source,
            assurance=attempt.identity_assurance,
        ),
        action=attempt.method if attempt.event_type != "request" else "request",
        resource=Resource(type=kind, id=name, server=attempt.server_id),
        context=Context(
            tier=attempt.risk_tier or 0,
            classification=attempt.data_classification,
            scope_required=attempt.scope_required,
            scope_present=attempt.scope_present,
            direction=attempt.direction,
            round=attempt.round,
            transport=attempt.transport,
            trace_id=attempt.trace_id,
            arguments_digest=attempt.input_hash,
            definition_digest=attempt.tool_definition_hash,
            suspicious_before=len(attempt.suspicious_before),
        ),
    )
