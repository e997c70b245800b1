# SPDX-License-Identifier: Apache-2.0
"""An issuer's keys are kept for a while, and asked for no more often than that."""

import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey
from tests.identity.issuing import KEYS, call_token, id_token, shown, signed
from tests.ledger.logs import wait_for

from onrecord.errors import NotAuthenticated
from onrecord.identity.keys import IssuerKeys, keys_in
from onrecord.identity.strict import NotStrict, strict_object
from onrecord.identity.token import opened
from onrecord.identity.used import UsedTokens

pytestmark = pytest.mark.requirement("C3")


class Issuer:
    """Shows keys, and counts how often it is asked. Time is what the test says."""

    def __init__(self, *algorithms):
        self.body, self.asked, self.now = shown(*algorithms), 0, 0.0
        self.error: OSError | None = None
        self.answered = threading.Event()
        self.keys = IssuerKeys(self.read, max_age_s=100, pause_s=10, clock=lambda: self.now)

    def read(self):
        self.asked += 1
        self.answered.set()
        if self.error is not None:
            raise self.error
        return self.body

    def find(self, algorithm="ES256"):
        return self.keys.find(f"k-{algorithm}", algorithm)


def test_a_new_key_is_found_at_once_and_made_up_ones_are_not_asked_for_again():
    issuer = Issuer("RS256")
    assert issuer.find("RS256")
    issuer.now, issuer.body = 11.0, shown("RS256", "ES256")
    assert issuer.find("ES256")
    for number in range(50):
        with pytest.raises(NotAuthenticated, match="does not show"):
            issuer.keys.find(f"made-up-{number}", "ES256")
    assert issuer.asked == 2


def test_an_issuer_that_is_away_for_a_while_stops_nobody():
    issuer = Issuer()
    issuer.find()
    issuer.error = OSError(111, "connection refused")
    issuer.answered.clear()
    issuer.now = 60.0
    assert issuer.find()
    assert issuer.answered.wait(10)
    wait_for(lambda: not any(one.name == "onrecord-keys" for one in threading.enumerate()))
    issuer.now = 99.0
    assert issuer.find()
    issuer.now = 101.0
    with pytest.raises(NotAuthenticated, match="cannot be had: connection refused"):
        issuer.find()
    issuer.error = None
    issuer.now = 130.0
    assert issuer.find()


def test_a_key_that_was_withdrawn_is_not_believed_for_long():
    issuer = Issuer()
    issuer.find("RS256")
    issuer.body = shown("ES256")
    issuer.now = 60.0
    issuer.answered.clear()
    assert issuer.find("RS256")

    def gone():
        try:
            issuer.find("RS256")
        except NotAuthenticated:
            return True
        return False

    wait_for(gone)


def test_a_set_holds_public_keys_for_signatures_that_are_strong_enough():
    weak = {**KEYS["RS256"].as_dict(private=False), "n": "z" * 171}  # of 1024 bits
    private = KEYS["ES256"].as_dict(private=True)
    fields = [weak, {"kty": "oct", "k": "AAAA"}, {**private, "use": "enc"}, {"kty": "EC", "crv": "P-256"}, 3, {}]
    with pytest.raises(NotAuthenticated, match="no public key"):
        keys_in(json.dumps({"keys": fields}).encode())
    (known,) = keys_in(json.dumps({"keys": [*fields, private]}).encode())
    assert known.key.is_private is False


@given(
    st.binary() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_a_key_set_is_read_or_refused(text):
    with pytest.raises(NotAuthenticated):
        keys_in(text)


@pytest.mark.parametrize("text", [b'{"a":1,"a":2}', b"[" * 100_000, b"\xff", b"NaN", b'{"a":NaN}', b"[]", b""])
def test_json_that_two_readers_would_read_differently_is_refused(text):
    with pytest.raises(NotStrict):
        strict_object(text)


def test_a_body_that_says_a_claim_twice_is_refused():
    issuer = Issuer()
    with pytest.raises(NotAuthenticated, match="has a key twice"):
        opened(signed(b'{"sub":"a","sub":"b"}'), issuer.keys, ["ES256"], types=["jwt"])


def test_a_token_without_a_key_id_is_taken_where_one_key_alone_fits():
    issuer = Issuer("RS256", "ES256")
    token = id_token(header={"kid": None})
    assert opened(token, issuer.keys, ["ES256"], types=["jwt"]).key_id == "k-ES256"
    other = {**ECKey.generate_key("P-256").as_dict(private=False), "kid": "k-other"}
    issuer.body = json.dumps({"keys": [*json.loads(issuer.body)["keys"], other]}).encode()
    issuer.now = 101.0
    with pytest.raises(NotAuthenticated, match="with which"):
        opened(token, issuer.keys, ["ES256"], types=["jwt"])


def test_a_key_is_used_for_the_algorithm_that_its_owner_names():
    issuer = Issuer("RS256")
    issuer.body = shown("RS256", alg="PS256")
    with pytest.raises(NotAuthenticated, match="does not show"):
        opened(id_token("RS256"), issuer.keys, ["RS256", "PS256"], types=["jwt"])
    assert opened(id_token("PS256"), issuer.keys, ["RS256", "PS256"], types=["jwt"])


def test_keys_that_a_token_brings_along_are_not_believed():
    issuer, own = Issuer(), ECKey.generate_key("P-256")
    token = id_token(key=own, header={"jwk": own.as_dict(private=False)})
    with pytest.raises(NotAuthenticated, match="signature does not hold"):
        opened(token, issuer.keys, ["ES256"], types=["jwt"])


GOOD = call_token("store", {"text": "x"})


@given(st.integers(0, len(GOOD) - 1), st.characters(codec="ascii") | st.just("é"))
def test_a_token_with_another_character_is_refused(at, character):
    token = GOOD[:at] + character + GOOD[at + 1 :]
    tail = at == len(GOOD) - 1  # of its last character, two bits say nothing
    if token == GOOD or tail:
        return
    with pytest.raises(NotAuthenticated):
        opened(token, Issuer().keys, ["ES256"], types=["mcp-id+jwt"])


@given(st.text())
def test_any_text_is_refused(token):
    with pytest.raises(NotAuthenticated):
        opened(token, Issuer().keys, ["ES256"], types=["jwt"])


def test_a_token_is_used_once_among_many_threads(tmp_path):
    lists = [UsedTokens(tmp_path / "keys" / "used.db") for _ in range(3)]
    won, lost = [], []

    def use(one):
        try:
            one.use("ab" * 32, 1_000.0, 900.0)
            won.append(one)
        except NotAuthenticated:
            lost.append(one)

    threads = [threading.Thread(target=use, args=(lists[n % 3],)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 11)
    for one in lists:
        one.close()
