# SPDX-License-Identifier: Apache-2.0
"""What an answer takes, from a year of a company's agents: questions that people ask first, with another key a round.

The log is that of `bench/generate.py`, in the folder that ONRECORD_BENCH_LOG names, where it stays, or else a smaller
one in a temporary folder. Beside it, in the same run: `zstdcat | jq` over the same segments, and ripgrep over the plain
lines of a part of them, taken to be as long as all; both read what the system has in memory by then.

Before that all files are read once; at the end each question is asked cold, after the system was told to keep none of
them in memory, by what has only just opened them.
"""

import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.generate import END, generate
from bench.row import Row, median

from onrecord.event.event import Event
from onrecord.event.schema import read_event
from onrecord.ledger.entries import entries_at
from onrecord.ledger.lines import last_seq, segment_files
from onrecord.ledger.place import Home
from onrecord.views.answers import Answers
from onrecord.views.cold.parquet import parts_of
from onrecord.views.index.feed import catch_up
from onrecord.views.index.layout import files_of, folder_of
from onrecord.views.question import Condition, Grouping, Listing, Question
from onrecord.views.tiers import answers
from onrecord.views.words import phrases_of

SMALL = 300_000  # events, where no log is given
LARGE = 5_000_000  # from which on sizes, and how much quicker than others it is, have a budget
ROUNDS = 15
NOW_US = int(END.timestamp()) * 1_000_000
DAY_US = 86_400_000_000
TODAY_US = NOW_US - NOW_US % DAY_US
LOOKUP_MS, YEAR_MS, COLD_MS = 50.0, 500.0, 2_500.0


def measure() -> list[Row]:
    """Return the figures."""
    with _log() as home:
        events = last_seq(home.log()) + 1
        is_new = not files_of(folder_of(home, "calls"))
        began = time.process_time()
        catch_up(home, "calls", deadline_s=10)
        fed_us = (time.process_time() - began) / events * 1e6
        with answers(home, "calls") as source:
            rows = list(_timed(home, source, events))
        bytes_each = sum(path.stat().st_size for path in folder_of(home, "calls").glob("*.sqlite")) / events
        parts = parts_of(home, "calls")
        parts_bytes = sum(part.path.stat().st_size for part in parts)
    if is_new:
        rows.append(
            Row(
                name=f"indexing {events:,} events, CPU of one",
                value=fed_us,
                unit="µs",
                budget=45,
                ratio=1,
                against="itself",
            )
        )
    index, parquet = (250, 60) if events >= LARGE else (None, None)
    rows.append(Row(name="the index, an event", value=bytes_each, unit="B", budget=index, ratio=1, against="itself"))
    if parts:
        each = parts_bytes / sum(part.end - part.begin for part in parts)
        rows.append(
            Row(name="a Parquet file, an event", value=each, unit="B", budget=parquet, ratio=1, against="itself")
        )
    return rows


@contextmanager
def _log() -> Iterator[Home]:
    if given := os.environ.get("ONRECORD_BENCH_LOG"):
        yield Home(Path(given))
        return
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        generate(home, SMALL)
        yield home


def _timed(home: Home, source: Answers, events: int) -> Iterator[Row]:
    chance = random.Random(7)
    some = _some_events(home, events, chance)
    jq_ms, files = _jq(home, some[0].correlation_id)
    for path in _files(home):
        path.read_bytes()  # what is asked for was looked at not long ago
    for name, make in _questions().items():
        make(source, some[0])  # the Parquet files are made by the first question that wants them
        took: list[float] = []
        rg: list[float] = []
        for event in some:
            began = time.perf_counter()
            found = make(source, event)
            took.append((time.perf_counter() - began) * 1e3)
            assert found >= 0
            if name == "a request of a user, by its id":
                rg.append(_ripgrep(files, event.correlation_id))
        at_all = f"zstdcat | jq, at the speed that it has over {len(files)} segments ({jq_ms / 1e3:.0f} s for all)"
        yield Row(
            name=f"{name}, of {events:,} events, median", value=median(took), unit="ms",
            budget=YEAR_MS if "year" in name else LOOKUP_MS, ratio=jq_ms / median(took), against=at_all,
            at_least=100 if events >= LARGE else None,
        )  # fmt: skip
        if rg and files:
            share = len(files) / len(segment_files(home.log()))
            yield Row(
                name="ripgrep for the same id, plain lines in memory, median", value=median(rg) / share, unit="ms",
                budget=None, ratio=median(rg) / share / median(took), against="the same question",
                at_least=4 if events >= LARGE else None,
            )  # fmt: skip
    for name, make in _questions().items():
        yield Row(
            name=f"{name}, cold", value=_cold_ms(home, make, some[0]), unit="ms", budget=COLD_MS, ratio=1,
            against="itself",
        )  # fmt: skip


def _files(home: Home) -> list[Path]:
    return [path for path in home.path.rglob("*") if path.is_file()]


def _cold_ms(home: Home, make: Callable[[Answers, Event], int], event: Event) -> float:
    """Return the milliseconds that a question takes where nothing of the home is in memory."""
    for path in _files(home):
        with path.open("rb") as file:
            os.fsync(file.fileno())  # what is not written yet stays
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    began = time.perf_counter()
    with answers(home, "calls") as source:
        make(source, event)
    return (time.perf_counter() - began) * 1e3


def _some_events(home: Home, events: int, chance: random.Random) -> list[Event]:
    found: list[Event] = []
    while len(found) < ROUNDS:
        place = chance.randrange(1, events)
        event = read_event(entries_at(home.log(), [place])[place])
        if event.downstream_resource and event.input_summary:
            found.append(event)
    return found


def _questions() -> dict[str, Callable[[Answers, Event], int]]:
    def equal(column: str, value: str, since_us: int | None = None) -> Question:
        return Question(conditions=(Condition(column=column, values=(value,)),), since_us=since_us)

    def listed(question: Question) -> Callable[[Answers], int]:
        return lambda source: sum(1 for _ in source.list(Listing(question=question)))

    def words(event: Event, count: int) -> str:
        text = event.input_summary.removeprefix('{"note":"').removesuffix('"}').split()
        return f'"{" ".join(text[:count])}"'

    return {
        "a request of a user, by its id": lambda source, event: listed(equal("correlation_id", event.correlation_id))(
            source
        ),
        "who touched a resource": lambda source, event: listed(equal("resource", event.downstream_resource))(source),
        "what a person did in 30 days": lambda source, event: listed(
            equal("user_id", event.user_id, NOW_US - 30 * DAY_US)
        )(source),
        "what was denied in the last hour": lambda source, _: listed(
            equal("policy_decision", "deny", NOW_US - DAY_US // 24)
        )(source),
        "the newest with a word": lambda source, event: listed(Question(phrases=phrases_of(words(event, 1))))(source),
        "the newest with a phrase": lambda source, event: listed(Question(phrases=phrases_of(words(event, 2))))(source),
        "the newest with two words": lambda source, event: listed(
            Question(phrases=phrases_of(words(event, 2).strip('"')))
        )(source),
        "calls today, by tool": lambda source, _: len(
            source.group(Grouping(question=equal("phase", "attempt", TODAY_US), by=("tool_name",)))
        ),
        "the ten tools of the worst p95 in a year": lambda source, _: len(
            source.group(Grouping(question=equal("phase", "result"), by=("tool_name",), measure="p95", limit=10))
        ),
    }


def _jq(home: Home, correlation_id: str) -> tuple[float, list[Path]]:
    """Return the milliseconds that `zstdcat | jq` would take for all segments, and those that it was given."""
    sealed = [path for path in segment_files(home.log()) if path.suffix == ".zst"]
    files = sealed[:: max(1, len(sealed) // 8)][:8]
    command = f"zstdcat {' '.join(map(str, files))} | jq -c 'select(.correlation_id == \"{correlation_id}\")'"
    began = time.perf_counter()
    subprocess.run(["bash", "-c", command], check=True, stdout=subprocess.DEVNULL)
    took_ms = (time.perf_counter() - began) * 1e3
    return took_ms / sum(path.stat().st_size for path in files) * sum(path.stat().st_size for path in sealed), files


def _ripgrep(files: list[Path], correlation_id: str) -> float:
    """Return the milliseconds that ripgrep takes over the plain lines of those segments, which it has read before."""
    if shutil.which("rg") is None:
        return float("nan")
    folder = files[0].parents[3] / "plain"
    if not folder.exists():
        folder.mkdir()
        for path in files:
            with (folder / path.stem).open("wb") as plain:
                subprocess.run(["zstdcat", str(path)], check=True, stdout=plain)
        subprocess.run(["rg", "-c", "nothing", str(folder)], check=False, stdout=subprocess.DEVNULL)
    began = time.perf_counter()
    subprocess.run(["rg", "-N", "-F", correlation_id, str(folder)], check=False, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1e3
