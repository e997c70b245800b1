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
_MAX_FRAMES = 1 << 20  # of 256 lines; no segment of ours comes near it
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
        if magic != _SEEKABLE_MAGIC or descriptor or count > _MAX_FRAMES or length + _HEAD.size > size:
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

    From the beginning the seek table plays no part but to be checked at the end: nothing but the frames
    that it names may be in the file. Raises NotVerified where that doesn't hold, or where the file
    is not zstd or is cut off, and OSError.
    """
    table = read_table(path) if offset else None
    number = table.frame_at(offset) if table else 0
    start, skip = (table.starts[number], offset - table.plain[number]) if table else (0, 0)
    starts, plain = [start], [0]
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        try:
            for chunk, consumed in _decompressed(file.read):
                plain[-1] += len(chunk)
                if skip < len(chunk):
                    yield chunk[skip:]
                skip = max(0, skip - len(chunk))
                if consumed is not None:
                    starts.append(start + consumed)
                    plain.append(plain[-1])
                if len(starts) > _MAX_FRAMES + 2:
                    raise NotVerified(f"{path} holds more frames than a segment of ours")
        except (zstd.ZstdError, EOFError) as e:
            raise NotVerified(f"{path} is not whole zstd: {e}") from e
    if not offset:
        _check_table(path, starts, plain)


def read_frame(path: Path, table: SeekTable, number: int) -> bytes:
    """Return the plain bytes of one frame. Raises NotVerified where they are not as the table says, and OSError."""
    start, end = table.starts[number : number + 2]
    length = table.plain[number + 1] - table.plain[number]
    if length > 1 << _WINDOW_LOG:
        raise NotVerified(f"frame {number} of {path} is longer than a frame of ours")
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        data = file.read(end - start)
    try:
        plain = zstd.ZstdDecompressor(options=_PARAMETERS).decompress(data, length)
    except (zstd.ZstdError, EOFError) as e:
        raise NotVerified(f"{path} is not whole zstd: {e}") from e
    if len(plain) != length:
        raise NotVerified(f"frame {number} of {path} is not as long as its seek table says")
    return plain


def _check_table(path: Path, starts: list[int], plain: list[int]) -> None:
    """Raise NotVerified unless the frames that were read are those of the table, and then the table itself."""
    table = read_table(path)
    size = path.stat().st_size
    sums = (0, *plain[:-2])  # the last frame that was read is the table, which holds nothing
    if tuple(starts[:-1]) != table.starts or starts[-1] != size or sums != table.plain:
        raise NotVerified(f"{path} does not consist of the frames that its seek table names")


def _decompressed(read: Callable[[int], bytes]) -> Iterator[tuple[bytes, int | None]]:
    """Yield what the frames hold, passing over skippable ones, as zstd tools do.

    With the last part of each frame comes how many bytes of the file end with it.
    """
    got = 0

    def more() -> bytes:
        nonlocal got
        data = read(_CHUNK)
        got += len(data)
        return data

    data = more()
    while data:
        frame = zstd.ZstdDecompressor(options=_PARAMETERS)
        part = frame.decompress(data, _CHUNK)
        while not frame.eof:
            yield part, None
            data = b""
            if frame.needs_input and not (data := more()):
                raise EOFError("it ends within a frame")
            part = frame.decompress(data, _CHUNK)
        yield part, got - len(frame.unused_data)
        data = frame.unused_data or more()
