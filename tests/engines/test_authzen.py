# SPDX-License-Identifier: Apache-2.0
"""A decision point over HTTP: what it answers, and what becomes of a call when it doesn't."""

import json
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.engines.questions import question

from onrecord.engines.authzen import AuthZen
from onrecord.errors import ConfigError
from onrecord.rules.policy import UNDECIDED, Policy
from onrecord.rules.policy_input import Given


@contextmanager
def point(status=200, body=b"{}", wait_s=0.0):
    """A decision point that answers each question alike; yields its URL and what it was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            time.sleep(wait_s)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format, *args):  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def decided(url, timeout_s=60.0, asked=None):
    engine = AuthZen(url, b"", timeout_s=timeout_s)
    policy = Policy(engine, enforce=True, deadline_ns=10**11, clock=time.monotonic_ns)
    return policy.decide(asked or question(tier=2, required=("w",), present=("w",), assurance="token"))


@pytest.mark.parametrize(
    ("answer", "decision"),
    [
        ({"decision": True}, "allow"),
        ({"decision": False}, "deny"),
        ({"decision": False, "context": {"reason": "approval_required"}}, "needs_approval"),
        ({"decision": True, "context": {"obligations": [{"id": "1", "type": "step-up"}]}}, "deny"),
        ({"decision": True, "context": {"obligations": {}}}, "deny"),
        ({"decision": True, "context": {"obligations": None}}, "deny"),
        ({"decision": True, "context": {"obligations": False}}, "deny"),
        ({"decision": True, "context": {"obligations": []}}, "allow"),
        ({"decision": True, "context": {"reason": "approval_required"}}, "deny"),
    ],
)
def test_the_answer_is_the_verdict(answer, decision):
    with point(body=json.dumps(answer).encode()) as (url, _):
        verdict = decided(url)

    assert (verdict.decision, verdict.errors) == (decision, ())


def test_the_question_has_the_shape_of_authzen_and_no_argument():
    with point(body=b'{"decision": true}') as (url, asked):
        decided(url + "/")

    ((path, body),) = asked
    assert path == "/access/v1/evaluation"
    assert set(body) == {"subject", "action", "resource", "context"}
    assert body["subject"]["id"] == "u_1"
    assert body["action"] == {"name": "tools/call"}
    assert body["resource"] == {"type": "tool", "id": "status", "properties": {"server": "git"}}
    assert (body["context"]["tier"], body["context"]["scope_present"]) == (2, ["w"])


@pytest.mark.requirement("C2")
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b'{"decision": true}'),
        (302, b'{"decision": true}'),
        (200, b""),
        (200, b"yes"),
        (200, b"[true]"),
        (200, b"{}"),
        (200, b'{"decision": "true"}'),
        (200, b'{"decision": 1}'),
        (200, b'{"decision": true, "context": []}'),
        (200, b'{"decision": true, "context": null}'),
        (200, b'{"decision": false, "decision": true}'),
        (200, b'{"decision": true, "decision": true}'),
        (200, b'{"decision": false, "d\\u0065cision": true}'),
        (200, b'{"decision": true, "context": {"obligations": [1]}, "context": {}}'),
        (200, b'{"decision": true, "context": {"obligations": [1], "obligations": []}}'),
        (200, b'{"decision": true, "obligations": [{"id": "x"}]}'),
        (200, b'{"decision": true, "Decision": false}'),
        (200, b'{"decision": true, "context": {"score": NaN}}'),
        (200, b'\xef\xbb\xbf{"decision": true}'),
        (200, b'{"decision": true, "context": {"said": "\xff"}}'),
        (200, b'{"decision": true} {"decision": false}'),
        (200, b"[" * 60_000),
        (200, b'{"decision": true, "x": "' + b"y" * 100_000 + b'"}'),
    ],
)
def test_an_answer_that_is_none_denies(status, body):
    with point(status, body) as (url, _):
        verdict = decided(url)

    assert (verdict.decision, verdict.id, verdict.safe) == ("deny", "engine", UNDECIDED)


def test_what_the_point_says_is_for_the_record_alone():
    with point(body=b'{"decision": false, "context": {"reason_admin": {"en": "on the list"}}}') as (url, _):
        verdict = decided(url)

    assert verdict.reason == 'forbidden by the decision point: {"en":"on the list"}'
    assert "list" not in verdict.safe


@pytest.mark.requirement("C2")
@pytest.mark.parametrize(
    "told",
    [
        {"input": Given(values=(("/pin", 8675309),))},
        {"kind": "resource", "name": "file:///patients/8675309"},
        {"name": "8675309"},
    ],
)
@pytest.mark.parametrize("allowed", [True, False])
def test_a_value_that_the_point_was_told_does_not_come_back_in_its_words(told, allowed):
    said = {"decision": allowed, "context": {"reason_admin": "not with 8675309"}}
    with point(body=json.dumps(said).encode()) as (url, asked):
        verdict = decided(url, asked=question(**told))

    assert "8675309" in str(asked)
    assert "8675309" not in repr(verdict)


@pytest.mark.requirement("C2")
def test_a_point_that_hangs_denies_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        verdict = decided(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.3)

    assert (verdict.decision, verdict.error_type) == ("deny", "policy_failed")
    assert time.monotonic() - began < 30


@pytest.mark.requirement("C2")
def test_a_point_that_is_not_there_denies():
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))  # so that nobody else listens there meanwhile
        assert decided(f"http://127.0.0.1:{mute.getsockname()[1]}").decision == "deny"


@pytest.mark.parametrize("url", ["", "ftp://x", "http://pdp.example.com", "//x"])
def test_a_point_that_cannot_be_asked_safely_is_refused(url):
    with pytest.raises(ConfigError, match=r"policy\.url"):
        AuthZen(url, b"", timeout_s=1)
