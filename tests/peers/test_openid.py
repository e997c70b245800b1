# SPDX-License-Identifier: Apache-2.0
"""An OpenID provider that we did not write: oidc-provider, for Node. `make openid` fetches it, else these skip."""

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path

import pytest
from joserfc.jwk import RSAKey
from tests.children import started
from tests.cli.test_login import Asking, kept
from tests.doors.session import Session, onrecord, record

HERE = Path(__file__)
PACKAGE = HERE.parents[2] / ".openid/node_modules/oidc-provider"
NODE = shutil.which("node")

pytestmark = [
    pytest.mark.requirement("C3"),
    pytest.mark.skipif(not NODE or not PACKAGE.exists(), reason="the provider is not at hand: make openid"),
]


@pytest.fixture(scope="module")
def issuer():
    with provider("provider.mjs", "600") as url:
        yield url


@contextmanager
def provider(script, given):
    """Run a provider with a key of its own, and yield its URL."""
    key = {**RSAKey.generate_key(2048).as_dict(private=True), "kid": "k-1", "use": "sig", "alg": "RS256"}
    command = [str(NODE), str(HERE.parent / "openid" / script), str(PACKAGE), json.dumps({"keys": [key]}), given]
    with started(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        line = child.stdout.readline().strip()
        assert line, "the provider did not start"
        yield line


class Person:
    """Somebody with a browser, who does what the pages of the provider ask for."""

    def __init__(self, issuer):
        self.issuer = issuer
        self.browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def visit(self, url, **form):
        data = urllib.parse.urlencode(form).encode() if form else None
        with self.browser.open(url, data, timeout=20) as answer:
            return answer.url, answer.read().decode()

    def confirm(self, code, name):
        url, page = self.visit(f"{self.issuer}/device")
        _, page = self.visit(url, xsrf=hidden(page, "xsrf"), user_code=code)
        url, page = self.visit(url, xsrf=hidden(page, "xsrf"), user_code=hidden(page, "user_code"), confirm="yes")
        url, page = self.visit(action(page), prompt="login", login=name, password="of a test")
        url, page = self.visit(action(page), prompt="consent")
        assert "Sign-in Success" in page

    def refuse(self, code):
        url, page = self.visit(f"{self.issuer}/device")
        _, page = self.visit(url, xsrf=hidden(page, "xsrf"), user_code=code, abort="yes")
        assert "interrupted" in page


def hidden(page, name):
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, page
    return found[1]


def action(page):
    found = re.search(r'<form[^>]* action="([^"]*)"', page)
    assert found, page
    return found[1]


def settings(home, issuer):
    home.mkdir(exist_ok=True)
    lines = ["[identity]", f'issuer = "{issuer}"', f'jwks = "{issuer}/jwks"', 'client_id = "onrecord-cli"']
    (home / "onrecord.toml").write_text("\n".join(lines) + "\n")


def test_a_person_logs_in_calls_refreshes_and_logs_out(tmp_path, issuer):
    settings(tmp_path, issuer)
    asking = Asking(tmp_path)
    Person(issuer).confirm(asking.code, "ada")
    code, out, err = asking.end()
    assert code == 0, err
    assert "holds until" in out
    first = kept(tmp_path)["refresh_token"]
    assert first

    with Session(tmp_path) as session:
        assert "result" in session.call("store", text="x")
        again = onrecord(tmp_path, "login", "--refresh")
        assert again.returncode == 0, again.stderr
        assert "result" in session.call("store", text="x")
        session.end()
    second = kept(tmp_path)["refresh_token"]
    assert first != second

    (tmp_path / "login" / "login.json").write_text(json.dumps({**kept(tmp_path), "refresh_token": first}))
    replayed = onrecord(tmp_path, "login", "--refresh")  # the provider takes a token once
    assert replayed.returncode == 1
    assert "takes the refresh token no longer" in replayed.stderr

    events = [e for e in record(tmp_path) if e.get("tool_name") and e.get("phase")]
    assert {(e["identity_source"], e["identity_issuer"]) for e in events} == {("id_token", issuer)}
    assert len({e["user_id"] for e in events}) == 1

    asking = Asking(tmp_path)
    Person(issuer).confirm(asking.code, "ada")
    assert asking.end()[0] == 0
    token = kept(tmp_path)["refresh_token"]
    ended = onrecord(tmp_path, "logout")
    assert ended.returncode == 0, ended.stderr
    form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": "onrecord-cli"}
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{issuer}/token", urllib.parse.urlencode(form).encode(), timeout=20)
    assert json.loads(refused.value.read())["error"] == "invalid_grant"
    refused.value.close()


def test_a_person_who_refuses_is_not_logged_in(tmp_path, issuer):
    settings(tmp_path, issuer)
    asking = Asking(tmp_path)
    Person(issuer).refuse(asking.code)
    code, out, err = asking.end()
    assert (code, out) == (1, "")
    assert "has refused" in err
