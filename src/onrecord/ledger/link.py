# SPDX-License-Identifier: Apache-2.0
"""One connection of a door to the recorder service: lines out, lines in, and no wait without a limit."""

import os
import select
import socket
import time
from contextlib import suppress
from pathlib import Path

from onrecord.errors import LedgerRefused, NotVerified, RecorderAway
from onrecord.ledger.messages import MAX_MESSAGE, Failed, Hello, Welcome, encode, error_of, read_answer
from onrecord.ledger.peer import Peer, may_act_as, peer_of

_CHUNK = 1 << 16
_NAP_S = 0.01


class Link:
    """A connection on which the service has said welcome."""

    def __init__(self, path: Path, hello: Hello, *, deadline_s: float, remedy: str) -> None:
        """Connect and introduce ourselves. `remedy` says how the service is started.

        Raises RecorderAway where nobody answers, and the LedgerError with which the service refuses us.
        """
        self._inbox = b""
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._connect(deadline_s, remedy)
            self.peer: Peer = peer_of(self._socket)
            self.send(encode(hello), deadline_s)
            self.welcome: Welcome = self._await_welcome(time.monotonic() + deadline_s)
        except OSError as e:
            self.close()
            raise RecorderAway(f"the recorder service at {path} is away: {_why(e)}") from e
        except BaseException:
            self.close()
            raise

    def _connect(self, deadline_s: float, remedy: str) -> None:
        deadline = time.monotonic() + deadline_s
        try:
            while not self._connected():
                if time.monotonic() > deadline:
                    raise RecorderAway(f"the recorder service at {self._path} takes no connections at the moment")
                time.sleep(_NAP_S)
        except PermissionError as e:
            raise RecorderAway(
                f"the recorder service at {self._path} does not let this account connect; "
                "add it to the group of that socket, and log in anew"
            ) from e
        except OSError as e:
            raise RecorderAway(f"the recorder service at {self._path} is not running; {remedy}") from e

    def _connected(self) -> bool:
        """Connect, and say whether there was room in the queue of those who want to."""
        self._socket.setblocking(False)
        try:
            self._socket.connect(str(self._path))
        except BlockingIOError:
            return False
        return True

    def _await_welcome(self, deadline: float) -> Welcome:
        while (lines := self.receive(max(0.0, deadline - time.monotonic()))) is not None:
            for line in lines:
                try:
                    answer = read_answer(line)
                except NotVerified as e:
                    raise LedgerRefused(f"what answers at {self._path} is not a recorder service: {e}") from e
                if isinstance(answer, Failed):
                    raise error_of(answer)
                if isinstance(answer, Welcome):
                    return answer
                raise LedgerRefused(f"what answers at {self._path} is not a recorder service of this version")
            if time.monotonic() > deadline:
                raise RecorderAway(f"the recorder service at {self._path} accepts connections, but does not answer")
        raise RecorderAway(f"the recorder service at {self._path} closes the connection; it may have too many")

    def send(self, line: bytes, deadline_s: float) -> None:
        """Send a line. Where that fails, or takes too long, the link ends, and whoever receives sees it."""
        deadline = time.monotonic() + deadline_s
        rest = memoryview(line)
        poll = select.poll()
        try:
            poll.register(self._socket, select.POLLOUT)
            while rest:
                try:
                    rest = rest[self._socket.send(rest) :]
                except BlockingIOError:
                    left_ms = round((deadline - time.monotonic()) * 1000)
                    if left_ms <= 0 or not poll.poll(left_ms):
                        raise TimeoutError from None
        except (OSError, ValueError):
            self.end()

    def receive(self, wait_s: float | None) -> list[bytes] | None:
        """Return the next whole lines, none where none came in time, or None where the link has ended."""
        poll = select.poll()
        try:
            poll.register(self._socket, select.POLLIN)
            if not poll.poll(None if wait_s is None else wait_s * 1000):
                return []
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return []
        except (OSError, ValueError):
            return None
        if not data:
            return None
        *lines, self._inbox = (self._inbox + data).split(b"\n")
        if len(self._inbox) > MAX_MESSAGE:
            return None
        return lines

    def end(self) -> None:
        """End the connection, from whatever thread; `receive` returns then."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the descriptor. Only the thread that receives may do that."""
        self._socket.close()


def can_write_there(link: Link) -> bool:
    """Say whether this account could change the service's ledger or read its key, so that they prove less."""
    welcome = link.welcome
    return (
        may_act_as(os.getuid(), link.peer.uid)
        or os.access(welcome.ledger, os.W_OK)
        or os.access(welcome.keys, os.R_OK)
        or os.access(welcome.keys, os.W_OK)
    )


def _why(error: OSError) -> str:
    return os.strerror(error.errno or 0).lower()
