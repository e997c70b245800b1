# SPDX-License-Identifier: Apache-2.0
"""Names that announce a secret, and those that only speak about one; words of a command line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rules.calls import DETECTORS

from onrecord.rules.argv import secret_words
from onrecord.rules.detection.detectors import masked
from onrecord.rules.names import label_of
from onrecord.rules.twins import TWINS
from onrecord.rules.words import words


@pytest.mark.requirement("B1")
@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("password", "password"),
        ("dbPassword", "password"),
        ("PGPASSWORD", "password"),
        ("password1", "password"),
        ("db_pass", "password"),
        ("passwordHash", "password"),
        ("client_secret", "secret"),
        ("aws.secret-access-key", "secret"),
        ("secret_id", "secret"),
        ("accessToken", "token"),
        ("authtoken", "token"),
        ("X-API-Key", "api-key"),
        ("APIKEY", "api-key"),
        ("API key", "api-key"),
        ("Authorization", "authorization"),
        ("auth", "authorization"),
        ("Set-Cookie", "cookie"),
        ("private_key", "private-key"),
        ("privKey", "private-key"),
        ("wpa_psk", "password"),
        ("passkey", "password"),
        ("pwHash", "password"),
        ("pass_hash", "password"),
        ("connStr", "connection-string"),
        ("csrf", "token"),
        ("unlock_code", "one-time-code"),
        ("accessCode", "one-time-code"),
        ("userPIN", "pin"),
        ("PUK", "pin"),
        ("passwordField", "password"),
        ("ｐａｓｓｗｏｒｄ", "password"),
    ],
)
def test_a_name_announces_a_secret_however_it_is_written(name: str, label: str) -> None:
    assert label_of(name) == label


@pytest.mark.parametrize(
    "name",
    [
        "max_tokens",
        "maxOutputTokens",
        "token_count",
        "tokenizer",
        "token_type",
        "token_expires_at",
        "next_page_token",
        "continuationToken",
        "progressToken",
        "prompt_tokens",
        "secret_name",
        "secretKeyRef_name",
        "password_policy",
        "password_file",
        "authorization_servers",
        "author",
        "qpsk",
        "network",
        "keyPhrases",
        "session_id",
        "access_codes_url",
        "key",
        "access_key_id",
        "ping",
        "passed",
        "path",
        "",
    ],
)
def test_a_name_that_only_speaks_about_a_secret_is_left_alone(name: str) -> None:
    assert label_of(name) == ""


@given(
    st.lists(st.sampled_from(["db", "Pass", "word", "TOKEN", "key", "api", "_", "-", ".", "1", "my", "pin", "pw", "ﬁ"]))
)
def test_every_telling_name_passes_the_gate(pieces: list[str]) -> None:
    name = "".join(pieces)

    if name.isascii() and label_of(name):
        assert DETECTORS.suspect(name)
        assert DETECTORS.suspect(f"before\n{name}\nafter")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("deleteAllFiles", ["delete", "all", "files"]),
        ("HTTPServer2Go", ["http", "server", "go"]),
        ("a_b-c.d/e f", ["a", "b", "c", "d", "e", "f"]),
        ("ALLCAPS", ["allcaps"]),
        ("__", []),
    ],
)
def test_a_name_falls_into_words(name: str, expected: list[str]) -> None:
    assert words(name) == expected


@pytest.mark.requirement("B1")
@pytest.mark.parametrize(
    ("command", "secret"),
    [
        (["tool", "--token", "abc"], {2: (0, "token")}),
        (["tool", "--api-key=abc"], {1: (10, "api-key")}),
        (["docker", "run", "-e", "DB_PASSWORD=abc"], {3: (12, "password")}),
        (["curl", "-u", "me:abc"], {2: (3, "password")}),
        (["mysql", "-p", "abc"], {2: (0, "password")}),
        (["docker", "run", "-p", "8080:80/tcp"], {}),
        (["tool", "--token-file", "/run/x"], {}),
        (["tool", "--token", "--verbose"], {}),
        (["tool", "--max-tokens", "100"], {}),
    ],
)
def test_secret_words_of_a_command_line_are_seen(command: list[str], secret: dict[int, tuple[int, str]]) -> None:
    assert secret_words(command) == secret


TWINS_OF = {char: twin for twin, char in TWINS.items()}


@pytest.mark.requirement("B1")
@pytest.mark.parametrize(
    "name", ["password", "PASSWORD", "clientSecret", "CLIENT_SECRET", "API_KEY", "TOKEN", "apiKey"]
)
@given(data=st.data())
def test_a_name_says_what_it_looks_like_whatever_letters_it_is_written_with(name: str, data: st.DataObject) -> None:
    places = [i for i, char in enumerate(name) if char in TWINS_OF]
    odd = data.draw(st.sets(st.sampled_from(places), min_size=1))
    written = "".join(TWINS_OF[char] if i in odd else char for i, char in enumerate(name))

    assert label_of(written) == label_of(name)
    for text in (f"{written}=Tr0ub4dor3xyz", f'{{"{written}": "Tr0ub4dor3xyz"}}', f"export {written}='Tr0ub4dor3xyz'"):
        assert "Tr0ub4dor" not in masked(DETECTORS, text)


def test_a_name_in_another_alphabet_is_not_read_as_one_of_ours() -> None:
    for name in ("сор", "токен_count", "Ροή", "оса", "ТОМ", "tokеn_count"):
        assert label_of(name) == ""
