# SPDX-License-Identifier: Apache-2.0
"""Names beside values: a rule that needs one finds it in the keys, and nothing is found that is not the value's."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rules.calls import KEY, attempted, call

from onrecord.event.call import Json
from onrecord.rules.detection.detectors import Detectors
from onrecord.rules.gathering import Keys, context, gathered, under
from onrecord.rules.redact import Redactor

pytestmark = pytest.mark.requirement("B1")

RULE = """
[[rule]]
id = "acme"
label = "acme-key"
class = "secret"
regex = '(?i)acme[a-z._ -]{0,20}(?:key|api)[a-z._ -]{0,20}[:=] ?([0-9a-f]{12})'
group = 1
keywords = ["acme"]
positive = [["acme.api: 3f00", "3f003f00"]]
negative = [["acme"]]
"""
VALUE = "3f003f003f00"
BY = Redactor(digest_key=KEY, detectors=Detectors.read(RULE))


@pytest.mark.parametrize(
    "arguments",
    [
        {"acme_api": VALUE},
        {"acme": {"api": VALUE}},
        {"acme": {"x": {"api": VALUE}}},
        {"acme": {"api": [VALUE, "no"]}},
        {"acme": [{"api": ["no", VALUE]}]},
        {"env": [{"name": "ACME_API", "value": VALUE}]},
        {"acme": {"0": {"api": VALUE}}},
    ],
)
def test_a_rule_that_needs_a_name_finds_it_in_the_keys(arguments: Json) -> None:
    attempt, _ = attempted(call(arguments), BY, classification="low")

    assert VALUE not in attempt.body.decode()
    assert attempt.event.data_kinds == ("acme-key",)
    assert json.dumps(arguments).replace(VALUE, "[REDACTED:acme-key]") == json.dumps(
        json.loads(attempt.event.input_summary)
    )


def test_the_same_value_without_the_name_stays() -> None:
    attempt, _ = attempted(call({"other": {"api": VALUE}, "acme": "plain"}), BY, classification="low")

    assert json.loads(attempt.event.input_summary) == {"other": {"api": VALUE}, "acme": "plain"}


def leaves(value: Any, keys: Keys = ()) -> list[str]:
    """Each text with its context, worked out key by key."""
    if isinstance(value, str):
        return [context(keys) + value]
    if isinstance(value, dict):
        return [text for key, child in value.items() for text in leaves(child, under(keys, key))]
    return [text for child in value for text in leaves(child, keys)] if isinstance(value, list) else []


KEYS = st.one_of(st.sampled_from(["a", "key", "0", "12", "٣", "", "x" * 70, "é"]), st.text(max_size=4))


@given(
    st.recursive(
        st.one_of(st.text(max_size=6), st.none()),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
        max_leaves=10,
    )
)
def test_the_search_before_the_walk_sees_each_text_as_the_walk_does(value: Any) -> None:
    texts: list[str] = []

    assert gathered(value, texts, room=10**6)
    assert not set(leaves(value)) - set(texts) or "value" in json.dumps(value)


@pytest.mark.parametrize("card", [4111111111111111, 4111111111111111.0, 378282246310005])
def test_a_card_that_is_a_number_is_masked(card: float) -> None:
    attempt, _ = attempted(call({"n": card, "short": 12, "float": 0.25}), classification="low")

    assert json.loads(attempt.event.input_summary) == {"n": "[REDACTED:card-number]", "short": 12, "float": 0.25}
