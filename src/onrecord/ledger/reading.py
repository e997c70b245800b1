# SPDX-License-Identifier: Apache-2.0
"""One pass over the lines of a log, as a verifier reads them: strictly, once, in bounded memory.

Each line must be exactly what this program writes for the event it holds (so no key stands twice
in it), carry the next `seq`, and name the hash of the line before. The pass stops where that
ends, and knows what kind of end it was; what it means is decided in `verify.py`.
"""

import json
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Literal

import msgspec

from onrecord.errors import NotVerified
from onrecord.event.event import GENESIS_PREV_HASH, SCHEMA_VERSION, UNREADABLE, Event
from onrecord.ledger.lines import blocks, read_header, segment_files, torn_bytes, whole_lines
from onrecord.ledger.merkle import Frontier
from onrecord.ledger.place import LogFolder
from onrecord.ledger.tree import read_tile

_decode = msgspec.json.Decoder(Event).decode
_encode = msgspec.json.Encoder().encode


class Break(NotVerified):
    """The place where the lines stop being a log."""

    def __init__(self, kind: Literal["order", "chain", "form"], seq: int, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.seq = seq
        self.reason = reason


class Reading:
    """One pass over the lines, which can go on when more have come."""

    def __init__(self, folder: LogFolder, signed: int, progress: Callable[[int], None] | None) -> None:
        self._folder = folder
        self._progress = progress
        self._tiles = _Leaves(folder, signed)
        self._frontier = Frontier()
        self._prev_hash = GENESIS_PREV_HASH
        self._roots: dict[int, bytes | None] = {}
        self._at = (0, 0)  # segment and offset of the first line not read yet
        self.broken: Break | None = None
        self.off_tile: int | None = None
        self.open_calls: dict[str, int] = {}
        self.same_account = False
        self.torn = 0
        self.want([signed])

    @property
    def entries(self) -> int:
        return self._frontier.size

    def want(self, sizes: Sequence[int]) -> None:
        """Remember the root at each of `sizes` when the pass gets there."""
        for size in sizes:
            self._roots.setdefault(size, self._frontier.root() if size == self.entries else None)

    def root(self, size: int) -> bytes | None:
        """Return the root over the first `size` lines, if it was wanted and they were read."""
        return self._roots.get(size)

    def read(self, until: int | None = None) -> None:
        """Go on to the last line feed, or to `until` entries."""
        files = segment_files(self._folder)
        segment, offset = self._at
        try:
            for number in range(segment, len(files)):
                for block in blocks(files[number], offset):
                    lines = block if until is None else block[: until - self.entries]
                    for data in lines:
                        self._take(data)
                    offset += sum(map(len, lines)) + len(lines)
                    self._at = (number, offset)
                    if len(lines) < len(block):
                        return
                offset = 0
        except Break as e:
            self.broken = e
        except NotVerified as e:
            self.broken = Break("form", self.entries, f"entry {self.entries} is not an event: {e}")
        self.torn = torn_bytes(files[-1]) if files else 0

    def _take(self, data: bytes) -> None:
        seq = self._frontier.size
        event = strict_event(data, seq)
        if event.seq != seq:
            raise Break("order", seq, f"entry {event.seq} stands where entry {seq} belongs")
        leaf = sha256(b"\x00" + data).digest()  # leaf_hash, without the call
        if self._tiles.next(seq) != leaf and self.off_tile is None and seq < self._tiles.size:
            self.off_tile = seq
        if event.prev_hash != self._prev_hash:
            raise Break("chain", seq, f"entry {seq} does not follow from the line before it")
        self._frontier.push(leaf)
        self._prev_hash = leaf.hex()
        if seq + 1 in self._roots:
            self._roots[seq + 1] = self._frontier.root()
        if event.phase or event.event_type == "recorder_start":
            self._follow(event)
        if self._progress is not None:
            self._progress(seq + 1)

    def _follow(self, event: Event) -> None:
        if event.phase == "attempt":
            self.open_calls[f"{event.call_id}/{event.round}"] = event.seq
        elif event.phase == "result":
            self.open_calls.pop(f"{event.call_id}/{event.round}", None)
        elif event.event_type == "recorder_start":
            self.same_account = bool(event.detail.get("same_account"))

    def order(self) -> list[int]:
        """Return the seqs of all lines, in the order in which they stand; -1 for a line that is no event."""
        seqs: list[int] = []
        for file in segment_files(self._folder):
            try:
                seqs.extend(_seq_of(line.data) for line in whole_lines(file))
            except NotVerified:
                seqs.append(-1)  # it goes on without an end
        return seqs

    def remarks(self) -> list[str]:
        """Return what a reader should know besides the verdict."""
        said: list[str] = []
        if self.torn:
            said.append(f"{self.torn} bytes after the last line feed are not an entry (a write was cut off)")
        if self.open_calls:
            first = min(self.open_calls.values())
            said.append(f"{len(self.open_calls)} calls have no closing event yet, the first at entry {first}")
        if self.same_account:
            said.append("same-account: the wrapped server runs under the account that can write this ledger")
        return said


class _Leaves:
    """The leaf hashes that the tiles hold: a hint where to look, never a proof."""

    def __init__(self, folder: LogFolder, size: int) -> None:
        self._folder = folder
        self._tile: Sequence[bytes] = ()
        self.size = size

    def next(self, seq: int) -> bytes:
        """Return the hash that the tiles hold for `seq`; call it for each seq in turn."""
        place = seq & 255
        if not place:
            self._load(seq >> 8)
        return self._tile[place] if place < len(self._tile) else b""

    def _load(self, index: int) -> None:
        width = min(256, self.size - index * 256)
        try:
            data = read_tile(self._folder, 0, index, width) if width > 0 else b""
        except NotVerified:
            data = b""
            self.size = 0  # no hint from here on
        self._tile = [data[at : at + 32] for at in range(0, len(data), 32)]


def _seq_of(data: bytes) -> int:
    try:
        return read_header(data).seq
    except NotVerified:
        return -1


def strict_event(data: bytes, seq: int) -> Event:
    """Return the event of a line that reads in one way only. Raises Break, which names `seq`."""
    try:
        event = _decode(data)
        plain = _encode(event) == data  # then no key stands twice in it
    except UNREADABLE as e:
        raise Break("form", seq, f"entry {seq} is not an event: {e}") from e
    if not plain:
        _check_form(data, event, seq)
    return event


def _check_form(data: bytes, event: Event, seq: int) -> None:
    """Raise Break unless a line that this program would write otherwise still reads in one way only.

    A later version may write keys that this one doesn't know; it may not write one twice.
    """
    try:
        json.loads(data, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as e:
        raise Break("form", seq, f"entry {seq} is not an event: {e}") from e
    if event.schema_version <= SCHEMA_VERSION:
        raise Break("form", seq, f"entry {seq} is not written the way an event is written")


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key stands twice in it")
    return fields
