# SPDX-License-Identifier: Apache-2.0
"""What the incident view says of approvals by others, and of records with holes: real guards, real ledgers, no door."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.deciding_world import PLANTED, Scene, World

from onrecord.event.call import Raw
from onrecord.event.event import Event
from onrecord.event.redacted import own_fact
from onrecord.event.schema import read_event
from onrecord.ledger.lines import lines_from
from onrecord.ledger.place import Home
from onrecord.views.answers import Answers
from onrecord.views.incident import markdown, page, plain
from onrecord.views.incident.answering import incident_of
from onrecord.views.incident.gathering import Asked, Source, gather, time_in
from onrecord.views.incident.model import Incident
from onrecord.views.incident.seen import Gathered, Seen
from onrecord.views.scan import Scan


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("decided")


@pytest.fixture(scope="module")
def world(folder):
    return World(folder)


def scene(world: World, mode: str = "enforce") -> Scene:
    return Scene(world, mode, 3, "none required", "asks")


def incident(folder, which: str = "", users: tuple[str, ...] = ()) -> Incident:
    log = Home(folder).log()
    sources = [Source(ledger="", log="calls", answers=Answers(log, [Scan(log)]))]
    gathered = gather(sources, Asked(which=which, users=users))
    assert gathered is not None
    return incident_of(gathered)


def said(found: Incident, question: str) -> dict[str, str]:
    """Return what is said to a question, by topic."""
    (answer,) = [one for one in found.answers if one.name == question]
    return {one.topic: one.text for one in answer.statements}


@pytest.mark.requirement("E2")
def test_what_would_run_is_not_what_was_approved(world, folder):
    at = scene(world)
    held = at.wait()
    at.vote(held)
    at.make(held, arguments=Raw({f"{PLANTED}_key": "something else"}))

    found = incident(folder, held.statement.id)
    approved, changed = said(found, "approved"), said(found, "changed")
    assert "is not what was approved, and it did not run" in approved["mismatch"]
    assert "approval_refused" in approved["refused"]
    assert "what would run is not what was asked for" in approved["refused"]
    assert "blocked (approval_mismatch)" in changed["nothing"]
    assert "approval_refused" in said(found, "injected")["security"]


@pytest.mark.requirement("E2")
def test_a_vote_of_somebody_else_is_told_with_who_it_was_and_that_it_is_independent(world, folder):
    at = scene(world)
    held = at.wait()
    at.vote(held, by="u_other", tenant="elsewhere")
    at.vote(held, by="u_boss")
    at.look(held)

    approved = said(incident(folder, held.statement.call_id), "approved")
    assert approved["vote"].startswith("approved by u_boss")
    assert "independent of who asked" in approved["vote"]
    assert "not independent" not in approved["vote"]
    assert "vote_refused" in approved["refused"]
    assert "what was let through is what was approved" in approved["used"]


@pytest.mark.requirement("E2")
def test_what_did_not_count_for_another_request_of_the_session_is_not_told_of_this_one(world, folder):
    at = scene(world)
    held = at.wait()
    other = at.ask(arguments=Raw({f"{PLANTED}_key": "another", "number": 7}))
    assert other is not None
    at.vote(other)
    at.make(other, arguments=Raw({f"{PLANTED}_key": "something else"}))

    assert "refused" not in said(incident(folder, held.statement.call_id), "approved")
    assert "approval_refused" in said(incident(folder, other.statement.call_id), "approved")["refused"]


@pytest.mark.requirement("E2")
def test_that_no_approval_was_needed_is_not_said_where_no_decision_is_on_the_record():
    event = Event(event_type="tool_call", phase="attempt", call_id="c", event_id="e", timestamp="2026-11-21T09:00:00Z")
    seen = [Seen(ledger="", log="calls", event=event)]

    found = incident_of(Gathered(kind="call", subject="c", seen=seen, ledgers=("",)))

    (approved,) = [one for one in found.answers if one.name == "approved"]
    assert approved.statements == ()
    assert [one.text for one in approved.not_known] == ["whether it needed an approval"]


@pytest.mark.requirement("E2")
@pytest.mark.parametrize("summary", ["[" * 5_000 + "]" * 5_000, '{"a":' * 5_000 + "1" + "}" * 5_000])
def test_a_summary_that_is_too_deep_to_be_read_is_told_as_text(summary):
    event = Event(
        event_type="tool_call",
        phase="attempt",
        call_id="c",
        event_id="e",
        timestamp="2026-11-21T09:00:00Z",
        arg_keys=("a",),
        input_summary=summary,
    )
    seen = [Seen(ledger="", log="calls", event=event)]

    found = incident_of(Gathered(kind="call", subject="c", seen=seen, ledgers=("",)))

    assert any("…" in line for line in plain.lines(found))


@pytest.mark.requirement("E2")
def test_what_a_person_has_approved_is_not_taken_for_what_they_asked_for(world, folder):
    at = scene(world)
    held = at.wait()
    at.vote(held, by="u_chair")
    at.look(held)

    found = incident(folder, users=("u_chair",))
    assert [(call.call_id, call.beside) for call in found.calls] == [(held.statement.call_id, True)]
    assert "approved by u_chair" in said(found, "approved")["vote"]
    assert set(said(found, "changed")) == set()
    assert "u_asker" not in "".join(said(found, "who").values())


@pytest.mark.requirement("E2")
def test_a_request_that_nobody_decided_is_told_as_that(world, folder):
    at = scene(world)
    held = at.wait()

    (approved,) = [one for one in incident(folder, held.statement.id).answers if one.name == "approved"]
    assert [(one.topic, one.text) for one in approved.not_known] == [("vote", "what was decided")]
    assert "unused" in {one.topic for one in approved.statements}


@pytest.mark.requirement("E2")
def test_that_the_record_itself_has_a_gap_is_said(world, folder):
    at = scene(world)
    held = at.wait()
    whole = incident(folder, held.statement.id)
    world.recorder.guard.note(own_fact("gap", event_id=world.recorder.guard.new_id(), action="spooled"))

    with_gap = incident(folder, held.statement.id)
    assert [one for one in whole.remarks if "something is missing" in one] == []
    assert [one for one in with_gap.remarks if "something is missing" in one]
    assert "gap spooled" in [one.text for one in with_gap.timeline if one.beside]


@pytest.fixture(scope="module")
def recorded(world, folder):
    """All that stands on the record of a few scenes: flagged output, votes, refusals, calls that repeat others."""
    at = scene(world)
    held = at.wait()
    at.vote(held)
    at.look(held)
    at.taint()
    at.ask()
    scene(world, "observe").ask()
    scene(world, "no channel").ask()
    return [read_event(line.data) for line in lines_from(Home(folder).log())]


@pytest.mark.requirement("E2")
@given(data=st.data())
def test_of_any_part_of_a_record_each_form_is_made_and_nothing_is_cited_that_is_not_there(recorded, data):
    begin = data.draw(st.integers(0, len(recorded) - 1))
    some = recorded[begin : begin + data.draw(st.integers(1, 30))]
    kept = [event for event in some if data.draw(st.booleans())] or some[:1]
    beside = [data.draw(st.booleans()) for _ in kept[1:]]
    seen = [Seen(ledger="", log="calls", event=e, beside=b) for e, b in zip(kept, [False, *beside], strict=True)]

    found = incident_of(Gathered(kind="session", subject="s", seen=seen, ledgers=("",)))
    there = {one.cite for one in seen}
    for answer in found.answers:
        for one in (*answer.statements, *answer.not_known):
            assert set(one.cites) <= there
        assert all(one.cites for one in answer.statements)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Incident) == found
    for text in ("\n".join(plain.lines(found)), markdown.text(found), page.text(found)):
        assert all(entry.cite.event_id in text.replace("&#45;", "-") for entry in found.timeline)


@given(st.text(max_size=40) | st.uuids().map(str))
def test_only_an_id_that_carries_its_time_has_one(text):
    at_us = time_in(text)
    assert at_us is None or (at_us >= 0 and text.replace("-", "")[12] == "7")
