# SPDX-License-Identifier: Apache-2.0
"""A unix socket with many connections, in one thread: lines come in, lines go out, and nobody can hold it up.

A connection gets a bounded share of each turn, of memory, and of the connections that there can be. One that
does not say hello, says too much in one line, or does not read its answers is dropped. What a line
means is not known here.
"""

import os
import selectors
import socket
import stat
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from onrecord.errors import LedgerUnwritable
from onrecord.ledger.messages import MAX_MESSAGE
from onrecord.ledger.note import Checkpoint
from onrecord.ledger.peer import Peer, peer_of
from onrecord.ledger.sessions import Session

CONNECTIONS = 480  # each takes two descriptors, and 1,024 are what a process is commonly given
OF_ONE_ACCOUNT = 240  # so that one account can't keep the others out
HELLO_S = 10.0  # how long a connection may stay silent before its first message
SHARE = 64  # lines of one connection in one turn
UNREAD = 1 << 20  # bytes of answers that a door may leave unread
_CHUNK = 1 << 16
_BACKLOG = 512


@dataclass(slots=True, eq=False)
class Connection:
    """One door's end. `fault` says why it is to be dropped; `told` and `vkey` are the tree and the key it knows."""

    socket: socket.socket
    peer: Peer
    inbox: bytearray = field(default_factory=bytearray)
    outbox: bytearray = field(default_factory=bytearray)
    since: float = field(default_factory=time.monotonic)
    ended: bool = False
    fault: str = ""
    session: Session | None = None
    told: Checkpoint | None = None
    vkey: str = ""


class Listener:
    """A listening socket, and everyone who is connected to it."""

    def __init__(self, path: Path, *, mode: int, stop: int) -> None:
        """Listen at `path`, which gets `mode`. `stop` is a descriptor that becomes readable when all is to end.

        What a dead service left at `path` is removed. Raises LedgerUnwritable, also where somebody listens there.
        """
        self._path = path
        self._stop = stop
        self._selector = selectors.DefaultSelector()
        self._all: set[Connection] = set()
        self._waiting: set[Connection] = set()  # with whole lines that had no share of the last turn
        self.stopped = False
        try:
            self._socket = _listen(path, mode)
        except OSError as e:
            raise LedgerUnwritable(f"cannot listen at {path}: {os.strerror(e.errno or 0).lower()}") from e
        self._selector.register(self._socket, selectors.EVENT_READ, None)
        self._selector.register(stop, selectors.EVENT_READ, None)

    def turn(self, wait_s: float) -> list[tuple[Connection, bytes]]:
        """Wait for something to come, and return the whole lines that did, those of one connection in order."""
        for key, events in self._selector.select(0 if self._waiting else wait_s):
            connection = cast("Connection | None", key.data)
            if connection is not None:
                if events & selectors.EVENT_WRITE:
                    self._write(connection)
                if events & selectors.EVENT_READ:
                    self._read(connection)
            elif key.fd == self._stop:
                self.stopped = True
            else:
                self._accept()
        self._drop_silent()
        lines: list[tuple[Connection, bytes]] = []
        for connection in list(self._waiting):
            lines.extend((connection, line) for line in self._take(connection))
        return lines

    def connections(self) -> list[Connection]:
        """Return everyone who is connected."""
        return list(self._all)

    def ended(self) -> list[Connection]:
        """Return the connections that ended and whose last line was handed out, and those at fault."""
        return [each for each in self._all if (each.ended and each not in self._waiting) or each.fault]

    def send(self, connection: Connection, data: bytes) -> None:
        """Send `data` to a door, as it reads."""
        connection.outbox += data
        self._write(connection)

    def drop(self, connection: Connection) -> None:
        """Close a connection, and forget what it had not sent or read."""
        if connection in self._all:
            self._all.discard(connection)
            self._waiting.discard(connection)
            with suppress(KeyError, ValueError):
                self._selector.unregister(connection.socket)
            connection.socket.close()

    def close(self) -> None:
        """Close everything, and take the socket's name away."""
        for connection in list(self._all):
            self.drop(connection)
        with suppress(OSError):
            self._path.unlink()
        self._socket.close()
        self._selector.close()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._socket.accept()
            except OSError:
                return  # nobody else, or no descriptor left: the next turn tries again
            try:
                accepted.setblocking(False)
                connection = Connection(accepted, peer_of(accepted))
            except OSError:
                accepted.close()
                continue
            of_account = sum(each.peer.uid == connection.peer.uid for each in self._all)
            if len(self._all) >= CONNECTIONS or of_account >= OF_ONE_ACCOUNT:
                accepted.close()  # the door tries again, later each time
                continue
            self._all.add(connection)
            self._selector.register(accepted, selectors.EVENT_READ, connection)

    def _read(self, connection: Connection) -> None:
        try:
            data = connection.socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            connection.ended = True
        connection.inbox += data
        if b"\n" in data:
            self._waiting.add(connection)
        elif len(connection.inbox) >= MAX_MESSAGE and connection not in self._waiting:
            connection.fault = f"a message is longer than {MAX_MESSAGE} bytes"
        self._watch(connection)

    def _take(self, connection: Connection) -> list[bytes]:
        """Return the next lines of a connection, without their line feeds."""
        *lines, rest = bytes(connection.inbox).split(b"\n", SHARE)
        connection.inbox = bytearray(rest)
        if b"\n" not in rest:
            self._waiting.discard(connection)
            self._watch(connection)
        if any(len(line) >= MAX_MESSAGE for line in lines) or (len(rest) >= MAX_MESSAGE and b"\n" not in rest):
            connection.fault = f"a message is longer than {MAX_MESSAGE} bytes"
            return []
        return lines

    def _write(self, connection: Connection) -> None:
        if connection not in self._all:
            return
        try:
            while connection.outbox:
                del connection.outbox[: connection.socket.send(connection.outbox)]
        except BlockingIOError:
            pass
        except OSError:
            connection.ended = True
            connection.outbox.clear()
        if len(connection.outbox) > UNREAD:
            connection.fault = "it does not read its answers"
        self._watch(connection)

    def _watch(self, connection: Connection) -> None:
        """Read on where there is room, and write where there is something to write."""
        events = selectors.EVENT_WRITE if connection.outbox else 0
        if not connection.ended and not connection.fault and connection not in self._waiting:
            events |= selectors.EVENT_READ
        registered = connection.socket in self._selector.get_map()
        if events and registered:
            self._selector.modify(connection.socket, events, connection)
        elif events:
            self._selector.register(connection.socket, events, connection)
        elif registered:
            self._selector.unregister(connection.socket)

    def _drop_silent(self) -> None:
        limit = time.monotonic() - HELLO_S
        for connection in [each for each in self._all if each.session is None and each.since < limit]:
            self.drop(connection)


def _listen(path: Path, mode: int) -> socket.socket:
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(1.0)
                try:
                    probe.connect(str(path))
                    raise LedgerUnwritable(f"cannot listen at {path}: another service does")
                except ConnectionRefusedError:
                    path.unlink()  # whoever listened there is dead
    listening = socket.socket(socket.AF_UNIX)
    try:
        before = os.umask(0o777 & ~mode)  # never open to more, not even for a moment
        try:
            listening.bind(str(path))
        finally:
            os.umask(before)
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening
