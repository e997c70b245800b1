# SPDX-License-Identifier: Apache-2.0
"""What a handler adds to the record of its own call: on its result, redacted, and nowhere else."""

import json
from datetime import UTC, datetime
from typing import Any

import anyio
import anyio.to_thread
import pytest
from mcp.server import MCPServer
from tests.sdk.world import MODES, calls, configured, recorded

from onrecord import annotate
from onrecord.doors.annotations import LARGEST

SECRET = "ghp_" + "dUmmY0dUmmY1" * 3


def annotating(**said: Any) -> tuple[MCPServer, list[bool]]:
    server, told = MCPServer("planned"), list[bool]()

    @server.tool()
    def inline(text: str) -> str:
        told.append(annotate(**said))  # a tool that is no coroutine runs in a thread
        return text

    @server.tool()
    async def later(text: str) -> str:
        told.append(await anyio.to_thread.run_sync(lambda: annotate(**said)))
        return text

    return server, told


@pytest.mark.requirement("A6")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("tool", ["inline", "later"])
async def test_what_a_handler_says_of_its_call_stands_on_the_result(tmp_path, mode, tool):
    configured(tmp_path, '[[tool]]\ntool = "*"\nclassification = "low"\n')
    server, told = annotating(
        resource="db://orders/7",
        before={"state": "open"},
        after="closed",
        rollback="reopen 7",
        content="doc:12",
        ext={"ticket": "T-1", "count": 2},
    )
    async with recorded(tmp_path, mode, server) as client:
        await client.call_tool(tool, {"text": "x"})

    attempt, result = calls(tmp_path, tool)
    assert told == [True]
    assert result["downstream_resource"] == "db://orders/7"
    assert json.loads(result["before_summary"]) == {"state": "open"}
    assert (result["after_summary"], result["rollback_reference"]) == ("closed", "reopen 7")
    assert result["content_reference"] == "doc:12"
    assert result["ext"] == {"ticket": "T-1", "count": "2"}
    assert not {"downstream_resource", "ext"} & attempt.keys()


@pytest.mark.requirement("B1")
@pytest.mark.parametrize("classification", ["low", "medium", "high", "critical"])
async def test_a_secret_in_an_annotation_never_reaches_the_disk(tmp_path, classification):
    configured(tmp_path, f'[[tool]]\ntool = "*"\nclassification = "{classification}"\n')
    server, _ = annotating(
        resource=f"https://x.example/?token={SECRET}",
        before={SECRET: SECRET},
        after=SECRET,
        rollback=f"use {SECRET}",
        content=SECRET,
        ext={"key": SECRET, SECRET: "x", "plain": "shown?"},
    )
    async with recorded(tmp_path, "auto", server) as client:
        await client.call_tool("inline", {"text": "x"})

    everything = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert SECRET.encode() not in everything
    (result,) = [e for e in calls(tmp_path, "inline") if e["phase"] == "result"]
    assert (result["ext"]["plain"] == "shown?") == (classification in ("low", "medium"))
    assert "redaction_error" not in result
    assert "WITHHELD" in result["after_summary"] or "[" in result["after_summary"]


def test_outside_of_a_recorded_call_nothing_happens():
    assert annotate(resource="x") is False


def test_what_is_no_json_or_too_much_is_refused():
    with pytest.raises(TypeError):
        annotate(before=object())  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError):
        annotate(after=datetime.now(UTC))  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="unexpected keyword"):
        annotate(resourse="x")  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError):
        annotate(resource=7)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="at most 16384 bytes"):
        annotate(after="x" * LARGEST)
    with pytest.raises(ValueError, match="at most 32 fields"):
        annotate(ext={str(i): i for i in range(33)})


class Odd:
    """Fails whatever is asked of it."""

    def __eq__(self, other: object) -> bool:
        raise LookupError(SECRET)

    __hash__ = None  # pyright: ignore[reportAssignmentType]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"after": datetime(2026, 1, 2, tzinfo=UTC)}, "annotate: give texts, or what JSON can hold"),
        ({"after": {"at": {SECRET.encode()}}}, "annotate: give texts, or what JSON can hold"),
        ({"after": SECRET * LARGEST}, "annotate: at most 16384 bytes for one call"),
        ({"ext": {str(i): SECRET for i in range(33)}}, "annotate: ext must have at most 32 fields"),
        ({"ext": [SECRET]}, "annotate: ValueError"),
        ({"resourse": SECRET}, "annotate() got an unexpected keyword argument 'resourse'"),
        ({"before": Odd()}, "annotate: LookupError"),
    ],
)
@pytest.mark.parametrize("tool", ["inline", "later"])
async def test_what_cannot_be_taken_fails_no_call_and_the_event_and_the_operator_say_so(
    tmp_path, caplog, tool, said, why
):
    server, told = annotating(**said)
    async with recorded(tmp_path, "auto", server) as client:
        for _ in range(2):
            answer = await client.call_tool(tool, {"text": "x"})
            assert not answer.is_error

    assert told == [False, False]
    results = [e for e in calls(tmp_path, tool) if e["phase"] == "result"]
    assert [(e["result_status"], e["not_told"]) for e in results] == [("succeeded", ["annotations"])] * 2
    assert "redaction_error" not in results[0]
    heard = [one.message for one in caplog.records if one.name == "onrecord"]
    assert [one.partition(";")[0] for one in heard] == [why]
    assert SECRET not in caplog.text


async def test_what_was_taken_before_stays_and_counts_more_than_what_the_manifest_names(tmp_path):
    places = 'result_id = "/result"\nbefore = ["/was"]\nafter = ["/result"]\nrollback = "/undo"\n'
    configured(tmp_path, f'[[tool]]\ntool = "*"\nclassification = "low"\ntier = 2\n{places}')
    server = MCPServer("planned")

    @server.tool()
    def sets(text: str) -> str:
        assert annotate(after="closed", rollback="reopen")
        assert not annotate(after=object())  # pyright: ignore[reportArgumentType]
        return text

    async with recorded(tmp_path, "auto", server) as client:
        await client.call_tool("sets", {"text": "x"})

    _, result = calls(tmp_path, "sets")
    assert (result["result_id"], result["after_summary"], result["rollback_reference"]) == ("x", "closed", "reopen")
    assert result["not_told"] == ["before_summary", "annotations"]


async def test_what_is_said_after_the_call_has_ended_is_on_no_record(tmp_path):
    server, told = MCPServer("planned"), list[bool]()

    @server.tool()
    async def early() -> str:
        async def late() -> None:
            await done.wait()
            told.append(annotate(resource="late"))

        tasks.start_soon(late)
        return "done"

    done = anyio.Event()
    async with recorded(tmp_path, "auto", server) as client, anyio.create_task_group() as tasks:
        await client.call_tool("early")
        done.set()

    assert told == [False]
    assert [e for e in calls(tmp_path) if "downstream_resource" in e] == []
