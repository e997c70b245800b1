# SPDX-License-Identifier: Apache-2.0
"""Pinned definitions: what counts as the same one, and what is kept of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.doors import protocol
from onrecord.event.call import Json
from onrecord.rules import definitions as rules
from onrecord.rules.definitions import Book, Pin, Version

TEXT = st.text(max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def reordered(value: Any, data: st.DataObject) -> Any:
    """Return the same value with the keys of each object in another order."""
    if isinstance(value, dict):
        keys = data.draw(st.permutations(list(value)))
        return {key: reordered(value[key], data) for key in keys}
    return [reordered(child, data) for child in value] if isinstance(value, list) else value


def digests(tool):
    (found,) = protocol.definitions_in({"tools": [tool]})
    return found.digest, found.rest


def version(digit: str, rest: str = "") -> Version:
    return Version(digest=digit * 64, rest=(rest or digit) * 64)


@pytest.mark.requirement("C8")
@given(st.dictionaries(TEXT, JSON, max_size=4), TEXT, st.data())
def test_a_digest_does_not_depend_on_the_order_of_keys_at_any_depth(more, name, data):
    tool = {**more, "name": name}
    assert digests(reordered(tool, data)) == digests(tool)


@pytest.mark.requirement("C8")
@pytest.mark.parametrize("part", ["title", "description", "inputSchema", "outputSchema", "annotations", "icons", "x"])
@given(JSON, JSON)
def test_whatever_changes_in_a_definition_changes_its_digest(part, before, after):
    old, new = ({"name": "n", part: value} for value in (before, after))
    if repr(before) != repr(after):  # 1, 1.0 and true are equal for Python
        assert digests(old)[0] != digests(new)[0]


@pytest.mark.requirement("C8")
@given(JSON, TEXT, TEXT)
def test_the_digest_of_the_rest_does_not_depend_on_the_name(schema, one, other):
    old, new = ({"name": name, "inputSchema": schema} for name in (one, other))
    assert digests(old)[1] == digests(new)[1]
    assert (digests(old)[0] == digests(new)[0]) == (one == other)


@given(st.lists(st.sampled_from("abc"), max_size=12))
def test_only_the_first_definition_is_accepted_whatever_comes_after_it(listed):
    pin = None
    for digit in listed:
        pin, _ = rules.judged(pin, version(digit), doubtful=False, again=False)
        assert rules.standing(pin, digit * 64) == ("accepted" if digit == listed[0] else "changed")
    if pin is not None and listed:
        assert pin.accepted == version(listed[0])
        assert (pin.listed is None) == (listed[-1] == listed[0])


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=12))
def test_after_the_pins_were_lost_nothing_is_accepted_until_a_person_says_so(listed):
    pin = None
    for digit in listed:
        pin, _ = rules.judged(pin, version(digit), doubtful=True, again=False)
        assert rules.standing(pin, digit * 64) == "unconfirmed"
    assert pin is not None
    assert rules.standing(rules.accepted(pin), listed[-1] * 64) == "accepted"


def test_of_two_definitions_in_one_listing_the_other_one_counts():
    pin = Pin(name="n", accepted=version("a"), listed=version("b"))
    assert rules.judged(pin, version("a"), doubtful=False, again=True) == (pin, None)
    assert rules.judged(pin, version("a"), doubtful=False, again=False)[1] == "reverted"


def test_a_tool_that_is_gone_is_found_under_its_new_name():
    pins = {"old": Pin(name="old", accepted=version("a", rest="c"), gone=True)}
    pins |= {"new": Pin(name="new", accepted=version("b", rest="c")), "else": Pin(name="e", accepted=version("d"))}
    book = Book(server="s", pins=pins)
    assert rules.same_under_another_name(book, "new") == "old"
    assert rules.same_under_another_name(book, "else") is None


@given(JSON)
def test_what_is_kept_of_a_definition_is_bounded_whatever_it_is(value):
    said, _ = rules.kept(value, lambda text, limit: text[:limit])
    assert len(said) <= rules.LEAVES
    assert sum(map(len, said.values())) <= rules.ROOM + rules.TEXT


def test_a_long_definition_is_cut_and_says_so():
    said, cut = rules.kept({"description": "x" * 100_000}, lambda text, limit: text[:limit])
    assert cut
    assert len(said["/description"]) == rules.TEXT
    assert rules.kept(list[Json](["x"] * 10_000), lambda text, limit: text[:limit])[1]


def test_values_that_a_schema_gives_for_a_secret_are_withheld():
    schema: Json = {
        "properties": {"password": {"default": "hunter2", "description": "of the user"}, "n": {"default": 1}}
    }
    said, _ = rules.kept({"inputSchema": schema}, lambda text, limit: text[:limit])
    assert said == {
        "/inputSchema/properties/password/default": rules.WITHHELD,
        "/inputSchema/properties/password/description": "of the user",
        "/inputSchema/properties/n/default": "1",
    }


@pytest.mark.parametrize(
    ("standing", "flags", "changed", "flagged", "refused"),
    [
        ("changed", (), "note", "note", False),
        ("changed", (), "block", "note", True),
        ("unconfirmed", (), "block", "note", True),
        ("unpinned", (), "block", "note", True),
        ("stale", (), "block", "block", False),
        ("accepted", (), "block", "block", False),
        ("accepted", ("instruction",), "block", "note", False),
        ("accepted", ("instruction",), "note", "block", True),
    ],
)
def test_what_is_refused_is_what_the_settings_say(standing, flags, changed, flagged, refused):
    assert bool(rules.refusal(standing, flags, changed=changed, flagged=flagged)) is refused
