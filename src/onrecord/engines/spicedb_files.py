# SPDX-License-Identifier: Apache-2.0
"""What SpiceDB's engine needs and no setting holds: the token that proves who asks, and certificates to believe.

The token comes from a variable or a private file, is read when a process starts, and stays in its memory.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from onrecord.doors.protocol import CALLS
from onrecord.engines.spicedb import LONGEST_TOKEN, SpiceDb
from onrecord.errors import ConfigError
from onrecord.ledger.smallfile import MAX_KEYS, NotSmall, read_small
from onrecord.rules.relations import Relations


def open_spicedb(
    url: str,
    relations: Relations,
    manifest: bytes,
    resources: Iterable[str],
    *,
    base: Path,
    environ: Mapping[str, str],
    timeout_s: float,
) -> SpiceDb:
    """Return the engine; files are seen from `base`, and `resources` are the manifest's templates.

    Raises ConfigError, which names the setting.
    """
    try:
        relations.check_methods({*CALLS, "request"})
        relations.check_resources(resources)
    except ValueError as e:
        raise ConfigError(f"policy.spicedb: {e}") from e
    roots = _read(base, relations.roots, "roots", MAX_KEYS) if relations.roots else None
    token = _token(relations, base, environ)
    return SpiceDb(url, relations, manifest, token=token, timeout_s=timeout_s, roots=roots)


def _token(relations: Relations, base: Path, environ: Mapping[str, str]) -> str:
    token, file = environ.get(relations.token_env, ""), relations.token_file
    if token and file:
        raise ConfigError(f"policy.spicedb: the token is given twice: in {relations.token_env}, and in token_file")
    if file:
        token = _read(base, file, "token_file", LONGEST_TOKEN, private=True).decode("ascii", "replace").strip()
    if not token:
        raise ConfigError(f"policy.spicedb: there is no token: set {relations.token_env}, or token_file")
    return token


def _read(base: Path, name: str, key: str, limit: int, *, private: bool = False) -> bytes:
    file, where = base / Path(name).expanduser(), f"policy.spicedb.{key}"
    try:
        if private and os.name != "nt" and file.stat().st_mode & 0o077:
            raise ConfigError(f"{where}: {file} can be read by others; chmod 600 mends that")
        return read_small(file, limit)
    except OSError as e:
        raise ConfigError(f"{where}: cannot read {file}: {os.strerror(e.errno or 0).lower()}") from e
    except NotSmall as e:
        raise ConfigError(f"{where}: {e}") from e
