# SPDX-License-Identifier: Apache-2.0
"""Arguments that policies read: exactly, or not at all."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from tests.engines.questions import question
from tests.rules.test_fitting import values

from onrecord.engines.cedar import Cedar
from onrecord.engines.cedar_files import PolicyFile
from onrecord.errors import ConfigError
from onrecord.rules.manifest import ToolRule
from onrecord.rules.policy import Policy, authzen
from onrecord.rules.policy_input import CEDAR, Given, Kind, given, merged, read_back, written

pytestmark = pytest.mark.requirement("C4")

UNREAD = object()


def taken(kind, value):
    found = given([("/a", kind)], {"a": value})
    return UNREAD if found.unread else dict(found.values).get("/a")


@pytest.mark.parametrize(
    ("kind", "value", "meant"),
    [
        ("long", 3, 3),
        ("long", 3.0, 3),
        ("long", -(2**63), -(2**63)),
        *(("long", one, UNREAD) for one in (2**63, 3.5, 2.0**60, True, "3", [3], {})),
        ("decimal", 12, Decimal(12)),
        ("decimal", 12.5, Decimal("12.5")),
        ("decimal", 0.1, Decimal("0.1")),
        ("decimal", "12.50", Decimal("12.5")),
        ("decimal", -922337203685477.5, Decimal("-922337203685477.5")),
        *(("decimal", one, UNREAD) for one in (0.1 + 0.2, 0.00001, 1e300, 10**30, True, "1e3", "", " 1", "٣", "1\n")),
        ("bool", False, False),
        *(("bool", one, UNREAD) for one in (0, "true")),
        ("string", "EUR", "EUR"),
        *(("string", one, UNREAD) for one in (3, "x" * 1_025, ["EUR"])),
        ("strings", ["b", "a", "b"], ("a", "b")),
        *(("strings", one, UNREAD) for one in ("a", ["a", 3], [["a"]], ["x"] * 65)),
        *((kind, None, None) for kind in CEDAR),
    ],
)
def test_a_value_is_taken_exactly_or_not_at_all(kind, value, meant):
    found = taken(kind, value)

    assert found == meant
    assert type(found) is type(meant)


def test_what_stands_in_the_way_of_a_place_is_not_taken_for_absent():
    declared: list[tuple[str, Kind]] = [("/a/b", "long")]

    assert given(declared, {}) == given(declared, {"a": {}}) == given(declared, {"a": None}) == Given()
    others: list[Any] = [{"a": '{"b": 3}'}, {"a": [3]}, [], "{}"]
    for other in others:
        assert given(declared, other) == Given(unread=("/a/b",))


DECLARED: dict[str, Kind] = {"/a": "decimal", "/b/c": "string", "/b/d": "strings", "/e": "long", "/f": "bool"}


@for_all(st.fixed_dictionaries({}, optional=dict.fromkeys("abef", values)))
def test_what_is_written_is_read_back(arguments):
    found = given(tuple(DECLARED.items()), arguments)
    text = written(found, DECLARED, lambda _: "")

    assert read_back(text, DECLARED) == found
    if found.values:
        assert read_back(written(found, DECLARED, lambda _: "[WITHHELD:class]"), DECLARED) is None
    assert read_back(text, [*DECLARED, "/new"]) is None


@for_all(st.text() | values.map(str) | st.dictionaries(st.text(), values).map(lambda one: str(one).replace("'", '"')))
def test_whatever_stands_on_the_record_is_read_back_or_is_not(text):
    read_back(text)


def decided(condition, arguments):
    policies = f"permit (principal, action, resource); forbid (principal, action, resource) when {{ {condition} }};"
    engine = Cedar([PolicyFile(name="a.cedar", text=policies)], b"", DECLARED)
    asked = question(input=given(tuple(DECLARED.items()), arguments))
    return Policy(engine, enforce=True, deadline_ns=10**12, clock=lambda: 0).decide(asked)


ABOVE_100 = 'context.input has a && context.input.a.greaterThan(decimal("100.0"))'


@pytest.mark.parametrize(
    ("condition", "arguments", "decision"),
    [
        (ABOVE_100, {"a": 100.0001}, "deny"),
        (ABOVE_100, {"a": 100}, "allow"),
        (ABOVE_100, {}, "allow"),
        ('context.input has b.c && context.input.b.c like "x*"', {"b": {"c": "xy"}}, "deny"),
        ('context.input has b.d && context.input.b.d.contains("x")', {"b": {"d": ["x"]}}, "deny"),
        ("context.input has e && context.input.e > 3", {"e": 4}, "deny"),
        ("context.input has f && context.input.f", {"f": True}, "deny"),
    ],
)
def test_cedar_reads_them_as_they_are_typed(condition, arguments, decision):
    assert decided(condition, arguments).decision == decision


def test_an_argument_of_another_type_is_denied_before_a_policy_misses_it():
    verdict = decided(ABOVE_100, {"a": "a million"})

    assert (verdict.decision, verdict.id, verdict.error_type) == ("deny", "policy_input", "invalid_arguments")
    assert verdict.safe.endswith("is not of the type that the manifest says at /a")
    assert "million" not in verdict.reason + verdict.safe


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("context.input.e > 3", "unable to guarantee safety"),
        ("context.input has a && context.input.a > 3", "expected Long but saw decimal"),
        ("context.input.zz == 3", "not found"),
    ],
)
def test_a_policy_that_reads_them_otherwise_is_refused_when_it_is_loaded(condition, said):
    with pytest.raises(ConfigError, match=said):
        decided(condition, {})


def test_a_decision_point_elsewhere_gets_these_arguments_and_no_other():
    asked = question(input=given(tuple(DECLARED.items()), {"a": 12.5, "b": {"c": "x"}, "planted": 1}))

    said: Any = authzen(asked)
    assert said["context"]["input"] == {"a": "12.5", "b": {"c": "x"}}


@pytest.mark.parametrize("at", ["/", "/a b", "/*/a", "", "a", "/" + "x" * 65, '/a"}; entity X;//'])
def test_a_place_that_can_be_no_name_is_refused(at):
    with pytest.raises(ValueError, match="policy_input"):
        ToolRule(tool="pay", policy_input={at: "long"})


def test_types_that_do_not_go_together_are_refused():
    with pytest.raises(ConfigError, match="in one rule and"):
        merged([{"/a": "long"}, {"/a": "string"}])
    with pytest.raises(ConfigError, match="lies within"):
        merged([{"/a": "long"}, {"/a/b": "string"}])
