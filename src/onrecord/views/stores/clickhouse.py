# SPDX-License-Identifier: Apache-2.0
"""A store in ClickHouse.

The table is a ReplacingMergeTree: two rows of the same place are one, at once in answers, which are read with FINAL,
and in time on disk. Text that says nothing is empty, as is the habit there, so only numbers are Nullable. Values stand
in statements as hexadecimal digits, of which nothing can be misread. A batch is one block, flushed to disk before it is
acknowledged. Deletion rewrites the parts that it is in, so what is gone is gone from the disk, too.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, cast

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError
from clickhouse_connect.driver.exceptions import Error as ServerError

from onrecord.errors import OnRecordError
from onrecord.views.columns import BY_NAME, COLUMNS, Column, Value
from onrecord.views.question import Measure
from onrecord.views.stores.address import Address
from onrecord.views.stores.store import Newest, StoreAway
from onrecord.views.stores.table import IDS, KEYED, NAMES, TABLE
from onrecord.views.words import Phrase

TIMEOUT_S = 60  # for one statement
_CONNECT_S = 10
_FEW = frozenset(
    {
        *(column.name for column in COLUMNS if column.values),
        *("action", "tenant_id", "client_name", "client_version", "server_id", "server_name", "server_version"),
        *("protocol_version", "method", "tool_name", "policy_id", "policy_version", "error_type", "redaction_policy"),
        *("wid", "identity_issuer", "identity_key_id", "tool_definition_hash", "retention_class", "suspicious_signals"),
    }
)
"""Texts of which there are some thousands at most: each part of the table holds them once."""

_READING = {"readonly": 2, "max_execution_time": TIMEOUT_S, "use_skip_indexes_if_final": 1}
_LATER = frozenset({159, 202, 209, 210, 225, 241, 242, 243, 252, 279, 285, 319, 425, 473, 499, 745, 999})
"""Codes of errors that pass: timeouts, networks, memory, parts, replicas and keepers that are busy or away."""
_PERCENT = {"p50": 50, "p95": 95}


class Client(Protocol):
    """What we need of a client of `clickhouse_connect`, which says less of its types."""

    def insert(self, table: str, data: Sequence[Sequence[Value]], column_names: Sequence[str]) -> object:
        """Insert rows, as one block."""
        ...

    def command(self, cmd: str) -> object:
        """Do what a statement says that answers nothing."""
        ...

    def query_rows_stream(
        self, query: str, *, settings: Mapping[str, Any]
    ) -> AbstractContextManager[Iterator[Sequence[Any]]]:
        """Return the rows that a statement answers, as they come."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class ClickHouse:
    """A connection to ClickHouse, or an engine of it in this process, by the same class of client."""

    def __init__(self, client: Client, address: Address) -> None:
        self._client = client
        self.address = address

    def prepare(self) -> None:
        """Make the table, or add the columns that it lacks. Raises StoreAway, OnRecordError."""
        columns = ", ".join(f"{name} {_type_of(name)}" for name in NAMES)
        indexes = ", ".join(f"INDEX i_{name} {name} TYPE bloom_filter(0.001)" for name in IDS)
        words = "INDEX i_words words TYPE text(tokenizer = 'splitByNonAlpha')"
        self._command(
            f"CREATE TABLE IF NOT EXISTS {TABLE} ({columns}, {indexes}, {words}) ENGINE = ReplacingMergeTree "
            "PARTITION BY toYYYYMM(fromUnixTimestamp64Micro(ts)) ORDER BY (log, tenant_id, ts, origin, seq) "
            "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, ttl_only_drop_parts = 1"
        )
        there = {name for (name,) in self._rows(f"SELECT name FROM system.columns WHERE {_this_table()}")}
        for name in NAMES:
            if name not in there:
                self._command(f"ALTER TABLE {TABLE} ADD COLUMN IF NOT EXISTS {name} {_type_of(name)}")

    def put(self, rows: Sequence[tuple[Value, ...]]) -> None:
        """Take in rows, and return once they are kept. Raises StoreAway, OnRecordError."""
        cells = [[_cell(name, cell) for name, cell in zip(NAMES, row, strict=True)] for row in rows]
        try:
            self._client.insert(TABLE, cells, column_names=NAMES)
        except ClickHouseError as e:
            raise self._failed(e) from e

    def forget(self, origin: str, ranges: Sequence[tuple[int, int]]) -> None:
        """Delete the rows of a log from the first to the last place of each range. Raises StoreAway, OnRecordError."""
        some = " OR ".join(f"seq BETWEEN {first} AND {last}" for first, last in ranges)
        if some:
            self._command(
                f"ALTER TABLE {TABLE} DELETE WHERE origin = {_text(origin)} AND ({some}) SETTINGS mutations_sync = 2"
            )

    def newest(self, origin: str) -> Newest | None:
        """Return the newest that is there of a log. Raises StoreAway, OnRecordError."""
        newest = "max(seq), argMax(ts, seq), argMax(event_id, seq), count()"
        found = next(self._rows(f"SELECT {newest} FROM {TABLE} WHERE origin = {_text(origin)}"))
        return Newest(seq=found[0], ts=found[1], event_id=found[2]) if found[3] else None

    def writing(self) -> "ClickHouseWriting":
        """Return a statement that nothing is in yet."""
        return ClickHouseWriting()

    def ask(self, sql: str, values: Sequence[Value]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows that a statement answers. Raises StoreAway, OnRecordError."""
        return self._rows(sql)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def _rows(self, sql: str) -> Iterator[tuple[Any, ...]]:
        try:
            with self._client.query_rows_stream(sql, settings=_READING) as stream:
                for row in stream:
                    yield tuple(row)
        except ClickHouseError as e:
            raise self._failed(e) from e

    def _command(self, sql: str) -> None:
        try:
            self._client.command(sql)
        except ClickHouseError as e:
            raise self._failed(e) from e

    def _failed(self, error: ClickHouseError) -> OnRecordError:
        return failed(error, self.address)


class ClickHouseWriting:
    """A statement for ClickHouse; its values stand in it."""

    table = f"{TABLE} FINAL"

    def __init__(self) -> None:
        self.values: list[Value] = []

    def value(self, value: Value) -> str:
        """Return what stands for a value."""
        return _text(value) if isinstance(value, str) else str(value)

    def says(self, column: str) -> str:
        """Return the condition that a column says something."""
        return f"{column} IS NOT NULL" if BY_NAME[column].kind == "integer" else f"{column} != ''"

    def is_one_of(self, column: str, values: Sequence[str | int]) -> str:
        """Return the condition that a column says one of `values`."""
        return f"{column} IN ({', '.join(map(self.value, values))})"

    def has(self, phrase: Phrase) -> str:
        """Return the condition that the words of an event have a phrase."""
        whole = phrase.words[:-1] if phrase.prefix else phrase.words
        stands = f"position(words, {_text(' ' + ' '.join(phrase.words) + ('' if phrase.prefix else ' '))}) > 0"
        return " AND ".join([*(f"hasToken(words, {_text(word)})" for word in whole), stands])

    def span(self, length_us: int) -> str:
        """Return the number of the span of time that an event is in, from 1970 on."""
        return f"intDiv(ts, {length_us})"

    def measured(self, measure: Measure) -> str:
        """Return what is measured of `latency_us` of a group, by nearest rank."""
        if measure == "max":
            return "max(latency_us)"
        percent = _PERCENT[measure]
        return f"arrayElement(arraySort(groupArray(assumeNotNull(latency_us))), intDiv(count() * {percent} + 99, 100))"

    def sorted_first(self, chosen: str) -> str:
        """Return a statement whose rows are found before they are sorted, which goes without saying here."""
        return chosen


def open_clickhouse(address: Address) -> ClickHouse:
    """Return a connection to a server. Raises StoreAway, OnRecordError."""
    logging.getLogger("clickhouse_connect").propagate = False  # what it would say we say, in words of ours
    logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())
    try:
        client = cast(Any, clickhouse_connect).get_client(
            interface="https" if address.tls else "http",
            host=address.host,
            port=address.port,
            username=address.user or "default",
            password=address.password,
            database=address.database,
            ca_cert=address.ca_file or None,
            connect_timeout=_CONNECT_S,
            send_receive_timeout=TIMEOUT_S,
            autogenerate_session_id=False,
        )
    except ClickHouseError as e:
        raise failed(e, address) from e
    return ClickHouse(cast(Client, client), address)


def failed(error: ClickHouseError, address: Address) -> OnRecordError:
    """Return what went wrong, in words of ours: what a server says can hold what stands in its rows."""
    code = error.code if isinstance(error, ServerError) else None
    if code is None:
        return StoreAway(f"{address} cannot be reached, or is no ClickHouse; does it run there, and is its URL right?")
    name = error.name if isinstance(error, ServerError) and error.name else "error"
    if isinstance(error, OperationalError) or code in _LATER:
        return StoreAway(f"{address} cannot do it just now: {name} ({code})")
    if code == 60:
        return OnRecordError(f"{address} has no table of events; fill it with: onrecord index --to")
    return OnRecordError(f"{address} refuses: {name} ({code})")


def _type_of(name: str) -> str:
    column = BY_NAME.get(name, Column(name=name, kind="text"))
    if name in KEYED:
        return {"seq": "Int64 CODEC(DoubleDelta, ZSTD)", "ts": "Int64 CODEC(DoubleDelta, ZSTD)"}.get(
            name, "LowCardinality(String)"
        )
    if column.kind == "integer":
        return "Nullable(Int64) CODEC(ZSTD)"
    if column.kind == "boolean":
        return "Nullable(UInt8) CODEC(ZSTD)"
    return "LowCardinality(String)" if name in _FEW else "String CODEC(ZSTD)"


def _cell(name: str, value: Value) -> Value:
    if value is None and (name not in BY_NAME or BY_NAME[name].kind in ("text", "json")):
        return ""
    return value


def _text(text: str) -> str:
    """Return a text for a statement, in a form in which nothing in it can act."""
    return f"unhex('{text.encode().hex()}')"


def _this_table() -> str:
    return f"database = currentDatabase() AND table = '{TABLE}'"
