# SPDX-License-Identifier: Apache-2.0
"""Going on with a log that contradicts what it has signed: only where somebody says so, and then that is recorded."""

from onrecord.cli.terminal import say
from onrecord.config import record_once
from onrecord.event.event import Event
from onrecord.ledger.place import Home
from onrecord.ledger.soundness import Unsound, check_sound
from onrecord.settings import Loaded

FLAG = "--despite-verdict"


def stop_unless_sound(home: Home, loaded: Loaded, log: str, *, despite: bool, doing: str) -> None:
    """Raise Unsound where `log` contradicts what was signed, unless `despite` that somebody goes on: that is recorded.

    `doing` says what is about to be done. Raises KeyFileError and LedgerError as `check_sound` does, and
    where it cannot be recorded that somebody goes on.
    """
    try:
        check_sound(home, log)
    except Unsound as e:
        if not despite:
            raise Unsound(log, e.report, f", or go on all the same with {FLAG}, which is recorded") from e
        event = Event(
            event_type="security",
            action="verdict_overruled",
            detail={"log": log, "verdict": e.report.verdict, "seqs": list(e.report.seqs), "doing": doing},
        )
        record_once(home, loaded, "security", event, {"reason": "; ".join(e.report.reasons)})
        say(f"the log {log} is {e.report.verdict}: {e.report.reasons[0]}; going on all the same, which is recorded")
