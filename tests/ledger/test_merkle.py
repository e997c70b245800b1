# SPDX-License-Identifier: Apache-2.0
"""The tree against its definition, its proofs against every way to spoil them, its tiles against each other."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.errors import NotVerified
from onrecord.ledger.merkle import (
    EMPTY_ROOT,
    HASH_BYTES,
    Frontier,
    check_consistency,
    check_inclusion,
    consistency_path,
    inclusion_path,
    leaf_hash,
    node_hash,
    tree_root,
)
from onrecord.ledger.tiles import TILE_WIDTH, EdgeTiles, reader_over_tiles, tile_path

pytestmark = pytest.mark.requirement("D2")

MOST = 1300  # leaves in the tree that proofs are made from: five tiles and a bit
LEAVES = [leaf_hash(b"entry %d" % i) for i in range(MOST)]

sizes = st.integers(0, MOST)
a_byte = st.integers(0, 2**16)


def mth(leaves: Sequence[bytes]) -> bytes:
    """MTH word for word from RFC 9162, 2.1.1, over hashes of leaves."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(mth(leaves[:k]), mth(leaves[k:]))


def rows(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """Return all complete subtrees, a row for each height."""
    found = [list(leaves)]
    while len(found[-1]) > 1:
        below = found[-1]
        found.append([node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)])
    return found


ROWS = rows(LEAVES)


def read(height: int, index: int) -> bytes:
    return ROWS[height][index]


def frontier(leaves: Sequence[bytes]) -> Frontier:
    made = Frontier()
    made.extend(leaves)
    return made


def edge_tiles(leaves: Sequence[bytes]) -> EdgeTiles:
    edge = EdgeTiles()
    for leaf in leaves:
        edge.push(leaf)
    return edge


class Tiles:
    """Exactly the tiles that a log of this size has; asking for any other is a KeyError."""

    def __init__(self, edge: EdgeTiles) -> None:
        self.files: dict[str, bytes] = {}
        self.write(edge)

    def write(self, edge: EdgeTiles) -> None:
        for level, index, data in edge.take_full():
            self.files[tile_path(level, index)] = data
        for level, index, width, data in edge.partials():
            self.files[tile_path(level, index, width)] = data

    def __call__(self, level: int, index: int, width: int) -> bytes:
        return self.files[tile_path(level, index, width)]


def flipped(data: bytes, at: int) -> bytes:
    """Return `data` with one bit changed; `at` counts bits, round and round."""
    byte, bit = divmod(at % (len(data) * 8), 8)
    return data[:byte] + bytes([data[byte] ^ (1 << bit)]) + data[byte + 1 :]


# Roots


@given(sizes)
def test_every_way_to_a_root_leads_to_the_one_that_the_rfc_defines(size: int) -> None:
    leaves = LEAVES[:size]
    assert frontier(leaves).root() == edge_tiles(leaves).root() == tree_root(size, read) == mth(leaves)


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert Frontier().root() == EdgeTiles().root() == tree_root(0, read) == EMPTY_ROOT


def test_an_entry_that_looks_like_a_node_does_not_get_its_hash() -> None:
    a, b = LEAVES[:2]
    assert leaf_hash(a + b) != node_hash(a, b)


@given(sizes, sizes)
def test_a_copied_tree_grows_on_its_own(size: int, more: int) -> None:
    for tree in (frontier(LEAVES[:size]), edge_tiles(LEAVES[:size])):
        before = tree.root()
        twin = tree.copy()
        for leaf in LEAVES[:more]:
            twin.push(leaf)
        assert (tree.size, tree.root()) == (size, before)
        assert (twin.size, twin.root()) == (size + more, mth(LEAVES[:size] + LEAVES[:more]))


# Tiles


@given(sizes, st.integers(0, 600))
def test_a_tree_loaded_from_its_tiles_goes_on_as_if_it_had_never_stopped(size: int, more: int) -> None:
    kept = edge_tiles(LEAVES[:size])
    loaded = EdgeTiles.load(size, Tiles(kept))
    assert (loaded.size, loaded.root(), loaded.partials()) == (kept.size, kept.root(), kept.partials())
    for leaf in LEAVES[:more]:
        kept.push(leaf)
        loaded.push(leaf)
    assert (loaded.root(), loaded.partials()) == (kept.root(), kept.partials())
    assert loaded.take_full() == kept.take_full()


def test_tiles_of_three_levels_are_those_of_the_subtrees_that_they_stand_for() -> None:
    leaves = [leaf_hash(b"%d" % i) for i in range(70_000)]
    edge, straight = EdgeTiles(), Frontier()
    tiles = Tiles(edge)
    for leaf in leaves:
        edge.push(leaf)
        straight.push(leaf)
        if edge.size % TILE_WIDTH < 2 or edge.size == 70_000:
            tiles.write(edge)
            assert edge.root() == straight.root()
            assert EdgeTiles.load(edge.size, tiles).root() == straight.root()
    assert tiles(0, 272, 256) == b"".join(leaves[272 * 256 : 273 * 256])
    assert tiles(1, 1, 17)[-HASH_BYTES:] == mth(leaves[272 * 256 : 273 * 256])
    assert tiles(2, 0, 1) == mth(leaves[:65536])


def test_a_full_tile_is_handed_over_once() -> None:
    edge = edge_tiles(LEAVES[:600])
    taken = edge.take_full()
    assert [(level, index, len(data)) for level, index, data in taken] == [(0, 0, 8192), (0, 1, 8192)]
    assert edge.take_full() == []


def test_a_copy_still_has_the_full_tiles_that_were_not_taken() -> None:
    edge = edge_tiles(LEAVES[:256])
    twin = edge.copy()
    assert twin.take_full() == edge.take_full() != []


@given(st.integers(1, MOST))
def test_proofs_need_no_tile_that_a_log_of_that_size_does_not_have(size: int) -> None:
    over_tiles = reader_over_tiles(Tiles(edge_tiles(LEAVES[:size])), size)
    index = (size * 7919) % size
    assert tree_root(size, over_tiles) == mth(LEAVES[:size])
    assert inclusion_path(index, size, over_tiles) == inclusion_path(index, size, read)
    assert consistency_path(index, size, over_tiles) == consistency_path(index, size, read)


def test_every_complete_subtree_can_be_read_from_tiles() -> None:
    over_tiles = reader_over_tiles(Tiles(edge_tiles(LEAVES)), MOST)
    for height, row in enumerate(ROWS):
        assert [over_tiles(height, index) for index in range(len(row))] == row


def test_a_subtree_that_is_not_complete_cannot_be_read() -> None:
    over_tiles = reader_over_tiles(Tiles(edge_tiles(LEAVES[:300])), 300)
    with pytest.raises(ValueError, match="not complete"):
        over_tiles(9, 0)


@pytest.mark.parametrize("wrong", [b"", bytes(31), bytes(32 * 44 - 1), bytes(32 * 45), bytes(8192)])
def test_a_tile_of_the_wrong_length_is_refused(wrong: bytes) -> None:
    def read_tile(level: int, index: int, width: int) -> bytes:
        return wrong

    with pytest.raises(NotVerified, match=r"tile/0/001\.p/44 holds"):
        EdgeTiles.load(300, read_tile)
    with pytest.raises(NotVerified, match=r"tile/0/001\.p/44 holds"):
        reader_over_tiles(read_tile, 300)(0, 256)


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        ((0, 0), "tile/0/000"),
        ((0, 999), "tile/0/999"),
        ((0, 1000), "tile/0/x001/000"),
        ((0, 1234067), "tile/0/x001/x234/067"),
        ((1, 0, 8), "tile/1/000.p/8"),
        ((2, 1_000_000, 255), "tile/2/x001/x000/000.p/255"),
        ((63, 5, 256), "tile/63/005"),
    ],
)
def test_a_tile_lies_where_other_tools_look_for_it(tile: tuple[int, ...], path: str) -> None:
    assert tile_path(*tile) == path


@pytest.mark.parametrize("tile", [(-1, 0, 1), (0, -1, 1), (0, 0, 0), (0, 0, 257)])
def test_a_tile_that_cannot_exist_has_no_path(tile: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no tile"):
        tile_path(*tile)


# Inclusion


@given(st.integers(1, MOST), a_byte)
def test_a_proof_of_inclusion_holds_for_its_leaf_and_for_no_other_place(size: int, pick: int) -> None:
    index = pick % size
    path, root = inclusion_path(index, size, read), mth(LEAVES[:size])
    check_inclusion(LEAVES[index], index, size, path, root)
    for other in {0, index - 1, index + 1, size - 1, size, -1} - {index}:
        with pytest.raises(NotVerified):
            check_inclusion(LEAVES[index], other, size, path, root)


@given(st.integers(1, MOST), a_byte, a_byte)
def test_one_wrong_bit_anywhere_spoils_a_proof_of_inclusion(size: int, pick: int, at: int) -> None:
    index = pick % size
    path, root = inclusion_path(index, size, read), mth(LEAVES[:size])
    spoil(
        [LEAVES[index], root, *path],
        at,
        lambda leaf, root, *path: check_inclusion(leaf, index, size, path, root),
    )


def spoil(hashes: list[bytes], at: int, check: Callable[..., None]) -> None:
    """See that `check` holds, and that it holds no more with any one hash changed, cut or missing."""
    check(*hashes)
    for i, one in enumerate(hashes):
        for bad in (flipped(one, at), one[:-1], one + b"\0", b""):
            with pytest.raises(NotVerified):
                check(*hashes[:i], bad, *hashes[i + 1 :])
        if i > 1:  # the first two are no part of the path
            with pytest.raises(NotVerified):
                check(*hashes[:i], *hashes[i + 1 :])
    with pytest.raises(NotVerified):
        check(*hashes, hashes[0])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 1), (5, 3)])
def test_a_leaf_outside_the_tree_can_be_neither_proven_nor_checked(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_path(index, size, read)
    with pytest.raises(NotVerified, match="no leaf"):
        check_inclusion(LEAVES[0], index, size, [], LEAVES[0])


# Consistency


@given(st.integers(1, MOST), a_byte)
def test_a_tree_is_proven_to_extend_what_it_was(size: int, pick: int) -> None:
    old = pick % (size + 1)
    path = consistency_path(old, size, read)
    check_consistency(old, mth(LEAVES[:old]), size, mth(LEAVES[:size]), path)


@given(st.integers(1, MOST), a_byte, a_byte)
def test_one_wrong_bit_anywhere_spoils_a_proof_of_consistency(size: int, pick: int, at: int) -> None:
    old = 1 + pick % size
    hashes = [mth(LEAVES[:old]), mth(LEAVES[:size]), *consistency_path(old, size, read)]
    spoil(hashes, at, lambda before, root, *path: check_consistency(old, before, size, root, path))


@given(st.integers(1, MOST), a_byte, a_byte)
def test_a_log_that_changed_its_past_cannot_prove_consistency(size: int, pick: int, where: int) -> None:
    old = 1 + pick % size
    changed = where % old
    leaves = [*LEAVES[:changed], leaf_hash(b"another"), *LEAVES[changed + 1 : size]]
    forged = rows(leaves)
    path = consistency_path(old, size, lambda height, index: forged[height][index])
    with pytest.raises(NotVerified):
        check_consistency(old, mth(LEAVES[:old]), size, mth(leaves), path)


def test_every_tree_extends_the_empty_one_and_needs_no_proof_for_it() -> None:
    assert consistency_path(0, 5, read) == []
    check_consistency(0, EMPTY_ROOT, 5, mth(LEAVES[:5]), [])
    check_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, [])


@pytest.mark.parametrize(
    ("old_size", "old_root", "size", "root", "path"),
    [
        pytest.param(0, LEAVES[0], 5, LEAVES[1], [], id="an empty tree with a root of its own"),
        pytest.param(0, LEAVES[0], 0, LEAVES[0], [], id="both empty, with a root of their own"),
        pytest.param(0, EMPTY_ROOT, 0, LEAVES[0], [], id="empty still, with another root"),
        pytest.param(0, EMPTY_ROOT, 5, LEAVES[1], [LEAVES[2]], id="a path where none is needed"),
        pytest.param(5, LEAVES[0], 5, LEAVES[1], [], id="one size, two roots"),
        pytest.param(5, LEAVES[0], 5, LEAVES[0], [LEAVES[1]], id="one size, and a path"),
        pytest.param(5, LEAVES[0], 4, LEAVES[0], [], id="a tree that shrank"),
        pytest.param(-1, EMPTY_ROOT, 4, LEAVES[0], [], id="less than nothing"),
        pytest.param(1, LEAVES[0], 2, node_hash(*LEAVES[:2]), [], id="no path at all"),
    ],
)
def test_what_is_no_proof_of_consistency_is_refused(
    old_size: int, old_root: bytes, size: int, root: bytes, path: list[bytes]
) -> None:
    with pytest.raises(NotVerified):
        check_consistency(old_size, old_root, size, root, path)


@pytest.mark.parametrize(("old_size", "size"), [(-1, 3), (4, 3)])
def test_a_proof_that_a_tree_shrank_cannot_be_made(old_size: int, size: int) -> None:
    with pytest.raises(ValueError, match="does not extend"):
        consistency_path(old_size, size, read)
