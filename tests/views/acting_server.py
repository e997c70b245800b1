# SPDX-License-Identifier: Apache-2.0
"""A stdio server whose tools, and what each answers, are what a plan (a JSON file) says at the time. Run as a script.

What `held` names is answered only once something else was asked for, as by a server that hangs and comes back.
"""

import json
import sys
from pathlib import Path

held = []


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
        info = {"name": plan.get("calls_itself", "acting"), "version": "1"}
        result = {"protocolVersion": "2025-11-25", "serverInfo": info, "capabilities": {}}
    elif method == "tools/list":
        result = {"tools": plan["tools"]}
    elif method == "tools/call":
        result = plan["answers"].get(params["name"], {"content": [{"type": "text", "text": "done"}]})
        if params["name"] in plan.get("dies_at", []):
            sys.exit(3)
        if params["name"] in plan.get("held", []) and not held:
            held.append({"id": request["id"], "result": result})
            continue
    send(id=request["id"], result=result)
    while held and method == "tools/call":
        send(**held.pop())
        plan["held"] = []
