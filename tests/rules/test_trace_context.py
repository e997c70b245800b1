# SPDX-License-Identifier: Apache-2.0
"""Trace context, baggage and the step of the model, as clients send them: read, or noted as unreadable."""

import time
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.event.call import Trace
from onrecord.rules.trace_context import (
    BAGGAGE_BYTES,
    INVOCATION,
    MOST_ENTRIES,
    MOST_STATES,
    baggage,
    begun,
    read,
    traceparent,
    tracestate,
    written,
)

pytestmark = pytest.mark.requirement("A5")

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
IDS = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")

TOKEN = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=20)
STATE_KEY = st.from_regex(r"\A[a-z0-9][a-z0-9_\-*/@]{0,20}\Z")
STATE_VALUE = st.from_regex(r"\A[!-+\--<>-~]{1,20}\Z")


def test_a_trace_is_read_where_it_is_well_formed() -> None:
    trace = read({"traceparent": TRACE, "tracestate": "a=1,b@c=x y", "baggage": "k=v"})

    assert (trace.trace_id, trace.span_id, trace.faults) == (*IDS, ())


def test_a_version_to_come_is_read_as_far_as_it_is_known() -> None:
    assert traceparent("01" + TRACE[2:] + "-more") == IDS
    assert traceparent("01" + TRACE[2:]) == IDS
    assert traceparent("01" + TRACE[2:] + "more") is None
    assert traceparent(TRACE + "-more") is None


@pytest.mark.parametrize(
    "header",
    [
        *(None, 7, "", [], {}, "00-x-y-01", TRACE.upper(), "ff" + TRACE[2:], "a" * 9999, TRACE + " ", " " + TRACE),
        *("00-" + "0" * 32 + TRACE[35:], TRACE[:36] + "0" * 16 + "-01", TRACE.replace("-", "_"), TRACE[:-1] + "g"),
        *(TRACE[:-1] + "\u0661", TRACE + "\n"),
    ],
)
def test_a_malformed_trace_is_no_trace_and_is_noted(header: Any) -> None:
    assert read({"traceparent": header}) == Trace(faults=("traceparent",))


@pytest.mark.parametrize(
    "text",
    [
        *("a", "=1", "a=", "A=1", "a=1,a=2", "a=\u00e9", "a=x=y", "a\t=1", "a=" + "x" * 257, "x" * 9_000),
        ",".join(f"k{i}=1" for i in range(MOST_STATES + 1)),
    ],
)
def test_a_malformed_state_is_noted_and_the_trace_stays(text: str) -> None:
    trace = read({"traceparent": TRACE, "tracestate": text})

    assert (trace.trace_id, trace.faults) == (IDS[0], ("tracestate",))


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "=1", "a=1,", "a=b c", "a=\u00e9", "a=1;", "a=1;=x", 'a="1"', "a=1\x00", "a b=1", "a=1\r\nx: y"),
        "k=" + "x" * BAGGAGE_BYTES,
        ",".join("k=1" for _ in range(MOST_ENTRIES + 1)),
    ],
)
def test_malformed_or_oversized_baggage_is_noted_and_nothing_of_it_is_taken(text: str) -> None:
    sent = text + ("," if text else "") + "audit.step_id=s-1"

    trace = read({"traceparent": TRACE, "baggage": sent if text else text})

    assert (trace.trace_id, trace.model_step_id, trace.faults) == (IDS[0], "", ("baggage",))


def test_baggage_of_the_greatest_length_is_read() -> None:
    text = "audit.step_id=s-1,k="

    assert read({"baggage": text + "x" * (BAGGAGE_BYTES - len(text))}).model_step_id == "s-1"


def test_of_baggage_only_members_of_ours_are_taken() -> None:
    text = "audit.corr_id=c-7;p=1, userId=alice , audit.agent_id = planner%201,audit.event_id=e-1,audit.model=m"

    trace = read({"baggage": text})

    assert (trace.request, trace.agent, trace.model_step_id, trace.model) == ("c-7", "planner 1", "e-1", "m")
    assert "alice" not in repr([getattr(trace, name) for name in Trace.__slots__])


def test_a_member_that_stands_twice_says_nothing() -> None:
    assert baggage("a=1,b=2,a=1") == {"b": "2"}


def test_a_member_that_is_too_long_for_an_id_says_nothing() -> None:
    assert read({"baggage": "audit.step_id=" + "x" * 257}) == Trace()


def test_the_step_of_the_model_is_its_turn() -> None:
    said = {"turnId": "turn-3", "model": "m-1", "userIntent": "delete it all", "invocationReason": "asked"}

    trace = read({INVOCATION: said, "baggage": "audit.step_id=other"})

    assert (trace.turn, trace.model_step_id, trace.model) == ("turn-3", "turn-3", "m-1")


@pytest.mark.parametrize("said", [None, 7, [], "turn", {"turnId": 3}, {"model": {}}, {"turnId": "x" * 257}])
def test_a_malformed_invocation_is_noted(said: Any) -> None:
    assert read({INVOCATION: said}) == Trace(faults=("aiInvocation",))


@pytest.mark.parametrize("meta", [None, 7, "text", [], True])
def test_a_meta_that_is_no_object_is_noted(meta: Any) -> None:
    assert read(meta) == Trace(faults=("_meta",))


@given(st.dictionaries(TOKEN, st.text(max_size=20), min_size=1, max_size=20))
def test_what_is_put_into_baggage_comes_out_of_it(entries: dict[str, str]) -> None:
    text = ",".join(f"{key}={quote(value, safe='')}" for key, value in entries.items())

    assert baggage(text) == entries


@given(st.dictionaries(STATE_KEY, STATE_VALUE, min_size=1, max_size=MOST_STATES))
def test_what_is_put_into_a_state_comes_out_of_it(states: dict[str, str]) -> None:
    assert tracestate(" , ".join(f"{key}={value}" for key, value in states.items())) == tuple(states.items())


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 254), st.integers(0, 255))
def test_every_trace_that_is_well_formed_is_read(trace: int, span: int, version: int, flags: int) -> None:
    text = f"{version:02x}-{trace:032x}-{span:016x}-{flags:02x}"

    assert traceparent(text) == (f"{trace:032x}", f"{span:016x}")


@given(
    st.dictionaries(
        st.sampled_from(["traceparent", "tracestate", "baggage", INVOCATION, "other"]),
        st.one_of(
            st.text(max_size=80),
            st.text("0123456789abcdef-=,;% ", max_size=80),
            st.dictionaries(st.sampled_from(["turnId", "model"]), st.one_of(st.text(), st.integers(), st.none())),
            st.recursive(st.none() | st.integers() | st.floats(), st.lists, max_leaves=5),
        ),
    )
)
def test_whatever_comes_is_read_or_noted_and_never_an_error(meta: dict[str, Any]) -> None:
    trace = read(meta)

    assert set(trace.faults) <= {"traceparent", "tracestate", "baggage", "aiInvocation"}
    assert all(len(text) <= 256 for text in (trace.model, trace.model_step_id, trace.request, trace.agent))
    assert not trace.trace_id or traceparent(written(trace.trace_id, trace.span_id)) == (trace.trace_id, trace.span_id)


def test_a_value_of_many_megabytes_costs_nothing() -> None:
    huge = "a=1," * (10 << 20)
    began = time.thread_time()

    trace = read({"traceparent": huge, "tracestate": huge, "baggage": huge, INVOCATION: {"turnId": huge}})

    assert trace == Trace(faults=("traceparent", "tracestate", "baggage", "aiInvocation"))
    assert time.thread_time() - began < 0.1


def test_a_trace_that_begins_here_is_well_formed() -> None:
    ids = begun("01890a5d-ac96-774b-bcce-b302099a8057", "01890a5d-ac97-774b-8cce-b302099a8058")

    assert traceparent(written(*ids)) == ids
