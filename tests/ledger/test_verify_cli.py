# SPDX-License-Identifier: Apache-2.0
"""`onrecord verify`: exit codes, forms of output, and where keys and views come from."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.ledger.logs import Log, entry, log_in

from onrecord.cli import progress
from onrecord.cli.main import main
from onrecord.ledger.evidence import newest_signed, prove
from onrecord.ledger.export import export_bundle
from onrecord.ledger.keys import open_keys
from onrecord.ledger.ledger import Ledger
from onrecord.ledger.note import Checkpoint, SignerKey, sign_checkpoint
from onrecord.ledger.proof import format_proof
from onrecord.ledger.rotation import rotate
from onrecord.ledger.signing import verifier_file
from onrecord.ledger.successor import reopen

pytestmark = pytest.mark.requirement("D2")

INSTALLED = Path(sys.executable).with_name("onrecord")


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Log:
    log = log_in(tmp_path / "home")
    log.write(300)
    monkeypatch.setenv("ONRECORD_HOME", str(log.home.path))
    return log


@pytest.fixture
def kept(log: Log, tmp_path: Path) -> Path:
    """Return a checkpoint that somebody copied away."""
    return Path(shutil.copy(log.folder.checkpoint, tmp_path / "kept"))


def asked(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["verify", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def answer(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any]]:
    code, out, _ = asked(capsys, "--json", *arguments)
    return code, json.loads(out)


def edit(log: Log) -> None:
    data = log.file.read_bytes()
    log.file.write_bytes(data.replace(b"report-7.txt", b"report-8.txt"))


def test_a_log_without_a_view_from_outside_is_unanchored_and_that_is_no_success(
    log: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = asked(capsys)
    assert code == 1
    assert out.startswith(f"unanchored: {log.folder.path}\n")
    assert "301 entries read; the newest valid signature covers 301" in out
    code, out, _ = asked(capsys, "--allow-unanchored")
    assert code == 0
    assert out.startswith("unanchored:")


def test_a_log_that_fits_a_view_from_outside_is_intact(
    log: Log, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = asked(capsys, "--checkpoint", kept)
    assert code == 0
    assert out.startswith("intact:")
    log.write(5)
    assert asked(capsys, "--checkpoint", kept)[0] == 0
    assert asked(capsys, "--checkpoint", kept, "--checkpoint", log.folder.checkpoint)[0] == 0


def test_how_far_the_views_from_outside_reach_is_in_the_first_line(
    log: Log, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.write(5)
    code, out, _ = asked(capsys, "--checkpoint", kept)
    assert (code, out.splitlines()[0]) == (0, f"intact up to entry 300 of 305: {log.folder.path}")
    assert out.splitlines()[1] == f"  of {log.signer.name}"
    assert "nobody outside stands by the 5 behind them" in out
    report = answer(capsys, "--checkpoint", kept)[1]
    assert (report["verdict"], report["covered"], report["entries"]) == ("intact", 301, 306)
    code, out, _ = asked(capsys, "--checkpoint", kept, "--checkpoint", log.folder.checkpoint)
    assert (code, out.splitlines()[0]) == (0, f"intact: {log.folder.path}")
    assert answer(capsys)[1]["covered"] == 0


def test_a_checkpoint_that_a_newer_key_signed_counts_for_who_has_the_first_one(
    log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = log.signer.vkey
    rotate(log.home)
    shutil.copytree(log.folder.path, tmp_path / "copy")
    code, out, _ = asked(capsys, tmp_path / "copy", "--key", first, "--checkpoint", log.folder.checkpoint)
    assert (code, out.splitlines()[0]) == (0, f"intact: {tmp_path / 'copy'}")
    stranger = log_in(tmp_path / "stranger")
    stranger.write(3)
    code, out, err = asked(capsys, tmp_path / "copy", "--key", first, "--checkpoint", stranger.folder.checkpoint)
    assert (code, out) == (2, "")
    assert "is not one of a log that is verified here" in err
    thief = SignerKey(name=log.signer.name, private=stranger.signer.private)
    forged = Checkpoint(origin=thief.name, size=5, root=bytes(32))
    (tmp_path / "forged").write_bytes(sign_checkpoint(forged, thief))
    code, out, err = asked(capsys, tmp_path / "copy", "--key", first, "--checkpoint", tmp_path / "forged")
    assert (code, out) == (2, "")
    assert "is not one of this log" in err


def test_who_kept_a_checkpoint_of_an_older_key_is_told_to_bring_that_key_too(
    log: Log, kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = log.signer.vkey
    rotate(log.home)
    new = open_keys(log.home)[0].signer.vkey
    copy, proof, bundle = tmp_path / "copy", tmp_path / "proof", tmp_path / "bundle"
    shutil.copytree(log.folder.path, copy)
    signed = newest_signed(log.folder, [new])
    assert signed is not None
    proof.write_bytes(format_proof(prove(log.folder, signed, 3, [new])))
    export_bundle(log.folder, [new], [3], bundle)
    for path in (copy, proof, bundle):
        code, out, err = asked(capsys, path, "--key", new, "--checkpoint", kept)
        assert (code, out) == (2, "")
        assert "give the one before too, older first: --key OLD --key NEW" in err
    for keys in (["--key", old], ["--key", old, "--key", new]):
        code, out, _ = asked(capsys, copy, *keys, "--checkpoint", kept)
        assert (code, out.splitlines()[0]) == (0, f"intact up to entry 300 of 301: {copy}")
        assert asked(capsys, bundle, *keys, "--checkpoint", kept)[0] == 3
    assert asked(capsys, proof, "--key", old, "--key", new, "--checkpoint", kept)[0] == 3


def test_another_log_in_the_place_of_one_has_the_wrong_key(
    log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys, _ = open_keys(log.home, "access")
    ledger = Ledger.open(log.home, keys.signer, log="access")
    ledger.append(entry())
    ledger.publish()
    ledger.close()
    both = ("--key", verifier_file(log.home), "--key", verifier_file(log.home, "access"))
    copy = tmp_path / "copy"
    shutil.copytree(log.home.path / "ledger", copy)
    assert asked(capsys, copy, *both, "--allow-unanchored")[0] == 0
    shutil.rmtree(copy / "calls")
    shutil.copytree(log.home.log("access").path, copy / "calls")
    for asked_for in ((copy,), (copy, "--log", "calls"), (copy / "calls",), (copy / "calls", "--log", "calls")):
        code, out, _ = asked(capsys, *asked_for, *both, "--allow-unanchored")
        assert (code, out.split(":")[0]) == (1, "wrong key")
        assert f"signed as the log access, and not as calls: {keys.signer.name}" in out
    (copy / "calls").rename(tmp_path / "what somebody sent")
    assert asked(capsys, tmp_path / "what somebody sent", *both, "--allow-unanchored")[0] == 0  # no name was claimed
    assert asked(capsys, tmp_path / "what somebody sent", *both, "--allow-unanchored", "--log", "security")[0] == 1


def test_a_home_is_all_of_its_logs(log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys, _ = open_keys(log.home, "access")
    ledger = Ledger.open(log.home, keys.signer, log="access")
    ledger.append(entry())
    ledger.publish()
    ledger.close()
    shutil.copytree(log.home.path, tmp_path / "copy")
    for path in (log.home.path, log.home.path / "ledger", tmp_path / "copy", tmp_path / "copy" / "ledger"):
        code, out, _ = asked(capsys, path, "--allow-unanchored", "--json")
        assert code == 0
        assert [json.loads(line)["log"] for line in out.splitlines()] == ["calls", "access"]
    file = tmp_path / "copy/ledger/access/log/000000000000000000.ndjson"
    file.write_bytes(file.read_bytes().replace(b"report-0.txt", b"report-1.txt"))
    assert asked(capsys, tmp_path / "copy", "--allow-unanchored")[0] == 1
    assert asked(capsys, tmp_path / "copy", "--allow-unanchored", "--log", "calls")[0] == 0


def test_a_part_that_holds_and_a_forged_one_end_differently(
    log: Log, kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = [log.signer.vkey]
    export_bundle(log.folder, keys, [7], tmp_path / "case.zip")
    export_bundle(log.folder, keys, [7], tmp_path / "case")
    signed = newest_signed(log.folder, keys)
    assert signed is not None
    (tmp_path / "7.tlog-proof").write_bytes(format_proof(prove(log.folder, signed, 7, keys)))
    for name in ("case.zip", "case", "7.tlog-proof"):
        code, out, _ = asked(capsys, tmp_path / name, "--checkpoint", kept)
        assert (code, out.splitlines()[0]) == (3, f"partial 1 of 301: {tmp_path / name}")
        assert out.splitlines()[1] == f"  of {log.signer.name}"
        assert asked(capsys, tmp_path / name, "--key", keys[0], "--log", "access")[0] == 1  # it is of another log
    (segment,) = (tmp_path / "case" / "log").iterdir()
    segment.write_bytes(segment.read_bytes().replace(b"report-6.txt", b"report-8.txt"))
    proof = (tmp_path / "7.tlog-proof").read_bytes()
    (tmp_path / "7.tlog-proof").write_bytes(proof.replace(b"index 7", b"index 8"))
    for name in ("case", "7.tlog-proof"):
        assert asked(capsys, tmp_path / name)[0] == 1


def test_the_answer_as_json_is_one_object_with_everything_in_it(
    log: Log, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, report = answer(capsys, "--checkpoint", kept)
    assert code == 0
    assert report["verdict"] == "intact"
    assert (report["entries"], report["signed"], report["seqs"]) == (301, 301, [])
    assert report["origin"] == log.signer.name
    assert report["torn_bytes"] == 0
    assert report["open_calls"] == 300
    edit(log)
    code, report = answer(capsys, "--checkpoint", kept)
    assert code == 1
    assert (report["verdict"], report["seqs"]) == ("altered", [8])


def test_only_unanchored_is_excused(log: Log, kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = log.file.read_bytes()
    verdicts: list[str] = []
    for changed in (
        data.replace(b"report-7.txt", b"report-8.txt"),
        data[: data[:-1].rfind(b"\n") + 1],
        data + data.split(b"\n")[-2] + b"\n",
        b"",
    ):
        log.file.write_bytes(changed)
        code, report = answer(capsys, "--allow-unanchored")
        assert code == 1
        verdicts.append(report["verdict"])
        assert asked(capsys, "--allow-unanchored", "--checkpoint", kept)[0] == 1
    assert verdicts == ["altered", "truncated", "altered", "empty"]


def test_in_place_the_guard_of_the_host_is_asked_and_for_a_copy_it_is_not(
    log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(log.folder.path, tmp_path / "backup")
    log.write(5)
    shutil.rmtree(log.folder.path)
    shutil.copytree(tmp_path / "backup", log.folder.path)
    code, report = answer(capsys)
    assert (code, report["verdict"], report["seqs"]) == (1, "rolled back", [301, 302, 303, 304, 305])
    code, report = answer(capsys, tmp_path / "backup")
    assert (code, report["verdict"]) == (1, "unanchored")


@pytest.mark.parametrize("part", [".", "ledger", "ledger/calls"])
def test_the_path_may_be_a_home_a_ledger_or_a_log(
    log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    shutil.copytree(log.home.path, tmp_path / "copy")
    code, report = answer(capsys, tmp_path / "copy" / part)
    assert (code, report["verdict"], report["entries"]) == (1, "unanchored", 301)


def test_the_key_is_given_as_text_or_as_a_file(
    log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONRECORD_HOME", str(tmp_path / "an auditor's home"))
    file = verifier_file(log.home)
    for key in (str(log.signer.vkey), file):
        code, report = answer(capsys, log.folder.path, "--key", key)
        assert (code, report["verdict"], report["signed"]) == (1, "unanchored", 301)
    stranger = log_in(tmp_path / "stranger").signer.vkey
    code, report = answer(capsys, log.folder.path, "--key", stranger)
    assert (code, report["verdict"], report["signed"]) == (1, "wrong key", 0)
    assert answer(capsys, log.folder.path, "--key", stranger, "--key", file)[1]["verdict"] == "unanchored"


def test_the_key_never_comes_from_the_ledger_that_is_verified(
    log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONRECORD_HOME", str(tmp_path / "an auditor's home"))
    code, out, err = asked(capsys, log.home.path)
    assert (code, out) == (2, "")
    assert "--key" in err


def test_what_cannot_be_told_is_neither_good_nor_bad_news(
    log: Log, kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stranger = log_in(tmp_path / "stranger")
    stranger.write(1)
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"\xff\xfe")
    for arguments in (
        [tmp_path / "nowhere"],
        ["--key", "nonsense"],
        ["--key", garbage],
        ["--checkpoint", tmp_path / "nowhere"],
        ["--checkpoint", garbage],
        ["--checkpoint", tmp_path],
        ["--checkpoint", stranger.folder.checkpoint],
    ):
        code, out, err = asked(capsys, *arguments)
        assert (code, out) == (2, ""), arguments
        assert err.count("\n") == 1
        assert "Traceback" not in err
    log.guard.write_bytes(b"garbage")
    assert asked(capsys)[0] == 2
    log.guard.unlink()
    log.file.rename(tmp_path / "lines")
    log.file.mkdir()
    code, out, err = asked(capsys)
    assert (code, out) == (2, "")
    assert "cannot read" in err


def test_a_path_that_leads_to_no_log_is_named_with_what_it_is(
    log: Log, kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bare").mkdir()
    for path, reason in (
        (tmp_path / "bare", "no log called calls"),
        (kept, "neither"),
        (tmp_path / "nowhere", "there is nothing at"),
    ):
        code, out, err = asked(capsys, path)
        assert (code, out) == (2, "")
        assert reason in err


def test_a_log_whose_lines_are_gone_is_empty(log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(log.folder.path, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "log")
    code, report = answer(capsys, tmp_path / "copy")
    assert (code, report["verdict"], report["entries"]) == (1, "empty", 0)
    shutil.rmtree(log.folder.path)
    code, report = answer(capsys)
    assert (code, report["verdict"], report["entries"]) == (1, "empty", 0)


# Several logs


def write_security(log: Log) -> SignerKey:
    signer = open_keys(log.home, "security")[0].signer
    ledger = Ledger.open(log.home, signer, log="security")
    ledger.append(entry(event_type="security", phase=""))
    ledger.publish()
    ledger.close()
    return signer


def test_all_logs_of_the_home_are_verified_and_one_bad_one_is_enough(
    log: Log, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    open_keys(log.home, "access")  # it has a key, and nobody has begun it
    security = write_security(log)
    code, out, _ = asked(capsys, "--json")
    reports = [json.loads(line) for line in out.splitlines()]
    assert [(each["log"], each["verdict"], each["entries"]) for each in reports] == [
        ("calls", "unanchored", 301),
        ("security", "unanchored", 2),
    ]
    assert code == 1
    code, report = answer(capsys, "--checkpoint", kept)  # which says what log is meant
    assert (code, report["log"], report["verdict"]) == (0, "calls", "intact")
    view = log.home.log("security").checkpoint
    assert asked(capsys, "--checkpoint", kept, "--checkpoint", view)[0] == 0
    code, out, _ = asked(capsys, "--allow-unanchored")
    assert code == 0
    assert [block.split(":")[0] for block in out.split("\n\n")] == ["unanchored", "unanchored"]
    edit(log)
    assert asked(capsys, "--allow-unanchored")[0] == 1
    code, report = answer(capsys, "--log", "security", "--allow-unanchored")
    assert (code, report["log"], report["origin"]) == (0, "security", security.name)
    code, report = answer(capsys, "--key", security.vkey, "--allow-unanchored")
    assert (code, report["log"]) == (0, "security")
    code, report = answer(capsys, log.home.path, "--log", "security")
    assert (code, report["log"], report["verdict"]) == (1, "security", "unanchored")


def test_a_log_of_the_home_that_was_taken_away_is_not_passed_over(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    write_security(log)
    shutil.rmtree(log.home.log("security").path)
    code, out, _ = asked(capsys, "--json", "--allow-unanchored")
    assert code == 1
    assert [json.loads(line)["verdict"] for line in out.splitlines()] == ["unanchored", "empty"]


# Age


def test_a_log_that_has_fallen_silent_is_stale(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = answer(capsys, "--allow-unanchored", "--max-age", "1h")
    assert (code, report["stale"]) == (0, False)
    assert report["newest"] == log.events()[-1]["timestamp"]
    time.sleep(1.1)  # the shortest age there is
    code, report = answer(capsys, "--allow-unanchored", "--max-age", "1s")
    assert (code, report["verdict"], report["stale"]) == (1, "unanchored", True)
    code, out, _ = asked(capsys, "--allow-unanchored", "--max-age", "1s")
    assert f"stale: the newest entry is of {report['newest']}" in out
    with pytest.raises(SystemExit) as caught:
        asked(capsys, "--max-age", "soon")
    assert caught.value.code == 2


# Progress


def test_a_bar_is_shown_where_somebody_looks_on_and_is_gone_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_FIRST_S", 0.0)
    monkeypatch.setattr(progress, "_EVERY_S", 0.0)
    with progress.Bar("reading calls", 2_000_000) as bar:
        bar(1_000_000)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress.Bar("reading calls", 2_000_000) as bar:
        bar(1_000_000)
        bar(3_000_000)
    err = capsys.readouterr().err
    assert "reading calls [###############...............]  50% of 2 MB" in err
    assert "100%" in err
    assert err.endswith("\r\x1b[K")


def test_nothing_in_a_log_acts_on_the_terminal(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    with log.file.open("ab") as file:
        file.write(b'{"schema_version":"\x1b[2J\x1b[31m"}\n')
    _, out, err = asked(capsys)
    assert "\x1b" not in out + err


def test_the_installed_command_says_the_same(log: Log, kept: Path) -> None:
    for arguments, code, begin in (
        ([], 1, "unanchored: "),
        (["--allow-unanchored"], 0, "unanchored: "),
        (["--checkpoint", kept], 0, "intact: "),
        (["--key", "nonsense"], 2, ""),
    ):
        ran = subprocess.run([INSTALLED, "verify", *arguments], capture_output=True, text=True)
        assert (ran.returncode, ran.stdout[: len(begin)]) == (code, begin)
        assert "Traceback" not in ran.stderr


# The end of one log and the beginning of the next


def test_a_log_that_was_ended_still_verifies_with_its_own_key(
    log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old_key = str(log.signer.vkey)
    shutil.copytree(log.folder.path, tmp_path / "backup")
    log.write(5)
    shutil.rmtree(log.folder.path)
    shutil.copytree(tmp_path / "backup", log.folder.path)
    old = reopen(log.home, lambda old: entry(event_type="log_open", phase="", detail={"size": old.size}))
    assert (old.origin, old.size) == (log.signer.name, 306)
    code, report = answer(capsys)
    assert (code, report["verdict"], report["entries"]) == (1, "unanchored", 2)
    assert report["origin"] != log.signer.name
    code, report = answer(capsys, log.home.path / "ledger" / old.kept_as, "--key", old_key)
    assert (code, report["verdict"], report["entries"]) == (1, "unanchored", 301)
