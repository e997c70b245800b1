# SPDX-License-Identifier: Apache-2.0
"""A setting of the wrong kind: each message says what, where, and what to give, in the one style of all of them."""

import datetime as dt
import re
from pathlib import Path

import msgspec
import pytest

from onrecord.errors import ConfigError
from onrecord.misfits import told
from onrecord.settings import Settings, read


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as e:
        read(text.encode(), Path("onrecord.toml"))
    return str(e.value).removeprefix("onrecord.toml: ")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("tenant = 5", "tenant: give text in quotes, not a whole number"),
        ("run = 3", "run: give a table, not a whole number"),
        ("tool = 3", "tool: give a list, not a whole number"),
        ("tool = [3]", "tool 1: give a table, not a whole number"),
        ("[run]\nmax_message = 5", "run.max_message: give text in quotes, not a whole number"),
        ("[gateway]\nmax_open = 'x'", "gateway.max_open: give a whole number, not text in quotes"),
        ("[redaction]\ncut = 1.5", "redaction.cut: give a whole number, not a number"),
        ("[redaction]\nnames = 'yes'", "redaction.names: give true or false, not text in quotes"),
        ("[redaction]\ncut = 2026-01-01", "redaction.cut: give a whole number, not a date"),
        ("[redaction.actions]\na = 1", "redaction.actions: give text in quotes or a table, not a whole number"),
        ("[policy]\nengine = 'opa'", "policy.engine: use one of none, cedar, authzen, spicedb"),
        ("[policy]\nengine = 5", "policy.engine: give text in quotes, not a whole number"),
        ("[identity]\nalgorithms = 'x'", "identity.algorithms: give a list, not text in quotes"),
        ("[identity]\nalgorithms = ['RS256', 1]", "identity.algorithms 2: give text in quotes, not a whole number"),
        ("[approvals]\nchannels = ['phone']", "approvals.channels 1: use one of cli, webhook, elicitation, webauthn"),
        ("[approvals]\nquorum = 0", "approvals.quorum: give a whole number of at least 1"),
        ("[[tool]]\n[[tool]]\ntier = 9", "tool 2: tier: give a whole number of at most 4"),
        ("[[tool]]\ntier = 'x'", "tool 1: tier: give a whole number, not text in quotes"),
        ("[[tool]]\nclassification = 'top'", "tool 1: classification: use one of low, medium, high, critical"),
        ("[[tool]]\nsensitive = [1]", "tool 1: sensitive 1: give text in quotes, not a whole number"),
        ("[[upstream]]\nname = 'a'", "upstream 1: url is missing"),
        (
            "[[tool]]\nscope = ['a b']",
            "tool '*': scope: 'a b' is no scope; give words without blanks, as 'mail:send' (tool 1)",
        ),
    ],
)
def test_what_is_of_the_wrong_kind_is_told_in_one_style(text: str, why: str) -> None:
    assert refused(text) == why


def places(struct: type[msgspec.Struct], within: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the path of each setting."""
    found: list[tuple[str, ...]] = []
    for field in msgspec.structs.fields(struct):
        path = (*within, field.encode_name)
        found.append(path)
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            found += places(field.type, path)
    return found


@pytest.mark.parametrize("value", [dt.date(2026, 1, 1), [[]], {}, float("inf"), True], ids=repr)
def test_no_setting_of_the_wrong_kind_is_told_in_the_words_of_the_library(value: object) -> None:
    refusals = 0
    for path in places(Settings):
        fields: object = value
        for name in reversed(path):
            fields = {name: fields}
        try:
            msgspec.convert(fields, Settings)
        except msgspec.ValidationError as e:
            refusals += 1
            text = told(e, Settings)
            assert text.startswith(".".join(path))
            assert not re.search(r"[`$]|Expected|Object |enum|null|\.\.\.", text)
    assert refusals > 20
