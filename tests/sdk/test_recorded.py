# SPDX-License-Identifier: Apache-2.0
"""A server on the official SDK, recorded in its own process: each call is on the record, and nothing else changes."""

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitResult
from tests.doors.session import record
from tests.sdk.world import MODES, built, calls, configured, ends, given_up, recorded, said, until

from onrecord.instrumenting import instrument

CEDAR = '[policy]\nengine = "cedar"\n'
NOT_STORE = """
@id("all") permit (principal, action, resource);
@id("no") @safe_reason("storing is off") forbid (principal, action, resource == MCP::Tool::"store");
"""


@pytest.mark.requirement("F2", "A4")
@pytest.mark.parametrize("mode", MODES)
async def test_each_call_has_its_attempt_and_its_end_on_the_record(tmp_path, mode):
    async with recorded(tmp_path, mode) as client:
        assert (await client.call_tool("echo", {"text": "hi"})).structured_content == {"result": "hi"}
        assert said(await client.read_resource("res://note")) == "noted"
        assert said(await client.get_prompt("plan", {"topic": "x"})) == "plan x"

    events = calls(tmp_path)
    assert [(e["event_type"], e["phase"]) for e in events] == [
        (kind, phase) for kind in ("tool_call", "resource_read", "prompt_get") for phase in ("attempt", "result")
    ]
    assert {e["transport"] for e in events} == {"sdk"}
    assert {e["result_status"] for e in events if e["phase"] == "result"} == {"succeeded"}
    assert events[0]["arguments_valid"] == "valid"
    assert events[0]["server_id"] == "planned"
    assert {e["identity_source"] for e in events} == {"os_account"}
    opened, *_ = [e for e in record(tmp_path) if e["event_type"] == "connection"]
    assert opened["client_name"] == "mcp"


@pytest.mark.parametrize("mode", MODES)
async def test_what_a_client_gets_is_what_it_gets_without_us(tmp_path, mode):
    bare, _ = built()

    async def asked(client: Client):
        told = []
        for name, arguments in (("echo", {"text": "hi"}), ("fails", {}), ("nope", {}), ("echo", {"wrong": 1})):
            told.append((await client.call_tool(name, arguments)).model_dump(mode="json"))
        told += [(await client.list_tools()).model_dump(mode="json"), (await client.list_prompts()).model_dump()]
        with pytest.raises(MCPError) as refused:
            await client.call_tool("refuses")
        with pytest.raises(MCPError) as missing:
            await client.read_resource("res://none")
        return [*told, refused.value.error.model_dump(), missing.value.error.model_dump(), client.server_capabilities]

    async with Client(bare, mode=mode) as client:
        expected = await asked(client)
    async with recorded(tmp_path, mode) as client:
        assert await asked(client) == expected


@pytest.mark.parametrize("mode", MODES)
async def test_a_tool_that_fails_one_that_is_not_there_and_one_that_refuses_are_told_apart(tmp_path, mode):
    async with recorded(tmp_path, mode) as client:
        await client.call_tool("fails")
        await client.call_tool("nope")
        await client.call_tool("echo", {"wrong": 1})
        with pytest.raises(MCPError):
            await client.call_tool("refuses")

    assert ends(tmp_path, "fails") == ends(tmp_path, "nope") == [("failed", "tool_error")]
    assert ends(tmp_path, "refuses") == [("failed", "jsonrpc:-32099")]
    assert [e["arguments_valid"] for e in calls(tmp_path, "echo") if e["phase"] == "attempt"] == ["invalid"]


@pytest.mark.requirement("C2")
@pytest.mark.parametrize("mode", MODES)
async def test_a_denied_call_never_reaches_the_tool(tmp_path, mode):
    configured(tmp_path, CEDAR, NOT_STORE)
    server, done = built()
    async with recorded(tmp_path, mode, server) as client:
        answer = await client.call_tool("store", {"text": "kept"})
        await client.call_tool("echo", {"text": "on"})

    assert answer.is_error
    assert said(answer) == "not run: denied by policy: storing is off"
    assert done == ["echo on"]
    assert ends(tmp_path, "store") == [("blocked", "denied")]


@pytest.mark.parametrize("mode", MODES)
async def test_a_call_that_is_cancelled_is_recorded_as_that_at_once(tmp_path, mode):
    server, done = built()
    async with recorded(tmp_path, mode, server) as client:
        await given_up(client, "waits", lambda: "waits" in done)
        await until(lambda: "cancelled" in done)
        await client.call_tool("echo", {"text": "next"})

    assert ends(tmp_path, "waits") == [("cancelled", "")]
    assert [e["late"] for e in calls(tmp_path) if "late" in e] == []


@pytest.mark.parametrize("mode", MODES)
async def test_progress_reaches_the_client(tmp_path, mode):
    heard = []

    async def hear(progress, total, message):
        heard.append((progress, total, message))

    async with recorded(tmp_path, mode) as client:
        await client.call_tool("steps", progress_callback=hear)

    assert heard == [(1, 2, "half"), (2, 2, None)]
    assert ends(tmp_path, "steps") == [("succeeded", "")]


async def test_what_a_server_asks_of_a_person_is_on_the_record_within_its_call(tmp_path):
    async def answer(context, params):
        return ElicitResult(action="accept", content={"name": "Ada"})

    async with recorded(tmp_path, "legacy", elicitation_callback=answer) as client:
        assert said(await client.call_tool("greets")) == "accept: Ada"

    asked, answered = [e for e in record(tmp_path) if e["event_type"] == "elicitation"]
    assert (asked["direction"], asked["phase"], answered["result_status"]) == (
        "server_to_client",
        "attempt",
        "succeeded",
    )
    events = [(e["event_type"], e["phase"]) for e in calls(tmp_path)]
    assert events[1:3] == [("elicitation", "attempt"), ("elicitation", "result")]


def test_a_server_is_instrumented_once(tmp_path):
    server, _ = built()
    first = instrument(server, home=tmp_path)
    assert instrument(server, home=tmp_path) is first
    assert [one for one in server.middleware if one is first] == [first]
    assert list(tmp_path.iterdir()) == []  # nothing is written before there is a message
