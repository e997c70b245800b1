# SPDX-License-Identifier: Apache-2.0
"""Proofs as files: what was written is read back, and nothing else holds."""

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from tests.ledger.logs import Log, log_in

from onrecord.errors import NotVerified
from onrecord.ledger.evidence import Signed, newest_signed, path_over, prove
from onrecord.ledger.merkle import inclusion_path, leaf_hash
from onrecord.ledger.note import (
    MAX_SIZE,
    BadSignature,
    Checkpoint,
    SignerKey,
    UnknownSigner,
    Unsigned,
    sign_checkpoint,
)
from onrecord.ledger.proof import HEADER, Proof, check_carried, check_proof, format_proof, parse_proof
from onrecord.ledger.tiles import EdgeTiles, reader_over_tiles

pytestmark = pytest.mark.requirement("D2")

LOG = SignerKey(name="example.com/log", private=Ed25519PrivateKey.from_private_bytes(bytes([1] * 32)))
OTHER = SignerKey(name="example.com/log", private=Ed25519PrivateKey.from_private_bytes(bytes([2] * 32)))
LEAVES = [leaf_hash(b"entry %d" % number) for number in range(21)]


def tree(size: int) -> EdgeTiles:
    edge = EdgeTiles()
    for leaf in LEAVES[:size]:
        edge.push(leaf)
    return edge


def proof_in(size: int, index: int, signer: SignerKey = LOG) -> Proof:
    edge = tree(size)
    note = sign_checkpoint(Checkpoint(origin=signer.name, size=size, root=edge.root()), signer)
    path = path_over(LEAVES[:size], index, size)
    return Proof(index=index, path=tuple(path), note=note, extra=b"entry %d" % index)


PROOF = proof_in(21, 13)
DATA = format_proof(PROOF)

proofs = st.builds(
    Proof,
    index=st.integers(0, MAX_SIZE - 1),
    path=st.lists(st.binary(min_size=32, max_size=32), max_size=63).map(tuple),
    note=st.binary(max_size=300),
    extra=st.binary(max_size=300),
)


# The form


@given(proofs)
def test_what_was_written_is_read_back(proof: Proof) -> None:
    assert parse_proof(format_proof(proof)) == proof


@given(st.binary(max_size=200))
def test_any_bytes_are_a_proof_in_one_spelling_or_refused(data: bytes) -> None:
    for text in (data, f"{HEADER}\n".encode() + data, DATA + data, DATA.replace(b"index 13\n", data)):
        try:
            proof = parse_proof(text)
        except NotVerified:
            continue
        assert format_proof(proof) == text


def test_the_file_is_the_published_format_line_by_line() -> None:
    lines = DATA.decode().split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert lines[1] == "extra " + base64.b64encode(b"entry 13").decode()
    assert lines[2] == "index 13"
    assert [base64.b64decode(line) for line in lines[3:8]] == list(PROOF.path)
    assert lines[8] == ""
    assert "\n".join(lines[9:]).encode() == PROOF.note


def test_the_example_of_the_specification_is_read() -> None:
    path = [bytes([number] * 32) for number in range(5)]
    text = "\n".join([HEADER, "index 73894", *(base64.b64encode(one).decode() for one in path)])
    proof = parse_proof(f"{text}\n\nexample.com/fancylog\n109482\n".encode())
    assert (proof.index, list(proof.path), proof.extra) == (73894, path, b"")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("tlog-proof@v1", "tlog-proof@v2"),
        lambda text: text.replace("index 13", "index 013"),
        lambda text: text.replace("index 13", "index -13"),
        lambda text: text.replace("index 13", "index  13"),
        lambda text: text.replace("index 13", "index ١٣"),
        lambda text: text.replace("index 13", f"index {MAX_SIZE}"),
        lambda text: text.replace("index 13", "Index 13"),
        lambda text: text.replace("index 13\n", ""),
        lambda text: text.replace("extra ", "extra"),
        lambda text: text.replace("extra ", "extra  "),
        lambda text: text.replace("index 13", "extra aGk=\nindex 13"),
        lambda text: text.replace("\nextra ", "\nextra \nextra "),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n\n", "\n", 1),
        lambda text: text.replace("\n\n", "\naGk=\n\n", 1),
        lambda text: text.replace("\n\n", f"\n{base64.b64encode(bytes(31)).decode()}\n\n", 1),
        lambda text: text.replace("\n\n", f"\n{base64.b64encode(bytes(32)).decode().rstrip('=')}\n\n", 1),
        lambda text: text.replace("\n\n", f"\n{base64.b64encode(bytes(32)).decode()}" * 64 + "\n\n", 1),
        lambda text: "\n" + text,
        lambda text: "",
    ],
)
def test_another_form_is_refused(change: Callable[[str], str]) -> None:
    changed = change(DATA.decode())
    assert changed != DATA.decode()
    with pytest.raises(NotVerified):
        check_carried(parse_proof(changed.encode()), [LOG.vkey])


def test_what_could_not_be_read_back_is_not_written() -> None:
    for proof in (
        Proof(index=-1, path=(), note=b""),
        Proof(index=0, path=(b"short",), note=b""),
        Proof(index=MAX_SIZE, path=(), note=b""),
        Proof(index=0, path=(bytes(32),) * 64, note=b""),
    ):
        with pytest.raises(ValueError, match="no such proof"):
            format_proof(proof)


# What it proves


@given(st.integers(1, 21).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1))))
def test_every_entry_of_every_tree_can_be_proven(case: tuple[int, int]) -> None:
    size, index = case
    proof = parse_proof(format_proof(proof_in(size, index)))
    checkpoint = check_carried(proof, [LOG.vkey])
    assert (checkpoint.size, checkpoint.root) == (size, tree(size).root())
    assert check_proof(proof, LEAVES[index], [LOG.vkey]) == checkpoint


@given(st.integers(0, len(DATA) - 1), st.integers(0, 255))
def test_a_byte_that_is_not_what_it_was_is_refused(at: int, byte: int) -> None:
    changed = DATA[:at] + bytes([byte]) + DATA[at + 1 :]
    if changed != DATA:
        with pytest.raises(NotVerified):
            check_carried(parse_proof(changed), [LOG.vkey])


def test_every_flipped_bit_of_every_byte_is_refused() -> None:
    for at in range(len(DATA)):
        for bit in range(8):
            changed = DATA[:at] + bytes([DATA[at] ^ 1 << bit]) + DATA[at + 1 :]
            with pytest.raises(NotVerified):
                check_carried(parse_proof(changed), [LOG.vkey])


@given(st.integers(0, len(DATA)), st.binary(min_size=1, max_size=3))
def test_a_byte_too_many_is_refused(at: int, more: bytes) -> None:
    with pytest.raises(NotVerified):
        check_carried(parse_proof(DATA[:at] + more + DATA[at:]), [LOG.vkey])


@given(st.integers(0, len(DATA) - 1))
def test_a_proof_that_was_cut_off_is_refused(at: int) -> None:
    with pytest.raises(NotVerified):
        check_carried(parse_proof(DATA[:at]), [LOG.vkey])


def test_a_path_is_for_one_place_in_one_tree() -> None:
    for other in (proof_in(21, 12), proof_in(20, 13)):
        with pytest.raises(NotVerified):
            check_proof(Proof(index=13, path=other.path, note=PROOF.note), LEAVES[13], [LOG.vkey])
        with pytest.raises(NotVerified):
            check_proof(Proof(index=13, path=PROOF.path, note=proof_in(20, 13).note), LEAVES[13], [LOG.vkey])
    with pytest.raises(NotVerified):
        check_proof(PROOF, LEAVES[12], [LOG.vkey])


def test_who_signed_is_told_apart_from_what_does_not_hold() -> None:
    with pytest.raises(UnknownSigner):
        check_carried(PROOF, [OTHER.vkey])
    with pytest.raises(UnknownSigner):
        check_carried(PROOF, [])
    text = PROOF.note.partition(b"\n\n")[0] + b"\n"
    with pytest.raises(Unsigned):
        check_carried(Proof(index=13, path=PROOF.path, note=text, extra=PROOF.extra), [LOG.vkey])
    note = PROOF.note.replace(b"\n21\n", b"\n22\n")
    with pytest.raises(BadSignature):
        check_carried(Proof(index=13, path=PROOF.path, note=note, extra=PROOF.extra), [LOG.vkey])


def test_without_its_entry_a_proof_is_for_who_has_the_entry() -> None:
    bare = Proof(index=13, path=PROOF.path, note=PROOF.note)
    assert check_proof(bare, LEAVES[13], [LOG.vkey]).size == 21
    with pytest.raises(NotVerified):
        check_carried(bare, [LOG.vkey])


@given(st.integers(1, 700).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1))))
def test_leaf_hashes_alone_give_the_path_that_the_tiles_give(case: tuple[int, int]) -> None:
    size, index = case
    hashes = [leaf_hash(b"%d" % number) for number in range(size)]
    edge = EdgeTiles()
    for leaf in hashes:
        edge.push(leaf)
    tiles = {(level, index): data for level, index, data in edge.take_full()}
    tiles |= {(level, index): data for level, index, _, data in edge.partials()}
    read = reader_over_tiles(lambda level, index, width: tiles[level, index][: width * 32], size)
    assert path_over(iter(hashes), index, size) == inclusion_path(index, size, read)


# Real logs


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    log = log_in(tmp_path_factory.mktemp("log"))
    log.write(600)
    return log


def signed_of(log: Log) -> Signed:
    signed = newest_signed(log.folder, [log.signer.vkey])
    assert signed is not None
    return signed


@pytest.mark.parametrize("seq", [0, 1, 255, 256, 511, 512, 599, 600])
def test_an_entry_of_a_log_is_proven_with_its_line(log: Log, seq: int) -> None:
    keys = [log.signer.vkey]
    proof = parse_proof(format_proof(prove(log.folder, signed_of(log), seq, keys)))
    assert proof.extra == log.lines()[seq]
    assert check_carried(proof, keys) == log.checkpoint()


@pytest.fixture
def own(tmp_path: Path) -> Log:
    log = log_in(tmp_path)
    log.write(300)
    return log


@pytest.mark.parametrize("harm", ["gone", "short", "another"])
def test_where_the_tiles_do_not_hold_the_lines_do(own: Log, harm: str) -> None:
    whole = prove(own.folder, signed_of(own), 7, [own.signer.vkey])
    tile = own.folder.path / "tile" / "0" / "000"
    if harm == "gone":
        tile.unlink()
    else:
        tile.write_bytes(tile.read_bytes()[:-1] if harm == "short" else bytes(8192))
    assert prove(own.folder, signed_of(own), 7, [own.signer.vkey]) == whole


def test_a_proof_that_would_not_hold_is_not_made(own: Log) -> None:
    keys, signed = [own.signer.vkey], signed_of(own)
    own.file.write_bytes(own.file.read_bytes().replace(b"report-6.txt", b"report-9.txt"))
    with pytest.raises(NotVerified, match="entry 7 is not what was signed"):
        prove(own.folder, signed, 7, keys)
    assert prove(own.folder, signed, 8, keys).index == 8  # its own line holds, and so do the tiles
    (own.folder.path / "tile" / "0" / "000").unlink()
    with pytest.raises(NotVerified):
        prove(own.folder, signed, 8, keys)


def test_what_is_not_signed_or_not_there_cannot_be_proven(own: Log, tmp_path: Path) -> None:
    keys, signed = [own.signer.vkey], signed_of(own)
    with pytest.raises(NotVerified, match="entry 301 is not signed yet"):
        prove(own.folder, signed, 301, keys)
    stranger = log_in(tmp_path / "stranger").signer.vkey
    with pytest.raises(NotVerified):
        newest_signed(own.folder, [stranger])
    with pytest.raises(NotVerified):
        prove(own.folder, signed, 7, [stranger])
    own.file.write_bytes(b"".join(line + b"\n" for line in own.lines()[:7]))
    with pytest.raises(NotVerified, match="entry 7 was signed and is gone"):
        prove(own.folder, signed, 7, keys)
