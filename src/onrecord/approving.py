# SPDX-License-Identifier: Apache-2.0
"""The approving half of the guard: asks for an approval, takes votes, and uses up what was approved, once.

    ask(call, …)            is there a request for this very call? else what one would say   → Asked
    open(asked, attempt)    its event, then its file   → Kept
    look(statement)         how it stands
    cast(id, …)             check a vote, its event, then the file; from any process of this home
    redeem(statement, …)    look at the file, the log where it can be read, and the list of what was used; note it there

The event of a request, and of a vote, comes before what it says takes effect. The use of an approval is noted first,
and the event of the decision follows: a process that dies in between has used up an approval and run nothing. What
comes by itself waits for no event: requests escalate and expire by the clock, and a file that can't be believed is put
aside.

What cannot be told is not approved. This file forwards nothing and knows no protocol; `guard.py` has the law.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, TypeAlias

from msgspec.structs import replace

from onrecord.approvals import Approvals, Cast, Kept
from onrecord.errors import LedgerError, NotApproved, NotVerified
from onrecord.event.call import Actor, Call, Confirmation
from onrecord.event.event import Event
from onrecord.event.redacted import Redacted
from onrecord.ledger.appending import Appending
from onrecord.ledger.clock import NowUs
from onrecord.ledger.lines import last_seq
from onrecord.ledger.place import LogFolder
from onrecord.rules import approval
from onrecord.rules import approval_told as told
from onrecord.rules.approval import STRICT, Channel, Choice, State, Statement, Terms, Vote, VoteRefused
from onrecord.rules.classify import Treatment
from onrecord.rules.confirmation import REFUSED
from onrecord.rules.policy import Verdict
from onrecord.rules.preview import View, count_answers, count_values, view
from onrecord.rules.redact import Redactor
from onrecord.trail import check_trail

MISMATCH = "approval_mismatch"  # what would run is not what was approved

Look: TypeAlias = State | Literal["used", "lost"]
Alarm: TypeAlias = Callable[[Event, Mapping[str, str | list[str]]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Approver:
    """Who decides, as proven, and in which roles; `names` is whose name it is, where that is not as `actor` says."""

    actor: Actor
    roles: tuple[str, ...] = ()
    names: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What would be asked, and the request that asks for it already, if there is one."""

    draft: Statement
    known: Kept | None

    @property
    def id(self) -> str:
        """The id of the approval that the call waits for."""
        return (self.known.statement if self.known else self.draft).id


class Approving:
    """Requests for approval of one home, and their events. Threads may share it."""

    def __init__(
        self,
        store: Approvals,
        writer: Appending,
        redactor: Redactor,
        terms: Terms,
        *,
        log: LogFolder | None,
        new_id: Callable[[], str],
        clock: NowUs,
    ) -> None:
        """`log` is where `writer` writes, None where that cannot be read here."""
        self.store = store
        self.terms = terms
        self.announce: Callable[[Kept], None] = lambda _: None  # told of each request that a call waits for
        self.alarm: Alarm = lambda _event, _outside: None  # puts an event on the log `security`
        self._writer = writer
        self._redactor = redactor
        self._log = log
        self._new_id = new_id
        self._clock = clock

    # of a call

    def ask(self, call: Call, treatment: Treatment, base: Event, verdict: Verdict) -> Asked:
        """Return what is to be asked about `call`, whose attempt will be made from `base`.

        Raises NotApproved where there is no asking.
        """
        terms, actor = self.terms, call.connection.actor
        digest = self._redactor.binding(call)
        if not terms.channels:
            raise NotApproved(verdict.safe, "needs_approval")
        if not digest:
            raise NotApproved("its arguments cannot be bound to an approval", "approval_unbound")
        agents = _acting(actor)
        if not actor.user_id and not agents:
            raise NotApproved("it needs an approval, and nobody knows who asks", "approval_unbound")
        now_us, strict = self._clock(), treatment.tier >= STRICT
        draft = Statement(
            id=self._new_id(),
            call_id=base.call_id,
            round=base.round,
            call_digest=digest,
            definition_digest=call.definition.digest if call.definition else "",
            preview_hash="",
            prompt_version="",
            policy_version=verdict.version or base.policy_version,
            requester=actor.user_id,
            agents=agents,
            names=approval.names_of(actor.identity_source, actor.identity_issuer),
            tenant=actor.tenant_id,
            server=call.connection.server_id,
            action=call.method if call.event_type != "request" else "request",
            name="",
            tier=treatment.tier,
            roles=_roles(verdict, treatment),
            quorum=terms.quorum,
            four_eyes=treatment.tier >= terms.four_eyes_from,
            step_up=treatment.tier >= terms.step_up_from,
            assurance=terms.needed_of(treatment.tier),
            channels=terms.channels,
            requested_us=now_us,
            expires_us=now_us + (terms.expires_strict_us if strict else terms.expires_us),
            escalate_us=now_us + terms.escalate_after_us if terms.escalate_after_us else 0,
            escalate_roles=terms.escalate_roles,
        )
        why = terms.out_of_reach(treatment.tier)
        if why and not approval.is_confirmable(draft):
            raise NotApproved(f"it needs an approval, and nobody here can approve it: {why}", "approval_out_of_reach")
        return Asked(draft=draft, known=self._known(draft))

    def check_answer(self, asked: Asked, said: Confirmation) -> None:
        """Raise NotApproved unless what `said` brings is an answer to what is asked."""
        if asked.known is not None and asked.known.statement.digest() == said.statement:
            return
        with suppress(NotVerified):
            kept = self.store.read(said.approval_id)
            if kept is not None and not kept.redeemed and kept.statement.digest() == said.statement:
                raise NotApproved("what is asked for is not what was answered", MISMATCH, suspicious=True)
        raise NotApproved("the answer was used before, or its question is over", REFUSED, suspicious=True)

    def _known(self, draft: Statement) -> Kept | None:
        """Return the request that asks for the same already and can still be used, an approved one first."""
        return self._usable(self.tidy(), draft)

    def _usable(self, found: list[Kept], draft: Statement) -> Kept | None:
        same: dict[Look, Kept] = {}
        for kept in found:
            over = draft.requested_us >= kept.statement.expires_us
            if not over and not kept.redeemed and kept.statement.asks_the_same(draft):
                same.setdefault(self._state(kept), kept)
        return same.get("approved") or same.get("pending") or same.get("escalated")

    def open(self, asked: Asked, attempt: Event, call: Call) -> Kept:
        """Put the request on the record and keep it, unless it is there. Raises NotApproved."""
        try:
            kept = asked.known or self._opened(asked, attempt, call)
        except LedgerError as e:
            raise NotApproved("it needs an approval, and cannot be kept until then", "approval_unbound") from e
        self.announce(kept)
        return kept

    def _opened(self, asked: Asked, attempt: Event, call: Call) -> Kept:
        if attempt.redaction_error:
            raise NotApproved("it needs an approval, and cannot be shown to anybody", "approval_unbound")
        shown = view(attempt, count_values(call.arguments.open()), count_answers(call.brought.open()))
        name = attempt.tool_name or attempt.resource_uri or attempt.prompt_name
        statement = replace(asked.draft, name=name, preview_hash=shown.hash(), prompt_version=shown.version)
        event = told.asked(attempt, statement, shown.fields, shown.hidden, self._new_id())
        with self.store.locked():
            known = self._usable(self.store.all()[0], asked.draft)  # another may have asked since this one looked
            if known is not None:
                return known
            kept = _kept(statement, shown, self._next_seq())
            self._writer.append(self._redactor.fact(event, {}))
            self.store.write(kept)
        return kept

    def _next_seq(self) -> int:
        if self._log is None:
            return -1
        try:
            return last_seq(self._log) + 1
        except (OSError, NotVerified) as e:
            raise NotApproved("it needs an approval, and the log cannot be read", "approval_unbound") from e

    def look(self, statement: Statement) -> Look:
        """Return how a request stands now: `used` by a call, or `lost` where its file is not what it was."""
        over = self._clock() >= statement.expires_us
        try:
            kept = self.store.read(statement.id)
        except NotVerified:
            self._note_broken(statement.id)
            return "lost"
        if kept is None or kept.statement != statement:
            return "expired" if over else "lost"
        if kept.redeemed:
            return "used"
        state = self._state(kept)
        if state == "escalated" and not kept.escalated:
            self._escalate(statement.id)
        return state

    def redeem(self, statement: Statement, decision: str) -> Kept:
        """Use up the approval of `statement` for the event `decision`, once. Raises NotApproved."""
        try:
            with self.store.locked():
                kept = self.store.read(statement.id)
                if kept is None or kept.statement != statement:
                    raise NotVerified("the request is not there any more")
                if kept.redeemed:
                    raise NotApproved("its approval was used by another call like it; ask again", "approval_used")
                state = self._state(kept)
                if state != "approved":
                    raise NotApproved(f"the approval is {state}", f"approval_{state}")
                if self._log is not None:
                    votes = {one.event_id: one.vote for one in kept.votes}
                    check_trail(self._log, kept.seq, statement, votes)
                return self.store.spend(kept, decision, self._clock())
        except NotVerified as e:
            raise NotApproved(f"the approval does not count: {e}", "approval_refused", suspicious=True) from e
        except LedgerError as e:
            raise NotApproved(f"the approval cannot be used: {e}", "approval_refused") from e

    def approved(self, attempt: Event, kept: Kept) -> Event:
        """Return the attempt of a call that may run by the approval `kept`, with who approved it."""
        votes = approval.counting(kept.statement, kept.cast, self._clock())
        return told.approved(attempt, kept.statement, kept.fields, votes)

    # of a person

    def cast(
        self,
        approval_id: str,
        decision: Choice,
        by: Approver,
        channel: Channel,
        *,
        signed: str = "",
        stepped_up: bool = False,
    ) -> Kept:
        """Take the vote of `by`, who was proven to cast it. Raises VoteRefused, which is on the record; LedgerError.

        `signed` is the digest of the statement that they have signed, where they have signed one.
        """
        with self.store.locked():
            kept = self._asked_for(approval_id)
            vote = self._vote(kept.statement, decision, by, channel, stepped_up=stepped_up)
            vote = replace(vote, statement=signed or vote.statement)
            event = told.proven(told.voted(kept.statement, kept.fields, vote, self._new_id()), by.actor)
            try:
                if kept.redeemed:
                    raise VoteRefused("it was used already")
                approval.admit(kept.statement, kept.cast, vote, vote.at_us)
            except VoteRefused as e:
                self._note(self._redactor.fact(told.not_counted(event), {"reason": str(e)}))
                raise
            self._writer.append(self._redactor.fact(event, {}), "signed", urgent=True).wait()
            kept = replace(kept, votes=(*kept.votes, Cast(vote=vote, event_id=event.event_id)))
            self.store.write(kept)
            return kept

    def _asked_for(self, approval_id: str) -> Kept:
        try:
            kept = self.store.read(approval_id)
        except NotVerified as e:
            self._note_broken(approval_id)
            raise VoteRefused(f"the request is not what was written: {e}") from e
        if kept is None:
            raise VoteRefused("there is no such request")
        return kept

    def _vote(
        self, statement: Statement, decision: Choice, by: Approver, channel: Channel, *, stepped_up: bool
    ) -> Vote:
        now_us, actor = self._clock(), by.actor
        return Vote(
            statement=statement.digest(),
            decision=decision,
            approver=actor.user_id,
            agents=_acting(actor),
            names=by.names or approval.names_of(actor.identity_source, actor.identity_issuer),
            tenant=actor.tenant_id,
            source=actor.identity_source,
            kind=actor.principal_type,
            assurance=actor.identity_assurance,
            role=approval.role_in(statement, by.roles, now_us),
            roles=by.roles,
            channel=channel,
            stepped_up=stepped_up,
            at_us=now_us,
        )

    # what comes by itself

    def tidy(self) -> list[Kept]:
        """Close what has expired, and put aside what cannot be believed, on the record; return the other requests."""
        found, broken = self.store.all()
        for approval_id in broken:
            self._note_broken(approval_id)
        over = {kept.statement.id for kept in found if self._clock() >= kept.statement.expires_us}
        for kept in found:
            if kept.statement.id in over:
                self._close(kept.statement)
        return [kept for kept in found if kept.statement.id not in over]

    def _state(self, kept: Kept) -> State:
        return approval.standing(kept.statement, kept.cast, self._clock())

    def _escalate(self, approval_id: str) -> None:
        """Put on the record that a second role may decide now, once."""
        try:
            with self.store.locked():
                kept = self.store.read(approval_id)
                if kept is not None and not kept.escalated:
                    self._note_time(kept, "escalated")
                    self.store.write(replace(kept, escalated=True))
        except (LedgerError, NotVerified):
            return  # it is escalated whether or not it says so; the next look tries again

    def _close(self, statement: Statement) -> None:
        """Forget a request that is over; that nobody decided in time, or used it, goes on the record."""
        try:
            with self.store.locked():
                kept = self.store.read(statement.id)
                if kept is None or self._clock() < kept.statement.expires_us:
                    return
                if not kept.redeemed and self._state(kept) == "expired":
                    self._note_time(kept, "expired")
                self.store.remove(statement.id)
        except (LedgerError, NotVerified):
            return  # the next one who asks tries again

    def _note_broken(self, approval_id: str) -> None:
        """Put a file aside that is not what was written, and say so on the record and in the log `security`, once."""
        if not self.store.set_aside(approval_id):
            return
        event = Event(event_id=self._new_id(), event_type="security", action="approval_altered")
        self._note(self._redactor.fact(event, {"file": approval_id}))
        self.alarm(event, {"file": approval_id})

    def _note_time(self, kept: Kept, action: Literal["escalated", "expired"]) -> None:
        event = told.by_itself(kept.statement, kept.fields, action, self._new_id())
        self._note(self._redactor.fact(event, {}))

    def _note(self, entry: Redacted) -> None:
        try:
            self._writer.append(entry, urgent=True)
        except LedgerError:
            self._writer.spool(entry)


def _kept(statement: Statement, shown: View, seq: int) -> Kept:
    return Kept(statement=statement, view=shown.lines, fields=shown.fields, hidden=shown.hidden, seq=seq)


def check_same(statement: Statement, call: Call, digest: str) -> None:
    """Raise NotApproved unless `call`, whose digest it is, is what `statement` says, as it would be made now."""
    actor, definition = call.connection.actor, call.definition
    names = approval.names_of(actor.identity_source, actor.identity_issuer)
    asking = (statement.requester, statement.tenant, statement.agents, statement.names)
    if (actor.user_id, actor.tenant_id, _acting(actor), names) != asking:
        raise NotApproved("who asks is not who asked for the approval", MISMATCH, suspicious=True)
    if digest != statement.call_digest:
        raise NotApproved("what would run is not what was asked for", MISMATCH, suspicious=True)
    if (definition.digest if definition else "") != statement.definition_digest:
        raise NotApproved("the definition of what is called has changed since it was asked for", MISMATCH)


def check_terms(statement: Statement, verdict: Verdict, treatment: Treatment, policy_version: str) -> None:
    """Raise NotApproved unless `verdict`, now, is that of the same policy, and asks for the same roles."""
    if (verdict.version or policy_version) != statement.policy_version:
        raise NotApproved("the policy has changed since it was asked for", MISMATCH)
    if verdict.obligations and _roles(verdict, treatment) != statement.roles:
        raise NotApproved("who may approve it has changed since it was asked for", MISMATCH)


def _roles(verdict: Verdict, treatment: Treatment) -> tuple[str, ...]:
    return verdict.approvers or treatment.approver_roles


def _acting(actor: Actor) -> tuple[str, ...]:
    return tuple(one for one in dict.fromkeys((actor.agent_id, *actor.act_chain)) if one)
