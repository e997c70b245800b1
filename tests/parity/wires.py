# SPDX-License-Identifier: Apache-2.0
"""What a `Talk` goes over: lines to a process that is started for it, or Streamable HTTP. To it both look the same.

A message of the server is what stands in a line, in the body of an answer, or in an event of a stream, wherever that
came. What HTTP says beside them, as a status, is not heard.
"""

import contextlib
import json
import queue
import socket
import subprocess
import threading
from collections.abc import Callable
from typing import Any, Protocol

from tests.gateway.running import Heard, modern, request

LEGACY, MODERN = "2025-11-25", "2026-07-28"
WITHIN_S = 120.0
CANCELLED = "notifications/cancelled"


class Wire(Protocol):
    """One connection to one server."""

    def send(self, line: bytes) -> None:
        """Send a message."""
        ...

    def receive(self) -> bytes:
        """Return the next message of the server, b"" where no more comes."""
        ...

    def close(self) -> None:
        """Say that no more is sent, and wait until the server has said all."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...

    @property
    def errors(self) -> str:
        """What the server wrote to standard error, as far as that is heard."""
        ...


class Lines:
    """Standard input and output of a process."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
        )
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._errors: list[bytes] = []
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._read, self._read_errors)]
        for thread in self._threads:
            thread.start()

    def _read(self) -> None:
        assert self._child.stdout is not None
        with self._child.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put(b"")

    def _read_errors(self) -> None:
        assert self._child.stderr is not None
        with self._child.stderr as lines:
            self._errors.extend(lines)

    def send(self, line: bytes) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(line + b"\n")
        self._child.stdin.flush()

    def receive(self) -> bytes:
        return self._lines.get(timeout=WITHIN_S)

    def close(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        try:
            self._child.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        for thread in self._threads:
            thread.join(10)

    @property
    def errors(self) -> str:
        return b"".join(self._errors).decode()

    def kill(self) -> None:
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait()
        if self._child.stdin is not None and not self._child.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._child.stdin.close()
        for thread in self._threads:
            thread.join(10)


class Posts:
    """Streamable HTTP: a POST for each message, and up to 2025-11-25 a session, with a stream of what is said in it.

    A request is answered by a thread of its own; everything else waits until it was taken. From 2026-07-28 on a
    request is given up by closing its stream, and `notifications/cancelled` does that here.
    """

    def __init__(self, connect: Callable[[], socket.socket], path: str, era: str, token: str) -> None:
        """`connect` connects; `token` is what each request brings."""
        self._connect = connect
        self._path = path
        self._era = era
        self._fields = {"Authorization": f"Bearer {token}"}
        self._messages: queue.Queue[bytes] = queue.Queue()
        self._open: dict[Any, socket.socket] = {}
        self._threads: list[threading.Thread] = []

    def send(self, line: bytes) -> None:
        message = json.loads(line)
        method, request_id = message.get("method"), message.get("id")
        if method == CANCELLED and self._era == MODERN:
            self._shut(message["params"]["requestId"])
            return
        if method == "initialize" or method is None or request_id is None:
            self._hear(None, self._posted(message, line))
        else:
            self._listen(request_id, self._posted(message, line))
        if method == "notifications/initialized":
            self._listen(None, self._asked("GET"))

    def _posted(self, message: Any, line: bytes) -> bytes:
        if self._era == LEGACY:
            return request(self._path, line, **self._fields)
        params = message.get("params", {})
        name = params.get("name", params.get("uri"))
        named = {} if name is None else {"Mcp_Name": name}
        return modern(self._path, message, **self._fields, **named)

    def _asked(self, method: str) -> bytes:
        fields = {"Host": "127.0.0.1", "Accept": "text/event-stream", **self._fields}
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        return f"{method} {self._path} HTTP/1.1\r\n{lines}\r\n".encode()

    def _listen(self, name: Any, data: bytes) -> None:
        """Send a request, and have a thread hear what comes of it; `name` is what it may be shut by."""
        connection = self._open[name] = self._connect()
        connection.settimeout(None)
        connection.sendall(data)
        self._threads.append(threading.Thread(target=self._read, args=(name, connection), daemon=True))
        self._threads[-1].start()

    def _hear(self, name: Any, data: bytes) -> None:
        with self._connect() as connection:
            connection.settimeout(WITHIN_S)
            connection.sendall(data)
            self._take(Heard(connection))

    def _read(self, name: Any, connection: socket.socket) -> None:
        with connection, contextlib.suppress(ConnectionError):
            self._take(Heard(connection))

    def _take(self, heard: Heard) -> None:
        if (session := heard.headers.get("mcp-session-id")) is not None:
            self._fields |= {"Mcp_Session_Id": session, "MCP_Protocol_Version": self._era}
        if not heard.headers.get("content-type", "").startswith("text/event-stream"):
            if body := heard.body():
                self._messages.put(body)
            return
        left = b""
        for piece in heard.pieces():
            *events, left = (left + piece).replace(b"\r\n", b"\n").split(b"\n\n")
            for event in events:
                data = b"\n".join(line[5:] for line in event.split(b"\n") if line.startswith(b"data:"))
                if data.strip():
                    self._messages.put(data)

    def _shut(self, name: Any) -> None:
        with contextlib.suppress(OSError):  # it may be over
            self._open.pop(name).shutdown(socket.SHUT_RDWR)

    @property
    def errors(self) -> str:
        return ""

    def receive(self) -> bytes:
        return self._messages.get(timeout=WITHIN_S)

    def close(self) -> None:
        if self._era == LEGACY:
            self._hear(None, self._asked("DELETE"))
        self.kill()

    def kill(self) -> None:
        for name in list(self._open):
            self._shut(name)
        for thread in self._threads:
            thread.join(10)
        self._messages.put(b"")
