# SPDX-License-Identifier: Apache-2.0
"""Time as the log tells it: RFC 3339 UTC with microseconds, and never decreasing within one log."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias

from onrecord.errors import NotVerified

NowUs: TypeAlias = Callable[[], int]
"""Returns microseconds since the epoch."""


def now_us() -> int:
    """Return microseconds since the epoch by the system clock."""
    return time.time_ns() // 1000


class TimeText:
    """Writes times; the text of a second is made once."""

    def __init__(self) -> None:
        self._second = (0, "")

    def of(self, at_us: int) -> str:
        """Return `at_us` as a timestamp."""
        second, rest = divmod(at_us, 1_000_000)
        cached = self._second  # one read: two threads may be here
        if cached[0] != second:
            cached = self._second = (second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)))
        return f"{cached[1]}.{rest:06d}Z"


def parse_time(text: str) -> int:
    """Return the microseconds since the epoch of a timestamp. Raises NotVerified."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as e:
        raise NotVerified(f"{text!r} is not a time") from e
    return round(moment.timestamp() * 1_000_000)
