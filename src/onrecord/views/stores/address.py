# SPDX-License-Identifier: Apache-2.0
"""Where a store is, as a URL says it, without a secret in it.

    clickhouse://USER@HOST:8443/DATABASE      over HTTPS; to this machine over HTTP, port 8123
    postgresql://USER@HOST:5432/DATABASE      over TLS that is verified; to this machine without
    postgresql://USER@/DATABASE?host=/run/postgresql

A password stands in no URL: a command line can be read by others, and settings are shown. It comes from a variable of
the environment or from a file that only this account can read.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

from onrecord.errors import ConfigError
from onrecord.ledger.post import is_this_machine
from onrecord.ledger.smallfile import NotSmall, read_small

Kind: TypeAlias = Literal["clickhouse", "postgresql"]

PASSWORD = "ONRECORD_STORE_PASSWORD"  # noqa: S105 - the name of a variable
_KINDS = ("clickhouse", "postgresql")
_DATABASE = {"clickhouse": "default", "postgresql": "postgres"}
_PORT = {"clickhouse": (8443, 8123), "postgresql": (5432, 5432)}  # with TLS, and without
_LONGEST = 4096  # bytes of a password


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A store: where it is, as whom it is asked, and what it takes to get in. `socket` is a folder, for PostgreSQL."""

    kind: Kind
    host: str
    port: int
    database: str
    user: str
    tls: bool
    socket: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""

    def __str__(self) -> str:
        """Return where it is. A port is named where it is another one than usual, and nobody's password is."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.socket or self.port in _PORT[self.kind] else f":{self.port}"
        return f"{self.kind}://{self.socket or host}{port}/{self.database}"

    @property
    def digest(self) -> str:
        """What names this store among the files of a home."""
        where = f"{self.kind}://{self.host}:{self.port}/{self.socket}/{self.database}"
        return sha256(where.encode()).hexdigest()[:16]


def read_address(url: str, *, password: str = "", ca_file: str = "") -> Address:
    """Return what a URL says. Raises ConfigError, which never repeats it: somebody may have put a secret there."""
    try:
        parts = urlsplit(url)
        port = parts.port
        query = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
    except ValueError as e:
        raise ConfigError("the URL of the store is malformed") from e
    if parts.scheme not in _KINDS:
        raise ConfigError("the URL of a store begins with clickhouse:// or postgresql://")
    if parts.password is not None:
        raise ConfigError(f"the URL of a store holds no password; put it into {PASSWORD}, or store.password_file")
    kind: Kind = parts.scheme
    socket = query.pop("host", [""])[0] if kind == "postgresql" else ""
    if query or parts.fragment or (socket and (parts.hostname or not socket.startswith("/"))):
        raise ConfigError("the URL of a store has no parameters, but for host=/FOLDER of PostgreSQL's socket")
    host = parts.hostname or ("" if socket else "localhost")
    tls = not socket and not is_this_machine(host)
    return Address(
        kind=kind,
        host=host,
        port=port or _PORT[kind][0 if tls else 1],
        database=unquote(parts.path.strip("/")) or _DATABASE[kind],
        user=unquote(parts.username or ""),
        tls=tls,
        socket=socket,
        password=password,
        ca_file=ca_file,
    )


def read_password(file: str, folder: Path, environ: Mapping[str, str] = os.environ) -> str:
    """Return the password of a store: from `file`, seen from `folder`, if one is set, else from the environment.

    Raises ConfigError where the file can't be read, or can be read by others.
    """
    if not file:
        return environ.get(PASSWORD, "")
    path = folder / file
    try:
        if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigError(f"{path}: other accounts can read it; run: chmod 600 {path}")
        return read_small(path, _LONGEST).decode().rstrip("\r\n")
    except OSError as e:
        raise ConfigError(f"{path}: cannot be read: {os.strerror(e.errno or 0).lower()}") from e
    except (NotSmall, UnicodeDecodeError) as e:
        raise ConfigError(f"{path}: is no file of a password") from e
