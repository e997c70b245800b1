# SPDX-License-Identifier: Apache-2.0
"""Who looked at the record is on the record: in a log of its own, of the same form."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.ledger.logs import log_in

from onrecord.ledger.keys import read_verifiers
from onrecord.ledger.lines import lines_from
from onrecord.ledger.place import Home
from onrecord.ledger.verify import verify


def onrecord(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "onrecord.cli.main", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"ONRECORD_HOME": str(home)},
        stdin=subprocess.DEVNULL,
    )


def accesses(home: Path) -> list[dict]:
    events = [json.loads(line.data) for line in lines_from(Home(home).log("access"))]
    return [event for event in events if event["event_type"] == "access"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    assert onrecord(tmp_path, "run", "--", "true").returncode == 0
    return tmp_path


@pytest.mark.requirement("D1")
def test_each_look_at_the_record_is_on_the_record_and_says_who_and_at_what(home: Path) -> None:
    assert onrecord(home, "tail", "-n", "1").returncode == 0
    assert onrecord(home, "show", "2").returncode == 0
    first, second = accesses(home)
    assert (first["action"], first["detail"]) == ("tail", {"log": "calls"})
    assert (second["action"], second["detail"]) == ("show", {"log": "calls", "which": "2"})
    assert first["user_id"] == second["user_id"] != ""
    report = verify(Home(home).log("access"), read_verifiers(str(home / "keys" / "access.vkey")))
    assert (report.verdict, report.signed) == ("unanchored", report.entries)


def test_a_person_who_is_asked_for_by_name_is_in_the_access_log_by_pseudonym(home: Path) -> None:
    import getpass

    name = getpass.getuser()
    assert onrecord(home, "tail", "--user", name).returncode == 0
    (event,) = accesses(home)
    assert event["detail"]["user"] == event["user_id"]


def test_the_access_log_is_read_like_any_other_and_that_is_recorded_too(home: Path) -> None:
    assert "no access log" in onrecord(home, "tail", "--log", "access").stderr
    assert onrecord(home, "tail").returncode == 0
    ran = onrecord(home, "tail", "--log", "access", "--json")
    assert [json.loads(line).get("action", "") for line in ran.stdout.splitlines()] == ["", "tail", "tail"]
    assert accesses(home)[-1]["detail"] == {"log": "access"}


def test_a_look_that_cannot_be_recorded_is_said_and_not_refused(home: Path) -> None:
    (home / "ledger" / "access").write_text("in the way")
    ran = onrecord(home, "tail", "-n", "1")
    assert ran.returncode == 0
    assert "recorder_stop" in ran.stdout
    assert "not in the access log" in ran.stderr


def test_the_logs_of_a_home_have_one_form_and_keys_of_their_own(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.write(3)
    assert onrecord(tmp_path, "tail").returncode == 0
    calls, access = (read_verifiers(str(tmp_path / "keys" / f"{name}.vkey"))[0] for name in ("calls", "access"))
    assert calls.name.rpartition("/")[0] == access.name.rpartition("/")[0]
    assert calls.public != access.public
    assert verify(Home(tmp_path).log("access"), [calls]).verdict == "wrong key"


def test_an_event_of_the_access_log_is_said_to_be_there(home):
    assert onrecord(home, "tail").returncode == 0
    event = accesses(home)[-1]

    shown = onrecord(home, "show", event["event_id"])

    assert (shown.returncode, shown.stdout) == (1, "")
    assert f"in the log calls is called '{event['event_id']}'; the log access has it" in shown.stderr


def test_what_is_wrong_with_a_log_that_nobody_asked_about_is_no_answer(home):
    assert onrecord(home, "tail").returncode == 0
    (calls,) = (home / "ledger" / "calls" / "log").glob("*.ndjson")
    calls.write_bytes(calls.read_bytes() + b"garbage of nobody\n")

    shown = onrecord(home, "show", "--log", "access", "nobody")

    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr == "onrecord: nothing on the record is called 'nobody'\n"
