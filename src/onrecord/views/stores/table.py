# SPDX-License-Identifier: Apache-2.0
"""The table of events in a store, the same in each: all that an event says, and which log it stands in.

A row is known by `origin`, the name of its log, and `seq`; so events of several hosts lie in one table, and one that is
sent again is the same row. Further columns are those of `audit_events`, and `words`: what a search looks in, with a
blank before and behind each word. The hash of the line before is left out: a store proves nothing.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from onrecord.errors import NotVerified
from onrecord.event.event import UNREADABLE, Event
from onrecord.event.schema import read_event
from onrecord.ledger.lines import leaf_of, lines_from
from onrecord.ledger.place import LogFolder
from onrecord.views.columns import COLUMNS, Value, text_of, value_of

TABLE = "audit_events"
FIRST = ("origin", "log")
NAMES = (*FIRST, *(column.name for column in COLUMNS), "words")
KEYED = ("origin", "log", "seq", "ts")
"""Columns that say something in each row."""

IDS = ("event_id", "call_id", "correlation_id", "trace_id", "approval_id", "session_id", "user_id", "resource")
"""Columns that are asked for by one of very many values."""

_MADE = ("ts", "resource")
_LONGEST = 200  # characters of a name; ours have some thirty


def row_of(origin: str, event: Event) -> tuple[Value, ...]:
    """Return the row of an event of a log: what `NAMES` names."""
    return (origin, log_of(origin), *[value_of(event, column) for column in COLUMNS], f" {text_of(event)} ")


def event_of(values: Sequence[Value]) -> Event:
    """Return the event whose row says `values` in the columns of `COLUMNS`; all but `prev_hash` is as it was.

    Raises NotVerified where no event says that.
    """
    said: dict[str, Any] = {}
    try:
        for column, value in zip(COLUMNS, values, strict=True):
            if value is None or column.name in _MADE:
                continue
            if column.kind == "json":
                said[column.name] = msgspec.json.decode(str(value))
            else:
                said[column.name] = bool(value) if column.kind == "boolean" else value
        return msgspec.convert(said, Event)
    except UNREADABLE as e:
        raise NotVerified("a row of the store is none of an event") from e


def log_of(origin: str) -> str:
    """Return which log of a home the one of that name is."""
    return origin.rpartition("/")[2]


def origin_of(folder: LogFolder, log: str) -> str:
    """Return the name that a log has everywhere: what its keys are named by, as its first line says.

    A log whose first line names none is named by the hash of that line. "" where there is no line yet.
    """
    line = next(lines_from(folder), None)
    if line is None:
        return ""
    try:
        event = read_event(line.data)
    except NotVerified:
        event = Event()
    origin = event.detail.get("origin") if event.event_type == "log_open" else None
    if isinstance(origin, str) and log_of(origin) == log and len(origin) <= _LONGEST:
        return origin
    return f"unnamed/{leaf_of(line.data).hex()[:12]}/{log}"
