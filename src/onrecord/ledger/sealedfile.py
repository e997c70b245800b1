# SPDX-License-Identifier: Apache-2.0
"""A small file of our own that is believed only as it was written, where it was written, and by whom.

It is put in place at once, is readable by this account alone, and bears a seal over its name and what it holds. What
was edited, cut, put under another name or opened to others is not believed. An older copy of the same file bears a
seal too: who needs to know which one is the newest must look elsewhere. Whoever has the key can forge it.
"""

import hmac
import os
from pathlib import Path

import msgspec

from onrecord.errors import NotVerified
from onrecord.event.event import UNREADABLE
from onrecord.ledger.durable import replace_file
from onrecord.ledger.smallfile import read_small


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: int
    seal: str
    body: msgspec.Raw


class SealedFiles:
    """Files under one key. What they hold is JSON."""

    def __init__(self, key: bytes, *, limit: int) -> None:
        """`limit` is the most bytes that one of them takes."""
        self._key = key
        self._limit = limit

    def read(self, path: Path) -> bytes:
        """Return what the file at `path` holds. Raises NotVerified for one that can't be believed, and OSError."""
        about = os.lstat(path)
        if hasattr(os, "getuid") and (about.st_uid != os.getuid() or about.st_mode & 0o077):
            raise NotVerified("it is another account's, or open to others")
        try:
            file = msgspec.json.decode(read_small(path, self._limit), type=_File)
        except UNREADABLE as e:
            raise NotVerified("it is not what was written") from e
        body = bytes(file.body)
        expected = self._seal(path, body)
        if file.version != 1 or not file.seal.isascii() or not hmac.compare_digest(expected, file.seal):
            raise NotVerified("its seal does not hold")
        return body

    def write(self, path: Path, body: bytes) -> None:
        """Put `body`, which is JSON, at `path`, durably. Raises NotVerified where it is too long, and LedgerError."""
        data = msgspec.json.encode(_File(version=1, seal=self._seal(path, body), body=msgspec.Raw(body)))
        if len(data) > self._limit:
            raise NotVerified(f"{path.name} would take more than {self._limit} bytes")
        replace_file(path, data, durable=True)

    def _seal(self, path: Path, body: bytes) -> str:
        return hmac.digest(self._key, path.name.encode(errors="surrogateescape") + b"\n" + body, "sha256").hex()
