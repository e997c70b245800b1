# SPDX-License-Identifier: Apache-2.0
"""`onrecord authenticators`, as a person with a browser would use it: options out, answers in, all of it on record."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from tests.doors.session import ONRECORD, onrecord, record
from tests.identity.issuing import AUDIENCE, ISSUER, id_token, shown
from tests.proofs.device import ORIGIN, PARTY, Device

pytestmark = pytest.mark.requirement("C5")


def settings(home: Path, *more: str) -> None:
    home.mkdir(exist_ok=True)
    lines = ["[webauthn]", f'rp_id = "{PARTY}"', f'origins = ["{ORIGIN}"]', *more]
    (home / "onrecord.toml").write_text("\n".join(lines) + "\n")


def with_issuer(home: Path) -> None:
    (home / "keys.json").write_bytes(shown())
    settings(home, "[identity]", f'issuer = "{ISSUER}"', f'audience = "{AUDIENCE}"', 'jwks = "keys.json"')


def enrolled(home: Path, device: Device, by: Device | None = None) -> str:
    """Enrol an authenticator and return its digest."""
    options = json.loads(onrecord(home, "authenticators", "options", "--label", "a key").stdout)
    answer = home / "answer.json"
    answer.write_bytes(device.create(options))
    more = []
    if by is not None:
        asked = json.loads(onrecord(home, "authenticators", "options", "--for", str(answer)).stdout)
        (home / "signed.json").write_bytes(by.get(asked))
        more = ["--assertion", str(home / "signed.json")]
    done = onrecord(home, "authenticators", "enrol", str(answer), "--label", "a key", "--json", *more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["digest"]


def changes(home: Path, log: str = "calls") -> list[tuple[str, str]]:
    files = sorted((home / "ledger" / log / "log").glob("*.ndjson"))
    events = [json.loads(line) for file in files for line in file.read_bytes().splitlines()]
    return [
        (event["action"], event["detail"]["authenticator"])
        for event in events
        if event["event_type"] == "authentication" and event["action"] in ("enrol", "remove")
    ]


def test_an_authenticator_is_enrolled_listed_and_removed_on_the_record(tmp_path):
    settings(tmp_path)
    first, second = Device(), Device(-8)
    one = enrolled(tmp_path, first)
    two = enrolled(tmp_path, second, by=first)

    listed = [json.loads(line) for line in onrecord(tmp_path, "authenticators", "--json").stdout.splitlines()]
    assert [(each["digest"], each["label"], each["counts"]) for each in listed] == [
        (one, "a key", True),
        (two, "a key", True),
    ]
    assert {each["source"] for each in listed} == {"os_account"}

    asked = json.loads(onrecord(tmp_path, "authenticators", "options", "--remove", one[:8]).stdout)
    (tmp_path / "signed.json").write_bytes(second.get(asked))
    done = onrecord(tmp_path, "authenticators", "remove", one, "--assertion", str(tmp_path / "signed.json"))
    assert (done.returncode, done.stdout) == (0, f"removed {one}\n")

    wanted = [("enrol", one), ("enrol", two), ("remove", one)]
    assert changes(tmp_path) == wanted
    assert changes(tmp_path, "security") == wanted
    (event, *_) = [event for event in record(tmp_path) if event["event_type"] == "authentication"]
    assert event["detail"]["person"] == event["user_id"] == listed[0]["person"]


def test_a_second_authenticator_needs_the_first_one(tmp_path):
    settings(tmp_path)
    one = enrolled(tmp_path, Device())
    options = json.loads(onrecord(tmp_path, "authenticators", "options").stdout)
    (tmp_path / "answer.json").write_bytes(Device().create(options))

    done = onrecord(tmp_path, "authenticators", "enrol", str(tmp_path / "answer.json"))

    assert (done.returncode, done.stdout) == (2, "")
    assert "another authenticator of the same person has to sign this" in done.stderr
    assert onrecord(tmp_path, "authenticators", "remove", one).returncode == 2
    assert changes(tmp_path) == [("enrol", one)]


def test_who_has_a_token_enrols_as_who_it_says_and_a_token_that_does_not_hold_enrols_nobody(tmp_path):
    with_issuer(tmp_path)

    def run(token, *arguments):
        environ = {**os.environ, "ONRECORD_HOME": str(tmp_path), "ONRECORD_ID_TOKEN": token}
        return subprocess.run([*ONRECORD, "authenticators", *arguments], env=environ, capture_output=True, text=True)

    answer = tmp_path / "answer.json"
    answer.write_bytes(Device().create(json.loads(run(id_token(), "options").stdout)))
    others = run(id_token(sub="eve"), "enrol", str(answer))
    assert (others.returncode, "not made here for this person" in others.stderr) == (2, True)
    expired = run(id_token(exp=1, iat=0), "enrol", str(answer))
    assert (expired.returncode, "expired" in expired.stderr) == (2, True)
    assert run(id_token(sub="robot", client_id="robot"), "enrol", str(answer)).returncode == 2

    told = json.loads(run(id_token(), "enrol", str(answer), "--json").stdout)

    assert (told["source"], told["assurance"]) == ("id_token", "token")
    assert len(changes(tmp_path)) == 1


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], "webauthn.rp_id"),
        (["[webauthn]", 'origins = ["https://a.example"]'], "webauthn.rp_id is empty"),
        (["[webauthn]", 'rp_id = "a.example"'], "webauthn.origins is empty"),
        (["[webauthn]", 'rp_id = "https://a.example"', 'origins = ["https://a.example"]'], "no domain"),
        (["[webauthn]", 'rp_id = "a.example"', 'origins = ["http://a.example"]'], "must be https"),
        (["[webauthn]", 'rp_id = "a.example"', 'origins = ["https://a.example/"]'], "nothing behind it"),
        (["[webauthn]", 'rp_id = "a.example"', 'origins = ["https://evila.example"]'], "not in the domain"),
        (["[webauthn]", 'rp_id = "a.example"', 'origins = ["https://b.a.example"]', 'only = ["x"]'], "digests"),
        (["[webauthn]", 'rpid = "a.example"'], "did you mean webauthn.rp_id"),
        (["[webhook]", 'url = "https://a.example"'], "webhook.issuer is empty"),
        (["[webhook]", 'issuer = "a"', 'audience = "b"', 'jwks = "c"', 'algorithms = ["HS256"]'], "use one or more of"),
        (["[webhook]", 'issuer = "a"', 'audience = "b"', 'jwks = "c"', 'url = "http://a.example"'], "must be https"),
        (["[webhook]", 'issuer = "a"', 'audience = "b"', 'jwks = "http://a.example"'], "must be https"),
        (["[webhook]", 'issuer = "a"', 'audience = "b"', 'jwks = "c"', 'timeout = "5"'], "give a number above 0"),
    ],
)
def test_what_is_set_wrongly_is_named(tmp_path, lines, why):
    (tmp_path / "onrecord.toml").write_text("\n".join(lines) + "\n")
    done = onrecord(tmp_path, "authenticators")
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["enrol"],
        ["enrol", "there-is-no-such-file"],
        ["enrol", "."],
        ["enrol", "/dev/null"],
        ["remove", "abc"],
        ["remove", "f" * 32],
        ["options", "--label", "x" * 65],
        ["options", "--label", "\x1b[31m"],
        ["options", "--for", "a", "--remove", "b"],
    ],
)
def test_what_is_asked_wrongly_is_told_in_a_line(tmp_path, arguments):
    settings(tmp_path)
    done = onrecord(tmp_path, "authenticators", *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "\x1b" not in done.stderr
