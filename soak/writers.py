# SPDX-License-Identifier: Apache-2.0
"""Processes that write to one log and say what was acknowledged, for storms that end them at any moment.

Each runs a few threads, which append lines of 600 bytes and of 30 KB with the durabilities that are
asked for. An entry is reported over a pipe once it is acknowledged, and not before. What a process
said is held here, outside whatever the storm destroys.

    python soak/writers.py --home FOLDER --wid NAME [--seed N] [--durabilities …] [--segment-bytes N] [--no-flush]
"""

import argparse
import contextlib
import inspect
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onrecord.event.event import Event, encode
from onrecord.event.ids import uuid7
from onrecord.event.redacted import Redacted, own_fact
from onrecord.ledger.keys import open_keys
from onrecord.ledger.ledger import Ledger
from onrecord.ledger.lines import segment_files, whole_lines
from onrecord.ledger.note import VerifierKey
from onrecord.ledger.place import Home, LogFolder
from onrecord.ledger.writer import Durability, Writer

SHORT, LONG = 600, 30_000  # bytes of a line; a write of several pages is what a kill can cut in two
THREADS = 2  # a writer, so that one flush serves several
PATIENCE_S = 60.0  # for a writer to get going, and for an acknowledgement on a busy machine
DURABILITIES: tuple[Durability, ...] = ("written", "flushed", "signed")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a writer says of an entry, once it is acknowledged."""

    seq: int
    event_id: str
    durability: str


class Process:
    """A writer, and what it has said."""

    def __init__(self, home: Path, wid: str, seed: float, *options: object) -> None:
        self.receipts: list[Receipt] = []
        self.complaints: list[str] = []
        self._wid = wid
        self._killed = False
        self._said = threading.Condition()
        about = ("--wid", wid, "--home", home, "--seed", int(seed * 2**32), *options)
        self._process = subprocess.Popen(
            [sys.executable, __file__, *map(str, about)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not line.endswith(b"\n"):
                break  # it was killed while it said this
            seq, event_id, durability = line.decode().split()
            with self._said:
                self.receipts.append(Receipt(int(seq), event_id, durability))
                self._said.notify_all()
        with self._said:
            self._said.notify_all()

    def await_receipts(self, count: int) -> None:
        """Return when `count` entries were acknowledged, or when the writer has failed."""
        with self._said:
            came = self._said.wait_for(
                lambda: len(self.receipts) >= count or not self._reader.is_alive() or self._process.poll() is not None,
                PATIENCE_S,
            )
        if not came:
            self.complaints.append(f"{self._wid}: nothing was acknowledged within {PATIENCE_S:g} s")

    def stop(self) -> None:
        """Return once no thread of the writer runs; it can only be killed from then on."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGSTOP)
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def kill(self) -> None:
        """End the writer the hard way, and take in what it had still said."""
        if self._killed:
            return
        self._killed = True
        if self._process.poll() is not None:
            self.complaints.append(f"{self._wid}: ended by itself with {self._process.returncode}")
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        errors = self._process.stderr.read().decode(errors="replace")
        for line in errors.splitlines():
            if line and not line.startswith((" ", "Traceback", "Exception in thread")):
                self.complaints.append(f"{self._wid}: {line}")
        self._process.stdout.close()
        self._process.stderr.close()


# What they left


def read_events(folder: LogFolder) -> list[dict[str, Any]]:
    """Return the entries of a log, as they can be read with nothing but JSON."""
    return [json.loads(line.data) for path in segment_files(folder) for line in whole_lines(path)]


def verifier_keys(home: Home) -> list[VerifierKey]:
    """Return the public keys of a home with one log, those of earlier epochs among them."""
    return [VerifierKey.parse(text) for path in sorted(home.keys.glob("*.vkey")) for text in path.read_text().split()]


def missing(receipts: Iterable[Receipt], events: Sequence[dict[str, Any]]) -> list[Receipt]:
    """Return what was acknowledged and is not where its receipt says."""
    return [each for each in receipts if each.seq >= len(events) or events[each.seq]["event_id"] != each.event_id]


def segment_options(count: int | None) -> dict[str, int]:
    """Return the options of `Ledger.open` that let a segment end at `count` bytes, where it has segments."""
    return {"segment_bytes": count} if count and "segment_bytes" in inspect.signature(Ledger.open).parameters else {}


# A writer


def write(options: argparse.Namespace) -> None:
    """Append until somebody kills us, and report each entry when it is acknowledged."""
    home = Home(options.home)
    if options.no_flush:
        os.fsync = os.fdatasync = _do_nothing
    writer = Writer(
        lambda: Ledger.open(
            home,
            open_keys(home)[0].signer,
            wid=options.wid,
            deadline_s=PATIENCE_S,
            **segment_options(options.segment_bytes),  # pyright: ignore[reportArgumentType]
        ),
        gap=lambda: own_fact("gap", event_id=new_id(), action="spooled"),
        deadline_s=PATIENCE_S,
    )

    def work(chance: random.Random) -> None:
        while True:
            event_id = new_id()
            durability = chance.choice(options.durabilities)
            ticket = writer.append(entry(event_id, chance.choice((SHORT, LONG))), durability)
            ticket.wait(PATIENCE_S)
            os.write(1, f"{ticket.receipt.seq} {event_id} {durability}\n".encode())

    for number in range(1, THREADS):
        threading.Thread(target=work, args=(random.Random(options.seed + number),), daemon=True).start()
    work(random.Random(options.seed))


def _do_nothing(_descriptor: int) -> None:
    """Stand in for a flush, in the control of a power cut."""


def entry(event_id: str, size: int) -> Redacted:
    """Return an entry whose line takes about `size` bytes."""
    event = Event(event_id=event_id, event_type="tool_call", phase="attempt", call_id=event_id, tool_name="storm")
    event = Event(
        event_id=event_id,
        event_type="tool_call",
        phase="attempt",
        call_id=event_id,
        tool_name="storm",
        output_summary="x" * (size - len(encode(event)) - 220),
    )
    return Redacted(event, encode(event))


def new_id() -> str:
    """Return a fresh UUIDv7."""
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))


def main() -> None:
    """Be a writer."""
    parser = argparse.ArgumentParser(description="a writer that waits for its end")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--wid", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--durabilities", nargs="+", choices=DURABILITIES, default=DURABILITIES)
    parser.add_argument("--segment-bytes", type=int)
    parser.add_argument("--no-flush", action="store_true", help="acknowledge without having flushed")
    write(parser.parse_args())


if __name__ == "__main__":
    main()
