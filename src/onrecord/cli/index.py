# SPDX-License-Identifier: Apache-2.0
"""`onrecord index`: what the hot index holds, brought up to date, once or as events come; and how verbs ask."""

import shutil
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import NoReturn

import msgspec

from onrecord.cli.read import log_of
from onrecord.cli.terminal import print_json, put, say
from onrecord.errors import LedgerError
from onrecord.ledger.lines import length_of, segment_files
from onrecord.ledger.place import LOGS, Home
from onrecord.settings import home_folder, load
from onrecord.views import tiers
from onrecord.views.answers import Answers
from onrecord.views.index.feed import catch_up
from onrecord.views.index.layout import files_of, folder_of
from onrecord.views.index.period import Period

_FIRST_S = 2.0  # what takes less needs no word
_POLL_S = 0.02  # between two looks for new events
_FEED_S = 10.0  # to wait for another process that feeds the index
_DAY_US = 86_400_000_000


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What the index of a log holds, in files of so many bytes."""

    log: str
    events: int
    files: int
    bytes: int


def answers(home: Home, log: str, *, wide: tiers.Wide | None = None) -> AbstractContextManager[Answers]:
    """Give what answers questions about a log, by the settings of its home."""
    return tiers.answers(home, log, since_us=_since_us(home), told=telling(), wide=wide)


def index(options: Namespace) -> int:
    """Bring the index of each log up to date, and say what it holds."""
    home = home_folder()
    since_us = _since_us(home)
    logs = [log for log in LOGS if segment_files(home.log(log))]
    if not logs and not options.follow:
        log_of(home, "calls")
    if options.rebuild:
        for log in logs:
            shutil.rmtree(folder_of(home, log), ignore_errors=True)
    for log in logs:
        catch_up(home, log, deadline_s=_FEED_S, since_us=since_us, told=telling())
    held = [_held(home, log) for log in logs]
    if options.json:
        print_json(held)
    else:
        for each in held:
            put(f"{each.log:<10} {each.events:>12,} events  {_files(each.files)}  {each.bytes / 1e6:.1f} MB")
    sys.stdout.flush()
    if options.follow:
        if not logs:
            say(f"there is no record in {home.path} yet; waiting for it")
        _follow(home, since_us)
    return 0


def _follow(home: Home, since_us: int) -> NoReturn:
    """Take in what comes, also of logs that are begun later, until told to stop."""
    seen: dict[str, int] = {}
    while True:
        for log in LOGS:
            size = sum(map(length_of, segment_files(home.log(log))[-1:]))
            if seen.get(log, 0) != size:
                seen[log] = size
                with suppress(LedgerError):  # somebody who asks is at it
                    catch_up(home, log, deadline_s=_FEED_S, since_us=since_us)
        time.sleep(_POLL_S)


def _held(home: Home, log: str) -> Held:
    events = size = 0
    files = files_of(folder_of(home, log))
    for path in files:
        period = Period(path)
        events += period.end - period.begin
        period.close()
        size += path.stat().st_size
    return Held(log=log, events=events, files=len(files), bytes=size)


def _files(count: int) -> str:
    return f"{count} file" if count == 1 else f"{count} files"


def _since_us(home: Home) -> int:
    days = load(home).settings.index.days
    return time.time_ns() // 1000 - days * _DAY_US if days else 0


def telling() -> Callable[[int], None]:
    """Return what tells a person that the index is being made, where that takes long."""
    next_at = time.monotonic() + _FIRST_S

    def tell(count: int) -> None:
        nonlocal next_at
        if sys.stderr.isatty() and time.monotonic() > next_at:
            say(f"the index is brought up to date first: {count:,} events so far")
            next_at = time.monotonic() + _FIRST_S

    return tell
