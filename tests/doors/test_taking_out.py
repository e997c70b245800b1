# SPDX-License-Identifier: Apache-2.0
"""What is taken out of a message leaves every other byte as it came."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.doors.taking_out import without_meta

KEY = "io.onrecord/identity"

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(max_size=8), VALUES, max_size=4)


@given(
    OBJECTS,
    OBJECTS,
    OBJECTS,
    VALUES,
    st.booleans(),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " :\r ")]),
    st.randoms(),
)
def test_a_message_without_the_token_says_all_else(outer, params, meta, token, ascii_only, separators, random):
    meta = [*meta.items(), (KEY, token)]
    random.shuffle(meta)
    message = {**outer, "params": {**params, "_meta": dict(meta)}}
    line = json.dumps(message, ensure_ascii=ascii_only, separators=separators).encode() + b"\n"

    del message["params"]["_meta"][KEY]
    assert json.loads(without_meta(line, KEY)) == message
    assert without_meta(line, KEY).endswith(b"\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"params":{"_meta":{"K":"t"}}}', b'{"params":{"_meta":{}}}'),
        (b'{"params":{"_meta":{ "K" : [1,"]"] }}}', b'{"params":{"_meta":{  }}}'),
        (b'{"params":{"_meta":{"a":1 , "K":{} , "b":2}}}', b'{"params":{"_meta":{"a":1 , "b":2}}}'),
        (b'{"params":{"_meta":{"a":1 , "K":true}}}', b'{"params":{"_meta":{"a":1}}}'),
        (b'{"params":{"_meta":{"\\u004b":"\\"}","a":1.0}}}', b'{"params":{"_meta":{"a":1.0}}}'),
        (b'{"x":{"_meta":{"K":1}},"params":{"y":{"_meta":{"K":1}}}}', None),
        (b'{"params":{"_meta":["K"],"K":1}}', None),
        (b'{"params":"K"}', None),
        (b'{"_meta":{"K":1}}', None),
        (b"[]", None),
        (b"", None),
    ],
)
def test_only_the_member_and_its_comma_go(before, after):
    assert without_meta(before, "K") == (before if after is None else after)
