# SPDX-License-Identifier: Apache-2.0
"""What a wrapped call costs: process CPU of client, wrapper and server, with the wrapper and without.

The same client makes the same calls of the same trivial server in one run, once directly and once
through `onrecord run`. Start-up is taken out by measuring a short and a long run: the cost of a
call is the slope between them. CPU time counts every process of the tree; wall time is printed
beside it, and is noisy.
"""

import json
import os
import resource
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
BUDGET_US = 250.0


def measure() -> list[Row]:
    """Return the cost of a call of each tier, added by the wrapper."""
    with tempfile.TemporaryDirectory() as home:
        direct = [sys.executable, str(SERVER)]
        wrapped = [str(ONRECORD), "run", "--server-id", "echo", "--", *direct]
        return list(_rows(direct, wrapped, {**os.environ, "ONRECORD_HOME": home}))


def _rows(direct: list[str], wrapped: list[str], env: dict[str, str]) -> Iterator[Row]:
    for tool, tier, budget in (("echo", 1, BUDGET_US), ("store", 2, None), ("erase", 3, None)):
        bare_cpu, bare_wall = _cost(direct, tool, env)
        cpu, wall = _cost(wrapped, tool, env)
        yield Row(
            name=f"wrapped call, tier {tier}: added CPU",
            value=cpu - bare_cpu,
            unit="µs",
            budget=budget,
            ratio=cpu / bare_cpu,
            against=f"the same call unwrapped ({bare_cpu:.0f} µs)",
        )
        yield Row(
            name=f"wrapped call, tier {tier}: added wall time",
            value=wall - bare_wall,
            unit="µs",
            budget=None,
            ratio=wall / bare_wall,
            against=f"the same call unwrapped ({bare_wall:.0f} µs)",
        )


def _cost(command: list[str], tool: str, env: dict[str, str]) -> tuple[float, float]:
    """Return CPU and wall microseconds of one call: the slope between the best short and the best long run."""
    short = [_run(command, tool, SHORT, env) for _ in range(ROUNDS)]
    long = [_run(command, tool, LONG, env) for _ in range(ROUNDS)]
    cpu, wall = (min(run[i] for run in long) - min(run[i] for run in short) for i in (0, 1))
    return cpu / (LONG - SHORT) * 1e6, wall / (LONG - SHORT) * 1e6


def _run(command: list[str], tool: str, calls: int, env: dict[str, str]) -> tuple[float, float]:
    """Return the CPU and wall seconds of a session of `calls` calls."""
    before, began = _cpu_s(), time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        ask = {"jsonrpc": "2.0", "id": 0, "method": "tools/list", "params": {}}
        server.stdin.write(json.dumps(ask).encode() + b"\n")
        server.stdin.flush()
        server.stdout.readline()
        for number in range(1, calls + 1):
            params = {"name": tool, "arguments": {"path": "/srv/data/report.txt", "text": "hello, world", "n": number}}
            ask = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
            server.stdin.write(json.dumps(ask).encode() + b"\n")
            server.stdin.flush()
            answer = json.loads(server.stdout.readline())
            if answer["id"] != number or "result" not in answer:
                raise RuntimeError(f"call {number} was answered with {answer}")
        server.stdin.close()
        server.wait()
    return _cpu_s() - before, time.perf_counter() - began


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
