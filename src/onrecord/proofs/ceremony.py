# SPDX-License-Identifier: Apache-2.0
"""The two ceremonies of WebAuthn (Level 3): an authenticator is enrolled, and later signs a challenge for its person.

The challenge of an approval is the digest of its statement, so the signature is over exactly that call. The person has
to be verified by the authenticator (PIN, finger, face); a touch is not enough. An answer is read strictly before
`webauthn` (py_webauthn) verifies it: base64url without anything else, JSON that has one reading, a page of its own and
not a frame in another one's. No message says what stood in an answer.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, cast

import msgspec

from onrecord.errors import ConfigError, NotAuthenticated
from onrecord.event.call import Json
from onrecord.event.event import IdentityAssurance, IdentitySource, PrincipalType
from onrecord.identity.strict import NotStrict, strict_object

MAX_ANSWER = 64 * 1024  # bytes of JSON; one with a certificate of a TPM takes some 8 KiB
MAX_ID = 1023  # bytes of a credential's id (Level 3, 4: Credential ID)
TIMEOUT_MS = 120_000  # for the person; the browser may know better

_ALGORITHMS = (-8, -7, -257)  # EdDSA, ES256, RS256: what authenticators have, and what the library takes by default
_RSA_BYTES = 256  # of a modulus of 2048 bits
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")
_BROKEN = "the authenticator's answer is malformed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RelyingParty:
    """For whom authenticators sign: a domain, and the origins of the pages that may ask."""

    id: str
    origins: tuple[str, ...]


class Authenticator(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One that was enrolled. `id` is base64url, `public_key` COSE, `person` a pseudonym.

    `source`, `issuer`, `kind` and `assurance` say how the person was known when they enrolled it; `issuer` and `kind`
    are "" for an account, and of those that were enrolled before they were kept. `sign_count` is what it last said of
    itself; of most that are synchronised it is always 0.
    """

    id: str
    public_key: bytes
    sign_count: int
    synced: bool
    person: str
    tenant: str
    source: IdentitySource
    issuer: str = ""
    kind: PrincipalType = ""
    assurance: IdentityAssurance
    label: str
    enrolled_us: int

    @property
    def digest(self) -> str:
        """Digest of its id, in hex: what names it on the record and in the settings."""
        return hashlib.sha256(self.id.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A new credential, once its authenticator's answer holds."""

    id: str
    public_key: bytes
    sign_count: int
    synced: bool


def require() -> None:
    """Raise ConfigError where the library is missing."""
    if find_spec("webauthn") is None:
        raise ConfigError("authenticators need py_webauthn: pip install 'onrecord[webauthn]'")


def request_options(party: RelyingParty, challenge: bytes, ids: list[str]) -> dict[str, Json]:
    """Return what a page hands to `navigator.credentials.get` (PublicKeyCredentialRequestOptionsJSON)."""
    return {
        "challenge": encoded(challenge),
        "rpId": party.id,
        "allowCredentials": [{"type": "public-key", "id": one} for one in ids],
        "userVerification": "required",
        "timeout": TIMEOUT_MS,
    }


def creation_options(
    party: RelyingParty, challenge: bytes, *, handle: bytes, label: str, known: list[str]
) -> dict[str, Json]:
    """Return what a page hands to `navigator.credentials.create` (PublicKeyCredentialCreationOptionsJSON).

    `handle` stands for the person at the authenticator; `known` are the ids of those that they have enrolled.
    """
    return {
        "rp": {"id": party.id, "name": party.id},
        "user": {"id": encoded(handle), "name": label, "displayName": label},
        "challenge": encoded(challenge),
        "pubKeyCredParams": [{"type": "public-key", "alg": alg} for alg in _ALGORITHMS],
        "excludeCredentials": [{"type": "public-key", "id": one} for one in known],
        "authenticatorSelection": {"residentKey": "preferred", "userVerification": "required"},
        "attestation": "none",
        "timeout": TIMEOUT_MS,
    }


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """What an authenticator answered, read strictly and not verified yet."""

    fields: dict[str, object]
    id: str
    challenge: bytes
    user_handle: bytes | None


def read_answer(text: bytes, party: RelyingParty, kind: Literal["webauthn.get", "webauthn.create"]) -> Answer:
    """Return the answer that `text` holds, for this party and in this ceremony. Raises NotAuthenticated."""
    if len(text) > MAX_ANSWER:
        raise NotAuthenticated(f"the authenticator's answer is longer than {MAX_ANSWER} bytes")
    try:
        fields = strict_object(text)
        response = fields.get("response")
        if not isinstance(response, dict):
            raise NotAuthenticated(_BROKEN)
        response = cast(dict[str, object], response)
        client = strict_object(_decoded(response.get("clientDataJSON")))
    except NotStrict as e:
        raise NotAuthenticated(f"the authenticator's answer {e}") from e
    if fields.get("type") != "public-key" or not 0 < len(_decoded(fields.get("rawId"))) <= MAX_ID:
        raise NotAuthenticated(_BROKEN)
    if client.get("type") != kind:
        raise NotAuthenticated("the authenticator's answer is of another ceremony")
    if client.get("origin") not in party.origins:
        raise NotAuthenticated("the authenticator was asked by a page of an origin that is not allowed")
    if client.get("crossOrigin", False) is not False or "topOrigin" in client:
        raise NotAuthenticated("the authenticator was asked by a page within another one's")
    handle = response.get("userHandle")
    return Answer(
        fields,
        id=encoded(_decoded(fields.get("rawId"))),
        challenge=_decoded(client.get("challenge")),
        user_handle=_decoded(handle) if handle else None,
    )


def check_asserted(answer: Answer, party: RelyingParty, challenge: bytes, by: Authenticator, *, handle: bytes) -> int:
    """Raise NotAuthenticated unless `by` has signed `challenge` for its person; return its new count of signatures."""
    from webauthn import verify_authentication_response
    from webauthn.helpers import parse_authenticator_data

    if not hmac.compare_digest(answer.challenge, challenge):
        raise NotAuthenticated("the authenticator has signed another challenge")
    if answer.user_handle is not None and not hmac.compare_digest(answer.user_handle, handle):
        raise NotAuthenticated("the authenticator answers for another person")
    response = cast(dict[str, object], answer.fields["response"])
    _ = _decoded(response.get("signature"))
    try:
        said = parse_authenticator_data(_decoded(response.get("authenticatorData")))
    except Exception as e:  # whatever the library raises: it could not read it
        raise NotAuthenticated(_BROKEN) from e
    _check_flags(said.rp_id_hash, party, present=said.flags.up, verified=said.flags.uv)
    if (said.sign_count or by.sign_count) and said.sign_count <= by.sign_count:
        raise NotAuthenticated("the authenticator's counter has not gone on: it was copied, or this is an old answer")
    try:
        verified = verify_authentication_response(
            credential=answer.fields,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=list(party.origins),
            credential_public_key=by.public_key,
            credential_current_sign_count=by.sign_count,
            require_user_verification=True,
        )
    except Exception as e:  # whatever the library raises: it did not verify
        raise NotAuthenticated("the authenticator's signature does not hold") from e
    return verified.new_sign_count


def check_created(answer: Answer, party: RelyingParty, challenge: bytes) -> Created:
    """Return the credential that an authenticator has made on `challenge`. Raises NotAuthenticated."""
    from webauthn import verify_registration_response
    from webauthn.helpers import decode_credential_public_key, parse_attestation_object
    from webauthn.helpers.cose import COSEAlgorithmIdentifier
    from webauthn.helpers.decode_credential_public_key import DecodedRSAPublicKey

    if not hmac.compare_digest(answer.challenge, challenge):
        raise NotAuthenticated("the authenticator has answered another challenge")
    response = cast(dict[str, object], answer.fields["response"])
    try:
        said = parse_attestation_object(_decoded(response.get("attestationObject"))).auth_data
    except NotAuthenticated:
        raise
    except Exception as e:  # whatever the library raises: it could not read it
        raise NotAuthenticated(_BROKEN) from e
    _check_flags(said.rp_id_hash, party, present=said.flags.up, verified=said.flags.uv)
    try:
        made = verify_registration_response(
            credential=answer.fields,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=list(party.origins),
            require_user_verification=True,
            supported_pub_key_algs=[COSEAlgorithmIdentifier(alg) for alg in _ALGORITHMS],
        )
        key = decode_credential_public_key(made.credential_public_key)
    except Exception as e:  # whatever the library raises: it did not verify
        raise NotAuthenticated("what the authenticator has made does not hold") from e
    if isinstance(key, DecodedRSAPublicKey) and len(key.n) < _RSA_BYTES:
        raise NotAuthenticated("the authenticator's key is shorter than 2048 bits")
    if encoded(made.credential_id) != answer.id:
        raise NotAuthenticated(_BROKEN)
    synced = made.credential_device_type.value == "multi_device"
    return Created(id=answer.id, public_key=made.credential_public_key, sign_count=made.sign_count, synced=synced)


def encoded(value: bytes) -> str:
    """Return `value` in base64url, without padding."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _check_flags(party_hash: bytes, party: RelyingParty, *, present: bool, verified: bool) -> None:
    if not hmac.compare_digest(party_hash, hashlib.sha256(party.id.encode()).digest()):
        raise NotAuthenticated("the authenticator has answered for another domain")
    if not present or not verified:
        raise NotAuthenticated("the authenticator has not verified that its person is there")


def _decoded(value: object) -> bytes:
    """Return the bytes of a member in base64url, in the one spelling that it has. Raises NotAuthenticated."""
    if not isinstance(value, str) or not _BASE64URL.fullmatch(value) or len(value) % 4 == 1:
        raise NotAuthenticated(_BROKEN)
    found = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    if encoded(found) != value:
        raise NotAuthenticated(_BROKEN)
    return found
