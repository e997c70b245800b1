# SPDX-License-Identifier: Apache-2.0
"""A client on the older line of the official SDK, in whose environment it is run: COMMAND… of a server.

It reads calls from standard input, as a JSON list of names and arguments, and prints what came: the revision, the
tools, and each answer, a JSON text a line.
"""

import json
import os
import sys

import anyio
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


async def main() -> None:
    server = StdioServerParameters(command=sys.argv[1], args=sys.argv[2:], env=dict(os.environ))
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        opened = await session.initialize()
        print(opened.model_dump_json())
        print((await session.list_tools()).model_dump_json())
        for name, arguments in json.load(sys.stdin):
            print((await session.call_tool(name, arguments)).model_dump_json())


anyio.run(main)
