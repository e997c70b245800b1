# SPDX-License-Identifier: Apache-2.0
"""A small server on the official SDK: over HTTP at the port that is given, else over standard input and output."""

import sys

from mcp.server import MCPServer
from mcp_types import ToolAnnotations

server = MCPServer("echo")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
async def echo(path: str, text: str, n: int) -> str:
    """Say what was said."""
    return f"{path} {text} {n}"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
    else:
        server.run("stdio")
