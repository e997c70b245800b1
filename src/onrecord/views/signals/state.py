# SPDX-License-Identifier: Apache-2.0
"""How far the logs were looked at, and what the rules remember of that: one SQLite file, changed by transactions.

    <home>/signals/state.sqlite

The places in both logs and what is remembered up to there change together or not at all. The file is no evidence and
can be deleted: all is then looked at again, and what was found before is not found anew.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from onrecord.errors import OnRecordError
from onrecord.ledger.durable import disk_error, open_private
from onrecord.ledger.place import Home
from onrecord.views.signals.memory import Kept, Memory

VERSION = 1  # of what follows; a file of another one is made again
_HELD = 500_000  # values of one rule in memory; past this they are read from the file again
_SCHEMA = f"""
CREATE TABLE place(log TEXT PRIMARY KEY, next INTEGER NOT NULL, digest TEXT NOT NULL, known INTEGER NOT NULL);
CREATE TABLE kept(
    log TEXT NOT NULL, tag TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, until INTEGER NOT NULL,
    PRIMARY KEY (tag, key, log)
) WITHOUT ROWID;
CREATE INDEX kept_until ON kept(log, until);
PRAGMA user_version = {VERSION};
"""
_PUT = (
    "INSERT INTO kept VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value, until = excluded.until"
)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Any]).decode


class Place(NamedTuple):
    """Where the evaluation of a log stands: the seq that comes next, and a digest of the line before it.

    Findings at `known` or behind it, in the log that they are written to, may be of events that were not looked at yet.
    """

    next: int = 0
    digest: str = ""
    known: int = 0


def folder_of(home: Home) -> Path:
    """Return where the state of the evaluation lies."""
    return home.path / "signals"


class State:
    """The file, open. Who opens it holds the lock of the evaluation."""

    def __init__(self, folder: Path) -> None:
        """Raises OnRecordError where it can be neither used nor made again."""
        self._path = folder / "state.sqlite"
        try:
            try:
                self._file = self._opened()
            except sqlite3.Error:
                self.remove()
                self._file = self._opened()
        except sqlite3.Error as e:
            raise OnRecordError(f"{self._path} cannot be written: {e}") from e
        except OSError as e:
            raise disk_error(e, "open", self._path) from e

    def _opened(self) -> sqlite3.Connection:
        import os

        os.close(open_private(self._path, os.O_RDWR | os.O_CREAT))
        file = sqlite3.connect(self._path, isolation_level=None, timeout=10)
        try:
            (version,) = file.execute("PRAGMA user_version").fetchone()
            file.execute("PRAGMA journal_mode = WAL")
            file.execute("PRAGMA synchronous = NORMAL")  # what a power cut takes is looked at again
            if version != VERSION:
                if file.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
                    raise sqlite3.DatabaseError("of another version")
                file.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
        except BaseException:
            file.close()
            raise
        return file

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def remove(self) -> None:
        """Take the file away."""
        for name in ("", "-wal", "-shm", "-journal"):
            self._path.with_name(self._path.name + name).unlink(missing_ok=True)

    def place(self, log: str) -> Place:
        """Return how far a log was looked at."""
        row = self._file.execute("SELECT next, digest, known FROM place WHERE log = ?", (log,)).fetchone()
        return Place(*row) if row else Place()

    def memory(self, log: str) -> Memory:
        """Return what the rules of a log remember."""

        def fetch(tag: str, key: str) -> Kept | None:
            asked = "SELECT value, until FROM kept WHERE tag = ? AND key = ? AND log = ?"
            row = self._file.execute(asked, (tag, key, log)).fetchone()
            return (_decode(row[0]), row[1]) if row else None

        def rows(tag: str) -> Iterator[tuple[str, Kept]]:
            asked = "SELECT key, value, until FROM kept WHERE tag = ? AND log = ?"
            for key, value, until_us in self._file.execute(asked, (tag, log)).fetchall():
                yield key, (_decode(value), until_us)

        return Memory(fetch, rows)

    def keep(self, log: str, place: Place, memory: Memory, at_us: int) -> None:
        """Write, within a transaction, how far a log was looked at, and what has changed; forget what is over."""
        put: list[tuple[str, str, str, bytes, int]] = []
        gone: list[tuple[str, str, str]] = []
        for tag, shelf in memory.shelves.items():
            for key in shelf.changed:
                kept = shelf.held[key]
                if kept is None or kept[1] <= at_us:
                    gone.append((tag, key, log))
                    del shelf.held[key]  # else what is over would fill the memory of a long run
                else:
                    put.append((log, tag, key, _encode(kept[0]), kept[1]))
        self._file.execute("INSERT OR REPLACE INTO place VALUES (?, ?, ?, ?)", (log, *place))
        self._file.executemany("DELETE FROM kept WHERE tag = ? AND key = ? AND log = ?", gone)
        self._file.executemany(_PUT, put)
        self._file.execute("DELETE FROM kept WHERE log = ? AND until <= ?", (log, at_us))
        for shelf in memory.shelves.values():
            shelf.changed.clear()
            if len(shelf.held) > _HELD:
                shelf.let_go()

    def forget(self, log: str, but: set[str]) -> None:
        """Forget what rules remember that are not in force any more."""
        known = [tag for (tag,) in self._file.execute("SELECT DISTINCT tag FROM kept WHERE log = ?", (log,))]
        for tag in known:
            if tag not in but:
                self._file.execute("DELETE FROM kept WHERE log = ? AND tag = ?", (log, tag))

    def begin(self) -> None:
        """Begin a transaction."""
        self._file.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Have all of it hold."""
        self._file.execute("COMMIT")

    def roll_back(self) -> None:
        """Have nothing of it hold."""
        with suppress(sqlite3.Error):
            self._file.execute("ROLLBACK")
