# SPDX-License-Identifier: Apache-2.0
"""A server of the official SDK that pays, and asks first: nothing, one or two questions, or by a state of its own.

    python asking_server.py KIND FOLDER

What it reads is kept in FOLDER/read, a line each; what it did in FOLDER/done.
"""

import io
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import anyio
import mcp_types as types
from mcp.server import MCPServer, Server
from mcp.server.mcpserver.resolve import Elicit, Resolve
from mcp.server.request_state import RequestStateSecurity
from mcp.server.stdio import stdio_server
from pydantic import BaseModel

KIND, FOLDER = sys.argv[1], Path(sys.argv[2])


class Name(BaseModel):
    name: str


class Sure(BaseModel):
    sure: bool


def done(what: str) -> str:
    with (FOLDER / "done").open("a") as file:
        file.write(what + "\n")
    return what


def who(amount: int) -> Elicit[Name]:
    return Elicit(f"who gets {amount}?", Name)


def sure(to: Annotated[Name, Resolve(who)]) -> Elicit[Sure]:
    return Elicit(f"sure that it is {to.name}?", Sure)


def pay_plainly(amount: int) -> str:
    return done(f"paid {amount}")


def pay_somebody(amount: int, to: Annotated[Name, Resolve(who)]) -> str:
    return done(f"paid {amount} to {to.name}")


def pay_surely(amount: int, to: Annotated[Name, Resolve(who)], ok: Annotated[Sure, Resolve(sure)]) -> str:
    return done(f"paid {amount} to {to.name}, sure: {ok.sure}")


async def pay_by_state(_: Any, params: types.CallToolRequestParams) -> types.CallToolResult | types.InputRequiredResult:
    answers, amount = params.input_responses, (params.arguments or {})["amount"]
    if not answers:
        form = types.ElicitRequestFormParams(message="who?", requested_schema={"type": "object", "properties": {}})
        state = None if KIND == "stateless" else f"{amount} is asked for"
        return types.InputRequiredResult(input_requests={"who": types.ElicitRequest(params=form)}, request_state=state)
    text = done(f"paid {amount} to {answers['who'].content['name']}, state: {params.request_state}")  # type: ignore[union-attr]
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)])


async def serve_low() -> None:
    async def tools(*_: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[types.Tool(name="pay", input_schema={"type": "object"})])

    server = Server("payments", on_list_tools=tools, on_call_tool=pay_by_state)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


def serve() -> None:
    tools = {"none": pay_plainly, "one": pay_somebody, "two": pay_surely}
    if KIND not in tools:
        anyio.run(serve_low)
        return
    server = MCPServer(
        "payments", request_state_security=RequestStateSecurity(keys=["a key of the server alone, 32 bytes"])
    )
    server.tool(name="pay")(tools[KIND])
    server.run("stdio")


class Noted(io.RawIOBase):
    """Standard input, of which a copy is kept."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = os.read(0, len(buffer))
        with (FOLDER / "read").open("ab") as file:
            file.write(data)
        buffer[: len(data)] = data
        return len(data)


sys.stdin = io.TextIOWrapper(io.BufferedReader(Noted()))
serve()
