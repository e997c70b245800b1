# SPDX-License-Identifier: Apache-2.0
"""Settings to log-ins: who can log in, where that is kept, and how it all stands."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from onrecord.errors import ConfigError, KeyFileError, NotAuthenticated, OnRecordError
from onrecord.ledger.keys import read_digest_key
from onrecord.ledger.keystore import Keystore
from onrecord.ledger.place import Home
from onrecord.people import TOKEN, issuer_in, shown_at, token_file_of
from onrecord.rules.principal import LEEWAY_S, check_claims
from onrecord.settings import IdentitySettings, Loaded

if TYPE_CHECKING:
    from onrecord.identity.kept import Store
    from onrecord.identity.login import Holding, Login

State = Literal["ok", "warn", "fail"]


class Status(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a log-in stands. Times are in seconds since 1970, 0 where there is none; `why` says what is wrong."""

    issuer: str
    client_id: str
    token_file: str
    holds: bool
    why: str = ""
    user_id: str = ""
    expires_s: int = 0
    refreshable: bool = False
    kept_in: str = ""
    logged_in_s: int = 0
    refreshed_s: int = 0
    cut_off_s: int = 0


class Parts(NamedTuple):
    """The log-in of a home, and where it is kept."""

    login: "Login"
    store: "Store"


def build_login(
    home: Home, loaded: Loaded, say: Callable[[str], None], environ: Mapping[str, str] = os.environ
) -> Parts:
    """Return the log-in of `home`. Raises ConfigError where the settings name no issuer or no client."""
    settings = loaded.settings.identity
    if not settings.issuer or not settings.client_id:
        where = loaded.path or home.config
        needed = ("issuer", "jwks", "client_id")
        missing = ", ".join(f"identity.{name}" for name in needed if not getattr(settings, name))
        raise ConfigError(f"{where}: nobody can log in: set {missing}")
    if environ.get(TOKEN):
        raise ConfigError(f"{TOKEN} is set, and would count in place of a log-in; unset it")
    try:
        from onrecord.identity.kept import Store
        from onrecord.identity.login import Login
    except ModuleNotFoundError as e:
        raise ConfigError(f"{loaded.path}: identity needs joserfc: pip install 'onrecord[identity]'") from e
    base = loaded.path.parent if loaded.path else Path()
    file = token_file_of(home, loaded, environ)
    assert file is not None  # there is a client
    store = Store(home.login, file)
    login = Login(
        store,
        issuer_in(settings, settings.issuer, settings.jwks, base),
        client_id=settings.client_id,
        audience=settings.meant_for,
        scopes=settings.login_scopes,
        clock=time.time,
        say=say,
    )
    return Parts(login, store)


def status(home: Home, loaded: Loaded, parts: Parts) -> Status:
    """Say how the log-in stands. The issuer's keys may be asked for. Raises KeyFileError."""
    settings, kept = loaded.settings.identity, parts.store.read()
    holding, why = _held(parts)
    return Status(
        issuer=settings.issuer,
        client_id=settings.client_id,
        token_file=str(parts.store.token_file),
        holds=holding is not None,
        why=why or (kept.over if kept else ""),
        user_id=_pseudonym(home, loaded, holding) if holding else "",
        expires_s=int(holding.expires_s) if holding else 0,
        refreshable=kept is not None and bool(kept.refresh_token),
        kept_in=str(parts.store.file) if kept else "",
        logged_in_s=int(kept.logged_in_s) if kept else 0,
        refreshed_s=int(kept.refreshed_s) if kept else 0,
        cut_off_s=int(kept.begun_s) if kept else 0,
    )


def _held(parts: Parts) -> "tuple[Holding | None, str]":
    from onrecord.identity.bearer import in_file

    bearer = in_file(parts.store.token_file)
    try:
        bearer.version()
        return parts.login.verified(bearer.read()), ""
    except NotAuthenticated as e:
        return None, str(e)


def standing(
    home: Home, loaded: Loaded, environ: Mapping[str, str] = os.environ, clock: Callable[[], float] = time.time
) -> Iterator[tuple[State, str]]:
    """Say how well it can be known who calls: each thing that was looked at, with what was found."""
    settings = loaded.settings.identity
    if not settings.issuer:
        yield "ok", "identity.issuer is not set: who calls is the account"
        return
    try:
        from onrecord.identity.keys import keys_in
    except ModuleNotFoundError:
        yield "fail", "identity needs joserfc: pip install 'onrecord[identity]'"
        return
    base = loaded.path.parent if loaded.path else Path()
    for name, place in ((settings.issuer, settings.jwks), (settings.call_issuer, settings.call_jwks)):
        if place:
            try:
                shown, date = shown_at(place, base)
                number = len(keys_in(shown))
                yield "ok", f"{name} shows {number} {'key' if number == 1 else 'keys'} at {place}"
            except (OnRecordError, OSError) as e:
                why = (os.strerror(e.errno or 0)).lower() if isinstance(e, OSError) else str(e)
                yield "fail", f"the keys of {name} cannot be had, and calls with its tokens are refused: {why}"
            else:
                yield from _skew(name, date, clock())
    if settings.client_id:
        yield from _ways_in(settings)
    yield from _token(home, loaded, environ)


def _skew(issuer: str, date: str, now_s: float) -> Iterator[tuple[State, str]]:
    try:
        apart_s = now_s - parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return  # a file, or a server without a clock
    if abs(apart_s) >= LEEWAY_S:
        side = "ahead of" if apart_s > 0 else "behind"
        text = (
            f"the clock here is {abs(apart_s):.0f} s {side} that of {issuer}; tokens are refused from {LEEWAY_S} s on"
        )
        yield "fail", text
    else:
        yield ("ok" if abs(apart_s) < LEEWAY_S / 3 else "warn"), f"the clocks are {abs(apart_s):.0f} s apart"


def _ways_in(settings: IdentitySettings) -> Iterator[tuple[State, str]]:
    from onrecord.identity.provider import discovered

    try:
        provider = discovered(settings.issuer)
    except OnRecordError as e:
        yield "fail", f"nobody can log in: {e}"
        return
    yield "ok", f"people can log in as client {settings.client_id}: onrecord login"
    if "://" in settings.jwks and provider.jwks != settings.jwks:
        yield "warn", "the issuer says that its keys are elsewhere than identity.jwks says"


def _token(home: Home, loaded: Loaded, environ: Mapping[str, str]) -> Iterator[tuple[State, str]]:
    settings, file = loaded.settings.identity, token_file_of(home, loaded, environ)
    if file is None:
        others = "is refused" if settings.required else "is that of the account"
        yield "ok", f"no file of an ID token is set; a call that is not signed {others}"
        return
    if settings.client_id and not environ.get(TOKEN):
        parts = build_login(home, loaded, lambda _: None, environ)
        found = status(home, loaded, parts)
        expires_s, why = found.expires_s, found.why
        if found.holds and not found.refreshable:
            yield "warn", "the log-in has no refresh token: it ends with the ID token"
        if found.cut_off_s:
            yield "warn", "a refresh was cut off; onrecord login --refresh shows whether the log-in still holds"
    else:
        expires_s, why = _expiry(loaded, file)
    if expires_s:
        yield "ok", f"the ID token in {file} holds for {(expires_s - time.time()) / 60:.0f} min"
    else:
        yield "fail", f"calls that are not signed are refused: {why}"


def _expiry(loaded: Loaded, file: Path) -> tuple[float, str]:
    """Return when the ID token in a file ends, or why it does not hold."""
    from onrecord.identity.bearer import in_file
    from onrecord.identity.identity import ID_TYPES
    from onrecord.identity.token import opened

    settings = loaded.settings.identity
    base = loaded.path.parent if loaded.path else Path()
    issuer, bearer = issuer_in(settings, settings.issuer, settings.jwks, base), in_file(file)
    try:
        bearer.version()
        claims = opened(bearer.read(), issuer.keys, issuer.algorithms, types=ID_TYPES).claims
        return check_claims(claims, issuer=issuer.name, audience=settings.meant_for, now_s=time.time()), ""
    except NotAuthenticated as e:
        return 0.0, str(e)


def _pseudonym(home: Home, loaded: Loaded, holding: "Holding") -> str:
    """Return who that is on the record, "" where there is nothing of them yet."""
    try:
        keystore = Keystore(home, read_digest_key(home))
        settings = loaded.settings
        return keystore.find(tenant=settings.tenant, source=settings.identity.issuer, subject=holding.subject) or ""
    except KeyFileError:
        return ""
