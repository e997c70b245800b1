# SPDX-License-Identifier: Apache-2.0
"""What earlier calls say of a new one, when threads ask at once and calls are given up."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from tests.rules.calls import call, connection

from onrecord.earlier import Earlier
from onrecord.event.call import Actor, Result
from onrecord.event.event import Event
from onrecord.rules.classify import Treatment
from onrecord.rules.policy import UNJUDGED, Verdict

pytestmark = pytest.mark.requirement("C6")

TIER_4 = Treatment(tier=4, classification="medium", retention_class="standard")
DENIED = Verdict(decision="deny", reason="no", safe="no")


def attempt(call_id: str) -> Event:
    return Event(call_id=call_id, input_hash="d")


def judged(earlier: Earlier, call_id: str, verdict: Verdict = UNJUDGED) -> tuple[Event, Verdict]:
    base, same = earlier.compared(call(), TIER_4, attempt(call_id))
    return base, earlier.settled(same, verdict)


def test_of_identical_calls_that_come_at_once_one_may_run() -> None:
    earlier = Earlier()

    def asked(number: int) -> bool:
        return judged(earlier, f"c-{number}")[1].refuses

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(asked, range(200))) == [False] + [True] * 199


def test_what_a_policy_denied_was_not_made_and_repeats_nothing() -> None:
    earlier = Earlier()

    assert judged(earlier, "c-1", DENIED) == (attempt("c-1"), DENIED)
    assert judged(earlier, "c-2")[1] == UNJUDGED


def test_a_denied_call_that_repeats_one_that_ran_says_so_and_the_first_is_still_known() -> None:
    earlier = Earlier()
    judged(earlier, "c-1")

    assert [judged(earlier, f"c-{n}", DENIED)[0].repeats for n in (2, 3)] == ["c-1", "c-1"]


def test_a_round_that_is_denied_does_not_make_its_call_forgotten() -> None:
    earlier = Earlier()
    judged(earlier, "c-1")
    judged(earlier, "c-1", DENIED)

    assert judged(earlier, "c-2")[0].repeats == "c-1"


def test_after_the_window_a_call_is_new() -> None:
    now = [0.0]
    earlier = Earlier(window_s=60, clock=lambda: now[0])
    verdicts: list[str] = []
    for now[0] in (0.0, 60.0, 61.0):
        verdicts.append(judged(earlier, f"c-{now[0]}")[1].decision)

    assert verdicts == ["allow", "deny", "allow"]


@pytest.mark.requirement("A4")
def test_a_round_continues_the_call_of_the_same_person_and_tool_once() -> None:
    earlier = Earlier()
    earlier.expect(call(), Event(call_id="c-1", correlation_id="r-1"), Result(status="input_required", rounds=("s",)))

    def linked(**changes: Any) -> tuple[str, int]:
        places = earlier.places(call(rounds=("s",), **changes), "e", "new")
        return places["call_id"], places["round"]

    assert linked(tool="another") == ("new", 0)
    assert linked() == ("c-1", 1)
    assert linked() == ("new", 0)


AGENT = Actor(tenant_id="acme", agent_id="u-agent", client_id="app", principal_type="workload")


@pytest.mark.parametrize("other", [{"agent_id": "u-2"}, {"client_id": "app-2"}, {"act_chain": ("u-2",)}])
def test_workloads_are_told_apart_though_no_person_is_behind_them(other: dict[str, Any]) -> None:
    earlier = Earlier()
    mine, another = call(connection=connection(actor=AGENT)), call(connection=connection(actor=replace(AGENT, **other)))
    elsewhere = call(connection=connection(actor=AGENT, session_id="session-2"))
    events = [earlier.compared(one, TIER_4, attempt(f"c-{n}"))[0] for n, one in enumerate((mine, another, elsewhere))]

    assert [one.repeats for one in events] == ["", "", "c-0"]


def test_a_round_of_one_workload_is_not_continued_by_another() -> None:
    earlier = Earlier()
    mine, another = (call(rounds=("s",), connection=connection(actor=replace(AGENT, agent_id=a))) for a in ("1", "2"))
    earlier.expect(mine, Event(call_id="c-1", correlation_id="r-1"), Result(status="input_required", rounds=("s",)))

    assert [earlier.places(one, "e", "new")["call_id"] for one in (another, mine)] == ["new", "c-1"]
