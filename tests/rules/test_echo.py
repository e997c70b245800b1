# SPDX-License-Identifier: Apache-2.0
"""What was marked once does not come back, however it is written: every mark, every form, every place."""

import base64
import html
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.rules.calls import CLASSES, GITHUB, answered, attempted, call, definition, tagged, text_result

from onrecord.event.call import Json
from onrecord.event.redacted import Redacted
from onrecord.rules.detection.labels import Mask
from onrecord.rules.echo import Secrets

pytestmark = pytest.mark.requirement("B1", "B2")

MARKS: list[dict[str, Any]] = [{"sensitive": True}, {"x-sensitive": "yes"}, {"writeOnly": True}, {"format": "password"}]


def small_escapes(url: str) -> str:
    first, *rest = url.split("%")
    return first + "".join(f"%{piece[:2].lower()}{piece[2:]}" for piece in rest)


FORMS: dict[str, Callable[[str], str]] = {
    "plain": lambda v: v,
    "JSON": lambda v: json.dumps({"said": v}),
    "JSON without ASCII": lambda v: json.dumps({"said": v}, ensure_ascii=False),
    "JSON in JSON": lambda v: json.dumps(json.dumps([v])),
    "a URL": lambda v: f"https://h/?q={quote(v, safe='')}&x=1",
    "a URL in small letters": lambda v: small_escapes(quote(v)),
    "a form": lambda v: f"q={quote_plus(v)}&x=1",
    "base64": lambda v: base64.b64encode(v.encode()).decode(),
    "base64 for URLs": lambda v: base64.urlsafe_b64encode(v.encode()).decode().rstrip("="),
    "base64 of something longer": lambda v: base64.b64encode(f"he said {v} twice".encode()).decode(),
    "base64 after one more": lambda v: base64.b64encode(f"x{v}".encode()).decode(),
    "base64 after two more": lambda v: base64.b64encode(f"xy{v}z".encode()).decode(),
    "hexadecimal": lambda v: v.encode().hex(),
    "hexadecimal in capitals": lambda v: v.encode().hex().upper(),
    "hexadecimal of something longer": lambda v: f"0x{f'he said {v} twice'.encode().hex()}",
    "HTML": lambda v: f"<b>{html.escape(v)}</b>",
    "HTML, other quotes": lambda v: f"<b>{html.escape(v).replace('&#x27;', '&#39;')}</b>",
    "a traceback": lambda v: f'File "x.py", line 1\n    login({v!r})\nValueError: {v!r}',
}  # fmt: skip

# Values that nothing else gives away, of 4 characters or more; no blanks at their ends, no part of what we write.
VALUES = st.text(st.sampled_from("abcXYZ019 _-.+/=\"'\\<>&%äß日é\t{}[]:,"), min_size=4, max_size=40).filter(
    lambda v: len(v.strip()) >= 4 and len(set(v.strip())) > 2
)

_TOLD = "it was x ."
_WRITTEN = {
    "said": "it was",
    "content": [{"type": "text", "text": _TOLD}],
    "structuredContent": {"list": [_TOLD]},
    "data": _TOLD,
}
_COMPACT = json.dumps(_WRITTEN, separators=(",", ":"))
AROUND = "\n".join([_COMPACT, json.dumps(_COMPACT), json.dumps(_WRITTEN)])  # what stands there whatever the value is


def absent(value: str, *entries: Redacted) -> None:
    """Assert that the value is in no event, in any of the forms."""
    value = value.strip()
    for entry in entries:
        assert not entry.event.redaction_error
        texts = [entry.event.input_summary, entry.event.output_summary, entry.event.error_summary, entry.body.decode()]
        for text in texts:
            for form in (
                value,
                json.dumps(value)[1:-1],
                quote(value, safe=""),
                value.encode().hex(),
                html.escape(value),
            ):
                assert form not in text, (form, text)
            assert base64.b64encode(value.encode()).decode().rstrip("=") not in text


@pytest.mark.parametrize("form", FORMS)
@given(value=VALUES)
def test_a_marked_value_does_not_come_back_in_any_form(form: str, value: str) -> None:
    assume(value.strip() not in AROUND)
    made = call({"v": value}, defined=definition({"properties": {"v": {"sensitive": True}}}))
    written = f"it was {FORMS[form](value)} ."

    attempt, ended = answered(made, text_result(written, structuredContent={"list": [written]}), classification="low")
    _, failed = answered(
        made, {"code": 1, "message": written, "data": written}, classification="low", status="failed", error_type="x"
    )

    absent(value, attempt, ended, failed)


def own_references(document: Json, defs: dict[str, Json]) -> Json:
    """`document`, whose references lead into itself, with all that they may mean."""
    assert isinstance(document, dict)
    inner = document["$defs"]
    assert isinstance(inner, dict)
    return {**document, "$defs": {**defs, **inner}}


ODD = (  # what validators read in several ways
    *("anchor in another document", "document", "dynamic", "recursive", "draft 3", "draft 4", "content", "tuples"),
    "odd pattern",
)


def oddly_marked(
    draw: st.DrawFn, way: str, level: int, schema: Any, value: Json, defs: dict[str, Json]
) -> tuple[Any, Json]:
    """`schema` and `value`, one level further in; what it refers to is added to `defs`."""
    match way:
        case "anchor in another document":
            other: Json = {"$id": f"http://e/{level}", "$defs": {"x": {"$anchor": f"a{level}"}}}
            defs |= {f"d{level}": {"$anchor": f"a{level}", "allOf": [schema]}, f"e{level}": other}
            schema = {"$ref": f"#a{level}", "default": {"$anchor": f"a{level}"}}
        case "document":
            inner: Json = {"$id": f"http://e/{level}", "$ref": "#/$defs/x", "$defs": {"x": schema}}
            defs[f"d{level}"] = own_references(inner, defs)
            schema = {"$ref": f"http://e/{level}"}
        case "dynamic":
            defs[f"d{level}"] = {"$dynamicAnchor": f"a{level}", "allOf": [schema]}
            list_of: Json = {"$dynamicRef": f"#a{level}", "$defs": {"x": {"$dynamicAnchor": f"a{level}"}}}
            schema = {"$id": f"http://e/list{level}", **list_of}
        case "recursive":
            defs[f"d{level}"] = {"$recursiveAnchor": True, "allOf": [schema]}
            schema = {"$id": f"http://e/tree{level}", "$recursiveAnchor": True, "$recursiveRef": "#"}
        case "draft 3":
            schema = {"extends": schema}
        case "draft 4":
            defs[f"d{level}"] = {}
            schema = {"id": f"http://e/{level}", "$ref": f"#/$defs/d{level}", "$defs": {f"d{level}": schema}}
        case "content":
            schema = {"type": "string", "contentSchema": schema}
        case "tuples":
            schema, value = {"prefixItems": [{}], "items": [{}, schema]}, [1, value]
        case _:
            pattern = draw(st.sampled_from(["^a\\sb$", "^a[^]b$", "^a[\\s]b$", "(?=a)", "^a.b$"]))
            schema, value = {"patternProperties": {pattern: schema}}, {"a\u00a0b": value}
    return schema, value


@st.composite
def marked(draw: st.DrawFn) -> tuple[Json, Json, str]:
    """A schema, a value that fits it, and the text in it that the schema marks."""
    secret = draw(st.text("abcdefXYZ0123456789-_", min_size=6, max_size=20).filter(lambda v: len(set(v)) > 3))
    schema: Any = dict(draw(st.sampled_from(MARKS)))
    value: Json = draw(st.sampled_from([secret, [secret], {"in": {"side": secret}}]))
    defs: dict[str, Json] = {}
    for level in range(draw(st.integers(0, 6))):
        way = draw(
            st.sampled_from(
                [
                    "properties",
                    "pattern",
                    "additional",
                    "items",
                    "prefix",
                    "ref",
                    "allOf",
                    "anyOf",
                    "oneOf",
                    "then",
                    "dependent",
                    "anchor",
                    *ODD,
                ]
            )
        )
        match way:
            case "properties":
                schema, value = {"type": "object", "properties": {"k": schema}}, {"k": value, "other": "x"}
            case "pattern":
                schema, value = {"patternProperties": {"^p_": schema}}, {"p_1": value}
            case "additional":
                schema, value = {"properties": {"known": {}}, "additionalProperties": schema}, {"odd": value}
            case "items":
                schema, value = {"type": "array", "items": schema}, [value]
            case "prefix":
                schema, value = {"prefixItems": [{}, schema]}, [1, value]
            case "ref":
                defs[f"d{level}"] = schema
                schema = {"$ref": f"#/$defs/d{level}"}
            case "anchor":
                defs[f"d{level}"] = {**schema, "$anchor": f"a{level}"} if isinstance(schema, dict) else schema
                schema = {"$ref": f"#a{level}"}
            case "dependent":
                schema, value = {"dependentSchemas": {"z": {"properties": {"k": schema}}}}, {"z": 1, "k": value}
            case "then":
                schema = {"if": {}, "then": schema}
            case _ if way in ODD:
                schema, value = oddly_marked(draw, way, level, schema, value, defs)
            case _:
                schema = {way: [{"type": "null"}, schema]}
    root: Json = {"properties": {"top": schema}, "$defs": defs}
    return root, {"top": value}, secret


@given(marked(), st.sampled_from(CLASSES), st.sampled_from(["/top", "/*", "/top/k", "/top/*"]))
def test_what_a_schema_marks_at_any_depth_is_gone(made: tuple[Json, Json, str], of_class: str, declared: str) -> None:
    schema, value, secret = made
    asked = call(value, defined=definition(schema, schema))
    body = text_result(f"{json.dumps(value)} {base64.b64encode(secret.encode()).decode()}", structuredContent=value)

    entries = answered(asked, body, classification=of_class, summary=(declared,), output_summary=(declared,))

    absent(secret, *entries)
    if of_class != "critical":
        assert entries[0].event.sensitive_fields
        assert entries[0].event.sensitive_fields[0].startswith("/arguments/top")


@given(st.text("abcdefXYZ0123456789-_", min_size=6, max_size=24).filter(lambda v: len(set(v)) > 3), st.data())
def test_a_marked_value_split_over_blocks_is_gone_from_each(secret: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(1, len(secret) - 1), min_size=1, max_size=4, unique=True)))
    pieces = [secret[a:b] for a, b in zip([0, *cuts], [*cuts, len(secret)], strict=True)]
    pieces = [f"it was {pieces[0]}", *pieces[1:-1], f"{pieces[-1]} I think"]
    made = call({"v": secret}, defined=definition({"properties": {"v": {"sensitive": True}}}))
    body: Json = {"content": [{"type": "text", "text": piece} for piece in pieces]}

    _, ended = answered(made, body, classification="low")

    shown = "".join(block["text"] for block in json.loads(ended.event.output_summary)["content"])
    assert shown.count("[REDACTED:sensitive") == len(pieces)
    assert secret not in shown
    assert shown.startswith("it was [REDACTED:sensitive")
    assert shown.endswith("] I think")


def test_a_key_split_over_blocks_is_found_and_each_part_of_it_masked() -> None:
    body: Json = {
        "content": [{"type": "text", "text": f"use {GITHUB[:9]}"}, {"type": "text", "text": f"{GITHUB[9:]} now"}]
    }

    _, ended = answered(call(), body, classification="low")

    tag = tagged(GITHUB, "github-token")
    texts = [block["text"] for block in json.loads(ended.event.output_summary)["content"]]
    assert texts == [f"use [REDACTED:{tag}]", f"[REDACTED:{tag}] now"]
    assert ended.event.sensitive_fields == ("/result/content/0/text", "/result/content/1/text")


def test_a_private_key_in_lines_is_masked_line_by_line() -> None:
    lines = [
        "-----BEGIN RSA PRIVATE" + " KEY-----",
        "MIIBdummydummydummy",
        "abcdefgh",
        "-----END RSA PRIVATE" + " KEY-----",
    ]

    attempt, _ = attempted(call({"lines": lines}), classification="low")

    assert "dummy" not in attempt.event.input_summary
    assert "abcdefgh" not in attempt.event.input_summary


def test_a_value_found_in_base64_is_masked_where_it_stands_plain_and_has_the_same_tag() -> None:
    code = base64.b64encode(f"x {GITHUB} y".encode()).decode()

    attempt, ended = answered(call({"a": code}), text_result(f"was {GITHUB[:30]} {GITHUB}"), classification="low")

    absent(GITHUB, attempt, ended)
    assert [tag[-8:] for tag in attempt.event.value_tags] == [tag[-8:] for tag in ended.event.value_tags]


@pytest.mark.parametrize("least", [4, 8])
def test_many_secrets_are_found_as_few_are(least: int) -> None:
    few, many = Secrets(), Secrets()
    few.add("value number 7", Mask("[REDACTED:x]"), 4)
    for i in range(100):
        many.add(f"value number {i}", Mask("[REDACTED:x]"), 4)

    for text in ("say value number 7!", "", f"x{b'value number 7'.hex()}y", "value%20number%207"):
        assert many.masked(text, least) == few.masked(text, least)


def test_a_label_is_never_cut_in_two_nor_masked_itself() -> None:
    secrets = Secrets(frozenset({"card", "x", "y"}))
    secrets.add("REDACTED:card", Mask("[REDACTED:x]"), 4)
    secrets.add("a[REDACTED:card]b", Mask("[REDACTED:y]"), 4)

    assert secrets.masked("[REDACTED:card] REDACTED:card a[REDACTED:card]b") == (
        "[REDACTED:card] [REDACTED:x] [REDACTED:y]"
    )


def test_a_label_that_we_do_not_give_shields_no_value() -> None:
    secrets = Secrets(frozenset({"password"}))
    secrets.add("correct-horse", Mask("[REDACTED:password#0a1b2c3d]"), 4)

    assert "correct" not in secrets.masked("[REDACTED:correct-horse] [REDACTED:correct-horse#0a1b2c3d]")
    assert secrets.masked("[REDACTED:password#0a1b2c3d]") == "[REDACTED:password#0a1b2c3d]"
