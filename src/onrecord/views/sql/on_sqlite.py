# SPDX-License-Identifier: Apache-2.0
"""Answers a statement with SQLite: a table of what it needs, in a database of its own that nobody else sees.

The events that the statement can depend on are found by the index or the lines, and the columns that it reads are put
into a temporary table. Then an authorizer lets it read that table and call functions that are allowed, nothing else.
Statements that narrow what they ask for by people, tools or time are quick; others read the whole log first.
"""

import math
import os
import shutil
import sqlite3
import time
from collections.abc import Collection
from pathlib import Path

from onrecord.views.answers import Answers
from onrecord.views.columns import BY_NAME
from onrecord.views.sql.allowed import TABLE
from onrecord.views.sql.answer import Answer, Bounds, answered, failed, too_slow
from onrecord.views.sql.functions import MAY_CALL, give
from onrecord.views.sql.statement import Statement

_TYPES = {"integer": "INTEGER", "boolean": "INTEGER", "text": "TEXT", "json": "TEXT"}
_STEPS = 10_000  # of SQLite's machine, after which the time is looked at; some 0.1 ms
_LONGEST_TEXT = 1 << 20  # bytes of a value that a statement makes
_MOST_DISK = 4 << 30  # bytes that a statement may take of the disk while it sorts, and half of what is free at most
_TEMPORARY = ("/var/tmp", "/usr/tmp", "/tmp", ".")  # noqa: S108  # where SQLite puts such files (os_unix.c)


def answer(statement: Statement, source: Answers, bounds: Bounds) -> Answer:
    """Return what a statement answers. Raises OnRecordError where it takes too long or cannot be answered, OSError."""
    columns = statement.columns or ("seq",)
    file = sqlite3.connect("", isolation_level=None)  # a temporary file, which SQLite deletes
    watch = Watch()
    file.set_progress_handler(watch.is_over, _STEPS)
    try:
        types = ", ".join(f'"{name}" {_TYPES[BY_NAME[name].kind]}' for name in columns)
        file.executescript(
            f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; CREATE TABLE {TABLE}({types}); BEGIN;"
        )
        marks = ", ".join("?" * len(columns))
        file.executemany(f"INSERT INTO {TABLE} VALUES ({marks})", source.rows(statement.question, columns))
        file.execute("COMMIT")
        confine(file, bounds, statement.tables, watch)
        rows = file.execute(statement.text("sqlite", bounds.rows + 1)).fetchmany(bounds.rows + 1)
        return answered(statement, rows, bounds)
    except OverflowError as e:
        raise failed("a number on the record is too large for it") from e
    except sqlite3.Error as e:
        if watch.is_full:
            raise failed(f"it takes more of the disk than it may, in {watch.folder}; narrow it") from e
        if str(e) != "interrupted":
            raise failed(str(e)) from e
        if not watch.is_late():  # SQLite keeps to itself what a person's Ctrl-C raises while it is at work
            raise KeyboardInterrupt from e
        raise too_slow(bounds) from e
    finally:
        file.close()


def confine(
    file: sqlite3.Connection, bounds: Bounds, tables: Collection[str] = (), watch: "Watch | None" = None
) -> None:
    """Let nothing happen from here on but reading `audit_events`, and `tables` of the statement itself, for so long."""
    watch = watch or Watch()
    watch.ends = time.monotonic() + bounds.seconds
    file.set_progress_handler(watch.is_over, _STEPS)
    file.execute("PRAGMA query_only = ON")
    give(file)
    file.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_TEXT)
    file.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    named = {TABLE, *tables}

    def authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action == sqlite3.SQLITE_READ:
            may = first == TABLE or (not second and first in named)
        elif action == sqlite3.SQLITE_FUNCTION:
            may = second is not None and second.lower() in MAY_CALL
        else:
            may = action == sqlite3.SQLITE_SELECT
        return sqlite3.SQLITE_OK if may else sqlite3.SQLITE_DENY

    file.set_authorizer(authorize)


class Watch:
    """Looks at the time and at the disk while SQLite works."""

    def __init__(self) -> None:
        self.ends = math.inf
        self.folder = temporary_folder()
        free = shutil.disk_usage(self.folder).free
        self._least = max(free - _MOST_DISK, free // 2)  # a full disk would stop those who record
        self.is_full = False

    def is_over(self) -> bool:
        """Say whether SQLite has to stop."""
        self.is_full = shutil.disk_usage(self.folder).free < self._least
        return self.is_full or self.is_late()

    def is_late(self) -> bool:
        """Say whether it has had its time."""
        return time.monotonic() > self.ends


def temporary_folder() -> str:
    """Return the folder in which SQLite has its temporary files."""
    named = (os.environ.get("SQLITE_TMPDIR"), os.environ.get("TMPDIR"), *_TEMPORARY)
    fit = (each for each in named if each and Path(each).is_dir() and os.access(each, os.W_OK | os.X_OK))
    return next(fit, ".")
