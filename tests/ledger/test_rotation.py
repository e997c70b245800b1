# SPDX-License-Identifier: Apache-2.0
"""A new key for a log: killed at any step, beside recorders that hold the old one, no key signs outside its epoch."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.ledger.logs import PATIENCE_S, Log, check_chain, child, entry, log_in, said

from onrecord.cli.main import main
from onrecord.errors import KeyFileError, LedgerError, LedgerRefused, NotVerified
from onrecord.ledger.keys import open_keys, read_keys, read_verifiers
from onrecord.ledger.note import VerifierKey, open_checkpoint
from onrecord.ledger.rotation import rotate
from onrecord.ledger.signing import key_file, read_signers, verifier_file
from onrecord.ledger.verify import verify

pytestmark = pytest.mark.requirement("D2")

KILLED = """
import os, signal, sys
from pathlib import Path
from onrecord.ledger.place import Home
from onrecord.ledger.rotation import rotate
left = int(sys.argv[2])
def counted(call):
    def step(*arguments, **options):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return call(*arguments, **options)
    return step
for name in ("write", "replace", "fdatasync", "fsync"):  # the world's edge: whatever reaches the disk
    setattr(os, name, counted(getattr(os, name)))
rotate(Home(Path(sys.argv[1])), deadline_s=30.0)
"""

WRITING = """
import sys, threading
from pathlib import Path
from tests.ledger.logs import entry, log_in
writer = log_in(Path(sys.argv[1])).writer(wid="living", deadline_s=30.0)
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
writer.append(entry())
print("writing", flush=True)
while not stop.wait(0.02):
    writer.append(entry(), "signed").wait(30.0)
writer.close()
print("closed", flush=True)
"""


@pytest.fixture
def log(tmp_path: Path) -> Log:
    log = log_in(tmp_path / "home")
    log.write(5)
    return log


def vkeys(log: Log) -> list[VerifierKey]:
    return read_verifiers(str(verifier_file(log.home)))


def hand_overs(log: Log) -> list[dict[str, Any]]:
    return [event for event in log.events() if (event["event_type"], event.get("action")) == ("key", "rotate")]


def signatures(log: Log) -> list[tuple[int, VerifierKey]]:
    """Return the size and the key of each signature in the history, as it stands there."""
    found: list[tuple[int, VerifierKey]] = []
    for line in log.folder.checkpoints.read_bytes().splitlines():
        note = json.loads(line)["note"].encode()
        for key in vkeys(log):
            try:
                found.append((open_checkpoint(note, [key]).size, key))
            except NotVerified:
                continue
    return found


def check_epochs(log: Log) -> None:
    """Check by hand that each key signed within its epoch alone, and at both of its ends."""
    check_chain(log.lines())
    handed = hand_overs(log)
    chain = [key for event in handed for key in (event["detail"]["old_vkey"], event["detail"]["new_vkey"])]
    assert [event["detail"]["epoch"] for event in handed] == list(range(1, len(handed) + 1))
    assert chain[1:-1:2] == chain[2::2]  # each goes on where the one before ended
    assert [str(key) for key in vkeys(log)] == [str(log.signer.vkey), *chain[1::2]]
    ends = [event["seq"] + 1 for event in handed]
    for key, low, high in zip(vkeys(log), [0, *ends], [*ends, 10**9], strict=True):
        sizes = [size for size, signer in signatures(log) if signer == key]
        assert all(low <= size <= high for size in sizes), (low, high, sizes)
        assert low in sizes or low == 0
        assert high in sizes or high == 10**9
    assert verdict(log) == "unanchored"


def verdict(log: Log, *keys: VerifierKey) -> str:
    return verify(log.folder, keys or vkeys(log), wait_s=PATIENCE_S).verdict


def test_a_new_key_signs_from_here_on_and_the_old_one_is_destroyed(log: Log) -> None:
    done = rotate(log.home)
    assert (done.old, vkeys(log)) == (log.signer.vkey, [done.old, done.new])
    signers = read_signers(key_file(log.home))
    assert [signer.vkey for signer in signers] == [done.new]
    assert key_file(log.home).stat().st_mode & 0o777 == 0o600
    (handed,) = hand_overs(log)
    assert handed["detail"] == {"epoch": 1, "old_vkey": str(done.old), "new_vkey": str(done.new)}
    assert signatures(log)[-2:] == [(7, done.old), (7, done.new)]
    Log(log.home, read_keys(log.home).signer).write(3)
    check_epochs(log)
    assert open_checkpoint(log.folder.checkpoint.read_bytes(), [done.new]).size == 10


def test_an_epoch_may_be_empty(log: Log) -> None:
    for _ in range(3):
        rotate(log.home)
    log.write(2)
    assert [event["seq"] for event in hand_overs(log)] == [6, 7, 8]
    check_epochs(log)


def test_a_recorder_that_holds_the_old_key_in_memory_signs_with_the_new_one(log: Log) -> None:
    living = log.open()
    living.append(entry())
    living.sign()
    rotate(log.home)
    living.append(entry())
    assert living.sign() == living.publish() == 9
    assert signatures(log)[-1][1] == vkeys(log)[1]
    again = living.again()
    again.append(entry())
    again.publish()
    again.close()
    living.close()
    check_epochs(log)


def test_a_log_that_cannot_go_on_gets_no_new_key(log: Log) -> None:
    data = log.file.read_bytes()
    log.file.write_bytes(b"".join(data.splitlines(keepends=True)[:3]))
    before = key_file(log.home).read_bytes()
    with pytest.raises(LedgerRefused):
        rotate(log.home)
    assert (key_file(log.home).read_bytes(), vkeys(log)) == (before, [log.signer.vkey])


def test_a_key_file_that_is_lost_while_a_recorder_lives_stops_the_signing_and_not_the_recorder(log: Log) -> None:
    living = log.open()
    kept = key_file(log.home).read_bytes()
    key_file(log.home).unlink()
    living.append(entry())
    with pytest.raises(LedgerError, match="cannot sign"):
        living.sign()
    assert living.usable
    key_file(log.home).write_bytes(kept)
    key_file(log.home).chmod(0o600)
    assert living.sign() == 7
    living.close()


def test_three_keys_in_a_file_are_refused(log: Log, tmp_path: Path) -> None:
    key_file(log.home).write_bytes(key_file(log.home).read_bytes() * 3)
    with pytest.raises(KeyFileError, match="holds 3 keys"):
        read_keys(log.home)


def test_the_other_logs_keep_their_keys(log: Log) -> None:
    security = open_keys(log.home, "security")[0].signer
    rotate(log.home)
    assert read_keys(log.home, "security").signer.vkey == security.vkey
    done = rotate(log.home, "security")
    assert done.old == security.vkey
    assert len(vkeys(log)) == 2


def test_the_verb_prints_the_keys_of_all_epochs(
    log: Log, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ONRECORD_HOME", str(log.home.path))
    assert main(["keys", "rotate"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [str(key) for key in vkeys(log)]
    assert len(vkeys(log)) == 2
    assert "the old private key is destroyed" in err
    assert main(["keys", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["vkeys"], shown["vkey"]) == ([str(key) for key in vkeys(log)], str(vkeys(log)[1]))
    assert main(["keys", "rotate", "--log", "access"]) == 2  # nobody has looked at the record yet


# Killed


def killed_at(log: Log, step: int) -> bool:
    """Rotate in a process that dies before its `step`th write, and say whether it died."""
    with child(KILLED, log.home.path, step) as process:
        process.wait(PATIENCE_S)
    assert process.returncode in (0, -signal.SIGKILL)
    return process.returncode != 0


def test_a_rotation_that_is_killed_at_any_step_is_finished_by_whoever_signs_next(log: Log) -> None:
    step = 0
    while killed_at(log, step):
        Log(log.home, read_keys(log.home).signer).write(2)
        check_epochs(log)
        assert len(read_signers(key_file(log.home))) == 1
        step += 1
    assert step > 20
    check_epochs(log)
    assert len(hand_overs(log)) >= step - 4
    for key in vkeys(log):  # any one of them is enough, the first as well as the last
        assert verdict(log, key) == "unanchored"


def test_a_rotation_that_is_killed_at_any_step_never_lets_a_living_recorder_sign_with_the_wrong_key(log: Log) -> None:
    with child(WRITING, log.home.path) as writing:
        assert said(writing) == "writing"
        kills = sum(killed_at(log, step) for step in range(30))  # it may get done by the living one's help
        assert kills > 8
        assert writing.stdin is not None
        writing.stdin.close()
        assert said(writing) == "closed"
    check_epochs(log)
    assert len(read_signers(key_file(log.home))) == 1


def test_no_private_key_of_an_epoch_that_is_over_stays_on_the_disk(log: Log) -> None:
    for step in (1, 3):
        killed_at(log, step)
    assert any(path.name.startswith(".calls.key.") for path in log.home.keys.iterdir())
    rotate(log.home)
    assert not any(path.name.startswith(".calls.key.") for path in log.home.keys.iterdir())
    assert [signer.vkey for signer in read_signers(key_file(log.home))] == [vkeys(log)[-1]]
