# SPDX-License-Identifier: Apache-2.0
"""Runs the conformance suite by all ways and writes what came of it; `make conformance`.

    python -m tests.conformance.report FILE

Exit code 1: a door of ours changed something, or the record is not complete.
"""

import json
import os
import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.conformance.suite import (
    EVERYTHING,
    FETCHED,
    GATEWAY_MENDS,
    NODE,
    OURS,
    REVISIONS,
    WAYS,
    Outcome,
    Reached,
    Scenario,
    Server,
    came_to,
    different,
    missing,
    run,
    run_again,
)
from tests.doors.session import record

HEAD = """# Conformance

`make suite conformance` writes this page: the official suite, `@modelcontextprotocol/conformance` {suite}, run
against a server by several ways. What it finds by way of OnRecord must be, scenario by scenario and check by check,
what it finds without. OnRecord runs with a policy in Cedar that is enforced and permits everything.

The suite speaks HTTP only. A server on standard input and output is reached through a small bridge
(`tests/conformance/bridge.py`), on both sides of the comparison. What belongs to HTTP alone then concerns the bridge.
Scenarios in *italics* are run, and not scored: extensions, and such as the suite's own server cannot pass yet.
The gateway refuses some things in front of every server, so that these checks succeed by it even where the server
fails them: {mends}.
What the gateway is compared with is counted on the wire, and what `instrument` is compared with in the server: a call
that the server's SDK refuses for its header fields comes to the gateway, and not to the server's own code.
What ended in another way by two ways is run a second time, since some checks wait for half a second only.

Machine: {machine}. Date: {date}."""
ABOUT = {
    OURS.name: "A server for the suite (`tests/conformance/server.py`, on `mcp` {mcp})",
    EVERYTHING.name: "`@modelcontextprotocol/server-everything` 2026.8.31, which was not written for it",
}
RUNS = ((OURS, ("2025-06-18", *REVISIONS)), (EVERYTHING, REVISIONS))


def main() -> int:
    """Run it all, write the page, and return 1 where something is not as it should be."""
    parts, wrong = [head()], list[str]()
    for server, revisions in RUNS:
        parts.append(f"## {ABOUT[server.name].format(mcp=version('mcp'))}")
        for revision in revisions:
            with TemporaryDirectory(prefix="c") as folder:
                part, problems = measured(server, revision, Path(folder))
            parts.append(part)
            wrong += [f"{server.name}, {revision}: {problem}" for problem in problems]
    Path(sys.argv[1]).write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print("\n".join(wrong) or f"nothing differs; see {sys.argv[1]}")
    return 1 if wrong else 0


def measured(server: Server, revision: str, folder: Path) -> tuple[str, list[str]]:
    """Return what is to say of one server and one revision, and what is wrong with it."""
    outcomes: dict[str, Outcome] = {}
    reached: dict[str, Reached] = {}
    wrong: list[str] = []
    ways = [way for way in WAYS if way.for_all or server is OURS]
    with ExitStack() as stack:
        for number, way in enumerate(ways):
            place = folder / str(number)
            place.mkdir()
            reached[way.name] = stack.enter_context(way.reach(server, place))
            outcomes[way.name] = run(reached[way.name].url, revision, place / "out")
            print(f"{server.name}, {revision}, {way.name}: {summed(outcomes[way.name])}", flush=True)
        for number, way in enumerate(ways):
            if way.beside:
                plain, ours = ((reached[name].url, outcomes[name]) for name in (way.beside, way.name))
                for name in run_again(plain, ours, revision, folder / f"again{number}", way.mends):
                    print(f"{server.name}, {revision}, {way.name}: {name} was run a second time", flush=True)
                differing = different(outcomes[way.beside], outcomes[way.name], way.mends)
                wrong += [f"{way.name} differs from {way.beside}: {name}" for name in differing]
    said = [f"### {revision}", "\n".join(table(outcomes))]
    for way in ways:
        if way.beside:
            wrong += [f"{way.name}: {problem}" for problem in missing(reached[way.name])]
            said.append(f"- {way.name}: {recorded(reached[way.name])}")
    return "\n\n".join(said), wrong


def recorded(reached: Reached) -> str:
    """Return what is on the record of a run, in a sentence."""
    assert reached.tally is not None
    assert reached.home is not None
    came = came_to(reached.tally)
    asked = sum(number for (direction, _, _), number in came.items() if direction == "server_to_client")
    events = record(reached.home)
    phases = Counter(event.get("phase") for event in events)
    unfit = sum(event.get("error_type") == "invalid_arguments" for event in events)
    refused = (
        f" Refused, since arguments did not fit the schema that the tool was listed with: {unfit}." if unfit else ""
    )
    return (
        f"{came.total()} calls, {asked} of them by the server; the record has {phases['attempt']} attempts and "
        f"{phases['result']} results.{refused}"
    )


def table(outcomes: dict[str, Outcome]) -> Iterator[str]:
    """Yield the lines of a table: a row for each scenario, a column for each way."""
    yield f"| scenario | {' | '.join(outcomes)} |"
    yield f"|---|{'---|' * len(outcomes)}"
    names = list(dict.fromkeys(name for outcome in outcomes.values() for name in outcome))
    scored = {name: all(outcome[name].scored for outcome in outcomes.values() if name in outcome) for name in names}
    for name in sorted(names, key=lambda name: (not scored[name], name)):
        cells = [shown(outcome.get(name)) for outcome in outcomes.values()]
        yield f"| {name if scored[name] else f'*{name}*'} | {' | '.join(cells)} |"
    yield f"| **all checks** | {' | '.join(f'**{summed(outcome)}**' for outcome in outcomes.values())} |"


def shown(scenario: Scenario | None) -> str:
    """Return what a cell says: how many checks passed, and how many did not."""
    if scenario is None:
        return "–"
    others = [f"{scenario.failed} failed"] if scenario.failed else []
    others += [f"{warned} warned"] if (warned := scenario.count("WARNING")) else []
    return ", ".join([f"{scenario.passed} passed", *others])


def summed(outcome: Outcome) -> str:
    """Return how a whole run ended."""
    return f"{sum(one.passed for one in outcome.values())} passed, {sum(one.failed for one in outcome.values())} failed"


def head() -> str:
    """Return how the page begins."""
    node = subprocess.run([NODE, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    machine = (
        f"{os.cpu_count()} virtual cores ({processor()}), Linux {'.'.join(platform.release().split('.')[:2])}, "
        f"Python {platform.python_version()}, node {node.removeprefix('v')}"
    )
    suite = json.loads((FETCHED / "@modelcontextprotocol/conformance/package.json").read_text())["version"]
    mends = ", ".join(f"`{name}`" for name in sorted(GATEWAY_MENDS))
    return HEAD.format(suite=suite, machine=machine, date=datetime.now(UTC).date(), mends=mends)


def processor() -> str:
    """Return what the processor is called."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return " ".join(next(line for line in lines if line.startswith("model name")).partition(":")[2].split()[:2])


if __name__ == "__main__":
    sys.exit(main())
