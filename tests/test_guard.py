# SPDX-License-Identifier: Apache-2.0
"""The law: nothing takes effect before its event. A real ledger, a real redactor, no door."""

import json
import os
import threading

import pytest
from tests.doors.session import record
from tests.ledger.logs import wait_for

from onrecord.config import build_recorder
from onrecord.errors import EndNotRecorded, NotRecorded
from onrecord.event.call import Actor, Call, Connection, Definition, Raw, Result, Trace
from onrecord.ledger.keys import read_keys
from onrecord.ledger.lines import lines_from
from onrecord.ledger.note import open_checkpoint
from onrecord.ledger.place import Home
from onrecord.ledger.verify import verify
from onrecord.settings import load

TIERS = {1: {"read_only": True}, 2: {}, 3: {"destructive": True}}


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


@pytest.fixture
def recorder(home):
    recorder, _ = build_recorder(home, load(home), lambda text: None)
    yield recorder
    recorder.stop("the test ended", 0)


def call(guard, tool="thing", tier=2, trace="", rounds=()):
    connection = Connection(session_id=guard.new_id(), server_id="s", transport="stdio", actor=Actor(user_id="u_1"))
    return Call(
        event_type="tool_call",
        method="tools/call",
        name=tool,
        arguments=Raw({"a": 1}),
        meta=Raw({}),
        request_id=1,
        connection=connection,
        size_bytes=10,
        definition=Definition(name=tool, digest=f"{tier}" * 64, **TIERS[tier]),
        trace=Trace(trace_id=trace, span_id="b7ad6b7169203331" if trace else ""),
        rounds=rounds,
    )


@pytest.mark.requirement("C2", "A4")
@pytest.mark.parametrize("tier", [1, 2, 3])
def test_the_attempt_is_on_the_record_before_the_call_is_handed_out(home, recorder, tier):
    permit = recorder.guard.begin(call(recorder.guard, tier=tier))
    handed_out = permit.redeem()

    attempt = record(home.path)[-1]
    assert (attempt["phase"], attempt["policy_decision"], attempt["risk_tier"]) == ("attempt", "allow", tier)
    assert handed_out is permit.call


@pytest.mark.requirement("D3")
def test_a_call_of_tier_3_is_signed_before_it_is_handed_out_and_its_result_before_it_is_delivered(home, recorder):
    vkey = read_keys(home).signer.vkey

    def signed():
        last = (home.log().checkpoints).read_bytes().splitlines()[-1]
        import json

        return open_checkpoint(json.loads(last)["note"].encode(), [vkey]).size

    permit = recorder.guard.begin(call(recorder.guard, tier=3))
    permit.redeem()
    assert signed() > permit.attempt.seq
    assert signed() == len(record(home.path))
    recorder.guard.end(permit, Result(status="succeeded")).redeem()
    assert signed() == len(record(home.path))


def test_a_permit_is_good_for_one_call(recorder):
    permit = recorder.guard.begin(call(recorder.guard))
    permit.redeem()

    with pytest.raises(NotRecorded):
        permit.redeem()


@pytest.mark.requirement("D3")
@pytest.mark.parametrize("tier", [1, 2, 3])
def test_without_a_ledger_risky_calls_get_no_permit_and_harmless_ones_do(home, recorder, tier):
    permit = recorder.guard.begin(call(recorder.guard, tier=1))
    permit.redeem()
    (log,) = home.log().segments.glob("*")
    os.truncate(log, 0)

    if tier == 1:
        recorder.guard.begin(call(recorder.guard, tier=1)).redeem()
        return
    with pytest.raises(NotRecorded, match="not recorded, so not run"):
        recorder.guard.begin(call(recorder.guard, tier=tier)).redeem()


@pytest.mark.requirement("D3")
def test_a_result_that_cannot_be_recorded_is_another_error_than_a_call_that_was_not_made(home, recorder):
    permit = recorder.guard.begin(call(recorder.guard, tier=2))
    permit.redeem()
    (log,) = home.log().segments.glob("*")
    log.unlink()

    with pytest.raises(EndNotRecorded, match="it ran, do not retry"):
        recorder.guard.end(permit, Result(status="succeeded")).redeem()


@pytest.mark.requirement("A4")
def test_a_second_end_is_recorded_as_late_and_changes_nothing(home, recorder):
    permit = recorder.guard.begin(call(recorder.guard))
    permit.redeem()
    recorder.guard.end(permit, Result(status="cancelled"))
    recorder.guard.end(permit, Result(status="succeeded"))

    first, second = [e for e in record(home.path) if e.get("phase") == "result"]
    assert (first["result_status"], "late" in first) == ("cancelled", False)
    assert (second["result_status"], second["late"]) == ("succeeded", True)


def test_calls_of_one_trace_share_a_correlation_id(home, recorder):
    trace = "0af7651916cd43dd8448eb211c80319c"
    for each in (trace, trace, "", ""):
        recorder.guard.begin(call(recorder.guard, trace=each)).redeem()

    first, second, third, fourth = [e["correlation_id"] for e in record(home.path) if e.get("phase") == "attempt"]
    assert first == second
    assert len({first, third, fourth}) == 3


@pytest.mark.requirement("A4")
def test_a_round_continues_its_call_once(home, recorder):
    asked = recorder.guard.begin(call(recorder.guard))
    recorder.guard.end(asked, Result(status="input_required", rounds=("state",)))
    recorder.guard.begin(call(recorder.guard, rounds=("state",)))
    recorder.guard.begin(call(recorder.guard, rounds=("state",)))

    first, second, third = [e for e in record(home.path) if e.get("phase") == "attempt"]
    assert (second["call_id"], second["round"]) == (first["call_id"], 1)
    assert (third["call_id"] == first["call_id"], third.get("round", 0)) == (False, 0)


@pytest.mark.requirement("D3")
def test_many_threads_share_one_guard(home, recorder):
    def work():
        for tier in (1, 2, 3) * 5:
            permit = recorder.guard.begin(call(recorder.guard, tier=tier))
            permit.redeem()
            recorder.guard.end(permit, Result(status="succeeded")).redeem()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len([e for e in record(home.path) if e.get("phase") == "result"]) == 8 * 15
    report = verify(home.log(), [read_keys(home).signer.vkey], wait_s=5)
    assert (report.verdict, report.open_calls) == ("unanchored", 0)


@pytest.mark.requirement("D2")
def test_a_log_that_was_cut_while_open_is_an_alarm_on_the_security_log(home, recorder):
    recorder.guard.begin(call(recorder.guard, tier=3)).redeem()
    path = home.log().first_segment
    os.truncate(path, path.stat().st_size - 10)
    with pytest.raises(NotRecorded, match="cut"):
        recorder.guard.begin(call(recorder.guard, tier=3)).redeem()
    wait_for(lambda: [line for line in lines_from(home.log("security")) if b'"ledger_alarm"' in line.data])
    (alarm,) = [json.loads(line.data) for line in lines_from(home.log("security")) if b'"ledger_alarm"' in line.data]
    assert (alarm["event_type"], alarm["detail"]["log"], alarm["detail"]["error"]) == (
        "security",
        "calls",
        "LedgerMoved",
    )
    assert "was cut" in alarm["detail"]["reason"]
