# SPDX-License-Identifier: Apache-2.0
"""Texts that follow each other, so that what is split over them can be looked for.

A server may stream an answer in blocks, and a key may begin in one and end in the next. The texts
are put together, of long ones only the ends: what lies far from both was looked at already.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from onrecord.rules.echo import Place
from onrecord.rules.pointer import Tokens

EDGE = 8_192  # characters of a long text next to another that are looked at together with it


@dataclass(frozen=True, slots=True)
class Part:
    """`text` stands at `start` in the text at `path`; where it is `cut`, that goes on up to `full`."""

    path: Tokens
    start: int
    text: str
    cut: bool = False
    full: int = 0

    def share(self, places: Iterable[Place], at: int, *, ends: int) -> list[Place]:
        """Return what of `places` lies in this part, which stands at `at` in a longer text that ends at `ends`."""
        mine: list[Place] = []
        for place in places:
            start, end = max(place.start - at, 0), min(place.end - at, len(self.text))
            if start < end:
                open_end = place.end == ends and self.cut
                mine.append(Place(self.start + start, self.full if open_end else self.start + end, place.stand_in))
        return mine


def joints(parts: list[Part]) -> list[list[Part]]:
    """Return the runs of `parts` that are to be looked at as one text, long parts replaced by their ends."""
    runs: list[list[Part]] = [[]]
    for part in parts:
        size = len(part.text)
        if size <= 2 * EDGE:
            runs[-1].append(part)
            continue
        runs[-1].append(replace(part, text=part.text[:EDGE], cut=True, full=size))
        runs.append([replace(part, start=size - EDGE, text=part.text[-EDGE:])])
    return [run for run in runs if len(run) > 1]
