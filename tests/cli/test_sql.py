# SPDX-License-Identifier: Apache-2.0
"""`onrecord sql`: what people ask, what they get, and what they are told where there is no answer."""

import contextlib
import csv
import io
import json
import os
import pty
import subprocess
import sys

import pytest
from tests.cli.test_access import accesses, onrecord
from tests.doors.session import Session
from tests.views.logs import made
from tests.without import without

pytest.importorskip("sqlglot")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    path = tmp_path_factory.mktemp("asked")
    with Session(path) as session:
        for tool in ("echo", "echo", "fail", "store"):
            session.call(tool)
        session.end()
    return path


def ask(home, *arguments, **options):
    asked = onrecord(home, "sql", *arguments, **options)
    assert "Traceback" not in asked.stderr
    return asked


@pytest.mark.requirement("E1")
def test_a_statement_over_the_record(home):
    text = "SELECT tool_name, count(*) AS n FROM audit_events WHERE phase = 'attempt' GROUP BY 1 ORDER BY n DESC, 1"

    assert json.loads(ask(home, text, "--json").stdout) == [
        {"tool_name": "echo", "n": 2},
        {"tool_name": "fail", "n": 1},
        {"tool_name": "store", "n": 1},
    ]
    assert list(csv.reader(io.StringIO(ask(home, text, "--format", "csv").stdout)))[:2] == [
        ["tool_name", "n"],
        ["echo", "2"],
    ]
    assert ask(home, text).stdout.splitlines()[0].split() == ["tool_name", "n"]


def on_terminal(home, columns, *arguments):
    """Return what a person sees of an answer on a terminal so wide: standard output, and the talk."""
    mine, its = pty.openpty()
    environ = {**os.environ, "ONRECORD_HOME": str(home), "COLUMNS": str(columns)}
    command = [sys.executable, "-m", "onrecord.cli.main", "sql", *arguments]
    process = subprocess.Popen(command, env=environ, stdout=its, stderr=subprocess.PIPE, text=True)
    os.close(its)
    seen = bytearray()
    with contextlib.suppress(OSError):  # a terminal that nobody writes to any more ends so
        while some := os.read(mine, 65536):
            seen += some
    os.close(mine)
    _, talk = process.communicate(timeout=60)
    assert process.returncode == 0, talk
    return seen.decode().splitlines(), talk


def test_rows_that_are_wider_than_the_terminal_have_a_line_for_each_column_that_says_something(home):
    everything = "SELECT * FROM audit_events WHERE tool_name = 'echo' ORDER BY seq LIMIT 2"
    (one, other) = json.loads(ask(home, everything, "--json").stdout)

    lines, talk = on_terminal(home, 80, everything)

    heads = [number for number, line in enumerate(lines) if line.startswith("-[ row ")]
    assert [lines[number].strip("-[] ") for number in heads] == ["row 1", "row 2"]
    assert len(lines[0]) <= 80
    for row, begin, end in ((one, 0, heads[1]), (other, heads[1], len(lines))):
        said = dict(line.split(maxsplit=1) for line in lines[begin + 1 : end])
        assert said == {name: str(value) for name, value in row.items() if value is not None}
    assert "NULL has none" in talk


def test_rows_that_fit_and_rows_for_programs_stay_rows(home):
    everything = "SELECT * FROM audit_events ORDER BY seq LIMIT 2"
    few = "SELECT seq, event_type FROM audit_events ORDER BY seq LIMIT 2"

    lines, talk = on_terminal(home, 80, few)
    assert (lines[0].split(), len(lines), talk) == (["seq", "event_type"], 3, "")
    assert len(on_terminal(home, 100_000, everything)[0]) == 3
    assert len(ask(home, everything).stdout.splitlines()) == 3  # in a pipe there is no width
    for form in ("json", "ndjson"):
        assert (
            on_terminal(home, 80, everything, "--format", form)[0]
            == ask(home, everything, "--format", form).stdout.splitlines()
        )
    assert "-[ row" not in "".join(on_terminal(home, 80, everything, "--format", "csv")[0])


def test_a_statement_comes_on_standard_input(home):
    process = subprocess.run(
        [sys.executable, "-m", "onrecord.cli.main", "sql", "-", "--format", "ndjson"],
        input="SELECT 1 + 1 AS two -- a comment",
        env={**os.environ, "ONRECORD_HOME": str(home)},
        capture_output=True,
        text=True,
    )

    assert process.stdout == '{"two":2}\n'


@pytest.mark.requirement("A3", "E1")
def test_each_statement_is_on_the_access_log(home):
    ask(home, "SELECT seq /* why */ FROM audit_events ORDER BY seq LIMIT 3")

    last = [event for event in accesses(home) if event["action"] == "sql"][-1]
    assert last["detail"]["statement"] == "SELECT seq FROM audit_events ORDER BY seq LIMIT 3"
    assert last["detail"]["count"] == "3"


def test_a_limit_is_said(home):
    asked = ask(home, "SELECT seq FROM audit_events ORDER BY seq", "--limit", "2", "--format", "csv")

    assert asked.stdout.splitlines() == ['"seq"', '"0"', '"1"']
    assert "--limit" in asked.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("DELETE FROM audit_events",), "refused: DELETE is no question"),
        (("SELECT * FROM '/etc/passwd'",), "refused: there is no table /etc/passwd"),
        (("SELECT tool FROM audit_events",), "did you mean tool_name?"),
        (("SELECT sleep(9)",), "the function sleep is not on the list"),
        (("SELECT now()",), "nullif, quantile_disc, rank"),
        (("SELECT seq FROM audit_events WHERE seq = 'x'",), "integer and text"),
        (("SELECT tool_name, count(*) FROM audit_events",), "GROUP BY"),
        (("SELEC 1",), "no SQL that can be read"),
        (("",), "give one statement, not 0"),
        (("SELECT 1", "--limit", "0"), "--limit"),
        (("SELECT 1", "--timeout", "0"), "--timeout"),
        (("SELECT 1", "--timeout", "nan"), "--timeout"),
        (("SELECT 1", "--timeout", "inf"), "--timeout"),
        (("SELECT 1", "--limit", "99999999999999999999"), "--limit"),
        (("SELECT '\udcff'",), "not UTF-8"),
        (("SELECT 1", "--log", "security"), "there is no security log"),
    ],
)
def test_what_cannot_be_asked_is_one_clear_error(home, arguments, told):
    asked = ask(home, *arguments)

    assert asked.returncode == 2
    assert told in asked.stderr
    assert len(asked.stderr.splitlines()) == 1


def test_what_a_cell_says_acts_neither_in_a_terminal_nor_in_a_spreadsheet(home):
    text = "SELECT '\x1b[31m' AS a, '=1+1' AS b, '\u202e' AS c"

    assert "\x1b" not in ask(home, text).stdout
    assert "\u202e" not in ask(home, text, "--json").stdout
    assert ',"=1' not in ask(home, text, "--format", "csv").stdout


@pytest.mark.parametrize("missing", [("sqlglot",), ("sqlglot", "duckdb"), ("duckdb",)])
def test_without_a_package_it_is_one_clear_error_or_the_same_answer(home, tmp_path, missing):
    process = subprocess.run(
        [
            sys.executable,
            "-m",
            "onrecord.cli.main",
            "sql",
            "SELECT count(*) AS n FROM audit_events WHERE phase = 'attempt'",
            "--json",
        ],
        env={**os.environ, **without(tmp_path / "fewer", *missing), "ONRECORD_HOME": str(home)},
        capture_output=True,
        text=True,
    )

    if "sqlglot" in missing:
        assert process.returncode == 2
        assert process.stderr.splitlines() == [
            "onrecord: onrecord sql needs sqlglot; install onrecord[sql], or onrecord[analytics]"
        ]
    else:
        assert json.loads(process.stdout) == [{"n": 4}]


def test_a_large_record_is_answered_by_either_engine_alike(tmp_path):
    made(tmp_path / "home", 60_000, days=3)
    text = (
        "SELECT server_id, count(*) AS n, quantile_disc(latency_us, 0.95) AS us FROM audit_events GROUP BY 1 ORDER BY 1"
    )
    arguments = [sys.executable, "-m", "onrecord.cli.main", "sql", text, "--json"]
    env = {**os.environ, "ONRECORD_HOME": str(tmp_path / "home")}

    duck = subprocess.run(arguments, env=env, capture_output=True, text=True)
    sqlite = subprocess.run(
        arguments, env={**env, **without(tmp_path / "fewer", "duckdb")}, capture_output=True, text=True
    )

    assert list((tmp_path / "home" / "index" / "calls" / "cold").glob("*.parquet"))
    assert json.loads(duck.stdout) == json.loads(sqlite.stdout)
    assert len(json.loads(duck.stdout)) > 20


@pytest.mark.requirement("E1")
def test_a_statement_that_fails_over_the_record_is_on_the_access_log_as_its_failing_tells_something(home):
    asked = ask(home, "SELECT ts * 1000000000000000 FROM audit_events WHERE tool_name = 'echo'")

    assert (asked.returncode, asked.stdout) == (2, "")
    told = accesses(home)[-1]["detail"]
    assert "tool_name = 'echo'" in told["statement"]
    assert told["answered"] == "no"


@pytest.mark.requirement("E1")
def test_a_statement_is_on_the_access_log_to_its_end(home):
    padding = "x" * 9_000

    assert ask(home, f"SELECT count(*) FROM audit_events WHERE '{padding}' <> '' AND user_id = 'u_1'").returncode == 0

    assert accesses(home)[-1]["detail"]["statement"].endswith("user_id = 'u_1'")
