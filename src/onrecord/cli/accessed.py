# SPDX-License-Identifier: Apache-2.0
"""Who looked at the record goes on the record too, into the log `access`."""

from onrecord.cli.terminal import say
from onrecord.config import record_once
from onrecord.errors import OnRecordError
from onrecord.event.event import Event
from onrecord.ledger.place import Home
from onrecord.settings import load


def accessed(home: Home, action: str, **asked: str) -> None:
    """Record that somebody looks at the record of `home`, and what they asked for.

    Whoever may read the files can read them without us, so one that cannot be recorded is said and not refused.
    """
    try:
        asked = {name: text for name, text in asked.items() if text}
        record_once(home, load(home), "access", Event(event_type="access", action=action), asked)
    except OnRecordError as e:
        say(f"this look at the record is not in the access log: {e}")
