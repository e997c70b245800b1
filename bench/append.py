# SPDX-License-Identifier: Apache-2.0
"""What a line on the record costs, beside the same bytes written by hand."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.lines import entries
from bench.row import Row, cpu_us, median, wall_us

from onrecord.event.redacted import Redacted, own_fact
from onrecord.ledger.keys import open_keys
from onrecord.ledger.ledger import Ledger
from onrecord.ledger.place import Home
from onrecord.ledger.writer import Durability, Writer

COUNT, ROUNDS = 10_000, 7  # CPU
SINGLES = 300  # flushes a round
BUDGET_US = 10.0
FLUSHED_TIMES = 1.5


def measure() -> list[Row]:
    """Return what an append costs before the flush, and what a durable one takes."""
    with tempfile.TemporaryDirectory() as folder:
        made = entries(COUNT)
        return [*_before_the_flush(Path(folder), made), *_with_the_flush(Path(folder), made)]


def _before_the_flush(folder: Path, made: list[Redacted]) -> Iterator[Row]:
    ours, bare, through = [], [], []
    for number in range(ROUNDS):
        ledger = _ledger(folder / f"a{number}")
        ours.append(cpu_us(lambda ledger=ledger: [ledger.append(entry) for entry in made], COUNT))
        lines = ledger.folder.first_segment.read_bytes().splitlines(keepends=True)[1:]
        ledger.close()
        fd = os.open(folder / f"b{number}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        bare.append(cpu_us(lambda fd=fd, lines=lines: [os.write(fd, line) for line in lines], COUNT))
        os.close(fd)
        writer = make_writer(folder / f"c{number}")
        through.append(cpu_us(lambda writer=writer: [writer.append(entry) for entry in made], COUNT))
        writer.close()
    yield Row(
        name="append: CPU before the flush",
        value=min(ours),
        unit="µs",
        budget=BUDGET_US,
        ratio=min(ours) / min(bare),
        against=f"os.write of the same bytes ({min(bare):.1f} µs)",
    )
    yield Row(
        name="append through the writer, which flushes and signs beside it: CPU",
        value=min(through),
        unit="µs",
        budget=None,
        ratio=min(through) / min(bare),
        against=f"os.write of the same bytes ({min(bare):.1f} µs)",
    )


def _with_the_flush(folder: Path, made: list[Redacted]) -> Iterator[Row]:
    durabilities: tuple[Durability, ...] = ("flushed", "signed")
    for durability in durabilities:
        ours, bare = [], []
        for number in range(ROUNDS):
            one, other = _singles(folder / f"{durability}{number}", made[:SINGLES], durability)
            ours.append(one)
            bare.append(other)
        yield Row(
            name=f"one {durability} append: wall time, median",
            value=min(ours),
            unit="µs",
            budget=None,
            ratio=min(ours) / min(bare),
            against=f"write and fdatasync of the same bytes ({min(bare):.0f} µs)",
            at_most=FLUSHED_TIMES if durability == "flushed" else None,
        )


def _singles(folder: Path, made: list[Redacted], durability: Durability) -> tuple[float, float]:
    """Return the median of an append and of a bare write, in turn, so that both meet the same disturbances."""
    writer = make_writer(folder)
    writer.append(made[0], durability).wait()
    fd = os.open(folder / "bare", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    line = bytes(850)

    def bare() -> None:
        os.write(fd, line)
        os.fdatasync(fd)

    ours, theirs = [], []
    for entry in made:
        ours.append(wall_us(lambda entry=entry: writer.append(entry, durability).wait()))
        theirs.append(wall_us(bare))
    os.close(fd)
    writer.close()
    return median(ours), median(theirs)


def _ledger(folder: Path) -> Ledger:
    home = Home(folder)
    return Ledger.open(home, open_keys(home)[0].signer)


def make_writer(folder: Path) -> Writer:
    """Return a writer over the log of the home `folder`."""
    return Writer(lambda: _ledger(folder), gap=lambda: own_fact("gap", event_id="gap"))
