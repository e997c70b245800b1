# SPDX-License-Identifier: Apache-2.0
"""Whether the canaries of a self-test are found by a question, by their trace and by a word."""

from collections.abc import Sequence

from onrecord.cli.canary_checks import Check
from onrecord.cli.canary_files import said
from onrecord.errors import OnRecordError
from onrecord.event.event import Event
from onrecord.ledger.place import Home
from onrecord.rules.canary import TOOL
from onrecord.views.index.layout import files_of, folder_of
from onrecord.views.index.period import Period
from onrecord.views.question import Condition, Listing, Question
from onrecord.views.tiers import answers
from onrecord.views.words import phrases_of

_BEHIND = 100_000  # events that are taken in for this; they take some seconds
_ABOUT = "indexed"


def indexed(home: Home, size: int, events: Sequence[Event]) -> Check:
    """Say whether each of `events` is found. `size` is how many entries the log had before them."""
    if not events:
        return Check("none", _ABOUT, "nothing is on the record to ask for")
    traces = tuple(sorted({event.trace_id for event in events}))
    of_traces = Condition(column="trace_id", values=traces)
    try:
        behind = size - _end(home)
        if behind > _BEHIND:
            return Check(
                "none", _ABOUT, f"the index is {behind:,} events behind; bring it up to date with: onrecord index"
            )
        with answers(home, "calls") as source:
            for question in (
                Question(conditions=(of_traces,)),
                Question(conditions=(of_traces,), phrases=phrases_of(TOOL)),
            ):
                found = {each.event.seq for each in source.list(Listing(question=question, limit=len(events) + 1))}
                if missing := {event.seq for event in events} - found:
                    return Check("fail", _ABOUT, f"entry {min(missing)} is on the record, and no question finds it")
    except (OnRecordError, OSError) as e:
        return Check("fail", _ABOUT, said(e))
    return Check("ok", _ABOUT, f"{len(events)} events are found by their trace and by words")


def _end(home: Home) -> int:
    """Return the place up to which there is an index."""
    files = files_of(folder_of(home, "calls"))
    if not files:
        return 0
    period = Period(files[-1])
    period.close()
    return period.end
