# SPDX-License-Identifier: Apache-2.0
"""A decision that a service outside has signed (JWS compact, RFC 7515): who decided what, on which statement.

    typ                onrecord-decision+jwt
    iss, aud           the service, and this recorder, as the settings name them
    sub, roles         who decided, and in which roles they may
    statement          the digest of the statement, in hex
    decision           approved, or rejected
    iat, exp           at most 600 s apart

What is not signed decides nothing. The algorithm and the keys are those of the settings, whatever the token says. The
service is believed as to who its people are and that it was they who decided; it can't prove their presence at an
authenticator, so its word is no step-up. A workload decides nothing. That a decision counts once needs no list: it
names one statement, on which each approver counts once.
"""

from collections.abc import Callable
from dataclasses import dataclass

from onrecord.errors import NotAuthenticated
from onrecord.event.call import Actor
from onrecord.identity.identity import Issuer
from onrecord.identity.token import opened
from onrecord.rules.approval import Choice
from onrecord.rules.principal import Pseudonym, Reading, actor_of, check_claims, check_decision

TYPES = ("onrecord-decision+jwt",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided by whom, once its signature and its claims hold; `statement` is a digest, in hex.

    `names` is whose name that is: an issuer, or "os_account".
    """

    statement: str
    decision: Choice
    actor: Actor
    names: str


class Decisions:
    """Verifies the decisions of one service. Threads may share it."""

    def __init__(
        self,
        *,
        issuer: Issuer,
        audience: str,
        reading: Reading,
        digest_key: bytes,
        names: str,
        pseudonym: Pseudonym,
        clock: Callable[[], float],
    ) -> None:
        """`pseudonym` is that of a subject of the service, a name at `names`; `clock` tells the time of day."""
        self._issuer = issuer
        self._audience = audience
        self._reading = reading
        self._digest_key = digest_key
        self._names = names
        self._pseudonym = pseudonym
        self._clock = clock

    def read(self, token: str) -> Decision:
        """Return what `token` decides. Raises NotAuthenticated."""
        now_s, issuer = self._clock(), self._issuer
        found = opened(token, issuer.keys, issuer.algorithms, types=TYPES)
        check_claims(found.claims, issuer=issuer.name, audience=self._audience, now_s=now_s)
        statement, decision = check_decision(found.claims)
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
        return Decision(statement=statement, decision=decision, actor=actor, names=self._names)
