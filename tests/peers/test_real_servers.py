# SPDX-License-Identifier: Apache-2.0
"""Servers that we did not write, wrapped, and driven by clients that we did not write: nothing changes but the record.

`make suite` and `make .demo/v1/.ready` fetch what is not in our own environment; without it these skip.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from tests.doors.session import ONRECORD, onrecord, record
from tests.peers.servers import INSPECTOR, NODE, OLDER, REAL, RealServer

pytestmark = pytest.mark.requirement("F2", "F4")

REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
MODERN = "2026-07-28"
WITHIN_S = 60
OLDER_CLIENT = Path(__file__).with_name("older_client.py")

each = pytest.mark.parametrize("server", REAL, ids=lambda server: server.name)


@pytest.fixture(autouse=True)
def at_hand(request):
    """Skip where the server of a test was not fetched."""
    server: RealServer = request.getfixturevalue("server")
    if not server.program.exists():
        pytest.skip(f"{server.name} is not at hand: {server.made_by}")


def wrapped(server, folder):
    return [*ONRECORD, "run", "--server-id", server.name, "--", *server.command(folder)]


def environment(server, folder, home):
    return {**os.environ, **server.env(folder), "ONRECORD_HOME": str(home)}


def requests(server, folder, revision):
    """Return what a client of that revision sends: that it is there, what is listed, and each call."""
    client = {"name": "by-hand", "version": "1"}
    asked = [("tools/list", {})]
    asked += [("tools/call", {"name": name, "arguments": made(folder)}) for name, made in server.calls]
    if revision == MODERN:
        prefix = "io.modelcontextprotocol/"
        meta = {f"{prefix}protocolVersion": MODERN, f"{prefix}clientCapabilities": {}, f"{prefix}clientInfo": client}
        asked = [("server/discover", {}), *asked]
        return [(method, {**params, "_meta": meta}) for method, params in asked]
    opening = {"protocolVersion": revision, "capabilities": {}, "clientInfo": client}
    return [("initialize", opening), ("notifications/initialized", {}), *asked]


def exchanged(command, asked, env):
    """Send each request once the one before it is answered, and return the lines that came, and the exit code."""
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env)
    assert child.stdin is not None
    assert child.stdout is not None
    came = []
    for number, (method, params) in enumerate(asked, 1):
        notice = method.startswith("notifications/")
        message = {"jsonrpc": "2.0", **({} if notice else {"id": number}), "method": method, "params": params}
        child.stdin.write(json.dumps(message).encode() + b"\n")
        child.stdin.flush()
        while not notice:
            came.append(child.stdout.readline())
            assert came[-1], f"the server ended before it answered {method}"
            if json.loads(came[-1]).get("id") == number:
                break
    rest, _ = child.communicate(timeout=WITHIN_S)
    return came + rest.splitlines(keepends=True), child.returncode


def attempted(home):
    return [event["tool_name"] for event in record(home) if event.get("phase") == "attempt"]


def ended(home):
    return [event["result_status"] for event in record(home) if event.get("phase") == "result"]


@pytest.mark.parametrize(
    ("server", "revision"),
    [
        pytest.param(server, revision, id=f"{server.name}-{revision}")
        for server in REAL
        for revision in ([*REVISIONS, MODERN] if server.starts_fast else ["2025-11-25", MODERN])
    ],
)
def test_what_a_wrapped_server_says_is_what_it_says_byte_for_byte(tmp_path, server, revision):
    folder, home = tmp_path / "work", tmp_path / "home"
    env = environment(server, folder, home)
    server.ready(folder)
    asked = requests(server, folder, revision)
    plain = exchanged(server.command(folder), asked, env)
    server.ready(folder)
    on_record = exchanged(wrapped(server, folder), asked, env)

    assert on_record == plain
    assert attempted(home) == [name for name, _ in server.calls]
    assert len(ended(home)) == len(server.calls)
    assert onrecord(home, "verify", "--allow-unanchored").returncode == 0


async def answers(command, server, folder, home):
    """Return what the client of the official SDK makes of a server: its revision, its tools, and its answers."""
    parameters = StdioServerParameters(command=command[0], args=command[1:], env=environment(server, folder, home))
    async with Client(parameters) as client:
        tools = await client.list_tools()
        said = [await client.call_tool(name, made(folder)) for name, made in server.calls]
        return client.protocol_version, [tools.model_dump_json(), *(one.model_dump_json() for one in said)]


@each
async def test_the_official_client_gets_the_same_answers_and_the_record_has_each_call(tmp_path, server):
    folder, home = tmp_path / "work", tmp_path / "home"
    server.ready(folder)
    plain = await answers(server.command(folder), server, folder, home)
    server.ready(folder)
    on_record = await answers(wrapped(server, folder), server, folder, home)

    assert on_record == plain
    assert attempted(home) == [name for name, _ in server.calls]
    failing = ["failed" if json.loads(said)["is_error"] else "succeeded" for said in plain[1][1:]]
    assert ended(home) == failing


def older_answers(command, server, folder, home):
    """Return what a client of the older SDK prints of a server."""
    calls = json.dumps([(name, made(folder)) for name, made in server.calls])
    done = subprocess.run(
        [OLDER / "python", OLDER_CLIENT, *command],
        input=calls,
        env=environment(server, folder, home),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(not (OLDER / "python").exists(), reason="the older SDK is not at hand: make .demo/v1/.ready")
@pytest.mark.parametrize("server", [one for one in REAL if one.name in ("git", "filesystem")], ids=lambda one: one.name)
def test_a_client_of_the_older_sdk_gets_the_same_answers_and_the_record_has_each_call(tmp_path, server):
    folder, home = tmp_path / "work", tmp_path / "home"
    server.ready(folder)
    plain = older_answers(server.command(folder), server, folder, home)
    server.ready(folder)
    on_record = older_answers(wrapped(server, folder), server, folder, home)

    assert on_record == plain
    assert len(plain) == 2 + len(server.calls)
    assert attempted(home) == [name for name, _ in server.calls]


def inspected(command, server, folder, home, *request):
    """Return what the Inspector prints of one request."""
    config = home.parent / "inspector.json"
    of = {"command": command[0], "args": command[1:], "env": {**server.env(folder), "ONRECORD_HOME": str(home)}}
    config.write_text(json.dumps({"mcpServers": {"one": of}}))
    done = subprocess.run(
        [NODE, INSPECTOR, "--cli", "--config", config, "--server", "one", "--method", *request],
        env={**os.environ, "HOME": str(home.parent), "MCP_INSPECTOR_SECRET_STORE": "memory"},
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
    )
    assert done.stdout, done.stderr
    return done.stdout, done.returncode


@pytest.mark.skipif(not INSPECTOR.exists(), reason="the MCP Inspector is not at hand: make suite")
@each
def test_the_inspector_gets_the_answer_of_the_server_and_its_call_is_recorded(tmp_path, server):
    folder, home = tmp_path / "work", tmp_path / "home"
    name, made = server.calls[0]
    server.ready(folder)
    pairs = [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in made(folder).items()]
    call = ("tools/call", "--tool-name", name, *(["--tool-arg", *pairs] if pairs else []))
    asked = requests(server, folder, "2025-11-25")[:4]
    plain, _ = exchanged(server.command(folder), asked, environment(server, folder, home))
    server.ready(folder)
    on_record, code = inspected(wrapped(server, folder), server, folder, home, *call)

    answer = json.loads(plain[-1])["result"]
    assert code == 0
    assert {"isError": False, **json.loads(on_record)} == {"isError": False, **answer}
    assert (attempted(home), ended(home)) == ([name], ["succeeded"])
    (client,) = {event["client_name"] for event in record(home) if event.get("phase") == "attempt"}
    assert "inspector" in client
