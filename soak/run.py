# SPDX-License-Identifier: Apache-2.0
"""A storm of kill -9 over writers of one log, and then the question what is missing.

Several processes append with every durability (writers.py) and report each entry once it is
acknowledged. One after the other is killed in the middle of it and another one takes its place.
Segments end meanwhile, and the signing key is changed, by processes that are killed as well.
Afterwards every entry that was acknowledged must be where its receipt said, the chain must verify,
every line that was cut off must have been set aside and recorded, and every entry that was
acknowledged as signed must be covered by a signature that was there before anybody tidied up.

    python -m soak.run [--kills 1000] [--writers 6] [--seed 1] [--home FOLDER] [--json]

Exit code 0: nothing is missing. 1: something is, and the output says what.
"""

import argparse
import contextlib
import hashlib
import importlib.util
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from soak.table import print_table
from soak.writers import PATIENCE_S, Process, Receipt, missing, read_events, verifier_keys

from onrecord.ledger.keys import open_keys
from onrecord.ledger.ledger import Ledger
from onrecord.ledger.lines import segment_files
from onrecord.ledger.place import Home
from onrecord.ledger.tree import read_guard
from onrecord.ledger.verify import verify

SEGMENT = 4 << 20  # bytes; small, so that segments end throughout the storm
KEY_EVERY = 40  # kills between two changes of the key
ROTATE = """
import sys
from pathlib import Path
from onrecord.ledger.place import Home
from onrecord.ledger.rotation import rotate
rotate(Home(Path(sys.argv[1])), deadline_s=float(sys.argv[2]))
"""


@dataclass(kw_only=True)
class Outcome:
    """What the storm left."""

    kills: int = 0
    seconds: float = 0.0
    entries: int = 0
    segments: int = 0
    compressed: int = 0
    key_changes: int = 0
    acknowledged: dict[str, int] = field(default_factory=dict)
    torn: int = 0
    recovered: int = 0
    signatures: int = 0
    strays: int = 0
    verdict: str = ""
    problems: list[str] = field(default_factory=list)


def storm(home: Path, *, kills: int, writers: int = 6, seed: int = 1) -> Outcome:
    """Run `writers` processes over the log in `home`, kill one `kills` times, and return what is left."""
    chance = random.Random(seed)
    began = time.monotonic()
    running = [_start(home, number, chance) for number in range(writers)]
    gone: list[Process] = []
    changers: list[subprocess.Popen[bytes]] = []
    outcome = Outcome(kills=kills)
    try:
        for number in range(kills):
            place = chance.randrange(writers)
            running[place].await_receipts(chance.randrange(1, 40))
            time.sleep(chance.random() * 0.02)  # so that the kill comes anywhere, not just behind a receipt
            running[place].kill()
            gone.append(running[place])
            running[place] = _start(home, writers + number, chance)
            if number % KEY_EVERY == KEY_EVERY // 2:
                outcome.problems.extend(_end(changers, chance))
                changers.extend(_change_key(home))
    finally:
        for process in running:
            process.kill()
        for changer in changers:
            changer.kill()
            changer.communicate()
    receipts = [receipt for process in (*gone, *running) for receipt in process.receipts]
    outcome.acknowledged = dict(Counter(receipt.durability for receipt in receipts))
    for process in (*gone, *running):
        outcome.problems.extend(process.complaints)
    examine(Home(home), receipts, outcome)
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


def _start(home: Path, number: int, chance: random.Random) -> Process:
    return Process(home, f"w{number}", chance.random(), "--segment-bytes", SEGMENT)


def _change_key(home: Path) -> list[subprocess.Popen[bytes]]:
    """Let another process hand the log over to a new key, where this version can."""
    if importlib.util.find_spec("onrecord.ledger.rotation") is None:
        return []
    return [subprocess.Popen([sys.executable, "-c", ROTATE, str(home), str(PATIENCE_S)], stderr=subprocess.PIPE)]


def _end(changers: list[subprocess.Popen[bytes]], chance: random.Random) -> list[str]:
    """End the change of key that was begun last, half of them the hard way, and return what it complained of."""
    complaints: list[str] = []
    while changers:
        changer = changers.pop()
        hard = chance.random() < 0.5
        if hard:
            changer.kill()
        _, errors = changer.communicate(timeout=PATIENCE_S)
        if changer.returncode and not hard:
            complaints.append(f"a change of key: {errors.decode(errors='replace').strip().splitlines()[-1]}")
    return complaints


# Afterwards


def examine(home: Home, receipts: list[Receipt], outcome: Outcome) -> None:
    """Look for what is missing, and write into `outcome` what was found."""
    problem = outcome.problems.append
    folder = home.log()
    published: list[int] = []
    for line in whole(folder.checkpoints):
        with contextlib.suppress(ValueError):  # a kill cut it off, and the next signature began a new line
            published.append(json.loads(line)["size"])
    outcome.signatures = len(published)
    if published != sorted(published):
        problem("the history of signatures goes back")
    signed = max((receipt.seq for receipt in receipts if receipt.durability == "signed"), default=-1)
    if signed >= max(published, default=0):
        problem(f"entry {signed} was acknowledged as signed, and no signature covers it")
    ledger = Ledger.open(home, open_keys(home)[0].signer, wid="afterwards")  # repairs what the last kill left
    ledger.sign()
    ledger.publish()
    ledger.close()
    events = read_events(folder)
    outcome.entries = len(events)
    files = segment_files(folder)
    outcome.segments, outcome.compressed = len(files), sum(path.suffix == ".zst" for path in files)
    outcome.key_changes = sum(event["event_type"] == "key" for event in events)
    for receipt in missing(receipts, events)[:10]:
        problem(f"entry {receipt.seq} ({receipt.durability}) was acknowledged and is not there")
    examine_counts(events, outcome)
    examine_torn(home, events, outcome)
    report = verify(folder, verifier_keys(home), guard=read_guard(home.guard()))
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


# The command line


def main() -> int:
    """Run the storm and print what it left."""
    parser = argparse.ArgumentParser(description="kill -9 over writers of one log")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--writers", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--home", type=Path, help="where the log is made (default: a folder that is removed)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
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
    kinds = ", ".join(f"{count:,} {name}" for name, count in sorted(outcome.acknowledged.items()))
    rows = {
        "kills": f"{outcome.kills:,} in {outcome.seconds:.0f} s",
        "entries": f"{outcome.entries:,}",
        "acknowledged": f"{sum(outcome.acknowledged.values()):,} ({kinds})",
        "segments": f"{outcome.segments:,}, {outcome.compressed:,} of them compressed",
        "changes of the key": f"{outcome.key_changes:,}",
        "signatures in the history": f"{outcome.signatures:,}",
        "torn lines": f"{outcome.torn:,} set aside, {outcome.recovered:,} of them recorded",
        "stray files": f"{outcome.strays:,}",
        "verdict": outcome.verdict,
        "missing": f"{len(outcome.problems)} problems" if outcome.problems else "nothing",
    }
    print_table("kill -9", rows, outcome.problems)


if __name__ == "__main__":
    sys.exit(main())
