# SPDX-License-Identifier: Apache-2.0
"""What pinned definitions cost, process CPU: a listing of 100 tools as it passes, and a call of one of them.

A listing is heard when it is new (each definition is looked at, masked and written), and when it is as it was (each
is digested and compared). Reading the definitions out of the answer is counted; the JSON was decoded before.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.row import Row, cpu_us

from onrecord.config import build_pins, build_redactor
from onrecord.doors import protocol
from onrecord.doors.definitions import Definitions
from onrecord.doors.wire import Request, Response
from onrecord.ledger.place import Home
from onrecord.settings import load

TOOLS, CALLS, ROUNDS = 100, 2_000, 5
_LISTING = Request(id=1, method="tools/list", params={})


def measure() -> list[Row]:
    """Return what hearing a listing costs beside reading it, and what is asked at each call."""
    key = os.urandom(32)
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        loaded = load(home)
        pins = build_pins(home, loaded, key, build_redactor(key, loaded))
        answers = [_answer(number) for number in range(ROUNDS)]
        known = Definitions(pins, "known")
        known.hear(_LISTING, answers[0])
        file = next(home.pins.glob("*.json"))
        read = min(cpu_us(lambda: protocol.definitions_in(answers[0].result), 1) for _ in range(ROUNDS))
        again = min(cpu_us(lambda: known.hear(_LISTING, answers[0]), 1) for _ in range(ROUNDS))
        others = [(Definitions(pins, f"other-{number}"), answer) for number, answer in enumerate(answers[1:])]
        first = min(cpu_us(lambda one=one: one[0].hear(_LISTING, one[1]), 1) for one in others)
        stat = min(cpu_us(lambda: _each(lambda: os.lstat(file)), CALLS) for _ in range(ROUNDS))
        call = min(cpu_us(lambda: _each(lambda: _asked(known)), CALLS) for _ in range(ROUNDS))
    beside = f"reading the definitions of that answer ({read / 1000:.1f} ms)"
    return [
        _row(f"tools/list of {TOOLS} tools, pinned", first / 1000, "ms", first / read, beside),
        _row(f"tools/list of {TOOLS} tools, as before", again / 1000, "ms", again / read, beside),
        _row("a call of one of them: added CPU", call, "µs", call / stat, f"one lstat of the file ({stat:.1f} µs)"),
    ]


def _row(name: str, value: float, unit: str, ratio: float, against: str) -> Row:
    return Row(name=f"definitions, {name}", value=value, unit=unit, budget=None, ratio=ratio, against=against)


def _each(work: Callable[[], object]) -> None:
    for _ in range(CALLS):
        work()


def _asked(known: Definitions) -> None:
    definition = known.of("tools/call", "tool_7")
    known.signals("tools/call", "tool_7", definition)


def _answer(version: int) -> Response:
    return Response(id=1, result={"tools": [_tool(number, version) for number in range(TOOLS)]})


def _tool(number: int, version: int) -> dict[str, Any]:
    about = f"Looks for what was asked for in collection {number}, and returns the first matches with their places."
    properties = {
        name: {"type": "string", "description": f"{about} This is the argument {name}."}
        for name in ("query", "collection", "language", "since", "order", "cursor")
    }
    return {
        "name": f"tool_{number}",
        "title": f"Tool {number}, version {version}",
        "description": about * 3,
        "inputSchema": {"type": "object", "properties": properties, "required": ["query"]},
        "annotations": {"readOnlyHint": True},
    }
