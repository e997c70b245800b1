# SPDX-License-Identifier: Apache-2.0
"""`onrecord query`, `search` and `stats`: what people ask, what they get, and that it is on the access log."""

import csv
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys

import pytest
from tests.children import started
from tests.cli.test_access import accesses, onrecord
from tests.doors.session import Session, record
from tests.ledger.logs import PATIENCE_S, wait_for

from onrecord.ledger.keys import read_keys
from onrecord.ledger.keystore import Keystore
from onrecord.ledger.place import Home


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    path = tmp_path_factory.mktemp("asked")
    with Session(path) as session:
        for tool in ("echo", "echo", "fail", "store", "raise"):
            session.call(tool)
        session.end()
    return path


def ask(home, *arguments):
    asked = onrecord(home, *arguments)
    assert "Traceback" not in asked.stderr
    return asked


@pytest.mark.requirement("E1")
def test_calls_of_one_tool_that_ended_so(home):
    asked = ask(home, "query", "--tool", "echo,fail", "--status", "failed", "--format", "ndjson")

    assert [json.loads(line)["tool_name"] for line in asked.stdout.splitlines()] == ["fail"]
    assert asked.stdout.encode() in b"".join(log.read_bytes() for log in (home / "ledger/calls/log").iterdir())


@pytest.mark.requirement("E1")
def test_who_accessed_it_in_the_last_30_days(home):
    user = next(event["user_id"] for event in record(home) if "user_id" in event)

    asked = ask(
        home, "query", "--user", user, "--since", "30d", "--phase", "attempt", "--json", "--columns", "tool_name"
    )

    assert [row["tool_name"] for row in json.loads(asked.stdout)] == ["raise", "store", "fail", "echo", "echo"]


def test_newest_or_oldest_first_and_not_more_than_asked_for(home):
    asked = ("query", "--phase", "attempt", "--columns", "tool_name", "--format", "csv", "--limit", "1")

    assert ask(home, *asked).stdout.splitlines() == ['"tool_name"', '"raise"']
    assert ask(home, *asked, "--oldest-first").stdout.splitlines() == ['"tool_name"', '"echo"']
    assert "--limit" in ask(home, *asked).stderr


def test_groups_and_counts(home):
    grouped = ask(home, "query", "--phase", "attempt", "--by", "tool_name", "--format", "csv")

    assert list(csv.reader(io.StringIO(grouped.stdout)))[:2] == [["tool_name", "events"], ["echo", "2"]]
    assert ask(home, "query", "--phase", "attempt", "--count").stdout == "5\n"


@pytest.mark.requirement("E1")
def test_words_are_found_wherever_the_record_has_them(home):
    assert "fail" in ask(home, "search", "fail").stdout
    assert ask(home, "search", "FAI*", "--count").stdout == ask(home, "search", "fail", "--count").stdout
    nothing = ask(home, "search", "quetzalcoatl")
    assert (nothing.returncode, nothing.stdout) == (1, "")


def test_the_record_in_numbers(home):
    found = json.loads(ask(home, "stats", "--json").stdout)

    assert {row["tool_name"]: row["events"] for row in found["calls by tool"]} == {
        "echo": 2, "fail": 1, "raise": 1, "store": 1,
    }  # fmt: skip
    assert "calls by tool" in ask(home, "stats").stdout


@pytest.mark.requirement("A3", "E1")
def test_each_answer_is_on_the_access_log_with_what_was_asked_and_how_much_came(home):
    ask(home, "query", "--tool", "echo", "--since", "2026-01-01")
    ask(home, "search", '"no such words"', "--server", "nobody")

    queried, searched = [event for event in accesses(home) if event["action"] in ("query", "search")][-2:]
    said = json.loads(queried["detail"]["filter"])
    assert (said["tool_name"], queried["detail"]["count"]) == (["echo"], "4")
    assert said["since_us"] == 1767225600_000_000
    assert json.loads(searched["detail"]["filter"]) == {"server_id": ["nobody"], "words": ["no such words"]}
    assert searched["detail"]["count"] == "0"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("query", "--user", "nobody-here"), "nobody called nobody-here"),
        (("query", "--status", "great"), "there are: accepted"),
        (("query", "--since", "soon"), "--since 'soon'"),
        (("query", "--tier", "high"), "--tier 'high' is no number"),
        (("query", "--by", "tool"), "did you mean tool_name?"),
        (("query", "--by", "input_summary"), "no such column"),
        (("query", "--columns", "colour"), "no such column"),
        (("query", "--limit", "0"), "--limit 0"),
        (("stats", "--limit", "-1"), "--limit -1"),
        (("query", "--tier", "5"), "there are: 0 to 4"),
        (("query", "--tier", "9" * 30), "there are: 0 to 4"),
        (("query", "--since", ""), "--since '' is not a time"),
        (("stats", "--until", ""), "--until '' is not a time"),
        (("query", "--since", "1h", "--until", "2h"), "--until 2h is not after --since 1h"),
        (("query", "--measure", "p95"), "say of which with --by"),
        (("query", "--tool", "a,,b"), "names nothing"),
        (("search", "…"), "no word to look for"),
        (("search", '"half'), "has no end"),
        (("search", " "), "no word to look for"),
        (("query", "--log", "security"), "there is no security log"),
    ],
)
def test_what_cannot_be_asked_is_one_clear_error(home, arguments, told):
    asked = ask(home, *arguments)

    assert asked.returncode == 2
    assert told in asked.stderr
    assert len(asked.stderr.splitlines()) == 1


@pytest.mark.parametrize("verb", ["query", "stats", "index", "incident ada", "alerts"])
def test_a_home_that_is_a_file_or_has_no_record_is_one_clear_error(tmp_path, verb):
    (tmp_path / "file").write_text("")
    for name in ("file", "missing"):
        asked = ask(tmp_path / name, *verb.split())
        assert (asked.returncode, asked.stdout, len(asked.stderr.splitlines())) == (2, "", 1)
        assert str(tmp_path / name) in asked.stderr
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("of", [("--shipped", "denied"), ("--tool", "nothing", "--by", "tool_name")])
def test_that_there_is_no_group_is_said(home, of):
    asked = ask(home, "query", *of)

    assert (asked.returncode, asked.stdout, asked.stderr) == (1, "", "onrecord: nothing on the record is like that\n")


def test_the_names_of_columns_and_of_shipped_questions_are_listed_whole(home):
    listed = ask(home, "query", "--columns", "list", "--format", "csv").stdout.splitlines()
    shipped = ask(home, "query", "--shipped", "list").stdout

    assert '"tool_name","text","yes"' in listed
    assert '"input_summary","text","no"' in listed
    assert "…" not in shipped
    assert "the rule that denied them" in shipped
    assert "is of events" in ask(home, "query", "--shipped", "list", "--format", "ocsf").stderr


def test_that_nothing_is_counted_is_said(home):
    asked = ask(home, "stats", "--tool", "nothing")

    assert (asked.returncode, asked.stdout, asked.stderr) == (0, "", "onrecord: nothing on the record is like that\n")


def test_an_index_that_is_followed_takes_in_a_record_that_is_begun_later(tmp_path):
    command = [sys.executable, "-m", "onrecord.cli.main", "index", "--follow", "--home", str(tmp_path)]
    with started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as following:
        assert b"waiting for it" in following.stderr.readline()
        assert onrecord(tmp_path, "run", "--", "true").returncode == 0
        wait_for(lambda: list((tmp_path / "index" / "calls").glob("*.sqlite")))
        following.send_signal(signal.SIGINT)
        assert (following.communicate(timeout=PATIENCE_S), following.returncode) == ((b"", b""), 130)


def test_people_are_known_by_the_names_that_their_tokens_give_them(tmp_path):
    assert onrecord(tmp_path, "run", "--", "true").returncode == 0
    (tmp_path / "onrecord.toml").write_text(
        '[identity]\nissuer = "https://id.example"\naudience = "a"\njwks = "keys"\n'
    )
    keystore = Keystore(Home(tmp_path), read_keys(Home(tmp_path)).digest_key)
    keystore.pseudonym(tenant="", source="https://id.example", subject="ada")

    known, unknown = (ask(tmp_path, "query", "--user", name, "--count") for name in ("ada", "bob"))

    assert (known.returncode, known.stdout) == (0, "0\n")
    assert (unknown.returncode, unknown.stderr) == (2, "onrecord: nobody called bob is on this record\n")
    keystore.pseudonym(tenant="", source="os_account", subject="ada")
    assert "say which: u_" in ask(tmp_path, "query", "--user", "ada").stderr


def test_people_are_known_by_name_in_the_tenant_that_their_tokens_name(tmp_path):
    assert onrecord(tmp_path, "run", "--", "true").returncode == 0
    (tmp_path / "onrecord.toml").write_text(
        'tenant = "ours"\n'
        '[identity]\nissuer = "https://id.example"\naudience = "a"\njwks = "keys"\ntenant_claim = "org"\n'
    )
    keystore = Keystore(Home(tmp_path), read_keys(Home(tmp_path)).digest_key)
    person = keystore.pseudonym(tenant="acme", source="https://id.example", subject="ada")

    known = ask(tmp_path, "query", "--user", "ada", "--tenant", "acme,other", "--count")
    assert (known.returncode, known.stdout) == (0, "0\n")
    assert person in (tmp_path / "ledger/access/log" / f"{0:018d}.ndjson").read_text()
    missing = ask(tmp_path, "query", "--user", "ada", "--tenant", "ours", "--count")
    assert missing.stderr == "onrecord: nobody called ada of the tenant ours is on this record\n"
    untold = onrecord(tmp_path, "tail", "--user", "ada")
    assert untold.returncode == 2
    assert "say which with onrecord query --user NAME --tenant TENANT" in untold.stderr


def test_that_words_were_not_found_is_said_with_which_words_there_are(home):
    (said,) = ask(home, "search", "xylophone").stderr.splitlines()

    assert said.startswith("onrecord: nothing on the record is like that; of arguments and results only that has words")
    assert 'classification = "low"' in said


def test_a_range_without_data_is_said(home):
    asked = ask(home, "query", "--until", "2020-01-01")

    assert asked.returncode == 1
    assert "nothing on the record is like that" in asked.stderr


def test_the_index_is_made_anew_and_answers_the_same(home):
    before = ask(home, "query", "--phase", "attempt").stdout

    made = json.loads(ask(home, "index", "--rebuild", "--json").stdout)

    assert next(row for row in made if row["log"] == "calls")["events"] == len(record(home))
    assert ask(home, "query", "--phase", "attempt").stdout == before


@pytest.mark.requirement("E1")
def test_what_was_asked_is_on_the_access_log_whole_and_not_behind_what_is_long(home):
    padded = ",".join(f"tool-{number:04d}" for number in range(900))

    assert ask(home, "query", "--tool", f"{padded},echo", "--count").returncode == 0

    told = json.loads(accesses(home)[-1]["detail"]["filter"])
    assert len(told["tool_name"]) == 901
    assert told["tool_name"][-1] == "echo"


@pytest.mark.requirement("E1")
def test_what_is_too_long_to_be_recorded_whole_is_not_answered(home):
    before = len(accesses(home))

    asked = ask(home, "query", "--tool", ",".join(f"tool-{number:05d}" for number in range(5_000)), "--count")

    assert (asked.returncode, asked.stdout) == (2, "")
    assert "room on the access log" in asked.stderr
    assert len(accesses(home)) == before


@pytest.mark.requirement("E1")
def test_two_conditions_on_one_column_are_both_on_the_access_log(home):
    assert ask(home, "query", "--tool", "echo", "--tool", "echo,fail", "--count").stdout == "4\n"

    told = json.loads(accesses(home)[-1]["detail"]["filter"])
    assert told == {"tool_name": ["echo"], "tool_name 2": ["echo", "fail"]}


@pytest.mark.requirement("E1")
def test_a_question_that_is_not_answered_is_on_the_access_log_too(tmp_path):
    with Session(tmp_path) as session:
        session.call("echo")
        session.end()
    assert ask(tmp_path, "query", "--count").returncode == 0
    (made,) = (tmp_path / "index/calls").glob("*.sqlite")
    sqlite3.connect(made).executescript("DROP TABLE e").close()

    asked = ask(tmp_path, "query", "--tool", "echo", "--count")

    assert (asked.returncode, asked.stdout) == (2, "")
    assert accesses(tmp_path)[-1]["detail"] == {"log": "calls", "filter": '{"tool_name":["echo"]}', "answered": "no"}


@pytest.mark.parametrize(
    "arguments",
    [
        *(("query", option, b"u_\xff") for option in ("--tool", "--user", "--session", "--call")),
        ("search", b"\xff"),
        ("incident", b"\xff"),
        ("query", "--also", b"/\xff"),
    ],
)
def test_what_is_no_text_is_one_clear_error(home, arguments):
    asked = ask(home, *map(os.fsdecode, arguments))

    assert asked.returncode == 2
    assert "\\udcff" in asked.stderr


def test_an_id_that_is_no_text_is_nothing_on_the_record(home):
    assert ask(home, "show", os.fsdecode(b"\xff")).returncode == 1


@pytest.mark.parametrize("option", ["--since", "--until", "--from", "--by", "--columns", "--user", "--tool"])
def test_an_option_that_names_nothing_is_an_error_and_never_asks_for_all(home, option):
    asked = ask(home, "query", option, "")

    assert (asked.returncode, asked.stdout) == (2, "")
    assert option in asked.stderr


@pytest.mark.parametrize("verb", ["search", "incident", "alerts", "stats"])
def test_a_time_that_is_empty_is_no_time_for_other_verbs_too(home, verb):
    asked = ask(home, verb, *(["echo"] if verb in ("search", "incident") else []), "--since", "")

    assert (asked.returncode, asked.stdout) == (2, "")
    assert "--since" in asked.stderr
