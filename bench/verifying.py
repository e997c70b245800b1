# SPDX-License-Identifier: Apache-2.0
"""What verifying a line costs, beside the hash of its bytes."""

import hashlib
import tempfile
from pathlib import Path

from bench.lines import pairs
from bench.row import Row, cpu_us

from onrecord.ledger.keys import open_keys
from onrecord.ledger.ledger import Ledger
from onrecord.ledger.lines import lines_from
from onrecord.ledger.place import Home
from onrecord.ledger.verify import verify

COUNT, ROUNDS = 50_000, 7
BUDGET_US = 5.0


def measure() -> list[Row]:
    """Return the CPU of a full verification, for each line."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        signer = open_keys(home)[0].signer
        ledger = Ledger.open(home, signer)
        for number, entry in enumerate(pairs(COUNT)):
            ledger.append(entry)
            if number % 1000 == 0:
                ledger.publish()
        ledger.publish()
        ledger.close()
        lines = [line.data for line in lines_from(home.log())]
        size = sum(map(len, lines)) / len(lines)
        ours, bare = [], []
        for _ in range(ROUNDS):
            ours.append(cpu_us(lambda: _check(home, signer.vkey), len(lines)))
            bare.append(cpu_us(lambda: [hashlib.sha256(line).digest() for line in lines], len(lines)))
    return [
        Row(
            name=f"verify: CPU of a line of {size:.0f} bytes",
            value=min(ours),
            unit="µs",
            budget=BUDGET_US,
            ratio=min(ours) / min(bare),
            against=f"SHA-256 of the same bytes ({min(bare):.2f} µs)",
        )
    ]


def _check(home: Home, key: object) -> None:
    report = verify(home.log(), [key])  # pyright: ignore[reportArgumentType]
    if report.verdict != "unanchored":
        raise RuntimeError(f"the log that was made here is {report.verdict}")
