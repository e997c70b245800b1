# SPDX-License-Identifier: Apache-2.0
"""Looks at a log again and again, cheaply while nothing is wrong.

The first look verifies everything. After that a look reads what is new: the new lines must extend
the tree that was seen and give the root that is signed now, nothing may have become smaller, and no
file of lines may have changed but by growing. Whatever does not fit leads to a whole verification,
whose verdict counts; and from time to time one is made all the same: it finds what was changed in the
live segment while that was growing. This file raises no alarm; who asks is told what was found.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

from onrecord.errors import LedgerError, NotVerified
from onrecord.ledger.lines import Line, last_seq, leaf_of, lines_from, segment_files
from onrecord.ledger.merkle import Frontier
from onrecord.ledger.note import Checkpoint, VerifierKey
from onrecord.ledger.place import LogFolder
from onrecord.ledger.published import read_published
from onrecord.ledger.reading import strict_event
from onrecord.ledger.tree import load_edge, read_guard
from onrecord.ledger.verify import SIGNING_S, Report, verify

WHOLE_S = 3600.0  # between two whole verifications, while nothing is wrong

_GOOD = ("intact", "unanchored", "empty")


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the log was at the last look: signed tree, hash of the last line in it, and the files."""

    checkpoint: Checkpoint
    frontier: Frontier
    prev_hash: str
    files: "_Files"


class Watcher:
    """What one observer has seen of one log."""

    def __init__(
        self,
        folder: LogFolder,
        keys: Callable[[], Sequence[VerifierKey]],
        *,
        guard: Path | None = None,
        whole_s: float = WHOLE_S,
    ) -> None:
        """`keys` gives the verifier's keys, oldest first, at each look; `guard` is the guard of this host."""
        self._folder = folder
        self._keys = keys
        self._guard = guard
        self._whole_s = whole_s
        self._seen: _Seen | None = None
        self._whole_at = 0.0
        self.newest = ""  # when the newest entry was written

    def look(self) -> Report | None:
        """Return a verdict where the log was verified as a whole, or None where what is new fits what was seen.

        Raises LedgerRefused where the guard cannot be read, KeyFileError, OSError.
        """
        if self._seen is not None and time.monotonic() < self._whole_at:
            try:
                self._seen = self._go_on(self._seen)
                return None
            except (NotVerified, LedgerError, OSError):
                pass  # the verdict is for `verify`
        return self._verify()

    def _verify(self) -> Report:
        """Verify the whole log; what was seen of it is a view from outside, which it must extend."""
        files = _files(self._folder)
        views = [self._seen.checkpoint] if self._seen else []
        guard = read_guard(self._guard) if self._guard else None
        report = verify(self._folder, self._keys(), guard=guard, outside=views, wait_s=SIGNING_S)
        self._whole_at = time.monotonic() + self._whole_s
        self.newest = report.newest
        if report.verdict in _GOOD and report.signed:
            try:
                self._seen = self._stand(files)
            except (NotVerified, OSError):
                pass  # it has grown meanwhile, or a tile is missing: the next look is a whole one again
        return report

    def _stand(self, files: "_Files") -> _Seen:
        _, checkpoint = read_published(self._folder, self._keys())
        frontier = load_edge(self._folder, checkpoint).frontier()
        last = _next(lines_from(self._folder, checkpoint.size - 1))
        return _Seen(checkpoint, frontier, leaf_of(last.data).hex(), files)

    def _go_on(self, seen: _Seen) -> _Seen:
        """Take in what is signed by now. Raises NotVerified where it does not extend what was seen."""
        files = _files(self._folder)
        for path, was in seen.files.items():
            now = files.get(path)
            if now != was and (now is None or path != next(reversed(seen.files)) or now.bytes <= was.bytes):
                raise NotVerified(f"{path} has changed")
        _, newest = read_published(self._folder, self._keys()[-1:])  # what an older key signs is for `verify`
        guard = read_guard(self._guard) if self._guard else None
        least = max(newest.size, guard.size if guard else 0)
        if newest.size < seen.checkpoint.size or last_seq(self._folder) + 1 < least:
            raise NotVerified("the log is smaller than it was")
        frontier, prev_hash = seen.frontier.copy(), seen.prev_hash
        lines = lines_from(self._folder, frontier.size)
        while frontier.size < newest.size:
            event = strict_event((line := _next(lines)).data, frontier.size)
            if event.seq != frontier.size or event.prev_hash != prev_hash:
                raise NotVerified(f"entry {frontier.size} does not follow from the line before it")
            leaf = leaf_of(line.data)
            frontier.push(leaf)
            prev_hash = leaf.hex()
            self.newest = event.timestamp
        if frontier.root() != newest.root:
            raise NotVerified("the new lines do not give the tree that was signed")
        return _Seen(newest, frontier, prev_hash, files)


def _next(lines: Iterator[Line]) -> Line:
    """Return the next of the lines that were signed. Raises NotVerified where it is gone."""
    line = next(lines, None)
    if line is None:
        raise NotVerified("the log is smaller than what was signed")
    return line


class _File(NamedTuple):
    """What the file system says of a segment."""

    inode: int
    bytes: int
    changed_ns: int


_Files: TypeAlias = dict[Path, _File]


def _files(folder: LogFolder) -> _Files:
    """Look at each segment, oldest first."""
    found: _Files = {}
    for path in segment_files(folder):
        try:
            about = os.stat(path)
        except FileNotFoundError:
            continue  # it was compressed since it was listed
        found[path] = _File(about.st_ino, about.st_size, about.st_mtime_ns)
    return found
