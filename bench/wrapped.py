# SPDX-License-Identifier: Apache-2.0
"""What a wrapped call costs: process CPU of client, wrapper and server, with the wrapper and without.

The same client makes the same calls of the same trivial server in one run, once directly and once
through `onrecord run`. Start-up is taken out by measuring a short and a long run: the cost of a
call is the slope between them. CPU time counts every process of the tree. How long a call takes is
measured of both turn by turn, so that what else the machine does meets both.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.row import Row

SERVER = Path(__file__).with_name("echo_server.py")
ONRECORD = Path(sys.executable).with_name("onrecord")
SHORT, LONG, ROUNDS = 200, 2_200, 5
CALLS, TURNS = 200, 10
BUDGET_US, BUDGET_P50_US = 250.0, 300.0
ARGUMENTS = {"path": "/srv/data/report.txt", "text": "hello, world"}


def measure() -> list[Row]:
    """Return the cost of a call of each tier, added by the wrapper."""
    with tempfile.TemporaryDirectory() as home:
        direct = [sys.executable, str(SERVER)]
        wrapped = [str(ONRECORD), "run", "--server-id", "echo", "--", *direct]
        return list(_rows(direct, wrapped, {**os.environ, "ONRECORD_HOME": home}))


def _rows(direct: list[str], wrapped: list[str], env: dict[str, str]) -> Iterator[Row]:
    for tool, tier, budget, budget_p50 in (
        ("echo", 1, BUDGET_US, BUDGET_P50_US),
        ("store", 2, None, None),
        ("erase", 3, None, None),
    ):
        bare, with_us = _cost(direct, tool, env), _cost(wrapped, tool, env)
        yield Row(
            name=f"wrapped call, tier {tier}: added CPU",
            value=with_us - bare,
            unit="µs",
            budget=budget,
            ratio=with_us / bare,
            against=f"the same call unwrapped ({bare:.0f} µs)",
        )
        bare, with_us = _medians((direct, wrapped), tool, env)
        yield Row(
            name=f"wrapped call, tier {tier}: added p50",
            value=with_us - bare,
            unit="µs",
            budget=budget_p50,
            ratio=with_us / bare,
            against=f"the same call unwrapped ({bare:.0f} µs)",
        )


def _cost(command: list[str], tool: str, env: dict[str, str]) -> float:
    """Return CPU microseconds of one call: the slope between the best short and the best long run."""
    short, long = (min(_run(command, tool, calls, env) for _ in range(ROUNDS)) for calls in (SHORT, LONG))
    return (long - short) / (LONG - SHORT) * 1e6


def _run(command: list[str], tool: str, calls: int, env: dict[str, str]) -> float:
    """Return the CPU seconds of a session of `calls` calls."""
    before = _cpu_s()
    with Session(command, env) as session:
        for _ in range(calls):
            session.call(tool)
    return _cpu_s() - before


def _medians(commands: tuple[list[str], list[str]], tool: str, env: dict[str, str]) -> tuple[float, float]:
    """Return the medians of how many microseconds a call takes by each of two ways."""
    with Session(commands[0], env) as one, Session(commands[1], env) as other:
        times: tuple[list[float], list[float]] = ([], [])
        for turn in range(TURNS + 1):
            for session, found in ((one, times[0]), (other, times[1])):
                taken = [session.call(tool) for _ in range(CALLS)]
                if turn:  # the first one warms both
                    found.extend(taken)
    return statistics.median(times[0]), statistics.median(times[1])


class Session:
    """A server and its client."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
        self._number = 0
        self._ask("tools/list", {})

    def call(self, tool: str) -> float:
        """Call `tool`, and return how many microseconds that took."""
        number = self._number
        return self._ask("tools/call", {"name": tool, "arguments": {**ARGUMENTS, "n": number}})

    def _ask(self, method: str, params: dict[str, object]) -> float:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        asked = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        data = json.dumps(asked).encode() + b"\n"
        began = time.perf_counter_ns()
        self._server.stdin.write(data)
        self._server.stdin.flush()
        line = self._server.stdout.readline()
        took_us = (time.perf_counter_ns() - began) / 1000
        answer = json.loads(line)
        if answer["id"] != self._number or "result" not in answer:
            raise RuntimeError(f"call {self._number} was answered with {answer}")
        self._number += 1
        return took_us

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait()


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
