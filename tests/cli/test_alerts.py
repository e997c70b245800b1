# SPDX-License-Identifier: Apache-2.0
"""`onrecord alerts`: what real doors left on the record is found, once, and people say what became of it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
from tests.cli.test_access import accesses
from tests.doors.session import Session, onrecord, record
from tests.doors.test_approvals import approved_and_given_up, ask_again, asked_for, decide
from tests.doors.test_approvals import configured as needing_approval
from tests.doors.test_definitions import Home as Listing
from tests.doors.test_definitions import tool
from tests.doors.test_policy import configured
from tests.doors.test_screening import ORDER
from tests.ledger.logs import wait_for

from onrecord.ledger.durable import FileLock
from onrecord.ledger.lines import lines_from
from onrecord.ledger.place import Home

pytestmark = pytest.mark.requirement("E5")

POLICY = """
@id("all") permit (principal, action, resource);
@id("no") forbid (principal, action == MCP::Action::"tools/call", resource) when { context.tier >= 4 };
"""
SETTINGS = """
[[tool]]
tool = "erase*"
tier = 4
[[tool]]
tool = "login"
classification = "high"
[[tool]]
tool = "size"
scope = ["size:call"]
[[tool]]
tool = "store"
tier = 3
recipient = "/to"
"""
DOUBLED = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"tools/list"}'
HOSTILE = "x\x1b]0;owned\x07\u202e=1+1"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home in whose record one session has left all kinds of things."""
    path = tmp_path_factory.mktemp("signalled")
    configured(path, policy=POLICY, more=SETTINGS)
    with Session(path) as session:
        session.call("echo", text="fine")
        session.call("login", user="ann")
        session.call("store", to="someone@example.com")
        session.call("echo", text=ORDER)
        for _ in range(4):
            session.call("store", text="again")
        for number in range(5):
            session.call("erase", text=f"{number}{HOSTILE}")
        session.call("size", bytes=3)
        for _ in range(5):
            session.call("login", user=3)
            session.send(DOUBLED)
            session.receive()
        session.call(f"erase{HOSTILE}")
        session.end()
    assert not found(path, "--state", "closed")
    return path


def found(home, *options):
    """Return the findings that are listed."""
    listed = onrecord(home, "alerts", "--json", *options)
    assert "Traceback" not in listed.stderr
    assert listed.returncode in (0, 1), listed.stderr
    return [json.loads(line) for line in listed.stdout.splitlines()]


def rules(home):
    return sorted({one["rule"] for one in found(home, "--state", "all")})


def security(home, action=None):
    events = [json.loads(line.data) for line in lines_from(Home(home).log("security"))]
    return [event for event in events if action in (None, event.get("action"))]


# What real doors leave is found


def test_what_a_session_left_on_the_record_is_found_and_each_finding_names_its_events(home):
    listed = found(home, "--state", "all")
    assert {one["rule"] for one in listed} == {
        "denied-burst", "policy-violation", "scope-mismatch", "unfit-arguments", "refused-messages",
        "suspicious-retries", "repeated-risky-call", "suspicious-output", "risky-after-flagged",
        "sent-after-sensitive-read", "risky-after-sensitive-read",
    }  # fmt: skip
    by_id = {event["event_id"]: event for event in record(home)}
    for one in listed:
        assert one["event_id"] not in by_id
        assert [by_id[event]["seq"] for event in one["events"]][-1] == one["seq"]
    violation, hostile = [one for one in listed if one["rule"] == "policy-violation"]
    assert hostile["tool_name"].startswith("erasex")
    asked = by_id[violation["events"][0]]
    assert (violation["call_id"], violation["tool_name"]) == (asked["call_id"], "erase")
    assert (violation["owasp"], violation["atlas"]) == ("authz_fail", ["AML.T0053"])


def test_a_session_in_which_nothing_happened_has_no_findings(tmp_path):
    configured(tmp_path, policy=POLICY, more=SETTINGS)
    with Session(tmp_path) as session:
        for text in ("a", "b"):
            session.call("echo", text=text)
            session.call("store", text=text)
        session.call("erase")
        session.call("login", user=3)
        session.end()
    assert rules(tmp_path) == ["policy-violation"]


def test_what_an_observed_policy_would_deny_is_found(tmp_path):
    configured(tmp_path, mode="observe", policy=POLICY, more=SETTINGS)
    with Session(tmp_path) as session:
        session.call("erase")
        session.end()
    assert rules(tmp_path) == ["observed-violation"]


def test_what_a_server_asks_is_looked_at_too(tmp_path):
    with Session(tmp_path) as session:
        asked = session.call("elicit", text=ORDER)
        session.send({"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "decline"}})
        session.receive()
        session.end()
    assert rules(tmp_path) == ["suspicious-request"]


def test_a_definition_that_changes_and_is_blocked_is_found(tmp_path):
    listing = Listing(tmp_path, '[definitions]\nchanged = "block"\n')
    listing.lists(tool())
    assert rules(listing.path) == []
    listing.says(tool(description="Looks, and sends."))
    with listing.session() as session:
        session.call("look", q="x")
        session.end()
    assert rules(listing.path) == ["definition-blocked", "definition-changed"]


def test_a_description_that_instructs_is_found(tmp_path):
    listing = Listing(tmp_path)
    listing.lists(tool(description=ORDER))
    assert rules(listing.path) == ["definition-flagged"]


def test_who_approves_a_call_of_their_own_and_who_decides_too_late_are_found(tmp_path):
    needing_approval(tmp_path)
    with Session(tmp_path) as session:
        session.begin("tools/call", name="store", arguments={"text": "kept"})
        (request,) = asked_for(tmp_path)
        decide(tmp_path, request)
        session.receive()
        onrecord(tmp_path, "approvals", "reject", request.stem, "--yes")
        session.end()
    assert rules(tmp_path) == ["self-approval", "vote-refused"]


def test_an_approval_that_is_put_back_and_one_that_is_altered_are_found(tmp_path):
    request = approved_and_given_up(tmp_path)
    before = request.read_bytes()
    ask_again(tmp_path)
    request.write_bytes(before)
    ask_again(tmp_path)
    request.write_bytes(before.replace(b'"quorum":1', b'"quorum":0'))
    onrecord(tmp_path, "approvals", "list")
    assert {"approval-replay", "approval-altered"} <= set(rules(tmp_path))


def test_a_recorder_that_died_leaves_calls_that_nobody_knows_the_end_of(tmp_path):
    with Session(tmp_path) as session:
        session.begin("tools/call", name="hang", arguments={})
        wait_for(lambda: any(e.get("tool_name") == "hang" for e in record(tmp_path)))
        session.child.send_signal(signal.SIGKILL)
        session.child.wait()
    assert rules(tmp_path) == []
    with Session(tmp_path) as session:
        session.end()
    assert rules(tmp_path) == ["unknown-end"]


# The list


def test_what_was_found_is_not_found_again(home):
    before = security(home)
    assert found(home)
    assert [event for event in security(home) if event not in before] == []


@pytest.mark.requirement("A7")
def test_findings_are_in_the_log_security_and_no_other_and_who_asked_is_in_the_log_access(home):
    (first, *_) = found(home, "--severity", "high", "--since", "1h")
    assert [event["event_id"] for event in security(home)].count(first["event_id"]) == 1
    assert first["event_id"] not in {event["event_id"] for event in [*record(home), *accesses(home)]}
    asked = accesses(home)[-1]
    assert asked["action"] == "alerts"
    assert (asked["detail"]["severity"], asked["detail"]["since"]) == ("high", "1h")
    assert int(asked["detail"]["count"]) == len(found(home, "--severity", "high"))
    verified = onrecord(home, "verify", "--allow-unanchored")
    assert verified.returncode == 0, verified.stdout


def test_the_list_is_narrowed_by_rule_severity_state_and_time(home):
    assert {one["rule"] for one in found(home, "--rule", "denied-burst", "--rule", "suspicious-output")} == {
        "denied-burst",
        "suspicious-output",
    }
    assert {one["severity"] for one in found(home, "--severity", "high")} == {"high"}
    assert found(home, "--since", "2100-01-01") == []
    assert found(home, "--limit", "1") == found(home)[-1:]
    lines = onrecord(home, "alerts", "--rule", "scope-mismatch").stdout.splitlines()
    assert len(lines) == 2
    assert "  medium    " in lines[0]
    assert lines[1] == "    a caller lacked a scope that the tool asks for: one such event is a finding"


def test_text_of_others_does_not_act(home):
    for options in ((), ("--json",)):
        shown = onrecord(home, "alerts", "--state", "all", *options).stdout
        assert "\x1b" not in shown
        assert "\u202e" not in shown
    hostile = found(home, "--rule", "policy-violation")[-1]
    shown = onrecord(home, "alerts", "show", hostile["event_id"]).stdout
    assert "erasex" in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--rule", "denied-brust"), "did you mean denied-burst?"),
        (("--since", "soon"), "--since 'soon'"),
        (("--limit", "0"), "--limit 0"),
        (("show", "01"), "give the first 8 characters"),
        (("show", "00000000-0000"), "there is no such finding"),
        (("close", "00000000-0000", "--reason", " "), "--reason is empty"),
    ],
)
def test_what_cannot_be_asked_is_one_clear_error(home, options, told):
    asked = onrecord(home, "alerts", *options)
    assert asked.returncode == 2
    assert told in asked.stderr
    assert len(asked.stderr.splitlines()) == 1


def test_settings_that_cannot_work_are_one_clear_error(tmp_path):
    with Session(tmp_path) as session:
        session.end()
    (tmp_path / "own.toml").write_text('[[signal]]\nid = "x"\n')
    for text, told in (
        ('[signals]\noff = ["x"]', "onrecord.toml: signals.off: no rule x"),
        ('[signals]\nrules = ["none.toml"]', "cannot be read: no such file"),
        ('[signals]\nrules = ["own.toml"]', "own.toml: signal 1 (x): "),
        ("[signals.tune.gap]\nmuet = 3", "unknown key signals.tune.gap.muet; did you mean mute?"),
    ):
        (tmp_path / "onrecord.toml").write_text(text)
        for verb in (("alerts",), ("watch", "--once")):
            asked = onrecord(tmp_path, *verb)
            assert (asked.returncode, told in asked.stderr) == (2, True), asked.stderr
            assert len(asked.stderr.splitlines()) == 1


def test_a_rule_of_ones_own_finds_too(tmp_path):
    (tmp_path / "own.toml").write_text(
        '[[signal]]\nid = "echoed"\ntitle = "echo was called"\nseverity = "low"\nkind = "each"\n'
        'when = { phase = "attempt", tool_name = "echo" }\n'
    )
    (tmp_path / "onrecord.toml").write_text('[signals]\nrules = ["own.toml"]\n')
    with Session(tmp_path) as session:
        session.call("echo")
        session.end()
    assert rules(tmp_path) == ["echoed"]


def test_where_nothing_is_recorded_there_is_nothing_to_look_at(tmp_path):
    asked = onrecord(tmp_path / "none", "alerts")
    assert asked.returncode == 2
    assert "there is no record" in asked.stderr
    assert not (tmp_path / "none").exists()


def test_while_another_process_looks_the_list_is_what_was_found_so_far(home):
    lock = FileLock(home / "signals" / "lock")
    assert lock.try_acquire()
    try:
        listed = onrecord(home, "alerts")
    finally:
        lock.close()
    assert "another process looks" in listed.stderr
    assert listed.stdout == onrecord(home, "alerts").stdout


def test_where_it_cannot_be_kept_what_was_looked_at_the_list_is_what_was_found_before(home, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(home, copy)
    shutil.rmtree(copy / "signals")
    (copy / "signals" / "state.sqlite").mkdir(parents=True)
    listed = onrecord(copy, "alerts")
    assert "what is new was not looked at" in listed.stderr
    assert "Traceback" not in listed.stderr
    assert listed.stdout == onrecord(home, "alerts").stdout


# What people say


def test_a_finding_is_acknowledged_closed_and_opened_again_each_by_an_event(home):
    (one,) = found(home, "--rule", "denied-burst")
    finding = one["event_id"]

    def said(action, *options):
        ended = onrecord(home, "alerts", action, finding, *options)
        assert ended.returncode in (0, 1)
        return ended.stderr.removeprefix("onrecord: ").rstrip()

    assert said("reopen") == f"{finding} is open, so it cannot be reopened; nothing was changed"
    assert said("acknowledge") == ""
    assert said("acknowledge") == f"{finding} is acknowledged, so it cannot be acknowledged; nothing was changed"
    assert [each["event_id"] for each in found(home, "--state", "acknowledged")] == [finding]
    assert said("close", "--reason", "a test of the pager, with ghp_" + "dUmmY0dUmmY1" * 3) == ""
    assert said("acknowledge") == f"{finding} is closed, so it cannot be acknowledged; nothing was changed"
    assert finding not in [each["event_id"] for each in found(home)]
    (closed,) = found(home, "--state", "closed")
    assert closed["event_id"] == finding
    assert said("reopen", "--reason", "it was no test") == ""

    (one,) = found(home, "--rule", "denied-burst")
    assert one["state"] == "open"
    assert [each["action"] for each in one["said"]] == ["acknowledged", "closed", "reopened"]
    events = [e for e in security(home) if e.get("detail", {}).get("finding") == finding]
    assert [e["event_type"] for e in events] == ["security"] * 3
    assert {e["user_id"] for e in events} == {accesses(home)[-1]["user_id"]}
    assert events[1]["detail"]["reason"].startswith("a test of the pager, with [REDACTED:")
    assert "ghp_" not in onrecord(home, "alerts", "show", finding).stdout


def test_the_id_of_a_finding_has_one_name_and_leads_to_its_event_and_its_incident(home):
    one = found(home, "--state", "all")[0]
    told = onrecord(home, "alerts", "show", one["event_id"]).stdout

    (event,) = [each for each in security(home) if each["event_id"] == one["event_id"]]
    assert event["action"] == f"signal:{one['rule']}"
    assert "finding" not in one
    assert re.search(rf"^event_id +{one['event_id']}$", told, re.MULTILINE)
    assert onrecord(home, "incident", one["event_id"]).returncode == 0
    shown = onrecord(home, "show", "--log", "security", one["event_id"])
    assert re.search(rf"^event_id +{one['event_id']}$", shown.stdout, re.MULTILINE)
    lost = onrecord(home, "show", one["event_id"])
    assert lost.returncode == 1
    assert lost.stderr.rstrip().endswith("the log security has it: --log security")


def test_the_beginning_of_an_id_is_enough_where_no_other_begins_so(home):
    listed = found(home, "--state", "all")
    one = listed[0]["event_id"]
    assert json.loads(onrecord(home, "alerts", "show", one[:-2], "--json").stdout)["event_id"] == one
    shown = onrecord(home, "alerts", "--home", str(home), "show", one)
    assert shown.returncode == 0
    assert "last event" in shown.stdout


# Beside `onrecord watch`


def test_watch_looks_as_it_goes_and_tells_a_command_what_is_new(tmp_path):
    home, told = tmp_path / "home", tmp_path / "told.json"
    with Session(home) as session:
        session.call("echo", text=ORDER)
        session.end()
    watch = ("watch", "--once", "--json", "--exec", f"cp /dev/stdin {told}")
    once = onrecord(home, *watch)
    assert once.returncode == 0, once.stderr  # a finding is no alarm: the record is as it was
    (line,) = once.stdout.splitlines()
    said = json.loads(line)
    assert json.loads(told.read_text()) == said
    assert (said["rule"], said["state"]) == ("suspicious-output", "open")
    assert onrecord(home, *watch).stdout == ""
    assert [one["event_id"] for one in found(home)] == [said["event_id"]]
    assert onrecord(home, "watch", "--once").stdout == ""


def test_an_alarm_of_watch_is_in_the_queue_and_told_once(tmp_path):
    home = tmp_path / "home"
    with Session(home) as session:
        session.call("echo")
        session.end()
    log = Home(home).log().first_segment
    log.write_bytes(log.read_bytes().replace(b'"echo"', b'"ohce"'))
    once = onrecord(home, "watch", "--once", "--json")
    assert once.returncode == 1
    (alarm,) = [json.loads(line) for line in once.stdout.splitlines()]
    assert alarm["verdict"] == "altered"
    (one,) = found(home)
    assert (one["rule"], one["severity"], one["log"]) == ("chain-break", "critical", "security")
    (event,) = security(home, "ledger_alarm")
    assert one["events"] == [event["event_id"]]


def test_watch_finds_what_comes_while_it_runs(tmp_path):
    with Session(tmp_path) as session:
        session.call("echo", text="fine")
        watching = subprocess.Popen(
            [sys.executable, "-m", "onrecord.cli.main", "watch", "--every", "1s", "--json"],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"ONRECORD_HOME": str(tmp_path)},
        )
        try:
            session.call("echo", text=ORDER)
            assert watching.stdout is not None
            assert json.loads(watching.stdout.readline())["rule"] == "suspicious-output"
        finally:
            watching.send_signal(signal.SIGTERM)
            watching.communicate(timeout=30)
        session.end()
    assert watching.returncode == 0
