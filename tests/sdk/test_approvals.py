# SPDX-License-Identifier: Apache-2.0
"""Approvals in a server's own process: what waits blocks nobody else, and who is behind the client is asked."""

from typing import Any

import anyio
import anyio.to_thread
import pytest
from mcp_types import ElicitResult
from tests.doors.test_approvals import POLICY, STORE, asked_for, decide
from tests.sdk.world import MODES, built, calls, configured, ends, given_up, recorded, said

ASKS = '[policy]\nengine = "cedar"\n[approvals]\n{more}\n' + STORE
MINE = 'channels = ["elicitation"]'


def answering(action: str, content: dict[str, Any] | None = None) -> tuple[Any, list[str]]:
    questions: list[str] = []

    async def answer(context: Any, params: Any) -> ElicitResult:
        questions.append(params.message)
        return ElicitResult(action=action, content=content)  # pyright: ignore[reportArgumentType]

    return answer, questions


@pytest.mark.requirement("C5")
@pytest.mark.parametrize("mode", MODES)
async def test_a_risky_call_waits_while_others_go_on_and_runs_once_approved(tmp_path, mode):
    configured(tmp_path, ASKS.format(more=""), POLICY)
    server, done = built()
    answers: list[str] = []
    async with recorded(tmp_path, mode, server) as client, anyio.create_task_group() as tasks:

        async def store() -> None:
            answers.append(said(await client.call_tool("store", {"text": "kept"})))

        tasks.start_soon(store)
        (request,) = await anyio.to_thread.run_sync(asked_for, tmp_path)
        assert said(await client.call_tool("echo", {"text": "meanwhile"})) == "meanwhile"
        assert done == ["echo meanwhile"]
        await anyio.to_thread.run_sync(decide, tmp_path, request)

    assert answers == ["kept"]
    assert done == ["echo meanwhile", "store kept"]
    phases = [e["phase"] for e in calls(tmp_path, "store")]
    assert phases == ["attempt", "approval", "approval", "decision", "result"]
    assert ends(tmp_path, "store") == [("succeeded", "")]


@pytest.mark.requirement("C5")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("action", "content", "ran"), [("accept", {"approve": True}, True), ("decline", None, False)])
async def test_the_person_behind_the_client_is_asked_and_the_tool_runs_on_a_yes_alone(
    tmp_path, mode, action, content, ran
):
    configured(tmp_path, ASKS.format(more=MINE), POLICY)
    server, done = built()
    answer, questions = answering(action, content)
    async with recorded(tmp_path, mode, server, elicitation_callback=answer) as client:
        with anyio.fail_after(60):
            told = said(await client.call_tool("store", {"text": "kept"}))

    assert len(questions) == 1
    assert 'argument "text" = "kept"' in questions[0]
    assert done == (["store kept"] if ran else [])
    assert told == ("kept" if ran else "not run: an approver has rejected this call")
    last = [e for e in calls(tmp_path, "store") if e["phase"] == "result"][-1]
    assert last["result_status"] == ("succeeded" if ran else "blocked")


@pytest.mark.requirement("C5")
@pytest.mark.parametrize("mode", MODES)
async def test_who_gives_up_waiting_leaves_a_closed_call_behind(tmp_path, mode):
    configured(tmp_path, ASKS.format(more=""), POLICY)
    server, done = built()
    async with recorded(tmp_path, mode, server) as client:
        await given_up(client, "store", lambda: list((tmp_path / "approvals").glob("*.json")), text="kept")
        assert said(await client.call_tool("echo", {"text": "next"})) == "next"
        (request,) = asked_for(tmp_path)
        await anyio.to_thread.run_sync(decide, tmp_path, request)
        await anyio.sleep(0.5)

    assert done == ["echo next"]
    assert ends(tmp_path, "store") == [("cancelled", "approval_pending")]


async def test_a_call_that_nobody_approves_in_time_is_answered(tmp_path):
    configured(tmp_path, ASKS.format(more='wait = "300ms"'), POLICY)
    async with recorded(tmp_path, "auto") as client:
        assert "which nobody has given yet" in said(await client.call_tool("store", {"text": "kept"}))


async def test_the_end_of_a_connection_ends_what_waits_on_it(tmp_path):
    configured(tmp_path, ASKS.format(more=""), POLICY)
    server, done = built()
    async with recorded(tmp_path, "legacy", server) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(client.call_tool, "store", {"text": "kept"})
        await anyio.to_thread.run_sync(asked_for, tmp_path)
        tasks.cancel_scope.cancel()

    assert done == []
    assert ends(tmp_path, "store") == [("cancelled", "approval_pending")]
