# SPDX-License-Identifier: Apache-2.0
"""The hashes of a tree in rows of 256: the tiles of C2SP tlog-tiles, from which every proof is made.

`EdgeTiles` is the right edge of a growing tree, cut into tiles. `RootedTiles` are the tiles of a
tree whose root is signed, believed only as far as that root vouches for them: the tiles at the
right edge give the root, all of them together, and every other tile folds into one hash of its
parent tile, up to the edge. So one that is not what it was when the root was signed is found when
it is read, whoever altered it, and a proof needs no more than the edge and the tiles above the
leaves that it is about.

Nothing here reads files or knows keys: whoever gives a root has checked who signed it.
"""

from collections.abc import Callable, Iterable
from typing import TypeAlias

from onrecord.errors import NotVerified
from onrecord.ledger.merkle import HASH_BYTES, Frontier, HashReader, tree_root

TILE_WIDTH = 256  # hashes; C2SP tlog-tiles, "Merkle Tree"

_TILE_HEIGHT = 8  # a full tile's hashes fold into one hash of the level above, 2**8 to 1

TileReader: TypeAlias = Callable[[int, int, int], bytes]
"""(level, index, width) to the first `width` hashes of that tile, 32 bytes each."""


class EdgeTiles:
    """The right edge of a tree as tiles: at each level the hashes that do not fill a tile yet.

    Full tiles pile up as they are completed, until `take_full` hands them over.
    """

    __slots__ = ("_full", "_levels", "size")

    def __init__(self) -> None:
        self.size = 0
        self._levels: list[_PartialTile] = []
        self._full: list[tuple[int, int, bytes]] = []

    @classmethod
    def load(cls, size: int, read_tile: TileReader) -> "EdgeTiles":
        """Return the edge of the tree over `size` leaves, from its partial tiles.

        Each is asked for once, in its exact width. Raises NotVerified where one has another length;
        whether they are the right ones shows only when the caller compares `root()` with a signed one.
        """
        edge = cls()
        edge.size = size
        level = 0
        while count := size >> (_TILE_HEIGHT * level):
            index, width = divmod(count, TILE_WIDTH)
            tile = _PartialTile()
            if width:
                for one in _tile_hashes(read_tile, level, index, width):
                    tile.push(one)
            edge._levels.append(tile)
            level += 1
        return edge

    def push(self, leaf: bytes) -> None:
        """Add the hash of the next leaf, 32 bytes."""
        self.size += 1
        level = 0
        while True:
            if level == len(self._levels):
                self._levels.append(_PartialTile())
            tile = self._levels[level]
            tile.push(leaf)
            if len(tile.hashes) < TILE_WIDTH:
                return
            count = self.size >> (_TILE_HEIGHT * level)  # hashes at this level
            self._full.append((level, count // TILE_WIDTH - 1, tile.data()))
            leaf = tile.frontier.root()  # only a full tile is hashed into the level above
            self._levels[level] = _PartialTile()
            level += 1

    def take_full(self) -> list[tuple[int, int, bytes]]:
        """Return (level, index, data) of each tile completed since the last call, and forget them."""
        taken, self._full = self._full, []
        return taken

    def partials(self) -> list[tuple[int, int, int, bytes]]:
        """Return (level, index, width, data) of each partial tile of the tree as it is now."""
        return [
            (level, self.size >> (_TILE_HEIGHT * (level + 1)), len(tile.hashes), tile.data())
            for level, tile in enumerate(self._levels)
            if tile.hashes
        ]

    def root(self) -> bytes:
        """Return the root of the tree as it is now."""
        return self.frontier().root()

    def frontier(self) -> Frontier:
        """Return the frontier of the tree as it is now, which grows on its own."""
        peaks = [peak for tile in reversed(self._levels) for peak in tile.frontier.peaks()]
        return Frontier.of(self.size, peaks)

    def copy(self) -> "EdgeTiles":
        """Return an edge that grows on its own, with the same full tiles still to be taken."""
        twin = EdgeTiles()
        twin.size = self.size
        twin._levels = [tile.copy() for tile in self._levels]
        twin._full = self._full.copy()
        return twin


class _PartialTile:
    """The hashes of a tile so far, and the frontier over them, so that no tile is folded at once."""

    __slots__ = ("frontier", "hashes")

    def __init__(self) -> None:
        self.hashes: list[bytes] = []
        self.frontier = Frontier()

    def push(self, one: bytes) -> None:
        self.hashes.append(one)
        self.frontier.push(one)

    def data(self) -> bytes:
        return b"".join(self.hashes)

    def copy(self) -> "_PartialTile":
        twin = _PartialTile()
        twin.hashes = self.hashes.copy()
        twin.frontier = self.frontier.copy()
        return twin


def _tile_hashes(read_tile: TileReader, level: int, index: int, width: int) -> list[bytes]:
    data = read_tile(level, index, width)
    if len(data) != width * HASH_BYTES:
        name = tile_path(level, index, width)
        raise NotVerified(f"{name} holds {len(data)} bytes, not {width * HASH_BYTES}")
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Return where a tile lies: `tile/0/x001/x234/067`, or `tile/1/000.p/8` if it has only 8 hashes.

    C2SP tlog-tiles, "Merkle Tree".
    """
    if level < 0 or index < 0 or not 1 <= width <= TILE_WIDTH:
        raise ValueError(f"there is no tile at level {level}, index {index}, of width {width}")
    name = f"{index % 1000:03}"
    while index := index // 1000:
        name = f"x{index % 1000:03}/{name}"
    suffix = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{level}/{name}{suffix}"


def reader_over_tiles(read_tile: TileReader, size: int) -> HashReader:
    """Return a reader of any complete subtree of the tree over `size` leaves, from its tiles.

    Each answer reads one tile anew, in the width that it has at `size`; a caller who makes many
    proofs caches them. The reader raises NotVerified where a tile has another length.
    """

    def read(height: int, index: int) -> bytes:
        if (index + 1) << height > size:
            raise ValueError(f"the subtree {index} of height {height} is not complete at size {size}")
        level, within = divmod(height, _TILE_HEIGHT)
        tile, first = divmod(index << within, TILE_WIDTH)
        width = min(TILE_WIDTH, (size >> (_TILE_HEIGHT * level)) - tile * TILE_WIDTH)
        subtree = Frontier()
        subtree.extend(_tile_hashes(read_tile, level, tile, width)[first : first + (1 << within)])
        return subtree.root()

    return read


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
            return (
                self._edge[level] if index == self.size >> (_TILE_HEIGHT * (level + 1)) and level in self._edge else b""
            )
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
        while count := earlier >> (_TILE_HEIGHT * level):
            if count % TILE_WIDTH:  # the peaks of this level stand in one tile
                add(level, count // TILE_WIDTH)
            level += 1
    return {(level, index, TILE_WIDTH) for level, index in found} | set(_edge_of(size))


def _edge_of(size: int) -> Iterable[tuple[int, int, int]]:
    level = 0
    while count := size >> (_TILE_HEIGHT * level):
        index, width = divmod(count, TILE_WIDTH)
        if width:
            yield level, index, width
        level += 1


def _is_full(level: int, index: int, size: int) -> bool:
    return (index + 1) * TILE_WIDTH <= size >> (_TILE_HEIGHT * level)


def _fold(data: bytes) -> bytes:
    """Return the root over the hashes of a full tile; of one that has another length, nothing."""
    if len(data) != TILE_WIDTH * HASH_BYTES:
        return b""
    subtree = Frontier()
    subtree.extend(data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES))
    return subtree.root()
