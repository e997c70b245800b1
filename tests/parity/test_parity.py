# SPDX-License-Identifier: Apache-2.0
"""Whichever door a call comes in by, the record says the same of it."""

import json
from functools import partial

import pytest
from tests.parity.scenarios import ERAS, PINNED, played, settled
from tests.parity.ways import DOORS


@pytest.mark.requirement("F2")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
async def test_every_door_records_the_same(tmp_path, door, era):
    pinned = json.loads(PINNED.read_text(encoding="utf-8"))[era]
    home = settled(tmp_path / "home")
    async with door.connect(home, era) as client:
        came = await played(client, home, partial(door.record, home))

    expected = {
        name: [{key: value for key, value in event.items() if key not in door.own} for event in events]
        for name, events in pinned.items()
    }
    differing = {name: (came.get(name), events) for name, events in expected.items() if came.get(name) != events}
    assert differing == {}
