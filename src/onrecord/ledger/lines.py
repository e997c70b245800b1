# SPDX-License-Identifier: Apache-2.0
"""The lines of a log: where they are, and how one gets at them without reading the rest.

A log is a row of segments, each named by its first seq; sealed ones may be compressed, and offsets
in those are the offsets of the plain text. An entry is a line that ends with a line feed; bytes after the
last line feed are not an entry. Lines of one log never shrink, move or change, so a reader needs
no lock: it reads up to a line feed and may come back for more. Nothing here judges what a line
says, and nothing writes.
"""

import os
import re
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Annotated, NamedTuple, TypeAlias

import msgspec

from onrecord.errors import NotVerified
from onrecord.event.event import UNREADABLE, Header
from onrecord.ledger import frames
from onrecord.ledger.merkle import leaf_hash
from onrecord.ledger.place import LogFolder

CHUNK = 1 << 17  # bytes a read; more costs page faults and gains nothing
MAX_LINE = 32 * 1024  # bytes without the line feed; C2SP entries end at 65,535
_LONGEST = 1 << 20  # bytes; whatever goes on for longer was never a line of ours, and is not held in memory
_SEGMENT = re.compile(r"([0-9]{18})\.ndjson(\.zst)?")
_COMPRESSED = ".zst"

Seq: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Line(NamedTuple):
    """An entry as it lies on disk, without its line feed."""

    data: bytes
    offset: int


class _Placed(msgspec.Struct):
    """What every line has, whatever became of it."""

    seq: int


class Pruned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a tombstone says of the line that it stands for; `entry` is the seq of the entry that deleted it."""

    leaf: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    rule: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._:-]{1,64}\Z")]
    entry: Seq


class Tombstone(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in the place of a line that was deleted on the record."""

    seq: Seq
    pruned: Pruned


_header = msgspec.json.Decoder(Header)
_placed = msgspec.json.Decoder(_Placed)
_tombstone = msgspec.json.Decoder(Tombstone)
TOMBSTONE = b'{"seq":'  # a line of ours begins with its schema version


def read_header(line: bytes) -> Header:
    """Return what the ledger set on a line. Raises NotVerified where it is not one."""
    try:
        return _header.decode(line)
    except UNREADABLE as e:
        raise NotVerified(f"not an event: {e}") from e


def read_seq(line: bytes) -> int:
    """Return the place that a line claims. Raises NotVerified where it claims none."""
    try:
        return _placed.decode(line).seq
    except UNREADABLE as e:
        raise NotVerified(f"not an event: {e}") from e


def is_tombstone(line: bytes) -> bool:
    """Say whether a line stands for one that was deleted; an event begins with its schema version."""
    return line.startswith(TOMBSTONE)


def read_tombstone(line: bytes) -> Tombstone | None:
    """Return the tombstone that a line is, or None where it is not one. Raises NotVerified where it is malformed."""
    if not line.startswith(TOMBSTONE):
        return None
    try:
        tombstone = _tombstone.decode(line)
    except UNREADABLE as e:
        raise NotVerified(f"not a tombstone: {e}") from e
    if msgspec.json.encode(tombstone) != line:
        raise NotVerified("not written the way a tombstone is written")
    return tombstone


def write_tombstone(seq: int, leaf: bytes, *, rule: str, entry: int) -> bytes:
    """Return the line that stands for a deleted one, without a line feed."""
    return msgspec.json.encode(Tombstone(seq=seq, pruned=Pruned(leaf=leaf.hex(), rule=rule, entry=entry)))


def leaf_of(line: bytes) -> bytes:
    """Return the leaf hash of what stands, or stood, in the place of `line`. Raises NotVerified."""
    tombstone = read_tombstone(line)
    return leaf_hash(line) if tombstone is None else bytes.fromhex(tombstone.pruned.leaf)


# Segments


def segment_files(folder: LogFolder) -> list[Path]:
    """Return the segments of a log, oldest first; where one is there twice, it is the plain one that counts."""
    found: dict[int, Path] = {}
    segments = folder.segments
    listed = _entries(segments)
    for name in sorted(listed):  # a compressed one sorts behind its plain one
        match = _SEGMENT.fullmatch(name)
        if match and not _has_no_end(listed[name]):
            found.setdefault(int(match[1]), segments / name)
    return list(found.values())


def _entries(segments: Path) -> dict[str, "os.DirEntry[str]"]:
    """Return what lies in a folder, by name, looked at twice where there is more than one file.

    A segment that is compressed during one look can escape it under either name. It is compressed
    once, so it does not escape the other.
    """
    try:
        first = _look(segments)
        if len(first) < 2:
            return first
        second = _look(segments)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {name: entry for name, entry in first.items() if name + _COMPRESSED not in second} | second


def _look(segments: Path) -> dict[str, "os.DirEntry[str]"]:
    with os.scandir(segments) as entries:
        return {entry.name: entry for entry in entries}


def length_of(path: Path) -> int:
    """Return how many bytes a segment takes on disk, or 0 where it was compressed since it was listed."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _has_no_end(entry: "os.DirEntry[str]") -> bool:
    """Say whether a reader could wait or read for ever: there is no line of ours in a pipe or a device."""
    if entry.is_file(follow_symlinks=False):  # which the folder itself tells
        return False
    path = Path(entry.path)
    return path.is_fifo() or path.is_char_device()


def first_seq(path: Path) -> int:
    """Return the seq of the first line in a segment, by its name."""
    return int(path.name.partition(".")[0])


def is_compressed(path: Path) -> bool:
    """Say whether a segment is a compressed one."""
    return path.suffix == _COMPRESSED


def compressed_form(path: Path) -> Path:
    """Return what a plain segment is called once it is compressed."""
    return path.with_name(path.name + _COMPRESSED)


def segment_of(files: list[Path], seq: int) -> int:
    """Return the number of the segment among `files` that holds `seq`, if any does; -1 where it is before them all."""
    return sum(first_seq(path) <= seq for path in files) - 1


def last_seq(folder: LogFolder) -> int:
    """Return the seq of the newest entry, or -1 where there is none. Raises NotVerified, OSError."""
    for path in reversed(segment_files(folder)):
        if is_compressed(path):
            return first_seq(path) + sum(1 for _ in whole_lines(path)) - 1
        end, _ = ends(path)
        if end:
            with path.open("rb", buffering=0) as file:
                file.seek(max(0, end - _LONGEST))
                return read_seq(file.read(min(end, _LONGEST)).split(b"\n")[-2])
    return -1


def lines_from(folder: LogFolder, seq: int = 0) -> Iterator[Line]:
    """Yield the entries of a log from `seq` on, across its segments. Raises NotVerified, OSError."""
    files = segment_files(folder)
    at = max(0, segment_of(files, seq))
    for path in files[at : at + 1]:
        yield from whole_lines(path, offset_of(path, seq))
    for path in files[at + 1 :]:
        yield from whole_lines(path)


# Lines of one segment


def whole_lines(file: Path | int, offset: int = 0, end: int | None = None) -> Iterator[Line]:
    """Yield the entries of one file from `offset`, up to its last line feed before `end`.

    `file` may be a descriptor, which is left open. Raises NotVerified where a line has no end in sight.
    """
    for lines in blocks(file, offset, end):
        for data in lines:
            yield Line(data, offset)
            offset += len(data) + 1


def blocks(file: Path | int, offset: int = 0, end: int | None = None, *, sealed: bool = False) -> Iterator[list[bytes]]:
    """Yield the same entries as they come from the disk, many at once.

    A `sealed` segment ends with a line: raises NotVerified where it doesn't.
    """
    rest: bytes = b""
    chunks = _chunks(file, offset, end)
    for chunk in chunks:
        block = rest + chunk
        cut = block.rfind(b"\n") + 1
        yield block[:cut].split(b"\n")[:-1]
        offset += cut
        rest = block[cut:]
        if len(rest) > _LONGEST:
            if sealed or any(b"\n" in more for more in chunks):
                raise NotVerified(f"what begins at byte {offset} is too long to be a line")
            return
    if sealed and rest:
        raise NotVerified(f"{len(rest)} bytes behind the last line of a sealed segment are not an entry")


def _chunks(file: Path | int, offset: int, end: int | None) -> Iterator[bytes]:
    """Yield the plain bytes of a file from `offset` to `end`."""
    left = None if end is None else end - offset
    for chunk in _from(file, offset, CHUNK if left is None else min(CHUNK, left)):
        yield chunk if left is None else chunk[:left]
        if left is not None:
            left -= len(chunk)
            if left <= 0:
                return


def _from(file: Path | int, offset: int, size: int) -> Iterator[bytes]:
    if isinstance(file, Path) and is_compressed(file):
        yield from frames.chunks(file, offset)
        return
    try:
        source = FileIO(file, "rb", closefd=isinstance(file, Path))
    except FileNotFoundError:
        if not isinstance(file, Path) or not compressed_form(file).exists():
            raise
        yield from frames.chunks(compressed_form(file), offset)  # it was compressed since it was listed
        return
    with source:
        source.seek(offset)
        while chunk := source.read(size):
            yield chunk


def ends(path: Path) -> tuple[int, int]:
    """Return where the last entry of a file ends, and where the file does."""
    if not is_compressed(path) and not path.exists() and compressed_form(path).exists():
        path = compressed_form(path)  # it was compressed since it was listed
    if is_compressed(path):
        whole = size = 0
        for chunk in frames.chunks(path):
            cut = chunk.rfind(b"\n") + 1
            whole = size + cut if cut else whole
            size += len(chunk)
        return whole, size
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

    A search, since lines carry their own `seq` in order. Raises NotVerified where a line is not an event.
    """
    if not is_compressed(path):
        try:
            return _offset_in_plain(path, seq)
        except FileNotFoundError:
            if not compressed_form(path).exists():
                raise
    return _offset_in_frames(path if is_compressed(path) else compressed_form(path), seq)


def _offset_in_frames(path: Path, seq: int) -> int:
    """As `offset_of`: the table leads to the frame, and the lines in it to the line."""
    table = frames.read_table(path)
    number = min(max(0, seq - first_seq(path)) // frames.FRAME_LINES, max(0, len(table.plain) - 2))
    end = 0
    for line in whole_lines(path, table.plain[number]):
        if read_seq(line.data) >= seq:
            return line.offset
        end = line.offset + len(line.data) + 1
    return end


def _offset_in_plain(path: Path, seq: int) -> int:
    end, _ = ends(path)
    with path.open("rb", buffering=0) as file:
        low, high = 0, end  # the first position after which no line has a smaller seq lies in [low, high]
        while low < high:
            middle = (low + high) // 2
            line = _line_from(file, middle, end)
            if line is None or read_seq(line.data) >= seq:
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
