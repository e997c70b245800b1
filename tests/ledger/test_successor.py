# SPDX-License-Identifier: Apache-2.0
"""Ending a log that cannot go on: only such a one, nothing is deleted, and a crash in between costs nothing."""

import os
import shutil
from pathlib import Path

import pytest
from tests.ledger.logs import Log, check_chain, entry, log_in

from onrecord.errors import LedgerBusy, LedgerRefused
from onrecord.event.redacted import Redacted
from onrecord.ledger.keys import open_keys
from onrecord.ledger.successor import Predecessor, reopen

pytestmark = pytest.mark.requirement("D2")


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Return a log that was rolled back."""
    log = log_in(tmp_path / "home")
    log.write(5)
    shutil.copytree(log.folder.path, tmp_path / "backup")
    log.write(5)
    shutil.rmtree(log.folder.path)
    shutil.copytree(tmp_path / "backup", log.folder.path)
    return log


def opening(old: Predecessor) -> Redacted:
    detail = {"origin": old.origin, "size": old.size, "root": old.root, "kept_as": old.kept_as}
    return entry(event_type="log_open", phase="", action="succeed", detail=detail)


def current(log: Log) -> Log:
    return Log(log.home, open_keys(log.home)[0].signer)


def test_the_successor_names_the_log_that_ended_and_has_a_name_of_its_own(log: Log) -> None:
    before = log.file.read_bytes()
    old = reopen(log.home, opening)
    assert (old.origin, old.size) == (log.signer.name, 11)
    assert (log.home.path / "ledger" / old.kept_as / "log" / log.file.name).read_bytes() == before
    new = current(log)
    assert new.signer.name != log.signer.name
    first, second = new.events()
    assert (first["event_type"], first["detail"]["origin"]) == ("log_open", new.signer.name)
    assert second["detail"] == {"origin": old.origin, "size": 11, "root": old.root, "kept_as": old.kept_as}
    new.write(3)
    check_chain(new.lines())
    assert new.verify().verdict == "unanchored"


def test_a_sound_log_is_not_ended(tmp_path: Path) -> None:
    log = log_in(tmp_path / "home")
    log.write(5)
    with pytest.raises(LedgerRefused, match="is sound"):
        reopen(log.home, opening)
    log.write(1)
    assert log.verify().verdict == "unanchored"


def test_a_log_that_is_only_busy_is_not_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_in(tmp_path / "home")
    log.write(5)
    holder = log.open()
    holder._writer_lock.acquire(0.0)
    with pytest.raises(LedgerBusy):
        reopen(log.home, opening)
    holder._writer_lock.release()
    holder.close()
    log.write(1)
    assert log.verify().verdict == "unanchored"


def test_a_log_whose_guard_cannot_be_read_can_be_ended(tmp_path: Path) -> None:
    log = log_in(tmp_path / "home")
    log.write(5)
    log.guard.write_bytes(b"garbage")
    old = reopen(log.home, opening)
    assert (old.origin, old.size) == (log.signer.name, 6)
    assert (log.home.path / "guard" / old.kept_as).read_bytes() == b"garbage"
    current(log).write(1)


@pytest.mark.parametrize("calls_before", range(5))
def test_an_ending_that_was_broken_off_can_be_done_again_and_nothing_begins_under_the_old_name(
    log: Log, monkeypatch: pytest.MonkeyPatch, calls_before: int
) -> None:
    """Stop before each step that changes a name on disk, as a crash would."""
    left = calls_before
    rename, unlink = os.rename, Path.unlink

    class Crash(BaseException):
        pass

    def step() -> None:
        nonlocal left
        if left == 0:
            raise Crash
        left -= 1

    def crashing_rename(source: Path, target: Path) -> None:
        step()
        rename(source, target)

    def crashing_unlink(self: Path, missing_ok: bool = False) -> None:
        step()
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(os, "rename", crashing_rename)  # the world's edge: the file system
    monkeypatch.setattr(Path, "unlink", crashing_unlink)
    try:
        reopen(log.home, opening)
        crashed = False
    except Crash:
        crashed = True
    monkeypatch.undo()
    assert crashed == (calls_before < 4)
    if crashed:
        with pytest.raises(LedgerRefused):
            current(log).write(1)  # somebody starts a recorder in between
        old = reopen(log.home, opening)
        assert (old.origin, old.size) == (log.signer.name, 11)
    new = current(log)
    assert new.signer.name != log.signer.name
    new.write(1)
    assert new.verify().verdict == "unanchored"
    kept = [
        path for path in (log.home.path / "ledger").iterdir() if (path / "log").is_dir() and path != log.folder.path
    ]
    assert len(kept) == 1
    assert kept[0].name == new.events()[1]["detail"]["kept_as"]
