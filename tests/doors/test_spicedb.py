# SPDX-License-Identifier: Apache-2.0
"""SpiceDB at the real door: what it does not permit never reaches the server, and the record says by which state."""

import json
import socket
import time

import pytest
from tests.doors.session import SERVER, Session, onrecord, record, results
from tests.engines.relations import LIBRARY, TOKEN, spicedb
from tests.identity.issuing import AUDIENCE, ISSUER, id_token, shown

pytestmark = [
    pytest.mark.skipif(not LIBRARY.exists(), reason="SpiceDB is not at hand: make spicedb"),
    pytest.mark.requirement("C4"),
]

NAME = "TEAM_SPICEDB_TOKEN"
ADA = "user:ada=40people=2Eexample"
SCHEMA = """
caveat within(limit int) { limit < 3 }
definition user {}
definition tool {
    relation caller: user | user with within
    permission call = caller
}
"""


@pytest.fixture
def server():
    with spicedb() as running:
        running.define(SCHEMA)
        running.relate("tool:scripted/store", "caller", ADA)
        running.relate("tool:scripted/erase", "caller", ADA, caveat="within")
        yield running


def configured(home, url, *, mode="enforce", timeout="60s", more=""):
    (home / "keys.json").write_bytes(shown())
    (home / "onrecord.toml").write_text(f"""
[policy]
engine = "spicedb"
url = "{url}"
mode = "{mode}"
timeout = "{timeout}"
[policy.spicedb]
token_env = "{NAME}"
{more}
[identity]
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
jwks = "keys.json"
""")
    return {"ONRECORD_ID_TOKEN": id_token(), NAME: TOKEN}


def attempts(home, tool=None):
    return [e for e in record(home) if e.get("phase") == "attempt" and tool in (None, e.get("tool_name"))]


@pytest.mark.requirement("C2")
def test_what_is_not_permitted_never_reaches_the_tool_and_the_record_says_by_which_state(tmp_path, server):
    env = configured(tmp_path, server.url)
    command = ["sh", "-c", f'env > "{tmp_path}/environment"; exec "$@"', "sh", *SERVER]
    with Session(tmp_path, env=env, command=command) as session:
        assert session.call("store", text="x")["result"]["content"][0]["text"] == "x"
        for tool in ("fail", "erase"):
            answer = session.call(tool)
            assert answer["result"]["content"][0]["text"] == "not run: denied by policy"
        revoked = server.relate("tool:scripted/store", "caller", ADA, gone=True)
        assert session.call("store", text="y")["result"]["isError"]
        assert session.end() == 0

    first, second = attempts(tmp_path, "store")
    assert [e["policy_decision"] for e in (first, second)] == ["allow", "deny"]
    assert first["policy_consistency"] != second["policy_consistency"] == revoked
    assert first["policy_version"] == second["policy_version"]
    assert (first["policy_id"], first["policy_reason"]) == ("tool#call", "SpiceDB: permission tool#call is held")
    (lacking,) = attempts(tmp_path, "erase")
    assert lacking["policy_reason"] == "SpiceDB: permission tool#call depends on what was not said: limit"
    assert all("policy_consistency" not in e for e in results(tmp_path))
    assert [e["result_status"] for e in results(tmp_path, "store")] == ["succeeded", "blocked"]
    assert session.errors == b""

    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert TOKEN.encode() not in kept  # neither on the record nor in the server's environment
    assert NAME not in (tmp_path / "environment").read_text()
    assert b"ada@people" not in kept
    assert b"ada=40people" not in kept


@pytest.mark.requirement("C2")
def test_while_it_is_away_calls_are_denied_and_the_session_goes_on(tmp_path, server):
    env = configured(tmp_path, server.url)
    with Session(tmp_path, env=env) as session:
        assert not session.call("store", text="x")["result"].get("isError")
        server.stop()
        answer = session.call("store", text="y")
        assert session.end() == 0

    assert answer["result"]["content"][0]["text"] == "not run: not allowed: the policy could not be evaluated"
    last = attempts(tmp_path, "store")[-1]
    assert "the policy engine spicedb failed: it cannot be reached" in last["policy_reason"]
    assert results(tmp_path, "store")[-1]["error_type"] == "policy_failed"
    assert b"Traceback" not in session.errors


@pytest.mark.requirement("C2")
def test_one_that_hangs_denies_in_time(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        env = configured(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}", timeout="300ms")
        with Session(tmp_path, env=env) as session:
            began = time.monotonic()
            answer = session.call("store", text="x")
            took_s = time.monotonic() - began
            assert session.end() == 0

    assert answer["result"]["isError"]
    assert took_s < 30
    assert "it did not answer within 0.3 s" in attempts(tmp_path, "store")[0]["policy_reason"]


def test_what_is_only_observed_runs_even_where_it_is_away(tmp_path):
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))  # so that nobody else listens there meanwhile
        env = configured(tmp_path, f"http://127.0.0.1:{mute.getsockname()[1]}", mode="observe")
        with Session(tmp_path, env=env) as session:
            assert session.call("store", text="x")["result"]["content"][0]["text"] == "x"
            session.end()

    assert attempts(tmp_path, "store")[0]["policy_observed"] == "deny"


def test_without_a_verified_person_nothing_is_asked_and_the_record_says_so(tmp_path, server):
    env = configured(tmp_path, server.url)
    del env["ONRECORD_ID_TOKEN"]
    with Session(tmp_path, env=env) as session:
        assert session.call("store", text="x")["result"]["isError"]
        session.end()

    (attempt,) = attempts(tmp_path, "store")
    assert attempt["policy_reason"].startswith("SpiceDB was not asked: no verified token says who asks")


@pytest.mark.parametrize(
    ("more", "env", "said"),
    [
        ("", {NAME: ""}, f"there is no token: set {NAME}"),
        ('token_file = "gone"', {NAME: ""}, "policy.spicedb.token_file: cannot read"),
        ('token_file = "open"', {NAME: ""}, "can be read by others"),
        ('token_file = "mine"', {}, "the token is given twice"),
        ('token = "x"', {}, "unknown key policy.spicedb.token; did you mean policy.spicedb.token_env?"),
        ('roots = "gone"', {}, "policy.spicedb.roots: cannot read"),
        ('tool = "x"', {}, "tool: 'x' is no object"),
        ('permissions = { "tool/call" = "run" }', {}, "no method is called 'tool/call'"),
    ],
)
def test_settings_that_cannot_work_stop_the_start_with_one_line(tmp_path, more, env, said):
    env = {**configured(tmp_path, "http://localhost:1", more=more), **env}
    for name, mode in (("open", 0o644), ("mine", 0o600)):
        (tmp_path / name).write_text(TOKEN)
        (tmp_path / name).chmod(mode)
    ended = onrecord(tmp_path, "run", "--", "true", env=env)

    assert ended.returncode == 2
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert TOKEN not in ended.stderr


def test_a_token_can_lie_in_a_private_file(tmp_path, server):
    env = configured(tmp_path, server.url, more='token_file = "mine"')
    (tmp_path / "mine").write_text(TOKEN + "\n")
    (tmp_path / "mine").chmod(0o600)
    with Session(tmp_path, env={**env, NAME: ""}) as session:
        assert not session.call("store", text="x")["result"].get("isError")
        session.end()


@pytest.mark.requirement("C2")
def test_a_replay_asks_again_by_pseudonym_and_guesses_nobody_s_name(tmp_path, server):
    env = configured(tmp_path, server.url, mode="observe", more='subject = "user:{user}"')
    with Session(tmp_path, env=env) as session:
        session.call("store", text="x")
        session.end()
    (attempt,) = attempts(tmp_path)
    assert attempt["policy_observed"] == "deny"

    server.relate("tool:scripted/store", "caller", f"user:{attempt['user_id']}")
    said = json.loads(onrecord(tmp_path, "policy", "replay", "--json", env=env).stdout)
    assert [(one["then"], one["now"], one["policy_id"]) for one in said["changed"]] == [("deny", "allow", "tool#call")]
    assert said["policy_version"] == attempt["policy_version"]

    configured(tmp_path, server.url)
    ended = onrecord(tmp_path, "policy", "replay", "--json", env=env)
    assert (json.loads(ended.stdout)["undecided"], json.loads(ended.stdout)["changed"], ended.returncode) == (1, [], 1)
    assert "no verified token says who asks" in ended.stderr


def test_check_asks_it_and_doctor_says_what_its_schema_lacks(tmp_path, server):
    env = configured(tmp_path, server.url)
    (tmp_path / "call.json").write_text('{"method": "tools/call", "params": {"name": "store"}}')
    asked = ("policy", "check", str(tmp_path / "call.json"), "--server-id", "scripted")

    allowed = onrecord(tmp_path, *asked, "--subject", "ada@people.example", env=env)
    assert (allowed.returncode, allowed.stdout.splitlines()[0]) == (0, "decision   allow")
    assert onrecord(tmp_path, *asked, "--subject", "bob", env=env).returncode == 1
    nobody = onrecord(tmp_path, *asked, env=env)
    assert (nobody.returncode, "no verified token says who asks" in nobody.stdout) == (1, True)

    doctor = onrecord(tmp_path, "doctor", env=env).stdout
    assert "warn  policy      the schema of SpiceDB has no definition 'prompt'" in doctor
    assert "ok    policy      spicedb, enforce: policy_version " in doctor
    server.stop()
    ended = onrecord(tmp_path, "doctor", env=env)
    assert ended.returncode == 1
    assert "FAIL  policy      SpiceDB: its schema can't be read: it cannot be reached" in ended.stdout
