# SPDX-License-Identifier: Apache-2.0
"""Growing: what it finds is what stands there, whatever is added and when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.rules.detection.labels import label_only
from onrecord.rules.echo import FOUND, MOST, Secrets
from onrecord.rules.growing import HEAD, Growing, TooMuch

WORDS = st.lists(st.text("aé😀b", min_size=1, max_size=12), max_size=6)


@given(WORDS, st.text("aé😀b", max_size=60), st.booleans())
def test_every_place_of_every_word_is_found_and_nothing_else(words, text, long):
    words = [word for word in words if not long or len(word.encode()) >= HEAD]
    growing = Growing[str]()
    for word in words:
        growing.add(word, word)
    expected = {(word, at) for word in words for at in range(len(text)) if text.startswith(word, at)}
    found = list(growing.occurrences(text))
    assert set(found) == expected
    assert len(found) == len(expected)


def test_a_text_that_begins_like_too_many_words_everywhere_is_given_up():
    growing = Growing[int]()
    for size in range(8, 4_000):
        growing.add("a" * size + "b", size)
    with pytest.raises(TooMuch):
        list(growing.occurrences("a" * 65_536))
    secrets = Secrets(most=100_000)
    for size in range(8, 1_500):
        secrets.add("a" * size + "b", label_only("password"), FOUND)
    assert secrets.masked("a" * 65_536) == "[WITHHELD:overflow]"


@given(st.lists(st.text("abc9é\"'&/ ", min_size=8, max_size=20), max_size=5), st.text("abc9é\"'&/ ", max_size=40))
def test_among_many_secrets_each_is_found_as_among_few(values, around):
    few, many = Secrets(), Secrets(most=MOST + 1)
    for value in values:
        few.add(value, label_only("password"), FOUND)
        many.add(value, label_only("password"), FOUND)
    text = around + around.join([*values, *(value.encode().hex() for value in values)]) + around
    covered = {at for place in many.places(text) for at in range(place.start, place.end)}
    for place in few.places(text):  # of two that overlap, a search for few finds the first one alone
        assert covered.issuperset(range(place.start, place.end))
    assert many.occur(around) == few.occur(around)
    assert not [value for value in values if value.strip() in many.masked(text) and len(value.strip()) >= FOUND]


def test_past_the_limit_secrets_are_not_complete():
    secrets = Secrets(most=MOST + 2)
    for i in range(MOST + 2):
        secrets.add(f"hunter{i:08}", label_only("password"), FOUND)
    assert secrets.complete
    assert secrets.masked(f"is hunter{MOST:08} there") == "is [REDACTED:password] there"
    secrets.add("one-too-many", label_only("password"), FOUND)
    assert not secrets.complete
