# SPDX-License-Identifier: Apache-2.0
"""Arguments beside the schema that a tool was listed with: what fits, what doesn't, and schemas that mean harm."""

import json
import sys
import time

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.rules.calls import base, call, redactor, treated

from onrecord.event.call import Definition, Raw
from onrecord.event.event import EventType
from onrecord.rules.fitting import Fit, Fitting, checker_of

pytestmark = pytest.mark.requirement("C1")

USUAL = {
    "type": "object",
    "properties": {
        "path": {"type": "string"},
        "lines": {"type": "integer", "minimum": 0},
        "mode": {"enum": ["r", "w"]},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["path"],
    "additionalProperties": False,
}
UNCHECKED = Fit("unchecked")


def fit(schema, arguments, *, size=None, event_type: EventType = "tool_call", brought=None, **defined):
    listed = Definition(name="tool", digest="", input_schema=Raw(schema), **defined)
    size = len(json.dumps(arguments)) if size is None else size
    return Fitting().of(call(arguments, defined=listed, event_type=event_type, size_bytes=size, brought=Raw(brought)))


@pytest.mark.parametrize(
    ("arguments", "places"),
    [
        ({"path": "/a", "lines": 3, "mode": "r", "tags": ["x"]}, None),
        (None, ("/path",)),
        ({}, ("/path",)),
        ({"path": 3}, ("/path",)),
        ({"path": "/a", "lines": -1, "mode": "x"}, ("/lines", "/mode")),
        ({"path": "/a", "tags": ["x", 3]}, ("/tags/1",)),
        ({"path": "/a", "a secret as a key": 1}, ("",)),
        (["/a"], ("",)),
        ("{}", ("",)),
    ],
)
def test_what_does_not_fit_is_told_by_its_place(arguments, places):
    found = fit(USUAL, {} if arguments is None else arguments)

    assert (found.valid, set(found.places)) == (("valid", set()) if places is None else ("invalid", set(places)))


def test_a_key_that_the_schema_does_not_declare_is_not_named():
    schema = {"additionalProperties": {"type": "string"}, "properties": {"odd name": {"type": "string"}}}

    assert fit(schema, {"hunter2": 1}).places == ("/*",)
    assert fit(schema, {"odd name": 1}).places == ("/*",)


def test_answers_beside_the_arguments_are_no_part_of_them():
    assert fit(USUAL, {"path": "/a"}, brought={"sure": {}}).valid == "valid"
    assert fit(USUAL, {"path": 1}, brought={"sure": {}}).places == ("/path",)


def test_arguments_that_look_like_a_further_round_are_checked_as_they_are():
    assert fit(USUAL, {"arguments": {"path": "/a"}, "inputResponses": {"sure": {}}}).valid == "invalid"


@pytest.mark.parametrize("event_type", ["resource_read", "prompt_get", "request", "sampling"])
def test_only_calls_of_tools_have_a_schema(event_type):
    assert fit(USUAL, {}, event_type=event_type) == Fit()


@pytest.mark.parametrize("standing", ["changed", "unconfirmed", "unpinned", "stale"])
def test_a_definition_that_is_not_the_pinned_one_is_not_believed(standing):
    assert fit(USUAL, {}, standing=standing) == UNCHECKED
    assert Fitting().of(call({}, known=False)) == UNCHECKED


def test_without_the_library_nothing_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)

    assert fit(USUAL, {}) == UNCHECKED


@pytest.mark.parametrize(
    "schema",
    [
        None,
        3,
        [],
        {"type": "no such type"},
        {"$schema": "https://evil.example/meta", "type": "object"},
        {"$schema": 7},
        {"$ref": "http://127.0.0.1:1/schema"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "other.json"},
        {"$ref": "#/nowhere"},
        {"$ref": "#"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}}},
        {"$dynamicRef": "#a", "$dynamicAnchor": "a"},
        {"properties": {"a": {"$id": "http://a/b", "$ref": "#/x"}}},
        {"properties": {"a": {"pattern": "(?=a)b"}}},
        {"properties": {"a": {"pattern": "((a{1000}){1000}){1000}"}}},
        {"properties": {f"p{i}": {"pattern": f"a{{{i}}}"} for i in range(51)}},
        {"properties": {f"p{i}": {"type": "string"} for i in range(3_000)}},
        {"enum": list(range(30_000))},
        {"$ref": "#/$defs/0", "$defs": {**{str(i): {"$ref": f"#/$defs/{i + 1}"} for i in range(100)}, "100": {}}},
    ],
)
def test_a_schema_that_cannot_be_used_leaves_arguments_unchecked(schema):
    assert fit(schema, {"a": 1}) == UNCHECKED


def doubling(levels):
    """A schema each part of which refers to the next one twice."""
    parts = {str(i): {"allOf": [{"$ref": f"#/$defs/{i + 1}"}] * 2} for i in range(levels)}
    return {"properties": {"a": {"$ref": "#/$defs/0"}}, "$defs": {**parts, str(levels): {"type": "string"}}}


def nested(depth, inner=None):
    value = {} if inner is None else inner
    for _ in range(depth):
        value = {"a": value}
    return value


def counting(levels):
    """A schema that counts, at each level of arrays, those below that count as many."""
    counted = {"type": "integer"}
    for _ in range(levels):
        counted = {"contains": counted, "minContains": 2, "maxContains": 9}
    return {"properties": {"a": counted}}


FORKED = {"properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}}
FORKED_BY_NAME = {"properties": {"a": {"$ref": "#"}}, "patternProperties": {"a": {"$ref": "#"}}}
LOOKING_BACK = {"properties": {"a": {"$ref": "#"}}, "unevaluatedProperties": {"$ref": "#"}}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (doubling(50), {"a": "x"}),
        (FORKED, nested(100)),
        (FORKED_BY_NAME, nested(100)),
        (LOOKING_BACK, nested(100)),
        ({"items": {"items": {"uniqueItems": True}}}, {"a": [[[i] for i in range(20_000)]]}),
        ({"additionalProperties": {"pattern": "^(a|a)*(a|a)*(a|a)*$"}}, {"a": "a" * 1_000_000 + "b"}),
        ({"additionalProperties": {"items": {"type": "string"}}}, {"a": list(range(200_000))}),
        ({"additionalProperties": {"multipleOf": 1e-300}}, {"a": 10**4_000}),
        ({"properties": {"a": {"uniqueItems": True}}}, {"a": [2**63 + i for i in range(4_000)]}),
        ({"properties": {"a": {"uniqueItems": True}}}, {"a": [{"b": -(10**30) - i} for i in range(4_000)]}),
        (counting(8), {"a": [[[[[[[[1] * 3] * 3] * 3] * 3] * 3] * 3] * 3] * 9}),
    ],
    ids=[
        *("doubling", "forked", "forked by name", "looking back", "unique", "pattern", "many errors", "large number"),
        *("large numbers", "large numbers in objects", "counting"),
    ],
)
def test_no_schema_keeps_the_door_busy(schema, value):
    began = time.thread_time()
    fit(schema, value)

    assert time.thread_time() - began < 2


@pytest.mark.parametrize("padding", [[0] * 4_000_000, nested(200), 10**4_000], ids=["size", "depth", "number"])
def test_no_padding_takes_arguments_out_of_the_check(padding):
    assert fit({**USUAL, "additionalProperties": {"multipleOf": 3}}, {"path": 3, "evil": padding}).valid == "invalid"
    assert fit(USUAL, {"path": 3, "evil": padding}).valid == "invalid"
    assert fit(None, {"path": 3, "evil": padding}) == UNCHECKED


def test_arguments_that_would_take_too_long_do_not_fit_anywhere_in_particular():
    assert fit(FORKED, nested(100)) == Fit("invalid")
    assert fit({"uniqueItems": True}, [2**63, 1]) == Fit("invalid")


def test_a_schema_that_would_take_too_long_for_any_usual_value_is_not_used():
    assert fit(doubling(50), {"a": "x"}) == UNCHECKED


def test_a_large_number_is_checked_where_it_is_not_compared_with_others():
    assert fit({"properties": {"a": {"uniqueItems": True}}}, {"a": [1, 2**63 - 1], "b": 2**80}).valid == "valid"
    assert fit({"properties": {"a": {"items": {"type": "integer"}}}}, {"a": [2**80, 2**81]}).valid == "valid"


def test_a_tree_of_usual_depth_is_checked_although_its_schema_refers_to_itself():
    schema = {
        "$ref": "#/$defs/filter",
        "$defs": {
            "filter": {
                "anyOf": [
                    {
                        "properties": {"and": {"type": "array", "items": {"$ref": "#/$defs/filter"}}},
                        "required": ["and"],
                    },
                    {"properties": {"not": {"$ref": "#/$defs/filter"}}, "required": ["not"]},
                    {"properties": {"is": {"type": "string"}}, "required": ["is"]},
                ]
            }
        },
    }

    assert fit(schema, {"and": [{"not": {"is": "x"}}, {"and": [{"is": "y"}]}]}).valid == "valid"
    assert fit(schema, {"and": [{"not": {"is": 3}}]}).valid == "invalid"


names = st.sampled_from(["a", "b", "c"])
scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, "", "a", "bb"])
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)
types = st.sampled_from(["null", "boolean", "object", "array", "number", "string", "integer"])


def parts(inner):
    several = st.lists(inner, min_size=1, max_size=3)
    named = st.dictionaries(names, inner, max_size=3)
    keywords = {
        **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), several),
        **dict.fromkeys(("not", "if", "then", "else", "items", "contains", "propertyNames"), inner),
        **dict.fromkeys(("additionalProperties", "unevaluatedProperties", "unevaluatedItems"), inner),
        **dict.fromkeys(("properties", "dependentSchemas"), named),
        "patternProperties": st.dictionaries(st.sampled_from(["^a", "b$"]), inner, max_size=2),
        "type": types | st.lists(types, min_size=1, max_size=2, unique=True),
        "enum": st.lists(scalars, min_size=1, max_size=3),
        "const": scalars,
        "required": st.lists(names, max_size=2, unique=True),
        "minimum": st.integers(-2, 2),
        "maxLength": st.integers(0, 2),
        "minItems": st.integers(0, 2),
        "uniqueItems": st.booleans(),
        "$ref": st.sampled_from(["#", "#/properties/a", "#/anyOf/0"]),
    }
    return st.booleans() | st.fixed_dictionaries({}, optional=keywords)


schemas = st.recursive(st.booleans() | st.builds(lambda t: {"type": t}, types), parts, max_leaves=6)


@settings(deadline=2_000, max_examples=300)
@given(schemas, values)
def test_what_is_said_to_fit_is_what_another_validator_lets_pass(schema, value):
    found = fit(schema, value)
    if found not in (UNCHECKED, Fit("invalid")):
        own = {} if value is None else value
        assert (found.valid == "valid") == jsonschema.Draft202012Validator(schema).is_valid(own)


@settings(deadline=2_000)
@given(schemas, st.integers(0, 100))
def test_no_schema_and_no_depth_take_long(schema, depth):
    fit(schema, nested(depth, {"a": [1, "a"], "b": {}}))


@given(st.recursive(values, lambda inner: st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=9))
def test_whatever_a_server_calls_a_schema_is_used_or_is_not(schema):
    checker_of(schema)


def test_places_are_named_where_the_class_allows_it_and_values_never():
    listed = Definition(name="tool", digest="", input_schema=Raw(USUAL))
    made = call({"path": 3, "tags": ["planted", 4]}, defined=listed)
    found = Fitting().of(made)
    told = replace(base(), arguments_valid=found.valid, arguments_unfit=found.places)

    for classification, named in (("low", True), ("high", True), ("critical", False)):
        event, _ = redactor().attempt(made, treated(made, classification=classification), told)
        assert event.event.arguments_valid == "invalid"
        assert event.event.arguments_unfit == (("/path", "/tags/1") if named else ())
