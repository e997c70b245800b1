# SPDX-License-Identifier: Apache-2.0
"""A log that contradicts what it has signed: who ends it, hands it over or goes on with it is told what verify says."""

import json
import sys
from pathlib import Path

import pytest
from tests.doors.session import onrecord
from tests.ledger.logs import Log, entry, log_in

from onrecord.errors import LedgerRefused
from onrecord.ledger.keys import read_verifiers
from onrecord.ledger.signing import verifier_file
from onrecord.ledger.soundness import QUICK_BYTES, Unsound, check_sound

pytestmark = pytest.mark.requirement("D2")

SERVER = (sys.executable, "-c", "")


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Return a log in which an entry was changed, far from its end."""
    log = log_in(tmp_path / "home")
    log.write(20)
    data = log.file.read_bytes()
    log.file.write_bytes(data.replace(b"report-7.txt", b"report-8.txt"))
    return log


def overruled(log: Log) -> list[dict[str, object]]:
    lines = log.home.log("security").first_segment
    events = [json.loads(line) for line in lines.read_bytes().splitlines()] if lines.exists() else []
    return [event for event in events if event.get("action") == "verdict_overruled"]


def test_an_altered_log_can_be_ended(log: Log) -> None:
    ended = onrecord(log.home.path, "ledger", "reopen", "--reason", "it was altered", "--json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["entries"] == 21
    assert onrecord(log.home.path, "verify", "--allow-unanchored", "--log", "calls").returncode == 0


def test_an_altered_log_gets_no_new_key_unless_somebody_says_so_and_that_is_recorded(log: Log) -> None:
    refused = onrecord(log.home.path, "keys", "rotate")
    assert refused.returncode == 2
    assert "the log calls is altered: entry 8 is not what was hashed" in refused.stderr
    assert "--despite-verdict" in refused.stderr
    assert len(read_verifiers(str(verifier_file(log.home)))) == 1
    assert not overruled(log)
    done = onrecord(log.home.path, "keys", "rotate", "--despite-verdict")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
    (event,) = overruled(log)
    detail = event["detail"]
    assert isinstance(detail, dict)
    assert (detail["log"], detail["verdict"], detail["seqs"], detail["doing"]) == (
        "calls",
        "altered",
        [8],
        "keys rotate",
    )


def test_nobody_goes_on_with_an_altered_log_unless_somebody_says_so_and_that_is_recorded(log: Log) -> None:
    refused = onrecord(log.home.path, "run", "--", *SERVER)
    assert refused.returncode == 2
    assert "the log calls is altered" in refused.stderr
    assert len(log.lines()) == 21
    assert not overruled(log)
    done = onrecord(log.home.path, "run", "--despite-verdict", "--", *SERVER)
    assert done.returncode == 0, done.stderr
    assert "going on all the same" in done.stderr
    assert len(log.lines()) > 21
    assert len(overruled(log)) == 1


def test_a_sound_log_is_run_handed_over_and_not_ended(tmp_path: Path) -> None:
    log = log_in(tmp_path / "home")
    assert onrecord(log.home.path, "run", "--", *SERVER).returncode == 0  # there is none yet
    log.folder.checkpoint.unlink()  # it can be made again
    assert onrecord(log.home.path, "run", "--", *SERVER).returncode == 0
    log.folder.checkpoint.write_bytes(b"garbled")
    assert onrecord(log.home.path, "keys", "rotate").returncode == 0
    ended = onrecord(log.home.path, "ledger", "reopen", "--reason", "none")
    assert (ended.returncode, "is sound" in ended.stderr) == (2, True)
    check_sound(log.home)
    assert not overruled(log)


def test_a_log_that_somebody_is_writing_is_sound(tmp_path: Path) -> None:
    log = log_in(tmp_path / "home")
    log.write(5)
    (ledger := log.open()).append(entry())
    check_sound(log.home)
    ledger.close()


def test_what_is_wrong_with_a_log_is_an_error_that_says_so(log: Log) -> None:
    with pytest.raises(Unsound, match="altered") as caught:
        check_sound(log.home)
    assert isinstance(caught.value, LedgerRefused)
    assert (caught.value.log, caught.value.report.seqs) == ("calls", (8,))
    assert log.file.stat().st_size < QUICK_BYTES
