# SPDX-License-Identifier: Apache-2.0
"""Fields that name each other: forms that are filled in, lists of variables, tables."""

import pytest
from tests.rules import calls

from onrecord.event.call import Json

pytestmark = pytest.mark.requirement("B1")

PLANTED = "Kv83nTqLw2"


@pytest.mark.parametrize(
    "arguments",
    [
        {"Name": "DbPassword", "Value": PLANTED},
        {"Parameters": [{"ParameterKey": "DbPassword", "ParameterValue": PLANTED}]},
        {"OptionName": "Password", "Value": PLANTED},
        {"field": "password", "value": PLANTED},
        {"id": "user-password", "value": PLANTED},
        {"type": "password", "value": PLANTED, "temporary": False},
        {"key": "A", "value": PLANTED, "masked": True},
        {"type": "string", "value": PLANTED, "sensitive": True},
        {"name": "auth", "value": PLANTED},
        {"element": "Password textbox", "ref": "e12", "text": PLANTED},
        {"element": "API token input", "ref": "e12", "text": PLANTED},
        {"fields": [{"name": "Password", "type": "textbox", "ref": "e3", "value": PLANTED}]},
        {"selector": "#password", "text": PLANTED},
        {"selector": "input[name='token']", "value": PLANTED},
        {"by": "id", "value": "password", "text": PLANTED},
        {"columns": ["user", "password"], "rows": [["ann", "a"], ["bob", PLANTED]]},
        {"columns": [{"name": "id"}, {"name": "api_key"}], "rows": [["1", PLANTED]]},
        {"values": [["user", "password"], ["bob", PLANTED]]},
        {"header": ["name", "auth", "city"], "data": [["bob", PLANTED, "Oslo"]]},
    ],
)
def test_a_value_that_is_named_beside_it_is_withheld(arguments: Json) -> None:
    event, _ = calls.attempted(calls.call(arguments), classification="low")
    assert PLANTED not in event.body.decode()
    assert "[REDACTED:" in event.event.input_summary


@pytest.mark.parametrize(
    "arguments",
    [
        {"element": "Search box", "text": PLANTED},
        {"name": "city", "value": PLANTED},
        {"type": "token", "value": PLANTED},
        {"value": PLANTED, "sensitive": False},
        {"label": "Token", "text": PLANTED},
        {"name": "token_count", "value": PLANTED},
        {"columns": ["user", "city"], "rows": [["bob", PLANTED]]},
        {"columns": ["model", "tokens"], "rows": [[PLANTED, 1200]]},
        {"columns": ["user", "password"], "rows": [PLANTED, [PLANTED]]},
        {"columns": ["x", "password2024"], "rows": [["bob", PLANTED]]},
    ],
)
def test_what_no_field_announces_stays(arguments: Json) -> None:
    event, _ = calls.attempted(calls.call(arguments), classification="low")
    assert PLANTED in event.body.decode()
    assert "[REDACTED:" not in event.event.input_summary


def test_of_a_row_only_the_cell_under_the_heading_is_withheld() -> None:
    arguments: Json = {"columns": ["user", "pin"], "rows": [["bob", 4711], ["ann", None]]}
    event, _ = calls.attempted(calls.call(arguments), classification="low")
    assert '["bob","[REDACTED:pin' in event.event.input_summary
    assert '["ann",null]' in event.event.input_summary
