# SPDX-License-Identifier: Apache-2.0
"""What the gateway bears: slow clients, too much at once, the end of its process; each refusal is on the record."""

import json
import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from tests.doors.session import onrecord
from tests.gateway.running import META, ONRECORD, Gateway, Heard, called, exchanged, modern, request
from tests.gateway.scripted import Scripted, answered, echoing, result, streams

from onrecord.ledger.durable import FileLock
from onrecord.ledger.place import Home

SMALL = 'max_body = "4KiB"\nread_timeout = "1s"\nmax_open = 3\n'


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with (
        Scripted(echoing) as server,
        Gateway(tmp_path_factory.mktemp("home"), {"s": server.url}, gateway=SMALL) as gateway,
    ):
        yield gateway


@pytest.fixture
def fresh(tmp_path):
    """A gateway that has turned nobody away yet, so that each refusal is recorded by itself."""
    with Scripted(echoing) as server, Gateway(tmp_path, {"s": server.url}, gateway=SMALL) as gateway:
        yield gateway


HOSTS = (f"127.0.1.{number}" for number in count(1))  # of one address few refusals are recorded each by itself


def head(length, **more):
    return request("/s", b"", Content_Length=str(length), **more)


REFUSED = {
    "another type": (request("/s", called(), Content_Type="text/plain"), 415, "unknown_content"),
    "no type": (request("/s", called(), Content_Type=None), 415, "unknown_content"),
    "in UTF-7": (request("/s", called(), Content_Type="application/json; charset=utf-7"), 415, "unknown_content"),
    "two charsets": (
        request("/s", called(), Content_Type="application/json; charset=utf-8; charset=utf-7"),
        *(415, "unknown_content"),
    ),
    "compressed": (request("/s", called(), Content_Encoding="gzip"), 415, "unknown_content"),
    "takes no JSON": (request("/s", called(), Accept="text/html"), 406, "nothing_acceptable"),
    "said to be too long": (head(5000), 413, "too_long"),
    "nowhere": (request("/other", called()), 404, "unknown_path"),
    "another host": (request("/s", called(), Host="evil.example"), 421, "wrong_host"),
    "another origin": (request("/s", called(), Origin="https://evil.example"), 403, "wrong_origin"),
    "another method": (b"PUT /s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 405, "wrong_method"),
    "no such session": (request("/s", called(), Mcp_Session_Id="a"), 404, "no_session"),
    "no HTTP": (b"\x16\x03\x01\r\n\r\n", 400, "malformed_request"),
}


@pytest.mark.parametrize(("data", "status", "kind"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_turned_away_is_answered_and_recorded(gateway, data, status, kind):
    before = len(gateway.events(error_type=kind))
    assert exchanged(gateway, data, next(HOSTS)).status == status
    assert len(gateway.await_events(before + 1, error_type=kind)) == before + 1


DEADLINE_S, PAUSE_S = 8, 5  # a machine may pause a process, but for less than a call waits for its ledger
BRIEF = f'[ledger]\nappend_deadline = "{DEADLINE_S}s"\n[[tool]]\ntool = "echo"\ntier = 1\n'


def test_a_ledger_that_another_process_keeps_holds_up_calls_and_nothing_else(tmp_path):
    with Scripted(echoing) as server, Gateway(tmp_path, {"s": server.url}, settings=BRIEF) as gateway:
        for number in range(3):
            assert b"result" in exchanged(gateway, modern("/s", called(number=number))).text
        lock = FileLock(Home(tmp_path).log("calls").writer_lock)
        lock.acquire(time.monotonic() + 10)
        try:
            assert b"result" in exchanged(gateway, modern("/s", called(number=3))).text
            with gateway.connect() as waiting:
                waiting.sendall(modern("/s", called(number=4)))
                began = time.monotonic()
                assert exchanged(gateway, b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").status == 200
                assert time.monotonic() - began < PAUSE_S
                lock.release()
                assert "result" in Heard(waiting).json()
        finally:
            lock.close()
        gateway.await_events(5, phase="result")


def test_all_others_wait_for_a_ledger_that_another_process_keeps_once_at_most(tmp_path):
    with Scripted(echoing) as server, Gateway(tmp_path, {"s": server.url}, settings=BRIEF) as gateway:
        for number in range(3):
            assert b"result" in exchanged(gateway, modern("/s", called(number=number))).text
        lock = FileLock(Home(tmp_path).log("calls").writer_lock)
        waits = []
        lock.acquire(time.monotonic() + 10)
        try:
            with gateway.connect() as waiting:
                waiting.sendall(modern("/s", called(number=3)))
                until = time.monotonic() + 2.5 * DEADLINE_S
                while time.monotonic() < until:
                    began = time.monotonic()
                    assert exchanged(gateway, b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").status == 200
                    waits.append(time.monotonic() - began)
                    time.sleep(0.02)
                assert "result" in Heard(waiting).json()
        finally:
            lock.close()
    assert len([wait for wait in waits if wait > PAUSE_S]) <= 1


def test_a_line_of_the_timeline_says_where_of_which_kind_why_and_from_whom(gateway):
    address = next(HOSTS)
    assert exchanged(gateway, request("/s", called(), Content_Type="text/plain"), address).status == 415
    (event,) = gateway.await_events(client_ip=address)
    lines = onrecord(gateway.home, "tail", "-n", "1000").stdout.splitlines()
    (line,) = [line for line in lines if address in line]
    assert line.split("security refuse")[1].split() == [
        *("s", "unknown_content", *event["policy_reason"].split(), "from", address),
    ]


def test_a_call_is_on_the_record_with_the_address_that_it_came_from(gateway):
    address = next(HOSTS)
    assert exchanged(gateway, modern("/s", called()), address).status == 200
    assert [e["phase"] for e in gateway.await_events(2, client_ip=address)] == ["attempt", "result"]


@pytest.mark.parametrize("said", ["", ";", "; charset=utf-8", ';charset="UTF-8"', "; Charset=utf8 ;"])
def test_what_says_that_it_is_utf_8_is_taken(gateway, said):
    assert exchanged(gateway, request("/s", called(meta=None), Content_Type=f"application/json{said}")).status == 200


def test_a_head_without_end_is_cut_off(fresh):
    with fresh.connect(next(HOSTS)) as connection:
        connection.sendall(b"POST /s HTTP/1.1\r\nX-A: " + b"a" * 66_000)
        assert Heard(connection).status == 400
    fresh.await_events(error_type="malformed_request")


def test_a_body_that_goes_on_and_on_is_cut_off(fresh):
    with fresh.connect(next(HOSTS)) as connection:
        connection.sendall(request("/s", b"", Content_Length=None, Transfer_Encoding="chunked"))
        for _ in range(6):
            connection.sendall(b"400\r\n" + b"a" * 1024 + b"\r\n")
        assert Heard(connection).status == 413
    fresh.await_events(error_type="too_long")


@pytest.mark.parametrize("part", [b"POST /s HTT", b"", request("/s", called())[:-10]], ids=["head", "nothing", "body"])
def test_a_client_that_sends_too_slowly_is_sent_away(fresh, part):
    began = time.monotonic()
    with fresh.connect(next(HOSTS)) as connection:
        connection.sendall(part)
        connection.settimeout(60)
        while connection.recv(4096):
            pass
    assert 0.5 < time.monotonic() - began < 30
    fresh.await_events(error_type="too_slow")


def test_a_client_that_goes_on_sending_what_was_refused_is_sent_away(fresh):
    with fresh.connect(next(HOSTS)) as connection:
        connection.sendall(head(4000, Content_Type="text/plain"))
        assert Heard(connection).status == 415
        time.sleep(0.2)
        connection.settimeout(60)
        with suppress(ConnectionError):  # it may be sent away before it sends that
            connection.sendall(b"a")
            while connection.recv(4096):
                pass
    fresh.await_events(error_type="too_slow")


def test_a_client_that_sends_byte_by_byte_is_sent_away(gateway):
    began = time.monotonic()
    with gateway.connect(next(HOSTS)) as connection, suppress(OSError):
        for byte in b"POST /s HTTP/1.1\r\nX-Long: " + b"a" * 1000:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)
    assert time.monotonic() - began < 30  # a thousand bytes would take longer


def test_more_than_may_be_open_are_sent_away_for_a_moment(tmp_path):
    go_on = threading.Event()

    def script(connection, asked):
        assert go_on.wait(60)
        answered(connection, result(asked))

    with Scripted(script) as server, Gateway(tmp_path, {"s": server.url}, gateway=SMALL) as gateway:
        open_ones = [gateway.connect() for _ in range(3)]
        for connection in open_ones:
            connection.sendall(modern("/s", called()))
        gateway.await_events(3, phase="attempt")
        heard = exchanged(gateway, modern("/s", called()))
        assert (heard.status, heard.headers["retry-after"]) == (503, "1")
        go_on.set()
        for connection in open_ones:
            with connection:
                assert Heard(connection).status == 200
        assert exchanged(gateway, modern("/s", called())).status == 200
        assert len(gateway.await_events(error_type="busy")) == 1


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def test_it_says_where_clients_find_each_server(tmp_path):
    with Gateway(tmp_path, {"a": "http://127.0.0.1:9/mcp", "b": "http://127.0.0.1:9/other"}) as gateway:
        pass
    assert [line for line in gateway.said.splitlines() if " is at " in line] == [
        f"onrecord: {name} is at {gateway.url(name)}" for name in "ab"
    ]


def test_health_is_told_to_anybody(gateway):
    for path in ("/healthz", "/readyz"):
        heard = exchanged(gateway, get(path))
        assert (heard.status, json.loads(heard.text)) == (200, {"status": "ok"})


def test_an_open_call_may_end_before_the_gateway_does(tmp_path):
    began, go_on = threading.Event(), threading.Event()

    def script(connection, asked):
        began.set()
        assert go_on.wait(60)
        answered(connection, result(asked))

    with Scripted(script) as server, Gateway(tmp_path, {"s": server.url}) as gateway, gateway.connect() as connection:
        connection.sendall(modern("/s", called()))
        assert began.wait(60)
        gateway.child.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        go_on.set()
        heard = Heard(connection)
        assert (heard.status, heard.json()["result"]["content"][0]["text"]) == (200, "done")
        assert gateway.end() == 0
        assert [e["result_status"] for e in gateway.events(phase="result")] == ["succeeded"]
        assert gateway.record()[-1]["event_type"] == "recorder_stop"


@pytest.mark.parametrize("signals", [1, 2])
def test_a_call_that_does_not_end_is_closed_on_the_record(tmp_path, signals):
    began, never = threading.Event(), threading.Event()

    def script(connection, asked):
        began.set()
        never.wait(30)

    drain = 'drain = "1s"' if signals == 1 else 'drain = "60s"'
    with Scripted(script) as server, Gateway(tmp_path, {"s": server.url}, gateway=drain) as gateway:
        with gateway.connect() as connection:
            connection.sendall(modern("/s", called()))
            assert began.wait(60)
            for _ in range(signals):
                gateway.child.send_signal(signal.SIGTERM)
                time.sleep(0.3)
            if signals == 1:
                assert json.loads(Heard(connection).body())["error"]["code"] == -31004
            assert gateway.end(signal.SIGCONT, timeout=40) == 0
        never.set()
        (end,) = gateway.events(phase="result")
        assert (end["result_status"], end["error_type"]) == ("unknown", "server_exited")
        assert gateway.record()[-1]["event_type"] == "recorder_stop"


def test_a_signal_while_it_says_where_it_listens_ends_it_in_order(tmp_path):
    text = '[gateway]\nlisten = "127.0.0.1:0"\ntokens = "off"\n[[upstream]]\nname = "s"\nurl = "http://127.0.0.1:9"\n'
    (tmp_path / "onrecord.toml").write_text(text)
    out, err = os.pipe()
    os.set_blocking(err, False)
    with suppress(BlockingIOError):
        while os.write(err, b"." * 65536):  # until there is no room for a line of the gateway's
            pass
    os.set_blocking(err, True)
    child = subprocess.Popen([*ONRECORD, "gateway"], stderr=err, env={**os.environ, "ONRECORD_HOME": str(tmp_path)})
    os.close(err)
    with os.fdopen(out, "rb") as said:
        log = Home(tmp_path).log().path / "log"
        ends = time.monotonic() + 60
        while not any(b"recorder_start" in file.read_bytes() for file in log.glob("*.ndjson")):
            assert time.monotonic() < ends
            time.sleep(0.02)
        child.send_signal(signal.SIGTERM)
        assert b"listening at" in said.read()
    assert child.wait(60) == 0
    assert b"recorder_stop" in b"".join(file.read_bytes() for file in log.glob("*.ndjson"))


def test_streams_without_a_call_do_not_delay_the_end(tmp_path):
    over = threading.Event()

    def script(connection, asked):
        send = streams(connection)
        send(b": hello\n\n")
        over.wait(30)

    listen = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": called()["params"]}
    del listen["params"]["name"]
    with Scripted(script) as server, Gateway(tmp_path, {"s": server.url}) as gateway:
        with gateway.connect() as one, gateway.connect() as other:
            one.sendall(modern("/s", listen))
            other.sendall(b"GET /s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n")
            for connection in (one, other):
                assert next(Heard(connection).pieces()) == b": hello\n\n"
            began = time.monotonic()
            assert gateway.end() == 0
            assert time.monotonic() - began < 25  # calls would have 30 s
        over.set()


def test_a_call_that_nobody_answers_in_time_is_told_and_closed(tmp_path):
    never = threading.Event()
    with (
        Scripted(lambda connection, asked: never.wait(30)) as server,
        Gateway(tmp_path, {"s": server.url}, settings='[run]\ncall_timeout = "1s"\n') as gateway,
    ):
        heard = exchanged(gateway, modern("/s", called()))
        assert json.loads(heard.text)["error"]["code"] == -31003
        (end,) = gateway.await_events(phase="result")
        assert (end["result_status"], end["error_type"]) == ("timed_out", "no_answer")
        never.set()


def test_what_callers_say_of_themselves_is_not_kept_at_length(tmp_path):
    def memory():
        status = Path("/proc", str(gateway.child.pid), "status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) // 1024

    pad = {f"k{number}": number for number in range(20_000)}
    with Scripted(echoing) as server, Gateway(tmp_path, {"s": server.url}) as gateway:
        before = 0
        for number in range(1, 51):
            about = {"name": f"{number}" * 300_000, "version": "1"}
            trace = {"traceparent": f"00-{number:032x}-{number:016x}-01"}
            meta = {**META, **trace, "io.modelcontextprotocol/clientInfo": about, "x": pad}
            ping = {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"_meta": meta}}
            assert exchanged(gateway, modern("/s", ping)).status == 200
            if number == 10:
                before = memory()
        assert memory() - before < 40  # MiB; what came since was 35 times 1 MiB, and takes more as objects
        assert gateway.end() == 0


def worked_s(gateway):
    """Return how long the gateway has worked, in seconds of a processor; that of a pause it has not."""
    fields = Path("/proc", str(gateway.child.pid), "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_long_body_holds_up_nobody_else(tmp_path):
    line = json.dumps(called(meta=None, numbers="HERE")).encode()
    line = line.replace(b'"HERE"', b"[" + b"1.2345678901234567," * 300_000 + b"1]")
    health, waits, answers = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", [], []
    with Scripted(echoing) as server, Gateway(tmp_path, {"s": server.url}) as gateway:
        caller = threading.Thread(target=lambda: answers.append(exchanged(gateway, request("/s", line)).status))
        caller.start()
        while caller.is_alive():
            began = worked_s(gateway)
            exchanged(gateway, health)
            waits.append(worked_s(gateway) - began)
        assert answers == [200]
        assert max(waits) < sum(waits) / 2


@pytest.mark.parametrize("method", ["ping", "tools/list", "notifications/initialized"])
def test_a_server_that_says_nothing_holds_nobody_for_good(tmp_path, method):
    hang = threading.Event()
    message = {"jsonrpc": "2.0", "method": method} | ({} if method.startswith("notifications") else {"id": 1})
    with (
        Scripted(lambda connection, asked: hang.wait(30)) as server,
        Gateway(tmp_path, {"s": server.url}, settings='[run]\ncall_timeout = "1s"\n') as gateway,
    ):
        began = time.monotonic()
        heard = exchanged(gateway, request("/s", message))
        assert (heard.status, time.monotonic() - began < 25) == (504, True)
        hang.set()
