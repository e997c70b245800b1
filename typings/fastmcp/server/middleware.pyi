from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeAlias

from fastmcp import FastMCP

class Context(Protocol):
    fastmcp: FastMCP
    request_context: object | None

class MiddlewareContext:
    message: Any
    fastmcp_context: Context | None
    type: str
    method: str | None
    def copy(self, *, message: Any) -> MiddlewareContext: ...

CallNext: TypeAlias = Callable[[MiddlewareContext], Awaitable[Any]]

class Middleware:
    async def __call__(self, context: MiddlewareContext, call_next: CallNext) -> Any: ...
