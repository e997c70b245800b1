# SPDX-License-Identifier: Apache-2.0
"""One person's log-in at an issuer: begun by a code, kept alive by a refresh token, ended by logging out.

An ID token is put where wrapped processes read it only once it was verified as they will verify it. When the log-in
is kept alive it has to stay that of the same person (OpenID Connect Core 1.0, 12.2).

Most issuers take a refresh token once, and give another one for it. So there is a moment at which the issuer has
used up the old one and we do not have the new one yet; no order of writing can close it. Before the question is asked
it is noted that it will be, which shows too that there is room; the answer is kept before anything is done with it.
What dies, or loses the network, in between leaves that note. The next refresh tries the token that is there: an issuer
that had not got the question, or forgives a repetition, answers; another one ends the log-in, as it must for a token
that was stolen. Then the ID token holds until it expires, and a person logs in again.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from onrecord.errors import IssuerAway, KeyFileError, NotAuthenticated, NotLoggedIn
from onrecord.identity.device import Granted, Shown, granted, log_in
from onrecord.identity.identity import ID_TYPES, Issuer
from onrecord.identity.kept import Kept, Store, digest_of
from onrecord.identity.provider import Provider, Refused, asked, discovered, handed_in
from onrecord.identity.token import opened
from onrecord.rules.principal import check_claims, logged_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """An ID token that was verified: until when it holds, whom it speaks of, and when they logged in, where it says."""

    expires_s: float
    subject: str
    at_s: float | None


class Login:
    """The log-in of one home. Processes may share it."""

    def __init__(
        self,
        store: Store,
        issuer: Issuer,
        *,
        client_id: str,
        audience: str,
        scopes: Sequence[str],
        clock: Callable[[], float],
        say: Callable[[str], None],
    ) -> None:
        """`clock` tells the time of day; `say` tells the person what could not be done, and does no harm."""
        self._store = store
        self._issuer = issuer
        self._client_id = client_id
        self._audience = audience
        self._scopes = scopes
        self._clock = clock
        self._say = say

    def begin(
        self, *, show: Callable[[Shown], None], sleep: Callable[[float], None], ticks: Callable[[], float]
    ) -> Holding:
        """Have a person log in, and keep what comes of it. Raises NotLoggedIn, IssuerAway, NotAuthenticated."""
        provider = discovered(self._issuer.name)
        found = log_in(provider, self._client_id, self._scopes, show=show, sleep=sleep, clock=ticks)
        holding = self._verified(found)
        salt, now_s = os.urandom(32).hex(), self._clock()
        kept = Kept(
            issuer=self._issuer.name,
            client_id=self._client_id,
            salt=salt,
            subject=digest_of(salt, self._issuer.name, holding.subject),
            refresh_token=found.refresh_token,
            auth_time=holding.at_s or 0.0,
            logged_in_s=now_s,
            refreshed_s=now_s,
        )
        with self._store.alone():
            self._store.write(kept)
            self._store.write_token(found.id_token)
        if not found.refresh_token:
            self._say("the issuer gave no refresh token: when the ID token expires, a person has to log in again")
        return holding

    def refresh(self) -> Holding:
        """Have the issuer give another ID token. Raises NotLoggedIn, IssuerAway, NotAuthenticated."""
        self._store.known(self._issuer.name, self._client_id)
        provider = discovered(self._issuer.name)
        with self._store.alone():
            kept = self._store.known(self._issuer.name, self._client_id)  # another process may have refreshed it
            self._store.write(replace(kept, begun_s=self._clock()))  # before the question: see above
            found = self._asked_again(provider, kept)
            now_s = self._clock()
            kept = replace(
                kept, refresh_token=found.refresh_token or kept.refresh_token, begun_s=0.0, refreshed_s=now_s
            )
            self._store.write(kept)  # before all else: the issuer may take the old one no longer
            holding = self._verified(found)
            if not kept.is_of(holding.subject):
                raise self._ended(kept, "the issuer gave a token of somebody else at the refresh")
            if holding.at_s is not None and kept.auth_time and holding.at_s != kept.auth_time:
                raise self._ended(kept, "the issuer names another time of the log-in than before")
            self._store.write_token(found.id_token)
        return holding

    def _asked_again(self, provider: Provider, kept: Kept) -> Granted:
        form = {"grant_type": "refresh_token", "refresh_token": kept.refresh_token, "client_id": self._client_id}
        try:
            return granted(asked(provider.token, form))
        except Refused as e:
            if e.code != "invalid_grant":
                self._store.write(kept)  # it was refused before the token was looked at
                raise
            cut_off = "; one refresh before was cut off, and may have used it up" if kept.begun_s else ""
            raise self._ended(kept, f"the issuer takes the refresh token no longer{cut_off}") from e

    def _ended(self, kept: Kept, why: str) -> NotLoggedIn:
        self._store.write(replace(kept, refresh_token="", begun_s=0.0, over=why))
        return NotLoggedIn(f"{why}; onrecord login mends that")

    def end(self) -> bool:
        """Forget the log-in, here and at the issuer. Says whether the issuer was told, where it could be (RFC 7009)."""
        with self._store.alone():
            try:
                return self._revoked()
            finally:
                self._store.forget()

    def _revoked(self) -> bool:
        try:
            kept = self._store.read(to_end_it=True)
        except KeyFileError:
            return False
        if kept is None or not kept.refresh_token:
            return True
        if kept.issuer != self._issuer.name:
            return False  # a token is for nobody's eyes but its issuer's
        try:
            url = discovered(self._issuer.name).revocation
            form = {"token": kept.refresh_token, "token_type_hint": "refresh_token", "client_id": kept.client_id}
            return bool(url) and handed_in(url, form).status == 200
        except (IssuerAway, NotLoggedIn):
            return False

    def verified(self, token: str) -> Holding:
        """Verify an ID token as the wrapped processes do. Raises NotAuthenticated."""
        found = opened(token, self._issuer.keys, self._issuer.algorithms, types=ID_TYPES)
        now_s = self._clock()
        expires_s = check_claims(found.claims, issuer=self._issuer.name, audience=self._audience, now_s=now_s)
        subject, at_s = logged_in(found.claims, client_id=self._client_id)
        return Holding(expires_s=expires_s, subject=subject, at_s=at_s)

    def _verified(self, found: Granted) -> Holding:
        if not found.id_token:
            raise NotLoggedIn("the issuer gave no ID token")
        try:
            return self.verified(found.id_token)
        except NotAuthenticated as e:
            raise NotAuthenticated(f"the issuer gave an ID token that calls would be refused with: {e}") from e
