# SPDX-License-Identifier: Apache-2.0
"""Times as people write them: `30d` is so long ago, `yesterday` begins at midnight (UTC), and dates are ISO 8601."""

import re
import time
from argparse import ArgumentTypeError
from datetime import UTC, datetime

from onrecord.errors import OnRecordError

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
_AGO = re.compile(r"([0-9]{1,9})([smhdwy])")
_LONGEST_S = 100 * 366 * 86400
_DAY_S = 86400


def duration_s(text: str) -> int:
    """Return the seconds that `text` spells: a number and s, m, h, d, w or y. Raises ArgumentTypeError."""
    match = _AGO.fullmatch(text)
    if match is None:
        raise ArgumentTypeError(f"{text[:20]!r} is no duration; give a number and a unit: 90s, 15m, 1h, 2d")
    seconds = int(match[1]) * _UNITS_S[match[2]]
    if seconds > _LONGEST_S:
        raise ArgumentTypeError(f"{text[:20]!r} is longer than a hundred years")
    return seconds


def instant_us(text: str, option: str) -> int:
    """Return the microseconds since 1970 that `text` names; a time without a zone is in UTC.

    Raises OnRecordError, which names the `option` that it was given to.
    """
    if _AGO.fullmatch(text):
        try:
            return time.time_ns() // 1000 - duration_s(text) * 1_000_000
        except ArgumentTypeError as e:
            raise OnRecordError(f"{option} {text[:40]!r}: {e}") from None
    if text in ("now", "today", "yesterday"):
        now_s = time.time_ns() // 1_000_000_000
        midnight_s = now_s - now_s % _DAY_S
        return {"now": now_s, "today": midnight_s, "yesterday": midnight_s - _DAY_S}[text] * 1_000_000
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return round(moment.timestamp() * 1_000_000)
    except (ValueError, OverflowError):
        raise OnRecordError(
            f"{option} {text[:40]!r} is not a time; say how long ago, as 30d or 12h, a date as 2026-11-21 or "
            "2026-11-21T09:30:00Z, today or yesterday"
        ) from None


def span_us(since: str | None, until: str | None) -> tuple[int | None, int | None]:
    """Return from when on and until when `--since` and `--until` ask, in µs; None where an option is not given.

    Raises OnRecordError, also where no time is between them.
    """
    since_us = None if since is None else instant_us(since, "--since")
    until_us = None if until is None else instant_us(until, "--until")
    if since_us is not None and until_us is not None and until_us <= since_us:
        raise OnRecordError(f"--until {until} is not after --since {since}: no time is between them")
    return since_us, until_us
