# SPDX-License-Identifier: Apache-2.0
"""`onrecord index --to`: the events of this home, sent to a store, once or as they come.

Sent once, what goes wrong is an error. Whoever follows tries again for ever while the store is away, at longer and
longer intervals, and says so once.
"""

import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, closing
from random import SystemRandom

from onrecord.cli.accessed import accessed
from onrecord.cli.index import index as bring_up_to_date
from onrecord.cli.index import telling
from onrecord.cli.sources import address_of
from onrecord.cli.terminal import print_json, put, say
from onrecord.errors import LedgerBusy, OnRecordError
from onrecord.ledger.lines import segment_files
from onrecord.ledger.place import LOGS, Home
from onrecord.settings import home_folder, load
from onrecord.views.stores.address import Address
from onrecord.views.stores.feeding import Sink
from onrecord.views.stores.opening import open_store
from onrecord.views.stores.store import StoreAway

_LOCK_S = 5.0  # to wait for another process that sends
_POLL_S = 0.2  # between two looks for new events
_FIRST_S, _LONGEST_S = 0.5, 60.0  # between two tries


def index(options: Namespace) -> int:
    """Send events to a store if one is named, else bring the index of this home up to date."""
    return _send(options, home_folder()) if options.to else bring_up_to_date(options)


def _send(options: Namespace, home: Home) -> int:
    """Send what is new, or all of it; go on if asked to. Raises StoreAway, OnRecordError, OSError."""
    address = address_of(options.to, home, load(home))
    accessed(home, "send", store=str(address))
    if options.follow:
        _follow(home, address, rebuild=options.rebuild)
    sent = _once(home, address, rebuild=options.rebuild)
    if options.json:
        print_json([{"log": log, "lines": count, "store": str(address)} for log, count in sent.items()])
    else:
        for log, count in sent.items():
            put(f"{log:<10} {count:>12,} lines sent to {address}")
    return 0


def _once(home: Home, address: Address, *, rebuild: bool) -> dict[str, int]:
    with _Sinks(home, address) as sinks:
        if rebuild:
            sinks.restart()
        return dict(sinks.round())


def _follow(home: Home, address: Address, *, rebuild: bool) -> None:
    """Send what comes, until told to stop."""
    failures = 0
    while True:
        try:
            with _Sinks(home, address) as sinks:
                if rebuild:
                    sinks.restart()
                    rebuild = False
                while True:
                    for _ in sinks.round():
                        pass
                    if failures:
                        say(f"{address} is back")
                        failures = 0
                    time.sleep(_POLL_S)
        except StoreAway as e:
            if not failures:
                say(f"{e}; trying again until it does")
                sys.stderr.flush()
            wait_s = min(_LONGEST_S, _FIRST_S * 2 ** min(failures, 16))
            failures += 1
            time.sleep(SystemRandom().uniform(0, wait_s))


class _Sinks:
    """One for each log of a home that has begun, over one connection."""

    def __init__(self, home: Home, address: Address) -> None:
        self._home = home
        self._stack = ExitStack()
        self._store = self._stack.enter_context(closing(open_store(address)))
        self._sinks: dict[str, Sink] = {}
        self._prepared = False
        self._tell = telling()

    def __enter__(self) -> "_Sinks":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def restart(self) -> None:
        """Let all be sent again."""
        self._open()
        for sink in self._sinks.values():
            sink.restart()

    def round(self) -> Iterator[tuple[str, int]]:
        """Send what is new, and yield how many lines there were of each log."""
        self._open()
        for log, sink in self._sinks.items():
            total = 0
            for count in sink.run():
                total += count
                self._tell(total)
            yield log, total

    def _open(self) -> None:
        if not self._prepared:
            self._store.prepare()
            self._prepared = True
        for log in LOGS:
            if log not in self._sinks and segment_files(self._home.log(log)):
                self._sinks[log] = self._sink(log)

    def _sink(self, log: str) -> Sink:
        try:
            return self._stack.enter_context(Sink(self._home, log, self._store, deadline_s=_LOCK_S))
        except LedgerBusy as e:
            raise OnRecordError(f"another process sends the log {log} to this store; one at a time does") from e
