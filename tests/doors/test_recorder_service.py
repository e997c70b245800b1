# SPDX-License-Identifier: Apache-2.0
"""Doors whose ledger a recorder service keeps: real wrappers, a real service, and either of them killed."""

import json
import os
import pwd
import shutil
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.doors.session import Session, onrecord, record, results
from tests.ledger.logs import check_chain, wait_for
from tests.services import Running, short_folder

from onrecord.doors import wire
from onrecord.ledger.place import Home
from onrecord.ledger.receipts import read_receipts
from onrecord.ledger.whereabouts import Moved, write_moved

pytestmark = pytest.mark.requirement("D3")

SOON_S = 25.0  # refusals take no longer: two append deadlines, and a machine that pauses


@pytest.fixture
def place():
    folder = short_folder()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def service(place):
    with Running(place / "kept", place / "s") as running:
        yield running


def door(service, place, name="door", **options):
    return Session(place / name, env={"ONRECORD_SOCKET": str(service.path)}, **options)


def lines(home):
    files = sorted((Path(home) / "ledger" / "calls" / "log").glob("*.ndjson"))
    return [line for file in files for line in file.read_bytes().split(b"\n")[:-1]]


def swap(service, ledger, guard):
    """Put another ledger under the service, as somebody with its rights could."""
    for name, kept in (("ledger", ledger), ("guard", guard)):
        shutil.rmtree(service.home / name)
        shutil.copytree(kept, service.home / name)


def caught(answer):
    """Say whether a call was refused because the ledger is an older one, or one that has gone on from it."""
    message = answer.get("error", {}).get("message", "")
    return "rolled back" in message or "forked" in message


def copies(service, place, name):
    """Return a copy of ledger and guard as they are now."""
    kept = [place / f"{name}-{part}" for part in ("ledger", "guard")]
    for part, copy in zip(("ledger", "guard"), kept, strict=True):
        shutil.copytree(service.home / part, copy)
    return kept


@pytest.mark.requirement("A4", "D1")
def test_calls_through_a_service_are_on_its_record_and_not_in_the_home_of_the_door(place, service):
    with door(service, place) as session:
        for tool in ("echo", "store", "erase"):
            assert "result" in session.call(tool, text="x")
        assert session.end() == 0
        pid = session.child.pid
    assert service.stop() == 0

    assert not (place / "door" / "ledger").exists()
    assert not list((place / "door" / "keys").glob("*calls*"))
    assert [e["tool_name"] for e in results(service.home)] == ["echo", "store", "erase"]
    check_chain(lines(service.home))
    assert onrecord(service.home, "verify", "--allow-unanchored").returncode == 0
    of_door = [e for e in record(service.home) if e.get("server_id") == "scripted" or e.get("peer_pid")]
    assert {(e["peer_uid"], e["peer_pid"]) for e in of_door} == {(os.getuid(), pid)}
    assert len({e["wid"] for e in of_door}) == 1
    assert of_door[0]["event_type"] == "recorder_start"
    assert of_door[-1]["event_type"] == "recorder_stop"
    assert not list((service.home / "run").iterdir())


def test_what_the_service_says_of_itself_carries_no_peer(place, service):
    service.stop()
    events = record(service.home)
    assert [e["event_type"] for e in events if e["event_type"].startswith("recorder")] == [
        "recorder_start",
        "recorder_stop",
    ]
    assert not any("peer_uid" in e for e in events)


@pytest.mark.requirement("D2")
def test_a_service_of_the_same_account_is_said_to_be_one(place, service):
    with door(service, place) as session:
        session.end()
    service.stop()
    (start,) = (e for e in record(service.home) if e["event_type"] == "recorder_start" and "peer_uid" in e)
    assert start["detail"]["same_account"] is True
    assert "same-account" in onrecord(service.home, "verify", "--allow-unanchored").stdout


def test_a_service_that_is_killed_in_the_middle_of_a_call_loses_nothing_that_was_acknowledged(place, service):
    with door(service, place) as session:
        assert "result" in session.call("erase", text="signed before")
        waiting = session.begin("tools/call", name="hang", arguments={})
        assert "result" in session.call("store", text="while it runs")
        service.kill()

        began = time.monotonic()
        for tool in ("store", "erase"):
            refused = session.call(tool, text="meanwhile")
            assert refused["error"]["code"] == wire.NOT_RECORDED
            assert str(service.path) in refused["error"]["message"]
        assert time.monotonic() - began < SOON_S
        assert "result" in session.call("echo", text="harmless")

        service.start()
        wait_for(lambda: "result" in session.call("store", text="after"))
        said = {"requestId": waiting, "reason": "answer anyway"}
        session.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": said})
        assert session.receive()["id"] == waiting
        assert session.end() == 0
    service.stop()

    assert onrecord(service.home, "verify", "--allow-unanchored").returncode == 0
    check_chain(lines(service.home))
    assert len({e["wid"] for e in record(service.home) if e.get("tool_name")}) == 1  # the door took up its session
    assert [e["result_status"] for e in results(service.home, "hang")] == ["cancelled"]
    assert [e["result_status"] for e in results(service.home, "echo")] == ["succeeded"]
    assert {e["result_status"] for e in results(service.home, "store")} == {"blocked", "succeeded"}
    assert [e["detail"]["entries_lost"] for e in record(service.home) if e["event_type"] == "gap"]
    open_calls = {e["call_id"] for e in record(service.home) if e.get("phase") == "attempt"}
    assert open_calls == {e["call_id"] for e in results(service.home)}


@pytest.mark.requirement("A4")
def test_calls_of_a_door_that_is_killed_are_closed_as_unknown(place, service):
    with door(service, place) as session:
        session.begin("tools/call", name="wait", arguments={"for": str(place / "never")})
        assert session.receive()["method"] == "notifications/started"
        session.child.kill()
        session.child.wait()
    wait_for(lambda: results(service.home, "wait"))
    (closed,) = results(service.home, "wait")
    (attempt,) = (e for e in record(service.home) if e.get("tool_name") == "wait" and e["phase"] == "attempt")
    assert (closed["result_status"], closed["error_type"]) == ("unknown", "recorder_died")
    assert closed["wid"] != attempt["wid"]
    assert "peer_pid" in attempt
    assert "peer_pid" not in closed


@pytest.mark.requirement("A4")
def test_calls_of_a_door_that_died_with_the_service_are_closed_when_it_starts_again(place, service):
    with door(service, place) as session:
        session.begin("tools/call", name="wait", arguments={"for": str(place / "never")})
        assert session.receive()["method"] == "notifications/started"
        service.kill()
        session.child.kill()
        session.child.wait()
    service.start()
    wait_for(lambda: results(service.home, "wait"))
    assert [e["error_type"] for e in results(service.home, "wait")] == ["recorder_died"]
    wait_for(lambda: len(list((service.home / "run").iterdir())) == 1)  # its own


@pytest.mark.requirement("D2")
def test_an_older_copy_of_the_ledger_under_a_restarted_service_is_caught_by_the_door(place, service):
    with door(service, place) as session:
        session.call("erase", text="one")
        old = copies(service, place, "old")
        session.call("erase", text="two")
        service.kill()
        whole = copies(service, place, "whole")
        swap(service, *old)
        service.start()

        wait_for(lambda: caught(session.call("store", text="three")))
        refused = session.call("erase", text="four")
        assert refused["error"]["code"] == wire.NOT_RECORDED
        assert "result" in session.call("echo", text="harmless")

        service.kill()
        swap(service, *whole)
        service.start()
        wait_for(lambda: "result" in session.call("store", text="five"))
        session.end()
    service.stop()
    assert onrecord(service.home, "verify", "--allow-unanchored").returncode == 0


@pytest.mark.requirement("D2")
def test_a_door_remembers_what_it_has_seen_when_it_starts_again(place, service):
    with door(service, place) as session:
        session.call("erase", text="one")
        old = copies(service, place, "old")
        session.call("erase", text="two")
        session.end()
    (kept,) = read_receipts(Home(place / "door"))
    assert kept.size == len(record(service.home))
    service.kill()
    swap(service, *old)
    service.start()

    with door(service, place) as session:
        assert caught(session.call("store", text="three"))
        session.end()
    assert b"nothing can be recorded" in session.errors


@pytest.mark.requirement("D2")
def test_another_ledger_behind_the_same_socket_is_caught_by_the_door(place, service):
    with door(service, place) as session:
        session.call("erase", text="one")
        session.end()
    service.stop()
    with Running(place / "other", service.path), door(service, place) as session:
        assert "another log" in session.call("store", text="two")["error"]["message"]
        session.end()
    assert not any(e.get("peer_uid") is not None for e in record(place / "other"))


@pytest.mark.requirement("D2")
def test_a_forked_ledger_is_caught_by_the_door_that_saw_the_other_branch(place, service):
    with door(service, place) as session:
        session.call("erase", text="one")
        session.end()
    service.stop()
    old = copies(service, place, "old")
    service.start()
    with door(service, place) as session:
        session.call("erase", text="two")
        session.end()
    service.stop()
    swap(service, *old)
    service.start()
    with door(service, place, "innocent") as session:  # makes the other branch longer than what the first door saw
        for number in range(12):
            session.call("erase", text=f"other {number}")
        session.end()
    with door(service, place) as session:
        assert "forked" in session.call("store", text="three")["error"]["message"]
        session.end()


@pytest.mark.requirement("D2")
def test_what_a_door_saw_through_a_service_binds_it_when_it_writes_itself(place):
    home = place / "home"
    service = Running(home, home / "recorder.sock")
    with service:
        with Session(home) as session:
            session.call("erase", text="one")
            old = copies(service, place, "old")
            session.call("erase", text="two")
            session.end()
        service.stop()
    swap(service, *old)
    with Session(home) as session:
        assert caught(session.call("store", text="three"))
        session.end()


@pytest.mark.requirement("F1")
def test_a_service_and_recorders_that_write_themselves_share_a_log(place):
    home = place / "home"
    with Session(home) as embedded:
        embedded.call("store", text="embedded")
        with Running(home, home / "recorder.sock") as service, Session(home) as through:  # found without being named
            several = [threading.Thread(target=lambda: embedded.call("store", text="e")) for _ in range(1)]
            for thread in several:
                thread.start()
            for number in range(20):
                assert "result" in through.call("store", text=f"{number}")
            for thread in several:
                thread.join()
            embedded.call("erase", text="e")
            assert "result" in through.call("erase", text="t")
            through.end()
            service.stop()
        embedded.end()
    check_chain(lines(home))
    assert {"peer_uid" in e for e in results(home)} == {True, False}
    assert onrecord(home, "verify", "--allow-unanchored").returncode == 0


def test_a_home_whose_ledger_was_moved_fails_closed_while_the_service_is_down(place):
    home = Home(place / "home")
    home.path.mkdir(0o700)
    write_moved(home, Moved(account="onrecord", home=str(place / "kept"), socket=str(place / "s")))
    with Session(home.path) as session:
        refused = session.call("store", text="x")["error"]
        assert refused["code"] == wire.NOT_RECORDED
        assert "systemctl start onrecord-recorder" in refused["message"]
        assert "result" in session.call("echo", text="harmless")
        session.end()
    assert not (home.path / "ledger").exists()
    assert b"systemctl start onrecord-recorder" in session.errors

    assert onrecord(home.path, "tail").returncode != 0
    looked = onrecord(home.path, "doctor")
    assert looked.returncode == 1
    assert "kept by onrecord" in looked.stdout
    assert "does not answer" in looked.stdout
    assert not list(home.keys.glob("*.vkey"))  # nothing has begun a log of its own here


def test_a_full_disk_of_the_service_reaches_the_caller_by_its_name(place):
    limit = """
import os, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 10_000_000))
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
    limited = [sys.executable, "-c", limit]
    with Running(place / "kept", place / "s", launcher=limited) as service, door(service, place) as session:
        answers = [session.call("store", text="x") for _ in range(60)]
        refused = [a["error"]["message"] for a in answers if "error" in a]
        assert any("no room" in text for text in refused)
        assert "result" in session.call("echo", text="harmless")
        session.child.kill()
    check_chain(lines(service.home))


# Two accounts, where we may be two: the service under one, the door and the wrapped server under the other. Where
# we are not root both are ours, and the record says so.

AS = """
import encodings.ascii, importlib.readers, os, sys, tomllib, traceback
import onrecord.cli.main, onrecord.cli.recorder, onrecord.cli.run, onrecord.config
uid = {uid}
if os.getuid() != uid:
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
os.chdir("/")
sys.exit(onrecord.cli.main.main(sys.argv[3:]))
"""
ANSWERS = r"""n=2; while read l; do printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[]}}\n' $n; n=$((n+1)); done"""


def accounts():
    """Return the numbers of two accounts, which are one where this process can't be another."""
    own = os.getuid()
    return (own, own) if own else (12_001, 12_002)


def as_account(uid):
    return [sys.executable, "-c", AS.format(uid=uid)]


@pytest.mark.requirement("D2")
def test_a_service_under_another_account_is_out_of_reach_of_the_wrapped_server_and_the_record_says_which(place):
    of_service, of_door = accounts()
    place.chmod(0o711)
    for name, uid in (("kept", of_service), ("door", of_door)):
        (place / name).mkdir(0o700)
        os.chown(place / name, uid, uid if os.getuid() == 0 else -1)
    (place / "run").mkdir(0o755)
    os.chown(place / "run", of_service, -1)
    with Running(place / "kept", place / "run" / "s", launcher=as_account(of_service)) as service:
        service.path.chmod(0o666)  # stands for the group that an installation makes
        server = ["/bin/sh", "-c", ANSWERS]
        with door(service, place, launcher=as_account(of_door), command=server) as session:
            assert session.call("store", text="x")["result"] == {"content": []}
            assert session.end() == 0, session.errors
        service.stop()

    (start,) = (e for e in record(service.home) if e["event_type"] == "recorder_start" and "peer_uid" in e)
    assert start["detail"]["same_account"] is (of_service == of_door)
    assert {e["peer_uid"] for e in results(service.home)} == {of_door}
    said = onrecord(service.home, "verify", "--allow-unanchored")
    assert said.returncode == 0
    assert ("same-account" in said.stdout) is (of_service == of_door)
    assert Path(service.home).stat().st_uid == of_service


def test_the_accounts_of_these_tests_are_nobody_elses():
    known = {each.pw_uid for each in pwd.getpwall()}
    assert os.getuid() != 0 or known.isdisjoint(accounts())


def test_events_are_json_that_carries_the_peer(place, service):
    with door(service, place) as session:
        session.end()
    service.stop()
    shown = onrecord(service.home, "tail", "--json", "-n", "50").stdout.splitlines()
    assert any(json.loads(line).get("peer_uid") == os.getuid() for line in shown)


@pytest.mark.requirement("D2")
def test_a_door_follows_the_log_to_its_next_key_while_it_runs_and_when_it_comes_back(place, service):
    def rotate():
        rotated = onrecord(service.home, "keys", "rotate")
        assert rotated.returncode == 0, rotated.stderr

    with door(service, place) as session:
        assert "result" in session.call("erase", text="with the first key")
        rotate()
        for _ in range(3):
            assert "result" in session.call("erase", text="with the second key")
        session.end()
    (kept,) = read_receipts(Home(place / "door"))
    assert kept.vkey in onrecord(service.home, "keys").stdout.splitlines()[-1]

    rotate()
    service.restart()
    rotate()
    with door(service, place) as session:
        assert "result" in session.call("erase", text="with the fourth key")
        assert session.end() == 0
    assert session.errors == b""
    (again,) = read_receipts(Home(place / "door"))
    assert again.vkey != kept.vkey
    service.stop()
    assert onrecord(service.home, "verify", "--allow-unanchored").returncode == 0
