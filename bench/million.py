# SPDX-License-Identifier: Apache-2.0
"""What a large log costs: an append to it, opening it, and verifying all of it, beside a small one.

The large one has a million entries, attempts and results in pairs, and takes a gigabyte of disk
while this runs. Figures of memory are those of a process that does nothing else.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from bench.lines import entries, pairs
from bench.row import Row, cpu_us, wall_us

from onrecord.event.redacted import Redacted
from onrecord.ledger.keys import open_keys
from onrecord.ledger.ledger import Ledger
from onrecord.ledger.place import Home

SMALL, LARGE = 1_000, 1_000_000
APPENDS, ROUNDS = 2_000, 9
APPEND_TIMES = 1.3
VERIFY_S = 5.0
MEMORY_MB = 100.0
PROGRAM = """
import json, re, sys, time
from pathlib import Path
from onrecord.ledger.place import Home
from onrecord.ledger.verify import verify
from bench.million import keys_of
home = Home(Path(sys.argv[1]))
keys = keys_of(home)
before, began = time.process_time(), time.perf_counter()
report = verify(home.log(), keys)
used = time.process_time() - before, time.perf_counter() - began
status = Path("/proc/self/status").read_text()  # getrusage would count what the parent used before exec
peak = int(re.search("VmHWM:\\s*(\\d+)", status)[1]) / 1024
print(json.dumps([report.verdict, report.entries, *used, peak]))
"""


def measure() -> list[Row]:
    """Return the costs of a log of a million entries, beside those of one of a thousand."""
    with tempfile.TemporaryDirectory() as folder:
        small, large = Home(Path(folder) / "small"), Home(Path(folder) / "large")
        _build(small, SMALL)
        _build(large, LARGE)
        verifying = list(_verifying(small, large))
        return [*_appending(small, large), _opening(small, large), *verifying]


def _build(home: Home, count: int) -> None:
    ledger = _open(home)
    for number, entry in enumerate(pairs(count - 1), 1):
        ledger.append(entry)
        if number % 10_000 == 0:
            ledger.publish()
    ledger.publish()
    ledger.close()
    _compress(home)


def _compress(home: Home) -> None:
    """Compress what is sealed, as a recorder does by and by; what is measured is not disturbed by it then."""
    try:
        from onrecord.ledger.sealing import compress_sealed
    except ImportError:
        return
    compress_sealed(home.log(), LARGE)


def _open(home: Home) -> Ledger:
    return Ledger.open(home, open_keys(home)[0].signer)


def _appending(small: Home, large: Home) -> Iterator[Row]:
    made = entries(APPENDS)
    ledgers = [_open(small), _open(large)]
    cpu: list[list[float]] = [[], []]
    signed: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for ledger, figures in zip(ledgers, cpu, strict=True):
            figures.append(cpu_us(lambda ledger=ledger: _append(ledger, made), APPENDS))
        for ledger, figures in zip(ledgers, signed, strict=True):
            figures.append(cpu_us(lambda ledger=ledger: _sign_each(ledger, made[:100]), 100))
    for ledger in ledgers:
        ledger.close()
    for name, (little, much) in (("append", cpu), ("append and signature", signed)):
        yield Row(
            name=f"{name} to a log of {LARGE:,} entries: CPU",
            value=min(much),
            unit="µs",
            budget=None,
            ratio=min(much) / min(little),
            against=f"the same to one of {SMALL:,} ({min(little):.1f} µs)",
            at_most=APPEND_TIMES,
        )


def _append(ledger: Ledger, made: list[Redacted]) -> None:
    for entry in made:
        ledger.append(entry)


def _sign_each(ledger: Ledger, made: list[Redacted]) -> None:
    for entry in made:
        ledger.append(entry)
        ledger.sign()


def _opening(small: Home, large: Home) -> Row:
    figures: list[list[float]] = [[], []]
    for home in (small, large):
        ledger = _open(home)
        ledger.publish()
        ledger.close()
    for _ in range(ROUNDS):
        for home, each in zip((small, large), figures, strict=True):
            each.append(wall_us(lambda home=home: _open(home).close()) / 1000)
    little, much = map(min, figures)
    return Row(
        name=f"opening a log of {LARGE:,} entries: wall time",
        value=much,
        unit="ms",
        budget=None,
        ratio=much / little,
        against=f"opening one of {SMALL:,} ({little:.1f} ms)",
    )


def _verifying(small: Home, large: Home) -> Iterator[Row]:
    _, _, little_memory = _verify(small, SMALL)
    runs = [_verify(large, LARGE) for _ in range(3)]
    cpu_s, wall_s, _ = min(runs)
    memory = max(run[2] for run in runs)
    hashing_s = _hash_all(large)
    yield Row(
        name=f"verify {LARGE:,} entries: CPU",
        value=cpu_s,
        unit="s",
        budget=VERIFY_S,
        ratio=cpu_s / hashing_s,
        against=f"reading and hashing the same lines ({hashing_s:.2f} s); wall time {wall_s:.1f} s",
    )
    yield Row(
        name=f"verify {LARGE:,} entries: peak memory",
        value=memory,
        unit="MB",
        budget=MEMORY_MB,
        ratio=memory / little_memory,
        against=f"the same for {SMALL:,} ({little_memory:.0f} MB)",
    )


def _verify(home: Home, count: int) -> tuple[float, float, float]:
    """Return CPU seconds, wall seconds and peak megabytes of a process that verifies."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(home.path)], env=env, capture_output=True, text=True, check=True
    )
    verdict, entries_read, cpu_s, wall_s, peak = json.loads(done.stdout)
    if (verdict, entries_read) != ("unanchored", count):
        raise RuntimeError(f"the log that was made here is {verdict}, with {entries_read} entries")
    return cpu_s, wall_s, peak


def keys_of(home: Home) -> list[object]:
    """Return the public key of a home."""
    return [open_keys(home)[0].signer.vkey]


def _hash_all(home: Home) -> float:
    from hashlib import sha256

    from onrecord.ledger.lines import lines_from

    began = time.process_time()
    for line in islice(lines_from(home.log()), LARGE):
        sha256(line.data).digest()
    return time.process_time() - began
