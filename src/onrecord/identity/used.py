# SPDX-License-Identifier: Apache-2.0
"""Which tokens have been used: each stands for one call, once, in whichever process of this home it comes.

What is kept is a keyed digest of the token's id and when the token expires, and no longer than that.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from threading import Lock

from onrecord.errors import KeyFileError, NotAuthenticated, plainly
from onrecord.ledger.durable import make_folder, open_private

_BUSY_S = 1.0
_TABLE = "create table if not exists used (token blob primary key, expires_s integer not null) without rowid"


class UsedTokens:
    """The tokens of one home that were used and have not expired. Threads and processes may share it."""

    def __init__(self, path: Path) -> None:
        """Open the list, or create it. Raises KeyFileError."""
        self._lock = Lock()
        self._swept_s = 0.0
        try:
            make_folder(path.parent)
            os.close(open_private(path, os.O_RDWR | os.O_CREAT))
            self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = off")  # a token does not outlive a power cut by much
            self._db.execute(_TABLE)
        except (OSError, sqlite3.Error) as e:
            raise KeyFileError(f"cannot open the list of used tokens {path}: {plainly(e, path)}") from e

    def close(self) -> None:
        """Close the list; its file stays."""
        with self._lock:
            self._db.close()

    def use(self, token_hash: str, expires_s: float, now_s: float) -> None:
        """Note that a token is used. Raises NotAuthenticated where it was before, or nobody can tell."""
        try:
            with self._lock:
                if now_s > self._swept_s + 60:
                    self._swept_s = now_s
                    self._db.execute("delete from used where expires_s < ?", (int(now_s),))
                with closing(self._db.cursor()) as cursor:
                    cursor.execute(
                        "insert or ignore into used values (?, ?)", (bytes.fromhex(token_hash), int(expires_s) + 1)
                    )
                    new = cursor.rowcount == 1
        except sqlite3.Error as e:
            raise NotAuthenticated("whether the token was used before cannot be told") from e
        if not new:
            raise NotAuthenticated("the token was used before")
