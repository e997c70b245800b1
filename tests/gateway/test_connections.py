# SPDX-License-Identifier: Apache-2.0
"""What becomes of connections whose clients don't read, send ahead, or speak something else; each is on the record."""

import json
import socket
import threading
import time
from contextlib import suppress

import pytest
from tests.gateway.running import Gateway, Heard, called, exchanged, modern, request
from tests.gateway.scripted import Scripted, Switch, answered, echoing, result, streams

LONG = "a" * (12 << 20)  # more than the buffers of two sockets hold
QUICK = 'write_timeout = "1s"\nread_timeout = "1s"\nmax_open = 1\n'
LESS_QUICK = QUICK.replace("1s", "6s")  # longer than a machine pauses a client that is not too slow


@pytest.fixture
def server():
    with Scripted(Switch()) as server:
        yield server


@pytest.fixture
def gateway(tmp_path, server):
    with Gateway(tmp_path, {"s": server.url}, gateway=QUICK) as gateway:
        yield gateway


@pytest.fixture
def patient(tmp_path, server):
    with Gateway(tmp_path, {"s": server.url}, gateway=LESS_QUICK) as gateway:
        yield gateway


def is_cut(connection):
    """Say whether the other end lets go of a connection that nobody reads from, within some seconds."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        try:
            connection.send(b"a")
        except OSError:
            return True
        time.sleep(0.05)
    return False


def idle(gateway):
    """Return a connection that takes little before it is read from."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(60)
    connection.connect(("127.0.0.1", gateway.port))
    return connection


def test_an_answer_that_nobody_reads_is_cut_off_and_others_come_in(gateway, server):
    server.script.to = lambda connection, asked: answered(connection, result(asked, LONG))
    with idle(gateway) as connection:
        connection.sendall(modern("/s", called()))
        (cut,) = gateway.await_events(error_type="too_slow")
        assert cut["policy_reason"] == "an answer was not taken within 1 s, and is cut off"
        assert is_cut(connection)
    assert [e["result_status"] for e in gateway.await_events(phase="result")] == ["succeeded"]
    server.script.to = echoing
    assert exchanged(gateway, modern("/s", called(number=2))).status == 200


def test_a_stream_that_nobody_reads_is_cut_off_and_its_call_ends(gateway, server):
    over = threading.Event()

    def script(connection, asked):
        send = streams(connection)
        with suppress(OSError):
            while True:
                send(b": " + b"a" * 60_000 + b"\n\n")
        over.set()

    server.script.to = script
    with idle(gateway) as connection:
        connection.sendall(modern("/s", called()))
        assert over.wait(60)
        assert is_cut(connection)
    gateway.await_events(error_type="too_slow")
    assert [e["result_status"] for e in gateway.await_events(phase="result")] == ["cancelled"]


def test_a_client_that_reads_a_long_answer_slowly_gets_all_of_it(patient, server):
    server.script.to = lambda connection, asked: answered(connection, result(asked, LONG))
    with idle(patient) as connection:
        connection.sendall(modern("/s", called(), Connection="close"))
        heard = Heard(connection)
        text = b""
        for _ in range(18):  # for longer than the next bytes may take
            text += heard.file.read(400_000)
            time.sleep(0.4)
        text += heard.file.read()
    assert json.loads(text)["result"]["content"][0]["text"] == LONG
    assert patient.end() == 0
    assert patient.events(error_type="too_slow") == []


def test_a_client_that_goes_is_noticed_though_it_has_sent_ahead(gateway, server):
    never = threading.Event()
    server.script.to = lambda connection, asked: never.wait(30)
    with gateway.connect() as connection:
        connection.sendall(modern("/s", called()) + modern("/s", called(number=2)))
        gateway.await_events(phase="attempt")
        connection.sendall(modern("/s", called(number=3)))
    (end,) = gateway.await_events(phase="result")
    assert end["result_status"] == "cancelled"
    never.set()
    assert len(gateway.events(phase="attempt")) == 1


@pytest.mark.parametrize("more", [{}, {"Connection": "close"}, {"Upgrade": None}], ids=["kept", "closed", "plain"])
def test_what_is_sent_ahead_is_not_answered_and_the_connection_ends(gateway, server, more):
    go_on = threading.Event()

    def script(connection, asked):
        assert go_on.wait(60)
        echoing(connection, asked)

    server.script.to = script
    with gateway.connect() as connection:
        connection.sendall(modern("/s", called(), **more))
        gateway.await_events(phase="attempt")
        connection.sendall(modern("/s", called(number=2)))
        gateway.await_events(error_type="pipelined")
        go_on.set()
        heard = Heard(connection)
        assert (heard.status, heard.headers["connection"], heard.json()["id"]) == (200, "close", 1)
        assert connection.recv(1) == b""
    assert len(gateway.events(error_type="pipelined")) == 1
    assert [reached.message["id"] for reached in server.reached] == [1]


def test_one_request_after_the_other_may_use_one_connection(gateway):
    with gateway.connect() as connection:
        for number in range(1, 4):
            connection.sendall(modern("/s", called(number=number)))
            assert Heard(connection).json()["id"] == number


def test_upgrades_and_what_is_no_http_are_answered_and_say_nothing_on_standard_error(gateway):
    upgrade = b"GET /s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    for data in (upgrade, b"\x16\x03\x01\r\n\r\n", b"CONNECT /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"):
        heard = [exchanged(gateway, data, f"127.0.3.{number}").status for number in range(1, 4)]
        assert len(set(heard)) == 1
        assert 400 <= heard[0] < 500
    assert gateway.end() == 0
    kinds = [e["error_type"] for e in gateway.events(action="refuse")]
    assert sorted(kinds) == ["malformed_request"] * 6 + ["wrong_method"] * 3
    assert [line for line in gateway.said.splitlines() if not line.startswith("onrecord: ")] == []


def test_a_body_that_comes_after_its_refusal_is_no_slow_one(patient):
    head = request("/s", b"", Content_Length="1000", Content_Type="text/plain")
    with patient.connect() as connection:
        connection.sendall(head)
        assert Heard(connection).json()["error"] == "invalid_request"
        for _ in range(2):
            connection.sendall(b"a" * 500)
            time.sleep(0.1)
        time.sleep(7)  # for longer than a request may take
        connection.sendall(modern("/s", called()))
        assert Heard(connection).status == 200
    assert patient.end() == 0
    assert patient.events(error_type="too_slow") == []


def test_what_comes_behind_a_request_of_two_lengths_is_no_request(gateway, server):
    smuggled = modern("/s", called())
    two = request("/s", b"0\r\n\r\n", Content_Length=str(5 + len(smuggled)), Transfer_Encoding="chunked")
    with gateway.connect() as connection:
        connection.sendall(two)
        heard = Heard(connection)
        assert (heard.status, heard.headers["connection"]) == (400, "close")
        heard.body()
        with suppress(OSError):
            connection.sendall(smuggled)
            assert connection.recv(1) == b""
    assert gateway.end() == 0
    assert [e["error_type"] for e in gateway.events(action="refuse")] == ["malformed_request"]
    assert server.reached == []
