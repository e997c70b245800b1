# SPDX-License-Identifier: Apache-2.0
"""How the gateway stands: what it needs to run, where it listens, and whether the servers behind it can be reached.

A server is asked for nothing but whether somebody answers at its URL: a GET without credentials, over the very
connections that the gateway makes.
"""

import asyncio
import errno
import http.client
import json
import os
import socket
from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from onrecord.cli.configured import Standing
from onrecord.cli.gateway import missing
from onrecord.errors import ConfigError, plainly
from onrecord.event.call import Actor, Sender
from onrecord.gateway_settings import UpstreamSettings
from onrecord.gateways import build_upstream_auth, called_at
from onrecord.settings import Loaded

ANSWERS_S = 3.0  # a server that takes longer is said to be away
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # addresses to listen at, and where that is here


def standing_of_gateway(loaded: Loaded, environ: Mapping[str, str] = os.environ) -> Iterator[Standing]:
    """Say how the gateway of these settings would do; nothing where no server is behind it."""
    upstreams = loaded.settings.upstream
    if not upstreams:
        return
    if away := missing():
        yield "fail", f"it needs {away[0]}: pip install 'onrecord[gateway]'"
        return
    number = len(upstreams)
    yield "ok", f"{number} {'server' if number == 1 else 'servers'} behind it: {', '.join(called_at(loaded.settings))}"
    yield _listening(*loaded.settings.gateway.address)
    for one in upstreams:
        yield from _secret(one, loaded, environ)
    yield from asyncio.run(_all_reached(upstreams))


def _secret(one: UpstreamSettings, loaded: Loaded, environ: Mapping[str, str]) -> Iterator[Standing]:
    """Yield why the credentials for a server cannot be had, if so; a variable may be set for the gateway alone."""
    try:
        build_upstream_auth(Loaded(replace(loaded.settings, upstream=(one,)), loaded.path, loaded.digest), environ)
    except ConfigError as e:
        yield ("warn", f"{e} here") if one.token_env or one.client_secret_env else ("fail", str(e))


def _listening(host: str, port: int) -> Standing:
    """Say whether it could listen where it is to, or does already."""
    where = f"{f'[{host}]' if ':' in host else host}:{port}"
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as e:
            if e.errno == errno.EADDRINUSE:
                runs = _is_gateway(_ANYWHERE.get(host, host), port)
                return ("ok", f"it runs at {where}") if runs else ("fail", f"something else listens at {where}")
            return "fail", f"it cannot listen at {where}: {plainly(e)}"
    return "ok", f"{where} is free; it does not run: onrecord gateway"


def _is_gateway(host: str, port: int) -> bool:
    """Say whether a gateway answers there."""
    asked = http.client.HTTPConnection(host, port, timeout=ANSWERS_S)
    try:
        asked.request("GET", "/healthz")
        said = json.loads(asked.getresponse().read(1000))
        return isinstance(said, dict) and "status" in said
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        asked.close()


async def _all_reached(upstreams: tuple[UpstreamSettings, ...]) -> list[Standing]:
    return await asyncio.gather(*(_reached(one) for one in upstreams))


async def _reached(one: UpstreamSettings) -> Standing:
    """Say whether somebody answers at the URL of a server."""
    from onrecord.doors.gateway.upstream import Upstream, UpstreamFailed
    from onrecord.doors.upstream_auth import Fixed

    where = f"{one.name}: the server at {one.url.partition('?')[0]}"
    upstream = Upstream(one.url, Fixed())
    try:
        async with (
            asyncio.timeout(ANSWERS_S),
            upstream.asked("GET", [(b"accept", b"application/json")], Sender(actor=Actor())) as answer,
        ):
            status = answer.status
    except TimeoutError:
        return "fail", f"{where} does not answer within {ANSWERS_S:.0f} s"
    except UpstreamFailed as e:
        if e.error_type == "upstream_unreachable":
            return "fail", f"{where} cannot be reached: {e.__cause__}"
        if e.error_type == "redirected":
            return "fail", f"{where} redirects to another place, which is not followed: is its url right?"
        return "warn", f"{where} can be reached, but does not answer as one of HTTP ({e.error_type})"
    finally:
        await upstream.close()
    if status == 404:
        return "warn", f"{where} answers a GET with HTTP status 404: is its url right?"
    return "ok", f"{where} answers"
