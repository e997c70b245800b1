# SPDX-License-Identifier: Apache-2.0
"""Whichever door a call comes in by, the record says the same of it."""

import json
from dataclasses import replace
from functools import partial

import pytest
from tests.parity.scenarios import ERAS, PINNED, plain, played, settled
from tests.parity.ways import DOORS, GATEWAY, by_gateway


@pytest.mark.requirement("F2")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
async def test_every_door_records_the_same(tmp_path, door, era):
    pinned = json.loads(PINNED.read_text(encoding="utf-8"))[era]
    home = settled(tmp_path / "home")
    async with door.connect(home, era) as client:
        came = await played(client, home, partial(door.record, home))

    expected = door.expected(era, pinned)
    differing = {name: (came.get(name), events) for name, events in expected.items() if came.get(name) != events}
    assert differing == {}


@pytest.mark.requirement("F2", "C3")
@pytest.mark.parametrize("era", ERAS)
async def test_a_bad_token_before_the_body_is_recorded_as_one_within_it(tmp_path, era):
    (pinned,) = json.loads(PINNED.read_text(encoding="utf-8"))[era]["auth failure"]
    home = settled(tmp_path / "home")
    door = replace(GATEWAY, reach=partial(by_gateway, token="not.a.token"))
    with pytest.raises(ExceptionGroup):
        async with door.connect(home, era) as client:
            await client.call_tool("echo", {"text": "who?"})

    unread = {"method", "direction", "tool_name", "forwarded_without"}
    expected = {key: value for key, value in pinned.items() if key not in unread}
    came = plain(door.record(home), {})
    assert came
    assert [event for event in came if event != expected] == []
