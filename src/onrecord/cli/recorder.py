# SPDX-License-Identifier: Apache-2.0
"""`onrecord recorder`: the service that keeps the ledger for other processes, and its installation."""

import os
import resource
import signal
import socket
import threading
from argparse import Namespace
from pathlib import Path

from onrecord.cli.terminal import say
from onrecord.cli.watch import Alert, keep_watch
from onrecord.config import build_service
from onrecord.errors import CommandError, LedgerError, NotSupported
from onrecord.event.event import Event
from onrecord.ledger.durable import FileLock, disk_error, make_folder
from onrecord.ledger.listener import Listener
from onrecord.ledger.place import Home
from onrecord.ledger.watcher import WHOLE_S
from onrecord.ledger.whereabouts import own_socket, read_moved
from onrecord.settings import Loaded, home_folder, load

_OWN, _GROUP = 0o600, 0o660  # who may connect
_DESCRIPTORS = 4096
_LOOK_S = 10.0  # between two looks at the logs


def run(options: Namespace) -> int:
    """Serve until a signal says to stop."""
    if not hasattr(socket, "AF_UNIX"):
        raise NotSupported("a recorder service needs unix sockets")
    home = home_folder()
    loaded = load(home, options.config)
    if moved := read_moved(home):
        raise CommandError(f"the ledger of {home.path} lies in {moved.home} and is kept by {moved.account}", 2)
    path: Path = options.socket.absolute() if options.socket else own_socket(home)
    lock = _only_one(home)
    _raise_limit()
    stop, told = os.pipe()
    os.set_blocking(told, False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: os.write(told, b"."))
    listener = Listener(path, mode=_GROUP if options.shared else _OWN, stop=stop)
    try:
        service, sessions, recorder = build_service(home, loaded, listener, say)
        try:
            left = sessions.take_over(home.log())
        except LedgerError as e:
            say(f"what the last service left open can't be found: {e}")
        else:
            if left:
                say(f"{left} doors of the last service may come back; calls of those that don't are closed as unknown")
        recorder.start(Event(), ["onrecord", "recorder", "run"])
        service.await_signature()
        say(f"listening at {path}")
        _tell_systemd("READY=1")
        watching = _watch(home, loaded)
        service.serve()
        _tell_systemd("STOPPING=1")
        watching.set()
        recorder.stop("was told to", service.calls)
    finally:
        listener.close()
        lock.close()
    return 0


def _watch(home: Home, loaded: Loaded) -> threading.Event:
    """Verify the logs again and again beside the service, until the event that is returned is set."""
    stop = threading.Event()

    def tell(alert: Alert) -> None:
        say(f"ALARM: {alert.log}: {alert.verdict}: {'; '.join(alert.reasons)}")

    def look() -> None:
        keep_watch(home, loaded, stop, tell, every_s=_LOOK_S, whole_s=WHOLE_S)

    threading.Thread(target=look, name="onrecord-watch", daemon=True).start()
    return stop


def _only_one(home: Home) -> FileLock:
    """Return the lock that says which service keeps `home`. Raises CommandError where another does."""
    try:
        make_folder(home.path)
    except OSError as e:
        raise disk_error(e, "create", home.path) from e
    lock = FileLock(home.path / "recorder.lock")
    if not lock.try_acquire():
        lock.close()
        raise CommandError(f"another recorder service keeps {home.path}", 2)
    return lock


def _raise_limit() -> None:
    """Allow as many descriptors as the service may need, where the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _tell_systemd(state: str) -> None:
    """Say how we are, where systemd has started us (sd_notify)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.connect("\0" + address[1:] if address.startswith("@") else address)
            notify.send(state.encode())


def install(options: Namespace) -> int:
    """Set the service up under an account of its own."""
    from onrecord.cli.installing import install as install_now  # POSIX only

    return install_now(options)
