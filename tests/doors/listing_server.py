# SPDX-License-Identifier: Apache-2.0
"""A stdio server that lists tools, well or badly, as its first argument says. Run as a script; uses nothing of ours."""

import json
import os
import sys
import time

MODE = sys.argv[1]
TOOLS = json.loads(os.environ.get("TOOLS", '[{"name": "one", "inputSchema": {"type": "object"}}]'))
MODERN = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "resultType": "complete"}
started = 0


def send(**message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def answer(to, **result):
    send(id=to["id"], result=result)


def refuse(to, code):
    send(id=to["id"], error={"code": code, "message": "no \x1b[2J"})


def discover(asked):
    if MODE == "dies-at-discover":
        sys.exit(1)
    elif MODE in ("silent", "ignores-discover"):
        pass
    elif MODE == "late-discover":
        time.sleep(0.3)
        answer(asked, **MODERN)
    elif MODE == "modern":
        answer(asked, **MODERN)
    elif MODE == "odd-discover":
        answer(asked, supportedVersions="all of them")
    else:
        refuse(asked, -32601)


def initialise(asked):
    if MODE in ("modern", "late-discover"):
        refuse(asked, -32022)
    elif MODE == "refuses":
        refuse(asked, -32000)
    elif MODE != "silent":
        info = {"name": "listing\n[[tool]]", "version": "\x1b[31m1"}
        answer(asked, protocolVersion="2024-11-05", serverInfo=info, capabilities={})


def list_tools(asked):
    params = asked["params"]
    modern = "_meta" in params and "io.modelcontextprotocol/protocolVersion" in params["_meta"]
    if (MODE in ("modern", "late-discover")) != modern:
        refuse(asked, -32602)
    elif MODE == "lists-nothing":
        refuse(asked, -32601)
    elif MODE in ("dies-at-list", "closes-at-list"):
        if MODE == "closes-at-list":
            os.close(1)
            time.sleep(0.5)
        print("out of \x1b[31mluck", file=sys.stderr, flush=True)
        os._exit(1)
    elif MODE == "endless":
        at = int(params.get("cursor", 0))
        answer(asked, tools=[{"name": f"t{at}"}], nextCursor=str(at + 1))
    elif MODE == "pages":
        at = int(params.get("cursor", 0))
        more = {"nextCursor": str(at + 1)} if at < 2 else {}
        answer(asked, tools=[{"name": f"t{at}", "inputSchema": {}}], **more)
    elif MODE == "talks":
        print("Listening on nothing", flush=True)
        print("[]", flush=True)
        send(method="notifications/message", params={"data": "hello"})
        for at, method in enumerate(("ping", "roots/list", "sampling/createMessage")):
            send(id=at, method=method, params={})
            said = json.loads(sys.stdin.readline())
            assert said["id"] == at, said
            assert ("result" in said) == (method == "ping"), said
        answer(asked, tools=TOOLS)
    else:
        answer(asked, tools=TOOLS)


for line in sys.stdin:
    request = json.loads(line)
    method = request.get("method")
    if method == "server/discover":
        discover(request)
    elif method == "initialize":
        initialise(request)
    elif method == "tools/list":
        list_tools(request)
    else:
        assert method == "notifications/initialized", method
if MODE == "stays":
    time.sleep(600)
