# SPDX-License-Identifier: Apache-2.0
"""Which expressions could match: both gates say the same, and neither keeps a rule from what it finds."""

from functools import lru_cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.rules.detection.detectors import builtin_rules, expressions
from onrecord.rules.detection.gate import Expression, Gate, HyperscanGate, KeywordGate, compiled
from onrecord.rules.detection.outline import is_outline, outline
from onrecord.rules.detection.rule import expression_of

EXPRESSIONS = [
    Expression("key-[0-9]{4}", ("key-",)),
    Expression("[A-Z]{3}[0-9]{3}"),
    Expression("", outlines=("000-00-0000", "aa00")),
    Expression("[^0-9]0[1-9]{3}", made=True, outlines=("(00)",)),
]


@lru_cache(maxsize=1)
def _both() -> list[Gate]:
    return [KeywordGate(EXPRESSIONS), HyperscanGate(compiled(EXPRESSIONS))]


@pytest.mark.parametrize(
    ("text", "hits"),
    [
        ("", []),
        ("plain words", []),
        ("key-1234", [0]),
        ("ABC123", [1, 2]),
        ("536-22-1234", [2]),
        ("536 22-1234", [2]),
        ("536.22.1234", []),
        ("call (30) now", [3]),
        ("call 0312 now", [3]),
    ],
)
def test_a_gate_names_what_could_match(text: str, hits: list[int]) -> None:
    keywords, hyperscan = _both()

    assert hyperscan.hits(text.encode()) == hits
    assert set(hits) <= set(keywords.hits(text.encode()))  # which may err toward yes


@given(st.text(alphabet="0123456789aAzZ-(). é\n\x00", max_size=60))
def test_both_gates_see_the_same_outlines(text: str) -> None:
    keywords, hyperscan = _both()

    of_outline = [i for i, expression in enumerate(EXPRESSIONS) if expression.outlines and not expression.regex]
    seen = [[i for i in gate.hits(text.encode()) if i in of_outline] for gate in (keywords, hyperscan)]

    assert seen[0] == seen[1]


@given(st.text(max_size=80))
def test_an_outline_has_the_size_of_its_text_and_is_its_own_outline(text: str) -> None:
    data = text.encode()

    assert len(outline(data)) == len(data)
    assert outline(outline(data)) == outline(data)
    assert "".join(chr(b) for b in outline(b"Tel 030-901_820.")) == "aaa-000-000_000."


def test_what_could_be_no_outline_is_told() -> None:
    assert is_outline("000-00.0")
    assert not is_outline("000-00-x")
    assert not is_outline("")


@pytest.mark.parametrize("blob", [b"", b"\0" * 7, b"\0" * 8, b"\xff" * 64])
def test_a_blob_that_is_none_is_refused(blob: bytes) -> None:
    with pytest.raises(ValueError, match="not compiled"):
        HyperscanGate(blob)


def test_each_rule_that_ships_is_looked_for() -> None:
    rules, _ = builtin_rules()
    sought = set(expressions(rules))

    assert all(expression_of(rule) in sought for rule in rules)
    assert all(expression.regex or expression.outlines for expression in sought)
