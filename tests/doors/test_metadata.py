# SPDX-License-Identifier: Apache-2.0
"""Fields are put into the `_meta` of a request; every other byte stays."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.doors import wire
from onrecord.doors.metadata import with_item, with_meta
from onrecord.errors import MessageRefused

pytestmark = pytest.mark.requirement("A5", "F2")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ('{"id":1,"method":"m"}\n', '{"params":{"_meta":{"t":"x"}},"id":1,"method":"m"}\n'),
        ('{"params":{ } ,"id":1}', '{"params":{"_meta":{"t":"x"} } ,"id":1}'),
        ('{"params":{"n":1.10}}', '{"params":{"_meta":{"t":"x"},"n":1.10}}'),
        ('{ "params" : { "_meta" : { } }, "a":0}', '{ "params" : { "_meta" : {"t":"x"} }, "a":0}'),
        ('{"params":{"_meta":{"t":7,"u" : 1e2,"d":[]}}}\r\n', '{"params":{"_meta":{"u" : 1e2,"t":"x"}}}\r\n'),
        ('{"params":{"\\u005fmeta":{"\\u0064":1}}}', '{"params":{"\\u005fmeta":{"t":"x"}}}'),
    ],
)
def test_the_field_is_put_there_and_nothing_else_changes(line: str, changed: str) -> None:
    assert with_meta(line.encode(), {"t": "x"}, {"d"}).decode() == changed


@pytest.mark.parametrize("line", ['{"params":{"_meta":null}}', '{"params":[1]}', "[]"])
def test_without_a_place_for_it_nothing_is_changed(line: str) -> None:
    with pytest.raises(MessageRefused):
        with_meta(line.encode(), {"t": "x"})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"params":{"_meta":{"K":"t"}}}', '{"params":{"_meta":{}}}'),
        ('{"params":{"_meta":{ "K" : [1,"]"] }}}', '{"params":{"_meta":{  }}}'),
        ('{"params":{"_meta":{"a":1.0 , "K":{"a":2} , "b":2}}}', '{"params":{"_meta":{"a":1.0 , "b":2}}}'),
        ('{"params":{"_meta":{"\\u004b":"\\"}","a":1.0}}}', '{"params":{"_meta":{"a":1.0}}}'),
        (
            '{"x":{"_meta":{"K":1}},"params":{"K":1,"_meta":{"K":1}}}',
            '{"x":{"_meta":{"K":1}},"params":{"K":1,"_meta":{}}}',
        ),
    ],
)
def test_a_field_can_be_taken_out_and_none_put_in_its_place(before: str, after: str) -> None:
    assert with_meta(before.encode(), {}, {"K"}).decode() == after


@given(
    st.dictionaries(st.text(max_size=6), JSON, max_size=4),
    st.none() | st.dictionaries(st.sampled_from(["baggage", "traceparent", "x", "y"]), JSON),
    st.sampled_from([None, 1, "\t"]),
    st.booleans(),
)
def test_a_server_reads_the_request_as_it_was_and_the_field(
    params: dict[str, Any], meta: dict[str, Any] | None, indent: Any, ascii_only: bool
) -> None:
    params.pop("_meta", None)
    if meta is not None:
        params = {**params, "_meta": meta}
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    text = json.dumps(message, indent=indent, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    try:
        wire.decode(text)
    except MessageRefused:
        return

    changed = with_meta(text, {"traceparent": "new"}, {"baggage"})

    kept = {key: value for key, value in (meta or {}).items() if key != "baggage"}
    expected = {**message, "params": {**params, "_meta": {**kept, "traceparent": "new"}}}
    assert json.loads(changed) == expected
    wire.decode(changed)


@given(st.lists(JSON, max_size=4), st.dictionaries(st.text(max_size=5), JSON, max_size=3), st.sampled_from([None, 1]))
def test_an_entry_is_put_behind_the_last_of_a_list_and_nothing_else_changes(
    entries: list[Any], beside: dict[str, Any], indent: int | None
) -> None:
    message = {"jsonrpc": "2.0", "x": beside, "result": {**beside, "resources": entries, "z": beside}, "y": [entries]}
    before = json.dumps(message, indent=indent, ensure_ascii=bool(indent))
    after = with_item(before.encode(), "resources", '{"new":1}').decode()

    message["result"]["resources"] = [*entries, {"new": 1}]
    assert json.loads(after) == message
    at = next(
        n for n in range(len(after)) if before[:n] + after[n : n + len(after) - len(before)] + before[n:] == after
    )
    assert after[at : at + len(after) - len(before)].strip(',{}"new:1') == ""


@pytest.mark.parametrize("line", ["{}", '{"result":[]}', '{"result":{}}', '{"result":{"resources":{}}}', "[]"])
def test_without_such_a_list_no_entry_is_put_anywhere(line: str) -> None:
    with pytest.raises(MessageRefused):
        with_item(line.encode(), "resources", "{}")
