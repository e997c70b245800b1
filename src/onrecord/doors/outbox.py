# SPDX-License-Identifier: Apache-2.0
"""Lines on their way to one peer, in order, where some must wait for their record first.

A line that may go at once is written by the thread that brings it. One that has to wait lets the
lines behind it wait too, so nothing overtakes, and is written by a thread of its own: the thread
that reads messages does not wait for a device. Many that wait are settled by one flush.
"""

import os
from collections import deque
from contextlib import suppress
from threading import Condition, Thread

from onrecord.doors.ways import Ready
from onrecord.ledger.durable import write_all


class Outbox:
    """The way to one file descriptor, which it owns."""

    def __init__(self, fd: int, name: str) -> None:
        self._fd = fd
        self._name = name
        self._cond = Condition()
        self._queue: deque[bytes | Ready] = deque()
        self._busy = False
        self._closing = False
        self._thread: Thread | None = None
        self.broken = False
        self.writing = False  # a thread is in a write, which lasts until the peer reads

    def send(self, line: bytes | Ready, *, last: bool = False) -> None:
        """Send a line after those before it. A peer that is gone is remembered in `broken`."""
        if self.broken:
            return
        with self._cond:
            if self._closing:
                return
            if isinstance(line, bytes) and not self._queue and not self._busy:
                self._write(line)
                return
            self._queue.append(line)
            if self._thread is None:
                self._thread = Thread(target=self._send_forever, name=f"onrecord-{self._name}", daemon=True)
                self._thread.start()
            self._cond.notify_all()

    def abandon(self) -> None:
        """Send nothing more: the peer doesn't read, and this process is to end."""
        self.broken = True

    def close(self, deadline_s: float | None = None) -> None:
        """Send what waits, then close the descriptor; with a deadline, leave what a peer doesn't take in time."""
        if not self._cond.acquire(timeout=-1 if deadline_s is None else deadline_s):
            return  # another thread sits in a write; the descriptor closes with the process
        try:
            if self._closing:
                return
            self._closing = True
            self._cond.notify_all()
        finally:
            self._cond.release()
        if self._thread is not None:
            self._thread.join(deadline_s)
        with suppress(OSError):
            os.close(self._fd)

    def _send_forever(self) -> None:
        while True:
            with self._cond:
                self._busy = False
                self._cond.wait_for(lambda: self._queue or self._closing)
                if not self._queue:
                    return
                self._busy = True
                line = self._queue.popleft()
            ready = line if isinstance(line, bytes) else line()
            if ready is not None:
                self._write(ready)

    def _write(self, line: bytes) -> None:
        if not self.broken:
            self.writing = True
            try:
                write_all(self._fd, line)
            except OSError:
                self.broken = True
            self.writing = False
