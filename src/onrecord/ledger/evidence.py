# SPDX-License-Identifier: Apache-2.0
"""What a log can show for single entries: their lines, the checkpoint over them, and their proofs.

Whoever hands out evidence has the whole log at hand, and uses as little of it as will do: the tiles
give the hashes, and where they are lost or damaged the lines give them again. A proof is checked
before it is returned, with the keys that the caller brings; one that would not hold is never made.

This file writes nothing.
"""

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from onrecord.errors import NotVerified
from onrecord.ledger.lines import blocks, first_seq, is_tombstone, leaf_of, read_header, segment_files, whole_lines
from onrecord.ledger.merkle import Frontier, HashReader, inclusion_path
from onrecord.ledger.note import Checkpoint, VerifierKey
from onrecord.ledger.place import LogFolder
from onrecord.ledger.proof import Proof, check_carried
from onrecord.ledger.published import read_published
from onrecord.ledger.reading import strict_event
from onrecord.ledger.tiles import TileReader, reader_over_tiles
from onrecord.ledger.tree import read_tile

_POLL_S = 0.05
_SEQ = re.compile("[0-9]{1,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What a log is signed for: the note, byte for byte, and what it says."""

    note: bytes
    checkpoint: Checkpoint


class Deleted(NotVerified):
    """The entry was deleted under a rule of retention: its place is proven, its text is gone."""


def newest_signed(
    folder: LogFolder, keys: Sequence[VerifierKey], *, covering: int = 0, wait_s: float = 0.0
) -> Signed | None:
    """Return the checkpoint that the log publishes, or None where it has none yet.

    Waits for one that covers `covering` entries, at most `wait_s`, since a living recorder signs
    what it has written. Raises NotVerified where it is not signed by one of `keys`.
    """
    end = time.monotonic() + wait_s
    while True:
        signed = _published(folder, keys)
        covered = signed.checkpoint.size if signed else 0
        if covered >= covering or time.monotonic() >= end:
            return signed
        time.sleep(_POLL_S)


def _published(folder: LogFolder, keys: Sequence[VerifierKey]) -> Signed | None:
    try:
        note, checkpoint = read_published(folder, keys)
    except FileNotFoundError:
        return None
    except NotVerified as e:
        raise NotVerified(f"the checkpoint of {folder.path} does not hold: {e}; run: onrecord verify") from e
    return Signed(note=note, checkpoint=checkpoint)


# lines


def chosen_lines(folder: LogFolder, seqs: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """Yield (seq, line) for each of `seqs`, which ascend; those that the log does not hold are left out.

    A segment that holds none of them is not opened. Raises NotVerified where another line stands in
    the place of one of them, Deleted where a tombstone does.
    """
    files = segment_files(folder)
    wanted = iter(seqs)
    seq = next(wanted, None)
    for file, following in zip_longest(files, map(first_seq, files[1:])):
        if seq is None:
            return
        if following is not None and seq >= following:
            continue
        at = first_seq(file)
        for block in blocks(file):
            while seq is not None and at <= seq < at + len(block):
                yield seq, _checked(block[seq - at], seq, file)
                seq = next(wanted, None)
            at += len(block)
            if seq is None or (following is not None and seq >= following):
                break


def _checked(line: bytes, seq: int, file: Path) -> bytes:
    if is_tombstone(line):
        raise Deleted(f"entry {seq} was deleted; the log keeps its hash alone")
    if read_header(line).seq != seq:
        raise NotVerified(f"{file} does not hold entry {seq} where it belongs; run: onrecord verify")
    return line


def find_entry(folder: LogFolder, which: str) -> int | None:
    """Return the seq of the entry whose seq or event_id is `which`, or None. Raises NotVerified."""
    if _SEQ.fullmatch(which):
        try:
            found = next(chosen_lines(folder, [int(which)]), None)
        except Deleted:
            return int(which)  # it is there, and what can be said of it is for whoever reads it
        return None if found is None else found[0]
    needle = which.encode()
    for file in segment_files(folder):
        for seq, line in enumerate(whole_lines(file), first_seq(file)):
            if needle in line.data and not is_tombstone(line.data):
                event = strict_event(line.data, seq)
                if event.event_id == which and event.seq == seq:
                    return seq
    return None


def leaves(folder: LogFolder, size: int) -> Iterator[bytes]:
    """Yield the leaf hashes of the first `size` entries from their lines, or from what stands for them."""
    left = size
    for file in segment_files(folder):
        for block in blocks(file):
            for line in block[:left]:
                yield leaf_of(line)
            left -= min(left, len(block))
            if not left:
                return
    raise NotVerified(f"{size} entries were signed and {size - left} are there; run: onrecord verify")


# proofs


def tiles_of(folder: LogFolder) -> TileReader:
    """Return a reader of the tiles that lie in `folder`; nothing vouches for them yet."""
    return lambda level, index, width: read_tile(folder, level, index, width)


def prove(folder: LogFolder, signed: Signed, seq: int, keys: Sequence[VerifierKey]) -> Proof:
    """Return the proof that entry `seq` is in the tree of `signed`, with the entry in it.

    It holds under `keys`. Raises Deleted where the entry's text is gone, and NotVerified where it is
    not covered by `signed`, or where neither tiles nor lines give the tree that was signed.
    """
    checkpoint = signed.checkpoint
    if seq >= checkpoint.size:
        raise NotVerified(f"entry {seq} is not signed yet: the newest checkpoint covers {checkpoint.size} entries")
    line = next((line for _, line in chosen_lines(folder, [seq])), None)
    if line is None:
        raise NotVerified(f"entry {seq} was signed and is gone; run: onrecord verify")
    strict_event(line, seq)
    for path in _paths(folder, seq, checkpoint.size):
        proof = Proof(index=seq, path=tuple(path), note=signed.note, extra=line)
        try:
            check_carried(proof, keys)
        except NotVerified:
            continue
        return proof
    raise NotVerified(f"entry {seq} is not what was signed, or an entry beside it is not; run: onrecord verify")


def _paths(folder: LogFolder, seq: int, size: int) -> Iterator[list[bytes]]:
    """Yield the path as the tiles give it, if they do, and as the lines give it."""
    try:
        yield inclusion_path(seq, size, reader_over_tiles(tiles_of(folder), size))
    except NotVerified:
        pass  # a tile is gone, and the lines have all that it held
    yield path_over(leaves(folder, size), seq, size)


def path_over(hashes: Iterable[bytes], seq: int, size: int) -> list[bytes]:
    """Return the inclusion proof of leaf `seq` from all `size` leaf hashes, read once, none of them kept."""
    asked: list[tuple[int, int]] = []

    def note_down(height: int, index: int) -> bytes:
        asked.append((height, index))
        return b""

    inclusion_path(seq, size, note_down)
    return inclusion_path(seq, size, _subtrees(hashes, asked))


def _subtrees(hashes: Iterable[bytes], asked: list[tuple[int, int]]) -> HashReader:
    """Return a reader of the subtrees that are asked for; no two of them share a leaf."""
    roots: dict[tuple[int, int], bytes] = {}
    waiting = sorted(asked, key=lambda subtree: subtree[1] << subtree[0])
    subtree = Frontier()
    for seq, leaf in enumerate(hashes):
        if not waiting:
            break
        height, index = waiting[0]
        if seq < index << height:
            continue
        subtree.push(leaf)
        if subtree.size == 1 << height:
            roots[waiting.pop(0)] = subtree.root()
            subtree = Frontier()
    return lambda height, index: roots[height, index]
