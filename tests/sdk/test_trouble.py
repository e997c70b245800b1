# SPDX-License-Identifier: Apache-2.0
"""What goes wrong, and what has nothing to do with a connection in memory: a program of its own, settings, limits."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from mcp.server import MCPServer
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, ListToolsResult, TextContent, Tool
from tests.doors.session import onrecord, record
from tests.sdk.world import MODES, built, calls, configured, ends, given_up, recorded, said, until

import onrecord as package
from onrecord.doors.asgi import Around
from onrecord.errors import ConfigError
from onrecord.instrumenting import instrument

ROOT = Path(__file__).parents[2]
SERVER = "tests.sdk.stdio_server"


def program(home):
    """Return how a client starts the recorded server."""
    env = {**os.environ, "ONRECORD_HOME": str(home), "PYTHONPATH": str(ROOT)}
    return StdioServerParameters(command=sys.executable, args=["-m", SERVER], env=env, cwd=ROOT)


@pytest.mark.requirement("F2")
@pytest.mark.parametrize("mode", MODES)
async def test_a_program_over_stdio_is_recorded_from_its_first_message_to_its_end(tmp_path, mode):
    async with Client(program(tmp_path), mode=mode) as client:
        assert said(await client.call_tool("echo", {"text": "hi"})) == "hi"
        await given_up(client, "waits", lambda: calls(tmp_path, "waits"))
        assert said(await client.call_tool("echo", {"text": "next"})) == "next"

    await until(lambda: record(tmp_path)[-1]["event_type"] == "recorder_stop")
    assert ends(tmp_path, "echo") == [("succeeded", "")] * 2
    assert ends(tmp_path, "waits") == [("cancelled", "")]
    events = record(tmp_path)
    assert [e["action"] for e in events if e["event_type"] == "connection"] == ["open", "close"]
    assert len({e["session_id"] for e in calls(tmp_path)}) == 1
    assert onrecord(tmp_path, "verify", "--allow-unanchored").returncode == 0


@pytest.mark.requirement("D3")
async def test_after_a_kill_the_next_start_closes_what_was_open(tmp_path):
    env = {**os.environ, "ONRECORD_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", SERVER]
    child = subprocess.Popen(  # noqa: ASYNC220  # it only starts here
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, cwd=ROOT
    )
    assert child.stdin is not None
    call = '{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"waits","arguments":{},"_meta":%s}}\n'
    meta = (
        '{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},'
        '"io.modelcontextprotocol/clientInfo":{"name":"raw","version":"1"}}'
    )
    child.stdin.write((call % (1, meta)).encode())
    child.stdin.flush()
    await until(lambda: (tmp_path / "ledger").exists() and calls(tmp_path, "waits"))
    child.send_signal(signal.SIGKILL)
    child.communicate()
    async with Client(program(tmp_path)) as client:
        await client.call_tool("echo", {"text": "hi"})

    assert ends(tmp_path, "waits") == [("unknown", "recorder_died")]


@pytest.mark.parametrize("mode", MODES)
async def test_a_call_that_takes_too_long_is_answered_cancelled_and_closed_as_that(tmp_path, mode):
    configured(tmp_path, '[run]\ncall_timeout = "1s"\n')
    server, done = built()
    async with recorded(tmp_path, mode, server) as client:
        with pytest.raises(MCPError, match="no answer within 1 s"):
            await client.call_tool("waits")
        await until(lambda: "cancelled" in done)

    assert ends(tmp_path, "waits") == [("timed_out", "no_answer")]


@pytest.mark.requirement("C7")
@pytest.mark.parametrize("mode", MODES)
async def test_output_that_a_policy_withholds_never_reaches_the_client(tmp_path, mode):
    configured(tmp_path, '[output]\nflags = "block"\n')
    async with recorded(tmp_path, mode) as client:
        answer = await client.call_tool("hostile")

    assert answer.is_error
    assert said(answer).startswith("it ran, do not retry;")


async def test_where_nothing_can_be_recorded_nobody_gets_in_and_only_the_operator_is_told_why(tmp_path, caplog):
    (tmp_path / "keys").write_text("no folder")
    server, _ = built()
    recording = instrument(server, home=tmp_path)
    with pytest.raises((MCPError, ExceptionGroup)) as refused:
        async with Client(server, mode="legacy"):
            pass
    recording.stop()

    assert str(tmp_path) not in repr(refused.value)
    assert "cannot make keys in" in caplog.text


@pytest.mark.requirement("D2")
async def test_a_server_whose_log_was_altered_takes_no_calls(tmp_path, caplog):
    server, done = built()
    async with recorded(tmp_path, "auto", server) as client:
        await client.call_tool("echo", {"text": "hi"})
    (segment,) = (tmp_path / "ledger" / "calls" / "log").iterdir()
    segment.write_bytes(segment.read_bytes().replace(b'"tool_name":"echo"', b'"tool_name":"ohce"'))
    with pytest.raises((MCPError, ExceptionGroup)):
        async with recorded(tmp_path, "legacy", server):
            pass

    assert done == ["echo hi"]
    assert "the log calls is altered" in caplog.text


def test_a_server_that_was_built_with_the_middleware_is_wrapped_all_the_same(tmp_path):
    recording = package.middleware(home=tmp_path, server_id="built")
    server = MCPServer("other", middleware=[recording])
    assert instrument(server, home=tmp_path) is instrument(server) is recording
    assert server.middleware.count(recording) == 1
    assert [layer.cls for layer in server.streamable_http_app().user_middleware] == [Around]


@pytest.mark.requirement("D3")
async def test_what_cannot_be_recorded_does_not_run(tmp_path):
    (tmp_path / "ledger").write_text("no folder")
    server, done = built()
    recording = instrument(server, home=tmp_path)
    async with Client(server) as client:
        with pytest.raises(MCPError, match="not recorded, so not run"):
            await client.call_tool("store", {"text": "kept"})
    recording.stop()

    assert done == []


async def test_a_low_level_server_is_recorded_too_and_raises_as_it_did(tmp_path):
    async def listed(ctx, params):
        return ListToolsResult(tools=[Tool(name="x", input_schema={"type": "object"})])

    async def called(ctx, params):
        if params.arguments:
            raise LookupError("nothing of that name")
        return CallToolResult(content=[TextContent(type="text", text="x")])

    server = Server("low", on_list_tools=listed, on_call_tool=called)
    async with recorded(tmp_path, "legacy", server) as client:
        assert said(await client.call_tool("x")) == "x"
        with pytest.raises(MCPError, match="nothing of that name"):
            await client.call_tool("x", {"a": 1})
        with pytest.raises(MCPError, match="Method not found"):
            await client.list_prompts()

    assert ends(tmp_path, "x") == [("succeeded", ""), ("failed", "jsonrpc:0")]


def test_what_is_no_server_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"this is a builtins\.dict"):
        package.instrument({}, home=tmp_path)


@pytest.mark.parametrize("same", [True, False])
def test_a_server_that_records_itself_and_is_wrapped_too_says_so_once(tmp_path, same):
    home = tmp_path if same else tmp_path / "other"
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
    }
    asked = [{"jsonrpc": "2.0", "id": i, "method": "tools/list", "params": {"_meta": meta}} for i in range(2)]
    done = subprocess.run(
        [sys.executable, "-m", "onrecord.cli.main", "run", "--home", home, "--", sys.executable, "-m", SERVER],
        input="".join(json.dumps(one) + "\n" for one in asked),
        env={**os.environ, "ONRECORD_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    told = " ".join(done.stderr.split())  # the SDK has logs wrapped for a terminal
    assert told.count("there twice") == same, told
    assert {e["transport"] for e in record(tmp_path) if "transport" in e} == ({"stdio", "sdk"} if same else {"sdk"})


def test_an_application_and_its_server_in_the_wrong_order_are_told_apart(tmp_path):
    server, _ = built()
    package.instrument(server, home=tmp_path)
    with pytest.raises(ConfigError, match=r"^asgi takes .* asgi\(app, server\); the first is a mcp\.server\."):
        package.asgi(server, server.streamable_http_app())  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match=r"^asgi takes .*; this is a builtins\.function"):
        package.asgi(server.streamable_http_app(), lambda: None)


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_server_is_instrumented_once_and_what_differs_the_next_time_is_an_error(tmp_path, by_hand):
    asked = {"home": tmp_path, "server_id": "orders"}
    server = MCPServer("planned", middleware=[package.middleware(**asked)] if by_hand else None)
    first = package.instrument(server, **asked)
    assert package.instrument(server) is first
    assert package.instrument(server, config=tmp_path / "onrecord.toml", **asked) is first
    (tmp_path / "other.toml").write_text("")
    for name, value in {"home": tmp_path / "a", "config": tmp_path / "other.toml", "server_id": "planned"}.items():
        with pytest.raises(ConfigError, match=f"recorded already, with another {name};"):
            package.instrument(server, **{name: value})


@pytest.mark.parametrize(
    ("name", "why"),
    [("two\nlines", "one line of text"), ("  ", "must not be empty"), ("x" * 257, "at most 256 characters")],
)
def test_what_no_server_can_be_called_is_the_same_for_each_door(tmp_path, name, why):
    with pytest.raises(ConfigError, match=f"^a name .*{why}"):
        package.middleware(home=tmp_path, server_id=name)
    done = onrecord(tmp_path, "run", "--server-id", name, "--", sys.executable, "-c", "pass")
    assert (done.returncode, why in done.stderr) == (2, True)
    assert not (tmp_path / "ledger").exists()
    package.middleware(home=tmp_path, server_id="io.example/my server é")


def test_settings_that_cannot_work_are_an_error_where_the_server_is_instrumented(tmp_path):
    configured(tmp_path, "[run]\ncall_timeout = 'soon'\n")
    with pytest.raises(ConfigError, match=r"run\.call_timeout"):
        instrument(built()[0], home=tmp_path)


def test_without_the_sdk_there_is_one_clear_error(tmp_path):
    script = """
import sys
for name in ("mcp", "mcp_types"):
    sys.modules[name] = None
import importlib.metadata
real = importlib.metadata.version
def version(name):
    if name == "mcp":
        raise importlib.metadata.PackageNotFoundError(name)
    return real(name)
importlib.metadata.version = version
import onrecord
try:
    onrecord.middleware()
except onrecord.OnRecordError as e:
    print(e)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "the SDK is not installed here: pip install 'mcp>=2.3'\n", done.stderr
