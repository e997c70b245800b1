# SPDX-License-Identifier: Apache-2.0
"""A client of a stdio server, or of the door in front of one: starts it, asks, and leaves nothing of it running.

One request at a time, in one thread, with a deadline on each answer. What the process says beside the protocol is kept
for whoever asks, up to a limit. Notifications, and what the server asks, are passed over: this client offers nothing.
"""

import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

from onrecord.doors import wire
from onrecord.doors.stdio import cannot_start
from onrecord.errors import MessageRefused
from onrecord.event.call import Json
from onrecord.rules.neutral import neutral

LONGEST = 1 << 20  # bytes of one line, and of all that is kept of standard error
_TOLD = 3  # lines of standard error that a message of ours repeats
_GRACE_S = 10.0  # on a busy machine, too: from the end of its input to a signal, and from that to the next


class Gone(Exception):
    """The process ended, or closed its output, or said what nobody would wait behind."""


class Late(Exception):
    """No answer in time."""


class Process:
    """One process, from its start to its end, and what it says."""

    def __init__(self, command: Sequence[str], ends: float) -> None:
        """Start `command`; nothing is waited for past `ends`, of the monotonic clock. Raises CommandError."""
        pipe = subprocess.PIPE
        try:
            self._child = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, start_new_session=True
            )
        except OSError as e:
            raise cannot_start(command[0], e) from e
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        assert self._child.stderr is not None
        self._stdin, self._stdout, self._stderr = self._child.stdin, self._child.stdout, self._child.stderr
        self._ends = ends
        self._said = b""
        self.errors = b""
        self._heard = selectors.DefaultSelector()
        for source in (self._stdout, self._stderr):
            self._heard.register(source, selectors.EVENT_READ)

    def write(self, line: bytes) -> None:
        """Send a line. Raises Gone."""
        try:
            self._stdin.write(line + b"\n")
        except OSError:
            raise Gone from None

    def line(self) -> bytes:
        """Return the next line of its output. Raises Gone, Late."""
        while b"\n" not in self._said:
            if time.monotonic() >= self._ends:
                raise Late
            if len(self._said) > LONGEST or not self._hear(self._ends):
                raise Gone
        line, _, self._said = self._said.partition(b"\n")
        return line

    def end(self) -> int:
        """Close the input of the process, wait for its end, or make it; return its exit code. Can be called again."""
        with suppress(OSError):
            self._stdin.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._has_ended(_GRACE_S):
                break
            self._signal(number)
        code = self._child.wait()
        if not self._stdout.closed:
            self._signal(signal.SIGKILL)  # what it left behind in its group
            self._hear(time.monotonic())
            self._heard.close()
            self._stdout.close()
            self._stderr.close()
        return code

    def told(self) -> str:
        """Return what the process said last on its standard error, fit for a terminal."""
        lines = [line for line in map(bytes.strip, self.errors.splitlines()) if line]
        return "; ".join(neutral(line.decode(errors="replace"), limit=300) for line in lines[-_TOLD:])

    def _hear(self, ends: float) -> bool:
        """Read what is there, waiting for it until `ends`, and say whether its output is still open."""
        for key, _ in self._heard.select(max(0.0, ends - time.monotonic())):
            source: IO[bytes] = key.fileobj  # pyright: ignore[reportAssignmentType]
            part = os.read(source.fileno(), LONGEST)
            if not part:
                self._heard.unregister(source)
            elif source is self._stdout:
                self._said += part
            else:
                self.errors = (self.errors + part)[-LONGEST:]
        return self._stdout in self._heard.get_map()

    def _has_ended(self, within_s: float) -> bool:
        """Hear the process out, and say whether it ended in that time."""
        ends = time.monotonic() + within_s
        while self._heard.get_map() and time.monotonic() < ends:
            self._hear(ends)
            self._said = b""
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(max(0.0, ends - time.monotonic()))
            return True
        return False

    def _signal(self, number: int) -> None:
        with suppress(OSError):
            os.killpg(self._child.pid, number)


class Client(Process):
    """A process that speaks MCP on its standard input and output, and its client."""

    def __init__(self, command: Sequence[str], ends: float) -> None:
        """Start `command`; no answer is waited for past `ends`, of the monotonic clock. Raises CommandError."""
        super().__init__(command, ends)
        self._asked = 0

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def ask(self, method: str, params: dict[str, Json]) -> wire.Response:
        """Return the answer to a request. Raises Gone, Late."""
        self._asked += 1
        self.write(json.dumps({"jsonrpc": "2.0", "id": self._asked, "method": method, "params": params}).encode())
        while True:
            message = _read(self.line())
            if isinstance(message, wire.Response) and message.id == self._asked:
                return message

    def tell(self, method: str) -> None:
        """Send a notification. Raises Gone."""
        self.write(json.dumps({"jsonrpc": "2.0", "method": method}).encode())


def _read(line: bytes) -> wire.Message | None:
    """Return a message; None for a line that is none."""
    try:
        return wire.decode(line)
    except MessageRefused:
        return None
