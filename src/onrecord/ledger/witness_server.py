# SPDX-License-Identifier: Apache-2.0
"""A small private witness over HTTP (C2SP tlog-witness): one call, `POST /add-checkpoint`.

    200  cosigned, and on disk before the answer      404  no log of this origin is witnessed here
    400  not a submission                             409  the proof begins elsewhere; the body names where
    403  not signed by a key of the log               422  signed, and does not extend what was cosigned before
    503  cannot be stored, so not signed

For the machine next door, over loopback or behind a proxy that speaks TLS: it knows a few logs by
their keys, and bounds what a stranger can cost it in bytes, seconds and connections. There is no
log-in: what is not signed by a known log is refused.
"""

import contextlib
import socket
import socketserver
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from onrecord.errors import LedgerError, NotVerified
from onrecord.ledger.submission import MAX_BODY, Inconsistent, NotTheLog, OtherSize, UnknownLog, parse_submission
from onrecord.ledger.witness_state import WitnessState
from onrecord.version import __version__

READ_S = 10.0  # without a byte
CONNECTION_S = 60.0  # from first byte to last, however busy; a log comes back if it has more to say
MAX_CONNECTIONS = 64  # each is a thread; the oldest makes way for a new one
MAX_OF_A_PEER = 16  # the same, of one address

_TEXT = "text/plain; charset=utf-8"
_SIZE = "text/x.tlog.size"


class WitnessServer(ThreadingHTTPServer):
    """The witness behind a listening socket; `say` is told what it cosigned, and what it refused as a fork."""

    daemon_threads = True  # an idle connection must not keep the process; `WitnessState.close` waits for the rest

    def __init__(self, address: tuple[str, int], state: WitnessState, say: Callable[[str], None]) -> None:
        """Listen on `address`, a host and a port; port 0 takes a free one. Raises OSError."""
        self.state = state
        self.say = say
        self._open: dict[socket.socket, str] = {}  # by age: each connection, and whose it is
        self._opening = threading.Lock()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    @property
    def url(self) -> str:
        """Where it listens, as the prefix that a client is given."""
        host, port = self.server_address[0], self.server_address[1]
        return f"http://[{host}]:{port}" if ":" in str(host) else f"http://{host!s}:{port}"

    def server_bind(self) -> None:
        """Bind without looking up the host's name, which may take long and serves nobody."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread; where too many are open the oldest ends, of that peer or of all."""
        peer = str(client_address[0])
        with self._opening:
            of_peer = [open_one for open_one, whose in self._open.items() if whose == peer]
            too_many = of_peer if len(of_peer) >= MAX_OF_A_PEER else [*self._open][: len(self._open) // MAX_CONNECTIONS]
            for oldest in too_many[:1]:
                del self._open[oldest]
                _shut(oldest)  # its thread sees the end, and ends
            self._open[request] = peer
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection, for so long and no longer."""
        timer = threading.Timer(CONNECTION_S, _shut, [request])
        timer.daemon = True
        timer.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            timer.cancel()
            with self._opening:
                self._open.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away; a defect of ours is another matter."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def _shut(request: socket.socket) -> None:
    with contextlib.suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: WitnessServer  # type: ignore[assignment]
    protocol_version = "HTTP/1.1"  # connections are kept: C2SP tlog-witness asks for it
    server_version = f"onrecord/{__version__}"
    sys_version = ""
    timeout = READ_S
    error_message_format = "%(code)d %(message)s\n"
    error_content_type = _TEXT

    def do_POST(self) -> None:
        if self.path != "/add-checkpoint":
            self.send_error(404)
            return
        body = self._body()
        if body is not None:
            status, content_type, text = self._answer(body)
            self._send(status, content_type, text.encode())

    def _body(self) -> bytes | None:
        """Return the request's body, or None where it was refused."""
        length = self.headers.get("Content-Length", "")
        if self.headers.get("Transfer-Encoding") is not None or not (length.isascii() and length.isdigit()):
            self.send_error(411)  # closes, as every error does: what follows cannot be told apart
            return None
        if len(length) > 9 or int(length) > MAX_BODY:
            self.send_error(413)
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            return None
        return body

    def _answer(self, body: bytes) -> tuple[int, str, str]:
        try:
            submission = parse_submission(body)
            line = self.server.state.cosign(submission)
        except UnknownLog as e:
            return 404, _TEXT, f"{e}\n"
        except NotTheLog as e:
            return 403, _TEXT, f"{e}\n"
        except OtherSize as e:
            return 409, _SIZE, f"{e.size}\n"
        except Inconsistent as e:
            self.server.say(f"a known log signed what does not extend what was cosigned; kept as evidence: {e}")
            return 422, _TEXT, f"{e}\n"
        except NotVerified as e:
            return 400, _TEXT, f"{e}\n"
        except LedgerError as e:
            self.server.say(f"not cosigned: {e}")
            return 503, _TEXT, "cannot be stored, so not cosigned\n"
        return 200, _TEXT, line

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
        """Keep quiet: a stranger must not fill our log."""
