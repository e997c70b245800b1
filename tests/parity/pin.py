# SPDX-License-Identifier: Apache-2.0
"""What is on the record of each scene, as `events.json` has it: of the v2 server, behind the door on stdio.

    python -m tests.parity.pin

writes the file anew. Do so after a change of the scenes, of their server, of its SDK, or of what all doors record, and
read what has changed in it: of each stage in each era, an event a line under the name of its scene, and under "" what
belongs to no call of the client. What a home or a run has of its own is not in it (`alike.pinned`).
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.parity.alike import Event
from tests.parity.doors import KINDS, STDIO, configured, make_likeness, play
from tests.parity.scenes import STAGES

PINNED = Path(__file__).with_name("events.json")
PINS = "v2"  # the kind of server

Scenes = dict[str, list[Event]]


def pinned(era: str, stage: str) -> Scenes:
    """Return what is pinned of a stage in an era, by scene."""
    return json.loads(PINNED.read_text(encoding="utf-8"))[f"{era}, {stage}"]


def played() -> dict[str, Scenes]:
    """Play all scenes, in each era."""
    came: dict[str, Scenes] = {}
    with TemporaryDirectory() as folder:
        likeness = Path(folder) / "likeness"
        make_likeness(likeness)
        for era in KINDS[PINS].eras:
            for name, stage in STAGES.items():
                home = Path(folder) / f"{era} {name}" / "home"
                configured(home, stage, likeness)
                came[f"{era}, {name}"] = play(STDIO, KINDS[PINS], era, stage, home).pins
    return came


def written(came: dict[str, Scenes]) -> str:
    """Return it as JSON, an event a line."""
    parts: list[str] = []
    for name, scenes in came.items():
        of_stage = ",\n".join(f"  {json.dumps(scene)}: [\n{_listed(events)}\n  ]" for scene, events in scenes.items())
        parts.append(f" {json.dumps(name)}: {{\n{of_stage}\n }}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _listed(events: list[Event]) -> str:
    return ",\n".join(f"   {json.dumps(event, ensure_ascii=False)}" for event in events)


if __name__ == "__main__":
    PINNED.write_text(written(played()), encoding="utf-8")
