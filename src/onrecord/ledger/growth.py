# SPDX-License-Identifier: Apache-2.0
"""Proves that the signed tree of a log extends trees that were signed before.

It holds the right edge of the newest signed tree, and takes the rest from tiles. What was signed after
the tiles were last written comes from the lines, or from whoever has just written them. A signature
over another tree than these lines make is refused.

Nothing here signs or writes.
"""

from collections import OrderedDict

from onrecord.errors import LedgerError, LedgerRefused, NotVerified, plainly
from onrecord.ledger.lines import lines_from
from onrecord.ledger.merkle import HASH_BYTES, HashReader, consistency_path, inclusion_path, leaf_hash, tree_root
from onrecord.ledger.note import Checkpoint
from onrecord.ledger.place import LogFolder
from onrecord.ledger.tiles import TILE_WIDTH, EdgeTiles, reader_over_tiles
from onrecord.ledger.tree import load_edge, read_tile

_TILES = 512  # of 8 KiB, that are kept in memory


class Growth:
    """The tree of one log, as far as it is signed."""

    def __init__(self, folder: LogFolder, published: Checkpoint | None) -> None:
        """Begin at the `published` tree, whose tiles are there, or at nothing."""
        self._folder = folder
        self._edge = EdgeTiles()
        self._tiles: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._ahead: dict[int, bytes] = {}  # leaves of lines that are not signed yet, as far as they are known
        if published is not None:
            try:
                self._edge = load_edge(folder, published)
            except NotVerified:
                pass  # tiles can be lost; the lines have it all

    @property
    def size(self) -> int:
        """How many leaves the tree has."""
        return self._edge.size

    def expect(self, seq: int, leaf: bytes) -> None:
        """Remember the leaf of a line that was just written, so that it need not be read again."""
        if seq >= self._edge.size:
            self._ahead[seq] = leaf

    def reach(self, signed: Checkpoint) -> None:
        """Take in the lines that `signed` covers. Raises LedgerRefused where they make another tree.

        A tree that is smaller than the one here is only compared. Raises LedgerError where lines can't be read.
        """
        if signed.size > self._edge.size:
            self._extend(signed.size)
        root = self._edge.root() if signed.size == self._edge.size else self._root(signed.size)
        if root != signed.root:
            raise LedgerRefused(f"forked: a checkpoint of size {signed.size} in {self._folder.path} signs another tree")

    def path(self, known: Checkpoint) -> list[bytes]:
        """Return the proof that the tree here extends the one that somebody knows.

        Raises LedgerRefused where it does not: it was rolled back, or forked.
        """
        if known.size > self._edge.size:
            raise LedgerRefused(
                f"rolled back: {self._folder.path} is signed up to {self._edge.size} entries, "
                f"and a door has seen {known.size}"
            )
        try:
            if self._root(known.size) != known.root:
                raise LedgerRefused(f"forked: {self._folder.path} had another tree at {known.size} entries")
            return consistency_path(known.size, self._edge.size, self._reader())
        except NotVerified as e:
            raise LedgerError(f"cannot prove how {self._folder.path} has grown: {e}") from e

    def inclusion(self, seq: int, size: int) -> list[bytes]:
        """Return the proof that the line at `seq` is in the tree of the first `size`. Raises NotVerified."""
        return inclusion_path(seq, size, self._reader())

    def _extend(self, size: int) -> None:
        edge, ahead = self._edge, self._ahead
        while edge.size < size and edge.size in ahead:
            edge.push(ahead.pop(edge.size))
        if edge.size < size:
            self._read_lines(size)
            self._ahead = {seq: leaf for seq, leaf in ahead.items() if seq >= size}
        for level, index, data in edge.take_full():
            self._remember((level, index), data)

    def _read_lines(self, size: int) -> None:
        """Push the leaves of lines that others wrote."""
        try:
            for line in lines_from(self._folder, self._edge.size):
                if self._edge.size == size:
                    return
                self._edge.push(leaf_hash(line.data))
        except (OSError, NotVerified) as e:
            raise LedgerError(f"cannot read {self._folder.path}: {plainly(e)}") from e
        if self._edge.size < size:
            raise LedgerRefused(f"rolled back: {self._folder.path} has {self._edge.size} entries, signed are {size}")

    def _root(self, size: int) -> bytes:
        return self._edge.root() if size == self._edge.size else tree_root(size, self._reader())

    def _reader(self) -> HashReader:
        partial = {(level, index): data for level, index, _, data in self._edge.partials()}

        def read(level: int, index: int, width: int) -> bytes:
            data = partial.get((level, index)) or self._tiles.get((level, index))
            if data is None or len(data) < width * HASH_BYTES:
                data = read_tile(self._folder, level, index, width)
                if width == TILE_WIDTH:
                    self._remember((level, index), data)
            return data[: width * HASH_BYTES]

        return reader_over_tiles(read, self._edge.size)

    def _remember(self, place: tuple[int, int], data: bytes) -> None:
        self._tiles[place] = data
        if len(self._tiles) > _TILES:
            self._tiles.popitem(last=False)
