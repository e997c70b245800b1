# SPDX-License-Identifier: Apache-2.0
"""What an attempt on the record would be under another manifest: as the guard writes it, or among what it may be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rules.calls import call

from onrecord.event.call import Definition
from onrecord.event.event import Event
from onrecord.rules.arguments import exceeded_in
from onrecord.rules.classify import ToolRule, classify
from onrecord.rules.treated_again import treated_again

NAMES = ["read", "store", "pay"]
DEFINED = [
    None,
    Definition(name="x", digest="d"),
    Definition(name="x", digest="d", read_only=True),
    Definition(name="x", digest="d", destructive=True),
]

rules = st.builds(
    ToolRule,
    tool=st.sampled_from(["*", *NAMES, "p*"]),
    tier=st.none() | st.integers(0, 4),
    classification=st.sampled_from([None, "low", "high"]),
    scope=st.none() | st.sampled_from([("a",), ("a", "b")]),
    approver_roles=st.none() | st.just(("owner",)),
    limits=st.dictionaries(st.sampled_from(["/n", "/m"]), st.integers(0, 3)),
)
manifests = st.lists(rules, max_size=3)


def attempt_of(name, definition, manifest, arguments) -> Event:
    """Return the attempt that the guard would write, as far as it matters here."""
    made = call(arguments=arguments, name=name, definition=definition)
    treatment = classify(made, manifest)
    return Event(
        phase="attempt",
        event_type="tool_call",
        call_id="call",
        method="tools/call",
        direction="client_to_server",
        server_id=made.connection.server_id,
        tool_name=name,
        risk_tier=treatment.tier,
        data_classification=treatment.classification,
        scope_required=treatment.scope,
        approver_roles=treatment.approver_roles,
        limits_exceeded=exceeded_in(made, treatment.limits),
        tool_definition_hash=definition.digest if definition else "",
    )


@given(
    st.sampled_from(NAMES),
    st.sampled_from(DEFINED),
    manifests,
    manifests,
    st.dictionaries(st.sampled_from(["n", "m"]), st.integers(0, 4) | st.just("many")),
    st.booleans(),
)
def test_what_the_guard_would_write_is_among_what_the_record_allows(name, definition, old, new, arguments, known):
    then, now = (attempt_of(name, definition, manifest, arguments) for manifest in (old, new))

    again = treated_again(then, new, old if known else None)

    assert now in again.attempts or not again.attempts
    if len(again.attempts) == 1:
        assert again.attempts == (now,)
    else:
        assert again.unknown


@given(st.sampled_from(NAMES), st.sampled_from(DEFINED), manifests, st.dictionaries(st.just("n"), st.integers(0, 4)))
def test_the_same_manifest_changes_nothing(name, definition, manifest, arguments):
    then = attempt_of(name, definition, manifest, arguments)

    assert treated_again(then, manifest, manifest).attempts == (then,)


def told(new, *, definition=DEFINED[2], old=None, name="store"):
    again = treated_again(attempt_of(name, definition, old or (), {}), new, old)
    return {event.risk_tier for event in again.attempts}, "annotations" in again.unknown


def test_a_tier_that_a_rule_says_is_known_and_one_that_was_inferred_is_where_the_old_rules_are():
    assert told([ToolRule(tier=4)]) == ({4}, False)
    assert told([]) == ({1, 2, 3}, True)
    assert told([], old=[ToolRule(scope=("a",))]) == ({1}, False)
    assert told([], old=[ToolRule(tier=2)]) == ({1, 2, 3}, True)
    assert told([], name="pay") == ({3}, False)
    assert told([], definition=None) == ({2}, False)


def test_limits_are_known_as_far_as_the_old_ones_tell():
    old = [ToolRule(tier=2, limits={"/n": 10})]
    for n, most, known in ((20, 5, True), (20, 10, True), (20, 15, False), (5, 15, True), (5, 10, True), (5, 3, False)):
        again = treated_again(attempt_of("store", None, old, {"n": n}), [ToolRule(tier=2, limits={"/n": most})], old)
        assert (len(again.attempts) == 1, again.unknown) == (known, () if known else ("arguments",))


@pytest.mark.parametrize(("kind", "rule", "known"), [("task", "*", True), ("task", "t-1", False)])
def test_rules_for_names_that_are_not_on_the_record_are_not_guessed_at(kind, rule, known):
    event = Event(event_type=kind, phase="attempt", risk_tier=1, direction="client_to_server")

    again = treated_again(event, [ToolRule(tool=rule, tier=2)], ())
    assert (bool(again.attempts), again.unknown) == (known, () if known else ("name",))


def test_a_uri_whose_query_may_be_missing_is_not_guessed_at():
    event = Event(event_type="resource_read", phase="attempt", risk_tier=1, resource_uri="file:///x")
    new = [ToolRule(tool="file:///x", tier=2)]

    assert treated_again(event, new, ()).unknown == ()
    hidden = Event(**{**{f: getattr(event, f) for f in event.__struct_fields__}, "data_classification": "high"})
    assert treated_again(hidden, new, ()).unknown == ("name",)
