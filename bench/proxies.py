# SPDX-License-Identifier: Apache-2.0
"""The gateway beside other proxies for MCP, with the official client and a server on the official SDK, in one run.

FastMCP's proxy and `mcp-proxy` record nothing. `mcp-proxy` speaks HTTP to clients and standard input and output to
servers, of revisions up to 2025-11-25, so that is what it is given. `make bench` makes their environments.
"""

import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench.gateway import behind_gateway, free_port, running
from bench.row import Row
from mcp import Client

HERE = Path(__file__).parent.parent
FASTMCP, MCP_PROXY = HERE / ".doors/fastmcp4/bin/python", HERE / ".demo/proxy/bin/mcp-proxy"
ONE_BY_ONE, MANY, AT_ONCE, ROUNDS = 100, 300, 16, 3


def measure() -> list[Row]:
    """Return how many calls get through each in a second, beside the gateway, and how long one takes."""
    with tempfile.TemporaryDirectory() as home, ExitStack() as stack:
        ports = [free_port() for _ in range(3)]
        urls = [f"http://127.0.0.1:{port}/mcp" for port in ports]
        server = [sys.executable, "bench/sdk_server.py"]
        stack.enter_context(running([*server, str(ports[0])], ports[0], {}))
        ways = {"directly": urls[0], "the gateway": stack.enter_context(behind_gateway(Path(home), urls[0]))}
        if FASTMCP.exists():
            command = [str(FASTMCP), "bench/fastmcp_proxy.py", urls[0], str(ports[1])]
            stack.enter_context(running(command, ports[1], {}))
            ways["FastMCP's proxy"] = urls[1]
        if MCP_PROXY.exists():
            command = [str(MCP_PROXY), "--port", str(ports[2]), "--", *server]
            stack.enter_context(running(command, ports[2], {}))
            ways["mcp-proxy"] = urls[2]
        return asyncio.run(_rows(ways))


async def _rows(ways: dict[str, str]) -> list[Row]:
    each_ms: dict[str, list[float]] = {name: [] for name in ways}
    rate: dict[str, list[float]] = {name: [] for name in ways}
    for _, (name, url) in itertools.product(range(ROUNDS), ways.items()):
        async with Client(url, mode="legacy" if name == "mcp-proxy" else "auto") as client:
            await _calls(client, 10)
            each_ms[name].append(statistics.median(await _calls(client, ONE_BY_ONE)))
            began = time.perf_counter()
            await asyncio.gather(*(_calls(client, MANY // AT_ONCE) for _ in range(AT_ONCE)))
            rate[name].append(MANY // AT_ONCE * AT_ONCE / (time.perf_counter() - began))
    ours_ms, ours = min(each_ms["the gateway"]), max(rate["the gateway"])
    return [
        Row(
            name=f"SDK client and server, through the gateway: {ours_ms:.1f} ms a call, in a second",
            value=ours,
            unit="calls",
            budget=None,
            ratio=ours / max(rate[name]),
            at_least=None if name == "directly" else 1.0,
            against=f"{name} ({max(rate[name]):.0f}; {min(each_ms[name]):.1f} ms a call)",
        )
        for name in ways
        if name != "the gateway"
    ]


async def _calls(client: Client, count: int) -> list[float]:
    each_ms: list[float] = []
    for number in range(count):
        began = time.perf_counter()
        await client.call_tool("echo", {"path": "/srv/data/report.txt", "text": "hello, world", "n": number})
        each_ms.append((time.perf_counter() - began) * 1000)
    return each_ms
