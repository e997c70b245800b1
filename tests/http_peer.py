# SPDX-License-Identifier: Apache-2.0
"""Peers for tests that are reached over HTTP: real servers, on a port of their own, in threads of the test."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class Answering(BaseHTTPRequestHandler):
    """Answers requests, and says nothing of it."""

    def body(self) -> bytes:
        """Return the body of the request."""
        return self.rfile.read(int(self.headers["Content-Length"]))

    def say(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        """Answer the request."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):  # noqa: A002 - as in its base
        pass


class HttpPeer:
    """Serves with `handler` while it is entered; `url` ends in `path`."""

    def __init__(self, handler: type[BaseHTTPRequestHandler], path: str):
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}{path}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
