# SPDX-License-Identifier: Apache-2.0
"""The Merkle tree of RFC 6962 and RFC 9162 over SHA-256: roots, tiles, proofs, and their checks.

The tree over n leaves has one root, whoever builds it. Its left part is the largest complete
subtree that is smaller than n, its right part the tree over the rest, and so on down:

    root(3 leaves) = node(node(a, b), c)        a = leaf_hash(first entry), and so on

So a tree only ever grows at its right edge. `Frontier` keeps the few hashes from which the next
root follows. `EdgeTiles` keeps the same edge cut into rows of 256 hashes, the tiles of C2SP
tlog-tiles, so that whoever has the tiles can make every proof without the entries.

Nothing here reads, writes or signs. Hashes come in through a `HashReader` or a `TileReader`, and
are believed: whoever made them out of tiles compares the root with one that was signed.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import TypeAlias

from onrecord.errors import NotVerified

HASH_BYTES = 32
TILE_WIDTH = 256  # hashes; C2SP tlog-tiles, "Merkle Tree"
EMPTY_ROOT = sha256(b"").digest()  # RFC 9162, 2.1.1

_TILE_HEIGHT = 8  # a full tile's hashes fold into one hash of the level above, 2**8 to 1

HashReader: TypeAlias = Callable[[int, int], bytes]
"""(height, index) to the root of the complete subtree over leaves index * 2**height and on."""

TileReader: TypeAlias = Callable[[int, int, int], bytes]
"""(level, index, width) to the first `width` hashes of that tile, 32 bytes each."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of an entry. RFC 9162, 2.1.1: the prefix keeps an entry from posing as a node."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash over two subtrees. RFC 9162, 2.1.1."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The roots of the complete subtrees that a tree consists of, largest first: at most log2(size)."""

    __slots__ = ("_peaks", "size")

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def push(self, leaf: bytes) -> None:
        """Add the hash of the next leaf, 32 bytes."""
        peaks = self._peaks
        rest = self.size
        while rest & 1:  # one merge for each trailing 1 bit; RFC 9162, 2.1.2, step 2
            leaf = sha256(b"\x01" + peaks.pop() + leaf).digest()  # node_hash, without the call
            rest >>= 1
        peaks.append(leaf)
        self.size += 1

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add the hashes of the next leaves, in order."""
        push = self.push
        for leaf in leaves:
            push(leaf)

    def root(self) -> bytes:
        """Return the root of the tree as it is now."""
        return _root_of_peaks(self._peaks)

    def peaks(self) -> tuple[bytes, ...]:
        """Return the roots of the complete subtrees, largest first."""
        return tuple(self._peaks)

    def copy(self) -> "Frontier":
        """Return a frontier that grows on its own."""
        twin = Frontier()
        twin.size = self.size
        twin._peaks = self._peaks.copy()
        return twin


def _root_of_peaks(peaks: Sequence[bytes]) -> bytes:
    if not peaks:
        return EMPTY_ROOT
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):  # RFC 9162, 2.1.2, step 3
        root = node_hash(peak, root)
    return root


# Tiles


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
        return _root_of_peaks([peak for tile in reversed(self._levels) for peak in tile.frontier.peaks()])

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


# Proofs


def tree_root(size: int, read: HashReader) -> bytes:
    """Return the root of the tree over the first `size` leaves. RFC 9162, 2.1.1."""
    return _range_root(0, size, read)


def _range_root(start: int, end: int, read: HashReader) -> bytes:
    """Return MTH(D[start:end]), where `start` is a multiple of the largest power of 2 within the range."""
    peaks: list[bytes] = []
    while start < end:
        height = (end - start).bit_length() - 1
        peaks.append(read(height, start >> height))
        start += 1 << height
    return _root_of_peaks(peaks)


def inclusion_path(index: int, size: int, read: HashReader) -> list[bytes]:
    """Return the proof that leaf `index` is in the tree over `size` leaves, from leaf to root.

    PATH in RFC 9162, 2.1.3.1.
    """
    if not 0 <= index < size:
        raise ValueError(f"there is no leaf {index} in a tree of {size}")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _left_size(end - start)
        if index < middle:
            path.append(_range_root(middle, end, read))
            end = middle
        else:
            path.append(_range_root(start, middle, read))
            start = middle
    return path[::-1]  # found from the root down


def consistency_path(old_size: int, size: int, read: HashReader) -> list[bytes]:
    """Return the proof that the tree over `size` leaves extends the one over its first `old_size`.

    It is empty where either is the whole story: no leaves before, or none since. PROOF and SUBPROOF
    in RFC 9162, 2.1.4.1.
    """
    if not 0 <= old_size <= size:
        raise ValueError(f"a tree of {size} does not extend one of {old_size}")
    if old_size == 0:
        return []
    path: list[bytes] = []
    start, end = 0, size
    while end != old_size:
        middle = start + _left_size(end - start)
        if old_size <= middle:
            path.append(_range_root(middle, end, read))
            end = middle
        else:
            path.append(_range_root(start, middle, read))
            start = middle
    if start:  # else the range left is the old tree itself, whose root the verifier has
        path.append(_range_root(start, end, read))
    return path[::-1]


def _left_size(size: int) -> int:
    """Return k, the largest power of 2 smaller than `size`. RFC 9162, 2.1.1."""
    return 1 << ((size - 1).bit_length() - 1)


# Checks


def check_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Raise NotVerified unless `leaf` is at `index` in the tree of `size` leaves under `root`.

    `leaf`, `root` and each hash in `path` are 32 bytes; `path` runs from leaf to root.
    RFC 9162, 2.1.3.2.
    """
    _check_lengths(leaf, root, *path)
    if not 0 <= index < size:  # step 1
        raise NotVerified(f"there is no leaf {index} in a tree of {size}")
    place, last, found = index, size - 1, leaf  # steps 2 and 3; fn, sn and r in the RFC
    for sibling in path:  # step 4
        if last == 0:
            raise NotVerified(f"the path of leaf {index} in a tree of {size} is too long")
        if place & 1 or place == last:
            found = node_hash(sibling, found)
            place, last = _skip_unpaired(place, last)
        else:
            found = node_hash(found, sibling)
        place >>= 1
        last >>= 1
    if last != 0:  # step 5
        raise NotVerified(f"the path of leaf {index} in a tree of {size} is too short")
    if found != root:
        raise NotVerified(f"leaf {index} is not in the tree of {size} leaves under this root")


def check_consistency(old_size: int, old_root: bytes, size: int, root: bytes, path: Sequence[bytes]) -> None:
    """Raise NotVerified unless the tree of `size` leaves extends the one of `old_size` leaves.

    `old_root`, `root` and each hash in `path` are 32 bytes. RFC 9162, 2.1.4.2; it leaves out
    the empty tree, which has one root, and which every tree extends with an empty path.
    """
    _check_lengths(old_root, root, *path)
    if not 0 <= old_size <= size:
        raise NotVerified(f"a tree of {size} does not extend one of {old_size}")
    if old_size in (0, size):
        _check_nothing_to_prove(old_size, old_root, size, root, path)
        return
    if not path:  # step 1
        raise NotVerified(f"the path from size {old_size} to {size} is too short")
    if old_size & (old_size - 1) == 0:  # step 2: a complete old tree is its own first hash
        path = (old_root, *path)
    place, last = old_size - 1, size - 1  # step 3
    while place & 1:  # step 4: past the levels where the old tree ends in a complete pair
        place >>= 1
        last >>= 1
    found_old = found = path[0]  # step 5; fr and sr in the RFC
    for sibling in path[1:]:  # step 6
        if last == 0:
            raise NotVerified(f"the path from size {old_size} to {size} is too long")
        if place & 1 or place == last:
            found_old = node_hash(sibling, found_old)
            found = node_hash(sibling, found)
            place, last = _skip_unpaired(place, last)
        else:
            found = node_hash(found, sibling)
        place >>= 1
        last >>= 1
    if last != 0:  # step 7
        raise NotVerified(f"the path from size {old_size} to {size} is too short")
    if found_old != old_root:
        raise NotVerified(f"the path does not lead to the root of the first {old_size} leaves")
    if found != root:
        raise NotVerified(f"the path does not lead to the root of all {size} leaves")


def _check_nothing_to_prove(old_size: int, old_root: bytes, size: int, root: bytes, path: Sequence[bytes]) -> None:
    if path:
        raise NotVerified(f"the path from size {old_size} to {size} is too long")
    if old_size == 0 and old_root != EMPTY_ROOT:
        raise NotVerified("the root of an empty tree is not the hash of nothing")
    if old_size == size and old_root != root:
        raise NotVerified(f"two trees of {size} leaves have different roots")


def _check_lengths(*hashes: bytes) -> None:
    for one in hashes:
        if len(one) != HASH_BYTES:
            raise NotVerified(f"a hash has {HASH_BYTES} bytes, not {len(one)}")


def _skip_unpaired(place: int, last: int) -> tuple[int, int]:
    """Climb past the levels where the last node of the tree has no sibling. The inner loop of the RFC."""
    while place & 1 == 0 and place != 0:
        place >>= 1
        last >>= 1
    return place, last
