# SPDX-License-Identifier: Apache-2.0
"""Servers that record themselves play every scene as they do behind `onrecord run`, on every SDK.

The same server of the same SDK is played twice: bare behind the stdio door, and with a door of its own inside. What
its client hears is the same, and what is on the record differs in nothing but the transport.
"""

import pytest
from tests.parity.doors import KINDS, Kind, configured, from_inside, play, scenes_of, through_stdio
from tests.parity.scenes import STAGES

CASES = [
    pytest.param(kind, way, era, stage, id=f"{kind.name}-{way}-{era}-{stage}")
    for kind in KINDS.values()
    for way in kind.ways
    for era in kind.eras
    for stage in kind.stages(way)
]


@pytest.mark.requirement("F2", "F4")
@pytest.mark.parametrize(("kind", "way", "era", "stage"), CASES)
def test_every_scene_is_heard_and_recorded_alike_from_inside(tmp_path, likeness, kind: Kind, way, era, stage):
    for home in (tmp_path / "stdio", tmp_path / "inside"):
        configured(home, STAGES[stage], likeness)
    outside = play(STAGES[stage], era, through_stdio(kind), tmp_path / "stdio")
    inside = play(STAGES[stage], era, from_inside(kind, way), tmp_path / "inside")

    for scene, said in outside.said.items():
        assert (scene, inside.said[scene]) == (scene, said)
    assert inside.told == outside.told
    assert {e["transport"] for e in inside.events if e["event_type"] == "tool_call"} == {"sdk"}
    assert len([e for e in inside.told if e.get("phase")]) >= sum(s.events for s in scenes_of(STAGES[stage], era))
