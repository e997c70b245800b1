# SPDX-License-Identifier: Apache-2.0
"""Compresses sealed segments, and lets the plain file go only when the compressed one is proven to hold the same.

The compressed file is written, flushed, and read again from the disk: every line of it must have
the leaf hash that the tiles of the signed tree have for its place, and all of it must be the
plain bytes. Only then does it get its name, and only then is the plain one removed. A crash between
two steps leaves a scratch file or both; the next run goes on from there.
"""

import functools
import hashlib
import os
import time
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

from onrecord.errors import LedgerRefused, NotVerified
from onrecord.ledger.durable import FileLock, disk_error, open_private, sync_all, sync_folder, write_all
from onrecord.ledger.frames import FRAME_LINES, chunks, compress
from onrecord.ledger.lines import compressed_form, first_seq, is_compressed, leaf_of, segment_files, whole_lines
from onrecord.ledger.merkle import HASH_BYTES
from onrecord.ledger.place import LogFolder
from onrecord.ledger.tiles import TILE_WIDTH
from onrecord.ledger.tree import read_tile

_PACE_S = 0.002  # between two frames: calls come first


def compress_sealed(folder: LogFolder, signed: int) -> int:
    """Compress each sealed segment whose lines are all among the `signed` ones, and return how many there were.

    Returns 0 where another process is at it. Raises LedgerRefused where lines are not those that
    were signed, and LedgerError where the disk refuses; the plain file stays then.
    """
    lock = FileLock(folder.seal_lock)
    try:
        if not lock.try_acquire():
            return 0
        count = 0
        for path, following in pairwise(segment_files(folder)):
            if not is_compressed(path) and first_seq(following) <= signed:
                _compress(folder, path, first_seq(following), signed)
                count += 1
        return count
    except OSError as e:
        raise disk_error(e, "compress", Path(e.filename or folder.segments)) from e
    finally:
        lock.close()


def _compress(folder: LogFolder, path: Path, stop: int, signed: int) -> None:
    target = compressed_form(path)
    scratch = path.with_name(f".{path.name}.new.zst")  # one name: whoever comes next writes over what a crash left
    fd = open_private(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        for part in compress(_frames(path)):
            write_all(fd, part)
            time.sleep(_PACE_S)
        os.fchmod(fd, 0o400)
        sync_all(fd)
    finally:
        os.close(fd)
    try:
        _check(folder, path, scratch, stop, signed)
    except NotVerified as e:
        scratch.unlink()
        raise LedgerRefused(f"altered: {path}: {e}; run: onrecord verify") from e
    os.replace(scratch, target)
    sync_folder(target.parent)
    path.unlink()


def _frames(path: Path) -> Iterator[bytes]:
    lines = whole_lines(path)
    while frame := b"".join(line.data + b"\n" for line in islice(lines, FRAME_LINES)):
        yield frame


def _check(folder: LogFolder, path: Path, scratch: Path, stop: int, signed: int) -> None:
    """Raise NotVerified unless `scratch` holds exactly the plain bytes of `path`, and these are what was signed."""
    plain = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 17):
            plain.update(chunk)
    found = hashlib.sha256()
    for chunk in chunks(scratch):
        found.update(chunk)
    if found.digest() != plain.digest():
        raise NotVerified("the compressed file does not hold the same bytes")
    seq = first_seq(path)
    for line in whole_lines(scratch):
        if seq >= stop or leaf_of(line.data) != _leaf(folder, seq, signed):
            raise NotVerified(f"entry {seq} is not what was hashed")
        seq += 1
    if seq != stop:
        raise NotVerified(f"it ends with entry {seq - 1}, and the next segment begins with entry {stop}")


def _leaf(folder: LogFolder, seq: int, signed: int) -> bytes:
    index, place = divmod(seq, TILE_WIDTH)
    data = _tile(folder, index, min(TILE_WIDTH, signed - index * TILE_WIDTH))
    return data[place * HASH_BYTES : (place + 1) * HASH_BYTES]


@functools.lru_cache(maxsize=2)
def _tile(folder: LogFolder, index: int, width: int) -> bytes:
    return read_tile(folder, 0, index, width)
