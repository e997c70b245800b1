# SPDX-License-Identifier: Apache-2.0
"""The tree against what others published: proofs of transparency-dev, tiles of Sunlight, proofs of Rekor."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from onrecord.errors import NotVerified
from onrecord.ledger.merkle import EMPTY_ROOT, Frontier, check_consistency, check_inclusion, leaf_hash, tree_root
from onrecord.ledger.note import parse_checkpoint, parse_note
from onrecord.ledger.tiles import EdgeTiles, reader_over_tiles, tile_path

pytestmark = pytest.mark.requirement("D2")

VECTORS = Path(__file__).parents[1] / "vectors"
MIRROR = VECTORS / "tlog-tiles/sunlight-mirror/mirror"
MIRROR_LOG = MIRROR / "000de184301123b9278c086a7d9f68c9577e83872224c197058fd90784ea9706"
NAVIGLI = VECTORS / "tlog-tiles/sunlight-navigli"

# The verifier of transparency-dev compares roots of equal size whatever their length, and its case uses
# the text "don't care 1" for both. Here a root has 32 bytes or is refused.
PLACEHOLDER_ROOTS = "sizes are equal (one) and proof is empty"


def load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text())


def unbase64(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def hashes_of(tile: bytes) -> list[bytes]:
    return [tile[at : at + 32] for at in range(0, len(tile), 32)]


# github.com/transparency-dev/merkle


def named(case: dict[str, Any]) -> str:
    return case["file"].removeprefix("testdata/").removesuffix(".json")


@pytest.mark.parametrize("case", load("merkle/inclusion.json"), ids=named)
def test_a_proof_of_inclusion_is_judged_as_other_verifiers_judge_it(case: dict[str, Any]) -> None:
    proof = [unbase64(one) for one in case["proof"] or []]
    where = (case["leafIdx"], case["treeSize"])
    if not case["wantErr"]:
        check_inclusion(unbase64(case["leafHash"]), *where, proof, unbase64(case["root"]))
    else:
        with pytest.raises(NotVerified):
            check_inclusion(unbase64(case["leafHash"]), *where, proof, unbase64(case["root"]))


@pytest.mark.parametrize(
    "case",
    [case for case in load("merkle/consistency.json") if case["desc"] != PLACEHOLDER_ROOTS],
    ids=named,
)
def test_a_proof_of_consistency_is_judged_as_other_verifiers_judge_it(case: dict[str, Any]) -> None:
    proof = [unbase64(one) for one in case["proof"] or []]
    old = (case["size1"], unbase64(case["root1"]))
    new = (case["size2"], unbase64(case["root2"]))
    if not case["wantErr"]:
        check_consistency(*old, *new, proof)
    else:
        with pytest.raises(NotVerified):
            check_consistency(*old, *new, proof)


def test_the_reference_tree_has_the_hashes_that_every_implementation_knows() -> None:
    tree = load("merkle/rfc6962_reference_tree.json")
    leaves = [leaf_hash(bytes.fromhex(data)) for data in tree["leaf_inputs_hex"]]
    edge, frontier = EdgeTiles(), Frontier()
    for size, root in enumerate(tree["roots_hex"]):
        assert edge.root().hex() == frontier.root().hex() == root
        if size < len(leaves):
            edge.push(leaves[size])
            frontier.push(leaves[size])
    read = reader_over_tiles(lambda level, index, width: b"".join(leaves[:width]), len(leaves))
    for height, row in tree["node_hashes_hex"].items():
        assert [read(int(height), index).hex() for index in range(len(row))] == row
    assert EMPTY_ROOT.hex() == next(one["sha256"] for one in tree["hasher"] if one["what"] == "empty root")


def test_tiles_lie_where_the_specification_says_and_are_as_many() -> None:
    known = load("note/checkpoint_body.json")
    for tile in known["tile_paths"]:
        assert tile_path(tile["level"], tile["index"], tile.get("width", 256)) == tile["c2sp_path"]
    shape = known["tree_shape_70000"]
    edge = EdgeTiles()
    for _ in range(shape["size"]):
        edge.push(EMPTY_ROOT)
    levels = [level for level, _, _ in edge.take_full()]
    assert {str(level): levels.count(level) for level in levels} == shape["full"]
    assert {str(level): width for level, _, width, _ in edge.partials()} == shape["partial"]


# github.com/FiloSottile/sunlight


def test_the_tiles_of_a_sunlight_mirror_give_the_root_of_its_checkpoint() -> None:
    checkpoint = parse_checkpoint(parse_note((MIRROR_LOG / "checkpoint").read_bytes()).text)

    def read_tile(level: int, index: int, width: int) -> bytes:
        return (MIRROR_LOG / tile_path(level, index, width)).read_bytes()

    assert checkpoint.size == 300
    assert EdgeTiles.load(300, read_tile).root() == checkpoint.root
    assert tree_root(300, reader_over_tiles(read_tile, 300)) == checkpoint.root


def test_the_leaves_of_a_sunlight_mirror_are_cut_into_the_same_tiles() -> None:
    edge = EdgeTiles()
    for name in ("tile/0/000", "tile/0/001.p/44"):
        for leaf in hashes_of((MIRROR_LOG / name).read_bytes()):
            edge.push(leaf)
    for level, index, data in edge.take_full():
        assert (MIRROR_LOG / tile_path(level, index)).read_bytes() == data
    for level, index, width, data in edge.partials():
        assert (MIRROR_LOG / tile_path(level, index, width)).read_bytes() == data


def test_the_leaves_of_a_certificate_log_are_cut_into_the_same_tiles() -> None:
    full = [(NAVIGLI / tile_path(0, index)).read_bytes() for index in range(4)]
    edge = EdgeTiles()
    for leaf in hashes_of(b"".join(full))[: 3 * 256 + 10]:
        edge.push(leaf)
    assert edge.take_full() == [(0, index, data) for index, data in enumerate(full[:3])]
    partial = {(level, index, width): data for level, index, width, data in edge.partials()}
    assert partial[0, 3, 10] == (NAVIGLI / tile_path(0, 3, 10)).read_bytes()
    for index, one in enumerate(hashes_of(partial[1, 0, 3])):
        subtree = Frontier()
        subtree.extend(hashes_of(full[index]))
        assert subtree.root() == one


# github.com/sigstore/sigstore-conformance


@pytest.mark.parametrize(
    "entry",
    [entry for entry in load("rekor2/entries.json") if entry["inclusionProof"]],  # one case is about its lack
    ids=lambda entry: entry["case"],
)
def test_an_entry_of_the_public_rekor_log_is_proven_to_be_in_it(entry: dict[str, Any]) -> None:
    proof = entry["inclusionProof"]
    leaf, index, size = leaf_hash(unbase64(entry["leaf_b64"])), int(proof["logIndex"]), int(proof["treeSize"])
    path, root = [unbase64(one) for one in proof["hashes"]], unbase64(proof["rootHash"])
    check_inclusion(leaf, index, size, path, root)
    with pytest.raises(NotVerified):
        check_inclusion(leaf, index - 1, size, path, root)
    with pytest.raises(NotVerified):
        check_inclusion(leaf_hash(b"another entry"), index, size, path, root)
