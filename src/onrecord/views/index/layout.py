# SPDX-License-Identifier: Apache-2.0
"""The files of the index, and what is in one.

    <home>/index/<log>/2026-11.000000000000131072.sqlite

A file holds what the log says in one month (UTC), at most a million events, and is named by the month and the first
seq. It goes as a whole when it is too old; it is made again from the lines when it is gone.

A row is thin: what questions are asked by, and where the line is. Texts that occur again and again are numbers, which
table `d` spells out; ids are their sixteen bytes. Times never decrease in a log, so a span of time is a span of `seq`
and needs no index. Table `t` has the text of a time that is not in the form that this product writes. Words are in an
FTS5 table that keeps no text. Nothing here is evidence: that is the line itself.
"""

import sqlite3
from contextlib import suppress
from pathlib import Path

from onrecord.ledger.place import Home
from onrecord.views.question import FILTERS, NUMBERS

VERSION = 4  # of what follows; a file of another one is made again
LARGEST = 1_000_000  # rows; a larger file takes twice the time to write
IDS = ("call_id", "correlation_id", "trace_id", "approval_id")

_LAST = ("session_id", "resource", "suspicious_signals")  # what is not the text of a field as it is
SPELLED = (*(name for name in FILTERS if name not in (*IDS, *NUMBERS, *_LAST)), *_LAST)
"""Columns whose texts stand in table `d`."""
STORED = (*IDS, *NUMBERS, *SPELLED)
"""The columns of a row, behind `seq` and `ts`."""

KEY_BYTES = 6  # of an id: its millisecond, or as much of what was drawn by chance, which nearly always tells which
_INDEXES = {
    **{f"e_{name}": f"e(substr({name}, 1, {KEY_BYTES})) WHERE {name} IS NOT NULL" for name in IDS},
    "e_user": "e(user_id) WHERE user_id IS NOT NULL",
    "e_flagged": "e(suspicious_signals) WHERE suspicious_signals IS NOT NULL",
}
_WORDS = "unicode61 remove_diacritics 0 categories 'L* M* N* P* S* C*'"  # all but blanks: what a word is, we say
_SCHEMA = f"""
CREATE TABLE m(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
CREATE TABLE d(id INTEGER PRIMARY KEY, v NOT NULL UNIQUE);
CREATE TABLE e(seq INTEGER PRIMARY KEY, ts INTEGER NOT NULL, {", ".join(STORED)});
CREATE TABLE t(seq INTEGER PRIMARY KEY, v NOT NULL);
CREATE VIRTUAL TABLE f USING fts5(text, content='', columnsize=0, tokenize="{_WORDS}");
{"".join(f"CREATE INDEX {name} ON {of};" for name, of in _INDEXES.items())}
PRAGMA user_version = {VERSION};
"""


def folder_of(home: Home, log: str) -> Path:
    """Return where the index of a log lies."""
    return home.path / "index" / log


def files_of(folder: Path) -> list[Path]:
    """Return the files of an index, oldest first."""
    return sorted(folder.glob("????-??.*.sqlite"), key=first_of)


def name_of(month: str, first: int) -> str:
    """Return the name of the file for a `month`, as in 2026-11, whose first row is `first`."""
    return f"{month}.{first:018d}.sqlite"


def first_of(path: Path) -> int:
    """Return the seq of the first row of a file, by its name; -1 where it is not named as a file of an index."""
    number = path.name.split(".")[1]
    return int(number) if number.isdecimal() else -1


def month_of(path: Path) -> str:
    """Return the month of a file, by its name."""
    return path.name.partition(".")[0]


def create(path: Path) -> sqlite3.Connection:
    """Make an empty file at `path`, and return a connection that writes to it. Raises sqlite3.Error."""
    scratch = path.with_name(f".{path.name}")
    for left in (scratch, *_beside(scratch)):
        left.unlink(missing_ok=True)
    file = sqlite3.connect(scratch, isolation_level=None)
    file.executescript(f"PRAGMA page_size = 8192; PRAGMA journal_mode = OFF; BEGIN; {_SCHEMA} COMMIT;")
    file.close()
    scratch.rename(path)
    return open_for_writing(path)


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Return a connection that writes to a file of this version. Raises sqlite3.Error."""
    file = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=10)
    file.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -65536;")
    _check(file, path)
    return file


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Return a connection that cannot write. Raises sqlite3.Error."""
    file = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=10)
    file.executescript("PRAGMA query_only = ON; PRAGMA mmap_size = 268435456;")
    _check(file, path)
    return file


def _check(file: sqlite3.Connection, path: Path) -> None:
    (version,) = file.execute("PRAGMA user_version").fetchone()
    if version != VERSION:
        file.close()
        raise sqlite3.DatabaseError(f"{path} is an index of version {version}; this is {VERSION}")


def remove(path: Path) -> None:
    """Delete a file of the index, with what SQLite keeps beside it."""
    for each in (path, *_beside(path)):
        with suppress(FileNotFoundError):
            each.unlink()


def _beside(path: Path) -> tuple[Path, ...]:
    return tuple(path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal"))
