# SPDX-License-Identifier: Apache-2.0
"""The table of scenes that every way in must play alike: what a client does, under which settings, in which eras.

A scene is a function of a `Talk` that is open: its tools are listed. Those with the same settings are played one after
the other on one connection, as starting a server costs more than all of them. What a scene itself asserts holds on
every door; what else the client hears, and what is on the record, is compared between doors (`alike.py`), and the
record of one of them with `events.json` (`pin.py`). To add a scene is to add a function with `@scene`.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from tests.identity.issuing import AUDIENCE, ISSUER
from tests.parity.server import LARGE, REFUSED
from tests.parity.talk import NO, Talk
from tests.parity.wires import LEGACY, MODERN

from onrecord.cli.main import main

POLICY = """
@id("all") permit (principal, action, resource);
@id("erases") @safe_reason("erasing is not allowed here")
forbid (principal, action, resource == MCP::Tool::"erase");
@id("asks") @obligation("approval") forbid (principal, action, resource == MCP::Tool::"pay");
"""
SETTINGS = """
[run]
call_timeout = "{timeout}"
[policy]
engine = "{engine}"
[approvals]
channels = ["cli", "elicitation"]
[[tool]]
tool = "pay"
tier = 3
[[tool]]
tool = "*"
classification = "low"
tier = 1
"""
TOKENS = f"""
[identity]
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
jwks = "keys.json"
"""
PROGRESS = "notifications/progress"
WITHIN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Settings that scenes are played under. `tokens` says that those of an issuer are known."""

    engine: str = "cedar"
    timeout: str = "60s"
    tokens: bool = True

    @property
    def settings(self) -> str:
        return SETTINGS.format(engine=self.engine, timeout=self.timeout) + (TOKENS if self.tokens else "")


ENFORCED = Stage()
UNISSUED = Stage(tokens=False)
"""For servers that verify tokens of their own, which no scene needs."""
OPEN = Stage(engine="none", timeout="6s")  # longer than a machine pauses, and less than the slow tool takes
STAGES = {"enforced": ENFORCED, "open": OPEN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a client does. `events` is how many events of calls it makes, so that none can be empty.

    `by_line` says that only a door that sees messages as they come plays it, and none above an SDK's own order of them.
    """

    name: str
    play: Callable[[Talk], None]
    eras: tuple[str, ...]
    events: int
    stage: Stage
    by_line: bool


SCENES: list[Scene] = []


def scene(
    *, eras: tuple[str, ...] = (LEGACY, MODERN), events: int = 2, stage: Stage = ENFORCED, by_line: bool = False
) -> Callable[[Callable[[Talk], None]], Callable[[Talk], None]]:
    def add(play: Callable[[Talk], None]) -> Callable[[Talk], None]:
        SCENES.append(Scene(name=play.__name__, play=play, eras=eras, events=events, stage=stage, by_line=by_line))
        return play

    return add


def text(answer: Any) -> str:
    """Return the text of a result."""
    (block,) = answer["result"]["content"]
    return block["text"]


def failed(answer: Any) -> bool:
    """Say whether a tool has failed, or was not run."""
    return answer["result"].get("isError", False)


@scene()
def success(talk: Talk) -> None:
    assert text(talk.call("hello", name="ada")) == "hello ada"


@scene(stage=OPEN)
def without_a_policy(talk: Talk) -> None:
    assert text(talk.call("hello", name="bob")) == "hello bob"


@scene()
def structured_output(talk: Talk) -> None:
    assert talk.call("add", a=1, b=2)["result"]["structuredContent"] == {"sum": 3}


@scene()
def tool_error(talk: Talk) -> None:
    assert failed(talk.call("boom"))


@scene()
def protocol_error(talk: Talk) -> None:
    """On an SDK that has no such answer to a call, it is another tool that fails."""
    answer = talk.call("refuse")
    assert answer["error"]["code"] == REFUSED if "error" in answer else failed(answer)


@scene()
def unknown_tool(talk: Talk) -> None:
    talk.call("nothing_of_that_name")


@scene()
def invalid_arguments(talk: Talk) -> None:
    answer = talk.call("add", a="one")
    assert failed(answer)
    assert "/a" in text(answer)


@scene(events=0)
def a_tool_without_a_name(talk: Talk) -> None:
    talk.ask("tools/call", arguments={})


@scene()
def unknown_method(talk: Talk) -> None:
    talk.ask("nothing/ever")


@scene(stage=OPEN)
def unknown_resource(talk: Talk) -> None:
    assert "error" in talk.ask("resources/read", uri="note://nowhere")


@scene()
def denied(talk: Talk) -> None:
    answer = talk.call("erase", what="all of it")
    assert failed(answer)
    assert "erasing is not allowed here" in text(answer)


@scene(events=4)
def approved(talk: Talk) -> None:
    assert talk.call("pay", amount=5)["result"]["structuredContent"] == {"paid": 5}


@scene()
def rejected(talk: Talk) -> None:
    talk.confirms = NO
    assert failed(talk.call("pay", amount=6))


@scene(events=5)
def approved_by_command(talk: Talk) -> None:
    assert decided(talk, "approve", 7)["result"]["structuredContent"] == {"paid": 7}


@scene(events=4)
def rejected_by_command(talk: Talk) -> None:
    assert failed(decided(talk, "reject", 8))


def decided(talk: Talk, action: str, amount: int) -> Any:
    """Pay, and have somebody say yes or no to it on the command line; return the answer."""
    talk.confirms = None
    before = approvals(talk)
    paying = talk.begin("tools/call", name="pay", arguments={"amount": amount})
    until = time.monotonic() + WITHIN_S
    while not (asked := approvals(talk) - before):
        assert time.monotonic() < until, "nothing waits for an approval"
        time.sleep(0.02)
    (approval,) = asked
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONRECORD_HOME", str(talk.home))
        assert main(["approvals", action, approval, "--yes"]) == 0
    return talk.answer_to(paying)


def approvals(talk: Talk) -> set[str]:
    """Return the requests for approval that there are."""
    return {file.stem for file in (talk.home / "approvals").glob("*.json")}


@scene()
def cancelled(talk: Talk) -> None:
    given_up(talk, "not needed")


@scene()
def timed_out_at_the_client(talk: Talk) -> None:
    given_up(talk, "Request timed out")


def given_up(talk: Talk, reason: str) -> None:
    """Begin a call, and give it up once its tool is at work."""
    asked = talk.begin("tools/call", name="slow", arguments={}, _meta={"progressToken": f"s-{reason}"})
    talk.hear_of(PROGRESS)
    talk.give_up(asked, reason)
    assert text(talk.call("hello", name="after")) == "hello after"


@scene(stage=OPEN)
def timed_out(talk: Talk) -> None:
    assert "no answer within" in talk.call("slow")["error"]["message"]


@scene()
def progress(talk: Talk) -> None:
    answer = talk.ask("tools/call", name="steps", arguments={}, _meta={"progressToken": "p-1"})
    assert text(answer) == "done"
    assert [one["params"]["progress"] for one in talk.heard if one.get("method") == PROGRESS] == [1, 2]


@scene(events=4)
def elicitation(talk: Talk) -> None:
    assert text(talk.call("ask")) == "ann"


@scene(eras=(LEGACY,), events=4)
def sampling(talk: Talk) -> None:
    assert text(talk.call("think")) == "thought"


@scene()
def large_result(talk: Talk) -> None:
    assert len(text(talk.call("large"))) == LARGE


@scene()
def image(talk: Talk) -> None:
    assert [block["type"] for block in talk.call("picture")["result"]["content"]] == ["image"]


@scene()
def resource(talk: Talk) -> None:
    assert talk.ask("resources/read", uri="note://one")["result"]["contents"][0]["text"] == "a note"


@scene()
def prompt(talk: Talk) -> None:
    answer = talk.ask("prompts/get", name="greet", arguments={"name": "ada"})
    assert answer["result"]["messages"][0]["content"]["text"] == "greet ada"


@scene()
def missing_value(talk: Talk) -> None:
    talk.call("hello", name=None)


@scene(events=0)
def auth_failure(talk: Talk) -> None:
    signed = {"io.onrecord/identity": "not.a.token"}
    answer = talk.ask("tools/call", name="hello", arguments={"name": "who?"}, _meta=signed)
    assert answer["error"]["code"] == -31010


@scene(eras=(LEGACY,), stage=OPEN, by_line=True)
def twice_the_same_id(talk: Talk) -> None:
    first = talk.begin("tools/call", name="slow", arguments={})
    talk.send(json.dumps({"jsonrpc": "2.0", "id": first, "method": "ping"}).encode())
    talk.ask("tools/list")
    talk.tell("notifications/cancelled", requestId=first)
    talk.ask("tools/list")


@scene(events=0)
def undefined_notification(talk: Talk) -> None:
    talk.tell("notifications/of_our_own", secret="x")
    talk.ask("tools/list")
