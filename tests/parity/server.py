# SPDX-License-Identifier: Apache-2.0
"""A server with all that the scenes need, on whichever SDK its environment has. Run as a script.

    server.py BUILD WAY TRANSPORT

BUILD is `v1`, `v2` or `fastmcp`; WAY is `bare`, `instrument` or `middleware`; TRANSPORT is `stdio`, or `http`
or `sse`, which print their port. Over HTTP the token `let-me-in` is asked for where ONRECORD_PARITY_TOKEN is set.
"""

import asyncio
import base64
import os
import socket
import sys
from importlib import import_module
from typing import Any

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
ISSUER = "https://issuer.example"


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
        return kit.MCPServer("parity", log_level="ERROR", **guarded(build)), kit.Context, kit.Image
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


async def slow() -> str:
    """Take long."""
    await asyncio.sleep(6)
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

    given = await ctx.elicit("who is it?", Who)
    return given.data.name if given.action == "accept" else given.action


async def think(ctx):
    """Ask a model."""
    types = import_module("mcp_types" if is_newer() else "mcp.types")
    said = types.SamplingMessage(role="user", content=types.TextContent(type="text", text="think"))
    answer = await ctx.session.create_message([said], max_tokens=10)
    return answer.content.text


def large() -> str:
    """Say much."""
    return "x" * 300_000


def erase(what: str) -> str:
    """Erase what nobody may erase."""
    return f"erased {what}"


def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


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

    for tool in (steps, ask, think):
        tool.__annotations__ = {"ctx": context, "return": str}
    if build != "fastmcp":  # which would take it for something structured
        picture.__annotations__ = {"return": image}
    for tool in (hello, add, boom, slow, steps, ask, think, large, picture, erase, pay, noted):
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


def main() -> None:
    build, way, transport = sys.argv[1:]
    server = recorded(build, way)
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
