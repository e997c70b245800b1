# SPDX-License-Identifier: Apache-2.0
"""What doors and service say to each other: one spelling for each message, and no other."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from onrecord.errors import LedgerBusy, LedgerError, LedgerFull, NotVerified, RecorderAway
from onrecord.event.event import Event
from onrecord.ledger.messages import (
    MAX_MESSAGE,
    Append,
    Bye,
    Done,
    Failed,
    Hello,
    Welcome,
    encode,
    error_of,
    failed,
    hash_of,
    known_of,
    leaf_of,
    read_answer,
    read_request,
    text_of,
)

texts = st.text(max_size=20)
numbers = st.integers(min_value=-(2**53), max_value=2**53)
details = st.dictionaries(texts, st.one_of(numbers, texts, st.booleans()), max_size=3)
events = st.builds(
    Event,
    event_id=texts,
    event_type=st.sampled_from(["tool_call", "connection", "gap"]),
    action=texts,
    round=numbers,
    risk_tier=st.one_of(st.none(), st.integers(0, 4)),
    arg_keys=st.lists(texts, max_size=3).map(tuple),
    detail=details,
)
requests = st.one_of(
    st.builds(Hello, version=numbers, log=texts, origin=texts, size=numbers, root=texts, wid=texts, token=texts),
    st.builds(
        Append,
        id=numbers,
        durability=st.sampled_from(["written", "flushed", "signed"]),
        size=numbers,
        root=texts,
        urgent=st.booleans(),
        event=events,
    ),
    st.builds(Bye, id=numbers, size=numbers, root=texts),
)
answers = st.one_of(
    st.builds(Done, id=numbers, seq=numbers, leaf=texts, note=texts, path=st.lists(texts, max_size=3).map(tuple)),
    st.builds(Failed, id=numbers, error=texts, message=texts, seq=numbers),
    st.builds(
        Welcome,
        **dict.fromkeys(("log", "wid", "token", "ledger", "keys", "note"), texts),
        version=numbers,
        vkeys=st.lists(texts, max_size=2).map(tuple),
    ),
)


@given(requests)
def test_a_request_is_read_as_it_was_written(request):
    line = encode(request)
    assert line.endswith(b"\n")
    assert b"\n" not in line[:-1]
    assert read_request(line[:-1]) == request


@given(answers)
def test_an_answer_is_read_as_it_was_written(answer):
    assert read_answer(encode(answer)[:-1]) == answer


@given(st.binary(max_size=300))
@example(b"[" * MAX_MESSAGE)
@example(b'{"op":"bye","id":1e0}')
@example(b'{"op":"bye","id":1.0}')
@example(b'{"op":"bye","id":true}')
@example(b'{"op":"bye","id":"1"}')
def test_bytes_that_are_no_message_are_refused_and_never_anything_else(data):
    for read in (read_request, read_answer):
        with pytest.raises(NotVerified):
            read(data)


@given(requests, st.data())
def test_another_spelling_of_the_same_request_is_refused(request, data):
    line = encode(request)[:-1]
    fields = json.loads(line)
    name = data.draw(st.sampled_from(sorted(fields)))
    value = json.dumps(fields[name], ensure_ascii=False).encode()
    key = json.dumps(name).encode()
    others = [
        line + b" ",
        b" " + line,
        line[:-1] + b"," + key + b":" + value + b"}",
        line[:-1] + b',"more":1}',
        line.replace(b":", b": ", 1),
        json.dumps({name: fields.pop(name), **fields}, separators=(",", ":"), ensure_ascii=False).encode(),
    ]
    for other in others:
        if other != line:
            with pytest.raises(NotVerified):
                read_request(other)


@given(st.binary(min_size=32, max_size=32))
def test_a_hash_survives_its_text(one):
    assert hash_of(text_of(one)) == one


@pytest.mark.parametrize("text", ["", "AAAA", "not base64", "é", "A" * 44, "A" * 43 + "=\n"])
def test_a_text_that_is_no_hash_is_refused(text):
    with pytest.raises(NotVerified):
        hash_of(text)


def test_a_door_that_has_seen_nothing_knows_nothing():
    assert known_of("o", 0, "") is None
    with pytest.raises(NotVerified):
        known_of("o", 1, "")


@pytest.mark.parametrize(
    "answer", [Done(id=1, seq=1), Done(id=1, leaf="00" * 32), Done(id=1, seq=1, leaf="00"), Done(id=1, seq=1, leaf="x")]
)
def test_a_place_has_a_leaf_hash(answer):
    with pytest.raises(NotVerified):
        leaf_of(answer)


def test_errors_travel_by_name():
    for error in (LedgerFull("no room"), LedgerBusy("busy"), LedgerError("other")):
        arrived = error_of(failed(1, error))
        assert (type(arrived), str(arrived)) == (type(error), str(error))
    assert type(error_of(failed(1, RecorderAway("x")))) is LedgerError
    assert type(error_of(Failed(id=1, error="KeyboardInterrupt", message="x"))) is LedgerError
    assert len(str(error_of(Failed(id=1, error="LedgerFull", message="x" * 10_000)))) == 1_000
