# SPDX-License-Identifier: Apache-2.0
"""`onrecord policy`: asking about one call, and about those on the record."""

import json
from typing import Any

import pytest
from tests.doors.session import Session, onrecord, record
from tests.rules.calls import GITHUB

POLICY = """
@id("low") @reason("harmless") permit (principal, action == MCP::Action::"tools/call", resource)
when { context.tier <= 2 };
@id("known") forbid (principal, action, resource == MCP::Tool::"pay") unless { principal.level >= 3 };
@id("ask") @obligation("approval") @approvers("finance") forbid (principal, action, resource == MCP::Tool::"wire");
"""
STRICTER = 'permit (principal, action == MCP::Action::"tools/call", resource) when { context.tier <= 1 };'


def configured(home, policy=POLICY, more="", mode="enforce"):
    (home / "policies").mkdir(exist_ok=True)
    (home / "policies" / "team.cedar").write_text(policy)
    (home / "onrecord.toml").write_text(f'[policy]\nengine = "cedar"\nmode = "{mode}"\n{more}')


def checked(home, call, *options) -> Any:
    """Ask about a call, and return the exit code and what was said."""
    file = home / "call.json"
    file.write_text(call if isinstance(call, str) else json.dumps(call))
    ended = onrecord(home, "policy", "check", str(file), "--json", *options)
    return ended.returncode, json.loads(ended.stdout) if ended.stdout else ended.stderr


def calling(tool, **arguments):
    return {"method": "tools/call", "params": {"name": tool, "arguments": arguments}}


@pytest.mark.requirement("C2")
def test_a_call_is_decided_as_it_would_be_at_the_door(tmp_path):
    configured(tmp_path, more='[[tool]]\ntool = "push"\nscope = ["repo:write"]\n[[tool]]\ntool = "rm"\ntier = 4\n')

    assert checked(tmp_path, calling("read"))[1]["reason"] == "permitted by team.cedar#low (harmless)"
    assert [checked(tmp_path, calling(tool))[0] for tool in ("read", "push", "rm")] == [0, 1, 1]
    assert checked(tmp_path, calling("push"), "--scope", "repo:write")[0] == 0


def test_who_asks_can_be_said(tmp_path):
    configured(tmp_path, more='[[tool]]\ntool = "*"\ntier = 2\n')

    assert checked(tmp_path, calling("pay"))[1]["policy_id"] == "team.cedar#known"
    code, said = checked(tmp_path, calling("pay"), "--assurance", "token", "--user", "u_1")
    assert (code, said["question"]["subject"]["properties"]["level"]) == (0, 3)


def test_a_call_that_needs_an_approval_says_of_whom(tmp_path):
    configured(tmp_path, more='[[tool]]\ntool = "*"\ntier = 2\n')
    code, said = checked(tmp_path, calling("wire"))

    assert (code, said["decision"], said["approvers"]) == (1, "needs_approval", ["finance"])


@pytest.mark.parametrize(
    ("channels", "caller"),
    [
        ('["cli"]', "waits up to 3m for somebody's approval: cli"),
        ("[]", "this call needs an approval, and none can be asked for here"),
    ],
)
def test_people_are_told_who_approves_and_what_the_caller_gets_meanwhile(tmp_path, channels, caller):
    more = f'[approvals]\nchannels = {channels}\nwait = "3m"\n[[tool]]\ntool = "*"\ntier = 2\n'
    configured(tmp_path, more=more)
    (tmp_path / "call.json").write_text(json.dumps(calling("wire")))

    told = onrecord(tmp_path, "policy", "check", str(tmp_path / "call.json")).stdout.splitlines()

    assert told[2:5] == ["obliges    approval", "approvers  finance", f"caller     {caller}"]


def test_people_get_lines_and_no_policy_is_said(tmp_path):
    (tmp_path / "call.json").write_text(json.dumps(calling("read")))
    none = onrecord(tmp_path, "policy", "check", str(tmp_path / "call.json"))
    assert (none.returncode, "no policy is configured" in none.stderr) == (2, True)

    configured(tmp_path)
    ended = onrecord(tmp_path, "policy", "check", str(tmp_path / "call.json"))
    assert ended.stdout.startswith(
        "decision   allow\nreason     permitted by team.cedar#low (harmless)\ntier       2 medium\n"
        "tool       definition unknown, arguments unchecked\n"
    )


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("{", "is not JSON"),
        ("[1]", "is no JSON object"),
        ('{"a": 1}', 'has neither "method" nor "event_type"'),
        ('{"method": "tools/call", "params": 3}', "params must be an object"),
        ('{"method": "notifications/x", "id": null}', "an id must be"),
        ('{"method": "tools/call"}', "tools/call without a name in its params calls nothing"),
        ('{"method": "prompts/get", "params": {"name": 7}}', "prompts/get without a name in its params"),
        ('{"event_type": 7}', "call.json"),
        ('{"event_type": "tool_call", "phase": "result"}', "call.json"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_what_is_no_call_is_one_clear_error(tmp_path, call, said):
    configured(tmp_path)
    code, told = checked(tmp_path, call)

    assert (code, said in told, len(told.splitlines())) == (2, True, 1), told


def test_a_folder_of_policies_that_is_not_there_is_called_by_its_option(tmp_path):
    configured(tmp_path)
    told = onrecord(tmp_path, "policy", "replay", "--policy", "nope")

    assert (told.returncode, told.stderr) == (2, "onrecord: --policy nope: there is no such folder\n")


@pytest.mark.parametrize("method", ["tools/list", "initialize", "ping"])
def test_a_request_that_no_policy_decides_is_not_said_to_be_denied(tmp_path, method):
    configured(tmp_path)
    code, said = checked(tmp_path, {"method": method})
    told = onrecord(tmp_path, "policy", "check", str(tmp_path / "call.json"))

    assert (code, said["decision"]) == (0, "not decided")
    assert told.stdout.startswith("decision   not decided: such a request only sets up, describes or watches")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A record of calls that no policy decided on, and policies that would have."""
    home = tmp_path_factory.mktemp("home")
    with Session(home) as session:
        for tool in ("echo", "store", "store", "erase"):
            session.call(tool)
        session.begin("tools/call", name=GITHUB, arguments={})  # which this server doesn't answer
        session.end()
    (home / "new").mkdir()
    (home / "new" / "team.cedar").write_text(STRICTER)
    return home


def test_a_replay_says_which_decisions_would_change_and_names_examples(recorded):
    ended = onrecord(recorded, "policy", "replay", "--policy", str(recorded / "new"), "--json")

    said = json.loads(ended.stdout)
    stored = [e["event_id"] for e in record(recorded) if e.get("tool_name") == "store" and e["phase"] == "attempt"]
    assert ended.returncode == 1
    assert (said["calls"], said["unchanged"], said["withheld"]) == (5, 1, 1)
    assert said["changed"] == [
        {"about": "store", "then": "allow", "now": "deny", "policy_id": "default", "count": 2, "examples": stored},
        {**said["changed"][1], "about": "erase", "count": 1},
    ]


def test_a_call_whose_name_is_withheld_is_not_guessed_at(recorded):
    ended = onrecord(recorded, "policy", "replay", "--policy", str(recorded / "new"))

    assert "of 1 calls a part of what is asked is withheld" in ended.stderr
    assert GITHUB not in ended.stdout + ended.stderr


def test_a_replay_can_begin_at_a_moment(recorded):
    told = ("--policy", str(recorded / "new"), "--json", "--since")

    assert json.loads(onrecord(recorded, "policy", "replay", *told, "1h").stdout)["calls"] == 5
    assert json.loads(onrecord(recorded, "policy", "replay", *told, "2999-01-01").stdout)["calls"] == 0
    assert "say how long ago" in onrecord(recorded, "policy", "replay", *told, "soon").stderr


def test_an_attempt_from_the_record_can_be_asked_about(recorded, tmp_path):
    configured(tmp_path)
    attempt = next(e for e in record(recorded) if e.get("tool_name") == "store" and e["phase"] == "attempt")

    assert checked(tmp_path, attempt)[0] == 0


@pytest.mark.requirement("C2")
def test_what_was_decided_is_decided_again_from_the_record_alone(tmp_path):
    tools = '[[tool]]\ntool = "store"\ntier = 2\nscope = ["w"]\n[[tool]]\ntool = "echo"\ntier = 0\n'
    configured(tmp_path, more=tools)
    with Session(tmp_path) as session:
        for tool in ("echo", "store", "erase", "fail"):
            session.call(tool)
        session.ask("resources/read", uri="file:///x")
        session.ask("acme/do")
        session.end()
    said = json.loads(onrecord(tmp_path, "policy", "replay", "--json").stdout)

    assert (said["calls"], said["unchanged"]) == (6, 6)
    decided = {e["policy_decision"] for e in record(tmp_path) if e.get("phase") == "attempt"}
    assert decided == {"allow", "deny"}
    assert {e["policy_version"] for e in record(tmp_path) if e.get("phase") == "attempt"} == {said["policy_version"]}


@pytest.mark.requirement("C2")
def test_what_policies_that_are_only_observed_would_stop_is_seen_and_counted(tmp_path):
    configured(tmp_path, more='[[tool]]\ntool = "erase"\ntier = 3\n[[tool]]\ntool = "*"\ntier = 2\n', mode="observe")
    with Session(tmp_path) as session:
        for tool in ("store", "erase"):
            session.call(tool)
        session.begin("tools/call", name="wire", arguments={})  # which this server doesn't answer
        session.end()

    shown = [line for line in onrecord(tmp_path, "tail").stdout.splitlines() if "→" in line]
    told = onrecord(tmp_path, "policy", "replay")

    assert "allow  tier 2" in shown[0]
    assert "allow (would be denied: default)  tier 3" in shown[1]
    assert "allow (would need an approval: team.cedar#ask)" in shown[2]
    assert told.returncode == 0
    assert "2 went on as policies were only observed" in told.stderr
    assert json.loads(onrecord(tmp_path, "policy", "replay", "--json").stdout)["observed"] == 2


# another manifest


@pytest.fixture(scope="module")
def treated(tmp_path_factory):
    """A record of calls that were decided by a manifest that is still there, and what a replay with another says."""
    home = tmp_path_factory.mktemp("home")
    configured(home, more=OLD)
    with Session(home) as session:
        for tool in ("echo", "store", "store", "erase"):
            session.call(tool, text=tool)
        session.call("echo", amount=7)
        session.ask("resources/read", uri="file:///x")
        session.end()

    def replayed(manifest, *options) -> Any:
        (home / "new.toml").write_text(manifest)
        ended = onrecord(home, "policy", "replay", "--manifest", str(home / "new.toml"), "--json", *options)
        return ended.returncode, json.loads(ended.stdout) if ended.stdout else ended.stderr

    return home, replayed


OLD = '[[tool]]\ntool = "store"\ntier = 2\n[[tool]]\ntool = "echo"\ntier = 1\nlimits = { "/amount" = 5 }\n'


@pytest.mark.requirement("C2")
def test_a_replay_with_another_manifest_says_what_its_tiers_and_scopes_would_change(treated):
    _, replayed = treated

    code, said = replayed('[[tool]]\ntool = "store"\ntier = 3\n[[tool]]\ntool = "echo"\nscope = ["w"]\ntier = 1\n')

    assert (code, said["calls"], said["not_known"], said["withheld"]) == (1, 6, 0, 0)
    assert [(one["about"], one["then"], one["now"], one["count"]) for one in said["changed"]] == [
        ("echo", "allow", "deny", 2),
        ("store", "allow", "deny", 2),
    ]
    assert said["treated_otherwise"] == 4


def test_a_replay_with_the_same_manifest_changes_nothing(treated):
    home, replayed = treated

    code, said = replayed((home / "onrecord.toml").read_text())

    assert (code, said["calls"], said["unchanged"], said["treated_otherwise"]) == (0, 6, 6, 0)


def test_what_the_record_does_not_hold_is_said_and_not_guessed(treated):
    home, replayed = treated
    limited = home / "limited"
    limited.mkdir(exist_ok=True)
    (limited / "team.cedar").write_text(
        "permit (principal, action, resource) when { context.limits_exceeded.isEmpty() };"
    )

    manifest = '[[tool]]\ntool = "echo"\ntier = 1\nlimits = { "/amount" = %s }\n'
    known = replayed(manifest % 5, "--policy", str(limited))[1]
    looser = replayed(manifest % 9, "--policy", str(limited))[1]

    assert (known["not_known"], looser["not_known"], looser["unknown"]) == (0, 1, {"arguments": 1})
    told = onrecord(home, "policy", "replay", "--manifest", str(home / "new.toml"), "--policy", str(limited))
    assert "of 1 calls nobody knows, as the record does not hold the values of the arguments (1)" in told.stderr


def test_without_the_rules_of_then_an_inferred_tier_is_not_known(treated):
    """`store` was listed, and its annotations are not on the record: its tier may be any that they give."""
    home, replayed = treated
    changed = home / "changed.toml"
    changed.write_text('[policy]\nengine = "cedar"\n[[tool]]\ntool = "*"\ntier = 1\n')

    code, said = replayed("", "--config", str(changed))

    assert (code, said["unknown"]["annotations"]) == (1, said["not_known"])
    assert said["not_known"] == 4


@pytest.mark.parametrize(("text", "said"), [("[[tool]]\ntire = 1\n", "did you mean"), (None, "there is no such file")])
def test_a_manifest_that_cannot_be_read_is_one_clear_error(treated, text, said):
    home, replayed = treated
    told = replayed(text)[1] if text else onrecord(home, "policy", "replay", "--manifest", "none.toml").stderr

    assert said in told
    assert len(told.splitlines()) == 1


SMALL = """
permit (principal, action == MCP::Action::"tools/call", resource);
@id("large") forbid (principal, action, resource == MCP::Tool::"store")
when { context.input has amount && context.input.amount.greaterThan(decimal("MOST")) };
"""


def reading(classification):
    return (
        f'[[tool]]\ntool = "store"\ntier = 2\nclassification = "{classification}"\n'
        'policy_input = { "/amount" = "decimal" }\n'
    )


@pytest.mark.requirement("C4", "C9")
@pytest.mark.parametrize(("classification", "withheld"), [("medium", 0), ("high", 3)])
def test_a_policy_reads_an_argument_and_a_replay_does_not_guess_at_one_that_is_withheld(
    tmp_path, classification, withheld
):
    configured(tmp_path, SMALL.replace("MOST", "100.0"), more=reading(classification))
    with Session(tmp_path) as session:
        answers = [session.call("store", amount=amount) for amount in (100.5, 99, "a lot", 7000)]
        session.end()
    assert [one["result"].get("isError", False) for one in answers] == [True, False, True, True]
    attempts = [e for e in record(tmp_path) if e.get("phase") == "attempt"]
    assert [e["policy_id"] for e in attempts] == [
        "team.cedar#large",
        "team.cedar#1",
        "policy_input",
        "team.cedar#large",
    ]
    assert attempts[2]["policy_input"] == '{"/amount":null}'
    shown = '{"/amount":{"decimal":"99.0"}}'
    assert (attempts[1]["policy_input"] == shown) == (classification == "medium")
    assert ("[WITHHELD:class#" in attempts[1]["policy_input"]) == (classification == "high")

    (tmp_path / "policies" / "team.cedar").write_text(SMALL.replace("MOST", "5000.0"))
    said = json.loads(onrecord(tmp_path, "policy", "replay", "--json").stdout)
    assert (said["calls"], said["withheld"]) == (4, withheld)
    assert sum(one["count"] for one in said["changed"]) == (0 if withheld else 1)


@pytest.mark.requirement("C9")
def test_a_replay_does_not_take_for_absent_what_was_not_recorded(tmp_path):
    with Session(tmp_path) as session:
        session.call("store", amount=7000)
        session.end()
    configured(tmp_path, SMALL.replace("MOST", "100.0"), more=reading("medium"))

    assert json.loads(onrecord(tmp_path, "policy", "replay", "--json").stdout)["withheld"] == 1


def test_a_check_knows_the_definition_that_is_pinned_and_the_schema_of_a_listing(tmp_path):
    configured(tmp_path, POLICY.replace("context.tier <= 2", 'context.tier <= 1 && context.definition == "pinned"'))
    at = ("--server-id", "scripted")
    assert checked(tmp_path, calling("login"), *at)[0] == 1
    with Session(tmp_path) as session:
        listing = session.ask("tools/list")
        session.end()

    code, said = checked(tmp_path, calling("login"), *at)
    assert (code, said["question"]["context"]["definition"]) == (0, "pinned")
    assert checked(tmp_path, calling("erase"), *at)[1]["question"]["context"]["tier"] == 3

    (tmp_path / "tools.json").write_text(json.dumps(listing))
    with_schema = (*at, "--tools", str(tmp_path / "tools.json"))
    code, said = checked(tmp_path, calling("login", user=3), *with_schema)
    assert (code, said["policy_id"]) == (1, "arguments")
    assert said["safe_reason"].endswith("at /user")
    assert checked(tmp_path, calling("login", user="ann"), *with_schema)[0] == 0

    (tmp_path / "tools.json").write_text(json.dumps(listing).replace('"sensitive": true', '"sensitive": false'))
    code, said = checked(tmp_path, calling("login"), *with_schema)
    assert (code, said["question"]["context"]["definition"]) == (1, "changed")

    (tmp_path / "bad.json").write_text("[")
    code, told = checked(tmp_path, calling("login"), *at, "--tools", str(tmp_path / "bad.json"))
    assert (code, len(told.splitlines())) == (2, 1)


def test_who_asks_and_what_was_seen_before_can_be_said(tmp_path):
    only = "permit (principal is MCP::Workload, action, resource) when {"
    configured(tmp_path, only + ' principal.roles.contains("ops") && !context.tainted_by.contains("instruction") };')
    told = ("--kind", "workload", "--user", "u_1", "--role", "ops")

    assert checked(tmp_path, calling("echo"), *told)[0] == 0
    assert checked(tmp_path, calling("echo"), *told, "--tainted-by", "instruction")[0] == 1
    assert checked(tmp_path, calling("echo"), "--user", "u_1", "--role", "ops")[0] == 1
