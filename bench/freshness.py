# SPDX-License-Identifier: Apache-2.0
"""How soon an event is found that was just written, and whether readers ever fail beside a writer.

One process writes 1,000 events a second to a real log, signed as always; one keeps the index warm, as `onrecord index
--follow` does; three ask, each in a process of its own, as fast as they can. A fourth waits for each of some events,
and asks for it by its id until it is found: from the return of the append to the answer is what counts. All that goes
on for as many seconds as ONRECORD_BENCH_SECONDS says.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.row import Row, median

from onrecord.event.event import Event, encode
from onrecord.event.ids import uuid7
from onrecord.event.redacted import Redacted
from onrecord.ledger.keys import open_keys
from onrecord.ledger.ledger import Ledger
from onrecord.ledger.place import Home
from onrecord.views.index.feed import catch_up
from onrecord.views.question import Condition, Grouping, Listing, Question
from onrecord.views.tiers import answers

SECONDS = int(os.environ.get("ONRECORD_BENCH_SECONDS", "20"))
RATE, READERS = 1_000, 3  # events a second, processes
FRESH_MS = 50.0
_TOOLS = ("read_file", "write_file", "send_mail", "refund_payment")


def measure() -> list[Row]:
    """Return the figures."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        open_keys(home)
        _write(home, 0.2)
        catch_up(home, "calls", deadline_s=10)
        parts = [("write",), ("follow",), ("wait",), *(("read",) for _ in range(READERS))]
        running = [
            subprocess.Popen([sys.executable, "-m", "bench.freshness", folder, *part], stdout=subprocess.PIPE)
            for part in parts
        ]
        said = [json.loads(each.communicate()[0]) for each in running]
    waited: list[float] = sorted(said[2]["waited_ms"])
    queries, errors = (sum(each[what] for each in said[3:]) for what in ("queries", "errors"))
    return [
        Row(
            name=f"found after it was written, at {said[0]['rate']:.0f} events a second, median",
            value=median(waited),
            unit="ms",
            budget=FRESH_MS,
            ratio=waited[int(len(waited) * 0.99)] / median(waited),
            against="for the 99th of a hundred",
        ),
        Row(
            name=f"errors of readers beside that, in {queries:,} questions",
            value=errors,
            unit="",
            budget=0,
            ratio=queries / SECONDS,
            against="questions a second of them all",
        ),
    ]


def _write(home: Home, seconds: float) -> float:
    keys, _ = open_keys(home)
    ledger = Ledger.open(home, keys.signer, deadline_s=10)
    began, count = time.monotonic(), 0
    try:
        while (passed := time.monotonic() - began) < seconds:
            while count < passed * RATE:
                ledger.append(_entry(count))
                count += 1
            time.sleep(0.002)
        ledger.publish()
    finally:
        ledger.close()
    return count / seconds


def _entry(number: int) -> Redacted:
    moment = time.time_ns()
    name = uuid7(moment // 1_000_000, moment.to_bytes(10, "big"))
    event = Event(
        event_id=name, event_type="tool_call", phase="attempt", call_id=name, correlation_id=name,
        user_id=f"u_{number % 50:020x}", server_id="files", tool_name=_TOOLS[number % 4], risk_tier=2,
        policy_decision="allow", input_summary='{"note":"words of an event"}',
    )  # fmt: skip
    return Redacted(event, encode(event))


def _follow(home: Home) -> None:
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        catch_up(home, "calls", deadline_s=10)
        time.sleep(0.02)


def _wait(home: Home) -> list[float]:
    """Return how many milliseconds passed from appends of this process to their being found, one after the other."""
    keys, _ = open_keys(home)
    ledger = Ledger.open(home, keys.signer, deadline_s=10)
    waited: list[float] = []
    ends = time.monotonic() + SECONDS
    try:
        while time.monotonic() < ends:
            entry = _entry(0)
            question = Question(conditions=(Condition(column="call_id", values=(entry.event.call_id,)),))
            ledger.append(entry)
            began = time.perf_counter()
            found = 0
            while not found:
                with answers(home, "calls") as source:
                    found = sum(1 for _ in source.list(Listing(question=question)))
            waited.append((time.perf_counter() - began) * 1e3)
    finally:
        ledger.close()
    return waited


def _read(home: Home) -> tuple[int, int]:
    """Return how many questions were asked, and how many failed."""
    ends = time.monotonic() + SECONDS
    queries = errors = seen = 0
    while time.monotonic() < ends:
        try:
            with answers(home, "calls") as source:
                for tool in _TOOLS * 5:
                    of_tool = Question(conditions=(Condition(column="tool_name", values=(tool,)),))
                    list(source.list(Listing(question=of_tool, limit=3)))
                    queries += 1
                total = source.count(Question())
                source.group(Grouping(question=Question(), by=("tool_name",)))
                queries += 2
                errors += total < seen
                seen = total
        except Exception:
            errors += 1
    return queries, errors


def main() -> None:
    """Do one part of it."""
    home, part = Home(Path(sys.argv[1])), sys.argv[2]
    if part == "write":
        print(json.dumps({"rate": _write(home, SECONDS)}))
    elif part == "follow":
        _follow(home)
        print("{}")
    elif part == "wait":
        print(json.dumps({"waited_ms": _wait(home)}))
    else:
        queries, errors = _read(home)
        print(json.dumps({"queries": queries, "errors": errors}))


if __name__ == "__main__":
    main()
