# SPDX-License-Identifier: Apache-2.0
"""Repeated calls through `onrecord run`: flagged, and refused where what they do can't be taken back."""

import fcntl
import json
import sys

import pytest
from tests.doors.session import Session, onrecord, record, results

from onrecord.doors import wire

pytestmark = pytest.mark.requirement("C6")

# Notes each line that reaches it, and answers.
NOTING = """
import json, sys
for line in sys.stdin:
    with open({seen!r}, "a") as file:
        file.write(line)
    request = json.loads(line)
    if "id" in request:
        print(json.dumps({{"jsonrpc": "2.0", "id": request["id"], "result": {{"content": []}}}}), flush=True)
"""


def noting(tmp_path):
    return [sys.executable, "-c", NOTING.format(seen=str(tmp_path / "seen"))]


def seen(tmp_path):
    return [json.loads(line) for line in (tmp_path / "seen").read_text().splitlines()]


def settings(tmp_path, text):
    (tmp_path / "onrecord.toml").write_text(text)


def attempts(tmp_path, tool):
    return [e for e in record(tmp_path) if e.get("phase") == "attempt" and e.get("tool_name") == tool]


def test_an_identical_call_runs_and_is_flagged_with_the_first(tmp_path):
    with Session(tmp_path, command=noting(tmp_path)) as session:
        for text in ("a", "b", "a"):
            session.call("store", text=text)
        session.end()

    first, other, again = attempts(tmp_path, "store")
    assert "repeats" not in first
    assert "repeats" not in other
    assert "suspicious_signals" not in other
    assert (again["repeats"], again["suspicious_signals"]) == (first["call_id"], ["repeated-call"])
    assert again["call_id"] != first["call_id"]
    assert [one["params"].get("name") for one in seen(tmp_path)] == [None, "store", "store", "store"]
    assert all("repeats" not in e for e in results(tmp_path))


def test_a_duplicate_of_tier_4_never_reaches_the_server_and_is_on_the_record(tmp_path):
    settings(tmp_path, '[[tool]]\ntool = "pay"\ntier = 4\n')
    with Session(tmp_path, command=noting(tmp_path)) as session:
        assert "isError" not in session.call("pay", to="alice")["result"]
        refused = session.call("pay", to="alice")
        assert "isError" not in session.call("pay", to="bob")["result"]
        session.end()

    first, duplicate, _ = attempts(tmp_path, "pay")
    assert refused["result"]["isError"]
    (content,) = refused["result"]["content"]
    assert content["text"].startswith("not run: an identical call was made within 600 s")
    assert first["call_id"] in content["text"]
    assert "alice" not in content["text"]
    assert (duplicate["policy_decision"], duplicate["policy_id"]) == ("deny", "duplicates")
    assert (duplicate["repeats"], duplicate["suspicious_signals"]) == (first["call_id"], ["repeated-call"])
    (closing,) = [e for e in results(tmp_path, "pay") if e["call_id"] == duplicate["call_id"]]
    assert (closing["result_status"], closing["error_type"]) == ("blocked", "duplicate")
    assert [one["params"]["arguments"]["to"] for one in seen(tmp_path)[1:]] == ["alice", "bob"]
    assert onrecord(tmp_path, "verify", "--allow-unanchored").returncode == 0


def test_the_manifest_may_allow_duplicates(tmp_path):
    settings(tmp_path, '[[tool]]\ntool = "pay"\ntier = 4\nallow_duplicates = true\n')
    with Session(tmp_path, command=noting(tmp_path)) as session:
        session.call("pay", to="alice")
        assert "isError" not in session.call("pay", to="alice")["result"]
        session.end()

    assert [e.get("suspicious_signals") for e in attempts(tmp_path, "pay")] == [None, ["repeated-call"]]
    assert len(seen(tmp_path)) == 3


def test_a_refused_request_that_is_no_tool_call_gets_an_error_of_our_own(tmp_path):
    settings(tmp_path, '[[tool]]\ntool = "plan"\ntier = 4\n')
    with Session(tmp_path, command=noting(tmp_path)) as session:
        assert "result" in session.ask("prompts/get", name="plan")
        error = session.ask("prompts/get", name="plan")["error"]
        session.end()

    assert error["code"] == wire.DENIED
    assert not -32768 <= error["code"] <= -32000
    assert len(seen(tmp_path)) == 2


def test_a_key_in_the_arguments_or_in_meta_says_which_calls_are_the_same(tmp_path):
    settings(
        tmp_path,
        '[[tool]]\ntool = "pay"\ntier = 4\nidempotency_key = "/key"\n'
        '[[tool]]\ntool = "send"\ntier = 4\nidempotency_key = "/_meta/x~1key"\n',
    )
    with Session(tmp_path, command=noting(tmp_path)) as session:
        paid = [session.call("pay", key=key, to=to) for key, to in (("1", "a"), ("1", "a"), ("2", "a"), ("2", "b"))]
        sent = [session.ask("tools/call", name="send", arguments={}, _meta={"x/key": key}) for key in "112"]
        session.end()

    assert ["isError" in one["result"] for one in paid] == [False, True, False, True]
    assert ["isError" in one["result"] for one in sent] == [False, True, False]
    assert attempts(tmp_path, "pay")[3]["suspicious_signals"] == ["idempotency-key-reused"]
    assert len(seen(tmp_path)) == 1 + 2 + 2


def test_the_rounds_of_a_call_are_no_duplicates_and_a_replayed_round_is_one(tmp_path):
    settings(tmp_path, '[[tool]]\ntool = "ask"\ntier = 4\n')
    answer = {"inputResponses": {"sure": {"action": "accept"}}, "requestState": "st-1"}
    with Session(tmp_path) as session:
        assert session.call("ask")["result"]["resultType"] == "input_required"
        assert session.ask("tools/call", name="ask", arguments={}, **answer)["result"]["resultType"] == "complete"
        again = session.call("ask")
        replayed = session.ask("tools/call", name="ask", arguments={}, **answer)
        session.end()

    first, second, *refused = attempts(tmp_path, "ask")
    assert (first["call_id"], first.get("round", 0)) == (second["call_id"], 0)
    assert second["round"] == 1
    assert "repeats" not in second
    assert again["result"]["isError"]
    assert replayed["result"]["isError"]
    assert [e["repeats"] for e in refused] == [first["call_id"]] * 2


def test_a_call_that_failed_may_have_taken_effect_and_is_not_made_again(tmp_path):
    settings(tmp_path, '[[tool]]\ntool = "fail"\ntier = 4\n')
    with Session(tmp_path) as session:
        session.call("fail")
        assert session.call("fail")["result"]["content"][0]["text"].startswith("not run")
        session.end()


def test_a_call_that_could_not_be_recorded_and_so_was_not_made_may_be_made_again(tmp_path):
    settings(tmp_path, '[ledger]\nappend_deadline = "5s"\n[[tool]]\ntool = "pay"\ntier = 4\n')
    with Session(tmp_path, command=noting(tmp_path)) as session:
        with (tmp_path / "ledger" / "calls" / "writer.lock").open("r+b") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            assert session.call("pay", to="alice")["error"]["code"] == wire.NOT_RECORDED
        assert "isError" not in session.call("pay", to="alice")["result"]
        session.end()

    assert len(seen(tmp_path)) == 2


def test_a_duplicate_of_tier_4_is_one_however_its_numbers_are_written_and_with_answers_to_nothing(tmp_path):
    settings(tmp_path, '[[tool]]\ntool = "pay"\ntier = 4\n')
    with Session(tmp_path, command=noting(tmp_path)) as session:
        made = session.call("pay", amount=10)
        again = [
            session.call("pay", amount=10.0),
            *(
                session.ask("tools/call", name="pay", arguments={"amount": 10}, inputResponses=a)
                for a in ({}, {"a": 1})
            ),
        ]
        session.end()

    assert "isError" not in made["result"]
    assert all(one["result"]["isError"] for one in again)
    assert len(seen(tmp_path)) == 2
