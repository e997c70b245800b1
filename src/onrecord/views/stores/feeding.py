# SPDX-License-Identifier: Apache-2.0
"""Sends the events of a log to a store, from a cursor of its own.

    <home>/stores/<store>/<log>.json    {"next": 4711, "sent": 4709, "digest": "…"}

The cursor moves once the store has acknowledged what came before it. So whenever this process or the store dies, an
event may be sent again, and none is left out; one that is sent again is the same row. Before it goes on, the sink
looks whether the line before the cursor is still the same, and whether the store has the event that it acknowledged
last; if not, all is sent again. A store that has something else in that place has another log under this name, and
gets nothing: one of the two is not what it says.

What was deleted on the record is deleted in the store, too, when the entry comes that says so.
"""

import time
from collections.abc import Iterator
from itertools import islice
from types import TracebackType

import msgspec

from onrecord.errors import NotVerified, OnRecordError
from onrecord.event.event import Event
from onrecord.ledger.clock import parse_time
from onrecord.ledger.deletions import ranges_of
from onrecord.ledger.durable import FileLock, make_folder, replace_file
from onrecord.ledger.entries import entries_at
from onrecord.ledger.lines import Line, is_tombstone, last_seq, lines_from, read_seq, segment_files
from onrecord.ledger.place import Home
from onrecord.ledger.smallfile import MAX_STATE, read_small
from onrecord.views.line import digest_of, event_of
from onrecord.views.stores.store import Newest, Store
from onrecord.views.stores.table import origin_of, row_of

BATCH = 2_000  # lines; some 4 MB at most of what calls leave


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """How far a store is: the place that comes next, the last event that was sent, the digest of the line before."""

    next: int = 0
    sent: int = -1
    digest: str = ""


class Sink:
    """Brings a store up to date with one log of a home. One at a time holds the lock of the cursor."""

    def __init__(self, home: Home, log: str, store: Store, *, deadline_s: float, batch: int = BATCH) -> None:
        """Raises LedgerError where another process is at it until the deadline."""
        folder = home.path / "stores" / store.address.digest
        make_folder(folder)
        self._lock = FileLock(folder / f"{log}.lock")
        self._lock.acquire(time.monotonic() + deadline_s)
        self._file = folder / f"{log}.json"
        self._log = home.log(log)
        self._origin = origin_of(self._log, log)
        self._store = store
        self._batch = batch
        self._entered = False
        self._cursor = Cursor()

    def __enter__(self) -> "Sink":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.close()

    @property
    def next(self) -> int:
        """The place that comes next."""
        return self._cursor.next

    @property
    def behind(self) -> int:
        """How many places of the log come after what was sent. Raises StoreAway, OnRecordError, OSError."""
        self._enter_once()
        return last_seq(self._log) + 1 - self._cursor.next if segment_files(self._log) else 0

    def restart(self) -> None:
        """Send all again."""
        self._move(Cursor())

    def run(self) -> Iterator[int]:
        """Send what is new, and yield how many lines each batch takes in. Raises StoreAway, OnRecordError, OSError."""
        self._enter_once()
        while lines := list(islice(lines_from(self._log, self._cursor.next), self._batch)):
            events = [event for line in lines if (event := _event(line)) is not None]
            if events:
                self._store.put([row_of(self._origin, event) for event in events])
            for event in events:
                if ranges := ranges_of(event):
                    self._store.forget(self._origin, ranges)
            last = lines[-1].data
            sent = events[-1].seq if events else self._cursor.sent
            self._move(Cursor(next=read_seq(last) + 1, sent=sent, digest=digest_of(last)))
            yield len(lines)

    def _enter_once(self) -> None:
        if not self._entered:
            self._enter()
            self._entered = True

    def _enter(self) -> None:
        """Find the place to go on from."""
        newest = self._store.newest(self._origin)
        if newest is not None:
            self._compare(newest)
        try:
            cursor = msgspec.json.decode(read_small(self._file, MAX_STATE), type=Cursor)
        except (FileNotFoundError, NotVerified, msgspec.MsgspecError):
            return
        before = entries_at(self._log, [cursor.next - 1]).get(cursor.next - 1)
        same = before is not None and (digest_of(before) == cursor.digest or is_tombstone(before))
        if same and cursor.sent <= (-1 if newest is None else newest.seq):
            self._cursor = cursor

    def _compare(self, newest: Newest) -> None:
        """Raise OnRecordError unless the newest event that the store has of this log is on it, too."""
        line = entries_at(self._log, [newest.seq]).get(newest.seq)
        if line is not None and is_tombstone(line):
            return
        event = _event(Line(line, 0)) if line is not None else None
        if event is None:
            raise OnRecordError(
                f"the store has entry {newest.seq} of {self._origin}, which this home does not: was the log rolled "
                "back? run: onrecord verify"
            )
        if (event.event_id, parse_time(event.timestamp)) != (newest.event_id, newest.ts):
            raise OnRecordError(
                f"the store has another entry {newest.seq} of {self._origin} than this home: one of the two is not "
                "that log; run: onrecord verify"
            )

    def _move(self, cursor: Cursor) -> None:
        replace_file(self._file, msgspec.json.encode(cursor), durable=True)
        self._cursor = cursor


def _event(line: Line) -> Event | None:
    """Return the event of a line, or None where it is none, as it has no time, or no longer."""
    event = event_of(line.data)
    try:
        if event is not None:
            parse_time(event.timestamp)
    except NotVerified:
        return None
    return event
