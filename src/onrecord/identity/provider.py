# SPDX-License-Identifier: Apache-2.0
"""How an issuer is asked for tokens: what it says of itself, and what it answers. OpenID Connect Discovery 1.0.

All of it goes over https, or stays on this machine; each answer is small, comes in time, and is JSON with a single
reading. Nothing that an issuer says is put into a message, but for error codes that are known here. What a token is
worth is found out elsewhere, by its signature.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from onrecord.errors import ConfigError, IssuerAway, NotAnchored, NotLoggedIn
from onrecord.identity.strict import NotStrict, strict_object
from onrecord.ledger.post import Answer, check_url, get, post

TIMEOUT_S: Final = 10.0  # for one answer
LONGEST = 16 * 1024  # characters of a token or a code

_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"

# RFC 6749, 5.2; RFC 8628, 3.5. What is not here is not repeated.
_CODES: Mapping[str, str] = {
    "authorization_pending": "nobody has confirmed the code yet",
    "slow_down": "it was asked too often",
    "access_denied": "who was asked to confirm has refused",
    "expired_token": "the code has expired",
    "invalid_grant": "what was handed in is not valid, or not any more",
    "invalid_client": "it does not know the client of identity.client_id",
    "unauthorized_client": "the client of identity.client_id may not log people in this way",
    "unsupported_grant_type": "it does not know this way to log in",
    "invalid_scope": "it does not give the scopes of identity.login_scopes",
    "invalid_request": "it does not understand the request",
    "invalid_target": "it does not understand the request",
}


class Refused(NotLoggedIn):
    """The issuer has refused; `code` is its word for why, where that is one of RFC 6749 or RFC 8628, else empty."""

    def __init__(self, code: str) -> None:
        super().__init__(f"the issuer refuses: {_CODES.get(code, 'an error without a known name')}")
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Where an issuer takes which question. `revocation` and `jwks` may be empty."""

    issuer: str
    device: str
    token: str
    revocation: str
    jwks: str
    proof_key: bool
    """Whether it takes proof keys (RFC 7636) by SHA-256."""


def discovered(issuer: str) -> Provider:
    """Return what `issuer` says of itself. Raises IssuerAway, ConfigError, or NotLoggedIn where it has no such way."""
    url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    try:
        answer = get(url, _JSON, timeout_s=TIMEOUT_S)
    except NotAnchored as e:
        raise IssuerAway(f"the issuer cannot be asked: {e}") from e
    except ConfigError as e:
        raise ConfigError(f"identity.issuer: {e}") from e
    if answer.status != 200:
        raise IssuerAway(f"the issuer does not say where to log in: {url} has status {answer.status}")
    said = _object(answer)
    if said.get("issuer") != issuer:  # Discovery 1.0, 4.3: exactly, or it is somebody else's
        raise ConfigError(f"identity.issuer: what is at {url} is of another issuer")
    methods = said.get("code_challenge_methods_supported")
    provider = Provider(
        issuer=issuer,
        device=_place(said, "device_authorization_endpoint"),
        token=_place(said, "token_endpoint"),
        revocation=_place(said, "revocation_endpoint"),
        jwks=_place(said, "jwks_uri"),
        proof_key=isinstance(methods, list) and "S256" in methods,
    )
    if not provider.device or not provider.token:
        raise NotLoggedIn("the issuer offers no log-in with a code (RFC 8628); it names no endpoint for that")
    return provider


def asked(url: str, fields: Mapping[str, str]) -> dict[str, object]:
    """Hand in a form and return the object that the issuer answers with. Raises Refused, or IssuerAway."""
    answer = handed_in(url, fields)
    if answer.status == 200:
        return _object(answer)
    if answer.status >= 500 or answer.status == 429:
        raise IssuerAway(f"the issuer answers with status {answer.status}")
    code = _object(answer).get("error")
    raise Refused(code if isinstance(code, str) and code in _CODES else "")


def handed_in(url: str, fields: Mapping[str, str]) -> Answer:
    """Hand in a form and return the answer, whatever it is. Raises IssuerAway where there is none."""
    try:
        return post(url, urlencode(fields).encode(), _FORM, timeout_s=TIMEOUT_S)
    except NotAnchored as e:
        raise IssuerAway(str(e)) from e


def text_in(said: Mapping[str, object], name: str, *, needed: bool = False) -> str:
    """Return a text of an answer, "" where there is none. Raises IssuerAway where it is no text, or no plain one."""
    value = said.get(name)
    if value is None and not needed:
        return ""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST or not value.isascii() or not value.isprintable():
        raise IssuerAway(f"the issuer's answer has a {name} that cannot be used, or none")
    return value


def _object(answer: Answer) -> dict[str, object]:
    try:
        return strict_object(answer.body)
    except NotStrict as e:
        raise IssuerAway(f"the issuer's answer {e}") from e


def _place(said: Mapping[str, object], name: str) -> str:
    url = text_in(said, name)
    try:
        if url:
            check_url(url, plain=False)
    except ConfigError as e:
        raise IssuerAway(f"the issuer's {name}: {e}") from e
    return url
