# SPDX-License-Identifier: Apache-2.0
"""Spans of time behind many moments, as few as read little that nobody asked for."""

from collections.abc import Iterable

_APART_US = 3600 * 1_000_000  # a question costs more than reading what lies within an hour


def spans_behind(times_us: Iterable[int], reach_us: int) -> list[tuple[int, int]]:
    """Return spans, from a microsecond to before another, that hold `reach_us` behind each time, an hour or more apart.

    `times_us` never decrease.
    """
    spans: list[tuple[int, int]] = []
    for at_us in times_us:
        if spans and at_us - spans[-1][1] < _APART_US:
            spans[-1] = (spans[-1][0], at_us + reach_us)
        else:
            spans.append((at_us, at_us + reach_us))
    return spans
