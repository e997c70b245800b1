"""What we use of FastMCP 2.14, 3.4 and 4.1, which are not installed beside the tools."""

from collections.abc import Callable
from typing import Any

from fastmcp.server.middleware import Middleware

class FastMCP:
    name: str
    middleware: list[Middleware]
    http_app: Callable[..., Any]
    async def list_tools(self) -> list[Any]: ...
