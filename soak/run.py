# SPDX-License-Identifier: Apache-2.0
"""A storm of kill -9 over writers of one log, and then the question what is missing.

Several processes append lines of 600 bytes and of 30 KB, with every durability, and report each
entry over a pipe once it is acknowledged. One after the other is killed in the middle of it and
another one takes its place. Afterwards every entry that was acknowledged must be where its receipt
said, the chain must verify, every line that was cut off must have been set aside and recorded, and
every entry that was acknowledged as signed must be covered by a signature that was there before
anybody tidied up.

    python soak/run.py [--kills 1000] [--writers 6] [--seed 1] [--home FOLDER] [--json]

Exit code 0: nothing is missing. 1: something is, and the output says what.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from onrecord.event.event import Event, encode
from onrecord.event.ids import uuid7
from onrecord.event.redacted import Redacted, own_fact
from onrecord.ledger.keys import open_keys
from onrecord.ledger.ledger import Ledger
from onrecord.ledger.place import Home
from onrecord.ledger.tree import read_guard
from onrecord.ledger.verify import verify
from onrecord.ledger.writer import Durability, Writer

SHORT, LONG = 600, 30_000  # bytes of a line; a write of several pages is what a kill can cut in two
THREADS = 2  # a writer, so that one flush serves several
PATIENCE_S = 60.0  # for a writer to get going, and for an acknowledgement on a busy machine
DURABILITIES: tuple[Durability, ...] = ("written", "flushed", "signed")


@dataclass(kw_only=True)
class Outcome:
    """What the storm left."""

    kills: int = 0
    seconds: float = 0.0
    entries: int = 0
    acknowledged: dict[str, int] = field(default_factory=dict)
    torn: int = 0
    recovered: int = 0
    signatures: int = 0
    strays: int = 0
    verdict: str = ""
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a writer says of an entry, once it is acknowledged."""

    seq: int
    event_id: str
    durability: str


def storm(home: Path, *, kills: int, writers: int = 6, seed: int = 1) -> Outcome:
    """Run `writers` processes over the log in `home`, kill one `kills` times, and return what is left."""
    chance = random.Random(seed)
    began = time.monotonic()
    running = [Process(home, f"w{number}", chance.random()) for number in range(writers)]
    gone: list[Process] = []
    outcome = Outcome(kills=kills)
    try:
        for number in range(kills):
            place = chance.randrange(writers)
            running[place].await_receipts(chance.randrange(1, 40))
            time.sleep(chance.random() * 0.02)  # so that the kill comes anywhere, not just behind a receipt
            running[place].kill()
            gone.append(running[place])
            running[place] = Process(home, f"w{writers + number}", chance.random())
    finally:
        for process in running:
            process.kill()
    receipts = [receipt for process in (*gone, *running) for receipt in process.receipts]
    outcome.acknowledged = dict(Counter(receipt.durability for receipt in receipts))
    for process in (*gone, *running):
        outcome.problems.extend(process.complaints)
    examine(Home(home), receipts, outcome)
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


class Process:
    """A writer, and what it has said."""

    def __init__(self, home: Path, wid: str, seed: float) -> None:
        self.receipts: list[Receipt] = []
        self.complaints: list[str] = []
        self._wid = wid
        self._killed = False
        self._said = threading.Condition()
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--writer", wid, "--home", str(home), "--seed", str(int(seed * 2**32))],
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
        if errors:
            self.complaints.append(f"{self._wid}: {errors.strip().splitlines()[-1]}")
        self._process.stdout.close()
        self._process.stderr.close()


# Afterwards


def examine(home: Home, receipts: list[Receipt], outcome: Outcome) -> None:
    """Look for what is missing, and write into `outcome` what was found."""
    problem = outcome.problems.append
    folder = home.log()
    published = [json.loads(line)["size"] for line in whole(folder.checkpoints)]
    outcome.signatures = len(published)
    if published != sorted(published):
        problem("the history of signatures goes back")
    signed = max((receipt.seq for receipt in receipts if receipt.durability == "signed"), default=-1)
    if signed >= max(published, default=0):
        problem(f"entry {signed} was acknowledged as signed, and no signature covers it")
    signer = open_keys(home)[0].signer
    ledger = Ledger.open(home, signer, wid="afterwards")  # repairs what the last kill left
    ledger.sign()
    ledger.publish()
    ledger.close()
    events = [json.loads(line) for line in whole(folder.first_segment)]
    outcome.entries = len(events)
    missing = [each for each in receipts if each.seq >= len(events) or events[each.seq]["event_id"] != each.event_id]
    for receipt in missing[:10]:
        problem(f"entry {receipt.seq} ({receipt.durability}) was acknowledged and is not there")
    examine_counts(events, outcome)
    examine_torn(home, events, outcome)
    report = verify(folder, [signer.vkey], guard=read_guard(home.guard()))
    outcome.verdict = report.verdict
    if report.verdict != "unanchored" or report.entries != report.signed or report.torn_bytes:
        problem(f"{report.verdict}: {'; '.join(report.reasons)}")
    outcome.strays = sum(path.name.startswith(".") for path in home.path.rglob("*"))


def examine_counts(events: list[dict[str, Any]], outcome: Outcome) -> None:
    """Check each writer's own count, and that time never goes back."""
    counts: Counter[str] = Counter()
    before = ""
    for event in events:
        if event["wseq"] != counts[event["wid"]]:
            outcome.problems.append(f"entry {event['seq']}: {event['wid']} counts {event['wseq']}")
        if event["timestamp"] < before:
            outcome.problems.append(f"entry {event['seq']}: time goes back")
        counts[event["wid"]] += 1
        before = event["timestamp"]


def examine_torn(home: Home, events: list[dict[str, Any]], outcome: Outcome) -> None:
    """Check that each torn line was set aside, and that the record says so."""
    folder = home.log().torn
    kept = {f"torn/{path.name}": path.read_bytes() for path in folder.glob("[!.]*")} if folder.is_dir() else {}
    recorded = {
        event["detail"]["kept_as"]: event["detail"] for event in events if event["event_type"] == "log_recovered"
    }
    outcome.torn, outcome.recovered = len(kept), len(recorded)
    for name, detail in recorded.items():
        data = kept.get(name, b"")
        if (len(data), hashlib.sha256(data).hexdigest()) != (detail["torn_bytes"], detail["torn_sha256"]):
            outcome.problems.append(f"{name} is not what was set aside")
    unknown = [name for name in kept if name not in recorded]
    # killed after the copy and before the cut, a repair is done again by the next writer: then two copies
    # hold the same bytes, or the second one more of them
    repeated = {name for name in unknown if any(kept[other].startswith(kept[name]) for other in recorded)}
    outcome.problems.extend(f"{name} was set aside, and not recorded" for name in unknown if name not in repeated)


def whole(path: Path) -> list[bytes]:
    """Return the lines of a file that have an end."""
    return path.read_bytes().split(b"\n")[:-1]


# A writer


def write(home: Path, wid: str, seed: int) -> None:
    """Append until somebody kills us, and report each entry when it is acknowledged."""
    place = Home(home)
    signer = open_keys(place)[0].signer
    writer = Writer(
        lambda: Ledger.open(place, signer, wid=wid, deadline_s=PATIENCE_S),
        gap=lambda: own_fact("gap", event_id=new_id(), action="spooled"),
        deadline_s=PATIENCE_S,
    )

    def work(chance: random.Random) -> None:
        while True:
            event_id = new_id()
            durability = chance.choice(DURABILITIES)
            ticket = writer.append(entry(event_id, chance.choice((SHORT, LONG))), durability)
            ticket.wait(PATIENCE_S)
            os.write(1, f"{ticket.receipt.seq} {event_id} {durability}\n".encode())

    for number in range(1, THREADS):
        threading.Thread(target=work, args=(random.Random(seed + number),), daemon=True).start()
    work(random.Random(seed))


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


# The command line


def main() -> int:
    """Run the storm and print what it left."""
    parser = argparse.ArgumentParser(description="kill -9 over writers of one log")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--writers", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--home", type=Path, help="where the log is made (default: a folder that is removed)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--writer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.writer:
        write(options.home, options.writer, options.seed)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        home = options.home or Path(scratch) / "home"
        outcome = storm(home, kills=options.kills, writers=options.writers, seed=options.seed)
    if options.json:
        print(json.dumps(asdict(outcome)))
    else:
        say(outcome)
    return 1 if outcome.problems else 0


def say(outcome: Outcome) -> None:
    """Print the outcome for a person."""
    acknowledged = sum(outcome.acknowledged.values())
    kinds = ", ".join(f"{count} {name}" for name, count in sorted(outcome.acknowledged.items()))
    print(f"{outcome.kills} kills in {outcome.seconds:g} s")
    print(f"{outcome.entries} entries; {acknowledged} acknowledged ({kinds})")
    print(f"{outcome.signatures} signatures; {outcome.verdict}")
    print(f"{outcome.torn} torn lines set aside, {outcome.recovered} of them recorded; {outcome.strays} stray files")
    for problem in outcome.problems:
        print(f"PROBLEM: {problem}")
    print("something is wrong" if outcome.problems else "nothing is missing")


if __name__ == "__main__":
    sys.exit(main())
