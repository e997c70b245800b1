# SPDX-License-Identifier: Apache-2.0
"""Standard streams, also where they are closed: `onrecord tag <&-`, `onrecord tail >&-`.

Python has None in place of a closed stream, and the system gives its number to the next file that is
opened: what is meant for a person would go into the ledger. So the number is taken at once by a file
that holds nothing, and whoever reads or writes such a stream is told that it is closed.
"""

import errno
import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

_FLAGS = (os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)  # of the files in their places; only talk may go nowhere
_NAMES = ("standard input", "standard output", "standard error")


def fill() -> None:
    """Put something in the place of each standard stream that is closed."""
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]  # closed
        sys.stdin = io.TextIOWrapper(io.BufferedReader(_Closed(0)))
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(_Closed(1)), errors="backslashreplace")
    if sys.stderr is None:  # pyright: ignore[reportUnnecessaryComparison]
        sys.stderr = io.TextIOWrapper(io.FileIO(_taken(2), "w", closefd=False))


class _Closed(io.RawIOBase):
    """A standard stream that is closed."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._fd = _taken(number)

    def fileno(self) -> int:
        return self._fd

    def readable(self) -> bool:
        return self._number == 0

    def writable(self) -> bool:
        return self._number != 0

    def readinto(self, buffer: "Buffer", /) -> int:
        raise self._error()

    def write(self, data: "Buffer", /) -> int:
        try:
            return os.write(self._fd, data)  # works once somebody has put another file there
        except OSError as e:
            raise self._error() from e

    def _error(self) -> OSError:
        return OSError(errno.EBADF, "is closed", _NAMES[self._number])


def _taken(number: int) -> int:
    """Return a descriptor that leads nowhere: `number`, unless that is in use for something else."""
    return os.open(os.devnull, _FLAGS[number])  # the least that is free
