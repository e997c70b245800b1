# SPDX-License-Identifier: Apache-2.0
"""Server-sent events: bytes as they come to whole events, and their data. Pure. WHATWG HTML, 9.2.6.

MCP puts one JSON-RPC message into each event without a type, or of the type `message`. Events of other types, and
those without data, are nothing to us; so are ids and times to wait. An event that the stream ends in is none.

What comes is kept as it came, so that an event whose data passes can be handed on byte for byte (`Frames`).
"""

import re
from dataclasses import dataclass

from onrecord.doors.wire import AMBIGUOUS
from onrecord.errors import MessageRefused

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True, repr=False)
class Frame:
    """One event. `raw` is all of it with its end, as it came; `data` is None where it has none.

    `is_message` says whether its type is one that MCP uses, and `event_id` is its `id`, None where it has none.
    """

    raw: bytes
    data: bytes | None
    is_message: bool
    event_id: bytes | None


class Frames:
    """One stream, read piece by piece."""

    def __init__(self, longest: int) -> None:
        """`longest` is how many bytes one event may take."""
        self._longest = longest
        self._line = bytearray()  # one that has not ended
        self._raw = bytearray()  # of the event that has not ended, its last line left out
        self._data: list[bytes] = []
        self._type = b""
        self._id: bytes | None = None
        self._first = True
        self._after_cr = False  # a line feed that comes now belongs to the line end before it

    @property
    def cut(self) -> bool:
        """Whether the stream would end in the middle of an event."""
        return bool(self._data or self._line)

    def feed(self, piece: bytes) -> list[Frame]:
        """Return the events that end in `piece`. Raises MessageRefused for one that is too long."""
        if not piece:
            return []
        frames: list[Frame] = []
        start = 0
        if self._after_cr and piece.startswith(b"\n"):
            self._raw += b"\n"
            start = 1
        self._after_cr = piece.endswith(b"\r")
        for end in _LINE_END.finditer(piece, start):
            self._line += piece[start : end.start()]
            self._take(bytes(self._line), end.group(), frames)
            self._line.clear()
            start = end.end()
        self._line += piece[start:]
        self._check()
        return frames

    def _check(self) -> None:
        if len(self._raw) + len(self._line) > self._longest:
            raise MessageRefused(f"an event takes more than {self._longest} bytes", AMBIGUOUS)

    def _take(self, line: bytes, end: bytes, frames: list[Frame]) -> None:
        self._raw += line
        self._raw += end
        self._check()
        if self._first:
            self._first, line = False, line.removeprefix(_BOM)
        if not line:
            data = b"\n".join(self._data) if self._data else None
            frames.append(Frame(bytes(self._raw), data, self._type in (b"", b"message"), self._id))
            self._raw.clear()
            self._data, self._type, self._id = [], b"", None
            return
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
        elif name == b"event":
            self._type = value.removeprefix(b" ")
        elif name == b"id":
            self._id = value.removeprefix(b" ")


class EventStream:
    """One stream, of which only the messages are wanted."""

    def __init__(self, longest: int) -> None:
        """`longest` is how many bytes one event may take."""
        self._frames = Frames(longest)

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the data of the events that end in `piece`. Raises MessageRefused for one that is too long."""
        return [frame.data for frame in self._frames.feed(piece) if frame.data is not None and frame.is_message]
