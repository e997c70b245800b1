# SPDX-License-Identifier: Apache-2.0
"""`python -m onrecord.canary`: the server of `onrecord selftest`, with one harmless tool, in both eras of the protocol.

Its tool says by a digest what it was called with, and answers with dummy secrets of its own. It opens no file and no
connection, and ends with its input. `cli/canary_http.py` and `cli/canary_sdk.py` are the same over HTTP and on an SDK.
What it says of its tool is pinned in each home that a self-test has run in, so it stays as it is, word for word:
another definition gets another name.
"""

import json
import sys
from collections.abc import Iterable
from typing import IO, Any

from onrecord.rules.canary import NOTE, TOOL, digest_of, planted
from onrecord.version import __version__

LEGACY, MODERN = "2025-11-25", "2026-07-28"

_VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
_UNKNOWN_METHOD = -32601
_ABOUT = {"name": "onrecord-canary", "version": __version__}
OFFERED = {
    "name": TOOL,
    "description": "Says what it was called with. Changes nothing.",
    "inputSchema": {"type": "object"},
    "annotations": {"readOnlyHint": True},
}
"""The tool, as the server lists it."""

_CACHED: dict[str, Any] = {"ttlMs": 0, "cacheScope": "private"}


def command() -> list[str]:
    """Return how to start the server, with the interpreter in use and without what lies in the folder it is in."""
    return [sys.executable, "-P", "-m", "onrecord.canary"]


def serve(lines: Iterable[bytes], out: IO[bytes]) -> None:
    """Answer each request of `lines`, which are as `onrecord run` lets them through."""
    for line in lines:
        request = json.loads(line)
        if "method" in request and "id" in request:
            out.write(answered(request) + b"\n")
            out.flush()


def answered(request: dict[str, Any]) -> bytes:
    """Return the answer to a request as a line, without its end."""
    answer = _answer(request["method"], request.get("params") or {})
    return json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer}).encode()


def _answer(method: str, params: dict[str, Any]) -> dict[str, Any]:
    modern = _VERSION_KEY in params.get("_meta", {})
    result: dict[str, Any]
    if method == "initialize":
        return {"result": {"protocolVersion": LEGACY, "capabilities": {"tools": {}}, "serverInfo": _ABOUT}}
    if method == "server/discover":
        result = {"supportedVersions": [MODERN], "capabilities": {"tools": {}}, "serverInfo": _ABOUT, **_CACHED}
    elif method == "tools/list":
        result = {"tools": [OFFERED], **(_CACHED if modern else {})}
    elif method == "tools/call" and params.get("name") == TOOL:
        result = echoed(params.get("arguments", {}), params.get("_meta", {}).get(NOTE))
    elif method == "ping":
        result = {}
    else:
        return {"error": {"code": _UNKNOWN_METHOD, "message": "this server only answers onrecord selftest"}}
    return {"result": {"resultType": "complete", **result} if modern else result}


def echoed(arguments: dict[str, Any], note: object) -> dict[str, Any]:
    """Return the result of a call: what came, by its digest, and secrets of the server's own where a run is named."""
    run = arguments.get("run")
    if not isinstance(run, str):
        return {"content": [{"type": "text", "text": "here"}]}
    said = {"value": planted(run, "structured value"), "in": {planted(run, "structured key"): 1}}
    return {
        "content": [{"type": "text", "text": f"canary {planted(run, 'text')} end"}],
        "structuredContent": {"received": digest_of(arguments, note), "said": said},  # pyright: ignore[reportArgumentType]
        "_meta": {NOTE: f"canary {planted(run, 'result _meta')} end"},
    }


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
