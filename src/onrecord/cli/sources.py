# SPDX-License-Identifier: Apache-2.0
"""What a question is asked of: the record of this home, those of several homes, or a store.

`--also` names a home, or a log that was copied out of one, and `--federated` those of the settings. `--from` names a
store, by its URL or as the one of the settings. Lines of homes that are named are at hand then, too.
"""

from argparse import Namespace
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TypeAlias

from onrecord.cli.index import answers
from onrecord.cli.read import log_of
from onrecord.errors import ConfigError, OnRecordError
from onrecord.ledger.place import Home, LogFolder
from onrecord.settings import Loaded, load
from onrecord.views.answers import Answers
from onrecord.views.federation import Federation, refuse_twice
from onrecord.views.forms.offered import EXPORTS
from onrecord.views.scan import Scan
from onrecord.views.stores.address import Address, read_address, read_password
from onrecord.views.stores.answers import StoreAnswers
from onrecord.views.stores.opening import open_store
from onrecord.views.stores.table import origin_of

CONFIGURED = "store"  # what `--to` and `--from` call the store of the settings


Source: TypeAlias = Answers | Federation | StoreAnswers


def is_plural(options: Namespace) -> bool:
    """Say whether more than the ledger of this home may answer."""
    return bool(options.also or options.federated or options.store)


def check_asked(options: Namespace) -> None:
    """Raise OnRecordError for options that don't go together."""
    if is_plural(options) and options.format in EXPORTS:
        raise OnRecordError(f"--format {options.format} is of one ledger; ask one home after the other")


def where_of(options: Namespace) -> str:
    """Return what is asked besides this home, for the access log."""
    named = [options.store or "", *map(str, options.also), "federation.homes" if options.federated else ""]
    return " ".join(filter(None, named)).encode(errors="backslashreplace").decode()


@contextmanager
def source_of(options: Namespace, home: Home) -> Generator[Source]:
    """Give what answers, as the options say. Raises OnRecordError, OSError."""
    if not is_plural(options):
        log_of(home, options.log)
        with answers(home, options.log) as single:
            yield single
        return
    log: str = options.log
    loaded = load(home)
    places = _places(options, home, loaded)
    if options.store:
        here = {origin_of(folder, log): folder for folder in (folder_of(path, log) for path in places)}
        with closing(open_store(address_of(options.store, home, loaded))) as store:
            yield StoreAnswers(store, log, {name: folder for name, folder in here.items() if name})
        return
    with ExitStack() as stack:
        members = [(name, path) for path in places if (name := origin_of(_log_at(path, log), log))]
        refuse_twice([name for name, _ in members])
        if not members:
            raise OnRecordError(f"none of these homes has a log {log} yet: nothing was put on it")
        yield Federation({name: stack.enter_context(_of(path, log)) for name, path in members})


def homes_of(options: Namespace, home: Home) -> list[Home]:
    """Return the homes that are asked, this one first; copies of logs are none."""
    return [
        Home(path) for path in _places(options, home, load(home)) if (path / "ledger").is_dir() or path == home.path
    ]


def read_homes(options: Namespace, home: Home) -> list[Home]:
    """Return the homes whose access log tells of the question: this one, and each other one that has a record."""
    return [each for each in homes_of(options, home) if each.path == home.path or each.keys.is_dir()]


def address_of(named: str, home: Home, loaded: Loaded) -> Address:
    """Return the store that somebody names. Raises ConfigError."""
    settings = loaded.settings.store
    base = loaded.path.parent if loaded.path is not None else home.path
    if named == CONFIGURED and not settings.url:
        raise ConfigError("no store is set; give its URL, or set store.url")
    ca_file = str(base / settings.ca_file) if settings.ca_file else ""
    password = read_password(settings.password_file, base)
    return read_address(settings.url if named == CONFIGURED else named, password=password, ca_file=ca_file)


def folder_of(path: Path, log: str) -> LogFolder:
    """Return the folder of a log of the home at `path`, or the log itself that was copied there."""
    return LogFolder(path) if (path / "log").is_dir() else Home(path).log(log)


def _places(options: Namespace, home: Home, loaded: Loaded) -> list[Path]:
    base = loaded.path.parent if loaded.path is not None else home.path
    named = loaded.settings.federation.homes if options.federated else ()
    if options.federated and not named:
        raise ConfigError("no other homes are set; set federation.homes, or name them with --also")
    return [home.path, *options.also, *(base / Path(each).expanduser() for each in named)]


def _log_at(path: Path, log: str) -> LogFolder:
    if not any((path / part).is_dir() for part in ("ledger", "log")):
        raise OnRecordError(f"there is no record in {path}; name a home, or a copy of a log")
    return folder_of(path, log)


@contextmanager
def _of(path: Path, log: str) -> Generator[Answers]:
    folder = _log_at(path, log)
    if folder.path == path:
        yield Answers(folder, [Scan(folder)])  # a copy gets no index: nothing is written beside it
        return
    with answers(Home(path), log) as found:
        yield found
