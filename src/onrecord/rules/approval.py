# SPDX-License-Identifier: Apache-2.0
"""Whether somebody has approved exactly this call: what is asked, who may answer, and how the answers stand. Pure.

An approval is a statement: this call with these arguments, of this principal, by this definition, as this view
showed it, under this version of the policy. Its digest is what each vote names, so a vote for one call is worth
nothing for another. Whoever changes an argument asks for something else.

One rejection rejects. As many different people as the quorum asks for approve. After `expires_us` nothing counts
any more, an approval that was given included. Who asked may always withdraw, and may approve only where four eyes
are not demanded; then the vote says that it is not independent. Whoever acts for who asked never approves, also not as
the one who acts for another person; and where different people are demanded, nobody approves through an agent.
Pseudonyms tell people apart only where they are of one name space: the accounts here, or the people of one issuer.

A vote is checked twice: when it is cast (`admit`), and again whenever the votes are counted (`standing`), so that a
list of votes is worth no more than the votes in it. What cannot be told is not approved. Times are microseconds since
1970, and come from the caller.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

from onrecord.errors import OnRecordError
from onrecord.event.call import Call, Json
from onrecord.event.event import IdentityAssurance, IdentitySource, PrincipalType, Tier
from onrecord.rules.canonical import canonical
from onrecord.rules.policy import LEVELS
from onrecord.rules.trace_context import BAGGAGE, TRACEPARENT, TRACESTATE

Channel: TypeAlias = Literal["cli", "webhook", "elicitation", "webauthn"]
Choice: TypeAlias = Literal["approved", "rejected"]
State: TypeAlias = Literal["pending", "escalated", "approved", "rejected", "expired"]

VERSION = 1  # of the statement
STRICT = 4  # the tier from which the stricter terms hold
MOST_VOTES = 64  # on one statement; past it nothing more is counted

ACCOUNTS = "os_account"  # the name space of the accounts of this machine

_ACCOUNTS = ("os_account", "peer_cred")  # sources that know no more than an account
_TOKENS = ("id_token", "identity_jws", "oauth")
_KIND = "onrecord approval statement"
_PASSING = frozenset({"progressToken", TRACEPARENT, TRACESTATE, BAGGAGE})
_PROTOCOL = "io.modelcontextprotocol/"
_OF_ONE_REQUEST = frozenset(
    {"id", "call_id", "round", "name", "preview_hash", "prompt_version", "requested_us", "expires_us", "escalate_us"}
)


class VoteRefused(OnRecordError):
    """A vote does not count; the message says why, in words of our own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an approval takes here, and how long: see `[approvals]` in docs/settings.md.

    `by_token`: an issuer is believed, so that more than the account can be known of people; `by_person`: its tokens say
    which of them are people's, as they must where people must differ or be present.
    """

    expires_us: int
    expires_strict_us: int
    quorum: int
    four_eyes_from: int
    step_up_from: int
    assurance: IdentityAssurance
    assurance_strict: IdentityAssurance
    escalate_after_us: int
    escalate_roles: tuple[str, ...]
    channels: tuple[Channel, ...]
    wait_s: float
    by_token: bool
    by_person: bool

    def needed_of(self, tier: int) -> IdentityAssurance:
        """Return what must at least be known of who approves a call of `tier`."""
        return self.assurance_strict if tier >= STRICT else self.assurance

    def is_confirmable(self, tier: int) -> bool:
        """Say whether who asked may confirm a call of `tier` in their client, where no role is demanded."""
        alone = tier < min(self.four_eyes_from, self.step_up_from) and self.quorum == 1
        return alone and "elicitation" in self.channels

    def out_of_reach(self, tier: int) -> str:
        """Return why nobody can approve a call of `tier`, but by confirming it; "" where somebody may. Names settings.

        An authenticator proves presence, and shows who that is no better than they were known when they enrolled it.
        """
        why: list[str] = []
        step_up, needed = tier >= self.step_up_from, self.needed_of(tier)
        if step_up and "webauthn" not in self.channels:
            why.append('it takes a step-up (approvals.step_up_from), and approvals.channels has no "webauthn"')
        known = self.by_token or ("webhook" in self.channels and not step_up)
        if not known and LEVELS[needed] > LEVELS["os_account"]:
            setting = "assurance_tier_4" if tier >= STRICT else "assurance"
            why.append(f"approvers must be known by {needed} (approvals.{setting}), and identity.issuer is empty")
        elif not self.by_person and LEVELS[needed] > LEVELS["os_account"] and self._needs_people(tier):
            why.append("approvers must be people, and no token tells: identity.person_claim is empty")
        return "; ".join(why)

    def _needs_people(self, tier: int) -> bool:
        return tier >= min(self.four_eyes_from, self.step_up_from) or self.quorum > 1


class Statement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be approved. Digests are in hex; ids are UUIDv7; `name` is as it may be shown.

    `call_digest` is keyed, over method, server, name, arguments and the answers given in a round. `requester` is the
    pseudonym of the person, "" for a workload; `agents` are those that act; `names` is the name space of both, the
    issuer or "os_account", "" where that is not known. `roles` may approve: () is anyone who is not excluded; from
    `escalate_us` on (0 is never) `escalate_roles` may too. `assurance` is the least that must be known of an approver.
    """

    id: str
    version: int = VERSION
    call_id: str
    round: int
    call_digest: str
    definition_digest: str
    preview_hash: str
    prompt_version: str
    policy_version: str
    requester: str
    agents: tuple[str, ...]
    names: str = ""
    tenant: str
    server: str
    action: str
    name: str
    tier: Tier
    roles: tuple[str, ...]
    quorum: int
    four_eyes: bool
    step_up: bool
    assurance: IdentityAssurance
    channels: tuple[Channel, ...]
    requested_us: int
    expires_us: int
    escalate_us: int = 0
    escalate_roles: tuple[str, ...] = ()

    def digest(self) -> str:
        """Return the SHA-256 of this statement in the form of RFC 8785, in hex: what a vote names or signs."""
        fields: dict[str, Json] = msgspec.json.decode(msgspec.json.encode(self))
        return hashlib.sha256(canonical({"type": _KIND, **fields})).hexdigest()

    def asks_the_same(self, other: "Statement") -> bool:
        """Say whether `other` is about the same call of the same principal, and as hard to approve, whenever it is."""
        return _of_call(self) == _of_call(other)


class Vote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one person says of a statement, whose digest is `statement`.

    `approver` is a pseudonym of who was proven to say so, by `source` with `assurance`; "" for a workload. `agents` are
    those that act for them, and `kind` what they are, by their token. `names` is as in a statement. `role` is that in
    which they decide, one of `roles`, or "" where none is demanded. `stepped_up`: they proved their presence for
    exactly this statement.
    """

    statement: str
    decision: Choice
    approver: str
    agents: tuple[str, ...] = ()
    names: str = ""
    tenant: str
    source: IdentitySource
    kind: PrincipalType = ""
    assurance: IdentityAssurance
    role: str = ""
    roles: tuple[str, ...] = ()
    channel: Channel
    stepped_up: bool = False
    at_us: int


def names_of(source: IdentitySource, issuer: str) -> str:
    """Return the name space of who is known by `source`: `issuer` of a token, "os_account"; "" where none is known."""
    return issuer if source in _TOKENS else ACCOUNTS if source in _ACCOUNTS else ""


def bound(call: Call) -> Json:
    """Return all of `call` that an approval is for: every member of its params, as far as a server may act on it.

    Of `_meta` what belongs to the protocol and to tracing is left out, as it differs each time a call is sent.
    """
    meta = call.meta.open()
    return {
        "type": "onrecord call",
        "method": call.method,
        "server": call.connection.server_id,
        "name": call.name,
        "arguments": call.arguments.open(),
        "answers": call.brought.open(),
        "rounds": list(call.rounds),
        "beside": call.beside.open(),
        "meta": {key: one for key, one in meta.items() if not _is_passing(key)} if isinstance(meta, dict) else meta,
    }


def _is_passing(key: str) -> bool:
    """Say whether a key of `_meta` is of the protocol or of a trace."""
    return key in _PASSING or key.startswith(_PROTOCOL)


def admit(statement: Statement, votes: Sequence[Vote], vote: Vote, now_us: int) -> None:
    """Raise VoteRefused unless `vote` counts now, after `votes`."""
    if vote.at_us > now_us:
        raise VoteRefused("the vote is of a time to come")
    if now_us >= statement.expires_us:
        raise VoteRefused("the request has expired")
    if votes and vote.at_us < votes[-1].at_us:
        raise VoteRefused("the clock has gone back behind the last vote; vote again when it has caught up")
    counted = counting(statement, votes, now_us)
    why = _why_not(statement, counted, vote)
    if why:
        raise VoteRefused(why)


def standing(statement: Statement, votes: Sequence[Vote], now_us: int) -> State:
    """Return how `statement` stands at `now_us`, by those of `votes` that count."""
    decided = _decided(statement, counting(statement, votes, now_us))
    if decided == "rejected":
        return "rejected"
    if now_us >= statement.expires_us:
        return "expired"
    if decided == "approved":
        return "approved"
    return "escalated" if _is_escalated(statement, now_us) else "pending"


def counting(statement: Statement, votes: Sequence[Vote], now_us: int) -> list[Vote]:
    """Return those of `votes`, in the order in which they were cast, that count at `now_us`.

    Behind one that is of a time to come, or dated before the one ahead of it, none does: what was decided by fewer
    votes would change.
    """
    counted: list[Vote] = []
    latest_us = 0
    for vote in votes[:MOST_VOTES]:
        if not latest_us <= vote.at_us <= now_us:
            break
        latest_us = vote.at_us
        if not _why_not(statement, counted, vote):
            counted.append(vote)
    return counted


def role_in(statement: Statement, roles: Sequence[str], now_us: int) -> str:
    """Return the first of `roles` in which one may decide on `statement` at `now_us`; "" where there is none."""
    return next((role for role in roles if role in eligible(statement, now_us)), "")


def eligible(statement: Statement, now_us: int) -> tuple[str, ...]:
    """Return the roles of which an approver must have one; () where none is demanded."""
    if not statement.roles:
        return ()
    return (*statement.roles, *statement.escalate_roles) if _is_escalated(statement, now_us) else statement.roles


def is_withdrawal(statement: Statement, vote: Vote) -> bool:
    """Say whether `vote` is that of who asked, not to do it."""
    return vote.decision == "rejected" and vote.approver == statement.requester != ""


def is_independent(statement: Statement, vote: Vote) -> bool:
    """Say whether `vote` is that of another person than who asked, and came through nobody else."""
    another = vote.approver not in ("", statement.requester, *statement.agents)
    return another and not vote.agents and vote.channel != "elicitation"


def is_confirmable(statement: Statement) -> bool:
    """Say whether the confirmation of who asked, through their client, is all that it takes."""
    more = statement.four_eyes or statement.step_up or statement.roles or statement.quorum != 1
    return "elicitation" in statement.channels and bool(statement.requester) and not more


def _why_not(statement: Statement, counted: Sequence[Vote], vote: Vote) -> str:
    """Return why `vote` does not count after `counted`, "" where it does."""
    if not hmac.compare_digest(vote.statement.encode(), statement.digest().encode()):
        return "the vote is for another statement"
    if not statement.requested_us <= vote.at_us < statement.expires_us:
        return "the vote is of a time at which nothing was asked"
    if _decided(statement, counted):
        return "it is decided already"
    if not vote.approver:
        return "nobody is known to have cast it; a workload cannot decide"
    if vote.tenant != statement.tenant:
        return "the approver is of another tenant"
    if vote.channel not in statement.channels:
        return f"decisions by {vote.channel} do not count here"
    if any(vote.approver == one.approver for one in counted):
        return "the approver has voted before"
    if is_withdrawal(statement, vote):
        return ""
    return _why_not_of(statement, vote)


def _why_not_of(statement: Statement, vote: Vote) -> str:
    """Return why the approver may not decide in this way, "" where they may."""
    if vote.channel == "elicitation":
        return _why_not_confirmed(statement, vote)
    if not {vote.approver, *vote.agents}.isdisjoint(statement.agents):
        return "who acts for the requester cannot decide"
    if LEVELS.get(vote.assurance, 0) < max(LEVELS.get(statement.assurance, len(LEVELS)), LEVELS["os_account"]):
        return f"not enough is known of the approver: {statement.assurance} is needed"
    roles = eligible(statement, vote.at_us)
    if roles and (vote.role not in roles or vote.role not in vote.roles):
        return f"the approver has none of the roles {', '.join(roles)}, by [[approver]] or by their token"
    if vote.decision == "rejected":
        return ""
    if vote.agents and _takes_others(statement):
        return "an agent acts for the approver, and where different people are demanded each decides in person"
    if (_takes_others(statement) or statement.step_up) and not _is_person(vote):
        return "their token does not say that a person approves: identity.person_claim names the claim that does"
    if statement.four_eyes and not is_independent(statement, vote):
        return "the requester cannot approve their own call"
    if statement.four_eyes and not statement.requester and not statement.agents:
        return "nobody knows who asked, so nobody can be another person"
    if statement.step_up and not vote.stepped_up:
        return "the approver must prove their presence for this statement (step-up)"
    if _takes_others(statement) and (not vote.names or vote.names != statement.names):
        return _not_told_apart(statement, vote)
    return ""


def _not_told_apart(statement: Statement, vote: Vote) -> str:
    by = [f"by {'the account' if one == ACCOUNTS else one or 'nothing known'}" for one in (statement.names, vote.names)]
    return f"nobody can tell that they are two people: the requester is known {by[0]}, and the approver {by[1]}"


def _why_not_confirmed(statement: Statement, vote: Vote) -> str:
    """Return why a confirmation through the client of who asked does not count, "" where it does."""
    if not is_confirmable(statement):
        return "a confirmation in the client is no approval by another person"
    return "" if vote.approver == statement.requester else "only the requester confirms in their client"


def _decided(statement: Statement, counted: Sequence[Vote]) -> Choice | None:
    """Return what votes that count amount to, None as long as that is open."""
    if any(vote.decision == "rejected" for vote in counted):
        return "rejected"
    approvals = len({vote.approver for vote in counted})
    return "approved" if approvals >= max(1, statement.quorum) else None


def _takes_others(statement: Statement) -> bool:
    """Say whether different people are demanded, so that they must be told apart."""
    return statement.four_eyes or statement.quorum > 1


def _is_person(vote: Vote) -> bool:
    """Say whether a person has cast `vote`, as far as that can be told: a token says so, and of an account none can."""
    return vote.kind == "human" or vote.source in _ACCOUNTS


def _is_escalated(statement: Statement, now_us: int) -> bool:
    return 0 < statement.escalate_us <= now_us


def _of_call(statement: Statement) -> dict[str, object]:
    fields = statement.__struct_fields__
    return {name: getattr(statement, name) for name in fields if name not in _OF_ONE_REQUEST}
