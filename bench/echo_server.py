# SPDX-License-Identifier: Apache-2.0
"""The cheapest MCP server there is, so that what is measured is not the server."""

import json
import sys

TOOLS = [
    {"name": "echo", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}},
    {"name": "store", "inputSchema": {"type": "object"}},
    {"name": "erase", "inputSchema": {"type": "object"}, "annotations": {"destructiveHint": True}},
]

for line in sys.stdin.buffer:
    request = json.loads(line)
    if request["method"] == "tools/list":
        result = {"tools": TOOLS}
    else:
        result = {"content": [{"type": "text", "text": request["params"]["arguments"]["text"]}]}
    sys.stdout.buffer.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode() + b"\n")
    sys.stdout.buffer.flush()
