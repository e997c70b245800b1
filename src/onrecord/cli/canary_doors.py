# SPDX-License-Identifier: Apache-2.0
"""The ways in that a self-test can try here: each starts the real door, around or in front of the canary.

What can't be tried is told with why: what it needs is not installed, or nobody is let in without a token.
"""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from sys import executable
from typing import Any, TypeAlias, cast

from onrecord import canary
from onrecord.cli import canary_gateway, canary_http, canary_sdk
from onrecord.cli.canary_checks import Check
from onrecord.cli.canary_record import Before, turned_away
from onrecord.cli.canary_talk import Door
from onrecord.cli.gateway import missing
from onrecord.doors.client import Client, Gone, Late
from onrecord.doors.client_http import HttpClient
from onrecord.errors import ConfigError
from onrecord.gateways import called_at
from onrecord.rules.canary import SERVER_ID
from onrecord.settings import Loaded

ERAS = (canary.LEGACY, canary.MODERN)

_UNAUTHORISED = 401


class NotHere(Exception):
    """A door cannot be tried here; the message says why."""


def by_stdio(_loaded: Loaded, config: Path | None, _token: str) -> Door:
    """Return `onrecord run` around the canary."""
    given = [] if config is None else ["--config", str(config)]
    command = [executable, "-P", "-m", "onrecord.cli.main", "run", "--server-id", SERVER_ID, *given, "--"]
    return Door(
        name="stdio",
        eras=ERAS,
        through=partial(Client, [*command, *canary.command()]),
        straight=partial(Client, canary.command()),
    )


def by_gateway(loaded: Loaded, config: Path | None, token: str) -> Door:
    """Return the gateway in front of the canary; with `token`, as whoever that is of. Raises NotHere."""
    if away := missing():
        raise NotHere(f"it needs {away[0]}: pip install 'onrecord[gateway]'")
    if not token and _wants_token(loaded):
        raise NotHere("it lets nobody in without a token: give one with --token-env or --token-file")
    if not loaded.settings.upstream or loaded.settings.gateway.tokens == "off":
        token = ""  # which nobody would look at
    return Door(
        name="gateway",
        eras=ERAS,
        through=partial(HttpClient, canary_gateway.command(config, _meant_for(loaded, token)), token=token),
        straight=partial(HttpClient, canary_http.command()),
        token=token,
    )


def by_sdk(_loaded: Loaded, config: Path | None, _token: str) -> Door:
    """Return the canary in a process that records itself, on the SDK that is installed. Raises NotHere."""
    if find_spec("mcp") is None:
        raise NotHere("the SDK is not installed here: pip install 'mcp>=2.3'")
    from onrecord.instrumenting import line_of_sdk  # needs what the SDK brings

    try:
        line = line_of_sdk()
    except ConfigError as e:
        raise NotHere(str(e)) from e
    return Door(
        name="sdk",
        eras=ERAS if line > 1 else ERAS[:1],
        through=partial(Client, canary_sdk.command(config)),
        straight=partial(Client, canary_sdk.command(config, bare=True)),
    )


Way: TypeAlias = Callable[[Loaded, Path | None, str], Door]
WAYS: dict[str, Way] = {"stdio": by_stdio, "gateway": by_gateway, "sdk": by_sdk}


def shut_out(before: Before, config: Path | None, ends: float) -> Check | None:
    """Come to the gateway without a token, and say whether that is told and recorded; None where none is required."""
    if missing() or not _wants_token(before.loaded):
        return None
    with HttpClient(canary_gateway.command(config, _meant_for(before.loaded, "")), ends) as client:
        try:
            client.ask("ping", {})
        except (Gone, Late):
            client.end()
            return Check("fail", "turned away", f"the gateway did not answer; it said: {client.told()}")
    if client.status != _UNAUTHORISED:
        return Check("fail", "turned away", f"who comes without a token gets HTTP status {client.status}, not 401")
    return turned_away(before)


def _wants_token(loaded: Loaded) -> bool:
    return bool(loaded.settings.upstream) and loaded.settings.gateway.tokens == "required"


def _meant_for(loaded: Loaded, token: str) -> str:
    """Return the name of the server behind the gateway that a token says it is for, else of the first one, else ""."""
    settings = loaded.settings
    claimed = _audience(token)
    for one in settings.upstream:
        if (one.audience or called_at(settings)[one.name]) in claimed:
            return one.name
    return settings.upstream[0].name if settings.upstream else ""


def _audience(token: str) -> Sequence[object]:
    """Return for whom a token says that it is; the gateway will verify that."""
    try:
        body = token.split(".")[1]
        said: Any = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        found: Any = said.get("aud", [])
    except (IndexError, ValueError, AttributeError, binascii.Error):
        return []
    return cast(list[object], found) if isinstance(found, list) else [found]
