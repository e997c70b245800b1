# SPDX-License-Identifier: Apache-2.0
"""What a vote is worth: for one statement, by one person, in time, and never by who must not."""

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rules.calls import call, redactor

from onrecord.event.call import Json, Raw
from onrecord.rules import approval
from onrecord.rules.approval import Statement, Vote, VoteRefused, admit, standing

ASKED, EXPIRES, ESCALATES = 1_000_000, 9_000_000, 5_000_000
PEOPLE = ("u_asker", "u_agent", "u_one", "u_two", "u_three", "")


def statement(**changes: Any) -> Statement:
    about: dict[str, Any] = {
        "id": "01936b1e-0000-7000-8000-000000000001",
        "call_id": "01936b1e-0000-7000-8000-000000000002",
        "round": 0,
        "call_digest": "aa" * 32,
        "definition_digest": "bb" * 32,
        "preview_hash": "cc" * 32,
        "prompt_version": "1",
        "policy_version": "dd" * 32,
        "requester": "u_asker",
        "agents": ("u_agent",),
        "names": "os_account",
        "tenant": "",
        "server": "payments",
        "action": "tools/call",
        "name": "refund",
        "tier": 3,
        "roles": (),
        "quorum": 1,
        "four_eyes": False,
        "step_up": False,
        "assurance": "os_account",
        "channels": ("cli", "webhook", "elicitation", "webauthn"),
        "requested_us": ASKED,
        "expires_us": EXPIRES,
    }
    return Statement(**{**about, **changes})


def vote(of: Statement, **changes: Any) -> Vote:
    about: dict[str, Any] = {
        "statement": of.digest(),
        "decision": "approved",
        "approver": "u_one",
        "names": "os_account",
        "tenant": of.tenant,
        "source": "os_account",
        "assurance": "os_account",
        "channel": "cli",
        "at_us": ASKED + 1,
    }
    return Vote(**{**about, **changes})


def refused(of: Statement, *before: Vote, now_us: int = ASKED + 2, **changes: Any) -> str:
    with pytest.raises(VoteRefused) as caught:
        admit(of, before, vote(of, **changes), now_us)
    return str(caught.value)


@pytest.mark.requirement("C5")
def test_one_vote_of_another_person_approves_until_it_expires():
    of = statement()
    votes = [vote(of)]
    admit(of, [], votes[0], ASKED + 2)
    assert standing(of, [], ASKED) == "pending"
    assert standing(of, votes, EXPIRES - 1) == "approved"
    assert standing(of, votes, EXPIRES) == "expired"


@pytest.mark.requirement("C5")
def test_a_vote_counts_for_the_statement_that_it_names_and_for_no_other():
    other = statement(call_digest="ab" * 32)
    of = statement()
    assert "another statement" in refused(of, statement=other.digest())
    assert standing(of, [vote(other)], ASKED + 2) == "pending"


@pytest.mark.parametrize("field", [f for f in Statement.__struct_fields__ if f != "version"])
def test_the_digest_of_a_statement_covers_each_of_its_fields(field):
    of = statement()
    match getattr(of, field):
        case bool(value):
            other: Any = not value
        case int(value):
            other = value + 1
        case str(value):
            other = f"{value}0"
        case value:
            other = (*value, "cli")
    assert msgspec.structs.replace(of, **{field: other}).digest() != of.digest()


@pytest.mark.requirement("C5")
@pytest.mark.parametrize(
    ("changes", "by", "why"),
    [
        ({"four_eyes": True}, {"approver": "u_asker"}, "cannot approve their own call"),
        ({"four_eyes": True}, {"channel": "elicitation"}, "no approval by another person"),
        ({"four_eyes": True, "requester": "", "agents": ()}, {}, "nobody knows who asked"),
        ({}, {"approver": "u_agent"}, "acts for the requester"),
        ({}, {"agents": ("u_other", "u_agent")}, "acts for the requester"),
        ({"four_eyes": True}, {"agents": ("u_other",)}, "an agent acts for the approver"),
        ({"quorum": 2}, {"agents": ("u_other",)}, "an agent acts for the approver"),
        ({"four_eyes": True}, {"source": "id_token", "kind": "unknown"}, "identity.person_claim"),
        ({"quorum": 2}, {"source": "identity_jws", "kind": ""}, "identity.person_claim"),
        ({"step_up": True}, {"source": "id_token", "kind": "workload", "stepped_up": True}, "identity.person_claim"),
        ({"four_eyes": True}, {"names": "https://a.example"}, "known by the account, and the approver by https://a"),
        (
            {"four_eyes": True, "names": "https://a.example"},
            {},
            "by https://a.example, and the approver by the account",
        ),
        ({"four_eyes": True, "names": "https://a.example"}, {"names": "https://b.example"}, "that they are two people"),
        ({"four_eyes": True, "names": ""}, {"names": ""}, "known by nothing known, and the approver by nothing"),
        ({"quorum": 2}, {"names": "https://a.example"}, "that they are two people"),
        ({}, {"approver": ""}, "a workload cannot decide"),
        ({}, {"tenant": "other"}, "another tenant"),
        ({}, {"assurance": "asserted"}, "not enough is known"),
        ({"assurance": "token"}, {}, "token is needed"),
        ({"assurance": ""}, {"assurance": "none"}, "not enough is known"),
        ({"roles": ("finance",)}, {}, "none of the roles finance"),
        ({"roles": ("finance",)}, {"role": "finance"}, "none of the roles finance"),
        ({"roles": ("finance",)}, {"role": "ops", "roles": ("ops",)}, "none of the roles finance"),
        ({"step_up": True}, {}, "prove their presence"),
        ({"roles": ("finance",)}, {"approver": "u_asker", "channel": "elicitation"}, "no approval by another"),
        ({"step_up": True}, {"approver": "u_asker", "channel": "elicitation", "stepped_up": True}, "no approval by"),
        ({}, {"channel": "elicitation"}, "only the requester confirms"),
        ({"channels": ("webhook",)}, {}, "decisions by cli do not count"),
        ({}, {"at_us": ASKED - 1}, "nothing was asked"),
        ({}, {"at_us": ASKED + 3}, "a time to come"),
    ],
)
def test_a_vote_that_must_not_count_is_refused_with_the_reason(changes, by, why):
    of = statement(**changes)
    assert why in refused(of, **by)
    assert standing(of, [vote(of, **by)], ASKED + 2) == "pending"


@pytest.mark.requirement("C5")
def test_a_quorum_is_of_different_people():
    of = statement(quorum=2)
    first = vote(of)
    assert "voted before" in refused(of, first)
    assert standing(of, [first, first], ASKED + 2) == "pending"
    assert standing(of, [first, vote(of, approver="u_two")], ASKED + 2) == "approved"


@pytest.mark.requirement("C5")
def test_one_rejection_rejects_and_nothing_counts_after_it():
    of = statement(quorum=2)
    votes = [vote(of), vote(of, approver="u_two", decision="rejected")]
    assert standing(of, votes, ASKED + 2) == "rejected"
    assert standing(of, [*votes, vote(of, approver="u_three")], EXPIRES + 1) == "rejected"
    assert "decided already" in refused(of, *votes, approver="u_three")


def test_who_asked_may_withdraw_without_any_role():
    of = statement(four_eyes=True, step_up=True, roles=("finance",), assurance="token")
    no = vote(of, approver="u_asker", decision="rejected")
    admit(of, [], no, ASKED + 2)
    assert approval.is_withdrawal(of, no)
    assert standing(of, [no], ASKED + 2) == "rejected"


@pytest.mark.requirement("C5")
def test_a_second_role_may_decide_once_it_was_escalated():
    of = statement(roles=("finance",), escalate_us=ESCALATES, escalate_roles=("board",))
    by = {"role": "board", "roles": ("board",)}
    assert "none of the roles" in refused(of, **by)
    late = vote(of, at_us=ESCALATES, **by)
    admit(of, [], late, ESCALATES)
    assert standing(of, [], ESCALATES) == "escalated"
    assert standing(of, [late], ESCALATES) == "approved"
    assert approval.role_in(of, ("board", "finance"), ASKED) == "finance"


@pytest.mark.requirement("C5")
def test_a_confirmation_in_the_client_counts_below_four_eyes_and_is_not_independent():
    of = statement()
    yes = vote(of, approver="u_asker", channel="elicitation")
    admit(of, [], yes, ASKED + 2)
    assert standing(of, [yes], ASKED + 2) == "approved"
    assert not approval.is_independent(of, yes)
    assert approval.is_independent(of, vote(of))


# properties


@dataclass(frozen=True)
class World:
    of: Statement
    votes: list[Vote]
    now_us: int


@st.composite
def worlds(draw: st.DrawFn) -> World:
    of = statement(
        requester=draw(st.sampled_from(("u_asker", ""))),
        agents=draw(st.sampled_from(((), ("u_agent",)))),
        roles=draw(st.sampled_from(((), ("finance",)))),
        quorum=draw(st.integers(1, 3)),
        four_eyes=draw(st.booleans()),
        step_up=draw(st.booleans()),
        assurance=draw(st.sampled_from(("os_account", "token"))),
        channels=draw(st.sampled_from((("cli",), ("cli", "elicitation", "webauthn")))),
        escalate_us=draw(st.sampled_from((0, ESCALATES))),
        escalate_roles=("board",),
    )
    other = statement(call_digest="00" * 32)
    roles = st.lists(st.sampled_from(("finance", "board", "ops")), max_size=2).map(tuple)
    votes = [
        vote(
            draw(st.sampled_from((of, of, of, other))),
            decision=draw(st.sampled_from(("approved", "approved", "approved", "rejected"))),
            approver=draw(st.sampled_from(PEOPLE)),
            tenant=draw(st.sampled_from(("", "", "", "other"))),
            assurance=draw(st.sampled_from(("asserted", "os_account", "token", "token_mfa"))),
            agents=draw(st.sampled_from(((), (), ("u_agent",), ("u_other",)))),
            names=draw(st.sampled_from(("os_account", "os_account", "https://a.example", ""))),
            source=draw(st.sampled_from(("os_account", "id_token"))),
            kind=draw(st.sampled_from(("human", "human", "unknown", ""))),
            roles=(held := draw(roles)),
            role=draw(st.sampled_from(("", "finance", "board", *held))),
            channel=draw(st.sampled_from(("cli", "elicitation", "webauthn"))),
            stepped_up=draw(st.booleans()),
            at_us=draw(st.integers(ASKED - 2, EXPIRES + 2)),
        )
        for _ in range(draw(st.integers(0, 6)))
    ]
    if draw(st.sampled_from((True, True, True, False))):  # as they come, unless the clock goes back
        votes.sort(key=lambda one: one.at_us)
    return World(of, votes, draw(st.integers(ASKED, EXPIRES + 5)))


@given(worlds())
def test_what_is_approved_has_its_quorum_of_people_who_may(world):
    of, now_us = world.of, world.now_us
    if standing(of, world.votes, now_us) != "approved":
        return
    yes = [one for one in approval.counting(of, world.votes, now_us) if one.decision == "approved"]
    assert now_us < of.expires_us
    assert len({one.approver for one in yes}) == len(yes) == of.quorum
    assert all(one.decision == "approved" for one in approval.counting(of, world.votes, now_us))
    for one in yes:
        assert one.approver not in ("", *of.agents)
        assert one.channel == "elicitation" or not set(one.agents) & set(of.agents)
        assert not (one.agents and (of.four_eyes or of.quorum > 1))
        assert one.statement == of.digest()
        assert one.tenant == of.tenant
        assert one.channel in of.channels
        assert of.requested_us <= one.at_us < of.expires_us
        assert one.assurance != "asserted" or one.channel == "elicitation"
        assert not of.step_up or one.stepped_up
        if of.four_eyes or of.step_up or of.quorum > 1:
            assert one.kind == "human" or one.source == "os_account"
        if of.four_eyes or of.quorum > 1:
            assert one.names == of.names
        if of.four_eyes:
            assert one.approver != of.requester
            assert one.channel != "elicitation"
        if of.roles:
            assert one.role in one.roles
            assert one.role == "finance" or (one.role == "board" and 0 < of.escalate_us <= one.at_us)


@given(worlds())
def test_a_vote_that_was_refused_changes_nothing(world):
    of = world.of
    for vote_ in world.votes:
        try:
            admit(of, [], vote_, EXPIRES - 1)
        except VoteRefused:
            assert standing(of, [vote_], world.now_us) == standing(of, [], world.now_us)


@given(worlds(), st.data())
def test_what_is_rejected_or_expired_is_never_approved_again(world, data):
    of = world.of
    if standing(of, world.votes, world.now_us) not in ("rejected", "expired"):
        return
    later = data.draw(st.integers(world.now_us, EXPIRES + 10))
    more = data.draw(worlds()).votes
    assert standing(of, [*world.votes, *more], later) in ("rejected", "expired")


def test_a_vote_by_a_clock_that_has_gone_back_is_refused_and_decides_nothing():
    of = statement()
    first = vote(of, at_us=ASKED + 10, approver="u_one")
    no = vote(of, at_us=ASKED, approver="u_two", decision="rejected")
    with pytest.raises(VoteRefused, match="the clock has gone back"):
        admit(of, [first], no, ASKED)
    assert standing(of, [first, no], ASKED) == "pending"
    assert standing(of, [first, no], ASKED + 10) == "approved"


@given(worlds())
def test_statement_and_votes_come_back_from_their_encoding_as_they_were(world):
    for value in (world.of, *world.votes):
        assert msgspec.json.decode(msgspec.json.encode(value), type=type(value)) == value


@pytest.mark.requirement("C5")
def test_an_approval_of_a_further_round_is_none_of_arguments_that_look_like_one():
    answers: dict[str, Json] = {"q": {"action": "accept"}}
    by, arguments = redactor(), {"path": "/tmp/x"}
    like_one = call({"arguments": arguments, "inputResponses": answers}, rounds=("r",))
    assert by.binding(call(arguments, brought=Raw(answers), rounds=("r",))) != by.binding(like_one)
    assert by.binding(call(arguments, brought=Raw({}))) != by.binding(call(arguments))


MCP = "io.modelcontextprotocol/"


@pytest.mark.requirement("C5")
@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"meta": {"account": "sandbox"}}, {"meta": {"account": "production"}}, False),
        ({"meta": {"account": "sandbox"}}, {"meta": {}}, False),
        ({"beside": Raw({"task": {"ttl": 1}})}, {"beside": Raw({})}, False),
        ({"beside": Raw({"dryRun": True})}, {"beside": Raw({"dryRun": False})}, False),
        ({"meta": {"progressToken": 1, "traceparent": "a"}}, {"meta": {"progressToken": 2, "baggage": "b"}}, True),
        ({"meta": {MCP + "clientInfo": {"name": "c"}, "k": 1}}, {"meta": {"k": 1}}, True),
    ],
)
def test_an_approval_is_for_all_of_a_call_that_a_server_may_act_on(one, other, same):
    by = redactor()
    assert (by.binding(call({"a": 1}, **one)) == by.binding(call({"a": 1}, **other))) == same


@pytest.mark.requirement("C5")
def test_an_approval_of_a_whole_number_is_none_of_the_same_as_a_fraction():
    assert redactor().binding(call({"a": 10})) != redactor().binding(call({"a": 10.0}))
