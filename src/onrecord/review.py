# SPDX-License-Identifier: Apache-2.0
"""The daily review: an event a day that says who looked at what.

It counts what the access log of one UTC day holds, and stands in the same log, so that looking at
the record leaves a trace that somebody reads. A day without a look has its review too: nobody
looked is a fact.
"""

from collections import Counter
from datetime import UTC, date, datetime, timedelta

from onrecord.errors import NotVerified
from onrecord.event.event import Event
from onrecord.event.schema import read_event
from onrecord.ledger.lines import is_tombstone, lines_from, segment_files
from onrecord.ledger.place import LogFolder

_MOST = 100  # people that a review names; it must fit a line


def due_review(access: LogFolder, today: date | None = None) -> Event | None:
    """Return the review of yesterday, or None where it is there already, or nobody ever looked before today.

    The event lacks its id and its author. Raises NotVerified, OSError where the access log cannot be read.
    """
    day = ((today or datetime.now(UTC).date()) - timedelta(days=1)).isoformat()
    looks: Counter[tuple[str, str]] = Counter()
    began = False
    for event in _events(access):
        if event.action == "review" and event.detail.get("day") == day:
            return None
        if event.timestamp[:10] <= day:
            began = True
        if event.timestamp[:10] == day and event.event_type == "access" and event.action != "review":
            looks[event.user_id, event.action] += 1
    if not began:
        return None
    people = sorted({user for user, _ in looks})
    by = {user: {action: count for (who, action), count in sorted(looks.items()) if who == user} for user in people}
    detail = {
        "day": day,
        "looks": looks.total(),
        "people": len(people),
        "by": dict(sorted(by.items(), key=lambda item: -sum(item[1].values()))[:_MOST]),
    }
    return Event(event_type="access", action="review", detail=detail)


def _events(access: LogFolder) -> list[Event]:
    if not segment_files(access):
        return []
    try:
        return [read_event(line.data) for line in lines_from(access) if not is_tombstone(line.data)]
    except NotVerified as e:
        raise NotVerified(f"the access log cannot be read: {e}; run: onrecord verify") from e
