# SPDX-License-Identifier: Apache-2.0
"""A GET or a DELETE that the server behind refuses: its status goes back, and the record says that it was refused."""

import pytest
from tests.gateway.running import Gateway, exchanged, request
from tests.gateway.scripted import Scripted, Switch, answered
from tests.gateway.test_sessions import HELLO

SESSION = "Mcp-Session-Id: secret-1\r\n"


def asked(method, more=""):
    return f"{method} /s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n{more}\r\n".encode()


@pytest.fixture
def server():
    with Scripted(Switch()) as server:
        yield server


@pytest.fixture
def gateway(tmp_path, server):
    with Gateway(tmp_path, {"s": server.url}) as gateway:
        yield gateway


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(
    ("status", "given", "kind"), [(405, 405, "wrong_method"), (400, 400, "http_400"), (401, 502, "http_401")]
)
def test_what_a_server_refuses_without_a_session_is_on_the_record(gateway, server, method, status, given, kind):
    server.script.to = lambda connection, asked: answered(connection, b"", status=status, kind="")
    assert exchanged(gateway, asked(method)).status == given
    (event,) = gateway.await_events(action="refuse")
    about = {"event_type": "security", "error_type": kind, "server_id": "s", "client_ip": "127.0.0.1"}
    assert about.items() <= event.items()
    assert event["policy_reason"] == f"the server refuses it, with HTTP status {status}"
    assert f"{method} /s" in str(event)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_session_that_is_not_known_is_refused_and_on_the_record(gateway, server, method):
    assert exchanged(gateway, asked(method, SESSION)).status == 404
    assert len(gateway.await_events(error_type="no_session", server_id="s")) == 1
    assert server.reached == []


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_server_that_has_no_use_for_it_in_a_session_refuses_nobody(gateway, server, method):
    said = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
    begun = {"jsonrpc": "2.0", "id": 0, "result": said}
    server.script.to = lambda connection, asked: answered(connection, begun, mcp_session_id="secret-1")
    assert exchanged(gateway, request("/s", HELLO)).status == 200
    server.script.to = lambda connection, asked: answered(connection, b"", status=405, kind="")
    assert exchanged(gateway, asked(method, SESSION)).status == 405
    assert gateway.end() == 0
    assert gateway.events(action="refuse") == []
