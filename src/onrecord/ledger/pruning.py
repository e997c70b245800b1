# SPDX-License-Identifier: Apache-2.0
"""Deletes lines from sealed segments, so that the log still proves everything that stays.

Steps: an entry says what goes and why; a signature covers that entry, and is published; only then
tombstones take the places of the lines, a segment at a time. A segment is rewritten beside the old
one, read again, and compared leaf by leaf with what was signed before it takes the old one's name.
What a crash leaves half done is done by the next call: the entry says what was meant.

The newest segment is never touched. Entries that others rest on stay whatever is asked for: how the
log began, how its keys were handed over, and what was deleted. Which lines are due is not decided
here.
"""

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from onrecord.errors import LedgerError, LedgerRefused, NotVerified
from onrecord.event.ids import uuid7
from onrecord.event.redacted import deletion
from onrecord.event.schema import read_event
from onrecord.ledger.deletions import ranges_of, without
from onrecord.ledger.durable import FileLock, disk_error, open_private, sync_all, sync_folder, write_all
from onrecord.ledger.frames import FRAME_LINES, compress
from onrecord.ledger.keys import read_keys
from onrecord.ledger.ledger import DEADLINE_S, Ledger
from onrecord.ledger.lines import (
    blocks,
    compressed_form,
    is_compressed,
    leaf_of,
    read_tombstone,
    segment_files,
    write_tombstone,
)
from onrecord.ledger.merkle import Frontier
from onrecord.ledger.note import Checkpoint
from onrecord.ledger.place import Home, LogFolder
from onrecord.ledger.signing import SigningKeys
from onrecord.ledger.tree import read_last_signed

Ranges: TypeAlias = list[tuple[int, int]]
"""`(first, last)` each, both included, ascending, without overlap."""

_KEPT_TYPES = ("log_open", "key", "retention")
_KEPT_MARKS = tuple(f'"event_type":"{name}"'.encode() for name in _KEPT_TYPES)
_SEALED_MODE = 0o400
_A_LINE = 600  # ranges that a deletion entry names; a line holds some 700 of the longest


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """What a deletion came to: the entries that say so, the lines that are gone, and how many those are."""

    entries: tuple[int, ...]
    ranges: tuple[tuple[int, int], ...]
    count: int


def delete(
    home: Home, ranges: Iterable[tuple[int, int]], rule: str, *, log: str = "calls", deadline_s: float = DEADLINE_S
) -> Deleted:
    """Delete the lines of `ranges`, `(first, last)` each, and finish what an earlier call left half done.

    `rule` is the name of the rule that demands it. Lines that are gone already, and those that others
    rest on, are left out of what is returned. Raises ValueError for ranges that are none, and
    LedgerError where a line is not sealed, or the log contradicts what was signed: then nothing is gone.
    """
    wanted = _merged(ranges)
    signer = read_keys(home, log).signer
    ledger = Ledger.open(home, signer, log=log, deadline_s=deadline_s)
    lock = FileLock(ledger.folder.seal_lock)  # nobody else changes what is sealed
    try:
        lock.acquire(time.monotonic() + deadline_s)
        ledger.publish(deadline_s=deadline_s)
        signed = read_last_signed(ledger.folder, SigningKeys(home, log, signer.name))
        survey = _survey(ledger.folder, signed)
        if wanted and wanted[-1][1] >= survey.sealed:
            raise LedgerError(f"entry {wanted[-1][1]} is not in a sealed segment; those end before {survey.sealed}")
        due = _left(wanted, survey)
        entries = [_record(ledger, due[at : at + _A_LINE], rule) for at in range(0, len(due), _A_LINE)]
        if entries:
            ledger.publish(deadline_s=deadline_s)  # before a byte goes: a signature covers the entry that says so
        for place, entry in enumerate(entries):
            survey.said.append(_Said(entry, rule, due[place * _A_LINE : (place + 1) * _A_LINE]))
        _bury(survey)
    finally:
        lock.close()
        ledger.close()
    return Deleted(entries=tuple(entries), ranges=tuple(due), count=sum(last - first + 1 for first, last in due))


def _record(ledger: Ledger, ranges: Ranges, rule: str) -> int:
    event_id = uuid7(time.time_ns() // 1_000_000, os.urandom(10))
    return ledger.append(deletion(event_id=event_id, ranges=ranges, rule=rule)).seq


# what there is


@dataclass(frozen=True, slots=True)
class _Said:
    """What a deletion entry says goes."""

    entry: int
    rule: str
    ranges: Ranges


@dataclass(frozen=True, slots=True)
class _Segment:
    """A sealed segment: its lines from `first` to before `end`, and a digest of their leaves."""

    path: Path
    first: int
    end: int
    leaves: bytes


@dataclass(slots=True)
class _Survey:
    """One reading of the whole log, whose leaves give the tree that was signed."""

    segments: list[_Segment] = field(default_factory=list["_Segment"])
    said: list[_Said] = field(default_factory=list["_Said"])
    kept: Ranges = field(default_factory=list[tuple[int, int]])
    gone: Ranges = field(default_factory=list[tuple[int, int]])
    sealed: int = 0


def _survey(folder: LogFolder, signed: Checkpoint | None) -> _Survey:
    survey, frontier, root = _Survey(), Frontier(), b""
    try:
        for path in segment_files(folder):
            first, digest = frontier.size, sha256()
            survey.sealed = first  # the last of them is not
            for line in _lines(path):
                leaf = _look_at(line, frontier.size, survey)
                frontier.push(leaf)
                digest.update(leaf)
                if signed is not None and frontier.size == signed.size:
                    root = frontier.root()
            survey.segments.append(_Segment(path, first, frontier.size, digest.digest()))
    except NotVerified as e:
        raise LedgerRefused(f"altered: {folder.path}, at entry {frontier.size}: {e}; run: onrecord verify") from e
    except OSError as e:
        raise disk_error(e, "read", Path(e.filename or folder.path)) from e
    if signed is None or root != signed.root:
        raise LedgerRefused(f"altered: {folder.path} does not give the tree that was signed; run: onrecord verify")
    del survey.segments[-1:]
    return survey


def _look_at(line: bytes, seq: int, survey: _Survey) -> bytes:
    """Take in what a line means for deletions, and return its leaf."""
    if read_tombstone(line) is not None:
        _add(survey.gone, seq)
    elif any(mark in line for mark in _KEPT_MARKS):
        event = read_event(line)
        if event.event_type in _KEPT_TYPES:
            _add(survey.kept, seq)
        if (ranges := ranges_of(event)) and ranges[-1][1] < seq:
            survey.said.append(_Said(seq, str(event.detail.get("rule", "")), ranges))
    return leaf_of(line)


def _lines(path: Path) -> Iterator[bytes]:
    for block in blocks(path):
        yield from block


# what goes


def _bury(survey: _Survey) -> None:
    """Put tombstones in place of every line that a signed entry says is deleted, in sealed segments."""
    for segment in survey.segments:
        due: list[tuple[int, int, _Said]] = []
        for said in survey.said:
            left = _left(said.ranges, survey)
            due.extend((first, last, said) for first, last in left if first < segment.end and last >= segment.first)
        if due:
            _rewrite(segment, sorted(due, key=lambda each: each[0]))


def _rewrite(segment: _Segment, due: Sequence[tuple[int, int, _Said]]) -> None:
    """Replace a segment by a compressed one with tombstones in it.

    Compressed also where it was not yet: recorders may have the plain file open, and expect a sealed
    one to go that way only. Raises LedgerError; the old one is there until the new one is.
    """
    path = segment.path
    target = path if is_compressed(path) else compressed_form(path)
    scratch = path.with_name(f".{path.name}.pruned.zst")
    try:
        scratch.unlink(missing_ok=True)
        fd = open_private(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            lines = _buried(path, segment.first, due)
            for part in compress(iter(lambda: b"".join(islice(lines, FRAME_LINES)), b"")):
                write_all(fd, part)
            os.fchmod(fd, _SEALED_MODE)
            sync_all(fd)
        finally:
            os.close(fd)
        if _leaves_in(scratch) != (segment.end - segment.first, segment.leaves):
            raise LedgerRefused(f"{path} was not rewritten as it was signed; it stays as it is")
        os.replace(scratch, target)
        sync_folder(path.parent)
        if target != path:
            path.unlink()
            sync_folder(path.parent)
    except OSError as e:
        raise disk_error(e, "rewrite", path) from e
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)


def _buried(path: Path, seq: int, due: Sequence[tuple[int, int, _Said]]) -> Iterator[bytes]:
    """Yield the lines of a segment that begins at `seq`, with line feeds and tombstones in place of what is `due`."""
    at = 0
    for line in _lines(path):
        while at < len(due) and due[at][1] < seq:
            at += 1
        goes = at < len(due) and due[at][0] <= seq and read_tombstone(line) is None
        kept = write_tombstone(seq, leaf_of(line), rule=due[at][2].rule, entry=due[at][2].entry) if goes else line
        yield kept + b"\n"
        seq += 1


def _leaves_in(path: Path) -> tuple[int, bytes]:
    count, digest = 0, sha256()
    for line in _lines(path):
        digest.update(leaf_of(line))
        count += 1
    return count, digest.digest()


# ranges


def _merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    found: Ranges = []
    for first, last in sorted(ranges):
        if not 0 <= first <= last:
            raise ValueError(f"entries {first} to {last} are no range")
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return found


def _add(ranges: Ranges, seq: int) -> None:
    if ranges and ranges[-1][1] == seq - 1:
        ranges[-1] = (ranges[-1][0], seq)
    else:
        ranges.append((seq, seq))


def _left(ranges: Ranges, survey: _Survey) -> Ranges:
    """Return what of `ranges` may go and is not gone."""
    return list(without(without(ranges, survey.kept), survey.gone))
