# SPDX-License-Identifier: Apache-2.0
"""Which calls repeat an earlier one, and which of these are refused."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rules.calls import call, connection

from onrecord.event.call import Actor, Raw
from onrecord.rules import duplicates
from onrecord.rules.classify import Treatment
from onrecord.rules.duplicates import NEW, REPEATED, REUSED, Asked, Comparison, Duplicates, asked, idempotency_key
from onrecord.rules.policy import UNJUDGED

pytestmark = pytest.mark.requirement("C6")

WINDOW_S = 600.0


def treated(tier: int = 2, **changes: Any) -> Treatment:
    return Treatment(tier=tier, classification="medium", retention_class="standard", **changes)


def operation(call_id: str, key: str = "k", digest: str = "d", **changes: Any) -> Asked:
    return Asked(**{"call_id": call_id, "key": (key,), "digest": digest, "risky": True, "allowed": False, **changes})


def compared(first: Any, second: Any, treatment: Treatment, digests: tuple[str, str] = ("d", "d")) -> Comparison:
    memory = Duplicates(WINDOW_S)
    for made, call_id, digest in ((first, "c-1", digests[0]), (second, "c-2", digests[1])):
        same = asked(made, call_id, treatment, digest)
        assert same is not None
        seen = memory.judge(same, 0.0)
    return seen


def test_an_identical_call_is_flagged_and_names_the_first() -> None:
    assert compared(call({"a": 1}), call({"a": 1}), treated()) == Comparison(repeats="c-1", signals=(REPEATED,))


@pytest.mark.parametrize(
    "other",
    [
        {"tool": "another"},
        {"connection": connection(server_id="another")},
        {"connection": connection(actor=Actor(user_id="u-2"))},
        {"connection": connection(actor=Actor(user_id="u-1", tenant_id="another"))},
    ],
    ids=["tool", "server", "person", "tenant"],
)
def test_a_call_by_another_or_to_another_repeats_nothing(other: dict[str, Any]) -> None:
    assert compared(call({"a": 1}), call({"a": 1}, **other), treated(4)) == NEW


def test_a_person_is_recognised_in_another_session() -> None:
    assert compared(call(), call(connection=connection(session_id="session-2")), treated()).repeats == "c-1"


def test_other_arguments_are_another_call() -> None:
    assert compared(call(), call(), treated(4), ("d", "e")) == NEW


def test_a_duplicate_of_tier_4_is_refused_and_the_reason_holds_no_value() -> None:
    seen = compared(call({"to": "alice"}), call({"to": "alice"}), treated(4))

    verdict = seen.verdict(UNJUDGED)
    assert (verdict.decision, verdict.id, verdict.error_type) == ("deny", "duplicates", "duplicate")
    assert verdict.safe == (
        "an identical call was made within 600 s (call c-1, 0 s ago); "
        "duplicates.window says for how long, tool.allow_duplicates lifts that"
    )


def test_the_manifest_may_allow_duplicates() -> None:
    seen = compared(call(), call(), treated(4, allow_duplicates=True))

    assert (seen.refusal, seen.signals, seen.verdict(UNJUDGED)) == ("", (REPEATED,), UNJUDGED)


@pytest.mark.parametrize(("event_type", "tier", "is_compared"), [("task", 0, False), ("resource_read", 4, True)])
def test_what_only_reads_may_be_repeated_at_will(event_type: Any, tier: int, is_compared: bool) -> None:
    assert (asked(call(event_type=event_type), "c", treated(tier), "d") is not None) == is_compared


def test_what_a_server_asks_is_not_compared() -> None:
    assert asked(call(direction="server_to_client"), "c", treated(4), "d") is None


@pytest.mark.parametrize(
    ("pointer", "arguments", "meta", "key"),
    [
        ("/order/key", {"order": {"key": "k-1"}}, {}, "k-1"),
        ("/order/key", {"order": {"key": 17}}, {}, "17"),
        ("/_meta/x~1key", {"x/key": "wrong"}, {"x/key": "k-2"}, "k-2"),
        ("/order", {"order": 17.0}, {}, "17"),
        ("/order", {"order": 17.5}, {}, ""),
        ("/order", {"order": {"key": 1}}, {}, ""),
        ("/order", {"order": True}, {}, ""),
        ("/order", {"order": "x" * 257}, {}, ""),
        ("/order", {"order": None}, {}, ""),
        ("/order", {"order": 10**30}, {}, ""),
        ("/order", ["order"], {}, ""),
        ("/order", {}, {}, ""),
        ("/order/0", {"order": "text"}, {}, ""),
        ("", {"": "k"}, {}, ""),
    ],
)
def test_the_key_stands_where_the_manifest_says(pointer: str, arguments: Any, meta: Any, key: str) -> None:
    assert idempotency_key(call(arguments, meta=meta), treated(idempotency_key=pointer)) == key


def test_the_key_of_a_further_round_stands_beside_its_answers() -> None:
    made = call({"key": "k"}, brought=Raw({"sure": {}}), rounds=("r",))

    assert idempotency_key(made, treated(idempotency_key="/key")) == "k"


def test_calls_with_different_keys_differ_even_if_nothing_else_does() -> None:
    keyed = treated(4, idempotency_key="/_meta/key")

    assert compared(call(meta={"key": "1"}), call(meta={"key": "2"}), keyed) == NEW
    assert compared(call(meta={"key": "1"}), call(meta={"key": "1"}), keyed).signals == (REPEATED,)


@pytest.mark.parametrize("allowed", [False, True])
def test_a_key_that_comes_back_with_other_arguments_is_refused_in_tier_4(allowed: bool) -> None:
    keyed = treated(4, idempotency_key="/key", allow_duplicates=allowed)

    seen = compared(call({"key": "1"}), call({"key": "1", "a": 2}), keyed, ("d", "e"))

    assert (seen.repeats, seen.signals) == ("c-1", (REUSED,))
    assert seen.refusal.startswith("its idempotency key was used for other arguments")


def test_rounds_of_one_call_are_no_duplicates() -> None:
    memory = Duplicates(WINDOW_S)

    assert [memory.judge(operation("c-1"), at) for at in (0.0, 1.0, 2.0)] == [NEW, NEW, NEW]
    assert memory.judge(operation("c-2"), 3.0).repeats == "c-1"


def test_a_call_that_was_not_made_is_forgotten_by_itself_only() -> None:
    memory = Duplicates(WINDOW_S)
    memory.judge(operation("c-1"), 0.0)

    memory.forget(operation("c-2"))
    assert memory.judge(operation("c-3"), 0.0).repeats == "c-1"
    memory.forget(operation("c-1"))
    assert memory.judge(operation("c-4"), 0.0) == NEW


def test_arguments_that_cannot_be_compared_are_refused_in_tier_4_only() -> None:
    memory = Duplicates(WINDOW_S)

    assert "can't be compared" in memory.judge(operation("c-1", digest=""), 0.0).refusal
    assert memory.judge(operation("c-1", digest="", risky=False), 0.0) == NEW
    assert memory.judge(operation("c-2", digest="", risky=False), 0.0) == NEW


def test_memory_is_bounded_and_no_flood_makes_it_forget_a_call_of_tier_4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "REMEMBERED", 3)
    memory = Duplicates(WINDOW_S)
    memory.judge(operation("c-0", "paid"), 0.0)
    for i in range(9):
        assert memory.judge(operation("c", str(i), risky=False), 0.0) == NEW

    assert memory.judge(operation("c-1", "paid"), 1.0).refusal
    assert memory.judge(operation("c", "0", risky=False), 1.0) == NEW
    seen = [memory.judge(operation("c", str(i)), 1.0) for i in range(4)]
    assert [bool(one.refusal) for one in seen] == [False, False, True, True]
    assert memory.judge(operation("c-2", "x"), WINDOW_S + 2) == NEW


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.booleans(), st.integers(0, 400)), max_size=40))
def test_within_any_window_one_of_identical_risky_calls_runs(steps: list[tuple[int, int, bool, int]]) -> None:
    memory, now = Duplicates(WINDOW_S), 0.0
    ran: list[tuple[int, str, float]] = []
    for number, (key, _, made, later) in enumerate(steps):
        now += later
        same = operation(f"c-{number}", str(key))
        seen = memory.judge(same, now)
        before = [(call_id, at) for known, call_id, at in ran if known == key and now - at <= WINDOW_S]
        assert bool(seen.refusal) == bool(before)
        assert seen.repeats == (before[0][0] if before else "")
        if not seen.refusal:
            if made:
                ran.append((key, same.call_id, now))
            else:
                memory.forget(replace(same))
