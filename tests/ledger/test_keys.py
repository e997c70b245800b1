# SPDX-License-Identifier: Apache-2.0
"""The keys of a home: made once, private, complete, and refused when they are none of that."""

import base64
import os
import signal
import stat
import time
from pathlib import Path

import pytest
from tests.ledger.logs import Log, child, log_in, said

from onrecord.errors import KeyFileError, LedgerRefused
from onrecord.ledger.durable import replace_file
from onrecord.ledger.keys import open_keys, read_keys, read_verifiers, retire_signer
from onrecord.ledger.place import Home
from onrecord.ledger.signing import verifier_file

pytestmark = pytest.mark.requirement("D2")

CREATOR = """
import sys
from pathlib import Path
from onrecord.ledger.keys import open_keys
from onrecord.ledger.place import Home
print("ready", flush=True)
sys.stdin.readline()
keys, created = open_keys(Home(Path(sys.argv[1])))
print(keys.signer.vkey, keys.digest_key.hex(), created, flush=True)
"""


KILLED = """
import os, signal, sys
from pathlib import Path
real, left = os.replace, [int(sys.argv[2])]
def replace(*places):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    real(*places)
os.replace = replace
from tests.ledger.logs import log_in
log_in(Path(sys.argv[1])).write(3)
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.mark.requirement("F1")
def test_keys_are_made_at_the_first_use_and_are_the_same_ever_after(home: Home) -> None:
    keys, created = open_keys(home)
    again, created_again = open_keys(home)
    assert (created, created_again) == (True, False)
    assert str(again.signer.vkey) == str(keys.signer.vkey) == verifier_file(home).read_text().strip()
    assert again.digest_key == keys.digest_key
    assert str(read_keys(home).signer.vkey) == str(keys.signer.vkey)


def test_two_homes_have_nothing_in_common(tmp_path: Path) -> None:
    one, other = (open_keys(Home(tmp_path / name))[0] for name in ("one", "other"))
    assert one.digest_key != other.digest_key
    assert one.signer.name != other.signer.name
    assert one.signer.vkey.public != other.signer.vkey.public


def test_each_log_has_a_key_of_its_own_and_the_name_of_its_home(home: Home) -> None:
    keys = {log: open_keys(home, log)[0] for log in ("calls", "security", "access")}
    names = {log: each.signer.name.split("/") for log, each in keys.items()}
    assert {name[1] for name in names.values()} == {names["calls"][1]}
    assert {log: name[2] for log, name in names.items()} == {log: log for log in keys}
    assert len({each.signer.vkey.public for each in keys.values()}) == 3
    assert len({each.digest_key for each in keys.values()}) == 1
    for log, each in keys.items():
        assert read_verifiers(str(verifier_file(home, log))) == [each.signer.vkey]
        assert read_keys(home, log).signer.vkey == each.signer.vkey


def test_the_first_log_need_not_be_the_one_of_the_calls(home: Home) -> None:
    security, calls = open_keys(home, "security")[0], open_keys(home)[0]
    assert security.signer.name.removesuffix("/security") == calls.signer.name.removesuffix("/calls")


def test_a_lost_digest_key_is_not_replaced_where_another_log_begins(home: Home) -> None:
    open_keys(home)
    (home.keys / "digest.key").unlink()
    with pytest.raises(KeyFileError, match=r"missing: .*digest\.key"):
        open_keys(home, "security")


def test_the_successor_of_a_log_has_a_name_that_no_log_had_and_the_others_keep_theirs(home: Home) -> None:
    calls, security = open_keys(home)[0].signer, open_keys(home, "security")[0].signer
    retire_signer(home, "stamp")
    again = open_keys(home)[0].signer
    assert again.name != calls.name
    assert read_keys(home, "security").signer.name == security.name


def test_the_key_says_nothing_of_the_host_and_shows_itself_to_nobody(home: Home) -> None:
    keys, _ = open_keys(home)
    assert keys.signer.name.startswith("onrecord/")
    assert keys.signer.name.endswith("/calls")
    seed = base64.b64encode(b"\x01" + keys.signer.private.private_bytes_raw()).decode()
    assert (
        home.keys / "calls.key"
    ).read_text() == f"PRIVATE+KEY+{keys.signer.name}+{keys.signer.vkey.key_id.hex()}+{seed}\n"
    assert seed not in repr(keys)
    assert keys.digest_key.hex() not in repr(keys)
    assert repr(keys.digest_key) not in repr(keys)


def test_key_files_are_private(home: Home) -> None:
    open_keys(home)
    assert stat.S_IMODE(home.keys.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in home.keys.iterdir()} == {0o600}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o610])
@pytest.mark.parametrize("name", ["calls.key", "digest.key"])
def test_a_private_key_that_others_can_read_is_refused(home: Home, name: str, mode: int) -> None:
    open_keys(home)
    (home.keys / name).chmod(mode)
    with pytest.raises(KeyFileError, match=f"can be read by other accounts .*{mode:04o}.*chmod 600"):
        open_keys(home)
    (home.keys / name).chmod(0o600)
    open_keys(home)


def test_processes_that_make_keys_at_the_same_time_agree(home: Home) -> None:
    children = [child(CREATOR, home.path) for _ in range(6)]
    processes = [each.__enter__() for each in children]
    try:
        assert [said(process) for process in processes] == ["ready"] * 6
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [said(process).split() for process in processes]
    finally:
        for each in children:
            each.__exit__(None, None, None)
    assert {len(answer) for answer in answers} == {3}
    assert len({(vkey, digest) for vkey, digest, _ in answers}) == 1
    assert sorted(created for _, _, created in answers) == ["False"] * 5 + ["True"]


# Half a pair


def test_a_lost_public_half_is_made_again_from_the_private_one(home: Home) -> None:
    keys, _ = open_keys(home)
    verifier_file(home).unlink()
    again, created = open_keys(home)
    assert not created
    assert str(again.signer.vkey) == str(keys.signer.vkey) == verifier_file(home).read_text().strip()


@pytest.mark.parametrize("name", ["calls.key", "digest.key"])
def test_a_lost_private_key_is_refused_and_never_replaced(home: Home, name: str) -> None:
    open_keys(home)
    (home.keys / name).unlink()
    for _ in range(2):
        with pytest.raises(KeyFileError, match=f"missing: .*{name}; restore it from a backup"):
            open_keys(home)
    assert not (home.keys / name).exists()


def test_keys_whose_making_was_broken_off_are_completed(home: Home) -> None:
    open_keys(home)
    for made in (["digest.key"], ["digest.key", "calls.key"]):  # in the order in which they are written
        kept = {name: (home.keys / name).read_bytes() for name in made}
        for path in home.keys.glob("*"):
            path.unlink()
        for name, data in kept.items():
            (home.keys / name).write_bytes(data)
            (home.keys / name).chmod(0o600)
        open_keys(home)
        assert {name: (home.keys / name).read_bytes() for name in made} == kept


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"PRIVATE+KEY+",
        b"PRIVATE+KEY+name+00000000+AAAA",
        b"PRIVATE+KEY+name+00000000+!!!!",
        b"ssh-ed25519 AAAA",
        b"\xff\xfe\x00",
        b"PRIVATE+KEY+bad name+00000000+" + base64.b64encode(b"\x01" + bytes(32)),
        b"PRIVATE+KEY+name+00000000+" + base64.b64encode(b"\x02" + bytes(32)),
    ],
)
def test_a_malformed_signing_key_is_a_typed_error(home: Home, text: bytes) -> None:
    open_keys(home)
    (home.keys / "calls.key").write_bytes(text)
    with pytest.raises(KeyFileError):
        open_keys(home)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_digest_key_of_another_length_is_a_typed_error(home: Home, length: int) -> None:
    open_keys(home)
    (home.keys / "digest.key").write_bytes(bytes(length))
    with pytest.raises(KeyFileError, match=f"holds {length} bytes"):
        open_keys(home)


# What a verifier brings


def test_a_verifier_gives_the_key_as_text_or_as_a_file(home: Home, tmp_path: Path) -> None:
    keys, _ = open_keys(home)
    text = str(keys.signer.vkey)
    file = tmp_path / "key"
    file.write_text(text + "\n\n")
    assert read_verifiers(text) == read_verifiers(str(file)) == [keys.signer.vkey]


def test_a_file_holds_a_key_for_each_epoch(home: Home, tmp_path: Path) -> None:
    one, other = (open_keys(Home(tmp_path / name))[0].signer.vkey for name in ("one", "other"))
    file = tmp_path / "keys"
    file.write_text(f"{one}\n\n{other}\n")
    assert read_verifiers(str(file)) == [one, other]
    file.write_text(f"{one}\nnonsense\n")
    with pytest.raises(KeyFileError, match="line 2"):
        read_verifiers(str(file))


def test_what_is_no_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="'nope' is neither a file nor a verifier key"):
        read_verifiers("nope")
    with pytest.raises(KeyFileError) as caught:
        read_verifiers("PRIVATE+KEY+name+00000000+c2VjcmV0")
    assert "c2VjcmV0" not in str(caught.value)  # somebody took the wrong file


@pytest.mark.parametrize(
    "text", ["", "nothing", "a+b+c", "/no/such/file", "x" * 5000, "a\0b", "PRIVATE+KEY+a+00000000+AA"]
)
def test_what_is_neither_a_key_nor_a_file_is_a_typed_error(text: str) -> None:
    with pytest.raises(KeyFileError):
        read_verifiers(text)


@pytest.mark.parametrize("data", [b"", b"\n", b"\xff\xfe", b"nonsense\n"])
def test_a_file_that_holds_no_key_is_a_typed_error(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(data)
    with pytest.raises(KeyFileError):
        read_verifiers(str(file))


# The end of a key


def test_a_retired_key_is_destroyed_and_its_public_half_kept(home: Home) -> None:
    old, _ = open_keys(home)
    retire_signer(home, "stamp")
    assert (home.keys / "retired" / "calls-stamp.vkey").read_text().strip() == str(old.signer.vkey)
    new, created = open_keys(home)
    assert created
    assert new.digest_key == old.digest_key  # pseudonyms outlive a signing key
    assert new.signer.name != old.signer.name
    private = old.signer.private.private_bytes_raw()
    files = [path for path in home.path.rglob("*") if path.is_file()]
    assert not any(base64.b64encode(b"\x01" + private) in path.read_bytes() for path in files)


def test_a_first_start_that_is_killed_at_any_replacement_of_a_file_can_be_begun_again(tmp_path: Path) -> None:
    ends: list[int] = []
    while 0 not in ends:
        path = tmp_path / str(len(ends))
        with child(KILLED, path, len(ends) + 1) as process:
            ends.append(process.wait(30))
        log = log_in(path)
        log.write(3)
        assert log.verify().verdict == "unanchored"
    assert ends[:-1] == [-signal.SIGKILL] * (len(ends) - 1)
    assert len(ends) > 5


def test_what_a_killed_replacement_leaves_is_removed_a_day_later_and_nothing_else_is(tmp_path: Path) -> None:
    end, step, found = -signal.SIGKILL, 0, set[str]()
    while end:
        step += 1
        path = tmp_path / str(step)
        with child(KILLED, path, step) as process:
            end = process.wait(30)
        left = [file for file in path.rglob(".*") if file.is_file()]
        found |= {file.parent.name for file in left}
        others = [
            file.with_name(name) for file in left for name in (".mine.123", ".mine.x.onrecord", "mine.1.onrecord")
        ]
        young = [file.with_name(".mine.1.onrecord") for file in left]
        for file in (*others, *young):
            file.touch()
        for file in (*left, *others):
            os.utime(file, (time.time() - 90_000, time.time() - 90_000))
        log_in(path).write(3)
        assert not any(file.exists() for file in left)
        assert all(file.exists() for file in (*others, *young))
    assert found >= {"keys", "guard", "calls", "log"}


def test_nothing_is_removed_in_a_folder_of_somebodys_choice(tmp_path: Path) -> None:
    theirs = tmp_path / ".notes.2024.onrecord"
    theirs.touch()
    os.utime(theirs, (0, 0))
    replace_file(tmp_path / "proof", b"1", durable=False, theirs=True)
    assert theirs.exists()
    replace_file(tmp_path / "proof", b"2", durable=False)
    assert not theirs.exists()


def test_a_log_is_never_continued_with_another_key(tmp_path: Path) -> None:
    log = log_in(tmp_path / "home")
    log.write(3)
    retire_signer(log.home, "stamp")
    with pytest.raises(LedgerRefused, match="belongs to another log"):
        Log(log.home, open_keys(log.home)[0].signer).open()
