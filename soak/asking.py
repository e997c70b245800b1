# SPDX-License-Identifier: Apache-2.0
"""A storm of kill -9 beside questions: writers of one log, what feeds its index, and those who ask.

All work at once, and one after the other is killed in the middle of it. Segments end, are compressed and get their
Parquet files meanwhile, by processes that are killed as well. An asker is told an entry that was acknowledged, and must
find it, once and at its place, by its id; now and then it counts everything, from the index and from the files of the
past, and must find no fewer than were acknowledged before it was asked. No question may fail. Afterwards the index, the
files of the past and the lines must give the same answers.

    python -m soak.asking [--kills 200] [--seed 1] [--home FOLDER]

Exit code 0: every answer was right. 1: one was not, and the output says which.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from soak.table import print_table
from soak.writers import PATIENCE_S, Process, Receipt, read_events

from onrecord.errors import OnRecordError
from onrecord.ledger.keys import open_keys
from onrecord.ledger.ledger import Ledger
from onrecord.ledger.lines import segment_files
from onrecord.ledger.place import Home
from onrecord.views.answers import Answers
from onrecord.views.cold.parquet import parts_of
from onrecord.views.index.feed import catch_up
from onrecord.views.index.layout import files_of, folder_of
from onrecord.views.question import Condition, Grouping, Listing, Question
from onrecord.views.scan import Scan
from onrecord.views.tiers import Wide, answers

SEGMENT = 1 << 20  # bytes; small, so that segments end all the time
WRITERS, FEEDERS, ASKERS = 3, 2, 3
COUNTS = 8  # questions of an asker, of which one counts everything
PAST = Wide(rows=1, days=0)  # from where on the files of the past answer: at once


@dataclass(kw_only=True)
class Outcome:
    """What was asked, and what was wrong with it."""

    kills: dict[str, int] = field(default_factory=lambda: {"writers": 0, "feeders": 0, "askers": 0})
    seconds: float = 0.0
    entries: int = 0
    segments: int = 0
    parts: int = 0
    periods: int = 0
    lookups: int = 0
    counts: int = 0
    problems: list[str] = field(default_factory=list)


class Beside:
    """A process beside the writers, that does one part."""

    def __init__(self, home: Path, part: str) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-m", "soak.asking", "--home", str(home), "--part", part],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def kill(self) -> str:
        """End it the hard way, and return what it complained of."""
        ended = self.child.poll()
        self.child.kill()
        _, errors = self.child.communicate()
        said = errors.decode(errors="replace").strip()
        return said if ended is None else f"ended by itself with {ended}: {said}"


class Asker(Beside):
    """A process that asks what it is told to ask."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, "ask")

    def ask(self, what: str) -> dict[str, object] | None:
        """Return the answer, or None where it was killed meanwhile."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        try:
            self.child.stdin.write(f"{what}\n".encode())
            self.child.stdin.flush()
            line = self.child.stdout.readline()
        except (OSError, ValueError):  # its end, from the other thread
            return None
        return json.loads(line) if line.endswith(b"\n") else None


class Storm:
    """The processes, and what they said."""

    def __init__(self, home: Path, seed: int) -> None:
        self.outcome = Outcome()
        self._home = home
        self._chance = random.Random(seed)
        self._names = count()
        self._over = threading.Event()
        self._said: list[Process] = []  # each writer that ever was
        self._writers = [self._writer() for _ in range(WRITERS)]
        self._feeders = [Beside(home, "feed") for _ in range(FEEDERS)]
        self._askers = [Asker(home) for _ in range(ASKERS)]

    def run(self, kills: int) -> None:
        """Kill so many, one after the other, while the others go on."""
        began = time.monotonic()
        for writer in self._writers:
            writer.await_receipts(1)
        asking = [threading.Thread(target=self._ask, args=(place,)) for place in range(ASKERS)]
        for thread in asking:
            thread.start()
        try:
            for _ in range(kills):
                time.sleep(self._chance.uniform(0.1, 1.5))
                self._kill_one()
            ends = time.monotonic() + PATIENCE_S
            while min(self.outcome.lookups, self.outcome.counts * COUNTS) < 2 * COUNTS and time.monotonic() < ends:
                time.sleep(0.1)  # on a busy machine those who were killed may not have answered anything yet
        finally:
            self._over.set()
            for thread in asking:
                thread.join(PATIENCE_S)
            for one in (*self._feeders, *self._askers):
                self._complain(one.kill())
            for writer in self._writers:
                writer.kill()
        self.outcome.seconds = round(time.monotonic() - began, 1)
        for process in self._said:
            self.outcome.problems.extend(process.complaints)

    def receipts(self) -> list[Receipt]:
        """Return what was acknowledged until now."""
        return [receipt for process in tuple(self._said) for receipt in tuple(process.receipts)]

    def _writer(self) -> Process:
        options = ("--segment-bytes", SEGMENT, "--durabilities", "flushed", "signed")
        self._said.append(Process(self._home, f"w{next(self._names)}", self._chance.random(), *options))
        return self._said[-1]

    def _kill_one(self) -> None:
        kind = self._chance.choice(tuple(self.outcome.kills))
        self.outcome.kills[kind] += 1
        match kind:
            case "writers":
                place = self._chance.randrange(WRITERS)
                self._writers[place].kill()
                self._writers[place] = self._writer()
            case "feeders":
                place = self._chance.randrange(FEEDERS)
                self._complain(self._feeders[place].kill())
                self._feeders[place] = Beside(self._home, "feed")
            case _:
                place = self._chance.randrange(ASKERS)
                before, self._askers[place] = self._askers[place], Asker(self._home)
                self._complain(before.kill())

    def _complain(self, said: str) -> None:
        if said:
            self.outcome.problems.append(said)

    def _ask(self, place: int) -> None:
        """Ask one question after the other, of whoever is at `place`."""
        chance = random.Random(place)
        for number in count():
            if self._over.is_set():
                return
            asker, known = self._askers[place], self.receipts()
            if number % COUNTS:
                self._look_up(asker, chance.choice(known[-50:] if number % 2 else known))
            else:
                self._count(asker, "past" if number % (2 * COUNTS) else "all", len(known))

    def _look_up(self, asker: Asker, receipt: Receipt) -> None:
        said = asker.ask(receipt.event_id)
        if said is None:
            return
        self.outcome.lookups += 1
        if said.get("seqs") != [receipt.seq]:
            self.outcome.problems.append(f"entry {receipt.seq} was asked for: {said}")

    def _count(self, asker: Asker, what: str, least: int) -> None:
        said = asker.ask(what)
        if said is None:
            return
        self.outcome.counts += 1
        if not isinstance(said.get("count"), int) or said["count"] < least:  # pyright: ignore[reportOperatorIssue]
            self.outcome.problems.append(f"all were counted ({what}), at least {least:,}: {said}")


# Afterwards


def examine(home: Home, receipts: Sequence[Receipt], outcome: Outcome) -> None:
    """Look whether everything that can answer gives the same answers."""
    ledger = Ledger.open(home, open_keys(home)[0].signer, wid="afterwards")  # repairs what the last kill left
    ledger.publish()
    ledger.close()
    events = read_events(home.log())
    by_hand = sorted(event["event_id"] for event in events)
    outcome.entries, outcome.segments = len(events), len(segment_files(home.log()))
    every = Grouping(question=Question(), by=("event_type", "tool_name"))
    expected = Answers(home.log(), [Scan(home.log())]).group(every)
    for name, wide in (("the index", None), ("the files of the past", PAST)):
        with answers(home, "calls", wide=wide) as source:
            if source.group(every) != expected:
                outcome.problems.append(f"{name} counts otherwise than the lines")
            if (
                sorted(each.event.event_id for each in source.list(Listing(question=Question(), limit=10**9)))
                != by_hand
            ):
                outcome.problems.append(f"{name} lists otherwise than the lines")
            outcome.problems.extend(f"{name}: {remark}" for remark in source.remarks)
    outcome.parts, outcome.periods = len(parts_of(home, "calls")), len(files_of(folder_of(home, "calls")))
    for receipt in receipts:
        if receipt.seq >= len(events) or events[receipt.seq]["event_id"] != receipt.event_id:
            outcome.problems.append(f"entry {receipt.seq} was acknowledged and is not there")


# The processes


def feed(home: Home) -> None:
    """Bring the index up to date until somebody kills us."""
    while True:
        try:
            catch_up(home, "calls", deadline_s=PATIENCE_S)
        except OnRecordError as e:
            print(f"feeding: {type(e).__name__}: {e}", file=sys.stderr, flush=True)
        time.sleep(0.05)


def ask(home: Home) -> None:
    """Answer each line of standard input with one of JSON."""
    for line in sys.stdin:
        what = line.strip()
        try:
            with answers(home, "calls", wide=PAST if what == "past" else None) as source:
                if what in ("all", "past"):
                    said: dict[str, object] = {"count": source.count(Question())}
                else:
                    asked = Question(conditions=(Condition(column="call_id", values=(what,)),))
                    said = {"seqs": [json.loads(found.line)["seq"] for found in source.list(Listing(question=asked))]}
                if source.remarks or source.differing:
                    said |= {"remarks": source.remarks, "differing": list(source.differing)}
        except (OnRecordError, OSError) as e:
            said = {"error": f"{type(e).__name__}: {e}"}
        print(json.dumps(said), flush=True)


# The command line


def main() -> int:
    """Run the storm and print what became of it."""
    parser = argparse.ArgumentParser(description="kill -9 beside questions")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--home", type=Path, help="where the log is made (default: a folder that is removed)")
    parser.add_argument("--part", choices=("feed", "ask"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        (feed if options.part == "feed" else ask)(Home(options.home))
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        home = options.home or Path(scratch) / "home"
        storm = Storm(home, options.seed)
        storm.run(options.kills)
        examine(Home(home), storm.receipts(), storm.outcome)
    say(storm.outcome)
    return 1 if storm.outcome.problems else 0


def say(outcome: Outcome) -> None:
    """Print the outcome for a person."""
    kills = ", ".join(f"{number} {kind}" for kind, number in outcome.kills.items())
    rows = {
        "kills": f"{sum(outcome.kills.values())} ({kills}) in {outcome.seconds:.0f} s",
        "entries": f"{outcome.entries:,} in {outcome.segments:,} segments",
        "files of the index": f"{outcome.periods:,}, and {outcome.parts:,} of Parquet",
        "entries looked up": f"{outcome.lookups:,}",
        "counts of everything": f"{outcome.counts:,}",
        "wrong, failed or differing": f"{len(outcome.problems)}" if outcome.problems else "nothing",
    }
    print_table("kill -9 beside questions", rows, outcome.problems)


if __name__ == "__main__":
    sys.exit(main())
