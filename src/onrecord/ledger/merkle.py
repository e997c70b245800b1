# SPDX-License-Identifier: Apache-2.0
"""The Merkle tree of RFC 6962 and RFC 9162 over SHA-256: roots, proofs, and their checks.

The tree over n leaves has one root, whoever builds it. Its left part is the largest complete
subtree that is smaller than n, its right part the tree over the rest, and so on down:

    root(3 leaves) = node(node(a, b), c)        a = leaf_hash(first entry), and so on

So a tree only ever grows at its right edge. `Frontier` keeps the few hashes from which the next
root follows. Whoever has the hashes of complete subtrees can make every proof without the entries
(`tiles.py`).

Nothing here reads, writes or signs. Hashes come in through a `HashReader`, and are believed:
whoever made them out of tiles compares the root with one that was signed.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import TypeAlias

from onrecord.errors import NotVerified

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()  # RFC 9162, 2.1.1

HashReader: TypeAlias = Callable[[int, int], bytes]
"""(height, index) to the root of the complete subtree over leaves index * 2**height and on."""


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

    @classmethod
    def of(cls, size: int, peaks: Sequence[bytes]) -> "Frontier":
        """Return the frontier of a tree of `size` leaves with these peaks, largest first."""
        self = cls()
        self.size, self._peaks = size, list(peaks)
        return self

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
        return Frontier.of(self.size, self._peaks)


def _root_of_peaks(peaks: Sequence[bytes]) -> bytes:
    if not peaks:
        return EMPTY_ROOT
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):  # RFC 9162, 2.1.2, step 3
        root = node_hash(peak, root)
    return root


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
