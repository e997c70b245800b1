# SPDX-License-Identifier: Apache-2.0
"""The public keys of an issuer (JWKS, RFC 7517), kept for a while, read again in time, and never more often than that.

Whoever makes tokens up can make key ids up, too. So an id that is not known leads to one new reading at most, and then
to none for `pause_s`. Keys are used until `max_age_s` after they were read; from half of that on they are read anew in
the background, so that an issuer that is away for a while stops nobody. Past it, nothing verifies.

Only public keys for signatures are taken: no secret of an HMAC, no RSA key below 2048 bits.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock, Thread
from typing import Any, cast

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from onrecord.errors import NotAuthenticated, OnRecordError
from onrecord.identity.strict import NotStrict, strict_object
from onrecord.rules.principal import ALGORITHMS

MAX_KEYS = 100  # of one issuer; a large one shows some ten
MAX_KEY_ID = 200  # characters
_RSA_CHARS = (342, 1366)  # base64url of a modulus of 2048 bits (RFC 7518, 3.3) to 8192


class KeysAway(NotAuthenticated):
    """The keys cannot be had now, so nobody can tell whether the token holds; a later try may succeed."""


PublicKey = RSAKey | ECKey | OKPKey

_KINDS: Mapping[str, tuple[type[RSAKey] | type[ECKey] | type[OKPKey], tuple[str, ...]]] = {
    "RSA": (RSAKey, ("kty", "n", "e")),
    "EC": (ECKey, ("kty", "crv", "x", "y")),
    "OKP": (OKPKey, ("kty", "crv", "x")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One public key, and what its owner says that it is for."""

    key_id: str
    kind: str
    curve: str
    algorithm: str
    key: PublicKey

    def fits(self, algorithm: str) -> bool:
        """Say whether signatures by `algorithm` may be verified with it."""
        kind, curve = ALGORITHMS[algorithm]
        named = (
            {algorithm, "EdDSA"} if algorithm == "Ed25519" else {algorithm, "Ed25519" if algorithm == "EdDSA" else ""}
        )
        return (kind, curve) == (self.kind, self.curve) and (not self.algorithm or self.algorithm in named)


class IssuerKeys:
    """The keys of one issuer, wherever they are read from. Threads may share it."""

    def __init__(
        self,
        read: Callable[[], bytes],
        *,
        max_age_s: float,
        pause_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`read` returns the JSON of a key set, or raises OnRecordError or OSError; within limits of time and size."""
        self._read = read
        self._max_age_s = max_age_s
        self._pause_s = pause_s
        self._clock = clock
        self._lock = Lock()
        self._keys: tuple[Known, ...] = ()
        self._read_at: float | None = None
        self._tried_at: float | None = None
        self._why = "they were not read yet"

    def find(self, key_id: str, algorithm: str) -> tuple[Known, ...]:
        """Return the keys that a token of this key id and algorithm may be signed with.

        A token without a key id is taken where one key alone fits. Raises NotAuthenticated where there is none.
        """
        with self._lock:
            age_s = self._age_s()
            if age_s is None or age_s >= self._max_age_s:
                self._renew()
            elif age_s >= self._max_age_s / 2 and not self._paused():
                self._tried_at = self._clock()
                Thread(target=self._renew_unasked, name="onrecord-keys", daemon=True).start()
            if (age_s := self._age_s()) is None or age_s >= self._max_age_s:
                raise KeysAway(f"the issuer's keys cannot be had: {self._why or 'they are being read'}")
            found = self._fitting(key_id, algorithm)
            if not found and not self._paused():
                self._renew()
                found = self._fitting(key_id, algorithm)
        if not found:
            raise NotAuthenticated("the token is signed with a key that its issuer does not show")
        if not key_id and len(found) > 1:
            raise NotAuthenticated("the token does not say with which of its issuer's keys it is signed")
        return found

    def _fitting(self, key_id: str, algorithm: str) -> tuple[Known, ...]:
        return tuple(one for one in self._keys if one.fits(algorithm) and (not key_id or one.key_id == key_id))

    def _age_s(self) -> float | None:
        return None if self._read_at is None else self._clock() - self._read_at

    def _paused(self) -> bool:
        return self._tried_at is not None and self._clock() - self._tried_at < self._pause_s

    def _renew(self) -> None:
        """Read the keys, unless that was tried just now. The lock is held, for as long as a reading may take."""
        if self._paused():
            return
        self._tried_at = self._clock()
        self._take(*self._tried())
        self._tried_at = self._clock()  # a reading that hung counts from its end

    def _renew_unasked(self) -> None:
        keys, why = self._tried()
        with self._lock:
            self._take(keys, why)

    def _take(self, keys: tuple[Known, ...] | None, why: str) -> None:
        self._why = why
        if keys is not None:
            self._keys, self._read_at = keys, self._clock()

    def _tried(self) -> tuple[tuple[Known, ...] | None, str]:
        try:
            return keys_in(self._read()), ""
        except OnRecordError as e:
            return None, str(e)
        except OSError as e:
            return None, (e.strerror or type(e).__name__).lower()


def keys_in(text: bytes) -> tuple[Known, ...]:
    """Return the usable keys of a JWKS; those of kinds that are not known are left out. Raises NotAuthenticated."""
    try:
        listed = strict_object(text).get("keys")
    except NotStrict as e:
        raise NotAuthenticated(f"the key set {e}") from e
    if not isinstance(listed, list) or len(cast(list[object], listed)) > MAX_KEYS:
        raise NotAuthenticated(f"the key set has no list of at most {MAX_KEYS} keys")
    found = [known for one in cast(list[object], listed) if isinstance(one, dict) and (known := _known(cast(Any, one)))]
    if not found:
        raise NotAuthenticated("the key set holds no public key for signatures")
    return tuple(found)


def _known(fields: Mapping[str, object]) -> Known | None:
    kind, key_id = fields.get("kty"), fields.get("kid", "")
    if kind not in _KINDS or fields.get("use", "sig") != "sig" or not isinstance(key_id, str):
        return None
    made, names = _KINDS[str(kind)]
    public: Any = {name: fields.get(name) for name in names}  # not what is private, should somebody show that
    if len(key_id) > MAX_KEY_ID or not all(isinstance(value, str) for value in public.values()):
        return None
    try:
        if kind == "RSA" and not _RSA_CHARS[0] <= len(public["n"]) <= _RSA_CHARS[1]:
            return None
        key = made.import_key(public)
    except (JoseError, ValueError, TypeError, OverflowError):
        return None
    algorithm = fields.get("alg", "")
    curve = str(public.get("crv", ""))
    return Known(key_id=key_id, kind=str(kind), curve=curve, algorithm=str(algorithm), key=key)
