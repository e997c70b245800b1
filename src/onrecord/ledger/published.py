# SPDX-License-Identifier: Apache-2.0
"""The checkpoint of a log where readers look for it, opened with keys that the reader brings."""

from collections.abc import Sequence

from onrecord.ledger.note import MAX_NOTE, Checkpoint, VerifierKey, open_checkpoint
from onrecord.ledger.place import LogFolder
from onrecord.ledger.smallfile import read_small


def read_published(folder: LogFolder, keys: Sequence[VerifierKey]) -> tuple[bytes, Checkpoint]:
    """Return the note and what it says. Raises as `open_checkpoint` does, NotSmall, and OSError."""
    note = read_small(folder.checkpoint, MAX_NOTE)
    return note, open_checkpoint(note, keys)
