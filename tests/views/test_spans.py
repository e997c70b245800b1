# SPDX-License-Identifier: Apache-2.0
"""However many gaps a log has, few questions look behind them all."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from onrecord.views.incident.spans import spans_behind

HOUR, MINUTE = 3_600_000_000, 60_000_000


@given(st.lists(st.integers(0, 100 * HOUR)).map(sorted))
def test_what_is_behind_each_is_in_one_of_them_and_they_are_apart(times):
    spans = spans_behind(times, MINUTE)

    assert all(any(begin <= at and at + MINUTE <= end for begin, end in spans) for at in times)
    assert {begin for begin, _ in spans} <= set(times)
    assert {end - MINUTE for _, end in spans} <= set(times)
    assert all(after[0] - before[1] >= HOUR for before, after in pairwise(spans))


def test_a_burst_is_one():
    assert spans_behind(range(0, 50_000_000, 1_000), MINUTE) == [(0, 49_999_000 + MINUTE)]
