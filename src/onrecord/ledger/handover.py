# SPDX-License-Identifier: Apache-2.0
"""How one signing key takes over from another, so that the old one can be destroyed.

Steps, each of them durable before the next, all under the publish lock:

    1. the key file names both keys: a hand-over is under way
    2. an entry says so, at some seq h, with both public halves
    3. the old key signs a last time, exactly h+1 entries
    4. the new public half joins the old ones; then the key file names the new key alone
    5. the new key signs the same h+1 entries, and whatever comes after them

A process may die between any two. Whoever signs next finds two keys in the file and goes on at the
step that is missing; with one key in the file, nothing is missing but perhaps the fifth, which
the next signature does by itself (`tree.py`). So nothing behind h is ever signed with the old key,
and a verifier can tell when an old key signs (`epochs.py`).
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from onrecord.errors import LedgerError, LedgerRefused, NotVerified, plainly
from onrecord.event.ids import uuid7
from onrecord.event.redacted import own_fact
from onrecord.event.schema import read_event
from onrecord.ledger.durable import FileLock
from onrecord.ledger.epochs import hand_over_of
from onrecord.ledger.lines import lines_from
from onrecord.ledger.note import SignerKey, VerifierKey
from onrecord.ledger.place import LogFolder
from onrecord.ledger.signing import SigningKeys
from onrecord.ledger.tree import Tree


def begin_hand_over(folder: LogFolder, keys: SigningKeys, *, deadline: float) -> VerifierKey:
    """Take the first step, unless it was taken before, and return the key that will sign.

    Whoever signs next takes the others. Raises LedgerError.
    """
    lock = FileLock(folder.publish_lock)
    try:
        lock.acquire(deadline)
        pair = keys.handing_over()
        if pair is None:
            pair = keys.signer(), SignerKey(name=keys.origin, private=Ed25519PrivateKey.generate())
            keys.begin(*pair)
        return pair[1].vkey
    finally:
        lock.close()


@dataclass(frozen=True, slots=True)
class HandOver:
    """What is needed of an open log to finish a hand-over."""

    folder: LogFolder
    keys: SigningKeys
    append: Callable[..., object]
    unsigned: Callable[[float], list[bytes]]
    """Returns the leaves since those that `Tree` knows to be signed, other processes' among them."""
    flush: Callable[[], int]

    def __call__(self, tree: Tree, old: SignerKey, new: SignerKey, at: str, deadline: float) -> None:
        """Take the steps that are missing, under the publish lock. Raises LedgerError."""
        seq = self._entry(tree.size, old, new)
        if seq is None:
            detail: dict[str, str | int | bool] = {
                "epoch": sum(key != new.vkey for key in self.keys.vkeys()),
                "old_vkey": str(old.vkey),
                "new_vkey": str(new.vkey),
            }
            event_id = uuid7(time.time_ns() // 1_000_000, os.urandom(10))
            entry = own_fact("key", event_id=event_id, action="rotate", detail=detail)
            self.append(entry, deadline_s=max(0.0, deadline - time.monotonic()))
            seq = self._entry(tree.size, old, new)
        if seq is None:
            raise LedgerRefused(f"the hand-over of the key was written to {self.folder.path} and is not there")
        leaves = self.unsigned(deadline)
        self.flush()
        tree.close_epoch(leaves, seq + 1, old, at)
        self.keys.settle(new)

    def _entry(self, signed: int, old: SignerKey, new: SignerKey) -> int | None:
        """Return where the entry of this hand-over stands: last among the signed ones, or behind them."""
        try:
            for line in lines_from(self.folder, max(0, signed - 1)):
                if b'"action":"rotate"' not in line.data:
                    continue
                event = read_event(line.data)
                found = hand_over_of(event)
                if found and (found.old, found.new) == (str(old.vkey), str(new.vkey)):
                    return event.seq
        except (OSError, NotVerified) as e:
            raise LedgerError(f"cannot look for the hand-over of the key in {self.folder.path}: {plainly(e)}") from e
        return None
