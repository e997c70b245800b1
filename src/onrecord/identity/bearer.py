# SPDX-License-Identifier: Apache-2.0
"""The ID token of whoever started this process: from the environment, or from a file that may be written anew.

An environment is frozen when a process starts, so a token in it ends with the token. What logs in again writes a file.
The token itself is kept in memory for no longer than it takes to verify it.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from onrecord.errors import NotAuthenticated
from onrecord.identity.token import MAX_TOKEN
from onrecord.ledger.smallfile import NotSmall, read_small

Version: TypeAlias = tuple[int, ...]
"""What differs when another token is there: of a file, its place, size and time of change."""

NO_VERSION: Version = ()


class Bearer:
    """Where the token is."""

    def __init__(self, version: Callable[[], Version], read: Callable[[], str]) -> None:
        """`version` and `read` raise NotAuthenticated where there is nothing to be read."""
        self.version = version
        self.read = read


def in_memory(token: str) -> Bearer:
    """Return the place of a token that doesn't change."""
    return Bearer(lambda: NO_VERSION, lambda: token)


def in_file(path: Path) -> Bearer:
    """Return the place of a token that may be written anew at any time, in a file that only its owner can read."""

    def version() -> Version:
        try:
            about = path.stat()
        except OSError as e:
            raise NotAuthenticated(f"the file of the ID token cannot be read: {_why(e)}") from e
        if os.name != "nt" and about.st_mode & 0o077:
            raise NotAuthenticated("the file of the ID token can be read by others; chmod 600 mends that")
        return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns

    def read() -> str:
        try:
            return read_small(path, MAX_TOKEN + 2).decode("ascii").strip()
        except OSError as e:
            raise NotAuthenticated(f"the file of the ID token cannot be read: {_why(e)}") from e
        except (NotSmall, UnicodeDecodeError) as e:
            raise NotAuthenticated("the file of the ID token holds no token") from e

    return Bearer(version, read)


def _why(error: OSError) -> str:
    return os.strerror(error.errno or 0).lower()
