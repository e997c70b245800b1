# SPDX-License-Identifier: Apache-2.0
"""A thousand calls may be open at once, in bounded memory, and each is answered and on the record."""

import asyncio
import json
from pathlib import Path

import pytest
from tests.gateway.running import Gateway, called, modern

CALLS, MORE_MIB = 1_000, 150


class Waiting:
    """A server that answers when it is told to."""

    def __init__(self):
        self.open, self.all_open, self.go_on = 0, asyncio.Event(), asyncio.Event()

    async def serve(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        message = json.loads(await reader.readexactly(length))
        self.open += 1
        if self.open == CALLS:
            self.all_open.set()
        await self.go_on.wait()
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {"content": []}}).encode()
        head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length:"
        writer.write(f"{head} {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()


async def call(port, number):
    """Make a call, and return the id that the answer is for."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(modern("/s", called(number=number), Connection="close"))
    answer = await reader.read()
    writer.close()
    return json.loads(answer.partition(b"\r\n\r\n")[2])["id"]


def most_mib(child):
    """Return the most memory that a process has taken so far."""
    status = Path(f"/proc/{child.pid}/status")
    if not status.exists():
        pytest.skip("nothing says how much memory a process takes")
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


async def test_a_thousand_calls_may_be_open_at_once(tmp_path):
    waiting = Waiting()
    server = await asyncio.start_server(waiting.serve, "127.0.0.1", 0, backlog=CALLS)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
    gateway = await asyncio.to_thread(Gateway, tmp_path, {"s": url})
    try:
        before = most_mib(gateway.child)
        calls = [asyncio.create_task(call(gateway.port, number)) for number in range(CALLS)]
        async with asyncio.timeout(120):
            await waiting.all_open.wait()
            waiting.go_on.set()
            assert await asyncio.gather(*calls) == list(range(CALLS))
        assert most_mib(gateway.child) - before < MORE_MIB
    finally:
        assert await asyncio.to_thread(gateway.end) == 0
        server.close()
    assert [e["result_status"] for e in gateway.events(phase="result")] == ["succeeded"] * CALLS
