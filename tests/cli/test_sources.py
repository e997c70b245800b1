# SPDX-License-Identifier: Apache-2.0
"""Several ledgers asked as one, questions that come with the program, and stores that somebody names."""

import csv
import getpass
import io
import json
import re
import shutil
from pathlib import Path

import pytest
from tests.cli.test_access import accesses, onrecord
from tests.doors.session import Session
from tests.views.logs import events, fed, hot, made, places, scan
from tests.without import without

from onrecord.ledger.place import Home
from onrecord.views.federation import Federation
from onrecord.views.question import FILTERS, Grouping, Question
from onrecord.views.shipped import SHIPPED


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    """Two hosts, on which the same account called the same tools."""
    paths = [tmp_path_factory.mktemp(name) for name in ("here", "there")]
    for path in paths:
        with Session(path) as session:
            for tool in ("echo", "fail"):
                session.call(tool)
            session.end()
    return paths


def rows(asked):
    assert "Traceback" not in asked.stderr
    return list(csv.DictReader(io.StringIO(asked.stdout)))


@pytest.mark.requirement("E1")
def test_two_homes_answer_as_one_and_each_event_names_its_ledger(homes):
    here, there = homes
    asked = ("query", "--phase", "attempt", "--format", "csv", "--columns", "timestamp,tool_name")

    found = rows(onrecord(here, *asked, "--also", str(there)))

    assert len({row["ledger"] for row in found}) == 2
    assert [row["tool_name"] for row in found] == ["fail", "echo"] * 2
    assert [row["timestamp"] for row in found] == sorted((row["timestamp"] for row in found), reverse=True)
    assert onrecord(here, "query", "--phase", "attempt", "--count", "--also", str(there)).stdout == "4\n"
    by_tool = ("query", "--by", "tool_name", "--phase", "attempt", "--format", "csv")
    grouped = rows(onrecord(here, *by_tool, "--also", str(there)))
    assert {row["tool_name"]: row["events"] for row in grouped} == {"echo": "2", "fail": "2"}
    assert accesses(here)[-1]["detail"]["where"] == str(there)


@pytest.mark.requirement("E1")
@pytest.mark.parametrize("asked", [("query", "--tool", "echo"), ("search", "echo"), ("stats", "--tool", "echo")])
def test_who_asks_another_home_is_on_the_access_log_of_both(homes, asked):
    here, there = homes

    assert onrecord(here, *asked, "--also", str(there)).returncode == 0

    for home in homes:
        look = accesses(home)[-1]
        assert (look["action"], look["detail"]["where"]) == (asked[0], str(there))
        assert "echo" in look["detail"]["filter"]
        assert int(look["detail"]["count"]) > 0


@pytest.mark.requirement("E1")
def test_a_person_is_found_under_the_pseudonym_of_each_home(homes):
    here, there = homes
    asked = ("query", "--phase", "attempt", "--count", "--user")
    account = getpass.getuser()

    assert onrecord(here, *asked, account).stdout == "2\n"
    assert onrecord(here, *asked, account, "--also", str(there)).stdout == "4\n"


def test_a_copy_of_a_log_is_asked_and_nothing_is_written_beside_it(homes, tmp_path):
    here, there = homes
    copy = tmp_path / "copy"
    shutil.copytree(there / "ledger" / "calls", copy)
    before = sorted(copy.rglob("*"))

    assert onrecord(here, "query", "--phase", "attempt", "--count", "--also", str(copy)).stdout == "4\n"
    assert sorted(copy.rglob("*")) == before


def test_homes_of_the_settings_are_asked(homes, tmp_path):
    here, there = homes
    home = tmp_path / "home"
    shutil.copytree(here, home)
    (home / "onrecord.toml").write_text(f'[federation]\nhomes = ["{there}"]\n')

    assert onrecord(home, "query", "--phase", "attempt", "--count", "--federated").stdout == "4\n"
    assert "federation.homes" in onrecord(here, "query", "--federated").stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--also", "."), "is there twice"),
        (("--also", "nowhere"), "there is no record in"),
        (("--also", "there", "--format", "ocsf"), "one ledger"),
        (("--from", "mysql://host/db"), "clickhouse:// or postgresql://"),
        (("--from", "postgresql://me:" + "secret@localhost/db"), "holds no password"),
        (("--from", "store"), "no store is set"),
        (
            ("--from", "postgresql://me@/db?host=/nowhere"),
            "cannot be reached: no such file or directory; does",
        ),
        (("--from", "postgresql://me@127.0.0.1:9/db"), "//127.0.0.1:9/db cannot be reached: connection refused; does"),
        (("--from", "postgresql://me@no-such-host.invalid/db"), "/db cannot be reached: nobody knows an address"),
        (("--from", "clickhouse://127.0.0.1:9"), "//127.0.0.1:9/default cannot be reached, or is no ClickHouse; does"),
        (("--from", "clickhouse://h/db?secure=0"), "no parameters"),
    ],
)
def test_what_cannot_be_asked_is_one_clear_error(homes, options, said):
    here, there = homes
    known = {".": str(here), "there": str(there)}

    asked = onrecord(here, "query", *[known.get(str(each), str(each)) for each in options])

    assert asked.returncode == 2
    assert said in asked.stderr
    assert "secret" not in asked.stderr
    assert asked.stderr.count("\n") == 1


@pytest.mark.parametrize(("scheme", "package"), [("clickhouse", "clickhouse_connect"), ("postgresql", "psycopg")])
def test_a_store_whose_library_is_missing_says_what_to_install(homes, tmp_path, monkeypatch, scheme, package):
    for name, value in without(tmp_path / "fewer", package).items():
        monkeypatch.setenv(name, value)

    asked = onrecord(homes[0], "index", "--to", f"{scheme}://localhost/db")

    assert asked.returncode == 2
    assert f"needs {package}; install onrecord[" in asked.stderr


def test_a_federation_gives_the_answers_of_one_log_of_all_events(tmp_path):
    one, other = made(tmp_path / "one", 300), made(tmp_path / "other", 200, days=10)
    for home in (one, other):
        fed(home)
    both = Federation({"one": hot(one), "other": hot(other)})
    lines = Federation({"one": scan(one), "other": scan(other)})
    everything = Question()

    assert both.count(everything) == len(events(one)) + len(events(other))
    assert sorted(places(both, everything)) == sorted(places(scan(one), everything) + places(scan(other), everything))
    for measure in ("count", "p50", "p95", "max"):
        for by in ((), ("tool_name",), ("day", "result_status")):
            grouping = Grouping(question=everything, by=by, measure=measure, limit=7)
            assert both.group(grouping) == lines.group(grouping)
    merged = [event.latency_us for home in (one, other) for event in events(home) if event.latency_us is not None]
    assert both.group(Grouping(question=everything, by=(), measure="max"))[0].value == max(merged)


def test_shipped_questions_are_listed_and_answered(homes):
    here, there = homes

    listed = json.loads(onrecord(here, "query", "--shipped", "list", "--json").stdout)
    called = rows(onrecord(here, "query", "--shipped", "who-called-what", "--format", "csv", "--also", str(there)))

    assert [each["id"] for each in listed] == [each.id for each in SHIPPED]
    assert sorted(row["tool_name"] for row in called) == ["echo", "echo", "fail", "fail"]  # a pseudonym for each home
    read = rows(onrecord(here, "query", "--shipped", "record-read", "--format", "csv"))
    assert "query" in {row["action"] for row in read}
    assert "say which" in onrecord(here, "query", "--shipped", "one-person").stderr


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda each: each.id)
def test_every_shipped_question_can_be_asked(homes, shipped):
    account = getpass.getuser()
    asked = onrecord(homes[0], "query", "--shipped", shipped.id, *(["--user", account] if shipped.needs else []))

    assert asked.returncode in (0, 1), asked.stderr
    assert {*shipped.by, *(each.column for each in shipped.conditions)} <= set(FILTERS)


def test_a_home_that_is_asked_of_a_store_needs_no_record(tmp_path):
    assert Home(tmp_path).log().path.exists() is False
    assert "no store is set" in onrecord(tmp_path, "query", "--from", "store").stderr


def test_the_page_on_stores_lists_the_shipped_questions_as_they_are():
    page = (Path(__file__).parents[2] / "docs" / "stores.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", page, re.MULTILINE)

    assert told == [(each.id, each.about) for each in SHIPPED]
