# SPDX-License-Identifier: Apache-2.0
"""Server-sent events: bytes as they come to the data of whole events. Pure. WHATWG HTML, 9.2.6.

MCP puts one JSON-RPC message into each event without a type, or of the type `message`. Events of other types, and
those without data, are nothing to us; so are ids and times to wait. An event that the stream ends in is none.
"""

from onrecord.doors.wire import AMBIGUOUS
from onrecord.errors import MessageRefused

_BOM = b"\xef\xbb\xbf"


class EventStream:
    """One stream, read piece by piece."""

    def __init__(self, longest: int) -> None:
        """`longest` is how many bytes one event may take."""
        self._longest = longest
        self._line = bytearray()  # one that has not ended
        self._size = 0
        self._data: list[bytes] = []
        self._type = b""
        self._first = True
        self._after_cr = False  # a line feed that comes now belongs to the line end before it

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the data of the events that end in `piece`. Raises MessageRefused for one that is too long."""
        if not piece:
            return []
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
        self._after_cr = piece.endswith(b"\r")
        *lines, rest = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        events: list[bytes] = []
        for line in lines:
            self._line += line
            self._take(bytes(self._line), events)
            self._line.clear()
        self._line += rest
        if self._size + len(self._line) > self._longest:
            raise MessageRefused(f"an event takes more than {self._longest} bytes", AMBIGUOUS)
        return events

    def _take(self, line: bytes, events: list[bytes]) -> None:
        if self._first:
            self._first, line = False, line.removeprefix(_BOM)
        if not line:
            if self._data and self._type in (b"", b"message"):
                events.append(b"\n".join(self._data))
            self._data, self._type, self._size = [], b"", 0
            return
        self._size += len(line)
        if self._size > self._longest:
            raise MessageRefused(f"an event takes more than {self._longest} bytes", AMBIGUOUS)
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
        elif name == b"event":
            self._type = value.removeprefix(b" ")
