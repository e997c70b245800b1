# SPDX-License-Identifier: Apache-2.0
"""What is done through every door, in this order; `events.json` is what must be on the record of it, but for `MEANS`.

A door is a row of `ways.py`. All scenarios of one era go through one connection, under one policy that is enforced.
`python -m tests.parity.pin` writes `events.json` anew, from the door on standard input and output.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import pytest
from mcp import Client, MCPError
from tests.doors.session import onrecord
from tests.identity.issuing import AUDIENCE, ISSUER, shown
from tests.parity.scripted import LARGE, REFUSED

ERAS = ("legacy", "2026-07-28")
PINNED = Path(__file__).with_name("events.json")
SOON_S = 30.0

POLICY = """
@id("all") permit (principal, action, resource);
@id("erasing") @safe_reason("nothing is erased here") forbid (principal, action, resource == MCP::Tool::"erase");
@id("paying") @obligation("approval") forbid (principal, action, resource == MCP::Tool::"pay");
"""
SETTINGS = f"""
[policy]
engine = "cedar"
[identity]
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
jwks = "keys.json"
[[tool]]
tool = "pay"
tier = 3
[[tool]]
tool = "*"
classification = "low"
tier = 1
"""

# What differs from one run to the next, by the means of a door, or by the home.
MEANS = frozenset(
    {
        # each run
        "approval_id",
        "correlation_id",
        "event_id",
        "latency_us",
        "prev_hash",
        "seq",
        "session_id",
        "span_id",
        "timestamp",
        "trace_id",
        "wid",
        "wseq",
        # each home, by its keys
        "answers_hash",
        "approval_approver",
        "approval_preview_hash",
        "input_hash",
        "policy_version",
        "redaction_policy",
        "user_id",
        "value_tags",
        # each door
        "client_ip",
        "identity_assurance",
        "identity_source",
        "input_size",
        "output_size",
        "peer_pid",
        "peer_uid",
        "request_id",
        "transport",
    }
)
MEANS_IN_DETAIL = frozenset({"approvers", "expires_us", "statement"})
KINDS = frozenset({"approval", "authentication", "security"})  # beside what belongs to a call

Event = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """A connection through a door, and the home of its record."""

    client: Client
    home: Path

    async def call(self, tool: str, **arguments: Any) -> types.CallToolResult:
        return await self.client.call_tool(tool, arguments)

    async def fails(self, code: int, call: Awaitable[Any]) -> None:
        """Make a call that must be answered with this error."""
        with pytest.raises(MCPError) as failed:
            await call
        assert failed.value.error.code == code, failed.value.error

    async def ended(self, events: Callable[[], list[Event]], calls: int) -> None:
        """Wait until so many calls have ended on the record."""
        with anyio.fail_after(SOON_S):
            while sum(event.get("phase") == "result" for event in events()) < calls:  # noqa: ASYNC110 - it is a file
                await anyio.sleep(0.05)


def said(result: types.CallToolResult) -> str:
    """Return the text of a result."""
    (block,) = result.content
    assert isinstance(block, types.TextContent)
    return block.text


async def success(stage: Stage) -> None:
    assert said(await stage.call("echo", text="hello")) == "hello"


async def tool_error(stage: Stage) -> None:
    assert (await stage.call("fail")).is_error


async def protocol_error(stage: Stage) -> None:
    await stage.fails(REFUSED, stage.call("refuse"))


async def unknown_tool(stage: Stage) -> None:
    await stage.fails(types.INVALID_PARAMS, stage.call("nothing"))


async def invalid_arguments(stage: Stage) -> None:
    refused = await stage.call("echo", text=7)
    assert refused.is_error
    assert "/text" in said(refused)


async def denied(stage: Stage) -> None:
    refused = await stage.call("erase", text="all")
    assert refused.is_error
    assert "nothing is erased here" in said(refused)


async def approved(stage: Stage) -> None:
    assert said(await decided(stage, "approve", 5)) == "paid 5"


async def rejected(stage: Stage) -> None:
    assert (await decided(stage, "reject", 6)).is_error


async def decided(stage: Stage, action: str, amount: int) -> types.CallToolResult:
    """Pay, and have somebody say yes or no to it meanwhile."""
    results: list[types.CallToolResult] = []

    async def pay() -> None:
        results.append(await stage.call("pay", amount=amount))

    def waiting() -> list[str]:
        listed = onrecord(stage.home, "approvals", "list", "--json").stdout
        return [json.loads(line)["id"] for line in listed.splitlines()]

    async with anyio.create_task_group() as group:
        group.start_soon(pay)
        with anyio.fail_after(SOON_S):
            while not (ids := await anyio.to_thread.run_sync(waiting)):  # noqa: ASYNC110 - another process says so
                await anyio.sleep(0.05)
        done = await anyio.to_thread.run_sync(lambda: onrecord(stage.home, "approvals", action, ids[0], "--yes"))
        assert done.returncode == 0, done.stderr
    return results[0]


async def cancelled(stage: Stage) -> None:
    with anyio.CancelScope() as scope:

        async def begun(progress: float, total: float | None, message: str | None) -> None:
            scope.cancel()

        await stage.client.call_tool("wait", {}, progress_callback=begun)
    assert scope.cancelled_caught


async def timed_out(stage: Stage) -> None:
    await stage.fails(types.REQUEST_TIMEOUT, stage.client.call_tool("wait", {}, read_timeout_seconds=0.5))


async def progress(stage: Stage) -> None:
    heard: list[float] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(progress)

    result = await stage.client.call_tool("count", {"upto": 3}, progress_callback=hear)
    assert (said(result), heard) == ("counted to 3", [1, 2, 3])


async def elicitation(stage: Stage) -> None:
    assert said(await stage.call("ask")) == "Hello, Ada!"


async def large_result(stage: Stage) -> None:
    assert len(said(await stage.call("fill"))) == LARGE


async def image(stage: Stage) -> None:
    (block,) = (await stage.call("draw")).content
    assert block.type == "image"


async def resource(stage: Stage) -> None:
    assert (await stage.client.read_resource("parity://note")).contents


async def prompt(stage: Stage) -> None:
    assert (await stage.client.get_prompt("greet", {"who": "Ada"})).messages


async def auth_failure(stage: Stage) -> None:
    bad: Any = {"io.onrecord/identity": "not.a.token"}
    await stage.fails(-31010, stage.client.call_tool("echo", {"text": "who?"}, meta=bad))


@dataclass(frozen=True)
class Scenario:
    """Something that is done, and how many calls end by it."""

    name: str
    act: Callable[[Stage], Awaitable[None]]
    ends: int = 1


SCENARIOS = (
    Scenario("success", success),
    Scenario("tool error", tool_error),
    Scenario("protocol error", protocol_error),
    Scenario("unknown tool", unknown_tool),
    Scenario("invalid arguments", invalid_arguments),
    Scenario("denied", denied),
    Scenario("approved, with a structured result", approved),
    Scenario("rejected", rejected),
    Scenario("cancelled", cancelled),
    Scenario("timed out", timed_out),
    Scenario("progress", progress),
    Scenario("elicitation", elicitation, ends=2),
    Scenario("large result", large_result),
    Scenario("image", image),
    Scenario("resource", resource),
    Scenario("prompt", prompt),
    Scenario("auth failure", auth_failure, ends=0),
)


def settled(home: Path) -> Path:
    """Make the home that all scenarios have."""
    (home / "policies").mkdir(parents=True)
    (home / "policies" / "team.cedar").write_text(POLICY)
    (home / "keys.json").write_bytes(shown())
    (home / "onrecord.toml").write_text(SETTINGS)
    return home


async def who_is_there(context: Any, params: Any) -> types.ElicitResult:
    """Answer the question of `ask`."""
    return types.ElicitResult(action="accept", content={"name": "Ada"})


async def played(client: Client, home: Path, events: Callable[[], list[Event]]) -> dict[str, list[Event]]:
    """Do all of it through a door, and return what is on the record of each."""
    stage = Stage(client, home)
    await client.list_tools()
    seen, ended = len(events()), 0
    came: dict[str, list[Event]] = {}
    calls: dict[str, int] = {}
    for scenario in SCENARIOS:
        await scenario.act(stage)
        ended += scenario.ends
        await stage.ended(events, ended)
        came[scenario.name] = plain(events()[seen:], calls)
        seen = len(events())
    return came


def plain(events: list[Event], calls: dict[str, int]) -> list[Event]:
    """Return events without what a door may differ in, and calls by their number; `calls` has those seen before."""
    kept = [event for event in events if event.get("phase") or event["event_type"] in KINDS]
    for event in kept:
        if "call_id" in event:
            calls.setdefault(event["call_id"], len(calls) + 1)
    return [{name: _plain(name, value, calls) for name, value in event.items() if name not in MEANS} for event in kept]


def _plain(name: str, value: Any, calls: dict[str, int]) -> Any:
    if name in ("call_id", "repeats"):
        return calls[value]
    if name == "detail":
        return {key: one for key, one in value.items() if key not in MEANS_IN_DETAIL}
    return value
