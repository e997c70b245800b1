# SPDX-License-Identifier: Apache-2.0
"""Recorder services for tests: real processes, and what speaks to them."""

import json
import os
import random
import signal
import socket
import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.doors.session import ONRECORD

from onrecord.event.ids import uuid7
from onrecord.event.redacted import own_fact
from onrecord.ledger.clock import now_us
from onrecord.ledger.place import Home
from onrecord.ledger.remote import RemoteWriter
from onrecord.ledger.vouched import Vouched


def short_folder() -> Path:
    """Return a folder whose name leaves room for a socket: its path may have some 100 bytes."""
    return Path(tempfile.mkdtemp(prefix="onr-"))


def free_port() -> int:
    """Return a port for a server that takes no port of 0, from below those that the system hands out to others."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class Running:
    """A recorder service that listens."""

    def __init__(self, home, path, *, launcher=(), options=()):
        self.home = Path(home)
        self.path = Path(path)
        self.launcher = launcher
        self.options = options
        self.said: list[str] = []
        self.start()

    def start(self):
        self.child: Any = subprocess.Popen(
            [
                *self.launcher,
                *(ONRECORD[1:] if self.launcher else ONRECORD),
                *("recorder", "run", "--socket", str(self.path)),
                *self.options,
            ],
            env={**os.environ, "ONRECORD_HOME": str(self.home)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for line in self.child.stderr:
            self.said.append(line)
            if "listening at" in line:
                break
        else:
            self.child.communicate()
            raise AssertionError(f"the service did not start: {self.said}")
        self.listening = threading.Thread(target=self._listen)
        self.listening.start()

    def _listen(self):
        with self.child.stderr as lines:
            self.said.extend(lines)

    def kill(self):
        self.child.kill()
        self.child.wait()
        self.listening.join()

    def stop(self, timeout=60):
        self.child.send_signal(signal.SIGTERM)
        code = self.child.wait(timeout)
        self.listening.join()
        return code

    def restart(self):
        self.kill()
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.kill()
        assert not any("Traceback" in line for line in self.said), "".join(self.said)


class Wire:
    """A raw connection, that says whatever a test wants."""

    def __init__(self, path, *, hello=True):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(str(path))
        self.lines = self.socket.makefile("rb")
        self.welcome: Any = None
        if hello:
            self.send({"op": "hello", "version": 1, "log": "calls"})
            self.welcome = self.receive()

    def send(self, message):
        data = message if isinstance(message, bytes) else json.dumps(message, separators=(",", ":")).encode()
        self.socket.sendall(data + b"\n")

    def receive(self) -> Any:
        """Return the next answer, or None where the service has hung up."""
        try:
            line = self.lines.readline()
        except ConnectionResetError:
            return None
        return json.loads(line) if line else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lines.close()
        self.socket.close()


def appending(number=1, **event):
    """Return an append as a door writes it."""
    event = {"event_id": new_id(), "event_type": "connection", "action": "open"} | event
    return {"op": "append", "id": number, "durability": "written", "event": event}


def new_id():
    return uuid7(now_us() // 1000, os.urandom(10))


def remote(home, path, *, deadline_s=30.0, vkeys=()) -> RemoteWriter:
    """Return the writer of a door with this home."""
    vouched = Vouched(Home(Path(home)), "calls", str(path), vkeys=vkeys)
    return RemoteWriter(
        Path(path),
        vouched,
        gap=lambda: own_fact("gap", event_id=new_id(), action="spooled"),
        deadline_s=deadline_s,
    )
