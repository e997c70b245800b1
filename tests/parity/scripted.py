# SPDX-License-Identifier: Apache-2.0
"""What every door is put in front of: a server on the official SDK that does one thing of each kind, and always alike.

`make()` is the server, for doors in its process. Run as a script it speaks on standard input and output; with `http` it
listens on a free port of this machine, which it prints.
"""

import socket
import sys
from typing import Any

import anyio
import mcp_types as types
import uvicorn
from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

LARGE = 1_000_000  # characters
REFUSED = 4711  # the server's own code of an error
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M/wHwAEBgIApD5fRAAAAABJRU5ErkJggg=="
FORM: Any = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
PAID = {"type": "object", "properties": {"paid": {"type": "integer"}}, "required": ["paid"]}

Wire = dict[str, Any]


def tool(name: str, output: Wire | None = None, **properties: str) -> Wire:
    """Return the definition of a tool, all of whose arguments are needed."""
    schema = {"type": "object", "properties": {key: {"type": kind} for key, kind in properties.items()}}
    schema |= {"required": list(properties), "additionalProperties": False}
    about = {"name": name, "description": f"The tool {name}.", "inputSchema": schema}
    return about if output is None else {**about, "outputSchema": output}


TOOLS = [
    tool("echo", text="string"),
    tool("fail"),
    tool("refuse"),
    tool("erase", text="string"),
    tool("pay", PAID, amount="integer"),
    tool("wait"),
    tool("count", upto="integer"),
    tool("ask"),
    tool("fill"),
    tool("draw"),
]


def text(said: str) -> Wire:
    """Return a result that is a text."""
    return {"content": [{"type": "text", "text": said}]}


async def wait(ctx: Any) -> Wire:
    """Say that the call has begun, and go on until somebody ends it."""
    await ctx.session.report_progress(1, 2)
    await anyio.sleep_forever()
    return text("never")


async def count(ctx: Any, upto: int) -> Wire:
    for number in range(1, upto + 1):
        await ctx.session.report_progress(number, upto)
    return text(f"counted to {upto}")


async def ask(ctx: Any) -> Wire:
    """Ask who is there: by a request of its own, or from 2026-07-28 on by a result."""
    question = "Who is there?"
    if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
        answers = (ctx.params or {}).get("inputResponses")
        if not answers:
            asked = {"method": "elicitation/create", "params": {"message": question, "requestedSchema": FORM}}
            return {"resultType": "input_required", "inputRequests": {"who": asked}}
        content = answers["who"]["content"]
    else:
        content = (await ctx.session.elicit_form(question, FORM, related_request_id=ctx.request_id)).content
    return text(f"Hello, {content['name']}!")


async def call_tool(ctx: Any, params: Any) -> Any:
    given = params.arguments or {}
    match params.name:
        case "echo" | "erase":
            return text(given["text"])
        case "fail":
            return {**text("this did not work"), "isError": True}
        case "refuse":
            raise MCPError(REFUSED, "refused by the server", {"why": "it always is"})
        case "pay":
            return {**text(f"paid {given['amount']}"), "structuredContent": {"paid": given["amount"]}}
        case "wait":
            return await wait(ctx)
        case "count":
            return await count(ctx, given["upto"])
        case "ask":
            return await ask(ctx)
        case "fill":
            return text("x" * LARGE)
        case "draw":
            return {"content": [{"type": "image", "data": PNG, "mimeType": "image/png"}]}
        case _:
            raise MCPError(types.INVALID_PARAMS, f"there is no tool {params.name!r}")


async def list_tools(ctx: Any, params: Any) -> Any:
    return {"tools": TOOLS}


async def read_resource(ctx: Any, params: Any) -> Any:
    return {"contents": [{"uri": str(params.uri), "mimeType": "text/plain", "text": "a note"}]}


async def list_resources(ctx: Any, params: Any) -> Any:
    return {"resources": [{"uri": "parity://note", "name": "note"}]}


async def list_prompts(ctx: Any, params: Any) -> Any:
    return {"prompts": [{"name": "greet", "arguments": [{"name": "who", "required": True}]}]}


async def get_prompt(ctx: Any, params: Any) -> Any:
    return {"messages": [{"role": "user", "content": {"type": "text", "text": f"Greet {params.arguments['who']}."}}]}


def whole(handle: Any, *, kept: bool = False) -> Any:
    """Return `handle` with results that have what 2026-07-28 wants; `kept` says that they may be."""

    async def answer(ctx: Any, params: Any) -> Wire:
        hints = {"resultType": "complete", **({"ttlMs": 0, "cacheScope": "private"} if kept else {})}
        return {**(hints if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS else {}), **await handle(ctx, params)}

    return answer


def make() -> Server:
    """Return the server."""
    schemas = {tool["name"]: tool["inputSchema"] for tool in TOOLS}
    return Server(
        "parity",
        version="1.0.0",
        get_tool_input_schema=schemas.get,
        on_list_tools=whole(list_tools, kept=True),
        on_call_tool=whole(call_tool),
        on_list_resources=whole(list_resources, kept=True),
        on_read_resource=whole(read_resource, kept=True),
        on_list_prompts=whole(list_prompts, kept=True),
        on_get_prompt=whole(get_prompt),
    )


async def on_stdio() -> None:
    server = make()
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


def on_http() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(make().streamable_http_app(), log_level="warning")).run(sockets=[listening])


if __name__ == "__main__":
    on_http() if sys.argv[1:] == ["http"] else anyio.run(on_stdio)
