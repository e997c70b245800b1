# SPDX-License-Identifier: Apache-2.0
"""Timestamps over checkpoints: somebody with a clock and a certificate signs that a note existed by then (RFC 3161).

A timestamp authority sees a hash and nothing else, and remembers nothing: its token bounds when a
checkpoint was made, and does not say that it is the only one. That takes a witness. A token is kept
whole and verified offline, as of the time that it names, against roots that the verifier brings.

Tokens are read by `rfc3161-client`, an extra: pip install 'onrecord[timestamp]'. Where it is
missing, a token counts for nothing, and whoever asks is told so. Certificates take long to import,
so only who has timestamps pays for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onrecord.errors import ConfigError, NotAnchored, NotSupported, NotVerified
from onrecord.ledger.post import TIMEOUT_S, post

if TYPE_CHECKING:
    from cryptography import x509
    from rfc3161_client import TimeStampResponse

MAX_TOKEN = 64 * 1024  # bytes; one with its chain takes some 8 KiB

_REQUEST = "application/timestamp-query"  # RFC 3161, 3.4
_REPLY = "application/timestamp-reply"
_GRANTED = 0  # RFC 3161, 2.4.2; 1 is granted, but otherwise than asked
_PEM = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timestamped:
    """When a message existed at the latest, in microseconds since the epoch, and the subject of who says so."""

    by: str
    at_us: int


def load_roots(certificates: Sequence[bytes]) -> tuple["x509.Certificate", ...]:
    """Return the certificates, each given as DER or as a PEM file of one or more. Raises ConfigError."""
    if not certificates:
        return ()
    from cryptography import x509

    found: dict[x509.Certificate, None] = {}
    for data in certificates:
        try:
            if _PEM in data:
                found.update(dict.fromkeys(x509.load_pem_x509_certificates(data)))
            else:
                found[x509.load_der_x509_certificate(data)] = None
        except ValueError as e:
            raise ConfigError("a root of timestamp authorities is not a certificate in PEM or DER") from e
    return tuple(found)


def ask_tsa(
    url: str, message: bytes, roots: Sequence["x509.Certificate"], *, timeout_s: float = TIMEOUT_S
) -> tuple[bytes, Timestamped]:
    """Return the token that the authority at `url` gives for the SHA-256 of `message`, and what it says, verified.

    Plain http will do: nobody but the authority can sign, and the answer must repeat our nonce.
    Raises NotAnchored where it does not answer or its answer does not hold, NotSupported where
    the extra is missing.
    """
    client = _client()
    builder = client.TimestampRequestBuilder().data(message).hash_algorithm(client.HashAlgorithm.SHA256)
    request = builder.nonce(nonce=True).cert_request(cert_request=True).build()
    answer = post(url, request.as_bytes(), _REQUEST, plain=True, timeout_s=timeout_s)
    if answer.status != 200 or answer.content_type != _REPLY:
        raise NotAnchored(f"the timestamp authority answered with HTTP status {answer.status} and no timestamp")
    try:
        return answer.body, check_timestamp(answer.body, message, roots, nonce=request.nonce)
    except NotVerified as e:
        raise NotAnchored(f"the answer of the timestamp authority does not hold: {e}") from e


def check_timestamp(
    token: bytes, message: bytes, roots: Sequence["x509.Certificate"], *, nonce: int | None = None
) -> Timestamped:
    """Return what `token`, a TimeStampResp in DER, says of `message`.

    Raises NotVerified unless it was granted, is over the SHA-256, 384 or 512 of `message`, and signed
    by a certificate for timestamping that it holds and that leads to one of `roots`, all valid at
    the time that it names. Raises NotSupported where the extra is missing.
    """
    from cryptography import x509

    client = _client()
    if not roots:
        raise NotVerified("no root of a timestamp authority was given")
    if len(token) > MAX_TOKEN:
        raise NotVerified(f"the timestamp has more than {MAX_TOKEN} bytes")
    builder = client.VerifierBuilder(roots=list(roots), nonce=nonce)
    try:
        response = client.decode_timestamp_response(token)
        if response.status != _GRANTED:  # there is no token in it then
            raise NotVerified("it was not granted")
        builder.build().verify_message(response, message)
        signer = _signer(response, roots)
        return Timestamped(
            by=signer.subject.rfc4514_string(), at_us=round(response.tst_info.gen_time.timestamp() * 1_000_000)
        )
    except client.VerificationError as e:
        raise NotVerified(f"the timestamp does not hold: {_in_short(e)}") from e
    except (ValueError, TypeError, OverflowError, x509.DuplicateExtension, x509.InvalidVersion) as e:
        raise NotVerified(f"the timestamp cannot be read: {type(e).__name__}") from e


def _signer(response: "TimeStampResponse", roots: Sequence["x509.Certificate"]) -> "x509.Certificate":
    """Return the certificate that the signature was verified with.

    A signature names it by issuer and serial number, and what else a token holds is not signed. So
    there must be one certificate of that name, here and among the roots: of two, one could have made
    the signature and the other been looked at for who it is and what it may sign.
    """
    from cryptography import x509

    (info,) = response.signed_data.signer_infos
    held = [x509.load_der_x509_certificate(data) for data in response.signed_data.certificates]
    named = {one for one in (*held, *roots) if (one.issuer, one.serial_number) == (info.issuer, info.serial_number)}
    if len(named) != 1:
        raise ValueError("no certificate, or more than one, is that of the signer")
    return named.pop()


def _in_short(error: Exception) -> str:
    """Return what is wrong without the library's stack of errors, which quotes the token."""
    text = str(error)
    for sign, meaning in (
        ("unable to get local issuer", "its certificate does not lead to a root that was given"),
        ("self-signed certificate", "its certificate does not lead to a root that was given"),
        ("expired", "a certificate was not valid at the time that it names"),
        ("not yet valid", "a certificate was not valid at the time that it names"),
        ("signature failure", "its signature is not by the key that it names"),
        ("digest failure", "it was altered"),
        ("Mismatch between messages", "it is about another message"),
        ("Nonce mismatch", "it is no answer to this request"),
        ("EKU", "its certificate is not one for timestamps"),
        ("neither found", "it does not hold the certificate of its signer"),
    ):
        if sign in text:
            return meaning
    return "its signature or its certificates are not sound"


def _client():
    try:
        import rfc3161_client
    except ImportError as e:
        raise NotSupported("timestamps need an extra: pip install 'onrecord[timestamp]'") from e
    return rfc3161_client
