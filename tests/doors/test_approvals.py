# SPDX-License-Identifier: Apache-2.0
"""Approvals at the real door: what waits does not run, what was approved runs once, and nothing else does."""

import getpass
import json
import shutil
import subprocess
import sys
import time

import pytest
from tests.doors.session import Session, onrecord, record, results
from tests.identity.issuing import shown
from tests.ledger.logs import wait_for
from tests.services import Running, short_folder

from onrecord.approvals import Approvals
from onrecord.errors import NotVerified
from onrecord.ledger.keys import read_keys
from onrecord.ledger.place import Home
from onrecord.trail import check_trail

POLICY = """
@id("all") permit (principal, action, resource);
@id("approval") @obligation("approval") forbid (principal, action == MCP::Action::"tools/call", resource)
when { context.tier >= 3 };
"""
LOCAL = '[webauthn]\nrp_id = "localhost"\norigins = ["https://localhost"]'
ISSUER = "[identity]\nissuer = 'https://id.example'\naudience = 'onrecord'\njwks = 'keys.json'"
STORE = '[[tool]]\ntool = "store"\ntier = 3\nclassification = "low"\n'


def configured(home, *, approvals="", more=STORE, policy=POLICY):
    (home / "policies").mkdir(parents=True, exist_ok=True)
    (home / "policies" / "team.cedar").write_text(policy)
    (home / "onrecord.toml").write_text(f'[policy]\nengine = "cedar"\n[approvals]\n{approvals}\n{more}')


def requests(home):
    """Return what waits, as `onrecord approvals list --json` says."""
    return [json.loads(line) for line in onrecord(home, "approvals", "list", "--json").stdout.splitlines()]


def asked_for(home, count=1):
    """Wait until there are so many requests, and return the files of them, the oldest first."""
    wait_for(lambda: len(list((home / "approvals").glob("*.json"))) >= count)
    return sorted((home / "approvals").glob("*.json"))


def decide(home, request, *, action="approve", env=None):
    with pytest.MonkeyPatch.context() as patched:
        for name, value in (env or {}).items():
            patched.setenv(name, value)
        ended = onrecord(home, "approvals", action, request.stem, "--yes")
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def approvals(home, action=None):
    events = [e for e in record(home) if e["event_type"] == "approval"]
    return [e for e in events if action in (None, e["action"])]


def said(answer):
    return answer["result"]["content"][0]["text"]


@pytest.mark.requirement("C5")
def test_a_risky_call_waits_and_runs_once_it_is_approved_in_another_process(tmp_path):
    configured(tmp_path)
    with Session(tmp_path) as session:
        session.begin("tools/call", name="store", arguments={"text": "kept"})
        (request,) = asked_for(tmp_path)
        assert said(session.call("echo", text="meanwhile")) == "meanwhile"
        shown = decide(tmp_path, request)
        answer = session.receive()
        session.end()

    assert said(answer) == "kept"
    assert 'argument "text" = "kept"' in shown
    attempt, decision, result = (
        next(e for e in record(tmp_path) if e.get("tool_name") == "store" and e.get("phase") == phase)
        for phase in ("attempt", "decision", "result")
    )
    (asked,), (yes,) = approvals(tmp_path, "requested"), approvals(tmp_path, "approved")
    assert attempt["policy_decision"] == "needs_approval"
    assert (decision["policy_decision"], decision["action"]) == ("allow", "redeemed")
    assert decision["approval_execution_match"] is True
    assert {e["approval_id"] for e in (attempt, asked, yes, decision, result)} == {request.stem}
    assert {e["call_id"] for e in (attempt, asked, yes, decision, result)} == {attempt["call_id"]}
    assert attempt["seq"] < asked["seq"] < yes["seq"] < decision["seq"] < result["seq"]
    assert f"view SHA-256 {asked['approval_preview_hash']}" in shown
    assert "arguments.text" in asked["approval_fields_shown"]
    assert yes["approval_decision"] == result["approval_decision"] == "approved"
    assert yes["approval_approver"] == result["approval_approver"] == attempt["user_id"]
    assert yes["detail"]["independent"] is False  # the same account: a confirmation, and the record says so
    assert (result["result_status"], result["approval_execution_match"]) == ("succeeded", True)
    assert [e["event_id"] for e in record(tmp_path) if e.get("redaction_error")] == []


@pytest.mark.requirement("C5")
@pytest.mark.parametrize("classification", ["low", "medium", "high", "critical"])
def test_what_approvers_see_is_what_redaction_lets_through_and_the_call_runs_as_it_came(tmp_path, classification):
    secret = "ghp_" + "dUmmY0dUmmY1" * 3
    configured(tmp_path, more=f'[[tool]]\ntool = "store"\ntier = 3\nclassification = "{classification}"\n')
    with Session(tmp_path) as session:
        session.begin("tools/call", name="store", arguments={"text": f"use {secret}", "to": "plain"})
        (request,) = asked_for(tmp_path)
        shown = decide(tmp_path, request)
        answer = session.receive()
        session.end()

    assert said(answer) == f"use {secret}"
    assert secret not in shown
    assert ('argument "to" = "plain"' in shown) == (classification == "low")
    assert "not shown" in shown
    everything = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert secret.encode() not in everything


@pytest.mark.requirement("C5")
def test_a_rejected_call_never_runs_and_the_model_is_told(tmp_path):
    configured(tmp_path)
    with Session(tmp_path) as session:
        session.begin("tools/call", name="store", arguments={"text": "kept"})
        (request,) = asked_for(tmp_path)
        decide(tmp_path, request, action="reject")
        answer = session.receive()
        late = onrecord(tmp_path, "approvals", "approve", request.stem, "--yes")
        session.end()

    assert said(answer) == "not run: an approver has rejected this call"
    assert (late.returncode, late.stderr) == (1, "onrecord: not approved: it is decided already\n")
    (end,) = results(tmp_path, "store")
    assert (end["result_status"], end["error_type"]) == ("blocked", "approval_rejected")
    assert [e["action"] for e in approvals(tmp_path)] == ["requested", "withdrawn"]  # by who asked
    (refused,) = [e for e in record(tmp_path) if e.get("action") == "vote_refused"]
    assert refused["detail"]["reason"] == "it is decided already"


@pytest.mark.requirement("C5")
def test_who_gives_up_waiting_may_ask_again_and_then_it_runs_once(tmp_path):
    configured(tmp_path, approvals='wait = "300ms"')
    with Session(tmp_path) as session:
        told = said(session.call("store", text="kept"))
        (request,) = asked_for(tmp_path)
        assert request.stem in told
        decide(tmp_path, request)
        assert said(session.call("store", text="other")).startswith("not run: it needs an approval")
        assert said(session.call("store", text="kept")) == "kept"
        again = said(session.call("store", text="kept"))
        session.end()

    assert again.startswith("not run: it needs an approval")
    assert request.stem not in again
    ends = [(e["result_status"], e.get("error_type")) for e in results(tmp_path, "store")]
    assert ends == [("blocked", "approval_pending")] * 2 + [("succeeded", None), ("blocked", "approval_pending")]
    (ran,) = [e for e in results(tmp_path, "store") if e["result_status"] == "succeeded"]
    (first,) = [e for e in approvals(tmp_path, "requested") if e["approval_id"] == ran["approval_id"]]
    assert ran["detail"]["asked_in"] == first["call_id"] != ran["call_id"]


@pytest.mark.requirement("C5")
def test_an_approval_outlives_the_process_that_asked_for_it(tmp_path):
    configured(tmp_path)
    with Session(tmp_path) as session:
        session.begin("tools/call", name="store", arguments={"text": "kept"})
        (request,) = asked_for(tmp_path)
        session.child.kill()
    decide(tmp_path, request)
    with Session(tmp_path) as session:
        assert said(session.call("store", text="kept")) == "kept"
        session.end()

    ends = [(e["result_status"], e.get("error_type")) for e in results(tmp_path, "store")]
    assert ends == [("blocked", "recorder_died"), ("succeeded", None)]  # it waited, so it did not run


@pytest.mark.requirement("C5")
def test_a_cancelled_wait_is_closed_and_the_server_hears_of_neither(tmp_path):
    configured(tmp_path)
    with Session(tmp_path) as session:
        waiting = session.begin("tools/call", name="store", arguments={"text": "kept"})
        (request,) = asked_for(tmp_path)
        told = {"requestId": waiting, "reason": "answer anyway"}  # which the server would, had it heard
        session.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": told})
        decide(tmp_path, request)
        time.sleep(0.5)
        assert said(session.call("echo", text="next")) == "next"
        session.end()

    assert session.rest == b""
    ends = [(e["result_status"], e["error_type"]) for e in results(tmp_path, "store")]
    assert ends == [("cancelled", "approval_pending")]
    assert requests(tmp_path)[0]["state"] == "approved"  # the request stands


@pytest.mark.requirement("C5")
def test_a_client_that_goes_ends_the_wait(tmp_path):
    configured(tmp_path)
    with Session(tmp_path) as session:
        session.begin("tools/call", name="store", arguments={"text": "kept"})
        (request,) = asked_for(tmp_path)
        assert session.end() == 0

    assert [(e["result_status"], e["error_type"]) for e in results(tmp_path, "store")] == [
        ("cancelled", "approval_pending")
    ]
    assert [r["statement"]["id"] for r in requests(tmp_path)] == [request.stem]


@pytest.mark.requirement("C5")
def test_what_nobody_approves_in_time_expires(tmp_path):
    configured(tmp_path, approvals='expires = "400ms"')
    with Session(tmp_path) as session:
        assert said(session.call("store", text="kept")) == "not run: nobody has approved this call in time"
        (request,) = asked_for(tmp_path)
        late = onrecord(tmp_path, "approvals", "approve", request.stem, "--yes")
        session.begin("tools/call", name="store", arguments={"text": "kept"})
        wait_for(lambda: approvals(tmp_path, "expired"))
        session.end()

    assert late.returncode == 1
    assert "expired" in late.stderr
    assert not request.exists()


@pytest.mark.requirement("C5")
@pytest.mark.parametrize("by", ["a start", "the list"])
def test_a_request_that_has_expired_is_closed_on_the_record_at_a_start_and_by_the_list(tmp_path, by):
    configured(tmp_path, approvals='expires = "400ms"')
    with Session(tmp_path) as session:
        session.call("store", text="kept")
        session.end()
    (request,) = asked_for(tmp_path)
    if by == "a start":
        with Session(tmp_path) as session:
            session.end()
    else:
        assert onrecord(tmp_path, "approvals", "list").returncode == 0

    assert [e["approval_id"] for e in approvals(tmp_path, "expired")] == [request.stem]
    assert not request.exists()


# tier 4


@pytest.mark.requirement("C5")
@pytest.mark.parametrize(
    ("approvals", "why"),
    [
        ("step_up_from = 5", "the requester cannot approve their own call"),
        (f"four_eyes_from = 5\nchannels = ['cli', 'webauthn']\n{LOCAL}", "prove their presence"),
    ],
)
def test_who_asked_for_a_call_of_tier_4_cannot_approve_it(tmp_path, approvals, why):
    configured(
        tmp_path,
        approvals=f'wait = "2s"\nassurance_tier_4 = "os_account"\n{approvals}',
        more=STORE.replace("tier = 3", "tier = 4"),
    )
    with Session(tmp_path) as session:
        session.begin("tools/call", name="store", arguments={"text": "kept"})
        (request,) = asked_for(tmp_path)
        ended = onrecord(tmp_path, "approvals", "approve", request.stem, "--yes")
        assert said(session.receive()).startswith("not run: it needs an approval")
        session.end()

    assert ended.returncode == 1
    assert why in ended.stderr
    (refused,) = [e for e in record(tmp_path) if e.get("action") == "vote_refused"]
    assert why in refused["detail"]["reason"]
    assert approvals_of(tmp_path) == ["requested"]


@pytest.mark.requirement("C5")
@pytest.mark.parametrize(
    ("tier", "approvals", "why"),
    [
        (4, "", ["approvals.step_up_from", "approvals.assurance_tier_4", "identity.issuer"]),
        (4, "step_up_from = 5", ["approvals.assurance_tier_4", "identity.issuer"]),
        (4, 'assurance_tier_4 = "os_account"', ["approvals.step_up_from", "approvals.channels"]),
        (4, f"channels = ['webauthn']\n{LOCAL}", ["approvals.assurance_tier_4", "identity.issuer"]),
        (3, "assurance = 'token'", ["(approvals.assurance)", "identity.issuer"]),
        (3, "step_up_from = 3", ["approvals.step_up_from", "approvals.channels"]),
        (4, f"step_up_from = 5\n{ISSUER}", ["identity.person_claim"]),
        (3, f"quorum = 2\nassurance = 'token'\n{ISSUER}", ["identity.person_claim"]),
    ],
)
def test_a_call_that_nobody_here_can_approve_is_refused_at_once_and_doctor_names_the_settings(
    tmp_path, tier, approvals, why
):
    (tmp_path / "keys.json").write_bytes(shown())
    configured(tmp_path, approvals=approvals, more=STORE.replace("tier = 3", f"tier = {tier}"))
    with Session(tmp_path) as session:
        refused = said(session.call("store", text="kept"))
        session.end()
    warned = [line for line in onrecord(tmp_path, "doctor").stdout.splitlines() if "nobody here can approve" in line]

    assert refused.startswith("not run: it needs an approval, and nobody here can approve it: ")
    assert [one for one in why if one not in refused] == []
    assert any(f"tier {tier}" in line and all(one in line for one in why) for line in warned)
    assert [e["error_type"] for e in results(tmp_path, "store")] == ["approval_out_of_reach"]
    assert approvals_of(tmp_path) == []


def approvals_of(home):
    return [e["action"] for e in record(home) if e["event_type"] == "approval"]


@pytest.mark.requirement("C5")
def test_roles_come_from_the_settings_and_a_second_one_after_a_while(tmp_path):
    mine = f'[[approver]]\naccount = "{getpass.getuser()}"\nroles = ["board"]\n'
    escalation = 'escalate_after = "1s"\nescalate_roles = ["board"]'
    configured(tmp_path, approvals=escalation, more=mine + STORE + 'approver_roles = ["finance"]\n')
    with Session(tmp_path) as session:
        session.begin("tools/call", name="store", arguments={"text": "kept"})
        (request,) = asked_for(tmp_path)
        wait_for(lambda: approvals(tmp_path, "escalated"))
        decide(tmp_path, request)
        assert said(session.receive()) == "kept"
        session.end()

    (yes,) = approvals(tmp_path, "approved")
    assert yes["approval_role"] == "board"
    assert len(approvals(tmp_path, "escalated")) == 1


# the store


def approved_and_given_up(home):
    """Have a request approved for which nobody waits; return its file."""
    configured(home, approvals='wait = "200ms"')
    with Session(home) as session:
        session.call("store", text="kept")
        session.end()
    (request,) = asked_for(home)
    decide(home, request)
    return request


def ask_again(home, text="kept"):
    with Session(home) as session:
        told = said(session.call("store", text=text))
        session.end()
    return told


@pytest.mark.requirement("C5", "C6")
@pytest.mark.parametrize("spent", [True, False], ids=["restored file", "restored file and list"])
def test_a_request_that_is_put_back_as_it_was_before_it_was_used_is_refused(tmp_path, spent):
    request = approved_and_given_up(tmp_path)
    before = request.read_bytes()
    assert ask_again(tmp_path) == "kept"
    request.write_bytes(before)
    if not spent:
        (tmp_path / "keys" / "approvals-spent.json").unlink()
    assert "it was used before" in ask_again(tmp_path)

    assert [e["result_status"] for e in results(tmp_path, "store")].count("succeeded") == 1
    (alarm,) = [e for e in record(tmp_path) if e.get("action") == "approval_refused"]
    assert (alarm["event_type"], alarm["approval_id"]) == ("security", request.stem)


@pytest.mark.requirement("C5")
@pytest.mark.parametrize("how", ["edited", "renamed", "opened", "cut", "emptied", "a folder"])
def test_a_request_that_is_not_what_was_written_counts_as_none(tmp_path, how):
    request = approved_and_given_up(tmp_path)
    data = request.read_bytes()
    if how == "edited":
        request.write_bytes(data.replace(b'"quorum":1', b'"quorum":0'))
    elif how == "renamed":
        other = "1" if request.stem.endswith("0") else "0"
        request.rename(request.with_name(f"{request.stem[:-1]}{other}.json"))
    elif how == "opened":
        request.chmod(0o644)
    elif how == "a folder":
        request.unlink()
        request.mkdir()
    else:
        request.write_bytes(data[:100] if how == "cut" else b"")
    assert ask_again(tmp_path).startswith("not run: it needs an approval")

    assert [e["result_status"] for e in results(tmp_path, "store")] == ["blocked", "blocked"]
    assert [e["event_type"] for e in record(tmp_path) if e.get("action") == "approval_altered"] == ["security"]
    assert alarms(tmp_path) == ["approval_altered"]


def alarms(home):
    """Return what stands in the log `security`."""
    files = sorted((home / "ledger" / "security" / "log").glob("*.ndjson"))
    events = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [e["action"] for e in events if e["event_type"] == "security"]


@pytest.mark.requirement("C5")
@pytest.mark.parametrize("verb", ["list", "show", "approve", "reject", "options"])
def test_whoever_looks_at_a_request_that_was_altered_puts_it_aside_and_alarms_once(tmp_path, verb):
    request = approved_and_given_up(tmp_path)
    request.write_bytes(request.read_bytes().replace(b'"quorum":1', b'"quorum":0'))
    which = [] if verb == "list" else [request.stem]
    first, second = (
        onrecord(tmp_path, "approvals", verb, *which, *(["--yes"] if verb in ("approve", "reject") else []))
        for _ in range(2)
    )

    assert (first.returncode, first.stdout) == (1, "")
    assert "is not what was written" in first.stderr
    assert "nothing waits" not in first.stderr
    assert second.returncode == (0 if verb == "list" else 2)
    assert not request.exists()
    assert request.with_suffix(".broken").exists()
    assert [e["event_type"] for e in record(tmp_path) if e.get("action") == "approval_altered"] == ["security"]
    assert alarms(tmp_path) == ["approval_altered"]


@pytest.mark.requirement("C5")
def test_a_request_that_is_deleted_is_asked_again(tmp_path):
    request = approved_and_given_up(tmp_path)
    request.unlink()
    assert ask_again(tmp_path).startswith("not run: it needs an approval")
    (second,) = asked_for(tmp_path)
    assert second.stem != request.stem


@pytest.mark.requirement("C5")
def test_votes_that_the_log_does_not_have_do_not_count(tmp_path):
    request = approved_and_given_up(tmp_path)
    home = Home(tmp_path)
    kept = Approvals(home, read_keys(home).digest_key).read(request.stem)
    assert kept is not None
    (segment,) = home.log().segments.glob("*.ndjson")
    whole = segment.read_bytes()
    check_trail(home.log(), kept.seq, kept.statement, votes_of(kept))
    for old, new, why in (
        (b'"action":"approved"', b'"action":"appr0ved"', "something else"),
        (b'"action":"approved"', b'"action":"rejected"', "over"),
        (kept.votes[0].event_id.encode(), kept.statement.id.encode(), "does not have it"),
        (kept.votes[0].vote.approver.encode(), b"u_somebody_else", "something else"),
        (b'"action":"requested"', b'"action":"escalated"', "does not have it"),
        (kept.statement.digest().encode(), b"0" * 64, "something else"),
    ):
        segment.write_bytes(whole.replace(old, new))
        with pytest.raises(NotVerified, match=why):
            check_trail(home.log(), kept.seq, kept.statement, votes_of(kept))
    segment.write_bytes(whole + b'{"seq":%d,"pruned":{"leaf":"%s","rule":"r","entry":9}}\n' % (kept.seq, b"0" * 64))
    with pytest.raises(NotVerified, match="deleted"):
        check_trail(home.log(), kept.seq, kept.statement, votes_of(kept))


def votes_of(kept):
    return {one.event_id: one.vote for one in kept.votes}


@pytest.mark.requirement("C5")
def test_a_policy_that_has_changed_since_asks_again(tmp_path):
    request = approved_and_given_up(tmp_path)
    configured(
        tmp_path, approvals='wait = "200ms"', policy=POLICY + '@id("more") permit (principal, action, resource);'
    )
    assert ask_again(tmp_path).startswith("not run: it needs an approval")
    assert len(asked_for(tmp_path, 2)) == 2
    assert request.exists()


# a recorder service


@pytest.mark.requirement("C5")
@pytest.mark.parametrize("own", [True, False], ids=["of this home", "of another one"])
def test_approvals_hold_where_a_service_keeps_the_log(own):
    place = short_folder()
    home, kept_by = place / "home", place / ("home" if own else "elsewhere")
    configured(home, approvals='wait = "200ms"')
    socket = kept_by / "recorder.sock"
    service = Running(kept_by, socket)
    env = {"ONRECORD_SOCKET": str(socket)}
    try:
        with Session(home, env=env) as session:
            assert "needs an approval" in said(session.call("store", text="kept"))
            (request,) = asked_for(home)
            assert decide(home, request, env=env)
            before = request.read_bytes()
            assert said(session.call("store", text="kept")) == "kept"
            request.write_bytes(before)
            assert "it was used before" in said(session.call("store", text="kept"))
            session.end()
    finally:
        service.stop()

    assert [e["action"] for e in approvals(kept_by)] == ["requested", "approved"]
    assert [e["result_status"] for e in results(kept_by, "store")] == ["blocked", "succeeded", "blocked"]
    shutil.rmtree(place)


# a server that is not ours


@pytest.mark.requirement("C5")
def test_a_commit_by_a_real_server_is_made_once_it_is_approved_and_only_once(tmp_path):
    home, repo = tmp_path / "home", tmp_path / "repo"
    git = ["git", "-C", str(repo), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "init", "-q", str(repo)], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    (repo / "a.txt").write_text("a")
    subprocess.run([*git, "add", "a.txt"], check=True)
    configured(home, more='[[tool]]\ntool = "git_commit"\ntier = 3\nclassification = "low"\n')
    who = {
        f"GIT_{one}_{part}": value
        for one in ("AUTHOR", "COMMITTER")
        for part, value in (("NAME", "a"), ("EMAIL", "a@example.org"))
    }
    command = [sys.executable, "-m", "mcp_server_git", "--repository", str(repo)]
    with Session(home, command=command, env=who, listed=False) as session:
        info = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        session.ask("initialize", **info)
        session.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        session.ask("tools/list")
        session.begin("tools/call", name="git_commit", arguments={"repo_path": str(repo), "message": "second"})
        (request,) = asked_for(home)
        assert commits(repo) == ["first"]
        decide(home, request)
        assert "committed successfully" in said(session.receive())
        session.end()

    assert commits(repo) == ["second", "first"]


def commits(repo):
    told = subprocess.run(["git", "-C", str(repo), "log", "--format=%s"], capture_output=True, text=True, check=True)
    return told.stdout.split()


@pytest.mark.requirement("C5")
def test_the_approval_of_a_further_round_lets_no_arguments_through_that_look_like_one(tmp_path):
    configured(tmp_path, approvals='wait = "1s"\n')
    arguments, more = {"text": "kept"}, {"requestState": "s"}
    both = {"arguments": arguments, "inputResponses": {"q": {"action": "accept"}}}
    with Session(tmp_path) as session:
        session.ask("tools/call", name="store", **both, **more)
        (request,) = asked_for(tmp_path)
        assert "answers to the server's questions = " in decide(tmp_path, request)
        assert session.ask("tools/call", name="store", arguments=both, **more)["result"]["isError"]
        assert said(session.ask("tools/call", name="store", **both, **more)) == "kept"
        session.end()


@pytest.mark.requirement("C5")
@pytest.mark.parametrize(
    "changed",
    [{"_meta": {"account": "production"}}, {"_meta": {}}, {"dryRun": False}, {"task": {"ttl": 2}}, {"_meta": None}],
    ids=["meta", "no meta", "another param", "task", "a meta of no use"],
)
def test_a_call_that_differs_in_any_param_has_no_approval(tmp_path, changed):
    configured(tmp_path, approvals='wait = "1s"\n')
    sent = {"name": "store", "arguments": {"text": "kept"}, "_meta": {"account": "sandbox"}, "task": {"ttl": 1}}
    with Session(tmp_path) as session:
        session.ask("tools/call", **sent)
        (request,) = asked_for(tmp_path)
        decide(tmp_path, request)
        assert session.ask("tools/call", **{**sent, **changed})["result"]["isError"]
        sent["_meta"] = {"account": "sandbox", "progressToken": 7}
        assert said(session.ask("tools/call", **sent)) == "kept"
        session.end()


@pytest.mark.requirement("C5")
def test_a_number_that_would_be_bound_rounded_gets_no_approval(tmp_path):
    configured(tmp_path, approvals='wait = "1s"\n')
    line = '{"jsonrpc":"2.0","id":50,"method":"tools/call","params":{"name":"store","arguments":{"amount":%s}}}'
    with Session(tmp_path) as session:
        session.send((line % "1e25").encode())
        assert session.receive()["result"]["isError"]
        (request,) = asked_for(tmp_path)
        decide(tmp_path, request)
        session.send((line % "10000000000000000000999999.0").encode())
        assert "cannot be bound" in said(session.receive())
        session.end()
    assert len(asked_for(tmp_path)) == 1
