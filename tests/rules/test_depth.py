# SPDX-License-Identifier: Apache-2.0
"""How deep the events of a call go, by its tier; and in which form, by the classification."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rules.calls import GITHUB, KEY, answered, attempted, call, definition

from onrecord.event.call import Raw
from onrecord.rules.depth import exceeded
from onrecord.rules.digests import Digests

RULE = {
    "scope": ("orders:write",),
    "resource": "shop:{shop}/orders/{/order/number}",
    "recipient": "/to",
    "idempotency_key": "/key",
    "result_id": "/id",
    "before": ("/state/old",),
    "after": ("/state/new", "/total"),
    "rollback": "/undo",
}
ARGUMENTS = {"shop": "north", "order": {"number": 17}, "to": "warehouse three", "key": "order-17-a", "note": "x"}
ANSWER = {
    "content": [],
    "structuredContent": {"id": 9, "state": {"old": "open", "new": "sent"}, "total": 2, "undo": "orders/17@4"},
}
OF_ATTEMPT = ("scope_required", "downstream_resource", "recipient", "idempotency_key")
OF_RESULT = (*OF_ATTEMPT, "result_id", "before_summary", "after_summary", "rollback_reference")


def tag(value: str) -> str:
    return f"[WITHHELD:class#{Digests(KEY).tag(value)}]"


def said(entry: Any, fields: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(entry.event, name) for name in fields if getattr(entry.event, name)}


@pytest.mark.requirement("A6")
@pytest.mark.parametrize("tier", range(5))
def test_the_tier_says_which_references_stand_on_both_events(tier: int) -> None:
    made = call(ARGUMENTS, known=True)
    attempt, result = answered(made, ANSWER, tier=tier, classification="medium", **RULE)

    expected: dict[str, Any] = {"scope_required": ("orders:write",)} if tier >= 1 else {}
    if tier >= 2:
        expected |= {"downstream_resource": "shop:north/orders/17", "idempotency_key": "order-17-a"}
    if tier >= 3:
        expected |= {"recipient": "warehouse three"}
    assert said(attempt, OF_ATTEMPT) == expected
    if tier >= 2:
        expected |= {
            "result_id": "9",
            "before_summary": "open",
            "after_summary": "new: sent; total: 2",
            "rollback_reference": "orders/17@4",
        }
    assert said(result, OF_RESULT) == expected


@pytest.mark.requirement("A6", "B4")
@pytest.mark.parametrize("classification", ["high", "critical"])
def test_a_class_that_shows_no_value_has_keyed_tags_in_their_place(classification: str) -> None:
    _, result = answered(call(ARGUMENTS), ANSWER, tier=4, classification=classification, **RULE)

    assert said(result, OF_RESULT) == {
        "scope_required": ("orders:write",),
        "downstream_resource": tag("shop:north/orders/17"),
        "recipient": tag("warehouse three"),
        "idempotency_key": tag("order-17-a"),
        "result_id": tag("9"),
        "before_summary": tag("open"),
        "after_summary": tag("new: sent; total: 2"),
        "rollback_reference": tag("orders/17@4"),
    }
    assert b"warehouse" not in result.body
    assert b"REDACTION" not in result.body


@pytest.mark.requirement("A6", "B1")
@pytest.mark.parametrize("classification", ["low", "medium", "high", "critical"])
def test_a_secret_or_a_marked_value_is_never_a_reference(classification: str) -> None:
    schema = {"type": "object", "properties": {"to": {"type": "string", "x-sensitive": True}}}
    given = {**ARGUMENTS, "key": f"k {GITHUB}", "to": "somebody"}
    body = {"content": [], "structuredContent": {"id": GITHUB, "undo": "back to somebody", "state": {"old": GITHUB}}}
    made = call(given, defined=definition(schema))

    for entry in answered(made, body, tier=4, classification=classification, **RULE):
        assert GITHUB.encode() not in entry.body
        assert b"somebody" not in entry.body
        assert not entry.event.redaction_error
        assert "#" not in entry.event.recipient
        if classification in ("high", "critical"):
            assert entry.event.recipient == entry.event.idempotency_key == "[WITHHELD:class]"


def test_of_a_tool_that_was_never_listed_no_value_and_no_tag_is_said() -> None:
    attempt, _ = attempted(call(ARGUMENTS, known=False), tier=4, classification="low", **RULE)

    assert attempt.event.recipient == attempt.event.downstream_resource == "[WITHHELD:class]"


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        ({}, {"content": []}),
        ([1], {"content": [], "structuredContent": [1]}),
        ("text", {"content": [], "structuredContent": "text"}),
        (None, None),
        ({"order": "17", "shop": {}}, {"content": [], "structuredContent": {"state": 1}}),
    ],
)
def test_what_is_not_there_says_nothing(arguments: Any, body: Any) -> None:
    _, result = answered(call(arguments), body, tier=4, classification="low", **RULE)

    assert said(result, OF_RESULT) == {"scope_required": ("orders:write",)}
    assert result.event.not_told == ("result_id", "before_summary", "after_summary", "rollback_reference")
    assert not result.event.redaction_error


def test_a_call_that_failed_changed_nothing_that_its_result_could_say() -> None:
    _, result = answered(call(ARGUMENTS), {**ANSWER, "isError": True}, status="failed", tier=4, **RULE)

    assert not result.event.after_summary
    assert result.event.downstream_resource == "shop:north/orders/17"


def test_a_rollback_in_words_stands_on_the_attempt_already() -> None:
    attempt, _ = attempted(call(ARGUMENTS), tier=4, rollback="runbook RB-12")

    assert attempt.event.rollback_reference == "runbook RB-12"


def test_a_call_that_brings_answers_says_as_much_as_the_first() -> None:
    attempt, _ = attempted(call(ARGUMENTS, brought=Raw({"sure": {"action": "accept"}})), tier=3, **RULE)

    assert attempt.event.recipient == "warehouse three"


def test_arguments_that_look_like_a_further_round_are_those_of_the_tool() -> None:
    made = call({"arguments": ARGUMENTS, "inputResponses": {"sure": {"action": "accept"}}})
    attempt, _ = attempted(made, tier=3, **RULE)

    assert not attempt.event.recipient


@pytest.mark.requirement("A6")
@pytest.mark.parametrize("classification", ["low", "medium", "high"])
def test_a_key_in_meta_is_said_as_one_in_the_arguments_is(classification) -> None:
    about = {"tier": 4, "classification": classification}
    here, _ = attempted(call({"key": "k-17"}), idempotency_key="/key", **about)
    there, _ = attempted(call(meta={"x/key": "k-17"}), idempotency_key="/_meta/x~1key", **about)
    none, _ = attempted(call({"_meta": {"x/key": "k-17"}}), idempotency_key="/_meta/x~1key", **about)

    assert there.event.idempotency_key == here.event.idempotency_key != ""
    assert not none.event.idempotency_key


def test_a_secret_in_a_key_in_meta_is_masked() -> None:
    made = call(meta={"key": f"use {GITHUB}"})
    attempt, _ = attempted(made, tier=4, classification="low", idempotency_key="/_meta/key")

    assert "[REDACTED:" in attempt.event.idempotency_key
    assert GITHUB not in attempt.body.decode()


def test_several_recipients_are_all_said_and_a_long_one_is_cut() -> None:
    given = {"to": ["ann", "bob"], "key": "x y " * 200}
    attempt, _ = attempted(call(given), tier=3, classification="low", recipient="/to/*", idempotency_key="/key")

    assert attempt.event.recipient == "ann, bob"
    assert len(attempt.event.idempotency_key) == 256


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"amount": 500}, ()),
        ({"amount": 500.01}, ("/amount",)),
        ({"amount": "1"}, ("/amount",)),
        ({"amount": True}, ("/amount",)),
        ({"amount": None}, ("/amount",)),
        ({"amount": 10**400}, ("/amount",)),
        ({}, ()),
        ('{"amount": 9}', ("/amount",)),
        (None, ()),
    ],
)
def test_what_is_past_a_limit_or_cannot_be_compared_is_named(arguments: Any, found: tuple[str, ...]) -> None:
    assert exceeded([("/amount", 500.0)], arguments) == found
    attempt, _ = attempted(call(arguments), limits={"/amount": 500.0})
    assert attempt.event.limits_exceeded == found


# results that are told in a text


def told(text: str, **more: Any) -> Any:
    return {"content": [{"type": "text", "text": text}], **more}


def of_result(body: Any, **rule: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    _, result = answered(call(ARGUMENTS), body, **{"tier": 4, "classification": "medium", **RULE, **rule})
    assert not result.event.redaction_error
    return said(result, OF_RESULT[len(OF_ATTEMPT) :]), result.event.not_told


@pytest.mark.requirement("A6")
def test_a_tool_that_answers_with_one_json_text_is_read_there() -> None:
    inside = ANSWER["structuredContent"]

    assert of_result(told(json.dumps(inside))) == of_result(ANSWER)
    assert of_result(told(f"\n {json.dumps(inside, indent=2)}\n")) == of_result(ANSWER)
    assert of_result(told(json.dumps(inside), structuredContent={"id": 1}))[0] == {"result_id": "1"}


@pytest.mark.parametrize(
    "body",
    [
        told("sent: " + json.dumps({"id": 9})),
        told(json.dumps({"id": 9}) + json.dumps({"id": 10})),
        told('{"id": 9, "id": 10}'),
        told('{"id": NaN}'),
        told('{"id": 1e999}'),
        told('"9"'),
        told("9"),
        told("[" * 100_000),
        told('{"id": ' + "9" * 10_000 + "}"),
        told(json.dumps({"id": 9, "more": "x" * 70_000})),
        {"content": [{"type": "text", "text": '{"id": 9}'}, {"type": "text", "text": '{"id": 10}'}]},
        {"content": [{"type": "text", "text": '{"id": 9}'}, {"type": "image", "data": "", "mimeType": "image/png"}]},
        {"content": [{"type": "resource", "resource": {"uri": "x:", "text": '{"id": 9}'}}]},
        {"content": {"type": "text", "text": '{"id": 9}'}},
    ],
)
def test_a_text_with_no_single_reading_tells_nothing_and_that_is_said(body: Any) -> None:
    assert of_result(body) == ({}, ("result_id", "before_summary", "after_summary", "rollback_reference"))


def test_only_what_the_manifest_names_is_said_to_be_missing() -> None:
    nothing = {"before": (), "after": (), "rollback": "runbook RB-12", "result_id": "/id"}

    assert of_result(told('{"id": 9}'), **nothing)[1] == ()
    assert of_result(told("done"), **nothing)[1] == ("result_id",)
    assert of_result(told("done"), tier=1)[1] == ()
    assert of_result(told("no", isError=True))[1] == (
        "result_id",
        "before_summary",
        "after_summary",
        "rollback_reference",
    )
    _, asking = answered(call(ARGUMENTS), {"resultType": "input_required"}, status="input_required", tier=4, **RULE)
    assert asking.event.not_told == ()


@pytest.mark.requirement("A6", "B1", "B2")
@pytest.mark.parametrize("classification", ["low", "medium", "high", "critical"])
def test_a_secret_or_a_marked_value_in_a_text_is_never_a_reference(classification: str) -> None:
    schema = {"type": "object", "properties": {"undo": {"type": "string", "x-sensitive": True}}}
    made = call(ARGUMENTS, defined=definition({"type": "object"}, schema))
    inside = {"id": GITHUB, "undo": "back to somebody", "state": {"old": f"was {GITHUB}", "new": "back to somebody"}}

    for text in (json.dumps(inside), json.dumps({**inside, "password": "back to somebody"}), json.dumps([inside])):
        for entry in answered(made, told(text), tier=4, classification=classification, **RULE):
            assert GITHUB.encode() not in entry.body
            assert b"somebody" not in entry.body
            assert not entry.event.redaction_error


def test_a_text_of_another_shape_than_the_marked_schema_shows_nothing() -> None:
    schema = {"type": "object", "properties": {"pin": {"type": "string", "x-sensitive": True}}}
    made = call(ARGUMENTS, defined=definition({"type": "object"}, schema))
    _, result = answered(
        made, told('{"result": {"pin": "number one"}}'), tier=4, classification="low", result_id="/result"
    )

    assert b"number one" not in result.body
    assert result.event.result_id.startswith("[REDACTED:")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "state", "old", "x"]), inner),
    max_leaves=12,
)


@given(st.lists(VALUES, max_size=3) | st.dictionaries(st.sampled_from(["id", "state", "undo", "total"]), VALUES))
def test_it_does_not_matter_whether_a_value_comes_as_text_or_structured(value: Any) -> None:
    """But for numbers that no two readers of JSON take alike, which come as a text that is none."""
    assert of_result(told(json.dumps(value))) == of_result({"content": [], "structuredContent": value})


@given(st.text(), st.sampled_from(["text", "json"]))
def test_any_text_is_read_or_tells_nothing(text: str, kind: str) -> None:
    fields, missing = of_result(told(text if kind == "text" else json.dumps(text)))

    assert not set(fields) & set(missing)
