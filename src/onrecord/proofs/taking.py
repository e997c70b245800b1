# SPDX-License-Identifier: Apache-2.0
"""Makes a vote of what proves one: a signed decision of the service, or the signature of an authenticator.

What doesn't hold is on the record, once, with why (`vote_refused`), and casts no vote. What holds is a vote like any
other: whether it counts, `approving` decides. The signature of an authenticator is a yes by the person who enrolled
it, and a step-up; it shows who that is no better than they were known when they enrolled it.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from onrecord.approvals import Kept
from onrecord.approving import Approver, Approving
from onrecord.errors import NotAuthenticated
from onrecord.event.call import Actor
from onrecord.event.event import Event
from onrecord.rules.approval import Channel
from onrecord.rules.policy import LEVELS

if TYPE_CHECKING:  # each needs an extra, and not the one of the other
    from onrecord.proofs.authenticators import Authenticators
    from onrecord.proofs.ceremony import Authenticator
    from onrecord.proofs.decision import Decisions

RolesOf: TypeAlias = Callable[[Actor], tuple[str, ...]]
Note: TypeAlias = Callable[[Event, Mapping[str, str]], None]


class Taking:
    """Takes proofs for the requests of one home. Threads may share it."""

    def __init__(self, approving: Approving, roles_of: RolesOf, note: Note) -> None:
        """`note` puts an event on the record, with what comes from outside, which is masked."""
        self._approving = approving
        self._roles_of = roles_of
        self._note = note

    def decision(self, token: str, decisions: "Decisions", approval_id: str = "") -> Kept:
        """Cast the vote that `token` is, on the request of that id, or without one on whichever it names.

        Raises NotAuthenticated, VoteRefused, which are on the record, and KeysAway and LedgerError, which are not.
        """
        from onrecord.identity.keys import KeysAway

        try:
            said = decisions.read(token)
            approval_id = approval_id or self._named(said.statement)
        except KeysAway:
            raise
        except NotAuthenticated as e:
            self.refused("webhook", str(e), approval_id)
            raise
        by = Approver(actor=said.actor, roles=self._roles_of(said.actor), names=said.names)
        return self._approving.cast(approval_id, said.decision, by, "webhook", signed=said.statement)

    def assertion(self, text: bytes, authenticators: "Authenticators", kept: Kept) -> Kept:
        """Cast the yes of whoever's authenticator has signed the statement of `kept`. Errors as in `decision`.

        Raises KeyFileError besides, where nobody can tell whose authenticator it is.
        """
        digest = kept.statement.digest()
        try:
            actor = actor_by(authenticators.check(text, bytes.fromhex(digest)))
        except NotAuthenticated as e:
            self.refused("webauthn", str(e), kept.statement.id)
            raise
        by = Approver(actor=actor, roles=self._roles_of(actor))
        return self._approving.cast(kept.statement.id, "approved", by, "webauthn", signed=digest, stepped_up=True)

    def refused(self, channel: Channel, why: str, approval_id: str) -> None:
        """Put on the record that a proof does not hold."""
        event = Event(
            event_type="security",
            action="vote_refused",
            approval_id=approval_id,
            error_type="not_authenticated",
            detail={"channel": channel},
        )
        self._note(event, {"reason": why})

    def failed(self, approval_id: str, why: str) -> None:
        """Put on the record that the service could not be asked about a request."""
        event = Event(event_type="delivery_failure", action="webhook", approval_id=approval_id)
        self._note(event, {"reason": why})

    def _named(self, digest: str) -> str:
        """Return the id of the request whose statement has that digest. Raises NotAuthenticated."""
        found, _ = self._approving.store.all()
        for kept in found:
            if kept.statement.digest() == digest:
                return kept.statement.id
        raise NotAuthenticated("the token decides on nothing that was asked here")


def actor_by(one: "Authenticator") -> Actor:
    """Return the person whose authenticator it is, and how far it is known who that is."""
    known = LEVELS[one.assurance] >= LEVELS["token"]
    return Actor(
        user_id=one.person,
        tenant_id=one.tenant,
        identity_source=one.source,
        identity_assurance="phishing_resistant" if known else one.assurance,
        identity_issuer=one.issuer,
        identity_key_id=one.digest,
        principal_type=one.kind,
    )
