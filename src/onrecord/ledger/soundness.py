# SPDX-License-Identifier: Apache-2.0
"""Whether a log of this host is what it has signed: what verify would say, before somebody goes on with it.

Opening a log looks at its end alone, as that is quick. Who ends it, gives it a new key, or begins a
day's work on it asks here first. What is derived and can be made again, such as a checkpoint that was
lost, is made again before the look, and is no reason to stop.
"""

from onrecord.errors import LedgerRefused
from onrecord.ledger.keys import own_verifiers, read_keys
from onrecord.ledger.ledger import DEADLINE_S, Ledger
from onrecord.ledger.lines import length_of, segment_files
from onrecord.ledger.place import Home
from onrecord.ledger.tree import read_guard
from onrecord.ledger.verify import SIGNING_S, Report, verify

QUICK_BYTES = 4 * 1024 * 1024  # of segments on disk; some tenths of a second
GOOD = ("intact", "unanchored", "unsigned")  # unsigned: others are writing


class Unsound(LedgerRefused):
    """The log contradicts what was signed; `report` is what verify says of it."""

    def __init__(self, log: str, report: Report, more: str = "") -> None:
        super().__init__(
            f"the log {log} is {report.verdict}: {report.reasons[0]}; see: onrecord verify; "
            f"begin a successor with: onrecord ledger reopen --reason TEXT{more}"
        )
        self.log = log
        self.report = report


def check_sound(home: Home, log: str = "calls", *, deadline_s: float = DEADLINE_S) -> None:
    """Raise Unsound where a log of `home` contradicts what was signed, having made again what can be made again.

    Raises KeyFileError, and LedgerError where the log cannot even be opened; OSError where it cannot be read.
    """
    ledger = Ledger.open(home, read_keys(home, log).signer, log=log, deadline_s=deadline_s)
    try:
        ledger.publish(deadline_s=deadline_s)
    finally:
        ledger.close()
    keys = own_verifiers(home, log)
    for wait_s in (0.0, SIGNING_S):  # the second for who is just about to sign
        report = verify(home.log(log), keys, guard=read_guard(home.guard(log)), wait_s=wait_s)
        if report.verdict in GOOD:
            return
    raise Unsound(log, report)


def is_quick(home: Home, log: str = "calls") -> bool:
    """Say whether there is a log, and one that is looked at in no time."""
    return 0 < sum(map(length_of, segment_files(home.log(log)))) <= QUICK_BYTES
