# SPDX-License-Identifier: Apache-2.0
"""A log of several tiles, of one epoch or of two, and copies of it in an attacker's hands."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from tests.ledger.logs import Log, entry, log_in

from onrecord.ledger.keys import read_keys, read_verifiers
from onrecord.ledger.note import Checkpoint, SignerKey, VerifierKey, open_checkpoint
from onrecord.ledger.place import LogFolder
from onrecord.ledger.rotation import rotate
from onrecord.ledger.signing import verifier_file
from onrecord.ledger.tree import Guard, read_guard
from onrecord.ledger.verify import Report, Verdict, verify

LAST = 620  # the seq of the last entry: two full tiles and a part of a third
HANDED = 250  # the seq of the hand-over, in a log of two epochs


@dataclass(frozen=True, slots=True)
class Original:
    """A log, its keys, and the one that it began with, of which a thief took a copy in time."""

    log: Log
    first: SignerKey
    keys: tuple[VerifierKey, ...]

    @property
    def signer(self) -> SignerKey:
        """The key that signs now."""
        return read_keys(self.log.home).signer

    @property
    def epochs(self) -> int:
        return len(self.keys)


def original_in(path: Path, epochs: int) -> Original:
    """Return a log that was signed now and then as it grew, and whose key was handed over if `epochs` is 2."""
    log = log_in(path)
    first = log.signer
    ledger = log.open(wid="w")
    while ledger.size <= LAST:
        if ledger.size == HANDED and epochs == 2:
            rotate(log.home)
            ledger.publish()
        ledger.append(entry(ledger.size, phase=""))
        if ledger.size % 100 == 44:
            ledger.publish()
    ledger.publish()
    ledger.close()
    return Original(log, first, tuple(read_verifiers(str(verifier_file(log.home)))))


@dataclass(frozen=True, slots=True)
class Copy:
    """A log in an attacker's hands."""

    original: Original
    folder: LogFolder

    @property
    def file(self) -> Path:
        return self.folder.first_segment

    def lines(self) -> list[bytes]:
        return self.file.read_bytes().split(b"\n")[:-1]

    def put(self, lines: Sequence[bytes], *, end: bytes = b"\n") -> None:
        self.file.write_bytes(b"".join(line + end for line in lines))

    def verify(self, **options: Any) -> Report:
        report = verify(self.folder, self.original.keys, **options)
        assert report.verdict in get_args(Verdict)
        assert report.reasons
        return report

    @property
    def kept(self) -> Checkpoint:
        """The original's checkpoint, as somebody outside keeps it."""
        return open_checkpoint(self.original.log.folder.checkpoint.read_bytes(), self.original.keys)

    @property
    def guard(self) -> Guard | None:
        return read_guard(self.original.log.guard)


def copy_of(original: Original, path: Path) -> Copy:
    """Return a copy of the log at `path`."""
    shutil.copytree(original.log.folder.path, path)
    return Copy(original, LogFolder(path))


def edited(line: bytes) -> bytes:
    """Return a line that says something else, and is as long."""
    changed = line.replace(b"read_file", b"send_mail")
    assert changed != line
    assert len(changed) == len(line)
    return changed
