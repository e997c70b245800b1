# SPDX-License-Identifier: Apache-2.0
"""The ways in that scenes are played through, and the environments that their servers run in."""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.doors.session import ONRECORD, record
from tests.parity import alike
from tests.parity.scenes import POLICY, SCENES, STAGES, Scene, Stage
from tests.parity.talk import LEGACY, MODERN, YES, Talk

ROOT = Path(__file__).parents[2]
SERVER = str(Path(__file__).with_name("server.py"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A server of one SDK, in an environment of its own; `build` is as in `server.py`."""

    name: str
    build: str
    eras: tuple[str, ...]
    ways: tuple[str, ...] = ("instrument",)

    def stages(self, way: str) -> tuple[str, ...]:
        """Return the stages that are played: where the way makes no difference, one."""
        if way == "middleware":
            return ("enforced",)
        return ("enforced", "open", "hurried") if MODERN in self.eras else tuple(STAGES)

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
        Kind(name="v2", build="v2", eras=(LEGACY, MODERN)),
        Kind(name="fastmcp2", build="fastmcp", eras=(LEGACY,), ways=("instrument", "middleware")),
        Kind(name="fastmcp3", build="fastmcp", eras=(LEGACY,), ways=("instrument", "middleware")),
        Kind(name="fastmcp4", build="fastmcp", eras=(LEGACY, MODERN), ways=("instrument", "middleware")),
    )
}


@dataclass(frozen=True, slots=True)
class Played:
    """What came of scenes: what the client heard in each, and in the end, and what is on the record."""

    heard: dict[str, list[Any]]
    events: list[dict[str, Any]]

    @property
    def said(self) -> dict[str, list[Any]]:
        return {name: alike.said(messages) for name, messages in self.heard.items()}

    @property
    def told(self) -> list[dict[str, Any]]:
        return alike.comparable(self.events)


def scenes_of(stage: Stage, era: str) -> list[Scene]:
    """Return the scenes that are played on a stage in an era."""
    return [scene for scene in SCENES if scene.stage == stage and era in scene.eras]


def configured(home: Path, stage: Stage, likeness: Path) -> None:
    """Make a home like another: with the same keys two homes write the same digests and pseudonyms."""
    shutil.copytree(likeness, home)
    (home / "policies").mkdir()
    (home / "policies" / "team.cedar").write_text(POLICY)
    (home / "onrecord.toml").write_text(stage.settings)


def play(stage: Stage, era: str, command: list[str], home: Path, env: dict[str, str] | None = None) -> Played:
    """Play all scenes of a stage with the server that `command` starts."""
    talk = Talk(command, {**os.environ, "ONRECORD_HOME": str(home), **(env or {})}, era)
    heard: dict[str, list[Any]] = {}
    try:
        talk.open()
        for scene in scenes_of(stage, era):
            talk.confirms = YES
            scene.play(talk)
            heard[scene.name] = talk.taken()
        heard["in the end"] = talk.end()
    finally:
        talk.kill()
    return Played(heard, record(home))


def through_stdio(kind: Kind) -> list[str]:
    """Return the command that has the server wrapped by `onrecord run`."""
    return [*ONRECORD, "run", "--server-id", "parity", "--", kind.python, SERVER, kind.build, "bare", "stdio"]


def from_inside(kind: Kind, way: str, transport: str = "stdio") -> list[str]:
    """Return the command of a server that records itself."""
    return [kind.python, SERVER, kind.build, way, transport]
