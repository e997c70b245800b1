# SPDX-License-Identifier: Apache-2.0
"""Asks a stdio server for its tools, and for nothing else: starts it, shakes hands in either era, lists, ends it.

The first question is `server/discover` (2026-07-28). A server that doesn't know it, or answers
anything that no modern server would, is asked again with `initialize`; one that ends at the sight of
it is started anew and asked so at once. No tool is called. What the server prints beside the protocol
is skipped, what it asks is declined, and everything has a limit: a server is somebody else's program.
"""

import json
import os
import queue
import signal
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from threading import Thread
from typing import IO

from onrecord.doors import wire
from onrecord.doors.listed import (
    ABOUT_US,
    LEGACY,
    LONGEST,
    MODERN_META,
    MOST_MESSAGES,
    UNKNOWN_METHOD,
    Listed,
    code_of,
    is_modern,
    read_list,
)
from onrecord.doors.stdio import cannot_start
from onrecord.errors import CommandError, MessageRefused
from onrecord.event.call import Json
from onrecord.rules.neutral import neutral

PATIENCE_S = 10.0  # for an answer to the first question; some servers leave it without one
_TOLD = 5  # lines of its standard error that are shown where it failed
_GRACE_S = 2.0  # from the end of its input to a signal, and from that to the next
_LAST_WORDS_S = 5.0  # from the end of its output to that of its errors, which may say why


class _Ended(Exception):
    """The server ended, or closed its output."""


class _Late(Exception):
    """No answer in time."""


def ask(command: Sequence[str], *, timeout_s: float) -> Listed:
    """Start `command`, and return what it lists. Raises CommandError, which says what went wrong."""
    ends = time.monotonic() + timeout_s
    for modern_first in (True, False):
        with _Conversation(command, ends) as talk:
            try:
                return talk.listed(modern_first=modern_first)
            except _Late:
                raise CommandError(f"the server listed no tools within {timeout_s:g} s{talk.told()}", 2) from None
            except _Ended:
                if talk.answered or not modern_first:
                    raise CommandError(f"the server ended before it listed its tools{talk.told()}", 2) from None
    raise AssertionError  # the second turn returns or raises


class _Conversation:
    """One start of the server."""

    def __init__(self, command: Sequence[str], ends: float) -> None:
        self._ends = ends
        self._asked = 0
        self._meta: Json = None
        self._open = ""  # the first question, while it has no answer
        self._lines = 0
        self.answered = False
        self._said: queue.Queue[bytes | None] = queue.Queue(maxsize=64)
        self._errors: deque[bytes] = deque(maxlen=_TOLD)
        pipe = subprocess.PIPE
        try:
            self._child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
        except OSError as e:
            raise cannot_start(command[0], e) from e
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        assert self._child.stderr is not None
        self._stdin = self._child.stdin
        heard = (self._hear, self._child.stdout), (self._hear_errors, self._child.stderr)
        self._ears = [Thread(target=work, args=(source,), name="onrecord-probe", daemon=True) for work, source in heard]
        for ear in self._ears:
            ear.start()

    def __enter__(self) -> "_Conversation":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._stdin.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(_GRACE_S)
                break
            self._signal(number)
        else:
            self._child.wait()
        self._signal(signal.SIGKILL)  # what it left behind in its group
        for ear in self._ears:
            self._join(ear)

    def _join(self, ear: Thread) -> None:
        """Wait for a thread that reads what the server said, and let it say it to nobody."""
        ends = time.monotonic() + _GRACE_S
        while ear.is_alive() and time.monotonic() < ends:
            with suppress(queue.Empty):
                while True:
                    self._said.get_nowait()
            ear.join(0.02)

    def _signal(self, number: int) -> None:
        with suppress(OSError):
            os.killpg(self._child.pid, number)

    def told(self) -> str:
        """Return what the server said last on its standard error, fit for a terminal."""
        lines = [neutral(line.decode(errors="replace").strip(), limit=200) for line in list(self._errors)]
        said = "; ".join(line for line in lines if line)
        return f"; it said: {said}" if said else ""

    # hearing

    def _hear(self, source: IO[bytes]) -> None:
        with source, suppress(OSError, ValueError):
            while line := source.readline(LONGEST + 1):
                if len(line) > LONGEST:
                    break
                self._said.put(line)
        self._said.put(None)

    def _hear_errors(self, source: IO[bytes]) -> None:
        with source, suppress(OSError, ValueError):
            while line := source.readline(1 << 16):
                self._errors.append(line)

    def _next(self, ends: float) -> wire.Message | None:
        """Return the next message of the server; None for a line that is none. Raises _Ended, _Late."""
        try:
            line = self._said.get(timeout=max(0.0, min(ends, self._ends) - time.monotonic()))
        except queue.Empty:
            raise _Late from None
        self._lines += 1
        if line is None:
            self._ears[1].join(max(0.0, min(_LAST_WORDS_S, self._ends - time.monotonic())))
        if line is None or self._lines > MOST_MESSAGES:
            raise _Ended
        try:
            return wire.decode(line, lone_surrogates="forgive")
        except MessageRefused:
            return None

    def _answer_to(self, ids: Sequence[str], ends: float) -> wire.Response:
        """Return the first answer to one of the requests `ids`; what the server asks meanwhile is declined."""
        while True:
            message = self._next(ends)
            if isinstance(message, wire.Request):
                known = message.method == "ping"
                refusal = {"error": {"code": UNKNOWN_METHOD, "message": "not here: tools are only being listed"}}
                self._send({"id": message.id, **({"result": {}} if known else refusal)})
            elif isinstance(message, wire.Response) and message.id in ids:
                self.answered = True
                return message

    # asking

    def _send(self, message: dict[str, object]) -> None:
        try:
            self._stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
            self._stdin.flush()
        except OSError:
            raise _Ended from None

    def _request(self, method: str, **params: Json) -> str:
        self._asked += 1
        name = f"onrecord-{self._asked}"
        said = params if self._meta is None else {**params, "_meta": self._meta}
        self._send({"id": name, "method": method, "params": said})
        return name

    def listed(self, *, modern_first: bool) -> Listed:
        """Shake hands, and return what the server lists. Raises _Ended, _Late, CommandError."""
        opening = self._discovered() if modern_first else None
        if opening is None:
            opening = self._initialised()
        return read_list(opening, self._page_after, modern=self._meta is not None)

    def _page_after(self, params: dict[str, Json]) -> wire.Response:
        return self._answer_to([self._request("tools/list", **params)], self._ends)

    def _discovered(self) -> wire.Response | None:
        """Return a modern server's answer to the first question, or None where it is to be asked the old way."""
        self._meta = MODERN_META
        self._open = self._request("server/discover")
        try:
            answer = self._answer_to([self._open], time.monotonic() + PATIENCE_S)
        except _Late:
            self._meta = None
            return None
        self._open = ""
        self._meta = MODERN_META if is_modern(answer) else None
        return answer if is_modern(answer) else None

    def _initialised(self) -> wire.Response:
        asked = self._request("initialize", protocolVersion=LEGACY, capabilities={}, clientInfo=ABOUT_US)
        answer = self._answer_to([asked, self._open], self._ends)
        if answer.id == self._open:  # late, and it may have settled the era
            if is_modern(answer):
                self._meta = MODERN_META
                return answer
            answer = self._answer_to([asked], self._ends)
        if answer.error is not None:
            raise CommandError(f"the server refuses to begin: JSON-RPC error {code_of(answer)}{self.told()}", 2)
        self._send({"method": "notifications/initialized"})
        return answer
