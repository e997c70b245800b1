# SPDX-License-Identifier: Apache-2.0
"""A person logs in by a code, stays logged in without being asked again, and the wrapped server sees no token."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest
from tests.doors.session import ONRECORD, SERVER, Session, onrecord, record
from tests.identity.provider import CLIENT, OpenIdProvider
from tests.ledger.logs import wait_for

from onrecord.cli.main import main

pytestmark = pytest.mark.requirement("C3")

LAST_WORDS = "; onrecord login mends that"


@pytest.fixture
def provider():
    with OpenIdProvider() as one:
        yield one


def settings(home, provider, *more):
    home.mkdir(exist_ok=True)
    lines = ["[identity]", f'issuer = "{provider.url}"', f'jwks = "{provider.url}/jwks"', f'client_id = "{CLIENT}"']
    (home / "onrecord.toml").write_text("\n".join([*lines, *more]) + "\n")


class Asking:
    """`onrecord login`, as somebody sees it who reads the terminal."""

    def __init__(self, home, *arguments):
        self.child = subprocess.Popen(
            [*ONRECORD, "login", *arguments],
            env={**os.environ, "ONRECORD_HOME": str(home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.told = ""
        assert self.child.stderr is not None
        while (found := re.search(r"enter the code (\S+) within", self.told)) is None:
            line = self.child.stderr.readline()
            assert line, self.told
            self.told += line
        self.code = found[1]

    def end(self):
        out, err = self.child.communicate(timeout=40)
        return self.child.returncode, out, self.told + err


def logged_in(home, provider, subject="ada@people.example"):
    asking = Asking(home)
    provider.confirm(asking.code, subject)
    code, out, err = asking.end()
    assert code == 0, err
    return out


@pytest.fixture
def here(tmp_path, monkeypatch, capsys):
    """Run a verb in this process, and say how it ended and what it printed."""
    monkeypatch.setenv("ONRECORD_HOME", str(tmp_path))

    def run(*arguments):
        code = main(arguments)
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return run


def kept(home):
    return json.loads((home / "login" / "login.json").read_bytes())


def test_who_logs_in_is_who_calls(tmp_path, here, provider):
    settings(tmp_path, provider)
    assert "nobody" not in logged_in(tmp_path, provider)
    with Session(tmp_path) as session:
        assert "result" in session.call("store", text="x")
        session.end()

    said = here("login", "--status", "--json")
    status = json.loads(said.stdout)
    attempt = next(e for e in record(tmp_path) if e.get("phase") == "attempt" and e.get("tool_name"))
    assert (attempt["identity_source"], attempt["identity_issuer"]) == ("id_token", provider.url)
    assert said.returncode == 0
    assert status["holds"] is True
    assert status["user_id"] == attempt["user_id"]
    form = next(form for path, form in provider.asked if path == "/device")
    assert form["scope"] == "openid offline_access"
    assert "code_challenge" in form


def test_what_a_log_in_leaves_is_for_its_account_alone_and_shown_nowhere(tmp_path, here, provider):
    settings(tmp_path, provider)
    old = os.umask(0)
    try:
        asking = Asking(tmp_path)
        provider.confirm(asking.code)
        _, out, err = asking.end()
    finally:
        os.umask(old)
    with Session(tmp_path) as session:
        session.call("store", text="x")
        session.end()
    again = here("login", "--refresh")
    status = here("login", "--status", "--json")

    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "login").iterdir()}
    assert modes == {"login.json": 0o600, "id-token": 0o600, "lock": 0o600}
    assert stat.S_IMODE((tmp_path / "login").stat().st_mode) == 0o700
    secrets = [*provider.refresh, *(tmp_path / "login" / "id-token").read_text().split(".")]
    shown = out + err + again.stdout + again.stderr + status.stdout + status.stderr
    told = [file.read_bytes().decode(errors="replace") for file in (tmp_path / "ledger").rglob("*") if file.is_file()]
    assert not [one for one in secrets if one in shown or any(one in text for text in told)]
    assert "access-" not in kept(tmp_path).values()
    assert "ada@people.example" not in json.dumps(kept(tmp_path)) + shown


@pytest.mark.parametrize(
    ("how", "why"), [("refused", "has refused"), ("expired", "the code has expired"), ("left", "in time")]
)
def test_who_does_not_confirm_is_not_logged_in(tmp_path, provider, how, why):
    provider.expires_in = 3 if how == "left" else 60
    settings(tmp_path, provider)
    asking = Asking(tmp_path)
    if how == "refused":
        provider.refuse(asking.code)
    elif how == "expired":
        next(iter(provider.codes.values()))["expires"] = 0
    code, out, err = asking.end()

    assert (code, out) == (1, "")
    assert why in err
    assert not (tmp_path / "login").exists()


def test_a_timer_gets_another_token_and_the_running_process_reads_it(tmp_path, here, provider):
    provider.life_s = -26  # with 30 s of leeway for clocks, it ends in four
    settings(tmp_path, provider)
    logged_in(tmp_path, provider)
    first = kept(tmp_path)
    with Session(tmp_path) as session:
        assert "result" in session.call("store", text="x")
        wait_for(lambda: "error" in session.call("store", text="x"))
        provider.life_s = 600
        assert here("login", "--refresh").returncode == 0
        assert "result" in session.call("store", text="x")
        session.end()

    assert kept(tmp_path)["refresh_token"] != first["refresh_token"]
    assert kept(tmp_path)["salt"] == first["salt"]
    assert len({e["user_id"] for e in record(tmp_path) if e.get("tool_name") and e.get("phase")}) == 1


def test_an_issuer_whose_refresh_token_stays_the_same_is_asked_with_it_again(tmp_path, here):
    with OpenIdProvider(rotates=False, proof_key=False) as provider:
        settings(tmp_path, provider)
        logged_in(tmp_path, provider)
        first = kept(tmp_path)["refresh_token"]
        for _ in range(2):
            assert here("login", "--refresh").returncode == 0
        assert kept(tmp_path)["refresh_token"] == first
        assert not any("code_challenge" in form or "code_verifier" in form for _, form in provider.asked)


def test_while_it_is_kept_alive_no_token_expires(tmp_path, provider):
    provider.life_s = 12
    settings(tmp_path, provider)
    logged_in(tmp_path, provider)
    child = subprocess.Popen(
        [*ONRECORD, "login", "--keep"],
        env={**os.environ, "ONRECORD_HOME": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stderr is not None
        first, second = child.stderr.readline(), child.stderr.readline()
        provider.wrong["/token"] = (503, {})
        third = next(line for line in child.stderr if "refreshed" not in line)  # one may have been on its way
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 0
        assert child.stderr.read() == ""
    assert "refreshed" in first
    assert "refreshed" in second
    assert "status 503; the next try is in 5 s" in third


def test_keeping_ends_where_a_person_has_to_log_in(tmp_path, provider):
    settings(tmp_path, provider)
    logged_in(tmp_path, provider)
    provider.refresh.clear()
    kept_alive = onrecord(tmp_path, "login", "--keep")
    assert kept_alive.returncode == 1
    assert kept_alive.stderr == f"onrecord: the issuer takes the refresh token no longer{LAST_WORDS}\n"


@pytest.mark.parametrize("moment", ["before the answer", "after the answer"])
def test_a_refresh_that_is_killed_says_so_and_ends_at_worst_with_another_log_in(tmp_path, here, provider, moment):
    settings(tmp_path, provider)
    logged_in(tmp_path, provider)
    token = (tmp_path / "login" / "id-token").read_text()
    reached = []

    def die(form):
        reached.append(kept(tmp_path)["begun_s"])
        answer = provider._refreshed(form) if moment == "after the answer" else None
        child.kill()
        child.wait()
        return answer or (503, {})

    provider.wrong["/token"] = die
    child = subprocess.Popen([*ONRECORD, "login", "--refresh"], env={**os.environ, "ONRECORD_HOME": str(tmp_path)})
    child.wait(60)
    del provider.wrong["/token"]

    assert reached[0] > 0  # noted before the question
    assert (tmp_path / "login" / "id-token").read_text() == token
    status = json.loads(here("login", "--status", "--json").stdout)
    assert (status["holds"], status["refreshable"]) == (True, True)
    assert status["cut_off_s"] == int(reached[0])
    again = here("login", "--refresh")
    if moment == "before the answer":
        assert again.returncode == 0
        assert kept(tmp_path)["begun_s"] == 0
    else:
        assert again.returncode == 1
        assert "was cut off, and may have used it up" in again.stderr
        assert here("login", "--refresh").returncode == 1
        logged_in(tmp_path, provider)
        assert here("login", "--refresh").returncode == 0


def test_an_issuer_that_answers_too_late_may_have_used_the_token_up(tmp_path, here, provider, monkeypatch):
    settings(tmp_path, provider)
    logged_in(tmp_path, provider)
    monkeypatch.setattr("onrecord.identity.provider.TIMEOUT_S", 6.0)
    gone = threading.Event()

    def wait(form):
        gone.wait(60)

    provider.wrong["/token"] = wait
    said = here("login", "--refresh")
    gone.set()
    assert said.returncode == 2
    assert "did not answer within 6 s" in said.stderr
    assert json.loads(here("login", "--status", "--json").stdout)["cut_off_s"] > 0
    again = here("login", "--refresh")
    assert again.returncode == 1
    assert "was cut off, and may have used it up" in again.stderr


def test_processes_that_refresh_at_once_take_turns(tmp_path, provider):
    settings(tmp_path, provider)
    logged_in(tmp_path, provider)
    env = {**os.environ, "ONRECORD_HOME": str(tmp_path)}
    children = [subprocess.Popen([*ONRECORD, "login", "--refresh"], env=env) for _ in range(6)]
    assert [child.wait(60) for child in children] == [0] * 6


@pytest.mark.parametrize(
    ("claim", "why"),
    [
        ({"sub": "bob@people.example"}, "somebody else"),
        ({"auth_time": 1_000}, "another time"),
        ({"aud": "somebody"}, "another audience"),
        ({"iss": "https://other.example"}, "another issuer"),
        ({"exp": 1_000}, "expired"),
    ],
)
def test_a_refresh_that_gives_another_s_token_changes_nothing_that_counts(tmp_path, here, provider, claim, why):
    settings(tmp_path, provider)
    logged_in(tmp_path, provider)
    token = (tmp_path / "login" / "id-token").read_text()
    provider.more = claim
    again = here("login", "--refresh")
    assert again.returncode in (1, 2)
    assert why in again.stderr
    assert "Traceback" not in again.stderr
    assert (tmp_path / "login" / "id-token").read_text() == token
    assert kept(tmp_path)["refresh_token"] in ("", *provider.refresh)


def test_who_logs_out_leaves_nothing_here_or_at_the_issuer(tmp_path, here, provider):
    settings(tmp_path, provider)
    logged_in(tmp_path, provider)
    token = kept(tmp_path)["refresh_token"]
    assert here("logout").returncode == 0
    assert provider.revoked == [token]
    assert [file.name for file in (tmp_path / "login").iterdir()] == ["lock"]
    status = here("login", "--status")
    assert status.returncode == 1
    assert "no such file" in status.stdout
    with Session(tmp_path) as session:
        refused = session.call("store", text="x")["error"]["message"]
        session.end()
    assert "no such file" in refused
    assert here("logout").returncode == 0


def test_who_logs_out_without_the_issuer_is_told_and_still_leaves_nothing_here(tmp_path, here, provider):
    settings(tmp_path, provider)
    logged_in(tmp_path, provider)
    provider.wrong["/revoke"] = (503, {})
    out = here("logout")
    assert out.returncode == 1
    assert "could not be told" in out.stderr
    assert not (tmp_path / "login" / "login.json").exists()
    assert not (tmp_path / "login" / "id-token").exists()


def test_a_log_in_that_others_could_read_or_nobody_can_is_ended_all_the_same(tmp_path, here, provider):
    settings(tmp_path, provider)
    logged_in(tmp_path, provider)
    token = kept(tmp_path)["refresh_token"]
    (tmp_path / "login" / "login.json").chmod(0o644)
    assert here("logout").returncode == 0
    assert provider.revoked == [token]

    (tmp_path / "login" / "login.json").touch(0o600)
    for text in (b"", b"{", b'{"issuer":3}', b"\xff" * 70_000):
        (tmp_path / "login" / "login.json").write_bytes(text)
        for verb in ("--refresh", "--status", "--keep"):
            said = here("login", verb)
            assert (said.returncode, said.stderr.count("\n")) == (2, 1)
            assert "is not what a log-in leaves there" in said.stderr
    assert here("logout").returncode == 1
    assert not (tmp_path / "login" / "login.json").exists()


def test_files_of_a_log_in_that_others_can_read_or_write_are_refused(tmp_path, provider):
    settings(tmp_path / "home", provider, 'token_file = "../open/token"')
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    asking = Asking(tmp_path / "home")
    provider.confirm(asking.code)
    code, _, err = asking.end()
    assert code == 2
    assert "can be written by others" in err
    assert not list(open_to_all.iterdir())

    open_to_all.chmod(0o755)
    logged_in(tmp_path / "home", provider)
    (tmp_path / "home" / "login" / "login.json").chmod(0o640)
    again = onrecord(tmp_path / "home", "login", "--refresh")
    assert again.returncode == 2
    assert "can be read by others" in again.stderr
    (open_to_all / "token").chmod(0o644)
    (tmp_path / "home" / "login" / "login.json").chmod(0o600)
    status = onrecord(tmp_path / "home", "login", "--status")
    assert status.returncode == 1
    assert "can be read by others; chmod 600 mends that" in status.stdout


WRONG_METADATA = {
    "is not JSON": ((200, b"<html>"), "is not JSON"),
    "says a thing twice": ((200, b'{"issuer":"a","issuer":"b"}'), "has a key twice"),
    "is of another issuer": ({"issuer": "https://other.example"}, "is of another issuer"),
    "has no such log-in": ({"device_authorization_endpoint": None}, "offers no log-in with a code"),
    "would send a token in the clear": ({"token_endpoint": "http://login.example/token"}, "must be https"),
    "names no address": ({"token_endpoint": 7}, "cannot be used"),
    "is endless": ((200, b"x" * 100_000), "more than 65536 bytes"),
    "is not there": ((404, {}), "status 404"),
    "is elsewhere": ((302, {}), "status 302"),
}


@pytest.mark.parametrize("what", WRONG_METADATA)
def test_an_issuer_that_does_not_say_where_to_log_in_is_told_of_in_one_line(tmp_path, provider, here, what):
    wrong, why = WRONG_METADATA[what]
    answer = wrong if isinstance(wrong, tuple) else (200, {**provider.metadata(), **wrong})
    provider.wrong["/.well-known/openid-configuration"] = answer
    settings(tmp_path, provider)
    said = here("login")
    assert said.returncode in (1, 2)
    assert why in said.stderr
    assert said.stderr.count("\n") == 1
    assert said.stdout == ""


WRONG_CODES = {
    "a page in the clear": {"verification_uri": "http://login.example/activate"},
    "a page that acts": {"verification_uri": "https://login.example/\x1b[2J"},
    "no code": {"user_code": None},
    "a code that acts": {"user_code": "\x1b[31mAB"},
    "an endless code": {"user_code": "A" * 500},
    "no time": {"expires_in": None},
    "a time that is a text": {"expires_in": "soon"},
    "an interval below nothing": {"interval": -1},
    "a device code that is a list": {"device_code": ["a"]},
}


@pytest.mark.parametrize("what", WRONG_CODES)
def test_a_code_that_cannot_be_shown_is_not(tmp_path, provider, here, what):
    def answer(form):
        status, said = provider._device(form)
        return status, {name: value for name, value in {**said, **WRONG_CODES[what]}.items() if value is not None}

    provider.wrong["/device"] = answer
    settings(tmp_path, provider)
    said = here("login")
    assert said.returncode == 2
    assert "\x1b" not in said.stderr
    assert "Traceback" not in said.stderr
    assert not any(path == "/token" for path, _ in provider.asked)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((400, {"error": "invalid_client", "error_description": "SECRET"}), "identity.client_id"),
        ((400, {"error": "invalid_scope"}), "identity.login_scopes"),
        ((400, {"error": "SECRET"}), "without a known name"),
        ((400, {"error": ["SECRET"]}), "without a known name"),
        ((200, {"token_type": "Bearer", "access_token": "a"}), "gave no ID token"),
        ((200, {"id_token": "SECRET"}), "three parts"),
        ((200, {"id_token": ["SECRET"]}), "cannot be used"),
    ],
)
def test_an_answer_without_a_token_that_holds_logs_nobody_in_and_is_not_repeated(tmp_path, here, provider, answer, why):
    settings(tmp_path, provider)
    polled = []

    def once(form):
        polled.append(form)
        return answer if len(polled) == 1 else (400, {"error": "access_denied"})

    provider.wrong["/token"] = once
    said = here("login")
    assert said.returncode in (1, 2)
    assert why in said.stderr or (answer[0] == 200 and "has refused" in said.stderr)
    assert "SECRET" not in said.stderr
    assert "Traceback" not in said.stderr
    assert not (tmp_path / "login" / "id-token").exists()


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("", "nobody can log in: set identity.issuer, identity.jwks, identity.client_id\n"),
        (
            '[identity]\nissuer = "https://a.example"\njwks = "https://a.example/k"',
            "nobody can log in: set identity.client_id\n",
        ),
        (
            '[identity]\nissuer = "https://a.invalid"\njwks = "k"\nclient_id = "c"',
            "a.invalid cannot be reached: nobody knows an address of that name\n",
        ),
        (
            '[identity]\nissuer = "http://a.example"\njwks = "k"\nclient_id = "c"',
            "identity.issuer: the URL must be https",
        ),
        ('[identity]\nissuer = "i"\njwks = "k"\nclient_id = "c"\nlogin_scopes = []', "lacks openid"),
    ],
)
def test_settings_with_which_nobody_can_log_in_are_named(tmp_path, here, lines, complaint):
    (tmp_path / "onrecord.toml").write_text(lines)
    said = here("login")
    assert said.returncode == 2
    assert complaint in said.stderr
    assert said.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows the environment of a process in a file")
def test_a_token_in_the_environment_is_not_handed_on_nor_shown_to_the_server(tmp_path, provider):
    settings(tmp_path, provider)
    token = provider.id_token({"subject": "ada@people.example", "at": int(time.time())})
    script = (
        "import os, sys; of = [open(f'/proc/{p}/environ', 'rb').read() for p in (os.getpid(), os.getppid())];"
        "sys.exit(5 if any(b'ey' + b'J' in one for one in of) else 4 if b'ONRECORD_HOME' in of[1] else 3)"
    )
    env = {"ONRECORD_ID_TOKEN": token}
    with Session(tmp_path, env=env, command=[SERVER[0], "-c", script], listed=False) as session:
        assert session.end() == 4
    for verb in ("init", "readiness"):
        asked = subprocess.run(
            [*ONRECORD, verb, "--", SERVER[0], "-c", "import os; open('seen', 'w').write(str(dict(os.environ)))"],
            env={**os.environ, "ONRECORD_HOME": str(tmp_path / "other"), **env},
            cwd=tmp_path,
            capture_output=True,
        )
        assert b"Traceback" not in asked.stderr
        assert "ONRECORD_HOME" in (tmp_path / "seen").read_text()
        assert "ONRECORD_ID_TOKEN" not in (tmp_path / "seen").read_text()
        (tmp_path / "seen").unlink()
