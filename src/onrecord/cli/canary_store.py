# SPDX-License-Identifier: Apache-2.0
"""Whether the canaries of a self-test reach the store of the settings, and are found by their trace there."""

import time
from collections.abc import Sequence
from contextlib import closing

from onrecord.cli.canary_checks import Check
from onrecord.cli.canary_files import said
from onrecord.cli.sources import CONFIGURED, address_of
from onrecord.errors import LedgerBusy, OnRecordError
from onrecord.event.event import Event
from onrecord.ledger.place import Home
from onrecord.settings import Loaded
from onrecord.views.question import Condition, Listing, Question
from onrecord.views.stores.answers import StoreAnswers
from onrecord.views.stores.feeding import Sink
from onrecord.views.stores.opening import open_store
from onrecord.views.stores.store import Store

_ABOUT = "delivered"
_BEHIND = 100_000  # events that are sent for this
_POLL_S = 0.2


def delivered(home: Home, loaded: Loaded, events: Sequence[Event], ends: float) -> Check:
    """Say whether each of `events` is in the store, which gets what it lacks.

    Where another process sends, that is waited for, up to `ends` on the monotonic clock.
    """
    if not loaded.settings.store.url:
        return Check("none", _ABOUT, "no store is set (store.url), so events go nowhere else")
    if not events:
        return Check("none", _ABOUT, "nothing is on the record to send")
    try:
        address = address_of(CONFIGURED, home, loaded)
        with closing(open_store(address)) as store:
            behind = _send(home, store)
            if behind is not None and behind > _BEHIND:
                more = "onrecord index --to store"
                return Check("none", _ABOUT, f"{address} is {behind:,} events behind; bring it up to date with: {more}")
            missing = _missing(store, events)
            while behind is None and missing and time.monotonic() < ends:
                time.sleep(_POLL_S)
                missing = _missing(store, events)
    except (OnRecordError, OSError) as e:
        return Check("fail", _ABOUT, said(e))
    if missing:
        return Check("fail", _ABOUT, f"entry {min(missing)} is on the record, and {address} does not have it")
    return Check("ok", _ABOUT, f"{len(events)} events are found in {address}")


def _send(home: Home, store: Store) -> int | None:
    """Send what the store lacks, unless that is too much for now; return how far behind it was.

    None says that another process sends.
    """
    store.prepare()
    try:
        with Sink(home, "calls", store, deadline_s=_POLL_S) as sink:
            if (behind := sink.behind) <= _BEHIND:
                for _ in sink.run():
                    pass
            return behind
    except LedgerBusy:
        return None


def _missing(store: Store, events: Sequence[Event]) -> set[int]:
    traces = tuple(sorted({event.trace_id for event in events}))
    question = Question(conditions=(Condition(column="trace_id", values=traces),))
    found = StoreAnswers(store, "calls", {}).list(Listing(question=question, limit=len(events) + 1))
    return {event.seq for event in events} - {each.event.seq for each in found}
