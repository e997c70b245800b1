# SPDX-License-Identifier: Apache-2.0
"""Copies and files from somebody who wants a verifier to hang, to run out of memory, or to end in a traceback."""

import io
import json
import os
import resource
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.ledger.logs import PATIENCE_S, Log, compact, log_in

from onrecord.cli.main import main
from onrecord.errors import ConfigError, KeyFileError, LedgerRefused, NotVerified
from onrecord.ledger.evidence import newest_signed
from onrecord.ledger.export import export_bundle
from onrecord.ledger.frames import compress
from onrecord.ledger.keys import read_verifiers
from onrecord.ledger.lines import compressed_form, write_tombstone
from onrecord.ledger.merkle import leaf_hash
from onrecord.ledger.received import unpacked
from onrecord.ledger.smallfile import NotSmall, read_small
from onrecord.ledger.tree import read_tile
from onrecord.settings import load

pytestmark = pytest.mark.requirement("D2")

HUGE = 2 << 30  # bytes; twice of what a verifier may use here, and none of them are on the disk
MEMORY = 1 << 30


@pytest.fixture
def log(tmp_path: Path) -> Log:
    log = log_in(tmp_path / "home")
    log.write(300)
    return log


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_sparse_file(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(HUGE)


def a_folder(path: Path) -> None:
    path.mkdir()


TRAPS = [a_pipe, a_device, a_sparse_file, a_folder]


def verified(log: Log, path: Path) -> tuple[int, str, str]:
    """Run `onrecord verify` as somebody else would, with little time and memory."""
    code = "import sys; from onrecord.cli.main import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "verify", str(path), "--key", str(log.signer.vkey), "--json"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=os.environ | {"ONRECORD_HOME": str(path.parent / "an auditor's home")},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.__name__)
@pytest.mark.parametrize(
    "name", ["checkpoint", "checkpoints.ndjson", "anchors.ndjson", "tile/0/000", "tile/0/001.p/45", "log/999.ndjson"]
)
def test_what_is_no_small_file_gets_a_verdict_at_once(
    log: Log, tmp_path: Path, name: str, trap: Callable[[Path], None]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(log.folder.path, copy)
    (copy / name).unlink(missing_ok=True)
    trap(copy / name)
    code, out, _ = verified(log, copy)
    assert code == 1
    verdict = json.loads(out)["verdict"]
    if name == "checkpoint" or (name == "checkpoints.ndjson" and trap is a_sparse_file):
        assert verdict == "altered"
    else:
        assert verdict == "unanchored"


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.__name__)
@pytest.mark.parametrize("name", ["checkpoint", "bundle.json", "checkpoints.ndjson", "tile/0/000"])
def test_what_is_no_small_file_in_a_bundle_gets_a_verdict_at_once(
    log: Log, tmp_path: Path, name: str, trap: Callable[[Path], None]
) -> None:
    export_bundle(log.folder, [log.signer.vkey], [7], tmp_path / "bundle")
    (tmp_path / "bundle" / name).unlink(missing_ok=True)
    trap(tmp_path / "bundle" / name)
    code, out, _ = verified(log, tmp_path / "bundle")
    assert code != 0
    assert name == "checkpoints.ndjson" or not out or json.loads(out)["verdict"] in ("altered", "unanchored", "empty")


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.__name__)
def test_what_is_no_small_file_is_said_to_whoever_wants_to_read_it(
    log: Log, tmp_path: Path, trap: Callable[[Path], None]
) -> None:
    trap(tmp_path / "trap")
    with pytest.raises(NotSmall, match="trap"):
        read_small(tmp_path / "trap", 100)
    if trap is a_sparse_file:
        with pytest.raises(KeyFileError):
            read_verifiers(str(tmp_path / "trap"))
    log.folder.checkpoint.unlink()
    trap(log.folder.checkpoint)
    with pytest.raises(NotVerified):
        newest_signed(log.folder, [log.signer.vkey])
    (log.folder.path / "tile/0/000").unlink()
    trap(log.folder.path / "tile/0/000")
    with pytest.raises(NotVerified, match="missing or short"):
        read_tile(log.folder, 0, 0, 256)


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.__name__)
def test_settings_that_are_no_small_file_are_refused(log: Log, trap: Callable[[Path], None]) -> None:
    trap(log.home.config)
    with pytest.raises(ConfigError, match="is no file of settings"):
        load(log.home)


def test_a_small_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100)
    assert read_small(tmp_path / "file", 100) == b"x" * 100
    with pytest.raises(NotSmall):
        read_small(tmp_path / "file", 99)
    with pytest.raises(FileNotFoundError):
        read_small(tmp_path / "none", 99)


def test_a_segment_that_unpacks_to_more_lines_than_any_memory_holds_is_altered(log: Log, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(log.folder.path, copy)
    file = copy / "log" / log.file.name
    lines = file.read_bytes().split(b"\n")[:-1]
    lines[100], lines[101] = lines[101], lines[100]
    bomb = compress([b"".join(line + b"\n" for line in lines), *[b"\n" * (1 << 24)] * 32])
    compressed_form(file).write_bytes(b"".join(bomb))
    file.unlink()
    code, out, _ = verified(log, copy)
    assert (code, json.loads(out)["verdict"], json.loads(out)["seqs"]) == (1, "altered", [100])


def test_a_line_that_claims_a_place_beyond_any_number_is_named(log: Log, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(log.folder.path, copy)
    lines = log.lines()
    for seq in (2**63 - 1, -5):
        forged = [*lines, compact(json.loads(lines[-1]) | {"seq": seq})]
        (copy / "log" / log.file.name).write_bytes(b"".join(line + b"\n" for line in forged))
        code, out, _ = verified(log, copy)
        assert (code, json.loads(out)["verdict"]) == (1, "altered")


def test_a_name_in_a_zip_may_be_empty(tmp_path: Path) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as packed:
        packed.writestr("x", b"")
    (tmp_path / "z.zip").write_bytes(data.getvalue().replace(b"\x01\x00\x00\x00x", b"\x00\x00\x00\x00"))
    raw = bytearray(data.getvalue())
    at = raw.rindex(b"PK\x01\x02")
    raw[at + 28 : at + 30] = b"\x00\x00"  # the length of the name in the directory
    end = raw.rindex(b"PK\x05\x06")
    del raw[at + 46 : at + 47]
    size = int.from_bytes(raw[end + 11 : end + 15], "little") - 1
    raw[end + 11 : end + 15] = size.to_bytes(4, "little")
    (tmp_path / "z.zip").write_bytes(raw)
    with zipfile.ZipFile(tmp_path / "z.zip") as packed:
        assert [member.filename for member in packed.infolist()] == [""]
    with pytest.raises(NotVerified, match="not one of a bundle"), unpacked(tmp_path / "z.zip"):
        pass


@pytest.mark.parametrize(
    "verb",
    [["tail"], ["show", "1"], ["verify"], ["keys"], ["watch", "--once"], ["doctor"], ["prove", "1"], ["anchor"]],
    ids=lambda verb: verb[0],
)
def test_a_home_that_no_file_system_can_have_is_one_line(
    verb: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ONRECORD_HOME", "/" + "x" * 5000)
    assert main(verb) in (1, 2)
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    assert len(err) < 6000
    assert err or out


@pytest.mark.parametrize("which", ["", " ", "9" * 5000, "٣"])
def test_a_name_that_no_entry_has_is_not_found(
    log: Log, which: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ONRECORD_HOME", str(log.home.path))
    assert main(["show", which]) == 1
    out, err = capsys.readouterr()
    assert not out
    assert "nothing on the record" in err


def test_a_decoy_beside_a_segment_is_altered_where_it_says_something_else(log: Log) -> None:
    lines = log.file.read_bytes()
    decoy = compressed_form(log.file)
    decoy.write_bytes(b"".join(compress([lines])))
    report = log.verify()
    assert report.verdict == "unanchored"  # a crash may leave both
    assert any("is there in compressed form too" in reason for reason in report.reasons)
    first = lines.split(b"\n")[1]
    gone = write_tombstone(1, leaf_hash(first), rule="r", entry=300)
    decoy.write_bytes(b"".join(compress([lines.replace(first, gone)])))
    assert log.verify().verdict == "unanchored"  # a deletion that was killed leaves it so
    for other in (
        b"".join(compress([lines.replace(first, write_tombstone(1, bytes(32), rule="r", entry=300))])),
        b"".join(compress([lines.replace(b"report-7.txt", b"report-8.txt")])),
        b"".join(compress([b""])),
        b"no zstd",
        b"",
    ):
        decoy.write_bytes(other)
        report = log.verify()
        assert report.verdict == "altered"
        assert "holds other lines" in report.reasons[0]
    decoy.unlink()
    assert log.verify().reasons == log.verify().reasons
    assert not any("compressed" in reason for reason in log.verify().reasons)


def test_an_empty_segment_where_no_entry_belongs_is_altered_and_not_written_to(log: Log) -> None:
    stray = log.folder.segments / "999999999999999999.ndjson"
    stray.touch()
    report = log.verify()
    assert (report.verdict, report.seqs) == ("altered", (301,))
    assert f"{stray.name} is empty" in report.reasons[0]
    with pytest.raises(LedgerRefused, match="stands where no entry of this log belongs"):
        log.open()
    assert stray.stat().st_size == 0
    stray = stray.rename(log.folder.segments / f"{5:018d}.ndjson")
    assert log.verify().verdict == "altered"
    with pytest.raises(LedgerRefused):
        log.open()
    assert stray.stat().st_size == 0
    stray.rename(log.folder.segments / f"{301:018d}.ndjson")  # that is where a process died that began it
    assert log.verify().verdict == "unanchored"
    log.write(1)
    assert log.verify().verdict == "unanchored"


def test_files_that_no_reader_of_ours_reads_are_mentioned(log: Log) -> None:
    (log.folder.segments / ".000.ndjson.next").touch()  # as a process leaves them that dies
    assert not any("none of them" in reason for reason in log.verify().reasons)
    for name in ("notes.txt", "7.ndjson", "x.ndjson.zst", "y"):
        (log.folder.segments / name).touch()
    os.mkfifo(log.folder.segments / f"{301:018d}.ndjson")
    report = log.verify()
    assert report.verdict == "unanchored"
    said = f"beside the lines lies what is none of them: {301:018d}.ndjson, 7.ndjson, notes.txt and 2 more"
    assert said in report.reasons


@pytest.mark.parametrize(
    "name", ["log", f"log/{0:018d}.ndjson", "tile", "tile/0/000", "checkpoint", "checkpoints.ndjson", "anchors.ndjson"]
)
def test_a_link_in_a_copy_is_not_followed(log: Log, tmp_path: Path, name: str) -> None:
    copy, elsewhere = tmp_path / "copy", tmp_path / "elsewhere"
    shutil.copytree(log.folder.path, copy)
    (copy / "anchors.ndjson").touch()
    assert json.loads(verified(log, copy)[1])["verdict"] == "unanchored"
    (copy / name).rename(elsewhere)
    (copy / name).symlink_to(elsewhere)
    code, out, _ = verified(log, copy)
    report = json.loads(out)
    assert (code, report["verdict"], report["entries"]) == (1, "altered", 0)
    assert report["reasons"] == [
        f"{name} is a link, and a copy holds files: what it leads to is no part of it, and nothing was read"
    ]


@pytest.mark.parametrize("name", ["bundle.json", "checkpoint", "log", "tile/0/000"])
def test_a_link_in_a_bundle_is_not_followed(log: Log, tmp_path: Path, name: str) -> None:
    bundle, elsewhere = tmp_path / "bundle", tmp_path / "elsewhere"
    export_bundle(log.folder, [log.signer.vkey], [7], bundle)
    (bundle / name).rename(elsewhere)
    (bundle / name).symlink_to(elsewhere)
    code, out, _ = verified(log, bundle)
    assert (code, json.loads(out)["verdict"]) == (1, "altered")
    assert f"{name} is a link" in json.loads(out)["reasons"][0]


def test_a_copy_that_leads_to_the_log_of_the_verifier_is_not_taken_for_it(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "ledger").symlink_to(log.home.path / "ledger")
    monkeypatch.setenv("ONRECORD_HOME", str(log.home.path))
    assert main(["verify", str(tmp_path / "copy"), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["verdict"], report["entries"]) == ("altered", 0)
    assert report["reasons"][0].startswith("ledger is a link")


def test_links_of_the_verifier_s_own_are_followed(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "named").symlink_to(log.folder.path)
    assert json.loads(verified(log, tmp_path / "named")[1])["verdict"] == "unanchored"
    (log.home.path / "ledger").rename(tmp_path / "another disk")
    (log.home.path / "ledger").symlink_to(tmp_path / "another disk")
    monkeypatch.setenv("ONRECORD_HOME", str(log.home.path))
    for path in ([], [str(log.home.path)], [str(log.folder.path)]):
        assert main(["verify", *path, "--json"]) == 1
        assert json.loads(capsys.readouterr().out)["verdict"] == "unanchored"


def test_a_compressed_segment_that_is_cut_off_is_altered(log: Log, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(log.folder.path, copy)
    file = copy / "log" / log.file.name
    whole = b"".join(compress([file.read_bytes()]))
    file.unlink()
    for length in (0, 10, len(whole) // 2, len(whole) - 5):
        compressed_form(file).write_bytes(whole[:length])
        code, out, _ = verified(log, copy)
        assert (code, json.loads(out)["verdict"]) == (1, "altered"), length


def bomb(block: bytes) -> bytes:
    """Return compressed frames that unpack to 160 GiB of `block`, without a table."""
    frame = next(compress([block * ((1 << 24) // len(block))]))
    return frame * 10_000


def test_a_segment_that_unpacks_to_more_than_anybody_waits_for_gets_a_verdict_at_once(log: Log, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(log.folder.path, copy)
    file = copy / "log" / log.file.name
    data = file.read_bytes()
    for block in (b"x", b"\n"):
        compressed_form(file).write_bytes(next(compress([data])) + bomb(block))
        code, out, _ = verified(log, copy)
        assert (code, json.loads(out)["verdict"]) == (1, "altered")
        assert "holds other lines" in json.loads(out)["reasons"][0]
    file.unlink()
    lines = data.split(b"\n")[:-1]
    lines[100], lines[101] = lines[101], lines[100]
    compressed_form(file).write_bytes(next(compress([b"".join(line + b"\n" for line in lines)])) + bomb(b"x"))
    code, out, _ = verified(log, copy)
    assert (code, json.loads(out)["verdict"], json.loads(out)["seqs"]) == (1, "altered", [100, 101])


def test_a_segment_is_named_in_the_digits_of_ascii(log: Log, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(log.folder.path, copy)
    (copy / "log" / log.file.name).rename(copy / "log" / ("\u0660" * 18 + ".ndjson"))
    code, out, _ = verified(log, copy)
    assert (code, json.loads(out)["verdict"]) == (1, "empty")


def test_a_decoy_that_goes_on_behind_its_last_line_holds_something_else(log: Log) -> None:
    compressed_form(log.file).write_bytes(b"".join(compress([log.file.read_bytes(), b"x" * (1 << 21)])))
    assert log.verify().verdict == "altered"
