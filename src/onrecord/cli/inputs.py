# SPDX-License-Identifier: Apache-2.0
"""The files that a filter reads, and their lines, each as soon as it is there."""

import os
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from onrecord.errors import OnRecordError

LONGEST = 64 << 20  # bytes of a line; a longer one is withheld, as it can't be looked at whole


def inputs(files: list[str]) -> Iterator[tuple[str, Iterator[bytes | None]]]:
    """Yield each file, standard input where none is named: what to call it in an error, and its lines."""
    for name in files or ["-"]:
        if name == "-":
            yield "", lines(sys.stdin.buffer)
            continue
        with opened(Path(name)) as file:
            yield f"{name}: ", lines(file)


def lines(file: IO[bytes]) -> Iterator[bytes | None]:
    """Yield each line with its end, as soon as it is there; None for one that is too long."""
    while line := file.readline(LONGEST + 1):
        if len(line) <= LONGEST or line.endswith(b"\n"):
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(LONGEST)
        yield None


@contextmanager
def opened(path: Path) -> Generator[IO[bytes]]:
    """Open a file to read it. Raises OnRecordError."""
    try:
        file = path.open("rb")
    except OSError as e:
        raise OnRecordError(f"{path}: cannot be read: {os.strerror(e.errno or 0).lower()}") from e
    with file:
        yield file
