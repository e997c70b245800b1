# SPDX-License-Identifier: Apache-2.0
"""`python -m onrecord.cli.canary_sdk`: the canary on the official Python SDK that is installed here, over stdio.

It records itself, as a server does that calls `onrecord.instrument`, in the home and with the settings in force; with
`--bare` it does not, so that what recording costs can be told. What it offers is what `canary.py` does.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from onrecord.canary import OFFERED, echoed
from onrecord.cli.terminal import say
from onrecord.errors import OnRecordError
from onrecord.rules.canary import NOTE
from onrecord.version import __version__

_NAME = "onrecord-canary"


def command(config: Path | None, *, bare: bool = False) -> list[str]:
    """Return how to start it, with the settings `config`, if any."""
    given = [] if config is None else ["--config", str(config)]
    return [sys.executable, "-P", "-m", "onrecord.cli.canary_sdk", *given, *(["--bare"] if bare else [])]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until standard input ends, and return the exit code."""
    parser = ArgumentParser()
    parser.add_argument("--config", type=Path)
    parser.add_argument("--bare", action="store_true")
    options = parser.parse_args(arguments)
    from onrecord.instrumenting import inside_of_canary, line_of_sdk, put_on_record  # needs the SDK

    try:
        server = _older() if line_of_sdk() == 1 else _newer()
        if not options.bare:
            put_on_record(server, partial(inside_of_canary, options.config))
    except OnRecordError as e:
        say(str(e))
        return 2
    except ImportError as e:
        say(f"the SDK cannot be imported: {e}")
        return 2
    import anyio

    anyio.run(_serve, server)
    return 0


async def _serve(server: Any) -> None:
    from mcp.server.stdio import stdio_server

    async with stdio_server() as (reads, writes):
        await server.run(reads, writes, server.create_initialization_options())


def _newer() -> Any:
    from mcp.server import Server
    from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, Tool

    async def list_tools(_ctx: Any, _params: Any) -> ListToolsResult:
        return ListToolsResult(tools=[Tool.model_validate(OFFERED)])

    async def call_tool(ctx: Any, params: CallToolRequestParams) -> CallToolResult:
        return CallToolResult.model_validate(echoed(params.arguments or {}, _note(ctx.params.get("_meta"))))

    return Server(_NAME, version=__version__, on_list_tools=list_tools, on_call_tool=call_tool)


def _older() -> Any:
    server: Any = import_module("mcp.server.lowlevel").Server(_NAME, __version__)
    types = import_module("mcp.types")

    async def list_tools() -> list[Any]:
        return [types.Tool.model_validate(OFFERED)]

    async def call_tool(_name: str, arguments: dict[str, Any]) -> Any:
        meta = server.request_context.meta
        note = _note(None if meta is None else meta.model_extra)
        return types.CallToolResult.model_validate(echoed(arguments, note))

    server.list_tools()(list_tools)
    server.call_tool(validate_input=False)(call_tool)
    return server


def _note(meta: Any) -> object:
    return None if meta is None else meta.get(NOTE)


if __name__ == "__main__":
    sys.exit(main())
