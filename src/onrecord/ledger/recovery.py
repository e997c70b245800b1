# SPDX-License-Identifier: Apache-2.0
"""Where a log stands when it is opened: its signed tree, and the place behind the last signed line.

The usual case reads the checkpoint, the tiles at the tree's right edge, and one line, whatever the
size of the log. Tiles and checkpoint can be made again from the lines; when they are lost or do
not fit, all lines are read once. What the lines cannot give again is refused, never made up.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from onrecord.errors import LedgerRefused, NotVerified
from onrecord.event.event import GENESIS_PREV_HASH
from onrecord.ledger.clock import parse_time
from onrecord.ledger.lines import offset_of, read_header, whole_lines
from onrecord.ledger.merkle import EdgeTiles, leaf_hash
from onrecord.ledger.note import Checkpoint
from onrecord.ledger.place import LogFolder
from onrecord.ledger.tree import Guard, guard_of, last_leaf, load_edge, rebuild_edge


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """The end of what was signed: the tree, and where the first line after it begins."""

    edge: EdgeTiles
    size: int = 0  # entries
    end: int = 0  # bytes
    leaf: str = GENESIS_PREV_HASH  # of the last line, in hex
    at_us: int = 0


def find_stand(folder: LogFolder, path: Path, checkpoint: Checkpoint | None, guard: Guard | None) -> Stand:
    """Return where the log in `path` stands. Raises LedgerRefused where its lines deny what was signed."""
    if checkpoint is not None:
        with contextlib.suppress(NotVerified):
            edge = load_edge(folder, checkpoint)
            return _behind(path, edge, last_leaf(folder, edge.size) if edge.size else b"")
    return _rebuilt(folder, path, checkpoint, guard)


def rolled_back(folder: LogFolder, size: int, before: int) -> LedgerRefused:
    """Return the error for a log that is smaller than it was."""
    return LedgerRefused(
        f"rolled back: {folder.path} holds {size} entries, and {before} had been written; "
        "restore it, or begin a successor with: onrecord ledger reopen --reason TEXT"
    )


def _behind(path: Path, edge: EdgeTiles, leaf: bytes) -> Stand:
    """Return the place after the lines of `edge`. Raises NotVerified unless the last of them has `leaf`."""
    if not edge.size:
        return Stand(edge=edge)
    start, end = offset_of(path, edge.size - 1), offset_of(path, edge.size)
    last = next(iter(whole_lines(path, start, end)), None)
    if last is None or leaf_hash(last.data) != leaf:
        raise NotVerified("the last signed line is not where the tree ends")
    at_us = parse_time(read_header(last.data).timestamp)
    return Stand(edge=edge, size=edge.size, end=end, leaf=leaf.hex(), at_us=at_us)


def _rebuilt(folder: LogFolder, path: Path, checkpoint: Checkpoint | None, guard: Guard | None) -> Stand:
    """Make the tree again from the lines, up to what is known to have been signed."""
    size = checkpoint.size if checkpoint else guard.size if guard else None
    if size is None:
        raise LedgerRefused(
            f"{folder.path} holds lines but neither a checkpoint of ours nor a guard; "
            "is this the right key, and the right ledger?"
        )
    leaves: list[bytes] = []
    for line in whole_lines(path):
        if len(leaves) == size:
            break
        leaves.append(leaf_hash(line.data))
    if len(leaves) < size:
        raise rolled_back(folder, len(leaves), size)
    edge = rebuild_edge(folder, leaves)
    if not _fits(edge, checkpoint, guard):
        raise LedgerRefused(
            f"altered: the lines of {folder.path} do not give the tree that was signed; run: onrecord verify"
        )
    try:
        return _behind(path, edge, leaves[-1] if leaves else b"")
    except NotVerified as e:
        raise LedgerRefused(f"altered: {path}: {e}; run: onrecord verify") from e


def _fits(edge: EdgeTiles, checkpoint: Checkpoint | None, guard: Guard | None) -> bool:
    if checkpoint is not None:
        return edge.root() == checkpoint.root
    return guard is not None and guard_of(edge, guard.origin) == guard
