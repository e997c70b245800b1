# SPDX-License-Identifier: Apache-2.0
"""A client of a Streamable HTTP server on this machine, which it starts, and leaves nothing of running.

The process says its URL in the first line of its output. One request at a time, over one connection that is kept, with
a deadline on each answer; what comes in between is passed over, as in `client.py`. For servers of others there is
`probe_http.py`, which trusts them with less.
"""

import http.client
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from onrecord.doors import wire
from onrecord.doors.client import LONGEST, Gone, Late, Process
from onrecord.doors.event_stream import EventStream
from onrecord.doors.listed import MODERN
from onrecord.errors import MessageRefused
from onrecord.event.call import Json

_VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
_PIECE = 1 << 16


class HttpClient(Process):
    """A process that serves MCP over HTTP, and its client. `status` is that of the last answer."""

    def __init__(self, command: Sequence[str], ends: float, *, token: str = "") -> None:
        """Start `command`; no answer is waited for past `ends`, of the monotonic clock. Raises CommandError."""
        super().__init__(command, ends)
        self.status = 0
        self._token = token
        self._asked = 0
        self._session = ""
        self._version = ""
        self._path = ""
        self._connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> "HttpClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def ask(self, method: str, params: dict[str, Json]) -> wire.Response:
        """Return the answer to a request, an error of ours where there is none. Raises Gone, Late."""
        self._asked += 1
        message: dict[str, Json] = {"jsonrpc": "2.0", "id": self._asked, "method": method, "params": params}
        for answer in self._exchanged(message, self._headers(method, params)):
            if isinstance(answer, wire.Response) and answer.id in (self._asked, None):
                if method == "initialize" and isinstance(answer.result, dict):
                    self._version = str(answer.result.get("protocolVersion", ""))
                return answer
        return wire.Response(id=None, error={"message": f"HTTP status {self.status}"})

    def tell(self, method: str) -> None:
        """Send a notification. Raises Gone, Late."""
        self._exchanged({"jsonrpc": "2.0", "method": method}, self._headers(method, {}))

    def end(self) -> int:
        """End the connection, then the process; return its exit code. Can be called again."""
        if self._connection is not None:
            self._connection.close()
        return super().end()

    def _exchanged(self, message: dict[str, Json], headers: dict[str, str]) -> list[wire.Message]:
        """Post a message, and return all that comes back. Raises Gone, Late."""
        connection = self._reached()
        left = self._ends - time.monotonic()
        if left <= 0:
            raise Late
        connection.timeout = left
        if connection.sock is not None:
            connection.sock.settimeout(left)
        try:
            connection.request("POST", self._path, json.dumps(message).encode(), headers)
            with connection.getresponse() as response:
                self.status = response.status
                self._session = response.headers.get("Mcp-Session-Id", self._session)
                return list(self._messages(response))
        except TimeoutError:
            raise Late from None
        except (OSError, http.client.HTTPException, MessageRefused):
            raise Gone from None

    def _reached(self) -> http.client.HTTPConnection:
        """Return the connection to where the process says that it serves. Raises Gone, Late."""
        if self._connection is None:
            url = urlsplit(self.line().decode(errors="replace"))
            if not url.hostname:
                raise Gone
            self._path = url.path
            self._connection = http.client.HTTPConnection(url.hostname, url.port)
        return self._connection

    def _headers(self, method: str, params: dict[str, Json]) -> dict[str, str]:
        said = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        meta, name = params.get("_meta"), params.get("name")
        if isinstance(meta, dict) and _VERSION_KEY in meta:
            said |= {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
            said |= {"Mcp-Name": name} if isinstance(name, str) else {}
        elif self._version:
            said |= {"MCP-Protocol-Version": self._version}
        said |= {"Mcp-Session-Id": self._session} if self._session else {}
        return said | ({"Authorization": f"Bearer {self._token}"} if self._token else {})

    def _messages(self, response: http.client.HTTPResponse) -> Iterator[wire.Message]:
        if response.headers.get_content_type() != "text/event-stream":
            yield from _read(response.read())
            return
        stream = EventStream(LONGEST)
        while piece := response.read1(_PIECE):
            if time.monotonic() >= self._ends:
                raise Late
            for data in stream.feed(piece):
                yield from _read(data)


def _read(data: bytes) -> Iterator[wire.Message]:
    with suppress(MessageRefused):
        yield wire.decode(data)
