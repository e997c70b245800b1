# SPDX-License-Identifier: Apache-2.0
"""How calls are classified: by the manifest, by annotations, by name, by default."""

from typing import Any

import msgspec
import pytest
from tests.rules.calls import call, connection, definition

from onrecord.rules.classify import ToolRule, Treatment, classify, warns


def tier_of(tool: str, **hints: Any) -> int:
    return classify(call(tool=tool, defined=definition(**hints)), []).tier


@pytest.mark.requirement("B4")
def test_an_unknown_tool_is_tier_2_and_medium() -> None:
    treatment = classify(call(known=False), [])

    assert (treatment.tier, treatment.classification, treatment.source) == (2, "medium", "default")
    assert treatment.fails_closed
    assert treatment.retention_class == "standard"


@pytest.mark.requirement("B4")
@pytest.mark.parametrize(
    ("tool", "hints", "tier"),
    [
        ("look_at", {}, 2),
        ("look_at", {"read_only": False}, 2),
        ("look_at", {"read_only": True}, 1),
        ("look_at", {"destructive": True}, 3),
        ("look_at", {"read_only": True, "destructive": True}, 3),
        ("look_at", {"destructive": False}, 2),
        ("delete_everything", {}, 3),
        ("delete_everything", {"read_only": True}, 3),
        ("delete_everything", {"destructive": False}, 3),
    ],
)
def test_annotations_lower_by_one_step_and_a_name_only_raises(tool: str, hints: dict[str, bool], tier: int) -> None:
    assert tier_of(tool, **hints) == tier


@pytest.mark.parametrize(
    "name", ["delete_user", "userDelete", "DELETE-USER", "fs.rm", "sendMail", "refundHTTPCharge", "ｄｅｌｅｔｅ_all"]
)
def test_a_verb_that_cannot_be_taken_back_warns_however_it_is_written(name: str) -> None:
    assert warns(name)


@pytest.mark.parametrize("name", ["list_deleted", "undelete", "sender_info", "get_users", "dropdown", "", "payload"])
def test_a_word_that_only_contains_such_a_verb_does_not_warn(name: str) -> None:
    assert not warns(name)


def test_a_name_too_long_to_read_warns() -> None:
    assert warns("x" * 300)


@pytest.mark.requirement("B4")
@pytest.mark.parametrize(
    ("event_type", "tier"),
    [
        ("resource_read", 1),
        ("prompt_get", 1),
        ("completion", 0),
        ("sampling", 1),
        ("elicitation", 1),
        ("task", 1),
        ("request", 2),
    ],
)
def test_requests_that_are_no_tool_calls_have_a_tier_of_their_own(event_type: Any, tier: int) -> None:
    assert classify(call(event_type=event_type, known=False), []).tier == tier


@pytest.mark.requirement("B4")
def test_the_manifest_outweighs_annotations_and_name() -> None:
    manifest = [ToolRule(tool="delete_*", tier=1, classification="high")]

    treatment = classify(call(tool="delete_temp"), manifest)

    assert (treatment.tier, treatment.classification, treatment.source) == (1, "high", "manifest")


def test_the_first_rule_that_sets_an_attribute_decides_it() -> None:
    manifest = [
        ToolRule(tool="read_file", classification="low"),
        ToolRule(server="files", tier=3, classification="critical", summary=("/path",)),
        ToolRule(tier=0, retention_class="long"),
    ]

    treatment = classify(call(), manifest)

    assert treatment.classification == "low"
    assert treatment.tier == 3
    assert treatment.summary == ("/path",)
    assert treatment.retention_class == "long"


def test_a_rule_can_say_that_nothing_is_summarised() -> None:
    manifest = [ToolRule(tool="read_file", summary=()), ToolRule(summary=("/path",))]

    assert classify(call(), manifest).summary == ()


@pytest.mark.requirement("B2")
def test_what_any_rule_calls_sensitive_is_sensitive() -> None:
    manifest = [ToolRule(tool="read_file", sensitive=("/a",)), ToolRule(sensitive=("/b",), sensitive_output=("/c",))]

    treatment = classify(call(), manifest)

    assert treatment.sensitive == ("/a", "/b")
    assert treatment.sensitive_output == ("/c",)


def test_critical_data_is_kept_as_critical() -> None:
    assert classify(call(), [ToolRule(classification="critical")]).retention_class == "critical"


@pytest.mark.parametrize(
    ("server", "tool", "matches"),
    [
        ("files", "read_*", True),
        ("f?les", "read_file", True),
        ("[a-f]iles", "*file", True),
        ("[!f]iles", "*", False),
        ("Files", "*", False),
        ("file", "*", False),
        ("*", "read.file", False),
        ("*", "READ_FILE", False),
    ],
)
def test_rules_match_whole_names_as_shell_patterns(server: str, tool: str, matches: bool) -> None:
    assert ToolRule(server=server, tool=tool).matches("files", "read_file") is matches


def test_rules_go_by_the_configured_name_of_a_server_not_by_its_claim() -> None:
    claiming = call(connection=connection(server_id="other", server_name="files"))

    assert classify(claiming, [ToolRule(server="files", tier=0)]).tier == 2


@pytest.mark.parametrize(
    ("tier", "attempt", "result", "closed"),
    [
        (0, "written", "written", False),
        (1, "written", "written", False),
        (2, "flushed", "written", True),
        (3, "signed", "signed", True),
        (4, "signed", "signed", True),
    ],
)
def test_the_tier_says_how_durable_the_events_must_be(tier: int, attempt: str, result: str, closed: bool) -> None:
    treatment = Treatment(tier=tier, classification="medium", retention_class="standard")

    assert (treatment.attempt_durability, treatment.result_durability) == (attempt, result)
    assert treatment.fails_closed is closed


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ({"summary": ["account/id"]}, "must start with '/'"),
        ({"sensitive": [""]}, "must start with '/'"),
        ({"sensitive_output": ["/a~2b"]}, "'~' must be written '~0'"),
        ({"tier": 5}, "<= 4"),
        ({"classification": "secret"}, "secret"),
        ({"senstive": ["/a"]}, "senstive"),
    ],
)
def test_a_rule_that_is_wrong_is_refused_with_the_reason(rule: dict[str, Any], complaint: str) -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert(rule, ToolRule)

    assert complaint in str(refused.value)
