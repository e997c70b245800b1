# SPDX-License-Identifier: Apache-2.0
"""A person logs in on any device with a browser, by a code that is shown here. RFC 8628.

The client has no secret. Where the issuer takes proof keys, whoever sees the device code on its way still cannot use
it. Nothing here is kept, and nothing is believed of a token: see `login.py`.
"""

import base64
import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from onrecord.errors import ConfigError, IssuerAway, NotLoggedIn
from onrecord.identity.provider import Provider, Refused, asked, text_in
from onrecord.ledger.post import check_url

GRANT = "urn:ietf:params:oauth:grant-type:device_code"

_INTERVAL_S = 5.0  # where the issuer doesn't say; RFC 8628, 3.2
_SLOWER_S = 5.0  # for each `slow_down`; RFC 8628, 3.5
_SLOWEST_S = 60.0
_LONGEST_S = 3600.0  # that a code is waited for, whatever the issuer says


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the person is told: where to go, and what to enter there; `complete` is empty where there is none."""

    url: str
    complete: str
    code: str
    expires_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What the issuer gave; each is empty where it didn't."""

    id_token: str = field(repr=False)
    refresh_token: str = field(repr=False)


def log_in(
    provider: Provider,
    client_id: str,
    scopes: Sequence[str],
    *,
    show: Callable[[Shown], None],
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> Granted:
    """Ask for a code, show it, and wait until somebody has confirmed it.

    `clock` counts seconds and never goes back. Raises NotLoggedIn where nobody does, or the issuer refuses, and
    IssuerAway where it cannot be asked at all. While it is waited for, an issuer may be away for a time.
    """
    verifier = secrets.token_urlsafe(32)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    proof = {"code_challenge": challenge, "code_challenge_method": "S256"} if provider.proof_key else {}
    answer = asked(provider.device, {"client_id": client_id, "scope": " ".join(scopes), **proof})
    interval_s, expires_s = _seconds(answer, "interval", _INTERVAL_S), _seconds(answer, "expires_in", None)
    expires_s = min(expires_s, _LONGEST_S)
    ends = clock() + expires_s
    show(_shown(answer, expires_s))
    form = {"grant_type": GRANT, "device_code": text_in(answer, "device_code", needed=True), "client_id": client_id}
    if provider.proof_key:
        form["code_verifier"] = verifier
    while clock() + interval_s < ends:
        sleep(interval_s)
        try:
            return granted(asked(provider.token, form))
        except Refused as e:
            if e.code == "slow_down":
                interval_s += _SLOWER_S
            elif e.code != "authorization_pending":
                raise
        except IssuerAway:
            interval_s = min(interval_s * 2, max(interval_s, _SLOWEST_S))
    raise NotLoggedIn("nobody has confirmed the code in time; ask for another one")


def granted(answer: Mapping[str, object]) -> Granted:
    """Return the tokens of an answer; its access token is of no use here. Raises IssuerAway for malformed ones."""
    return Granted(id_token=text_in(answer, "id_token"), refresh_token=text_in(answer, "refresh_token"))


def _shown(answer: Mapping[str, object], expires_s: float) -> Shown:
    url = text_in(answer, "verification_uri", needed=True)
    complete, code = text_in(answer, "verification_uri_complete"), text_in(answer, "user_code", needed=True)
    try:
        for one in (url, complete):
            if one:
                check_url(one.partition("#")[0], plain=False)
    except ConfigError as e:
        raise IssuerAway(f"the issuer sends people to a page that cannot be trusted: {e}") from e
    if len(code) > 64:
        raise IssuerAway("the issuer's code is too long for a person")
    return Shown(url=url, complete=complete, code=code, expires_s=expires_s)


def _seconds(answer: Mapping[str, object], name: str, otherwise: float | None) -> float:
    value = answer.get(name, otherwise)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        raise IssuerAway(f"the issuer's answer has a {name} that cannot be used, or none")
    return float(value)
