# SPDX-License-Identifier: Apache-2.0
"""The official client is asked for its user's confirmation, in both eras, around servers that ask by themselves."""

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from mcp import Client, StdioServerParameters
from tests.doors.session import ONRECORD, onrecord, record

pytestmark = pytest.mark.requirement("C5")

SERVER = str(Path(__file__).with_name("asking_server.py"))
POLICY = """
@id("all") permit (principal, action, resource);
@id("asks") @obligation("approval") forbid (principal, action == MCP::Action::"tools/call", resource);
"""
SETTINGS = """
[policy]
engine = "cedar"
[approvals]
channels = ["cli", "elicitation"]
{more}
[[tool]]
tool = "pay"
tier = {tier}
"""
YES = types.ElicitResult(action="accept", content={"approve": True})
ERAS = ["legacy", "2026-07-28", "auto"]


class Person:
    """Who sits before the client: says `answer` to us, and to the server who gets the money."""

    def __init__(self, answer: types.ElicitResult | types.ErrorData = YES) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def __call__(self, _: Any, question: Any) -> Any:
        ours = question.message.startswith("OnRecord asks")
        self.asked.append("ours" if ours else question.message)
        self.read = question.message if ours else ""
        return self.answer if ours else types.ElicitResult(action="accept", content={"name": "ann", "sure": True})


def configured(home: Path, *, tier: int = 3, more: str = "") -> None:
    (home / "policies").mkdir(parents=True, exist_ok=True)
    (home / "policies" / "team.cedar").write_text(POLICY)
    (home / "onrecord.toml").write_text(SETTINGS.format(tier=tier, more=more))


@asynccontextmanager
async def connected(home: Path, kind: str, mode: Any, person: Any) -> AsyncIterator[Client]:
    command = [*ONRECORD, "run", "--server-id", "bank", "--", sys.executable, SERVER, kind, str(home)]
    server = StdioServerParameters(command=command[0], args=command[1:], env={**os.environ, "ONRECORD_HOME": str(home)})
    async with Client(server, mode=mode, elicitation_callback=person) as client:
        await client.list_tools()
        yield client


def done(home: Path) -> list[str]:
    file = home / "done"
    return file.read_text().splitlines() if file.exists() else []


def calls_read(home: Path) -> list[dict[str, Any]]:
    """Return the params of the calls that the server read."""
    messages = map(json.loads, (home / "read").read_bytes().splitlines())
    return [message["params"] for message in messages if message.get("method") == "tools/call"]


def events(home: Path, **about: str) -> list[dict[str, Any]]:
    return [e for e in record(home) if all(e.get(key) == value for key, value in about.items())]


def said(result: Any) -> str:
    return result.content[0].text


@pytest.mark.parametrize(
    ("kind", "mode", "ran", "questions"),
    [
        ("none", "legacy", "paid 5", 0),
        ("none", "auto", "paid 5", 0),
        ("one", "2026-07-28", "paid 5 to ann", 1),
        ("two", "legacy", "paid 5 to ann, sure: True", 2),
        ("two", "2026-07-28", "paid 5 to ann, sure: True", 2),
    ],
)
async def test_a_confirmed_call_runs_once_and_the_server_reads_nothing_of_the_question(
    tmp_path: Path, kind: str, mode: Any, ran: str, questions: int
) -> None:
    configured(tmp_path)
    person = Person()
    async with connected(tmp_path, kind, mode, person) as client:
        result = await client.call_tool("pay", {"amount": 5})

    assert (said(result), done(tmp_path)) == (ran, [ran])
    assert b"onrecord" not in (tmp_path / "read").read_bytes()
    modern = mode != "legacy"
    assert person.asked.count("ours") == (1 + questions if modern else 1)
    assert [question for question in person.asked if question != "ours"] == ["who gets 5?", "sure that it is ann?"][
        :questions
    ]

    asked = events(tmp_path, event_type="approval", action="requested")
    given = events(tmp_path, event_type="approval", action="approved")
    used = events(tmp_path, phase="decision")
    assert len(asked) == len(given) == len(used) == person.asked.count("ours")
    assert [e["detail"]["channel"] for e in given] == ["elicitation"] * len(given)
    assert [e["detail"]["independent"] for e in (*given, *used)] == [False] * 2 * len(given)
    assert [e["policy_decision"] for e in used] == ["allow"] * len(used)
    calls = events(tmp_path, event_type="tool_call")
    assert len({e["call_id"] for e in calls}) == 1
    assert len({e["approval_id"] for e in used}) == len(used)
    ends = [e["result_status"] for e in calls if e["phase"] == "result"]
    assert ends == (["input_required"] * (1 + 2 * questions) + ["succeeded"] if modern else ["succeeded"])
    assert onrecord(tmp_path, "verify", "--allow-unanchored").returncode == 0


@pytest.mark.parametrize(("kind", "state"), [("stateful", "5 is asked for"), ("stateless", "None")])
async def test_a_server_gets_its_own_state_and_its_answers_back(tmp_path: Path, kind: str, state: str) -> None:
    configured(tmp_path)
    async with connected(tmp_path, kind, "2026-07-28", Person()) as client:
        result = await client.call_tool("pay", {"amount": 5})

    assert said(result) == f"paid 5 to ann, state: {state}"
    assert done(tmp_path) == [said(result)]
    first, second = calls_read(tmp_path)
    assert not {"requestState", "inputResponses"} & first.keys()
    assert list(second["inputResponses"]) == ["who"]
    assert second.get("requestState", "None") == state


class Hands:
    """A client that is driven by hand, in the newer era."""

    def __init__(self, client: Client) -> None:
        self._session = client.session

    async def call(self, amount: int = 5, **back: Any) -> Any:
        """Return the result of a call, or of one that brings something back."""
        return await self._session.call_tool("pay", {"amount": amount}, allow_input_required=True, **back)

    async def asked(self, amount: int = 5, **back: Any) -> tuple[dict[str, Any], str]:
        """Call; return a yes to the question that comes, by its name, and the state."""
        result = await self.call(amount, **back)
        assert isinstance(result, types.InputRequiredResult)
        [name] = result.input_requests or {}
        assert result.request_state is not None
        return {name: YES}, result.request_state


async def test_a_confirmation_that_is_sent_twice_runs_the_call_once(tmp_path: Path) -> None:
    configured(tmp_path)
    async with connected(tmp_path, "none", "2026-07-28", Person()) as client:
        hands = Hands(client)
        answers, state = await hands.asked()
        first = await hands.call(input_responses=answers, request_state=state)
        second = await hands.call(input_responses=answers, request_state=state)

    assert said(first) == "paid 5"
    assert second.is_error
    assert done(tmp_path) == ["paid 5"]
    [*_, end] = events(tmp_path, event_type="tool_call", phase="result")
    assert end["error_type"] == "approval_refused"


async def test_answers_that_were_not_confirmed_are_not_forwarded(tmp_path: Path) -> None:
    configured(tmp_path)
    async with connected(tmp_path, "one", "2026-07-28", Person()) as client:
        hands = Hands(client)
        yes, state = await hands.asked()
        theirs = await hands.call(input_responses=yes, request_state=state)
        [name] = theirs.input_requests
        ann, eve = (types.ElicitResult(action="accept", content={"name": who}) for who in ("ann", "eve"))
        yes, state = await hands.asked(input_responses={name: ann}, request_state=theirs.request_state)
        result = await hands.call(input_responses={**yes, name: eve}, request_state=state)
        old = await hands.call(input_responses={**yes, name: eve}, request_state=theirs.request_state)

    assert said(result) == "paid 5 to ann"
    assert "without its state" in said(old)
    assert done(tmp_path) == ["paid 5 to ann"]


async def test_the_user_reads_what_the_record_keeps_and_no_secret(tmp_path: Path) -> None:
    configured(tmp_path)
    person, secret = Person(), "ghp_" + "dUmmY0dUmmY1" * 3
    async with connected(tmp_path, "none", "2026-07-28", person) as client:
        await client.call_tool("pay", {"amount": 5, "note": secret})

    assert "tool_name: pay" in person.read
    assert secret not in person.read


async def test_two_wrappers_around_one_server_ask_one_after_the_other(tmp_path: Path) -> None:
    outer, inner = tmp_path / "outer", tmp_path / "inner"
    configured(outer)
    configured(inner)
    run = [*ONRECORD, "run", "--server-id"]
    inside = [*run, "inner", "--", sys.executable, SERVER, "one", str(tmp_path)]
    command = [*run, "outer", "--", "env", f"ONRECORD_HOME={inner}", *inside]
    env = {**os.environ, "ONRECORD_HOME": str(outer)}
    for mode in ERAS[:2]:
        person = Person()
        server = StdioServerParameters(command=command[0], args=command[1:], env=env)
        async with Client(server, mode=mode, elicitation_callback=person) as client:  # type: ignore[arg-type]
            result = await client.call_tool("pay", {"amount": 5})
        assert said(result) == "paid 5 to ann"
        assert person.asked.count("ours") >= 2
    assert done(tmp_path) == ["paid 5 to ann"] * 2
