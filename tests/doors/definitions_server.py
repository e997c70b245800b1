# SPDX-License-Identifier: Apache-2.0
"""A stdio server whose definitions are what a plan (a JSON file) says at the time. Run as a script."""

import json
import sys
from pathlib import Path


def send(**message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


for line in sys.stdin:
    request = json.loads(line)
    method, params = request.get("method"), request.get("params", {})
    if "id" not in request or method is None:
        continue
    plan = json.loads(Path(sys.argv[1]).read_bytes())
    result = {}
    if method == "initialize":
        result = {
            "protocolVersion": "2025-11-25",
            "serverInfo": {"name": plan.get("calls_itself", "d"), "version": "1"},
            "capabilities": {},
        }
        result["instructions"] = plan.get("instructions", "")
    elif method == "tools/list":
        at = int(params.get("cursor", "0"))
        result = {"tools": plan["pages"][at], **plan.get("more", {})}
        if at + 1 < len(plan["pages"]):
            result["nextCursor"] = str(at + 1)
    elif method == "prompts/list":
        result = {"prompts": plan.get("prompts", [])}
    elif method == "prompts/get":
        result = {"messages": []}
    elif method == "tools/call":
        if params["name"] == "announce":
            send(method="notifications/tools/list_changed")
        with Path(sys.argv[1] + ".ran").open("a") as ran:
            ran.write(params["name"] + "\n")
        result = {"content": [{"type": "text", "text": "ran"}]}
    send(id=request["id"], result=result)
