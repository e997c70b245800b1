# SPDX-License-Identifier: Apache-2.0
"""The tree over a log, as far as it was published: tiles, a signed checkpoint, and the guard.

Life of a leaf: *sequence* (the line is on disk; `ledger.py`), *integrate* (its hash is in a tile),
*publish* (a signed checkpoint covers it). The last two happen here, in this order, and everything
they write can be made again from the lines; a crash between two steps costs nothing.

The guard is a `(size, root)` record outside the ledger folder. It only grows, so a log that is
smaller than its guard was rolled back, whoever signed it.
"""

import base64
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from onrecord.errors import LedgerRefused, NotVerified
from onrecord.ledger.durable import FileLock, disk_error, make_folder, open_private, replace_file, write_all
from onrecord.ledger.merkle import EdgeTiles, tile_path
from onrecord.ledger.note import Checkpoint, SignerKey, open_checkpoint, sign_checkpoint
from onrecord.ledger.place import LogFolder

HASH_BYTES = 32
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """How large a log had become, and its root then, base64."""

    origin: str
    size: int
    root: str


def read_guard(path: Path) -> Guard | None:
    """Return the guard of a log, or None where there never was one. Raises LedgerRefused if unreadable."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Guard)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as e:
        raise LedgerRefused(f"the size guard {path} cannot be read: {e}") from e


def guard_of(edge: EdgeTiles, origin: str) -> Guard:
    """Return the guard that stands for the tree of `edge`."""
    return Guard(origin=origin, size=edge.size, root=base64.b64encode(edge.root()).decode())


def write_guard(path: Path, guard: Guard, *, durable: bool) -> None:
    """Remember `guard` outside the ledger folder."""
    replace_file(path, msgspec.json.encode(guard) + b"\n", durable=durable)


def read_tile(folder: LogFolder, level: int, index: int, width: int) -> bytes:
    """Return `width` hashes of a tile, from the partial tile or from the full one.

    Raises NotVerified where neither holds as many.
    """
    for name in (tile_path(level, index, width), tile_path(level, index)):
        try:
            data = (folder.path / name).read_bytes()
        except OSError:
            continue
        if len(data) >= width * HASH_BYTES:
            return data[: width * HASH_BYTES]
    raise NotVerified(f"tile {tile_path(level, index, width)} is missing or short")


def last_leaf(folder: LogFolder, size: int) -> bytes:
    """Return the leaf hash of the last of `size` lines, from its tile. Raises NotVerified if it is missing."""
    index, place = divmod(size - 1, 256)
    return read_tile(folder, 0, index, place + 1)[-HASH_BYTES:]


class Tree:
    """The published part of one log's tree, and the means to publish more."""

    def __init__(self, folder: LogFolder, guard: Path, signer: SignerKey, edge: EdgeTiles) -> None:
        self._folder = folder
        self._guard = guard
        self._signer = signer
        self._edge = edge
        self._lock = FileLock(folder.publish_lock)

    @property
    def size(self) -> int:
        """How many leaves this process knows to be published."""
        return self._edge.size

    def publish(self, leaves: list[bytes], *, at: str, deadline: float, durable: bool) -> int:
        """Publish the tree that `leaves` extend, and return its size.

        `leaves` follow the published ones directly, and their lines are flushed. `at` is the time
        for the history of checkpoints. Other processes publish too: what they did since is checked
        against our own leaves. Raises LedgerRefused where theirs is another tree, LedgerError where
        the disk refuses; nothing is lost then, and the next publication covers the same leaves.
        """
        self._lock.acquire(deadline)
        try:
            rest = self._follow_others(leaves)
            if rest is None or (not rest and not durable):
                return self.size
            edge = self._edge.copy()
            for leaf in rest:
                edge.push(leaf)
            write_tiles(self._folder, edge)
            self._write_checkpoint(edge, at, durable=durable)
            self._edge = edge
            return edge.size
        finally:
            self._lock.release()

    def _follow_others(self, leaves: list[bytes]) -> list[bytes] | None:
        """Advance to what another process published since, and return the leaves beyond it.

        None means that they know lines which we have not read yet: there is nothing to add.
        """
        theirs = read_checkpoint(self._folder, self._signer)
        if theirs is None or theirs.size <= self.size:
            return leaves
        known = theirs.size - self.size
        if known > len(leaves):
            return None
        edge = self._edge.copy()
        for leaf in leaves[:known]:
            edge.push(leaf)
        if edge.root() != theirs.root:
            raise LedgerRefused(
                f"forked: the checkpoint of size {theirs.size} in {self._folder.path} signs another tree"
            )
        edge.take_full()  # they wrote these
        self._edge = edge
        return leaves[known:]

    def _write_checkpoint(self, edge: EdgeTiles, at: str, *, durable: bool) -> None:
        checkpoint = Checkpoint(origin=self._signer.name, size=edge.size, root=edge.root())
        note = sign_checkpoint(checkpoint, self._signer)
        replace_file(self._folder.checkpoint, note, durable=durable)
        append_history(self._folder, checkpoint, note, at)
        write_guard(
            self._guard, guard_of(edge, self._signer.name), durable=durable
        )  # last: it must never be ahead of the log

    def close(self) -> None:
        """Close the lock's file."""
        self._lock.close()


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """A line of `checkpoints.ndjson`."""

    size: int
    root: str
    timestamp: str
    note: str


def append_history(folder: LogFolder, checkpoint: Checkpoint, note: bytes, at: str) -> None:
    """Add a published checkpoint to the history."""
    line = Published(
        size=checkpoint.size,
        root=base64.b64encode(checkpoint.root).decode(),
        timestamp=at,
        note=note.decode(),
    )
    fd = -1
    try:
        fd = open_private(folder.checkpoints, _APPEND)
        write_all(fd, msgspec.json.encode(line) + b"\n")
    except OSError as e:
        raise disk_error(e, "append to", folder.checkpoints) from e
    finally:
        if fd >= 0:
            os.close(fd)


def read_checkpoint(folder: LogFolder, signer: SignerKey) -> Checkpoint | None:
    """Return the latest checkpoint if it is ours and whole, else None: it can be made again."""
    try:
        return open_checkpoint(folder.checkpoint.read_bytes(), [signer.vkey])
    except (OSError, NotVerified):
        return None


def load_edge(folder: LogFolder, checkpoint: Checkpoint) -> EdgeTiles:
    """Return the tree's right edge at `checkpoint` from tiles. Raises NotVerified where they don't fit it."""
    edge = EdgeTiles.load(checkpoint.size, lambda level, index, width: read_tile(folder, level, index, width))
    if edge.root() != checkpoint.root:
        raise NotVerified("the tiles do not fit the checkpoint")
    return edge


def rebuild_edge(folder: LogFolder, leaves: Iterable[bytes]) -> EdgeTiles:
    """Return the right edge of the tree over `leaves`, and write all tiles of it anew."""
    edge = EdgeTiles()
    for leaf in leaves:
        edge.push(leaf)
    write_tiles(folder, edge)
    return edge


def write_tiles(folder: LogFolder, edge: EdgeTiles) -> None:
    """Write the tiles that `edge` has filled since they were last taken, and the partial ones at its end."""
    for level, index, data in edge.take_full():
        _write_tile(folder, tile_path(level, index), data)
        for part in (folder.path / f"{tile_path(level, index)}.p").glob("*"):
            part.unlink(missing_ok=True)
    for level, index, width, data in edge.partials():
        _write_tile(folder, tile_path(level, index, width), data)


def _write_tile(folder: LogFolder, name: str, data: bytes) -> None:
    path = folder.path / name
    if not path.parent.exists():
        make_folder(path.parent)
    replace_file(path, data, durable=False)  # a tile can be made again from the lines
