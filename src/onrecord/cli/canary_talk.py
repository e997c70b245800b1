# SPDX-License-Identifier: Apache-2.0
"""The conversation of a self-test with a door, as a client of either era has it: secrets in all places, and times."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from onrecord import canary
from onrecord.cli.canary_checks import Check, Latency, Spoken
from onrecord.doors.client import Gone, Late
from onrecord.doors.wire import Response
from onrecord.errors import CommandError
from onrecord.event.call import Json
from onrecord.rules.canary import ANSWERED, ASKED, NOTE, SERVER_ID, TOOL, arguments_of, digest_of, planted
from onrecord.rules.neutral import neutral
from onrecord.rules.rendering import json_text
from onrecord.version import __version__

_ABOUT: Json = {"name": SERVER_ID, "version": __version__}
_MODERN: dict[str, Json] = {
    "io.modelcontextprotocol/protocolVersion": canary.MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": _ABOUT,
}


class Talk(Protocol):
    """A door that was started, or the server alone that is behind it, and its client."""

    errors: bytes

    def ask(self, method: str, params: dict[str, Json]) -> Response:
        """Return the answer to a request. Raises Gone, Late."""
        ...

    def tell(self, method: str) -> None:
        """Send a notification. Raises Gone, Late."""
        ...

    def end(self) -> int:
        """End it, and return its exit code. Can be called again."""
        ...

    def told(self) -> str:
        """Return what it said last on its standard error, fit for a terminal."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A way in that can be tried here.

    `through` starts it with the canary behind it, `straight` the canary alone, each with the time, of the monotonic
    clock, when answers are not waited for any more. `token` is with what `through` is asked, if with anything.
    """

    name: str
    eras: tuple[str, ...]
    through: Callable[[float], Talk]
    straight: Callable[[float], Talk]
    token: str = ""


def speak(door: Door, era: str, ends: float, timed: int) -> tuple[Spoken, Latency | None]:
    """Start a door, call the tool once with secrets in all places, and `timed` times to see what that takes."""
    spoken = Spoken(era=era, run=os.urandom(8).hex(), trace_id=os.urandom(16).hex(), token=door.token)
    latency: Latency | None = None
    ended, why = False, ""
    client = door.through(ends)
    try:
        _open(client, era)
        spoken.sent = True
        answer = client.ask("tools/call", _call(arguments_of(spoken.run), _meta(spoken), era))
        spoken.answer, spoken.refusal = answer.result, _refusal(answer)
        if timed and not spoken.refusal:
            latency = _measured(door, client, era, timed, ends)
    except Gone:
        ended = True
    except Late:
        why = "no answer came in time"
    except CommandError as e:
        why = str(e)
    finally:
        spoken.code = client.end()
    spoken.errors, spoken.told = client.errors, client.told()
    if ended:
        why = f"it ended {_how(spoken.code)} before it answered"
    if why:
        spoken.fault = f"{why}; it said: {spoken.told}" if spoken.told else why
    return spoken, latency


def _meta(spoken: Spoken) -> dict[str, Json]:
    trace = f"00-{spoken.trace_id}-{os.urandom(8).hex()}-01"
    return {NOTE: f"canary {planted(spoken.run, ASKED[-1])} end", "traceparent": trace}


def _open(client: Talk, era: str) -> None:
    """Shake hands where the era has that, and ask for the tools, as hosts do first. Raises Gone, Late, CommandError."""
    if era == canary.LEGACY:
        opening = client.ask("initialize", {"protocolVersion": era, "capabilities": {}, "clientInfo": _ABOUT})
        client.tell("notifications/initialized")
        meta: dict[str, Json] = {}
    else:
        opening = client.ask("server/discover", {"_meta": _MODERN})
        meta = {"_meta": _MODERN}
    listed = client.ask("tools/list", meta)
    for asked, answer in (("hand-shake", opening), ("list of tools", listed)):
        if why := _refusal(answer):
            raise CommandError(f"the {asked} was refused: {why}", 1)


def _call(arguments: dict[str, Json], meta: dict[str, Json], era: str) -> dict[str, Json]:
    said = {**_MODERN, **meta} if era == canary.MODERN else meta
    return {"name": TOOL, "arguments": arguments, "_meta": said}


def _refusal(answer: Response) -> str:
    """Return why there is no result, in the words of the door, or nothing where there is one."""
    if answer.error is not None:
        return neutral(str(answer.error.get("message", "an error without a message")), limit=300)
    result = answer.result if isinstance(answer.result, dict) else {}
    if result.get("resultType", "complete") != "complete":
        return "a person is asked first"
    if result.get("isError"):
        return neutral(json_text(result.get("content")), limit=300)
    return ""


def _measured(door: Door, client: Talk, era: str, calls: int, ends: float) -> Latency:
    """Call the tool through the door and straight, turn about. Raises Gone, Late, CommandError."""
    straight = door.straight(ends)
    try:
        _open(straight, era)
        took: dict[Talk, list[int]] = {straight: [], client: []}
        for number in range(calls):
            for one, times in took.items():
                began = time.perf_counter_ns()
                one.ask("tools/call", _call({"n": number}, {}, era))
                times.append(time.perf_counter_ns() - began)
    finally:
        straight.end()
    return Latency(calls=calls, direct_us=median(took[straight]) / 1000, recorded_us=median(took[client]) / 1000)


def answered(spoken: Spoken) -> Check:
    """Say whether the door worked, and whether tool and client got what was meant for them."""
    about = f"door {spoken.era[:4]}"
    if spoken.fault:
        return Check("fail", about, spoken.fault)
    if spoken.refusal:
        return Check("fail", about, f"the call was not answered by the tool: {spoken.refusal}")
    answer = spoken.answer if isinstance(spoken.answer, dict) else {}
    structured = answer.get("structuredContent")
    received = structured.get("received") if isinstance(structured, dict) else None
    note = f"canary {planted(spoken.run, ASKED[-1])} end"
    if received != digest_of(arguments_of(spoken.run), note):  # pyright: ignore[reportArgumentType]
        return Check("fail", about, "the tool did not get the values that it was called with")
    text = json_text(answer)
    if missing := [place for place in ANSWERED if planted(spoken.run, place) not in text]:
        return Check("fail", about, f"the client did not get what the tool said: {', '.join(missing)}")
    if spoken.code:
        return Check("fail", about, f"it answered, and ended {_how(spoken.code)}")
    return Check("ok", about, f"revision {spoken.era}: the tool got the real values, the client its real answer")


def _how(code: int) -> str:
    return f"with code {code}" if code >= 0 else f"by signal {-code}"
