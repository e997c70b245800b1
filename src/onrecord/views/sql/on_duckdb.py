# SPDX-License-Identifier: Apache-2.0
"""Answers a statement with DuckDB: over the Parquet files of the past, and a table of all that is not in those.

The database is in memory. Before the statement comes, it is shut in: no file but those Parquet files, no extension, no
setting, so much memory and time, and a transaction that only reads.
"""

from collections.abc import Iterator, Sequence
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from onrecord.views.answers import Answers
from onrecord.views.cold.duck import forget_unreadable, load
from onrecord.views.cold.form import shown
from onrecord.views.cold.parquet import Part, minding_ctrl_c, open_duckdb, spread
from onrecord.views.columns import BY_NAME, Value
from onrecord.views.sql.allowed import TABLE
from onrecord.views.sql.answer import Answer, Bounds, answered, failed, too_slow
from onrecord.views.sql.statement import Statement

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_MEMORY = "1GB"
_AGAIN_S = 0.1
_TYPES = {"integer": "BIGINT", "boolean": "BOOLEAN", "text": "VARCHAR", "json": "VARCHAR"}


def answer(statement: Statement, source: Answers, bounds: Bounds) -> Answer | None:
    """Return what a statement answers, or None where the files of the past are not the way to it.

    Raises OnRecordError where it takes too long or cannot be answered, OSError.
    """
    columns = statement.columns or ("seq",)
    if (past := source.past(statement.question, columns)) is None:
        return None
    import duckdb

    cold, others = past
    duck = open_duckdb(_MEMORY)
    try:
        prepare(duck, cold.parts, columns, others)
        confine(duck, cold.parts)
        with minding_ctrl_c():
            return answered(statement, ask(duck, statement.text("duckdb", bounds.rows + 1), bounds), bounds)
    except duckdb.InterruptException as e:
        raise too_slow(bounds) from e
    except duckdb.OutOfMemoryException as e:
        raise failed("it takes more memory than it may; narrow it, or group less at once") from e
    except duckdb.IOException as e:
        forget_unreadable(cold.parts)
        source.fails(str(e))
        return None
    except duckdb.Error as e:
        raise failed(str(e)) from e
    finally:
        duck.close()


def prepare(
    duck: "DuckDBPyConnection", parts: Sequence[Part], columns: Sequence[str], others: Iterator[tuple[Value, ...]]
) -> None:
    """Make `audit_events` of `columns` of the events in `parts`, and of `others`."""
    types = [_TYPES[BY_NAME[name].kind] for name in columns]
    declared = ", ".join(f'"{name}" {kind}' for name, kind in zip(columns, types, strict=True))
    duck.execute(f"CREATE TABLE others({declared})")
    load(duck, "others", types, others)
    chosen = ", ".join(f'({shown(name)})::{kind} AS "{name}"' for name, kind in zip(columns, types, strict=True))
    duck.execute(
        f"CREATE VIEW {TABLE} AS SELECT {chosen} FROM read_parquet([{', '.join(spread(parts))}]) "
        "UNION ALL SELECT * FROM others"
    )


def confine(duck: "DuckDBPyConnection", parts: Sequence[Part]) -> None:
    """Let nothing happen from here on but reading what there is."""
    duck.execute(f"SET allowed_paths = [{', '.join(spread(parts))}]")
    for setting in (
        "enable_external_access = false",
        "allow_community_extensions = false",
        "lock_configuration = true",
    ):
        duck.execute(f"SET {setting}")


def ask(duck: "DuckDBPyConnection", text: str, bounds: Bounds) -> list[tuple[Any, ...]]:
    """Return what one SELECT answers, and one row more than is wanted. Raises OnRecordError, duckdb.Error."""
    import duckdb

    statements = duck.extract_statements(text)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise failed("it is not one SELECT")
    done = Event()
    alarm = Thread(target=_interrupt, args=(duck, bounds.seconds, done), daemon=True)
    alarm.start()
    try:
        duck.execute("BEGIN TRANSACTION READ ONLY")
        return duck.execute(statements[0]).fetchmany(bounds.rows + 1)
    finally:
        done.set()
        alarm.join()


def _interrupt(duck: "DuckDBPyConnection", seconds: float, done: Event) -> None:
    """Interrupt what runs after so many seconds, and again, since between two steps nothing runs."""
    while not done.wait(seconds):
        duck.interrupt()
        seconds = _AGAIN_S
