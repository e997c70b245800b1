# SPDX-License-Identifier: Apache-2.0
"""What of a call may stand on the record, and that nothing else does."""

import ast
import json
import pickle
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rules.calls import (
    AWS,
    CARD,
    CLASSES,
    DETECTORS,
    FOUND_ANYWHERE,
    GITHUB,
    KEY,
    PRIVATE_KEY,
    STRIPE,
    answered,
    attempted,
    base,
    call,
    connection,
    definition,
    redactor,
    tagged,
    text_result,
    treated,
)

import onrecord
from onrecord.errors import ConfigError
from onrecord.event.call import Json, Raw, Result, Trace
from onrecord.event.event import Event
from onrecord.event.redacted import Redacted
from onrecord.rules.detection.detectors import Detectors, Late
from onrecord.rules.detection.finding import Finding
from onrecord.rules.detection.rule import Rule
from onrecord.rules.redact import Redactor
from onrecord.rules.seal import BODY, OURS, OUTSIDE, withheld

PASSWORD = "correct horse battery"  # found only by the name that it stands under
MARKED = "a value that only its schema marks"


def shown(entry: Redacted) -> str:
    return entry.body.decode()


def assert_withheld(secret: str, *entries: Redacted) -> None:
    for entry in entries:
        assert secret not in shown(entry)
        assert json.dumps(secret)[1:-1] not in shown(entry)
        assert json.loads(shown(entry)).keys() <= set(Event.__struct_fields__)


# B1: secrets in every carrier

CARRIERS: dict[str, Any] = {
    "an argument": lambda s: (call({"text": s}), text_result("ok")),
    "text around it": lambda s: (call({"text": f"please use {s} for it"}), text_result("ok")),
    "a nested argument": lambda s: (call({"a": [{"b": {"c": [s]}}]}), text_result("ok")),
    "a key": lambda s: (call({s: 1, "a": {s: "x"}}), text_result("ok")),
    "JSON in an argument": lambda s: (call({"a": json.dumps({"b": json.dumps({"c": s})})}), text_result("ok")),
    "a command line": lambda s: (call({"args": ["tool", "--flag", s]}), text_result("ok")),
    "the tool's name": lambda s: (call(tool=f"tool {s}"), text_result("ok")),
    "the method": lambda s: (call(method=f"x/{s} ", event_type="request"), text_result("ok")),
    "the request id": lambda s: (call(request_id=s), text_result("ok")),
    "the client's name": lambda s: (call(connection=connection(client_name=s)), text_result("ok")),
    "the server's version": lambda s: (call(connection=connection(server_version=s)), text_result("ok")),
    "request _meta": lambda s: (call(meta={"a": s}), text_result(f"it was {s}")),
    "a resource's URI": lambda s: (
        call({"uri": f"db://x/{s}"}, tool=f"db://x/{s}", event_type="resource_read", known=False),
        {"contents": [{"uri": f"db://x/{s}", "text": s}]},
    ),
    "a prompt": lambda s: (
        call({"x": s}, tool=s, event_type="prompt_get", known=False),
        {"messages": [{"role": "user", "content": {"type": "text", "text": s}}]},
    ),
    "text content": lambda s: (call(), text_result(f"the answer is {s}")),
    "two contents": lambda s: (call(), {"content": [{"type": "text", "text": "x"}, {"type": "text", "text": s}]}),
    "an embedded resource": lambda s: (
        call(),
        {"content": [{"type": "resource", "resource": {"uri": f"x://{s}", "text": s}}]},
    ),
    "a resource link": lambda s: (call(), {"content": [{"type": "resource_link", "uri": f"x://a?k={s}", "name": s}]}),
    "a blob": lambda s: (call(), {"content": [{"type": "resource", "resource": {"uri": "x://", "blob": s}}]}),
    "an image": lambda s: (call(), {"content": [{"type": "image", "data": s, "mimeType": s}]}),
    "structured content": lambda s: (call(), text_result("x", structuredContent={"a": {"b": s, s: 1}})),
    "result _meta": lambda s: (call(), text_result("x", _meta={"a": s})),
    "an unknown shape": lambda s: (call(), [s, {"x": s}]),
    "a bare text": lambda s: (call(s), s),
}


@pytest.mark.requirement("B1")
@pytest.mark.parametrize("classification", CLASSES)
@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_secret_is_withheld_whatever_carries_it(carrier: str, classification: str) -> None:
    for secret in (*FOUND_ANYWHERE, PRIVATE_KEY):
        made, body = CARRIERS[carrier](secret)

        entries = answered(made, body, classification=classification)

        assert_withheld(secret, *entries)
        assert not any(entry.event.redaction_error for entry in entries)


@pytest.mark.requirement("B1")
@pytest.mark.parametrize("classification", CLASSES)
@pytest.mark.parametrize(
    "body",
    [
        {"code": -32000, "message": f"no access with {GITHUB}", "data": {"trace": [f"x({GITHUB})"]}},
        {"content": [{"type": "text", "text": f"Traceback: login({GITHUB!r})"}], "isError": True},
    ],
)
def test_a_secret_in_an_error_is_withheld(body: Json, classification: str) -> None:
    _, ended = answered(call(), body, status="failed", error_type="tool_error", classification=classification)

    assert_withheld(GITHUB, ended)
    assert ended.event.error_type == "tool_error"
    assert ended.event.data_kinds == ("github-token",)


@pytest.mark.requirement("B1")
@pytest.mark.parametrize("classification", CLASSES)
@pytest.mark.parametrize(
    "arguments",
    [
        {"password": PASSWORD},
        {"db": {"userPassword": [PASSWORD]}},
        {"env": [{"name": "DB_PASSWORD", "value": PASSWORD}]},
        {"headers": [["X-Api-Key", PASSWORD]]},
        {"args": ["--db-password", PASSWORD]},
        {"text": f'{{"password": "{PASSWORD}"}}'},
        {"text": f'{{\\"password\\": \\"{PASSWORD}\\"}}'},
        {"auth": {"scheme": "x", "anything": PASSWORD}},
    ],
)
@pytest.mark.parametrize("echo", ["plain", "in JSON", "in an error", "in a URL"])
def test_what_a_name_announces_does_not_come_back(arguments: Json, echo: str, classification: str) -> None:
    text = {"in JSON": json.dumps({"said": PASSWORD}), "in a URL": f"x://a?b={quote(PASSWORD)}"}.get(echo, PASSWORD)
    body: Json = {"code": 1, "message": text} if echo == "in an error" else text_result(f"I was told {text} by you")

    entries = answered(
        call(arguments),
        body,
        classification=classification,
        status="failed" if echo == "in an error" else "succeeded",
    )

    assert_withheld(PASSWORD, *entries)
    assert_withheld(quote(PASSWORD), *entries)


@pytest.mark.requirement("B1")
def test_a_withheld_value_is_withheld_everywhere_in_its_call() -> None:
    made = call({"password": "hunter22x", "note": "my password is hunter22x", "user": "me"})
    body = text_result("welcome, hunter22x", structuredContent={"said": ["hunter22x"], "code": 4111111111111111})

    attempt, ended = answered(made, body, classification="low")

    assert json.loads(attempt.event.input_summary) == {
        "password": "[REDACTED:password]",
        "note": "my password is [REDACTED:password]",
        "user": "me",
    }
    assert json.loads(ended.event.output_summary) == {
        "content": [{"type": "text", "text": "welcome, [REDACTED:password]"}],
        "structuredContent": {"said": ["[REDACTED:password]"], "code": "[REDACTED:card-number]"},
    }
    assert attempt.event.sensitive_fields == ("/arguments/password", "/arguments/note")
    assert ended.event.sensitive_fields == (
        "/result/content/0/text",
        "/result/structuredContent/said/0",
        "/result/structuredContent/code",
    )


def test_a_secret_that_spells_a_label_does_not_disturb_it() -> None:
    schema: Json = {"properties": {"password": {"sensitive": True}}}
    made = call({"password": "password", "x": "[REDACTED:password]"}, defined=definition(schema))

    attempt, ended = answered(made, text_result("password REDACTED"), classification="low")

    assert json.loads(attempt.event.input_summary)["x"] == "[REDACTED:password]"
    assert json.loads(ended.event.output_summary)["content"][0]["text"] == "[REDACTED:password] REDACTED"
    assert not ended.event.redaction_error


@pytest.mark.requirement("B1")
@given(
    st.recursive(
        st.one_of(st.text(max_size=20), st.integers(), st.booleans(), st.none(), st.just("<here>")),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(st.one_of(st.text(max_size=8), st.just("<here>")), inner, max_size=4),
        ),
        max_leaves=12,
    ),
    st.sampled_from([GITHUB, STRIPE, AWS, CARD]),
    st.sampled_from(CLASSES),
    st.sampled_from(["/a", "/*", "/*/*", "/0"]),
)
def test_a_secret_planted_anywhere_is_withheld(value: Any, secret: str, classification: str, declared: str) -> None:
    planted = json.loads(json.dumps(value).replace("<here>", secret))
    body = text_result("x", structuredContent=planted)

    entries = answered(
        call(planted), body, classification=classification, summary=(declared,), output_summary=(declared,)
    )

    assert_withheld(secret, *entries)
    assert not any(entry.event.redaction_error for entry in entries)


@pytest.mark.requirement("B1")
@given(st.binary(max_size=40), st.text(st.characters(exclude_categories=()), max_size=40))
def test_no_value_whatever_is_let_through_by_failing(blob: bytes, text: str) -> None:
    odd: Json = {"a": text, text: [text, 10**5000, float("inf"), -(10**30), blob.decode("latin-1")], "password": text}

    attempt, ended = answered(call(odd, tool=text, request_id=text), text_result(text, x=odd), classification="low")

    for entry in (attempt, ended):
        json.loads(shown(entry))
        assert not entry.event.redaction_error


# B2: what a schema or the manifest marks


@pytest.mark.requirement("B2")
@pytest.mark.parametrize("classification", CLASSES)
def test_what_a_schema_marks_is_withheld_and_named(classification: str) -> None:
    schema: Json = {"properties": {"a": {"properties": {"b": {"sensitive": True}}}, "c": {"type": "string"}}}
    made = call({"a": {"b": MARKED}, "c": f"also {MARKED}"}, defined=definition(schema))

    attempt, ended = answered(made, text_result(f"got {MARKED}"), classification=classification, summary=("/a", "/c"))

    assert_withheld(MARKED, attempt, ended)
    if classification == "critical":
        assert attempt.event.sensitive_fields == ("/arguments",)
        assert ended.event.sensitive_fields == ("/result",)
    else:
        assert attempt.event.sensitive_fields == ("/arguments/a/b", "/arguments/c")
        assert ended.event.sensitive_fields == ("/result/content/0/text",)


@pytest.mark.requirement("B2")
@pytest.mark.parametrize("classification", CLASSES)
@pytest.mark.parametrize("secret", ["9876", "987", "x", 12345678, MARKED])
def test_what_an_output_schema_marks_is_withheld_in_the_text_that_repeats_it(classification: str, secret: Any) -> None:
    schema: Json = {"properties": {"rows": {"items": {"properties": {"pin": {"writeOnly": True}}}}}}
    structured: Json = {"rows": [{"pin": secret, "id": "row-1"}]}
    body = text_result(json.dumps(structured), structuredContent=structured)

    _, ended = answered(
        call(defined=definition(output_schema=schema)), body, classification=classification, output_summary=("/rows/*",)
    )

    fields = [ended.event.output_summary, *ended.event.fields_returned]
    assert not any(str(secret) in text.replace("text", "").replace("[REDACTED:pin]", "") for text in fields)
    if classification == "medium":
        label = tagged(MARKED, "pin") if secret == MARKED else "pin"  # of short values, no tag
        assert json.loads(ended.event.output_summary) == {"rows": {"0": {"pin": f"[REDACTED:{label}]", "id": "row-1"}}}


@pytest.mark.requirement("B2")
def test_a_marked_container_is_withheld_whole_with_its_keys() -> None:
    schema: Json = {"properties": {"vault": {"x-sensitive": True}}}
    made = call({"vault": {"inner name": {"deep": "inner value"}}}, defined=definition(schema))

    attempt, _ = answered(made, None, classification="low")

    assert json.loads(attempt.event.input_summary) == {"vault": "[REDACTED:sensitive]"}
    assert_withheld("inner", attempt)


@pytest.mark.requirement("B2")
def test_when_all_arguments_are_marked_not_even_their_names_are_shown() -> None:
    made = call({"inner": "value"}, defined=definition({"properties": {}, "sensitive": True}))

    attempt, _ = attempted(made, classification="low")

    assert attempt.event.arg_keys == ()
    assert attempt.event.sensitive_fields == ("/arguments",)
    assert_withheld("inner", attempt)


@pytest.mark.requirement("B2")
def test_the_manifest_marks_places_in_arguments_and_results() -> None:
    made = call({"people": [{"name": "An", "mail": MARKED}, {"mail": MARKED}]})
    body = text_result(f"for {MARKED}", structuredContent={"total": {"amount": 12345}})
    rule = {"classification": "low", "sensitive": ("/people/*/mail",), "sensitive_output": ("/total",)}

    attempt, ended = answered(made, body, **rule)

    assert_withheld(MARKED, attempt, ended)
    assert attempt.event.sensitive_fields == ("/arguments/people/0/mail", "/arguments/people/1/mail")
    assert json.loads(ended.event.output_summary)["structuredContent"] == {"total": "[REDACTED:sensitive]"}


@pytest.mark.requirement("B2")
def test_arguments_that_come_with_answers_are_marked_as_well() -> None:
    schema: Json = {"properties": {"a": {"sensitive": True}}}
    made = call({"a": MARKED}, brought=Raw({"q": {"content": {}}}), defined=definition(schema))

    attempt, _ = attempted(made, classification="low")

    assert_withheld(MARKED, attempt)
    assert attempt.event.sensitive_fields == ("/arguments/a",)
    assert json.loads(attempt.event.answers_summary) == {"q": {"content": {}}}


@pytest.mark.requirement("B2")
def test_text_that_stands_in_for_marked_structured_content_is_withheld() -> None:
    made = call(defined=definition(output_schema={"properties": {"pin": {"sensitive": True}}}))

    _, ended = answered(made, text_result('{"pin": "9876"}'), classification="low")

    assert json.loads(ended.event.output_summary) == {"content": "[WITHHELD:marked]"}


@pytest.mark.requirement("B4")
def test_a_declared_place_inside_a_text_shows_nothing_of_the_text() -> None:
    made = call({"config": '{"shown": 1, "other": 2}', "n": 1})

    attempt, _ = attempted(made, classification="medium", summary=("/config/shown", "/n"))

    assert json.loads(attempt.event.input_summary) == {"n": 1}


@pytest.mark.requirement("B4")
@pytest.mark.parametrize("classification", ["low", "medium"])
def test_encoded_bytes_are_not_shown(classification: str) -> None:
    body = text_result("x", structuredContent={"blob": "encoded bytes", "n": 1})

    _, ended = answered(call(), body, classification=classification, output_summary=("/blob", "/n"))

    assert_withheld("encoded bytes", ended)
    assert "[WITHHELD:binary]" in ended.event.output_summary


def test_a_common_word_under_a_telling_name_is_not_looked_for_elsewhere() -> None:
    made = call({"auth": {"type": "none"}})

    attempt, ended = answered(made, text_result("none of it"), classification="low")

    assert json.loads(attempt.event.input_summary) == {"auth": "[REDACTED:authorization]"}
    assert "none of it" in ended.event.output_summary


# B4: what each class may show


@pytest.mark.requirement("B4")
@pytest.mark.parametrize(
    ("rule", "arg_keys", "summary", "fields", "output"),
    [
        ({"classification": "low"}, True, {"path": "/tmp/x", "size": 3}, True, True),
        ({"classification": "medium"}, True, None, True, False),
        ({"classification": "medium", "summary": ("/path",)}, True, {"path": "/tmp/x"}, True, False),
        ({"classification": "high", "summary": ("/path",)}, True, None, True, False),
        ({"classification": "critical", "summary": ("/path",)}, False, None, False, False),
        ({"classification": "low", "tier": 0}, False, None, False, False),
    ],
)
def test_the_class_says_what_is_shown(
    rule: dict[str, Any], arg_keys: bool, summary: Any, fields: bool, output: bool
) -> None:
    made = call({"path": "/tmp/x", "size": 3})

    attempt, ended = answered(made, text_result("the text", structuredContent={"n": 1}), **rule)

    assert attempt.event.arg_keys == (("path", "size") if arg_keys else ())
    assert (json.loads(attempt.event.input_summary) if attempt.event.input_summary else None) == summary
    assert ended.event.fields_returned == (("n",) if fields else ())
    assert ("the text" in shown(ended)) is output
    for entry in (attempt, ended):
        assert entry.event.tool_name == "read_file"
        assert entry.event.redaction_policy == redactor().policy
        assert entry.event.data_classification == rule["classification"]
        assert entry.event.risk_tier == rule.get("tier", 2)
    assert attempt.event.input_hash
    assert attempt.event.input_size == 100
    assert ended.event.output_size == 50
    assert ended.event.output_type == ("text", "structured")


@pytest.mark.requirement("B4")
def test_until_a_schema_is_known_no_value_is_shown() -> None:
    made = call({"path": "/tmp/x"}, known=False)

    attempt, ended = answered(made, text_result("the text"), classification="low", summary=("/path",))

    assert attempt.event.arg_keys == ("path",)
    assert attempt.event.input_summary == ended.event.output_summary == ""


@pytest.mark.requirement("B4")
@pytest.mark.parametrize("classification", CLASSES)
def test_the_text_of_an_error_is_shown_in_class_low_only(classification: str) -> None:
    body: Json = {"code": -32602, "message": "no such file", "data": {"path": "/tmp/x"}}

    _, ended = answered(call(), body, status="failed", error_type="jsonrpc:-32602", classification=classification)

    assert ended.event.error_type == "jsonrpc:-32602"
    assert ended.event.error_summary == ("no such file" if classification == "low" else "")
    assert "/tmp/x" not in shown(ended)


@pytest.mark.requirement("B4")
@pytest.mark.parametrize(
    ("classification", "uri"), [("low", "x://a/b?c=d#e"), ("high", "x://a/b"), ("critical", "x://a/b")]
)
def test_the_query_of_a_resource_is_an_argument(classification: str, uri: str) -> None:
    made = call({"uri": "x://a/b?c=d#e"}, tool="x://a/b?c=d#e", event_type="resource_read", known=False)

    attempt, _ = attempted(made, classification=classification)

    assert attempt.event.resource_uri == uri
    assert attempt.event.tool_name == ""


@pytest.mark.requirement("B4")
def test_long_text_is_cut_after_it_was_masked() -> None:
    made = call({"a": "x" * 90 + " " + GITHUB, "b": "y" * 300})

    attempt, _ = attempted(made, redactor(cut=100), classification="low")

    values = json.loads(attempt.event.input_summary)
    assert values["a"] == "x" * 90 + " …"
    assert values["b"] == "y" * 99 + "…"


@pytest.mark.requirement("B4")
def test_a_summary_stays_small_and_readable() -> None:
    made = call({f"key {i}": ["\x01" * 90, {"deep": "é" * 90}] * 50 for i in range(100)})

    attempt, _ = attempted(made, classification="low")

    assert len(attempt.event.input_summary.encode()) <= 4096
    assert json.loads(attempt.event.input_summary)


@pytest.mark.requirement("B4")
@pytest.mark.parametrize("classification", CLASSES)
def test_an_event_fits_into_its_line_whatever_it_is_made_of(classification: str) -> None:
    wide: Json = {f"{i}\x01" * 30: {"password" + "\x02" * 50 + str(i): "value"} for i in range(3_000)}
    made = call(wide, tool="\x03" * 5_000, connection=connection(client_name="é" * 5_000), request_id="\x04" * 999)

    entries = answered(made, text_result("x", structuredContent=wide), classification=classification)

    assert all(len(entry.body) <= BODY for entry in entries)
    assert all(json.loads(shown(entry)) for entry in entries)


# limits


@pytest.mark.requirement("B1")
@pytest.mark.parametrize(
    "value",
    [
        "x" * 3_000_000 + GITHUB,
        "x " * 32_760 + GITHUB + " y" * 100_000,
        ["x" * 60_000] * 10 + [GITHUB],
        [[i] for i in range(60_000)] + [GITHUB],
        {str(i): GITHUB for i in range(2_000)},
        [{"password": f"password number {i}"} for i in range(2_000)],
    ],
)
def test_what_is_too_much_to_look_at_is_withheld(value: Any) -> None:
    made = call({"value": value, "last": f"{GITHUB} password number 1999"})

    entries = answered(made, text_result(f"{GITHUB} password number 1999", more=value), classification="low")

    for entry in entries:
        assert_withheld(GITHUB, entry)
        assert not entry.event.redaction_error


@pytest.mark.requirement("B1")
def test_what_lies_too_deep_is_withheld() -> None:
    value: Json = {"password": PASSWORD, "token": GITHUB, "plain": "the deepest text"}
    for _ in range(100):
        value = [value]

    attempt, ended = answered(call({"a": value}), text_result(PASSWORD, b=value), classification="low")

    assert_withheld(PASSWORD, attempt)
    assert_withheld("the deepest text", attempt, ended)
    assert ended.event.output_summary == ""  # nobody looked for PASSWORD, so it could not be told apart


def test_a_secret_across_the_end_of_what_is_looked_at_is_not_shown_in_part() -> None:
    by = redactor(cut=65_000)
    text = "x" * 65_500 + " " + GITHUB

    attempt, _ = attempted(call({"a": PRIVATE_KEY[:40] + text}), by, classification="low")

    assert GITHUB[:12] not in shown(attempt)


# B6: the policy has a name, and a redaction that fails withholds


@pytest.mark.requirement("B6")
def test_the_policy_names_its_version_and_its_rules() -> None:
    name, _, digest = redactor().policy.partition("+")

    assert name == "onrecord-default@2"
    assert len(digest) == 8
    assert redactor(cut=99).policy != redactor().policy
    assert redactor().policy == redactor().policy


class Broken(Detectors):
    """Detectors that fail on what holds a word; the search before them still works."""

    def find(self, text: str, *, low: bool = False, encoded: bool = False, late: Late | None = None) -> list[Finding]:
        if "poison" in text:
            raise RuntimeError(f"cannot read {text}")
        return super().find(text, low=low, encoded=encoded, late=late)

    def suspect(self, text: str, *, late: Late | None = None) -> bool:
        return "poison" in text or super().suspect(text, late=late)


@pytest.mark.requirement("B6")
@pytest.mark.parametrize("where", ["arguments", "result", "fact"])
def test_a_redaction_that_fails_withholds_the_values_and_keeps_the_event(where: str) -> None:
    by = Redactor(digest_key=KEY, detectors=Broken([]))
    made = call({"text": "poison" if where == "arguments" else "fine", "other": PASSWORD})

    if where == "fact":
        entries = [by.fact(base(), {"path": f"poison {PASSWORD}"})]
    else:
        entries = [*answered(made, text_result(f"poison {PASSWORD}"), by=by, classification="low")]

    failed = entries[0] if where != "result" else entries[1]
    assert failed.event.redaction_error
    assert_withheld("poison", *entries)
    assert failed.event.input_summary == failed.event.output_summary == ""
    assert failed.event.event_id == "event-1"
    assert failed.event.policy_decision == "allow"
    if where != "fact":
        assert failed.event.session_id == "session-1"
        assert failed.event.risk_tier == 2
        assert failed.event.redaction_policy == by.policy


@pytest.mark.requirement("B6")
def test_after_a_failed_attempt_its_result_shows_no_value_either() -> None:
    by = Redactor(digest_key=KEY, detectors=Broken([]))

    _, ended = answered(call({"password": PASSWORD, "x": "poison"}), text_result(PASSWORD), by=by, classification="low")

    assert_withheld(PASSWORD, ended)


@pytest.mark.requirement("B6")
def test_what_slips_through_makes_the_event_drop_what_it_shows() -> None:
    class Careless(Detectors):
        def find(
            self, text: str, *, low: bool = False, encoded: bool = False, late: Late | None = None
        ) -> list[Finding]:
            return super().find(text, low=low, encoded=encoded) if encoded else []

    by = Redactor(digest_key=KEY, detectors=Careless(DETECTORS.rules))

    attempt, _ = attempted(call({"text": GITHUB, "n": 1}), by, classification="low")

    assert_withheld(GITHUB, attempt)
    assert attempt.event.redaction_error
    assert attempt.event.arg_keys == ()
    assert attempt.event.tool_name == "read_file"


@pytest.mark.requirement("B6")
def test_what_slips_through_in_a_name_leaves_only_our_own_ids() -> None:
    class Careless(Detectors):
        def find(
            self, text: str, *, low: bool = False, encoded: bool = False, late: Late | None = None
        ) -> list[Finding]:
            return super().find(text, low=low, encoded=encoded) if encoded else []

    by = Redactor(digest_key=KEY, detectors=Careless(DETECTORS.rules))

    attempt, _ = attempted(call(tool=GITHUB), by)

    assert_withheld(GITHUB, attempt)
    assert attempt.event.redaction_error
    assert attempt.event.call_id == "call-1"
    assert attempt.event.tool_name == ""


def test_each_field_of_an_event_is_ours_or_from_outside() -> None:
    assert set(Event.__struct_fields__) == OURS | OUTSIDE
    assert not OURS & OUTSIDE


SIGNALS = ("hidden-unicode", "instruction")
BEFORE = ("0190a8d2-7b3c-7def-8abc-4111111111111111",)


def flagged(**more: Any) -> Event:
    return Event(
        **{
            "event_id": "event-1",
            "phase": "result",
            "call_id": "call-1",
            "output_source": "server",
            "output_sanitised": True,
            "suspicious_signals": SIGNALS,
            "suspicious_before": BEFORE,
            "client_ip": "203.0.113.77",
            **more,
        }
    )


@pytest.mark.requirement("B6")
def test_what_we_write_ourselves_is_never_taken_for_something_that_slipped_through() -> None:
    words = Rule(
        id="words",
        label="words",
        kind="secret",
        regex="(?i)hidden-unicode|instruction|suspicious_signals|server|succeeded|custom|tool_call",
        check="literal",
        positive=(("instruction",),),
        negative=(("none",),),
    )
    by = Redactor(digest_key=KEY, detectors=Detectors([words, *DETECTORS.rules]))
    made = call({"to": "a"}, tool="x", connection=connection(server_name="a", client_name="b"))
    attempt, secrets = by.attempt(made, treated(made), base())
    result = Result(status="succeeded", body=Raw(text_result("fine")), size_bytes=4)

    ended = by.result(attempt.event, secrets, made, treated(made), result, flagged(result_status="succeeded"))

    assert not attempt.event.redaction_error
    assert not ended.event.redaction_error
    assert ended.event.suspicious_signals == SIGNALS
    assert ended.event.suspicious_before == BEFORE


@pytest.mark.requirement("B6")
def test_an_event_whose_redaction_failed_still_says_what_was_flagged() -> None:
    by = Redactor(digest_key=KEY, detectors=Broken([]))
    made = call({"text": "fine"})
    attempt, secrets = by.attempt(made, treated(made), base())
    result = Result(status="succeeded", body=Raw(text_result("poison")), size_bytes=4)

    for ended in (
        by.result(attempt.event, secrets, made, treated(made), result, flagged()),
        Redacted(*withheld(flagged())),
    ):
        assert ended.event.redaction_error
        assert ended.event.suspicious_signals == SIGNALS
        assert ended.event.suspicious_before == BEFORE
        assert ended.event.output_sanitised is True


def test_secrets_show_nothing_of_themselves() -> None:
    _, secrets = attempted(call({"password": PASSWORD}))

    assert secrets
    assert PASSWORD not in f"{secrets} {secrets!r}"
    with pytest.raises(TypeError):
        json.dumps(secrets)
    with pytest.raises(TypeError):
        pickle.dumps(secrets)


@pytest.mark.parametrize("cut", [0, -1, 10**6])
def test_a_cut_that_makes_no_sense_is_refused(cut: int) -> None:
    with pytest.raises(ConfigError, match=r"redaction\.cut"):
        redactor(cut=cut)


# what else stands on the events


def test_the_digest_of_arguments_is_keyed_and_goes_by_their_value() -> None:
    def digest(arguments: Json, by: Redactor | None = None) -> str:
        return attempted(call(arguments), by)[0].event.input_hash

    other = Redactor(digest_key=b"another", detectors=DETECTORS)
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert digest({"a": 1}) != digest({"a": 1}, other)
    assert digest({"a": "\ud800"}) != digest({"a": "\ud801"})
    assert len(digest({"a": 10**30})) == 64
    assert digest({"a": [10, 0, 10**22]}) == digest({"a": [10.0, -0.0, 1e22]})
    assert digest({"a": 1e30}) == digest({"a": int(1e30)})
    assert len({digest({"a": one}) for one in (10, 10.5, "10.0", True, 1)}) == 5


def test_an_attempt_says_who_what_and_where() -> None:
    made = call(trace=Trace(trace_id="a" * 32, span_id="not hex"), defined=definition(), direction="server_to_client")

    attempt, _ = attempted(made)

    event = attempt.event
    assert (event.user_id, event.identity_source, event.session_id) == ("u-1", "os_account", "session-1")
    assert (event.server_id, event.server_name, event.server_version) == ("files", "a server", "2.0")
    assert (event.client_name, event.client_version) == ("a client", "1.0")
    assert (event.method, event.tool_name, event.request_id) == ("tools/call", "read_file", "7")
    assert (event.transport, event.direction, event.protocol_version) == ("stdio", "server_to_client", "2025-11-25")
    assert (event.trace_id, event.span_id) == ("a" * 32, "")
    assert (event.call_id, event.policy_decision) == ("call-1", "allow")


def test_a_result_repeats_who_what_and_where() -> None:
    attempt, ended = answered(call({"a": 1}), text_result("x"))

    for name in ("user_id", "session_id", "server_id", "tool_name", "request_id", "client_name", "risk_tier"):
        assert getattr(ended.event, name) == getattr(attempt.event, name)
    assert ended.event.arg_keys == ()


@pytest.mark.parametrize(
    ("body", "types", "fields"),
    [
        ({"content": [{"type": "image", "data": "x"}, {"type": "evil\x1b"}]}, ("image", "other"), ("content",)),
        ({"contents": [{"uri": "x://", "blob": "x"}]}, ("resource",), ("contents",)),
        ({"messages": [{"role": "user", "content": {"type": "text"}}]}, ("text",), ("messages",)),
        ({"role": "x", "content": {"type": "audio"}, "model": "m"}, ("audio",), ("role", "content", "model")),
        (None, (), ()),
        ("text", (), ()),
    ],
)
def test_a_result_says_what_kind_of_content_it_had(body: Json, types: tuple[str, ...], fields: tuple[str, ...]) -> None:
    _, ended = answered(call(), body)

    assert ended.event.output_type == types
    assert ended.event.fields_returned == fields


def test_a_call_without_an_answer_has_a_result_too() -> None:
    by = redactor()
    made = call({"a": 1})
    attempt, secrets = attempted(made, by)
    silent = Result(status="timed_out", error_type="timeout")

    ended = by.result(attempt.event, secrets, made, treated(made), silent, base("result"))

    assert ended.event.error_type == "timeout"
    assert ended.event.output_size == 0
    assert not ended.event.redaction_error


@given(
    st.dictionaries(st.sampled_from(["path", "max_tokens", "token_count", "text", "auth_type"]), st.text(), max_size=4)
)
def test_an_ordinary_call_is_not_reported_as_a_failed_redaction(arguments: dict[str, Any]) -> None:
    for classification in CLASSES:
        entries = answered(call(arguments), text_result(json.dumps(arguments)), classification=classification)

        assert not any(entry.event.redaction_error for entry in entries)


# facts


@pytest.mark.requirement("B1")
def test_a_command_line_is_recorded_without_its_secrets() -> None:
    command = ["npx", "server", "--api-key", "abcdefgh1", "--token=abcdefgh2", "-e", "DB_PASSWORD=abcdefgh3", GITHUB]

    entry = redactor().fact(base(), {"command": command, "path": f"/tmp/{GITHUB}"})

    tag = tagged(GITHUB, "github-token")

    assert entry.event.detail["command"] == [
        "npx",
        "server",
        "--api-key",
        "[REDACTED:api-key]",
        "--token=[REDACTED:token]",
        "-e",
        "DB_PASSWORD=[REDACTED:password]",
        f"[REDACTED:{tag}]",
    ]
    assert entry.event.detail["path"] == f"/tmp/[REDACTED:{tag}]"
    assert entry.event.retention_class == "standard"
    assert entry.event.redaction_policy == redactor().policy
    assert not entry.event.redaction_error


@pytest.mark.requirement("B1")
@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--header", "X-Api-Key: beryl-quilt-881"], ["--header", "X-Api-Key: [REDACTED:api-key]"]),
        (["X-Api-Key:ebony-quilt-3"], ["X-Api-Key:[REDACTED:api-key]"]),
        (["--auth-header=coral-quilt-1"], ["--auth-header=[REDACTED:credential]"]),
        (["-pamber-quilt-33"], ["-p[REDACTED:password]"]),
        (["Bearer", "denim-quilt-5"], ["Bearer", "[REDACTED:token]"]),
        (["--access", "mauve-quilt-7"], ["--access", "[REDACTED:credential]"]),
        (["--config", '{"k":{"password":"slate-quilt-4"}}'], ["--config", '{"k":{"password":"[REDACTED:password]"}}']),
        (['--cfg={"args":["-p","ruby-quilt-1"]}'], ['--cfg={"args":["-p","[REDACTED:password]"]}']),
        (["sh", "-c", "mysql -pteal-quilt-1 db"], ["sh", "-c", "mysql -p[REDACTED:password] db"]),
        (["-p", "lime-quilt-1", "x://h?k=lime-quilt-1"], ["-p", "[REDACTED:password]", "x://h?k=[REDACTED:password]"]),
        (['{"a": [1, "b"]}', "{x}", "[1", "--map={}"], ['{"a":[1,"b"]}', "{x}", "[1", "--map={}"]),
        (["-m", "server", "--port", "8080", "--auth-type=basic2x", "--key", "/etc/k1.pem"], None),
    ],
)
def test_a_secret_is_withheld_however_a_command_line_holds_it(words: list[str], shown: list[str] | None) -> None:
    entry = redactor().fact(base(), {"command": ["server", *words]})

    assert entry.event.detail["command"] == ["server", *(words if shown is None else shown)]
    assert not entry.event.redaction_error


def test_a_fact_puts_names_where_names_belong() -> None:
    entry = redactor().fact(base(), {"client_name": "a\ud800client", "tool_name": GITHUB})

    assert entry.event.client_name == "a?client"
    assert entry.event.tool_name == f"[REDACTED:{tagged(GITHUB, 'github-token')}]"
    assert entry.event.detail == {}


def test_a_fact_fits_into_its_line() -> None:
    entry = redactor().fact(base(), {"command": ["\x01" * 9_000] * 900, "path": "\x02" * 9_000})

    assert len(entry.body) <= BODY
    assert not entry.event.redaction_error


@pytest.mark.requirement("B1", "B7")
def test_text_for_the_terminal_is_masked_cut_and_neutral() -> None:
    text = redactor().text(f"\x1b[31mno access with {GITHUB}\n" + "and more " * 50, limit=60)

    tag = tagged(GITHUB, "github-token")
    assert text.startswith(f"\\x1b[31mno access with [REDACTED:{tag}]")
    assert text.endswith("…")


def test_only_the_redactor_and_own_facts_make_a_redacted_event() -> None:
    source = Path(onrecord.__file__).parent
    makers = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Redacted"
    }

    assert makers == {"rules/redact.py", "event/redacted.py"}


@pytest.mark.requirement("B1")
@pytest.mark.parametrize("length", [500, 5_000, 60_000, 70_000])
def test_a_long_marked_value_is_not_shown_in_part_when_it_comes_back(length: int) -> None:
    value = "".join(f"{i:05}" for i in range(length // 5))
    made = call({"a": value}, defined=definition({"properties": {"a": {"sensitive": True}}}))
    text = PRIVATE_KEY + "x" * (65_400 - len(PRIVATE_KEY) - length // 2) + value

    attempt, ended = answered(made, text_result(text, x=[value, value[:-1] + "y"]), by=redactor(cut=60_000))
    _, shown_low = answered(made, text_result(value * 2, y=text), by=redactor(cut=60_000), classification="low")

    for entry in (attempt, ended, shown_low):
        assert value not in shown(entry)
    assert "00000000010000200003" not in shown(shown_low)
