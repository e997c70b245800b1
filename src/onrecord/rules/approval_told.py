# SPDX-License-Identifier: Apache-2.0
"""What the record says of an approval: that it was asked for, each vote, and by whom a call was approved. Pure.

Each event names the approval and the digest of its statement, so that what one person has said can be held against
what another one has asked, and against what ran.
"""

from collections.abc import Sequence
from typing import Any, Literal

from msgspec.structs import replace

from onrecord.event.call import Actor
from onrecord.event.event import Event
from onrecord.event.redacted import ended
from onrecord.rules import approval
from onrecord.rules.approval import Statement, Vote

ASKED, USED = "requested", "redeemed"  # as `action`
OVER = ("rejected", "withdrawn", "expired")

_NAMED = {"resources/read": "resource_uri", "prompts/get": "prompt_name"}


def asked(attempt: Event, statement: Statement, fields: Sequence[str], hidden: int, event_id: str) -> Event:
    """Return the event of a request; `fields` of the call are shown to approvers, and `hidden` values are not."""
    event = replace(ended(attempt, event_id=event_id), event_type="approval", phase="approval", action=ASKED)
    return _about(event, statement, fields, {**_terms(statement), "hidden": hidden})


def voted(statement: Statement, fields: Sequence[str], vote: Vote, event_id: str) -> Event:
    """Return the event of `vote`; who acts is the approver."""
    event = Event(
        event_id=event_id,
        event_type="approval",
        phase="approval",
        action="withdrawn" if approval.is_withdrawal(statement, vote) else vote.decision,
        user_id=vote.approver,
        tenant_id=vote.tenant,
        identity_source=vote.source,
        identity_assurance=vote.assurance,
        approval_approver=vote.approver,
        approval_role=vote.role,
        approval_decision=vote.decision,
    )
    said = {
        "channel": vote.channel,
        "independent": approval.is_independent(statement, vote),
        "stepped_up": vote.stepped_up,
    }
    return _about(_of_call(event, statement), statement, fields, said)


def proven(event: Event, actor: Actor) -> Event:
    """Return the event of a vote with what it is known by who cast it."""
    return replace(
        event,
        identity_issuer=actor.identity_issuer,
        identity_key_id=actor.identity_key_id,
        token_hash=actor.token_hash,
        principal_type=actor.principal_type,
        agent_id=actor.agent_id,
        act_chain=actor.act_chain,
    )


def not_counted(vote: Event) -> Event:
    """Return the event of a vote that does not count, made of the one that it would have had."""
    return replace(vote, event_type="security", phase="", action="vote_refused", approval_decision="")


def by_itself(
    statement: Statement, fields: Sequence[str], action: Literal["escalated", "expired"], event_id: str
) -> Event:
    """Return the event of what time does to a request."""
    event = Event(
        event_id=event_id,
        event_type="approval",
        phase="approval",
        action=action,
        approval_decision=action,
        user_id=statement.requester,
        tenant_id=statement.tenant,
    )
    return _about(_of_call(event, statement), statement, fields, {})


def approved(attempt: Event, statement: Statement, fields: Sequence[str], votes: Sequence[Vote]) -> Event:
    """Return the attempt of a call that may run now, with who approved it: those whose `votes` count."""
    said = {
        "independent": all(approval.is_independent(statement, vote) for vote in votes),
        "approvers": list(dict.fromkeys(vote.approver for vote in votes)),
        "channels": list(dict.fromkeys(vote.channel for vote in votes)),
        **({"asked_in": statement.call_id} if statement.call_id != attempt.call_id else {}),
    }
    event = replace(
        attempt,
        approval_decision="approved",
        approval_approver=votes[0].approver,
        approval_role=votes[0].role,
        approval_execution_match=True,
    )
    return _about(event, statement, fields, said)


def used(event: Event, seen: Event) -> Event:
    """Return `event` as that of the decision by which an approval was used.

    `seen` has what was decided on, as far as it may be otherwise than on the attempt.
    """
    return replace(
        event,
        phase="decision",
        action=USED,
        scope_present=seen.scope_present,
        roles_present=seen.roles_present,
        suspicious_before=seen.suspicious_before,
        tainted_by=seen.tainted_by,
        repeats=seen.repeats,
    )


def _terms(statement: Statement) -> dict[str, Any]:
    return {
        "quorum": statement.quorum,
        "roles": list(statement.roles),
        "four_eyes": statement.four_eyes,
        "step_up": statement.step_up,
        "expires_us": statement.expires_us,
    }


def _of_call(event: Event, statement: Statement) -> Event:
    named = _NAMED.get(statement.action, "tool_name")
    return replace(
        event,
        call_id=statement.call_id,
        round=statement.round,
        server_id=statement.server,
        method=statement.action if statement.action != "request" else "",
        risk_tier=statement.tier,
        policy_version=statement.policy_version,
        tool_definition_hash=statement.definition_digest,
        **{named: statement.name},
    )


def _about(event: Event, statement: Statement, fields: Sequence[str], said: dict[str, Any]) -> Event:
    return replace(
        event,
        approval_id=statement.id,
        approval_version=statement.version,
        approval_prompt_version=statement.prompt_version,
        approval_fields_shown=tuple(fields),
        approval_preview_hash=statement.preview_hash,
        detail={"statement": statement.digest(), **said},
    )
