# SPDX-License-Identifier: Apache-2.0
"""The cheapest MCP server there is, so that what is measured is not the server."""

import json
import sys
from typing import Any

TOOLS = [
    {"name": "echo", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}},
    {"name": "store", "inputSchema": {"type": "object"}},
    {"name": "erase", "inputSchema": {"type": "object"}, "annotations": {"destructiveHint": True}},
]


def answer_to(request: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to `request`."""
    if request["method"] == "tools/list":
        result: dict[str, Any] = {"tools": TOOLS}
    else:
        result = {"content": [{"type": "text", "text": request["params"]["arguments"]["text"]}]}
    return {"jsonrpc": "2.0", "id": request["id"], "result": result}


if __name__ == "__main__":
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(json.dumps(answer_to(json.loads(line))).encode() + b"\n")
        sys.stdout.buffer.flush()
