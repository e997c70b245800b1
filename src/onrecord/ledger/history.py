# SPDX-License-Identifier: Apache-2.0
"""`checkpoints.ndjson`: every signature that a log gave over itself, in the order in which it gave them.

A line is added, durably, each time the log is signed. Past some megabytes the file is thinned: what
stays are the first and the last signature of each key, the newest thousand, and of the older ones the
fewer the older they are. So a verifier can hold all that it says, and refuses one that is much longer.
A line that says nothing helps nobody, accuses nobody, and hides nothing that stands before or behind
it. Whoever writes here holds the publish lock.
"""

import base64
import os
from collections.abc import Iterable, Iterator
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import msgspec

from onrecord.event.event import UNREADABLE
from onrecord.ledger.durable import disk_error, open_private, replace_file, sync_data, sync_folder, write_all
from onrecord.ledger.lines import ends
from onrecord.ledger.note import Checkpoint
from onrecord.ledger.place import LogFolder

THIN_BYTES = 8 * 1024 * 1024  # some 18,000 signatures
MAX_HISTORY = 4 * THIN_BYTES  # nobody who thins it lets it become as long
NEWEST = 1000  # signatures that always stay
_PER_OCTAVE = 6  # 2**6 signatures stay of those between one age and its double, age in entries

_LINE = 65536  # bytes; a line with a note of one signature takes some 450
_BLOCK = 4096  # bytes that are read at a time from the end
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the history."""

    size: int
    root: str
    timestamp: str
    note: str


class Said(NamedTuple):
    """What a line of the history claims; nothing of it is verified. `signer` is the id that its note bears."""

    size: int
    root: bytes
    signer: bytes
    note: bytes
    offset: int


_decode = msgspec.json.Decoder(Published).decode


def append_history(folder: LogFolder, checkpoint: Checkpoint, note: bytes, at: str) -> None:
    """Add a signed checkpoint to the history, durably."""
    path = folder.checkpoints
    line = Published(
        size=checkpoint.size,
        root=base64.b64encode(checkpoint.root).decode(),
        timestamp=at,
        note=note.decode(),
    )
    append_line(path, msgspec.json.encode(line))


def append_line(path: Path, line: bytes) -> None:
    """Add a line to a file of lines, durably; one process at a time does this. Raises LedgerError."""
    fd, created = -1, not path.exists()
    try:
        fd = open_private(path, _APPEND)
        whole, end = (0, 0) if created else ends(path)
        torn = b"\n" if whole < end else b""  # a line that was cut off stays one of its own
        write_all(fd, torn + line + b"\n")
        sync_data(fd)
        if created:
            sync_folder(path.parent)
    except OSError as e:
        raise disk_error(e, "append to", path) from e
    finally:
        if fd >= 0:
            os.close(fd)


def last_note(history: Path) -> bytes:
    """Return the note of the newest line that says something, or nothing where there is none."""
    return next(last_notes(history), b"")


def last_notes(history: Path) -> Iterator[bytes]:
    """Yield the notes that the history holds, newest first, passing over lines that say nothing. Nothing is verified.

    What cannot be read counts as not there.
    """
    try:
        if not history.is_file():
            return
        with history.open("rb", buffering=0) as file:
            for line in _backwards(file):
                said = _read(line)
                if said is not None:
                    yield said.note.encode()
    except OSError:
        return


def _backwards(file: FileIO) -> Iterator[bytes]:
    """Yield the whole lines of a file from the last to the first; of one that is too long, a part."""
    start = file.seek(0, os.SEEK_END)
    rest, torn = b"", True
    while start:
        end, start = start, max(0, start - _BLOCK)
        file.seek(start)
        first, *lines = (file.read(end - start) + rest).split(b"\n")
        if torn and lines:
            lines.pop()  # what stands behind the last line feed
            torn = False
        yield from reversed(lines)
        rest = first[-_LINE:]
    if not torn:
        yield rest


def read_history(history: Path, end: int | None = None) -> Iterator[Said]:
    """Yield what each line up to byte `end` says; those that say nothing are left out. Raises OSError."""
    for start, _, published in published_lines(history, end):
        root = _root(published.root)
        if root and published.size > 0:  # the empty tree says nothing
            yield Said(published.size, root, signer_of(published.note), published.note.encode(), start)


def published_lines(history: Path, end: int | None = None) -> Iterator[tuple[int, bytes, Published]]:
    """Yield where each line of the history begins, its bytes, and what they say; as for `read_history`."""
    if not history.is_file():
        return
    with history.open("rb") as file:
        offset = 0
        while line := file.readline(_LINE):
            start, offset = offset, offset + len(line)
            if end is not None and offset > end:
                return
            if not line.endswith(b"\n"):  # too long for one of ours, or not whole yet
                while (more := file.readline(_LINE)) and not more.endswith(b"\n"):
                    offset += len(more)
                offset += len(more)
                continue
            published = _read(line)
            if published is not None:
                yield start, line[:-1], published


def _read(line: bytes) -> Published | None:
    try:
        return _decode(line)
    except UNREADABLE:
        return None


def _root(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


def signer_of(note: str) -> bytes:
    """Return the key id under which the last signature of a note stands, unverified, or nothing."""
    try:
        return base64.b64decode(note.rpartition(" ")[2][:8])[:4]
    except ValueError:
        return b""


def thin(folder: LogFolder, *, limit: int = THIN_BYTES) -> None:
    """Leave out what an old history need not hold, once it is longer than `limit` bytes. Raises LedgerError."""
    path = folder.checkpoints
    try:
        if path.stat().st_size <= limit:
            return
        count, newest = 0, 0
        for said in read_history(path):
            count, newest = count + 1, said.size
        with path.open("rb") as file:
            kept = to_keep(read_history(path), count, newest)
            data = b"".join(_line_at(file.fileno(), said.offset) for said in kept)
    except OSError as e:
        raise disk_error(e, "thin", path) from e
    replace_file(path, data, durable=True)


def _line_at(fd: int, offset: int) -> bytes:
    return os.pread(fd, _LINE, offset).partition(b"\n")[0] + b"\n"


def to_keep(lines: Iterable[Said], count: int, newest: int) -> Iterator[Said]:
    """Yield those of `count` signatures that stay, where the last is of size `newest`.

    Those that stay now were worth keeping at every thinning before.
    """
    before: Said | None = None
    ahead = iter(lines)
    said = next(ahead, None)
    place = 0
    while said is not None:
        after = next(ahead, None)
        first = before is None or before.signer != said.signer
        last = after is None or after.signer != said.signer
        if first or last or place >= count - NEWEST or _reach(before, said) > (newest - said.size).bit_length():
            yield said
        before, said, place = said, after, place + 1


def _reach(before: Said | None, said: Said) -> int:
    """Return up to which age, as a power of two, `said` stays.

    The highest bit in which two sizes differ says which power of two has a multiple between them.
    """
    differ = ((before.size if before else 0) ^ said.size).bit_length()
    return differ + _PER_OCTAVE if differ else 0
