# SPDX-License-Identifier: Apache-2.0
"""What is no SpiceDB, or one that fails: each question is denied, in bounded time and with one reason."""

import socket
import struct
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from tests.engines.questions import question

from onrecord.engines.spicedb import SpiceDb
from onrecord.errors import ConfigError
from onrecord.rules.policy import UNDECIDED, Policy
from onrecord.rules.relations import Relations

pytestmark = pytest.mark.requirement("C2")

TOKEN = "a-preshared-" + "key"
TIMEOUT_S = 0.6  # of what gives no answer; all else has long enough on any machine
LONG_S, SOON_S = 60.0, 30.0
HANGS_S = 5.0  # where one of two answers comes
HELD, STATE = b"\x10\x02", b"\x0a\x06\x0a\x04c3Rh"  # permissionship 2; a token, "c3Rh"
SCHEMA = b"\x0a\x0fdefinition user"


def judged(url, *, asked=None, timeout_s=LONG_S):
    """Ask once; return the verdict and the seconds that it took."""
    engine = SpiceDb(url, Relations(), b"", token=TOKEN, timeout_s=timeout_s)
    policy = Policy(engine, enforce=True, deadline_ns=int(timeout_s * 1e9), clock=time.monotonic_ns)
    began = time.monotonic()
    verdict = policy.decide(asked or question(called="ann", name="push"))
    took_s = time.monotonic() - began
    engine.close()
    return verdict, took_s


@contextmanager
def listening(answer):
    """A server on TCP that does `answer` with each connection; yields its URL."""
    held = []

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            held.append(connection)
            answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in held:
                connection.close()


def silent(connection):
    pass


def resetting(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def closing(connection):
    connection.shutdown(socket.SHUT_RDWR)


def speaking_http(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


def half_way(connection):
    connection.sendall(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")  # settings of HTTP/2, and nothing after them


@pytest.mark.parametrize("answer", [silent, resetting, closing, speaking_http, half_way])
def test_what_does_not_answer_denies_in_time(answer):
    with listening(answer) as url:
        verdict, took_s = judged(url, timeout_s=TIMEOUT_S)

    assert (verdict.decision, verdict.error_type, verdict.safe) == ("deny", "policy_failed", UNDECIDED)
    assert len(verdict.errors) == 1
    assert took_s < SOON_S


def test_a_host_that_takes_nothing_denies_in_time():
    with socket.create_server(("127.0.0.1", 0), backlog=1) as full:
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        verdict, took_s = judged(url, timeout_s=TIMEOUT_S)
        for one in waiting:
            one.close()

    assert (verdict.decision, verdict.errors) == ("deny", (f"it did not answer within {TIMEOUT_S:g} s",))
    assert took_s < SOON_S


def test_a_port_without_a_server_denies_at_once():
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))  # so that nobody else listens there meanwhile
        verdict, took_s = judged(f"http://127.0.0.1:{mute.getsockname()[1]}")

    assert "it cannot be reached" in verdict.reason
    assert took_s < SOON_S


def test_a_name_that_leads_nowhere_denies():
    verdict, _ = judged("https://nowhere.invalid:50051")

    assert verdict.error_type == "policy_failed"


@contextmanager
def answering(check: Any, schema: Any = SCHEMA, seen=None):
    """A gRPC server that answers each check, and each question for the schema, alike; yields its URL."""

    class Handler(grpc.GenericRpcHandler):
        def service(self, details):
            answer = schema if details.method.endswith("ReadSchema") else check
            made: Any = answer if callable(answer) else lambda _: answer

            def answered(request: bytes, context: grpc.ServicerContext) -> bytes:
                if seen is not None:
                    seen.append((details.method, dict(details.invocation_metadata), request))
                return made(context)

            return grpc.unary_unary_rpc_method_handler(answered)

    server = grpc.server(ThreadPoolExecutor(4), handlers=[Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def aborting(code, text):
    return lambda context: context.abort(code, text)


def hanging(context):
    while context.is_active():
        time.sleep(0.02)
    return STATE + HELD


def test_a_good_answer_of_this_form_allows():
    seen = []
    with answering(STATE + HELD, seen=seen) as url:
        verdict, _ = judged(url)

    assert (verdict.decision, verdict.consistency) == ("allow", "c3Rh")
    assert {said["authorization"] for _, said, _ in seen} == {f"Bearer {TOKEN}"}
    assert sorted(method.rpartition("/")[2] for method, _, _ in seen) == ["CheckPermission", "ReadSchema"]


@pytest.mark.parametrize(
    ("check", "schema", "said"),
    [
        (b"", SCHEMA, "does not say from which state"),
        (HELD, SCHEMA, "does not say from which state"),
        (b"\x0a\x04\x0a\x02\x1b[" + HELD, SCHEMA, "does not say from which state"),
        (b"\x0a\x05\x0a\x03a b" + HELD, SCHEMA, "does not say from which state"),
        (STATE, SCHEMA, "holds no decision"),
        (STATE + b"\x10\x00", SCHEMA, "holds no decision"),
        (STATE + b"\x10\x07", SCHEMA, "holds no decision"),
        (b"\xff\xff", SCHEMA, "internal"),
        (STATE + HELD + b" " * (5 << 20), SCHEMA, "resource_exhausted"),
        (hanging, SCHEMA, "did not answer within"),
        (aborting(grpc.StatusCode.INTERNAL, "broken"), SCHEMA, "internal"),
        (aborting(grpc.StatusCode.UNAVAILABLE, "later"), SCHEMA, "cannot be reached"),
        (aborting(grpc.StatusCode.UNIMPLEMENTED, "what?"), SCHEMA, "unimplemented"),
        (STATE + HELD, aborting(grpc.StatusCode.NOT_FOUND, "no schema"), "its schema can't be read: not_found"),
        (STATE + HELD, b"\xff", "its schema can't be read: internal"),
        (STATE + HELD, hanging, "its schema can't be read: it did not answer"),
    ],
)
def test_an_answer_that_is_none_denies_with_one_reason(check, schema, said, capfd):
    timeout_s = TIMEOUT_S if check is hanging else HANGS_S if schema is hanging else LONG_S
    with answering(check, schema) as url:
        verdict, took_s = judged(url, timeout_s=timeout_s)

    assert (verdict.decision, verdict.error_type, verdict.safe) == ("deny", "policy_failed", UNDECIDED)
    assert said in verdict.reason
    assert len(verdict.errors) == 1
    assert len(verdict.reason) < 500
    assert took_s < SOON_S
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("text", ["no ann may git/push", f"with {TOKEN}", "\n\x1b[31m" + "x" * 3_000])
def test_of_what_it_says_in_words_nothing_is_told(text):
    with answering(aborting(grpc.StatusCode.INTERNAL, text)) as url:
        verdict, _ = judged(url)

    assert (verdict.reason, verdict.errors) == ("the policy engine spicedb failed: internal", ("internal",))


@pytest.mark.parametrize(
    ("present", "decision", "times"), [((), "deny", 0), (("r",), "deny", 0), (("w", "r"), "allow", 2)]
)
def test_a_missing_scope_denies_without_asking(present, decision, times):
    seen = []
    with answering(STATE + HELD, seen=seen) as url:
        verdict, _ = judged(url, asked=question(called="ann", required=("w",), present=present))

    assert (verdict.decision, len(seen)) == (decision, times)
    assert ("a required scope is missing" in verdict.safe) == (decision == "deny")
    assert verdict.errors == ()


@pytest.mark.parametrize(
    "asked",
    [
        question(name="push"),
        question(called="", name="push"),
        question(called="ann", name="x" * 2_000),
        question(called="ann", name="half \udc80"),
        question(called="ann", name=""),
        question(called="ann", kind="prompt", server=""),
    ],
)
def test_what_cannot_be_asked_is_denied_without_asking(asked):
    seen = []
    with answering(STATE + HELD, seen=seen) as url:
        verdict, _ = judged(url, asked=asked)

    assert (verdict.decision, seen) == ("deny", [])
    assert verdict.reason.startswith("SpiceDB was not asked: ")
    assert verdict.errors


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://x",
        "spicedb:50051",
        "http://spicedb.example.com:50051",
        "https://x/path",
        "https://x?a=b",
        "https://u@x",
    ],
)
def test_one_that_cannot_be_asked_safely_is_refused(url):
    with pytest.raises(ConfigError, match=r"policy\.url"):
        SpiceDb(url, Relations(), b"", token=TOKEN, timeout_s=1)


@pytest.mark.parametrize("token", ["", "two words", "line\nfeed", "é", "x" * 10_000])
def test_a_token_that_is_none_is_refused_and_not_told(token):
    with pytest.raises(ConfigError, match="is no token") as raised:
        SpiceDb("http://localhost", Relations(), b"", token=token, timeout_s=1)
    assert not token or token not in str(raised.value)


def test_without_its_extra_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "authzed.api.v1", None)
    with pytest.raises(ConfigError, match=r"pip install 'onrecord\[spicedb\]'"):
        SpiceDb("http://localhost", Relations(), b"", token=TOKEN, timeout_s=1)
