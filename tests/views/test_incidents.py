# SPDX-License-Identifier: Apache-2.0
"""Incidents that were recorded through the real door, and what the view says of them: what their sheets ask for."""

import json
import tomllib
from pathlib import Path

import pytest
from tests.doors.session import onrecord
from tests.views import incidents

from onrecord.event.schema import read_event
from onrecord.ledger.lines import lines_from
from onrecord.ledger.place import Home
from onrecord.views.incident.injected import is_of_injection

SHEETS = tomllib.loads(Path(__file__).with_name("sheets.toml").read_text())
QUESTIONS = ("who", "chosen", "allowed", "approved", "changed", "injected")


def events(home):
    """Return all events of a home, by log and seq."""
    logs = [log for log in ("calls", "security") if (home / "ledger" / log).exists()]
    return {
        (log, event.seq): event
        for log in logs
        for line in lines_from(Home(home).log(log))
        for event in [read_event(line.data)]
    }


def kind(event):
    """Return what a sheet calls an event."""
    if event.phase in ("attempt", "decision", "result"):
        return f"{event.phase}:{event.tool_name}"
    return f"{event.event_type}.{event.action}"


def said(answer):
    """Return all that an answer says, as a sheet has it."""
    stated = [(one["topic"], one["worth"], one["text"], one["cites"]) for one in answer["statements"]]
    open_ends = [(one["topic"], "unknown", f"{one['text']}: {one['why']}", one["cites"]) for one in answer["not_known"]]
    return stated + open_ends


def fits(wanted, one, by_place):
    topic, worth, text, cites = one
    cited = {kind(by_place[cite["log"], cite["seq"]]) for cite in cites}
    return (
        (topic, worth) == (wanted["topic"], wanted["worth"])
        and all(part in text for part in wanted.get("says", ()))
        and ("cites" not in wanted or cited == set(wanted["cites"]))
    )


@pytest.mark.requirement("E2")
@pytest.mark.parametrize("name", SHEETS)
def test_the_view_says_of_an_incident_what_its_answer_sheet_asks_for_and_nothing_else(name, tmp_path):
    sheet, home = SHEETS[name], tmp_path / "home"
    incident = incidents.seen(home, getattr(incidents, name)(home))
    by_place = events(home)

    assert incident["kind"] == sheet["subject"]
    assert [call["name"] for call in incident["calls"] if not call["beside"]] == sheet["calls"]
    assert [call["name"] for call in incident["calls"] if call["beside"]] == sheet.get("beside", [])
    for question, answer in zip(QUESTIONS, incident["answers"], strict=True):
        left = said(answer)
        for wanted in sheet[question]:
            found = [one for one in left if fits(wanted, one, by_place)]
            assert found, (question, wanted, left)
            left.remove(found[0])
        assert (question, left) == (question, [])
    for entry in incident["timeline"]:
        assert by_place[entry["cite"]["log"], entry["cite"]["seq"]].event_id == entry["cite"]["event_id"]


@pytest.mark.requirement("E2")
def test_each_thing_that_is_said_cites_events_of_its_timeline(tmp_path):
    incident = incidents.seen(tmp_path / "home", incidents.injected(tmp_path / "home"))

    shown = [entry["cite"] for entry in incident["timeline"]]
    for answer in incident["answers"]:
        for one in answer["statements"]:
            assert one["cites"]
            assert [cite for cite in one["cites"] if cite not in shown] == []


@pytest.mark.requirement("E2")
def test_from_the_later_call_on_it_is_found_which_output_came_before_and_whose_it_was(tmp_path):
    home = tmp_path / "home"
    incidents.injected(home)
    incident = incidents.seen(home, incidents.attempts(home, "send_mail")[0]["call_id"])

    injected = incident["answers"][5]
    assert [one["topic"] for one in injected["statements"]] == ["flagged", "text", "after", "none"]
    assert "word of the server" in injected["statements"][0]["text"]
    assert [(call["name"], call["beside"]) for call in incident["calls"]] == [("send_mail", False), ("read_page", True)]


@pytest.mark.requirement("E2")
def test_a_retry_is_found_from_either_call_also_where_no_trace_joins_them(tmp_path):
    home = tmp_path / "home"
    world = incidents.World(home, incidents.rule("pay", 3, "low"))
    world.serves(incidents.tool("pay", "Pays.", {"to": "string"}))
    with world.session() as session:
        session.call("pay", to="bob")
        session.call("pay", to="bob")
        session.end()
    first, again = (e["call_id"] for e in incidents.attempts(home))

    later = incidents.seen(home, again)["answers"][4]["statements"]
    assert "call 1 repeats call 2" in next(one["text"] for one in later if one["topic"] == "repeat")
    earlier = incidents.seen(home, first)["answers"][4]["statements"]
    assert "call 2 repeats call 1" in next(one["text"] for one in earlier if one["topic"] == "repeat")


@pytest.mark.requirement("E2")
def test_what_a_recorder_that_died_left_open_is_not_known_also_once_it_was_closed(tmp_path):
    home = tmp_path / "home"
    start = incidents.orphaned(home)
    assert onrecord(home, "run", "--", "true").returncode == 0  # closes what was left open

    incident = incidents.seen(home, start)
    (outcome,) = [one for one in incident["answers"][4]["not_known"] if one["topic"] == "outcome"]
    assert "whether it took effect" in outcome["text"]
    assert "recorder_died" in outcome["why"]
    assert [call["status"] for call in incident["calls"]] == ["unknown"]


@pytest.mark.requirement("E2")
def test_a_person_is_found_by_name_and_by_pseudonym_within_a_time(tmp_path):
    import getpass

    home = tmp_path / "home"
    incidents.retried(home)
    user = incidents.attempts(home)[0]["user_id"]

    by_name = incidents.seen(home, getpass.getuser())
    by_pseudonym = incidents.seen(home, user)
    assert (by_name["kind"], by_name["subject"]) == ("user", user)
    assert by_name["calls"] == by_pseudonym["calls"]
    assert getpass.getuser() not in json.dumps(by_name).replace(str(home), "")
    assert onrecord(home, "incident", user, "--until", "2026-01-01").returncode == 1


@pytest.mark.requirement("E2")
def test_a_finding_of_another_kind_is_no_sign_of_injection(tmp_path):
    home = tmp_path / "home"
    start = incidents.retried(home)
    assert '"repeated-risky-call"' in onrecord(home, "alerts", "--json").stdout

    injected = incidents.seen(home, start)["answers"][5]["statements"]
    (other,) = [one for one in injected if "repeated-risky-call" in one["text"]]
    assert (other["topic"], other["worth"]) == ("security", "fact")
    assert other["text"].startswith("a finding of another kind, by the rule repeated-risky-call, medium: ")
    assert [one for one in injected if one["worth"] == "sign"] == []


@pytest.mark.parametrize("known", ["AML.T0051", "AML.T0051.001", "LLM01", "LLM01:2025", "mcp_tool_poisoning", "ASI01"])
def test_an_attack_by_what_a_model_reads_has_several_names(known):
    assert is_of_injection(["AML.T0048", known])
    assert not is_of_injection(["AML.T0048", "LLM02:2025", "ASI02"])


@pytest.mark.requirement("E2")
def test_what_a_rule_found_and_what_people_said_of_it_stand_in_the_report_and_lead_to_it(tmp_path):
    home = tmp_path / "home"
    start = incidents.injected(home)
    found = [json.loads(line) for line in onrecord(home, "alerts", "--json").stdout.splitlines()]
    finding = next(each["event_id"] for each in found if each["rule"] == "sent-after-flagged")
    assert onrecord(home, "alerts", "acknowledge", finding).returncode == 0

    injected = incidents.seen(home, start)["answers"][5]
    topics = [one["topic"] for one in injected["statements"]]
    assert {"flagged", "after", "finding", "review"} <= set(topics)
    assert all(one["worth"] == "sign" for one in injected["statements"] if one["topic"] == "finding")
    assert finding in next(one["text"] for one in injected["statements"] if one["topic"] == "review")
    led = incidents.seen(home, finding)
    assert (led["kind"], [call["name"] for call in led["calls"] if not call["beside"]]) == ("event", ["send_mail"])
