# SPDX-License-Identifier: Apache-2.0
"""The published schema, and the reading of lines of any version."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ledger.logs import entry, log_in

from onrecord.errors import NotVerified
from onrecord.event.event import SCHEMA_VERSION, Event, EventType
from onrecord.event.redacted import own_fact
from onrecord.event.schema import UPCASTS, Fields, lift, read_event, schema_text

pytestmark = pytest.mark.requirement("A1")

PUBLISHED: dict[str, Any] = json.loads(files("onrecord.event").joinpath("event.schema.json").read_text())
COLUMNS: dict[str, Any] = PUBLISHED["$defs"]["Event"]["properties"]
is_valid = jsonschema.Draft202012Validator(PUBLISHED).is_valid


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Return the lines of a real log with an event of each type in it."""
    log = log_in(tmp_path_factory.mktemp("home"))
    ledger = log.open()
    for event_type in get_args(EventType):
        ledger.append(entry(event_type=event_type))
    ledger.append(own_fact("heartbeat", event_id="h"))
    ledger.append(entry(**FULL))
    ledger.close()
    with log.file.open("ab") as file:
        file.write(b"torn")
    log.write(1)
    return log.lines()


FULL: dict[str, Any] = {
    "phase": "result",
    "round": 2,
    "risk_tier": 0,
    "latency_us": 0,
    "input_size": 0,
    "approval_execution_match": False,
    "output_sanitised": False,
    "policy_decision": "needs_approval",
    "result_status": "input_required",
    "approval_decision": "escalated",
    "identity_assurance": "phishing_resistant",
    "direction": "server_to_client",
    "late": True,
    "detail": {"a": 1},
    "ext": {"acme.com/ticket": {"id": [1, None, "x"]}},
}


# The file


def test_the_published_file_is_the_text_that_is_generated() -> None:
    text = files("onrecord.event").joinpath("event.schema.json").read_text(encoding="utf-8")
    assert text == schema_text(), "run: make schema"


def test_the_published_file_is_a_json_schema_of_the_draft_that_it_names() -> None:
    assert PUBLISHED["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert PUBLISHED["$id"] == f"urn:onrecord:event:{SCHEMA_VERSION}"
    jsonschema.Draft202012Validator.check_schema(PUBLISHED)


def test_every_key_is_described() -> None:
    assert [name for name, column in COLUMNS.items() if not column.get("description")] == []


def test_every_line_of_a_real_log_is_valid(lines: list[bytes]) -> None:
    assert len(lines) > 30
    for line in lines:
        jsonschema.Draft202012Validator(PUBLISHED).validate(json.loads(line))


def test_every_line_names_its_type(lines: list[bytes]) -> None:
    written = {json.loads(line)["event_type"] for line in lines}
    assert written == set(get_args(EventType))


@pytest.mark.parametrize(
    "change",
    [
        {"surprise": 1},
        {"seq": -1},
        {"seq": "1"},
        {"wseq": -1},
        {"event_type": "gossip"},
        {"event_type": ""},
        {"phase": "afterwards"},
        {"phase": ""},
        {"risk_tier": 5},
        {"risk_tier": None},
        {"arg_keys": "path"},
        {"arg_keys": [1]},
        {"late": "yes"},
        {"detail": []},
        {"ext": "x"},
    ],
)
def test_what_no_ledger_would_write_is_not_valid(lines: list[bytes], change: dict[str, object]) -> None:
    fields = json.loads(lines[1])
    assert is_valid(fields)
    assert not is_valid(fields | change)


@pytest.mark.parametrize(
    "name", ["schema_version", "seq", "prev_hash", "timestamp", "wid", "wseq", "event_id", "event_type"]
)
def test_a_line_without_what_every_line_has_is_not_valid(lines: list[bytes], name: str) -> None:
    fields = json.loads(lines[1])
    del fields[name]
    assert not is_valid(fields)


# Its keys

A2 = """
event_id call_id correlation_id trace_id span_id timestamp event_type phase
user_id tenant_id identity_source identity_assurance client_name client_version client_ip session_id
server_id method tool_name resource_uri prompt_name tool_definition_hash downstream_resource recipient
model model_step_id prompt_hash
risk_tier data_classification
input_summary arg_keys input_hash
scope_required scope_present policy_decision policy_reason policy_id policy_version
consent_user consent_client consent_scope consent_downstream
approval_id approval_version approval_approver approval_role approval_prompt_version approval_fields_shown
approval_decision approval_preview_hash approval_execution_match
result_status error_type latency_us output_summary output_size output_type output_source output_sanitised
suspicious_signals
before_summary after_summary rollback_reference idempotency_key fields_returned data_kinds content_reference
redaction_policy sensitive_fields retention_class ext
schema_version seq prev_hash
"""

A3 = """
tool_call resource_read prompt_get completion sampling elicitation task recorder_start recorder_stop install
uninstall connection authentication policy_decision approval configuration tool_definition security access
retention key heartbeat delivery_failure
"""


@pytest.mark.requirement("A2")
def test_an_event_has_a_key_for_everything_that_is_to_be_known() -> None:
    assert set(A2.split()) - COLUMNS.keys() == set()
    assert set(A2.split()) - set(Event.__struct_fields__) == set()


@pytest.mark.requirement("A2")
def test_an_event_says_who_was_asked_for_what_and_what_came_of_it(lines: list[bytes]) -> None:
    (full,) = [json.loads(line) for line in lines if b'"result_status"' in line]
    assert {name: full[name] for name in FULL} == FULL
    assert full["arg_keys"] == ["path"]
    assert full["user_id"] == "u_0123456789abcdef"


@pytest.mark.requirement("A3")
def test_each_kind_of_fact_has_an_event_type_of_its_own() -> None:
    assert set(A3.split()) - set(get_args(EventType)) == set()
    assert set(COLUMNS["event_type"]["enum"]) == set(get_args(EventType))


@pytest.mark.requirement("A3")
def test_each_phase_and_each_end_of_a_call_can_be_told() -> None:
    assert set(COLUMNS["phase"]["enum"]) == {"attempt", "decision", "approval", "result"}
    ends = {"succeeded", "failed", "blocked", "cancelled", "timed_out", "unknown", "accepted", "input_required"}
    assert set(COLUMNS["result_status"]["enum"]) == ends
    assert set(COLUMNS["policy_decision"]["enum"]) == {"allow", "deny", "needs_approval"}


# Lines of any age


def from_0_to_1(fields: Fields) -> Fields:
    """Lift a made-up older version, in which a tool was called `tool` and a tier had a name."""
    tiers = {"low": 1, "high": 3}
    renamed = {key: value for key, value in fields.items() if key not in ("tool", "tier")}
    return renamed | {"tool_name": fields["tool"], "risk_tier": tiers[fields["tier"]]}


OLD = {
    "schema_version": 0,
    "seq": 4,
    "prev_hash": "0" * 64,
    "timestamp": "2020-01-01T00:00:00.000000Z",
    "wid": "w",
    "wseq": 4,
    "event_id": "e",
    "event_type": "tool_call",
    "tool": "read",
    "tier": "high",
}


def test_a_line_of_an_older_version_is_lifted_to_the_current_one() -> None:
    event = read_event(json.dumps(OLD).encode(), upcasts={0: from_0_to_1})
    assert (event.schema_version, event.tool_name, event.risk_tier, event.seq) == (1, "read", 3, 4)


def test_a_line_is_lifted_over_several_versions_one_step_at_a_time() -> None:
    steps = {0: from_0_to_1, 1: lambda f: f | {"tool_name": f["tool_name"].upper()}, 2: lambda f: f | {"wid": "v3"}}
    event = read_event(json.dumps(OLD).encode(), upcasts=steps, current=3)
    assert (event.schema_version, event.tool_name, event.wid) == (3, "READ", "v3")
    newer = json.dumps(OLD | {"schema_version": 2, "tool_name": "read"}).encode()
    assert read_event(newer, upcasts=steps, current=3).tool_name == "read"


def test_an_older_line_that_would_read_as_a_current_one_is_lifted_all_the_same() -> None:
    line = {key: value for key, value in OLD.items() if key not in ("tool", "tier")} | {"user_id": "raw"}
    event = read_event(json.dumps(line).encode(), upcasts={0: lambda fields: fields | {"user_id": "lifted"}})
    assert event.user_id == "lifted"


def test_a_line_that_no_rule_lifts_is_refused() -> None:
    with pytest.raises(NotVerified, match="no rule lifts an event of schema_version 0"):
        read_event(json.dumps(OLD).encode())
    with pytest.raises(NotVerified, match="no rule lifts an event of schema_version 1"):
        read_event(json.dumps(OLD).encode(), upcasts={0: from_0_to_1}, current=2)


def test_a_line_of_a_newer_version_is_read_as_far_as_its_keys_are_known(lines: list[bytes]) -> None:
    newer = json.loads(lines[1]) | {"schema_version": 7, "quantum_state": {"up": True}}
    event = read_event(json.dumps(newer).encode())
    assert (event.schema_version, event.seq, event.tool_name) == (7, 1, "read_file")


def test_every_line_that_was_written_reads_back(lines: list[bytes]) -> None:
    for seq, line in enumerate(lines):
        assert read_event(line).seq == seq


def test_there_is_a_rule_for_each_version_before_the_current_one() -> None:
    assert set(UPCASTS) == set(range(1, SCHEMA_VERSION))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"schema_version":null}',
        b'{"schema_version":true}',
        b'{"schema_version":"1"}',
        b'{"schema_version":-1}',
        b'{"schema_version":1.0}',
        b'{"schema_version":1,"seq":"x"}',
        b'{"schema_version":1,"event_type":"gossip"}',
        b'{"schema_version":1,"wid":"\xff"}',
        b'{"schema_version":1,"wid":"\\ud800"}',
        b'{"schema_version":1,"ext":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
        b'{"schema_version":1',
        b"\xef\xbb\xbf{}",
        b"\x00",
    ],
)
def test_what_is_no_event_of_any_version_is_refused(line: bytes) -> None:
    with pytest.raises(NotVerified):
        read_event(line)


@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_reading_any_bytes_gives_an_event_or_a_typed_error(data: bytes) -> None:
    try:
        read_event(data)
    except NotVerified:
        pass


def test_a_line_is_never_lifted_below_itself() -> None:
    assert lift({"schema_version": 9}, {}, 1) == {"schema_version": 9}


def test_the_schema_is_part_of_the_package() -> None:
    assert Path(str(files("onrecord.event").joinpath("event.schema.json"))).is_file()
