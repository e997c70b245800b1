# SPDX-License-Identifier: Apache-2.0
"""What many appenders at once get done, beside one: as tasks of an event loop, in threads, and in processes.

Each appender waits until its entry is flushed before it makes the next one. One and many take turns
within a run, as the disk and the neighbours are not the same a minute later.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import time
from itertools import cycle
from pathlib import Path

from bench.append import make_writer
from bench.lines import entries
from bench.row import Row

from onrecord.ledger.looping import LoopWriter

SECONDS, ROUNDS = 1.5, 3
APPENDERS, APPENDERS_TIMES = 64, 20.0
PROCESSES, PROCESSES_TIMES = 8, 2.0
PROGRAM = """
import sys
from pathlib import Path
from bench.many import be_one
be_one(Path(sys.argv[1]))
"""


def measure() -> list[Row]:
    """Return what 64 appenders and what 8 processes append in a second, beside one."""
    with tempfile.TemporaryDirectory() as folder:
        return [_tasks(Path(folder)), _threads(Path(folder)), _processes(Path(folder))]


def _tasks(folder: Path) -> Row:
    one, many = [], []
    for number in range(ROUNDS):
        one.append(asyncio.run(_rate_of_tasks(folder / f"1t{number}", 1)))
        many.append(asyncio.run(_rate_of_tasks(folder / f"t{number}", APPENDERS)))
    return Row(
        name=f"flushed appends of {APPENDERS} tasks in an event loop, in a second",
        value=max(many),
        unit="entries",
        budget=None,
        ratio=max(many) / max(one),
        against=f"those of one task ({max(one):.0f})",
        at_least=APPENDERS_TIMES,
    )


async def _rate_of_tasks(folder: Path, count: int) -> float:
    writer = make_writer(folder)
    made = entries(1000)
    writer.append(made[0], "flushed").wait()
    appender = LoopWriter(writer)
    end = time.perf_counter() + SECONDS

    async def work() -> int:
        done = 0
        for entry in cycle(made):
            await appender.append(entry, "flushed")
            done += 1
            if time.perf_counter() > end:
                break
        return done

    began = time.perf_counter()
    done = await asyncio.gather(*(work() for _ in range(count)))
    rate = sum(done) / (time.perf_counter() - began)
    writer.close()
    return rate


def _threads(folder: Path) -> Row:
    one, many = [], []
    for number in range(ROUNDS):
        one.append(_rate_of_threads(folder / f"one{number}", 1))
        many.append(_rate_of_threads(folder / f"many{number}", APPENDERS))
    return Row(
        name=f"flushed appends of {APPENDERS} threads, in a second",
        value=max(many),
        unit="entries",
        budget=None,
        ratio=max(many) / max(one),
        against=f"those of one thread ({max(one):.0f})",
    )


def _rate_of_threads(folder: Path, count: int) -> float:
    writer = make_writer(folder)
    made = entries(1000)
    writer.append(made[0], "flushed").wait()
    done = [0] * count
    end = time.perf_counter() + SECONDS

    def work(place: int) -> None:
        for entry in cycle(made):
            writer.append(entry, "flushed").wait()
            done[place] += 1
            if time.perf_counter() > end:
                return

    threads = [threading.Thread(target=work, args=(place,)) for place in range(count)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = sum(done) / (time.perf_counter() - began)
    writer.close()
    return rate


def _processes(folder: Path) -> Row:
    one, many = [], []
    for number in range(ROUNDS):
        one.append(_rate_of_processes(folder / f"1p{number}", 1))
        many.append(_rate_of_processes(folder / f"8p{number}", PROCESSES))
    return Row(
        name=f"flushed appends of {PROCESSES} processes, in a second",
        value=max(many),
        unit="entries",
        budget=None,
        ratio=max(many) / max(one),
        against=f"those of one process ({max(one):.0f})",
        at_least=PROCESSES_TIMES,
    )


def _rate_of_processes(folder: Path, count: int) -> float:
    make_writer(folder).close()  # the keys
    root = str(Path(__file__).parents[1])
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": root},
        )
        for _ in range(count)
    ]
    rate = 0.0
    for process in running:
        assert process.stdout is not None
        process.stdout.readline()  # it is ready
    for process in running:
        assert process.stdin is not None
        process.stdin.close()
    for process in running:
        assert process.stdout is not None
        rate += float(process.stdout.read())
        process.wait()
        process.stdout.close()
    return rate


def be_one(folder: Path) -> None:
    """Be one of many processes: say when ready, append once standard input ends, and print the rate."""
    writer = make_writer(folder)
    made = entries(1000)
    writer.append(made[0], "flushed").wait()
    print("ready", flush=True)
    sys.stdin.read()
    count, began = 0, time.perf_counter()
    for entry in cycle(made):
        writer.append(entry, "flushed").wait()
        count += 1
        if time.perf_counter() - began > SECONDS:
            break
    print(count / (time.perf_counter() - began), flush=True)
    writer.close()
