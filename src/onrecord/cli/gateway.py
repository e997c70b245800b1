# SPDX-License-Identifier: Apache-2.0
"""`onrecord gateway`: Streamable HTTP servers behind one address."""

import asyncio
import gc
import hmac
import traceback
from argparse import Namespace
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from onrecord.cli.terminal import say
from onrecord.config import build_recorder, review_when_due
from onrecord.errors import CommandError, ConfigError, KeyFileError, LedgerError
from onrecord.event.call import Actor
from onrecord.gateways import build_access, build_upstream_auth, called_at, forget_secrets
from onrecord.ledger.keys import open_digest_key
from onrecord.ledger.place import Home
from onrecord.people import forget_tokens
from onrecord.proving import WEBHOOK_KEY, attach_webhook
from onrecord.recorder import Recorder
from onrecord.settings import Loaded, home_folder, load

if TYPE_CHECKING:
    from onrecord.doors.gateway.served import Served
    from onrecord.doors.gateway.talk import Pool
    from onrecord.doors.http_telling import Refusals

_DESCRIPTORS = 4096  # for the ledger, for idle connections, and for clients that have not asked for anything yet


def gateway(options: Namespace) -> int:
    """Serve until a signal says to end."""
    home = home_folder()
    return serve(home, load(home, options.config), told=_told)


def serve(home: Home, loaded: Loaded, *, told: Callable[[dict[str, str]], None]) -> int:
    """Serve until a signal says to end; `told` gets the URL of each server by its name, once it can be called."""
    if not loaded.settings.upstream:
        raise ConfigError(f"{loaded.path or home.config}: no [[upstream]] says what is behind the gateway")
    if away := missing():
        raise CommandError(f"the gateway needs {away[0]}: pip install 'onrecord[gateway]'", 2)
    try:
        recorder, actor = build_recorder(home, loaded, say)
        attach_webhook(home, loaded, recorder, say)
    except LedgerError as e:
        raise KeyFileError(f"the home {home.path} cannot be used: {e}") from e
    review_when_due(home, loaded, say)
    _raise_limit(_DESCRIPTORS + 2 * loaded.settings.gateway.max_open)  # a call has a connection on either side
    gc.freeze()  # as in `run`
    gc.set_threshold(50_000)
    return asyncio.run(_serve(home, loaded, recorder, actor, told))


def _told(urls: dict[str, str]) -> None:
    for name, url in urls.items():
        say(f"{name} is at {url}")


def missing() -> list[str]:
    """Return which packages that the gateway needs are not there."""
    return [name for name in ("h11", "httpcore2", "httpx2", "uvicorn") if find_spec(name) is None]


def _raise_limit(wanted: int) -> None:
    """Allow as many descriptors as may be needed, where the system lets us."""
    try:
        import resource
    except ModuleNotFoundError:
        return  # Windows, which has no such limit
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _serve(
    home: Home, loaded: Loaded, recorder: Recorder, actor: Actor, told: Callable[[dict[str, str]], None]
) -> int:
    from onrecord.doors.gateway.app import Gateway
    from onrecord.doors.gateway.room import Most
    from onrecord.doors.gateway.served import base_of
    from onrecord.doors.gateway.serving import Serving, listening_at
    from onrecord.doors.gateway.talk import Pool
    from onrecord.doors.http_telling import Refusals

    settings = loaded.settings.gateway
    pool, refused = Pool(), Refusals(recorder)
    served = _served(home, loaded, recorder, pool, refused)
    listening = listening_at(*settings.address)
    host, port = listening.getsockname()[:2]
    most = Most(
        requests=settings.max_open,
        requests_of_one=settings.open_of_one,
        body_bytes=settings.max_bodies_bytes,
        body_bytes_of_one=settings.bodies_of_one_bytes,
    )
    gateway = Gateway(
        served,
        build_access(loaded, recorder.guard, port=port),
        refused,
        pool,
        max_body=settings.max_body_bytes,
        most=most,
        read_timeout_s=settings.read_timeout_s,
        ready=recorder.unready,
        failed=_failed,
    )
    serving = Serving(
        gateway,
        list(served.values()),
        refused,
        pool,
        max_open=settings.max_open,
        read_timeout_s=settings.read_timeout_s,
        write_timeout_s=settings.write_timeout_s,
        drain_s=settings.drain_s,
        failed=_failed,
    )
    serving.heed_signals()  # before the start is on the record, so that an end is, too
    recorder.start(base_of(recorder, actor), ["onrecord", "gateway"])
    say(f"listening at {f'[{host}]' if ':' in host else host}:{port}")
    told(called_at(loaded.settings, port))
    try:
        await serving.run(listening)
    finally:
        pool.close()
        recorder.stop("was told to", sum(one.calls for one in served.values()))
    return 0


def _failed(error: Exception) -> None:
    """Say where a defect of ours is; what it met has failed, and everything else goes on."""
    places = traceback.extract_tb(error.__traceback__)  # without the message, which may hold values
    where = f" in {Path(places[-1].filename).name}:{places[-1].lineno}" if places else ""
    say(f"internal error: {type(error).__name__}{where}")


def _served(home: Home, loaded: Loaded, recorder: Recorder, pool: "Pool", refused: "Refusals") -> dict[str, "Served"]:
    """Return what is behind each path, by name; secrets for it are no longer in the environment then."""
    from onrecord.doors.gateway.served import Limits, Served
    from onrecord.doors.gateway.upstream import Upstream
    from onrecord.doors.threads import of_many

    run = loaded.settings.run
    limits = Limits(max_message=run.max_message_bytes, call_timeout_s=run.call_timeout_s)
    threads = of_many()
    auth, key = build_upstream_auth(loaded, refused=refused), open_digest_key(home)
    forget_secrets(loaded.settings.upstream)
    forget_tokens(loaded.settings.policy.spicedb.token_env, WEBHOOK_KEY)
    return {
        one.name: Served(
            one.name,
            Upstream(one.url, auth[one.name]),
            recorder,
            pool,
            limits,
            hmac.digest(key, b"onrecord gateway rounds " + one.name.encode(), "sha256"),
            threads,
            say=say,
            failed=_failed,
        )
        for one in loaded.settings.upstream
    }
