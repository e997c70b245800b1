# SPDX-License-Identifier: Apache-2.0
"""`onrecord index --to` and `--from`, with a real PostgreSQL server: whatever dies, each event is there once."""

import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import closing, contextmanager

import pytest
from tests.children import started
from tests.cli.test_access import accesses, onrecord
from tests.ledger.logs import PATIENCE_S, log_in
from tests.peers.stores import postgres
from tests.views.logs import events, made, places, scan

from onrecord.errors import OnRecordError
from onrecord.ledger.place import Home
from onrecord.views.question import Question
from onrecord.views.stores.address import read_address
from onrecord.views.stores.answers import StoreAnswers
from onrecord.views.stores.opening import open_store

ALL = Question()
FEEDER = """
import sys
from pathlib import Path
from onrecord.ledger.place import Home
from onrecord.views.stores.address import read_address
from onrecord.views.stores.feeding import Sink
from onrecord.views.stores.opening import open_store
store = open_store(read_address(sys.argv[2]))
store.prepare()
with Sink(Home(Path(sys.argv[1])), "calls", store, deadline_s=20, batch=9) as sink:
    print("open", flush=True)
    for _ in sink.run():
        print(sink.next, flush=True)
"""


@pytest.fixture
def server():
    with postgres() as running:
        yield running


@contextmanager
def answers(server):
    with closing(open_store(server.address)) as store:
        yield StoreAnswers(store, "calls", {})


@pytest.mark.requirement("E1")
def test_a_feed_of_a_store_that_is_killed_misses_and_doubles_nothing(tmp_path, server):
    home = made(tmp_path, 200)
    chance = random.Random(5)
    for _ in range(4):
        command = [sys.executable, "-c", FEEDER, str(tmp_path), server.url]
        with started(command, stdout=subprocess.PIPE) as feeder:
            for _ in range(chance.randrange(2, 9)):
                feeder.stdout.readline()
            feeder.send_signal(signal.SIGKILL)

    sent = onrecord(tmp_path, "index", "--to", server.url, "--json")

    lines = {each["log"]: each["lines"] for each in json.loads(sent.stdout)}
    assert 0 < lines["calls"] < len(events(home)), sent.stderr
    with answers(server) as stored:
        assert places(stored, ALL) == places(scan(home), ALL)
        assert stored.count(ALL) == len(events(home))


@pytest.mark.requirement("E1")
def test_a_store_that_goes_away_gets_what_it_missed_when_it_is_back(tmp_path, server):
    log = log_in(tmp_path)
    log.write(3)
    command = [sys.executable, "-m", "onrecord.cli.main", "index", "--to", server.url, "--follow"]
    environ = os.environ | {"ONRECORD_HOME": str(tmp_path)}
    with started(command, stderr=subprocess.PIPE, text=True, env=environ) as follower:
        until(lambda: counted(server) == len(events(log.home)))
        server.stop()
        log.write(3)
        assert "trying again" in follower.stderr.readline()
        once = onrecord(tmp_path, "query", "--from", server.url)
        assert (once.returncode, once.stderr.count("\n"), "cannot be reached" in once.stderr) == (2, 1, True)
        server.start()
        assert "is back" in follower.stderr.readline()
        until(lambda: counted(server) == len(events(log.home)))
        follower.terminate()
        follower.wait(PATIENCE_S)
    with answers(server) as stored:
        assert places(stored, ALL) == places(scan(log.home), ALL)


def counted(server) -> int:
    try:
        with answers(server) as stored:
            return stored.count(ALL)
    except OnRecordError:  # there is no table yet
        return -1


def until(holds) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.05)


@pytest.mark.requirement("E1")
def test_a_store_of_two_hosts_is_asked_and_only_lines_that_are_here_are_proven(tmp_path, server):
    here, there = log_in(tmp_path / "here"), log_in(tmp_path / "there")
    here.write(2)
    there.write(3)
    empty = onrecord(here.home.path, "query", "--from", server.url)
    assert "no table of events" in empty.stderr
    for log in (here, there):
        sent = onrecord(log.home.path, "index", "--to", server.url)
        assert sent.returncode == 0, sent.stderr
    assert accesses(here.home.path)[-1]["detail"]["store"] == str(read_address(server.url))

    asked = onrecord(here.home.path, "query", "--from", server.url, "--tool", "read_file", "--format", "csv")

    rows = list(csv.DictReader(io.StringIO(asked.stdout)))
    assert sorted(row["source"] for row in rows) == ["line", "line", "store", "store", "store"]
    assert "3 of these are as the store says" in asked.stderr
    count = ("query", "--from", server.url, "--tool", "read_file", "--count")
    assert onrecord(here.home.path, *count).stdout == "5\n"
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "onrecord.toml").write_text(f'[store]\nurl = "{server.url}"\n')
    grouped = onrecord(tmp_path / "new", "query", "--from", "store", "--shipped", "who-called-what", "--json")
    assert [(row["tool_name"], row["events"]) for row in json.loads(grouped.stdout)] == [("read_file", 5)]
    assert not Home(tmp_path / "new").log().path.exists()


@pytest.mark.requirement("F5")
def test_a_self_test_sees_its_canary_in_the_store_and_says_where_it_does_not_get_there(tmp_path, server):
    (tmp_path / "onrecord.toml").write_text(f'[store]\nurl = "{server.url}"\n')

    def delivered() -> dict[str, str]:
        command = ("selftest", "--json", "--door", "stdio", "--calls", "0", "--deadline", "2m")
        checks = json.loads(onrecord(tmp_path, *command).stdout)["checks"]
        return next(check for check in checks if check["about"] == "delivered")

    first = delivered()
    assert (first["state"], first["text"].partition(" found in ")[0]) == ("ok", "4 events are")
    with answers(server) as stored:
        assert stored.count(ALL) == len(events(Home(tmp_path)))
    command = [sys.executable, "-m", "onrecord.cli.main", "index", "--to", "store", "--follow"]
    with started(command, env=os.environ | {"ONRECORD_HOME": str(tmp_path)}) as follower:
        until(lambda: "another process sends" in onrecord(tmp_path, "index", "--to", "store").stderr)
        assert delivered()["state"] == "ok"  # which waits for the one that sends
        follower.terminate()
        follower.wait(PATIENCE_S)
    server.stop()
    assert (delivered()["state"], "cannot be reached" in delivered()["text"]) == ("fail", True)
