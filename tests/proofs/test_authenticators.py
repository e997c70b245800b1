# SPDX-License-Identifier: Apache-2.0
"""Authenticators are enrolled, sign the digest of a statement, and nothing else counts."""

import hashlib
import json
import os
from dataclasses import replace

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.proofs.device import ORIGIN, PARTY, PRESENT, SYNCED, VERIFIED, Device, b64

from onrecord.errors import KeyFileError, NotAuthenticated
from onrecord.event.call import Actor
from onrecord.ledger.place import Home
from onrecord.proofs.authenticators import ENROL_S, Authenticators
from onrecord.proofs.ceremony import RelyingParty, read_answer

pytestmark = pytest.mark.requirement("C5")

ADA = Actor(user_id="u_ada", tenant_id="acme", identity_source="os_account", identity_assurance="os_account")
BOB = Actor(user_id="u_bob", tenant_id="acme", identity_source="id_token", identity_assurance="token")
STATEMENT = hashlib.sha256(b"pay 10 to carol").digest()
OTHER = hashlib.sha256(b"pay 10000 to carol").digest()
PARTY_HERE = RelyingParty(id=PARTY, origins=(ORIGIN,))


class Book:
    """The authenticators of a home of a test, and what was put on the record of them."""

    def __init__(self, path, **more):
        self.home = Home(path)
        self.said: list[str] = []
        self.now = 1_800_000_000.0
        self.held = Authenticators(self.home, b"k" * 32, PARTY_HERE, clock=lambda: self.now, **more)
        self.file = self.home.keys / "authenticators.json"

    def enrol(self, device, actor=ADA, by=None):
        text = device.create(self.held.enrol_options(actor.user_id, "a key"))
        new = self.held.enrolling(text, actor, "a key")
        vouched = by and by.get(self.held.options(self.held.vouching_challenge(new)))
        self.held.enrol(new, lambda: self.said.append(new.digest), vouched)
        return new

    def options(self, challenge=STATEMENT):
        return self.held.options(challenge)


@pytest.fixture
def book(tmp_path):
    return Book(tmp_path)


@pytest.mark.parametrize("algorithm", [-7, -8, -257])
def test_who_has_enrolled_an_authenticator_can_sign_a_statement_with_it(book, algorithm):
    device = Device(algorithm)
    new = book.enrol(device)
    options = book.options()
    assert (options["userVerification"], options["rpId"]) == ("required", PARTY)
    assert options["allowCredentials"] == [{"type": "public-key", "id": new.id}]

    by = book.held.check(device.get(options), STATEMENT)

    assert (by.person, by.digest, book.said) == ("u_ada", new.digest, [new.digest])


def test_one_that_is_synchronised_counts_nothing_and_signs_all_the_same(book):
    device = Device(counts=False)
    assert not book.enrol(device).synced
    book.held.check(device.get(book.options()), STATEMENT)
    assert book.held.check(device.get(book.options()), STATEMENT).sign_count == 0


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"flags": PRESENT}, "has not verified that its person is there"),
        ({"flags": VERIFIED}, "has not verified that its person is there"),
        ({"flags": 0}, "has not verified that its person is there"),
        ({"party": "evil.example"}, "for another domain"),
        ({"origin": "http://localhost:9999"}, "origin that is not allowed"),
        ({"origin": f"{ORIGIN}.evil.example"}, "origin that is not allowed"),
        ({"origin": None}, "origin that is not allowed"),
        ({"origin": [ORIGIN]}, "origin that is not allowed"),
        ({"crossOrigin": True}, "within another one's"),
        ({"topOrigin": "https://evil.example"}, "within another one's"),
        ({"type": "webauthn.create"}, "of another ceremony"),
        ({"challenge": b64(OTHER)}, "another challenge"),
        ({"challenge": b64(STATEMENT) + "="}, "malformed"),
        ({"challenge": STATEMENT.hex()}, "another challenge"),
        ({"challenge": None}, "malformed"),
        ({"signature": b"\0" * 70}, "signature does not hold"),
        ({"signature": b""}, "signature does not hold"),
        ({"handle": b"somebody else"}, "another person"),
    ],
)
def test_what_was_not_asked_of_the_person_at_the_authenticator_does_not_count(book, wrong, why):
    device = Device()
    book.enrol(device)
    with pytest.raises(NotAuthenticated, match=why):
        book.held.check(device.get(book.options(), **wrong), STATEMENT)


def test_an_agent_enrols_none_for_the_person_that_it_acts_for(book):
    text = Device().create(book.held.enrol_options(BOB.user_id, "k"))
    with pytest.raises(NotAuthenticated, match="an agent acts for the person"):
        book.held.enrolling(text, replace(BOB, agent_id="u_agent", act_chain=("u_agent",)), "k")


def test_a_signature_over_one_statement_is_none_over_another(book):
    device = Device()
    book.enrol(device)
    answer = device.get(book.options(STATEMENT))
    with pytest.raises(NotAuthenticated, match="another challenge"):
        book.held.check(answer, OTHER)


def test_a_signature_holds_once(book):
    device = Device()
    book.enrol(device)
    answer = device.get(book.options())
    book.held.check(answer, STATEMENT)
    with pytest.raises(NotAuthenticated, match="counter has not gone on"):
        book.held.check(answer, STATEMENT)


def test_an_authenticator_that_is_not_enrolled_signs_nothing(book):
    device, stranger = Device(), Device()
    book.enrol(device)
    with pytest.raises(NotAuthenticated, match="not enrolled here"):
        book.held.check(stranger.get(book.options(), handle=b""), STATEMENT)
    stranger.id = device.id
    with pytest.raises(NotAuthenticated, match="signature does not hold"):
        book.held.check(stranger.get(book.options(), handle=b""), STATEMENT)


def test_whoever_gets_hold_of_an_account_later_cannot_add_or_remove_an_authenticator(book):
    mine, theirs = Device(), Device()
    enrolled = book.enrol(mine)
    with pytest.raises(NotAuthenticated, match="another authenticator of the same person has to sign"):
        book.enrol(theirs)
    with pytest.raises(NotAuthenticated, match="not enrolled here"):
        book.enrol(theirs, by=theirs)
    with pytest.raises(NotAuthenticated, match="has to sign"):
        book.held.remove(enrolled, lambda: book.said.append("removed"), None)
    bobs = Device()
    book.enrol(bobs, BOB)
    with pytest.raises(NotAuthenticated, match="of another person"):
        book.enrol(theirs, by=bobs)
    assert len(book.said) == 2

    second = book.enrol(theirs, by=mine)
    assert len(book.held.counting("u_ada")) == 2
    answer = theirs.get(book.options(book.held.removal_challenge(enrolled)))
    book.held.remove(enrolled, lambda: None, answer)
    assert [one.digest for one in book.held.counting("u_ada")] == [second.digest]


def test_options_to_enrol_are_for_one_person_for_a_while_and_made_here(book, tmp_path):
    device = Device()
    options = book.held.enrol_options("u_ada", "a key")
    with pytest.raises(NotAuthenticated, match="not made here for this person"):
        book.held.enrolling(device.create(options), BOB, "a key")
    elsewhere = Book(tmp_path / "other")
    elsewhere.held = Authenticators(elsewhere.home, b"x" * 32, PARTY_HERE)
    with pytest.raises(NotAuthenticated, match="not made here"):
        elsewhere.held.enrolling(device.create(options), ADA, "a key")
    book.now += ENROL_S
    with pytest.raises(NotAuthenticated, match="have expired"):
        book.held.enrolling(device.create(options), ADA, "a key")


@pytest.mark.parametrize(
    ("made", "wrong", "why"),
    [
        ({}, {"flags": PRESENT}, "has not verified"),
        ({}, {"party": "evil.example"}, "another domain"),
        ({}, {"origin": "https://evil.example"}, "origin"),
        ({}, {"type": "webauthn.get"}, "another ceremony"),
        ({"algorithm": -257, "bits": 1024}, {}, "shorter than 2048"),
        ({"algorithm": -65535}, {}, "does not hold"),
    ],
)
def test_an_authenticator_that_is_not_as_it_has_to_be_is_not_enrolled(book, made, wrong, why):
    device = Device(**made)
    with pytest.raises(NotAuthenticated, match=why):
        book.held.enrolling(device.create(book.held.enrol_options("u_ada", "a key"), **wrong), ADA, "a key")


def test_one_that_is_enrolled_is_not_enrolled_again(book):
    device = Device()
    book.enrol(device)
    with pytest.raises(NotAuthenticated, match="enrolled already"):
        book.enrol(device, BOB)


def test_the_settings_can_name_those_that_count(tmp_path):
    book, mine, theirs = Book(tmp_path), Device(), Device(-8)
    named = book.enrol(mine).digest
    book.enrol(theirs, by=mine)
    book.held = Authenticators(book.home, b"k" * 32, PARTY_HERE, only=frozenset({named}))

    assert [one.digest for one in book.held.counting()] == [named]
    book.held.check(mine.get(book.options()), STATEMENT)
    with pytest.raises(NotAuthenticated, match=r"webauthn\.only does not name it"):
        book.held.check(theirs.get(book.options()), STATEMENT)


def test_an_authenticator_that_says_it_is_synchronised_is_noted_as_that(book):
    text = Device().create(book.held.enrol_options("u_ada", "a key"), flags=PRESENT | VERIFIED | SYNCED)
    assert book.held.enrolling(text, ADA, "a key").synced


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_bytes(file.read_bytes().replace(b"u_ada", b"u_eve")),
        lambda file: file.write_bytes(file.read_bytes()[:-1]),
        lambda file: file.write_bytes(b""),
        lambda file: file.chmod(0o644),
    ],
)
def test_a_file_that_was_edited_cut_or_opened_is_not_believed(book, spoil):
    device = Device()
    book.enrol(device)
    options = book.options()
    spoil(book.file)
    for wanted in (book.held.all, lambda: book.held.check(device.get(options), STATEMENT)):
        with pytest.raises(KeyFileError, match="enrol the authenticators again"):
            wanted()


def test_what_could_not_be_recorded_is_not_enrolled(book):
    def fails():
        raise OSError("the disk is full")

    new = book.held.enrolling(Device().create(book.held.enrol_options("u_ada", "k")), ADA, "k")
    with pytest.raises(OSError, match="disk"):
        book.held.enrol(new, fails)
    assert book.held.all() == ()


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory):
    book, device = Book(tmp_path_factory.mktemp("home")), Device(-8, counts=False)
    book.enrol(device)
    answer = device.get(book.options())
    book.held.check(answer, STATEMENT)
    return book, answer


@given(data=st.data())
def test_an_answer_that_was_changed_anywhere_is_refused_in_words(enrolled, data):
    book, answer = enrolled
    response = json.loads(answer)["response"]
    field = data.draw(st.sampled_from(["clientDataJSON", "authenticatorData", "signature"]))
    whole = bytearray(json.dumps(response[field]).encode())
    at = data.draw(st.integers(1, len(whole) - 2))
    letter = data.draw(st.sampled_from(b"AB09-_ =+/\xff"))
    if whole[at] == letter:
        letter = ord("Z")
    whole[at] = letter
    text = answer.replace(json.dumps(response[field]).encode(), bytes(whole))
    with pytest.raises(NotAuthenticated):
        book.held.check(text, STATEMENT)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_answer_is_refused_in_words(text):
    with pytest.raises(NotAuthenticated):
        read_answer(text, PARTY_HERE, "webauthn.get")


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "id": JSON,
            "rawId": JSON | st.just("AAAA"),
            "type": JSON | st.just("public-key"),
            "response": JSON
            | st.fixed_dictionaries(
                {},
                optional={"clientDataJSON": JSON, "authenticatorData": JSON, "signature": JSON, "userHandle": JSON},
            ),
        },
    )
)
def test_an_answer_with_anything_in_its_members_is_refused_in_words(fields):
    with pytest.raises(NotAuthenticated):
        read_answer(json.dumps(fields).encode(), PARTY_HERE, "webauthn.get")


@pytest.mark.parametrize(
    "attestation",
    [
        b"",
        b"\xff",
        cbor2.dumps([]),
        cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": b""}),
        cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": b"\0" * 37}),
        cbor2.dumps({"fmt": 3, "attStmt": 4, "authData": 5}),
        b"\x81" * 40_000,
        b"\x9f" * 40_000,
    ],
)
def test_an_attestation_that_is_none_is_refused_in_words(book, attestation):
    options = book.held.enrol_options("u_ada", "a key")
    answer = json.loads(Device().create(options))
    answer["response"]["attestationObject"] = b64(attestation)
    with pytest.raises(NotAuthenticated):
        book.held.enrolling(json.dumps(answer).encode(), ADA, "a key")


@pytest.mark.parametrize("size", [64 * 1024, 1 << 20])
def test_an_answer_without_end_is_refused(size):
    with pytest.raises(NotAuthenticated, match="longer than"):
        read_answer(b" " * size + os.urandom(1), PARTY_HERE, "webauthn.get")
