# SPDX-License-Identifier: Apache-2.0
"""What a door remembers of the log that it writes to, in its own home: the newest tree that was vouched for.

    receipts/<hash of the origin>   origin, key, size, root and signed note, as one JSON object

Every door is so a small witness: a log that was rolled back, forked or swapped can't show that it
extends what the door has seen. A file of another kind than this one is refused, not replaced.
"""

from hashlib import sha256
from pathlib import Path

import msgspec

from onrecord.errors import LedgerError, LedgerRefused, NotVerified
from onrecord.event.event import UNREADABLE
from onrecord.ledger.durable import disk_error, make_folder, replace_file
from onrecord.ledger.messages import hash_of
from onrecord.ledger.note import Checkpoint
from onrecord.ledger.place import Home
from onrecord.ledger.smallfile import MAX_STATE, read_small


class Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One log as this home knows it. `service` is the socket through which it came to know it."""

    origin: str
    vkey: str
    log: str
    service: str
    size: int
    root: str
    note: str

    @property
    def seen(self) -> Checkpoint:
        """The tree that was vouched for. Raises NotVerified where its root is none."""
        return Checkpoint(origin=self.origin, size=self.size, root=hash_of(self.root))


def receipts_folder(home: Home) -> Path:
    """Return where a home keeps them."""
    return home.path / "receipts"


def receipt_file(home: Home, origin: str) -> Path:
    """Return the file for the log of `origin`."""
    return receipts_folder(home) / sha256(origin.encode()).hexdigest()[:32]


def read_receipts(home: Home) -> list[Kept]:
    """Return every log that this home knows. Raises LedgerRefused where a file can't be read."""
    folder = receipts_folder(home)
    paths = sorted(path for path in folder.glob("*") if not path.name.startswith(".")) if folder.is_dir() else []
    return [_read(path) for path in paths]


def seen_of(home: Home, origin: str) -> Checkpoint | None:
    """Return the newest tree of `origin` that was vouched for here. Raises LedgerRefused where it can't be read."""
    path = receipt_file(home, origin)
    return _read(path).seen if path.exists() else None


def keep(home: Home, kept: Kept) -> None:
    """Remember `kept`, unless a larger tree of the same log is remembered already. Raises LedgerError."""
    path = receipt_file(home, kept.origin)
    try:
        make_folder(path.parent)
        if path.exists() and _read(path).size > kept.size:
            return
    except OSError as e:
        raise disk_error(e, "write", path) from e
    replace_file(path, msgspec.json.encode(kept) + b"\n", durable=False)


def _read(path: Path) -> Kept:
    try:
        kept = msgspec.json.decode(read_small(path, MAX_STATE), type=Kept)
        _ = kept.seen
    except (OSError, NotVerified, LedgerError, *UNREADABLE) as e:
        raise LedgerRefused(
            f"{path} is not a receipt: {type(e).__name__}; "
            "restore it, or remove it if the log was ended and begun anew on purpose"
        ) from e
    return kept
