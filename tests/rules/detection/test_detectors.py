# SPDX-License-Identifier: Apache-2.0
"""What the detectors find, that masking twice changes nothing, and which rules are refused."""

import ast
from pathlib import Path
from time import thread_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rules.calls import AWS, CARD, DETECTORS, GITHUB, PRIVATE_KEY, STRIPE

import onrecord.rules
from onrecord.errors import ConfigError
from onrecord.rules.detection.detectors import Detectors, builtin_rules, masked
from onrecord.rules.detection.labels import masks
from onrecord.rules.detection.rule import Rule, prove

SECRETS = st.sampled_from(
    [
        GITHUB,
        STRIPE,
        AWS,
        CARD,
        PRIVATE_KEY,
        "postgres://app:hunter2@db/x",
        'password = "hunter2"',
        '\\"token\\": \\"abc123def456\\"',
        "Authorization: Bearer abc123def456",
        "DB_PASSWORD=hunter2;",
        "GB82 WEST 1234 5698 7654 32",
        "078-05-1121",
        "someone@example.test",
    ]
)
PIECES = st.lists(
    st.one_of(
        SECRETS,
        st.text(max_size=8),
        st.sampled_from(["=", ":", '"', "'", "\\", " ", "\n", "@", "password", "[REDACTED:password]"]),
    )
)


def shown(text: str) -> str:
    return masked(DETECTORS, text)


@pytest.mark.requirement("B1")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"push with {GITHUB} please", "push with [REDACTED:github-token] please"),
        ("postgres://app:hunter2@db.test/x", "postgres://app:[REDACTED:url-password]@db.test/x"),
        ('{"password": "a b\\"c", "user": "x"}', '{"password": "[REDACTED:password]", "user": "x"}'),
        ('{\\"password\\": \\"a\\\\\\"b\\", \\"n\\": 1}', '{\\"password\\": \\"[REDACTED:password]\\", \\"n\\": 1}'),
        ("Server=a;Password=ab1,cd2;Database=b", "Server=a;Password=[REDACTED:password];Database=b"),
        ("password='cut off in the mid", "password='[REDACTED:password]"),
        (
            "curl -H 'Authorization: Token abc123def' http://a.test",
            "curl -H 'Authorization: [REDACTED:authorization]' http://a.test",
        ),
        ("Cookie: sid=abc123def456; theme=dark\nAccept: */*", "Cookie: [REDACTED:cookie]\nAccept: */*"),
        ("https://a.test/x?page=2&api_key=abc123def456&b=1", "https://a.test/x?page=2&api_key=[REDACTED:api-key]&b=1"),
        ("<password>hunter2</password>", "<password>[REDACTED:password]</password>"),
        (f"{PRIVATE_KEY[:60]}", "[REDACTED:private-key]"),
        (f"card {CARD}.", "card [REDACTED:card-number]."),
        ("IBAN GB82 WEST 1234 5698 7654 32 IS MINE", "IBAN [REDACTED:iban] IS MINE"),
        ("ssn 078-05-1121", "ssn [REDACTED:ssn]"),
        ("ask dummy.person@example.test", "ask [REDACTED:email]"),
        ("ümlaut ❤ password=hunter2 ❤", "ümlaut ❤ password=[REDACTED:password] ❤"),
        ("\ud800 password=hunter2", "\ud800 password=[REDACTED:password]"),
    ],
)
def test_a_secret_is_replaced_by_what_it_was(text: str, expected: str) -> None:
    assert shown(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "the password must have ten characters",
        "token: string",
        "password: str",
        "secret=${SECRET}",
        '"password": "{{ vault.password }}"',
        "def f(token=None, max_tokens=4096):",
        "commit b535a4099edbc2f2aa50a986ec47cdd8898de78f",
        "0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b",
        "2026-11-21T10:00:00.123456Z 1732190400000",
        "4111 1111 1111 1112",
        "0.4111111111111111",
        "git@github.com:a/b.git",
        "https://example.test:8080/a@b",
        "Authorization: Bearer <token>",
        "",
    ],
)
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    assert DETECTORS.find(text) == []


@pytest.mark.requirement("B1")
@given(PIECES)
def test_masking_twice_changes_nothing(pieces: list[str]) -> None:
    once = shown("".join(pieces))

    assert shown(once) == once
    assert DETECTORS.find(once) == []


@given(PIECES)
def test_findings_are_in_order_and_do_not_overlap(pieces: list[str]) -> None:
    text = "".join(pieces)
    findings = DETECTORS.find(text)

    ends = [0, *(finding.end for finding in findings)]
    assert all(end <= finding.start < finding.end <= len(text) for end, finding in zip(ends, findings, strict=False))
    assert masks(text, []) == text


@pytest.mark.requirement("B1")
@given(st.text(max_size=40), st.sampled_from([GITHUB, STRIPE, AWS, PRIVATE_KEY]), st.text(max_size=40))
def test_a_token_between_other_text_never_survives(before: str, secret: str, after: str) -> None:
    assert secret not in shown(f"{before} {secret} {after}")


@pytest.mark.requirement("B1")
@pytest.mark.parametrize("kind", ["REDACTED", "WITHHELD"])
@pytest.mark.parametrize(
    ("before", "secret"),
    [
        ("password=", "hunter2secret!"),
        ("password: ", "hunter2xq9"),
        ('"password": "', "correct-horse-battery"),
        ("", "glpat-" + "dummydummydummydum12"),
        ("", "sk-proj-" + "dummydummydummydummydummy12"),
        ("", "4111-1111-" + "1111-1111"),
        ("", GITHUB),
    ],
)
def test_a_label_that_is_not_ours_hides_nothing(kind: str, before: str, secret: str) -> None:
    for label in (secret, f"{secret}#0a1b2c3d", f"github-token#{secret}", f"password*{secret}"):
        once = shown(f"{before}[{kind}:{label}]")
        assert secret not in once
        assert shown(once) == once


def test_a_label_with_more_than_a_tag_behind_it_is_not_ours() -> None:
    assert "hunt" not in shown("password=[REDACTED:password*hunt]")
    assert "a8f5f167f44f4964" not in shown("password=[REDACTED:password#a8f5f167f44f4964]")
    assert "hunter2" not in shown("password=[WITHHELD:password#hunter2]")


@pytest.mark.parametrize(
    "label", ["password", "github-token#0a1b2c3d", "card-number*1111", "sensitive", "service-token", "private-key"]
)
def test_a_label_of_ours_stays_as_it_is(label: str) -> None:
    assert shown(f"password=[REDACTED:{label}]") == f"password=[REDACTED:{label}]"
    assert shown("password=[WITHHELD:budget]") == "password=[WITHHELD:budget]"


def test_e_mail_addresses_may_stay_in_class_low() -> None:
    text = "ask dummy.person@example.test, card " + CARD

    assert [finding.label for finding in DETECTORS.find(text, low=True)] == ["card-number"]


def test_a_text_with_more_matches_than_anyone_would_check_is_withheld_whole() -> None:
    assert shown("a@b.cd " * 50_000) == "[WITHHELD:overflow]"


def test_a_list_of_addresses_is_masked_one_by_one_however_long() -> None:
    assert shown(",".join(f"user{i}@example.com" for i in range(3_000))) == ",".join(["[REDACTED:email]"] * 3_000)
    ips = ",".join(f"192.168.{i % 250}.{i % 240 + 10}" for i in range(20_000))
    assert "[WITHHELD" not in shown(ips)


@pytest.mark.requirement("B1")
@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "\\",
        "\"'",
        "password=",
        'password="',
        "AKIA",
        "-----BEGIN PRIVATE" + " KEY-----\n",
        "1234567890 ",
        "://a:b",
        "eyJ",
    ],
)
def test_hostile_text_of_any_size_comes_to_an_end(piece: str) -> None:
    text = piece * (262_144 // len(piece))

    findings = DETECTORS.find(text)

    assert all(finding.end <= len(text) for finding in findings)


def test_secrets_that_hang_together_take_as_long_as_those_that_stand_alone() -> None:
    key = "-".join(["123456"] * 8)
    together, alone = ((key + sign) * 2_000 for sign in "- ")

    assert [(found.start, found.end) for found in DETECTORS.find(together)] == [(0, len(together))]
    assert took(together) < 2 * took(alone)  # four times as long if each were followed to the end of the run


def took(text: str) -> float:
    """Return the least CPU time of several in which `text` is searched."""
    times: list[float] = []
    for _ in range(3):
        begin = thread_time()
        DETECTORS.find(text)
        times.append(thread_time() - begin)
    return min(times)


def rule(**changes: Any) -> Rule:
    about: dict[str, Any] = {
        "id": "test",
        "label": "test",
        "kind": "secret",
        "regex": "abc[0-9]+",
        "keywords": ("abc",),
        "positive": (("ab", "c1"),),
        "negative": (("abcd",),),
    }
    return Rule(**{**about, **changes})


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"regex": "a(?=b)"}, "not an RE2 expression"),
        ({"regex": "(a"}, "not an RE2 expression"),
        ({"regex": "a*"}, "regex matches the empty text"),
        ({"label": "budget"}, "says why something is withheld"),
        ({"gate": "abd"}, "its gate keeps it from its positive test string 1"),
        ({"gate": "zz", "positive": (("abc1 zz",),)}, "its gate keeps it from its positive test string 1"),
        ({"outline": ("000",)}, "its gate keeps it from its positive test string 1"),
        ({"group": 1}, "the expression has 0"),
        ({"check": "magic"}, "there is no check 'magic'"),
        ({"label": "Not A Label"}, "small letters"),
        ({"keywords": ("ABC",)}, "keyword 'ABC' must be in lower case"),
        ({"id": "A b"}, "an id is of small letters"),
        ({"entropy": 9.0}, "from 0 to 8"),
        ({"window": (-1, 5)}, "two numbers from 0 to 4096"),
        ({"allow": ("(",)}, "allow is not an RE2 expression"),
        ({"keywords": (), "check": "mixed", "regex": r"abc[0-9]+\z"}, "must not use anchors"),
        ({"outline": ("abc-0",)}, "write 0 for a digit"),
        ({"outline": ("aaa-0",)}, "its gate keeps it from its positive test string 1"),
        ({"positive": ()}, "at least one positive"),
        ({"negative": ()}, "at least one positive and one negative"),
        ({"positive": (("nothing",),)}, "finds nothing in its positive test string 1"),
        ({"negative": (("a",), ("abc1",))}, "finds something in its negative test string 2"),
    ],
)
def test_a_rule_that_is_wrong_is_refused_with_its_name_and_the_reason(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError) as refused:
        prove([rule(**changes)])

    assert f"'{changes.get('id', 'test')}'" in str(refused.value)
    assert complaint in str(refused.value)


def test_two_rules_with_one_id_are_refused() -> None:
    with pytest.raises(ConfigError, match="two detector rules"):
        prove([rule(), rule()])


@pytest.mark.parametrize("text", ["[[rule]]\nid = 1", "not toml", "[[rule]]\nid = 'x'\nregexp = 'y'"])
def test_a_file_that_holds_no_rules_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="detector rules"):
        Detectors.read(text)


def test_no_engine_that_backtracks_is_used_on_this_floor() -> None:
    folder = Path(onrecord.rules.__file__).parent
    imported = {
        name.name
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import)
        for name in node.names
    }

    assert "re2" in imported
    assert not imported & {"re", "fnmatch"}


def test_the_rules_that_ship_hold_what_their_own_texts_promise() -> None:
    rules, digest = builtin_rules()

    prove(rules)
    assert len(digest) == 64


@pytest.mark.requirement("B1")
@given(
    st.integers(0, 40_000), st.sampled_from([GITHUB, "eyJhbGciOiJIUzI1NiJ9.eyJzdWIi" + "OiJkdW1teSJ9." + "c2ln" * 3000])
)
def test_a_token_is_found_whole_wherever_a_long_text_is_cut(before: int, secret: str) -> None:
    text = f"{'some ' * (before // 5)}{secret} {'words ' * 3_000}"

    assert [text[finding.start : finding.end] for finding in DETECTORS.find(text)] == [secret]
