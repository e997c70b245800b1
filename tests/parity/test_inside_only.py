# SPDX-License-Identifier: Apache-2.0
"""What only a door inside of the process has: what a handler adds, calls without a wire, HTTP and its tokens."""

import json
import os
import subprocess
import urllib.error
import urllib.request
from typing import Any

import pytest
from tests.doors.session import record
from tests.identity.issuing import AUDIENCE, ISSUER, call_token, shown
from tests.parity.doors import KINDS, Kind, configured, from_inside, listening, started
from tests.parity.scenes import ENFORCED, UNISSUED
from tests.parity.talk import CAPABILITIES, CLIENT, Talk
from tests.parity.wires import LEGACY

EACH = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
FASTMCP = pytest.mark.parametrize("kind", [KINDS["fastmcp3"], KINDS["fastmcp4"]], ids=["fastmcp3", "fastmcp4"])
OLDER = pytest.mark.parametrize("kind", [KINDS["v1"], KINDS["fastmcp2"], KINDS["fastmcp3"]], ids=lambda kind: kind.name)


def results(home: Any, **about: str) -> list[dict[str, Any]]:
    found = [e for e in record(home) if e.get("phase") == "result"]
    return [e for e in found if all(e.get(key) == value for key, value in about.items())]


@EACH
@pytest.mark.requirement("A6")
def test_what_a_handler_adds_is_on_the_record_of_its_own_call(tmp_path, likeness, kind: Kind):
    home = tmp_path / "home"
    configured(home, ENFORCED, likeness)
    talk = Talk(started(from_inside(kind, kind.ways[-1]), home), LEGACY, home)
    try:
        talk.open()
        both = [talk.begin("tools/call", name="noted", arguments={"name": name}) for name in ("one", "two")]
        for request in both:
            talk.answer_to(request) if not any(m.get("id") == request for m in talk.heard) else None
        talk.end()
    finally:
        talk.kill()

    noted = results(home, tool_name="noted")
    assert sorted(e["downstream_resource"] for e in noted) == ["db:one", "db:two"]
    assert {e["rollback_reference"] for e in noted} == {"undo-1"}


@EACH
@pytest.mark.requirement("C3")
def test_a_signed_call_is_of_whom_its_token_names_and_one_without_is_refused(tmp_path, kind: Kind):
    (tmp_path / "keys.json").write_bytes(shown())
    about = f'issuer = "{ISSUER}"\naudience = "{AUDIENCE}"\njwks = "keys.json"\nrequired = true\n'
    (tmp_path / "onrecord.toml").write_text(f"[identity]\n{about}")
    said = {"name": "ada"}
    signed = {"io.onrecord/identity": call_token("hello", said, aud="parity")}
    talk = Talk(started(from_inside(kind, kind.ways[-1]), tmp_path), LEGACY, tmp_path)
    try:
        talk.open()
        done = talk.ask("tools/call", name="hello", arguments=said, _meta=signed)
        refused = talk.ask("tools/call", name="hello", arguments=said)
        talk.end()
    finally:
        talk.kill()

    assert done["result"]["content"][0]["text"] == "hello ada"
    assert refused["error"]["code"] == -31010
    assert [e["identity_source"] for e in results(tmp_path)] == ["identity_jws"]


PROGRAM = """
import asyncio, json, sys
from fastmcp import FastMCP
from onrecord.fastmcp import OnRecord

mcp = FastMCP("parity", middleware=[OnRecord(server_id="parity")])

@mcp.tool
def hello(name: str) -> str:
    return f"hello {name}"

@mcp.tool
def erase(what: str) -> str:
    print("erased", file=sys.stderr)
    return "erased"

@mcp.tool
async def through(name: str) -> str:
    return str((await mcp.call_tool("hello", {"name": name})).structured_content)

@mcp.resource("note://one")
def note() -> str:
    return "a note"

async def told(work):
    try:
        return (await work).structured_content
    except Exception as e:
        return f"{type(e).__name__}: {e}"

async def main():
    from fastmcp import Client
    print(await told(mcp.call_tool("hello", {"name": "ada"})))
    print(await told(mcp.call_tool("erase", {"what": "all"})))
    print((await mcp.read_resource("note://one")).contents[0].content)
    async with Client(mcp) as client:
        print((await client.call_tool("hello", {"name": "bob"})).data)
        print((await client.call_tool("through", {"name": "eve"})).data)

asyncio.run(main())
"""


@FASTMCP
@pytest.mark.requirement("F2")
def test_each_call_is_recorded_once_with_a_wire_and_without_one(tmp_path, likeness, kind: Kind):
    home = tmp_path / "home"
    configured(home, ENFORCED, likeness)
    ran = subprocess.run(
        [kind.python, "-c", PROGRAM], env={**os.environ, "ONRECORD_HOME": str(home)}, capture_output=True, text=True
    )

    assert ran.stdout.splitlines() == [
        "{'result': 'hello ada'}",
        "ToolError: not run: denied by policy: erasing is not allowed here",
        "a note",
        "hello bob",
        "{'result': 'hello eve'}",
    ], ran.stderr
    assert "erased" not in ran.stderr
    ended = [(e.get("tool_name", "resource"), e["result_status"]) for e in results(home)]
    assert ended == [
        ("hello", "succeeded"),
        ("erase", "blocked"),
        ("resource", "succeeded"),
        ("hello", "succeeded"),
        ("hello", "succeeded"),  # by the handler of the next
        ("through", "succeeded"),
    ]


def post(url: str, message: Any, **headers: str) -> tuple[int, str, Any]:
    """Post a message; return the status, the session, and the answer if there is one."""
    fixed = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    request = urllib.request.Request(url, body, {**fixed, **headers}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            lines = [line[6:] for line in answer.read().splitlines() if line.startswith(b"data: {")]
            return answer.status, answer.headers.get("mcp-session-id", ""), json.loads(lines[-1]) if lines else None
    except urllib.error.HTTPError as e:
        with e:
            return e.code, "", None


@OLDER
@pytest.mark.requirement("C3")
def test_over_http_the_record_says_whose_token_came_and_that_a_bad_one_was_turned_away(tmp_path, likeness, kind: Kind):
    home = tmp_path / "home"
    configured(home, UNISSUED, likeness)
    hello = {"protocolVersion": LEGACY, "capabilities": CAPABILITIES, "clientInfo": CLIENT}
    first = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "hello", "arguments": {"name": "a"}}}
    good = {"authorization": "Bearer let-me-in"}
    with listening(from_inside(kind, kind.ways[-1], "http"), home, ONRECORD_PARITY_TOKEN="1") as url:
        assert post(url, first, authorization="Bearer guessed")[0] == 401
        status, session, _ = post(url, first, **good)
        assert status == 200
        inside = {**good, "mcp-session-id": session, "mcp-protocol-version": LEGACY}
        post(url, {"jsonrpc": "2.0", "method": "notifications/initialized"}, **inside)
        assert post(url, {**call, "id": 3, "method": "tools/list", "params": {}}, **inside)[0] == 200
        assert post(url, call, **inside)[2]["result"]["content"][0]["text"] == "hello a"
        assert post(url, b"no json", **inside)[0] == 400

    (done,) = results(home, tool_name="hello")
    assert done["identity_source"] == "oauth"
    assert done["client_id"] == "client-1"
    assert done["client_ip"] == "127.0.0.1"
    refused = [e for e in record(home) if e["event_type"] == "authentication"]
    assert [(e["error_type"], e["client_ip"]) for e in refused] == [("not_authenticated", "127.0.0.1")]
    assert [e["error_type"] for e in record(home) if e["event_type"] == "security"] == ["http_400"]
    assert b"let-me-in" not in b"".join(f.read_bytes() for f in home.rglob("*") if f.is_file())
