# SPDX-License-Identifier: Apache-2.0
"""Who a token speaks of, read from its claims once its signature holds. Pure: keys and clock are elsewhere.

A token says that its issuer knows a subject. It does not say that the subject is a person: which claim says that is a
setting, and without one a subject is of unknown kind. What a workload got for itself is never shown as a person.
A claim that is there and malformed is not one that is absent: the token is refused.

    sub          the person, or the workload
    act          who acts for them, the nearest outermost (RFC 8693, 4.1); kept as evidence, up to `ACTORS`
    acr, amr     how they proved who they are: more than one factor where the settings say so, and not too long ago
    jti          kept only as a keyed digest
"""

import hmac
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias, cast

from onrecord.errors import NotAuthenticated
from onrecord.event.call import NOTHING, Actor, Raw
from onrecord.event.event import IdentitySource, PrincipalType
from onrecord.rules.approval import Choice
from onrecord.rules.pattern import Pattern, utf8

Claims: TypeAlias = Mapping[str, object]
Pseudonym: TypeAlias = Callable[[str, str, str], str]
"""Returns the pseudonym of a subject, given tenant, issuer and subject."""

META_KEY = "io.onrecord/identity"
PLACE = "/params/_meta/io.onrecord~1identity"  # as a JSON Pointer

# What of an actor stands on each event of a call.
IDENTITY = (
    *("user_id", "tenant_id", "identity_source", "identity_assurance"),
    *("identity_issuer", "identity_key_id", "token_hash", "principal_type", "agent_id", "client_id", "act_chain"),
)

# And how its log-in was proven, on the attempt alone.
PROVEN = ("auth_time", "auth_context", "auth_methods")

# By name: the kind and curve of key that it takes (RFC 7518, 3.1; RFC 8037; RFC 9864). What is not here can't be
# allowed: `none`, and HMAC, whose key a verifier could sign with.
ALGORITHMS: Mapping[str, tuple[str, str]] = {
    **{f"{family}{bits}": ("RSA", "") for family in ("RS", "PS") for bits in (256, 384, 512)},
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
}

LEEWAY_S = 30  # how far clocks may be apart
CALL_TOKEN_S = 300  # longest life of a token that stands for one call
DECISION_S = 600  # and of one that decides on one: somebody may have to carry it here by hand
ACTORS = 8  # of a chain; what acts through more hands is refused
NAMES = 200  # scopes, roles, audiences, methods of one token, which is at most 16 KiB
METHODS = 8  # by which somebody proved who they are; RFC 8176 has some twenty
LONGEST = 512  # characters of a subject

_NO_DATE_S = 253_402_300_800  # the year 10000
_PLAIN = Pattern(r"[A-Za-z0-9][A-Za-z0-9._~:/@+=|-]{0,199}\z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How the settings say that claims are to be read."""

    tenant: str = ""  # whose record it is, where no claim says so
    tenant_claim: str = ""
    person_claim: str = ""
    person_values: tuple[str, ...] = ()
    roles_claim: str = "roles"
    mfa_acr: tuple[str, ...] = ()
    mfa_amr: tuple[str, ...] = ()
    mfa_max_age_s: float = 12 * 3600


def check_claims(claims: Claims, *, issuer: str, audience: str, now_s: float) -> float:
    """Raise NotAuthenticated unless `claims` are of `issuer`, for `audience`, and hold now; return when they end.

    RFC 7519, 4.1. `exp`, `iat` and `sub` must be there.
    """
    if claims.get("iss") != issuer:
        raise NotAuthenticated("the token is of another issuer")
    if audience not in _texts(claims, "aud"):
        raise NotAuthenticated("the token is for another audience")
    expires, issued, begins = _time(claims, "exp"), _time(claims, "iat"), _time(claims, "nbf")
    if expires is None or issued is None:
        raise NotAuthenticated("the token does not say when it was issued and when it expires")
    if now_s >= expires + LEEWAY_S:
        raise NotAuthenticated("the token has expired")
    if issued > now_s + LEEWAY_S or (begins is not None and begins > now_s + LEEWAY_S):
        raise NotAuthenticated("the token is not valid yet")
    _text(claims, "sub", needed=True)
    return expires


def logged_in(claims: Claims, *, client_id: str) -> tuple[str, float | None]:
    """Return who logged in, and when, where an ID token for that client says so. Raises NotAuthenticated."""
    if client_id not in _texts(claims, "aud"):  # OpenID Connect Core 1.0, 3.1.3.7
        raise NotAuthenticated("the token is for another client")
    return _text(claims, "sub", needed=True), _time(claims, "auth_time")


def check_call(claims: Claims, *, digest: str) -> str:
    """Raise NotAuthenticated unless `claims` stand for the one call of that digest; return the token's id."""
    expires, issued = _time(claims, "exp"), _time(claims, "iat")
    if expires is None or issued is None or expires - issued > CALL_TOKEN_S:
        raise NotAuthenticated(f"a token for a call lives for at most {CALL_TOKEN_S} s")
    if not hmac.compare_digest(_text(claims, "req", needed=True).encode(), digest.encode()):
        raise NotAuthenticated("the token is for another call")
    return _text(claims, "jti", needed=True)


def check_decision(claims: Claims) -> tuple[str, Choice]:
    """Return the digest of the statement that `claims` decide on, and what they decide.

    Raises NotAuthenticated for claims that decide nothing, or for too long.
    """
    expires, issued = _time(claims, "exp"), _time(claims, "iat")
    if expires is None or issued is None or expires - issued > DECISION_S:
        raise NotAuthenticated(f"a token for a decision lives for at most {DECISION_S} s")
    decision = _text(claims, "decision", needed=True)
    if decision not in ("approved", "rejected"):
        raise NotAuthenticated("the claim 'decision' is neither 'approved' nor 'rejected'")
    return _text(claims, "statement", needed=True), decision


def actor_of(
    claims: Claims,
    reading: Reading,
    *,
    source: IdentitySource,
    issuer: str,
    key_id: str,
    digest_key: bytes,
    pseudonym: Pseudonym,
    now_s: float,
) -> Actor:
    """Return who verified `claims` speak of. Raises NotAuthenticated for claims that are malformed."""
    tenant = reading.tenant
    if reading.tenant_claim:
        tenant = _text(claims, reading.tenant_claim, needed=True)
        if not plain_name(tenant):
            raise NotAuthenticated("the claim that names the tenant is no plain name")
    subject, client = _text(claims, "sub", needed=True), _text(claims, "client_id") or _text(claims, "azp")
    kind = _kind(claims, reading, subject, client)
    acting = tuple(pseudonym(tenant, issuer, one) for one in _acting(claims))
    itself = pseudonym(tenant, issuer, subject)
    strong = kind != "workload" and _is_mfa(claims, reading, now_s)
    token_id = _text(claims, "jti")
    return Actor(
        user_id="" if kind == "workload" else itself,
        tenant_id=tenant,
        identity_source=source,
        identity_assurance="token_mfa" if strong else "token",
        identity_issuer=issuer,
        identity_key_id=plain_name(key_id),
        token_hash=token_hash(digest_key, issuer, token_id) if token_id else "",
        auth_time=_when(_time(claims, "auth_time")),
        auth_context=plain_name(_text(claims, "acr")),
        auth_methods=tuple(one for one in _texts(claims, "amr") if plain_name(one))[:METHODS],
        principal_type=kind,
        agent_id=acting[0] if acting else itself if kind == "workload" else "",
        client_id=plain_name(client),
        act_chain=acting,
        scopes=_scopes(claims),
        roles=_texts(claims, reading.roles_claim),
        subject=NOTHING if kind == "workload" else Raw(subject),
    )


def token_hash(digest_key: bytes, issuer: str, token_id: str) -> str:
    """Return the keyed digest of a token's id, in hex: all that is kept of a token."""
    return hmac.digest(digest_key, f"onrecord token id v1\n{issuer}\n{token_id}".encode(), "sha256").hex()


def _kind(claims: Claims, reading: Reading, subject: str, client: str) -> PrincipalType:
    if reading.person_claim:
        return "human" if set(_texts(claims, reading.person_claim)) & set(reading.person_values) else "workload"
    if subject == client or claims.get("gty") == "client-credentials" or claims.get("idtyp") == "app":
        return "workload"  # RFC 9068, 2.2: of a token without a resource owner, `sub` is the client
    return "unknown"


def _acting(claims: Claims) -> list[str]:
    """Return the subjects that act, the nearest first."""
    found: list[str] = []
    inner: Claims = claims
    while "act" in inner:
        act = inner["act"]
        if not isinstance(act, dict):
            raise NotAuthenticated("the claim 'act' is malformed")
        inner = cast(Claims, act)
        found.append(_text(inner, "sub", needed=True))
        if len(found) > ACTORS:
            raise NotAuthenticated(f"more than {ACTORS} act for one another")
    return found


def _is_mfa(claims: Claims, reading: Reading, now_s: float) -> bool:
    strong = _text(claims, "acr") in reading.mfa_acr or set(_texts(claims, "amr")) & set(reading.mfa_amr)
    at = _time(claims, "auth_time")
    return bool(strong) and at is not None and now_s - reading.mfa_max_age_s <= at <= now_s + LEEWAY_S


def plain_name(name: str) -> str:
    """Return a name that an issuer chose, "" where it is no plain one."""
    return name if _PLAIN.fits(utf8(name)) else ""


def _when(seconds: float | None) -> str:
    """Return a time in RFC 3339, "" where there is none that has a date."""
    if seconds is None or seconds >= _NO_DATE_S:
        return ""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _scopes(claims: Claims) -> tuple[str, ...]:
    name = "scope" if "scope" in claims else "scp"
    return tuple(one for text in _texts(claims, name) for one in text.split())[:NAMES]


def _time(claims: Claims, name: str) -> float | None:
    """Return a NumericDate in seconds, None where it is absent."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12 or math.isnan(value):
        raise NotAuthenticated(f"the claim {name!r} is malformed")
    return float(value)


def _text(claims: Claims, name: str, *, needed: bool = False) -> str:
    """Return a claim that is a text, "" where it is absent."""
    if name not in claims and not needed:
        return ""
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST or not value.isprintable():
        raise NotAuthenticated(f"the claim {name!r} is {'malformed' if name in claims else 'missing'}")
    return value


def _texts(claims: Claims, name: str) -> tuple[str, ...]:
    """Return a claim that is a text or a list of texts, () where it is absent."""
    if name not in claims:
        return ()
    value = claims[name]
    values: list[object] = cast(list[object], value) if isinstance(value, list) else [value]
    if len(values) > NAMES or not all(isinstance(one, str) and one.isprintable() for one in values):
        raise NotAuthenticated(f"the claim {name!r} is malformed")
    return tuple(cast(list[str], values))
