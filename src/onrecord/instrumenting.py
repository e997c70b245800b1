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
from typing import TYPE_CHECKING, Any, Protocol

from onrecord.config import build_recorder, review_when_due
from onrecord.doors.inside import Built, Inside
from onrecord.errors import ConfigError, KeyFileError, LedgerError
from onrecord.ledger.keys import open_digest_key
from onrecord.ledger.place import Home
from onrecord.ledger.soundness import Unsound, check_sound, is_quick
from onrecord.ledger.whereabouts import way_of
from onrecord.people import build_sender
from onrecord.proving import attach_webhook
from onrecord.rules.canary import SERVER_ID as CANARY
from onrecord.rules.neutral import neutral
from onrecord.rules.server_id import fault_in
from onrecord.settings import RECORDED_BY, Loaded, home_folder, load

if TYPE_CHECKING:
    from onrecord.doors.asgi import App
    from onrecord.doors.sdk import Recording
    from onrecord.doors.streams import Recording as OlderRecording

SUPPORTED = {2: 3, 1: 30}  # lines of `mcp`, and the first minor version of each that we know

_log = logging.getLogger("onrecord")


class OnRecord(Protocol):
    """A server that is on the record."""

    def stop(self, reason: str = "stopped") -> None:
        """Stop recording; the next message would start it again."""
        ...


def instrument(
    server: Any, *, home: str | Path | None = None, config: str | Path | None = None, server_id: str | None = None
) -> OnRecord:
    """Put what `server` is asked on the record.

    It is an `MCPServer` or a low-level `Server` of `mcp` 2.3 or newer, a `FastMCP` or a low-level `Server` of `mcp`
    1.30, or a `FastMCP` of the package of that name. `home` is the folder of keys and ledger, `config` the settings,
    `server_id` what the server is called on the record; each as for `onrecord run` where it is not given, and the name
    is that of the server. What returns can be stopped, which is only needed where the process goes on without the
    server. A server that is instrumented already stays as it is. Raises ConfigError for settings that can't work, for
    what is no such server, and for one that is instrumented already with another home, config or server_id.
    """
    known = _inside(server, "instrument takes a server of the MCP SDK or of FastMCP")
    if known is not None:
        _check_same(known, home, config, server_id)
    return put_on_record(server, partial(inside_of, home, config, server_id))


def put_on_record(server: Any, inside: Callable[[], Callable[[str], Inside]]) -> OnRecord:
    """Put `server`, one that `instrument` takes, on the record; `inside` reads settings, and gives what uses them."""
    if _is_fastmcp(server):
        return _on_fastmcp(server, inside())
    if line_of_sdk() == 1:
        return _on_older(server, inside())
    from onrecord.doors.sdk import Recording, put_into

    recording = next((one for one in server.middleware if isinstance(one, Recording)), None)
    if recording is None:
        recording = Recording(inside()(server.name))
        put_into(server.middleware, recording)
    for name in ("streamable_http_app", "sse_app"):
        make = getattr(server, name, None)
        if make is not None and not hasattr(make, "__wrapped__"):
            setattr(server, name, _around(make, recording.inside))
    return recording


def _on_fastmcp(server: Any, inside: Callable[[str], Inside]) -> OnRecord:
    from onrecord.doors.fastmcp import Recorded

    for one in server.middleware:
        if isinstance(one, Recorded):
            return one
    recorded = Recorded(inside)
    server.middleware.insert(0, recorded)
    return recorded


def _on_older(server: Any, inside: Callable[[str], Inside]) -> "OlderRecording":
    from onrecord.doors.streams import Recording as OlderRecording

    low = getattr(server, "_mcp_server", server)  # of FastMCP, which has no public name for it
    known: OlderRecording | None = getattr(low.run, "recording", None)
    if known is None:
        known = OlderRecording(inside(low.name))
        known.attach(low)
        for app in ("streamable_http_app", "sse_app"):
            if hasattr(server, app):
                setattr(server, app, _around(getattr(server, app), known.inside))
    return known


def middleware(
    *, home: str | Path | None = None, config: str | Path | None = None, server_id: str = "server"
) -> "Recording":
    """Return what `MCPServer(middleware=[…])` takes, for servers that are built with it; see `instrument`.

    The server is not known here yet: where no `server_id` is given, it is called `server` on the record.
    """
    if line_of_sdk() == 1:
        raise ConfigError("mcp 1 has no middleware: use onrecord.instrument(server)")
    from onrecord.doors.sdk import Recording

    return Recording(inside_of(home, config, server_id)(server_id))


def inside_of(
    home: str | Path | None, config: str | Path | None, server_id: str | None = None
) -> Callable[[str], Inside]:
    """Return what makes the recorder of a server of that name, or of `server_id`. Reads settings, and writes nothing.

    Raises ConfigError, and so does what is returned, for a name that no server can have.
    """
    built = _inside_of(home, config)

    def make(name: str) -> Inside:
        if why := fault_in(server_id or name):
            raise ConfigError(f"{why}; give another server_id")
        return built(server_id or name)

    return make


def inside_of_canary(config: str | Path | None) -> Callable[[str], Inside]:
    """Return what makes the recorder of the canary of `onrecord selftest`, whatever its server calls itself."""
    built = _inside_of(None, config)
    return lambda _name: built(CANARY)


def _inside_of(home: str | Path | None, config: str | Path | None) -> Callable[[str], Inside]:
    place = home_folder() if home is None else Home(Path(home).absolute())
    loaded = load(place, None if config is None else Path(config))
    build, settings = partial(_built, place, loaded), Path(config or place.config).resolve()
    return lambda server_id: Inside(build, server_id, say, home=place.path.resolve(), config=settings)


def _check_same(inside: Inside, home: str | Path | None, config: str | Path | None, server_id: str | None) -> None:
    """Raise ConfigError where what is asked for is not how a server is recorded already."""
    others = {
        "home": home and Path(home).resolve() != inside.home,
        "config": config and Path(config).resolve() != inside.config,
        "server_id": server_id and server_id != inside.server_id,
    }
    for name, differs in others.items():
        if differs:
            raise ConfigError(f"this server is recorded already, with another {name}; say it where that is done first")


def asgi(app: "App", server: Any) -> "App":
    """Return `app`, the ASGI application of an instrumented `server`, so that what it turns away is on the record too.

    What the server itself makes is so already, where it was instrumented before; this is for an application that was
    made in another way. Raises ConfigError where the server is not recorded, and for what is no application.
    """
    from onrecord.doors.asgi import Around

    takes = "asgi takes an ASGI application and then the server that it is of, asgi(app, server)"
    if not callable(app):
        raise ConfigError(f"{takes}; the first is a {_kind(app)}")
    inside = _inside(server, takes)
    if inside is None:
        raise ConfigError("asgi takes a server that is recorded: call onrecord.instrument(server) before")
    return Around(app, inside)


def _inside(server: Any, takes: str) -> Inside | None:
    """Return what records `server`, None where nothing does. Raises ConfigError, with what it `takes`."""
    if _is_fastmcp(server):
        from onrecord.doors.fastmcp import Recorded

        return next((one.recording(server).inside for one in server.middleware if isinstance(one, Recorded)), None)
    _check_sdk(server, takes)
    if line_of_sdk() == 1:
        known = getattr(getattr(server, "_mcp_server", server).run, "recording", None)
        return None if known is None else known.inside
    from onrecord.doors.sdk import Recording

    return next((one.inside for one in server.middleware if isinstance(one, Recording)), None)


def _around(make: Callable[..., Any], inside: Inside) -> Callable[..., Any]:
    """Return `make`, which makes a Starlette application, with what is around it added."""
    from onrecord.doors.asgi import Around

    @wraps(make)
    def made(*args: Any, **options: Any) -> Any:
        app = make(*args, **options)
        app.add_middleware(Around, inside)
        return app

    return made


def say(text: str) -> None:
    """Tell whoever runs the server something."""
    _log.warning("%s", neutral(text))


def _built(home: Home, loaded: Loaded) -> Built:
    """Wire a recorder for the server of this process. Raises Unsound where its log contradicts what was signed."""
    if os.environ.get(RECORDED_BY) == str(home.path.resolve()):
        say("onrecord run, which started this, has the same record: what comes over stdio stands there twice; use one")
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


def _is_fastmcp(server: object) -> bool:
    if "fastmcp" not in sys.modules:
        return False  # nothing that exists can be one
    from fastmcp import FastMCP

    return isinstance(server, FastMCP)


def _check_sdk(server: object, takes: str) -> None:
    """Raise ConfigError unless `server` is one of the official SDK, of a version that we know."""
    known = False
    if "mcp.server" in sys.modules:  # else nothing that exists can be a server of it
        name = "mcp.server.fastmcp" if line_of_sdk() == 1 else "mcp.server"
        high = getattr(sys.modules.get(name), "FastMCP" if line_of_sdk() == 1 else "MCPServer", ())
        known = isinstance(server, (high, sys.modules["mcp.server"].Server))
    if not known:
        raise ConfigError(f"{takes}; this is a {_kind(server)}")


def _kind(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def line_of_sdk() -> int:
    """Return which line of the SDK is installed: 1 or 2. Raises ConfigError for none, and for a version not known."""
    try:
        found = version("mcp")
    except PackageNotFoundError as e:
        raise ConfigError("the SDK is not installed here: pip install 'mcp>=2.3'") from e
    major, minor = (int(part) for part in found.split(".")[:2])
    for line, first in SUPPORTED.items():
        if major == line and minor >= first:
            return line
    raise ConfigError(f"mcp {found} is installed here; this needs mcp 2.3 or a newer 2.x, or 1.30 or a newer 1.x")
