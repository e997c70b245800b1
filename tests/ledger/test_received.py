# SPDX-License-Identifier: Apache-2.0
"""What somebody was handed as one file: proofs, and bundles in a zip that nobody vouches for."""

import io
import shutil
import stat
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from tests.ledger.logs import Log, leaf_of, log_in

from onrecord.errors import NotVerified
from onrecord.event.event import Event, encode
from onrecord.ledger import received
from onrecord.ledger.evidence import Signed, newest_signed, prove
from onrecord.ledger.export import export_bundle
from onrecord.ledger.merkle import leaf_hash
from onrecord.ledger.note import Checkpoint, sign_checkpoint
from onrecord.ledger.proof import Proof, format_proof, parse_proof
from onrecord.ledger.received import unpacked, verify_file
from onrecord.ledger.rotation import rotate

pytestmark = pytest.mark.requirement("D2")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    log = log_in(tmp_path_factory.mktemp("log"))
    log.write(300)
    return log


@pytest.fixture(scope="module")
def zipped(log: Log, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "evidence of a day.zip"
    export_bundle(log.folder, [log.signer.vkey], [7, 299], out)
    return out


@pytest.fixture
def proven(log: Log, tmp_path: Path) -> Path:
    signed = newest_signed(log.folder, [log.signer.vkey])
    assert signed is not None
    file = tmp_path / "41.tlog-proof"
    file.write_bytes(format_proof(prove(log.folder, signed, 41, [log.signer.vkey])))
    return file


def told(log: Log, path: Path) -> tuple[str, tuple[int, ...]]:
    report = verify_file(path, [log.signer.vkey])
    assert report.reasons
    assert report.proven == 0 or report.verdict == "partial"
    return report.verdict, report.seqs


# Proofs


def test_a_proof_is_a_part_of_one(log: Log, proven: Path) -> None:
    report = verify_file(proven, [log.signer.vkey], outside=[log.checkpoint()])
    assert (report.verdict, report.proven, report.of, report.origin) == ("partial", 1, 301, log.signer.name)
    assert "entry 41" in report.reasons[0]
    assert "fits" in report.reasons[1]


def test_what_is_wrong_with_a_proof_is_named(log: Log, proven: Path, tmp_path: Path) -> None:
    data = proven.read_bytes()
    stranger = log_in(tmp_path / "stranger").signer
    assert verify_file(proven, [stranger.vkey]).verdict == "wrong key"
    proof = parse_proof(data)
    for changed, verdict, seqs in (
        (replace(proof, extra=proof.extra.replace(b"read_file", b"send_mail")), "altered", (41,)),
        (replace(proof, extra=b""), "altered", (41,)),
        (replace(proof, index=40), "altered", (40,)),
        (replace(proof, note=proof.note.replace(b"\n301\n", b"\n302\n")), "altered", (41,)),
        (replace(proof, note=proof.note.partition(b"\n\n")[0] + b"\n"), "unsigned", ()),
        (replace(proof, note=b"rubbish"), "altered", (41,)),
    ):
        proven.write_bytes(format_proof(changed))
        assert told(log, proven) == (verdict, seqs)
    for rubbish in (data[:50], data[:30] + b"\xff" + data[30:], data + b"x" * 1_000_000):
        proven.write_bytes(rubbish)
        assert told(log, proven)[0] == "altered"


def test_a_proof_that_an_old_key_signed_has_the_wrong_key_for_who_knows_the_newer_one(
    tmp_path: Path,
) -> None:
    log = log_in(tmp_path / "home")
    log.write(5)
    old = log.signer
    proof = prove(
        log.folder, Signed(note=log.folder.checkpoint.read_bytes(), checkpoint=log.checkpoint()), 3, [old.vkey]
    )
    file = tmp_path / "3.tlog-proof"
    file.write_bytes(format_proof(proof))
    new = rotate(log.home).new
    assert verify_file(file, [old.vkey]).verdict == "partial"
    report = verify_file(file, [old.vkey, new])
    assert (report.verdict, report.proven) == ("wrong key", 0)
    signed = newest_signed(log.folder, [old.vkey, new])
    assert signed
    file.write_bytes(format_proof(prove(log.folder, signed, 3, [old.vkey, new])))
    assert verify_file(file, [old.vkey, new]).verdict == "partial"


def test_a_proof_that_a_view_from_outside_contradicts_is_forked(log: Log, proven: Path) -> None:
    seen = log.checkpoint()
    assert verify_file(proven, [log.signer.vkey], outside=[replace(seen, root=bytes(32))]).verdict == "forked"
    report = verify_file(proven, [log.signer.vkey], outside=[replace(seen, size=7)])
    assert (report.verdict, report.proven) == ("partial", 1)
    assert "cannot be compared" in report.reasons[1]


def test_a_signed_line_that_is_no_entry_of_its_place_proves_nothing(log: Log, tmp_path: Path) -> None:
    line = log.lines()[0]
    lifted = encode(msgspec.structs.replace(msgspec.json.decode(line, type=Event), seq=3))
    for signed, verdict in (
        (line, "partial"),
        (lifted, "altered"),
        (line.replace(b'"seq":0', b'"seq":0,"seq":0'), "altered"),
        (b"rubbish", "altered"),
    ):
        note = sign_checkpoint(Checkpoint(origin=log.signer.name, size=1, root=leaf_hash(signed)), log.signer)
        file = tmp_path / "proof"
        file.write_bytes(format_proof(Proof(index=0, path=(), note=note, extra=signed)))
        assert told(log, file)[0] == verdict


def test_what_is_neither_a_proof_nor_a_bundle_is_not_judged(log: Log, tmp_path: Path) -> None:
    file = tmp_path / "file"
    for data in (b"", b"rubbish", log.folder.checkpoint.read_bytes(), b"PK\x03\x04rubbish"):
        file.write_bytes(data)
        with pytest.raises(NotVerified):
            verify_file(file, [log.signer.vkey])
    for path in (tmp_path, tmp_path / "nowhere", log.folder.path):
        with pytest.raises(OSError, match="directory"):
            verify_file(path, [log.signer.vkey])


# Zips


def test_a_zip_is_verified_as_the_folder_that_it_holds(log: Log, zipped: Path, tmp_path: Path) -> None:
    report = verify_file(zipped, [log.signer.vkey], outside=[log.checkpoint()])
    assert (report.verdict, report.proven, report.of) == ("partial", 2, 301)
    with zipfile.ZipFile(zipped) as packed:
        packed.extractall(tmp_path)
    assert verify_file(tmp_path / "evidence", [log.signer.vkey], outside=[log.checkpoint()]) == report


def test_a_zip_of_the_same_entries_is_the_same_bytes_and_private(log: Log, zipped: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.zip"
    export_bundle(log.folder, [log.signer.vkey], [299, 7, 7], again)
    assert again.read_bytes() == zipped.read_bytes()
    assert stat.S_IMODE(again.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["again.zip"]
    with zipfile.ZipFile(again) as packed:
        assert {member.date_time for member in packed.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {member.compress_type for member in packed.infolist()} == {zipfile.ZIP_STORED}


def test_a_zip_that_somebody_packed_anew_is_as_good(log: Log, zipped: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(zipped) as packed:
        packed.extractall(tmp_path)
    made = shutil.make_archive(str(tmp_path / "anew"), "zip", tmp_path, "evidence")
    assert told(log, Path(made)) == ("partial", ())


def test_nothing_of_a_zip_is_left_behind(log: Log, zipped: Path) -> None:
    with unpacked(zipped) as folder:
        assert folder.checkpoint.is_file()
    assert not folder.path.parent.exists()


def repacked(zipped: Path, out: Path, change: Callable[[str, bytes], list[tuple[str, bytes]]]) -> Path:
    with zipfile.ZipFile(zipped) as packed, zipfile.ZipFile(out, "w") as made:
        for name in packed.namelist():
            for renamed, data in change(name, packed.read(name)):
                made.writestr(renamed, data)
    return out


def test_an_edited_line_in_a_zip_is_named(log: Log, zipped: Path, tmp_path: Path) -> None:
    out = repacked(
        zipped, tmp_path / "out.zip", lambda name, data: [(name, data.replace(b"report-298", b"report-297"))]
    )
    assert told(log, out) == ("altered", (299,))


@pytest.mark.parametrize(
    "name",
    [
        "evidence/../../escaped",
        "/tmp/escaped",
        "../escaped",
        "evidence/log/../../escaped",
        "evidence\\..\\escaped",
        "evidence/log/000000000000000007.ndjson/",
        "evidence/log/000000000000000007.ndjson.zst",
        "evidence/log/７00000000000000007.ndjson",
        "evidence/tile/0/0000",
        "evidence/tile/9/000",
        "evidence/tile/0/x../000",
        "evidence/keys/ledger.vkey",
        "evidence/.hidden",
        "other/checkpoint",
        "checkpoint",
        "escaped/",
        "../",
    ],
)
def test_a_name_that_no_bundle_has_is_not_unpacked(log: Log, zipped: Path, tmp_path: Path, name: str) -> None:
    out = Path(shutil.copy(zipped, tmp_path / "out.zip"))
    with zipfile.ZipFile(out, "a") as packed:
        packed.writestr(zipfile.ZipInfo(name), b"" if name.endswith("/") else b"x")
    if name == "evidence/log/000000000000000007.ndjson/":
        assert told(log, out) == ("partial", ())  # a folder's name, and nothing is made of it
        return
    with pytest.raises(NotVerified, match="not one of a bundle"):
        told(log, out)
    assert not list(tmp_path.rglob("*escaped*"))


def test_a_file_in_a_zip_is_no_larger_than_it_can_be(
    log: Log, zipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(("bundle.json", "checkpoint", "tile/0/000")):
        out = repacked(
            zipped,
            tmp_path / f"{number}.zip",
            lambda member, data, large=f"evidence/{name}": [(member, data + bytes(70_000 * (member == large)))],
        )
        with pytest.raises(NotVerified, match="holds more than"):
            told(log, out)
    monkeypatch.setattr(received, "MAX_UNPACKED", 5000)
    with pytest.raises(NotVerified, match="holds more than"):
        told(log, zipped)
    monkeypatch.setattr(received, "MAX_MEMBERS", 3)
    with pytest.raises(NotVerified, match="3 is the most"):
        told(log, zipped)


def test_a_zip_that_names_more_files_than_any_memory_holds_is_refused_before_they_are_read(
    log: Log, tmp_path: Path
) -> None:
    out, count = tmp_path / "out.zip", 400_000
    local = struct.pack("<4s2B4HL2L2H", b"PK\3\4", 20, 0, 0, 0, 0, 33, 0, 0, 0, 1, 0) + b"e"
    named = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, 0, 0, 0, 0, 33, 0, 0, 0, 1, *[0] * 6) + b"e"
    size = count * len(named)
    end = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, len(local))
    end += struct.pack("<4sLQL", b"PK\6\7", 0, len(local) + size, 1)
    end += struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    out.write_bytes(local + named * count + end)
    tracemalloc.start()
    try:
        with pytest.raises(NotVerified, match="names more than 100000 files"):
            told(log, out)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_a_zip_holds_twice_has_no_single_reading(log: Log, zipped: Path, tmp_path: Path) -> None:
    out = repacked(zipped, tmp_path / "out.zip", lambda name, data: [(name, data), (name, data)])
    with pytest.raises(NotVerified, match="twice"):
        told(log, out)


def test_a_damaged_zip_is_refused_wherever_it_is_damaged(log: Log, zipped: Path, tmp_path: Path) -> None:
    data = zipped.read_bytes()
    out = tmp_path / "out.zip"
    for at in (*range(0, len(data), 97), *range(len(data) - 900, len(data), 3)):  # the end of a zip is its directory
        out.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        try:
            verdict, _ = told(log, out)
        except NotVerified:
            continue
        assert verdict in ("altered", "partial", "unsigned")  # a byte of a date changes nothing of the evidence
    for end in range(0, len(data), 97):
        out.write_bytes(data[:end])
        with pytest.raises(NotVerified):
            told(log, out)


def test_a_zip_with_a_password_or_an_odd_packing_is_refused(log: Log, zipped: Path, tmp_path: Path) -> None:
    data = bytearray(zipped.read_bytes())
    for start in (b"PK\x03\x04", b"PK\x01\x02"):
        at = data.index(start)
        data[at + (6 if start == b"PK\x03\x04" else 8)] |= 1
    (tmp_path / "locked.zip").write_bytes(data)
    with pytest.raises(NotVerified, match="cannot be unpacked"):
        told(log, tmp_path / "locked.zip")
    made = io.BytesIO()
    with zipfile.ZipFile(zipped) as packed, zipfile.ZipFile(made, "w", zipfile.ZIP_LZMA) as odd:
        for name in packed.namelist():
            odd.writestr(name, packed.read(name))
    (tmp_path / "odd.zip").write_bytes(made.getvalue())
    with pytest.raises(NotVerified, match="packed in a way"):
        told(log, tmp_path / "odd.zip")


def test_a_link_in_a_zip_is_a_file_with_a_strange_text(log: Log, zipped: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.zip"
    with zipfile.ZipFile(zipped) as packed, zipfile.ZipFile(out, "w") as made:
        for member in packed.infolist():
            if member.filename.endswith("/checkpoint"):
                link = zipfile.ZipInfo(member.filename)
                link.external_attr = (stat.S_IFLNK | 0o777) << 16
                made.writestr(link, str(log.folder.checkpoint))
            else:
                made.writestr(member, packed.read(member))
    assert told(log, out)[0] in ("unsigned", "altered")


def test_the_leaf_of_a_proof_can_be_made_by_hand(log: Log, proven: Path) -> None:
    assert leaf_of(parse_proof(proven.read_bytes()).extra) == leaf_of(log.lines()[41])
