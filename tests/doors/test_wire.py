# SPDX-License-Identifier: Apache-2.0
"""What the client's bytes may be, so that there is only one thing they can mean."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.doors import wire
from onrecord.doors.wire import Notification, Request, Response
from onrecord.errors import MessageRefused

CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"a":1}}}\n'

pytestmark = pytest.mark.requirement("F2")


def test_a_request_a_notification_and_a_response_are_told_apart():
    assert isinstance(wire.decode(CALL), Request)
    assert isinstance(wire.decode(b'{"jsonrpc":"2.0","method":"notifications/x"}'), Notification)
    assert wire.decode(b'{"jsonrpc":"2.0","id":"a","result":{}}') == Response(id="a", result={})
    assert wire.decode(b'{"jsonrpc":"2.0","id":null,"error":{"code":1}}') == Response(id=None, error={"code": 1})


def test_both_line_ends_and_white_space_are_read():
    assert wire.decode(CALL[:-1] + b"\r\n") == wire.decode(CALL)
    assert wire.decode(b'  {\t"jsonrpc" : "2.0" , "id" : 1 , "method" : "ping" } \n') == Request(
        id=1, method="ping", params={}
    )


AMBIGUOUS = {
    "a doubled key": b'{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call"}',
    "a key doubled deep inside": CALL[:-1].replace(b'{"a":1}', b'{"a":{"b":1,"b":2}}'),
    "a key doubled by an escape": b'{"jsonrpc":"2.0","id":1,"method":"ping","\\u006dethod":"tools/call"}',
    "a method in another case": b'{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}',
    "a method with a long s": '{"jsonrpc":"2.0","id":1,"method":"ping","param\u017f":{}}'.encode(),
    "a name in another case": CALL[:-1].replace(b'"name"', b'"Name"'),
    "a batch": b"[" + CALL[:-1] + b"]",
    "a string": b'"tools/call"',
    "a carriage return that splits it": b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":\r'
    b'{"jsonrpc":"2.0","id":2,"method":"tools/call"}\r}}',
    "half a surrogate pair": CALL[:-1].replace(b"echo", b"\\ud83d"),
    "a fractional id": CALL[:-1].replace(b'"id":1', b'"id":1.5'),
    "a whole id with a fraction": CALL[:-1].replace(b'"id":1', b'"id":1.0'),
    "a null id": CALL[:-1].replace(b'"id":1', b'"id":null'),
    "a boolean id": CALL[:-1].replace(b'"id":1', b'"id":true'),
    "an id that JavaScript rounds": CALL[:-1].replace(b'"id":1', b'"id":9007199254740993'),
    "a number past every float": CALL[:-1].replace(b'"a":1', b'"a":1e400'),
    "a request and a response at once": CALL[:-2] + b',"result":{}}',
    "a response with params": b'{"jsonrpc":"2.0","id":1,"result":{},"params":{}}',
    "a result and an error at once": b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}',
    "neither method nor result": b'{"jsonrpc":"2.0","id":1}',
    "a request without an id": CALL[:-1].replace(b'"id":1,', b""),
    "another version": CALL[:-1].replace(b"2.0", b"1.0"),
    "no version": CALL[:-1].replace(b'"jsonrpc":"2.0",', b""),
    "params in a list": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["echo"]}',
    "a method that is no string": b'{"jsonrpc":"2.0","id":1,"method":7}',
    "an error that is no object": b'{"jsonrpc":"2.0","id":1,"error":"no"}',
    "too deep": b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":' + b"[" * 200 + b"]" * 200 + b"}}",
    "deeper than a parser goes": b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":' + b"[" * 100_000,
}


@pytest.mark.parametrize("line", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_a_message_with_no_single_reading_is_refused(line):
    with pytest.raises(MessageRefused) as refusal:
        wire.decode(line)

    assert refusal.value.code == wire.AMBIGUOUS
    assert not -32768 <= refusal.value.code <= -32000  # outside what JSON-RPC reserves


NOT_JSON = {
    "nothing like JSON": b"hello\n",
    "cut off": CALL[:-5],
    "two on one line": CALL[:-1] + CALL[:-1],
    "NaN": CALL[:-1].replace(b'"a":1', b'"a":NaN'),
    "not UTF-8": CALL[:-1].replace(b"echo", b"\xff\xfe"),
    "a byte order mark": b"\xef\xbb\xbf" + CALL,
    "a raw control character": CALL[:-1].replace(b"echo", b"ec\x00ho"),
    "a trailing comma": CALL[:-2] + b",}",
}


@pytest.mark.parametrize("line", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_bytes_that_are_not_json_are_refused_as_every_server_would(line):
    with pytest.raises(MessageRefused) as refusal:
        wire.decode(line)

    assert refusal.value.code == wire.PARSE_ERROR


def test_a_refusal_names_the_id_that_it_answers_where_there_is_one():
    for line, request_id in [
        (AMBIGUOUS["a doubled key"], 1),
        (AMBIGUOUS["a name in another case"], 1),
        (AMBIGUOUS["half a surrogate pair"], 1),
        (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}', None),
        (AMBIGUOUS["a batch"], None),
        (b"hello", None),
    ]:
        with pytest.raises(MessageRefused) as refusal:
            wire.decode(line)

        assert refusal.value.request_id == request_id


def test_a_refusal_never_repeats_what_it_refuses():
    secret = "hunter2-hunter2"
    for line in (
        f'{{"jsonrpc":"2.0","id":1,"method":"x","{secret}":1,"{secret}":2}}',
        f'{{"jsonrpc":"2.0","id":1,"method":"x","params":"{secret}"}}',
        f"{secret} is not json",
    ):
        with pytest.raises(MessageRefused) as refusal:
            wire.decode(line.encode())

        assert secret not in str(refusal.value)


def test_depth_is_counted_in_levels_not_in_brackets():
    wide = {"jsonrpc": "2.0", "id": 1, "method": "m", "params": {"a": [[] for _ in range(1000)]}}
    assert isinstance(wire.decode(json.dumps(wide).encode()), Request)


def test_a_server_may_send_half_a_surrogate_pair():
    line = b'{"jsonrpc":"2.0","id":1,"result":{"text":"\\ud83d"}}'
    assert wire.decode(line, lone_surrogates="forgive") == Response(id=1, result={"text": "\ud83d"})


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.text(), JSON)
def test_every_plain_request_is_read_as_what_it_is(name, arguments):
    params = {"name": name, "arguments": arguments}
    line = json.dumps({"jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": params})
    if _has_lone_surrogate(params):
        return

    assert wire.decode(line.encode()) == Request(id="x", method="tools/call", params=params)


@given(st.binary(max_size=300))
def test_no_bytes_at_all_make_it_fail_in_another_way(line):
    try:
        wire.decode(line)
    except MessageRefused:
        pass


@given(st.integers(0, len(CALL) - 1), st.integers(0, 255))
def test_one_changed_byte_is_read_as_a_message_or_refused(place, byte):
    line = bytearray(CALL)
    line[place] = byte
    try:
        wire.decode(bytes(line))
    except MessageRefused:
        pass


def test_the_id_of_a_message_too_long_to_read_is_found_in_its_head():
    assert wire.id_in_head(b'{"jsonrpc":"2.0","id":17,"result":{"content":[{"text":"aaaa') == 17
    assert wire.id_in_head(b'{"jsonrpc":"2.0","id": "a-7","result":{') == "a-7"
    assert wire.id_in_head(b'{"jsonrpc":"2.0","result":{}') is None


def test_our_own_answers_are_one_line_of_json_each():
    line = wire.error_line("a", wire.NOT_RECORDED, "no\nroom")
    assert line.count(b"\n") == 1
    assert json.loads(line) == {"jsonrpc": "2.0", "id": "a", "error": {"code": -31001, "message": "no\nroom"}}


def _has_lone_surrogate(value):
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


@pytest.mark.parametrize(
    ("number", "rounded"),
    [
        ("10000000000000000000000.0", False),
        ("10000000000000000000999999.0", True),
        ("0.1", False),
        ("0.10000000000000000000", False),
        ("0.1000000000000000055511151231257827", True),
        ("9007199254740993.0", True),
        ("9007199254740993e0", True),
        ("9007199254740993", False),
        ("1e22", False),
        ("1e-400", True),
        ("1e-99999999999999999999", True),
        ("2.5e-308", False),
        ("123456789012345e-330", True),
        ("0e-999", False),
        ('"0.1000000000000000055511151231257827"', False),
    ],
)
def test_a_number_that_is_not_kept_as_it_is_written_is_told(number, rounded):
    found = wire.decode(f'{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"n":{number}}}}}'.encode())
    assert isinstance(found, wire.Request)
    assert found.rounded == rounded


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_as_it_is_usually_written_is_kept(number):
    found = wire.decode(f'{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"n":{number!r}}}}}'.encode())
    assert isinstance(found, wire.Request)
    assert not found.rounded


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30))
def test_a_number_is_told_to_be_rounded_exactly_where_its_value_differs(number):
    text = f"{number:e}"
    found = wire.decode(f'{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"n":{text}}}}}'.encode())
    assert isinstance(found, wire.Request)
    assert found.rounded == (Decimal(repr(float(text))) != Decimal(text))
