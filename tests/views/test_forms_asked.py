# SPDX-License-Identifier: Apache-2.0
"""`onrecord query --format ocsf` and its likes: what people ask for, what they get, and that the access log says so."""

import json

import pytest
from tests.cli.test_access import accesses
from tests.doors.session import Session, onrecord
from tests.views.exports import HOSTILE, ocsf_faults

from onrecord.views.forms.offered import EXPORTS


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    path = tmp_path_factory.mktemp("given-out")
    (path / "onrecord.toml").write_text('[[tool]]\ntool = "*"\nclassification = "low"\ntier = 1\n')
    with Session(path) as session:
        for text in ("plain", *HOSTILE):
            session.call("echo", text=text)
        session.end()
    return path


def ask(home, *arguments):
    asked = onrecord(home, *arguments)
    assert "Traceback" not in asked.stderr
    return asked


def lines(asked):
    return [json.loads(line) for line in asked.stdout.splitlines()]


@pytest.mark.requirement("B7", "E1")
@pytest.mark.parametrize("form", EXPORTS)
def test_each_form_is_one_object_a_line_and_nothing_in_it_acts(home, form):
    asked = ask(home, "query", "--tool", "echo", "--format", form)

    assert asked.returncode == 0
    assert asked.stdout.isascii()
    assert all(line.isprintable() and not set("<>&") & set(line) for line in asked.stdout.splitlines())
    assert len(lines(asked)) >= 2 * (1 + len(HOSTILE))


def test_what_is_asked_for_is_what_is_given_out(home):
    asked = ask(home, "search", "plain", "--phase", "result", "--format", "ocsf")

    (made,) = lines(asked)
    assert ocsf_faults(made) == []
    assert made["metadata"]["event_code"] == "tool_call.result"
    assert "plain" in made["api"]["response"]["data"]["summary"]


def test_a_trail_is_in_the_order_of_the_log_whichever_end_is_asked_for(home):
    newest = lines(ask(home, "query", "--tool", "echo", "--limit", "4", "--format", "aat"))
    oldest = lines(ask(home, "query", "--tool", "echo", "--limit", "4", "--format", "aat", "--oldest-first"))

    for trail in (newest, oldest):
        places = [record["action_detail"]["seq"] for record in trail if "seq" in record["action_detail"]]
        assert places == sorted(places)
    assert newest[1]["action_detail"]["seq"] > oldest[-2]["action_detail"]["seq"]


def test_the_access_log_says_in_which_form_it_was_given_out(home):
    ask(home, "query", "--tool", "echo", "--format", "ecs", "--limit", "3")
    ask(home, "query", "--tool", "echo", "--format", "csv", "--limit", "3")

    ecs, csv = [event["detail"] for event in accesses(home) if event["action"] == "query"][-2:]
    assert (ecs["form"], ecs["count"], json.loads(ecs["filter"])) == ("ecs", "3", {"tool_name": ["echo"]})
    assert "form" not in csv


@pytest.mark.parametrize("option", [("--by", "tool_name"), ("--count",), ("--columns", "tool_name")])
def test_a_form_is_of_whole_events(home, option):
    asked = ask(home, "query", "--format", "otlp", *option)

    assert (asked.returncode, asked.stdout) == (2, "")
    assert f"leave out {option[0]}" in asked.stderr
    assert len(asked.stderr.splitlines()) == 1


def test_a_form_that_there_is_not_is_said(home):
    asked = ask(home, "query", "--format", "cef")

    assert asked.returncode == 2
    assert "cef" in asked.stderr


def test_nothing_that_fits_is_nothing_given_out(home):
    for form in EXPORTS:
        asked = ask(home, "query", "--tool", "nobody", "--format", form)
        assert (asked.returncode, asked.stdout) == (1, "")
        assert "nothing on the record is like that" in asked.stderr


def test_the_access_log_can_be_given_out_too(home):
    ask(home, "query", "--tool", "echo")
    made = lines(ask(home, "query", "--log", "access", "--type", "access", "--format", "ocsf"))

    assert {each["class_uid"] for each in made} == {1008}
    assert [fault for each in made for fault in ocsf_faults(each)] == []
