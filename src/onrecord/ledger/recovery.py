# SPDX-License-Identifier: Apache-2.0
"""Where a log stands when it is opened: its signed tree, and the place behind the last signed line.

The usual case reads the checkpoint, the tiles at the tree's right edge, and one line, whatever the
size of the log. Tiles and checkpoint can be made again from the lines; when they are lost or do
not fit, all lines are read once. What the lines cannot give again is refused, never made up.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from onrecord.errors import LedgerRefused, NotVerified
from onrecord.event.event import GENESIS_PREV_HASH
from onrecord.ledger.clock import parse_time
from onrecord.ledger.durable import replace_file
from onrecord.ledger.lines import leaf_of, lines_from, read_header
from onrecord.ledger.merkle import Frontier, tree_root
from onrecord.ledger.note import Checkpoint, sign_checkpoint
from onrecord.ledger.place import LogFolder
from onrecord.ledger.signing import SigningKeys
from onrecord.ledger.tiles import EdgeTiles, reader_over_tiles
from onrecord.ledger.tree import (
    Guard,
    guard_of,
    last_leaf,
    load_edge,
    read_checkpoint,
    read_tile,
    rebuild_edge,
    write_guard,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """The end of what was signed: the tree, and the last line in it."""

    edge: EdgeTiles
    size: int = 0  # entries
    leaf: str = GENESIS_PREV_HASH  # of the last line, in hex
    at_us: int = 0


def begin_log(folder: LogFolder, guard: Path, keys: SigningKeys, seen: Sequence[Checkpoint]) -> Checkpoint:
    """Begin a log, unless one was `seen` here before, and return the checkpoint over nothing.

    The empty tree is signed before there is a line, so that a log without a signature is never ours. The
    file of the lines comes last: what a crash leaves half done is done again. Raises LedgerError.
    """
    if not seen:  # not even the guard, which is as old as the key
        raise LedgerRefused(
            f"rolled back: {folder.path} and its guard are gone, and the key is older than that; "
            "restore them, or begin a successor with: onrecord ledger reopen --reason TEXT"
        )
    if before := max(each.size for each in seen):
        raise rolled_back(folder, 0, before)
    if folder.checkpoint.exists() and read_checkpoint(folder, keys) is None:
        raise LedgerRefused(f"{folder.path} holds a checkpoint that is not ours, and no lines")
    empty = EdgeTiles()
    checkpoint = Checkpoint(origin=keys.origin, size=0, root=empty.root())
    write_guard(guard, guard_of(empty, keys.origin), durable=True)
    replace_file(folder.checkpoint, sign_checkpoint(checkpoint, keys.signer()), durable=True)
    replace_file(folder.first_segment, b"", durable=True)
    return checkpoint


def find_stand(folder: LogFolder, checkpoint: Checkpoint | None, guard: Guard | None) -> Stand:
    """Return where the log in `folder` stands. Raises LedgerRefused where its lines deny what was signed."""
    if checkpoint is not None:
        with contextlib.suppress(NotVerified):
            edge = load_edge(folder, checkpoint)
            return _behind(folder, edge, last_leaf(folder, edge.size) if edge.size else b"")
    return _rebuilt(folder, checkpoint, guard)


def rolled_back(folder: LogFolder, size: int, before: int) -> LedgerRefused:
    """Return the error for a log that is smaller than it was."""
    return LedgerRefused(
        f"rolled back: {folder.path} holds {size} entries, and {before} had been written; "
        "restore it, or begin a successor with: onrecord ledger reopen --reason TEXT"
    )


def _behind(folder: LogFolder, edge: EdgeTiles, leaf: bytes) -> Stand:
    """Return the place after the lines of `edge`. Raises NotVerified unless the last of them has `leaf`."""
    if not edge.size:
        return Stand(edge=edge)
    last = next(lines_from(folder, edge.size - 1), None)
    if last is None or leaf_of(last.data) != leaf:
        raise NotVerified("the last signed line is not where the tree ends")
    at_us = parse_time(read_header(last.data).timestamp)
    return Stand(edge=edge, size=edge.size, leaf=leaf.hex(), at_us=at_us)


def _rebuilt(folder: LogFolder, checkpoint: Checkpoint | None, guard: Guard | None) -> Stand:
    """Make the tree again from the lines, up to what is known to have been signed."""
    size = checkpoint.size if checkpoint else guard.size if guard else None
    if size is None:
        raise LedgerRefused(
            f"{folder.path} holds lines but neither a checkpoint of ours nor a guard; "
            "is this the right key, and the right ledger?"
        )
    try:
        leaves = [leaf_of(line.data) for line in islice(lines_from(folder), size)]
        if len(leaves) < size:
            raise rolled_back(folder, len(leaves), size)
        edge = rebuild_edge(folder, leaves)
        if not _fits(edge, checkpoint, guard):
            raise NotVerified("the lines do not give the tree that was signed")
        return _behind(folder, edge, leaves[-1] if leaves else b"")
    except NotVerified as e:
        raise LedgerRefused(f"altered: {folder.path}: {e}; run: onrecord verify") from e


def _fits(edge: EdgeTiles, checkpoint: Checkpoint | None, guard: Guard | None) -> bool:
    if checkpoint is not None:
        return edge.root() == checkpoint.root
    return guard is not None and guard_of(edge, guard.origin) == guard


def check_grown(folder: LogFolder, edge: EdgeTiles, leaves: Sequence[bytes], before: Checkpoint) -> None:
    """Raise LedgerRefused unless the log in `folder` goes on from where it was `before`.

    `edge` is the tree up to its stand, and `leaves` are those of the lines after it.
    """
    size = edge.size + len(leaves)
    if size < before.size:
        raise rolled_back(folder, size, before.size)
    if _root_at(folder, edge, leaves, before) != before.root:
        raise LedgerRefused(
            f"forked: the first {before.size} entries of {folder.path} are not those that were signed here; "
            "run: onrecord verify"
        )


def _root_at(folder: LogFolder, edge: EdgeTiles, leaves: Sequence[bytes], before: Checkpoint) -> bytes:
    """Return the root over as many lines as there were `before`."""
    if before.size >= edge.size:
        grown = edge.copy()
        for leaf in leaves[: before.size - edge.size]:
            grown.push(leaf)
        return grown.root()
    with contextlib.suppress(NotVerified):
        read = reader_over_tiles(lambda level, index, width: read_tile(folder, level, index, width), edge.size)
        root = tree_root(before.size, read)
        if root == before.root:
            return root
    frontier = Frontier()  # the tiles may be at fault
    frontier.extend(leaf_of(line.data) for line in islice(lines_from(folder), before.size))
    return frontier.root()
