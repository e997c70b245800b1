# SPDX-License-Identifier: Apache-2.0
"""`onrecord selftest`: a canary through the real door, which must come out recorded, redacted and verified.

Starts `onrecord run` as a host would, in the home and with the settings in force, around a server of ours, and calls
its tool as a client of either era. The calls are real and on the real record, under a name that is theirs alone.
What they left behind is looked at in `canary_record.py`. Nothing is delivered anywhere yet, so that is not tested.
"""

import os
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from onrecord import canary
from onrecord.cli.canary_record import Before, Check, Spoken, examine
from onrecord.cli.terminal import print_json, put
from onrecord.doors.client import Client, Gone, Late
from onrecord.doors.wire import Response
from onrecord.errors import CommandError, NotSupported
from onrecord.event.call import Json
from onrecord.rules.canary import ANSWERED, ASKED, NOTE, SERVER_ID, TOOL, arguments_of, digest_of, planted
from onrecord.rules.neutral import neutral
from onrecord.rules.rendering import json_text
from onrecord.settings import home_folder, load
from onrecord.version import __version__

ERAS = (canary.LEGACY, canary.MODERN)

_MARKS = {"ok": "ok  ", "fail": "FAIL", "none": "--  "}
_ABOUT: Json = {"name": SERVER_ID, "version": __version__}
_MODERN: dict[str, Json] = {
    "io.modelcontextprotocol/protocolVersion": canary.MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": _ABOUT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """What a call takes, in microseconds: straight to the server, and through the door; medians of so many calls."""

    calls: int
    direct_us: float
    recorded_us: float


def selftest(options: Namespace) -> int:
    """Send the canaries, say what holds, and return 1 where something does not."""
    if sys.platform == "win32":
        raise NotSupported("onrecord selftest needs POSIX, as onrecord run does")
    ends = time.monotonic() + options.deadline
    home = home_folder()
    loaded = load(home, options.config)
    before = Before(home, loaded)
    door = [sys.executable, "-P", "-m", "onrecord.cli.main", "run", "--server-id", SERVER_ID]
    door += [] if options.config is None else ["--config", str(options.config)]
    door += ["--", *canary.command()]
    spoken, latency = list[Spoken](), list[Latency]()
    for era in ERAS:
        timed = options.calls if era == canary.MODERN else 0
        spoken.append(_speak(door, era, ends, timed, latency))
    checks = [*map(_answered, spoken), *examine(before, spoken, ends), *_costs(options.calls, latency)]
    checks.append(Check("none", "delivered", "not looked at: this version delivers events nowhere"))
    holds = all(check.state != "fail" for check in checks)
    if not holds:
        checks += [Check("none", "door said", one.told) for one in spoken if one.told and not one.fault]
    if options.json:
        print_json({"holds": holds, "checks": checks, "latency": latency[0] if latency else None})
    else:
        for check in checks:
            put(f"{_MARKS[check.state]}  {check.about:<10}  {check.text}")
    return int(not holds)


def _speak(door: Sequence[str], era: str, ends: float, timed: int, latency: list[Latency]) -> Spoken:
    """Start the door, call the tool once with secrets in all places, and `timed` times to see what that takes."""
    spoken = Spoken(era=era, run=os.urandom(8).hex(), trace_id=os.urandom(16).hex())
    meta: dict[str, Json] = {
        NOTE: f"canary {planted(spoken.run, ASKED[-1])} end",
        "traceparent": f"00-{spoken.trace_id}-{os.urandom(8).hex()}-01",
    }
    ended, why = False, ""
    with Client(door, ends) as client:
        try:
            _open(client, era)
            spoken.sent = True
            answer = client.ask("tools/call", _call(arguments_of(spoken.run), meta, era))
            spoken.answer, spoken.refusal = answer.result, _refusal(answer)
            if timed and not spoken.refusal:
                latency.append(_measured(client, era, timed, ends))
        except Gone:
            ended = True
        except Late:
            why = "no answer came in time"
        except CommandError as e:
            why = str(e)
    spoken.code, spoken.errors, spoken.told = client.end(), client.errors, client.told()
    if ended:
        why = f"it ended {_how(spoken.code)} before it answered"
    if why:
        spoken.fault = f"{why}; it said: {spoken.told}" if spoken.told else why
    return spoken


def _open(client: Client, era: str) -> None:
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


def _measured(client: Client, era: str, calls: int, ends: float) -> Latency:
    """Call the tool through the door and straight, turn about. Raises Gone, Late, CommandError."""
    with Client(canary.command(), ends) as straight:
        _open(straight, era)
        took: dict[Client, list[int]] = {straight: [], client: []}
        for number in range(calls):
            for one, times in took.items():
                began = time.perf_counter_ns()
                one.ask("tools/call", _call({"n": number}, {}, era))
                times.append(time.perf_counter_ns() - began)
    return Latency(calls=calls, direct_us=median(took[straight]) / 1000, recorded_us=median(took[client]) / 1000)


def _answered(spoken: Spoken) -> Check:
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


def _costs(calls: int, latency: Sequence[Latency]) -> list[Check]:
    """Say what being on the record cost in this run."""
    if not latency:
        why = "no calls were asked for" if not calls else "not measured, as the canary got no answer"
        return [Check("none", "latency", why)]
    one = latency[0]
    added = (one.recorded_us - one.direct_us) / 1000
    text = (
        f"{one.direct_us / 1000:.2f} ms straight, {one.recorded_us / 1000:.2f} ms on the record: {added:.2f} ms more, "
        f"{one.recorded_us / one.direct_us:.1f} times (median of {one.calls}; "
        "the attempt is on the device before the tool runs)"
    )
    return [Check("ok", "latency", text)]
