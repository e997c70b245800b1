# SPDX-License-Identifier: Apache-2.0
"""`onrecord witness`: a small private witness, best on a machine that the logs it watches cannot reach into."""

import os
import signal
import threading
from argparse import Namespace
from pathlib import Path
from types import FrameType

from onrecord.cli.terminal import put, say
from onrecord.errors import KeyFileError, NotVerified, OnRecordError
from onrecord.ledger.note import VerifierKey
from onrecord.ledger.smallfile import MAX_KEYS, read_small
from onrecord.ledger.witness_server import WitnessServer
from onrecord.ledger.witness_state import WitnessState


def witness(options: Namespace) -> int:
    """Serve until a signal to end comes; the key to give to others is the one line of output."""
    address = _address(options.listen)
    logs: dict[str, list[VerifierKey]] = {}
    for text in options.log:
        for key in _log_keys(text):
            logs.setdefault(key.name, []).append(key)
    state = WitnessState(options.state, options.name, logs)
    try:
        server = _listen(address, state)
    except BaseException:
        state.abandon()
        raise

    def end(_number: int, _frame: FrameType | None) -> None:
        # in a thread: `shutdown` waits for the loop that this handler has interrupted
        threading.Thread(target=server.shutdown, daemon=True).start()

    with server:
        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        put(str(state.cosigner.vkey), flush=True)
        say(f"a witness of {len(logs)} {'log' if len(logs) == 1 else 'logs'} listens on {server.url}")
        server.serve_forever()
    state.close()
    return 0


def _listen(address: tuple[str, int], state: WitnessState) -> WitnessServer:
    try:
        return WitnessServer(address, state, say)
    except (OSError, OverflowError) as e:
        number = e.errno if isinstance(e, OSError) else None
        why = os.strerror(number).lower() if number and number > 0 else "there is no such address"
        raise OnRecordError(f"cannot listen on {address[0]}:{address[1]}: {why}") from e


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()) or len(port) > 5:
        raise OnRecordError(f"--listen takes HOST:PORT, as 127.0.0.1:8474, not {text!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _log_keys(text: str) -> list[VerifierKey]:
    """Return the keys that are given as text or as a file of one a line, as a log keeps them through its epochs."""
    path = Path(text)
    try:
        lines = read_small(path, MAX_KEYS).decode().split() if path.is_file() else [text]
        if not lines:
            raise KeyFileError(f"--log: {path} is empty")
        return [VerifierKey.parse(line) for line in lines]
    except NotVerified as e:
        raise KeyFileError(f"--log: neither a file nor a verifier key of the form name+id+base64: {e}") from e
    except (OSError, UnicodeDecodeError) as e:
        raise KeyFileError(f"--log: cannot read {path}: {type(e).__name__}") from e
