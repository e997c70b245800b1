# SPDX-License-Identifier: Apache-2.0
"""The canonical form of a call is that of RFC 8785."""

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.event.call import Json
from onrecord.rules.canonical import NotCanonical, canonical, request_digest


@pytest.mark.parametrize(
    ("bits", "text"),
    [  # RFC 8785, appendix B
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
        ("43143ff3c1cb0959", "1424953923781206.2"),
    ],
)
def test_numbers_are_printed_as_ecmascript_prints_them(bits, text):
    assert canonical(struct.unpack(">d", bytes.fromhex(bits))[0]).decode() == text


def test_the_example_of_the_standard():
    # RFC 8785, 3.2.3: by UTF-16 code units, and escaped as little as may be
    names = ["€", "\r", "\ufb33", "1", "😀", "\x80", "ö"]
    ordered = ["\r", "1", "\x80", "ö", "€", "😀", "\ufb33"]
    assert list(json.loads(canonical(dict.fromkeys(names, 1)))) == ordered
    assert canonical('€$\x0f\nA\'B"\\\\"/').decode() == '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'
    assert canonical([True, False, None, [], {}, 1.0, 10**15]) == b"[true,false,null,[],{},1,1000000000000000]"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_reads_back_as_it_was(value):
    assert float(canonical(value)) == value


@pytest.mark.parametrize("value", [2**60, {"a": "\ud800"}, {"\ud800": 1}])
def test_what_readers_would_read_differently_has_no_digest(value):
    with pytest.raises(NotCanonical):
        request_digest("tools/call", "x", value)


def test_a_digest_is_of_method_name_and_arguments_however_they_are_written():
    known = request_digest("tools/call", "x", {"a": 1, "b": 2.0})
    assert known == request_digest("tools/call", "x", {"b": 2, "a": 1.0})
    assert known == "kkDR-cKfjR_O4T69bJ72xDHt6--w2cFLfnmXdXh7JHs"
    assert known in (Path(__file__).parents[2] / "docs" / "identity.md").read_text()
    others: list[tuple[str, str, Json]] = [
        ("tools/call", "y", {"a": 1, "b": 2}),
        ("a", "x", {"a": 1, "b": 2}),
        ("tools/call", "x", {"a": 1}),
    ]
    assert len({known, *(request_digest(*other) for other in others)}) == 4
