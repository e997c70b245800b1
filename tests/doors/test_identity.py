# SPDX-License-Identifier: Apache-2.0
"""Who is behind a call, through the real door: what is verified is recorded, and what does not hold is not run."""

import json
import os
import socket
import subprocess
import time

import pytest
from tests.doors.session import ONRECORD, SERVER, Session, record
from tests.identity.issuing import AUDIENCE, ISSUER, KeyServer, call_token, claims, confused, id_token, shown, unsigned
from tests.ledger.logs import wait_for

from onrecord.doors import wire

pytestmark = pytest.mark.requirement("C3")


def settings(home, *more, jwks="keys.json", keys=None):
    """Write the settings of an issuer whose keys lie in a file."""
    home.mkdir(exist_ok=True)
    (home / "keys.json").write_bytes(keys or shown())
    lines = ["[identity]", f'issuer = "{ISSUER}"', f'audience = "{AUDIENCE}"', f'jwks = "{jwks}"', *more]
    (home / "onrecord.toml").write_text("\n".join(lines) + "\n")


def calls(home, tool="store"):
    return [e for e in record(home) if e["event_type"] == "tool_call" and e.get("tool_name") == tool]


def authentications(home):
    return [e for e in record(home) if e["event_type"] == "authentication"]


def whole(home):
    """Return all that lies in a home, keys aside, as text."""
    files = [file for file in home.rglob("*") if file.is_file() and "keys" not in file.parts]
    return b"".join(file.read_bytes() for file in files).decode(errors="replace")


def signed_call(session, token, text="x", tool="store"):
    meta = {"io.onrecord/identity": token, "progressToken": 7}
    return session.ask("tools/call", name=tool, arguments={"text": text}, _meta=meta)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519"])
def test_an_id_token_from_the_environment_says_who_calls(tmp_path, algorithm):
    settings(tmp_path)
    token = id_token(algorithm)
    with Session(tmp_path, env={"ONRECORD_ID_TOKEN": token}) as session:
        assert "result" in session.call("store", text="x")
        assert session.end() == 0

    attempt, result = calls(tmp_path)
    for event in (attempt, result):
        assert (event["identity_source"], event["identity_assurance"]) == ("id_token", "token")
        assert event["identity_issuer"] == ISSUER
        assert event["principal_type"] == "unknown"
        assert event["user_id"].startswith("u_")
        assert len(event["token_hash"]) == 64
    assert [e["action"] for e in authentications(tmp_path)] == ["verify"]
    text = whole(tmp_path)
    assert "ada@people.example" not in text
    assert not any(part in text for part in token.split("."))


def test_the_same_person_has_the_same_pseudonym_and_another_has_another(tmp_path):
    settings(tmp_path)
    for token in (id_token(), id_token("Ed25519", jti="id-2"), id_token(sub="bob@people.example")):
        with Session(tmp_path, env={"ONRECORD_ID_TOKEN": token}) as session:
            session.call("store", text="x")
            session.end()

    users = [e["user_id"] for e in calls(tmp_path) if e["phase"] == "attempt"]
    assert users[0] == users[1] != users[2]


def test_what_a_person_is_comes_from_the_claim_that_the_settings_name(tmp_path):
    mfa = ['mfa_amr = ["mfa"]', 'mfa_max_age = "1h"']
    settings(tmp_path, 'person_claim = "idtyp"', 'person_values = ["user"]', *mfa)
    now = int(time.time())
    tokens = [
        id_token(idtyp="user", amr=["pwd", "mfa"], auth_time=now - 60, act={"sub": "agent-7", "act": {"sub": "gate"}}),
        id_token(idtyp="user", amr=["mfa"], auth_time=now - 7200),
        id_token(idtyp="app", amr=["mfa"], auth_time=now, client_id="robot"),
        id_token(amr=["mfa"], auth_time=now),
    ]
    for token in tokens:
        with Session(tmp_path, env={"ONRECORD_ID_TOKEN": token}) as session:
            session.call("store", text="x")
            session.end()

    one, old, robot, unsaid = (e for e in calls(tmp_path) if e["phase"] == "attempt")
    assert (one["principal_type"], one["identity_assurance"]) == ("human", "token_mfa")
    assert (one["auth_methods"], int(one["auth_time"][:4]) >= 2025) == (["pwd", "mfa"], True)
    assert not any(e.get("auth_time") for e in calls(tmp_path) if e["phase"] == "result")
    assert len(one["act_chain"]) == 2
    assert one["agent_id"] == one["act_chain"][0] != one["user_id"]
    assert (old["principal_type"], old["identity_assurance"]) == ("human", "token")
    for workload in (robot, unsaid):
        assert (workload["principal_type"], workload["identity_assurance"]) == ("workload", "token")
        assert "user_id" not in workload
        assert workload["agent_id"].startswith("u_")
    assert robot["client_id"] == "robot"


def now(seconds):
    return int(time.time()) + seconds


BAD = {
    "expired": (lambda: id_token(exp=now(-60), iat=now(-600)), "has expired"),
    "not valid yet": (lambda: id_token(nbf=now(600)), "not valid yet"),
    "issued in the future": (lambda: id_token(iat=now(600), exp=now(900)), "not valid yet"),
    "of another issuer": (lambda: id_token(iss="https://other.example"), "another issuer"),
    "for another audience": (lambda: id_token(aud=["elsewhere", "nowhere"]), "another audience"),
    "without an audience": (lambda: id_token(aud=None), "another audience"),
    "without an end": (lambda: id_token(exp=None), "when it expires"),
    "an end that is a text": (lambda: id_token(exp="tomorrow"), "'exp' is malformed"),
    "without a subject": (lambda: id_token(sub=None), "'sub' is missing"),
    "a malformed chain": (lambda: id_token(act="agent-7"), "'act' is malformed"),
    "a chain of nobody": (lambda: id_token(act={}), "'sub' is missing"),
    "a scope that is a number": (lambda: id_token(scope=3), "'scope' is malformed"),
    "unsigned": (lambda: unsigned(claims()), "algorithm that is not allowed"),
    "HMAC with the public key": (confused, "algorithm that is not allowed"),
    "a key that nobody shows": (lambda: id_token(header={"kid": "k-else"}), "does not show"),
    "signed with another's key": (lambda: id_token(key=ec_key()), "signature does not hold"),
    "the key of another kind": (lambda: id_token(header={"kid": "k-RS256"}), "does not show"),
    "an unknown extension": (lambda: id_token(header={"crit": ["exp"], "exp": 1}), "extension"),
    "a token for a call": (lambda: id_token(header={"typ": "mcp-id+jwt"}), "of another type"),
    "oversized": (lambda: id_token(note="x" * 20_000), "longer than"),
    "two parts": (lambda: "a.b", "three parts"),
    "no base64": (lambda: "a$.b$.c", "not base64url"),
    "a bad signature": (lambda: id_token()[:-6] + "AAAAAA", "signature does not hold"),
}


def ec_key():
    from joserfc.jwk import ECKey

    return ECKey.generate_key("P-256")


@pytest.mark.parametrize("what", BAD)
def test_an_id_token_that_does_not_hold_lets_no_call_through(tmp_path, what):
    make, why = BAD[what]
    settings(tmp_path)
    with Session(tmp_path, env={"ONRECORD_ID_TOKEN": make()}) as session:
        refused = session.call("store", text="x")
        assert refused["error"]["code"] == wire.NOT_AUTHENTICATED
        assert why in refused["error"]["message"]
        assert "result" in session.ask("tools/list")
        assert session.end() == 0
        assert b"Traceback" not in session.errors

    assert calls(tmp_path) == []
    told, refusal = authentications(tmp_path)
    assert told["action"] == "refuse"
    assert why in told["policy_reason"]
    assert (refusal["policy_decision"], refusal["result_status"], refusal["tool_name"]) == ("deny", "blocked", "store")


def test_a_token_for_the_server_s_process_is_not_handed_on_to_it(tmp_path):
    settings(tmp_path)
    script = "import os, sys; sys.exit(5 if any(n.startswith('ONRECORD_ID_TOKEN') for n in os.environ) else 4)"
    with Session(
        tmp_path, env={"ONRECORD_ID_TOKEN": id_token()}, command=[SERVER[0], "-c", script], listed=False
    ) as session:
        assert session.end() == 4


def test_a_file_is_read_again_when_it_changes_and_refused_when_others_can_read_it(tmp_path):
    settings(tmp_path, 'token_file = "token"')
    file = tmp_path / "token"

    def write(token):
        (tmp_path / "new").write_text(token + "\n")
        (tmp_path / "new").chmod(0o600)
        (tmp_path / "new").replace(file)

    write(id_token(exp=now(-60), iat=now(-600)))
    with Session(tmp_path) as session:
        assert "has expired" in session.call("store", text="x")["error"]["message"]
        write(id_token())
        assert "result" in session.call("store", text="x")
        write(id_token(sub="bob@people.example"))
        assert "result" in session.call("store", text="x")
        file.chmod(0o644)
        assert "read by others" in session.call("store", text="x")["error"]["message"]
        file.unlink()
        assert "no such file" in session.call("store", text="x")["error"]["message"]
        session.end()

    first, second = (e["user_id"] for e in calls(tmp_path) if e["phase"] == "attempt")
    assert first != second
    assert [e["action"] for e in authentications(tmp_path) if "tool_name" not in e] == [
        *("refuse", "verify", "verify", "refuse", "refuse"),
    ]


def test_a_token_that_expires_during_a_session_ends_its_calls(tmp_path):
    settings(tmp_path, 'token_file = "token"')
    file = tmp_path / "token"
    file.touch(0o600)
    with Session(tmp_path) as session:
        file.write_text(id_token(exp=int(time.time()) - 18))  # with 30 s of leeway for clocks, it ends in twelve
        assert "result" in session.call("store", text="x")
        wait_for(lambda: "error" in session.call("store", text="x"))
        session.end()

    assert "has expired" in authentications(tmp_path)[-1]["policy_reason"]


def test_a_signed_call_is_of_its_signer_and_the_token_goes_no_further(tmp_path):
    settings(tmp_path)
    token = call_token("store", {"text": "x"}, client_id="cli")
    with Session(tmp_path) as session:
        assert "result" in signed_call(session, token)
        line = (
            b'{"jsonrpc":"2.0","id":"b", "method":"debug/seen","params":{"_meta":{"a":[1,{"b":"}\\""}],'
            b' "io.\\u006fnrecord/identity" : "%s" , "z":1.0},"x":"\\u00e9"}}'
        )
        about = call_token("", {"x": "é"}, method="debug/seen")
        session.send(line % about.encode())
        seen = session.receive()["result"]["line"].encode()
        session.end()

    assert seen == line.replace(b' "io.\\u006fnrecord/identity" : "%s" ,', b"") + b"\n"
    for event in calls(tmp_path):
        assert (event["identity_source"], event["identity_assurance"]) == ("identity_jws", "token")
        assert event["client_id"] == "cli"
        assert len(event["token_hash"]) == 64
    assert calls(tmp_path)[0]["forwarded_without"] == ["/params/_meta/io.onrecord~1identity"]
    text = whole(tmp_path)
    assert not any(part in text for part in token.split("."))


SIGNED_BAD = {
    "for other arguments": (lambda: call_token("store", {"text": "y"}), "another call"),
    "for another tool": (lambda: call_token("erase", {"text": "x"}), "another call"),
    "for another server": (lambda: call_token("store", {"text": "x"}, aud="other"), "another audience"),
    "expired": (lambda: call_token("store", {"text": "x"}, exp=now(-60), iat=now(-120)), "has expired"),
    "too long-lived": (lambda: call_token("store", {"text": "x"}, exp=now(3600)), "at most 300 s"),
    "without an id": (lambda: call_token("store", {"text": "x"}, jti=None), "'jti' is missing"),
    "without a digest": (lambda: call_token("store", {"text": "x"}, req=None), "'req' is missing"),
    "forged": (lambda: call_token("store", {"text": "x"}, key=ec_key()), "signature does not hold"),
    "of another type": (lambda: call_token("store", {"text": "x"}, header={"typ": "JWT"}), "another type"),
    "an ID token": (id_token, "another type"),
    "a number": (lambda: 7, "is no text"),
    "nothing": (lambda: None, "is no text"),
    "an empty text": (lambda: "", "three parts"),
}


@pytest.mark.parametrize("what", SIGNED_BAD)
def test_a_signed_call_that_does_not_hold_never_reaches_the_server(tmp_path, what):
    make, why = SIGNED_BAD[what]
    settings(tmp_path)
    reached = tmp_path / "reached"
    script = f"import sys; [open({str(reached)!r}, 'a').write(line) for line in sys.stdin]"
    # a valid ID token is there as well: it excuses nothing
    with Session(
        tmp_path, env={"ONRECORD_ID_TOKEN": id_token()}, command=[SERVER[0], "-c", script], listed=False
    ) as session:
        refused = signed_call(session, make())
        assert refused["error"]["code"] == wire.NOT_AUTHENTICATED
        assert why in refused["error"]["message"]
        session.end()

    assert not reached.exists()
    assert [e["action"] for e in authentications(tmp_path)] == ["verify", "refuse"]
    assert calls(tmp_path) == []


def test_a_digest_of_a_further_round_counts_for_one_and_for_no_arguments_that_look_like_one(tmp_path):
    settings(tmp_path)
    arguments, answers = {"text": "x"}, {"q": {"action": "accept"}}
    both = {"arguments": arguments, "inputResponses": answers}
    with Session(tmp_path) as session:
        meta = {"io.onrecord/identity": call_token("store", both)}
        refused = session.ask("tools/call", name="store", arguments=both, _meta=meta)
        assert "cannot be told from a further round" in refused["error"]["message"]
        assert "result" in session.ask("tools/call", name="store", **both, _meta=meta)
        session.end()


def test_a_signed_call_is_made_once_whichever_process_it_comes_through(tmp_path):
    settings(tmp_path)
    token = call_token("store", {"text": "x"})
    with Session(tmp_path) as session, Session(tmp_path) as other:
        assert "result" in signed_call(session, token)
        for again in (session, other):
            assert "used before" in signed_call(again, token)["error"]["message"]
            again.end()

    assert len(calls(tmp_path)) == 2


def test_where_an_identity_is_required_a_call_without_one_is_refused(tmp_path):
    settings(tmp_path, "required = true")
    with Session(tmp_path) as session:
        assert "is required" in session.call("store", text="x")["error"]["message"]
        assert "result" in signed_call(session, call_token("store", {"text": "x"}))
        session.end()


def test_without_an_issuer_a_token_says_nothing_and_is_still_not_handed_on(tmp_path):
    token = call_token("store", {"text": "x"})
    with Session(tmp_path) as session:
        line = json.dumps({"jsonrpc": "2.0", "id": 9, "method": "debug/seen", "params": {"_meta": {"a": 1}}})
        meta = json.dumps({"a": 1, "io.onrecord/identity": token})
        session.send(line.replace('{"a": 1}', meta).encode())
        assert session.receive()["result"]["line"] == line + "\n"
        session.end()

    assert {e["identity_source"] for e in record(tmp_path) if e.get("phase")} == {"os_account"}
    assert token.split(".")[1] not in whole(tmp_path)


def test_keys_are_fetched_once_and_a_new_key_is_found(tmp_path):
    with KeyServer(shown("RS256")) as server:
        settings(tmp_path, jwks=server.url)
        with Session(tmp_path) as session:
            assert "result" in signed_call(session, call_token("store", {"text": "x"}, algorithm="RS256"))
            assert "result" in signed_call(session, call_token("store", {"text": "x"}, algorithm="PS256"))
            assert server.asked == 1
            for _ in range(20):
                assert "error" in signed_call(session, call_token("store", {"text": "x"}, algorithm="Ed25519"))
            assert server.asked == 1  # read less than half a minute ago
            session.end()


@pytest.mark.parametrize("how", ["hangs", "fails", "floods", "shows junk", "is away", "shows a secret"])
def test_an_issuer_that_does_not_show_its_keys_delays_one_call_and_lets_none_through(tmp_path, how):
    bodies = {"floods": b"x" * 1_000_000, "shows junk": b"{", "shows a secret": b'{"keys":[{"kty":"oct","k":"AAAA"}]}'}
    with KeyServer(bodies.get(how, shown()), hang=how == "hangs", status=500 if how == "fails" else 200) as server:
        settings(tmp_path, jwks="http://127.0.0.1:9/keys" if how == "is away" else server.url)
        with Session(tmp_path) as session:
            took = []
            for _ in range(12):
                began = time.monotonic()
                refused = signed_call(session, call_token("store", {"text": "x"}))
                took.append(time.monotonic() - began)
                assert "keys cannot be had" in refused["error"]["message"]
                assert "127.0.0.1" not in refused["error"]["message"]
            assert took[0] < 20
            assert sum(took[1:]) < 20  # and not three seconds each
            session.end()
        assert server.asked <= 1


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ('algorithms = ["none"]', "identity.algorithms: use one or more of RS256"),
        ('algorithms = ["HS256"]', "identity.algorithms: use one or more of RS256"),
        ("algorithms = []", "identity.algorithms: use one or more of RS256"),
        ('person_claim = "x"', "go together"),
        ('call_issuer = "x"', "go together"),
        ('isuer = "x"', "did you mean identity.issuer?"),
        ('keys_max_age = "never"', "identity.keys_max_age"),
    ],
)
def test_settings_that_cannot_work_stop_the_start(tmp_path, more, complaint):
    settings(tmp_path, more)
    with Session(tmp_path, listed=False) as session:
        assert session.end() == 2
        assert complaint in session.errors.decode()


def test_without_the_library_for_tokens_the_start_says_what_to_install(tmp_path):
    settings(tmp_path / "home")
    (tmp_path / "joserfc.py").write_text("raise ModuleNotFoundError('joserfc')")
    with Session(tmp_path / "home", env={"PYTHONPATH": str(tmp_path)}, listed=False) as session:
        assert session.end() == 2
        assert b"pip install 'onrecord[identity]'" in session.errors


def test_a_token_that_nobody_could_verify_stops_the_start(tmp_path):
    with Session(tmp_path, env={"ONRECORD_ID_TOKEN": id_token()}, listed=False) as session:
        assert session.end() == 2
        assert b"set identity.issuer" in session.errors


def test_a_token_in_the_environment_beside_a_file_stops_the_start_and_names_both_and_the_way_out(tmp_path):
    settings(tmp_path, 'token_file = "token"')
    with Session(tmp_path, env={"ONRECORD_ID_TOKEN": id_token()}, listed=False) as session:
        assert session.end() == 2
        said = session.errors.decode()
    assert f"given twice: in ONRECORD_ID_TOKEN, and in the file {tmp_path / 'token'}" in said
    assert "name another in ONRECORD_ID_TOKEN_FILE" in said


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="only Linux says who is at the other end")
def test_a_client_that_speaks_over_a_socket_is_known_by_the_kernel(tmp_path):
    ours, theirs = socket.socketpair()
    child = subprocess.Popen(
        [*ONRECORD, "run", "--server-id", "scripted", "--", *SERVER],
        stdin=theirs.fileno(),
        stdout=subprocess.PIPE,
        env={**os.environ, "ONRECORD_HOME": str(tmp_path)},
    )
    theirs.close()
    with child, ours:
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "store"}}
        ours.sendall(json.dumps(call).encode() + b"\n")
        assert child.stdout is not None
        assert child.stdout.readline()
        ours.close()
        child.wait(20)

    assert {(e["identity_source"], e["identity_assurance"]) for e in calls(tmp_path)} == {("peer_cred", "os_account")}
    with Session(tmp_path) as session:
        session.call("store", text="x")
        session.end()
    assert len({e["user_id"] for e in calls(tmp_path)}) == 1
