# SPDX-License-Identifier: Apache-2.0
"""Outsiders for tests: a witness and a timestamp authority on loopback, and a service that says what it is told."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.ledger.logs import Log

from onrecord.ledger.witness import Witness
from onrecord.ledger.witness_server import WitnessServer
from onrecord.ledger.witness_state import WitnessState

Reply = Callable[[str, bytes], tuple[int, str, bytes]]
"""(path, body) to status, content type and body."""


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Running:
    """A witness that runs, and what it said."""

    server: WitnessServer
    state: WitnessState
    said: list[str] = field(default_factory=list)

    @property
    def witness(self) -> Witness:
        return Witness(url=self.server.url, key=self.state.cosigner.vkey)


@contextmanager
def running_witness(folder: Path, *logs: Log, name: str = "") -> Iterator[Running]:
    keys = {log.signer.name: [log.signer.vkey] for log in logs}
    state = WitnessState(folder, name, keys)
    said: list[str] = []
    server = WitnessServer(("127.0.0.1", 0), state, said.append)
    try:
        with serving(server):
            yield Running(server, state, said)
    finally:
        state.close()


@contextmanager
def scripted(reply: Reply) -> Iterator[str]:
    """Run a service that answers each POST as `reply` says, and yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, content_type, text = reply(self.path, body)
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    with serving(server):
        yield f"http://127.0.0.1:{server.server_port}"


class Authority:
    """A timestamp authority of OpenSSL's, with a root of its own."""

    def __init__(self, folder: Path, name: str = "Test TSA") -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self._openssl("req", "-x509", *_KEY, "-keyout", "ca.key", "-out", "ca.pem", "-subj", f"/CN={name} Root")
        self._openssl("req", *_KEY, "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", f"/CN={name}")
        (folder / "ext").write_text("extendedKeyUsage=critical,timeStamping\n")
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
        self._openssl("x509", "-req", "-in", "tsa.csr", *signing, "-extfile", "ext", "-out", "tsa.pem")
        (folder / "serial").write_text("01\n")
        (folder / "tsa.cnf").write_text(_CONFIG)

    @property
    def root_file(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def root(self) -> bytes:
        return self.root_file.read_bytes()

    def reply(self, _path: str, query: bytes) -> tuple[int, str, bytes]:
        (self.folder / "query").write_bytes(query)
        self._openssl("ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", "reply")
        return 200, "application/timestamp-reply", (self.folder / "reply").read_bytes()

    def _openssl(self, *arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256")

# without `certs`: OpenSSL writes more than one certificate in an order that is not DER's
_CONFIG = """
[tsa]
default_tsa = it
[it]
serial = serial
crypto_device = builtin
signer_cert = tsa.pem
signer_key = tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
"""
