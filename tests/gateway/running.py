# SPDX-License-Identifier: Apache-2.0
"""A gateway in a process of its own, in front of servers in processes of their own, and clients that send bytes."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
ONRECORD = [sys.executable, "-m", "onrecord.cli.main"]
VERSION, CAPABILITIES = "io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/clientCapabilities"
META = {VERSION: "2026-07-28", CAPABILITIES: {}}


@contextmanager
def served(script):
    """Run a server that prints its port; yield the port."""
    child = subprocess.Popen([sys.executable, str(HERE / script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert child.stdout is not None
    try:
        yield int(child.stdout.readline())
    finally:
        child.kill()
        child.communicate()


class Gateway:
    """`onrecord gateway` in front of the servers at `urls`, by name."""

    def __init__(self, home, urls, *, gateway="", upstream="", settings="", env=None, tokens="off"):
        self.home = Path(home)
        servers = "".join(f'[[upstream]]\nname = "{name}"\nurl = "{url}"\n{upstream}\n' for name, url in urls.items())
        here = f'listen = "127.0.0.1:0"\ntokens = "{tokens}"\nallowed_hosts = ["127.0.0.1"]'
        text = f"[gateway]\n{here}\n{gateway}\n{servers}\n{settings}\n"
        (self.home / "onrecord.toml").write_text(text)
        self.child = subprocess.Popen(
            [*ONRECORD, "gateway"],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "ONRECORD_HOME": str(home), **(env or {})},
        )
        self.said = ""
        self._hearing = threading.Thread(target=self._hear, daemon=True)
        self._hearing.start()
        found = self.await_said(r"listening at .*:(\d+)\n")
        self.port = int(found[1])

    def _hear(self):
        assert self.child.stderr is not None
        with self.child.stderr as lines:
            for line in lines:
                self.said += line

    def await_said(self, pattern, within_s=60):
        """Return where standard error says `pattern`, once it does."""
        ends = time.monotonic() + within_s
        while True:
            goes_on = self._hearing.is_alive() and time.monotonic() < ends  # before it is looked for
            if found := re.search(pattern, self.said):
                return found
            if not goes_on:
                self.child.kill()
                self.child.wait()
                raise RuntimeError(f"{pattern} was not said: {self.said}")
            time.sleep(0.01)

    def url(self, name):
        return f"http://127.0.0.1:{self.port}/{name}"

    def connect(self, source="127.0.0.1"):
        return socket.create_connection(("127.0.0.1", self.port), timeout=60, source_address=(source, 0))

    def end(self, number=signal.SIGTERM, timeout=60):
        """Have it end, and return its exit code."""
        if self.child.poll() is None:
            self.child.send_signal(number)
        self.child.wait(timeout=timeout)
        self._hearing.join(timeout)
        assert "internal error" not in self.said, self.said
        return self.child.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.end()

    def record(self):
        """Return all events on the record."""
        files = sorted((self.home / "ledger" / "calls" / "log").glob("*.ndjson"))
        return [json.loads(line) for file in files for line in file.read_bytes().split(b"\n")[:-1]]

    def events(self, **about):
        return [e for e in self.record() if all(e.get(key) == value for key, value in about.items())]

    def await_events(self, count=1, within_s=60, **about):
        """Return events once there are so many."""
        ends = time.monotonic() + within_s
        while len(found := self.events(**about)) < count:
            assert time.monotonic() < ends, f"{count} events with {about}; there are {len(found)}"
            time.sleep(0.02)
        return found


def called(tool="echo", number=1, meta=META, **arguments):
    """Return a call as a message."""
    params = {"name": tool, "arguments": arguments} | ({"_meta": meta} if meta else {})
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


def request(path, body, **headers):
    """Return a POST as bytes; a header that is None is left out."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {
        "Host": "127.0.0.1",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "Content-Length": str(len(body)),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value is not None)
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def modern(path, message, **headers):
    """Return a POST of 2026-07-28 as bytes."""
    name = {"Mcp_Name": message["params"]["name"]} if "name" in message.get("params", {}) else {}
    routing = {"MCP_Protocol_Version": "2026-07-28", "Mcp_Method": message["method"], **name}
    return request(path, message, **{**routing, **headers})


class Heard:
    """One answer, read from a socket as it comes."""

    def __init__(self, connection):
        self.file = connection.makefile("rb")
        first = self.file.readline()
        self.status = int(first.split()[1]) if first else 0
        self.text = b""
        self.headers = {}
        while (line := self.file.readline().strip()) and first:
            name, _, value = line.decode("latin-1").partition(":")
            self.headers[name.lower()] = value.strip()

    def pieces(self):
        """Yield the body as it comes."""
        if "content-length" in self.headers:
            yield self.file.read(int(self.headers["content-length"]))
            return
        if self.headers.get("transfer-encoding") != "chunked":
            yield self.file.read()
            return
        while (size := self.file.readline().strip()) and (length := int(size, 16)):
            yield self.file.read(length)
            self.file.readline()
        self.file.readline()

    def body(self):
        return b"".join(self.pieces())

    def json(self):
        return json.loads(self.body())


def exchanged(gateway, data, source="127.0.0.1"):
    """Send bytes, and return the answer."""
    with gateway.connect(source) as connection:
        connection.sendall(data)
        heard = Heard(connection)
        heard.text = heard.body()
        return heard
