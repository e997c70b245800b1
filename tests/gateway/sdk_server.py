# SPDX-License-Identifier: Apache-2.0
"""A server on the official SDK, over HTTP, in both eras. Run as a script; prints its port."""

import asyncio
import socket
import sys

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from pydantic import BaseModel

server = MCPServer("real")


class Sure(BaseModel):
    sure: bool


@server.tool()
def echo(text: str) -> str:
    """Say it again."""
    return text


@server.tool()
async def count(to: int, ctx: Context) -> int:
    """Report progress on the way."""
    for step in range(to):
        await ctx.report_progress(step, to, f"step {step}")
    return to


@server.tool()
async def sleep(seconds: float) -> str:
    """Take its time."""
    await asyncio.sleep(seconds)
    return "slept"


@server.tool()
async def confirm(ctx: Context) -> str:
    """Ask the person behind the client."""
    answer = await ctx.elicit("sure?", Sure)
    return answer.action


listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
stateless = "stateless" in sys.argv
app = server.streamable_http_app(stateless_http=stateless)
uvicorn.Server(uvicorn.Config(app, log_level="critical")).run(sockets=[listening])
