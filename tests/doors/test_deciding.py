# SPDX-License-Identifier: Apache-2.0
"""A policy that is asked elsewhere: whoever waits for it holds up nobody else, and what comes meanwhile wins."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.doors.session import Session, record, results
from tests.doors.test_approvals import asked_for, decide, said
from tests.ledger.logs import wait_for


class Point(ThreadingHTTPServer):
    """A decision point that thinks about some tools until it is told to go on."""

    daemon_threads = True
    request_queue_size = 128  # connections that come at once; of five, as it is else, some would be reset

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.thinking = threading.Event()
        self.go_on = threading.Event()
        self.asked = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def answer(self, question):
        self.asked.append(question)
        name = question["resource"]["id"]
        if name == "erase":
            self.thinking.set()
            self.go_on.wait(30)
        if name == "store" and "approval" not in question["context"]:
            return {"decision": False, "context": {"reason": "approval_required"}}
        return {"decision": True}


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        server = self.server
        assert isinstance(server, Point)
        body = json.dumps(server.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format, *args):  # noqa: A002
        pass


@pytest.fixture
def point(tmp_path):
    server = Point()
    host, port = server.server_address[:2]
    policy = f'[policy]\nengine = "authzen"\nurl = "http://{host}:{port}"\ntimeout = "60s"\n'
    (tmp_path / "onrecord.toml").write_text(f'{policy}[[tool]]\ntool = "store"\ntier = 3\n')
    yield server
    server.go_on.set()
    server.shutdown()
    server.server_close()


@pytest.mark.requirement("C2")
def test_a_call_that_is_being_decided_on_holds_up_no_other(tmp_path, point):
    with Session(tmp_path) as session:
        slow = session.begin("tools/call", name="erase", arguments={"text": "slow"})
        assert point.thinking.wait(20)
        assert said(session.call("echo", text="meanwhile")) == "meanwhile"
        session.send({"jsonrpc": "2.0", "id": slow, "method": "tools/call", "params": {"name": "echo"}})
        assert "still open" in session.receive()["error"]["message"]
        point.go_on.set()
        answer = session.receive()
        session.end()

    assert (answer["id"], said(answer)) == (slow, "slow")


@pytest.mark.requirement("C2")
def test_a_cancellation_that_comes_while_it_is_decided_on_wins(tmp_path, point):
    with Session(tmp_path) as session:
        slow = session.begin("tools/call", name="erase", arguments={"text": "slow"})
        assert point.thinking.wait(20)
        told = {"requestId": slow, "reason": "answer anyway"}
        session.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": told})
        assert said(session.call("echo", text="meanwhile")) == "meanwhile"
        point.go_on.set()
        wait_for(lambda: results(tmp_path, "erase"))
        assert said(session.call("echo", text="next")) == "next"
        session.end()

    assert session.rest == b""
    (end,) = results(tmp_path, "erase")
    assert (end["result_status"], end["error_type"]) == ("cancelled", "not_forwarded")


@pytest.mark.requirement("C2")
def test_what_is_no_id_cancels_no_call(tmp_path, point):
    no_id = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": True}}
    with Session(tmp_path) as session:
        about = {"method": "tools/call", "params": {"name": "erase", "arguments": {"text": "slow"}}}
        session.send({"jsonrpc": "2.0", "id": 1, **about})
        assert point.thinking.wait(20)
        session.send(no_id)
        assert said(session.call("echo", text="meanwhile")) == "meanwhile"
        point.go_on.set()
        wait_for(lambda: results(tmp_path, "erase"))
        session.send({"jsonrpc": "2.0", "id": 1, **about, "params": {"name": "store", "arguments": {"text": "kept"}}})
        (request,) = asked_for(tmp_path)
        session.send(no_id)
        assert said(session.receive()) == "slow"
        assert said(session.call("echo", text="meanwhile")) == "meanwhile"
        decide(tmp_path, request)
        wait_for(lambda: results(tmp_path, "store"))
        session.end()

    assert {e["result_status"] for e in results(tmp_path)} == {"succeeded"}


@pytest.mark.requirement("C2")
def test_what_was_asked_before_the_input_ended_is_still_decided_on_and_answered(tmp_path, point):
    with Session(tmp_path) as session:
        session.begin("tools/call", name="erase", arguments={"text": "slow"})
        session.begin("tools/call", name="echo", arguments={"text": "last"})
        assert point.thinking.wait(20)
        threading.Timer(0.5, point.go_on.set).start()
        assert session.end() == 0

    answers = {json.loads(line)["result"]["content"][0]["text"] for line in session.rest.splitlines()}
    assert answers == {"slow", "last"}
    assert {e["result_status"] for e in results(tmp_path)} == {"succeeded"}


@pytest.mark.requirement("C5")
def test_a_decision_point_that_wants_an_approval_is_asked_again_with_it(tmp_path, point):
    with Session(tmp_path) as session:
        session.begin("tools/call", name="store", arguments={"text": "kept"})
        (request,) = asked_for(tmp_path)
        decide(tmp_path, request)
        assert said(session.receive()) == "kept"
        session.end()

    asked = [one["context"].get("approval") for one in point.asked if one["resource"]["id"] == "store"]
    assert asked == [None, {"id": request.stem}]
    (decision,) = [e for e in record(tmp_path) if e.get("phase") == "decision"]
    assert decision["policy_reason"] == "permitted by the decision point"


@pytest.mark.requirement("C2")
def test_many_calls_are_decided_on_at_once_and_each_is_answered_once(tmp_path, point):
    point.go_on.set()
    with Session(tmp_path) as session:
        began = time.monotonic()
        ids = [session.begin("tools/call", name="echo", arguments={"text": str(n)}) for n in range(100)]
        answers = [session.receive() for _ in ids]
        session.end()
        assert time.monotonic() - began < 60

    assert sorted(answer["id"] for answer in answers) == ids
    assert sorted(int(said(answer)) for answer in answers) == list(range(100))
