# SPDX-License-Identifier: Apache-2.0
"""Pseudonyms: a random one for each subject of a tenant, reachable only through a keyed look-up.

The store never holds a raw user id, only HMACs of one, so it cannot be read backwards. Each entry
has its own random key, for values that are to die with it. Destroying an entry erases the link
between a person and what is on the record about them; the record itself stays whole.
"""

import contextlib
import hmac
import os
import sqlite3
from collections.abc import Generator
from pathlib import Path

from onrecord.errors import KeyFileError, plainly
from onrecord.ledger.durable import make_folder, open_private
from onrecord.ledger.place import Home

_TABLE = """
create table if not exists subjects (
    lookup blob primary key,
    pseudonym text not null unique,
    key blob not null
) without rowid
"""
_BUSY_S = 5.0


class Keystore:
    """The pseudonyms of one home."""

    def __init__(self, home: Home, digest_key: bytes) -> None:
        """Open the store, or create it. Raises KeyFileError."""
        self._path = home.keys / "keystore.db"
        self._lookup_key = hmac.digest(digest_key, b"onrecord keystore look-up v1", "sha256")
        try:
            make_folder(self._path.parent)
            os.close(open_private(self._path, os.O_RDWR | os.O_CREAT))
            with self._connect() as db:
                db.execute(_TABLE)
        except (OSError, sqlite3.Error) as e:
            raise KeyFileError(f"cannot open the keystore {self._path}: {plainly(e, self._path)}") from e

    def pseudonym(self, *, tenant: str, source: str, subject: str) -> str:
        """Return the pseudonym of a subject, made now if it has none. Raises KeyFileError."""
        lookup = self._lookup(tenant, source, subject)
        try:
            with self._connect() as db:
                db.execute(
                    "insert or ignore into subjects values (?, ?, ?)",
                    (lookup, f"u_{os.urandom(10).hex()}", os.urandom(32)),
                )
                (found,) = db.execute("select pseudonym from subjects where lookup = ?", (lookup,)).fetchone()
        except sqlite3.Error as e:
            raise KeyFileError(f"cannot use the keystore {self._path}: {e}") from e
        return str(found)

    def find(self, *, tenant: str, source: str, subject: str) -> str | None:
        """Return the pseudonym of a subject that has one. Raises KeyFileError."""
        lookup = self._lookup(tenant, source, subject)
        try:
            with self._connect() as db:
                row = db.execute("select pseudonym from subjects where lookup = ?", (lookup,)).fetchone()
        except sqlite3.Error as e:
            raise KeyFileError(f"cannot use the keystore {self._path}: {e}") from e
        return None if row is None else str(row[0])

    def _lookup(self, tenant: str, source: str, subject: str) -> bytes:
        parts = b"".join(len(part).to_bytes(4, "big") + part for part in map(str.encode, (tenant, source, subject)))
        return hmac.digest(self._lookup_key, parts, "sha256")

    def _connect(self) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        return _transaction(self._path)


@contextlib.contextmanager
def _transaction(path: Path) -> Generator[sqlite3.Connection]:
    db = sqlite3.connect(path, timeout=_BUSY_S)
    try:
        db.execute("pragma secure_delete = on")
        db.execute("pragma synchronous = full")
        with db:
            yield db
    finally:
        db.close()
