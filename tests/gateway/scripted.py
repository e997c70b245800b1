# SPDX-License-Identifier: Apache-2.0
"""A server that answers HTTP as each test says, byte by byte, and keeps what reached it."""

import json
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Reached:
    """One request as it reached the server."""

    method: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name):
        return next((value for key, value in self.headers if key == name), None)

    @property
    def message(self) -> Any:
        return json.loads(self.body)


@dataclass
class Scripted:
    """Answers by `script`, a function of the connection and the request; closes the connection then."""

    script: Any
    reached: list[Reached] = field(default_factory=list)

    def __enter__(self):
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=2000)
        self.port = self.listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        return self

    def __exit__(self, *_):
        with suppress(OSError):
            self.listening.shutdown(socket.SHUT_RDWR)  # which wakes whoever accepts
        self._accepting.join()  # or it might accept what comes to the next socket of this number
        self.listening.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, connection.makefile("rb") as file:
            try:
                method = file.readline().split()[0].decode()
                headers = []
                while line := file.readline().strip():
                    name, _, value = line.decode("latin-1").partition(":")
                    headers.append((name.lower(), value.strip()))
                length = next((int(value) for name, value in headers if name == "content-length"), 0)
                request = Reached(method, headers, file.read(length))
                self.reached.append(request)
                self.script(connection, request)
            except (OSError, IndexError):
                pass


def answered(connection: Any, body: Any, *, status: int = 200, kind: str = "application/json", **headers: Any) -> None:
    """Send a whole answer."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    typed = f"content-type: {kind}\r\n" if kind else ""
    head = f"HTTP/1.1 {status} Some\r\n{typed}content-length: {len(body)}\r\nconnection: close\r\n{lines}\r\n"
    connection.sendall(head.encode() + body)


def streams(connection, **headers):
    """Begin a stream of events, and return what sends a piece of it; `None` ends it."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n{lines}\r\n"
    connection.sendall(head.encode())

    def send(piece):
        connection.sendall(b"0\r\n\r\n" if piece is None else b"%x\r\n%s\r\n" % (len(piece), piece))

    return send


def reset(connection):
    """Break the connection off as a host that goes down would."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def result(request, text="done"):
    """Return the answer to a call."""
    said = {"content": [{"type": "text", "text": text}]}
    return {"jsonrpc": "2.0", "id": request.message["id"], "result": said}


def echoing(connection, request):
    """Answer each request with a result, one for tools with three, and all else with 202."""
    if request.message.get("method") == "tools/list":
        tools = [{"name": name, "inputSchema": {"type": "object"}} for name in ("echo", "store", "never")]
        said = {"tools": tools, "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
        answered(connection, {"jsonrpc": "2.0", "id": request.message["id"], "result": said})
    elif "id" in request.message and "method" in request.message:
        answered(connection, result(request))
    else:
        answered(connection, b"", status=202, kind="")


class Switch:
    """A script that each test sets anew."""

    def __init__(self):
        self.to = echoing

    def __call__(self, connection, request):
        self.to(connection, request)
