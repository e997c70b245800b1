# SPDX-License-Identifier: Apache-2.0
"""The question that a policy was asked about a call, made again from its attempt on the record.

All that a question holds is on the record, unless redaction withheld a part of it: a name that holds a
secret, or that is too long, or an argument that policies read whose class shows no value. Then there is
no question, as one about another name or value would be a guess.
"""

from collections.abc import Collection

from onrecord.event.event import Event
from onrecord.rules.policy import Question, Resource
from onrecord.rules.policy_input import read_back
from onrecord.rules.question import context_of, resource_type, subject_of

_WITHHELD = "[REDACTED:"
_CUT = 256  # characters; a name of so many may have been longer


def is_asked(event: Event) -> bool:
    """Say whether a policy was, or would have been, asked about this event: whether it is the attempt of a call."""
    return event.phase == "attempt"


def question_again(attempt: Event, declared: Collection[str] = ()) -> Question | None:
    """Return what was asked about `attempt`; None where the record does not have all of it.

    `declared` are pointers of the arguments that are to be in the question.
    """
    kind = resource_type(attempt.event_type)
    names = {"tool": attempt.tool_name, "resource": attempt.resource_uri, "prompt": attempt.prompt_name}
    name = names.get(kind, attempt.server_id)
    if attempt.redaction_error or len(name) >= _CUT:
        return None
    if any(_WITHHELD in text for text in (name, *_texts(attempt))):
        return None
    handed = read_back(attempt.policy_input, declared)
    if handed is None:
        return None
    return Question(
        subject=subject_of(attempt, roles=attempt.roles_present),
        action=attempt.method if attempt.event_type != "request" else "request",
        resource=Resource(type=kind, id=name, server=attempt.server_id),
        context=context_of(
            attempt,
            tier=attempt.risk_tier or 0,
            classification=attempt.data_classification,
            direction=attempt.direction,
            transport=attempt.transport,
            trace_id=attempt.trace_id,
            definition_digest=attempt.tool_definition_hash,
            handed=handed,
        ),
    )


def _texts(attempt: Event) -> tuple[str, ...]:
    """Return what else comes from outside, and might have been withheld."""
    return (*attempt.scope_required, *attempt.scope_present, *attempt.roles_present, *attempt.approver_roles)
