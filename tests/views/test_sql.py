# SPDX-License-Identifier: Apache-2.0
"""SQL over the record: the same answers from both engines, and nothing else than answers."""

import hashlib
import resource
import shutil
import signal
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.views.logs import events, made, scan
from tests.views.test_cold import ODD, line, sealed

from onrecord.errors import OnRecordError
from onrecord.ledger.clock import parse_time
from onrecord.views.cold.parquet import make_parts, open_duckdb, parts_of
from onrecord.views.index.layout import files_of, folder_of
from onrecord.views.question import Question
from onrecord.views.sql import on_duckdb, on_sqlite
from onrecord.views.sql.answer import Bounds
from onrecord.views.sql.statement import read_statement
from onrecord.views.tiers import Wide, answers

duckdb = pytest.importorskip("duckdb")
BOUNDS = Bounds(rows=500, seconds=20)
EVENTS = 900


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return made(tmp_path_factory.mktemp("asked"), EVENTS, days=20)


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    return sealed(tmp_path_factory.mktemp("odd"), [line(seq, fields) for seq, fields in enumerate(ODD)])


def both(home, text: str, bounds: Bounds = BOUNDS):
    """Return what each engine answers."""
    statement = read_statement(text)
    with answers(home, "calls", wide=Wide(rows=1, days=0)) as source:
        duck = on_duckdb.answer(statement, source, bounds)
        assert duck is not None
        assert not source.remarks
        return duck, on_sqlite.answer(statement, source, bounds)


GOOD = [each.strip() for each in (Path(__file__).parent / "statements.sql").read_text().split(";\n")[:-1]]


@pytest.mark.requirement("E1")
@pytest.mark.parametrize("text", GOOD)
def test_both_engines_answer_alike(home, text):
    duck, sqlite = both(home, text)

    assert duck.names == sqlite.names
    assert _near(duck.rows) == _near(sqlite.rows)
    assert duck.more == sqlite.more
    assert [[type(cell) for cell in row] for row in duck.rows] == [[type(cell) for cell in row] for row in sqlite.rows]


def _near(rows):
    return [[float(f"{cell:.12g}") if isinstance(cell, float) else cell for cell in row] for row in rows]


TEXTS = ("input_summary", "tool_name", "output_summary", "call_id", "output_type", "detail", "error_type")


@pytest.mark.parametrize("column", TEXTS)
@pytest.mark.parametrize(
    "asked",
    [
        "lower({0}), upper({0}), length({0}), trim({0}), substring({0}, 2, 5), {0} || '!', concat('<', {0}, '>')",
        "{0} LIKE '%a%', {0} LIKE 'nul _ in it', {0} ILIKE '%ü%', {0} LIKE '%(%)%_%', {0} LIKE '', {0} ILIKE '%\u0130'",
        "{0} = '\u212a', {0} < 'a', {0} IN ('a', '\u00e9'), coalesce({0}, '\U0001f600') || 'x', nullif({0}, 'mine')",
    ],
)
def test_odd_texts_are_the_same_in_both_engines(odd, column, asked):
    text = f"SELECT seq, {asked.format(column)} FROM audit_events ORDER BY {column}, seq"

    duck, sqlite = both(odd, text)

    assert duck.rows == sqlite.rows
    assert len(duck.rows) > len(ODD) - 1


@pytest.mark.parametrize(
    "text",
    [
        "SELECT seq, timestamp FROM audit_events ORDER BY seq",
        "SELECT seq, timestamp FROM audit_events WHERE timestamp IN ('2026-11-21T11:00:00+02:00') ORDER BY seq",
        "SELECT seq FROM audit_events WHERE timestamp > '2026-11-21T09:00:00.1' ORDER BY timestamp, seq",
        "SELECT max(timestamp), min(timestamp), max(length(timestamp)), min(length(timestamp)) FROM audit_events",
    ],
)
def test_a_time_is_what_its_line_says_in_each_engine(odd, text):
    own = {fields["timestamp"] for fields in ODD if "timestamp" in fields}

    duck, indexed = both(odd, text)
    lines = on_sqlite.answer(read_statement(text), scan(odd), BOUNDS)

    assert files_of(folder_of(odd, "calls"))  # the index has answered, and not the lines
    assert duck.rows == indexed.rows == lines.rows
    assert len(duck.rows) > 0
    if text == "SELECT seq, timestamp FROM audit_events ORDER BY seq":
        assert own < {str(row[1]) for row in indexed.rows}


def test_columns_of_an_answer_have_names_and_no_two_alike(home):
    duck, sqlite = both(home, "SELECT count(*), max(seq) AS a, min(seq) AS a, 1 FROM audit_events")

    assert duck.names == sqlite.names == ("count(*)", "a", "a_2", "1")


def test_an_answer_has_as_many_rows_as_are_wanted(home):
    for text in (
        "SELECT seq FROM audit_events ORDER BY seq",
        "SELECT seq FROM audit_events UNION ALL SELECT 1 ORDER BY 1",
    ):
        for found in both(home, text, Bounds(rows=7)):
            assert (len(found.rows), found.more) == (7, True)
    for found in both(home, "SELECT seq FROM audit_events ORDER BY seq LIMIT 7", Bounds(rows=7)):
        assert (len(found.rows), found.more) == (7, False)


# what is not to be answered

GROWING = "WITH a AS (SELECT timestamp AS x FROM audit_events)"
for one, other in zip("abcd", "bcde", strict=True):
    GROWING += f", {other} AS (SELECT {' || '.join('x' * 8)} AS x FROM {one})"
GROWING += " SELECT max(length(x)) FROM e"

REFUSED = [
    "",
    ";",
    "nonsense",
    "SELECT",
    "SELECT 1; SELECT 2",
    "(SELECT seq FROM audit_events LIMIT 3) UNION ALL (SELECT seq FROM audit_events LIMIT 1)",
    "SELECT quantile_disc(DISTINCT seq, 0.5) FROM audit_events",
    "SELECT 1; DROP TABLE audit_events",
    "DELETE FROM audit_events",
    "INSERT INTO audit_events (seq) VALUES (1)",
    "UPDATE audit_events SET user_id = 'x'",
    "MERGE INTO audit_events USING audit_events b ON true WHEN MATCHED THEN DELETE",
    "TRUNCATE audit_events",
    "WITH gone AS (DELETE FROM audit_events RETURNING *) SELECT * FROM gone",
    "WITH made AS (INSERT INTO audit_events (seq) VALUES (9) RETURNING seq) SELECT * FROM made",
    "CREATE TABLE t AS SELECT * FROM audit_events",
    "CREATE TEMP TABLE t (a INT)",
    "CREATE VIRTUAL TABLE t USING fts5(a)",
    "CREATE OR REPLACE MACRO f() AS 1",
    "DROP VIEW audit_events",
    "ALTER TABLE audit_events ADD COLUMN a INT",
    "SELECT * INTO stolen FROM audit_events",
    "SELECT seq FROM audit_events FOR UPDATE",
    "COPY audit_events TO '{file}'",
    "COPY (SELECT * FROM audit_events) TO '{file}' (FORMAT parquet)",
    "COPY audit_events FROM '{secret}'",
    "EXPORT DATABASE '{file}'",
    "ATTACH '{file}' AS x",
    "ATTACH '{secret}' AS x (READ_ONLY)",
    "DETACH memory",
    "PRAGMA query_only = OFF",
    "PRAGMA database_list",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "RESET allowed_paths",
    "INSTALL httpfs",
    "LOAD '{secret}'",
    "CALL pragma_version()",
    "EXPLAIN ANALYZE SELECT * FROM audit_events",
    "DESCRIBE audit_events",
    "SUMMARIZE audit_events",
    "SHOW TABLES",
    "BEGIN",
    "VACUUM",
    "SELECT * FROM '{secret}'",
    "SELECT * FROM \"{secret}\"",
    "SELECT * FROM read_csv('{secret}')",
    "SELECT * FROM read_parquet('{secret}')",
    "SELECT * FROM read_text('{secret}')",
    "SELECT * FROM read_blob('{secret}')",
    "SELECT * FROM read_json_auto('{secret}')",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM sniff_csv('{secret}')",
    "SELECT pg_read_file('{secret}')",
    "SELECT readfile('{secret}')",
    "SELECT writefile('{file}', 'x')",
    "SELECT edit('x')",
    "SELECT load_extension('{secret}')",
    "SELECT fts3_tokenizer('x')",
    "SELECT getenv('HOME')",
    "SELECT current_setting('allowed_paths')",
    "SELECT * FROM sqlite_master",
    "SELECT count(*) FROM sqlite_schema",
    "SELECT * FROM pragma_database_list",
    "SELECT * FROM json_each('[1]')",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM pg_catalog.pg_class",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM others",
    "SELECT * FROM main.audit_events",
    "SELECT * FROM memory.main.audit_events",
    "SELECT * FROM \"audit_events\".\"x\"",
    "SELECT audit_events FROM audit_events",
    "SELECT main.audit_events.seq FROM audit_events",
    "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
    "WITH audit_events AS (SELECT 1 AS seq) SELECT * FROM audit_events",
    "SELECT count(*) FROM range(1000000000000)",
    "SELECT count(*) FROM generate_series(1, 1000000000000)",
    "SELECT unnest(range(1000000000))",
    "SELECT repeat('x', 1000000000)",
    "SELECT printf('%1000000000d', 1)",
    "SELECT zeroblob(1000000000)",
    "SELECT randomblob(1000000000)",
    "SELECT lpad('x', 1000000000, 'y')",
    "SELECT count(*) FROM audit_events WHERE regexp_matches(tool_name, '(a+)+$')",
    "SELECT count(*) FROM audit_events WHERE tool_name SIMILAR TO '(a|a)*'",
    "SELECT count(*) FROM audit_events WHERE tool_name GLOB '*'",
    "SELECT list_transform([1], x -> x + 1)",
    "SELECT seq FROM audit_events, LATERAL (SELECT 1)",
    "SELECT * FROM (VALUES (1)) v",
    "VALUES (1)",
    "PIVOT audit_events ON phase USING count(*)",
    "UNPIVOT audit_events ON phase INTO NAME a VALUE b",
    "SELECT * FROM audit_events POSITIONAL JOIN audit_events b",
    "SELECT * FROM audit_events NATURAL JOIN audit_events b",
    "SELECT seq FROM audit_events QUALIFY row_number() OVER () = 1",
    "SELECT seq FROM audit_events USING SAMPLE 1",
    "SELECT seq FROM audit_events TABLESAMPLE 10%",
    "SELECT ? FROM audit_events",
    "SELECT $1 FROM audit_events",
    "SELECT :name FROM audit_events",
    "SELECT @x FROM audit_events",
    "SELECT $$x$$ || $a$; DROP TABLE audit_events; $a$ || seq FROM audit_events",
    "SELECT seq FROM audit_events LIMIT (SELECT count(*) FROM audit_events)",
    "SELECT seq FROM audit_events LIMIT -1",
    "SELECT COLUMNS('.*') FROM audit_events",
    "SELECT * EXCLUDE (seq) FROM audit_events",
    "SELECT seq COLLATE NOCASE FROM audit_events",
    "SELECT nextval('s')",
    "SELECT error('x')",
    "SELECT query('DELETE FROM audit_events')",
    "SELECT * FROM query_table('audit_events')",
    "SELECT random(), now(), uuid()",
    "SELECT 99999999999999999999",
    "SELECT 1e999",
    "SELECT seq FROM audit_events WHERE seq = 'five'",
    "SELECT tool_name, count(*) FROM audit_events",
    "SELECT (SELECT seq FROM audit_events)",
    "SELECT max(seq, 2) FROM audit_events",
    "SELECT \u202eeliF\u202c FROM audit_events",
    "ＳＥＬＥＣＴ seq ＦＲＯＭ audit_events",
    "SELECT seq FROM audit\u200b_events",
    "SELECT\x00 seq FROM audit_events",
    "/* SELECT */ DELETE /* */ FROM audit_events -- SELECT",
    "SELECT /*! DELETE */ nothing FROM audit_events",
    "-- SELECT 1",
    "SELECT " + "(" * 10_000 + "1" + ")" * 10_000,
    "SELECT " + "(" * 150 + "1" + ")" * 150,
    "SELECT " + "NOT " * 4_000 + "true",
    "SELECT " + "- " * 9_000 + "1",
    "SELECT " + "+".join(["1"] * 9_000),
    "SELECT " + "CASE WHEN true THEN " * 400 + "1" + " END" * 400,
    "SELECT " + "[" * 5_000,
    "SELECT '" + "x" * 1_000_000 + "'",
    "SELECT " + "lower(" * 190 + "'x'" + ")" * 190,
    "SELECT * FROM " + ", ".join(f"audit_events a{n}" for n in range(40)),
    "WITH a AS (SELECT * FROM audit_events), b AS (SELECT * FROM a, a AS c), d AS (SELECT * FROM b, b AS e) TABLE d",
    "WITH a AS (FROM audit_events), b AS (FROM a, a AS c), d AS (FROM b, b AS e), f AS (FROM d, d AS g) FROM f",
    GROWING.replace("FROM e", "FROM f").replace(" SELECT max", ", f AS (SELECT x || x || x AS x FROM e) SELECT max"),
    "SELECT seq AS a, a + a AS b, b + b AS c, c + c AS d, d + d AS e FROM audit_events",
]  # fmt: skip

BOUNDED = [
    "SELECT count(*) FROM audit_events a, audit_events b, audit_events c, audit_events d",
    "SELECT a.seq FROM audit_events a, audit_events b, audit_events c ORDER BY a.seq + b.seq * c.seq DESC",
    "SELECT count(DISTINCT a.event_id || b.event_id || c.event_id) FROM audit_events a, audit_events b, audit_events c",
    "SELECT a.event_id || b.event_id AS x, count(*) FROM audit_events a, audit_events b, audit_events c GROUP BY x",
    "SELECT quantile_disc(a.seq + b.seq + c.seq, 0.5) FROM audit_events a, audit_events b, audit_events c",
    GROWING,
    "SELECT max(9007199254740993 * 1000000 * (seq + 1)) FROM audit_events",
    "SELECT 1e308 * 10 * seq FROM audit_events ORDER BY seq DESC LIMIT 1",
    "SELECT count(*) FROM audit_events WHERE output_summary LIKE '" + "%a_" * 300 + "%'",
    "SELECT count(*) FROM audit_events a WHERE EXISTS (FROM audit_events b, audit_events c WHERE b.seq * c.seq = -9)",
]  # fmt: skip


@pytest.fixture(scope="module")
def around(tmp_path_factory):
    """Files that no statement may read or write."""
    folder = tmp_path_factory.mktemp("around")
    (folder / "secret.csv").write_text("word\nSWORDFISH\n")
    return folder


def filled(text: str, around) -> str:
    return text.replace("{file}", str(around / "made")).replace("{secret}", str(around / "secret.csv"))


def state(*folders) -> dict:
    """Return what lies in folders."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("text", REFUSED, ids=range(len(REFUSED)))
def test_what_is_not_one_question_is_refused_with_one_line(around, text):
    with pytest.raises(OnRecordError) as refused:
        read_statement(filled(text, around))

    assert len(str(refused.value)) < 1_000
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", BOUNDED, ids=range(len(BOUNDED)))
@pytest.mark.parametrize("engine", [on_duckdb, on_sqlite])
def test_what_explodes_ends_soon(home, engine, text):
    began = time.monotonic()

    try:
        statement = read_statement(text)
        with answers(home, "calls", wide=Wide(rows=1, days=0)) as source:
            found = engine.answer(statement, source, Bounds(rows=10, seconds=1.5))
        assert found is not None
        assert len(found.rows) <= 10
    except OnRecordError as e:
        assert "\n" not in str(e)  # noqa: PT017
    assert time.monotonic() - began < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4_000_000


# One call of these builds its whole answer, and DuckDB is not to be interrupted in it: only the list stops them.
UNINTERRUPTED = ("range(", "generate_series(", "repeat(", "lpad(")
DIRECT = [text for text in (*REFUSED, *BOUNDED[:2]) if not any(name in text for name in UNINTERRUPTED)]


@pytest.mark.parametrize("text", DIRECT, ids=range(len(DIRECT)))
def test_the_confined_duckdb_itself_reads_no_file_and_writes_nothing(home, around, text):
    make_parts(home, "calls")
    parts = parts_of(home, "calls")
    before = state(home.path, around)
    with open_duckdb("500MB") as duck:
        on_duckdb.prepare(duck, parts, ("seq", "tool_name", "user_id", "phase", "output_summary"), iter(()))
        on_duckdb.confine(duck, parts)
        count = duck.execute("SELECT count(*) FROM audit_events").fetchone()
        try:
            rows = on_duckdb.ask(duck, filled(text, around), Bounds(rows=50, seconds=1.0))
        except (duckdb.Error, OnRecordError):
            rows = []
        assert "SWORDFISH" not in str(rows)
        assert duck.cursor().execute("SELECT count(*) FROM audit_events").fetchone() == count
    assert state(home.path, around) == before


@pytest.mark.parametrize("engine", [on_duckdb, on_sqlite])
def test_ctrl_c_ends_a_statement_and_is_not_told_as_one_that_took_too_long(home, engine):
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    statement = read_statement(BOUNDED[0])
    try:
        with answers(home, "calls", wide=Wide(rows=1, days=0)) as source:
            signal.setitimer(signal.ITIMER_REAL, 1)  # by then the engine is at it
            with pytest.raises(KeyboardInterrupt):
                engine.answer(statement, source, Bounds(rows=1, seconds=60))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("text", [*REFUSED, *BOUNDED[:2]], ids=range(len(REFUSED) + 2))
def test_the_confined_sqlite_itself_reads_no_file_and_writes_nothing(home, around, text):
    before = state(around)
    file = sqlite3.connect("", isolation_level=None)
    file.executescript(
        "CREATE TABLE audit_events(seq, tool_name, user_id, phase); INSERT INTO audit_events(seq) VALUES (1)"
    )
    on_sqlite.confine(file, Bounds(rows=50, seconds=1.0))
    try:
        rows = file.execute(filled(text, around)).fetchmany(50)
    except (sqlite3.Error, sqlite3.Warning, ValueError):
        rows = []
    assert "SWORDFISH" not in str(rows)
    assert file.execute("SELECT count(*) FROM audit_events").fetchone() == (1,)
    file.close()
    assert state(around) == before


# what narrows a statement


@settings(max_examples=60)
@given(st.data())
def test_what_is_looked_at_is_never_less_than_the_statement_is_about(home, data):
    those = events(home)
    seq = st.integers(0, len(those) - 1)
    times = st.sampled_from([those[data.draw(seq)].timestamp for _ in range(3)])
    texts = times | times.map(lambda text: text[: data.draw(st.sampled_from([4, 7, 10, 13, 19, 26]))])
    parts = st.one_of(
        st.builds("timestamp {} '{}'".format, st.sampled_from([">", ">=", "<", "<=", "=", "<>"]), texts),
        st.builds("timestamp BETWEEN '{}' AND '{}'".format, texts, texts),
        st.builds("NOT timestamp >= '{}'".format, texts),
        st.builds("'{}' < timestamp".format, texts),
        st.builds(
            "ts {} {}".format,
            st.sampled_from([">", ">=", "<", "<="]),
            seq.map(lambda at: parse_time(those[at].timestamp)),
        ),
        st.builds(
            "tool_name {} ('{}', 'x')".format,
            st.sampled_from(["IN", "NOT IN"]),
            seq.map(lambda at: those[at].tool_name),
        ),
        st.builds("user_id = '{}'".format, seq.map(lambda at: those[at].user_id)),
        st.builds("risk_tier IN ({}, 3)".format, st.integers(0, 4)),
        st.just("risk_tier IN (SELECT risk_tier FROM (SELECT 2 AS risk_tier) x)"),
    )
    joined = st.sampled_from([" AND ", " AND ", " OR "])
    where = data.draw(st.lists(parts, min_size=1, max_size=3).map(lambda some: data.draw(joined).join(some)))
    statement = read_statement(f"SELECT seq FROM audit_events WHERE {where} ORDER BY seq")

    found = on_sqlite.answer(statement, scan(home), Bounds(rows=2_000))
    all_of_it = replace(statement, question=Question())

    assert found.rows == on_sqlite.answer(all_of_it, scan(home), Bounds(rows=2_000)).rows


def test_a_condition_on_another_table_narrows_nothing():
    text = "SELECT (SELECT count(*) FROM audit_events WHERE o.tool_name = 'x') FROM (SELECT 'x' AS tool_name) o"

    assert read_statement(text).question == Question()
    assert read_statement("SELECT 1 FROM audit_events WHERE tool_name = 'x'").question != Question()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are listed on Linux only")
def test_the_disk_that_is_watched_is_the_one_that_sqlite_fills():
    file = sqlite3.connect("", isolation_level=None)
    try:
        file.executescript("PRAGMA cache_size = 1; CREATE TABLE t(a); BEGIN;")
        file.executemany("INSERT INTO t VALUES (?)", ((bytes(5_000),) for _ in range(200)))
        opened = {str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()}
    finally:
        file.close()

    (spilled,) = [path for path in opened if "etilqs_" in path]
    assert Path(spilled).parent == Path(on_sqlite.temporary_folder())


def test_a_statement_leaves_half_of_a_small_disk_free_and_says_so(home, monkeypatch):
    usage = shutil.disk_usage(on_sqlite.temporary_folder())
    free = iter([2_000_000_000, *[1_000_000_001] * 3])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=next(free, 999_999_999)))
    statement = read_statement("SELECT count(*) FROM audit_events a, audit_events b, audit_events c")

    with pytest.raises(OnRecordError, match="more of the disk than it may"):
        on_sqlite.answer(statement, scan(home), BOUNDS)
