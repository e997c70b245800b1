# SPDX-License-Identifier: Apache-2.0
"""Server-sent events are read as the standard says, however they are cut into pieces, and within limits."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.doors.event_stream import EventStream
from onrecord.errors import MessageRefused


def events(*pieces, longest=1 << 20):
    stream = EventStream(longest)
    return [event for piece in pieces for event in stream.feed(piece)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"data: {}\n\n", [b"{}"]),
        (b"data:{}\n\n", [b"{}"]),
        (b"data:  {}\n\n", [b" {}"]),
        (b"\xef\xbb\xbfdata: {}\r\n\r\n", [b"{}"]),
        (b"data: a\rdata: b\r\r", [b"a\nb"]),
        (b"data: a\r\ndata: b\n\r\n", [b"a\nb"]),
        (b"event: message\ndata: a\n\nevent: odd\ndata: b\n\ndata: c\n\n", [b"a", b"c"]),
        (b": a comment\nid: 1\nretry: 5\n\n", []),
        (b"data\n\n", [b""]),
        (b"event: message\n\ndata: a\n\n", [b"a"]),
        (b"data: the stream ends\n", []),
        (b" data: a\ndatum: b\n\n", []),
    ],
)
def test_events_are_read_as_the_standard_says(text, found):
    assert events(text) == found


LINES = st.sampled_from(
    [b"data: a", b"data:", b"data", b": c", b"event: message", b"event: x", b"id: 1", b"", b"", b""]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(st.lists(st.tuples(LINES, ENDS)), st.lists(st.integers(0, 200)))
def test_it_does_not_matter_how_a_stream_is_cut_into_pieces(lines, cuts):
    text = b"".join(line + end for line, end in lines)
    places = sorted({0, len(text), *(at for at in cuts if at < len(text))})
    pieces = [text[start:end] for start, end in pairwise(places)]
    assert events(*pieces) == events(text)
    assert events(*(bytes([byte]) for byte in text)) == events(text)


@given(st.binary(), st.integers(1, 40))
def test_any_bytes_are_read_or_refused(text, longest):
    try:
        found = events(text, longest=longest)
    except MessageRefused:
        return
    assert all(len(event) <= longest for event in found)


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 50, b"data: x\n", b"id: 1\rdata: x\n", b": c\n"])
def test_an_event_that_does_not_end_is_given_up(piece):
    with pytest.raises(MessageRefused, match="more than 100 bytes"):
        events(*[piece] * 100, longest=100)
