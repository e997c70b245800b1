# SPDX-License-Identifier: Apache-2.0
"""A decision that a service outside has signed (JWS compact, RFC 7515): who decided what, on which statement.

    iss, aud           the service, and this recorder, as the settings name them
    sub, roles         who decided, and in which roles they may
    statement          the digest of the statement, in hex
    decision           approved, or rejected
    iat, exp, jti      at most 600 s apart; an id that is used once

What is not signed decides nothing. The algorithm and the keys are those of the settings, whatever the token says. The
service is believed as to who its people are and that it was they who decided; it can't prove their presence at an
authenticator, so its word is no step-up. A workload decides nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

from onrecord.errors import NotAuthenticated
from onrecord.event.call import Actor
from onrecord.identity.identity import Issuer
from onrecord.identity.token import opened
from onrecord.identity.used import UsedTokens
from onrecord.rules.approval import Choice, Statement, Vote, role_in
from onrecord.rules.principal import (
    LEEWAY_S,
    Pseudonym,
    Reading,
    actor_of,
    check_claims,
    check_decision,
    token_hash,
)

TYPES = ("onrecord-decision+jwt",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided, once its signature and its claims hold. `token_hash` is a keyed digest of the token's id."""

    statement: str
    decision: Choice
    actor: Actor
    token_hash: str
    expires_s: float


class Decisions:
    """Verifies the decisions of one service. Threads may share it."""

    def __init__(
        self,
        *,
        issuer: Issuer,
        audience: str,
        reading: Reading,
        digest_key: bytes,
        pseudonym: Pseudonym,
        used: UsedTokens,
        clock: Callable[[], float],
    ) -> None:
        """`pseudonym` is that of a subject of the service; `clock` tells the time of day."""
        self._issuer = issuer
        self._audience = audience
        self._reading = reading
        self._digest_key = digest_key
        self._pseudonym = pseudonym
        self._used = used
        self._clock = clock

    def read(self, token: str) -> Decision:
        """Return what `token` decides. Raises NotAuthenticated."""
        now_s, issuer = self._clock(), self._issuer
        found = opened(token, issuer.keys, issuer.algorithms, types=TYPES)
        expires_s = check_claims(found.claims, issuer=issuer.name, audience=self._audience, now_s=now_s)
        statement, decision, token_id = check_decision(found.claims)
        actor = actor_of(
            found.claims,
            self._reading,
            source="identity_jws",
            issuer=issuer.name,
            key_id=found.key_id,
            digest_key=self._digest_key,
            pseudonym=self._pseudonym,
            now_s=now_s,
        )
        if not actor.user_id:
            raise NotAuthenticated("the token is of a workload, and a workload decides nothing")
        return Decision(
            statement=statement,
            decision=decision,
            actor=actor,
            token_hash=token_hash(self._digest_key, issuer.name, token_id),
            expires_s=expires_s,
        )

    def use(self, decision: Decision, statement: Statement, now_us: int) -> Vote:
        """Return the vote that `decision` is on `statement`, once. Raises NotAuthenticated."""
        if decision.statement != statement.digest():
            raise NotAuthenticated("the token decides on another statement")
        self._used.use(decision.token_hash, decision.expires_s + LEEWAY_S, self._clock())
        actor = decision.actor
        return Vote(
            statement=decision.statement,
            decision=decision.decision,
            approver=actor.user_id,
            tenant=actor.tenant_id,
            source=actor.identity_source,
            assurance=actor.identity_assurance,
            role=role_in(statement, actor.roles, now_us),
            roles=actor.roles,
            channel="webhook",
            at_us=now_us,
        )
