# SPDX-License-Identifier: Apache-2.0
"""Which values look drawn at random, and what must stand near them before one is masked."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rules.calls import DETECTORS

from onrecord.rules.detection.randomness import is_random

VALUE = "Zk3vQ8mTx1Lw" + "R7pYb2NcD5fG"
HEX = "9f86d081884c7d65" + "9a2feaa0c55ad015"


@pytest.mark.requirement("B3")
@pytest.mark.parametrize(
    "text",
    [
        f"[DEBUG] Using Key={VALUE}",
        f"my acme key is {VALUE}, keep it safe",
        f"here is the acme token you asked for: {VALUE}",
        f'{{"acme": {{"key": "{VALUE}"}}}}',
        f"acme_key: {HEX}",
        f"https://api.acme.test/v1/items?key={HEX}&limit=3",
        f'acme.auth("someone", "{VALUE}")',
        f"acme = '{VALUE}'",
    ],
)
def test_a_random_value_near_a_word_that_announces_it_is_found(text: str) -> None:
    found = DETECTORS.find(text)

    assert [text[finding.start : finding.end] for finding in found if finding.kind == "secret"] in ([VALUE], [HEX])


@pytest.mark.requirement("B3")
@pytest.mark.parametrize(
    "text",
    [
        f"commit {HEX}",
        f"key.sha256: {HEX}",
        f'"nextPageToken": "{VALUE}"',
        f"public_key = {VALUE}",
        f"idempotency key: {VALUE}",
        f"cache_key: deps-{HEX}",
        f'"sha": "{HEX}"',
        f"file = '{HEX}'",
        f"documentId: {VALUE}",
        "category=PydanticDeprecatedSince20",
        "exports.X509CertificateChain = X509CertificateChain2",
        f"golang.org/x/auth v0.20.0 h1:{VALUE}",
        f"the key words of this text are many, and after all of them comes {VALUE}",
        "key: user.settings.notifications.title2",
        "sort_key=created_at_descending_v2",
    ],
)
def test_ids_digests_and_names_are_left_alone(text: str) -> None:
    assert DETECTORS.find(text) == []


@given(st.lists(st.text(string.ascii_lowercase, min_size=1, max_size=12), max_size=8))
def test_words_are_never_random(parts: list[str]) -> None:
    assert not is_random("_".join(parts))
    assert not is_random("".join(part.capitalize() for part in parts if len(part) > 4))


@given(st.text(max_size=200), st.sampled_from("_-./"), st.text(max_size=200))
def test_what_is_random_stays_so_beside_anything(before: str, sign: str, after: str) -> None:
    assert is_random(f"{before}{sign}{HEX}{sign}{after}")
