# SPDX-License-Identifier: Apache-2.0
"""The scenes that every way in must play alike: what a client does, under which settings, in which eras.

A scene is a function of a `Talk` that is open: its tools are listed. Those with the same settings are played one after
the other on one connection, as starting a server costs more than all of them. What the client hears, and what is on the
record, is compared between doors by `alike.py`. To add a scene is to add a function with `@scene`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

from tests.parity.talk import LEGACY, MODERN, NO, Talk

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
wait = "1s"
[[tool]]
tool = "pay"
tier = 3
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Settings that scenes are played under."""

    engine: str = "cedar"
    timeout: str = "60s"

    @property
    def settings(self) -> str:
        return SETTINGS.format(engine=self.engine, timeout=self.timeout)


ENFORCED = Stage()
OPEN = Stage(engine="none")
HURRIED = Stage(timeout="1s")
WIRE = Stage(timeout="61s")
"""For what a door that sees messages as they come tells apart, and one above an SDK's own order of them does not."""
STAGES = {"enforced": ENFORCED, "open": OPEN, "hurried": HURRIED, "wire": WIRE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a client does. `events` is how many events of calls it makes, so that none can be empty."""

    name: str
    play: Callable[[Talk], None]
    eras: tuple[str, ...]
    events: int
    stage: Stage


SCENES: list[Scene] = []


def scene(
    *, eras: tuple[str, ...] = (LEGACY, MODERN), events: int = 2, stage: Stage = ENFORCED
) -> Callable[[Callable[[Talk], None]], Callable[[Talk], None]]:
    def add(play: Callable[[Talk], None]) -> Callable[[Talk], None]:
        SCENES.append(Scene(name=play.__name__, play=play, eras=eras, events=events, stage=stage))
        return play

    return add


@scene()
def success(talk: Talk) -> None:
    talk.call("hello", name="ada")


@scene(stage=OPEN)
def without_a_policy(talk: Talk) -> None:
    talk.call("hello", name="bob")


@scene()
def structured_output(talk: Talk) -> None:
    talk.call("add", a=1, b=2)


@scene()
def tool_error(talk: Talk) -> None:
    talk.call("boom")


@scene()
def unknown_tool(talk: Talk) -> None:
    talk.call("nothing_of_that_name")


@scene()
def invalid_arguments(talk: Talk) -> None:
    talk.call("add", a="one")


@scene(events=0)
def a_tool_without_a_name(talk: Talk) -> None:
    talk.ask("tools/call", arguments={})


@scene()
def unknown_method(talk: Talk) -> None:
    talk.ask("nothing/ever")


@scene(stage=OPEN)
def unknown_resource(talk: Talk) -> None:
    talk.ask("resources/read", uri="note://nowhere")


@scene()
def denied(talk: Talk) -> None:
    talk.call("erase", what="all of it")


@scene(events=4)
def approved(talk: Talk) -> None:
    talk.call("pay", amount=5)


@scene()
def rejected(talk: Talk) -> None:
    talk.confirms = NO
    talk.call("pay", amount=6)


@scene()
def cancelled(talk: Talk) -> None:
    asked = talk.begin("tools/call", name="slow", arguments={})
    talk.ask("tools/list")
    talk.tell("notifications/cancelled", requestId=asked, reason="not needed")
    talk.call("hello", name="after")


@scene(stage=HURRIED)
def timed_out(talk: Talk) -> None:
    talk.call("slow")


@scene(eras=(LEGACY,))
def progress(talk: Talk) -> None:
    talk.ask("tools/call", name="steps", arguments={}, _meta={"progressToken": "p-1"})


@scene(eras=(LEGACY,), events=4)
def elicitation(talk: Talk) -> None:
    talk.call("ask")


@scene(eras=(LEGACY,), events=4)
def sampling(talk: Talk) -> None:
    talk.call("think")


@scene()
def large_result(talk: Talk) -> None:
    talk.call("large")


@scene()
def image(talk: Talk) -> None:
    talk.call("picture")


@scene()
def resource(talk: Talk) -> None:
    talk.ask("resources/read", uri="note://one")


@scene()
def prompt(talk: Talk) -> None:
    talk.ask("prompts/get", name="greet", arguments={"name": "ada"})


@scene()
def missing_value(talk: Talk) -> None:
    talk.call("hello", name=None)


@scene(stage=WIRE)
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
