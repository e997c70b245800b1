# SPDX-License-Identifier: Apache-2.0
"""Whether the lines that are gone from a log were deleted on the record.

    {"seq":41,"pruned":{"leaf":"<64 hex>","rule":"…","entry":97}}

A tombstone stands in place of a deleted line. `leaf` is the hash of that line, so the tree over the
log is still what was signed. A tombstone alone proves nothing: anybody can write one. Entry 97 has to
be a deletion entry of this log that names 41 and the same rule, stands behind it, and is covered by a
signature.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from onrecord.event.event import UNREADABLE, Event
from onrecord.ledger.lines import Seq, Tombstone

SHOWN = 100  # seqs that a report names


def ranges_of(event: Event) -> list[tuple[int, int]] | None:
    """Return the `(first, last)` that a deletion entry names, ascending, or None if it is no deletion entry."""
    if event.event_type != "retention" or event.action != "delete":
        return None
    try:
        ranges = msgspec.convert(event.detail.get("ranges"), list[tuple[Seq, Seq]])
    except UNREADABLE:
        return None
    end = -1
    for first, last in ranges:
        if not end < first <= last:
            return None
        end = last
    return ranges


class Deletions:
    """The tombstones of a log, until the entries that they name have come. Call it in order of seq."""

    def __init__(self) -> None:
        self.count = 0
        self._awaited: dict[int, dict[str, array[int]]] = {}  # by entry and rule: first and last of each run of seqs
        self._named: list[tuple[int, list[int]]] = []  # entry, and some of the seqs that rely on it
        self._forged: list[int] = []
        self._forged_count = 0

    def take(self, stone: Tombstone) -> None:
        """Remember that the line of `stone` is gone."""
        self.count += 1
        entry, seq = stone.pruned.entry, stone.seq
        if entry <= seq:
            self._accuse([seq], 1)
            return
        runs = self._awaited.setdefault(entry, {}).setdefault(stone.pruned.rule, array("q"))
        if runs and runs[-1] == seq - 1:
            runs[-1] = seq
        else:
            runs.extend((seq, seq))

    def settle(self, event: Event) -> None:
        """Compare what a deletion entry names with the tombstones that rely on it."""
        claims = self._awaited.pop(event.seq, None)
        if claims is None:
            return
        ranges, rule = ranges_of(event) or [], event.detail.get("rule")
        for claimed, runs in claims.items():
            for first, last in without(_pairs(runs), ranges if claimed == rule else []):
                self._accuse(list(range(first, last + 1)[:SHOWN]), last - first + 1)
            self._named.append((event.seq, _some(runs)))

    def forged(self, signed: int) -> tuple[list[int], int]:
        """Return the first seqs whose deletion no entry below `signed` stands by, and how many there are."""
        for runs in (runs for claims in self._awaited.values() for runs in claims.values()):
            self._accuse(_some(runs), sum(last - first + 1 for first, last in _pairs(runs)))
        self._awaited.clear()
        found = sorted({*self._forged, *(seq for entry, seqs in self._named if entry >= signed for seq in seqs)})
        return found[:SHOWN], max(self._forged_count, len(found))

    def _accuse(self, seqs: list[int], count: int) -> None:
        self._forged_count += count
        self._forged.extend(seqs[: max(0, SHOWN - len(self._forged))])


def _pairs(runs: "array[int]") -> Iterator[tuple[int, int]]:
    return zip(runs[::2], runs[1::2], strict=True)


def without(runs: Iterable[tuple[int, int]], ranges: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield what of `runs`, `(first, last)` each, is in none of `ranges`; both ascend, and nothing in them overlaps."""
    at = 0
    for start, last in runs:
        first = start
        while at < len(ranges) and ranges[at][1] < first:
            at += 1
        place = at
        while place < len(ranges) and ranges[place][0] <= last:
            if first < ranges[place][0]:
                yield first, ranges[place][0] - 1
            first = ranges[place][1] + 1
            place += 1
        if first <= last:
            yield first, last


def _some(runs: "array[int]") -> list[int]:
    found: list[int] = []
    for first, last in _pairs(runs):
        found.extend(range(first, last + 1)[: SHOWN - len(found)])
        if len(found) >= SHOWN:
            break
    return found
