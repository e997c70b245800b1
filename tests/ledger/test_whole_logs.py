# SPDX-License-Identifier: Apache-2.0
"""Whole logs, from entry to signature: one that Tessera wrote, and one of NDJSON lines with attacks on it."""

import json
from collections.abc import Callable
from itertools import combinations_with_replacement, pairwise
from pathlib import Path
from typing import Any

import pytest

from onrecord.errors import NotVerified
from onrecord.ledger.merkle import (
    Frontier,
    check_consistency,
    check_inclusion,
    consistency_path,
    inclusion_path,
    leaf_hash,
    tree_root,
)
from onrecord.ledger.note import Checkpoint, VerifierKey, open_checkpoint
from onrecord.ledger.tiles import EdgeTiles, reader_over_tiles, tile_path

pytestmark = pytest.mark.requirement("D2")

VECTORS = Path(__file__).parents[1] / "vectors"
TESSERA = VECTORS / "tlog-tiles/tessera-log"
GOLDEN = VECTORS / "golden-ndjson"
EXPECTED: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text())
ATTACKS = sorted(path.stem for path in (GOLDEN / "attacks").glob("*.ndjson"))


def opened(folder: Path, name: str = "checkpoint") -> Checkpoint:
    key = VerifierKey.parse((folder / "log.vkey").read_text().strip())
    return open_checkpoint((folder / name).read_bytes(), [key])


def tile_reader(folder: Path) -> Callable[[int, int, int], bytes]:
    return lambda level, index, width: (folder / tile_path(level, index, width)).read_bytes()


def bundled(data: bytes) -> list[bytes]:
    """Return the entries of a bundle: each behind its length, 2 bytes. C2SP tlog-tiles, "Log entries"."""
    entries: list[bytes] = []
    while data:
        end = 2 + int.from_bytes(data[:2])
        entries.append(data[2:end])
        data = data[end:]
    return entries


def leaves_of(lines: Path) -> list[bytes]:
    """Return the leaf of each whole line; what follows the last line feed is no entry."""
    return [leaf_hash(line) for line in lines.read_bytes().split(b"\n")[:-1]]


def edge_over(leaves: list[bytes]) -> EdgeTiles:
    edge = EdgeTiles()
    for leaf in leaves:
        edge.push(leaf)
    return edge


def root_over(leaves: list[bytes]) -> bytes:
    frontier = Frontier()
    frontier.extend(leaves)
    return frontier.root()


# Tessera


@pytest.mark.parametrize("size", range(16))
def test_each_state_of_a_tessera_log_is_signed_over_its_entries(size: int) -> None:
    checkpoint = opened(TESSERA, f"checkpoint.{size}")
    entries = bundled((TESSERA / f"tile/entries/000.p/{size}").read_bytes()) if size else []
    edge = edge_over([leaf_hash(entry) for entry in entries])
    assert checkpoint == Checkpoint(origin="example.com/log/testdata", size=size, root=edge.root())
    for level, index, width, data in edge.partials():
        assert (TESSERA / tile_path(level, index, width)).read_bytes() == data


def test_each_state_of_a_tessera_log_is_proven_to_extend_every_state_before() -> None:
    for old, new in combinations_with_replacement(range(16), 2):
        before, after = opened(TESSERA, f"checkpoint.{old}"), opened(TESSERA, f"checkpoint.{new}")
        path = consistency_path(old, new, reader_over_tiles(tile_reader(TESSERA), new))
        check_consistency(before.size, before.root, after.size, after.root, path)


def test_each_entry_of_a_tessera_log_is_proven_to_be_in_every_later_state() -> None:
    leaves = [leaf_hash(entry) for entry in bundled((TESSERA / "tile/entries/000.p/15").read_bytes())]
    for size in range(1, 16):
        root = opened(TESSERA, f"checkpoint.{size}").root
        for index in range(size):
            path = inclusion_path(index, size, reader_over_tiles(tile_reader(TESSERA), size))
            check_inclusion(leaves[index], index, size, path, root)


def test_the_latest_checkpoint_of_a_tessera_log_is_that_of_its_size() -> None:
    assert opened(TESSERA) == opened(TESSERA, "checkpoint.15")


# A log of lines


def test_the_lines_of_a_log_give_the_root_that_is_known_for_each_size() -> None:
    leaves = leaves_of(GOLDEN / "log.ndjson")
    assert len(leaves) == EXPECTED["size"]
    for size, root in EXPECTED["roots_hex"].items():
        assert root_over(leaves[: int(size)]).hex() == root


def test_the_lines_of_a_log_give_its_tiles_byte_for_byte() -> None:
    edge = edge_over(leaves_of(GOLDEN / "log.ndjson"))
    made = {tile_path(level, index): data for level, index, data in edge.take_full()}
    made |= {tile_path(level, index, width): data for level, index, width, data in edge.partials()}
    found = [path for level in "01" for path in (GOLDEN / "tile" / level).rglob("*") if path.is_file()]
    assert made == {path.relative_to(GOLDEN).as_posix(): path.read_bytes() for path in found}


@pytest.mark.parametrize(("name", "size"), [("", 300), (".1", 1), (".100", 100), (".256", 256), (".299", 299)])
def test_every_checkpoint_of_a_log_is_signed_over_its_first_lines(name: str, size: int) -> None:
    checkpoint = opened(GOLDEN, f"checkpoint{name}")
    leaves = leaves_of(GOLDEN / "log.ndjson")
    assert checkpoint == Checkpoint(origin="audit.example.com/golden", size=size, root=root_over(leaves[:size]))
    assert EdgeTiles.load(300, tile_reader(GOLDEN)).root() == opened(GOLDEN).root
    read = reader_over_tiles(tile_reader(GOLDEN), 300)
    check_consistency(size, checkpoint.root, 300, opened(GOLDEN).root, consistency_path(size, 300, read))


def test_the_lines_of_a_log_are_the_entries_of_its_bundles() -> None:
    bundles = [(GOLDEN / "tile/entries" / name).read_bytes() for name in ("000", "001.p/44")]
    entries = [entry for bundle in bundles for entry in bundled(bundle)]
    assert entries == (GOLDEN / "log.ndjson").read_bytes().split(b"\n")[:-1]


def test_the_hash_in_each_line_is_the_leaf_of_the_line_before() -> None:
    lines = (GOLDEN / "log.ndjson").read_bytes().split(b"\n")[:-1]
    for before, line in pairwise(lines):
        assert json.loads(line)["prev_hash"] == leaf_hash(before).hex()


@pytest.mark.parametrize("attack", ATTACKS)
def test_lines_that_were_tampered_with_do_not_give_the_signed_root(attack: str) -> None:
    checkpoint = opened(GOLDEN)
    leaves = leaves_of(GOLDEN / f"attacks/{attack}.ndjson")
    intact = (len(leaves), root_over(leaves)) == (checkpoint.size, checkpoint.root)
    assert intact == (attack == "torn_tail")  # a line without its end is no entry, so nothing is missing


def test_a_log_cut_at_the_tail_still_fits_an_older_checkpoint_and_not_the_newest() -> None:
    leaves = leaves_of(GOLDEN / "attacks/truncate_at_200.ndjson")
    assert root_over(leaves[:100]) == opened(GOLDEN, "checkpoint.100").root
    assert len(leaves) < opened(GOLDEN).size


def test_whoever_keeps_an_older_checkpoint_sees_that_a_signed_fork_is_one() -> None:
    fork, kept = opened(GOLDEN, "attacks/checkpoint.fork"), opened(GOLDEN, "checkpoint.256")
    edge = edge_over(leaves_of(GOLDEN / "attacks/rechained_edit_120.ndjson"))
    files = {(level, index, 256): data for level, index, data in edge.take_full()}
    files |= {(level, index, width): data for level, index, width, data in edge.partials()}
    read = reader_over_tiles(lambda *tile: files[tile], 300)
    assert fork.root == tree_root(300, read) != opened(GOLDEN).root
    with pytest.raises(NotVerified):
        check_consistency(256, kept.root, fork.size, fork.root, consistency_path(256, 300, read))
