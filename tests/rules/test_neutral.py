# SPDX-License-Identifier: Apache-2.0
"""Text from outside that is shown to people neither acts nor hides."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.rules.neutral import neutral

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates too
ACTING = {"Cc", "Cf", "Cs", "Zl", "Zp"}


@pytest.mark.requirement("B7")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, with ümlaut, 漢字 and 😀", "plain, with ümlaut, 漢字 and 😀"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\nb\tc\rd\0", "a\\nb\\tc\\rd\\x00"),
        ("\x7f\x9b31m", "\\x7f\\x9b31m"),
        ("abc\u202edcba", "abc\\u202edcba"),
        ("zero\u200bwidth\u200d\ufeff\u00ad", "zero\\u200bwidth\\u200d\\ufeff\\xad"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("line\u2028paragraph\u2029", "line\\u2028paragraph\\u2029"),
        ("\ud800", "\\ud800"),
        ("filler\u3164", "filler\\u3164"),
    ],
)
def test_what_acts_or_hides_is_written_out(text: str, shown: str) -> None:
    assert neutral(text) == shown


@pytest.mark.requirement("B7")
@given(ANY_TEXT, st.one_of(st.none(), st.integers(0, 40)), st.booleans())
def test_nothing_that_is_shown_acts(text: str, limit: int | None, multiline: bool) -> None:
    shown = neutral(text, limit, multiline=multiline)

    allowed = "\n\t" if multiline else ""
    assert all(char in allowed or unicodedata.category(char) not in ACTING for char in shown)
    assert limit is None or len(shown) <= limit
    shown.encode()


@given(ANY_TEXT)
def test_what_is_neutral_stays_as_it_is(text: str) -> None:
    once = neutral(text)

    assert neutral(once) == once


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_plain_text_is_not_changed(text: str) -> None:
    assert neutral(text) == text


@pytest.mark.parametrize(
    ("limit", "shown"), [(10, "ab\\x1bcdef"), (9, "ab\\x1bcd…"), (6, "ab…"), (5, "ab…"), (1, "…"), (0, "")]
)
def test_a_cut_shows_and_never_splits_an_escape(limit: int, shown: str) -> None:
    assert neutral("ab\x1bcdef", limit) == shown
