# SPDX-License-Identifier: Apache-2.0
"""Events in the forms of standards: each is what the standard's own schema, or somebody else's reader, takes."""

import base64
import copy
import itertools
import json
import re
from pathlib import Path
from typing import get_args

import aat as drafts_author
import msgspec
import pytest
from google.protobuf.json_format import ParseDict, ParseError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from tests.views.exports import CALL, HOSTILE, KNOWN, any_event, each_kind, ocsf_faults, pinned, recorded

from onrecord.event.event import Event, EventType
from onrecord.rules.rendering import json_text
from onrecord.views.forms.aat import DRAFT, trails
from onrecord.views.forms.cloudevents import cloudevent
from onrecord.views.forms.ecs import ecs
from onrecord.views.forms.ocsf import ocsf
from onrecord.views.forms.offered import EXPORTS, exported
from onrecord.views.forms.otlp import otlp
from onrecord.views.signals import rule as rule_module
from onrecord.views.signals.finding import Finding
from onrecord.views.signals.queue import Item, Said, saying
from onrecord.views.signals.rule import read_rules

RULES = Path(rule_module.__file__).with_name("rules.toml")
replace = msgspec.structs.replace
often = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> list[Event]:
    """What is on a record after calls that ran, failed, were denied, approved or refused, and after looks at it."""
    return recorded(tmp_path_factory.mktemp("exported") / "home")


def test_the_real_record_has_what_these_tests_are_about(real):
    types = {(event.event_type, event.phase or event.action) for event in real}
    assert types >= {
        *(("tool_call", phase) for phase in ("attempt", "decision", "result")),
        *(("resource_read", "result"), ("prompt_get", "result"), ("request", "result")),
        *(("approval", "approval"), ("authentication", "verify"), ("authentication", "refuse")),
        *(("security", "message_refused"), ("access", "query"), ("access", "export"), ("log_open", "")),
    }
    assert {event.action for event in real if event.event_type == "approval"} == {"requested", "approved", "rejected"}


@pytest.mark.parametrize("form", EXPORTS)
def test_one_call_in_each_form_is_what_it_was(form):
    assert pinned(form) == (KNOWN / f"{form}.json").read_text(encoding="utf-8")


# -------------------------------------------------------------------------------------------- OCSF


def test_every_event_of_a_real_record_is_valid_ocsf(real):
    assert [fault for event in real for fault in ocsf_faults(ocsf(event))] == []


def test_every_type_phase_and_action_is_valid_ocsf():
    assert [fault for event in each_kind() for fault in ocsf_faults(ocsf(event))] == []


@often
@given(any_event)
def test_any_event_is_valid_ocsf(event):
    assert ocsf_faults(ocsf(event)) == []


@pytest.mark.parametrize(
    ("at", "fault"),
    [
        (lambda made: made.pop("src_endpoint"), "'src_endpoint' is a required property"),
        (lambda made: made["api"].pop("operation"), "'operation' is a required property"),
        (lambda made: made.update(tool_name="x"), "'tool_name' was unexpected"),
        (lambda made: made["actor"].update(agent="x"), "'agent' was unexpected"),
        (lambda made: made.update(risk_level_id=5), "5 is not one of"),
        (lambda made: made.update(time="2026-11-21T09:00:00Z"), "is not of type 'integer'"),
        (lambda made: made["src_endpoint"].update(ip="nowhere"), "does not match"),
        (lambda made: made["metadata"]["profiles"].remove("trace"), "'trace' was unexpected"),
    ],
)
def test_the_schema_that_checks_ocsf_finds_what_is_wrong(at, fault):
    made = copy.deepcopy(ocsf(CALL[0]))
    assert ocsf_faults(made) == []
    at(made)
    assert any(fault in each for each in ocsf_faults(made))


def test_each_type_of_event_has_a_class_of_ocsf():
    classes = {each: ocsf(Event(event_type=each))["class_uid"] for each in get_args(EventType)}
    assert {name for name, uid in classes.items() if uid == 6003} == {
        *("tool_call", "resource_read", "prompt_get", "completion", "sampling", "elicitation", "task", "request"),
        *("connection", "policy_decision"),
    }
    assert {name: classes[name] for name in ("security", "approval", "access", "authentication", "install")} == {
        "security": 2004,
        "approval": 3004,
        "access": 1008,
        "authentication": 3002,
        "install": 6002,
    }


def test_a_finding_says_its_rule_its_severity_and_its_techniques_in_ocsf():
    detail = {"rule": "denied-burst", "title": "denied again and again", "severity": "high", "why": "5 in 10 minutes"}
    finding = Event(
        event_id="f1", event_type="security", action="signal:denied-burst", detail=detail | {"atlas": ["AML.T0084.001"]}
    )
    made = ocsf(finding)
    assert ocsf_faults(made) == []
    assert made["finding_info"] == {
        "uid": "f1",
        "title": "denied again and again",
        "desc": "5 in 10 minutes",
        "analytic": {"uid": "denied-burst", "type_id": 1, "type": "Rule"},
    }
    assert (made["severity_id"], made["severity"], made["activity_name"]) == (4, "High", "Create")
    assert made["attacks"] == [{"technique": {"uid": "AML.T0084"}, "sub_technique": {"uid": "AML.T0084.001"}}]
    detail = {"finding": "f1", "reason": "a test of ours"}
    closed = ocsf(Event(event_id="s1", event_type="security", action="closed", detail=detail))
    assert (closed["activity_id"], closed["finding_info"]["uid"], closed["severity_id"]) == (3, "f1", 0)
    assert closed["comment"] == "a test of ours"


def test_a_finding_of_each_rule_and_what_people_say_of_it_is_valid_ocsf():
    rules = read_rules(RULES.read_text(encoding="utf-8"), "rules.toml")
    assert len(rules) > 10
    for rule in rules:
        finding = Finding(rule=rule, at_us=1_795_251_600_000_000, events=("e1",), count=1, seq=7, why="once").event()
        made = ocsf(finding)
        assert ocsf_faults(made) == []
        assert made["severity"].lower() == rule.severity
        assert made["finding_info"]["analytic"]["uid"] == rule.id
        assert len(made.get("attacks", ())) == len(rule.atlas)
        for said in get_args(Said):
            later = ocsf(saying(Item(finding), said))
            assert ocsf_faults(later) == []
            assert later["finding_info"]["uid"] == made["finding_info"]["uid"]
            assert later["activity_name"] == ("Close" if said == "closed" else "Update")


@pytest.mark.parametrize(
    ("said", "disposition"),
    [
        ({"phase": "attempt", "policy_decision": "allow"}, (1, 1)),
        ({"phase": "attempt", "policy_decision": "deny"}, (2, 2)),
        ({"phase": "attempt", "policy_decision": "needs_approval"}, (0, 14)),
        ({"phase": "result", "result_status": "succeeded"}, (3, 17)),
        ({"phase": "result", "result_status": "failed"}, (3, 27)),
        ({"phase": "result", "result_status": "blocked"}, (2, 2)),
        ({"event_type": "approval", "approval_decision": "approved"}, (1, 8)),
        ({"event_type": "approval", "approval_decision": "rejected"}, (2, 25)),
        ({"event_type": "authentication", "action": "refuse"}, (2, 26)),
        ({"event_type": "heartbeat"}, (None, None)),
    ],
)
def test_ocsf_says_what_was_done_about_it(said, disposition):
    made = ocsf(Event(**{"event_type": "tool_call", **said}))
    assert (made.get("action_id"), made.get("disposition_id")) == disposition


# --------------------------------------------------------------------------------------------- ECS

# What ECS 8.17 lets stand together, of the categories that we use.
ECS_TYPES = {
    "api": {"access", "admin", "allowed", "change", "creation", "deletion", "denied", "end", "info", "start", "user"},
    "authentication": {"start", "end", "info"},
    "configuration": {"access", "change", "creation", "deletion", "info"},
    "iam": {"admin", "change", "creation", "deletion", "group", "info", "user"},
    "intrusion_detection": {"allowed", "denied", "info"},
    "package": {"access", "change", "deletion", "info", "installation", "start"},
    "process": {"access", "change", "end", "info", "start"},
    "session": {"start", "end", "info"},
}


def check_ecs(made):
    assert made["ecs"] == {"version": "8.17.0"}
    assert made.keys() <= {
        *("@timestamp", "ecs", "event", "user", "organization", "client", "service", "rule", "error", "trace", "span"),
        "onrecord",
    }
    event = made["event"]
    assert event["kind"] in ("alert", "event")
    assert event.get("outcome") in (None, "success", "failure", "unknown")
    for category in event.get("category", ()):
        assert set(event["type"]) <= ECS_TYPES[category]
    assert ("type" in event) == ("category" in event)
    assert all(isinstance(made[name]["id"], str) for name in ("organization", "trace", "span") if name in made)
    assert made.get("user", {}).keys() <= {"id", "roles"}


def test_every_event_of_a_real_record_is_ecs(real):
    for event in real:
        made = ecs(event)
        check_ecs(made)
        assert made["@timestamp"] == event.timestamp
        assert made["event"]["id"] == event.event_id


@often
@given(any_event)
def test_any_event_is_ecs(event):
    check_ecs(ecs(event))


def test_ecs_says_how_a_call_ended_and_how_long_it_took_in_nanoseconds():
    made = ecs(CALL[1])["event"]
    assert (made["outcome"], made["duration"], made["type"]) == ("failure", 250_333_000, ["access"])
    assert ecs(CALL[0])["event"]["type"] == ["access", "allowed"]
    assert ecs(replace(CALL[0], policy_decision="deny"))["event"]["type"] == ["access", "denied"]


# ------------------------------------------------------------------------------------- CloudEvents

ATTRIBUTES = {"specversion", "id", "source", "type", "datacontenttype", "dataschema", "subject", "time", "traceparent"}
# CloudEvents 1.0.2, 3.1: what no attribute of type String may hold.
FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef]|[\U0001fffe\U0001ffff\ufffe\uffff]")
URI_REFERENCE = re.compile(r"(?:[A-Za-z0-9\-._~/]|%[0-9A-F]{2})+")


def check_cloudevent(made):
    assert made["specversion"] == "1.0"
    assert {"id", "source", "type"} <= made.keys() <= ATTRIBUTES | {"data"}
    for name in made.keys() - {"data"}:
        assert re.fullmatch("[a-z0-9]+", name)
        assert isinstance(made[name], str)
        assert made[name] != ""
        assert not FORBIDDEN.search(made[name])
    assert URI_REFERENCE.fullmatch(made["source"])
    if "time" in made:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", made["time"])
    if "traceparent" in made:
        assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-00", made["traceparent"])


def test_every_event_of_a_real_record_is_a_cloudevent_with_the_event_as_it_is(real):
    for event in real:
        made = cloudevent(event)
        check_cloudevent(made)
        assert msgspec.convert(made["data"], Event) == event
    assert len({(made["source"], made["id"]) for made in map(cloudevent, real)}) == len(real)


@often
@given(any_event)
def test_any_event_is_a_cloudevent(event):
    check_cloudevent(cloudevent(event))


def test_names_that_could_pass_for_more_stay_one_part_of_the_source():
    made = cloudevent(Event(tenant_id="a/b?c#d", server_id="../e"))
    assert made["source"] == "/a%2Fb%3Fc%23d/..%2Fe"
    assert cloudevent(Event())["source"] == "/-/-"


# -------------------------------------------------------------------------------------------- OTLP


def as_a_collector_reads(made) -> ExportLogsServiceRequest:
    """Return what OTLP/JSON says. Its ids are hex, where the mapping of protobuf has base64."""
    made = copy.deepcopy(made)
    for record in made["resourceLogs"][0]["scopeLogs"][0]["logRecords"]:
        for name in record.keys() & {"traceId", "spanId"}:
            record[name] = base64.b64encode(bytes.fromhex(record[name])).decode()
    return ParseDict(made, ExportLogsServiceRequest())


def the_record(request: ExportLogsServiceRequest):
    (resource,) = request.resource_logs
    (scope,) = resource.scope_logs
    (one,) = scope.log_records
    return one


def test_a_collector_reads_every_event_of_a_real_record(real):
    for event in real:
        one = the_record(as_a_collector_reads(otlp(event)))
        said = {pair.key: pair.value for pair in one.attributes}
        assert len(said) == len(one.attributes)
        assert one.event_name.startswith("onrecord.audit.")
        assert said["log.record.uid"].string_value == event.event_id
        assert said["onrecord.audit.chain.seq"].int_value == event.seq
        assert (one.trace_id.hex(), one.span_id.hex()) == (event.trace_id, event.span_id)
        assert one.time_unix_nano % 1_000_000_000 == int(event.timestamp[20:26]) * 1000


@often
@given(any_event)
def test_a_collector_reads_any_event(event):
    one = the_record(as_a_collector_reads(otlp(event)))
    names = [pair.key for pair in one.attributes]
    assert len(set(names)) == len(names)


def test_a_collector_does_not_read_what_is_wrong():
    made = otlp(CALL[0])
    made["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["tool"] = "x"
    with pytest.raises(ParseError):
        as_a_collector_reads(made)


def test_no_attribute_of_otlp_is_both_a_value_and_a_name_above_others():
    """Stores that make objects of dotted names can't keep such a pair."""
    names = {pair["key"] for event in [*CALL, *WHOLE] for pair in records_of(otlp(event))[0]["attributes"]}
    assert [pair for pair in itertools.permutations(sorted(names), 2) if pair[1].startswith(f"{pair[0]}.")] == []


def records_of(made):
    return made["resourceLogs"][0]["scopeLogs"][0]["logRecords"]


def test_names_of_events_are_few_and_hold_no_text_from_outside(real):
    names = {records_of(otlp(event))[0]["eventName"] for event in [*real, *each_kind()]}
    assert all(re.fullmatch(r"onrecord\.audit(\.[a-z_]+){1,2}", name) for name in names)
    assert len(names) < 60
    hostile = Event(event_type="approval", action=HOSTILE[0])
    assert records_of(otlp(hostile))[0]["eventName"] == "onrecord.audit.approval.changed"


# --------------------------------------------------------------------------------------------- AAT

WHOLE = (
    Event(event_type="approval", action="requested", approval_id="a", approver_roles=("r",), late=True),
    Event(event_type="security", action="x", detail={"a": {"b": [1, 2.5, None]}}, ext={"c": "d"}),
)


def by_session(records):
    return [list(group) for _, group in itertools.groupby(records, key=lambda record: record["session_id"])]


def check_trail(trail):
    """Check a trail by the draft's author's own package, and what it does not look at by hand."""
    sound, why = drafts_author.verify_chain(trail)
    assert sound, why
    for record in trail:
        assert record.keys() == set(drafts_author.MANDATORY)
        assert record["action_type"] in drafts_author.ACTION_TYPES
        denied = record["action_type"] in ("decision", "delegation") and record["outcome"] in ("denied", "escalated")
        assert not denied or record["record_phase"] == "pre_execution"
        check_whole_numbers(record)
    assert trail[0]["action_detail"]["draft"] == DRAFT
    assert trail[-1]["action_detail"]["record_count"] == len(trail)


def check_whole_numbers(value):
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            check_whole_numbers(each)
    else:
        assert not isinstance(value, float)
        assert not isinstance(value, int) or abs(value) < 2**53


def test_real_sessions_are_trails_to_the_author_of_the_draft(real):
    trails_of = by_session(trails(real))
    assert len(trails_of) >= 3
    for trail in trails_of:
        check_trail(trail)
    everything = [record for trail in trails_of for record in trail]
    assert len({record["record_id"] for record in everything}) == len(everything)
    assert {event.event_id for event in real} <= {record["action_detail"].get("event_id") for record in everything}


def test_real_sessions_hold_by_the_rules_of_an_older_revision_but_for_signatures(real):
    verifier = pytest.importorskip("pramiti_mcp_verify.verifier")
    for trail in by_session(trails(real)):
        checks = verifier.verify_aat_chain(trail)["checks"]
        assert {name for name, holds in checks.items() if holds is False} == {"signatures"}
        assert checks["signatures_skipped_unsigned"] == "every record unsigned"


@pytest.mark.parametrize("at", ["outcome", "action_detail", "record_id"])
def test_a_trail_that_was_changed_does_not_hold(real, at):
    trail = max(by_session(trails(real)), key=len)
    trail[3] = {**trail[3], at: {} if at == "action_detail" else "failure"}
    assert not drafts_author.verify_chain(trail)[0]


def test_a_response_names_the_call_that_it_answers(real):
    records = list(trails(real))
    calls = {record["record_id"]: record for record in records if record["action_type"] == "tool_call"}
    responses = [record for record in records if record["action_type"] == "tool_response"]
    assert len(responses) > 5
    for response in responses:
        call = calls[response["action_detail"]["parent_call_id"]]
        assert call["action_detail"]["call_id"] == response["action_detail"]["call_id"]


def test_a_decision_is_a_record_of_its_own_and_comes_before_the_call_runs(real):
    decisions = [record for record in trails(real) if record["action_type"] == "decision"]
    assert {record["outcome"] for record in decisions} == {"success", "denied", "escalated"}
    assert {record["record_phase"] for record in decisions} == {"pre_execution"}


def test_the_same_events_make_the_same_trail_and_the_ids_are_of_version_4(real):
    once, again = list(trails(real)), list(trails(real))
    assert once == again
    uuid4 = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
    assert all(uuid4.fullmatch(record[name]) for record in once for name in ("record_id", "session_id"))


@often
@given(st.lists(any_event, min_size=1, max_size=4))
def test_any_events_are_trails(events):
    for trail in by_session(trails(events)):
        check_trail(trail)


# --------------------------------------------------------------------------------------- all forms


@pytest.mark.requirement("B7")
@pytest.mark.parametrize("form", EXPORTS)
@often
@given(event=any_event)
def test_text_from_outside_stays_inside_the_escapes_of_one_line(form, event):
    for made in exported([event], form):
        line = json_text(made)
        assert line.isascii()
        assert line.isprintable()
        assert not set("<>&") & set(line)
        assert json.loads(line) == made


@pytest.mark.parametrize("form", EXPORTS)
def test_no_event_of_a_real_record_takes_on_what_is_not_on_the_record(form, real):
    """What stands in a form is said by the event, or is of the standard, which is short and the same for all."""
    for event in real:
        said = json.dumps(msgspec.to_builtins(event))
        for text in long_texts(list(exported([event], form))):
            assert text in said or json.dumps(text)[1:-1] in said or text in ALLOWED or DERIVED.search(text), text


ALLOWED = {
    "begins what was exported of a session; the session may have begun before",
    "ends what was exported of a session; the session may go on",
    DRAFT,
}
# ids and digests that the AAT form makes; what is put together of parts of the event
DERIVED = re.compile(
    "^(?:[0-9a-f-]{36}|[0-9a-f]{64}|urn:onrecord:.*|/[^ ]*|00-[0-9a-f-]+|[0-9]+|onrecord[.a-z_ 0-9]*|[a-z_.]+)$"
)


def long_texts(value):
    """Yield the texts of 20 characters or more, but for the names of OCSF's classes."""
    if isinstance(value, dict):
        yield from long_texts([each for name, each in value.items() if name not in ("class_name", "category_name")])
    elif isinstance(value, list):
        for each in value:
            yield from long_texts(each)
    elif isinstance(value, str) and len(value) >= 20:
        yield value
