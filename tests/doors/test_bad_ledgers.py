# SPDX-License-Identifier: Apache-2.0
"""A ledger that cannot be written: what runs, what doesn't, and what the caller is told."""

import fcntl
import os
import resource
import shutil
import sys

import pytest
from tests.doors.session import Session, onrecord, record, results

from onrecord.doors import wire

pytestmark = pytest.mark.requirement("D3")


def log_of(home):
    (log,) = (home / "ledger" / "calls" / "log").glob("*.ndjson")
    return log


def delete(home):
    log_of(home).unlink()


def move_away(home):
    log_of(home).rename(home / "elsewhere")


def replace(home):
    log = log_of(home)
    data = log.read_bytes()
    log.unlink()
    log.write_bytes(data)


def cut(home):
    os.truncate(log_of(home), 10)


@pytest.mark.parametrize("harm", [delete, move_away, replace, cut])
def test_a_ledger_harmed_while_open_stops_risky_calls_at_once_and_harmless_ones_not(tmp_path, harm):
    with Session(tmp_path) as session:
        assert "result" in session.call("store", text="before")
        harm(tmp_path)
        for tool in ("store", "erase", "store"):
            refused = session.call(tool, text="after")
            assert refused["error"]["code"] == wire.NOT_RECORDED
            assert "not recorded, so not run" in refused["error"]["message"]
            assert str(tmp_path) in refused["error"]["message"]
        assert session.call("echo", text="harmless")["result"]["content"][0]["text"] == "harmless"
        session.end()

    assert b"Traceback" not in session.errors
    if harm is not replace:
        assert b"could not be recorded" in session.errors
        return
    # a complete copy is as good as the file it replaced: it is taken up again, and the gap is on the record
    assert any(e["event_type"] == "gap" for e in record(tmp_path))
    assert onrecord(tmp_path, "verify", "--allow-unanchored").returncode == 0


def test_a_rolled_back_ledger_is_refused_at_the_next_start_until_a_successor_is_begun(tmp_path):
    home, backup = tmp_path / "home", tmp_path / "backup"
    with Session(home) as session:
        session.call("store", text="one")
        session.end()
    shutil.copytree(home / "ledger", backup)
    with Session(home) as session:
        session.call("store", text="two")
        session.end()
    shutil.rmtree(home / "ledger")
    shutil.copytree(backup, home / "ledger")

    with Session(home) as session:
        refused = session.call("store", text="three")
        assert "rolled back" in refused["error"]["message"]
        assert "result" in session.call("echo")
        session.end()
    assert b"rolled back" in session.errors
    assert onrecord(home, "verify", "--allow-unanchored").stdout.startswith("rolled back")

    old_key = onrecord(home, "keys").stdout
    reopened = onrecord(home, "ledger", "reopen", "--reason", "a backup was restored by mistake")
    assert reopened.returncode == 0, reopened.stderr
    with Session(home) as session:
        assert "result" in session.call("store", text="four")
        session.end()
    first, second = record(home)[:2]
    assert first["event_type"] == second["event_type"] == "log_open"
    assert second["detail"]["reason"] == "a backup was restored by mistake"
    assert second["detail"]["origin"] in old_key
    assert second["detail"]["size"] > 0
    assert onrecord(home, "verify", "--allow-unanchored").returncode == 0
    assert onrecord(home, "keys").stdout != old_key


def test_a_sound_ledger_gets_no_successor(tmp_path):
    with Session(tmp_path) as session:
        session.end()

    refused = onrecord(tmp_path, "ledger", "reopen", "--reason", "no reason")
    assert refused.returncode == 2
    assert "sound" in refused.stderr
    assert onrecord(tmp_path, "verify", "--allow-unanchored").returncode == 0


def test_a_result_that_cannot_be_recorded_says_that_the_tool_ran(tmp_path):
    with Session(tmp_path) as session:
        asked = session.begin("tools/call", name="wait", arguments={"for": str(tmp_path / "go")})
        assert session.receive()["method"] == "notifications/started"
        delete(tmp_path)
        (tmp_path / "go").touch()
        answer = session.receive()
        assert (answer["id"], answer["error"]["code"]) == (asked, wire.END_NOT_RECORDED)
        assert answer["error"]["message"].startswith("it ran, do not retry")


def test_a_lock_that_another_process_never_releases_refuses_in_bounded_time(tmp_path):
    (tmp_path / "onrecord.toml").write_text('[ledger]\nappend_deadline = "5s"\n')
    with Session(tmp_path) as session:
        session.call("store", text="before")
        with (tmp_path / "ledger" / "calls" / "writer.lock").open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            refused = session.call("store", text="during")
            assert refused["error"]["code"] == wire.NOT_RECORDED
            assert "does not let go" in refused["error"]["message"]
            assert "result" in session.call("echo", text="harmless")
        assert "result" in session.call("store", text="after")
        session.end()

    assert [e["detail"]["entries_spooled"] for e in record(tmp_path) if e["event_type"] == "gap"]
    assert len(results(tmp_path, "echo")) == 1
    assert onrecord(tmp_path, "verify", "--allow-unanchored").returncode == 0


def test_a_full_device_refuses_risky_calls_and_heals_when_there_is_room(tmp_path):
    # a limit on file size stands in for a full device: the write is short, and the next one fails
    limit = """
import os, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 10_000_000))
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
    with Session(tmp_path, launcher=[sys.executable, "-c", limit]) as session:
        answers = [session.call("store", text="x") for _ in range(60)]
        refused = [a["error"] for a in answers if "error" in a]
        assert refused
        assert {e["code"] for e in refused} <= {wire.NOT_RECORDED, wire.END_NOT_RECORDED}
        assert any("no room" in e["message"] for e in refused)
        assert "result" in session.call("echo", text="harmless")
        resource.prlimit(session.child.pid, resource.RLIMIT_FSIZE, (10_000_000, 10_000_000))
        assert "result" in session.call("store", text="room again")
        session.end()

    assert onrecord(tmp_path, "verify", "--allow-unanchored").returncode == 0
    assert [e for e in record(tmp_path) if e["event_type"] == "gap"]


def test_a_home_that_cannot_be_used_is_one_clear_error(tmp_path):
    (tmp_path / "home").write_text("a file, not a folder")
    done = onrecord(tmp_path / "home", "run", "--", sys.executable, "-c", "")

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert str(tmp_path / "home") in done.stderr


def test_a_key_that_others_can_read_is_refused(tmp_path):
    with Session(tmp_path) as session:
        session.end()
    (tmp_path / "keys" / "calls.key").chmod(0o644)
    done = onrecord(tmp_path, "run", "--", sys.executable, "-c", "")

    assert done.returncode == 2
    assert "chmod 600" in done.stderr


@pytest.mark.requirement("A4")
def test_calls_of_a_recorder_that_started_without_a_ledger_and_was_killed_are_closed_too(tmp_path):
    (tmp_path / "onrecord.toml").write_text('[ledger]\nappend_deadline = "5s"\n')
    with Session(tmp_path) as session:
        session.end()
    with (tmp_path / "ledger" / "calls" / "writer.lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        session = Session(tmp_path)  # it has said that nothing can be recorded by the time it answers
    with session:
        while "result" not in session.call("store"):
            pass  # until the ledger is open again
        session.begin("tools/call", name="hang", arguments={})
        assert "result" in session.call("store")
        session.child.kill()
        session.child.wait()

    with Session(tmp_path) as session:
        session.end()
    assert [e["result_status"] for e in results(tmp_path, "hang")] == ["unknown"]
