# SPDX-License-Identifier: Apache-2.0
"""Private keys are masked to their end: far away, on one line, in pieces, or cut off."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rules.calls import DETECTORS

BEGIN = "-----BEGIN RSA PRIVATE" + " KEY-----"
END = "-----END RSA PRIVATE" + " KEY-----"
LINE = "dummyDUMMY0123456789+/dummyDUMMY0123456789+/dummyDUMMY0123456789"


def left(text: str) -> str:
    for finding in reversed(DETECTORS.find(text)):
        text = text[: finding.start] + "█" + text[finding.end :]
    return text


@pytest.mark.requirement("B1")
@pytest.mark.parametrize(
    "key",
    [
        f"{BEGIN}\n{LINE}\n{LINE}\n{END}",
        f"{BEGIN}\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n{LINE}\n{END}",
        BEGIN + "\\n" + (LINE + "\\n") * 20 + END,
        f"{BEGIN}\n" + f"{LINE}\n" * 900 + END,
        f"{BEGIN}\n{LINE}\n{LINE}\n{LINE[:20]}",
        f'"{BEGIN}\\n" +\n  "{LINE}\\n" +\n  "{LINE}\\n"',
        f"# {BEGIN}\n# {LINE}\n# {LINE}\n",
        f"-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: x\n\n{LINE}\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----",
        "PuTTY-User-Key-File-2: ssh-rsa\nPrivate-Lines: 2\n" + f"{LINE}\n{LINE}\nPrivate-MAC: 0123456789abcdef",
        "---- BEGIN SSH2 ENCRYPTED PRIVATE" + f" KEY ----\n{LINE}\n---- END SSH2 ENCRYPTED PRIVATE" + " KEY ----",
    ],
)
def test_a_private_key_is_masked_to_its_end(key: str) -> None:
    shown = left(f"before\n{key}\nand then some words follow")

    assert LINE not in shown
    assert shown.startswith("before")
    assert "some words follow" in shown


@given(st.text(max_size=80), st.text(max_size=80))
def test_of_a_key_with_an_end_nothing_survives(inside: str, after: str) -> None:
    inside = f"MIIDummy{inside}"  # between marks with nothing else there is no key
    if "-----" not in inside and not inside.endswith("-"):
        assert "█" in (shown := left(f"{BEGIN}{inside}{END}{after}"))
        assert BEGIN not in shown
