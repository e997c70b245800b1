# SPDX-License-Identifier: Apache-2.0
"""Which configurations there are on this machine.

A project is the folder that one is in, and no other. The places for macOS and Windows are as documented, and were
never tried there.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from onrecord.clients.known import CLIENTS, GENERIC, Client


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A file that a client reads, or would."""

    client: Client
    path: Path
    shared: bool = False  # it lies in a project, and others may read it too


def folders(home: Path, environ: Mapping[str, str], platform: str = sys.platform) -> dict[str, str]:
    """Return what the templates of places stand for."""
    if platform == "win32":
        config = environ.get("APPDATA") or str(home / "AppData" / "Roaming")
        zed = f"{config}/Zed"
    elif platform == "darwin":
        config, zed = str(home / "Library" / "Application Support"), str(home / ".config" / "zed")
    else:
        config = environ.get("XDG_CONFIG_HOME") or str(home / ".config")
        zed = f"{config}/zed"
    return {
        "home": str(home),
        "config": config,
        "zed": zed,
        "claude": environ.get("CLAUDE_CONFIG_DIR") or str(home),
        "codex": environ.get("CODEX_HOME") or str(home / ".codex"),
        "copilot": environ.get("COPILOT_HOME") or str(home / ".copilot"),
    }


def places(client: Client, known: Mapping[str, str]) -> Iterator[str]:
    """Yield where a client looks for what is a person's own; a place may hold `*`."""
    for template in client.files:
        yield template.format_map(known)


def configurations(home: Path, project: Path, environ: Mapping[str, str] = os.environ) -> list[Configuration]:
    """Return the configurations that are there: those of a person, and those of the project in a folder."""
    known = folders(home, environ)
    found: dict[str, Configuration] = {}
    for client in CLIENTS:
        for place in places(client, known):
            here = sorted(glob(place)) if "*" in place else [place]
            for one in here:
                _add(found, Configuration(client=client, path=Path(one)))
        for place in client.project:
            _add(found, Configuration(client=client, path=project / place, shared=True))
    return list(found.values())


def _add(found: dict[str, Configuration], one: Configuration) -> None:
    """Add what is there, once; a link that leads nowhere is there, and said to be broken when it is read."""
    if os.path.lexists(one.path):
        found.setdefault(os.path.realpath(one.path), one)


def named(path: Path, home: Path, environ: Mapping[str, str] = os.environ) -> Configuration:
    """Return the configuration at a path that somebody gave: that of the client that has its place or its form."""
    path = path.absolute()
    known = folders(home, environ)
    for client in CLIENTS:
        if any(path.match(place) for place in places(client, known)):
            return Configuration(client=client, path=path)
        if any(path.match(f"*/{place}") for place in client.project):
            return Configuration(client=client, path=path, shared=True)
    toml = next(client for client in CLIENTS if client.form == "toml")
    return Configuration(client=toml if path.suffix == ".toml" else GENERIC, path=path)
