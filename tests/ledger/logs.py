# SPDX-License-Identifier: Apache-2.0
"""Logs for tests: real ones, in a folder of their own, and what lies in them."""

import base64
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.children import started

from onrecord.event.event import Event, encode
from onrecord.event.ids import uuid7
from onrecord.event.redacted import Redacted, own_fact
from onrecord.ledger.keys import open_keys
from onrecord.ledger.ledger import Ledger
from onrecord.ledger.note import Checkpoint, SignerKey, open_checkpoint
from onrecord.ledger.place import Home, LogFolder
from onrecord.ledger.tree import read_guard
from onrecord.ledger.verify import Report, verify
from onrecord.ledger.writer import Writer

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0  # for facts that come; only a defect uses it up


@dataclass(frozen=True, slots=True)
class Log:
    """One home with one log, and its key."""

    home: Home
    signer: SignerKey

    def open(self, **options: Any) -> Ledger:
        return Ledger.open(self.home, self.signer, **options)

    def writer(self, *, wid: str = "here", deadline_s: float = 30.0, **options: Any) -> Writer:
        return Writer(
            lambda: self.open(wid=wid, deadline_s=deadline_s, **options),
            gap=lambda: own_fact("gap", event_id=new_id(), action="spooled"),
            deadline_s=deadline_s,
        )

    def write(self, count: int, **options: Any) -> None:
        """Open, append, sign and close."""
        ledger = self.open(**options)
        for number in range(count):
            ledger.append(entry(number))
        ledger.publish()
        ledger.close()

    @property
    def folder(self) -> LogFolder:
        return self.home.log()

    @property
    def file(self) -> Path:
        return self.folder.first_segment

    @property
    def guard(self) -> Path:
        return self.home.guard()

    def lines(self) -> list[bytes]:
        return self.file.read_bytes().split(b"\n")[:-1]

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines()]

    def checkpoint(self) -> Checkpoint:
        return open_checkpoint(self.folder.checkpoint.read_bytes(), [self.signer.vkey])

    def verify(self, **options: Any) -> Report:
        return verify(self.folder, [self.signer.vkey], guard=read_guard(self.guard), **options)


def log_in(path: Path) -> Log:
    """Return the log of the home at `path`, with its key; the log itself begins when it is opened."""
    home = Home(path)
    return Log(home, open_keys(home)[0].signer)


def new_id() -> str:
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))


def entry(number: int = 0, *, size: int = 0, event_id: str = "", **fields: Any) -> Redacted:
    """Return a realistic entry; `size` more bytes of it are filler."""
    event = Event(
        event_id=event_id or new_id(),
        **{
            "event_type": "tool_call",
            "phase": "attempt",
            "call_id": new_id(),
            "user_id": "u_0123456789abcdef",
            "server_id": "files",
            "method": "tools/call",
            "tool_name": "read_file",
            "input_summary": f'{{"path":"/srv/report-{number}.txt"}}',
            "arg_keys": ("path",),
            "output_summary": "x" * size,
            **fields,
        },
    )
    return Redacted(event, encode(event))


def leaf_of(line: bytes) -> str:
    """Hash a line by hand: SHA-256(0x00 ‖ line)."""
    return hashlib.sha256(b"\x00" + line).hexdigest()


def check_chain(lines: list[bytes]) -> None:
    """Check by hand what every reader of the log relies on."""
    before = "0" * 64
    at = ""
    counts: dict[str, int] = {}
    for seq, line in enumerate(lines):
        event = json.loads(line)
        assert event["seq"] == seq
        assert event["prev_hash"] == before
        assert event["timestamp"] >= at
        assert event["wseq"] == counts.get(event["wid"], 0)
        counts[event["wid"]] = event["wseq"] + 1
        before, at = leaf_of(line), event["timestamp"]


def root_of(lines: list[bytes]) -> bytes:
    """Compute a root by hand. RFC 9162, 2.1.1."""
    if not lines:
        return hashlib.sha256(b"").digest()
    if len(lines) == 1:
        return hashlib.sha256(b"\x00" + lines[0]).digest()
    left = 1 << ((len(lines) - 1).bit_length() - 1)
    return hashlib.sha256(b"\x01" + root_of(lines[:left]) + root_of(lines[left:])).digest()


def rechained(lines: list[bytes], *, renumber: bool = False) -> list[bytes]:
    """Return `lines` with the chain computed anew, as somebody without the key can."""
    made: list[bytes] = []
    before = "0" * 64
    for place, line in enumerate(lines):
        fields = json.loads(line) | {"prev_hash": before}
        if renumber:
            fields["seq"] = place
        made.append(compact(fields))
        before = leaf_of(made[-1])
    return made


def compact(fields: dict[str, Any]) -> bytes:
    """Return a line the way that ours are written."""
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()


def root_text(root: bytes) -> str:
    return base64.b64encode(root).decode()


def wait_for(fact: Callable[[], object]) -> None:
    """Return when `fact` is true; a fact that never comes is a failure."""
    end = time.monotonic() + PATIENCE_S
    while not fact():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


@contextmanager
def child(code: str, *arguments: object, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run Python `code` in another process; `sys.argv[1:]` are `arguments`. It is gone when the block ends."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, **options) as process:
        yield process
        if not process.stdin.closed:
            process.stdin.close()
        process.stdout.close()
        process.wait()


def said(process: subprocess.Popen[str]) -> str:
    """Return the next line that a child prints, or nothing if it has ended."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")
