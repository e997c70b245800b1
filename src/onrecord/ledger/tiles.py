# SPDX-License-Identifier: Apache-2.0
"""Hash tiles that are believed only as far as a signed root vouches for them.

The tiles at the right edge of a tree give its root, all of them together. Every other tile folds
into one hash of its parent tile, and that one into one of its own parent, up to the edge. So a
tile that is not what it was when the root was signed is found when it is read, whoever altered it,
and a proof needs no more than the edge and the tiles above the leaves that it is about.

Nothing here reads files or knows keys: whoever gives a root has checked who signed it.
"""

from collections.abc import Iterable

from onrecord.errors import NotVerified
from onrecord.ledger.merkle import (
    HASH_BYTES,
    TILE_WIDTH,
    EdgeTiles,
    Frontier,
    TileReader,
    reader_over_tiles,
    tile_path,
    tree_root,
)

_HEIGHT = TILE_WIDTH.bit_length() - 1  # a full tile folds 2**8 hashes into one


class RootedTiles:
    """The tiles of the tree over `size` leaves under `root`.

    The edge is read at once; a full tile is read when it is asked for, and checked before it is
    used. At each level the last one is kept, so a caller who asks in the order of the log has each
    read and checked once, in a few kilobytes.
    """

    def __init__(self, read: TileReader, size: int, root: bytes) -> None:
        """Raises NotVerified where a tile of the edge is missing, or the edge does not give `root`."""
        edge = EdgeTiles.load(size, read)
        if edge.root() != root:
            raise NotVerified("the tiles at the edge of the tree do not give its root")
        self.size = size
        self._read = read
        self._edge = {level: data for level, _, _, data in edge.partials()}
        self._last: dict[int, tuple[int, bytes]] = {}
        self._subtree = reader_over_tiles(self.read, size)

    def read(self, level: int, index: int, width: int) -> bytes:
        """Return the first `width` hashes of a tile of this tree. Raises NotVerified where it is missing or altered."""
        data = self._tile(level, index)
        if width * HASH_BYTES > len(data):
            raise ValueError(f"{tile_path(level, index, width)} is not a tile of a tree of {self.size}")
        return data[: width * HASH_BYTES]

    def leaf(self, seq: int) -> bytes:
        """Return the leaf hash of `seq`. Raises NotVerified."""
        index, place = divmod(seq, TILE_WIDTH)
        data = self._tile(0, index)[place * HASH_BYTES : (place + 1) * HASH_BYTES]
        if not data:
            raise ValueError(f"there is no leaf {seq} in a tree of {self.size}")
        return data

    def root(self, size: int) -> bytes:
        """Return the root of the tree over the first `size` leaves. Raises NotVerified."""
        return tree_root(size, self._subtree)

    def _tile(self, level: int, index: int) -> bytes:
        if not _is_full(level, index, self.size):
            return self._edge[level] if index == self.size >> (_HEIGHT * (level + 1)) and level in self._edge else b""
        kept = self._last.get(level)
        if kept is not None and kept[0] == index:
            return kept[1]
        data = self._read(level, index, TILE_WIDTH)
        parent, place = divmod(index, TILE_WIDTH)
        folded = self._tile(level + 1, parent)[place * HASH_BYTES : (place + 1) * HASH_BYTES]
        if _fold(data) != folded:
            raise NotVerified(f"{tile_path(level, index)} is not the tile that the tree was made of")
        self._last[level] = (index, data)
        return data


def needed_tiles(size: int, seqs: Iterable[int], sizes: Iterable[int] = ()) -> set[tuple[int, int, int]]:
    """Return (level, index, width) of the tiles of the tree over `size` leaves that these questions take.

    They are: the leaf of each of `seqs` and of the one before it, which it names, and the root of
    the tree when it had each of `sizes` leaves.
    """
    found: set[tuple[int, int]] = set()

    def add(level: int, index: int) -> None:
        while _is_full(level, index, size) and (level, index) not in found:
            found.add((level, index))
            level, index = level + 1, index // TILE_WIDTH

    for seq in seqs:
        add(0, max(seq - 1, 0) // TILE_WIDTH)
        add(0, seq // TILE_WIDTH)
    for earlier in sizes:
        level = 0
        while count := earlier >> (_HEIGHT * level):
            if count % TILE_WIDTH:  # the peaks of this level stand in one tile
                add(level, count // TILE_WIDTH)
            level += 1
    return {(level, index, TILE_WIDTH) for level, index in found} | set(_edge_of(size))


def _edge_of(size: int) -> Iterable[tuple[int, int, int]]:
    level = 0
    while count := size >> (_HEIGHT * level):
        index, width = divmod(count, TILE_WIDTH)
        if width:
            yield level, index, width
        level += 1


def _is_full(level: int, index: int, size: int) -> bool:
    return (index + 1) * TILE_WIDTH <= size >> (_HEIGHT * level)


def _fold(data: bytes) -> bytes:
    """Return the root over the hashes of a full tile; of one that has another length, nothing."""
    if len(data) != TILE_WIDTH * HASH_BYTES:
        return b""
    subtree = Frontier()
    subtree.extend(data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES))
    return subtree.root()
