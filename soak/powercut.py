# SPDX-License-Identifier: Apache-2.0
"""Power cuts under writers of one log, and then the question what is missing.

The home lies on an ext4 file system of its own, in an image behind a loop device. What the image
holds is what the device has been given; what is only in memory is not in it. At some moment the
image is copied, the copy is mounted, which replays its journal, and the log in it is opened: that
is the start after a power cut. Everything that was acknowledged as flushed or signed must be there, the cut
must not look like a rollback, an edit or a truncation, and the log must go on.

A control does the same with writers that acknowledge without a flush. It must lose entries: else
the method would not show a loss.

The copy is of one moment. Where the folder of the image lies on a file system that can share blocks (XFS,
Btrfs), it is taken while everything runs, so that a cut falls within flushes too; elsewhere the
writers are stopped, and the copy counts once the image has not changed while it was made.
It models the loss of memory, not a device that lies about its cache.

    python -m soak.powercut [--cuts 20] [--controls 2] [--writers 4] [--seed 1] [--folder FOLDER] [--json]

It takes root and a loop device. Exit code 0: nothing is missing. 1: something is, and the output says
what. 2: this machine can't do it.
"""

import argparse
import contextlib
import errno
import fcntl
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from soak.table import print_table
from soak.writers import Process, Receipt, missing, new_id, read_events, verifier_keys

from onrecord.errors import OnRecordError
from onrecord.event.redacted import own_fact
from onrecord.ledger.keys import open_keys
from onrecord.ledger.ledger import Ledger
from onrecord.ledger.place import Home
from onrecord.ledger.tree import read_guard
from onrecord.ledger.verify import verify

IMAGE = 256 << 20  # bytes; sparse
SEGMENT = 1 << 20  # bytes; so that cuts fall beside ends of segments too
BLOCK = 1 << 20
ATTEMPTS = 200  # copies, until one is of a single moment
FICLONE = 0x40049409  # <linux/fs.h>
SOUND = ("unanchored", "unsigned")  # an unsigned tail is what a cut may leave; the next start signs it


@dataclass(kw_only=True)
class Outcome:
    """What the cuts left."""

    cuts: int = 0
    live: int = 0
    acknowledged: dict[str, int] = field(default_factory=dict)
    found: int = 0
    torn_bytes: int = 0
    unsigned: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    control_cuts: int = 0
    control_acknowledged: int = 0
    control_lost: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


def cut_power(folder: Path, *, cuts: int, controls: int, writers: int = 4, seed: int = 1) -> Outcome:
    """Cut the power `cuts` times, and `controls` times under writers that don't flush; return what is left."""
    chance = random.Random(seed)
    began = time.monotonic()
    outcome = Outcome(cuts=cuts, control_cuts=controls)
    for number in range(cuts):
        with _after_a_cut(folder, outcome, chance, writers) as (home, receipts):
            examine(f"cut {number}", home, receipts, outcome)
    for _ in range(controls):
        with _after_a_cut(folder, outcome, chance, writers, "--no-flush") as (home, receipts):
            outcome.control_acknowledged += len(receipts)
            outcome.control_lost += _count_lost(home, receipts)
    if controls and not outcome.control_lost:
        outcome.problems.append("the control lost nothing: this method shows no loss")
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


# One cut


@contextmanager
def _after_a_cut(
    folder: Path, outcome: Outcome, chance: random.Random, writers: int, *options: str
) -> Iterator[tuple[Home, list[Receipt]]]:
    """Let writers run, cut the power, and yield the home as it is after the next start, and what was acknowledged."""
    image, copy = folder / "device.img", folder / "after.img"
    with image.open("wb") as file:
        file.truncate(IMAGE)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    with _mounted(image, folder / "before", f"commit={chance.choice((1, 5))}") as device:
        home = Home(device / "home")
        Ledger.open(home, open_keys(home)[0].signer, wid="before").close()
        _sync(device)  # the control is to lose entries, not the folder that they lie in
        durabilities = ("--durabilities", "flushed", "signed", "--segment-bytes", SEGMENT)
        running = [
            Process(home.path, f"w{number}", chance.random(), *options, *durabilities) for number in range(writers)
        ]
        try:
            for process in running:
                process.await_receipts(chance.randrange(1, 20))
            time.sleep(chance.random())
            receipts = _copy_of_a_moment(image, copy, running, outcome)
        finally:
            for process in running:
                process.kill()
        outcome.problems.extend(complaint for process in running for complaint in process.complaints)
    image.unlink()
    with _mounted(copy, folder / "after") as device:
        yield Home(device / "home"), receipts
    copy.unlink()


def _copy_of_a_moment(image: Path, copy: Path, running: list[Process], outcome: Outcome) -> list[Receipt]:
    """Copy the device as it is at one moment, and return what had been acknowledged by then."""
    receipts = [receipt for process in running for receipt in list(process.receipts)]
    if _share_blocks(image, copy):
        outcome.live += 1
        return receipts
    for process in running:
        process.stop()
    for _ in range(ATTEMPTS):
        if _copied_unchanged(image, copy):
            break
    else:
        raise RuntimeError("the image kept changing while it was copied")
    for process in running:
        process.kill()  # and take in what they had said before they were stopped
    return [receipt for process in running for receipt in process.receipts]


def _share_blocks(image: Path, copy: Path) -> bool:
    """Make `copy` share the blocks of `image`, which is one step, and say whether the file system can do that."""
    with image.open("rb") as source, copy.open("wb") as target:
        try:
            fcntl.ioctl(target, FICLONE, source.fileno())
        except OSError as e:
            if e.errno in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOTTY, errno.EXDEV):
                return False
            raise
    return True


def _copied_unchanged(image: Path, copy: Path) -> bool:
    """Copy `image`, and say whether it still holds the same afterwards: then the copy is of that moment."""
    with image.open("rb") as source, copy.open("w+b") as target:
        target.truncate(IMAGE)
        for start, end in _written(source.fileno()):
            for at in range(start, end, BLOCK):
                target.seek(at)
                target.write(os.pread(source.fileno(), min(BLOCK, end - at), at))
        target.flush()
        return all(
            os.pread(source.fileno(), BLOCK, at) == os.pread(target.fileno(), BLOCK, at)
            for start, end in _written(source.fileno())
            for at in range(start - start % BLOCK, end, BLOCK)
        )


def _written(fd: int) -> list[tuple[int, int]]:
    """Return which parts of a sparse file hold something."""
    parts: list[tuple[int, int]] = []
    end = 0
    with contextlib.suppress(OSError):  # ENXIO: the rest is a hole
        while True:
            start = os.lseek(fd, end, os.SEEK_DATA)
            end = os.lseek(fd, start, os.SEEK_HOLE)
            parts.append((start, end))
    return parts


@contextmanager
def _mounted(image: Path, place: Path, options: str = "defaults") -> Iterator[Path]:
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", f"loop,{options}", image, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def _sync(folder: Path) -> None:
    subprocess.run(["sync", "-f", folder], check=True)


# Afterwards


def examine(name: str, home: Home, receipts: list[Receipt], outcome: Outcome) -> None:
    """Start again after a cut, and write into `outcome` what was found."""
    folder, keys = home.log(), verifier_keys(home)

    def problem(text: str) -> None:
        outcome.problems.append(f"{name}: {text}")

    before = verify(folder, keys, guard=read_guard(home.guard()))
    outcome.verdicts[before.verdict] = outcome.verdicts.get(before.verdict, 0) + 1
    outcome.torn_bytes += before.torn_bytes
    outcome.unsigned += before.entries - before.signed
    if before.verdict not in SOUND:
        problem(f"{before.verdict}: {'; '.join(before.reasons)}")
    signed = max((receipt.seq for receipt in receipts if receipt.durability == "signed"), default=-1)
    if signed >= before.signed:
        problem(f"entry {signed} was acknowledged as signed, and {before.signed} are")
    try:
        ledger = Ledger.open(home, open_keys(home)[0].signer, wid="after")
        ledger.append(own_fact("heartbeat", event_id=new_id()))
        ledger.publish()
        ledger.close()
    except OnRecordError as e:
        problem(f"the log does not go on: {e}")
    lost = missing(receipts, read_events(folder))
    outcome.lost += len(lost)
    outcome.found += len(receipts) - len(lost)
    for receipt in lost[:3]:
        problem(f"entry {receipt.seq} ({receipt.durability}) was acknowledged and is not there")
    for kind, count in Counter(receipt.durability for receipt in receipts).items():
        outcome.acknowledged[kind] = outcome.acknowledged.get(kind, 0) + count
    after = verify(folder, verifier_keys(home), guard=read_guard(home.guard()))
    if after.verdict != "unanchored" or after.entries != after.signed:
        problem(f"once continued it is {after.verdict}: {'; '.join(after.reasons)}")


def _count_lost(home: Home, receipts: list[Receipt]) -> int:
    """Return how many acknowledged entries are not there, whatever else is wrong."""
    there: set[str] = set()
    for path in home.log().segments.glob("*.ndjson"):
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(ValueError):  # blocks that were never written read as zeros
                there.add(json.loads(line)["event_id"])
    return sum(receipt.event_id not in there for receipt in receipts)


# The command line


def main() -> int:
    """Cut the power and print what is left."""
    parser = argparse.ArgumentParser(description="power cuts under writers of one log")
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--controls", type=int, default=2)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the images are made (default: a folder that is removed)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if why := obstacle():
        print(f"power cuts can't be tried here: {why}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        outcome = cut_power(
            Path(folder), cuts=options.cuts, controls=options.controls, writers=options.writers, seed=options.seed
        )
    if options.json:
        print(json.dumps(asdict(outcome)))
    else:
        say(outcome)
    return 1 if outcome.problems else 0


def obstacle() -> str:
    """Return why this machine can't do it, or nothing."""
    if os.geteuid():
        return "it takes root"
    if subprocess.run(["losetup", "-f"], capture_output=True, check=False).returncode:
        return "there is no free loop device"
    return ""


def say(outcome: Outcome) -> None:
    """Print the outcome for a person."""
    kinds = ", ".join(f"{count:,} {name}" for name, count in sorted(outcome.acknowledged.items()))
    verdicts = ", ".join(f"{count} {name}" for name, count in sorted(outcome.verdicts.items()))
    rows = {
        "cuts": f"{outcome.cuts} in {outcome.seconds:.0f} s, {outcome.live} of all of them while writers ran",
        "acknowledged": f"{sum(outcome.acknowledged.values()):,} ({kinds})",
        "found where the receipt says": f"{outcome.found:,}",
        "verdicts before the next start": verdicts,
        "entries that the next start signed": f"{outcome.unsigned:,}",
        "torn tails": f"{outcome.torn_bytes:,} bytes",
        "control without a flush": f"{outcome.control_lost:,} of {outcome.control_acknowledged:,} lost",
        "missing": f"{outcome.lost:,}; {len(outcome.problems)} problems" if outcome.problems else "nothing",
    }
    print_table("power cut", rows, outcome.problems)


if __name__ == "__main__":
    sys.exit(main())
