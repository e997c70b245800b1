# SPDX-License-Identifier: Apache-2.0
"""What the gateway hands on: the bytes that came, either way; and nothing that was not judged."""

import json
import threading
import time
from typing import Any

import pytest
from tests.gateway.running import Gateway, Heard, called, exchanged, modern, request
from tests.gateway.scripted import Scripted, Switch, answered, reset, result, streams


class World:
    """One gateway and what is behind it."""

    def __init__(self, gateway, switch, server):
        self.switch, self.server, self.seen = switch, server, 0
        self.record, self.connect = gateway.record, gateway.connect


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    switch = Switch()
    with (
        Scripted(switch) as server,
        Gateway(tmp_path_factory.mktemp("home"), {"s": server.url}, gateway='max_body = "12MiB"') as gateway,
    ):
        yield World(gateway, switch, server)


@pytest.fixture
def gateway(world):
    world.switch.to = Switch().to
    world.server.reached.clear()
    world.seen = len(world.record())
    return world


def since(gateway, **about):
    """Return the events of this test."""
    found = gateway.record()[gateway.seen :]
    return [e for e in found if all(e.get(key) == value for key, value in about.items())]


def ended(gateway, within_s=60):
    """Return the one closing event of this test, once it is there."""
    ends = time.monotonic() + within_s
    while not (found := since(gateway, phase="result")):
        assert time.monotonic() < ends
        time.sleep(0.02)
    (end,) = found
    return end["result_status"], end.get("error_type", "")


ODD = b'{ "id":7,\t"jsonrpc": "2.0", "method":"tools/call", "params":{"arguments":{"n":1.50,"t":"\\u00e9"},"name":"x"}}'


def test_the_bytes_of_a_request_reach_the_server_as_they_came(gateway):
    assert exchanged(gateway, request("/s", ODD)).status == 200
    assert [one.body for one in gateway.server.reached] == [ODD]


def test_the_bytes_of_an_answer_reach_the_client_as_they_came(gateway):
    said = b' {"result": {"content":[ ], "x": 1.50, "structuredContent": "\\u00e9"},\t"id": 7, "jsonrpc":"2.0"}'
    gateway.switch.to = lambda connection, _: answered(connection, said)
    assert exchanged(gateway, request("/s", ODD)).text == said


def test_events_reach_the_client_as_they_came_and_one_by_one(gateway):
    go_on = threading.Event()
    progress = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}}
    first = b": hello\r\nid: a-1\r\nretry: 5\r\nevent: message\r\ndata:" + json.dumps(progress).encode() + b"\r\n\r\n"

    def script(connection, asked):
        send = streams(connection)
        send(first[:30])
        send(first[30:])
        assert go_on.wait(60)
        send(b"id: a-2\ndata: " + json.dumps(result(asked)).encode() + b"\n\n")
        send(None)

    gateway.switch.to = script
    with gateway.connect() as connection:
        connection.sendall(modern("/s", called()))
        pieces = (heard := Heard(connection)).pieces()
        assert next(pieces) == first  # while the server still has more to say
        go_on.set()
        rest = b"".join(pieces)
    assert heard.headers["content-type"] == "text/event-stream"
    assert rest.startswith(b"id: a-2\ndata: {")
    assert ended(gateway) == ("succeeded", "")


def test_a_priming_event_without_data_and_pings_pass(gateway):
    def script(connection, asked):
        send = streams(connection)
        send(b"id: 1\ndata: \n\n: ping\n\ndata: " + json.dumps(result(asked)).encode() + b"\n\n")
        send(None)

    gateway.switch.to = script
    assert exchanged(gateway, modern("/s", called())).text.startswith(b"id: 1\ndata: \n\n: ping\n\ndata: {")


def test_an_event_of_another_type_is_not_handed_on(gateway):
    def script(connection, asked):
        send = streams(connection)
        send(b'event: odd\ndata: {"do": "this"}\n\n')
        send(b"data: " + json.dumps(result(asked)).encode() + b"\n\n")
        send(None)

    gateway.switch.to = script
    assert b"this" not in exchanged(gateway, modern("/s", called())).text
    assert len(since(gateway, action="message_refused")) == 1


def test_what_the_client_sends_beside_the_message_does_not_reach_the_server(gateway):
    own = {"Cookie": "a=b", "X_Forwarded_For": "10.0.0.1", "Authorization": "Bearer nothing", "X_Own": "1"}
    mcp = {
        "Mcp_Param_Region": "eu",
        "Accept_Encoding": "gzip",
        "Traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01",
    }
    exchanged(gateway, modern("/s", called(), **own, **mcp))
    (reached,) = gateway.server.reached
    names = {name for name, _ in reached.headers}
    assert names == {
        *("host", "accept", "accept-encoding", "content-type", "content-length", "mcp-protocol-version", "mcp-method"),
        *("mcp-name", "mcp-param-region", "traceparent"),
    }
    assert reached.header("accept-encoding") == "identity"
    assert reached.header("host") == f"127.0.0.1:{gateway.server.port}"


def test_what_the_server_sends_beside_its_answer_does_not_reach_the_client(gateway):
    more: dict[str, Any] = {"set_cookie": "a=b", "www_authenticate": "Bearer", "server": "x/1", "retry_after": "7"}
    gateway.switch.to = lambda connection, asked: answered(connection, result(asked), **more)
    heard = exchanged(gateway, modern("/s", called()))
    assert heard.headers.keys() == {"content-type", "content-length", "retry-after", "date"}


MANY = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x", "arguments": {"t": "a" * 10**7}}}

BAD_BODIES = {
    "a key twice": b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}',
    "a key twice but for case": b'{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}',
    "a batch": b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]',
    "an id of null": b'{"jsonrpc":"2.0","id":null,"method":"ping"}',
    "a fraction for an id": b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}',
    "true for an id": b'{"jsonrpc":"2.0","id":true,"method":"ping"}',
    "half a surrogate pair": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\\ud800"}}',
    "nesting": b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":' + b"[" * 10**5 + b"]" * 10**5 + b"}}",
    "no JSON": b"{",
    "nothing": b"",
    "other bytes": b"\xff\xfe",
    "two messages": b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n{"jsonrpc":"2.0","id":2,"method":"ping"}',
    "a carriage return": b'{"jsonrpc":"2.0",\r"id":1,"method":"ping"}',
    "a request without an id": b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":"x"}}',
    "infinity": b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":1e999}}',
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_a_body_without_one_reading_is_answered_400_recorded_once_and_not_handed_on(gateway, body):
    heard = exchanged(gateway, request("/s", body))
    assert (heard.status, json.loads(heard.text)["error"]["code"] < -30000) == (400, True)
    assert gateway.server.reached == []
    assert [e["action"] for e in since(gateway, event_type="security")] == ["message_refused"]


def test_a_body_of_ten_megabytes_goes_on(gateway):
    assert exchanged(gateway, request("/s", MANY)).status == 200
    assert gateway.server.reached[0].message == MANY


BAD_HEADERS = {
    "another method": {"Mcp_Method": "tools/list"},
    "another name": {"Mcp_Name": "other"},
    "another version": {"MCP_Protocol_Version": "2025-11-25"},
    "no method": {"Mcp_Method": None},
    "no name": {"Mcp_Name": None},
    "no version": {"MCP_Protocol_Version": None},
    "a name in bad base64": {"Mcp_Name": "=?base64?ZWNobw?="},
    "another name in base64": {"Mcp_Name": "=?base64?b3RoZXI=?="},
    "a name but for its case": {"Mcp_Name": "Echo"},
}


@pytest.mark.parametrize("headers", BAD_HEADERS.values(), ids=BAD_HEADERS.keys())
def test_headers_that_do_not_say_what_the_body_says_are_refused(gateway, headers):
    heard = exchanged(gateway, modern("/s", called(), **headers))
    assert (heard.status, json.loads(heard.text)["error"]["code"]) == (400, -32020)
    assert json.loads(heard.text)["id"] == 1
    assert gateway.server.reached == []
    assert [e["action"] for e in since(gateway, event_type="security")] == ["message_refused"]


def test_headers_of_a_later_revision_may_not_say_another_thing_in_an_earlier_one_either(gateway):
    heard = exchanged(gateway, modern("/s", called(meta=None), Mcp_Method="tools/list"))
    assert (heard.status, json.loads(heard.text)["error"]["code"]) == (400, -32020)
    assert gateway.server.reached == []


def test_an_answer_to_nothing_that_was_asked_goes_no_further_and_is_on_the_record(gateway):
    answer = {"jsonrpc": "2.0", "id": "q", "result": {"action": "accept"}}
    assert exchanged(gateway, request("/s", answer)).status == 202
    assert gateway.server.reached == []
    (refused,) = since(gateway, event_type="security")
    assert (refused["action"], refused["policy_reason"]) == ("message_refused", "an answer to nothing that is open")


@pytest.mark.parametrize("name", ["echo", "=?base64?ZWNobw==?="])
def test_a_name_may_come_in_base64(gateway, name):
    assert exchanged(gateway, modern("/s", called(), Mcp_Name=name)).status == 200


TWICE = "Mcp-Method: tools/call\r\nMcp-Method: tools/list\r\n"


@pytest.mark.parametrize(
    "smuggled",
    [
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Mcp-Session-Id: a\r\nMcp-Session-Id: b\r\n",
        TWICE,
        "Content-Length : 5\r\n",
        "Host: other\r\n",
        "X-A: b\x00c\r\n",
    ],
)
def test_a_request_that_two_readers_would_cut_differently_is_refused(gateway, smuggled):
    whole = request("/s", called(meta=None))
    head, _, body = whole.partition(b"\r\n\r\n")
    heard = exchanged(gateway, head + b"\r\n" + smuggled.encode() + b"\r\n" + body)
    assert heard.status == 400
    assert gateway.server.reached == []


def test_a_folded_header_is_read_as_one(gateway):
    heard = exchanged(gateway, request("/s", called(meta=None), Mcp_Name="a\r\n b"))
    assert heard.status in (200, 400)
    assert all(b"\n" not in value.encode() for one in gateway.server.reached for _, value in one.headers)


def wrong(connection, asked):
    answered(connection, b"<html>", kind="text/html")


FAILING = {
    "reset": (lambda connection, _: reset(connection), 502, ("unknown", "server_exited")),
    "closed": (lambda connection, _: None, 502, ("unknown", "server_exited")),
    "no HTTP": (lambda connection, _: connection.sendall(b"hello\r\n\r\n"), 502, ("unknown", "server_exited")),
    "no JSON": (wrong, 502, ("unknown", "unreadable_result")),
    "half of it": (
        lambda connection, _: connection.sendall(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"
        ),
        502,
        ("unknown", "server_exited"),
    ),
    "broken JSON": (lambda connection, _: answered(connection, b'{"jsonrpc"'), 502, ("unknown", "unreadable_result")),
    "an answer to another": (
        lambda connection, _: answered(connection, {"jsonrpc": "2.0", "id": 99, "result": {}}),
        502,
        ("unknown", "unreadable_result"),
    ),
    "compressed": (
        lambda connection, asked: answered(connection, result(asked), content_encoding="gzip"),
        502,
        ("unknown", "unreadable_result"),
    ),
    "redirected": (
        lambda connection, _: answered(connection, b"", status=307, location="http://127.0.0.1:1/"),
        502,
        ("failed", "redirected"),
    ),
    "not let in": (lambda connection, _: answered(connection, b"", status=401), 502, ("failed", "http_401")),
    "not there": (lambda connection, _: answered(connection, b"gone", status=404), 404, ("failed", "http_404")),
    "failed": (lambda connection, _: answered(connection, b"trace", status=500), 502, ("unknown", "http_500")),
    "busy": (lambda connection, _: answered(connection, b"", status=503, retry_after=3), 503, ("unknown", "http_503")),
    "no stream": (lambda connection, _: streams(connection)(None), 502, ("unknown", "server_exited")),
}


@pytest.mark.parametrize(("script", "status", "how"), FAILING.values(), ids=FAILING.keys())
def test_a_server_that_fails_gives_one_error_and_one_end(gateway, script, status, how):
    gateway.switch.to = script
    heard = exchanged(gateway, modern("/s", called()))
    assert heard.status == status
    text = heard.text.partition(b"data: ")[2] if b"data: " in heard.text else heard.text
    error = json.loads(text)
    assert (error["id"], error["error"]["code"]) in ((1, -31004), (1, -31005))
    assert ended(gateway) == how


def test_an_error_of_the_server_that_names_no_request_passes_and_ends_the_call(gateway):
    said = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}'
    gateway.switch.to = lambda connection, _: answered(connection, said, status=400)
    heard = exchanged(gateway, modern("/s", called()))
    assert (heard.status, heard.text) == (400, said)
    assert ended(gateway) == ("failed", "http_400")


def test_a_stream_that_is_reset_half_way_ends_with_an_error_and_nothing_of_the_broken_event(gateway):
    arrived = threading.Event()

    def script(connection, asked):
        send = streams(connection)
        send(b": first\n\ndata: " + json.dumps(result(asked)).encode()[:-5])
        assert arrived.wait(60)  # a reset takes with it what was not read yet
        reset(connection)

    gateway.switch.to = script
    with gateway.connect() as connection:
        connection.sendall(modern("/s", called()))
        pieces = Heard(connection).pieces()
        text = next(pieces)
        arrived.set()
        text += b"".join(pieces)
    assert text.startswith(b": first\n\nevent: message\ndata: {")
    assert b"done" not in text
    assert json.loads(text.partition(b"data: ")[2])["error"]["code"] == -31004
    assert ended(gateway) == ("unknown", "server_exited")


def test_a_server_that_is_not_there_is_told_at_once(tmp_path):
    with Gateway(tmp_path, {"s": "http://127.0.0.1:1/mcp"}) as gateway:
        heard = exchanged(gateway, modern("/s", called()))
        assert (heard.status, json.loads(heard.text)["error"]["message"]) == (
            502,
            "not run: the server cannot be reached",
        )
        (end,) = gateway.await_events(phase="result")
        assert (end["result_status"], end["error_type"]) == ("failed", "upstream_unreachable")


def test_a_client_that_goes_away_cancels_its_call_and_the_server_hears_it(gateway):
    gone = threading.Event()

    def script(connection, asked):
        send = streams(connection)
        send(b": begun\n\n")
        connection.settimeout(60)
        if connection.recv(1) == b"":
            gone.set()

    gateway.switch.to = script
    with gateway.connect() as connection:
        connection.sendall(modern("/s", called()))
        next(Heard(connection).pieces())
    assert gone.wait(60)
    assert ended(gateway) == ("cancelled", "")


def test_before_2026_a_client_that_goes_away_has_cancelled_nothing(gateway):
    began, go_on = threading.Event(), threading.Event()

    def script(connection, asked):
        began.set()
        assert go_on.wait(60)
        answered(connection, result(asked))

    gateway.switch.to = script
    with gateway.connect() as connection:
        connection.sendall(request("/s", called(meta=None)))
        assert began.wait(60)
    time.sleep(0.3)
    assert since(gateway, phase="result") == []
    go_on.set()
    assert ended(gateway) == ("succeeded", "")


def test_an_answer_longer_than_a_message_may_be_is_withheld(tmp_path):
    settings = '[run]\nmax_message = "1KiB"\n'
    with (
        Scripted(lambda connection, asked: answered(connection, result(asked, "a" * 2000))) as server,
        Gateway(tmp_path, {"s": server.url}, settings=settings) as gateway,
    ):
        heard = exchanged(gateway, modern("/s", called()))
        assert (heard.status, json.loads(heard.text)["error"]["code"]) == (502, -31005)
        (end,) = gateway.await_events(phase="result")
        assert (end["result_status"], end["error_type"]) == ("unknown", "unreadable_result")
