# SPDX-License-Identifier: Apache-2.0
"""A stdio server that says, in all that a server can say, what a plan (a JSON file) tells it. Run as a script."""

import json
import sys
from pathlib import Path

PLAN = json.loads(Path(sys.argv[1]).read_bytes())
SCHEMA = {"type": "object", "properties": {"code": {"type": "string", "x-sensitive": True}, "n": {}}}


def send(**message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def texts(carrier):
    return [{"type": "text", "text": text} for text in PLAN[carrier]]


def joined(carrier):
    return " | ".join(PLAN[carrier])


def ask(method, params):
    send(id="server-1", method=method, params=params)
    sys.stdin.readline()


for line in sys.stdin:
    try:
        request = json.loads(line)
    except ValueError:
        continue
    method, params = request.get("method"), request.get("params", {})
    if "id" not in request or method is None:
        continue
    result, error, name = {"content": []}, None, params.get("name")
    if method == "initialize":
        info = {"name": "server " + joined("server name"), "version": "1"}
        result = {
            "protocolVersion": "2025-11-25",
            "serverInfo": info,
            "capabilities": {},
            "instructions": joined("instructions"),
        }
    elif method == "tools/list":
        tools = [{"name": name, "inputSchema": SCHEMA} for name in [*PLAN, "echo"]]
        tools.append({"name": "described", "description": joined("tool description"), "inputSchema": SCHEMA})
        result = {"tools": tools}
    elif method == "resources/templates/list":
        result = {"resourceTemplates": [{"name": "x", "uriTemplate": "x://{a}/" + joined("uri template")}]}
    elif method == "resources/list":
        result = {"resources": [{"name": joined("resource list"), "uri": "x://a"}]}
    elif method == "resources/read":
        result = {"contents": [{"uri": "x://a?" + joined("resource contents"), "text": joined("resource contents")}]}
    elif method == "prompts/get":
        result = {"messages": [{"role": "user", "content": block} for block in texts("prompt messages")]}
    elif method == "completion/complete":
        result = {"completion": {"values": PLAN["completion values"]}}
    elif name == "echo":
        result = {"content": [{"type": "text", "text": json.dumps(params["arguments"])}]}
    elif name == "content":
        result = {"content": texts("content")}
    elif name == "split blocks":
        cut = [text[at : at + 9] for text in PLAN["split blocks"] for at in range(0, len(text), 9)]
        result = {"content": [{"type": "text", "text": piece} for piece in cut]}
    elif name == "structured":
        result = {
            "content": [],
            "structuredContent": {"said": PLAN["structured"], "in": {"side": joined("structured")}},
        }
    elif name == "structured key":
        result = {"content": [], "structuredContent": dict.fromkeys(PLAN["structured key"], 1)}
    elif name == "embedded text":
        result = {"content": [{"type": "resource", "resource": {"uri": "x://a", "text": text}} for text in PLAN[name]]}
    elif name == "embedded uri":
        result = {
            "content": [{"type": "resource", "resource": {"uri": "x://a/?" + text, "blob": ""}} for text in PLAN[name]]
        }
    elif name == "embedded blob":
        result = {"content": [{"type": "resource", "resource": {"uri": "x://a", "blob": text}} for text in PLAN[name]]}
    elif name == "image":
        result = {"content": [{"type": "image", "data": text, "mimeType": text} for text in PLAN[name]]}
    elif name == "resource link":
        result = {
            "content": [
                {"type": "resource_link", "uri": "x://a#" + text, "name": text, "description": text}
                for text in PLAN[name]
            ]
        }
    elif name == "result meta":
        result = {"content": [], "_meta": {"x/y": PLAN[name], **dict.fromkeys(PLAN[name], 1)}}
    elif name == "tool error":
        result = {"content": texts(name), "isError": True}
    elif name == "traceback":
        text = "Traceback (most recent call last):\n  File 'x.py', line 3\nLoginError: " + repr(joined(name))
        result = {"content": [{"type": "text", "text": text}], "isError": True}
    elif name == "jsonrpc error":
        error = {"code": -32602, "message": "bad " + joined(name), "data": {"why": PLAN[name]}}
    elif name == "log":
        send(method="notifications/message", params={"level": "error", "logger": joined(name), "data": PLAN[name]})
    elif name == "progress":
        send(method="notifications/progress", params={"progressToken": 1, "progress": 1, "message": joined(name)})
    elif name == "junk":
        print("Listening: " + joined(name), flush=True)
    elif name == "stderr":
        print("failed for " + joined(name), file=sys.stderr, flush=True)
    elif name == "elicitation":
        ask("elicitation/create", {"message": joined(name), "requestedSchema": {}})
    elif name == "sampling":
        ask(
            "sampling/createMessage",
            {"messages": [{"role": "user", "content": b} for b in texts(name)], "systemPrompt": joined(name)},
        )
    elif name == "roots":
        ask("roots/list", {"_meta": {"x": joined(name)}})
    elif name == "server method":
        ask("vendor/" + joined(name), {"x": PLAN[name]})
    elif name == "odd answer":
        result = PLAN[name]
    send(id=request["id"], **({"error": error} if error else {"result": result}))
