# SPDX-License-Identifier: Apache-2.0
"""A call that a FastMCP server gets in its own process, and by no wire: recorded as one of whoever runs the process.

It is put on a line as a client would have sent it, and what comes of it as the server would have answered. Where the
relay changes nothing, the caller gets the very object, or exception, that came.
"""

import base64
import json
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from fastmcp import exceptions
from fastmcp.server.middleware import CallNext, MiddlewareContext

from onrecord.doors.framing import answer_line, request_line
from onrecord.doors.inside import Inside, Running
from onrecord.doors.passage import Passage
from onrecord.errors import OnRecordError

CALLS: Mapping[str, type[Exception]] = {
    "tools/call": exceptions.ToolError,
    "resources/read": exceptions.ResourceError,
    "prompts/get": exceptions.PromptError,
}
"""What is a call, and what its caller is told by where it is not made."""


_INTERNAL_ERROR = -32603  # JSON-RPC 2.0


class Beside:
    """One such call."""

    def __init__(self, inside: Inside, context: MiddlewareContext, call_next: CallNext) -> None:
        assert context.method is not None
        self._inside = inside
        self._context = context
        self._next = call_next
        self._method = context.method
        self._refused = CALLS[context.method]
        self._line = self._answer = b""
        self._result: Any = None
        self._raised: Exception | None = None

    async def result(self) -> Any:
        """Return what the caller gets. Raises what the call raised, or the error that says why it was not made."""
        try:
            running = await self._inside.running()
            running.check()
        except OnRecordError as e:
            raise self._refused(f"not recorded, so not run: {e}") from e
        passage = running.passage(running.here)
        try:
            await self._learn(running, passage)
            return await self._made(passage)
        finally:
            running.done(passage)

    async def _made(self, passage: Passage) -> Any:
        number = passage.next_number()
        self._line = request_line(number, self._method, _json(_dumped(self._context.message)))
        answer = await passage.request(self._line, number, self._forward)
        if answer is not self._answer:
            return self._read(json.loads(answer))
        if self._raised is not None:
            raise self._raised
        return self._result

    async def _learn(self, running: Running, passage: Passage) -> None:
        """Have the server list its tools, where the one that is called is not known."""
        server: Any = self._context.fastmcp_context and self._context.fastmcp_context.fastmcp
        name = getattr(self._context.message, "name", "")
        if self._method != "tools/call" or running.here.is_listed(name) or not hasattr(server, "list_tools"):
            return  # 2.x has no such calls of its own, and no way to ask
        number = passage.next_number()

        async def listed(_line: bytes) -> bytes:
            tools = {tool.name: _dumped(tool.to_mcp_tool(name=tool.name)) for tool in await server.list_tools()}
            return answer_line(number, _json({"tools": list(tools.values())}))

        await passage.request(request_line(number, "tools/list", b"{}"), number, listed)

    async def _forward(self, line: bytes) -> bytes:
        context = self._context
        if line is not self._line:
            message = context.message.__class__.model_validate(json.loads(line).get("params", {}))
            context = context.copy(message=message)
        number = json.loads(line)["id"]
        try:
            self._result = await self._next(context)
        except Exception as e:  # noqa: BLE001  # whatever is raised is recorded, then raised again
            self._raised = e
            self._answer = answer_line(number, _json(self._failed(e)), error=self._method != "tools/call")
        else:
            self._answer = answer_line(number, _json(self._body()))
        return self._answer

    def _failed(self, error: Exception) -> dict[str, Any]:
        if self._method == "tools/call":
            return {"content": [{"type": "text", "text": str(error)}], "isError": True}
        return {"code": _INTERNAL_ERROR, "message": str(error)}

    def _body(self) -> dict[str, Any]:
        """Return the result as the server would put it on the wire."""
        result = self._result
        if hasattr(result, "input_required"):
            return _dumped(result.input_required)
        if self._method == "tools/call":
            content = [_dumped(block) for block in result.content]
            body = {"content": content, "isError": getattr(result, "is_error", False)}
            return (
                body if result.structured_content is None else {**body, "structuredContent": result.structured_content}
            )
        if self._method == "prompts/get":
            return _dumped(result.to_mcp_prompt_result() if hasattr(result, "to_mcp_prompt_result") else result)
        return {"contents": [self._content(one) for one in getattr(result, "contents", result)]}

    def _content(self, one: Any) -> dict[str, Any]:
        about = {"uri": str(self._context.message.uri), "mimeType": one.mime_type}
        if isinstance(one.content, bytes):
            return {**about, "blob": base64.b64encode(one.content).decode()}
        return {**about, "text": one.content}

    def _read(self, message: dict[str, Any]) -> Any:
        """Return what stands in the place of the result. Raises the error that does."""
        if "error" in message:
            raise self._refused(message["error"]["message"])
        body = message["result"]
        if self._method != "tools/call":
            raise self._refused("a policy changed what came back, which cannot be handed on here")
        if body.get("isError"):
            raise self._refused("\n".join(block.get("text", "") for block in body["content"]))
        result = _types().CallToolResult.model_validate(body)
        return type(self._result)(content=result.content, structured_content=body.get("structuredContent"))


def _types() -> Any:
    """Return the module of the SDK's types: the newer line has them in a package of their own."""
    try:
        return import_module("mcp_types")
    except ImportError:
        return import_module("mcp.types")


def _dumped(model: Any) -> dict[str, Any]:
    return model.model_dump(by_alias=True, mode="json", exclude_none=True)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
