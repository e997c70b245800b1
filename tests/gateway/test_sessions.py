# SPDX-License-Identifier: Apache-2.0
"""Sessions of the revisions up to 2025-11-25: whose they are, what a server says in them, and how they end."""

import json
import threading
from typing import Any

import pytest
from tests.gateway.running import Gateway, Heard, called, exchanged, request
from tests.gateway.scripted import Scripted, answered, echoing, result, streams

from onrecord.doors.gateway.sessions import IDLE_S, MOST, MOST_OF_ONE, Sessions
from onrecord.event.call import Actor

HELLO = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}},
}
NEWS = {"jsonrpc": "2.0", "method": "notifications/message"}
ASKED = {"jsonrpc": "2.0", "id": "q", "method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 1}}
ANSWER = {"jsonrpc": "2.0", "id": "q", "result": {"role": "assistant", "content": {"type": "text", "text": "yes"}}}


class Server:
    """A server with sessions: it asks the client while it works on a call, and says things by itself."""

    def __init__(self):
        self.answered, self.ended = threading.Event(), threading.Event()

    def __call__(self, connection, asked):
        if asked.method == "GET":
            send = streams(connection)
            send(
                b"id: 7\ndata: " + json.dumps({"jsonrpc": "2.0", "method": "notifications/message"}).encode() + b"\n\n"
            )
            self.ended.wait(60)
        elif asked.method == "DELETE":
            self.ended.set()
            answered(connection, b"", status=200, kind="")
        elif asked.message.get("method") == "initialize":
            said = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
            answer = {"jsonrpc": "2.0", "id": 0, "result": said}
            answered(connection, answer, mcp_session_id="secret-1")
        elif asked.message.get("method") == "tools/call":
            send = streams(connection)
            send(b"data: " + json.dumps(ASKED).encode() + b"\n\n")
            self.answered.wait(60)
            send(b"data: " + json.dumps(result(asked)).encode() + b"\n\n")
            send(None)
        else:
            if "result" in asked.message:
                self.answered.set()
            answered(connection, b"", status=202, kind="")


@pytest.fixture
def gateway(tmp_path):
    with Scripted(Server()) as server, Gateway(tmp_path, {"s": server.url}) as gateway:
        gateway.server = server  # pyright: ignore[reportAttributeAccessIssue]
        yield gateway
        server.script.answered.set()


def in_session(message):
    return request("/s", message, Mcp_Session_Id="secret-1", MCP_Protocol_Version="2025-11-25")


def without_body(method, **more):
    fields = {"Host": "127.0.0.1", "Mcp-Session-Id": "secret-1", "Accept": "text/event-stream", **more}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} /s HTTP/1.1\r\n{lines}\r\n".encode()


def test_a_question_of_the_server_its_answer_and_the_end_of_a_session(gateway):
    assert exchanged(gateway, request("/s", HELLO)).headers["mcp-session-id"] == "secret-1"
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert exchanged(gateway, in_session(ready)).status == 202
    with gateway.connect() as connection:
        connection.sendall(in_session(called(meta=None)))
        pieces = Heard(connection).pieces()
        assert json.loads(next(pieces).partition(b"data: ")[2]) == ASKED
        assert exchanged(gateway, in_session(ANSWER)).status == 202
        assert json.loads(next(pieces).partition(b"data: ")[2])["result"]["content"][0]["text"] == "done"
    (end,) = [e for e in gateway.await_events(2, phase="result") if e["event_type"] == "sampling"]
    assert (end["direction"], end["result_status"]) == ("server_to_client", "succeeded")
    with gateway.connect() as connection:
        connection.sendall(without_body("GET", **{"Last-Event-ID": "6"}))
        assert next(Heard(connection).pieces()).startswith(b"id: 7\ndata: {")
    assert gateway.server.reached[-1].header("last-event-id") == "6"
    assert exchanged(gateway, without_body("DELETE")).status == 200
    assert exchanged(gateway, in_session(called(meta=None))).status == 404
    assert len(gateway.events(event_type="connection", action="open")) == 1
    assert len(gateway.events(event_type="connection", action="close")) == 1


def test_what_a_session_is_refused_counts_no_call_twice(gateway):
    exchanged(gateway, request("/s", HELLO))
    gateway.server.script.answered.set()
    exchanged(gateway, in_session(called(meta=None)))
    assert exchanged(gateway, in_session(b"no JSON")).status == 400
    gateway.end()
    (stopped,) = gateway.events(event_type="recorder_stop")
    assert stopped["detail"]["calls"] == len(gateway.events(phase="attempt"))


def test_an_id_that_is_open_in_a_session_is_not_taken_again(gateway):
    exchanged(gateway, request("/s", HELLO))
    with gateway.connect() as connection:
        connection.sendall(in_session(called(meta=None)))
        next(Heard(connection).pieces())
        heard = exchanged(gateway, in_session(called(meta=None)))
        assert (heard.status, json.loads(heard.text)["error"]["code"]) == (400, -31000)


def test_a_cancelled_call_of_a_session_ends_as_that(gateway):
    exchanged(gateway, request("/s", HELLO))
    with gateway.connect() as connection:
        connection.sendall(in_session(called(meta=None)))
        next(Heard(connection).pieces())
        gone = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
        assert exchanged(gateway, in_session(gone)).status == 202
        ends = gateway.await_events(event_type="tool_call", phase="result")
    assert [e["result_status"] for e in ends] == ["cancelled"]


@pytest.mark.parametrize("given", ["two words", "x" * 1025])
def test_an_id_that_cannot_be_one_of_a_session_is_not_handed_on(tmp_path, given):
    said = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
    answer = {"jsonrpc": "2.0", "id": 0, "result": said}
    with (
        Scripted(lambda connection, _: answered(connection, answer, mcp_session_id=given)) as server,
        Gateway(tmp_path, {"s": server.url}) as gateway,
    ):
        heard = exchanged(gateway, request("/s", HELLO))
        assert (heard.status, json.loads(heard.text)["error"]["code"]) == (502, -31005)
        assert "mcp-session-id" not in heard.headers
        (refused,) = gateway.await_events(event_type="security", action="message_refused")
        assert "it gave out a session whose id" in refused["policy_reason"]
        gateway.await_events(event_type="connection", action="close")


def test_a_server_without_sessions_leaves_no_connection_open_on_the_record(tmp_path):
    with Scripted(echoing) as server, Gateway(tmp_path, {"s": server.url}) as gateway:
        assert exchanged(gateway, request("/s", HELLO)).status == 200
        (opened,) = gateway.events(event_type="connection", action="open")
        (closed,) = gateway.await_events(event_type="connection", action="close")
        assert closed["session_id"] == opened["session_id"]


ANYBODY, ADA, BOB = Actor(), Actor(user_id="ada"), Actor(user_id="bob")


def test_a_session_is_its_openers_alone():
    sessions = Sessions()
    sessions.begin("s", object(), ADA)  # pyright: ignore[reportArgumentType]
    assert sessions.of("s", ADA) is not None
    assert [sessions.of("s", other) for other in (BOB, ANYBODY, Actor(user_id="ada", agent_id="x"))] == [None] * 3


def test_sessions_end_when_nobody_uses_them_and_when_there_are_too_many():
    now = [0.0]
    sessions = Sessions(lambda: now[0])
    talk: Any = object()
    sessions.begin("of-bob", talk, BOB)
    ended = [sessions.begin(str(number), talk, ADA) for number in range(MOST_OF_ONE + 1)]
    assert [one and len(one) for one in ended[-2:]] == [[], 1]
    assert (sessions.of("0", ADA), sessions.of("of-bob", BOB) is not None) == (None, True)
    oldest = sessions.of("1", ADA)
    assert oldest is not None
    oldest.open = 1
    for number in range(MOST):
        sessions.begin(f"other-{number}", talk, Actor(user_id=f"u{number}"))
    assert (len(sessions.all()), oldest in sessions.all(), sessions.of("2", ADA)) == (MOST, True, None)
    oldest.open = 0
    now[0] = IDLE_S
    used = sessions.of("1", ADA)
    assert used is not None
    now[0] = IDLE_S + 1
    assert len(sessions.idle()) == MOST - 1
    assert sessions.of("1", ADA) is used
