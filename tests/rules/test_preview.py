# SPDX-License-Identifier: Apache-2.0
"""What an approver sees: each argument is named, and what is not shown is said."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rules.calls import CARD, CLASSES, GITHUB, attempted, call

from onrecord.event.call import Raw
from onrecord.rules.preview import VERSION, View, count_answers, count_values, view

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
MARKS = {"\u202e", "\x1b", "\n", "\r", "\u200b", "\u2028"}


def seen(arguments: Any, classification: str = "low", answers: Any = None, **more: Any) -> View:
    made = call(arguments, tool=more.pop("tool", "refund"), brought=Raw(answers))
    entry, _ = attempted(made, classification=classification, **more)
    return view(entry.event, count_values(arguments), count_answers(answers))


@pytest.mark.requirement("C5")
@pytest.mark.parametrize("classification", CLASSES)
def test_a_further_round_shows_what_the_first_shows_and_its_answers(classification):
    arguments, answers = {"amount": 12, "to": "ada"}, {"sure": {"action": "accept", "content": {"amount": 99}}}
    first = seen(arguments, classification, summary=("/amount",), recipient="/to", tier=3)
    later = seen(arguments, classification, answers, summary=("/amount",), recipient="/to", tier=3)

    assert later.lines[: len(first.lines) - 1] == first.lines[:-1]
    (line,) = later.lines[len(first.lines) - 1 : -1]
    shown = line == f"answers to the server's questions = {json.dumps(answers)}"
    assert shown == (classification == "low")
    assert later.hidden == first.hidden + (0 if shown else 2)


def test_arguments_named_like_a_round_look_like_none():
    one = seen({"to": "ada"}, answers={"sure": {}})
    other = seen({"arguments": {"to": "ada"}, "inputResponses": {"sure": {}}})
    assert one.lines != other.lines
    assert seen({"to": "ada"}, answers={}).lines != seen({"to": "ada"}).lines


@pytest.mark.requirement("C5")
def test_each_argument_of_a_low_call_is_shown_with_its_value():
    shown = seen({"amount": 12, "to": "ada", "note": {"a": [True, None]}})
    assert 'argument "amount" = 12' in shown.lines
    assert 'argument "to" = "ada"' in shown.lines
    assert 'argument "note" = {"a": [true, null]}' in shown.lines
    assert (shown.hidden, shown.version) == (0, VERSION)
    assert {"arguments.amount", "arguments.to", "arguments.note"} < set(shown.fields)


@pytest.mark.requirement("C5")
def test_what_a_class_does_not_show_is_named_with_the_reason():
    shown = seen({"amount": 12, "to": "ada"}, "medium", summary=("/amount",))
    assert 'argument "amount" = 12' in shown.lines
    assert 'argument "to" — not shown: the class medium shows only values that the manifest declares' in shown.lines
    assert shown.lines[-1] == "values of arguments that are not shown: 1 of 2"
    assert "arguments.to" not in shown.fields

    shown = seen({"amount": 12, "to": "ada"}, "critical")
    assert "2 arguments — not shown: the class critical shows nothing" in shown.lines
    assert shown.hidden == 2


@pytest.mark.requirement("C5")
@pytest.mark.parametrize(
    "arguments",
    [
        {"note": "x" * 5_000},
        {"note": f"token {GITHUB}"},
        {"note": {"deep": ["a", f"card {CARD}"]}},
        {"note": {"k" * 200 + "1": "pay Eve", "k" * 200 + "2": "pay Ada"}},
        {"k" * 200 + "1": "pay Eve", "k" * 200 + "2": "pay Ada"},
        {"note": ["text " * 15] * 200},
        {f"key{i}": i for i in range(500)},
    ],
    ids=["long", "secret", "deep", "alike inside", "alike", "many", "more than are named"],
)
def test_what_is_cut_masked_or_lost_is_never_left_out_silently(arguments):
    shown = seen(arguments)
    assert 0 < shown.hidden <= sum(count_values(arguments)) + len(arguments)
    assert any("not shown" in line for line in shown.lines[:-1])


@given(JSON, st.sampled_from(CLASSES))
def test_nothing_in_a_view_acts_and_its_hash_is_that_of_its_text(value, classification):
    shown = seen({"a": value, "b": "end"}, classification)
    assert not MARKS & set("".join(shown.lines))
    assert shown.hash() == seen({"a": value, "b": "end"}, classification).hash()


@given(JSON, JSON)
def test_views_that_claim_to_show_everything_differ_where_the_arguments_do(one, other):
    first, second = seen({"a": one}), seen({"a": other})
    if first.hidden == second.hidden == 0 and first.lines == second.lines:
        assert one == other


def test_a_secret_stands_in_no_view():
    for classification in CLASSES:
        shown = seen({"note": f"use {GITHUB}", GITHUB: "x"}, classification, tool="refund " + GITHUB)
        assert GITHUB not in "\n".join(shown.lines)


@pytest.mark.requirement("C5")
@pytest.mark.parametrize(
    "char",
    ["\u2800", "\u3164", "\u0336", "\ufe0f", "\ue000", "\U0001ffff", "\u0378", "\u00a0", "\u3000", "\U000e0041"],
)
def test_no_character_hides_in_a_view_or_changes_another(char):
    shown = seen({f"to{char}": f"a{char}", "to": "mallory"}, tool=f"pay{char}")
    assert char not in "\n".join(shown.lines)


@pytest.mark.requirement("C5")
def test_a_name_cannot_look_like_a_name_with_a_value():
    shown = seen({'to = "alice"': "", "to": "mallory", "gr\u00f6\u00dfe": 1})
    assert 'argument "to = \\"alice\\"" = ""' in shown.lines
    assert 'argument "to" = "mallory"' in shown.lines
    assert 'argument "gr\\u00f6\\u00dfe" = 1' in shown.lines


@pytest.mark.requirement("C5")
def test_blanks_cannot_fill_a_line_until_another_seems_to_begin():
    shown = seen({"note": "x" + " " * 60 + "risk_tier: 0"}, tool="pay" + " " * 60 + "risk_tier: 0")
    assert not any(" " * 4 in line for line in shown.lines)
    assert 'argument "to" = "\u00e4 \u65e5\u672c"' in seen({"to": "\u00e4 \u65e5\u672c"}).lines
