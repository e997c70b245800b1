# SPDX-License-Identifier: Apache-2.0
"""`python -m onrecord.cli.canary_http`: the server of `onrecord selftest` over Streamable HTTP, for this machine alone.

Says its URL in one line of its output, and ends with its input. Whoever hands it a credential is refused: it asks for
none, so it was meant for the door in front of it, which must keep it.
"""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO

from onrecord.canary import answered

_CREDENTIALS = ("Authorization", "Proxy-Authorization", "Cookie")
_REFUSED = -32600


def command() -> list[str]:
    """Return how to start the server, as that of `canary.py`."""
    return [sys.executable, "-P", "-m", "onrecord.cli.canary_http"]


def serve(until: IO[bytes], out: IO[bytes]) -> None:
    """Answer requests at a free port, whose URL is written to `out`, until `until` ends."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        out.write(f"http://127.0.0.1:{server.server_port}/mcp\n".encode())
        out.flush()
        until.read()
        server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one piece

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "method" not in request or "id" not in request:
            self._say(202, b"")
        elif any(name in self.headers for name in _CREDENTIALS):
            error = {"code": _REFUSED, "message": "the door handed a credential on"}
            self._say(200, json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": error}).encode())
        else:
            begins = request["method"] == "initialize"
            self._say(200, answered(request), session=os.urandom(16).hex() if begins else "")

    def do_GET(self) -> None:
        self._say(405, b"")

    def do_DELETE(self) -> None:
        self._say(200, b"")

    def _say(self, status: int, body: bytes, *, session: str = "") -> None:
        self.send_response(status)
        for name, value in (("Mcp-Session-Id", session), ("Content-Type", "application/json" if body else "")):
            if value:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
