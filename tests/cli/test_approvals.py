# SPDX-License-Identifier: Apache-2.0
"""`onrecord approvals`: who decides is proven, what is shown is what is decided, and mistakes are said in one line."""

import json
import os
import pty
import re
import subprocess
import time

import pytest
from tests.doors.session import ONRECORD, Session, onrecord, record
from tests.doors.test_approvals import STORE, approvals, asked_for, configured, said
from tests.identity.issuing import AUDIENCE, ISSUER, PERSONS, call_token, id_token, shown
from tests.rules.test_approval import EXPIRES, statement, vote

from onrecord.approvals import Cast, Kept
from onrecord.cli.approvals import outcome_of

BOSS = f'[[approver]]\nissuer = "{ISSUER}"\nsubject = "boss@people.example"\nroles = ["finance"]\n'


def waiting(home, *, approvals="", more=STORE):
    """Have a call wait, and return its session and request."""
    configured(home, approvals=approvals, more=more)
    session = Session(home)
    session.begin("tools/call", name="store", arguments={"text": "kept"})
    (request,) = asked_for(home)
    return session, request


@pytest.mark.requirement("C5", "C3")
def test_a_call_of_tier_4_takes_another_person_with_the_role_by_a_verified_token(tmp_path):
    identity = f'[identity]\nissuer = "{ISSUER}"\naudience = "{AUDIENCE}"\njwks = "keys.json"\n{PERSONS}'
    (tmp_path / "keys.json").write_bytes(shown())
    tool = STORE.replace("tier = 3", "tier = 4") + 'approver_roles = ["finance"]\n'
    configured(tmp_path, approvals="step_up_from = 5", more=identity + BOSS + tool)
    asker, boss = id_token(sub="ada@people.example"), id_token(sub="boss@people.example", jti="id-2")
    with Session(tmp_path, env={"ONRECORD_ID_TOKEN": asker}) as session:
        session.begin("tools/call", name="store", arguments={"text": "kept"})
        (request,) = asked_for(tmp_path)
        for token, why in (
            (None, "token is needed"),
            (asker, "none of the roles finance"),
            (boss[:-8] + "AAAAAAAA", "not approved: "),
            (id_token(sub="boss@people.example", exp=int(time.time()) - 600), "expired"),
            (id_token(sub="boss@people.example", iss="https://other.example"), "another issuer"),
            (id_token(sub="eve@people.example", roles=["finance"], kind="service"), "a workload"),
        ):
            ended = as_(tmp_path, token, "approve", request.stem, "--yes")
            assert (ended.returncode, why in ended.stderr) == (1, True), ended.stderr
        assert as_(tmp_path, boss, "approve", request.stem, "--yes").returncode == 0
        assert said(session.receive()) == "kept"
        session.end()

    (yes,) = [e for e in record(tmp_path) if e.get("action") == "approved"]
    assert (yes["identity_source"], yes["identity_assurance"], yes["approval_role"]) == ("id_token", "token", "finance")
    assert yes["detail"]["independent"] is True
    everything = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert boss.encode() not in everything
    assert b"boss@people.example" not in everything.replace(BOSS.encode(), b"")


@pytest.mark.requirement("C5")
def test_where_the_settings_name_the_file_of_who_calls_somebody_else_names_a_file_of_theirs(tmp_path):
    identity = f'[identity]\nissuer = "{ISSUER}"\naudience = "{AUDIENCE}"\njwks = "keys.json"\n{PERSONS}'
    identity += 'token_file = "asker"\n'
    (tmp_path / "keys.json").write_bytes(shown())
    for name in ("asker", "boss"):
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text(id_token(sub=f"{name}@people.example", jti=name))
    configured(tmp_path, approvals="four_eyes_from = 3", more=identity + STORE)
    with Session(tmp_path) as session:
        session.begin("tools/call", name="store", arguments={"text": "kept"})
        (request,) = asked_for(tmp_path)
        own = as_(tmp_path, None, "approve", request.stem, "--yes")
        beside = as_(tmp_path, (tmp_path / "boss").read_text(), "approve", request.stem, "--yes")
        theirs = as_(tmp_path, None, "approve", request.stem, "--yes", ONRECORD_ID_TOKEN_FILE=str(tmp_path / "boss"))
        assert said(session.receive()) == "kept"
        session.end()

    assert (own.returncode, beside.returncode, theirs.returncode) == (1, 2, 0), theirs.stderr
    assert "name another in ONRECORD_ID_TOKEN_FILE" in beside.stderr


@pytest.mark.requirement("C5")
def test_where_another_person_is_demanded_a_token_that_does_not_say_so_is_no_persons(tmp_path):
    identity = f'[identity]\nissuer = "{ISSUER}"\naudience = "{AUDIENCE}"\njwks = "keys.json"\n'
    (tmp_path / "keys.json").write_bytes(shown())
    configured(tmp_path, approvals="four_eyes_from = 3", more=identity + STORE)
    with Session(tmp_path, env={"ONRECORD_ID_TOKEN": id_token()}) as session:
        session.begin("tools/call", name="store", arguments={"text": "kept"})
        (request,) = asked_for(tmp_path)
        robot = id_token(sub="5e0a1c1e-0b7c", azp="nightly-job", preferred_username="service-account-nightly-job")
        ended = as_(tmp_path, robot, "approve", request.stem, "--yes")
        session.end()

    assert (ended.returncode, "identity.person_claim" in ended.stderr) == (1, True), ended.stderr
    (refused,) = [e for e in record(tmp_path) if e.get("action") == "vote_refused"]
    assert refused["principal_type"] == "unknown"


@pytest.mark.requirement("C5")
def test_where_another_person_is_demanded_no_token_approves_that_an_agent_holds(tmp_path):
    identity = f'[identity]\nissuer = "{ISSUER}"\naudience = "{AUDIENCE}"\njwks = "keys.json"\n{PERSONS}'
    (tmp_path / "keys.json").write_bytes(shown())
    configured(tmp_path, approvals="four_eyes_from = 3", more=identity + STORE)
    asker = id_token(sub="ada@people.example", act={"sub": "agent-x"})
    with Session(tmp_path, env={"ONRECORD_ID_TOKEN": asker}) as session:
        session.begin("tools/call", name="store", arguments={"text": "kept"})
        (request,) = asked_for(tmp_path)
        for act, why in (
            ({"sub": "agent-x"}, "who acts for the requester"),
            ({"sub": "agent-y", "act": {"sub": "agent-x"}}, "who acts for the requester"),
            ({"sub": "agent-y"}, "an agent acts for the approver"),
        ):
            ended = as_(tmp_path, id_token(sub="boss@people.example", act=act), "approve", request.stem, "--yes")
            assert (ended.returncode, why in ended.stderr) == (1, True), ended.stderr
        boss = id_token(sub="boss@people.example")
        assert as_(tmp_path, boss, "approve", request.stem, "--yes").returncode == 0
        assert said(session.receive()) == "kept"
        session.end()

    refused = [e for e in record(tmp_path) if e.get("action") == "vote_refused"]
    assert [len(e["act_chain"]) for e in refused] == [1, 2, 1]
    assert all(e["agent_id"] == e["act_chain"][0] for e in refused)
    (attempt,) = [e for e in record(tmp_path) if e.get("phase") == "attempt"]
    assert refused[0]["agent_id"] == refused[1]["act_chain"][1] == attempt["agent_id"]


SIGNER = "https://signer.example"


@pytest.mark.requirement("C5")
@pytest.mark.parametrize(
    ("terms", "asks", "said_by", "why"),
    [
        ("four_eyes_from = 3", {}, [ISSUER], f"by the account, and the approver by {ISSUER}"),
        ("four_eyes_from = 3", {"token": ISSUER}, [None], f"by {ISSUER}, and the approver by the account"),
        ("four_eyes_from = 3", {"call_token": SIGNER}, [ISSUER], f"by {SIGNER}, and the approver by {ISSUER}"),
        ("quorum = 2", {}, [None, ISSUER], "nobody can tell that they are two people"),
        ("quorum = 2", {"token": ISSUER}, [ISSUER, None], "nobody can tell that they are two people"),
    ],
)
def test_one_person_under_two_names_is_not_two_people(tmp_path, terms, asks, said_by, why):
    identity = f'[identity]\nissuer = "{ISSUER}"\naudience = "{AUDIENCE}"\njwks = "keys.json"\n{PERSONS}'
    if "call_token" in asks:
        identity += f'call_issuer = "{SIGNER}"\ncall_jwks = "keys.json"\n'
    (tmp_path / "keys.json").write_bytes(shown())
    configured(tmp_path, approvals=terms, more=identity + STORE)
    call = {"name": "store", "arguments": {"text": "kept"}}
    if "call_token" in asks:
        call["_meta"] = {"io.onrecord/identity": call_token("store", call["arguments"], iss=SIGNER)}
    with Session(tmp_path, env={"ONRECORD_ID_TOKEN": id_token()} if "token" in asks else {}) as session:
        session.begin("tools/call", **call)
        (request,) = asked_for(tmp_path)
        ended = [as_(tmp_path, one and id_token(), "approve", request.stem, "--yes") for one in said_by]
        session.end()

    assert [one.returncode for one in ended] == [0] * (len(said_by) - 1) + [1]
    assert why in ended[-1].stderr
    assert not [e for e in record(tmp_path) if e.get("phase") == "decision"]


def as_(home, token, *arguments, **more):
    env = {**os.environ, "ONRECORD_HOME": str(home), **({"ONRECORD_ID_TOKEN": token} if token else {}), **more}
    return subprocess.run([*ONRECORD, "approvals", *arguments], env=env, capture_output=True, text=True)


@pytest.mark.requirement("C5", "B7")
def test_list_and_show_say_what_waits_and_nothing_in_it_acts(tmp_path):
    configured(tmp_path)
    with Session(tmp_path) as session:
        session.begin("tools/call", name="store", arguments={"text": "\x1b[31mred\u202e", "n": 1})
        (request,) = asked_for(tmp_path)
        listed = onrecord(tmp_path, "approvals", "list")
        shown_ = onrecord(tmp_path, "approvals", "show", request.stem[:13])
        told = json.loads(onrecord(tmp_path, "approvals", "show", request.stem, "--json").stdout)
        session.end()

    assert listed.returncode == 1
    assert listed.stdout.startswith(f"{request.stem}  pending    tier 3  scripted/store  by u_")
    assert 'argument "text" = "\\u001b[31mred\\u202e"' in shown_.stdout
    assert "\x1b" not in shown_.stdout
    assert told["statement"]["id"] == request.stem
    assert told["view"] == shown_.stdout.splitlines()[: len(told["view"])]
    (looks,) = (tmp_path / "ledger" / "access" / "log").glob("*")
    assert [json.loads(line).get("action") for line in looks.read_text().splitlines()].count("approvals") == 3


@pytest.mark.requirement("C5")
def test_tail_names_an_approval_and_why_it_is_needed_and_show_finds_all_events_about_it(tmp_path):
    session, request = waiting(tmp_path)
    assert onrecord(tmp_path, "approvals", "reject", request.stem, "--yes").returncode == 0
    session.receive()
    session.end()
    told = onrecord(tmp_path, "tail").stdout.splitlines()
    shown_ = onrecord(tmp_path, "show", request.stem, "--json")

    (attempt,) = [line for line in told if "→ scripted/store" in line]
    assert f"approval {request.stem}" in attempt
    assert "team.cedar#approval" in attempt
    assert [f"approval {request.stem}" in line for line in told if "by u_" in line] == [True]
    assert shown_.returncode == 0
    about = [e for e in record(tmp_path) if e.get("approval_id") == request.stem]
    assert [json.loads(line) for line in shown_.stdout.splitlines()] == about
    assert {"attempt", "result", "approval"} <= {e["phase"] for e in about}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "approved; the request is approved until "),
        ({"at_us": EXPIRES - 1}, "approved; the request is approved until "),
        ({"decision": "rejected"}, "rejected; the request is over"),
        ({"decision": "rejected", "approver": "u_asker"}, "withdrawn; the request is over"),
    ],
)
def test_what_a_vote_came_to_is_told_as_of_its_own_time_also_where_the_request_has_expired_since(changes, told):
    of = statement()
    cast = Cast(vote=vote(of, **changes), event_id="")
    assert outcome_of(Kept(statement=of, view=(), fields=(), hidden=0, seq=0, votes=(cast,))).startswith(told)


@pytest.mark.requirement("C5")
def test_who_decides_where_the_settings_name_the_token_of_who_asks_names_a_file_of_their_own(tmp_path):
    identity = f'[identity]\nissuer = "{ISSUER}"\naudience = "{AUDIENCE}"\njwks = "keys.json"\ntoken_file = "mine"\n'
    (tmp_path / "keys.json").write_bytes(shown())
    boss = id_token(sub="boss@people.example", jti="id-2")
    for name, token in (("mine", id_token(sub="ada@people.example")), ("boss", boss)):
        (tmp_path / name).write_text(token)
        (tmp_path / name).chmod(0o600)
    session, request = waiting(tmp_path, more=identity + STORE)
    twice = as_(tmp_path, boss, "approve", request.stem, "--yes")
    named = {"ONRECORD_ID_TOKEN_FILE": str(tmp_path / "boss")}
    done = onrecord(tmp_path, "approvals", "approve", request.stem, "--yes", env={**os.environ, **named})
    assert said(session.receive()) == "kept"
    session.end()

    assert twice.returncode == 2
    assert f"in ONRECORD_ID_TOKEN, and in the file {tmp_path / 'mine'}" in twice.stderr
    assert "name another in ONRECORD_ID_TOKEN_FILE" in twice.stderr
    assert done.returncode == 0, done.stderr
    (yes,) = approvals(tmp_path, "approved")
    assert yes["detail"]["independent"] is True


@pytest.mark.requirement("C5")
def test_the_list_shows_what_stands_with_the_time_that_is_left_and_the_rest_where_asked(tmp_path):
    session, request = waiting(tmp_path, approvals='expires = "50s"')
    waits = onrecord(tmp_path, "approvals", "list").stdout
    assert onrecord(tmp_path, "approvals", "reject", request.stem, "--yes").returncode == 0
    session.receive()
    session.end()
    stands, everything = (onrecord(tmp_path, "approvals", "list", "--json", *more).stdout for more in ((), ("--all",)))

    assert re.search(r"  0 of 1  [1-5]?[0-9] s left$", waits.rstrip())
    assert stands == ""
    assert [(one["id"], one["state"]) for one in map(json.loads, everything.splitlines())] == [
        (request.stem, "rejected")
    ]


def test_where_nothing_waits_the_list_says_so(tmp_path):
    configured(tmp_path)
    with Session(tmp_path) as session:
        session.end()
    ended = onrecord(tmp_path, "approvals", "list")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "onrecord: nothing waits for an approval\n")


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["approve", "00000000", "--yes"], 2, "there is no such request"),
        (["approve", "", "--yes"], 2, "give the first 8 characters of the id"),
        (["approve", "FIRST 7"], 2, "give the first 8 characters of the id"),
        (["show", "FIRST 7"], 2, "give the first 8 characters of the id"),
        (["approve", "FIRST 8", "--yes"], 2, "--yes takes the whole id"),
        (["reject", "FIRST 35", "--yes"], 2, "--yes takes the whole id"),
        (["show", "../../etc/passwd"], 2, "there is no such request"),
        (["approve", "ID"], 2, "nobody is at a terminal"),
    ],
)
def test_a_mistake_is_said_in_one_line(tmp_path, arguments, code, why):
    session, request = waiting(tmp_path)
    given = [request.stem if one == "ID" else one for one in arguments]
    given = [request.stem[: int(one.split()[1])] if one.startswith("FIRST") else one for one in given]
    ended = onrecord(tmp_path, "approvals", *given)
    session.end()

    assert approvals(tmp_path, "approved") + approvals(tmp_path, "rejected") + approvals(tmp_path, "withdrawn") == []
    assert (ended.returncode, len(ended.stderr.splitlines())) == (code, 1)
    assert why in ended.stderr


@pytest.mark.parametrize("right", [True, False])
def test_a_person_at_a_terminal_says_which_one_they_mean(tmp_path, right):
    session, request = waiting(tmp_path)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*ONRECORD, "approvals", "approve", request.stem],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "ONRECORD_HOME": str(tmp_path)},
    ) as child:
        os.write(ours, (request.stem[-6:] if right else "000000").encode() + b"\n")
        _, errors = child.communicate(timeout=60)
        assert child.returncode == (0 if right else 1)
    if right:
        assert said(session.receive()) == "kept"
    else:
        assert b"nothing was decided" in errors
    session.end()
    assert [e["action"] for e in record(tmp_path) if e["event_type"] == "approval"] == [
        "requested",
        *(["approved"] if right else []),
    ]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ('[approvals]\nwait = "soon"', "approvals.wait is 'soon'"),
        ('[approvals]\nexpires = "48h"', "longer than a day"),
        ('[approvals]\nescalate_after = "5m"', "go together"),
        ('[approvals]\nchannels = ["mail"]', "approvals.channels"),
        ("[approvals]\nquorum = 0", "approvals.quorum"),
        ("[approvals]\nqourum = 2", "did you mean approvals.quorum?"),
        ('[[approver]]\nroles = ["a"]', "approver 1: give an account, or an issuer and a subject"),
        ('[[approver]]\naccount = "a"\nissuer = "b"\nroles = ["a"]', "approver 1: give an account"),
        ('[[approver]]\naccount = "a"\nroles = []', "approver 1: roles is empty"),
    ],
)
def test_settings_that_cannot_work_are_named(tmp_path, more, why):
    (tmp_path / "onrecord.toml").write_text(more)
    ended = onrecord(tmp_path, "run", "--", "true")
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
    assert why in ended.stderr
