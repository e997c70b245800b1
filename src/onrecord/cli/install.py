# SPDX-License-Identifier: Apache-2.0
"""`onrecord install` and `onrecord uninstall`: the servers of MCP clients, put on the record and taken off again.

What is kept for the way back is on disk, and what is done is on the record, before a configuration changes. One that
can't be read or written does not stop the others.
"""

import hashlib
import hmac
import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from onrecord.cli.configured import gateway_of, wrapper
from onrecord.cli.terminal import ask, print_json, put, say
from onrecord.clients import files
from onrecord.clients.changing import Change, Surveyed, installed, survey, uninstalled
from onrecord.clients.finding import Configuration, configurations, named
from onrecord.clients.kept import Kept, State
from onrecord.clients.known import Keys, client_of
from onrecord.clients.shown import difference
from onrecord.clients.wrapping import Look
from onrecord.config import build_recorder, build_redactor
from onrecord.errors import CommandError, ConfigError, NotSupported, OnRecordError
from onrecord.event.event import Event
from onrecord.ledger.durable import FileLock, disk_error, make_folder
from onrecord.ledger.keys import open_digest_key
from onrecord.ledger.place import Home
from onrecord.rules.neutral import neutral
from onrecord.settings import Loaded, home_folder, load

_WAIT_S = 10.0  # for another install to end
_TOLD = {
    "wrap": "goes on the record",
    "point": "goes through the gateway",
    "passes": "is on the record",
    "elsewhere": "is left as it is",
    "bypasses": "is left as it is, and bypasses the record",
    "unfit": "is left as it is",
}


@dataclass(slots=True)
class _Course:
    """One run of a verb: its options, and whether something was left that needs a person."""

    verb: Literal["install", "uninstall"]
    options: Namespace
    home: Home
    loaded: Loaded
    bad: bool = False

    def tell(self, client: str, file: Path, server: str, state: str, text: str) -> None:
        """Print what was found of one server, or of a file where `server` is empty."""
        if self.options.json:
            print_json({"client": client, "file": str(file), "server": server, "state": state, "text": text})
        else:
            put(f"{client}  {file}  {server + ' ' if server else ''}{text}")

    def fail(self, client: str, file: Path, error: Exception) -> None:
        """Say what is wrong with a configuration that is left as it is."""
        self.bad = True
        why = str(error)
        if isinstance(error, OSError):
            why = f"cannot be read: {os.strerror(error.errno or 0).lower()}"
        self.tell(client, file, "", "failed", f"{why}; it is left as it is")


def install(options: Namespace) -> int:
    """Put servers on the record."""
    if sys.platform == "win32" and not options.dry_run:
        raise NotSupported(
            "recording needs Linux or macOS, so nothing is installed here; --dry-run shows what would be"
        )
    course = _course("install", options)
    mine, gateway = wrapper(course.home, options.onrecord), gateway_of(course.loaded.settings)
    found: list[Surveyed] = []
    for one in _configurations(options):
        try:
            found.append(survey(one, mine, gateway))
        except (ConfigError, OSError) as e:
            course.fail(one.client.title, one.path, e)
    if not course.bad:  # else it may stand in what could not be read
        _check_names((*options.only, *options.but), {look.entry.name for one in found for look in one.looks})
    changes = [change for one in found if (change := _planned(course, one)) is not None]
    if not found and not course.bad:
        say("no configuration of an MCP client was found; name one: --config FILE")
    return _carried_out(course, changes)


def _course(verb: Literal["install", "uninstall"], options: Namespace) -> _Course:
    home = home_folder()
    return _Course(verb, options, home, load(home))


def _configurations(options: Namespace) -> list[Configuration]:
    """Return the configurations that the options name, or all that are found."""
    home = Path.home()
    if options.config:
        found = [named(path, home) for path in options.config]
        if len(options.client) == 1:
            client = client_of(options.client[0])
            found = [Configuration(client=client, path=one.path, shared=one.shared) for one in found]
        return found
    found = configurations(home, Path.cwd())
    return [one for one in found if not options.client or one.client.name in options.client]


def _check_names(names: Sequence[str], there: set[str]) -> None:
    """Raise CommandError for a server that is named and is nowhere."""
    for name in names:
        if name not in there:
            raise CommandError(f"no configuration names a server {neutral(name, limit=80)!r}", 2)


def _is_chosen(options: Namespace, name: str) -> bool:
    return name not in options.but and (not options.only or name in options.only)


def _planned(course: _Course, one: Surveyed) -> Change | None:
    """Say how each chosen server of a configuration stands, and return what is to be done, if anything."""
    options, client = course.options, one.configuration.client

    def chosen(look: Look) -> bool:
        return _is_chosen(options, look.entry.name)

    try:
        change = installed(one, chosen, Kept(course.home).valid(one.old))
    except ConfigError as e:
        course.fail(client.title, one.configuration.path, e)
        return None
    for look in filter(chosen, one.looks):
        course.bad |= look.state == "unfit"
        why = (
            f": it {look.reason}" if look.state in ("bypasses", "unfit") else f": {look.reason}" if look.reason else ""
        )
        text = f"{_TOLD[look.state]}{' (the client has it switched off)' if look.off else ''}{why}"
        course.tell(client.title, one.configuration.path, _shown_path(look.entry.path), look.state, text)
    if change is not None and one.configuration.shared:
        say(f"{one.configuration.path}: who shares this file gets a path of this machine; see --onrecord")
    return change


def _shown_path(path: Keys) -> str:
    """Return the name of a server, with the project that it is configured for."""
    return path[-1] if path[0] != "projects" else f"{path[-1]} (in {path[1]})"


def uninstall(options: Namespace) -> int:
    """Take servers off the record."""
    course = _course("uninstall", options)
    kept = Kept(course.home)
    wanted = {os.path.realpath(path) for path in options.config}
    states = [
        state
        for state in kept.states()
        if (not wanted or state.file in wanted) and (not options.client or state.client in options.client)
    ]
    _check_names(options.only, {one.path[-1] for state in states for one in state.servers})
    changes = [change for state in states if (change := _undoing(course, kept, state)) is not None]
    if not states:
        say("there is nothing to undo: no configuration was changed by onrecord install, with this home")
    return _carried_out(course, changes)


def _undoing(course: _Course, kept: Kept, state: State) -> Change | None:
    """Say what becomes of the chosen servers of a configuration, and return it, if anything is to be done."""
    file = Path(state.file)
    try:
        old = files.read(file)
        if kept.valid(old) is None:  # somebody else has restored it, or we were cut off before it was changed
            course.tell(state.client, file, "", "restored", "is as it was before")
            return None
        change = uninstalled(old, state, kept.before(file), lambda path: _is_chosen(course.options, path[-1]))
    except FileNotFoundError:
        course.tell(state.client, file, "", "gone", "is not there any more; nothing is to be undone")
        if not course.options.dry_run:
            kept.forget(file)
        return None
    except (ConfigError, OSError) as e:
        course.fail(state.client, file, e)
        say(f"{file}: what it held before is in {kept.backup(file)}")
        return None
    for path in change.left:
        course.bad = True
        text = "was changed since it was put on the record, and is left as it is"
        course.tell(change.client.title, file, _shown_path(path), "changed", text)
    for path in change.servers:
        course.tell(change.client.title, file, _shown_path(path), "undo", "goes off the record")
    if not change.servers and change.state is None and not course.options.dry_run:
        kept.forget(file)  # none of it stands there any more
    return change if change.servers else None


def _carried_out(course: _Course, changes: Sequence[Change]) -> int:
    """Show the changes, have them confirmed, and make them."""
    if changes and not course.options.json:
        masking = _masking(course.loaded)
        for change in changes:
            put(f"--- {change.old.file}")
            put(f"+++ {change.old.file}")
            texts = (change.old.text, change.new.decode())
            for line in difference(change.form, change.client, *texts, change.servers, masking):
                put(line)
    if changes and not course.options.dry_run:
        _confirm(course.options, len(changes))
        with _alone(course.home):
            for change in changes:
                _make(course, change)
    return int(course.bad)


def _masking(loaded: Loaded) -> Callable[[list[str]], list[str]]:
    """Return what masks a command line as the record would."""
    redactor = build_redactor(os.urandom(32), loaded)

    def masked(words: list[str]) -> list[str]:
        told = redactor.fact(Event(event_id="none", event_type="install"), {"command": words}).event
        shown: list[str] = [] if told.redaction_error else told.detail.get("command", [])
        return list(shown)

    return masked


def _confirm(options: Namespace, count: int) -> None:
    """Raise CommandError unless a person, or --yes, says that it may be done."""
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise CommandError("nothing is changed, as nobody is there to be asked; say --yes, or --dry-run", 2)
    if ask(f"change {count} file{'s' if count > 1 else ''}? [y/N]").lower() not in ("y", "yes"):
        raise CommandError("nothing is changed", 2)


@contextmanager
def _alone(home: Home) -> Generator[None]:
    """Let no other install run meanwhile. Raises LedgerError."""
    try:
        make_folder(home.clients)
    except OSError as e:
        raise disk_error(e, "make", home.clients) from e
    lock = FileLock(home.clients / "lock")
    try:
        lock.acquire(time.monotonic() + _WAIT_S)
        yield
    finally:
        lock.close()


def _make(course: _Course, change: Change) -> None:
    """Make one change: what is kept, then the record, then the file. Raises OnRecordError where that can't be."""
    kept, file = Kept(course.home), change.old.file
    earlier = kept.state(file)
    was = (earlier, kept.before(file)) if earlier else None
    try:
        if course.verb == "install" and change.state is not None:
            kept.write(change.state, change.before)
        _record(course, change, "change")
    except (OnRecordError, OSError):
        _take_back(course, kept, file, was)
        raise
    try:
        files.replace(change.old, change.new)
    except ConfigError as e:
        _take_back(course, kept, file, was)
        _record(course, change, "not_changed")
        course.fail(change.client.title, file, e)
        return
    if course.verb == "uninstall":
        if change.state is None:
            kept.forget(file)
        else:
            kept.write(change.state, change.before)
    say(f"{file}: written")


def _take_back(course: _Course, kept: Kept, file: Path, was: tuple[State, bytes] | None) -> None:
    """Keep what was kept before an install that did not come about."""
    if course.verb == "uninstall":
        return
    if was is None:
        kept.forget(file)
    else:
        kept.write(*was)


def _record(course: _Course, change: Change, action: str) -> None:
    """Put on the log of calls what becomes of a configuration. Raises LedgerError, KeyFileError."""
    recorder, actor = build_recorder(course.home, course.loaded, say)
    key = open_digest_key(course.home)  # a bare digest would tell whether a guess at a secret in there is right
    event = Event(
        event_type=course.verb,
        action=action,
        user_id=actor.user_id,
        tenant_id=actor.tenant_id,
        identity_source=actor.identity_source,
        identity_assurance=actor.identity_assurance,
        detail={
            "client": change.client.name,
            "servers": len(change.servers),
            "before": hmac.digest(key, change.old.data, hashlib.sha256).hex(),
            "after": hmac.digest(key, change.new, hashlib.sha256).hex(),
        },
    )
    names = ", ".join(path[-1] for path in change.servers)
    recorder.state([(event, {"file": str(change.old.file), "names": names})])
