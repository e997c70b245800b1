# SPDX-License-Identifier: Apache-2.0
"""Who lives, who died, and which calls the dead left open."""

import fcntl
import json
import signal
import threading
from pathlib import Path

import pytest
from tests.ledger.logs import Log, child, entry, log_in, new_id, said, wait_for

from onrecord.errors import LedgerError
from onrecord.event.event import Event
from onrecord.event.redacted import Redacted, closing_of
from onrecord.ledger.ledger import Ledger
from onrecord.ledger.presence import Presence, count_living, dead_recorders, open_attempts

pytestmark = pytest.mark.requirement("A4")

RECORDER = """
import sys
from pathlib import Path
from tests.ledger.logs import entry, log_in
from onrecord.ledger.presence import Presence
log = log_in(Path(sys.argv[1]))
ledger = log.open(wid=sys.argv[2])
presence = Presence(log.home, sys.argv[2])
presence.begin(ledger.append(entry(phase="", event_type="recorder_start", action="start")).seq)
for number in range(3):
    ledger.append(entry(phase="attempt", call_id=f"{sys.argv[2]}-{number}"))
ledger.append(entry(phase="result", call_id=f"{sys.argv[2]}-1", result_status="succeeded"))
print("living", flush=True)
sys.stdin.readline()
presence.end()
print("ended", flush=True)
"""


@pytest.fixture
def log(tmp_path: Path) -> Log:
    log = log_in(tmp_path / "home")
    log.write(0)
    return log


def opened_by(log: Log, wid: str, seq: int) -> list[str]:
    return [attempt.call_id for attempt in open_attempts(log.folder, wid, seq)]


def close_orphans(log: Log, ledger: Ledger) -> list[str]:
    """Do what a recorder does when it starts."""
    closed: list[str] = []
    with dead_recorders(log.home) as dead:
        for wid, seq in dead:
            for attempt in open_attempts(log.folder, wid, seq):
                ledger.append(closing_of(attempt, event_id=new_id(), error_type="recorder_died"))
                closed.append(attempt.call_id)
    return closed


def test_a_recorder_that_lives_is_counted_and_is_not_dead(log: Log) -> None:
    assert count_living(log.home) == 0
    with child(RECORDER, log.home.path, "one") as process:
        assert said(process) == "living"
        assert count_living(log.home) == 1
        with dead_recorders(log.home) as dead:
            assert dead == []
        assert process.stdin is not None
        process.stdin.write("end\n")
        process.stdin.flush()
        assert said(process) == "ended"
        assert count_living(log.home) == 0
        with dead_recorders(log.home) as dead:
            assert dead == []


def test_the_attempts_of_a_killed_recorder_are_found_from_its_start_on_and_closed_ones_are_not(log: Log) -> None:
    with child(RECORDER, log.home.path, "one") as process:
        assert said(process) == "living"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert count_living(log.home) == 0
    with dead_recorders(log.home) as dead:
        ((wid, seq),) = dead
        assert wid == "one"
        assert log.events()[seq]["event_type"] == "recorder_start"
        assert opened_by(log, wid, seq) == ["one-0", "one-2"]
        assert opened_by(log, wid, seq + 2) == ["one-2"]  # not what came before the place that was asked for
        assert opened_by(log, "another", seq) == []
    assert list(log.home.running.iterdir()) == []


def test_the_calls_that_a_killed_recorder_left_open_are_closed_once_as_unknown(log: Log) -> None:
    for wid in ("one", "two"):
        with child(RECORDER, log.home.path, wid) as process:
            assert said(process) == "living"
            process.kill()
            process.wait()
    ledger = log.open(wid="next")
    assert close_orphans(log, ledger) == ["one-0", "one-2", "two-0", "two-2"]
    assert close_orphans(log, ledger) == []
    ledger.publish()
    ledger.close()
    closings = [event for event in log.events() if event.get("error_type") == "recorder_died"]
    assert {event["result_status"] for event in closings} == {"unknown"}
    assert all(event["phase"] == "result" and event["tool_name"] == "read_file" for event in closings)
    assert all("input_summary" not in event for event in closings)
    assert log.verify().open_calls == 0


def test_starters_at_the_same_time_never_close_a_call_twice(log: Log) -> None:
    for number in range(5):
        with child(RECORDER, log.home.path, f"wid{number}") as process:
            assert said(process) == "living"
            process.kill()
            process.wait()
    closed: list[str] = []
    barrier = threading.Barrier(8)

    def start(number: int) -> None:
        ledger = log.open(wid=f"starter{number}")
        barrier.wait()
        for _ in range(5):
            closed.extend(close_orphans(log, ledger))
        ledger.close()

    threads = [threading.Thread(target=start, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(closed) == sorted(f"wid{number}-{call}" for number in range(5) for call in (0, 2))
    assert list(log.home.running.iterdir()) == []


def test_a_starter_that_fails_half_way_leaves_the_rest_to_the_next(log: Log) -> None:
    with child(RECORDER, log.home.path, "one") as process:
        assert said(process) == "living"
        process.kill()
        process.wait()
    ledger = log.open(wid="next")
    with pytest.raises(LedgerError, match="disk"), dead_recorders(log.home) as dead:  # noqa: PT012
        ((wid, seq),) = dead
        first, _ = open_attempts(log.folder, wid, seq)
        ledger.append(closing_of(first, event_id=new_id(), error_type="recorder_died"))
        raise LedgerError("the disk went away")
    assert close_orphans(log, ledger) == ["one-2"]
    ledger.close()


def test_a_recorder_is_present_even_while_others_look_for_the_dead(log: Log) -> None:
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            with dead_recorders(log.home) as dead:
                found.extend(dead)
            count_living(log.home)

    found: list[tuple[str, int]] = []
    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(200):
            presence = Presence(log.home, f"wid{number}")
            presence.begin(number)
            assert count_living(log.home) >= 1
            assert (log.home.running / f"wid{number}").read_bytes() == b'{"wid":"wid%d","seq":%d}' % (number, number)
            presence.end()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert found == []


def test_a_name_that_a_living_recorder_takes_over_is_not_taken_for_the_dead_ones(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.home.running.mkdir()
    path = log.home.running / "wid"
    path.write_bytes(b"")
    living = Presence(log.home, "wid")
    real, taken = fcntl.flock, False

    def flock(fd: int, how: int) -> None:  # the world's edge: somebody else is quicker
        nonlocal taken
        if not taken:
            taken = True
            path.unlink()
            living.begin(7)
        real(fd, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with dead_recorders(log.home) as dead:
        assert dead == []
    monkeypatch.undo()
    assert path.read_bytes() == b'{"wid":"wid","seq":7}'
    assert count_living(log.home) == 1
    living.end()


def test_what_a_recorder_left_that_died_before_it_said_where_it_began_is_cleared_away(log: Log) -> None:
    log.home.running.mkdir()
    for name, data in (("empty", b""), ("torn", b'{"wid":"to'), ("garbage", b"\xff")):
        (log.home.running / name).write_bytes(data)
    with dead_recorders(log.home) as dead:
        assert dead == []
    assert list(log.home.running.iterdir()) == []


def test_a_home_without_recorders_has_none(log: Log) -> None:
    assert count_living(log.home) == 0
    with dead_recorders(log.home) as dead:
        assert dead == []
    Presence(log.home, "never begun").end()


def test_each_round_of_a_call_is_closed_by_its_own_result(log: Log) -> None:
    ledger = log.open(wid="me")
    seq = ledger.append(entry(call_id="a", round=0)).seq
    ledger.append(entry(phase="result", call_id="a", round=0, result_status="input_required"))
    ledger.append(entry(call_id="a", round=1))
    assert [(attempt.call_id, attempt.round) for attempt in open_attempts(log.folder, "me", seq)] == [("a", 1)]
    ledger.append(entry(phase="result", call_id="a", round=1, result_status="succeeded"))
    assert opened_by(log, "me", seq) == []
    ledger.close()


def test_a_log_that_cannot_be_read_is_a_typed_error(log: Log) -> None:
    with log.file.open("ab") as file:
        file.write(b'{"phase":\xff}\n')
    with pytest.raises(LedgerError, match="cannot look for open calls"):
        opened_by(log, "me", 0)


def test_looking_goes_on_while_others_write(log: Log) -> None:
    ledger = log.open(wid="me")
    seq = ledger.append(entry(call_id="mine")).seq
    stop = threading.Event()

    def write() -> None:
        writing = log.open(wid="other")
        while not stop.is_set():
            writing.append(entry(size=20_000))
        writing.close()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(20):
            assert opened_by(log, "me", seq) == ["mine"]
            assert opened_by(log, "me", 10_000_000) == []
    finally:
        stop.set()
        thread.join()
    ledger.close()


def test_the_closing_event_of_an_attempt_repeats_who_and_what_and_not_what_was_asked() -> None:
    attempt = Event(
        event_id="a",
        event_type="tool_call",
        phase="attempt",
        call_id="c",
        user_id="u",
        tool_name="t",
        input_summary="secret",
        arg_keys=("x",),
        input_size=3,
        policy_decision="allow",
        seq=4,
        prev_hash="p",
        timestamp="t",
        wid="w",
        wseq=1,
        schema_version=1,
    )
    closing = closing_of(attempt, event_id="b", error_type="recorder_died")
    assert isinstance(closing, Redacted)
    assert json.loads(closing.body) == {
        "event_id": "b",
        "event_type": "tool_call",
        "phase": "result",
        "call_id": "c",
        "user_id": "u",
        "tool_name": "t",
        "result_status": "unknown",
        "error_type": "recorder_died",
    }


def test_a_living_recorder_is_seen_from_another_process_until_it_is_killed(log: Log) -> None:
    with child(RECORDER, log.home.path, "one") as process:
        assert said(process) == "living"
        assert count_living(log.home) == 1
        process.kill()
        wait_for(lambda: count_living(log.home) == 0)
