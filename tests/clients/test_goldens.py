# SPDX-License-Identifier: Apache-2.0
"""A configuration of each client, of the form that its documentation shows, before and after, byte for byte."""

from pathlib import Path

import pytest

from onrecord.clients.changing import installed, survey
from onrecord.clients.finding import Configuration
from onrecord.clients.known import CLIENTS, client_of
from onrecord.clients.wrapping import Gateway, Wrapper

pytestmark = pytest.mark.requirement("F3")

MINE = Wrapper(command="/opt/bin/onrecord")
NONE = Gateway(url_for=lambda url: None, is_own=lambda url: False)

WHEN = ("before", "after")
GOLDEN = Path(__file__).with_name("golden")


def test_each_client_has_a_golden_configuration():
    names = {client.name for client in CLIENTS}
    assert {file.name for file in GOLDEN.glob("[a-z]*")} == {f"{name}.{when}" for name in names for when in WHEN}


@pytest.mark.parametrize("name", [client.name for client in CLIENTS])
def test_a_configuration_is_wrapped_as_it_should_be_and_nothing_else_changes(tmp_path: Path, name):
    before, after = ((GOLDEN / f"{name}.{when}").read_bytes() for when in WHEN)
    file = tmp_path / "configuration"
    file.write_bytes(before)
    change = installed(survey(Configuration(client=client_of(name), path=file), MINE, NONE), lambda _: True, None)
    assert change is not None
    assert change.new == after
    assert change.before == before
    assert file.read_bytes() == before
