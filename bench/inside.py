# SPDX-License-Identifier: Apache-2.0
"""What recording a server in its own process adds to a call of the SDK's client and server in memory.

Both are served in one run, turn by turn, so that what else the machine does meets both. Small calls of tier 1, where
nothing waits for the device, and of tier 2 and 3, where something does.
"""

import statistics
import tempfile
import time
from collections.abc import AsyncIterator

import anyio
from bench.row import Row
from mcp import Client
from mcp.server import MCPServer
from mcp_types import ToolAnnotations

from onrecord import instrument

CALLS, TURNS = 200, 10
BUDGET_US = 200.0


def measure() -> list[Row]:
    """Return what a call of each tier costs more."""
    return anyio.run(_rows)


async def _rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as home:
        recorded = _server()
        recording = instrument(recorded, home=home, server_id="echo")
        rows = [row async for row in _compared(_server(), recorded)]
        recording.stop()
        return rows


async def _compared(bare: MCPServer, recorded: MCPServer) -> AsyncIterator[Row]:
    for mode, era in (("auto", "modern"), ("legacy", "legacy")):
        for tool, tier, budget in (("echo", 1, BUDGET_US), ("store", 2, None), ("erase", 3, None)):
            times: tuple[list[float], list[float]] = ([], [])
            async with Client(bare, mode=mode) as plain, Client(recorded, mode=mode) as watched:
                for client, found in [(plain, times[0]), (watched, times[1])] * TURNS:
                    found += [time_us async for time_us in _called(client, tool)]
            without, with_us = (statistics.median(found) for found in times)
            yield Row(
                name=f"in-process call, {era}, tier {tier}: added p50",
                value=with_us - without,
                unit="µs",
                budget=budget,
                ratio=with_us / without,
                against=f"the same call unrecorded ({without:.0f} µs)",
            )


async def _called(client: Client, tool: str) -> AsyncIterator[float]:
    for number in range(CALLS):
        began = time.perf_counter_ns()
        await client.call_tool(tool, {"path": "/srv/data/report.txt", "text": "hello, world", "n": number})
        yield (time.perf_counter_ns() - began) / 1000


def _server() -> MCPServer:
    server = MCPServer("echo")
    reads = ToolAnnotations(read_only_hint=True)

    @server.tool(annotations=reads)
    async def echo(path: str, text: str, n: int) -> str:
        return f"{path} {text} {n}"

    @server.tool()
    async def store(path: str, text: str, n: int) -> str:
        return f"{path} {text} {n}"

    @server.tool(annotations=ToolAnnotations(destructive_hint=True))
    async def erase(path: str, text: str, n: int) -> str:
        return f"{path} {text} {n}"

    return server
