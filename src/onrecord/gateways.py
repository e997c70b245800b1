# SPDX-License-Identifier: Apache-2.0
"""Settings to the gateway's ways in and on: who may come in to which server, and the credentials for each.

Secrets are read here, once, from a variable or from a file that its owner alone can read. No message holds one.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from onrecord.doors.http_access import HttpAccess, Names, Place
from onrecord.doors.http_telling import Refusals
from onrecord.doors.upstream_auth import Client, Fixed, Granted, UpstreamAuth
from onrecord.errors import ConfigError, NoCredentials
from onrecord.event.call import Actor, Sender
from onrecord.gateway_settings import UpstreamSettings
from onrecord.guard import Guard
from onrecord.ledger.smallfile import NotSmall, read_small
from onrecord.people import forget_tokens
from onrecord.settings import Loaded, Settings

_MAX_SECRET = 16 * 1024  # characters
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, 2.1
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def build_access(loaded: Loaded, guard: Guard, *, port: int | None = None) -> HttpAccess:
    """Return who may come in. `guard` is the one that decides on the calls; `port` the one that was got, if any.

    Raises ConfigError where there is nothing behind the gateway.
    """
    settings, base = loaded.settings, base_of(loaded.settings, port)
    if not settings.upstream:
        raise ConfigError(f"{loaded.path or 'the settings'}: no [[upstream]] says what is behind the gateway")
    return HttpAccess(
        [place_of(one, base) for one in settings.upstream],
        names_of(settings, base, port),
        tokens=settings.gateway.tokens,
        anybody=Actor(tenant_id=settings.tenant),
        base=base,
        issuer=settings.identity.issuer,
        identity=None if settings.gateway.tokens == "off" else guard.identity,
    )


def base_of(settings: Settings, port: int | None = None) -> str:
    """Return what clients call, without a path; `port` is the one that was got, where any was asked for."""
    if settings.gateway.public_url:
        return settings.gateway.public_url
    host, named = settings.gateway.address
    return f"http://{_at(host, port or named)}"


def called_at(settings: Settings, port: int | None = None) -> dict[str, str]:
    """Return the URL at which clients call each server, by its name; `port` as for `base_of`."""
    base = base_of(settings, port)
    return {one.name: place_of(one, base).resource for one in settings.upstream}


def place_of(upstream: UpstreamSettings, base: str) -> Place:
    """Return a server as callers see it."""
    resource = base + upstream.place
    return Place(
        server_id=upstream.name,
        path=upstream.place,
        resource=resource,
        audience=upstream.audience or resource,
        scopes=upstream.scopes,
        further=frozenset(name.lower().encode() for name in upstream.headers),
    )


def names_of(settings: Settings, base: str, port: int | None = None) -> Names:
    """Return what the gateway is called: by `base`, by the settings, and on this machine by its port."""
    gateway = settings.gateway
    host, named = gateway.address
    here = {_at(name, port or named) for name in (*_LOOPBACK, host)}
    hosts = {urlsplit(base).netloc, *here, *gateway.allowed_hosts}
    origins = {base, *(f"http://{one}" for one in here), *gateway.allowed_origins}
    origins |= {f"{scheme}://{one}" for scheme in ("http", "https") for one in gateway.allowed_hosts}
    return Names(hosts=frozenset(hosts), origins=frozenset(origins))


def build_upstream_auth(
    loaded: Loaded, environ: Mapping[str, str] = os.environ, refused: Refusals | None = None
) -> dict[str, UpstreamAuth]:
    """Return the credentials for each server behind the gateway, by its name. Raises ConfigError.

    `refused` records it where there are none.
    """
    return {one.name: _auth_of(one, loaded, environ, refused) for one in loaded.settings.upstream}


def forget_secrets(upstreams: Sequence[UpstreamSettings]) -> None:
    """Take the secrets for `upstreams` out of what this process hands on, and shows of itself."""
    names = (name for one in upstreams for name in (one.token_env, one.client_secret_env) if name)
    forget_tokens(*names)


def gateway_url_for(url: str, settings: Settings) -> str | None:
    """Return where the gateway answers for the server at `url`, so that a client may be pointed there, else None.

    None as well where nothing says with what the gateway goes on to that server: the client's own credentials would be
    missing there, since they are never passed through. Of several that fit the first counts.
    """
    for one in settings.upstream:
        if _same(one.url, url) and (one.kind != "none" or one.credentials == "none"):
            return base_of(settings) + one.place
    return None


def is_own(url: str, settings: Settings) -> bool:
    """Say whether `url` is one at which the gateway answers for a server."""
    return any(_same(base_of(settings) + one.place, url) for one in settings.upstream)


def _auth_of(
    upstream: UpstreamSettings, loaded: Loaded, environ: Mapping[str, str], refused: Refusals | None
) -> UpstreamAuth:
    where = f"{loaded.path}: upstream {upstream.name}"
    base = loaded.path.parent if loaded.path else Path()
    if upstream.kind == "none":
        return Fixed()
    if upstream.kind == "token":
        token = _secret(upstream.token_env, upstream.token_file, base, environ, f"{where}: token")
        if upstream.header:
            return Fixed({upstream.header: token})
        if not _BEARER.fullmatch(token):
            raise ConfigError(f"{where}: token: it is no bearer token: one word of letters, digits and ._~+/-")
        return Fixed({"Authorization": f"Bearer {token}"})
    secret = _secret(upstream.client_secret_env, upstream.client_secret_file, base, environ, f"{where}: client_secret")
    client = Client(
        token_url=upstream.token_url,
        client_id=upstream.client_id,
        secret=secret,
        in_form=upstream.client_auth == "post",
        scope=upstream.scope,
        resource=upstream.resource,
        target=upstream.target,
    )

    def failed(error: NoCredentials, sender: Sender | None) -> None:
        if refused is not None:
            refused.without_credentials(error, upstream.name, sender)

    return Granted(client, exchange=upstream.exchange, failed=failed)


def _secret(variable: str, file: str, base: Path, environ: Mapping[str, str], where: str) -> str:
    """Return the secret in a variable or a file. Raises ConfigError, which says `where` and nothing of the secret."""
    if variable:
        text, source = environ.get(variable, ""), f"{where}_env: {variable}"
    else:
        text, source = _in_file(base / Path(file).expanduser(), f"{where}_file"), f"{where}_file"
    text = text.strip()
    if not text:
        raise ConfigError(f"{source} holds nothing")
    if not text.isascii() or not text.isprintable() or len(text) > _MAX_SECRET:
        raise ConfigError(f"{source} holds characters that cannot be sent, or too many")
    return text


def _in_file(path: Path, where: str) -> str:
    try:
        if os.name != "nt" and path.stat().st_mode & 0o077:
            raise ConfigError(f"{where} can be read by others; chmod 600 mends that")
        return read_small(path, _MAX_SECRET + 2).decode("ascii")
    except OSError as e:
        raise ConfigError(f"{where} cannot be read: {os.strerror(e.errno or 0).lower()}") from e
    except (NotSmall, UnicodeDecodeError) as e:
        raise ConfigError(f"{where} holds no secret") from e


def _same(one: str, other: str) -> bool:
    """Say whether two URLs lead to the same place, however host and default port are written."""
    try:
        return _place(one) == _place(other)
    except ValueError:
        return False


def _place(url: str) -> tuple[str, str, int | None, str, str]:
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), port, parts.path.rstrip("/"), parts.query


def _at(host: str, port: int) -> str:
    """Return host and port as clients of HTTP write them."""
    host = f"[{host}]" if ":" in host else host.lower()
    return host if port == 80 else f"{host}:{port}"
