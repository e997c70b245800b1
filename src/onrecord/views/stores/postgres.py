# SPDX-License-Identifier: Apache-2.0
"""A store in PostgreSQL.

The table is partitioned by month, and a partition is made when the first event of its month comes. A batch is copied
into a temporary table and taken over from there, without what is there already, in one transaction. Indexes on texts
are on their beginning, as a longer one than a third of a page cannot be in an index; the whole text is compared then.
Words are found by an index on the list of them, not by PostgreSQL's own text search, which would cut some words
otherwise than the other engines do. A text cannot hold the character NUL there, so it is written as two others.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

import psycopg
from psycopg.errors import ReadOnlySqlTransaction, UndefinedTable
from psycopg.errors import lookup as error_of

from onrecord.errors import OnRecordError
from onrecord.views.columns import BY_NAME, Value
from onrecord.views.question import Measure
from onrecord.views.stores.address import Address
from onrecord.views.stores.store import Newest, StoreAway
from onrecord.views.stores.table import KEYED, NAMES, TABLE
from onrecord.views.words import Phrase

TIMEOUT_S = 60  # for one statement
_CONNECT_S = 10
_SERVER_SAYS = "FATAL:"  # begins what a server says before it ends a connection
_ROWS = 2_000  # that are fetched at once

_KEY = 100  # characters of a text that stand in an index; it holds 2,704 bytes
_KEYS = ("call_id", "correlation_id", "trace_id", "approval_id", "session_id")
_KEYS_IN_TIME = ("user_id", "resource", "tool_name")
_MARKED = ("policy_decision = 'deny'", "error_type IS NOT NULL", "suspicious_signals IS NOT NULL")
_INDEXES = (
    *(f"(left({name}, {_KEY})) WHERE {name} IS NOT NULL" for name in _KEYS),
    *(f"(left({name}, {_KEY}), ts) WHERE {name} IS NOT NULL" for name in _KEYS_IN_TIME),
    *(f"(ts) WHERE {marked}" for marked in _MARKED),
    "(ts)",
)
_WORDS = "string_to_array(btrim(words), ' ')"
_TYPES = {"text": 'text COLLATE "C"', "json": "text", "integer": "bigint", "boolean": "smallint"}

# What PostgreSQL's text cannot hold, and the character that says so; the second one stands for the first itself.
_NUL, _ESCAPE = "\0", "\ue000"
_AS_NUL, _AS_ESCAPE = "\ue000\ue001", "\ue000\ue002"

_LATER = ("08", "40", "53", "55", "57", "58")
"""Classes of errors that pass: connections, deadlocks, resources, locks, shutdowns, disks."""
_PERCENT = {"p50": 50, "p95": 95}

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]


class Postgres:
    """A connection to PostgreSQL, made when it is needed, and again when it was lost."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._open: Connection | None = None
        self._months: set[str] = set()

    def prepare(self) -> None:
        """Make the table, or add the columns that it lacks. Raises StoreAway, OnRecordError."""
        there = "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0"
        with self._ours() as connection:
            found = {name for (name,) in connection.execute(there, [TABLE])}
            if not found.issuperset(NAMES):  # else it takes no right to make tables
                with connection.transaction():
                    _make(connection)

    def put(self, rows: Sequence[tuple[Value, ...]]) -> None:
        """Take in rows, and return once they are kept. Raises StoreAway, OnRecordError."""
        at = NAMES.index("ts")
        names = ", ".join(NAMES)
        with self._ours() as connection:
            self._make_months({_month(int(str(row[at]))) for row in rows}, connection)
            with connection.transaction(), connection.cursor() as cursor:
                cursor.execute(f"CREATE TEMP TABLE incoming (LIKE {TABLE}) ON COMMIT DROP".encode())
                with cursor.copy(f"COPY incoming ({names}) FROM STDIN".encode()) as copy:
                    for row in rows:
                        copy.write_row([_escaped(cell) for cell in row])
                cursor.execute(
                    f"INSERT INTO {TABLE} ({names}) SELECT {names} FROM incoming ON CONFLICT DO NOTHING".encode()
                )

    def forget(self, origin: str, ranges: Sequence[tuple[int, int]]) -> None:
        """Delete the rows of a log from the first to the last place of each range. Raises StoreAway, OnRecordError."""
        with self._ours() as connection, connection.transaction():
            for first, last in ranges:
                connection.execute(
                    f"DELETE FROM {TABLE} WHERE origin = %s AND seq BETWEEN %s AND %s".encode(),
                    [_escaped(origin), first, last],
                )

    def newest(self, origin: str) -> Newest | None:
        """Return the newest that is there of a log. Raises StoreAway, OnRecordError."""
        sql = f"SELECT seq, ts, event_id FROM {TABLE} WHERE origin = %s ORDER BY seq DESC LIMIT 1"
        with self._ours() as connection:
            found = connection.execute(sql.encode(), [_escaped(origin)]).fetchone()
        return Newest(seq=found[0], ts=found[1], event_id=found[2] or "") if found else None

    def writing(self) -> "PostgresWriting":
        """Return a statement that nothing is in yet."""
        return PostgresWriting()

    def ask(self, sql: str, values: Sequence[Value]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows that a statement answers. Raises StoreAway, OnRecordError."""
        with self._ours() as connection, connection.transaction():
            connection.execute("SET TRANSACTION READ ONLY")
            with connection.cursor(name="answer") as cursor:
                cursor.itersize = _ROWS
                for row in cursor.execute(sql.encode(), values):
                    yield tuple(_plain(cell) for cell in row)

    def close(self) -> None:
        """Let go of the connection."""
        if self._open is not None:
            self._open.close()
        self._open = None

    def _make_months(self, months: Iterable[str], connection: Connection) -> None:
        for month in sorted(set(months) - self._months):
            year, number = map(int, month.split("_"))
            begin, end = _begin(year, number), _begin(year + number // 12, number % 12 + 1)
            with connection.transaction():
                _lock(connection)
                values = f"FOR VALUES FROM ({begin}) TO ({end})"
                _run(connection, f"CREATE TABLE IF NOT EXISTS {TABLE}_{month} PARTITION OF {TABLE} {values}")
            self._months.add(month)

    def _ours(self) -> "_Errors":
        return _Errors(self)

    def connection(self) -> Connection:
        """Return the connection, which may have to be made. Raises psycopg.Error."""
        if self._open is None or self._open.closed:
            self._months.clear()  # somebody may have taken some away
            address = self.address
            self._open = psycopg.connect(
                host=address.socket or address.host,
                port=address.port,
                dbname=address.database,
                user=address.user or None,
                password=address.password or None,
                connect_timeout=_CONNECT_S,
                autocommit=True,
                application_name="onrecord",
                options=f"-c statement_timeout={TIMEOUT_S * 1000} -c synchronous_commit=on",
                sslmode="verify-full" if address.tls else None,
                sslrootcert=(address.ca_file or "system") if address.tls else None,
            )
        return self._open


class _Errors:
    """The connection of a store, for a while; what goes wrong in it is told in words of ours."""

    def __init__(self, store: Postgres) -> None:
        self._store = store

    def __enter__(self) -> Connection:
        try:
            return self._store.connection()
        except psycopg.Error as e:
            raise _failed(e, self._store.address) from e

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, psycopg.Error):
            if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
                self._store.close()
            raise _failed(error, self._store.address) from error


class PostgresWriting:
    """A statement for PostgreSQL; its values stand beside it."""

    table = TABLE

    def __init__(self) -> None:
        self.values: list[Value] = []

    def value(self, value: Value) -> str:
        """Return what stands for a value."""
        self.values.append(_escaped(value))
        return "%s"

    def _key(self, value: Value) -> str:
        escaped = _escaped(value)
        self.values.append(escaped[:_KEY] if isinstance(escaped, str) else escaped)
        return "%s"

    def says(self, column: str) -> str:
        """Return the condition that a column says something."""
        return f"{column} IS NOT NULL"

    def is_one_of(self, column: str, values: Sequence[str | int]) -> str:
        """Return the condition that a column says one of `values`."""
        keyed = ""
        if column in (*_KEYS, *_KEYS_IN_TIME):
            keyed = f"left({column}, {_KEY}) IN ({', '.join([self._key(value) for value in values])}) AND "
        return f"{keyed}{column} IN ({', '.join([self.value(value) for value in values])})"

    def has(self, phrase: Phrase) -> str:
        """Return the condition that the words of an event have a phrase."""
        whole = phrase.words[:-1] if phrase.prefix else phrase.words
        indexed = f"{_WORDS} @> ARRAY[{', '.join(map(self.value, whole))}]::text[] AND " if whole else ""
        stands = self.value(" " + " ".join(phrase.words) + ("" if phrase.prefix else " "))
        return f"{indexed}strpos(words, {stands}) > 0"

    def span(self, length_us: int) -> str:
        """Return the number of the span of time that an event is in, from 1970 on."""
        return f"ts / {length_us}"

    def measured(self, measure: Measure) -> str:
        """Return what is measured of `latency_us` of a group, by nearest rank."""
        if measure == "max":
            return "max(latency_us)"
        percent = _PERCENT[measure]
        return f"(array_agg(latency_us ORDER BY latency_us))[(count(*) * {percent} + 99) / 100]"

    def sorted_first(self, chosen: str) -> str:
        """Return a statement whose rows are found before they are sorted.

        Else the planner would go through the index of times and look for a rare word in each row.
        """
        return f"SELECT ts, origin, seq FROM ({chosen} OFFSET 0) AS found"


def open_postgres(address: Address) -> Postgres:
    """Return a connection to a server. Raises StoreAway, OnRecordError."""
    store = Postgres(address)
    try:
        store.connection()
    except psycopg.Error as e:
        raise _failed(e, address) from e
    return store


def _failed(error: psycopg.Error, address: Address) -> OnRecordError:
    """Return what went wrong, in words of ours: what a server says can hold what stands in its rows."""
    state = error.sqlstate
    if isinstance(error, UndefinedTable):
        return OnRecordError(f"{address} has no table of events; fill it with: onrecord index --to")
    if state is None:
        return StoreAway(f"{address} {_unmet(error)}")
    name = error_of(state).__name__
    if isinstance(error, ReadOnlySqlTransaction) or state[:2] in _LATER:
        return StoreAway(f"{address} cannot do it just now: {name} ({state})")
    return OnRecordError(f"{address} refuses: {name} ({state})")


def _unmet(error: psycopg.Error) -> str:
    """Return what became of a connection that could not be had; what the library says never holds a password."""
    said = str(error).partition("\n")[0][:300]
    if not said:
        return "has ended the connection"
    if said.startswith("failed to resolve host"):
        return "cannot be reached: nobody knows an address of that name; is its URL right?"
    said = said.rpartition(" failed: ")[2]
    if said.startswith(_SERVER_SAYS):
        return f"lets nobody in: {said.removeprefix(_SERVER_SAYS).strip()}"
    return f"cannot be reached: {said[:1].lower()}{said[1:]}; does it run there, and is its URL right?"


def _make(connection: Connection) -> None:
    """Make the table with its indexes, or the columns that it lacks."""
    _lock(connection)
    columns = ", ".join(f"{name} {_type_of(name)}" for name in NAMES)
    table = f"{TABLE} ({columns}, PRIMARY KEY (origin, seq, ts))"
    _run(connection, f"CREATE TABLE IF NOT EXISTS {table} PARTITION BY RANGE (ts)")
    for name in NAMES:
        _run(connection, f"ALTER TABLE {TABLE} ADD COLUMN IF NOT EXISTS {name} {_type_of(name)}")
    for number, index in enumerate(_INDEXES):
        _run(connection, f"CREATE INDEX IF NOT EXISTS {TABLE}_{number} ON {TABLE} {index}")
    _run(connection, f"CREATE INDEX IF NOT EXISTS {TABLE}_words ON {TABLE} USING gin (({_WORDS}))")


def _run(connection: Connection, sql: str) -> None:
    connection.execute(sql.encode())


def _lock(connection: Connection) -> None:
    """Let one process at a time make tables, until the transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [TABLE])


def _type_of(name: str) -> str:
    kind = _TYPES[BY_NAME[name].kind] if name in BY_NAME else _TYPES["text"]
    return f"{kind} NOT NULL" if name in KEYED else kind


def _month(ts: int) -> str:
    return datetime.fromtimestamp(ts // 1_000_000, UTC).strftime("%Y_%m")


def _begin(year: int, month: int) -> int:
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * 1_000_000


def _escaped(value: Value) -> Value:
    if isinstance(value, str) and (_ESCAPE in value or _NUL in value):
        return value.replace(_ESCAPE, _AS_ESCAPE).replace(_NUL, _AS_NUL)
    return value


def _plain(cell: Value) -> Value:
    if isinstance(cell, str) and _ESCAPE in cell:
        return cell.replace(_AS_NUL, _NUL).replace(_AS_ESCAPE, _ESCAPE)
    return cell
