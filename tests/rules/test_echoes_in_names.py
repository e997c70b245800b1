# SPDX-License-Identifier: Apache-2.0
"""A marked value may come back as the name of something: a key, a tool, a request, a trace."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rules.calls import answered, attempted, call, definition, text_result

from onrecord.event.call import Json, Trace
from onrecord.event.redacted import Redacted
from onrecord.rules.detection.labels import label_only
from onrecord.rules.echo import Secrets

SCHEMA: Json = {"type": "object", "properties": {"s": {"type": "string", "sensitive": True}}}


def names_on(entry: Redacted) -> str:
    """All that an event shows of names, but those that are ours."""
    event = entry.event
    given = [event.request_id, event.tool_name, event.resource_uri, event.prompt_name, event.error_type]
    below = [place.partition("/")[2].partition("/")[2] for place in event.sensitive_fields]
    return json.dumps([*given, *event.arg_keys, *event.fields_returned, *below], ensure_ascii=False)


@pytest.mark.requirement("B2")
@pytest.mark.parametrize("value", ["Wolf", "hunter2", "74311", "blank"])
@pytest.mark.parametrize("classification", ["low", "medium", "critical"])
def test_a_short_marked_value_is_withheld_in_names_as_well(value: str, classification: str) -> None:
    made = call(
        {"s": value if value != "blank" else " blank   ", value: 1, "o": {value: {"password": "abcdef1234"}}},
        tool=f"get_{value}",
        request_id=value,
        defined=definition(SCHEMA),
    )
    body = text_result("x", structuredContent={f"{value}s": 1, "n": {"password": value}})

    attempt, ended = answered(
        made, body, classification=classification, status="failed", error_type=f"jsonrpc:-{value}"
    )

    assert value not in attempt.body.decode()
    assert value not in ended.body.decode()
    assert attempt.event.method == "tools/call"
    assert not attempt.event.redaction_error
    assert not ended.event.redaction_error


@pytest.mark.requirement("B2")
@given(st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters='"\\/~'), min_size=4, max_size=9))
def test_no_name_shows_a_marked_value(value: str) -> None:
    made = call({"s": value, f"a{value}": 1}, tool=f"{value}.x", request_id=value, defined=definition(SCHEMA))

    attempt, ended = answered(made, text_result("x", structuredContent={value: 1}), classification="medium")

    label = "[REDACTED:sensitive]"
    assert value not in names_on(attempt).replace(label, "").replace('"s"', "")
    assert value not in names_on(ended).replace(label, "")
    assert not attempt.event.redaction_error
    assert not ended.event.redaction_error


def test_a_marked_word_that_our_own_words_hold_withholds_no_event() -> None:
    for value in ("arguments", "tools", "call", "everything", "configured", "result", "structuredContent"):
        made = call({"s": value, "n": {"password": "abcdef1234"}}, defined=definition(SCHEMA))

        entries = answered(made, text_result("x"), classification="medium")

        assert not any(entry.event.redaction_error for entry in entries)
        assert entries[0].event.method == "tools/call"
        assert entries[0].event.sensitive_fields == ("/arguments/s", "/arguments/n/password")


def test_a_result_that_marks_a_word_of_its_tool_s_name_is_recorded() -> None:
    schema: Json = {"properties": {"mode": {"sensitive": True}}}
    made = call({"x": 1}, tool="read_file", defined=definition(output_schema=schema))

    _, ended = answered(made, {"structuredContent": {"mode": "read_file"}, "content": []}, classification="low")

    assert not ended.event.redaction_error
    assert json.loads(ended.event.output_summary)["structuredContent"] == {"mode": "[REDACTED:sensitive]"}


@pytest.mark.requirement("B1")
def test_a_word_under_a_telling_name_is_not_looked_for_in_names() -> None:
    attempt, _ = attempted(call({"password": "read"}, tool="read_file"), classification="low")

    assert attempt.event.tool_name == "read_file"


@pytest.mark.requirement("B1")
@pytest.mark.parametrize("secret", ["0f0f0f0f0f0f0f0f" + "deadbeefcafe4242", b"hunter2-hunter2-".hex()])
@pytest.mark.parametrize("carrier", ["argument", "password in meta"])
def test_a_trace_that_spells_a_secret_is_not_recorded(secret: str, carrier: str) -> None:
    value = bytes.fromhex(secret).decode(errors="replace") if secret.startswith("6875") else secret
    at_argument = carrier == "argument"
    made = call(
        {"password": value} if at_argument else {},
        meta={"traceparent": f"00-{secret}-00f067aa0ba902b7-01", **({} if at_argument else {"password": value})},
        trace=Trace(trace_id=secret, span_id="00f067aa0ba902b7"),
    )

    attempt, ended = answered(made, text_result("x"), classification="low")

    assert secret not in attempt.body.decode() + ended.body.decode()
    assert (attempt.event.trace_id, attempt.event.span_id) == ("", "00f067aa0ba902b7")
    assert not attempt.event.redaction_error


def test_a_trace_is_recorded() -> None:
    made = call({"password": "hunter22x"}, trace=Trace(trace_id="4bf92f3577b34da6a3ce929d0e0e4736", span_id="0" * 16))

    attempt, _ = attempted(made)

    assert attempt.event.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.requirement("B2")
def test_what_is_lent_is_remembered_as_it_was() -> None:
    lender, borrower = Secrets(), Secrets()
    lender.mark("Wolf", label_only("sensitive"))
    lender.add("read", label_only("password"), 4)
    lender.complete = False

    lender.lend(borrower)

    assert borrower.masked("Wolf, read") == "[REDACTED:sensitive], [REDACTED:password]"
    assert [place.stand_in for place in borrower.in_name("read_Wolf")] == ["[REDACTED:sensitive]"]
    assert not borrower.complete
