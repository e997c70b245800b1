# SPDX-License-Identifier: Apache-2.0
"""How this onrecord would stand in the configurations of clients, and which of their servers bypass the record."""

import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from onrecord.clients.changing import Surveyed, survey
from onrecord.clients.finding import Configuration, configurations
from onrecord.clients.wrapping import Gateway, Look, Wrapper
from onrecord.errors import CommandError, ConfigError
from onrecord.gateways import gateway_url_for, is_own
from onrecord.ledger.place import Home
from onrecord.settings import Settings, load

Standing: TypeAlias = tuple[Literal["ok", "warn", "fail"], str]


def gateway_of(settings: Settings) -> Gateway:
    """Return what configurations need to know of the gateway."""
    return Gateway(url_for=lambda url: gateway_url_for(url, settings), is_own=lambda url: is_own(url, settings))


def wrapper(home: Home, command: str | None = None, environ: Mapping[str, str] = os.environ) -> Wrapper:
    """Return how a configuration starts this onrecord, from wherever it is started. Raises CommandError."""
    moved = environ.get("ONRECORD_HOME") or environ.get("XDG_DATA_HOME")  # a client may know neither
    return Wrapper(command=command or _own_command(), home=str(home.path) if moved else "")


def _own_command() -> str:
    """Return the whole path of the onrecord that runs; of a link, that of the link, which outlives an upgrade."""
    beside = Path(sysconfig.get_path("scripts")) / ("onrecord.exe" if os.name == "nt" else "onrecord")
    for path in (Path(sys.argv[0]), beside):
        if path.stem == "onrecord" and path.is_file() and os.access(path, os.X_OK):
            return str(path.absolute())
    raise CommandError("this onrecord has no executable that a client could start; name one: --onrecord COMMAND", 2)


def standing(home: Home) -> Iterator[Standing]:
    """Say of each server that a client is configured with whether it is on the record."""
    try:
        mine = wrapper(home)
    except CommandError:
        mine = Wrapper(command="")
    gateway = gateway_of(load(home).settings)
    found = configurations(Path.home(), Path.cwd())
    if not found:
        yield "ok", "no configuration of a client that is known here"
    for one in found:
        try:
            yield from _servers(survey(one, mine, gateway))
        except FileNotFoundError:
            continue  # it went while we looked
        except ConfigError as e:
            yield "warn", f"{_title(one)}: {e}"


def _servers(surveyed: Surveyed) -> Iterator[Standing]:
    for one in surveyed.looks:
        yield _server(f"{_title(surveyed.configuration)}: {one.entry.name}", one)


def _server(name: str, one: Look) -> Standing:
    lost = bool(one.program) and os.path.isabs(one.program) and not os.path.exists(one.program)
    if one.state in ("passes", "elsewhere"):
        if lost:
            return "warn", f"{name} cannot start: there is no {one.program}; onrecord install, or mend the path"
        return "ok", f"{name} is on the record{f'; {one.reason}' if one.reason else ''}"
    if one.off:
        return "ok", f"{name} is off, and would bypass the record"
    if one.done is not None:
        return "warn", f"{name} bypasses the record; onrecord install --only {one.entry.name!r} puts it there"
    return "warn", f"{name} bypasses the record: it {one.reason}"


def _title(one: Configuration) -> str:
    return f"{one.client.title} ({one.path})"
