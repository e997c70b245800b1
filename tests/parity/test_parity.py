# SPDX-License-Identifier: Apache-2.0
"""Every scene is heard and recorded alike by every door: on every SDK, and in every era.

The same server of the same SDK is played once through each door: bare behind the one on standard input and output, bare
behind the gateway, and with a door of its own inside. What its client hears is the same, and what is on the record
differs in nothing but the transport, and in what `doors.py` says of a door. The record of the first is besides held to
`events.json`, so that a change of what all doors record is seen.
"""

import pytest
from tests.gateway.running import META, called, exchanged, modern, request
from tests.parity import alike
from tests.parity.doors import DOORS, KINDS, STDIO, Kind, behind_gateway, configured, play
from tests.parity.pin import PINS, pinned
from tests.parity.scenes import STAGES
from tests.parity.wires import LEGACY, MODERN

CASES = [
    pytest.param(kind, era, stage, id=f"{kind.name}-{era}-{stage}")
    for kind in KINDS.values()
    for era in kind.eras
    for stage in STAGES
]
KEPT = frozenset({"approval", "authentication", "security"})  # beside what belongs to a call


@pytest.mark.requirement("F2", "F4")
@pytest.mark.parametrize(("kind", "era", "stage"), CASES)
def test_every_scene_is_heard_and_recorded_alike_by_every_door(tmp_path, likeness, kind: Kind, era, stage):
    doors = [DOORS[name] for name in (*kind.ways, *kind.fronts) if STAGES[stage] in DOORS[name].stages]
    came = {}
    for door in (STDIO, *doors):
        home = tmp_path / door.name / "home"
        configured(home, STAGES[stage], likeness)
        came[door.name] = played = play(door, kind, era, STAGES[stage], home)
        assert {e["transport"] for e in played.events if e["event_type"] == "tool_call"} == {door.transport}
        least = sum(scene.events for scene in door.scenes(STAGES[stage], era, kind))
        assert len([e for e in played.told if e.get("phase")]) >= least

    beside = came["stdio"]
    if kind.name == PINS:
        assert beside.pins == pinned(era, stage)
    for door in doors:
        for scene, said in beside.said.items():
            assert (door.name, scene, came[door.name].said[scene]) == (door.name, scene, said)
        told = door.apart.without_own(came[door.name].told)
        assert (door.name, told) == (door.name, door.apart.expected(beside.told, era))


@pytest.mark.requirement("F2", "C3")
@pytest.mark.parametrize("era", [LEGACY, MODERN])
def test_a_bad_token_before_the_body_is_recorded_as_one_within_it(tmp_path, likeness, era):
    (within,) = [e for e in pinned(era, "enforced")[""] if e["event_type"] == "authentication"]
    configured(tmp_path / "home", STAGES["enforced"], likeness)
    message = called("hello", meta=META if era == MODERN else None, name="who?")
    make = modern if era == MODERN else request
    with behind_gateway(KINDS["v2"], tmp_path / "home") as gateway:
        assert exchanged(gateway, make("/parity", message, Authorization="Bearer not.a.token")).status == 401

    unread = {"method", "direction", "tool_name", "forwarded_without", "session_id"}
    apart = DOORS["gateway"].apart
    (expected,) = apart.expected([alike.without(within, frozenset(unread))], era)
    came = [e for e in alike.pinned(gateway.record(), {})[""] if e["event_type"] in KEPT or e.get("phase")]
    assert apart.without_own(came) == [{**expected, "client_ip": apart.address}]
