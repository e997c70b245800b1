# SPDX-License-Identifier: Apache-2.0
"""A value that was marked does not come back respelled, and looking for it costs little whatever it is."""

import base64
import codecs
import json
import resource
import sys
import time
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.rules.calls import answered, attempted, call, definition, redactor, text_result

from onrecord.event.call import Json
from onrecord.rules.detection.labels import label_only, placeholders
from onrecord.rules.echo import FOUND, LONGEST, MARKED, MOST, ROOM, Secrets
from onrecord.rules.names import LABELS
from onrecord.rules.spelling import HEAD, folded, unfolded

X, Y, Z = map(label_only, "xyz")
MARKED_TEXT: Any = {"properties": {"v": {"sensitive": True}}}


def uuencoded(text: str) -> str:
    return codecs.encode(text.encode(), "uu").decode().split("\n")[1]


def numbers(text: str, before: str = "", between: str = ", ", after: str = "") -> str:
    return between.join(f"{before}{ord(char)}{after}" for char in text)


RESPELLED: dict[str, Callable[[str], str]] = {
    "in capitals": str.upper,
    "in small letters": str.lower,
    "without signs": lambda v: "".join(char for char in v if char.isalnum()),
    "with hyphens": "-".join,
    "with underscores": "_".join,
    "letter by letter": "\n".join,
    "wrapped in the middle": lambda v: f"{v[: len(v) // 2]}\n    {v[len(v) // 2 :]}",
    "with the line ends of Windows": lambda v: v.replace("\n", "\r\n"),
    "with blanks collapsed": lambda v: " ".join(v.split()),
    "with accents apart": lambda v: unicodedata.normalize("NFD", v),
    "in full width": lambda v: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in v),
    "base85": lambda v: base64.b85encode(v.encode()).decode(),
    "base85 of something longer": lambda v: base64.b85encode(f"he said {v} twice".encode()).decode(),
    "Ascii85": lambda v: base64.a85encode(v.encode()).decode(),
    "Ascii85 of something longer": lambda v: base64.a85encode(f"xyz{v} twice".encode()).decode(),
    "uuencoded": uuencoded,
    "uuencoded, something longer": lambda v: uuencoded(f"so {v}!"),
    "PowerShell": lambda v: numbers(v, "[char]", "+"),
    "Basic": lambda v: numbers(v, "Chr(", " & ", ")"),
    "numbers": numbers,
    "bytes in hexadecimal": lambda v: " ".join(f"{byte:02x}" for byte in v.encode()),
}

# Letters and digits enough to be folded, at least one whole group of base85 wherever it begins, one line of uuencode.
VALUES = st.text("abcdXYZ019é ß\n-_.", min_size=7, max_size=40).filter(
    lambda v: sum(map(str.isalnum, v)) >= MARKED and len(v.strip()) >= 7 and len(v.encode()) <= 40
)


def without_labels(text: str) -> str:
    for start, end in reversed(placeholders(text, LABELS)):
        text = text[:start] + " " + text[end:]
    return text


@pytest.mark.requirement("B2")
@pytest.mark.parametrize("how", RESPELLED)
@given(value=VALUES)
def test_a_marked_value_does_not_come_back_respelled(how: str, value: str) -> None:
    value = value.strip()
    respelled = RESPELLED[how](value)
    assume(folded(respelled) not in folded("it was so"))
    written = f"it was {respelled} so"
    made = call({"v": value}, defined=definition(MARKED_TEXT))

    _, ended = answered(made, text_result(written, structuredContent={"list": [written]}), classification="low")

    assert not ended.event.redaction_error
    shown = json.loads(ended.event.output_summary)
    for text in (shown["content"][0]["text"], shown["structuredContent"]["list"][0]):
        rest = without_labels(text)
        assert respelled not in rest
        assert folded(value) not in folded(rest)


@pytest.mark.requirement("B2")
@given(st.integers(1_000, 10**12), st.sampled_from([1, -1]), st.sampled_from([",", ".", "'", " ", "_"]))
def test_a_marked_number_does_not_come_back_grouped_or_without_its_sign(number: int, sign: int, between: str) -> None:
    grouped = f"{number:,}".replace(",", between)
    made = call({"v": sign * number}, defined=definition(MARKED_TEXT))

    _, ended = answered(made, text_result(f"it was {grouped} or {number}"), classification="low")

    rest = without_labels(json.loads(ended.event.output_summary)["content"][0]["text"])
    assert grouped not in rest
    assert str(number) not in rest


@pytest.mark.requirement("B2")
@given(st.integers(10**41, 10**60), st.sampled_from(["text", "number"]))
def test_a_marked_number_of_any_length_does_not_come_back(number: int, how: str) -> None:
    made = call({"v": number, "other": number}, defined=definition(MARKED_TEXT))
    body: Any = text_result(f"it was {number}!") if how == "text" else text_result("", structuredContent={"n": number})

    entries = answered(made, body, classification="low")

    for entry in entries:
        assert str(number).encode() not in entry.body


def test_a_short_value_is_not_seen_within_other_words() -> None:
    secrets = Secrets()
    secrets.add("Ring", X, MARKED)
    secrets.add("20-24", Y, MARKED)

    assert secrets.masked("string RING a ring, 12024 2024 20.24") == (
        "string [REDACTED:x] a [REDACTED:x], 12024 [REDACTED:y] [REDACTED:y]"
    )


@pytest.mark.requirement("B2")
def test_a_place_that_does_not_count_hides_no_other() -> None:
    secrets = Secrets()
    secrets.add("1212", X, MARKED)
    secrets.add("hunter2 and more", Y, MARKED)
    secrets.add("unte", Z, MARKED)

    assert secrets.masked("no. 512 12 12") == "no. 512 [REDACTED:x]"
    assert b"hunter2 and more".hex() not in secrets.masked(b"so hunter2 and more".hex(), FOUND)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_each_folded_character_comes_from_one_of_the_text(text: str) -> None:
    origins = unfolded(text)

    assert "".join(folded(char) for char in text) == folded(text)
    assert [folded(text[i]).count(char) > 0 for i, char in zip(origins, folded(text), strict=True)] == [True] * len(
        origins
    )


@pytest.mark.requirement("B2")
@pytest.mark.parametrize("spell", [str, lambda v: json.dumps(json.dumps(v))[3:-3], lambda v: json.dumps(v)[1:-1]])
@given(st.text("abc\"'é\\<日 -", min_size=HEAD + 1, max_size=3 * HEAD), st.integers(0, 50))
def test_a_long_value_is_masked_to_its_end_and_no_further(spell: Callable[[str], str], value: str, lost: int) -> None:
    value = f"S{value.strip()}E"
    secrets = Secrets()
    secrets.add(value, X, MARKED)

    assert secrets.masked(f"it was {spell(value)} so.") == "it was [REDACTED:x] so."
    assert secrets.masked(f"it was {value[: max(HEAD, len(value) - lost)]}") == "it was [REDACTED:x]"


@pytest.mark.parametrize(
    ("most", "size"), [(MOST, 20), (ROOM // LONGEST, LONGEST), (1, LONGEST), (ROOM // 4_096, 4_096)]
)
def test_what_is_too_much_to_remember_is_known_not_to_be_whole(most: int, size: int) -> None:
    secrets = Secrets()
    for i in range(most):
        secrets.add(f"{i:0{size}}", X, MARKED)
    assert secrets.complete

    secrets.add(f"one more{'!' * LONGEST}" if most == 1 else "one more", X, MARKED)

    assert not secrets.complete


def passwords(count: int, size: int, of: str) -> list[str]:
    return [(f"m{i:06}-{of}" * size)[:size] for i in range(count)]


@pytest.mark.requirement("B2")
@pytest.mark.parametrize(
    ("given_values", "echo"),
    [
        (passwords(16, 60_000, "abcdefgh"), ""),
        (passwords(60, 60_000, 'é"\\<'), ""),
        (passwords(120, 2_000, 'é"\\<'), "\n".join(passwords(30, 2_000, 'é"\\<'))),
        (passwords(2, LONGEST, "x"), passwords(1, HEAD, "x")[0] * 300),
        (["a" * size for size in range(4, 130)], "a" * 60_000),
        ([f"https://example.com/things/{i:030}" for i in range(120)], "https://example.com/things/x " * 2_000),
    ],
)
def test_long_and_many_values_take_neither_much_memory_nor_long(given_values: list[str], echo: str) -> None:
    by = redactor()
    attempted(call({"v": "warm up"}, defined=definition(MARKED_TEXT)), by, classification="low")
    made = call({"v": given_values}, defined=definition(MARKED_TEXT))
    memory, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.thread_time()

    entries = answered(made, text_result(echo), by=by, classification="low")

    unit = 1 if sys.platform == "darwin" else 1_024
    assert time.thread_time() - began < 5
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) * unit < 256 << 20
    for entry in entries:
        assert not entry.event.redaction_error
        assert json.dumps(given_values[0])[1:80].encode() not in entry.body


@pytest.mark.requirement("B2")
def test_keys_of_what_is_marked_do_not_come_back_unless_a_schema_declares_them() -> None:
    schema: Any = {"properties": {"people": {"sensitive": True, "properties": {"everybody": {}}}}}
    people = {"everybody": 1, "jane_doe": {"Bob 7": "x"}, "name": "y"}
    body: Any = text_result("everybody, jane_doe and Bob 7 by name", structuredContent={"jane_doe": 1})

    _, ended = answered(call({"people": people}, defined=definition(schema)), body, classification="low")

    shown = json.loads(ended.event.output_summary)
    assert shown["content"][0]["text"] == "everybody, [REDACTED:sensitive] and [REDACTED:sensitive] by name"
    assert list(shown["structuredContent"]) == ["[REDACTED:sensitive]"]
    assert "jane_doe" not in ended.body.decode()


@pytest.mark.requirement("B2")
def test_an_error_of_a_tool_whose_answers_are_marked_is_not_shown() -> None:
    made = call(defined=definition(None, {"properties": {"v": {"sensitive": True}}}))
    body: Any = text_result(json.dumps({"v": "opal-quilt-5"}), isError=True)

    _, ended = answered(made, body, classification="low", status="failed", error_type="tool_error")

    assert ended.event.error_summary == "[WITHHELD:marked]"
    assert b"opal-quilt" not in ended.body


@pytest.mark.requirement("B2")
@pytest.mark.parametrize("of_class", ["low", "medium"])
def test_where_not_all_marked_values_are_remembered_no_key_is_shown(of_class: str) -> None:
    marked: dict[str, Json] = {f"mark{i:04}q": 1 for i in range(MOST + 50)}
    schema: Any = {"properties": {"v": {"items": {"sensitive": True}}, "w": {"additionalProperties": True}}}
    arguments: Any = {"v": list(marked), "mark0151q": {"mark0152q": {"password": "opal-quilt-5"}}}

    entries = answered(
        call(arguments, defined=definition(schema)), {"structuredContent": marked}, classification=of_class
    )

    for entry in entries:
        assert b"mark0" not in entry.body
