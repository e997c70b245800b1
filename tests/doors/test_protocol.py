# SPDX-License-Identifier: Apache-2.0
"""What MCP messages mean, in both eras of the protocol."""

import json
from typing import Any

import pytest

from onrecord.doors import protocol
from onrecord.doors.wire import Request, Response

pytestmark = pytest.mark.requirement("F4")

MODERN = {
    "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "host", "version": "3"},
    }
}


def request(method="tools/call", **params):
    return Request(id=1, method=method, params=params)


def answer(**result):
    return Response(id=1, result=result)


@pytest.mark.requirement("A3")
@pytest.mark.parametrize(
    ("method", "event_type"),
    [
        ("tools/call", "tool_call"),
        ("resources/read", "resource_read"),
        ("prompts/get", "prompt_get"),
        ("completion/complete", "completion"),
        ("sampling/createMessage", "sampling"),
        ("elicitation/create", "elicitation"),
        ("tasks/get", "task"),
        ("tasks/cancel", "task"),
        ("ping", None),
        ("initialize", None),
        ("server/discover", None),
        ("tools/list", None),
        ("Tools/Call", "request"),
        ("vendor/erase_everything", "request"),
    ],
)
def test_every_method_that_may_do_something_is_a_call(method, event_type):
    assert protocol.event_type_of(method) == event_type


def test_client_and_version_are_read_from_the_handshake_and_from_every_modern_request():
    legacy = {"clientInfo": {"name": "host", "version": "3"}, "protocolVersion": "2025-11-25"}
    assert protocol.client_claims(legacy).name == "host"
    assert protocol.client_claims(MODERN) == protocol.Claims(name="host", version="3", protocol_version="2026-07-28")
    assert protocol.client_claims({"clientInfo": ["no"], "_meta": 7}) == protocol.Claims()


def test_the_server_names_itself_in_both_eras():
    legacy = {"serverInfo": {"name": "git", "version": "1"}, "protocolVersion": "2025-06-18"}
    modern: Any = {"_meta": {"io.modelcontextprotocol/serverInfo": {"name": "git", "version": "1"}}}
    assert protocol.server_claims(legacy) == protocol.Claims(name="git", version="1", protocol_version="2025-06-18")
    assert protocol.server_claims(modern).name == "git"


@pytest.mark.requirement("A4")
@pytest.mark.parametrize(
    ("result", "status", "error_type"),
    [
        ({"content": []}, "succeeded", ""),
        ({"content": [], "isError": False}, "succeeded", ""),
        ({"content": [], "isError": True}, "failed", "tool_error"),
        ({"resultType": "complete", "content": []}, "succeeded", ""),
        ({"resultType": "input_required", "inputRequests": {}}, "input_required", ""),
        ({"task": {"taskId": "t", "status": "working"}}, "accepted", ""),
    ],
)
def test_a_result_says_how_the_call_ended(result, status, error_type):
    ended = protocol.result_of(request(name="x"), answer(**result), 10)

    assert (ended.status, ended.error_type, ended.size_bytes) == (status, error_type, 10)


@pytest.mark.requirement("A4")
def test_a_protocol_error_is_a_failure_with_its_code():
    ended = protocol.result_of(request(name="x"), Response(id=1, error={"code": -32602, "message": "m"}), 10)

    assert (ended.status, ended.error_type) == ("failed", "jsonrpc:-32602")


@pytest.mark.requirement("A4")
@pytest.mark.parametrize(
    ("asked", "retried"),
    [
        ({"requestState": "s3cr3t"}, {"requestState": "s3cr3t", "inputResponses": {"a": {}}}),
        ({"inputRequests": {"a": {}, "b": {}}}, {"inputResponses": {"b": {"x": 1}, "a": {}}}),
    ],
)
def test_a_retry_with_the_answers_continues_the_round_that_asked(asked, retried):
    first = request(name="pay", arguments={"amount": 5})
    ended = protocol.result_of(first, answer(resultType="input_required", **asked), 10)

    assert protocol.continues(first) == ()
    assert ended.rounds
    assert protocol.continues(request(name="pay", arguments={"amount": 5}, **retried)) == ended.rounds


@pytest.mark.requirement("A4")
def test_another_call_continues_nothing():
    ended = protocol.result_of(
        request(name="pay", arguments={"amount": 5}), answer(resultType="input_required", inputRequests={"a": {}}), 1
    )
    other = request(name="pay", arguments={"amount": 6}, inputResponses={"a": {}})

    assert protocol.continues(other) != ended.rounds


def test_tools_are_described_by_their_list_and_changed_by_any_change():
    tool = {
        "name": "rm",
        "inputSchema": {"type": "object"},
        "annotations": {"destructiveHint": True, "readOnlyHint": 1},
    }
    (rm,) = protocol.definitions_in({"tools": [tool, {"no": "name"}, "rubbish"]})

    assert (rm.name, rm.destructive, rm.read_only, len(rm.digest)) == ("rm", True, None, 64)
    assert protocol.definitions_in({"tools": [{**tool, "description": "x"}]})[0].digest != rm.digest
    assert protocol.definitions_in({"tools": [dict(reversed(tool.items()))]})[0].digest == rm.digest
    assert protocol.definitions_in(None) == []


def test_what_a_request_hands_over_leaves_its_envelope_out():
    assert protocol.arguments_of("tools/call", {"name": "x", "arguments": {"a": 1}, "_meta": {}}) == {"a": 1}
    assert protocol.arguments_of("resources/read", {"uri": "file:///x", "_meta": {}}) == {"uri": "file:///x"}
    assert protocol.arguments_of("tools/call", {"arguments": {}, "inputResponses": {"q": 1}}) == {}


@pytest.mark.parametrize("method", ["tools/call", "prompts/get", "resources/read"])
def test_answers_are_no_arguments_and_stand_beside_them_where_a_client_signs(method):
    plain = {"uri": "x"} if method == "resources/read" else {"arguments": {"a": 1}}
    params = {**plain, "inputResponses": {"q": 1}, "requestState": "s", "_meta": {}}

    assert protocol.arguments_of(method, params) == protocol.arguments_of(method, plain)
    assert (protocol.answers_of(method, params), protocol.answers_of(method, plain)) == ({"q": 1}, None)
    assert protocol.signed_of(method, params) == {**plain, "inputResponses": {"q": 1}}


@pytest.mark.parametrize("method", ["tools/call", "prompts/get", "resources/read", "tasks/get", "odd/method"])
def test_every_member_of_params_is_read_somewhere(method):
    whole = {
        "name": "n",
        "uri": "u",
        "taskId": "t",
        "arguments": {"a": 1},
        "inputResponses": {"q": 1},
        "task": {"ttl": 1},
    }
    for more in (
        {"requestState": "s", "_meta": {"k": 1}},
        {"requestState": 7, "_meta": None},
        {"inputResponses": None},
    ):
        params = {**whole, **more}
        request = Request(id=1, method=method, params=params)
        read = (protocol.name_of, protocol.arguments_of, protocol.answers_of, protocol.beside_of)
        seen = [json.dumps(one(method, params)) for one in read]
        for name in params:
            without = {key: value for key, value in params.items() if key != name}
            told = [json.dumps(one(method, without)) for one in read]
            other = Request(id=1, method=method, params=without)
            parts = told, protocol.meta_of(without), protocol.continues(other)
            assert parts != (seen, protocol.meta_of(params), protocol.continues(request)), name
