# SPDX-License-Identifier: Apache-2.0
"""Traces through `onrecord run`: read, begun where none came, and handed on as the settings say."""

import json

import pytest
from tests.doors.session import Session, record

from onrecord.rules.trace_context import INVOCATION, traceparent

pytestmark = pytest.mark.requirement("A5")

IDS = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
TRACE = f"00-{IDS[0]}-{IDS[1]}-01"
SEEN = {"jsonrpc": "2.0", "id": 70, "method": "debug/seen"}


def attempts(tmp_path):
    return [e for e in record(tmp_path) if e.get("phase") == "attempt"]


def asked(tmp_path, *metas, options=""):
    """Return what the server saw of requests with these `_meta`, as lines."""
    (tmp_path / "onrecord.toml").write_text(options)
    with Session(tmp_path) as session:
        lines = [session.ask("debug/seen", n=1.5, _meta=meta)["result"]["line"] for meta in metas]
        session.end()
    return lines


def test_a_trace_of_the_client_is_on_each_event_of_its_call_and_goes_on_as_it_came(tmp_path):
    meta = {"traceparent": TRACE, "tracestate": "a=1", "baggage": "user=alice"}
    for options in ("", "[trace]\npropagate = true\n"):
        (line,) = asked(tmp_path, meta, options=options)
        assert json.loads(line)["params"]["_meta"] == meta

    for event in [e for e in record(tmp_path) if e.get("call_id")]:
        assert (event["trace_id"], event["span_id"], event["trace_source"]) == (*IDS, "client")
        assert "trace_propagated" not in event


def test_where_none_came_a_trace_begins_and_nothing_of_the_message_changes(tmp_path):
    (line,) = asked(tmp_path, {})

    assert "traceparent" not in line
    (attempt,) = attempts(tmp_path)
    assert attempt["trace_source"] == "onrecord"
    assert attempt["trace_id"] == attempt["correlation_id"].replace("-", "")
    result = next(e for e in record(tmp_path) if e.get("phase") == "result")
    assert (result["trace_id"], result["span_id"]) == (attempt["trace_id"], attempt["span_id"])


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({}, {}),
        ({"traceparent": "00-bad", "tracestate": "a=1", "x": 1}, {"x": 1}),
        ({"baggage": "a=1"}, {"baggage": "a=1"}),
        ({"baggage": "a=1\n"}, {}),
    ],
    ids=["none", "malformed", "baggage alone", "malformed baggage"],
)
def test_if_the_settings_say_so_the_server_gets_the_trace_that_begins_and_the_record_says_it(tmp_path, sent, kept):
    (line,) = asked(tmp_path, sent, options="[trace]\npropagate = true\n")

    meta = json.loads(line)["params"]["_meta"]
    (attempt,) = attempts(tmp_path)
    assert traceparent(meta.pop("traceparent")) == (attempt["trace_id"], attempt["span_id"])
    assert meta == kept
    assert attempt["trace_propagated"]


def test_a_request_without_params_gets_the_trace_too_and_keeps_its_bytes(tmp_path):
    (tmp_path / "onrecord.toml").write_text("[trace]\npropagate = true\n")
    with Session(tmp_path, listed=False) as session:
        session.send(b'{"id" : 7, "method":"debug/seen","jsonrpc":"2.0" , "x":1.10}')
        line = session.receive()["result"]["line"]
        session.end()

    (attempt,) = attempts(tmp_path)
    began = f"00-{attempt['trace_id']}-{attempt['span_id']}-01"
    put = '{"params":{"_meta":{"traceparent":"' + began + '"}},'
    assert line == put + '"id" : 7, "method":"debug/seen","jsonrpc":"2.0" , "x":1.10}\n'


def test_what_is_malformed_is_noted_by_name_never_by_text_and_the_call_runs(tmp_path):
    odd = "attack\x1b[31m" * 1_000
    metas = [{"traceparent": odd, "tracestate": "=", "baggage": odd, INVOCATION: 7}, None, 7]
    (tmp_path / "onrecord.toml").write_text("[trace]\npropagate = true\n")
    with Session(tmp_path) as session:
        for meta in metas:
            assert "result" in session.ask("debug/seen", _meta=meta)
        session.end()

    first, *others = attempts(tmp_path)
    assert first["trace_faults"] == ["traceparent", "tracestate", "baggage", "aiInvocation"]
    assert [e["trace_faults"] for e in others] == [["_meta"], ["_meta"]]
    assert all("trace_propagated" not in e for e in others)
    assert "attack" not in json.dumps(record(tmp_path))
    assert b"attack" not in session.errors


def test_calls_of_one_trace_one_request_or_one_turn_share_a_correlation_id(tmp_path):
    other = TRACE.replace("b7ad", "b7ae")
    metas = [
        *({"traceparent": TRACE}, {"traceparent": other}),
        *({"baggage": "audit.corr_id=c-1"}, {"baggage": "audit.corr_id=c-1,x=1"}),
        *({INVOCATION: {"turnId": "t-1"}}, {INVOCATION: {"turnId": "t-1"}, "traceparent": TRACE.replace("0af", "0bf")}),
        *({}, {}),
    ]
    asked(tmp_path, *metas)

    ids = [e["correlation_id"] for e in attempts(tmp_path)]
    assert [ids[i] == ids[i + 1] for i in range(0, 8, 2)] == [True, True, True, False]
    assert len(set(ids)) == 5


def test_the_step_and_the_model_that_a_client_names_are_on_both_events_masked_like_any_name(tmp_path):
    secret = "ghp_" + "dUmmY0dUmmY1" * 3
    metas = [
        {INVOCATION: {"turnId": "turn-1", "model": "m-2"}, "baggage": "audit.agent_id=planner"},
        {"baggage": f"audit.step_id={secret}"},
    ]
    asked(tmp_path, *metas)

    calls = [e for e in record(tmp_path) if e.get("call_id")]
    for event in calls[:2]:
        assert (event["model_step_id"], event["model"], event["agent_name"]) == ("turn-1", "m-2", "planner")
    assert all(event["model_step_id"].startswith("[REDACTED:github-token") for event in calls[2:])
    assert secret not in json.dumps(record(tmp_path))
