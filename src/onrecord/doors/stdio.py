# SPDX-License-Identifier: Apache-2.0
"""`onrecord run`: a stdio server as a child process, with two blocking threads around it.

The wrapper behaves as if it weren't there: standard error, signals, exit codes and the end of
standard input belong to the server, and standard output carries nothing but JSON-RPC. When this
process is killed the server is killed with it, as it would have been by the client.

What a message means, and what happens to it, is in `relay.py`. This file knows lines and processes.
"""

import os
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import BinaryIO

from onrecord.doors import wire
from onrecord.doors.conversation import Conversation
from onrecord.doors.definitions import Definitions
from onrecord.doors.outbox import Outbox
from onrecord.doors.relay import Relay
from onrecord.doors.rounds import SECRET, Rounds
from onrecord.doors.ways import Route
from onrecord.errors import CommandError, MessageRefused, NotSupported
from onrecord.event.call import Actor
from onrecord.recorder import Recorder

SWEEP_S = 0.5  # between two looks at calls that nobody answers
DRAIN_S = 2.0  # how long output may go on to flow after the server itself has ended
_BUFFER = 1 << 16  # bytes; what a pipe holds
_HEAD = 1024  # bytes of an overlong line that are kept to find its id
_FORWARDED = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
_PR_SET_PDEATHSIG = 1  # Linux <sys/prctl.h>


class Server:
    """The wrapped server's process."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start `command`. Raises CommandError where there is nothing to start."""
        if os.name == "nt":
            raise NotSupported("onrecord run needs POSIX; on Windows the library reads and verifies")
        try:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - no threads yet
            )
        except OSError as e:
            raise cannot_start(command[0], e) from e
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self.signalled = False
        self.stdin = os.dup(self._child.stdin.fileno())
        self._child.stdin.close()
        self.stdout = os.dup(self._child.stdout.fileno())
        self._child.stdout.close()

    def pass_signals_on(self) -> None:
        """Hand every signal that would have met the server on to it. Only the main thread may call this."""
        for name in _FORWARDED:
            signal.signal(getattr(signal, name), lambda number, _frame: self._signal(number))

    def _signal(self, number: int) -> None:
        self.signalled = True
        with suppress(ProcessLookupError):
            self._child.send_signal(number)

    def stop(self) -> None:
        """End the server at once."""
        self._child.kill()

    def wait(self) -> int:
        """Return the server's exit code, or the negative number of the signal that ended it."""
        return self._child.wait()


def _die_with_parent() -> None:
    import ctypes  # only in the child, on Linux

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def cannot_start(program: str, error: OSError) -> CommandError:
    """Return the error that says why `program` could not be started, with the exit code of a shell."""
    if shutil.which(program) is None and os.sep not in program:
        return CommandError(f"cannot start {program!r}: there is no such command on the PATH", 127)
    code = 127 if isinstance(error, FileNotFoundError) else 126  # what a shell says
    return CommandError(f"cannot start {program!r}: {os.strerror(error.errno or 0).lower()}", code)


def run(
    server: Server,
    recorder: Recorder,
    actor: Actor,
    server_id: str,
    command: list[str],
    *,
    max_message: int,
    call_timeout_s: float,
    say: Callable[[str], None],
) -> int:
    """Carry messages between standard input and output and `server` until it ends; return its exit code."""
    to_client, to_server = Outbox(1, "to-client"), Outbox(server.stdin, "to-server")
    definitions = Definitions(recorder.pins, server_id)
    conversation = Conversation(actor, server_id, "stdio", recorder.guard.new_id, definitions)
    server.pass_signals_on()  # before the start is on the record, so that an end is, too
    recorder.start(conversation.base(), command)
    recorder.guard.note_identity(conversation.connection)
    relay = Relay(
        recorder,
        conversation,
        Rounds(os.urandom(SECRET)),
        call_timeout_s=call_timeout_s,
        say=say,
        failed=lambda e: _stop(e, server, say),
    )
    said_all, ended = Flag(), Flag()

    def carry_up() -> None:
        _carry(0, max_message, relay.from_client, relay.refuse, to_client, to_server)
        relay.client_gone()
        to_server.close()

    def carry_down() -> None:
        _carry(server.stdout, max_message, relay.from_server, relay.withhold, to_server, to_client)
        said_all.set()

    codes: list[int] = []

    def await_end() -> None:
        codes.append(server.wait())
        ended.set()

    for work in (carry_up, carry_down, await_end):
        Thread(target=_or_stop, args=(work, server, say), name=f"onrecord-{work.__name__}", daemon=True).start()
    while not ended.wait(SWEEP_S):
        relay.sweep()
    if not _drained(said_all, to_client, server):
        to_client.abandon()
    why = f"the server {_how(codes[0])} before it answered; whether the call took effect is unknown, do not retry"
    relay.finish(why)
    relay.close()
    to_client.close(DRAIN_S)
    recorder.stop(_how(codes[0]), relay.calls)
    return codes[0]


def _drained(said_all: Flag, to_client: Outbox, server: Server) -> bool:
    """Wait until all that the server said is with the client, and say whether it is.

    A client that reads slowly gets all the time it takes, unless somebody asked us to end; output
    that is merely held open, by a process that the server left behind, gets `DRAIN_S`.
    """
    left_s = DRAIN_S
    while left_s > 0:
        if said_all.wait(SWEEP_S):
            return True
        if server.signalled or not to_client.writing:
            left_s -= SWEEP_S
    return False


def _or_stop(work: Callable[[], None], server: Server, say: Callable[[str], None]) -> None:
    """Do `work`; where it fails by a defect of ours, stop the server: nothing may go on unrecorded."""
    try:
        work()
    except Exception as e:  # noqa: BLE001 - the top of a thread
        _stop(e, server, say)


def _stop(error: Exception, server: Server, say: Callable[[str], None]) -> None:
    """Stop the server after a defect of ours, and say where it is."""
    place = traceback.extract_tb(error.__traceback__)[-1]  # without the message, which may hold values
    name = type(error).__name__
    say(f"internal error: {name} in {Path(place.filename).name}:{place.lineno}; stopping the server")
    server.stop()


def _how(code: int) -> str:
    return f"exited with code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"


def _carry(
    source: int,
    max_message: int,
    take: Callable[[bytes, Route], None],
    refuse: Callable[[MessageRefused, int, Route], None],
    back: Outbox,
    onward: Outbox,
) -> None:
    """Hand each line of `source` to `take` until it ends or the other side is gone."""
    route = Route(back, onward)
    with suppress(OSError), open(source, "rb", buffering=_BUFFER) as lines:
        while not onward.broken and (line := lines.readline(max_message + 1)):
            if len(line) > max_message and not line.endswith(b"\n"):
                size, head = _skip(lines, line)
                limit = f"a message of {size} bytes is longer than the limit of {max_message}"
                refuse(MessageRefused(limit, wire.AMBIGUOUS, wire.id_in_head(head)), size, route)
            elif not line.isspace():
                take(line, route)


def _skip(lines: BinaryIO, line: bytes) -> tuple[int, bytes]:
    """Read on to the end of an overlong line, keeping only its length and its head."""
    size, head = len(line), line[:_HEAD]
    while line and not line.endswith(b"\n"):
        line = lines.readline(_BUFFER)
        size += len(line)
    return size, head


def end_as(code: int) -> None:
    """End this process the way the server ended: by exit code, or by the same signal."""
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)  # threads may still sit in a read that nobody will answer
