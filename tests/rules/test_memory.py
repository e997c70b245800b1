# SPDX-License-Identifier: Apache-2.0
"""What stands for texts in memory is short, and each for one."""

from hypothesis import given
from hypothesis import strategies as st

from onrecord.rules.memory import LONGEST, short

TEXTS = st.text() | st.builds(lambda text, times: text * times, st.text(min_size=1), st.integers(1, 400))


@given(TEXTS, TEXTS)
def test_texts_have_the_same_entry_only_if_they_are_the_same(one, other):
    for text in (one, other):
        assert len(short(text)) <= LONGEST + 64
        assert short(short(text)) != short(text) or len(text) <= LONGEST
    assert (short(one) == short(other)) == (one == other)


def test_what_is_no_utf8_is_told_apart_too():
    assert len({short("a" * LONGEST + end) for end in ("\ud800", "\udfff", "?", "")}) == 4
