# SPDX-License-Identifier: Apache-2.0
"""Ends a log that can no longer be continued, and begins one that names the old head.

A log that was rolled back, cut or replaced is never mended: it is set aside as it is, with what its
guard knew of it, and nothing is deleted but the private key, so that nobody can sign for the old
log any more. The successor has its own name and key, as no two logs may share one, and its second
entry says which log it follows, how large that had become, and why it ended.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from onrecord.errors import LedgerRefused
from onrecord.event.redacted import Redacted
from onrecord.ledger.durable import disk_error, make_folder
from onrecord.ledger.keys import open_keys, read_keys, retire_signer
from onrecord.ledger.ledger import Ledger
from onrecord.ledger.place import Home
from onrecord.ledger.signing import SigningKeys
from onrecord.ledger.soundness import check_sound
from onrecord.ledger.tree import Guard, read_checkpoint, read_guard


@dataclass(frozen=True, slots=True, kw_only=True)
class Predecessor:
    """What is known of the log that ended."""

    origin: str
    size: int
    root: str
    kept_as: str


def reopen(home: Home, opening: Callable[[Predecessor], Redacted], *, log: str = "calls") -> Predecessor:
    """Set the log of `home` aside, begin a successor, and write `opening` as its second entry.

    Raises LedgerRefused where the log can be continued as it is, and LedgerError where the disk refuses.
    """
    signer = read_keys(home, log).signer
    _refuse_if_sound(home, log)
    guard = _known_guard(home, log)
    checkpoint = read_checkpoint(home.log(log), SigningKeys(home, log, signer.name))
    stamp = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.urandom(2).hex()}"
    kept = _place_to_keep(home, log, stamp)
    old = Predecessor(
        origin=guard.origin if guard else signer.name,
        size=guard.size if guard else checkpoint.size if checkpoint else 0,
        root=guard.root if guard else "",
        kept_as=kept.name,
    )
    if not kept.exists():
        _set_aside(home.log(log).path, kept)
    retire_signer(home, stamp, log)
    _set_aside(home.guard(log), home.guard(kept.name))  # last: until then nothing can begin under the old name
    ledger = Ledger.open(home, open_keys(home, log)[0].signer, log=log)
    ledger.append(opening(old))
    ledger.sign()
    ledger.publish()
    ledger.close()
    return old


def _refuse_if_sound(home: Home, log: str) -> None:
    try:
        check_sound(home, log)
    except LedgerRefused:
        return
    raise LedgerRefused(f"{home.log(log).path} is sound and can be continued; a successor is for one that is not")


def _place_to_keep(home: Home, log: str, stamp: str) -> Path:
    """Return where the log will be kept, or where an ending that was broken off has put it already."""
    folder = home.log(log)
    if not any(path.exists() for path in (folder.first_segment, folder.checkpoint, folder.checkpoints)):
        for path in sorted(folder.path.parent.glob(f"{log}.ended-*"), reverse=True):
            if not home.guard(path.name).exists():  # the guard follows last
                return path
    return folder.path.with_name(f"{log}.ended-{stamp}")


def _known_guard(home: Home, log: str) -> Guard | None:
    try:
        return read_guard(home.guard(log))
    except LedgerRefused:
        return None  # unreadable: the guard may be why the log ends


def _set_aside(path: Path, kept: Path) -> None:
    if not path.exists():
        return
    try:
        make_folder(kept.parent)
        os.rename(path, kept)
    except OSError as e:
        raise disk_error(e, "set aside", path) from e
