# SPDX-License-Identifier: Apache-2.0
"""Writes `events.json`: what the door on standard input and output records of each scenario, in each era."""

import json
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from tests.parity.scenarios import ERAS, PINNED, Event, played, settled
from tests.parity.ways import DOORS


async def pinned() -> dict[str, dict[str, list[Event]]]:
    """Play all scenarios, in each era."""
    door, came = DOORS[0], dict[str, dict[str, list[Event]]]()
    for era in ERAS:
        with TemporaryDirectory() as folder:
            home = settled(Path(folder) / "home")
            async with door.connect(home, era) as client:
                came[era] = await played(client, home, partial(door.record, home))
    return came


def written(eras: dict[str, dict[str, list[Event]]]) -> str:
    """Return it as JSON, an event a line."""
    lines: list[str] = []
    for era, scenarios in eras.items():
        of_era = ",\n".join(f"  {json.dumps(name)}: [\n{_listed(events)}\n  ]" for name, events in scenarios.items())
        lines.append(f" {json.dumps(era)}: {{\n{of_era}\n }}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _listed(events: list[Event]) -> str:
    return ",\n".join(f"   {json.dumps(event, ensure_ascii=False)}" for event in events)


if __name__ == "__main__":
    PINNED.write_text(written(anyio.run(pinned)), encoding="utf-8")
