# SPDX-License-Identifier: Apache-2.0
"""`[gateway]` and `[[upstream]]` of `onrecord.toml`: where the gateway listens, who may come in, and what is behind it.

Secrets are named here, by a variable or a file, and never written here. Nothing is built and nothing is read.
"""

import re
from collections.abc import Sequence
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from onrecord.doors.http_fields import is_host, is_kept_back, is_origin
from onrecord.errors import ConfigError
from onrecord.ledger.post import check_url, is_this_machine
from onrecord.measures import BYTES, SECONDS, measure
from onrecord.rules.server_id import fault_in

OWN_PATHS = ("/.well-known", "/healthz", "/readyz")
"""What the gateway answers itself; nothing behind it can lie there."""

_FEW = 4  # requests that one caller may have open, where half of a small number would be fewer
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # of what every server may be called, what a path can be
_PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
_SCOPE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]{1,200}")  # RFC 6749, 3.3
_FIELD = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")  # RFC 9110, 5.6.2
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TEXT = re.compile(r"[\x21-\x7E]{1,512}")  # an id of a client, a resource, an audience

# Fields that a credential can't stand in: they steer the connection, or say what a message is.
_NOT_CREDENTIALS = re.compile(
    r"host|connection|content-.*|transfer-encoding|te|trailer|upgrade|expect|keep-alive|proxy-.*|mcp-.*|accept.*|"
    r"forwarded|x-forwarded-.*|cookie|traceparent|tracestate|baggage|last-event-id|origin"
)


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[gateway]`: where it listens, what clients call it, who may come in, and how much at once."""

    listen: str = "127.0.0.1:8300"
    public_url: str = ""  # what clients call; empty means http:// and `listen`
    tokens: Literal["required", "optional", "off"] = "required"
    anonymous: bool = False
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    max_body: str = "16MiB"
    max_bodies: str = "256MiB"
    max_open: int = 2000
    max_open_of_one: int = 0  # 0 is half of max_open
    read_timeout: str = "30s"
    write_timeout: str = "30s"
    drain: str = "30s"

    @property
    def address(self) -> tuple[str, int]:
        """The host and the port to listen at. Raises ConfigError."""
        host, colon, port = self.listen.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not colon or not host or not re.fullmatch(r"\d{1,5}", port) or int(port) > 65535:
            raise ConfigError("gateway.listen: give an address and a port, as in 127.0.0.1:8300 or [::1]:8300")
        return host, int(port)

    @property
    def max_body_bytes(self) -> int:
        return int(measure(self.max_body, BYTES, "gateway.max_body"))

    @property
    def max_bodies_bytes(self) -> int:
        return int(measure(self.max_bodies, BYTES, "gateway.max_bodies"))

    @property
    def bodies_of_one_bytes(self) -> int:
        """What the bodies of one caller may take of `max_bodies`: one body in any case."""
        return max(self.max_bodies_bytes // 2, self.max_body_bytes)

    @property
    def open_of_one(self) -> int:
        """How many requests of one caller may be open."""
        return self.max_open_of_one or max(self.max_open // 2, min(self.max_open, _FEW))

    @property
    def read_timeout_s(self) -> float:
        return measure(self.read_timeout, SECONDS, "gateway.read_timeout")

    @property
    def write_timeout_s(self) -> float:
        return measure(self.write_timeout, SECONDS, "gateway.write_timeout")

    @property
    def drain_s(self) -> float:
        return measure(self.drain, SECONDS, "gateway.drain")

    def check(self, upstreams: Sequence["UpstreamSettings"], *, issuer: str) -> None:
        """Raise ConfigError for what can't work, whatever is on disk. `issuer` is that of `[identity]`."""
        if not upstreams:
            if self != GatewaySettings():
                raise ConfigError("[gateway] is set, but no [[upstream]] says what is behind it")
            return
        _ = self.max_body_bytes, self.read_timeout_s, self.write_timeout_s, self.drain_s
        if not 1 <= self.max_open <= 100_000:
            raise ConfigError("gateway.max_open: give a number from 1 to 100000")
        if not 0 <= self.max_open_of_one <= self.max_open:
            raise ConfigError("gateway.max_open_of_one: give a number up to gateway.max_open; 0 is half of it")
        if self.max_bodies_bytes < self.max_body_bytes:
            raise ConfigError("gateway.max_bodies is less than gateway.max_body, which one body may take")
        self._check_place()
        self._check_names()
        if self.tokens != "off" and not issuer:
            raise ConfigError(
                f'gateway.tokens is "{self.tokens}", but identity.issuer is empty, so no token can be believed; '
                'set it, or tokens = "off"'
            )
        for number, one in enumerate(upstreams, 1):
            one.check(f"upstream {number}", tokens=self.tokens)
        for what in ("name", "place"):
            known = [getattr(one, what) for one in upstreams]
            if len(set(known)) != len(known):
                raise ConfigError(f"two of [[upstream]] have the same {'path' if what == 'place' else what}")

    def _check_place(self) -> None:
        """Raise ConfigError unless who comes in is known, or anybody is let in on purpose, and tokens stay private."""
        host, _ = self.address
        here, open_to_all = is_this_machine(host), self.tokens != "required"
        if not here and open_to_all and not self.anonymous:
            raise ConfigError(
                f'gateway.listen is more than this machine, and gateway.tokens is "{self.tokens}": anybody who reaches '
                'it could call; set tokens = "required", or say anonymous = true'
            )
        if self.anonymous and not open_to_all:
            raise ConfigError('gateway.anonymous is true, but gateway.tokens is "required"; only one of them can hold')
        if not self.public_url and not here:
            raise ConfigError("gateway.public_url is empty; where gateway.listen is more than this machine, give it")
        try:
            if self.public_url:
                check_url(self.public_url, plain=self.tokens == "off")
        except ConfigError as e:
            raise ConfigError(f"gateway.public_url: {e}") from e
        if self.public_url and not is_origin(self.public_url):
            raise ConfigError("gateway.public_url: give a scheme, a host and a port in lower case, and nothing behind")

    def _check_names(self) -> None:
        for number, one in enumerate(self.allowed_hosts, 1):
            if not is_host(one):
                raise ConfigError(
                    f"gateway.allowed_hosts {number}: give a host in lower case, and a port where it has one"
                )
        for number, one in enumerate(self.allowed_origins, 1):
            if not is_origin(one):
                raise ConfigError(
                    f"gateway.allowed_origins {number}: an origin is a scheme, a host and a port in lower case"
                )


class UpstreamSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[upstream]]`: one server behind the gateway, who may come in to it, and with what the gateway goes on."""

    name: str
    url: str
    path: str = ""  # empty means / and the name
    scopes: tuple[str, ...] = ()
    audience: str = ""  # what callers' tokens must be meant for; empty means the URL that they call
    headers: tuple[str, ...] = ()  # further fields of the caller's that go on
    allow_http: bool = False
    credentials: Literal["", "none"] = ""
    token_env: str = ""
    token_file: str = ""
    header: str = ""
    client_id: str = ""
    client_secret_env: str = ""
    client_secret_file: str = ""
    client_auth: Literal["basic", "post"] = "basic"
    token_url: str = ""
    scope: tuple[str, ...] = ()
    resource: str = ""
    target: str = ""
    exchange: bool = False

    @property
    def place(self) -> str:
        """The path at which clients call it."""
        return self.path or f"/{self.name}"

    @property
    def kind(self) -> Literal["none", "token", "client", "exchange"]:
        """With what the gateway goes on."""
        if self.exchange:
            return "exchange"
        return "token" if self.token_env or self.token_file else "client" if self.client_id else "none"

    def check(self, where: str, *, tokens: str) -> None:
        """Raise ConfigError, which says `where`, for what can't work; `tokens` are those of `[gateway]`."""
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"{where}: name: use up to 64 letters, digits and ._- that begin with a letter or digit")
        if why := fault_in(self.name):
            raise ConfigError(f"{where}: name: {why}")
        where = f"{where} ({self.name})"
        own = any(self.place == one or self.place.startswith(f"{one}/") for one in OWN_PATHS)
        if not _PATH.fullmatch(self.place) or own:
            raise ConfigError(f"{where}: path: give one such as /files; {', '.join(OWN_PATHS)} are the gateway's own")
        try:
            check_url(self.url, plain=self.allow_http)
        except ConfigError as e:
            raise ConfigError(f"{where}: url: {e}") from e
        if self.allow_http and self.kind != "none" and not is_private(self.url):
            raise ConfigError(f"{where}: credentials are only sent over https:// or to this machine")
        if not all(_SCOPE.fullmatch(one) for one in (*self.scopes, *self.scope)):
            raise ConfigError(f"{where}: a scope is one word, without quotes and backslashes")
        if (self.scopes or self.audience) and tokens == "off":
            raise ConfigError(f'{where}: scopes and audience are those of tokens, but gateway.tokens is "off"')
        for name in ("audience", "client_id", "resource", "target"):
            if (value := getattr(self, name)) and not _TEXT.fullmatch(value):
                raise ConfigError(f"{where}: {name} holds characters that cannot be sent, or is too long")
        if not all(_FIELD.fullmatch(one) and not is_kept_back(one.lower().encode()) for one in self.headers):
            raise ConfigError(f"{where}: headers: give names of fields; some never go on, credentials among them")
        self._check_credentials(where, tokens)

    def _check_credentials(self, where: str, tokens: str) -> None:
        """Raise ConfigError unless there is one kind of credential, whole, or none."""
        static = [name for name in ("token_env", "token_file", "header") if getattr(self, name)]
        secrets = [name for name in ("client_secret_env", "client_secret_file") if getattr(self, name)]
        asking = [name for name in ("client_id", "token_url", "scope", "resource", "target") if getattr(self, name)]
        asking += [*secrets, *(["exchange"] if self.exchange else [])]
        if self.credentials == "none" and (static or asking):
            raise ConfigError(f'{where}: credentials = "none", but {(static + asking)[0]} is set')
        if static and asking:
            raise ConfigError(f"{where}: {static[0]} and {asking[0]} are two ways to go on; use one")
        if static and bool(self.token_env) == bool(self.token_file):
            raise ConfigError(f"{where}: give the token in token_env or token_file, one of them")
        if self.header and (not _FIELD.fullmatch(self.header) or _NOT_CREDENTIALS.fullmatch(self.header.lower())):
            raise ConfigError(f"{where}: header: no credential can stand in a field of that name")
        for name in ("token_env", "client_secret_env"):
            if (value := getattr(self, name)) and not _VARIABLE.fullmatch(value):
                raise ConfigError(f"{where}: {name} is no name of a variable; the secret itself must not stand here")
        if not asking:
            return
        if not self.client_id or not self.token_url or len(secrets) != 1:
            raise ConfigError(
                f"{where}: client_id, token_url, and client_secret_env or client_secret_file, one of them, go together"
            )
        try:
            check_url(self.token_url, plain=False)
        except ConfigError as e:
            raise ConfigError(f"{where}: token_url: {e}") from e
        if self.exchange and tokens == "off":
            raise ConfigError(f'{where}: exchange needs callers\' tokens, but gateway.tokens is "off"')


def is_private(url: str) -> bool:
    """Say whether what is sent to `url` can be read by nobody on the way."""
    parts = urlsplit(url)
    return parts.scheme == "https" or is_this_machine(parts.hostname or "")
