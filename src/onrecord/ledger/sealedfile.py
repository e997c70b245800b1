# SPDX-License-Identifier: Apache-2.0
"""A small file of our own that is believed only as it was written, where it was written, and by whom.

It is put in place at once, is readable by this account alone, and bears a seal over its name and what it holds. What
was edited, cut, put under another name or opened to others is not believed. An older copy of the same file bears a
seal too: who needs to know which one is the newest must look elsewhere. Whoever has the key can forge it.
"""

import hmac
import os
from pathlib import Path
from typing import TypeVar

import msgspec

from onrecord.errors import LedgerError, NotVerified
from onrecord.event.event import UNREADABLE
from onrecord.ledger.durable import replace_file
from onrecord.ledger.smallfile import read_small


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: int
    seal: str
    body: msgspec.Raw


_T = TypeVar("_T", bound=msgspec.Struct)

_AROUND = 1024  # bytes of a file that are none of what it holds, at most


class SealedFiles:
    """Files under one key. What each holds is one value."""

    def __init__(self, key: bytes, *, limit: int) -> None:
        """`limit` is the most bytes that one of them takes."""
        self._key = key
        self._limit = limit

    def read(self, path: Path, kind: type[_T]) -> _T:
        """Return what the file at `path` holds. Raises NotVerified for one that can't be believed, and OSError."""
        about = os.lstat(path)
        if hasattr(os, "getuid") and (about.st_uid != os.getuid() or about.st_mode & 0o077):
            raise NotVerified("it is another account's, or open to others")
        try:
            file = msgspec.json.decode(read_small(path, self._limit), type=_File)
            expected = self._seal(path, bytes(file.body))
            if file.version != 1 or not file.seal.isascii() or not hmac.compare_digest(expected, file.seal):
                raise NotVerified("its seal does not hold")
            return msgspec.json.decode(file.body, type=kind)
        except UNREADABLE as e:
            raise NotVerified("it is not what was written") from e

    def write(self, path: Path, value: msgspec.Struct) -> None:
        """Put `value` at `path`, durably. Raises LedgerError, also where it takes more than the limit."""
        body = msgspec.json.encode(value)
        if len(body) > self._limit - _AROUND:
            raise LedgerError(f"{path.name} would take more than {self._limit} bytes")
        file = _File(version=1, seal=self._seal(path, body), body=msgspec.Raw(body))
        replace_file(path, msgspec.json.encode(file), durable=True)

    def _seal(self, path: Path, body: bytes) -> str:
        return hmac.digest(self._key, path.name.encode(errors="surrogateescape") + b"\n" + body, "sha256").hex()
