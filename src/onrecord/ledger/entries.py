# SPDX-License-Identifier: Apache-2.0
"""Single lines of a log by their places, many at a time, without the rest of it.

In a compressed segment a frame of 256 lines is read for each run of places in it; in a plain one each place is searched
for. What stands there is returned as it is, also a tombstone. Whoever asks checks that it is what was looked for.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from onrecord.ledger import frames
from onrecord.ledger.lines import (
    compressed_form,
    first_seq,
    is_compressed,
    offset_of,
    read_seq,
    segment_files,
    whole_lines,
)
from onrecord.ledger.place import LogFolder

_NEAR = 64  # places; a plain segment is read on that far before it is searched again


def entries_at(folder: LogFolder, places: Iterable[int]) -> dict[int, bytes]:
    """Return the line at each of `places` that is there, by its seq. Raises NotVerified, OSError."""
    files = segment_files(folder)
    firsts = [first_seq(path) for path in files]
    found: dict[int, bytes] = {}
    for number, run in groupby(sorted(set(places)), lambda seq: bisect_right(firsts, seq) - 1):
        if number >= 0:
            found.update(_in_segment(files[number], list(run)))
    return found


def _in_segment(path: Path, places: list[int]) -> Iterator[tuple[int, bytes]]:
    if not is_compressed(path):
        try:
            yield from _in_plain(path, places)
            return
        except FileNotFoundError:
            path = compressed_form(path)  # it was compressed since it was listed
    table = frames.read_table(path)
    first = first_seq(path)
    for number, run in groupby(places, lambda seq: (seq - first) // frames.FRAME_LINES):
        if number >= len(table.plain) - 1:
            return
        lines = frames.read_frame(path, table, number).split(b"\n")[:-1]
        for seq in run:
            at = (seq - first) % frames.FRAME_LINES
            if at < len(lines) and read_seq(lines[at]) == seq:
                yield seq, lines[at]


def _in_plain(path: Path, places: list[int]) -> Iterator[tuple[int, bytes]]:
    left = places[::-1]
    while left:
        begin = left[-1]
        for line in whole_lines(path, offset_of(path, begin)):
            seq = read_seq(line.data)
            while left and left[-1] < seq:
                left.pop()
            if not left or left[-1] > seq + _NEAR:
                break
            if left[-1] == seq:
                yield seq, line.data
                left.pop()
        else:
            return
        if left and left[-1] == begin:
            left.pop()
