# SPDX-License-Identifier: Apache-2.0
"""Settings to log-ins: who can log in, where that is kept, and how it all stands."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from onrecord.errors import ConfigError, KeyFileError, NotAuthenticated
from onrecord.ledger.keys import read_digest_key
from onrecord.ledger.keystore import Keystore
from onrecord.ledger.place import Home
from onrecord.people import TOKEN, build_issuer, token_file_of
from onrecord.settings import Loaded

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
        raise ConfigError(f"{where}: nobody can log in: set identity.issuer, identity.jwks and identity.client_id")
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
        build_issuer(settings, settings.issuer, settings.jwks, base),
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


def _pseudonym(home: Home, loaded: Loaded, holding: "Holding") -> str:
    """Return who that is on the record, "" where there is nothing of them yet."""
    try:
        keystore = Keystore(home, read_digest_key(home))
        settings = loaded.settings
        return keystore.find(tenant=settings.tenant, source=settings.identity.issuer, subject=holding.subject) or ""
    except KeyFileError:
        return ""
