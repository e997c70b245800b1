# SPDX-License-Identifier: Apache-2.0
"""A server with all that the scenes need, on whichever SDK its environment has. Run as a script.

    server.py BUILD WAY TRANSPORT

BUILD is `v1`, `v2` or `fastmcp`; WAY is `bare`, `instrument` or `middleware`; TRANSPORT is `stdio`, or `http`
or `sse`, which print their port. Over HTTP the token `let-me-in` is asked for where ONRECORD_PARITY_TOKEN is set.
"""

import asyncio
import base64
import logging
import os
import socket
import sys
from importlib import import_module
from typing import Any

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
ISSUER = "https://issuer.example"
REFUSED = 4711  # the server's own code of an error
LARGE = 1_000_000  # characters


def is_newer() -> bool:
    try:
        import_module("mcp_types")
    except ImportError:
        return False
    return True


def made(build: str) -> tuple[Any, Any, Any]:
    """Return a server, the type of the context of its handlers, and that of images."""
    if build == "v1":
        kit = import_module("mcp.server.fastmcp")
        return kit.FastMCP("parity", log_level="ERROR", **guarded(build)), kit.Context, kit.Image
    if build == "v2":
        kit = import_module("mcp.server.mcpserver")
        server = kit.MCPServer("parity", version="1.0", log_level="ERROR", **guarded(build))
        return server, kit.Context, kit.Image
    kit = import_module("fastmcp")
    return (
        kit.FastMCP("parity", version="1.0", **guarded(build)),
        kit.Context,
        import_module("fastmcp.utilities.types").Image,
    )


def guarded(build: str) -> dict[str, Any]:
    """Return what has a server ask for a token, where it is to."""
    if not os.environ.get("ONRECORD_PARITY_TOKEN"):
        return {}
    if build == "fastmcp":
        verifier = import_module("fastmcp.server.auth.providers.jwt").StaticTokenVerifier
        return {"auth": verifier({"let-me-in": {"client_id": "client-1", "scopes": ["use"], "sub": "ada"}})}
    about = import_module("mcp.server.auth.settings").AuthSettings
    access_token = import_module("mcp.server.auth.provider").AccessToken

    class Verifier:
        async def verify_token(self, token: str) -> Any:
            if token != "let-me-in":
                return None
            return access_token(token=token, client_id="client-1", scopes=["use"], subject="ada")

    settings = about(issuer_url=ISSUER, resource_server_url="http://127.0.0.1", required_scopes=["use"])
    return {"token_verifier": Verifier(), "auth": settings}


# what it offers


def hello(name: str) -> str:
    """Say hello."""
    return f"hello {name}"


def add(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}


def boom() -> str:
    """Fail."""
    raise ValueError("it broke")


async def refuse() -> str:
    """Fail by an error of the protocol, where the SDK lets a tool do that."""
    if is_newer():
        raise import_module("mcp").MCPError(REFUSED, "refused by the server", {"why": "it always is"})
    error = import_module("mcp.types").ErrorData(code=REFUSED, message="refused by the server")
    raise import_module("mcp").McpError(error)


async def slow(ctx):
    """Say that it has begun, and take long."""
    await ctx.report_progress(1, 2, "begun")
    await asyncio.sleep(15)
    return "at last"


async def steps(ctx):
    """Say how far it is."""
    await ctx.report_progress(1, 2, "step 1")
    await ctx.report_progress(2, 2, "step 2")
    return "done"


async def ask(ctx):
    """Ask who it is."""
    from pydantic import BaseModel

    class Who(BaseModel):
        name: str

    if is_modern(ctx):
        return asked_in_result(ctx)
    given = await ctx.elicit("who is it?", Who)
    return given.data.name if given.action == "accept" else given.action


def is_modern(ctx):
    """Say whether a call is of a revision in which nobody asks a client but by a result."""
    return is_newer() and ctx.request_context.protocol_version == "2026-07-28"


def asked_in_result(ctx):
    """Ask who it is by a result, and go on when the call comes again."""
    types = import_module("mcp_types")
    if ctx.input_responses:
        return ctx.input_responses["who"].content["name"]
    form = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    params = types.ElicitRequestFormParams(message="who is it?", requested_schema=form)
    return types.InputRequiredResult(input_requests={"who": types.ElicitRequest(params=params)})


async def think(ctx):
    """Ask a model."""
    types = import_module("mcp_types" if is_newer() else "mcp.types")
    said = types.SamplingMessage(role="user", content=types.TextContent(type="text", text="think"))
    answer = await ctx.session.create_message([said], max_tokens=10)
    return answer.content.text


def large() -> str:
    """Say much."""
    return "x" * LARGE


def erase(what: str) -> str:
    """Erase what nobody may erase."""
    return f"erased {what}"


def pay(amount: int) -> dict[str, int]:
    """Pay."""
    return {"paid": amount}


def noted(name: str) -> str:
    """Say what only the handler knows."""
    if sys.argv[2] != "bare":
        from onrecord import annotate

        annotate(resource=f"db:{name}", rollback="undo-1", before={"rows": 1}, after={"rows": 2})
    return "noted"


def note() -> str:
    return "a note"


def greet(name: str) -> str:
    return f"greet {name}"


def equipped(build: str) -> Any:
    """Return a server that offers all of it."""
    server, context, image = made(build)

    def picture():
        return image(data=PNG, format="png")

    for tool in (slow, steps, ask, think):
        tool.__annotations__ = {"ctx": context, "return": str}
    if build != "fastmcp":  # which would take it for something structured
        picture.__annotations__ = {"return": image}
    for tool in (hello, add, boom, refuse, slow, steps, ask, think, large, picture, erase, pay, noted):
        server.tool()(tool)
    server.resource("note://one")(note)
    server.prompt()(greet)
    return server


def recorded(build: str, way: str) -> Any:
    """Return the server, on the record in the way that is asked for."""
    if way == "bare":
        return equipped(build)
    if way == "instrument":
        from onrecord import instrument

        server = equipped(build)
        instrument(server, server_id="parity")
        return server
    from onrecord.fastmcp import OnRecord

    server = equipped(build)
    server.add_middleware(OnRecord(server_id="parity"))
    return server


def log_plainly() -> None:
    """Have logs as plain lines: the SDKs' own ways to show a traceback take a second to get ready."""
    logging.basicConfig(force=True, level=logging.ERROR)
    logger = logging.getLogger("fastmcp")
    logger.handlers.clear()
    logger.propagate = True


def main() -> None:
    build, way, transport = sys.argv[1:]
    server = recorded(build, way)
    log_plainly()
    if transport == "stdio":
        server.run("stdio", **({"show_banner": False} if build == "fastmcp" else {}))
        return
    import uvicorn

    if build == "fastmcp":
        app = server.http_app(transport="sse" if transport == "sse" else "http")
    else:
        app = server.sse_app() if transport == "sse" else server.streamable_http_app()
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listening])


if __name__ == "__main__":
    main()
