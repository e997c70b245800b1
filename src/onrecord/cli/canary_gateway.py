# SPDX-License-Identifier: Apache-2.0
"""`python -m onrecord.cli.canary_gateway`: the gateway as it would serve here, in front of the canary alone.

Home and settings are those in force, but for where it listens, which is a free port of this machine, and for what is
behind it, which is a canary that it starts itself: so no other server gets that name. Says its URL in one line of its
output, and ends with its input.

Of the settings' own servers it takes over whom tokens must be meant for and which scopes they need, of one of them: the
one that is named. Where the settings have none, there is nobody to let in by a token, and anybody is.
"""

import os
import signal
import sys
import threading
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from onrecord.cli import canary_http
from onrecord.cli.gateway import serve
from onrecord.cli.terminal import put, say
from onrecord.doors.client import Gone, Process
from onrecord.errors import CommandError, OnRecordError
from onrecord.gateway_settings import UpstreamSettings
from onrecord.gateways import called_at
from onrecord.rules.canary import SERVER_ID
from onrecord.settings import Loaded, home_folder, load

_STARTS_S = 30.0  # for the canary to say where it is


def command(config: Path | None, upstream: str) -> list[str]:
    """Return how to start it, with the settings `config`, if any, as `upstream` of these, "" where there is none."""
    given = [] if config is None else ["--config", str(config)]
    return [sys.executable, "-P", "-m", "onrecord.cli.canary_gateway", *given, "--as", upstream]


def in_front_of(url: str, loaded: Loaded, named: str) -> Loaded:
    """Return the settings of a gateway with the canary at `url` behind it, which lets in whom `named` would."""
    settings = loaded.settings
    like = next((one for one in settings.upstream if one.name == named), None)
    audience = "" if like is None else like.audience or called_at(settings)[like.name]
    upstream = UpstreamSettings(
        name=SERVER_ID,
        url=url,
        credentials="none",
        scopes=() if like is None else like.scopes,
        audience=audience,
    )
    tokens = "off" if like is None else settings.gateway.tokens
    gateway = replace(settings.gateway, listen="127.0.0.1:0", public_url="", tokens=tokens)
    return Loaded(replace(settings, gateway=gateway, upstream=(upstream,)), loaded.path, loaded.digest)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until standard input ends, and return the exit code."""
    parser = ArgumentParser()
    parser.add_argument("--config", type=Path)
    parser.add_argument("--as", dest="named", default="")
    options = parser.parse_args(arguments)
    canary = Process(canary_http.command(), time.monotonic() + _STARTS_S)
    try:
        home = home_folder()
        url = canary.line().decode()
        threading.Thread(target=_end_with_input, daemon=True).start()
        return serve(home, in_front_of(url, load(home, options.config), options.named), told=_told)
    except Gone:
        say("the canary ended before it said where it is")
        return 2
    except OnRecordError as e:
        say(str(e))
        return e.exit_code if isinstance(e, CommandError) else 2
    finally:
        canary.end()


def _told(urls: dict[str, str]) -> None:
    put(urls[SERVER_ID], flush=True)


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
