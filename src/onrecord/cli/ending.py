# SPDX-License-Identifier: Apache-2.0
"""A flag that a signal sets, and that others wait for."""

import select
import signal
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Protocol


class Ends(Protocol):
    """Says whether it is over; `threading.Event` does so, too."""

    def is_set(self) -> bool:
        """Say whether it is over."""
        ...

    def wait(self, timeout: float) -> bool:
        """Return whether it is over: once it is, or after `timeout` seconds."""
        ...


class Ending:
    """Whether this process was told to end.

    It takes no lock: a handler of a signal runs amid whatever the main thread does, and one that wanted the lock of a
    `threading.Event` while that is waited for would wait for itself.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._heard, self._told = socket.socketpair()
        self._told.setblocking(False)

    def set(self) -> None:
        """Have it be over."""
        self._is_set = True
        with suppress(BlockingIOError):
            self._told.send(b".")

    def is_set(self) -> bool:
        """Say whether it is over."""
        return self._is_set

    def wait(self, timeout: float) -> bool:
        """Return whether it is over: once it is, or after `timeout` seconds."""
        if not self._is_set:
            select.select([self._heard], [], [], timeout)
        return self._is_set

    def close(self) -> None:
        """Give back what it holds."""
        self._heard.close()
        self._told.close()


@contextmanager
def heeding() -> Generator[Ending]:
    """Give what SIGTERM and SIGINT set; behind it they act as before."""
    ending = Ending()
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda _number, _frame: ending.set()) for number in numbers]
    try:
        yield ending
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
        ending.close()
