# SPDX-License-Identifier: Apache-2.0
"""The tree over a log, as far as it was published: tiles, a signed checkpoint, and the guard.

Life of a leaf: *sequence* (the line is on disk; `ledger.py`), *sign* (a signed checkpoint covers it,
in the history), *publish* (tiles and checkpoint are where third parties look). The last two happen
here; everything they write can be made again from the lines, and a crash between two steps costs
nothing.

The guard is a `(size, root)` record outside the ledger folder. It only grows, so a log that is
smaller than its guard was rolled back, whoever signed it.
"""

import base64
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec

from onrecord.errors import LedgerRefused, NotVerified, plainly
from onrecord.event.event import UNREADABLE
from onrecord.ledger.durable import FileLock, disk_error, make_folder, replace_file
from onrecord.ledger.history import append_history, last_note, last_notes, signer_of, thin
from onrecord.ledger.note import MAX_NOTE, Checkpoint, SignerKey, open_checkpoint, sign_checkpoint
from onrecord.ledger.place import LogFolder
from onrecord.ledger.signing import SigningKeys
from onrecord.ledger.smallfile import MAX_STATE, read_small
from onrecord.ledger.tiles import TILE_WIDTH, EdgeTiles, tile_path

HASH_BYTES = 32


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """How large a log had become, and its root then, base64."""

    origin: str
    size: Annotated[int, msgspec.Meta(ge=0)]
    root: str

    @property
    def seen(self) -> Checkpoint:
        """What the guard has seen. Raises ValueError where its root is not base64."""
        return Checkpoint(origin=self.origin, size=self.size, root=base64.b64decode(self.root, validate=True))


def read_guard(path: Path) -> Guard | None:
    """Return the guard of a log, or None where there never was one. Raises LedgerRefused if unreadable."""
    try:
        guard = msgspec.json.decode(read_small(path, MAX_STATE), type=Guard)
        _ = guard.seen
    except FileNotFoundError:
        return None
    except (OSError, ValueError, NotVerified, *UNREADABLE) as e:
        raise LedgerRefused(
            f"the size guard {path} cannot be read: {plainly(e, path)}; "
            "run onrecord verify PATH, and remove the guard if the log is whole"
        ) from e
    return guard


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
            data = read_small(folder.path / name, TILE_WIDTH * HASH_BYTES)
        except (OSError, NotVerified):
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

    def __init__(
        self, folder: LogFolder, guard: Path, keys: SigningKeys, edge: EdgeTiles, hand_over: "FinishHandOver"
    ) -> None:
        self._folder = folder
        self._guard = guard
        self._keys = keys
        self._edge = edge
        self._hand_over = hand_over
        self._note = b""  # the latest that this process signed
        self._signed_size = 0
        self._signed_with: SignerKey | None = None
        self._shown = b""  # the latest that it wrote to where readers look
        self._lock = FileLock(folder.publish_lock)
        self.wanted = 0  # how many lines others have signed, where that is more than were known here

    @property
    def size(self) -> int:
        """How many leaves this process knows to be signed."""
        return self._edge.size

    def sign(self, leaves: list[bytes], *, at: str, deadline: float) -> int | None:
        """Sign the tree that `leaves` extend, durably, and return its size; None asks for more leaves.

        The signature goes to the history alone, which one flush makes last; readers see it with the
        next publication. `leaves` follow the signed ones directly, and their lines are flushed. `at`
        is the time for the history. Raises LedgerRefused where another process published another
        tree, LedgerError where the disk refuses; nothing is lost then. Where another process
        published more lines than `leaves` tell of, there is nothing to add before they are read;
        nor is there where the key was being handed over, which is finished first.
        """
        return self._extend(leaves, at, deadline, show=False)

    def publish(self, leaves: list[bytes], *, at: str, deadline: float) -> int | None:
        """Write the tiles and the checkpoint of the tree that `leaves` extend, and return its size.

        They are where third parties look, and can be made again from the lines. As for `sign`.
        """
        return self._extend(leaves, at, deadline, show=True)

    def _extend(self, leaves: list[bytes], at: str, deadline: float, *, show: bool) -> int | None:
        self._lock.acquire(deadline)
        try:
            if pair := self._keys.handing_over():  # under the lock: from here on the old key signs nothing but the end
                self._hand_over(self, *pair, at, deadline)
                return None
            signer = self._keys.signer()
            if not self._knows_all(leaves):
                return None
            self._open_epoch(leaves, signer, at)
            edge = self._grown(leaves)
            if edge.size > self._signed_size or not self._note:
                self._sign(edge, signer, at)
            if show and self._note != self._shown:
                self._show(edge)
            self._edge = edge
            return edge.size
        finally:
            self._lock.release()

    @property
    def note(self) -> bytes:
        """The latest signed note of this process, which covers `size` leaves; empty before it has signed."""
        return self._note

    def known(self, leaves: Sequence[bytes]) -> Checkpoint:
        """Return what this process knows the log to be, `leaves` behind the signed ones included."""
        edge = self._grown(leaves)
        return Checkpoint(origin=self._keys.origin, size=edge.size, root=edge.root())

    def close_epoch(self, leaves: list[bytes], size: int, signer: SignerKey, at: str) -> None:
        """Let `signer` sign the first `size` leaves, as the last that it ever signs; under the lock.

        Does nothing where that was done before. Raises LedgerRefused where the log was signed beyond.
        """
        if not self._knows_all(leaves):
            raise LedgerRefused(f"{self._folder.path} was signed for more entries than it holds")
        signed = read_last_signed(self._folder, self._keys)
        if max(self.size, signed.size if signed else 0) > size:
            raise LedgerRefused(f"{self._folder.path} was signed beyond entry {size - 1}, where its key is handed over")
        if signed is None or signed.size < size:
            self._sign(self._grown(leaves, size), signer, at)

    def _open_epoch(self, leaves: list[bytes], signer: SignerKey, at: str) -> None:
        """Where the last signature is by another key, sign the same tree: so that no epoch is without a signature."""
        if self._signed_with is signer:
            return
        closing, note = _last_signed(self._folder, self._keys)
        if closing is None or signer_of(note.decode()) == signer.vkey.key_id:
            return
        if closing.size >= self.size:
            self._sign(self._grown(leaves, closing.size), signer, at)

    def _grown(self, leaves: Sequence[bytes], size: int | None = None) -> EdgeTiles:
        """Return the tree that `leaves` extend, all of it or up to `size`."""
        edge = self._edge.copy()
        for leaf in leaves if size is None else leaves[: max(0, size - edge.size)]:
            edge.push(leaf)
        return edge

    def _sign(self, edge: EdgeTiles, signer: SignerKey, at: str) -> None:
        checkpoint = Checkpoint(origin=signer.name, size=edge.size, root=edge.root())
        note = sign_checkpoint(checkpoint, signer)
        append_history(self._folder, checkpoint, note, at)
        thin(self._folder)
        self._note, self._signed_size, self._signed_with = note, edge.size, signer

    def _show(self, edge: EdgeTiles) -> None:
        write_tiles(self._folder, edge)
        replace_file(self._folder.checkpoint, self._note, durable=False)
        # last: it must never be ahead of the log
        write_guard(self._guard, guard_of(edge, self._keys.origin), durable=False)
        self._shown = self._note

    def _knows_all(self, leaves: list[bytes]) -> bool:
        """Check what other processes signed since, and say whether `leaves` go at least as far."""
        if self._note and last_note(self._folder.checkpoints) == self._note:
            return True  # nobody signed since we did
        views = {read(self._folder, self._keys) for read in (read_checkpoint, read_last_signed)}
        frontier = self._edge.frontier()
        for theirs in sorted((view for view in views if view), key=lambda view: view.size):
            if theirs.size < self.size:
                continue
            if theirs.size > self.size + len(leaves):
                self.wanted = theirs.size
                return False
            frontier.extend(leaves[frontier.size - self.size : theirs.size - self.size])
            if frontier.root() != theirs.root:
                raise LedgerRefused(
                    f"forked: a checkpoint of size {theirs.size} in {self._folder.path} signs another tree"
                )
        return True

    def close(self) -> None:
        """Close the lock's file."""
        self._lock.close()


FinishHandOver: TypeAlias = Callable[[Tree, SignerKey, SignerKey, str, float], None]
"""Gives a log over from the old key to the new one; called under the publish lock, with time and deadline."""


def read_checkpoint(folder: LogFolder, keys: SigningKeys) -> Checkpoint | None:
    """Return the published checkpoint if it is ours and whole, or None: it can be made again."""
    return _ours(_bytes_of(folder.checkpoint), keys)


def read_last_signed(folder: LogFolder, keys: SigningKeys) -> Checkpoint | None:
    """Return the newest checkpoint of the history if it is ours and whole; it may not be published yet."""
    return _last_signed(folder, keys)[0]


def _last_signed(folder: LogFolder, keys: SigningKeys) -> tuple[Checkpoint | None, bytes]:
    """Return the newest checkpoint of the history that is ours, and its note; what others wrote there hides nothing."""
    for note in last_notes(folder.checkpoints):
        if (checkpoint := _ours(note, keys)) is not None:
            return checkpoint, note
    return None, b""


def _ours(note: bytes, keys: SigningKeys) -> Checkpoint | None:
    try:
        return open_checkpoint(note, keys.vkeys())  # after the note was read: whoever signed it is among them
    except NotVerified:
        return None


def _bytes_of(path: Path) -> bytes:
    try:
        return read_small(path, MAX_NOTE)
    except (OSError, NotVerified):
        return b""


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
    try:
        for level, index, data in edge.take_full():
            _write_tile(folder, tile_path(level, index), data)
            for part in (folder.path / f"{tile_path(level, index)}.p").glob("*"):
                part.unlink(missing_ok=True)
        for level, index, width, data in edge.partials():
            _write_tile(folder, tile_path(level, index, width), data)
    except OSError as e:
        raise disk_error(e, "write a tile to", folder.path) from e


def _write_tile(folder: LogFolder, name: str, data: bytes) -> None:
    path = folder.path / name
    if not path.parent.exists():
        make_folder(path.parent, durable=False)
    replace_file(path, data, durable=False)  # a tile can be made again from the lines
