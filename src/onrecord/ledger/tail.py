# SPDX-License-Identifier: Apache-2.0
"""The end of a log as one process knows it: how many lines, which was the last, and the segment that is open.

Other processes append too. So whoever wants to write takes the log's writer lock, reads on to where
the log ends by now, and puts its line there. Segments end by size and by UTC day; the one that ends
is flushed and sealed before the next exists, so only the last segment can hold lines that are not
on the device. This file knows what chains lines, and nothing of what they say, of locks, or of signatures.
"""

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock

from onrecord.errors import LedgerRefused, NotVerified
from onrecord.event.event import GENESIS_PREV_HASH, SCHEMA_VERSION
from onrecord.ledger.clock import NowUs, TimeText, parse_time
from onrecord.ledger.durable import make_folder, replace_file
from onrecord.ledger.lines import (
    MAX_LINE,
    blocks,
    compressed_form,
    first_seq,
    is_compressed,
    offset_of,
    read_header,
    segment_files,
    segment_of,
)
from onrecord.ledger.merkle import leaf_hash
from onrecord.ledger.note import Checkpoint
from onrecord.ledger.place import LogFolder, segment_name
from onrecord.ledger.segment import (
    Segment,
    create_segment,
    drop_segment,
    flush_sealed,
    place_segment,
    prepare_segment,
)

HEADER_BYTES = 512  # at most, of what the ledger sets on a line; it takes some 200
_DAY_US = 24 * 60 * 60 * 1_000_000


def fits(body: bytes) -> bool:
    """Say whether a line can hold the entry with this `body`."""
    return len(body) <= MAX_LINE - HEADER_BYTES


@dataclass(frozen=True, slots=True)
class Options:
    """How one process writes a log. `wid` names the writer, `seen` what it knows the log to have been."""

    log: str
    wid: str
    clock: NowUs
    segment_bytes: int
    reserve_bytes: int
    seen: tuple[Checkpoint, ...]


class Tail:
    """The end of one log. One thread at a time, under the writer lock; `flush` may run beside it."""

    _segment: Segment

    def __init__(self, folder: LogFolder, options: Options) -> None:
        self._folder = folder
        self._segment_bytes = options.segment_bytes
        self._reserve_bytes = options.reserve_bytes
        self.size = 0  # entries
        self.last_leaf = GENESIS_PREV_HASH
        self.last_us = 0
        self.leaves: list[bytes] = []  # of the lines that this process doesn't know to be signed
        self.rotated = False  # there is a sealed segment behind us that may be compressed
        self._left: deque[Segment] = deque()  # sealed ones, to be closed when nobody flushes them
        self._flushing = Lock()
        self._times = TimeText()
        self._entered = False

    # opening and reading

    def enter(self, size: int, last_leaf: str, last_us: int) -> int:
        """Go to the end from behind the first `size` lines, and return how many bytes lie behind the last line.

        Raises LedgerError, NotVerified where a line does not follow, and OSError.
        """
        self.size, self.last_leaf, self.last_us = size, last_leaf, last_us
        files = segment_files(self._folder)
        self.rotated = any(not is_compressed(path) for path in files[:-1])
        for path in files[max(0, segment_of(files, size)) :]:
            offset = offset_of(path, self.size)
            if not offset and first_seq(path) != self.size:
                raise LedgerRefused(f"altered: {path} stands where no entry of this log belongs; run: onrecord verify")
            if path == files[-1] and not is_compressed(path):
                self._segment = Segment(path, reserve=self._reserve_bytes)
                self._entered = True
                self._segment.end = offset
                return self.read_on()
            self._take_all(blocks(path, offset))
        self._segment = self._next()
        self._entered = True
        return self.read_on()

    def read_on(self) -> int:
        """Take in the lines that others wrote since, and return how many bytes lie behind the last one."""
        while True:
            segment = self._segment
            length, sealed = segment.look()
            if length == segment.end and not sealed:
                return 0
            try:
                for lines in blocks(segment.fd, segment.end, length):
                    self._take_block(lines)
                    segment.end += sum(map(len, lines)) + len(lines)
            except NotVerified as e:
                raise LedgerRefused(f"altered: {segment.path}, after entry {self.size - 1}: {e}") from e
            if not sealed:
                return length - segment.end
            if length != segment.end:
                raise LedgerRefused(f"altered: {segment.path} is sealed, and does not end with a line")
            self._segment = self._next()
            self._left.append(segment)  # last: `flush` closes what lies here, and goes on with the other
            self.rotated = True

    def _next(self) -> Segment:
        """Return the segment behind the sealed ones; it is created where nobody has."""
        path = self._folder.segments / segment_name(self.size)
        while not path.exists() and compressed_form(path).exists():  # others are far ahead
            self._take_all(blocks(compressed_form(path)))
            path = self._folder.segments / segment_name(self.size)
        before = segment_files(self._folder)
        if not path.exists() and before and not is_compressed(before[-1]):
            flush_sealed(before[-1])
        return create_segment(path, self._reserve_bytes)

    def _take_all(self, blocks_of_lines: Iterable[list[bytes]]) -> None:
        for lines in blocks_of_lines:
            self._take_block(lines)

    def _take_block(self, lines: list[bytes]) -> None:
        """Take in lines that follow the last one. Raises NotVerified where one doesn't, and then takes in none."""
        size, last_leaf, timestamp = self.size, self.last_leaf, ""
        leaves: list[bytes] = []
        for line in lines:
            header = read_header(line)
            if header.seq != size or header.prev_hash != last_leaf:
                raise NotVerified(f"a line says seq {header.seq}, or does not follow the line before it")
            leaf = sha256(b"\x00" + line).digest()  # leaf_hash, without the call: this is done under the lock
            leaves.append(leaf)
            last_leaf, timestamp = leaf.hex(), header.timestamp
            size += 1
        if leaves:
            self._advance(leaves, parse_time(timestamp))

    def _advance(self, leaves: list[bytes], at_us: int) -> None:
        self.leaves += leaves
        self.last_leaf = leaves[-1].hex()
        self.last_us = at_us
        self.size += len(leaves)  # last: see `flush`

    # writing

    @property
    def path(self) -> Path:
        """The file that is written to."""
        return self._segment.path

    @property
    def low(self) -> bool:
        """Whether the reserve is all that is left on the device."""
        return self._segment.low

    @property
    def spoiled(self) -> bool:
        """Whether a part of a line could not be taken back: the log has to be opened anew."""
        return self._segment.spoiled

    def rotate_if_due(self, at_us: int) -> bool:
        """Begin a new segment where the last one is full or of another day, and say whether there is one.

        Raises OSError where a flush fails.
        """
        old = self._segment
        if old.end < self._segment_bytes and (at_us // _DAY_US == self.last_us // _DAY_US or not old.end):
            return False
        if old.low:
            return False  # the reserve of the last one is what there is
        try:
            new = prepare_segment(self._folder.segments / segment_name(self.size), self._reserve_bytes)
        except OSError:
            return False  # no room for another file and its reserve: it grows longer than it should
        try:
            old.seal()
        except OSError:
            drop_segment(new)
            raise
        try:
            place_segment(new)
        except OSError:
            drop_segment(new)
            if new.path.exists():
                raise
            old.unseal()
            return False
        self._segment = new
        self._left.append(old)  # last: see `read_on`
        self.rotated = True
        return True

    def make_room(self, count: int) -> None:
        """See that an ordinary line of `count` bytes leaves the reserve alone. Raises LedgerFull."""
        self._segment.make_room(count)

    def put(self, bodies: Sequence[bytes], at_us: int, wid: str, wseq: int) -> list[bytes]:
        """Write entries behind the last line, all or none, and return their leaf hashes. Raises LedgerError."""
        size, last_leaf, time = self.size, self.last_leaf, self._times.of(at_us)
        written: list[bytes] = []
        leaves: list[bytes] = []
        for body in bodies:
            line = b'{"schema_version":%d,"seq":%d,"prev_hash":"%s","timestamp":"%s","wid":"%s","wseq":%d,%s' % (
                SCHEMA_VERSION,
                size,
                last_leaf.encode(),
                time.encode(),
                wid.encode(),
                wseq,
                body[1:],
            )
            leaf = leaf_hash(line)
            last_leaf = leaf.hex()
            written.append(line)
            leaves.append(leaf)
            size += 1
            wseq += 1
        self._segment.write(b"\n".join(written) + b"\n")
        self._advance(leaves, at_us)
        return leaves

    def set_torn_aside(self, count: int) -> dict[str, str | int | bool]:
        """Keep the bytes that a dying process left behind the last line, cut them off, and say what they were.

        Raises OSError, LedgerError.
        """
        kept = self._folder.torn / f"{self.size:018d}-{os.urandom(4).hex()}"
        torn = self._segment.torn(count)
        make_folder(kept.parent)
        replace_file(kept, torn, durable=True)  # before the cut: nothing is ever dropped unseen
        self._segment.cut()
        return {
            "torn_bytes": count,
            "torn_sha256": hashlib.sha256(torn).hexdigest(),
            "kept_as": f"torn/{kept.name}",
        }

    def flush(self) -> int:
        """Return once every line so far is on the device, and how many that is. Raises OSError, LedgerMoved."""
        with self._flushing:
            self._close_left()
            size = self.size  # in this order: what lies in an earlier segment was flushed when it was sealed
            self._segment.flush()
            return size

    @property
    def flushed(self) -> tuple[Path, int]:
        """The file that is written to, and how many bytes of it are known to be on the device."""
        return self._segment.path, self._segment.flushed

    def close(self) -> None:
        """Close the files."""
        with self._flushing:
            self._close_left()
            if self._entered:
                self._segment.close()

    def _close_left(self) -> None:
        while self._left:
            self._left.popleft().close()
