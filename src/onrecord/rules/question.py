# SPDX-License-Identifier: Apache-2.0
"""The question that a policy is asked about a call: what of it comes from the call, and what from its attempt.

What is read from the attempt is the same when it is read from the record later (`asked_again.py`).
"""

from typing import cast

from onrecord.event.call import NOTHING, Actor, Call, Raw
from onrecord.event.event import Event
from onrecord.rules.classify import Treatment
from onrecord.rules.policy import Context, Question, Resource, ResourceType, Standing, Subject
from onrecord.rules.policy_input import Given, given

_RESOURCES: dict[str, ResourceType] = {"tool_call": "tool", "resource_read": "resource", "prompt_get": "prompt"}

_DEFINITION = "tool-definition:"  # begins the sign that a definition is not the pinned one, and
_DESCRIPTION = "-description:"  # stands in what was found in a description; see `doors/definitions.py`


def resource_type(event_type: str) -> ResourceType:
    """Return what a call of this kind is about."""
    return _RESOURCES.get(event_type, "server")


def question_of(call: Call, treatment: Treatment, attempt: Event, approval: str = "") -> Question:
    """Return what is asked about `call`; `attempt` is its event as far as it is known before it is redacted.

    `approval` is that of a question.
    """
    actor = call.connection.actor
    kind = resource_type(call.event_type)
    server = call.connection.server_id
    return Question(
        subject=subject_of(actor, roles=actor.roles, name=actor.subject),
        action=call.method if call.event_type != "request" else "request",
        resource=Resource(type=kind, id=server if kind == "server" else call.name, server=server),
        context=context_of(
            attempt,
            tier=treatment.tier,
            classification=treatment.classification,
            direction=call.direction,
            transport=call.connection.transport,
            trace_id=attempt.trace_id or call.trace.trace_id,
            definition_digest=call.definition.digest if call.definition else "",
            handed=given(treatment.policy_input, call.arguments.open()),
        ),
        template=treatment.resource,
        arguments=call.arguments,
        approval=approval,
    )


def subject_of(who: Actor | Event, *, roles: tuple[str, ...], name: Raw = NOTHING) -> Subject:
    """Return who asks. `name` is what a token calls them; what a client says of its agent is no part of it."""
    kind = who.principal_type or "unknown"
    return Subject(
        id=who.agent_id if kind == "workload" and not who.user_id else who.user_id,
        kind=kind,
        tenant=who.tenant_id,
        source=who.identity_source,
        assurance=who.identity_assurance,
        issuer=who.identity_issuer,
        agent=who.agent_id,
        client=who.client_id,
        roles=roles,
        acting=len(who.act_chain),
        name=name,
    )


def context_of(
    attempt: Event,
    *,
    tier: int,
    classification: str,
    direction: str,
    transport: str,
    trace_id: str,
    definition_digest: str,
    handed: Given,
) -> Context:
    """Return the circumstances of a call; what its attempt has before it is redacted is taken from there."""
    signs = attempt.suspicious_signals
    return Context(
        tier=tier,
        classification=classification,
        scope_required=attempt.scope_required,
        scope_present=attempt.scope_present,
        direction=direction,
        round=attempt.round,
        transport=transport,
        trace_id=trace_id,
        arguments_digest=attempt.input_hash,
        definition_digest=definition_digest,
        definition=_standing(signs, definition_digest),
        description_flags=tuple(sorted({one.partition(_DESCRIPTION)[2] for one in signs if _DESCRIPTION in one})),
        approver_roles=attempt.approver_roles,
        limits_exceeded=attempt.limits_exceeded,
        arguments_valid=attempt.arguments_valid or "unchecked",
        input=handed,
        repeats=bool(attempt.repeats),
        suspicious_before=len(attempt.suspicious_before),
        tainted_by=attempt.tainted_by,
    )


def _standing(signs: tuple[str, ...], digest: str) -> Standing:
    told = [one.removeprefix(_DEFINITION) for one in signs if one.startswith(_DEFINITION)]
    if told:
        return cast(Standing, told[0])
    return "pinned" if digest else "unknown"
