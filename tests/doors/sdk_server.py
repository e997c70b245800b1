# SPDX-License-Identifier: Apache-2.0
"""A server on the official SDK, whichever of its two lines is there, over HTTP. Run as a script; prints its port.

`old` is a server that knows nothing of 2026-07-28: of the newer SDK, with a door that turns that revision away.
"""

import socket
import sys

import uvicorn

MODE = sys.argv[1]

try:
    from mcp.server import MCPServer

    server = MCPServer("listing")
except ImportError:
    from mcp.server.fastmcp import FastMCP  # pyright: ignore[reportAttributeAccessIssue]  # of the older line

    server = FastMCP("listing")


@server.tool()
def hello(name: str) -> str:
    """Say hello."""
    return name


def turned_away(app):
    async def asked(scope, receive, send):
        headers = dict(scope.get("headers", ()))
        if headers.get(b"mcp-protocol-version") == b"2026-07-28":
            await send({"type": "http.response.start", "status": 400, "headers": []})
            await send({"type": "http.response.body", "body": b"unsupported protocol version"})
        else:
            await app(scope, receive, send)

    return asked


app = server.streamable_http_app()
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
settings = uvicorn.Config(turned_away(app) if MODE == "old" else app, log_level="warning")
uvicorn.Server(settings).run(sockets=[listening])
