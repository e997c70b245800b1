# SPDX-License-Identifier: Apache-2.0
"""A client that speaks raw lines to a server behind `onrecord run`, and reads the record afterwards."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SERVER = [sys.executable, str(Path(__file__).with_name("scripted_server.py"))]
ONRECORD = [sys.executable, "-m", "onrecord.cli.main"]


class Session:
    """One wrapped server, from its start to its end."""

    def __init__(self, home, *, options=(), command=SERVER, env=None, listed=True, launcher=()):
        self.home = Path(home)
        self.child: Any = subprocess.Popen(
            [
                *launcher,
                *(ONRECORD[1:] if launcher else ONRECORD),
                "run",
                "--server-id",
                "scripted",
                *options,
                "--",
                *command,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "ONRECORD_HOME": str(home), **(env or {})},
        )
        self.next_id = 1
        self.errors = b""
        if listed:
            self.ask("tools/list")

    def send(self, line):
        data = line if isinstance(line, bytes) else json.dumps(line).encode()
        self.child.stdin.write(data + b"\n")
        self.child.stdin.flush()

    def receive(self) -> Any:
        line = self.child.stdout.readline()
        return json.loads(line) if line else None

    def ask(self, method, **params) -> Any:
        """Send a request and return its answer."""
        self.begin(method, **params)
        return self.receive()

    def begin(self, method, **params):
        """Send a request and return its id."""
        self.next_id += 1
        self.send({"jsonrpc": "2.0", "id": self.next_id, "method": method, "params": params})
        return self.next_id

    def call(self, tool, **arguments):
        return self.ask("tools/call", name=tool, arguments=arguments)

    def end(self, timeout=60):
        """Close the server's input, and return its exit code."""
        out, self.errors = self.child.communicate(timeout=timeout)
        self.rest = out
        return self.child.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.kill()
        self.child.communicate()


def record(home):
    """Return all events on the record; a line that is being written is not one yet."""
    files = sorted((Path(home) / "ledger" / "calls" / "log").glob("*.ndjson"))
    return [json.loads(line) for file in files for line in file.read_bytes().split(b"\n")[:-1]]


def results(home, tool=None):
    """Return the closing events of calls."""
    return [e for e in record(home) if e.get("phase") == "result" and tool in (None, e.get("tool_name"))]


def onrecord(home, *arguments, env=None):
    """Run a verb and return what it printed and how it ended."""
    return subprocess.run(
        [*ONRECORD, *arguments],
        env={**os.environ, "ONRECORD_HOME": str(home), **(env or {})},
        capture_output=True,
        text=True,
    )
