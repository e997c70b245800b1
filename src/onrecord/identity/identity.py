# SPDX-License-Identifier: Apache-2.0
"""Says of each call who is behind it, or that nobody can say: then the call is not made.

The best that there is counts, and what is there must hold: a call whose token is forged, expired or for another call
is refused, never taken for one that has none.

    a signed token in `_meta`     for this call alone, once, for minutes    identity_jws
    a bearer token                of who sent it over HTTP                  oauth
    an ID token                   of who started this process               id_token
    the account                   by the kernel's word                      os_account, peer_cred

The first three need an issuer in the settings. Without one a token in `_meta` says nothing, and the account counts. Of
what came over a network, neither the token of this process nor its account says anything.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock

from onrecord.errors import KeyFileError, NotAuthenticated
from onrecord.event.call import Actor, Call, Json, Sender
from onrecord.event.event import IdentitySource
from onrecord.identity.bearer import Bearer, Version
from onrecord.identity.keys import IssuerKeys
from onrecord.identity.token import Opened, opened
from onrecord.identity.used import UsedTokens
from onrecord.rules.arguments import is_signed_as_round, signed
from onrecord.rules.canonical import NotCanonical, request_digest
from onrecord.rules.principal import LEEWAY_S, Claims, Reading, actor_of, check_call, check_claims, token_hash

CALL_TYPES = ("mcp-id+jwt",)
ID_TYPES = ("", "jwt", "at+jwt", "id_token+jwt")
ACCESS_TYPES = ("", "jwt", "at+jwt")
REMEMBERED = 1_000  # pseudonyms, and bearer tokens; of more, some are looked up, or verified, again


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Whom to believe, and in what."""

    name: str
    keys: IssuerKeys
    algorithms: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Who started this process, by an ID token that was verified, or why that is not known."""

    version: Version | None
    actor: Actor | None = None
    why: str = ""
    expires_s: float = 0.0
    verified_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Borne:
    actor: Actor
    expires_s: float
    verified_s: float


class Identity:
    """Verifies who is behind the calls of one process. Threads may share it."""

    def __init__(
        self,
        *,
        account: Actor,
        issuer: Issuer,
        call_issuer: Issuer,
        audience: str,
        reading: Reading,
        bearer: Bearer | None,
        required: bool,
        again_s: float,
        digest_key: bytes,
        pseudonym: Callable[[str, str, str], str],
        used: UsedTokens,
        clock: Callable[[], float],
    ) -> None:
        """`account` is who counts where there is no token, unless one is `required`; `clock` tells the time of day.

        An ID token is verified again after `again_s`, since its issuer may have withdrawn the key.
        """
        self._account = account
        self._issuer = issuer
        self._call_issuer = call_issuer
        self._audience = audience
        self._reading = reading
        self._bearer = bearer
        self._required = required
        self._again_s = again_s
        self._digest_key = digest_key
        self._look_up = pseudonym
        self._used = used
        self._clock = clock
        self._lock = Lock()
        self._bearing: dict[tuple[bytes, str], _Borne] = {}
        self._pseudonyms: dict[tuple[str, str, str], str] = {}
        self._standing = Standing(version=None)
        self._news: Standing | None = None

    def of(self, call: Call, *, again: bool = False) -> Call:
        """Return `call` with who is behind it. Raises NotAuthenticated.

        `again`: the call was let in before, so its own token may be used already; all else must hold now.
        """
        if call.direction != "client_to_server":
            return call  # a server speaks for nobody
        if call.identity is not None:
            actor = self._of_call(call, call.identity.open(), again=again)
        elif call.sender is not None:
            actor = self._of_sender(call.sender)
        elif self._bearer is not None:
            actor = self.now()
        elif self._required:
            raise NotAuthenticated("a verified identity is required, and the call came without one")
        else:
            actor = self._account
        return (
            call if actor is call.connection.actor else replace(call, connection=replace(call.connection, actor=actor))
        )

    def _of_sender(self, sender: Sender) -> Actor:
        if sender.bearer is not None:
            return self.bearing(sender.bearer.open(), sender.audience)
        if self._required and sender.actor.identity_source != "oauth":
            raise NotAuthenticated("a verified identity is required, and the call came without one")
        return sender.actor

    def bearing(self, token: Json, audience: str) -> Actor:
        """Return whose access token, meant for `audience`, came with a request. Raises NotAuthenticated.

        RFC 9068 where it says that it is one (`at+jwt`); an ID token is none.
        """
        if not isinstance(token, str):
            raise NotAuthenticated("the bearer token is no text")
        if (known := self.borne(token, audience)) is not None:
            return known
        now_s = self._clock()
        found = opened(token, self._issuer.keys, self._issuer.algorithms, types=ACCESS_TYPES)
        expires_s = check_claims(found.claims, issuer=self._issuer.name, audience=audience, now_s=now_s)
        if "cnf" in found.claims:  # RFC 7800: whoever holds the token must show more, which nobody sees from here
            raise NotAuthenticated(
                "the token is bound to a key or certificate of its client, which is not checked here"
            )
        actor = self._actor(found, "oauth", self._issuer, now_s)
        with self._lock:
            if len(self._bearing) >= REMEMBERED:
                self._bearing.clear()
            self._bearing[_known_as(token, audience)] = _Borne(actor, expires_s, now_s)
        return actor

    def borne(self, token: str, audience: str) -> Actor | None:
        """Return whose access token it is where that was verified not long ago, else None; it waits for nothing.

        Raises NotAuthenticated where it has expired since.
        """
        now_s = self._clock()
        with self._lock:
            known = self._bearing.get(_known_as(token, audience))
        if known is None or abs(now_s - known.verified_s) >= self._again_s:
            return None
        if now_s >= known.expires_s + LEEWAY_S:
            raise NotAuthenticated("the token has expired")
        return known.actor

    def now(self) -> Actor:
        """Return who started this process, by their ID token. Raises NotAuthenticated."""
        if self._bearer is None:
            return self._account
        with self._lock:
            standing = self._current(self._bearer)
            if standing.actor is None:
                raise NotAuthenticated(standing.why)
            if self._clock() >= standing.expires_s + LEEWAY_S:
                raise NotAuthenticated("the token has expired")
            return standing.actor

    def take_news(self) -> Standing | None:
        """Return what has become of the ID token since this was last asked, None where nothing has."""
        if self._news is None:
            return None
        with self._lock:
            news, self._news = self._news, None
        return news

    def _current(self, bearer: Bearer) -> Standing:
        """Return the standing of the token that is there now, verified again where it is another, or long ago."""
        known, now_s = self._standing, self._clock()
        try:
            version = bearer.version()
        except NotAuthenticated as e:
            return self._set(Standing(version=None, why=str(e)))
        fresh = known.actor is not None and abs(now_s - known.verified_s) < self._again_s
        if version == known.version and fresh:
            return known
        try:
            token = opened(bearer.read(), self._issuer.keys, self._issuer.algorithms, types=ID_TYPES)
            expires_s = check_claims(token.claims, issuer=self._issuer.name, audience=self._audience, now_s=now_s)
            actor = self._actor(token, "id_token", self._issuer, now_s)
        except NotAuthenticated as e:
            return self._set(Standing(version=version, why=str(e)))
        return self._set(Standing(version=version, actor=actor, expires_s=expires_s, verified_s=now_s))

    def _set(self, standing: Standing) -> Standing:
        before, self._standing = self._standing, standing
        if (standing.actor, standing.why) != (before.actor, before.why):
            self._news = standing
        return standing

    def _of_call(self, call: Call, token: object, *, again: bool) -> Actor:
        if not isinstance(token, str):
            raise NotAuthenticated("the identity of the call is no text")
        now_s, issuer = self._clock(), self._call_issuer
        found = opened(token, issuer.keys, issuer.algorithms, types=CALL_TYPES)
        server = call.connection.server_id
        expires_s = check_claims(found.claims, issuer=issuer.name, audience=server, now_s=now_s)
        arguments, brought = call.arguments.open(), call.brought.open()
        if call.sent is None and is_signed_as_round(call.method, arguments, brought):
            raise NotAuthenticated("a call with such arguments cannot be told from a further round by its digest")
        handed = signed(call.method, arguments, brought) if call.sent is None else call.sent.open()
        try:
            digest = request_digest(call.method, call.name, handed)
        except NotCanonical as e:
            raise NotAuthenticated("a call with such arguments cannot be bound to a token") from e
        token_id = check_call(found.claims, digest=digest)
        actor = self._actor(found, "identity_jws", issuer, now_s)
        if not again:
            used = token_hash(self._digest_key, issuer.name, token_id)
            self._used.use(used, expires_s + LEEWAY_S, now_s)
        return actor

    def _actor(self, token: Opened, source: IdentitySource, issuer: Issuer, now_s: float) -> Actor:
        claims: Claims = token.claims
        return actor_of(
            claims,
            self._reading,
            source=source,
            issuer=issuer.name,
            key_id=token.key_id,
            digest_key=self._digest_key,
            pseudonym=self._pseudonym,
            now_s=now_s,
        )

    def _pseudonym(self, tenant: str, issuer: str, subject: str) -> str:
        about = (tenant, issuer, subject)
        if about not in self._pseudonyms:
            if len(self._pseudonyms) >= REMEMBERED:
                self._pseudonyms.clear()
            try:
                self._pseudonyms[about] = self._look_up(*about)
            except KeyFileError as e:
                raise NotAuthenticated("the pseudonym of the token's subject cannot be had") from e
        return self._pseudonyms[about]


def _known_as(token: str, audience: str) -> tuple[bytes, str]:
    """Return what a token is remembered by, which is not the token."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest(), audience
