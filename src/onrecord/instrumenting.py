# SPDX-License-Identifier: Apache-2.0
"""`onrecord.instrument`: a server of an SDK that we know, on the record from inside of its own process.

Which SDK it is, is told from the server's own type, and nothing of an SDK is imported before there is such a server.
Settings are read at once, so that what can't work is an error where it is asked for; nothing is written before the
server gets its first message.
"""

import logging
import os
import sys
from collections.abc import Callable
from functools import partial, wraps
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onrecord.config import build_recorder, review_when_due
from onrecord.doors.inside import Built, Inside
from onrecord.errors import ConfigError, KeyFileError, LedgerError
from onrecord.ledger.keys import open_digest_key
from onrecord.ledger.place import Home
from onrecord.ledger.soundness import Unsound, check_sound, is_quick
from onrecord.ledger.whereabouts import way_of
from onrecord.people import build_sender
from onrecord.proving import attach_webhook
from onrecord.rules.neutral import neutral
from onrecord.settings import Loaded, home_folder, load

if TYPE_CHECKING:
    from onrecord.doors.asgi import App
    from onrecord.doors.sdk import Recording

SUPPORTED = (2, 3)  # of `mcp`, and what follows it in 2.x

_log = logging.getLogger("onrecord")


def instrument(
    server: Any, *, home: str | Path | None = None, config: str | Path | None = None, server_id: str | None = None
) -> "Recording":
    """Put what `server`, an `MCPServer` or a low-level `Server` of `mcp` 2.3 or newer, is asked on the record.

    `home` is the folder of keys and ledger, `config` the settings, `server_id` what the server is called on the record;
    each as for `onrecord run` where it is not given, and the name is that of the server. What returns can be stopped,
    which is only needed where the process goes on without the server. A server that is instrumented already stays as
    it is. Raises ConfigError for settings that can't work, and for what is no such server.
    """
    _check_sdk(server)
    from onrecord.doors.sdk import Recording

    recording = next((one for one in server.middleware if isinstance(one, Recording)), None)
    if recording is None:
        recording = middleware(home=home, config=config, server_id=server_id or server.name)
        server.middleware.insert(0, recording)
    for name in ("streamable_http_app", "sse_app"):
        make = getattr(server, name, None)
        if make is not None and not hasattr(make, "__wrapped__"):
            setattr(server, name, _around(make, recording))
    return recording


def middleware(
    *, home: str | Path | None = None, config: str | Path | None = None, server_id: str = "server"
) -> "Recording":
    """Return what `MCPServer(middleware=[…])` takes, for servers that are built with it; see `instrument`."""
    _check_version()
    from onrecord.doors.sdk import Recording

    place = home_folder() if home is None else Home(Path(home).absolute())
    loaded = load(place, None if config is None else Path(config))
    return Recording(Inside(partial(_built, place, loaded), server_id, say))


def asgi(app: "App", server: Any) -> "App":
    """Return `app`, the ASGI application of an instrumented `server`, so that what it turns away is on the record too.

    What `server.streamable_http_app()` returns is so already, where the server was instrumented before; this is for an
    application that was made in another way. Raises ConfigError where the server is not recorded.
    """
    _check_sdk(server)
    from onrecord.doors.asgi import Around
    from onrecord.doors.sdk import Recording

    for one in server.middleware:
        if isinstance(one, Recording):
            return Around(app, one.inside)
    raise ConfigError("asgi takes a server that is recorded: call onrecord.instrument(server) before")


def _around(make: Callable[..., Any], recording: "Recording") -> Callable[..., Any]:
    """Return `make`, which makes a Starlette application, with what is around it added."""
    from onrecord.doors.asgi import Around

    @wraps(make)
    def made(*args: Any, **options: Any) -> Any:
        app = make(*args, **options)
        app.add_middleware(Around, recording.inside)
        return app

    return made


def say(text: str) -> None:
    """Tell whoever runs the server something."""
    _log.warning("%s", neutral(text))


def _built(home: Home, loaded: Loaded) -> Built:
    """Wire a recorder for the server of this process. Raises Unsound where its log contradicts what was signed."""
    elsewhere = way_of(home, named=loaded.settings.recorder.socket, environ=os.environ) is not None
    if not elsewhere and is_quick(home):
        _refuse_unsound(home)
    recorder, actor = build_recorder(home, loaded, say)
    attach_webhook(home, loaded, recorder, say)
    review_when_due(home, loaded, say)
    return Built(
        recorder=recorder,
        actor=actor,
        call_timeout_s=loaded.settings.run.call_timeout_s,
        waits=recorder.guard.decides_elsewhere or bool(loaded.settings.identity.issuer) or elsewhere,
        sender_of=build_sender(home, loaded, open_digest_key(home)),
    )


def _refuse_unsound(home: Home) -> None:
    try:
        check_sound(home)
    except Unsound:
        raise
    except (LedgerError, KeyFileError, OSError):
        return  # a log that cannot be opened is for the recorder, which says so


def _check_sdk(server: object) -> None:
    """Raise ConfigError unless `server` is one of the official SDK, of a version that we know."""
    known = False
    if "mcp.server" in sys.modules:  # else nothing that exists can be a server of it
        _check_version()
        from mcp.server import MCPServer, Server

        known = isinstance(server, MCPServer | Server)
    if not known:
        kind = f"{type(server).__module__}.{type(server).__qualname__}"
        raise ConfigError(f"instrument takes an MCPServer, or a low-level Server, of mcp 2; this is a {kind}")


def _check_version() -> None:
    try:
        found = version("mcp")
    except PackageNotFoundError as e:
        raise ConfigError("the SDK is not installed here: pip install 'mcp>=2.3'") from e
    major, minor = (int(part) for part in found.split(".")[:2])
    if (major, minor) < SUPPORTED or major > SUPPORTED[0]:
        raise ConfigError(f"mcp {found} is installed here; this needs mcp 2.3 or a newer 2.x")
