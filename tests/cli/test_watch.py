# SPDX-License-Identifier: Apache-2.0
"""`onrecord watch`: what is wrong is said once, where somebody hears it; what is right costs little."""

import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from tests.ledger.logs import Log, log_in, new_id, rechained

from onrecord.event.event import Event
from onrecord.event.redacted import Redacted
from onrecord.event.schema import read_event
from onrecord.ledger import sealing, watcher
from onrecord.ledger.keys import open_keys
from onrecord.ledger.ledger import Ledger
from onrecord.ledger.lines import lines_from, segment_files
from onrecord.ledger.signing import verifier_file
from onrecord.ledger.watcher import Watcher
from onrecord.review import due_review

SMALL = 4096


@pytest.fixture
def log(tmp_path: Path) -> Log:
    log = log_in(tmp_path / "home")
    log.write(40, segment_bytes=SMALL)
    return log


def watching(home: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "onrecord.cli.main", "watch", "--every", "1s", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"ONRECORD_HOME": str(home)},
    )


def watcher_of(log: Log) -> Watcher:
    return Watcher(log.folder, lambda: [log.signer.vkey], guard=log.guard)


def verdict(observer: Watcher) -> str | None:
    report = observer.look()
    return report and report.verdict


# The observer


@pytest.fixture
def whole_looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the looks that read everything."""
    counted: list[int] = []
    verify = watcher.verify

    def counting(*arguments, **options):
        counted.append(1)
        return verify(*arguments, **options)

    monkeypatch.setattr(watcher, "verify", counting)
    return counted


def test_after_the_first_look_only_what_is_new_is_read(log: Log, whole_looks: list[int]) -> None:
    observer = watcher_of(log)
    assert verdict(observer) == "unanchored"
    for _ in range(3):
        log.write(3, wid="more")
        assert observer.look() is None
    assert len(whole_looks) == 1


def test_a_log_of_several_segments_that_are_compressed_meanwhile_is_no_alarm(log: Log) -> None:
    observer = watcher_of(log)
    assert verdict(observer) == "unanchored"
    sealing.compress_sealed(log.folder, 41)
    assert verdict(observer) == "intact"  # the files are others, so all is read again; it has seen the log before
    assert observer.look() is None


def _edit_sealed(log: Log) -> None:
    path = segment_files(log.folder)[0]
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"report-3", b"report-4"))


def _cut(log: Log) -> None:
    path = segment_files(log.folder)[-1]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def _delete(log: Log) -> None:
    segment_files(log.folder)[-1].unlink()


def _empty(log: Log) -> None:
    for path in segment_files(log.folder):
        path.unlink()


def _roll_back(log: Log) -> None:
    shutil.rmtree(log.folder.path)
    shutil.copytree(log.home.path / "older", log.folder.path)


def _append_forged(log: Log) -> None:
    path = segment_files(log.folder)[-1]
    lines = path.read_bytes().splitlines()
    path.write_bytes(
        b"\n".join([*lines[:-1], rechained([*lines[:-1], lines[-1].replace(b"read_file", b"x")])[-1], b""])
    )


@pytest.mark.requirement("D2")
@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (_edit_sealed, "altered"),
        (_cut, "truncated"),
        (_delete, "truncated"),
        (_empty, "empty"),
        (_roll_back, "rolled back"),
        (_append_forged, "altered"),
    ],
)
def test_a_break_is_found_at_the_next_look(log: Log, harm, found: str) -> None:
    shutil.copytree(log.folder.path, log.home.path / "older")
    log.write(2, segment_bytes=SMALL)
    observer = watcher_of(log)
    assert verdict(observer) == "unanchored"
    assert observer.look() is None
    harm(log)
    assert verdict(observer) == found


def test_an_observer_is_a_view_from_outside_also_where_the_guard_was_rolled_back_too(log: Log) -> None:
    shutil.copytree(log.folder.path, log.home.path / "older")
    guard = log.guard.read_bytes()
    log.write(2, segment_bytes=SMALL)
    observer = watcher_of(log)
    assert verdict(observer) == "unanchored"
    _roll_back(log)
    log.guard.write_bytes(guard)
    assert log.verify().verdict == "unanchored"  # nothing else tells it
    assert verdict(observer) == "rolled back"


# The verb


@pytest.mark.requirement("D2")
def test_an_alarm_is_said_once_recorded_and_given_to_a_command(log: Log, tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    process = watching(log.home.path, "--json", "--exec", f"tee -a {told}")
    assert process.stdout is not None
    try:
        import time

        time.sleep(2.5)
        assert process.poll() is None
        assert not told.exists()
        _edit_sealed(log)
        alert = json.loads(process.stdout.readline())
        assert (alert["log"], alert["verdict"]) == ("calls", "altered")
        assert alert["seqs"]
        time.sleep(3)
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "alarm" not in err
    assert out.count("altered") <= 1
    assert json.loads(told.read_text()) == alert
    security = [json.loads(line.data) for line in lines_from(log.home.log("security"))]
    alarms = [event for event in security if event.get("action") == "ledger_alarm"]
    assert [(event["detail"]["log"], event["detail"]["verdict"]) for event in alarms] == [("calls", "altered")]


def test_one_look_at_a_sound_home_says_nothing_and_ends_well(log: Log) -> None:
    process = watching(log.home.path, "--once")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.requirement("D2")
def test_a_log_that_was_emptied_is_an_alarm_at_the_first_look_too(log: Log) -> None:
    _empty(log)
    out, err = watching(log.home.path, "--once", "--json").communicate(timeout=60)
    assert (json.loads(out)["log"], json.loads(out)["verdict"]) == ("calls", "empty")
    assert "Traceback" not in err


@pytest.mark.requirement("D2")
def test_a_log_whose_key_or_folder_was_taken_away_is_an_alarm(log: Log) -> None:
    key = verifier_file(log.home)
    kept = key.rename(log.home.path / "kept")
    out, err = watching(log.home.path, "--once", "--json").communicate(timeout=60)
    assert [json.loads(out)[name] for name in ("log", "verdict")] == ["calls", "unreadable"]
    assert f"there is no key of this log in {key}" in json.loads(out)["reasons"][0]
    assert not err
    key.mkdir()
    out, _ = watching(log.home.path, "--once", "--json").communicate(timeout=60)
    assert json.loads(out)["verdict"] == "unreadable"
    key.rmdir()
    kept.rename(key)
    shutil.rmtree(log.folder.path)
    log.folder.path.write_bytes(b"")
    out, _ = watching(log.home.path, "--once", "--json").communicate(timeout=60)
    assert json.loads(out)["reasons"] == [f"not a directory: {log.folder.checkpoint}"]


def test_a_recorder_that_lives_and_says_nothing_is_an_alarm(log: Log) -> None:
    from onrecord.ledger.presence import Presence

    (log.home.path / "onrecord.toml").write_text('[ledger]\nheartbeat = "10ms"\n')
    presence = Presence(log.home, "w")
    presence.begin(0)
    out, _ = watching(log.home.path, "--once", "--json").communicate(timeout=60)
    assert json.loads(out)["verdict"] == "silent"
    presence.end()


# The daily review


def look_at(log: Log, *events: Event, day: date) -> None:
    """Put events into the access log at noon of `day`."""
    noon = int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp() * 1_000_000)
    ledger = Ledger.open(log.home, open_keys(log.home, "access")[0].signer, log="access", clock=lambda: noon)
    for event in events:
        from onrecord.event.event import encode

        ledger.append(Redacted(event, encode(event)))
    ledger.publish()
    ledger.close()


def access(action: str, user: str) -> Event:
    return Event(event_id=new_id(), event_type="access", action=action, user_id=user)


def test_the_review_of_a_day_says_who_looked_at_what_once(log: Log) -> None:
    today = datetime.now(UTC).date()
    assert due_review(log.home.log("access"), today) is None
    look_at(log, access("tail", "u_a"), day=today - timedelta(days=2))
    look_at(log, *[access("tail", "u_a")] * 3, access("show", "u_a"), access("export", "u_b"), day=today - timedelta(1))
    review = due_review(log.home.log("access"), today)
    assert review is not None
    assert review.detail == {
        "day": (today - timedelta(1)).isoformat(),
        "looks": 5,
        "people": 2,
        "by": {"u_a": {"show": 1, "tail": 3}, "u_b": {"export": 1}},
    }
    process = watching(log.home.path, "--once")
    assert process.communicate(timeout=60)[0] == ""
    assert process.wait() == 0
    events = [read_event(line.data) for line in lines_from(log.home.log("access"))]
    assert [event.detail for event in events if event.action == "review"] == [review.detail]
    assert due_review(log.home.log("access"), today) is None
