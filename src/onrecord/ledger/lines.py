# SPDX-License-Identifier: Apache-2.0
"""The lines of a log: where they are, and how one gets at them without reading the rest.

An entry is a line that ends with a line feed; bytes after the last line feed are not an entry.
Lines of one log never shrink, move or change, so a reader needs no lock: it reads up to a line
feed and may come back for more. Nothing here judges what a line says, and nothing writes.
"""

import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import msgspec

from onrecord.errors import NotVerified
from onrecord.event.event import UNREADABLE, Header
from onrecord.ledger.place import SEGMENT_GLOB, LogFolder
from onrecord.ledger.tombstone import seq_of

CHUNK = 1 << 17  # bytes a read; more costs page faults and gains nothing
MAX_LINE = 32 * 1024  # bytes without the line feed; C2SP entries end at 65,535
_LONGEST = 1 << 20  # bytes; whatever goes on for longer was never a line of ours, and is not held in memory

_header = msgspec.json.Decoder(Header)


class Line(NamedTuple):
    """An entry as it lies on disk, without its line feed."""

    data: bytes
    offset: int


def read_header(line: bytes) -> Header:
    """Return what the ledger set on a line. Raises NotVerified where it is not one."""
    try:
        return _header.decode(line)
    except UNREADABLE as e:
        raise NotVerified(f"not an event: {e}") from e


def segment_files(folder: LogFolder) -> list[Path]:
    """Return the segments of a log, oldest first."""
    return sorted(folder.segments.glob(SEGMENT_GLOB))


def whole_lines(file: Path | int, offset: int = 0, end: int | None = None) -> Iterator[Line]:
    """Yield the entries of one file from `offset`, up to its last line feed before `end`.

    `file` may be a descriptor, which is left open. Raises NotVerified where a line has no end in sight.
    """
    for lines in blocks(file, offset, end):
        for data in lines:
            yield Line(data, offset)
            offset += len(data) + 1


def blocks(file: Path | int, offset: int = 0, end: int | None = None) -> Iterator[list[bytes]]:
    """Yield the same entries as they come from the disk, many at once."""
    with open(file, "rb", buffering=0, closefd=isinstance(file, Path)) as source:
        source.seek(offset)
        rest = b""
        while chunk := source.read(CHUNK if end is None else min(CHUNK, end - offset - len(rest))):
            block = rest + chunk
            cut = block.rfind(b"\n") + 1
            yield block[:cut].split(b"\n")[:-1]
            offset += cut
            rest = block[cut:]
            if len(rest) > _LONGEST:
                break
        if len(rest) > _LONGEST:
            last = os.fstat(source.fileno()).st_size if end is None else end
            if _find_line_feed(source, offset + len(rest), last) is not None:
                raise NotVerified(f"what begins at byte {offset} is too long to be a line")


def ends(path: Path) -> tuple[int, int]:
    """Return where the last entry of a file ends, and where the file does."""
    with path.open("rb", buffering=0) as file:
        size = start = os.fstat(file.fileno()).st_size  # once: the file may be growing
        while start:
            stop, start = start, max(0, start - CHUNK)
            file.seek(start)
            cut = file.read(stop - start).rfind(b"\n") + 1
            if cut:
                return start + cut, size
    return 0, size


def torn_bytes(path: Path) -> int:
    """Return how many bytes lie after the last line feed of a file."""
    whole, size = ends(path)
    return size - whole


def offset_of(path: Path, seq: int) -> int:
    """Return where the line of `seq` begins in a segment, or the end of its last line where it is not there.

    A binary search, since lines carry their own `seq` in order. Raises NotVerified where a line is
    not an event.
    """
    end, _ = ends(path)
    with path.open("rb", buffering=0) as file:
        low, high = 0, end  # the first position after which no line has a smaller seq lies in [low, high]
        while low < high:
            middle = (low + high) // 2
            line = _line_from(file, middle, end)
            if line is None or seq_of(line.data) >= seq:
                high = middle
            else:
                low = middle + 1
        line = _line_from(file, low, end)
    return end if line is None else line.offset


def _line_from(file: FileIO, offset: int, end: int) -> Line | None:
    """Return the first line that begins at or after `offset`, if there is one before `end`."""
    if offset > 0:
        before = _find_line_feed(file, offset - 1, end)
        if before is None:
            return None
        offset = before + 1
    stop = _find_line_feed(file, offset, end)
    if stop is None:
        return None
    file.seek(offset)
    return Line(file.read(stop - offset), offset)


def _find_line_feed(file: FileIO, offset: int, end: int) -> int | None:
    file.seek(offset)
    while offset < end:
        block = file.read(min(4096, end - offset))
        if not block:
            return None  # the file was cut meanwhile
        at = block.find(b"\n")
        if at >= 0:
            return offset + at
        offset += len(block)
    return None
