# SPDX-License-Identifier: Apache-2.0
"""The official conformance suite against one server by several ways, and whether they differ; `make suite` fetches it.

A way gives a URL. A door of ours is one more way: write a function like `wrapped`, and add it to `WAYS` with the way
that it must not differ from.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.doors.session import ONRECORD, onrecord, record
from tests.gateway.running import Gateway
from tests.services import free_port

ROOT = Path(__file__).parents[2]
FETCHED = ROOT / ".conformance/node_modules"
NODE = FETCHED / ".bin/node"
_SUITE = FETCHED / "@modelcontextprotocol/conformance/dist/index.js"
_EVERYTHING = FETCHED / "@modelcontextprotocol/server-everything/dist/index.js"
REVISIONS = ("2025-11-25", "2026-07-28")  # for which the suite says what is required
WITHIN_S = 300.0  # for one run of the suite
STARTS_S = 60.0  # a server, on a busy machine

POLICY = '@id("all") permit (principal, action, resource);\n'
SETTINGS = '[policy]\nengine = "cedar"\nmode = "enforce"\nfolder = "policies"\n'

# What the gateway answers in place of a server: it may be that only the gateway does it as the suite expects.
GATEWAY_MENDS = frozenset(
    {
        "localhost-host-rebinding-rejected",
        "sep-2575-http-server-header-mismatch-400",
        "server-session-terminated-returns-404",
        "tasks-headers-reject-mismatched-method",
    }
)

# Requests that are no calls: they set up, describe or watch, and the record has no event of its own for each.
NO_CALLS = frozenset(
    {
        "initialize",
        "logging/setLevel",
        "ping",
        "prompts/list",
        "resources/list",
        "resources/subscribe",
        "resources/templates/list",
        "resources/unsubscribe",
        "roots/list",
        "server/discover",
        "subscriptions/listen",
        "tools/list",
    }
)


@dataclass(frozen=True)
class Reached:
    """A server that is up: where, which home has the record of it, and the file that tells what came to it."""

    url: str
    tally: Path | None = None
    home: Path | None = None


@dataclass(frozen=True)
class Scenario:
    """What came of one scenario: how often each check ended how; what merely informs is left out."""

    checks: Counter[tuple[str, str]] = field(default_factory=Counter)
    scored: bool = True

    def count(self, status: str) -> int:
        """Return how many checks ended so."""
        return sum(number for (_, ended), number in self.checks.items() if ended == status)

    @property
    def passed(self) -> int:
        """How many checks succeeded."""
        return self.count("SUCCESS")

    @property
    def failed(self) -> int:
        """How many checks failed."""
        return self.count("FAILURE")


Outcome = dict[str, Scenario]


def run(url: str, revision: str, folder: Path, *only: str) -> Outcome:
    """Run the scenarios that a revision requires, all that there are of an older one, or `only` these."""
    all_of = ["--requirements", revision] if revision in REVISIONS else ["--suite", "all", "--spec-version", revision]
    selections = [["--scenario", name, "--spec-version", revision] for name in only] or [all_of]
    said = ""
    for selection in selections:
        command = [str(NODE), str(_SUITE), "server", "--url", url, *selection, "-o", str(folder)]
        said += subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=WITHIN_S).stdout
    unscored = {line.split()[1] for line in said.partition("\nNot scored for ")[2].splitlines()[1:] if "(" in line}
    outcome: Outcome = {}
    for file in sorted(folder.glob("server-*/checks.json")):
        name = re.sub(r"-\d{4}-\d\d-\d\dT.*", "", file.parent.name.removeprefix("server-"))  # without the time, in UTC
        checks = Counter((check["id"], check["status"]) for check in json.loads(file.read_text()))
        kept = Counter({key: number for key, number in checks.items() if key[1] != "INFO"})
        outcome[name] = Scenario(kept, name not in unscored)
    assert outcome, f"the suite said nothing of any scenario: {said[-2000:]}"
    return outcome


def different(a: Outcome, b: Outcome, mends: frozenset[str] = frozenset()) -> list[str]:
    """Return the scenarios that ended in another way; a check that way `b` `mends` succeeds by it, if not by `a`."""
    expected = {name: replace(one, checks=_mended(one.checks, mends)) for name, one in a.items()}
    return sorted(name for name in a.keys() | b.keys() if expected.get(name) != b.get(name))


def _mended(checks: Counter[tuple[str, str]], mends: frozenset[str]) -> Counter[tuple[str, str]]:
    mended = Counter[tuple[str, str]]()
    for (name, ended), number in checks.items():
        mended[name, "SUCCESS" if name in mends and ended == "FAILURE" else ended] += number
    return mended


def alike(
    a: Reached, b: Reached, revision: str, folder: Path, *only: str, mends: frozenset[str] = frozenset()
) -> tuple[Outcome, Outcome]:
    """Run the suite by two ways."""
    first, second = run(a.url, revision, folder / "a", *only), run(b.url, revision, folder / "b", *only)
    run_again((a.url, first), (b.url, second), revision, folder / "again", mends)
    return first, second


def run_again(
    a: tuple[str, Outcome], b: tuple[str, Outcome], revision: str, folder: Path, mends: frozenset[str] = frozenset()
) -> list[str]:
    """Run once more, and return, what ended in another way by two ways: some checks wait for half a second only."""
    again = different(a[1], b[1], mends)
    for number, (url, outcome) in enumerate((a, b) if again else ()):
        anew = run(url, revision, folder / str(number), *again)
        outcome.update({name: replace(one, scored=outcome[name].scored) for name, one in anew.items()})
    return again


def missing(reached: Reached) -> list[str]:
    """Return what the record lacks of the calls that came to a server, or has too much; empty where it is complete."""
    assert reached.tally is not None
    assert reached.home is not None
    came = came_to(reached.tally)
    events = record(reached.home)
    attempts = [event for event in events if event.get("phase") == "attempt"]
    ends = Counter(_one(event) for event in events if event.get("phase") == "result")
    recorded = Counter((one["direction"], one["method"], one.get("tool_name", "")) for one in attempts)
    wrong = [f"{number} × {call} came, and is not recorded" for call, number in (came - recorded).items()]
    wrong += [f"{number} × {call} is recorded, and never came" for call, number in (recorded - came).items()]
    wrong += [
        f"{one['method']} {one['call_id']} has {ends[_one(one)]} results" for one in attempts if ends[_one(one)] != 1
    ]
    wrong += [f"{number} results are of no attempt" for number in [ends.total() - len(attempts)] if number]
    unfit = {_one(event) for event in events if event.get("error_type") == "invalid_arguments"}
    wrong += [
        f"{one['method']} was not allowed: {one['policy_decision']}"
        for one in attempts
        if one["policy_decision"] != "allow" and _one(one) not in unfit
    ]
    checked = onrecord(reached.home, "verify", "--allow-unanchored")
    return wrong + ([] if checked.returncode == 0 else [checked.stdout + checked.stderr])


def came_to(tally: Path) -> Counter[tuple[str, str, str]]:
    """Return how often which call came to a server or went out from it: its direction, its method, and the tool."""
    directions = {"in": "client_to_server", "out": "server_to_client"}
    return Counter(
        (directions[one["way"]], one["method"], one["name"] if one["method"] == "tools/call" else "")
        for one in map(json.loads, tally.read_text().splitlines())
        if one["method"] not in NO_CALLS
    )


def _one(event: dict[str, Any]) -> tuple[Any, ...]:
    """Return what a request and its end have in common, and other rounds of the same call don't."""
    return tuple(event.get(name) for name in ("session_id", "direction", "request_id", "call_id", "round"))


# servers


@dataclass(frozen=True)
class Server:
    """A server for both wires. `stdio` and `http` are commands; `forks` says that `stdio` wants a process to fork."""

    name: str
    stdio: tuple[str, ...]
    http: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    forks: bool = False


_OURS = (sys.executable, "-m", "tests.conformance.server")
OURS = Server(
    "conformance",
    (sys.executable, "-I", "-S", str(ROOT / "tests/conformance/forked.py"), "forks.sock"),
    (*_OURS, "http"),
    forks=True,
)
EVERYTHING = Server(
    "everything", (str(NODE), str(_EVERYTHING), "stdio"), (str(NODE), str(_EVERYTHING), "streamableHttp")
)


@contextmanager
def started(command: tuple[str, ...], folder: Path, env: dict[str, str]) -> Iterator[str]:
    """Have a process run, and give the line that it prints once it is ready."""
    child = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert child.stdout is not None
        said = child.stdout.readline().strip()
        assert said, f"{' '.join(command)} ended with code {child.wait(STARTS_S)}"
        yield said
    finally:
        child.terminate()
        child.communicate(timeout=STARTS_S)


# ways


@contextmanager
def direct(server: Server, folder: Path) -> Iterator[Reached]:
    """Reach a server over HTTP."""
    tally = folder / "tally"
    port = free_port()
    with started(server.http, folder, {"PORT": str(port), "CONFORMANCE_TALLY": str(tally), **server.env}) as said:
        port = int(said) if said.isdigit() else port
        _await(port)
        yield Reached(f"http://127.0.0.1:{port}/mcp", tally)


@contextmanager
def bridged(server: Server, folder: Path, *wrapper: str, home: Path | None = None) -> Iterator[Reached]:
    """Reach a server over standard input and output, through the bridge."""
    tally = folder / "tally"
    bridge = (sys.executable, "-m", "tests.conformance.bridge")
    options = () if server.forks else ("--tally", str(tally))
    env = {} if home is None else {"ONRECORD_HOME": str(home)}
    with (
        _forking(server, folder, tally),
        started((*bridge, *options, "--", *wrapper, *server.stdio), folder, env) as said,
    ):
        yield Reached(f"http://127.0.0.1:{said}/mcp", tally, home)


def wrapped(server: Server, folder: Path, policy: str = POLICY) -> AbstractContextManager[Reached]:
    """Reach a server over standard input and output, through the bridge and `onrecord run`."""
    home = enforcing(folder / "home", policy)
    return bridged(server, folder, *ONRECORD, "run", "--server-id", server.name, "--", home=home)


@contextmanager
def gatewayed(server: Server, folder: Path) -> Iterator[Reached]:
    """Reach a server over HTTP, through `onrecord gateway`."""
    home, tally = enforcing(folder / "home", POLICY), folder / "passed"
    counting = (sys.executable, "-m", "tests.conformance.counting")
    with direct(server, folder) as reached:
        port = str(urlsplit(reached.url).port)
        with (
            started((*counting, port, str(tally)), folder, {}) as said,
            Gateway(home, {server.name: f"http://127.0.0.1:{said}/mcp"}, settings=SETTINGS) as gateway,
        ):
            yield Reached(gateway.url(server.name), tally, home)


@contextmanager
def instrumented(server: Server, folder: Path, *, reach: Callable[..., Any]) -> Iterator[Reached]:
    """Reach a server that puts itself on the record, by another way."""
    home = enforcing(folder / "home", POLICY)
    env = {**server.env, "ONRECORD_HOME": str(home), "CONFORMANCE_INSTRUMENT": "1"}
    with reach(replace(server, env=env), folder) as reached:
        yield replace(reached, home=home)


@dataclass(frozen=True)
class Way:
    """A way to a server; what the suite finds must be what it finds `beside` it, on the way without us."""

    name: str
    reach: Callable[[Server, Path], AbstractContextManager[Reached]]
    beside: str = ""
    mends: frozenset[str] = frozenset()  # checks that succeed by this way, whatever they do beside it
    for_all: bool = True  # servers, and not only for ours, which can be changed


WAYS = (
    Way("HTTP", direct),
    Way("stdio", bridged),
    Way("stdio, `onrecord run`", wrapped, beside="stdio"),
    Way("HTTP, `onrecord gateway`", gatewayed, beside="HTTP", mends=GATEWAY_MENDS),
    Way("HTTP, `instrument`", partial(instrumented, reach=direct), beside="HTTP", for_all=False),
    Way("stdio, `instrument`", partial(instrumented, reach=bridged), beside="stdio", for_all=False),
)


def enforcing(home: Path, policy: str) -> Path:
    """Make a home whose policy is enforced."""
    (home / "policies").mkdir(parents=True)
    (home / "policies" / "all.cedar").write_text(policy)
    (home / "onrecord.toml").write_text(SETTINGS)
    return home


@contextmanager
def _forking(server: Server, folder: Path, tally: Path) -> Iterator[None]:
    if not server.forks:
        yield
        return
    with started((*_OURS, "forks", "forks.sock"), folder, {"CONFORMANCE_TALLY": str(tally), **server.env}):
        yield


def _await(port: int) -> None:
    until = time.monotonic() + STARTS_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            assert time.monotonic() < until, "the server does not listen"
            time.sleep(0.05)


def at_hand() -> bool:
    """Say whether the suite and the servers are fetched."""
    return _SUITE.exists() and _EVERYTHING.exists()
