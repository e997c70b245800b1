# SPDX-License-Identifier: Apache-2.0
"""What lies where the lines of a log lie, and is none of them.

Readers pass over it, each by its own rule: one that takes every compressed file, say, would read another
log than we do. So a verifier says what else is there, and doesn't let a second form of a segment say
something else than the first.
"""

import os
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from onrecord.errors import NotVerified
from onrecord.ledger.lines import blocks, compressed_form, is_compressed, leaf_of, segment_files
from onrecord.ledger.place import LogFolder

_SHOWN = 3  # names that a remark gives


def twins(folder: LogFolder) -> list[Path]:
    """Return the plain segments that are there in compressed form too, as a crash may leave them."""
    files = segment_files(folder)
    return [path for path in files if not is_compressed(path) and compressed_form(path).is_file()]


def differ(path: Path) -> bool:
    """Say whether the compressed form of a plain segment holds other lines than it, tombstones apart. Raises OSError.

    A deletion that was killed leaves a compressed form in which some lines are gone, and their leaves stand.
    """
    try:
        pairs = zip_longest(_leaves(compressed_form(path)), _leaves(path))
        return any(one != other for one, other in pairs)
    except FileNotFoundError:
        return False  # it was compressed just now, and one of the two is gone
    except NotVerified:
        return True


def _leaves(path: Path) -> Iterator[bytes]:
    for block in blocks(path, sealed=is_compressed(path)):
        yield from map(leaf_of, block)


def remarks(folder: LogFolder) -> list[str]:
    """Return what is to be said of files that no reader of ours reads; scratch files of ours begin with a dot."""
    files = segment_files(folder)
    known = {file.name for file in files} | {compressed_form(file).name for file in files}
    there = os.listdir(folder.segments) if folder.segments.is_dir() else []
    others = sorted(name for name in there if name not in known and not name.startswith("."))
    said: list[str] = []
    if others:
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        said.append(f"beside the lines lies what is none of them: {', '.join(others[:_SHOWN])}{more}")
    if doubled := twins(folder):
        said.append(f"{doubled[0].name} is there in compressed form too")
    return said
