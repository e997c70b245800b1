# SPDX-License-Identifier: Apache-2.0
"""One pass over the lines of a log, as a verifier reads them: strictly, once, in bounded memory.

Each line must be exactly what this program writes for the event it holds (so no key stands twice
in it), carry the next `seq`, and name the hash of the line before. The pass stops where that
ends, and knows what kind of end it was; what it means is decided in `verify.py`.
"""

import heapq
import json
from array import array
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Literal

import msgspec

from onrecord.errors import NotVerified
from onrecord.event.event import GENESIS_PREV_HASH, SCHEMA_VERSION, UNREADABLE, Event
from onrecord.ledger.deletions import Deletions
from onrecord.ledger.epochs import HandOverEntry, hand_over_of
from onrecord.ledger.lines import (
    TOMBSTONE,
    blocks,
    first_seq,
    is_compressed,
    leaf_of,
    length_of,
    read_seq,
    read_tombstone,
    segment_files,
    torn_bytes,
)
from onrecord.ledger.merkle import Frontier
from onrecord.ledger.place import LogFolder
from onrecord.ledger.tree import read_tile

_FOLLOWED = frozenset({"recorder_start", "recorder_stop", "retention", "key"})
_BEYOND = 2**63
_ORDERED = 1 << 20  # lines behind the first wrong one whose order is told
_WRITERS = 100_000  # whose counts are held in memory

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

    def __init__(
        self, folder: LogFolder, signed: int, wanted: Iterable[int], progress: Callable[[int], None] | None
    ) -> None:
        """`signed` is as far as the tiles go; the roots at the sizes that are `wanted` are remembered."""
        self._folder = folder
        self._progress = progress
        self._tiles = _Leaves(folder, signed)
        self._frontier = Frontier()
        self._prev_hash = GENESIS_PREV_HASH
        self._roots = {0: self._frontier.root()}
        self._wanted = sorted({size for size in wanted if size})  # a sorted list is a heap
        self._due = self._wanted[0] if self._wanted else _BEYOND  # the next of them
        self._at = (0, 0, 0)  # segment, offset and place of the first line not read yet, at the beginning of a block
        self.broken: Break | None = None
        self.off_tile: int | None = None
        self.open_calls: dict[str, int] = {}
        self._counts: dict[str, int] = {}  # lines of each writer, by its own count
        self._forgotten = False  # there were more writers than are held in memory
        self.gaps = 0  # lines that their writers have counted and that are not there
        self.first_gap = -1
        self.running: dict[str, int] = {}  # recorders that have started and not stopped, and where
        self.same_account = False
        self.torn = 0
        self.newest = ""  # the time of the last line
        self.hand_overs: list[HandOverEntry] = []
        self.deletions = Deletions()

    @property
    def entries(self) -> int:
        return self._frontier.size

    def want(self, sizes: Iterable[int]) -> None:
        """Remember the root at each of `sizes` when the pass gets there."""
        for size in sizes:
            if size > self.entries:
                heapq.heappush(self._wanted, size)
            elif size == self.entries:
                self._roots[size] = self._frontier.root()
        self._due = self._wanted[0] if self._wanted else _BEYOND

    def root(self, size: int) -> bytes | None:
        """Return the root over the first `size` lines, if it was wanted and they were read."""
        return self._roots.get(size)

    def read(self, until: int | None = None) -> None:
        """Go on to the last line feed, or to `until` entries."""
        files = segment_files(self._folder)
        segment, offset, _ = self._at
        before = sum(map(length_of, files[:segment]))
        try:
            for number in range(segment, len(files)):
                length, first = length_of(files[number]), self.entries if not offset else None
                sealed = number + 1 < len(files) or is_compressed(files[number])
                for block in blocks(files[number], offset, sealed=sealed):
                    lines = block if until is None else block[: until - self.entries]
                    for data in lines:
                        self._take(data)
                    if first is not None and lines and first_seq(files[number]) != first:
                        raise Break("form", first, f"{files[number].name} is not named by its first entry, {first}")
                    first = None
                    offset += sum(map(len, lines)) + len(lines)
                    self._at = (number, offset, self.entries)
                    if self._progress is not None:
                        self._progress(before + min(offset, length))
                    if len(lines) < len(block):
                        return
                if first is not None and first_seq(files[number]) != first:
                    raise Break(
                        "form", first, f"{files[number].name} is empty, and not named by the next entry, {first}"
                    )
                offset = 0
                before += length
        except Break as e:
            self.broken = e
        except NotVerified as e:
            self.broken = Break("form", self.entries, f"what stands where entry {self.entries} belongs is none: {e}")
        self.torn = torn_bytes(files[-1]) if files and not is_compressed(files[-1]) else 0

    def _take(self, data: bytes) -> None:
        seq = self._frontier.size
        try:
            event = _decode(data)
            plain = _encode(event) == data  # as `strict_event`, without the call
        except UNREADABLE:
            event, plain = None, False
        if event is None or not plain:
            if data.startswith(TOMBSTONE):
                self._take_tombstone(data, seq)
                return
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
        if seq + 1 >= self._due:
            self._remember()
        self.newest = event.timestamp
        counts = self._counts
        if counts.get(event.wid, -1) != event.wseq:
            self._note_gap(event)
            if len(counts) >= _WRITERS:
                del counts[next(iter(counts))]
                self._forgotten = True
        counts[event.wid] = event.wseq + 1
        if event.phase or event.event_type in _FOLLOWED:
            self._follow(event)

    def _note_gap(self, event: Event) -> None:
        """Count the lines of a writer that are not there, by its own count, at the first line behind them."""
        known = self._counts.get(event.wid)
        if (known is None and self._forgotten) or self.deletions.count:
            return
        missing = event.wseq - (known or 0)
        if missing > 0:
            self.gaps += missing
            self.first_gap = event.seq if self.first_gap < 0 else self.first_gap

    def _take_tombstone(self, data: bytes, seq: int) -> None:
        """Put the leaf that a tombstone keeps in the place of the line; the tree shows whether it is the right one."""
        try:
            stone = read_tombstone(data)
        except NotVerified as e:
            raise Break("form", seq, f"entry {seq} is neither an event nor a tombstone: {e}") from e
        if stone is None or stone.seq != seq:
            raise Break("order", seq, f"a tombstone of another entry stands where entry {seq} belongs")
        leaf = leaf_of(data)
        if self._tiles.next(seq) != leaf and self.off_tile is None and seq < self._tiles.size:
            self.off_tile = seq
        self._frontier.push(leaf)
        self._prev_hash = stone.pruned.leaf
        if seq + 1 >= self._due:
            self._remember()
        self.deletions.take(stone)

    def _remember(self) -> None:
        """Keep the root that is wanted here."""
        size, root = self.entries, self._frontier.root()
        while self._wanted and self._wanted[0] <= size:
            self._roots[heapq.heappop(self._wanted)] = root
        self._due = self._wanted[0] if self._wanted else _BEYOND

    def _follow(self, event: Event) -> None:
        if event.phase == "attempt":
            self.open_calls[f"{event.call_id}/{event.round}"] = event.seq
        elif event.phase == "result":
            self.open_calls.pop(f"{event.call_id}/{event.round}", None)
        elif event.event_type == "retention":
            self.deletions.settle(event)
        elif event.event_type == "key":
            if hand_over := hand_over_of(event, self._frontier.root()):
                self.hand_overs.append(hand_over)
        elif event.event_type == "recorder_stop":
            self.running.pop(event.wid, None)
        elif event.event_type == "recorder_start":
            self.running[event.wid] = event.seq
            if "same_account" in event.detail:  # that of a service says nothing of who is wrapped
                self.same_account = bool(event.detail["same_account"])

    def order(self) -> "tuple[int, array[int]] | None":
        """Return up to where lines are in order, and the seqs of those behind, as they stand; -1 for what is no event.

        None where there are more than are held in memory.
        """
        seqs = array("q")
        number, offset, place = self._at
        for file in segment_files(self._folder)[number:]:
            try:
                for block in blocks(file, offset, sealed=is_compressed(file)):
                    if len(seqs) + len(block) > _ORDERED:
                        return None
                    seqs.extend(map(_seq_of, block))
            except NotVerified:
                seqs.append(-1)  # it goes on without an end
            offset = 0
        return place, seqs

    def remarks(self) -> list[str]:
        """Return what a reader should know besides the verdict."""
        said: list[str] = []
        if self.torn:
            said.append(f"{self.torn} bytes after the last line feed are not an entry (a write was cut off)")
        if self.open_calls:
            first = min(self.open_calls.values())
            said.append(f"{_have(len(self.open_calls), 'call')} no closing event yet, the first at entry {first}")
        if self.gaps:
            said.append(
                f"lines that their writers have counted and that are not there: {self.gaps}, the first before entry "
                f"{self.first_gap}; they were taken away before they were signed"
            )
        if self.running:
            first = min(self.running.values())
            said.append(
                f"{_have(len(self.running), 'recorder')} started and not stopped, the first at entry {first}: "
                "still running, or killed"
            )
        if self.same_account:
            said.append("same-account: the wrapped server runs under the account that can write this ledger")
        return said


def _have(count: int, what: str) -> str:
    return f"1 {what} has" if count == 1 else f"{count} {what}s have"


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
        seq = read_seq(data)
    except NotVerified:
        return -1
    return max(-1, min(seq, _BEYOND - 1))


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
