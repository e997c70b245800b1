# SPDX-License-Identifier: Apache-2.0
"""Approvals that are signed, at the real door: by an authenticator, or by a service that is asked over a webhook."""

import getpass
import json
import os
import subprocess
import sys
import threading
import time

import pytest
from tests.doors.session import ONRECORD, Session, onrecord, record, results
from tests.doors.test_approvals import approvals, asked_for, configured, said
from tests.identity.issuing import AUDIENCE, ISSUER, PERSONS, claims, id_token, shown, signed, unsigned
from tests.ledger.logs import wait_for
from tests.proofs.device import ORIGIN, PARTY, Device
from tests.proofs.service import SECRET, DecidingService, Reply

pytestmark = pytest.mark.requirement("C5")

HERE, SERVICE = "onrecord-here", "https://approvals.example"
TIER_4 = '[[tool]]\ntool = "store"\ntier = 4\nclassification = "low"\n'
TIER_3 = TIER_4.replace("4", "3")
PEOPLE = f'[identity]\nissuer = "{ISSUER}"\naudience = "{AUDIENCE}"\njwks = "keys.json"\n' + PERSONS
PAGES = f'[webauthn]\nrp_id = "{PARTY}"\norigins = ["{ORIGIN}"]\n'
STEP_UP = 'channels = ["cli", "webauthn"]\n'
BY_SERVICE = 'channels = ["cli", "webhook"]\n'
KEY = {"ONRECORD_WEBHOOK_SECRET": SECRET}


def run(home, *arguments, token="", **environ):
    """Run a verb, as whoever has `token`, or as the account."""
    more = {"ONRECORD_HOME": str(home), **({"ONRECORD_ID_TOKEN": token} if token else {}), **environ}
    return subprocess.run([*ONRECORD, *arguments], env={**os.environ, **more}, capture_output=True, text=True)


def refusals(home):
    return [e for e in record(home) if e.get("action") == "vote_refused"]


def of_one_call(home):
    """Return the decision and the end of the call that had to be approved."""
    events = [e for e in record(home) if e.get("tool_name") == "store"]
    return [[e for e in events if e.get("phase") == phase] for phase in ("decision", "result")]


# with an authenticator


def step_up(home, *, more=TIER_4, approvals=STEP_UP):
    home.mkdir(exist_ok=True)
    (home / "keys.json").write_bytes(shown())
    configured(home, approvals=approvals, more=PEOPLE + PAGES + more)


def enrolled(home, device, token=""):
    answer = home / "answer.json"
    answer.write_bytes(device.create(json.loads(run(home, "authenticators", "options", token=token).stdout)))
    done = run(home, "authenticators", "enrol", str(answer), token=token)
    assert done.returncode == 0, done.stderr


def approved_by(home, device, approval_id, *, options="", **wrong):
    """Have `device` sign a request, and hand in what it answers."""
    options = json.loads(options or onrecord(home, "approvals", "options", approval_id).stdout)
    (home / "assertion.json").write_bytes(device.get(options, **wrong))
    return onrecord(home, "approvals", "approve", approval_id, "--assertion", str(home / "assertion.json"))


def test_a_call_of_tier_4_runs_once_another_person_has_signed_it_with_their_authenticator(tmp_path):
    step_up(tmp_path)
    device = Device()
    enrolled(tmp_path, device, id_token(sub="bob"))
    with Session(tmp_path, env={"ONRECORD_ID_TOKEN": id_token(sub="ada")}) as session:
        session.begin("tools/call", name="store", arguments={"text": "kept"})
        (request,) = asked_for(tmp_path)
        by_command = run(tmp_path, "approvals", "approve", request.stem, "--yes", token=id_token(sub="bob"))
        done = approved_by(tmp_path, device, request.stem)
        answer = session.receive()
        again = onrecord(
            tmp_path, "approvals", "approve", request.stem, "--assertion", str(tmp_path / "assertion.json")
        )
        session.end()

    assert (by_command.returncode, "step-up" in by_command.stderr) == (1, True)
    assert (done.returncode, said(answer)) == (0, "kept")
    assert 'argument "text" = "kept"' in done.stdout
    (yes,) = approvals(tmp_path, "approved")
    assert (yes["identity_assurance"], yes["identity_source"]) == ("phishing_resistant", "id_token")
    assert yes["detail"]["stepped_up"] is yes["detail"]["independent"] is True
    assert yes["detail"]["channel"] == "webauthn"
    assert yes["identity_key_id"] == json.loads(onrecord(tmp_path, "authenticators", "--json").stdout)["digest"]
    (decision,), (result,) = of_one_call(tmp_path)
    assert decision["approval_execution_match"] is True
    assert (result["result_status"], result["approval_approver"]) == ("succeeded", yes["user_id"])
    assert (again.returncode, "counter has not gone on" in again.stderr) == (1, True)
    assert [e["detail"]["channel"] for e in refusals(tmp_path)] == ["cli", "webauthn"]


def test_a_signature_that_does_not_hold_approves_nothing_and_is_on_the_record_once(tmp_path):
    step_up(tmp_path)
    device, stranger, own = Device(), Device(), Device()
    enrolled(tmp_path, device, id_token(sub="bob"))
    enrolled(tmp_path, own)
    stranger.handle = b""
    with Session(tmp_path, env={"ONRECORD_ID_TOKEN": id_token(sub="ada")}) as session:
        session.begin("tools/call", name="store", arguments={"text": "one"})
        session.begin("tools/call", name="store", arguments={"text": "two"})
        one, two = asked_for(tmp_path, 2)
        other = onrecord(tmp_path, "approvals", "options", one.stem).stdout
        ended = [
            approved_by(tmp_path, device, two.stem, options=other),  # it says one thing, and is handed in for another
            approved_by(tmp_path, stranger, two.stem),
            approved_by(tmp_path, device, two.stem, flags=1),
            approved_by(tmp_path, device, two.stem, origin="https://evil.example"),
            approved_by(tmp_path, device, two.stem, signature=b"\0" * 70),
            approved_by(tmp_path, own, two.stem),
        ]
        assert approved_by(tmp_path, device, one.stem).returncode == 0
        assert said(session.receive()) == "one"
        session.end()

    why = [e["detail"]["reason"] for e in refusals(tmp_path)]
    assert [done.returncode for done in ended] == [1] * 6
    assert [done.stderr.strip().removeprefix("onrecord: does not count: ") for done in ended] == why
    for text, told in zip(
        why,
        ["another challenge", "not enrolled", "verified", "origin", "signature", "not enough is known"],
        strict=True,
    ):
        assert told in text
    assert {e["approval_id"] for e in refusals(tmp_path)} == {two.stem}
    assert len(approvals(tmp_path, "approved")) == 1
    assert [e["result_status"] for e in results(tmp_path, "store")] == ["succeeded", "cancelled"]


def test_an_authenticator_of_the_one_who_asks_does_not_approve_where_another_person_has_to(tmp_path):
    step_up(tmp_path)
    device, token = Device(), id_token(sub="ada")
    enrolled(tmp_path, device, token)
    with Session(tmp_path, env={"ONRECORD_ID_TOKEN": token}) as session:
        session.begin("tools/call", name="store", arguments={"text": "kept"})
        (request,) = asked_for(tmp_path)
        done = approved_by(tmp_path, device, request.stem)
        session.end()
    assert (done.returncode, "cannot approve their own call" in done.stderr) == (1, True)
    assert len(refusals(tmp_path)) == 1


# by a service


def by_service(home, url, *, more=TIER_3, webhook="", approvals=BY_SERVICE):
    home.mkdir(exist_ok=True)
    (home / "keys.json").write_bytes(shown())
    about = f'[webhook]\nurl = "{url}"\nissuer = "{SERVICE}"\naudience = "{HERE}"\njwks = "keys.json"\n{webhook}\n'
    configured(home, approvals=approvals, more=about + more)


def decision(digest, choice="approved", **more):
    now = int(time.time())
    about = {"iss": SERVICE, "aud": HERE, "sub": "bob", "iat": now, "exp": now + 120, "jti": None}
    header = {"typ": "onrecord-decision+jwt", **more.pop("header", {})}
    return signed(claims(**{**about, "statement": digest, "decision": choice, **more}), **header)


@pytest.mark.parametrize("choice", ["approved", "rejected"])
def test_a_call_runs_or_not_as_the_service_has_signed(tmp_path, choice):
    with DecidingService(lambda message: Reply(200, decision(message["data"]["digest"], choice).encode())) as service:
        by_service(tmp_path, service.url)
        with Session(tmp_path, env=KEY) as session:
            answer = session.call("store", text="kept")
            session.end()

    assert said(answer) == ("kept" if choice == "approved" else "not run: an approver has rejected this call")
    ((headers, message),) = service.asked
    (event,) = approvals(tmp_path, choice)
    assert headers["webhook-id"] == message["data"]["id"] == event["approval_id"]
    assert 'argument "text" = "kept"' in message["data"]["view"]
    assert event["approval_preview_hash"] == message["data"]["statement"]["preview_hash"]
    assert (event["identity_source"], event["identity_assurance"]) == ("identity_jws", "token")
    assert (event["identity_issuer"], event["identity_key_id"]) == (SERVICE, "k-ES256")
    assert event["detail"]["channel"] == "webhook"
    assert event["detail"]["independent"] is True
    assert event["user_id"] != message["data"]["statement"]["requester"]


def test_while_nobody_has_decided_the_service_is_asked_again_and_other_calls_go_on(tmp_path):
    ready = threading.Event()

    def answers(message):
        if not ready.is_set():
            return Reply(202, Retry_After="1")
        return Reply(200, decision(message["data"]["digest"]).encode())

    with DecidingService(answers) as service:
        by_service(tmp_path, service.url)
        with Session(tmp_path, env=KEY) as session:
            session.begin("tools/call", name="store", arguments={"text": "kept"})
            wait_for(lambda: service.asked)
            assert said(session.call("echo", text="meanwhile")) == "meanwhile"
            ready.set()
            assert said(session.receive()) == "kept"
            session.end()
    assert len(service.asked) >= 2
    assert len({headers["webhook-id"] for headers, _ in service.asked}) == 1
    assert len(approvals(tmp_path, "approved")) == 1


def test_a_request_that_was_left_behind_is_asked_about_again_when_the_call_comes_again(tmp_path):
    ready = threading.Event()

    def answers(message):
        return Reply(200, decision(message["data"]["digest"]).encode()) if ready.is_set() else Reply(202)

    with DecidingService(answers) as service:
        by_service(tmp_path, service.url)
        with Session(tmp_path, env=KEY) as session:
            session.begin("tools/call", name="store", arguments={"text": "kept"})
            wait_for(lambda: service.asked)
            assert session.end() == 0
        ready.set()
        with Session(tmp_path, env=KEY) as session:
            assert said(session.call("store", text="kept")) == "kept"
            session.end()
    assert len({headers["webhook-id"] for headers, _ in service.asked}) == 1
    assert [e["result_status"] for e in results(tmp_path, "store")] == ["cancelled", "succeeded"]
    assert len(approvals(tmp_path, "requested")) == 1


def test_a_service_that_hangs_or_is_away_holds_up_nothing_else(tmp_path):
    with DecidingService(lambda _: Reply(500, wait_s=0.5)) as service:
        by_service(tmp_path, service.url, webhook='timeout = "200ms"')
        with Session(tmp_path, env=KEY) as session:
            session.begin("tools/call", name="store", arguments={"text": "kept"})
            began = time.monotonic()
            assert said(session.call("echo", text="meanwhile")) == "meanwhile"
            took_s = time.monotonic() - began
            wait_for(lambda: [e for e in record(tmp_path) if e["event_type"] == "delivery_failure"])
            (request,) = asked_for(tmp_path)
            assert onrecord(tmp_path, "approvals", "reject", request.stem, "--yes").returncode == 0
            assert "rejected" in said(session.receive())
            session.end()
    assert took_s < 30
    assert len([e for e in record(tmp_path) if e["event_type"] == "delivery_failure"]) == 1
    assert "the webhook was not asked about an approval" in session.errors.decode()


def test_what_a_service_answers_without_its_signature_approves_nothing(tmp_path):
    def wrong(digest):
        yield b'{"decision": "approved"}', "application/json", None
        yield unsigned({**claims(), "statement": digest, "decision": "approved"}).encode(), "application/jwt", None
        yield decision("0" * 64).encode(), "application/jwt", "another statement"
        yield decision(digest, iss="https://evil.example").encode(), "application/jwt", "another issuer"
        yield decision(digest, iat=1, exp=60).encode(), "application/jwt", "expired"
        yield decision(digest, header={"kid": "nobody"}).encode(), "application/jwt", "does not show"
        yield decision(digest, sub="robot", client_id="robot").encode(), "application/jwt", "of a workload"

    for number in range(7):
        home = tmp_path / str(number)

        def answers(message, number=number):
            body, kind, _ = list(wrong(message["data"]["digest"]))[number]
            return Reply(200, body, kind, Retry_After="1")

        with DecidingService(answers) as service:
            by_service(home, service.url)
            with Session(home, env=KEY) as session:
                session.begin("tools/call", name="store", arguments={"text": "kept"})
                noted = ("vote_refused", "webhook")
                wait_for(lambda home=home, noted=noted: [e for e in record(home) if e.get("action") in noted])
                session.end()

        *_, why = list(wrong("0"))[number]
        events = [e for e in record(home) if e.get("action") in ("vote_refused", "webhook")]
        assert len(events) == 1, number
        assert events[0]["approval_id"] == service.asked[0][1]["data"]["id"]
        if why:
            assert (events[0]["action"], why in events[0]["detail"]["reason"]) == ("vote_refused", True)
        assert approvals(home, "approved") == []
        assert [e["result_status"] for e in results(home, "store")] == ["cancelled"]


def test_a_decision_can_be_carried_here_by_hand_and_counts_once(tmp_path):
    by_service(tmp_path, "http://127.0.0.1:9/")
    file = tmp_path / "decision.jwt"
    with Session(tmp_path, env=KEY) as session:
        session.begin("tools/call", name="store", arguments={"text": "kept"})
        (request,) = asked_for(tmp_path)
        digest = json.loads(onrecord(tmp_path, "approvals", "show", request.stem, "--json").stdout)["digest"]
        ended = []
        for token in (decision("0" * 64), decision(digest, aud="other"), "no token", decision(digest)):
            file.write_text(f"{token}\n")
            ended.append(run(tmp_path, "approvals", "submit", str(file)))
        assert said(session.receive()) == "kept"
        ended.append(run(tmp_path, "approvals", "submit", str(file)))
        session.end()

    assert [done.returncode for done in ended] == [1, 1, 1, 0, 1]
    told = ["nothing that was asked here", "another audience", "not one to 16", "is approved now", ""]
    assert all(text in done.stderr + done.stdout for text, done in zip(told, ended, strict=True))
    assert len(refusals(tmp_path)) == 4
    assert [e["user_id"] for e in approvals(tmp_path, "approved")] == [of_one_call(tmp_path)[1][0]["approval_approver"]]


def test_a_service_can_be_asked_by_hand(tmp_path):
    decided = threading.Event()

    def answers(message):
        return Reply(200, decision(message["data"]["digest"]).encode()) if decided.is_set() else Reply(410)

    with DecidingService(answers) as service:
        by_service(tmp_path, service.url)
        with Session(tmp_path, env=KEY) as session:
            session.begin("tools/call", name="store", arguments={"text": "kept"})
            wait_for(lambda: [e for e in record(tmp_path) if e["event_type"] == "delivery_failure"])
            gone = run(tmp_path, "approvals", "send", **KEY)
            decided.set()
            done = run(tmp_path, "approvals", "send", "--json", **KEY)
            assert said(session.receive()) == "kept"
            session.end()
    assert (gone.returncode, "status 410" in gone.stderr) == (1, True)
    assert (done.returncode, json.loads(done.stdout)["state"]) == (0, "approved")


def test_no_word_of_a_service_is_a_step_up(tmp_path):
    with DecidingService(lambda message: Reply(200, decision(message["data"]["digest"]).encode())) as service:
        by_service(tmp_path, service.url, more=PEOPLE + PAGES + TIER_4, approvals='channels = ["webhook", "webauthn"]')
        with Session(tmp_path, env=KEY) as session:
            session.begin("tools/call", name="store", arguments={"text": "kept"})
            wait_for(lambda: refusals(tmp_path))
            session.end()
    (refused,) = refusals(tmp_path)
    assert "step-up" in refused["detail"]["reason"]
    assert [e["result_status"] for e in results(tmp_path, "store")] == ["cancelled"]


def test_accounts_that_the_service_names_are_told_from_the_one_that_asks(tmp_path):
    def answers(message):
        return Reply(200, decision(message["data"]["digest"], sub=getpass.getuser()).encode())

    with DecidingService(answers) as service:
        by_service(tmp_path, service.url, webhook='subjects = "os_account"')
        with Session(tmp_path, env=KEY) as session:
            assert said(session.call("store", text="kept")) == "kept"
            session.end()
    (yes,) = approvals(tmp_path, "approved")
    assert yes["detail"]["independent"] is False
    assert yes["user_id"] == service.asked[0][1]["data"]["statement"]["requester"]


@pytest.mark.parametrize("subjects", ["", "os_account"])
def test_where_another_person_is_demanded_the_service_names_them_where_the_one_who_asks_is_named(tmp_path, subjects):
    with DecidingService(lambda message: Reply(200, decision(message["data"]["digest"]).encode())) as service:
        terms, whose = f"{BY_SERVICE}four_eyes_from = 3\n", f'subjects = "{subjects}"'
        by_service(tmp_path, service.url, more=PEOPLE + TIER_3, webhook=whose, approvals=terms)
        with Session(tmp_path, env={**KEY, "ONRECORD_ID_TOKEN": id_token(sub="ada")}) as session:
            session.begin("tools/call", name="store", arguments={"text": "kept"})
            wait_for(lambda: refusals(tmp_path) or approvals(tmp_path, "approved"))
            session.end()
    if subjects:
        assert "that they are two people" in refusals(tmp_path)[0]["detail"]["reason"]
        assert not approvals(tmp_path, "approved")
    else:
        assert approvals(tmp_path, "approved")[0]["detail"]["independent"] is True


@pytest.mark.parametrize(
    ("environ", "lines", "why"),
    [
        ({}, "", "the secret of the webhook is missing"),
        ({"ONRECORD_WEBHOOK_SECRET": "hunter2"}, "", "whsec_"),
        (KEY, 'secret_file = "secret"', "given twice"),
        ({}, 'secret_file = "secret"', "cannot be read"),
        ({}, 'secret_file = "keys.json"', "can be read by others"),
    ],
)
def test_a_webhook_that_cannot_sign_stops_the_start(tmp_path, environ, lines, why):
    by_service(tmp_path, "http://127.0.0.1:9/", webhook=lines)
    done = run(tmp_path, "run", "--", "true", **environ)
    assert (done.returncode, why in done.stderr, "hunter2" in done.stderr) == (2, True, False)


@pytest.mark.parametrize(
    ("approvals", "more", "why"),
    [
        (BY_SERVICE, "", "webhook.issuer is empty"),
        (STEP_UP, "", "webauthn.rp_id is empty"),
        (
            "",
            f'[webhook]\nurl = "https://a.example"\nissuer = "{SERVICE}"\naudience = "x"\njwks = "k"\n',
            "does not name webhook",
        ),
    ],
)
def test_a_channel_that_is_not_set_up_stops_the_start(tmp_path, approvals, more, why):
    configured(tmp_path, approvals=approvals, more=more)
    done = run(tmp_path, "run", "--", "true")
    assert (done.returncode, why in done.stderr) == (2, True)


def test_the_wrapped_server_does_not_learn_the_secret(tmp_path):
    by_service(tmp_path, "http://127.0.0.1:9/")
    script = "import os, sys; sys.exit(5 if any('WEBHOOK' in name for name in os.environ) else 4)"
    assert run(tmp_path, "run", "--", sys.executable, "-c", script, **KEY).returncode == 4
