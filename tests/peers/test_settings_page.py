# SPDX-License-Identifier: Apache-2.0
"""docs/settings.md names every setting, its default, and no other."""

import re
import tomllib
from pathlib import Path

import msgspec

from onrecord.approval_settings import ApproverSettings
from onrecord.gateway_settings import UpstreamSettings
from onrecord.rules.classify import ToolRule
from onrecord.settings import Settings, WitnessSettings

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
NAMED = re.findall(r"^\| `([a-z0-9_.]+)` \| (.+?) \| ", PAGE, re.MULTILINE)
ROWS = dict(NAMED)
LISTS = {"tool": ToolRule, "witness": WitnessSettings, "approver": ApproverSettings, "upstream": UpstreamSettings}


def settings(table: type[msgspec.Struct] = Settings, where: str = "") -> dict[str, object]:
    """Return each setting in `table`, and in the tables in it, with its default."""
    found: dict[str, object] = {}
    for field in msgspec.structs.fields(table):
        inner = LISTS.get(f"{where}{field.name}", field.type)
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            found |= settings(inner, f"{where}{field.name}.")
        else:
            found[f"{where}{field.name}"] = default_of(field)
    return found


def default_of(field: msgspec.structs.FieldInfo) -> object:
    """Return the default of a field, made where it is one that could be changed."""
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def test_every_setting_is_on_the_page_and_no_other() -> None:
    assert set(ROWS) == set(settings())


def test_no_setting_is_on_the_page_twice() -> None:
    assert len(NAMED) == len(ROWS)


def test_the_defaults_are_those_of_the_program() -> None:
    for name, default in settings().items():
        said = re.fullmatch(r"`(.+)`", ROWS[name])
        if said and not name.startswith("tool."):
            value = tomllib.loads(f"x = {said[1]}")["x"]
            assert (tuple(value) if isinstance(value, list) else value) == default, name
