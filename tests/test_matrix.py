# SPDX-License-Identifier: Apache-2.0
"""Deny, ask, allow: every combination of tier, scope, mode, policy, approval and failure of the engine that means
something, and what becomes of the call in each.

    tier        0 to 4
    scope       none required, present, missing
    mode        no policy, observe, enforce
    policy      permits, forbids, asks, asks and forbids, asks though nothing permits it
    engine      well, or one of the failures in ENGINES, when the call is asked for
    approval    how those in SCENES decide, or what changes meanwhile
    later       well, or one of the failures, when the call is decided on again

There are 1,536 of them; `left_out` says which others mean nothing, and why. What is to come of each is worked out by
`expected`, a few lines that know nothing of how it is done. The guard, Cedar, the ledger and the approvals are real;
see `deciding_world.py`.
"""

from itertools import product
from typing import NamedTuple

import pytest
from tests import deciding_scenes as scenes
from tests.deciding_world import PLANTED, Scene, World

TIERS = (0, 1, 2, 3, 4)
SCOPES = ("none required", "present", "missing")
MODES = ("no policy", "observe", "enforce")
POLICIES = ("permits", "forbids", "asks", "asks and forbids", "asks, and nothing permits")
ENGINES = ("well", "raises", "diagnostic", "too late", "allows, with an error", "says nothing")
LATER = ("well", "raises", "diagnostic", "too late", "allows, with an error")
STEPPED_UP_FROM = FOUR_EYES_FROM = STRICT_FROM = NO_DUPLICATES_FROM = 4  # as the settings have it by default


class Case(NamedTuple):
    tier: int
    scope: str
    mode: str
    policy: str
    engine: str
    approval: str
    later: str


class Expected(NamedTuple):
    """What becomes of one request."""

    decision: str
    error: str = ""  # with which it ends; "" where it is made
    observed: str = ""
    alarm: bool = False  # something came as if it approved it, and does not


# the oracle


def first(case: Case) -> tuple[str, str]:
    """Return what the policy says when the call is asked for, and the error of a denial."""
    if case.engine != "well":
        return "deny", "policy_failed"
    if case.scope == "missing" or case.policy in ("forbids", "asks and forbids", "asks, and nothing permits"):
        return "deny", "denied"
    return ("needs_approval", "") if case.policy == "asks" else ("allow", "")


def is_asked(case: Case) -> bool:
    return case.mode == "enforce" and first(case)[0] == "needs_approval"


def expected(case: Case) -> list[Expected]:
    """Return what is to become of each request of a combination."""
    if case.mode == "no policy":
        return [Expected("allow")]
    decision, error = first(case)
    if case.mode == "observe":
        return [Expected("allow", observed="" if decision == "allow" else decision)]
    if decision != "needs_approval":
        return [Expected(decision, error)]
    return of_approval(case)


def asked(error: str = "", *, alarm: bool = False) -> Expected:
    return Expected("needs_approval", error, alarm=alarm)


def of_approval(case: Case) -> list[Expected]:
    """Return what is to become of a call that somebody is asked about."""
    strict, name = case.tier >= STRICT_FROM, case.approval
    made = asked("" if case.later == "well" else "policy_failed")
    if name in COUNTS_BELOW_TIER_4:
        return [asked("approval_pending") if strict else made]
    if name in COUNTS:
        return [made]
    if name == "no approval is needed by now":
        return [asked()]
    if name == "approved once nobody waited":
        return [asked("approval_pending"), made]
    if name == "expired when it was to be used":
        return [asked("approval_expired" if case.later == "well" else "policy_failed")]
    if name in ("used by a call that waited too", "put back as it was before it was used"):
        used = (
            asked("approval_used")
            if name == "used by a call that waited too"
            else asked("approval_refused", alarm=True)
        )
        return [asked(), asked("duplicate") if strict else used]
    if name == "used, and asked for again":
        return [asked(), Expected("deny", "duplicate") if strict else asked("approval_pending")]
    if name == "approved, and the engine fails once":
        return [asked("policy_failed"), asked()]
    if name == "another policy, in a new process":
        return [asked("approval_pending"), asked("approval_pending")]
    error = ENDS[name]
    return [asked(error, alarm=name in ALARMS)]


COUNTS = {"approved by another", "approved, and rejected too late"}
COUNTS_BELOW_TIER_4 = {
    "approved by the requester",
    "approved by another, known by an account",
    "approved by another, not stepped up",
}
ENDS = {
    "nobody decides": "approval_pending",
    "nobody decides until it expires": "approval_expired",
    "approved by who acts for the requester": "approval_pending",
    "approved by nobody known": "approval_pending",
    "approved from another tenant": "approval_pending",
    "rejected by another": "approval_rejected",
    "rejected, then approved": "approval_rejected",
    "withdrawn by the requester": "approval_rejected",
    "approved, and expired": "approval_expired",
    "the request is deleted": "approval_lost",
    "the request is altered": "approval_lost",
    "the request is deleted when it was to be used": "approval_refused",
    "other arguments": "approval_mismatch",
    "another definition": "approval_mismatch",
    "another person": "approval_mismatch",
    "another agent": "approval_mismatch",
    "another tenant": "approval_mismatch",
    "the scope is lost": "denied",
    "others must be asked by now": "approval_mismatch",
    "another version of the policy": "approval_mismatch",
    "an approval is asked for again": "needs_approval",
    "the definition is refused": "definition_refused",
    "no channel": "needs_approval",
    "no approvals": "needs_approval",
    "nobody knows who asks": "approval_unbound",
}
ALARMS = {
    "other arguments",
    "another person",
    "another agent",
    "another tenant",
    "the request is deleted when it was to be used",
}
DECIDED_AGAIN = {*COUNTS, *COUNTS_BELOW_TIER_4, "approved once nobody waited", "expired when it was to be used"}


# the table


def left_out(case: Case) -> str:
    """Return why a combination means nothing; "" where it does."""
    if case.mode == "no policy" and (case.policy, case.engine) != (POLICIES[0], "well"):
        return "no engine is asked, so none decides, and none fails"
    if not is_asked(case) and case.approval != "nobody decides":
        return "nobody is asked"
    if case.approval not in DECIDED_AGAIN and case.later != "well":
        return "it is not decided on again, or it ends before the engine is asked"
    if case.approval in COUNTS_BELOW_TIER_4 and case.tier >= STRICT_FROM and case.later != "well":
        return "it is not decided on again: the vote doesn't count"
    if case.approval == "the scope is lost" and case.scope != "present":
        return "there is none to lose"
    return ""


TABLE = (TIERS, SCOPES, MODES, POLICIES, ENGINES, scenes.SCENES, LATER)
CASES = [case for case in map(Case._make, product(*TABLE)) if not left_out(case)]


def test_the_table_holds_as_many_combinations_as_are_told():
    assert __doc__ is not None
    assert f"There are {len(CASES):,} of them" in __doc__
    known = {*ENDS, *DECIDED_AGAIN, *scenes.OF_MORE_THAN_ONE, "no approval is needed by now"}
    assert known == set(scenes.SCENES)
    for at, values in enumerate(TABLE):
        assert {case[at] for case in CASES} == set(values)
    assert {one.decision for case in CASES for one in expected(case)} == {"deny", "needs_approval", "allow"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("home"))
    yield world
    world.recorder.stop("the test ended", 0)


@pytest.mark.requirement("C2", "C4", "C5", "A4")
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)).replace(" ", "_"))
def test_what_becomes_of_a_call(world, case):
    scene = Scene(world, case.mode, case.tier, case.scope, case.policy)
    scene.trouble(case.engine)
    if is_asked(case):
        scenes.SCENES[case.approval](scene, case.later)
    else:
        scene.ask()

    wanted = expected(case)
    assert len(scene.asked) == len(wanted)
    assert sum(scene.made.values()) == sum(not one.error for one in wanted)
    for request, one in zip(scene.asked, wanted, strict=True):
        check_told(scene, request, one)
        check_record(scene, request, one)
    check_approvals(scene)


def check_told(scene: Scene, request: str, one: Expected) -> None:
    """The server has the call or has not; its caller learns why not, and nothing of what was asked."""
    assert scene.made[request] == (not one.error)
    told = scene.told[request]
    assert bool(told) == bool(one.error)
    assert PLANTED not in told
    assert str(scene.number) not in told.replace(scene.approval_of(request) or "-", "")


def check_record(scene: Scene, request: str, one: Expected) -> None:
    """One attempt, one end, and between them one decision where an approval was used."""
    events = [e for e in scene.of(request) if e["event_type"] == "tool_call"]
    attempt, *decisions, end = events
    used = one.decision == "needs_approval" and not one.error
    assert [e["phase"] for e in events] == ["attempt", *(["decision"] if used else []), "result"]
    assert attempt["policy_decision"] == one.decision
    assert attempt.get("policy_observed", "") == one.observed
    assert (end["result_status"], end.get("error_type", "")) == ("blocked" if one.error else "succeeded", one.error)
    assert {e["call_id"] for e in events} == {attempt["call_id"]}
    assert {e["policy_version"] for e in events} == {scene.world.versions[scene.modes[request]]}
    assert PLANTED not in end.get("policy_reason", "")
    approval = scene.approval_of(request)
    assert {e.get("approval_id") for e in events} == {approval}
    for decision in decisions:
        assert (decision["policy_decision"], decision["action"]) == ("allow", "redeemed")
        assert decision["approval_decision"] == "approved"
        assert decision["approval_execution_match"] is True
    assert end.get("approval_execution_match") == (False if one.error == "approval_mismatch" else used or None)
    alarms = [e["action"] for e in scene.of(request) if e["event_type"] == "security"]
    assert alarms == (["approval_refused"] if one.alarm else [])


def check_approvals(scene: Scene) -> None:
    """An approval is asked for once, used once at most, and only after somebody has given it."""
    events = [e for e in scene.events() if e.get("approval_id") in scene.approvals]
    for approval in scene.approvals:
        said = [e for e in events if e["approval_id"] == approval]
        told = [e["action"] for e in said if e["event_type"] == "approval"]
        assert told.count("requested") == 1
        uses = [e for e in said if e.get("phase") == "decision"]
        assert len(uses) <= 1
        assert uses or not scene.used(approval)
        for use in uses:
            (yes,) = [e for e in said if e.get("action") == "approved"]
            assert yes["seq"] < use["seq"]
            assert yes["approval_approver"] == use["approval_approver"]
            assert {"rejected", "withdrawn", "expired"}.isdisjoint(told)
