# SPDX-License-Identifier: Apache-2.0
"""`onrecord run` around a real process: what passes, what is recorded, what is refused."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.doors.session import SERVER, Session, onrecord, record, results
from tests.ledger.logs import wait_for

from onrecord.doors import wire
from onrecord.ledger.durable import FileLock
from onrecord.ledger.place import Home

pytestmark = pytest.mark.requirement("F2")


@pytest.mark.requirement("F1", "A4", "C2")
def test_with_nothing_configured_a_call_is_on_the_record_before_and_after(tmp_path):
    with Session(tmp_path) as session:
        assert session.call("store", text="hello")["result"]["content"][0]["text"] == "hello"
        assert session.end() == 0

    attempt, result = [e for e in record(tmp_path) if e.get("tool_name") == "store"]
    assert (attempt["phase"], attempt["policy_decision"], attempt["risk_tier"]) == ("attempt", "allow", 2)
    assert attempt["policy_reason"]
    assert attempt["arg_keys"] == ["text"]
    assert (result["phase"], result["result_status"]) == ("result", "succeeded")
    assert result["call_id"] == attempt["call_id"]
    assert result["latency_us"] > 0
    assert onrecord(tmp_path, "verify", "--allow-unanchored").returncode == 0


@pytest.mark.requirement("A2")
def test_what_identifies_a_call_stands_on_each_of_its_events(tmp_path):
    with Session(tmp_path) as session:
        session.call("store", text="x")
        session.end()

    for event in [e for e in record(tmp_path) if e.get("tool_name") == "store"]:
        for key in (
            "user_id",
            "session_id",
            "server_id",
            "call_id",
            "correlation_id",
            "method",
            "transport",
            "risk_tier",
        ):
            assert key in event, key
        assert event["identity_source"] == event["identity_assurance"] == "os_account"


BYTES = [
    b'{"jsonrpc":"2.0","id":50,"method":"debug/seen","params":{"b":1,"a":2}}',
    (
        b'{ "params": {"x" : "\\u00e9\\u2028 \xc3\xa9", "n": 1.0, "big": 12345678901234567890} ,'
        b'"method":"debug/seen","id":"s","jsonrpc":"2.0","extra":null}'
    ),
    b'{"jsonrpc":"2.0","id":52,"method":"debug/seen","params":{"text":"\\/ \\u0000 <tag>"}}\r',
]


@pytest.mark.parametrize("line", BYTES, ids=["keys in disorder", "spaces and escapes", "a carriage return at the end"])
def test_the_server_sees_the_bytes_that_the_client_sent(tmp_path, line):
    with Session(tmp_path, listed=False) as session:
        session.send(line)
        assert session.receive()["result"]["line"].encode() == line + b"\n"


def test_the_client_sees_the_bytes_that_the_server_sent(tmp_path):
    odd = b'{"result" : {"content":[],"x":"\\ud83d"}, "extra":[1.0], "jsonrpc":"2.0", "id":1}'
    script = f"import sys; sys.stdin.readline(); sys.stdout.buffer.write({odd!r} + b'\\n')"
    with Session(tmp_path, command=[sys.executable, "-c", script], listed=False) as session:
        session.send({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x"}})
        assert session.child.stdout.readline() == odd + b"\n"


@pytest.mark.parametrize("size", [64 << 10, 1 << 20, 10 << 20], ids=["64 KiB", "1 MiB", "10 MiB"])
def test_large_messages_pass_both_ways(tmp_path, size):
    with Session(tmp_path) as session:
        assert len(session.call("store", text="y" * size)["result"]["content"][0]["text"]) == size
        assert len(session.call("size", bytes=size)["result"]["content"][0]["text"]) == size
        assert session.end() == 0

    assert results(tmp_path, "size")[0]["output_size"] > size


def test_a_message_past_the_limit_is_refused_and_the_next_one_passes(tmp_path):
    (tmp_path / "onrecord.toml").write_text('[run]\nmax_message = "1MiB"\n')
    with Session(tmp_path) as session:
        refused = session.call("store", text="y" * (2 << 20))
        assert (refused["id"], refused["error"]["code"]) == (session.next_id, wire.AMBIGUOUS)
        withheld = session.call("size", bytes=2 << 20)
        assert (withheld["id"], withheld["error"]["code"]) == (session.next_id, wire.UNREADABLE_RESULT)
        assert "result" in session.call("store", text="small")
        assert session.end() == 0

    assert [e["error_type"] for e in record(tmp_path) if e["event_type"] == "security"] == ["ambiguous_message"]
    assert results(tmp_path, "size")[0]["result_status"] == "failed"


@pytest.mark.requirement("A4")
@pytest.mark.parametrize(
    ("tool", "status", "error_type"),
    [
        ("echo", "succeeded", None),
        ("fail", "failed", "tool_error"),
        ("raise", "failed", "jsonrpc:-32602"),
        ("doubled", "failed", "unreadable_result"),
        ("task", "accepted", None),
    ],
)
def test_the_record_says_how_a_call_ended(tmp_path, tool, status, error_type):
    with Session(tmp_path) as session:
        session.call(tool)
        session.end()

    (result,) = results(tmp_path, tool)
    assert (result["result_status"], result.get("error_type")) == (status, error_type)


def test_a_result_that_reads_in_two_ways_is_withheld(tmp_path):
    with Session(tmp_path) as session:
        answer = session.call("doubled")

    assert answer["error"]["code"] == wire.UNREADABLE_RESULT
    assert answer["error"]["message"].startswith("it ran")


def test_a_second_answer_to_the_same_call_does_not_reach_the_client(tmp_path):
    with Session(tmp_path) as session:
        assert session.call("twice")["result"]["content"][0]["text"] == "first"
        assert session.call("echo", text="next")["result"]["content"][0]["text"] == "next"
        session.end()

    assert [e["error_type"] for e in record(tmp_path) if e["event_type"] == "security"] == ["ambiguous_message"]
    assert b"an answer to nothing that is open" in session.errors


def test_an_ambiguous_message_is_refused_recorded_and_never_reaches_the_server(tmp_path):
    with Session(tmp_path) as session:
        session.send(b'{"jsonrpc":"2.0","id":7,"method":"ping","method":"tools/call","params":{"name":"die"}}')
        refused = session.receive()
        assert (refused["id"], refused["error"]["code"]) == (7, wire.AMBIGUOUS)
        session.send(b"not json at all")
        assert session.receive()["error"]["code"] == wire.PARSE_ERROR
        session.send({"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "die"}})
        assert session.receive()["id"] is None
        assert "result" in session.call("echo")
        assert session.end() == 0

    refusals = [e for e in record(tmp_path) if e["event_type"] == "security"]
    assert [e["result_status"] for e in refusals] == ["blocked"] * 3
    assert [e["policy_decision"] for e in refusals] == ["deny"] * 3


def test_an_id_that_is_still_open_cannot_be_used_again(tmp_path):
    with Session(tmp_path) as session:
        session.send({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "hang"}})
        session.send({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "die"}})
        assert session.receive()["error"]["code"] == wire.AMBIGUOUS
        assert "result" in session.call("echo")


@pytest.mark.requirement("A4")
def test_rounds_of_one_call_share_its_id(tmp_path):
    with Session(tmp_path) as session:
        asked = session.call("ask")["result"]
        session.ask(
            "tools/call",
            name="ask",
            arguments={},
            inputResponses={"sure": {"action": "accept"}},
            requestState=asked["requestState"],
        )
        session.end()

    first, second = results(tmp_path, "ask")
    assert (first["result_status"], second["result_status"]) == ("input_required", "succeeded")
    assert first["call_id"] == second["call_id"]
    assert (first.get("round", 0), second["round"]) == (0, 1)


@pytest.mark.requirement("A3", "F4")
def test_what_a_server_asks_of_the_client_is_recorded_too(tmp_path):
    with Session(tmp_path) as session:
        asked = session.call("elicit")
        assert asked["method"] == "elicitation/create"
        session.send({"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "accept", "content": {"pin": "1234"}}})
        assert "result" in session.receive()
        session.end()

    attempt, result = [e for e in record(tmp_path) if e["event_type"] == "elicitation"]
    assert attempt["direction"] == "server_to_client"
    assert result["result_status"] == "succeeded"


@pytest.mark.requirement("A4")
def test_a_cancelled_call_is_closed_as_cancelled(tmp_path):
    with Session(tmp_path) as session:
        hung = session.begin("tools/call", name="hang", arguments={})
        session.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": hung}})
        answered = session.begin("tools/call", name="hang", arguments={})
        session.send(
            {
                "jsonrpc": "2.0",
                "method": "notifications/cancelled",
                "params": {"requestId": answered, "reason": "answer anyway"},
            }
        )
        assert session.receive()["id"] == answered
        assert session.end() == 0

    assert [e["result_status"] for e in results(tmp_path, "hang")] == ["cancelled", "cancelled"]


@pytest.mark.requirement("A4")
def test_a_client_that_gives_up_waiting_leaves_a_timed_out_call(tmp_path):
    with Session(tmp_path) as session:
        hung = session.begin("tools/call", name="hang", arguments={})
        params = {"requestId": hung, "reason": "McpError: MCP error -32001: Request timed out"}
        session.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})
        session.end()

    assert [e["result_status"] for e in results(tmp_path, "hang")] == ["timed_out"]


@pytest.mark.requirement("A4")
def test_a_server_that_never_answers_is_answered_for_in_bounded_time(tmp_path):
    (tmp_path / "onrecord.toml").write_text('[run]\ncall_timeout = "6s"\n')
    with Session(tmp_path) as session:
        answer = session.call("hang")
        assert answer["error"]["code"] == wire.TIMED_OUT
        assert "do not retry" in answer["error"]["message"]
        assert "result" in session.call("echo")
        session.end()

    assert results(tmp_path, "hang")[0]["result_status"] == "timed_out"


@pytest.mark.requirement("A4")
def test_a_server_that_dies_leaves_its_open_calls_unknown_and_its_exit_code(tmp_path):
    with Session(tmp_path) as session:
        answer = session.call("die")
        assert answer["error"]["code"] == wire.SERVER_GONE
        assert "exited with code 3" in answer["error"]["message"]
        assert session.receive() is None
        assert session.end() == 3

    assert results(tmp_path, "die")[0]["result_status"] == "unknown"
    assert record(tmp_path)[-1]["detail"]["reason"] == "exited with code 3"


def test_a_server_ended_by_a_signal_ends_the_wrapper_by_the_same(tmp_path):
    with Session(tmp_path) as session:
        session.begin("tools/call", name="killed", arguments={})
        assert session.end() == -signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_reach_the_server(tmp_path, number):
    script = (
        "import signal, sys, time\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(41))\n"
        'print(\'{"jsonrpc":"2.0","method":"notifications/ready"}\', flush=True)\n'
        "time.sleep(300)"
    )
    with Session(tmp_path, command=[sys.executable, "-c", script], listed=False) as session:
        assert session.receive()["method"] == "notifications/ready"
        session.child.send_signal(number)
        assert session.child.wait(60) == 41


def heeds(pid, number):
    """Say whether a process has said what to do at a signal."""
    (caught,) = re.findall(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(caught, 16) >> number - 1 & 1)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody sees which signals a process heeds")
def test_a_signal_before_the_start_is_on_the_record_ends_it_in_order(tmp_path):
    (tmp_path / "onrecord.toml").write_text('[ledger]\nappend_deadline = "300s"\n')
    with Session(tmp_path) as session:
        session.end()
    log = Home(tmp_path).log()
    before, lock = len(record(tmp_path)), FileLock(log.writer_lock)
    lock.acquire(time.monotonic() + 60)
    with Session(tmp_path, listed=False) as session:
        wait_for(lambda: heeds(session.child.pid, signal.SIGTERM))
        assert len(record(tmp_path)) == before
        session.child.send_signal(signal.SIGTERM)
        lock.close()
        assert session.child.wait(60) == -signal.SIGTERM

    kinds = [e["event_type"] for e in record(tmp_path)[before:]]
    assert (kinds[0], kinds[-1]) == ("recorder_start", "recorder_stop")


def test_the_end_of_input_and_the_exit_code_are_the_servers_own(tmp_path):
    with Session(tmp_path, env={"EXIT_WITH": "17"}) as session:
        assert session.end() == 17


def test_answers_that_come_after_the_end_of_input_still_come(tmp_path):
    lines = b"".join(
        json.dumps({"jsonrpc": "2.0", "id": n, "method": "tools/call", "params": {"name": "store"}}).encode() + b"\n"
        for n in range(50)
    )
    done = subprocess.run(
        [sys.executable, "-m", "onrecord.cli.main", "run", "--", *SERVER],
        input=lines,
        capture_output=True,
        env={**os.environ, "ONRECORD_HOME": str(tmp_path)},
        timeout=120,
    )
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == list(range(50))


def test_nothing_but_json_rpc_reaches_the_client(tmp_path):
    with Session(tmp_path) as session:
        assert session.call("junk")["result"]["content"][0]["text"] == "after the junk"
        session.end()

    assert b"Listening" not in session.rest
    assert b"dropped" in session.errors


def test_the_servers_standard_error_passes_however_much_it_is(tmp_path):
    with Session(tmp_path) as session:
        session.begin("tools/call", name="flood", arguments={})
        session.end()

    assert session.errors.count(b"z" * 1000) == 2000


def test_a_client_that_does_not_read_cannot_keep_the_wrapper_from_ending(tmp_path):
    with Session(tmp_path) as session:
        for _ in range(5):
            session.begin("tools/call", name="size", arguments={"bytes": 200_000})
        while not results(tmp_path, "size"):  # the first answer is stuck on its way to us
            assert session.child.poll() is None
            time.sleep(0.02)
        session.child.send_signal(signal.SIGTERM)
        assert session.child.wait(60) == -signal.SIGTERM

    assert onrecord(tmp_path, "verify", "--allow-unanchored").returncode == 0


def test_a_client_that_reads_slowly_gets_everything_that_a_server_said_before_it_ended(tmp_path):
    script = """
import json, sys
for number in range(20):
    print(json.dumps({"jsonrpc": "2.0", "method": "notifications/x", "params": {"n": number, "pad": "y" * 20_000}}))
"""
    with Session(tmp_path, command=[sys.executable, "-c", script], listed=False) as session:
        numbers = []
        while (message := session.receive()) is not None:
            numbers.append(message["params"]["n"])
            threading.Event().wait(0.2)  # a slow reader is what this is about
        assert session.child.wait(60) == 0

    assert numbers == list(range(20))


def test_the_server_is_killed_with_the_wrapper(tmp_path):
    script = "import os, sys, time; print(os.getpid(), file=sys.stderr, flush=True); time.sleep(60)"
    with Session(tmp_path, command=[sys.executable, "-c", script], listed=False) as session:
        pid = int(session.child.stderr.readline())
        session.child.kill()
        session.child.wait()
        if sys.platform == "linux":
            assert _gone(pid)


def _gone(pid):
    """Wait for a process that is not our child to be gone, for a bounded time."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


@pytest.mark.requirement("A4", "D3")
def test_calls_left_open_by_a_killed_wrapper_are_closed_at_the_next_start(tmp_path):
    with Session(tmp_path) as session:
        session.begin("tools/call", name="hang", arguments={})
        assert "result" in session.call("echo")  # so the hanging call is on the record before the kill
        session.child.kill()
        session.child.wait()
    assert results(tmp_path, "hang") == []

    with Session(tmp_path) as session:
        session.call("echo")
        session.end()

    (closed,) = results(tmp_path, "hang")
    assert (closed["result_status"], closed["error_type"]) == ("unknown", "recorder_died")
    assert b"left open" in session.errors
    assert onrecord(tmp_path, "verify", "--allow-unanchored").returncode == 0


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["no-such-server-anywhere"], 127, "no such command on the PATH"),
        (["/no/such/path/server"], 127, "no such file"),
        (["/etc/passwd"], 126, "permission denied"),
        ([], 2, "nothing to run"),
    ],
)
def test_a_wrong_command_is_one_clear_error(tmp_path, command, code, said):
    done = onrecord(tmp_path, "run", "--", *command)

    assert done.returncode == code
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[run]\nmax_mesage = '1MiB'\n", "did you mean run.max_message?"),
        ("[run]\nmax_message = 'lots'\n", "give a number above 0 and a unit"),
        ("[[tool]]\ntier = 9\n", "tier"),
        ("[[tool]]\nclassification = 'secret'\n", "classification"),
        ("[run\n", "is not TOML"),
    ],
)
def test_a_wrong_setting_is_one_clear_error_that_names_the_file(tmp_path, text, said):
    (tmp_path / "onrecord.toml").write_text(text)
    done = onrecord(tmp_path, "run", "--", *SERVER)

    assert done.returncode == 2
    assert "onrecord.toml" in done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.requirement("D3")
def test_files_are_private_whatever_the_umask(tmp_path):
    home = tmp_path / "home"
    before = os.umask(0)
    try:
        with Session(home) as session:
            session.call("erase")
            session.end()
    finally:
        os.umask(before)

    for path in [home, *home.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
