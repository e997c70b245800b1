# SPDX-License-Identifier: Apache-2.0
"""Gives a log a new signing key while recorders go on writing to it.

Living recorders notice at their next signature. The old private key is destroyed: from then on
nobody, not even who steals the new one, can sign another version of what was signed before.
"""

import time
from dataclasses import dataclass

from onrecord.ledger.handover import begin_hand_over
from onrecord.ledger.keys import read_keys
from onrecord.ledger.ledger import DEADLINE_S, Ledger
from onrecord.ledger.note import VerifierKey
from onrecord.ledger.place import Home
from onrecord.ledger.signing import SigningKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """The key that signed until now, and the one that signs from here on."""

    old: VerifierKey
    new: VerifierKey


def rotate(home: Home, log: str = "calls", *, deadline_s: float = DEADLINE_S) -> Rotation:
    """Hand `log` over to a new key, or finish a hand-over that was broken off.

    Raises KeyFileError where the log has no key, and LedgerError where it cannot be written or signed:
    then either nothing has changed, or the next signature of whoever it is finishes the hand-over.
    """
    signer = read_keys(home, log).signer
    ledger = Ledger.open(home, signer, log=log, deadline_s=deadline_s)
    try:
        keys = SigningKeys(home, log, signer.name)
        old = keys.signer().vkey
        new = begin_hand_over(ledger.folder, keys, deadline=time.monotonic() + deadline_s)
        ledger.publish(deadline_s=deadline_s)
    finally:
        ledger.close()
    return Rotation(old=old, new=new)
