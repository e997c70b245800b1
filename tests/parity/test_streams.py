# SPDX-License-Identifier: Apache-2.0
"""The door of the older SDK, between the streams of a connection: what passes, what is told of it, and what fails."""

import os
import subprocess

import pytest
from tests.doors.session import record
from tests.identity.issuing import AUDIENCE, ISSUER, shown
from tests.parity.doors import KINDS, configured, from_inside, started
from tests.parity.scenes import ENFORCED
from tests.parity.talk import CAPABILITIES, CLIENT, Talk
from tests.parity.wires import LEGACY

V1 = KINDS["v1"]

LOW = """
import anyio
from mcp.server.lowlevel import Server
from mcp.shared.memory import create_connected_server_and_client_session as connected
import mcp.types as types
import onrecord

server = Server("low")

@server.list_tools()
async def tools():
    return [types.Tool(name="hello", inputSchema={"type": "object"})]

@server.call_tool()
async def call(name, arguments):
    onrecord.annotate(resource="db:low")
    return [types.TextContent(type="text", text=f"hello {arguments}")]

recording = onrecord.instrument(server, server_id="parity")
assert onrecord.instrument(server) is recording

async def main():
    for _ in range(2):
        async with connected(server) as client:
            await client.list_tools()
            print((await client.call_tool("hello", {"a": None, "b": 1.0})).content[0].text)

anyio.run(main)
recording.stop()
"""

SAME = """
import anyio, onrecord
from mcp.server.lowlevel import Server
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp.types import JSONRPCMessage

server, came, sent = Server("low"), [], []

async def run(read, write, options, raise_exceptions=False, stateless=False):
    async for item in read:
        came.append(item)
        if hasattr(item.message.root, "id"):
            line = '{"jsonrpc":"2.0","id":%d,"result":{}}' % item.message.root.id
            sent.append(SessionMessage(JSONRPCMessage.model_validate_json(line)))
            await write.send(sent[-1])
    await write.aclose()

server.run = run
onrecord.instrument(server, server_id="parity")

def message(text):
    return SessionMessage(JSONRPCMessage.model_validate_json(text), ServerMessageMetadata(related_request_id=7))

async def main():
    outer, read = anyio.create_memory_object_stream(0)
    write, heard = anyio.create_memory_object_stream(0)
    mine = [
        message('{"jsonrpc":"2.0","id":1,"method":"ping"}'),
        message('{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x","arguments":{"a":[1.50,null]}}}'),
        message('{"jsonrpc":"2.0","method":"notifications/initialized"}'),
    ]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.run, read, write, None)
        answers = []
        for item in mine:
            await outer.send(item)
            if hasattr(item.message.root, "id"):
                answers.append(await heard.receive())
        last = '{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"x"}}'
        await outer.send(message(last))
        await heard.receive()
        await outer.aclose()
    print([a is b for a, b in zip(mine, came)], [a is b for a, b in zip(answers, sent)])

anyio.run(main)
"""

WRITES_FIRST = """
import anyio, onrecord
from mcp.server.lowlevel import Server
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCMessage

server = Server("low")

def message(text):
    return SessionMessage(JSONRPCMessage.model_validate_json(text))

async def run(read, write, options, raise_exceptions=False, stateless=False):
    async for item in read:
        await write.send(message('{"jsonrpc":"2.0","id":%d,"result":{}}' % item.message.root.id))
        await write.send(message('{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'))
    await write.aclose()

server.run = run
onrecord.instrument(server, server_id="parity")

async def main():
    outer, read = anyio.create_memory_object_stream(0)
    write, heard = anyio.create_memory_object_stream(0)

    async def ask():
        async with outer:
            for number in range(500):
                await outer.send(message('{"jsonrpc":"2.0","id":%d,"method":"ping"}' % number))

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.run, read, write, None)
            tasks.start_soon(ask)
            async with heard:
                print(len([one async for one in heard]))

anyio.run(main)
"""


def run(home, program):
    env = {**os.environ, "ONRECORD_HOME": str(home)}
    return subprocess.run([V1.python, "-c", program], env=env, capture_output=True, text=True, timeout=60)


@pytest.mark.requirement("F2")
def test_a_low_level_server_is_recorded_and_so_is_each_of_its_connections(tmp_path):
    ran = run(tmp_path, LOW)

    assert ran.stdout.splitlines() == ["hello {'a': None, 'b': 1.0}"] * 2, ran.stderr
    ended = [e for e in record(tmp_path) if e.get("phase") == "result"]
    assert [(e["tool_name"], e["result_status"], e["downstream_resource"]) for e in ended] == [
        ("hello", "succeeded", "db:low")
    ] * 2
    assert len({e["session_id"] for e in ended}) == 2
    connections = [e["action"] for e in record(tmp_path) if e["event_type"] == "connection"]
    assert connections == ["open", "close", "open", "close"]
    assert [e["action"] for e in record(tmp_path) if e["event_type"] == "recorder_stop"] == ["stop"]


@pytest.mark.requirement("F2")
def test_a_message_that_passes_is_the_very_object_that_came(tmp_path):
    ran = run(tmp_path, SAME)
    assert ran.stdout.splitlines() == ["[True, True, True] [True, True]"], ran.stderr


@pytest.mark.requirement("F2")
def test_a_server_that_reads_on_only_once_it_is_heard_gets_all_that_its_client_says(tmp_path):
    (tmp_path / "keys.json").write_bytes(shown())
    known = f'[identity]\nissuer = "{ISSUER}"\naudience = "{AUDIENCE}"\njwks = "keys.json"\n'
    (tmp_path / "onrecord.toml").write_text(known)  # so that each message is judged in a thread
    ran = run(tmp_path, WRITES_FIRST)
    assert ran.stdout.split() == ["1000"], ran.stderr


@pytest.mark.requirement("A3")
def test_what_is_no_message_is_on_the_record_and_the_server_goes_on(tmp_path, likeness):
    home = tmp_path / "home"
    configured(home, ENFORCED, likeness)
    talk = Talk(started(from_inside(V1, "instrument"), home), LEGACY, home)
    try:
        talk.open()
        talk.send(b'{"jsonrpc": "2.0", "id": 9, planted-in-a-broken-line')
        assert talk.call("hello", name="ada")["result"]["content"][0]["text"] == "hello ada"
        talk.send(rb'{"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": {"name": "\ud800"}}')
        talk.ask("tools/list")
        talk.end()
    finally:
        talk.kill()

    reasons = [e["policy_reason"] for e in record(home) if e["event_type"] == "security"]
    assert reasons == ["it cannot be read as JSON-RPC"] * 2
    assert b"planted-in" not in b"".join(f.read_bytes() for f in home.rglob("*") if f.is_file())


@pytest.mark.requirement("D3")
def test_where_nothing_can_be_recorded_the_client_is_told_and_nothing_runs(tmp_path):
    (tmp_path / "keys").write_text("no folder")
    talk = Talk(started(from_inside(V1, "instrument"), tmp_path), LEGACY, tmp_path)
    try:
        hello = {"protocolVersion": LEGACY, "capabilities": CAPABILITIES, "clientInfo": CLIENT}
        assert talk.ask("initialize", **hello)["error"]["code"] == -31001
        assert talk.call("erase", what="all")["error"]["message"].startswith("not recorded, so not run: ")
        talk.end()
    finally:
        talk.kill()
    assert "Traceback" not in talk.errors
