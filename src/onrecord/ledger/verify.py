# SPDX-License-Identifier: Apache-2.0
"""Says what became of a log, from its bytes and a public key that the verifier brings.

One strict pass over the lines (`reading.py`) gives the tree over them. It is compared with what was
signed, and with views from outside: checkpoints that somebody kept elsewhere, and, on the host
itself, the guard.

A hash chain alone shows accidents. What shows intent is a key that the forger lacks, or a view
that he cannot reach: without a view from outside the best verdict is *unanchored*. This file
needs no network, no configuration and no private key, and writes nothing.
"""

import base64
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

import msgspec

from onrecord.errors import NotVerified
from onrecord.event.event import UNREADABLE
from onrecord.ledger.lines import whole_lines
from onrecord.ledger.note import (
    BadSignature,
    Checkpoint,
    UnknownSigner,
    Unsigned,
    VerifierKey,
    open_checkpoint,
)
from onrecord.ledger.place import LogFolder
from onrecord.ledger.reading import Reading
from onrecord.ledger.tree import Guard, Published

Verdict: TypeAlias = Literal[
    "intact",
    "unanchored",
    "partial",
    "unsigned",
    "wrong key",
    "altered",
    "reordered",
    "truncated",
    "forked",
    "rolled back",
    "empty",
]

SIGNING_S = 2.0  # a living recorder signs what it wrote within this time


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a verifier found.

    `entries` counts the lines that were read as a log, `signed` those that the newest valid
    signature covers; `seqs` are the entries that the verdict is about, at most 100 of them. Of a
    part of a log, `proven` entries are proven, `of` as many as the log had.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    entries: int
    signed: int
    seqs: tuple[int, ...] = ()
    origin: str = ""
    torn_bytes: int = 0
    open_calls: int = 0
    same_account: bool = False
    proven: int = 0
    of: int = 0


def verify(
    folder: LogFolder,
    keys: Sequence[VerifierKey],
    *,
    outside: Sequence[Checkpoint] = (),
    guard: Guard | None = None,
    wait_s: float = 0.0,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Return the verdict on the log in `folder`.

    `outside` are checkpoints that were kept elsewhere, their signatures already checked; `guard` is
    what this host remembers of the log, where it is verified in place. `wait_s` is how long a
    living recorder may take to sign its newest lines. `progress` is called with the count of lines.
    Raises OSError where a file cannot be read.
    """
    checkpoint, doubt = _signed_state(folder, keys)
    history = _history(folder)
    if checkpoint is not None:
        checkpoint = _newest_signed(checkpoint, history, keys)
    outside = [view for view in outside if view.size]  # the empty tree is a view of nothing
    reading = Reading(folder, checkpoint.size if checkpoint else 0, progress)
    reading.want([view.size for view in (*outside, *history.values())] + ([guard.size] if guard else []))
    reading.read()
    if checkpoint and reading.entries > checkpoint.size and reading.broken is None and wait_s:
        checkpoint = _await_signature(folder, keys, reading, checkpoint, wait_s)
    verdict, reasons, seqs = _judge(_Evidence(checkpoint, doubt, tuple(outside), guard, history, tuple(keys)), reading)
    return Report(
        verdict=verdict,
        reasons=tuple(reasons + reading.remarks()),
        entries=reading.entries,
        signed=checkpoint.size if checkpoint else 0,
        seqs=seqs,
        origin=checkpoint.origin if checkpoint else "",
        torn_bytes=reading.torn,
        open_calls=len(reading.open_calls),
        same_account=reading.same_account,
    )


# what was signed

_Doubt: TypeAlias = tuple[Verdict, str]


def _signed_state(folder: LogFolder, keys: Sequence[VerifierKey]) -> tuple[Checkpoint | None, _Doubt | None]:
    """Return the log's latest checkpoint, or why it does not count."""
    try:
        return open_checkpoint(folder.checkpoint.read_bytes(), keys), None
    except FileNotFoundError:
        return None, ("unsigned", "there is no checkpoint")
    except Unsigned:
        return None, ("unsigned", "the checkpoint carries no signature")
    except UnknownSigner as e:
        return None, ("wrong key", f"the checkpoint is not signed with the given key: {e}")
    except BadSignature as e:
        return None, ("altered", f"the checkpoint is not what was signed: {e}")
    except NotVerified as e:
        return None, ("altered", f"the checkpoint is malformed: {e}")


def _history(folder: LogFolder) -> dict[bytes, Checkpoint]:
    """Return what the history of checkpoints says, by its notes; lines that say nothing are left out."""
    found: dict[bytes, Checkpoint] = {}
    if not folder.checkpoints.is_file():
        return found
    with contextlib.suppress(NotVerified):
        for line in whole_lines(folder.checkpoints):
            with contextlib.suppress(ValueError, *UNREADABLE):
                published = msgspec.json.decode(line.data, type=Published)
                root = base64.b64decode(published.root, validate=True)
                if published.size > 0:  # the empty tree says nothing
                    found[published.note.encode()] = Checkpoint(origin="", size=published.size, root=root)
    return found


def _newest_signed(checkpoint: Checkpoint, history: dict[bytes, Checkpoint], keys: Sequence[VerifierKey]) -> Checkpoint:
    """Return the newest checkpoint that is validly signed: the history may be ahead of what is published."""
    for note, said in sorted(history.items(), key=lambda item: item[1].size, reverse=True):
        if said.size <= checkpoint.size:
            break
        with contextlib.suppress(NotVerified):
            newer = open_checkpoint(note, keys)
            if newer.size == said.size:  # the line may have been changed around its note
                return newer
    return checkpoint


def _await_signature(
    folder: LogFolder, keys: Sequence[VerifierKey], reading: Reading, checkpoint: Checkpoint, wait_s: float
) -> Checkpoint:
    """Return the first checkpoint that covers all that was read, or the one before if none comes."""
    end = time.monotonic() + wait_s
    while time.monotonic() < end:
        newer, _ = _signed_state(folder, keys)
        newer = _newest_signed(newer, _history(folder), keys) if newer else None
        if newer is not None and newer.size >= reading.entries:
            reading.want([newer.size])
            reading.read(until=newer.size)
            return newer
        time.sleep(0.05)
    return checkpoint


# the verdict


@dataclass(frozen=True, slots=True)
class _Evidence:
    checkpoint: Checkpoint | None
    doubt: _Doubt | None
    outside: tuple[Checkpoint, ...]
    guard: Guard | None
    history: dict[bytes, Checkpoint]
    keys: tuple[VerifierKey, ...]


_Finding: TypeAlias = tuple[Verdict, list[str], tuple[int, ...]]


def _judge(evidence: _Evidence, reading: Reading) -> _Finding:
    """Return the gravest thing that is wrong; a view from outside is worth nothing before the rest holds."""
    for check in (_check_lines, _check_signed, _check_outside, _check_guard, _check_history, _check_tail):
        finding = check(evidence, reading)
        if finding is not None:
            return finding
    if not evidence.outside:
        advice = "no view from outside; keep a checkpoint elsewhere and give it with --checkpoint FILE"
        return "unanchored", [f"all {reading.entries} entries are validly signed; {advice}"], ()
    return (
        "intact",
        [f"all {reading.entries} entries are validly signed, and fit every view from outside"],
        (),
    )


def _check_lines(evidence: _Evidence, reading: Reading) -> _Finding | None:
    broken, signed = reading.broken, evidence.checkpoint
    if broken is None:
        if reading.entries:
            return None
        before = signed.size if signed else evidence.guard.size if evidence.guard else 0
        return (
            "empty",
            [f"there are no entries; {before} had been signed" if before else "there are no entries"],
            (),
        )
    if broken.kind == "order":
        verdict, reason, seqs = _judge_order(reading.order())
        return verdict, [broken.reason, reason], seqs
    if broken.kind == "form":
        return "altered", [broken.reason], (broken.seq,)
    either = tuple(seq for seq in (broken.seq - 1, broken.seq) if seq >= 0)
    off_tile = reading.off_tile
    if off_tile is None:
        return "altered", [broken.reason], either
    seqs = (off_tile,) if off_tile in either else (off_tile, *either)  # the tiles may have been altered too
    return "altered", [broken.reason, f"entry {off_tile} is not what was hashed"], seqs


def _judge_order(seqs: list[int]) -> tuple[Verdict, str, tuple[int, ...]]:
    """Say whether lines that are out of order are all there."""
    wrong = sorted(seq for place, seq in enumerate(seqs) if place != seq)
    if sorted(seqs) == list(range(len(seqs))):
        return "reordered", f"all {len(seqs)} entries are there, {len(wrong)} of them out of place", _some(wrong)
    known = sorted({-1, *(seq for seq in seqs if seq >= 0)})
    gaps = [range(seq + 1, following) for seq, following in pairwise(known) if following > seq + 1]
    if gaps:
        first = [seq for gap in gaps[:100] for seq in gap[:100]]  # a forger may claim a seq beyond any memory
        count = sum(gap.stop - gap.start for gap in gaps)
        return "altered", f"missing, with no deletion on the record: {_listed(first, count)}", _some(first)
    return "altered", f"out of place, or there twice: {_listed(wrong, len(wrong))}", _some(wrong)


def _check_signed(evidence: _Evidence, reading: Reading) -> _Finding | None:
    signed = evidence.checkpoint
    if signed is None:
        verdict, reason = evidence.doubt or ("unsigned", "there is no checkpoint")
        return verdict, [reason], ()
    off_tile = reading.off_tile
    if reading.entries < signed.size and off_tile is None and _fits_history(evidence, reading):
        reason = f"{signed.size} entries were signed and {reading.entries} are there"
        return (
            "truncated",
            [f"{reason}: the last {signed.size - reading.entries} are gone"],
            _some(range(reading.entries, signed.size)),
        )
    if reading.entries < signed.size or reading.root(signed.size) != signed.root:
        where = "" if off_tile is None else f"; entry {off_tile} is the first that is not what was hashed"
        return (
            "altered",
            [f"the lines do not give the tree that was signed{where}"],
            (() if off_tile is None else (off_tile,)),
        )
    return None


def _check_outside(evidence: _Evidence, reading: Reading) -> _Finding | None:
    for view in evidence.outside:
        finding = _compare(view.size, view.root, "a checkpoint kept outside", reading)
        if finding is not None:
            return finding
    return None


def _check_guard(evidence: _Evidence, reading: Reading) -> _Finding | None:
    guard = evidence.guard
    if guard is None or not guard.size:
        return None
    return _compare(guard.size, base64.b64decode(guard.root), "the guard of this host", reading)


def _fits_history(evidence: _Evidence, reading: Reading) -> bool:
    """Say whether what is left is the beginning of what was signed, as far as earlier signatures tell."""
    return all(
        said.size > reading.entries
        or reading.root(said.size) == said.root
        or not _has_signed(note, said, evidence.keys)
        for note, said in evidence.history.items()
    )


def _check_history(evidence: _Evidence, reading: Reading) -> _Finding | None:
    for note, said in evidence.history.items():
        finding = _compare(said.size, said.root, "an earlier checkpoint of this log", reading)
        if finding is not None and _has_signed(note, said, evidence.keys):
            return finding
    return None


def _has_signed(note: bytes, said: Checkpoint, keys: Sequence[VerifierKey]) -> bool:
    """Say whether `note` is signed, and says what its line in the history does."""
    try:
        signed = open_checkpoint(note, keys)
    except NotVerified:
        return False
    return (signed.size, signed.root) == (said.size, said.root)


def _compare(size: int, root: bytes, source: str, reading: Reading) -> _Finding | None:
    if size > reading.entries:
        reason = f"{source} covers {size} entries, and this log holds {reading.entries}"
        return "rolled back", [reason], _some(range(reading.entries, size))
    if reading.root(size) != root:
        return "forked", [f"{source} covers the first {size} entries, and they were others"], ()
    return None


def _check_tail(evidence: _Evidence, reading: Reading) -> _Finding | None:
    signed = evidence.checkpoint.size if evidence.checkpoint else 0
    if reading.entries == signed:
        return None
    reason = (
        f"the first {signed} entries are validly signed, the last {reading.entries - signed} not yet: "
        "a recorder that was killed leaves them so, and the next one to start signs them"
    )
    return "unsigned", [reason], _some(range(signed, reading.entries))


def _some(seqs: Sequence[int]) -> tuple[int, ...]:
    return tuple(seqs[:100])  # enough to look at; the reason says how many there are


def _listed(seqs: Sequence[int], count: int) -> str:
    head = ", ".join(map(str, seqs[:5]))
    more = f" and {count - 5} more" if count > 5 else ""
    return f"entry {head}{more}" if count == 1 else f"entries {head}{more}"
