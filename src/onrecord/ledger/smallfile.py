# SPDX-License-Identifier: Apache-2.0
"""Reads a small file that somebody else may have put there.

A checkpoint, a tile, a key take some bytes. In a copy from outside there may be a pipe under that
name, on which a reader waits for ever, a device without an end, or a file that is longer than any
memory. Who reads by this gets what is there, or is told at once why not.
"""

import os
import stat
from pathlib import Path

from onrecord.errors import NotVerified

MAX_KEYS = 1 << 20  # bytes; a file of keys, some 10,000 of them
MAX_STATE = 1 << 16  # bytes; what this program remembers in a file of its own, in one JSON object

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class NotSmall(NotVerified):
    """What lies there is no regular file, or longer than such a file can be."""


def read_small(path: Path, limit: int) -> bytes:
    """Return what the regular file at `path` holds. Raises NotSmall where it is none, or holds more; and OSError."""
    fd = os.open(path, _FLAGS)  # a pipe that nobody writes to opens at once
    try:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            raise NotSmall(f"{path.name} is {_kind(about.st_mode)} and no file")
        parts: list[bytes] = []
        left = limit + 1
        while left and (part := os.read(fd, min(left, 1 << 20))):
            parts.append(part)
            left -= len(part)
    finally:
        os.close(fd)
    if not left:
        raise NotSmall(f"{path.name} holds more than {limit} bytes")
    return b"".join(parts)


def _kind(mode: int) -> str:
    for kind, is_one in (("a folder", stat.S_ISDIR), ("a pipe", stat.S_ISFIFO), ("a socket", stat.S_ISSOCK)):
        if is_one(mode):
            return kind
    return "a device"
