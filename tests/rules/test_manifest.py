# SPDX-License-Identifier: Apache-2.0
"""The rules of the manifest: what they say together, and what is wrong with one that can't be meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rules.calls import call

from onrecord.errors import ConfigError
from onrecord.ledger.place import Home
from onrecord.rules import template
from onrecord.rules.classify import ToolRule, classify
from onrecord.settings import load

FULL = """
[[tool]]
server = "mail"
tool = "send_*"
tier = 4
scope = ["mail:send"]
approver_roles = ["team-lead"]
limits = { "/amount" = 500 }
resource = "mail:{account}/{/draft/id}"
recipient = "/to"
result_id = "/id"
before = ["/old"]
after = ["/new"]
rollback = "/undo/id"
idempotency_key = "/key"
allow_duplicates = true
retention_class = "seven-years"
"""


def test_every_key_is_read_and_reaches_the_treatment(tmp_path):
    (tmp_path / "onrecord.toml").write_text(FULL)

    rules = load(Home(tmp_path)).settings.tool
    made = classify(call(tool="send_mail"), [ToolRule(server="files"), *_for("files", rules)])

    assert (made.scope, made.approver_roles, made.limits) == (("mail:send",), ("team-lead",), (("/amount", 500.0),))
    assert (made.resource, made.recipient, made.result_id) == ("mail:{account}/{/draft/id}", "/to", "/id")
    assert (made.before, made.after, made.rollback) == (("/old",), ("/new",), "/undo/id")
    assert (made.idempotency_key, made.allow_duplicates, made.retention_class) == ("/key", True, "seven-years")


def _for(server, rules):
    import msgspec

    return [msgspec.structs.replace(rule, server=server) for rule in rules]


def test_the_first_rule_that_says_something_decides_it_and_nothing_said_is_nothing():
    rules = [ToolRule(recipient="/to", scope=()), ToolRule(recipient="/cc", scope=("a",), allow_duplicates=False)]

    made = classify(call(), rules)

    assert (made.recipient, made.scope, made.allow_duplicates) == ("/to", (), False)
    assert classify(call(), []).recipient == ""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('server = ""', "tool '*': server: is empty; '*' means any"),
        ('tool = ""', "tool '': tool: is empty; '*' means any"),
        ('scope = ["mail send"]', "tool '*': scope: 'mail send' is no scope"),
        ('scope = [""]', "tool '*': scope: '' is no scope"),
        ('scope = "mail:send"', "tool 1: scope: give a list, not text in quotes"),
        ('approver_roles = ["Team Lead"]', "tool '*': approver_roles: 'Team Lead' is no name"),
        ('retention_class = "7 years"', "tool '*': retention_class: '7 years' is no name"),
        ("limits = { amount = 5 }", "tool '*': limits: 'amount' is not a JSON Pointer"),
        ('limits = { "/amount" = nan }', "tool '*': limits: /amount: nan is no limit"),
        ('limits = { "/amount" = "5" }', "tool 1: limits: give a number, not text in quotes"),
        ('recipient = "to"', "tool '*': recipient: 'to' is not a JSON Pointer"),
        ('result_id = "/a~2"', "tool '*': result_id: '/a~2' is not a JSON Pointer"),
        ('idempotency_key = "key"', "tool '*': idempotency_key: 'key' is not a JSON Pointer"),
        ('before = ["old"]', "tool '*': before: 'old' is not a JSON Pointer"),
        ('after = ["new"]', "tool '*': after: 'new' is not a JSON Pointer"),
        ('rollback = "/a~"', "tool '*': rollback: '/a~' is not a JSON Pointer"),
        ('rollback = "a\\nb"', "tool '*': rollback: give at most 256 printable characters"),
        ('resource = "{a"', "tool '*': resource: '{a': name an argument between '{' and '}'"),
        ('resource = "a}"', "tool '*': resource: 'a}': a '}' without its '{'"),
        ('resource = "{}"', "tool '*': resource: '{}': name an argument"),
        ('resource = "{/a~2}"', "tool '*': resource: '/a~2' is not a JSON Pointer"),
        ('recipent = "/to"', "unknown key tool 1: recipent; did you mean tool 1: recipient?"),
        ('allow_duplicates = "yes"', "tool 1: allow_duplicates: give true or false, not text in quotes"),
    ],
)
def test_a_rule_that_cannot_be_meant_stops_the_start_with_one_error_that_names_it(tmp_path, line, said):
    (tmp_path / "onrecord.toml").write_text(f"[[tool]]\n{line}\n")

    with pytest.raises(ConfigError) as caught:
        load(Home(tmp_path))

    assert said in str(caught.value)
    assert str(tmp_path / "onrecord.toml") in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(alphabet="ab{}/~", max_size=24))
def test_any_text_is_a_template_or_is_refused(text):
    try:
        pieces = template.parse(text)
    except ValueError:
        return
    assert all(piece.text or piece.place for piece in pieces)


def test_a_template_is_read_as_text_and_places():
    pieces = template.parse("a{{b}}:{owner}/{/x/y~1z}")

    assert [piece.text or piece.place for piece in pieces] == ["a{b}:", ("owner",), "/", ("x", "y/z")]
