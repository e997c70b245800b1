# SPDX-License-Identifier: Apache-2.0
"""`[redaction]` in onrecord.toml, rules of one's own, and the tags that one can ask for."""

import json
import signal
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager

import pytest
from tests.doors.session import ONRECORD, Session, onrecord, record
from tests.rules.calls import attempted, call

from onrecord.config import build_redactor
from onrecord.errors import ConfigError
from onrecord.ledger.place import Home
from onrecord.settings import load

TOKEN = "ghp_" + "DUMMYdummy0123456789" * 2

RULE = """
[[rule]]
id = "badge"
label = "badge-number"
class = "pii"
regex = '\\bBADGE-[0-9]{6}\\b'
keywords = ["badge-"]
positive = [["BADGE-", "123456"]]
negative = [["BADGE-12"]]
"""


def loaded(home, settings, rules=None):
    (home / "onrecord.toml").write_text(settings)
    if rules is not None:
        (home / "mine.toml").write_text(rules)
    return load(Home(home))


def built(home, settings, rules=None):
    return build_redactor(b"k" * 32, loaded(home, settings, rules))


@contextmanager
def paused(after_s: float, for_s: float) -> Generator[list[float]]:
    """Have this thread stand still for a while, as a busy machine has it; yield when that was."""
    stood: list[float] = []

    def stand(*_: object) -> None:
        time.sleep(for_s)
        stood.append(for_s)

    before = signal.signal(signal.SIGALRM, stand)
    signal.setitimer(signal.ITIMER_REAL, after_s)
    try:
        yield stood
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_machine_that_stands_still_has_nothing_withheld(tmp_path):
    by = built(tmp_path, '[redaction]\ndeadline = "4s"\n')
    texts = [f"the report of week {number} by {TOKEN}" for number in range(1_000)]
    with paused(0.03, 5) as stood:
        kept, _ = attempted(call({"v": texts}), by, classification="low")
        took = len(stood)
    assert took == 1
    assert kept.event.input_summary.startswith('{"v":["the report of week 0 by [REDACTED:github-token')


WITH_RULES = '[redaction]\nrules = ["mine.toml"]\n'


@pytest.mark.requirement("B1", "B6")
def test_rules_of_ones_own_are_applied_and_are_part_of_the_policy(tmp_path):
    plain = built(tmp_path, "")
    own = built(tmp_path, WITH_RULES, RULE)
    other = built(tmp_path, WITH_RULES, RULE.replace("{6}", "{5,6}"))

    assert own.text("is BADGE-424242 in?") == "is [REDACTED:badge-number] in?"
    assert plain.text("is BADGE-424242 in?") == "is BADGE-424242 in?"
    assert len({plain.policy, own.policy, other.policy}) == 3
    assert own.text(f"x {TOKEN}").startswith("x [REDACTED:github-token")


def test_rules_that_are_off_find_nothing_and_the_policy_says_so(tmp_path):
    plain = built(tmp_path, "")
    off = built(tmp_path, '[redaction]\noff = ["iban", "assignment"]\n')

    assert plain.text("to DE89370400440532013000") == "to [REDACTED:iban]"
    assert off.text("to DE89370400440532013000") == "to DE89370400440532013000"
    assert plain.text("password=hunter2Dummy") == "password=[REDACTED:password]"
    assert off.text("password=hunter2Dummy") == "password=hunter2Dummy"
    assert off.text(f"x {TOKEN}").startswith("x [REDACTED:github-token")
    assert plain.policy != off.policy


@pytest.mark.parametrize(
    ("rule", "before", "value", "label"),
    [
        ("columns", "user,password\nme,", "correct-horse", "credential"),
        ("randomness", "the key is ", "Aa0DLvVtq8" + "Zk3vX9sPq2", "api-key"),
        ("unannounced", "acme = ", "Zk3vQ8sP1x" + "Lw7Rt5Yb2N", "secret"),
    ],
)
def test_what_finds_things_without_a_rule_can_be_off_too(tmp_path, rule, before, value, label):
    plain = built(tmp_path, "").text(before + value)
    off = built(tmp_path, f'[redaction]\noff = ["{rule}"]\n').text(before + value)

    assert f"[REDACTED:{label}" in plain
    assert value not in plain
    assert off.endswith(value)


@pytest.mark.parametrize(
    ("rules", "complaint"),
    [
        (RULE.replace('"123456"', '"12345"'), "mine.toml: detector rule 'badge': finds nothing in its positive test"),
        (RULE.replace("BADGE-[0-9]{6}", "BADGE-(?=x)"), "rule 'badge': regex is not an RE2 expression"),
        (RULE.replace("regex", "regexp"), "mine.toml: detector rule 'badge': Object contains unknown field `regexp`"),
        (RULE.replace('"pii"', '"flag"'), "'badge': class is 'flag'; use secret or pii"),
        (RULE.replace('"pii"', '"pi"'), "a class is secret or pii"),
        ("x = 1", "unknown key 'x'"),
        ("", "holds no [[rule]]"),
        (RULE.replace('id = "badge"', 'id = "github"'), "mine.toml: detector rule 'github': a rule that ships"),
        (RULE + RULE, "mine.toml: two detector rules have the id 'badge'"),
        ("[[rule]", "mine.toml: "),
    ],
)
def test_a_rule_that_is_wrong_is_named_with_its_file(tmp_path, rules, complaint):
    with pytest.raises(ConfigError) as refused:
        built(tmp_path, WITH_RULES, rules)

    assert str(refused.value).startswith(str(tmp_path / "mine.toml"))
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ("[redaction]\ncut = 0\n", "redaction.cut is 0; give a number from 1 to 65024"),
        ('[redaction]\ndeadline = "soon"\n', "redaction.deadline is 'soon'; give a number above 0 and a unit"),
        ('[redaction.actions]\npii = "hash"\n', "redaction.actions.pii is 'hash'; use mask, token, partial"),
        ('[redaction.actions]\ncard = "drop"\n', "redaction.actions.card: no rule has the label 'card'"),
        ('[redaction.actions]\njwt = "partial"\n', "redaction.actions.jwt is 'partial'; only card-number"),
        ('[redaction]\nrule = ["x"]\n', "unknown key redaction.rule; did you mean redaction.rules?"),
        ('[redaction]\noff = ["ibann"]\n', "redaction.off: no rule is called 'ibann'; did you mean iban?"),
        ('[redaction]\nrules = ["gone.toml"]\n', "redaction.rules 1: cannot read"),
        ('[[tool]]\ntool = "x"\nactions = { pii = "no" }\n', "tool 'x': actions.pii is 'no'; use mask, token"),
        ('[[tool]]\ntool = "x"\nactions = { badge = "mask" }\n', "tool 'x': actions.badge: no rule has the label"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named_with_its_file_and_what_is_allowed(tmp_path, settings, complaint):
    with pytest.raises(ConfigError) as refused:
        built(tmp_path, settings)

    assert str(refused.value).startswith(str(tmp_path / "onrecord.toml"))
    assert complaint in str(refused.value)


def tag_of(home, value):
    environ = {"ONRECORD_HOME": str(home), "PATH": "/usr/bin:/bin"}
    return subprocess.run([*ONRECORD, "tag"], input=value, env=environ, capture_output=True, text=True)


@pytest.mark.requirement("B1")
@pytest.mark.parametrize("classification", ["low", "critical"])
def test_where_a_leaked_key_was_used_can_be_asked_at_every_class(tmp_path, classification):
    (tmp_path / "onrecord.toml").write_text(f'tenant = "acme"\n[[tool]]\nclassification = "{classification}"\n')
    with Session(tmp_path) as session:
        session.call("store", text="nothing")
        session.call("store", text=f"with {TOKEN} in it")
        session.end()

    tag = tag_of(tmp_path, f"{TOKEN}\n").stdout.strip()
    found = [json.loads(line) for line in onrecord(tmp_path, "tail", "--tag", tag, "--json").stdout.splitlines()]

    assert [event["phase"] for event in found] == ["attempt", "result"]
    assert {event["call_id"] for event in found} == {[e for e in record(tmp_path) if e.get("phase")][2]["call_id"]}
    assert all(event["value_tags"] == [f"github-token#{tag}"] for event in found)
    assert tag_of(tmp_path, "").returncode == 2
    assert TOKEN not in str(found)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A record with one secret on it, and the tag of that."""
    home = tmp_path_factory.mktemp("kept")
    with Session(home) as session:
        session.call("store", text=f"with {TOKEN} in it")
        session.end()
    return home, tag_of(home, TOKEN).stdout.strip()


def test_a_tag_in_a_home_without_a_record_is_refused_and_makes_nothing(tmp_path):
    done = tag_of(tmp_path / "mistyped", TOKEN)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"there is no record in {tmp_path / 'mistyped'} yet" in done.stderr
    assert not (tmp_path / "mistyped").exists()


def test_a_tag_is_understood_as_it_stands_on_the_record(kept):
    home, tag = kept
    for asked in (tag, tag.upper(), f"github-token#{tag}", f"[REDACTED:github-token#{tag}]", f" {tag}\n"):
        found = onrecord(home, "tail", "--tag", asked, "--json").stdout.splitlines()
        assert [json.loads(line)["phase"] for line in found] == ["attempt", "result"]


@pytest.mark.parametrize("asked", ["nope", "", "af549dd", "af549dd9a", "[REDACTED:aws-key#zz]", "\x1b[2J"])
def test_what_is_no_tag_is_refused(kept, asked):
    done = onrecord(kept[0], "tail", "--tag", asked)
    assert (done.returncode, done.stdout) == (2, "")
    assert "a tag is 8 hex digits" in done.stderr
    assert "\x1b" not in done.stderr


def test_a_label_without_a_tag_is_told_from_one_with(kept):
    done = onrecord(kept[0], "tail", "--tag", "[REDACTED:password]")
    assert (done.returncode, done.stdout) == (2, "")
    assert "[REDACTED:password] has no tag" in done.stderr
