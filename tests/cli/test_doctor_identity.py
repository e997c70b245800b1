# SPDX-License-Identifier: Apache-2.0
"""`onrecord doctor` says how well it can be known who calls, and what stands in the way."""

import json
import time

import pytest
from tests.cli.test_login import logged_in, settings
from tests.doors.session import onrecord
from tests.identity.issuing import KeyServer, id_token, shown
from tests.identity.provider import OpenIdProvider

pytestmark = pytest.mark.requirement("C3")


@pytest.fixture
def provider():
    with OpenIdProvider() as one:
        yield one


def looked(home):
    """Return what the doctor says of identity: the words of each state, together."""
    said = onrecord(home, "doctor", "--json")
    assert "Traceback" not in said.stderr
    found = {"ok": "", "warn": "", "fail": ""}
    for one in json.loads(said.stdout):
        if one["about"] == "identity":
            found[one["state"]] += one["text"] + "\n"
    assert said.returncode == int(bool(found["fail"])), found
    return found


def test_without_an_issuer_the_account_counts(tmp_path):
    assert "who calls is the account" in looked(tmp_path)["ok"]


def test_who_is_logged_in_is_fine_and_who_is_not_is_told(tmp_path, provider):
    settings(tmp_path, provider)
    before = looked(tmp_path)
    assert "people can log in" in before["ok"]
    assert "calls that are not signed are refused: the file of the ID token cannot be read" in before["fail"]
    logged_in(tmp_path, provider)
    found = looked(tmp_path)
    assert (found["warn"], found["fail"]) == ("", "")
    assert "shows 4 keys" in found["ok"]
    assert "holds for 10 min" in found["ok"]
    (tmp_path / "login" / "id-token").chmod(0o644)
    assert "can be read by others; chmod 600 mends that" in looked(tmp_path)["fail"]
    (tmp_path / "login").chmod(0o755)
    assert "login is open to other accounts" in onrecord(tmp_path, "doctor").stdout


@pytest.mark.parametrize(
    ("ahead_s", "state", "words"),
    [
        (-300, "fail", "ahead of that of"),
        (300, "fail", "behind that of"),
        (20, "warn", "s apart"),
        (0, "ok", "s apart"),
    ],
)
def test_clocks_that_are_apart_are_told(tmp_path, provider, ahead_s, state, words):
    provider.ahead_s = ahead_s
    settings(tmp_path, provider)
    assert words in looked(tmp_path)[state]


def test_an_issuer_that_is_away_or_another_is_told(tmp_path, provider):
    settings(tmp_path, provider)
    provider.wrong["/jwks"] = (200, b'{"keys":[]}')
    assert "holds no public key" in looked(tmp_path)["fail"]
    provider.wrong = {
        "/.well-known/openid-configuration": (200, {**provider.metadata(), "issuer": "https://x.example"})
    }
    assert "is of another issuer" in looked(tmp_path)["fail"]
    provider.wrong = {"/.well-known/openid-configuration": (200, {**provider.metadata(), "jwks_uri": provider.url})}
    assert "elsewhere" in looked(tmp_path)["warn"]
    provider.wrong = {"/jwks": (500, {})}
    assert "cannot be had, and calls with its tokens are refused: the answer has status 500" in looked(tmp_path)["fail"]


def test_a_token_file_without_a_log_in_is_looked_at_too(tmp_path):
    with KeyServer(shown()) as server:
        text = f'[identity]\nissuer = "https://issuer.example"\naudience = "onrecord-here"\njwks = "{server.url}"\n'
        (tmp_path / "onrecord.toml").write_text(text)
        assert "is that of the account" in looked(tmp_path)["ok"]
        (tmp_path / "onrecord.toml").write_text(text + 'token_file = "token"\n')
        file = tmp_path / "token"
        file.touch(0o600)
        file.write_text(id_token())
        assert "holds for 10 min" in looked(tmp_path)["ok"]
        file.write_text(id_token(exp=int(time.time()) - 60))
        assert "has expired" in looked(tmp_path)["fail"]
