# SPDX-License-Identifier: Apache-2.0
"""What the items of a list say together: command lines, keys that are cut in two, and what only looks like that.

Most calls are searched at once and not walked; that search must call for the walk wherever the walk finds anything.
"""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.rules.calls import (
    DETECTORS,
    GITHUB,
    PRIVATE_KEY,
    STRIPE,
    answered,
    attempted,
    builtin_detectors,
    call,
    redactor,
    text_result,
)

from onrecord.event.call import Json
from onrecord.rules.detection.finding import Finding

PLANTED = "zebra-" + "Quilt77"  # nothing about it looks like a secret
HALF = len(GITHUB) // 2


class Idle:
    """Finds nothing; beside it each call is walked, because nobody knows what a recogniser would find."""

    labels: frozenset[str] = frozenset()

    def recognised(self, text: str) -> list[Finding]:
        assert isinstance(text, str)
        return []


FAST = redactor(DETECTORS)
WALKED = redactor(builtin_detectors(recognisers=[Idle()]))


@pytest.mark.requirement("B1")
@pytest.mark.parametrize(
    "words",
    [
        ["mysql", "-u", "root", "-p", PLANTED],
        ["mysql", f"-p{PLANTED}"],
        ["mysql", "-P", 3306, "-p", PLANTED],
        ["sshpass", "-p", PLANTED, "ssh", "host"],
        ["curl", "-u", f"admin:{PLANTED}"],
        ["curl", f"-uadmin:{PLANTED}"],
        ["curl", "-b", PLANTED],
        ["curl", "-H", f"X-Api-Key: {PLANTED}"],
        ["curl", "-H", f"X-Api-Key:{PLANTED}"],
        ["tool", "--pass", PLANTED],
        ["tool", "--access", PLANTED],
        ["tool", f"--auth-header={PLANTED}"],
        ["tool", "-v", "Bearer", PLANTED],
        ["tool", "pin=" + PLANTED],
        ["smbclient", "-U", f"bob%{PLANTED}"],
        ["redis-cli", "-a", PLANTED, "ping"],
        ["x"] * 200 + ["--pass", PLANTED],
    ],
)
def test_a_secret_among_words_of_a_command_is_withheld(words: list[Any]) -> None:
    entries = answered(call({"args": words}), text_result(f"ran with {PLANTED}"), by=FAST, classification="low")

    assert not any(PLANTED in entry.body.decode() for entry in entries)
    assert '"-p"' not in json.dumps(words) or "-p" in entries[0].event.input_summary


@pytest.mark.requirement("B1")
@pytest.mark.parametrize(
    "words",
    [
        ["docker", "run", "-p", "8080:80", "-u", "1000:1000", "my-secret:latest"],
        ["curl", "-u", "me:${PASSWORD}", "-H", "X-Api-Key: $API_KEY"],
        ["find", ".", "-path", "./x1", "-print"],
        ["npm", "publish", "--access", "public"],
        ["ffmpeg", "-pix_fmt", "yuv420p", "-preset", "fast"],
        ["chore:", "supply-chain", "hardening", "db3bc42b836336b6" + "ee8b259f1eabbfcf5cf5ad93"],
        ["PSC", "6695,", "Box", "2353", "APO", "AP", "20849"],
        ["4111", "1111", "1111", "1111"],
        ["token", 5],
    ],
)
@pytest.mark.parametrize("by", [FAST, WALKED], ids=["fast", "walked"])
def test_a_list_that_holds_no_secret_is_shown_as_it_is(by: Any, words: list[Any]) -> None:
    attempt, _ = attempted(call({"args": words}), by, classification="low")

    assert json.loads(attempt.event.input_summary) == {"args": words}


@pytest.mark.requirement("B1")
@pytest.mark.parametrize(
    "arguments",
    [
        {"kty": "oct", "k": "QUJDREVGR0g"},
        {"kty": "RSA", "n": "AQAB", "d": "QUJDREVGR0g", "p": "abcdefgh"},
        {"p": [GITHUB[:HALF], GITHUB[HALF:]]},
        {"x": {"lines": ["one", STRIPE[:16], STRIPE[16:], "two"]}},
        {"x": ["a line of text", GITHUB[:-3], GITHUB[-3:], "ddb9410b-ab28-4891-ae70-9cd8f29e7efa"]},
        {"x": PRIVATE_KEY.replace("dummydummydummy", "abcdefgh").split("\n")},
    ],
)
def test_what_only_the_walk_knows_is_withheld(arguments: Any) -> None:
    attempt, _ = attempted(call(arguments), FAST, classification="low")

    assert not any(text in attempt.body.decode() for text in ("QUJDREVGR0g", "abcdefgh", GITHUB[HALF:-3], STRIPE[16:]))


@pytest.mark.requirement("B1")
def test_a_number_after_a_flag_that_announces_one_is_withheld() -> None:
    attempt, _ = attempted(call({"args": ["unlock", "--pin", 482_913]}), FAST, classification="low")

    assert json.loads(attempt.event.input_summary) == {"args": ["unlock", "--pin", "[REDACTED:pin]"]}


def text(piece: str) -> Json:
    return {"type": "text", "text": piece}


PICTURE: Json = {"type": "image", "data": "iVBORw0KGgo=", "mimeType": "image/png"}


@pytest.mark.requirement("B1")
@pytest.mark.parametrize(
    "body",
    [
        {"content": [text(GITHUB[:HALF]), PICTURE, text(GITHUB[HALF:])]},
        {"content": [text(GITHUB[:HALF]), {"type": "resource_link", "uri": "x://a"}, PICTURE, text(GITHUB[HALF:])]},
        {"content": [{"type": "resource", "resource": {"uri": "x://a", "text": GITHUB[:HALF]}}, text(GITHUB[HALF:])]},
        {
            "content": [
                {"type": "resource", "resource": {"uri": "x://a", "text": t}} for t in (STRIPE[:16], STRIPE[16:])
            ]
        },
        {"messages": [{"role": "user", "content": text(piece)} for piece in (GITHUB[:HALF], GITHUB[HALF:])]},
        {"messages": [{"role": "user", "content": [text(piece)]} for piece in (GITHUB[:HALF], GITHUB[HALF:])]},
    ],
)
@pytest.mark.parametrize("by", [FAST, WALKED], ids=["fast", "walked"])
def test_a_secret_that_is_split_over_blocks_is_withheld(by: Any, body: Json) -> None:
    _, ended = answered(call({}), body, by=by, classification="low")

    assert not any(half in ended.body.decode() for half in (GITHUB[HALF:], STRIPE[16:]))


@pytest.mark.parametrize(
    "body",
    [
        {
            "content": [
                text("one"),
                PICTURE,
                text("two"),
                {"type": ["odd"]},
                {"type": "text", "text": None},
                7,
                text("x"),
            ]
        },
        {"messages": [{"role": "user", "content": 5}, {"content": [7, None, {"text": 5}]}, {"resource": "x"}]},
    ],
)
def test_blocks_of_any_shape_are_shown(body: Json) -> None:
    _, ended = answered(call({}), body, by=WALKED, classification="low")

    assert ended.event.output_summary
    assert not ended.event.redaction_error


WORDS = st.sampled_from(
    [
        *("curl", "-u", "admin:" + PLANTED, "-p", "-b", "--pass", "-p" + PLANTED, "pin=4821", "auth=abc", "8080:80"),
        *("Bearer", "Authorization:", "password", "X-Api-Key: abc123x", "--header", "kty", "d", "k", "value", "name"),
        *("columns", "rows", "element", "text", "Password textbox", "type", "password", "sensitive", "Name", "Value"),
        *(GITHUB[:HALF], GITHUB[HALF:], "4111", "1111", "-----BEGIN", "a word", "", "x=1", "Zürich", "2026-01-02"),
    ]
)

KEYS = WORDS.filter(lambda word: "=" not in word)


@given(
    st.recursive(
        st.one_of(WORDS, st.integers(-(10**20), 10**20), st.none(), st.booleans()),
        lambda inner: st.one_of(
            st.lists(st.one_of(WORDS, inner), max_size=6), st.dictionaries(KEYS, inner, max_size=4)
        ),
        max_leaves=14,
    )
)
@example([["a"], {"text": GITHUB[:HALF]}, {"text": GITHUB[HALF:]}])
@example(["tool", "auth=oauth)"])
def test_what_is_not_walked_would_look_the_same_if_it_were(value: Any) -> None:
    body = text_result("x", structuredContent=value)

    quick, slow = (answered(call({"v": value}), body, by=by, classification="low") for by in (FAST, WALKED))

    assert [entry.body for entry in quick] == [entry.body for entry in slow]
