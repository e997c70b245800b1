# SPDX-License-Identifier: Apache-2.0
"""The cheapest MCP server over HTTP there is, so that what is measured is not the server. An ASGI app."""

import json
from typing import Any

from bench.echo_server import answer_to


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer each POST with one JSON message."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        part = await receive()
        body, more = body + part.get("body", b""), part.get("more_body", False)
    answer = json.dumps(answer_to(json.loads(body))).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
