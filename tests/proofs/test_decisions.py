# SPDX-License-Identifier: Apache-2.0
"""A decision of a service counts where it is signed, meant for us, on this statement, in time, and once."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey
from tests.identity.issuing import claims, confused, shown, signed, unsigned
from tests.rules.test_approval import statement

from onrecord.errors import NotAuthenticated
from onrecord.identity.identity import Issuer
from onrecord.identity.keys import IssuerKeys
from onrecord.proofs.decision import Decisions
from onrecord.rules.approval import Statement, Vote, VoteRefused, admit, role_in, standing
from onrecord.rules.principal import DECISION_S, Reading

pytestmark = pytest.mark.requirement("C5")

SERVICE, HERE = "https://approvals.example", "onrecord-here"


def asked(**more: Any) -> Statement:
    now_us = int(time.time() * 1e6)
    return statement(**{"requested_us": now_us - 10**6, "expires_us": now_us + 900 * 10**6, **more})


def decision_token(of: Statement, decision="approved", *, algorithm="ES256", key=None, header=None, **more):
    now = int(time.time())
    about = {"iss": SERVICE, "aud": HERE, "sub": "bob", "exp": now + 120}
    body = claims(**{**about, "statement": of.digest(), "decision": decision, **more})
    return signed(body, algorithm, key, **{"typ": "onrecord-decision+jwt", **(header or {})})


class Service:
    """What verifies the decisions of one service, with keys of a test."""

    def __init__(self):
        self.held = Decisions(
            issuer=Issuer(
                name=SERVICE,
                keys=IssuerKeys(shown, max_age_s=100, pause_s=1),
                algorithms=("ES256", "EdDSA", "Ed25519"),
            ),
            audience=HERE,
            reading=Reading(mfa_amr=("mfa",), person_claim="kind", person_values=("person",)),
            digest_key=b"k" * 32,
            names="os_account",
            pseudonym=lambda tenant, issuer, subject: f"u_{subject}",
            clock=time.time,
        )

    def vote(self, token, of):
        """Return the vote that `token` is on the statement that it names."""
        said, now = self.held.read(token), now_us()
        return Vote(
            statement=said.statement,
            decision=said.decision,
            approver=said.actor.user_id,
            names=said.names,
            tenant=said.actor.tenant_id,
            source=said.actor.identity_source,
            kind=said.actor.principal_type,
            assurance=said.actor.identity_assurance,
            role=role_in(of, said.actor.roles, now),
            roles=said.actor.roles,
            channel="webhook",
            at_us=now,
        )


@pytest.fixture(scope="module")
def service():
    return Service()


def now_us():
    return int(time.time() * 1e6)


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "Ed25519"])
@pytest.mark.parametrize("decision", ["approved", "rejected"])
def test_a_signed_decision_is_a_vote(service, algorithm, decision):
    of = asked(roles=("finance",))
    vote = service.vote(decision_token(of, decision, algorithm=algorithm, roles=["finance"]), of)

    admit(of, [], vote, now_us())
    assert standing(of, [vote], now_us()) == decision
    assert (vote.approver, vote.channel, vote.assurance, vote.role) == ("u_bob", "webhook", "token", "finance")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"iss": "https://other.example"}, "of another issuer"),
        ({"aud": "somebody-else"}, "another audience"),
        ({"aud": None}, "another audience"),
        ({"exp": 1, "iat": 0}, "expired"),
        ({"exp": None}, "when it was issued and when it expires"),
        ({"iat": None}, "when it was issued and when it expires"),
        ({"iat": int(time.time()) + 86_400, "exp": int(time.time()) + 86_500}, "not valid yet"),
        ({"exp": int(time.time()) + DECISION_S + 86_400}, "lives for at most"),
        ({"sub": None}, "'sub' is missing"),
        ({"sub": 7}, "'sub' is malformed"),
        ({"statement": None}, "'statement' is missing"),
        ({"statement": ["a"]}, "'statement' is malformed"),
        ({"decision": "yes"}, "neither 'approved' nor 'rejected'"),
        ({"decision": True}, "'decision' is malformed"),
        ({"decision": None}, "'decision' is missing"),
        ({"roles": {"finance": True}}, "'roles' is malformed"),
        ({"kind": None}, "of a workload"),
        ({"act": "x"}, "'act' is malformed"),
        ({"header": {"typ": "JWT"}}, "of another type"),
        ({"header": {"typ": "mcp-id+jwt"}}, "of another type"),
        ({"header": {"kid": "k-nobody"}}, "a key that its issuer does not show"),
        ({"header": {"crit": ["exp"], "exp": 1}}, "extension that is not known"),
        ({"algorithm": "RS256"}, "algorithm that is not allowed"),
        ({"key": ECKey.generate_key("P-256")}, "signature does not hold"),
    ],
)
def test_a_decision_that_does_not_hold_is_none(service, wrong, why):
    of = asked()
    with pytest.raises(NotAuthenticated, match=why):
        service.vote(decision_token(of, **{"decision": "approved", **wrong}), of)


def test_what_is_not_signed_by_the_service_decides_nothing(service):
    of = asked()
    body = {**claims(), "statement": of.digest(), "decision": "approved"}
    token = decision_token(of)
    head, middle, tail = token.split(".")
    other = decision_token(of, "rejected").split(".")[1]
    for forged in (unsigned(body), confused(), f"{head}.{other}.{tail}", f"{head}.{middle}.", json.dumps(body), ""):
        with pytest.raises(NotAuthenticated):
            service.vote(forged, of)


def test_a_decision_on_one_statement_is_none_on_another(service):
    of = asked()
    vote = service.vote(decision_token(of), of)
    with pytest.raises(VoteRefused, match="for another statement"):
        admit(asked(call_digest="ee" * 32), [], vote, now_us())


def test_a_decision_counts_once(service):
    of = asked(quorum=2)
    token = decision_token(of)
    vote = service.vote(token, of)
    with pytest.raises(VoteRefused, match="has voted before"):
        admit(of, [vote], service.vote(token, of), now_us())
    assert standing(of, [vote, vote], now_us()) == "pending"


@pytest.mark.parametrize(
    ("asks", "says", "why"),
    [
        ({"requester": "u_bob", "four_eyes": True}, {}, "cannot approve their own call"),
        ({"agents": ("u_bob",)}, {}, "who acts for the requester"),
        ({"roles": ("finance",)}, {"roles": ["ops"]}, "none of the roles finance"),
        ({"step_up": True}, {}, "must prove their presence"),
        ({"step_up": True}, {"amr": ["hwk", "mfa"], "auth_time": int(time.time())}, "must prove their presence"),
        ({"assurance": "token_mfa"}, {}, "not enough is known"),
        ({"channels": ("cli",)}, {}, "decisions by webhook do not count"),
        ({"tenant": "acme"}, {}, "another tenant"),
    ],
)
def test_a_decision_that_holds_is_still_a_vote_like_any_other(service, asks, says, why):
    of = asked(**asks)
    vote = service.vote(decision_token(of, **says), of)
    with pytest.raises(VoteRefused, match=why):
        admit(of, [], vote, now_us())


@given(st.text(max_size=60) | st.builds(".".join, st.lists(st.text("ab-_=AQ{}", max_size=12), min_size=3, max_size=3)))
def test_what_is_no_token_is_refused_in_words(service, token):
    with pytest.raises(NotAuthenticated):
        service.held.read(token)
