# SPDX-License-Identifier: Apache-2.0
"""With what credentials the gateway goes on to a server: its own, never the caller's.

    none        nothing is sent
    a token     one that the settings name, in a field of theirs
    client      one that this gateway gets for itself from a token endpoint (RFC 6749, 4.4)
    exchange    one that it gets there for the caller, in exchange for the caller's (RFC 8693)

A caller's token goes to that one endpoint and nowhere else, and is not sent on even where the endpoint hands it back.
What is got is kept in memory until shortly before it expires, for each caller apart; of many callers those that were
seen last. One question at a time is asked for one caller. An endpoint that has failed is left alone for a moment.
What it answers is not put into a message, but for error codes that are known here.
"""

import asyncio
import base64
import hashlib
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias
from urllib.parse import quote_plus

from onrecord.errors import NoCredentials
from onrecord.event.call import Sender
from onrecord.identity.strict import NotStrict, strict_object
from onrecord.version import __version__

if TYPE_CHECKING:
    import httpx2

TIMEOUT_S = 10.0  # for one answer of a token endpoint, as a whole
MAX_ANSWER = 64 * 1024  # bytes
MAX_TOKEN = 16 * 1024  # characters
REMEMBERED = 1000  # callers
PAUSE_S = 5.0  # after a failure

_UNSAID_S = 60.0  # how long a token holds of which nobody says so (RFC 6749, 5.1: it should be said)
_LONGEST_S = 3600.0
_MARGIN_S = 30.0  # before its end at which a token is no longer used, or a tenth of its life where that is less

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, 2.1
_ACCESS = "urn:ietf:params:oauth:token-type:access_token"
_TYPES = (_ACCESS, "urn:ietf:params:oauth:token-type:jwt")
_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"

# RFC 6749, 5.2; RFC 8693, 2.2.2; what is not here is not repeated.
_CODES: Mapping[str, str] = {
    "invalid_request": "it does not understand the request, or does not take the caller's token",
    "invalid_client": "it does not know our client, or its secret",
    "invalid_grant": "it does not take the caller's token",
    "unauthorized_client": "our client may not ask for tokens in this way",
    "unsupported_grant_type": "it does not give tokens in this way",
    "invalid_scope": "it does not give the scopes that are set",
    "invalid_target": "it gives no tokens for this server",
    "access_denied": "it refuses",
}


Failed: TypeAlias = Callable[[NoCredentials, Sender | None], None]


class UpstreamAuth(Protocol):
    """The credentials for one server."""

    async def headers_for(self, sender: Sender | None) -> dict[str, str]:
        """Return the header fields that go with a request of `sender`. Raises NoCredentials: then it must not go on."""
        ...

    def forget(self, sender: Sender | None) -> None:
        """Take it that the server refuses what it was sent for `sender`; the next request gets a new one if it can."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Client:
    """As whom a token endpoint is asked, and for what."""

    token_url: str
    client_id: str
    secret: str
    in_form: bool = False
    scope: tuple[str, ...] = ()
    resource: str = ""
    target: str = ""

    def __repr__(self) -> str:
        return f"<client of {self.token_url}>"


class Fixed:
    """Credentials that do not change; none where there are no fields."""

    def __init__(self, fields: Mapping[str, str] | None = None) -> None:
        self._fields = dict(fields or {})

    async def headers_for(self, sender: Sender | None) -> dict[str, str]:
        """Return the fields, whoever asks."""
        return dict(self._fields)

    def forget(self, sender: Sender | None) -> None:
        """Do nothing: there are no others."""


@dataclass(slots=True, kw_only=True, repr=False)
class _Kept:
    """What is known for one caller. `waiting` requests hold it, so that it is not dropped under them."""

    lock: asyncio.Lock
    waiting: int = 0
    token: str = ""
    since_s: float = -math.inf
    until_s: float = -math.inf
    why: str = ""
    again_s: float = -math.inf


class Granted:
    """Credentials that a token endpoint gives, for this gateway or for each caller. Tasks of one loop may share it."""

    def __init__(
        self,
        client: Client,
        *,
        exchange: bool,
        timeout_s: float = TIMEOUT_S,
        remembered: int = REMEMBERED,
        clock: Callable[[], float] = time.monotonic,
        failed: Failed = lambda _error, _sender: None,
    ) -> None:
        """`failed` is told of each failure, in a thread of its own, before the call that it is for is refused."""
        self._client = client
        self._exchange = exchange
        self._timeout_s = timeout_s
        self._remembered = remembered
        self._clock = clock
        self._failed = failed
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()

    async def headers_for(self, sender: Sender | None) -> dict[str, str]:
        """Return the token that is to go with a request of `sender`. Raises NoCredentials."""
        try:
            subject = self._subject(sender)
        except NoCredentials as e:
            await asyncio.to_thread(self._failed, e, sender)
            raise
        kept = self._of(subject)
        if self._clock() >= kept.until_s:
            kept.waiting += 1
            try:
                async with kept.lock:
                    await self._renew(kept, subject, sender)
            finally:
                kept.waiting -= 1
        return {"Authorization": f"Bearer {kept.token}"}

    def forget(self, sender: Sender | None) -> None:
        """Use the token of `sender` no more, unless it was got just now: a server may refuse all of them."""
        kept = self._of(self._subject(sender))
        if self._clock() - kept.since_s >= PAUSE_S:
            kept.until_s = -math.inf

    def _subject(self, sender: Sender | None) -> str:
        """Return the caller's token where it is to be exchanged, else "". Raises NoCredentials where there is none."""
        if not self._exchange:
            return ""
        token = None if sender is None or sender.bearer is None else sender.bearer.open()
        if not isinstance(token, str) or not token:
            raise NoCredentials("the caller brought no token that could be exchanged")
        return token

    def _of(self, subject: str) -> _Kept:
        key = hashlib.sha256(subject.encode(errors="surrogatepass")).digest()
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = _Kept(lock=asyncio.Lock())
            if len(self._kept) > self._remembered:
                spare = next((one for one, about in self._kept.items() if not about.waiting and one != key), None)
                self._kept.pop(spare or b"", None)
        self._kept.move_to_end(key)
        return kept

    async def _renew(self, kept: _Kept, subject: str, sender: Sender | None) -> None:
        """Get a token, unless somebody else just did, or just failed. Raises NoCredentials."""
        now_s = self._clock()
        if now_s < kept.until_s:
            return
        if now_s < kept.again_s:
            raise NoCredentials(kept.why)
        try:
            kept.token, life_s = await self._asked(subject)
        except NoCredentials as e:
            kept.token, kept.why, kept.again_s = "", e.why, self._clock() + PAUSE_S
            await asyncio.to_thread(self._failed, e, sender)
            raise
        kept.since_s = now_s
        kept.until_s = now_s + life_s - min(_MARGIN_S, life_s / 10)

    async def _asked(self, subject: str) -> tuple[str, float]:
        """Return a token, and for how many seconds it holds. Raises NoCredentials."""
        import httpx2

        fields, form = self._question(subject)
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                httpx2.AsyncClient(trust_env=False, follow_redirects=False, timeout=self._timeout_s) as http,
                http.stream("POST", self._client.token_url, data=form, headers=fields) as answer,
            ):
                status, body = answer.status_code, await _body_of(answer)
        except (TimeoutError, httpx2.TimeoutException):
            raise NoCredentials(f"the token endpoint did not answer within {self._timeout_s:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError):
            raise NoCredentials("the token endpoint cannot be reached") from None
        return _token_in(status, body, subject)

    def _question(self, subject: str) -> tuple[dict[str, str], dict[str, str]]:
        """Return the header fields and the form of a question for a token."""
        client = self._client
        fields = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": f"onrecord/{__version__}"}
        form = {"grant_type": "client_credentials"}
        if self._exchange:
            form = {"grant_type": _EXCHANGE, "subject_token": subject, "subject_token_type": _ACCESS}
            form |= {"requested_token_type": _ACCESS}
        wanted = {"scope": " ".join(client.scope), "resource": client.resource, "audience": client.target}
        form |= {name: value for name, value in wanted.items() if value}
        if client.in_form:
            return fields, {**form, "client_id": client.client_id, "client_secret": client.secret}
        pair = f"{quote_plus(client.client_id)}:{quote_plus(client.secret)}"  # RFC 6749, 2.3.1
        return {**fields, "Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}, form


async def _body_of(answer: "httpx2.Response") -> bytes:
    """Return the body of an answer. Raises NoCredentials for one that is too long."""
    body = bytearray()
    async for piece in answer.aiter_raw():
        body += piece
        if len(body) > MAX_ANSWER:
            raise NoCredentials(f"the token endpoint answered with more than {MAX_ANSWER} bytes")
    return bytes(body)


def _token_in(status: int, body: bytes, subject: str) -> tuple[str, float]:
    """Return the token in the answer of a token endpoint, and for how many seconds it holds. Raises NoCredentials."""
    if status >= 500 or status == 429:
        raise NoCredentials(f"the token endpoint answers with status {status}")
    try:
        said = strict_object(body)
    except NotStrict as e:
        raise NoCredentials(f"the token endpoint's answer {e}") from None
    if status != 200:
        code = said.get("error")
        why = _CODES.get(code, "") if isinstance(code, str) else ""
        raise NoCredentials(f"the token endpoint refuses: {why or 'an error without a known name'}")
    token, kind, issued = said.get("access_token"), said.get("token_type"), said.get("issued_token_type", _ACCESS)
    if not isinstance(token, str) or len(token) > MAX_TOKEN or not _TOKEN.fullmatch(token):
        raise NoCredentials("the token endpoint's answer holds no token")
    if not isinstance(kind, str) or kind.lower() != "bearer" or issued not in _TYPES:
        raise NoCredentials("the token endpoint gives a token of a kind that cannot be used here")
    if token == subject:
        raise NoCredentials("the token endpoint hands the caller's own token back, which is not sent on")
    return token, _life_of(said.get("expires_in"))


def _life_of(said: object) -> float:
    if said is None:
        return _UNSAID_S
    seconds = float(said) if isinstance(said, str) and re.fullmatch(r"\d{1,9}", said) else said  # some write a text
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds <= 0:
        raise NoCredentials("the token endpoint gives a token that has expired, or does not say when it will")
    return float(min(seconds, _LONGEST_S))
