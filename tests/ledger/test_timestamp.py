# SPDX-License-Identifier: Apache-2.0
"""Timestamps: an authority that OpenSSL runs, tokens that others made, and tokens that were tampered with."""

import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from tests.ledger.outside import Authority, scripted

from onrecord.errors import ConfigError, NotAnchored, NotSupported, NotVerified
from onrecord.ledger.timestamp import Timestamped, ask_tsa, check_timestamp, load_roots

pytestmark = pytest.mark.requirement("D2")

VECTORS = Path(__file__).parents[1] / "vectors/rfc3161"
MESSAGE = b"log\n1\nroot\n\n-- signature\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tsa") / "tsa")


@pytest.fixture(scope="module")
def url(authority: Authority) -> Iterator[str]:
    with scripted(authority.reply) as url:
        yield url


@pytest.fixture(scope="module")
def token(authority: Authority, url: str) -> bytes:
    return ask_tsa(url, MESSAGE, load_roots([authority.root]))[0]


# OpenSSL


def test_a_timestamp_of_openssl_s_authority_holds_and_says_when_and_by_whom(authority: Authority, url: str) -> None:
    before = int(time.time()) * 1_000_000
    token, said = ask_tsa(url, MESSAGE, load_roots([authority.root]))
    assert before <= said.at_us <= time.time() * 1_000_000
    assert said.by == "CN=Test TSA"
    assert check_timestamp(token, MESSAGE, load_roots([authority.root])) == said


def test_openssl_itself_verifies_the_token_that_is_kept(authority: Authority, token: bytes) -> None:
    import subprocess

    (authority.folder / "kept").write_bytes(token)
    (authority.folder / "message").write_bytes(MESSAGE)
    arguments = ["ts", "-verify", "-in", "kept", "-data", "message", "-CAfile", "ca.pem"]
    done = subprocess.run(["openssl", *arguments], cwd=authority.folder, capture_output=True, text=True)
    assert "Verification: OK" in done.stdout, done.stderr


def test_another_message_another_root_and_no_root_are_refused(
    authority: Authority, token: bytes, tmp_path: Path
) -> None:
    roots = load_roots([authority.root])
    with pytest.raises(NotVerified, match="another message"):
        check_timestamp(token, MESSAGE + b"x", roots)
    other = Authority(tmp_path / "other", "Test TSA")
    with pytest.raises(NotVerified, match="does not lead to a root"):
        check_timestamp(token, MESSAGE, load_roots([other.root]))
    with pytest.raises(NotVerified, match="no root"):
        check_timestamp(token, MESSAGE, [])
    assert check_timestamp(token, MESSAGE, load_roots([other.root, authority.root]))


def test_an_answer_to_another_question_is_refused(authority: Authority, token: bytes) -> None:
    roots = load_roots([authority.root])
    with pytest.raises(NotVerified, match="no answer to this request"):
        check_timestamp(token, MESSAGE, roots, nonce=5)
    replayed = scripted(lambda *_: (200, "application/timestamp-reply", token))
    with replayed as url, pytest.raises(NotAnchored, match="no answer to this request"):
        ask_tsa(url, MESSAGE, roots)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ((500, "text/plain", b"no"), "status 500"),
        ((200, "text/html", b"<html>"), "no timestamp"),
        ((200, "application/timestamp-reply", b""), "cannot be read"),
        ((200, "application/timestamp-reply", bytes(100)), "cannot be read"),
        ((200, "application/timestamp-reply", bytes.fromhex("30053003020102")), "not granted"),
    ],
)
def test_an_answer_that_is_no_timestamp_counts_for_nothing(
    authority: Authority, reply: tuple[int, str, bytes], error: str
) -> None:
    with scripted(lambda *_: reply) as url, pytest.raises(NotAnchored, match=error):
        ask_tsa(url, MESSAGE, load_roots([authority.root]))


@given(place=st.integers(min_value=0), flip=st.integers(1, 255))
def test_no_tampered_token_says_anything_else(authority: Authority, token: bytes, place: int, flip: int) -> None:
    altered = bytearray(token)
    altered[place % len(token)] ^= flip
    roots = load_roots([authority.root])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the parser, about certificates that are odd
        try:
            said = check_timestamp(bytes(altered), MESSAGE, roots)
        except NotVerified:
            return
        assert said == check_timestamp(token, MESSAGE, roots)


@given(st.binary(max_size=300))
def test_no_other_bytes_are_a_timestamp(authority: Authority, data: bytes) -> None:
    with pytest.raises(NotVerified):
        check_timestamp(data, MESSAGE, load_roots([authority.root]))


def test_a_certificate_that_is_not_for_timestamps_is_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tsa")
    (authority.folder / "ext").write_text("extendedKeyUsage=serverAuth\n")
    # OpenSSL does not sign with such a certificate, so the token names one that was made afterwards
    with scripted(authority.reply) as url:
        token, _ = ask_tsa(url, MESSAGE, load_roots([authority.root]))
    signer = x509.load_pem_x509_certificate((authority.folder / "tsa.pem").read_bytes())
    serial = f"0x{signer.serial_number:x}"
    signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", serial, "-days", "2")
    authority._openssl("x509", "-req", "-in", "tsa.csr", *signing, "-extfile", "ext", "-out", "twin.pem")
    twin = (authority.folder / "twin.pem").read_bytes()
    with pytest.raises(NotVerified):  # two certificates of one name: nobody can tell which one signed
        check_timestamp(token, MESSAGE, load_roots([authority.root, twin]))


def test_what_is_too_long_or_no_certificate_is_refused(authority: Authority) -> None:
    with pytest.raises(NotVerified, match="more than"):
        check_timestamp(bytes(70_000), MESSAGE, load_roots([authority.root]))
    for data in (b"", b"rubbish", b"-----BEGIN CERTIFICATE-----\nrubbish\n"):
        with pytest.raises(ConfigError):
            load_roots([data])
    pem = authority.root
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    assert load_roots([pem, der, pem + pem]) == load_roots([der])


def test_without_the_extra_it_is_said_what_to_install(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)
    with pytest.raises(NotSupported, match=r"onrecord\[timestamp\]"):
        check_timestamp(b"", MESSAGE, load_roots([authority.root]))
    with pytest.raises(NotSupported, match=r"onrecord\[timestamp\]"):
        ask_tsa("http://127.0.0.1:1", MESSAGE, load_roots([authority.root]))


# github.com/trailofbits/rfc3161-client


def known(token: str, roots: str, message: bytes, *, only_last: bool = False) -> Timestamped:
    chain = load_roots([(VECTORS / roots).read_bytes()])
    return check_timestamp((VECTORS / token).read_bytes(), message, chain[-1:] if only_last else chain)


@pytest.mark.parametrize("only_last", [False, True], ids=["whole chain", "root alone"])
@pytest.mark.parametrize("hash_", ["sha256", "sha384", "sha512"])
def test_timestamps_of_sigstore_s_authority_hold(hash_: str, only_last: bool) -> None:
    said = known(f"sigstage/response-{hash_}.tsr", "sigstage/ts_chain.pem", b"hello", only_last=only_last)
    assert said.by == "CN=sigstore-tsa,O=sigstore.dev"
    assert said.at_us // 1_000_000 in (1746791935, 1746791936)


@pytest.mark.parametrize("token", ["response", "response-injected-certs"])
def test_a_chain_with_an_intermediate_holds_whatever_certificates_were_added(token: str) -> None:
    said = known(f"test_tsa/{token}.tsr", "test_tsa/ts_chain.pem", b"hello")
    assert said == Timestamped(by="CN=Test TSA Timestamping,O=local", at_us=1728402032000000)


@pytest.mark.parametrize(
    ("token", "roots", "error"),
    [
        ("sigstage/response-invalid-signature.tsr", "sigstage/ts_chain.pem", "signature"),
        ("sigstage/response-no-embedded-cert.tsr", "sigstage/ts_chain.pem", "does not hold the certificate"),
        ("test_tsa/other_response.tsr", "test_tsa/ts_chain.pem", "does not lead"),
        ("test_tsa/response.tsr", "sigstage/ts_chain.pem", "does not lead"),
    ],
)
def test_bad_timestamps_are_refused(token: str, roots: str, error: str) -> None:
    with pytest.raises(NotVerified, match=error):
        known(token, roots, b"hello")


def test_a_token_of_a_public_authority_leads_to_its_root_given_as_der() -> None:
    said = known("identrust/issue-104.tsr", "identrust/ts_chain.pem", b"hello")
    assert "IdenTrust" in said.by
    with pytest.raises(NotVerified, match="another message"):
        known("identrust/issue-104.tsr", "identrust/ts_chain.pem", b"hullo")
