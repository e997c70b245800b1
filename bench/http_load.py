# SPDX-License-Identifier: Apache-2.0
"""A client over HTTP that costs next to nothing: it calls one tool again and again, over connections that stay open."""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit


class Load(NamedTuple):
    """What came of many calls: seconds that each took, and that all took together."""

    each_s: list[float]
    all_s: float


def calls(url: str, tool: str, count: int, at_once: int, meta: Mapping[str, object] | None = None) -> Load:
    """Call `tool` of the server at `url` so many times, and so many at once. Raises RuntimeError for a wrong answer."""
    return asyncio.run(_calls(url, tool, count, at_once, dict(meta or {})))


async def _calls(url: str, tool: str, count: int, at_once: int, meta: dict[str, object]) -> Load:
    each_s: list[float] = []
    numbers = iter(range(1, count + 1))
    began = time.perf_counter()
    await asyncio.gather(*(_caller(url, tool, numbers, meta, each_s) for _ in range(at_once)))
    return Load(each_s, time.perf_counter() - began)


async def _caller(url: str, tool: str, numbers: Iterator[int], meta: dict[str, object], each_s: list[float]) -> None:
    at = urlsplit(url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    for number in numbers:
        arguments = {"path": "/srv/data/report.txt", "text": "hello, world", "n": number}
        params = {"name": tool, "arguments": arguments} | ({"_meta": meta} if meta else {})
        body = json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}).encode()
        began = time.perf_counter()
        writer.write(_head(at.path, at.netloc, tool, len(body), modern=bool(meta)) + body)
        answer = json.loads(await _body(reader))
        each_s.append(time.perf_counter() - began)
        if answer["id"] != number or "result" not in answer or answer["result"].get("isError"):
            raise RuntimeError(f"call {number} was answered with {answer}")
    writer.close()


def _head(path: str, host: str, tool: str, length: int, *, modern: bool) -> bytes:
    headers = {
        "Host": host,
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "Content-Length": str(length),
    }
    if modern:
        headers |= {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": tool}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {path or '/'} HTTP/1.1\r\n{lines}\r\n".encode()


async def _body(reader: asyncio.StreamReader) -> bytes:
    """Return the body of one answer: of known length, in chunks, or as the one message of an event stream."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"content-length:" in head:
        body = await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
    else:
        body = b""
        while length := int((await reader.readuntil(b"\r\n")).strip(), 16):
            body += await reader.readexactly(length)
            await reader.readexactly(2)
        await reader.readexactly(2)
    if b"text/event-stream" in head:
        return b"".join(line[5:] for line in body.splitlines() if line.startswith(b"data:") and line[5:].strip())
    return body
