# SPDX-License-Identifier: Apache-2.0
"""The file of a sealed segment: zstd in frames that stand alone, so one old line is read without the rest.

A frame holds 256 lines, the last one what is left. Behind the frames stands a seek table in the "zstd
seekable format": a skippable frame, which every zstd tool passes over, so `zstdcat` gives the
plain lines. The table only says where to look. Whoever reads from the beginning doesn't need
it, and whoever reads one line checks that it is the right one.

Nothing here knows what a line says, and nothing deletes a file.
"""

import struct
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from onrecord.errors import NotVerified

FRAME_LINES = 256

_LEVEL = 3  # 4.1 to 1 on lines of ours, at some 300 MB/s; higher levels gain little, as hashes don't compress
_CHUNK = 1 << 17  # bytes, read or decompressed at a time
_WINDOW_LOG = 24  # a frame of 256 longest lines is 8 MiB; a file that asks for more memory is refused

# zstd seekable format 0.1.0, "Seek Table Format"; all numbers little-endian
_SKIPPABLE_MAGIC = 0x184D2A5E
_SEEKABLE_MAGIC = 0x8F92EAB1
_HEAD = struct.Struct("<II")  # magic, length of what follows
_ENTRY = struct.Struct("<II")  # compressed and plain length of a frame, in bytes
_FOOT = struct.Struct("<IBI")  # number of frames, descriptor, magic

_PARAMETERS: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}


def compress(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the file of a sealed segment: a frame for each of `blocks`, and the seek table."""
    entries: list[bytes] = []
    for block in blocks:
        frame = zstd.compress(block, level=_LEVEL)
        entries.append(_ENTRY.pack(len(frame), len(block)))
        yield frame
    table = b"".join(entries) + _FOOT.pack(len(entries), 0, _SEEKABLE_MAGIC)
    yield _HEAD.pack(_SKIPPABLE_MAGIC, len(table)) + table


@dataclass(frozen=True, slots=True)
class SeekTable:
    """Where the frames of a file begin, and the plain bytes in them; one entry more than there are frames."""

    starts: tuple[int, ...]
    plain: tuple[int, ...]

    def frame_at(self, offset: int) -> int:
        """Return the number of the frame that holds the plain byte at `offset`, or the number of frames."""
        return min(bisect_right(self.plain, offset) - 1, len(self.plain) - 1)


def read_table(path: Path) -> SeekTable:
    """Return the seek table of `path`. Raises NotVerified where there is none that fits, and OSError."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if size < _HEAD.size + _FOOT.size:
            raise NotVerified(f"{path} is too short for a sealed segment")
        file.seek(size - _FOOT.size)
        count, descriptor, magic = _FOOT.unpack(file.read(_FOOT.size))
        length = count * _ENTRY.size + _FOOT.size
        if magic != _SEEKABLE_MAGIC or descriptor or length + _HEAD.size > size:
            raise NotVerified(f"{path} does not end in a seek table of ours")
        file.seek(size - length - _HEAD.size)
        if _HEAD.unpack(file.read(_HEAD.size)) != (_SKIPPABLE_MAGIC, length):
            raise NotVerified(f"the seek table of {path} does not begin where it should")
        entries = list(_ENTRY.iter_unpack(file.read(count * _ENTRY.size)))
    starts = tuple(accumulate((entry[0] for entry in entries), initial=0))
    if starts[-1] != size - length - _HEAD.size:
        raise NotVerified(f"the seek table of {path} does not fit its frames")
    return SeekTable(starts, tuple(accumulate((entry[1] for entry in entries), initial=0)))


def chunks(path: Path, offset: int = 0) -> Iterator[bytes]:
    """Yield the plain bytes of a sealed segment from `offset` on, a bounded part at a time.

    From the beginning the seek table plays no part. Raises NotVerified where the file is not zstd
    or is cut off, OSError.
    """
    start, skip = 0, 0
    if offset:
        table = read_table(path)
        number = table.frame_at(offset)
        start, skip = table.starts[number], offset - table.plain[number]
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        try:
            for chunk in _decompressed(file.read):
                if skip < len(chunk):
                    yield chunk[skip:]
                skip = max(0, skip - len(chunk))
        except (zstd.ZstdError, EOFError) as e:
            raise NotVerified(f"{path} is not whole zstd: {e}") from e


def _decompressed(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """Yield what the frames hold, passing over skippable ones, as zstd tools do."""
    data = read(_CHUNK)
    while data:
        frame = zstd.ZstdDecompressor(options=_PARAMETERS)
        yield frame.decompress(data, _CHUNK)
        while not frame.eof:
            more = b""
            if frame.needs_input and not (more := read(_CHUNK)):
                raise EOFError("it ends within a frame")
            yield frame.decompress(more, _CHUNK)
        data = frame.unused_data or read(_CHUNK)
