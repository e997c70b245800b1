# SPDX-License-Identifier: Apache-2.0
"""A ledger that moves to another account: whole or not at all, whenever it is broken off."""

import os
import shutil
import stat
from pathlib import Path

import pytest
from tests.ledger.logs import log_in
from tests.services import short_folder

from onrecord.errors import LedgerError, LedgerRefused, OnRecordError
from onrecord.ledger import moving
from onrecord.ledger.keys import open_digest_key, read_keys
from onrecord.ledger.keystore import Keystore
from onrecord.ledger.ledger import Ledger
from onrecord.ledger.moving import Move, files_of, make_move
from onrecord.ledger.place import Home
from onrecord.ledger.presence import Presence
from onrecord.ledger.tree import read_guard
from onrecord.ledger.verify import verify
from onrecord.ledger.whereabouts import Moved, moved_file, read_moved

pytestmark = pytest.mark.requirement("D2", "D3")

# Where we are root the new place belongs to another account, else to ours.
OWNER = 12_003 if os.getuid() == 0 else os.getuid()
GROUP = 12_003 if os.getuid() == 0 else os.getgid()


@pytest.fixture
def log(tmp_path):
    log = log_in(tmp_path / "home")
    log.write(300)
    Keystore(log.home, open_digest_key(log.home)).pseudonym(tenant="", source="os_account", subject="x")
    (log.home.keys / "retired").mkdir()
    (log.home.keys / "retired" / "calls-old.vkey").write_text("an old key\n")
    return log


def move_of(log, target) -> Move:
    return Move(
        source=log.home,
        target=Home(target),
        moved=Moved(account="somebody", home=str(target), socket="/run/onrecord/recorder.sock"),
        uid=OWNER,
        gid=GROUP,
    )


def bytes_of(home):
    return {name: (home.path / name).read_bytes() for name in files_of(home) if (home.path / name).is_file()}


def quiet(text):
    pass


def test_everything_is_in_the_new_place_and_nothing_that_signs_is_left(log, tmp_path):
    before = bytes_of(log.home)
    digest_key = (log.home.keys / "digest.key").read_bytes()
    make_move(move_of(log, tmp_path / "var" / "kept"), quiet)

    target = Home(tmp_path / "var" / "kept")
    assert bytes_of(target) == before
    report = verify(target.log(), [log.signer.vkey], guard=read_guard(target.guard()))
    assert (report.verdict, report.entries) == ("unanchored", 301)
    assert read_keys(target).signer.vkey == log.signer.vkey
    assert read_keys(target).digest_key != digest_key
    for path in (target.path, *target.path.rglob("*")):
        held = path.stat()
        assert (held.st_uid, held.st_gid) == (OWNER, GROUP)
        assert stat.S_IMODE(held.st_mode) == (0o700 if path.is_dir() else 0o600)

    left = sorted(path.relative_to(log.home.path).as_posix() for path in log.home.path.rglob("*") if path.is_file())
    assert left == [
        "keys/calls.vkey",
        "keys/create.lock",
        "keys/digest.key",
        "keys/keystore.db",
        "keys/retired/calls-old.vkey",
        "moved.json",
    ]
    assert (log.home.keys / "digest.key").read_bytes() == digest_key
    assert read_moved(log.home) == move_of(log, target.path).moved


def test_a_move_that_was_made_is_made_again_without_effect(log, tmp_path):
    move = move_of(log, tmp_path / "kept")
    make_move(move, quiet)
    before = bytes_of(move.target)
    said: list[str] = []
    make_move(move, said.append)
    assert said == []
    assert bytes_of(move.target) == before


def test_the_log_goes_on_in_the_new_place(log, tmp_path):
    make_move(move_of(log, tmp_path / "kept"), quiet)
    target = Home(tmp_path / "kept")
    for path in (target.path, *target.path.rglob("*")):
        os.chown(path, os.getuid(), os.getgid())  # we play the new account
    ledger = Ledger.open(target, read_keys(target).signer)
    assert ledger.size == 301
    ledger.close()


@pytest.mark.parametrize("step", ["chown", "rename", "copyfileobj", "write_moved", "sync_all", "_digests"])
def test_a_move_that_fails_before_it_counts_has_changed_nothing(log, tmp_path, monkeypatch, step):
    before = bytes_of(log.home)
    calls = []

    def broken(*_args, **_options):
        calls.append(1)
        raise OSError(28, "No space left on device") if step != "write_moved" else LedgerError("no room")

    owner = {"chown": os, "rename": os, "copyfileobj": shutil}.get(step, moving)
    with monkeypatch.context() as patch:
        patch.setattr(owner, step, broken)
        with pytest.raises((OnRecordError, OSError)):
            make_move(move_of(log, tmp_path / "kept"), quiet)
    assert calls
    assert bytes_of(log.home) == before
    assert not moved_file(log.home).exists()
    assert not list(tmp_path.glob("*kept*"))
    make_move(move_of(log, tmp_path / "kept"), quiet)
    assert bytes_of(Home(tmp_path / "kept")) == before


@pytest.mark.parametrize("after", range(4))
def test_a_move_that_dies_while_it_clears_up_is_taken_up(log, tmp_path, monkeypatch, after):
    before = bytes_of(log.home)
    real = Path.unlink
    count = [0]

    def dies(self, missing_ok=False):
        if log.home.path in self.parents and self.suffix == ".key":
            count[0] += 1
            if count[0] > after:
                raise KeyboardInterrupt
        real(self, missing_ok)

    real_rmtree = shutil.rmtree

    def dies_too(path, **options):
        if log.home.path in Path(path).parents:
            raise KeyboardInterrupt
        real_rmtree(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", dies)
        patch.setattr(shutil, "rmtree", dies_too)
        with pytest.raises(KeyboardInterrupt):
            make_move(move_of(log, tmp_path / "kept"), quiet)
    assert bytes_of(Home(tmp_path / "kept")) == before
    make_move(move_of(log, tmp_path / "kept"), quiet)
    assert bytes_of(Home(tmp_path / "kept")) == before
    assert not (log.home.path / "ledger").exists()
    assert not (log.home.keys / "calls.key").exists()


def test_a_copy_that_was_made_before_a_death_is_taken_for_what_it_is(log, tmp_path):
    move = move_of(log, tmp_path / "kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moving, "write_moved", lambda *_: os._exit(0))
        if os.fork() == 0:
            make_move(move, quiet)  # ends in the middle
        os.wait()
    assert not moved_file(log.home).exists()
    make_move(move, quiet)
    assert read_moved(log.home) == move.moved


def test_living_recorders_are_not_moved_away_from(log, tmp_path):
    presence = Presence(log.home, "somebody")
    presence.begin(0)
    with pytest.raises(LedgerRefused, match="1 recorders write"):
        make_move(move_of(log, tmp_path / "kept"), quiet)
    presence.end()
    assert not (tmp_path / "kept").exists()


def test_a_writer_that_no_presence_tells_of_is_not_moved_away_from(log, tmp_path):
    import fcntl

    with log.folder.writer_lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(LedgerRefused, match="somebody holds"):
            make_move(move_of(log, tmp_path / "kept"), quiet)
    assert not (tmp_path / "kept").exists()


def test_two_logs_never_become_one(log, tmp_path):
    other = log_in(tmp_path / "kept")
    other.write(3)
    before = bytes_of(other.home)
    with pytest.raises(LedgerRefused, match="another log"):
        make_move(move_of(log, tmp_path / "kept"), quiet)
    assert bytes_of(other.home) == before


def test_a_home_that_went_elsewhere_is_not_taken_for_one_of_ours(log, tmp_path):
    make_move(move_of(log, tmp_path / "kept"), quiet)
    with pytest.raises(LedgerRefused, match="elsewhere"):
        make_move(move_of(log, tmp_path / "other"), quiet)


def test_a_link_in_the_home_is_not_followed(log, tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "shadow").write_text("root's")
    (log.home.path / "ledger" / "more").symlink_to(secret)
    with pytest.raises(LedgerRefused, match="neither a file nor a folder"):
        make_move(move_of(log, tmp_path / "kept"), quiet)
    assert not (tmp_path / "kept").exists()
    assert (secret / "shadow").exists()


def test_what_is_read_in_a_home_is_read_with_the_rights_of_its_owner():
    """As root: a folder of keys that leads to somebody else's shows and removes nothing. Otherwise we are the owner."""
    place = short_folder()
    place.chmod(0o711)
    log = log_in(place / "home")
    log.write(3)
    foreign = place / "foreign"
    foreign.mkdir(mode=0o700)
    (foreign / "tls.key").write_text("not ours")
    if os.getuid() == 0:
        for path in (log.home.path, *log.home.path.rglob("*")):
            os.chown(path, 12_004, 12_004)
    else:
        foreign.chmod(0)
    shutil.rmtree(log.home.keys)
    log.home.keys.symlink_to(foreign)
    with pytest.raises((OnRecordError, OSError)):
        make_move(move_of(log, place / "kept"), quiet)
    foreign.chmod(0o700)
    assert (foreign / "tls.key").read_text() == "not ours"
    assert not (place / "kept").exists()
    shutil.rmtree(place)
