# SPDX-License-Identifier: Apache-2.0
"""The record is plain NDJSON: the questions that people ask first are one line of `jq`."""

import jq
import pytest
from tests.doors.session import Session, record


@pytest.fixture
def home(tmp_path):
    with Session(tmp_path) as session:
        for tool in ("echo", "echo", "fail", "store", "raise"):
            session.call(tool)
        session.end()
    return tmp_path


def ask(home, query):
    text = "".join(log.read_text() for log in sorted((home / "ledger" / "calls" / "log").glob("*.ndjson")))
    return jq.compile(query).input_text(text).all()


@pytest.mark.requirement("A2", "D1")
def test_failed_calls(home):
    failed = ask(home, 'select(.event_type == "tool_call" and .result_status == "failed")')

    assert [event["tool_name"] for event in failed] == ["fail", "raise"]


@pytest.mark.requirement("A2", "D1")
def test_calls_by_tool(home):
    query = '[.[] | select(.phase == "attempt")] | group_by(.tool_name) | map({(.[0].tool_name): length}) | add'
    counts = jq.compile(query).input_value(record(home)).first()

    assert counts == {"echo": 2, "fail": 1, "raise": 1, "store": 1}


@pytest.mark.requirement("A2", "D1")
def test_all_events_of_one_user(home):
    user = record(home)[-1].get("user_id") or record(home)[1]["user_id"]
    events = ask(home, f'select(.user_id == "{user}")')

    assert {event["tool_name"] for event in events if "tool_name" in event} == {"echo", "fail", "raise", "store"}
    assert user.startswith("u_")
