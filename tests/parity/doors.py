# SPDX-License-Identifier: Apache-2.0
"""The ways in that scenes are played through, and the environments that their servers run in.

A door is a row of `DOORS`. To add one is to say how a client gets in by it, and in what its record may differ.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.doors.session import ONRECORD, record
from tests.gateway.running import Gateway
from tests.identity.issuing import id_token, shown
from tests.parity import alike
from tests.parity.alike import NOTHING_APART, Apart, Instead
from tests.parity.scenes import ENFORCED, OPEN, POLICY, SCENES, STAGES, Scene, Stage
from tests.parity.talk import YES, Talk
from tests.parity.wires import LEGACY, MODERN, Lines, Posts, Wire

ROOT = Path(__file__).parents[2]
SERVER = str(Path(__file__).with_name("server.py"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A server of one SDK, in an environment of its own; `build` and `ways` are as in `server.py`.

    A way to be on the record is a door of that name, and `fronts` are names of doors in front of it, beside stdio.
    """

    name: str
    build: str
    eras: tuple[str, ...]
    ways: tuple[str, ...] = ("instrument",)
    fronts: tuple[str, ...] = ()

    @property
    def by_line(self) -> bool:
        """Whether its door inside sees messages as they come, in the order in which they do."""
        return MODERN not in self.eras

    @property
    def python(self) -> str:
        """Return the interpreter of its environment. Skips the test where that was not made."""
        if self.name == "v2":
            return sys.executable
        folder = ROOT / ".doors" / self.name
        if not (folder / ".ready").exists():
            pytest.skip(f"{folder.name} is not at hand: make doors")
        return str(folder / "bin" / "python")


KINDS = {
    kind.name: kind
    for kind in (
        Kind(name="v1", build="v1", eras=(LEGACY,)),
        Kind(name="v2", build="v2", eras=(LEGACY, MODERN), fronts=("gateway",)),
        Kind(name="fastmcp2", build="fastmcp", eras=(LEGACY,), ways=("instrument", "middleware")),
        Kind(name="fastmcp3", build="fastmcp", eras=(LEGACY,), ways=("instrument", "middleware")),
        Kind(name="fastmcp4", build="fastmcp", eras=(LEGACY, MODERN), ways=("instrument", "middleware")),
    )
}


# how a client gets in


def through_stdio(kind: Kind) -> list[str]:
    """Return the command that has the server wrapped by `onrecord run`."""
    return [*ONRECORD, "run", "--server-id", "parity", "--", kind.python, SERVER, kind.build, "bare", "stdio"]


def from_inside(kind: Kind, way: str, transport: str = "stdio") -> list[str]:
    """Return the command of a server that records itself."""
    return [kind.python, SERVER, kind.build, way, transport]


def started(command: list[str], home: Path) -> Lines:
    """Start a process that records in `home`."""
    return Lines(command, {**os.environ, "ONRECORD_HOME": str(home)})


@contextmanager
def listening(command: list[str], home: Path, **env: str) -> Iterator[str]:
    """Serve over HTTP; yield the URL of the server. What it says on standard error is beside the home."""
    with (home.parent / "stderr").open("w") as errors:
        child = subprocess.Popen(
            command,
            env={**os.environ, "ONRECORD_HOME": str(home), **env},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert child.stdout is not None
    try:
        port = int(child.stdout.readline())
        yield f"http://127.0.0.1:{port}/mcp"
        child.terminate()
        child.wait(20)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


@contextmanager
def by_lines(kind: Kind, home: Path, era: str, *, way: str) -> Iterator[Wire]:
    """Come in over standard input and output."""
    wire = started(through_stdio(kind) if way == "stdio" else from_inside(kind, way), home)
    try:
        yield wire
    finally:
        wire.kill()


@contextmanager
def behind_gateway(kind: Kind, home: Path) -> Iterator[Gateway]:
    """Have the gateway in front of a server, with the settings that the home has."""
    settings = (home / "onrecord.toml").read_text()
    with (
        listening(from_inside(kind, "bare", "http"), home) as url,
        Gateway(home, {"parity": url}, settings=settings, tokens="required") as gateway,
    ):
        yield gateway


@contextmanager
def by_gateway(kind: Kind, home: Path, era: str) -> Iterator[Wire]:
    """Come in over HTTP, with a token that holds."""
    with behind_gateway(kind, home) as gateway:
        wire = Posts(gateway.connect, "/parity", era, id_token(aud=gateway.url("parity")))
        try:
            yield wire
        finally:
            wire.kill()


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """`reach` gives, for a kind of server, a home and an era, what a client talks over.

    `transport` is what calls that came by it have on the record; `stages` are those that are played.
    """

    name: str
    reach: Callable[[Kind, Path, str], AbstractContextManager[Wire]]
    transport: str
    stages: tuple[Stage, ...] = tuple(STAGES.values())
    apart: Apart = NOTHING_APART

    def scenes(self, stage: Stage, era: str, kind: Kind) -> list[Scene]:
        """Return the scenes of a stage in an era that it plays, in front of or in servers of a kind."""
        all_of = [scene for scene in SCENES if scene.stage == stage and era in scene.eras]
        return [scene for scene in all_of if kind.by_line or not scene.by_line]


BY_COMMAND = frozenset({"approved_by_command", "rejected_by_command"})
UNENFORCED = frozenset(scene.name for scene in SCENES if scene.stage == OPEN)
STDIO = Door(name="stdio", reach=partial(by_lines, way="stdio"), transport="stdio")
DOORS = {
    door.name: door
    for door in (
        STDIO,
        Door(name="instrument", reach=partial(by_lines, way="instrument"), transport="sdk"),
        # where the way makes no difference, one stage is enough
        Door(name="middleware", reach=partial(by_lines, way="middleware"), transport="sdk", stages=(ENFORCED,)),
        Door(
            name="gateway",
            reach=by_gateway,
            transport="http",
            apart=Apart(
                address="127.0.0.1",
                # of calls that nothing decides on it is that of the settings, and a gateway has its own
                own_in={"policy_version": UNENFORCED},
                unsaid={"close": (MODERN,)},  # over HTTP there is no connection that would end, from then on
                errors=frozenset({-32800}),  # a call that was given up
                # a token says who calls
                own=frozenset(
                    {
                        "identity_assurance",
                        "identity_issuer",
                        "identity_key_id",
                        "identity_source",
                        "principal_type",
                        "token_hash",
                        "user_id",
                        "approval_approver",
                        "detail.approvers",
                    }
                ),
                instead=(
                    # so who decides at this machine is somebody else
                    Instead("detail.independent", False, True, BY_COMMAND),
                    Instead("action", "withdrawn", "rejected", frozenset({"rejected_by_command"})),
                    # a client that closes its stream does not say why
                    Instead(
                        "result_status", "timed_out", "cancelled", frozenset({"timed_out_at_the_client"}), (MODERN,)
                    ),
                ),
            ),
        ),
    )
}


# what comes of it


@dataclass(frozen=True, slots=True)
class Played:
    """What came of scenes: what the client heard in each, and in the end, and what is on the record.

    `asked_in` says in which scene the client made the request of an id.
    """

    heard: dict[str, list[Any]]
    events: list[dict[str, Any]]
    asked_in: dict[str, str]

    @property
    def said(self) -> dict[str, list[Any]]:
        return {name: alike.said(messages) for name, messages in self.heard.items()}

    @property
    def told(self) -> list[dict[str, Any]]:
        return alike.comparable(self.events, self.asked_in)

    @property
    def pins(self) -> dict[str, list[alike.Event]]:
        return alike.pinned(self.events, self.asked_in)


def make_likeness(home: Path) -> None:
    """Have a recorder run in a home, so that it has keys."""
    env = {**os.environ, "ONRECORD_HOME": str(home)}
    subprocess.run([*ONRECORD, "run", "--", "true"], env=env, check=True, stdin=subprocess.DEVNULL)


def configured(home: Path, stage: Stage, likeness: Path) -> None:
    """Make a home like another: with the same keys two homes write the same digests and pseudonyms."""
    shutil.copytree(likeness, home)
    (home / "policies").mkdir()
    (home / "policies" / "team.cedar").write_text(POLICY)
    (home / "keys.json").write_bytes(shown())
    (home / "onrecord.toml").write_text(stage.settings)


def play(door: Door, kind: Kind, era: str, stage: Stage, home: Path) -> Played:
    """Play all scenes of a stage through a door, with a server of a kind."""
    heard: dict[str, list[Any]] = {}
    asked_in: dict[str, str] = {}
    with door.reach(kind, home, era) as wire:
        talk = Talk(wire, era, home)
        talk.open()
        for scene in door.scenes(stage, era, kind):
            talk.confirms, before = YES, talk.asked
            scene.play(talk)
            asked_in |= {str(number): scene.name for number in range(before + 1, talk.asked + 1)}
            heard[scene.name] = door.apart.heard(talk.taken())
        heard["in the end"] = door.apart.heard(talk.end())
    return Played(heard, record(home), asked_in)
