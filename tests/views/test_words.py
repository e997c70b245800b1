# SPDX-License-Identifier: Apache-2.0
"""Words: which a text has, and which are asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.errors import OnRecordError
from onrecord.views.words import Phrase, has, phrases_of, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("refund_payment(42)", ["refund", "payment", "42"]),
        ('{"note":"Überweisung an São Paulo"}', ["note", "uberweisung", "an", "sao", "paulo"]),
        ("crm://invoice/INV-0042", ["crm", "invoice", "inv", "0042"]),
        ("患者の記録 read", ["患", "者", "の", "記", "録", "read"]),
        ("straße STRASSE", ["strasse", "strasse"]),
        ("\u202e\x1b[31m…", ["31m"]),
        ("", []),
    ],
)
def test_words_are_letters_and_digits_without_case_and_accents(text, words):
    assert words_of(text) == words


@given(st.text())
def test_the_words_of_words_are_the_same(text):
    words = words_of(text)

    assert words_of(" ".join(words)) == words


def test_words_phrases_and_beginnings_are_asked_for_alike():
    assert phrases_of('refund "Wire  transfer" inv* git_commit') == (
        Phrase(words=("refund",)),
        Phrase(words=("wire", "transfer")),
        Phrase(words=("inv",), prefix=True),
        Phrase(words=("git", "commit")),
    )


@pytest.mark.parametrize("asked", ["", "  ", "***", '"', 'refund "half', '""'])
def test_what_has_no_word_is_refused(asked):
    with pytest.raises(OnRecordError):
        phrases_of(asked)


@given(st.lists(st.sampled_from(["ab", "abc", "b", "c"]), max_size=8), st.data())
def test_a_phrase_is_found_where_its_words_stand_one_behind_the_other(words, data):
    begin = data.draw(st.integers(0, max(0, len(words) - 1)))
    some = tuple(words[begin : begin + data.draw(st.integers(1, 3))])
    if some:
        assert has(words, Phrase(words=some))
        assert has(words, Phrase(words=(*some[:-1], some[-1][:1]), prefix=True))
    asked = tuple(data.draw(st.lists(st.sampled_from(["ab", "abc", "b"]), min_size=1, max_size=3)))
    assert has(words, Phrase(words=asked)) == (f" {' '.join(asked)} " in f" {' '.join(words)} ")
