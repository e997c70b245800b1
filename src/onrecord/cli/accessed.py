# SPDX-License-Identifier: Apache-2.0
"""Who looked at the record goes on the record too, into the log `access`."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from onrecord.cli.terminal import say
from onrecord.config import record_once
from onrecord.errors import OnRecordError
from onrecord.event.event import Event
from onrecord.ledger.place import Home
from onrecord.settings import load

LONGEST_BYTES = 24_000  # of what is asked, as JSON; a line of the log has room for that and all the rest of the event
T = TypeVar("T")


def accessed(home: Home, action: str, **asked: str) -> None:
    """Record that somebody looks at the record of `home`, and what they asked for.

    Whoever may read the files can read them without us, so one that cannot be recorded is said and not refused.
    """
    try:
        asked = {name: text for name, text in asked.items() if text}
        record_once(home, load(home), "access", Event(event_type="access", action=action), asked)
    except OnRecordError as e:
        say(f"this look at the record is not in the access log: {e}")


def accessed_in(homes: Sequence[Home], action: str, **asked: str) -> None:
    """Record that somebody looks at the records of several homes, in each of them."""
    for home in homes:
        accessed(home, action, **asked)


def answered(homes: Sequence[Home], action: str, answer: Callable[[], T], **asked: str) -> T:
    """Return an answer, and record what was asked where there is none: what fails, and how soon, is an answer too.

    Raises OnRecordError for what is too long to be recorded whole.
    """
    if (length := sum(len(msgspec.json.encode(text)) for text in asked.values())) > LONGEST_BYTES:
        raise OnRecordError(f"what is asked has {length:,} bytes, and {LONGEST_BYTES:,} have room on the access log")
    try:
        return answer()
    except BaseException:
        accessed_in(homes, action, **asked, answered="no")
        raise
