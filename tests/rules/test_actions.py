# SPDX-License-Identifier: Apache-2.0
"""What stands where a value stood: tags, and what the settings say is done with what is found."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rules.calls import (
    AWS,
    CARD,
    CLASSES,
    DETECTORS,
    GITHUB,
    KEY,
    STRIPE,
    answered,
    attempted,
    base,
    call,
    redactor,
    tagged,
    text_result,
    treated,
)

from onrecord.errors import ConfigError
from onrecord.rules.actions import check_actions
from onrecord.rules.detection.detectors import masked
from onrecord.rules.digests import Digests
from onrecord.rules.redact import Redactor

SHORT = "hunter22x"


def by(tenant: str = "", **actions: Any) -> Redactor:
    return Redactor(
        digest_key=KEY, detectors=DETECTORS, actions={k.replace("_", "-"): v for k, v in actions.items()}, tenant=tenant
    )


def said(arguments: Any, with_: Redactor, **rule: Any) -> Any:
    attempt, _ = attempted(call(arguments), with_, **{"classification": "low", **rule})
    assert not attempt.event.redaction_error
    return json.loads(attempt.event.input_summary) if attempt.event.input_summary else ""


# tags


@pytest.mark.requirement("B1")
@pytest.mark.parametrize("classification", CLASSES)
def test_the_same_value_has_the_same_tag_in_every_carrier_and_class(classification: str) -> None:
    tag = tagged(GITHUB, "github-token")
    made = call({"text": f"use {GITHUB}!", "token": GITHUB, "url": f"https://x/?k={GITHUB}"}, tool=f"x {GITHUB}")

    attempt, ended = answered(made, text_result(f"was {GITHUB}"), classification=classification)

    assert tag in attempt.event.value_tags
    assert tag.rpartition("#")[2] in attempt.event.tool_name
    assert {each.rpartition("#")[2] for each in (*attempt.event.value_tags, *ended.event.value_tags)} == {tag[-8:]}


def test_a_tag_depends_on_key_tenant_and_value_and_on_nothing_else() -> None:
    tag = Digests(KEY, "a").tag(STRIPE)

    assert len(tag) == 8
    assert tag == Digests(KEY, "a").tag(f" {STRIPE}\n")
    assert tag not in (Digests(KEY, "b").tag(STRIPE), Digests(b"x" * 32, "a").tag(STRIPE), Digests(KEY, "a").tag(AWS))
    event = attempted(call({"x": STRIPE}), by("a"), classification="low")[0].event
    assert [each.rpartition("#")[2] for each in event.value_tags] == [tag]


def test_the_digest_of_arguments_depends_on_key_and_tenant() -> None:
    of = {Digests(key, tenant).arguments({"id": 7}) for key in (KEY, b"x" * 32) for tenant in ("", "a", "b")}

    assert len(of) == 6
    assert Digests(KEY, "a").arguments({"id": 7, "x": 1}) == Digests(KEY, "a").arguments({"x": 1, "id": 7})


@pytest.mark.requirement("B1")
def test_what_few_values_could_be_has_no_tag_unless_the_settings_ask_for_one() -> None:
    given = {"card": CARD, "password": SHORT, "key": GITHUB}

    plain, _ = attempted(call(given), redactor(), classification="low")
    asked, _ = attempted(call(given), by(pii="token", password="token"), classification="low")

    assert [tag.partition("#")[0] for tag in plain.event.value_tags] == ["github-token"]
    assert {tag.partition("#")[0] for tag in asked.event.value_tags} == {"card-number", "password", "github-token"}
    assert json.loads(plain.event.input_summary)["card"] == "[REDACTED:card-number]"


def test_there_are_only_so_many_tags_on_an_event() -> None:
    made = call({f"k{i}": f"{GITHUB}{i:04}" for i in range(99)})

    attempt, _ = attempted(made, classification="critical")

    assert len(attempt.event.value_tags) == 32


@given(
    st.lists(st.sampled_from([GITHUB, CARD, STRIPE, SHORT, "password=", " ", "x", '"', "[REDACTED:", "]"]), max_size=8),
    st.sampled_from(["mask", "token", "partial"]),
)
def test_masking_twice_changes_nothing(pieces: list[str], action: str) -> None:
    with_ = by(pii=action, secret="token" if action == "token" else "mask")
    handling = with_._handling("low", "")  # pyright: ignore[reportPrivateUsage]

    once = masked(DETECTORS, "".join(pieces), stand_in=handling.stand_in)

    assert masked(DETECTORS, once, stand_in=handling.stand_in) == once


# actions


@pytest.mark.parametrize(
    ("actions", "shown"),
    [
        ({}, "my card [REDACTED:card-number] please"),
        ({"pii": "partial"}, "my card [REDACTED:card-number*1111] please"),
        ({"card_number": "partial"}, "my card [REDACTED:card-number*1111] please"),
        ({"pii": "truncate"}, "my card [REDACTED:card-number]…"),
        ({"pii": "drop"}, "[REDACTED:card-number]"),
        ({"pii": "drop", "card_number": "mask"}, "my card [REDACTED:card-number] please"),
        ({"pii": "drop", "low": {"pii": "mask"}}, "my card [REDACTED:card-number] please"),
        ({"card_number": "mask", "low": {"pii": "drop"}}, "[REDACTED:card-number]"),
        ({"pii": "mask", "medium": {"pii": "drop"}}, "my card [REDACTED:card-number] please"),
    ],
)
def test_the_settings_say_what_is_done_with_what_is_found(actions: dict[str, Any], shown: str) -> None:
    assert said({"text": f"my card {CARD} please"}, by(**actions)) == {"text": shown}


def test_a_tool_may_have_actions_of_its_own() -> None:
    with_ = by(pii="drop")
    made = {"text": f"my card {CARD} please"}

    assert said(made, with_, actions={"card-number": "mask"}) == {"text": "my card [REDACTED:card-number] please"}
    assert said(made, with_) == {"text": "[REDACTED:card-number]"}


@pytest.mark.requirement("B6")
def test_the_policy_of_an_event_covers_the_actions_of_its_tool() -> None:
    plain, _ = attempted(call(), redactor())
    own, _ = attempted(call(), redactor(), actions={"pii": "drop"})

    assert plain.event.redaction_policy == redactor().policy != own.event.redaction_policy
    assert by(pii="drop").policy != redactor().policy
    assert by(pii="drop").policy != by(pii="token").policy


@pytest.mark.requirement("B4")
def test_keys_only_shows_no_value_of_what_holds_it_nor_of_the_answer() -> None:
    with_ = by(pii="keys_only")

    attempt, ended = answered(call({"card": CARD, "x": "fine"}), text_result("done"), by=with_, classification="low")
    plain, answer = answered(call({"x": "fine"}), text_result(f"it was {CARD}"), by=with_, classification="low")

    assert attempt.event.input_summary == ended.event.output_summary == answer.event.output_summary == ""
    assert attempt.event.arg_keys == ("card", "x")
    assert json.loads(plain.event.input_summary) == {"x": "fine"}


@pytest.mark.parametrize("action", ["truncate", "drop", "keys_only", "token", "partial"])
@pytest.mark.parametrize("classification", CLASSES)
def test_no_action_lets_a_secret_through(action: str, classification: str) -> None:
    with_ = by(pii=action, secret="mask" if action == "partial" else action)
    made = call({"a": f"x {GITHUB} y {CARD} z", "password": "correct horse battery", CARD: [CARD]}, tool=f"x {CARD}")

    for entry in answered(
        made, text_result(f"{GITHUB} correct horse battery {CARD}"), by=with_, classification=classification
    ):
        for secret in (GITHUB, CARD, "correct horse battery", GITHUB[8:20]):
            assert secret not in entry.body.decode()
        assert not entry.event.redaction_error


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({"pii": "hash"}, "redaction.actions.pii is 'hash'; use mask, token, partial, truncate, drop or keys_only"),
        ({"secret": "partial"}, "redaction.actions.secret is 'partial'; only card-number, iban"),
        ({"github-token": "partial"}, "redaction.actions.github-token is 'partial'; only card-number, iban"),
        ({"high": "drop"}, "redaction.actions.high is 'drop'; give a table"),
        ({"pii": {"card-number": "drop"}}, "redaction.actions.pii is a table; there are tables for low, medium"),
        ({"high": {"pii": "no"}}, "redaction.actions.high.pii is 'no'; use"),
        ({"card": "drop"}, "redaction.actions.card: no rule has the label 'card'"),
    ],
)
def test_actions_that_make_no_sense_are_refused(table: Any, complaint: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_actions(table, "redaction.actions", {"card-number", "github-token"})

    assert complaint in str(refused.value)


def test_a_command_line_is_tagged_like_any_other_value() -> None:
    entry = by(secret="token").fact(base(), {"command": ["x", "--password", SHORT]})

    assert entry.event.detail["command"][2] == f"[REDACTED:{tagged(SHORT, 'password')}]"


def test_how_often_more_was_withheld_than_should_be_is_counted() -> None:
    slow = Redactor(digest_key=KEY, detectors=DETECTORS, clock=iter(range(0, 10**12, 10**9)).__next__)

    attempt, _ = slow.attempt(call({"a": [f"my {GITHUB}"] * 9}), treated(call(), classification="low"), base())

    assert slow.counts == {"cut": 1}
    assert attempt.event.tool_name == "read_file"
    assert "WITHHELD" not in attempt.event.tool_name
    assert attempt.event.input_summary == ""  # nobody looked for what might be among the values
    assert GITHUB not in attempt.body.decode()


class Ticking:
    """A clock that runs out after it was asked so many times."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> int:
        self.left -= 1
        return 0 if self.left >= 0 else 10**12


@pytest.mark.requirement("B6")
@pytest.mark.parametrize("times", range(1, 12))
def test_the_deadline_holds_within_one_large_text(times: int) -> None:
    slow = Redactor(digest_key=KEY, detectors=DETECTORS, clock=Ticking(times))
    text = f"before {GITHUB} " + "and so it goes on " * 3_000 + f" {GITHUB} password=Tr0ub4dor&3"

    attempt, _ = slow.attempt(call({"a": text}), treated(call(), classification="low"), base())

    assert slow.counts == {"cut": 1}
    assert not attempt.event.redaction_error
    assert "before" not in attempt.event.input_summary
    assert GITHUB not in attempt.body.decode()


def test_a_text_that_was_looked_at_until_the_time_was_over_is_withheld_as_such() -> None:
    text = "and so it goes on " * 3_000
    assert masked(DETECTORS, text, late=lambda: True) == "[WITHHELD:budget]"
    assert masked(DETECTORS, text, late=lambda: False) == text
    assert masked(DETECTORS, "short", late=lambda: True) == "short"  # the time between texts is not its own


def test_after_a_text_that_nobody_understood_no_value_of_its_call_is_shown() -> None:
    made = call({"a": "a@b.cd " * 5_000 + "password: Tr0ub4dor&3"})

    attempt, ended = answered(made, text_result("it is Tr0ub4dor&3"), by=by(), classification="low")

    assert "Tr0ub4dor" not in attempt.body.decode() + ended.body.decode()
