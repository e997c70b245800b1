# SPDX-License-Identifier: Apache-2.0
"""A stdio server that does what a test asks for, good and bad. Run as a script; uses nothing of ours."""

import json
import os
import signal
import sys
import time

TOOLS = [
    {"name": "echo", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}},
    {"name": "store", "inputSchema": {"type": "object"}},
    {"name": "erase", "inputSchema": {"type": "object"}, "annotations": {"destructiveHint": True}},
    {
        "name": "login",
        "inputSchema": {
            "type": "object",
            "properties": {"user": {"type": "string"}, "code": {"type": "string", "sensitive": True}},
        },
        "annotations": {"readOnlyHint": True},
    },
    *(
        {"name": name, "inputSchema": {"type": "object"}}
        for name in (
            "fail",
            "raise",
            "hang",
            "die",
            "junk",
            "doubled",
            "late",
            "ask",
            "elicit",
            "size",
            "flood",
            "task",
            "killed",
            "twice",
            "wait",
        )
    ),
]


def send(message):
    line = message if isinstance(message, bytes) else json.dumps(message).encode()
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


def text(value, **more):
    return {"content": [{"type": "text", "text": value}], **more}


def answer(request_id, result):
    send({"jsonrpc": "2.0", "id": request_id, "result": result})


def call(request_id, name, arguments, params):  # noqa: C901 - a list of cases, each two lines
    if name in ("echo", "store", "erase", "login"):
        answer(request_id, text(str(arguments.get("text", arguments))))
    elif name == "fail":
        answer(request_id, text(str(arguments.get("text", "no")), isError=True))
    elif name == "raise":
        error = {"code": -32602, "message": str(arguments.get("text", "bad"))}
        send({"jsonrpc": "2.0", "id": request_id, "error": error})
    elif name == "die":
        sys.exit(3)
    elif name == "killed":
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    elif name == "junk":
        send(b"Listening on nothing, just saying")
        answer(request_id, text("after the junk"))
    elif name == "doubled":
        send(b'{"jsonrpc":"2.0","id":%d,"result":{"content":[],"content":[{"type":"text","text":"x"}]}}' % request_id)
    elif name == "size":
        answer(request_id, text("x" * arguments["bytes"]))
    elif name == "flood":
        for _ in range(2_000):
            sys.stderr.write("z" * 1_000 + "\n")
        answer(request_id, text("flooded"))
    elif name == "wait":
        send({"jsonrpc": "2.0", "method": "notifications/started"})
        while not os.path.exists(arguments["for"]):
            time.sleep(0.01)
        answer(request_id, text("went"))
    elif name == "twice":
        answer(request_id, text("first"))
        answer(request_id, text("second"))
    elif name == "task":
        answer(request_id, {"task": {"taskId": "t-1", "status": "working"}})
    elif name == "ask" and "inputResponses" not in params:
        questions = {"sure": {"method": "elicitation/create", "params": {"message": "sure?"}}}
        answer(request_id, {"resultType": "input_required", "inputRequests": questions, "requestState": "st-1"})
    elif name == "ask":
        answer(request_id, {"resultType": "complete", **text("done")})
    elif name == "elicit":
        send(
            {
                "jsonrpc": "2.0",
                "id": 900,
                "method": "elicitation/create",
                "params": {"message": params.get("arguments", {}).get("text") or "sure?"},
            }
        )
        sys.stdin.buffer.readline()
        answer(request_id, text("thanks"))


def main():
    for line in sys.stdin.buffer:
        request = json.loads(line)
        method, params = request.get("method"), request.get("params", {})
        if method == "initialize":
            info = {"name": "scripted", "version": "1"}
            answer(request["id"], {"protocolVersion": "2025-11-25", "serverInfo": info, "capabilities": {}})
        elif method == "tools/list":
            answer(request["id"], {"tools": TOOLS})
        elif method == "tools/call":
            call(request["id"], params["name"], params.get("arguments", {}), params)
        elif method == "debug/seen":
            answer(request["id"], {"line": line.decode()})
        elif "id" in request and method:
            answer(request["id"], {})
        elif method == "notifications/cancelled" and params.get("reason") == "answer anyway":
            send({"jsonrpc": "2.0", "id": params["requestId"], "error": {"code": -32800, "message": "cancelled"}})
        sys.stderr.write("")
    sys.exit(int(os.environ.get("EXIT_WITH", "0")))


main()
