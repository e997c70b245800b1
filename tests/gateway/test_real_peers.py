# SPDX-License-Identifier: Apache-2.0
"""The SDK's own client and server, with the gateway between them: nothing changes, and all of it is on the record."""

from typing import Any

import pytest
from mcp import Client
from mcp.types import ElicitResult
from tests.gateway.running import Gateway, served


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with (
        served("sdk_server.py") as port,
        Gateway(tmp_path_factory.mktemp("home"), {"real": f"http://127.0.0.1:{port}/mcp"}) as gateway,
    ):
        yield gateway


ERAS = pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])


def text_of(answer: Any) -> str:
    return answer.content[0].text


def ends(gateway, tool):
    return [e for e in gateway.events(phase="result") if e.get("tool_name") == tool]


@ERAS
@pytest.mark.requirement("F2", "F4")
async def test_a_call_is_answered_and_on_the_record(gateway, mode):
    before = len(ends(gateway, "echo"))
    async with Client(gateway.url("real"), mode=mode) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["echo", "count", "sleep", "confirm"]
        answer = await client.call_tool("echo", {"text": "hello"})
    assert text_of(answer) == "hello"
    (end,) = ends(gateway, "echo")[before:]
    assert (end["result_status"], end["transport"], end["server_id"]) == ("succeeded", "http", "real")
    (attempt,) = [e for e in gateway.events(call_id=end["call_id"]) if e["phase"] == "attempt"]
    assert attempt["client_name"] == "mcp"


@ERAS
async def test_progress_comes_before_the_answer(gateway, mode):
    told = []

    async def hear(progress, total, message):
        told.append(message)

    async with Client(gateway.url("real"), mode=mode) as client:
        await client.call_tool("count", {"to": 5}, progress_callback=hear)
    assert told == [f"step {number}" for number in range(5)]


async def test_a_question_of_the_server_and_its_answer_are_on_the_record(gateway):
    async def answer(context, params):
        return ElicitResult(action="accept", content={"sure": True})

    async with Client(gateway.url("real"), mode="legacy", elicitation_callback=answer) as client:
        assert text_of(await client.call_tool("confirm", {})) == "accept"
    asked = gateway.events(event_type="elicitation")
    assert [(e["phase"], e.get("result_status")) for e in asked] == [("attempt", None), ("result", "succeeded")]
    assert {e["direction"] for e in asked} == {"server_to_client"}
