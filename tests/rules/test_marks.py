# SPDX-License-Identifier: Apache-2.0
"""Which places a schema marks: through every keyword, at any depth, and whatever can't be understood."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.event.call import Json
from onrecord.rules.marks import DEEPEST, has_marks, marked
from onrecord.rules.pointer import parse, places, written

SECRET: Json = {"type": "string", "sensitive": True}
PLAIN: Json = {"type": "string"}


def found(schema: Any, value: Any) -> set[str]:
    places_found = {written(place) for place in marked(schema, value)}
    if places_found:
        assert has_marks(schema)
    return places_found


@pytest.mark.requirement("B2")
@pytest.mark.parametrize(
    "mark",
    [
        {"sensitive": True},
        {"x-sensitive": True},
        {"writeOnly": True},
        {"type": "string", "format": "password"},
        {"x-sensitive": "pii"},
    ],
)
def test_each_way_to_mark_a_property_marks_it(mark: Any) -> None:
    assert found({"properties": {"a": mark, "b": PLAIN}}, {"a": "x", "b": "y"}) == {"/a"}


@pytest.mark.parametrize("mark", [{"sensitive": False}, {"writeOnly": None}, {"format": "date"}, True, {}])
def test_what_is_not_marked_is_left_alone(mark: Any) -> None:
    schema = {"properties": {"a": mark}}

    assert found(schema, {"a": "x"}) == set()


def test_a_property_that_is_called_sensitive_is_not_thereby_marked() -> None:
    schema: Json = {"properties": {"sensitive": {"type": "boolean"}, "writeOnly": True}}

    assert found(schema, {"sensitive": True, "writeOnly": "x"}) == set()


@pytest.mark.requirement("B2")
@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"$ref": "#/$defs/s", "$defs": {"s": {"properties": {"a": SECRET}}}}, {"a": 1}, {"/a"}),
        ({"properties": {"a": {"$ref": "#/definitions/s"}}, "definitions": {"s": SECRET}}, {"a": 1}, {"/a"}),
        ({"properties": {"a": {"$ref": "#named"}}, "$defs": {"s": {"$anchor": "named", **SECRET}}}, {"a": 1}, {"/a"}),
        ({"properties": {"a": {"$ref": "#/$defs/a~1b%20c"}}, "$defs": {"a/b c": SECRET}}, {"a": 1}, {"/a"}),
        (
            {
                "$id": "https://x.test/s",
                "properties": {"a": {"$ref": "https://x.test/s#/$defs/s"}},
                "$defs": {"s": SECRET},
            },
            {"a": 1},
            {"/a"},
        ),
        ({"allOf": [{"properties": {"a": SECRET}}, {"properties": {"b": SECRET}}]}, {"a": 1, "b": 2}, {"/a", "/b"}),
        ({"anyOf": [{"properties": {"a": PLAIN}}, {"properties": {"a": SECRET}}]}, {"a": 1}, {"/a"}),
        ({"oneOf": [{"properties": {"a": SECRET}}, {"type": "object"}]}, {"a": 1}, {"/a"}),
        ({"if": {"properties": {"a": PLAIN}}, "then": {"properties": {"a": SECRET}}}, {"a": 1}, {"/a"}),
        ({"else": {"properties": {"a": SECRET}}}, {"a": 1}, {"/a"}),
        ({"items": SECRET}, ["x", "y"], {"/0", "/1"}),
        ({"items": [PLAIN, SECRET]}, ["x", "y"], {"/1"}),
        ({"prefixItems": [PLAIN, SECRET], "items": SECRET}, ["x", "y", "z"], {"/0", "/1", "/2"}),
        ({"contains": SECRET}, ["x"], {"/0"}),
        ({"additionalProperties": SECRET, "properties": {"a": PLAIN}}, {"a": 1, "b": 2}, {"/b"}),
        ({"patternProperties": {"^x-": SECRET}}, {"x-a": 1, "y": 2}, {"/x-a"}),
        ({"patternProperties": {"(?=x)": SECRET}}, {"x": 1, "y": 2}, {"/x", "/y"}),
        ({"dependentSchemas": {"a": {"properties": {"b": SECRET}}}}, {"a": 1, "b": 2}, {"/b"}),
        ({"unevaluatedProperties": SECRET}, {"a": 1}, {"/a"}),
        ({"propertyNames": SECRET}, {"a": 1}, {""}),
        ({"properties": {"a": {"contentSchema": {"properties": {"b": SECRET}}}}}, {"a": "{}"}, {"/a"}),
    ],
)
def test_a_mark_is_seen_through_every_keyword(schema: Any, value: Any, expected: set[str]) -> None:
    assert found(schema, value) == expected


@pytest.mark.requirement("B2")
def test_a_schema_that_refers_to_itself_marks_at_every_level() -> None:
    schema: Any = {
        "$ref": "#/$defs/node",
        "$defs": {"node": {"properties": {"key": SECRET, "children": {"items": {"$ref": "#/$defs/node"}}}}},
    }
    value = {"key": 1, "children": [{"key": 2, "children": [{"key": 3}]}, {"key": 4}]}

    assert found(schema, value) == {"/key", "/children/0/key", "/children/0/children/0/key", "/children/1/key"}


def test_a_circle_of_references_comes_to_an_end() -> None:
    circle: Any = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}}}

    assert found(circle, {"x": 1}) == set()


@pytest.mark.requirement("B2")
@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"$ref": "https://elsewhere.test/schema"}}},
        {"properties": {"a": {"$ref": "#/$defs/missing"}}},
        {"properties": {"a": {"$ref": "#missing"}}},
        {"properties": {"a": {"$ref": "#/definitions"}}, "definitions": []},
        {"properties": {"a": "string"}},
    ],
)
def test_what_cannot_be_understood_counts_as_marked(schema: Any) -> None:
    assert found(schema, {"a": "x", "b": "y"}) == {"/a"}


@pytest.mark.requirement("B2")
@pytest.mark.parametrize("value", [{"a": '{"b": "x"}'}, {"a": [{"b": "x"}]}])
def test_a_value_of_another_shape_than_its_marks_is_withheld_whole(value: Any) -> None:
    assert found({"properties": {"a": {"properties": {"b": SECRET}}}}, value) == {"/a"}


@pytest.mark.requirement("B2")
def test_a_document_inside_the_document_has_references_of_its_own() -> None:
    schema: Any = {
        "properties": {"a": {"$id": "https://x.test/inner", "$ref": "#/$defs/s", "$defs": {"s": SECRET}}},
        "$defs": {"s": PLAIN},
    }

    assert found(schema, {"a": "x"}) == {"/a"}


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        (
            {
                "$recursiveAnchor": True,
                "properties": {
                    "z": SECRET,
                    "tree": {
                        "$id": "http://e/tree",
                        "$recursiveAnchor": True,
                        "properties": {"child": {"$recursiveRef": "#"}},
                    },
                },
            },
            {"tree": {"child": {"z": "x"}}},
            {"/tree/child/z"},
        ),
        (
            {
                "$id": "http://e/root",
                "$ref": "http://e/list",
                "$defs": {
                    "x": {"$dynamicAnchor": "item", "sensitive": True},
                    "list": {
                        "$id": "http://e/list",
                        "properties": {"a": {"$dynamicRef": "#item"}},
                        "$defs": {"item": {"$dynamicAnchor": "item"}},
                    },
                },
            },
            {"a": "x"},
            {"/a"},
        ),
        (
            {
                "properties": {"o": {"$id": "http://e/o", "$defs": {"q": {"$anchor": "A"}}}, "a": {"$ref": "#A"}},
                "$defs": {"s": {"$anchor": "A", "sensitive": True}},
            },
            {"a": "x"},
            {"/a"},
        ),
        (
            {
                "properties": {"a": {"$ref": "#A"}},
                "$defs": {"s": {"$anchor": "A", "sensitive": True}},
                "default": {"$anchor": "A"},
            },
            {"a": "x"},
            {"/a"},
        ),
        ({"properties": {"a": {"$ref": "#A"}}, "default": {"$anchor": "A"}}, {"a": "x"}, {"/a"}),
        ({"properties": {"a": {"$ref": "#A"}, "default": {"$anchor": "A", **SECRET}}}, {"a": "x"}, {"/a"}),
        (
            {
                "properties": {
                    "a": {
                        "id": "http://e/sub",
                        "definitions": {"p": SECRET},
                        "properties": {"b": {"$ref": "#/definitions/p"}},
                    }
                },
                "definitions": {"p": PLAIN},
            },
            {"a": {"b": "x"}},
            {"/a/b"},
        ),
        ({"properties": {"a": {"$ref": "#f"}}, "definitions": {"x": {"$id": "#f", **SECRET}}}, {"a": "x"}, {"/a"}),
        ({"prefixItems": [PLAIN], "items": [SECRET]}, ["x"], {"/0"}),
        ({"properties": {"a": {"contentSchema": {"properties": {"b": SECRET}}}}}, {"a": {"b": "x", "c": 1}}, {"/a/b"}),
        ({"extends": {"properties": {"a": SECRET}}}, {"a": "x"}, {"/a"}),
        ({"patternProperties": {r"^a\sb$": SECRET}}, {"a\u00a0b": "x", "ab": "y"}, {"/a\u00a0b"}),
        ({"patternProperties": {"^[[:a]": SECRET}}, {":b": "x"}, {"/:b"}),
        ({"patternProperties": {"^(?!x)": PLAIN}, "additionalProperties": SECRET}, {"x": "x"}, {"/x"}),
        ({"properties": {"a": {"propertyNames": SECRET}}}, {"a": '{"x": 1}'}, {"/a"}),
    ],
)
@pytest.mark.requirement("B2")
def test_what_validators_read_in_several_ways_is_marked_where_one_of_them_marks_it(
    schema: Any, value: Any, expected: set[str]
) -> None:
    assert found(schema, value) == expected


@pytest.mark.parametrize("pattern", ["^x-", "^[a-z]+_secret$", r"^\d+$"])
def test_a_key_that_a_pattern_does_not_fit_is_not_marked(pattern: str) -> None:
    assert (
        found({"patternProperties": {pattern: SECRET}}, {"y": 1, "größe y": 2} if "\\" not in pattern else {"y": 1})
        == set()
    )


MANY = 8_000


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"properties": {f"p{i}": {"$ref": "#nope"} for i in range(MANY)}}, {f"p{i}": "x" for i in range(MANY)}),
        ({"properties": {f"p{i}": {"$ref": f"#p{i}"} for i in range(MANY)}}, {f"p{i}": "x" for i in range(MANY)}),
        (
            {"properties": {f"p{i}": {"$ref": "#yes"} for i in range(MANY)}, "$defs": {"a": {"$anchor": "yes"}}},
            {f"p{i}": "x" for i in range(MANY)},
        ),
        ({"patternProperties": {f"^x{i}$": SECRET for i in range(1_000)}}, {f"k{i}": 1 for i in range(1_000)}),
        ({"patternProperties": {f"^{i}[^a]{{900}}$": SECRET for i in range(1_000)}}, {f"k{i}": 1 for i in range(3)}),
        ({"patternProperties": {f"^{i}(\\pL{{30}}){{30}}": SECRET for i in range(1_000)}}, {"k": 1}),
        (
            {"patternProperties": {f"^{i}.*z$": SECRET for i in range(300)}},
            {f"{i}{'y' * 100_000}": 1 for i in range(10)},
        ),
        (
            {
                "properties": {f"p{i}": {"items": {"$ref": "#/$defs/big"}} for i in range(5_000)},
                "$defs": {"big": {"allOf": [{"title": str(i)} for i in range(5_000)]}},
            },
            {f"p{i}": "x" for i in range(5_000)},
        ),
    ],
)
def test_no_schema_takes_long(schema: Any, value: Any) -> None:
    began = time.thread_time()

    has_marks(schema)
    marked(schema, value)

    assert time.thread_time() - began < 4


@pytest.mark.requirement("B2")
def test_deeper_than_the_limit_everything_is_marked() -> None:
    schema: Any = {"properties": {"in": {"$ref": "#"}}, "additionalProperties": SECRET}
    value: Any = {"key": "deepest"}
    for _ in range(DEEPEST + 10):
        value = {"in": value}

    assert found(schema, value) == {"/in" * (DEEPEST + 1)}


def test_a_schema_made_to_exhaust_us_marks_everything() -> None:
    schema: Any = {"allOf": [{"properties": {"a": SECRET}}]}
    for _ in range(2_000):
        schema = {"allOf": [schema]}

    assert found(schema, {"a": 1}) in ({""}, {"/a"})
    assert found({"items": {"allOf": [{"title": str(i)} for i in range(60)] + [SECRET]}}, ["x"] * 5_000) == {""}


def test_a_schema_without_marks_is_known_as_such() -> None:
    assert not has_marks(
        {"type": "object", "properties": {"a": PLAIN, "b": {"$ref": "#/$defs/c"}}, "$defs": {"c": PLAIN}}
    )
    assert not has_marks(True)


def nested(depth: int) -> st.SearchStrategy[tuple[Any, Any, tuple[str, ...]]]:
    """A schema, a value, and the one place in it that is marked, `depth` levels down."""
    if depth == 0:
        return st.just((SECRET, "value", ()))
    inner = nested(depth - 1)
    key = st.text(min_size=1, max_size=5)
    wraps = st.sampled_from(["properties", "items", "additionalProperties", "anyOf", "$ref"])
    return st.builds(_wrapped, wraps, inner, key)


def _wrapped(how: str, inner: tuple[Any, Any, tuple[str, ...]], key: str) -> tuple[Any, Any, tuple[str, ...]]:
    schema, value, place = inner
    match how:
        case "properties":
            return {"properties": {key: schema}}, {key: value}, (key, *place)
        case "additionalProperties":
            return {"additionalProperties": schema}, {key: value}, (key, *place)
        case "items":
            return {"items": schema}, [value], ("0", *place)
        case _:
            return {"anyOf": [{}, {"allOf": [schema]}]}, value, place


@pytest.mark.requirement("B2")
@given(st.integers(0, 8).flatmap(nested))
def test_a_mark_is_found_at_any_depth(made: tuple[Any, Any, tuple[str, ...]]) -> None:
    schema, value, place = made

    assert has_marks(schema)
    assert marked(schema, value) == [place]


@given(st.lists(st.text()))
def test_a_pointer_reads_back_as_it_was_written(tokens: list[str]) -> None:
    assert parse(written(tokens)) == tuple(tokens)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a/*/k", ["/a/0/k", "/a/1/k"]),
        ("/*/x", ["/s"]),
        ("/a/1", ["/a/1"]),
        ("/a/2", []),
        ("/s/deep", ["/s"]),
        ("/a~1b", ["/a~1b"]),
        ("/missing", []),
    ],
)
def test_a_pointer_of_the_manifest_names_places(text: str, expected: list[str]) -> None:
    value: Json = {"a": [{"k": 1}, {"k": 2}], "s": '{"deep": 1}', "a/b": 1}

    assert [written(place) for place in places(parse(text), value, in_texts=True)] == expected
    assert "/s" not in [written(place) for place in places(parse(text), value, in_texts=False)]
