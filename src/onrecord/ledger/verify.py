# SPDX-License-Identifier: Apache-2.0
"""Says what became of a log, from its bytes and a public key that the verifier brings.

One strict pass over the lines (`reading.py`) gives the tree over them. It is compared with what was
signed (`signed.py`), and with views from outside: checkpoints that somebody kept elsewhere, and, on
the host itself, the guard.

A hash chain alone shows accidents. What shows intent is a key that the forger lacks, or a view
that he cannot reach: without a view from outside the best verdict is *unanchored*. This file
needs no network, no configuration and no private key, and writes nothing.
"""

import base64
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, TypeAlias

from onrecord.errors import NotVerified
from onrecord.ledger import strays
from onrecord.ledger.confined import link_in
from onrecord.ledger.epochs import BrokenChain, OldKey
from onrecord.ledger.note import BadSignature, Checkpoint, UnknownSigner, Unsigned, VerifierKey
from onrecord.ledger.place import LogFolder
from onrecord.ledger.reading import Reading
from onrecord.ledger.sightings import Sightings
from onrecord.ledger.signed import Claims, NoCheckpoint, Signed
from onrecord.ledger.tree import Guard

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
_POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a verifier found.

    `entries` counts the lines that were read as a log, `deleted` those of them that were deleted as
    the record says, `signed` those that the newest valid signature covers; `seqs` are the entries
    that the verdict is about, at most 100 of them; `newest` is when the last entry was written. Of a
    part of a log, `proven` entries are proven, `of` as many as the log had. Of one that is intact, the
    first `covered` entries are as somebody outside has seen them.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    entries: int
    signed: int
    deleted: int = 0
    seqs: tuple[int, ...] = ()
    origin: str = ""
    newest: str = ""
    torn_bytes: int = 0
    open_calls: int = 0
    same_account: bool = False
    proven: int = 0
    of: int = 0
    covered: int = 0

    @property
    def headline(self) -> str:
        """The verdict, and how far it reaches."""
        if self.verdict == "partial":
            return f"partial {self.proven} of {self.of}"
        if self.verdict == "intact" and self.covered < self.entries:
            return f"intact up to entry {self.covered - 1} of {self.entries - 1}"
        return self.verdict


def verify(
    folder: LogFolder,
    keys: Sequence[VerifierKey],
    *,
    outside: Sequence[Checkpoint] = (),
    sightings: Sightings | None = None,
    guard: Guard | None = None,
    wait_s: float = 0.0,
    within: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Return the verdict on the log in `folder`.

    `keys` are those of the log, oldest first; one of them is enough, if the log names its successors.
    `outside` are checkpoints that were kept elsewhere, their signatures already checked; `sightings` are
    views whose signatures are not checked yet, and may be by keys that the log was handed over to.
    `guard` is what this host remembers of the log, where it is verified in place. `wait_s` is how long
    a living recorder may take to sign its newest lines. `within` is the folder that somebody handed over, as
    far as it is a copy: no link in it is followed. `progress` is called with the count of bytes
    that were read of the segments. Raises NotVerified where nothing is wrong with the log and a
    checkpoint that was kept is none of it; OSError where a file cannot be read.
    """
    if within and (link := link_in(folder, within)):
        return Report(verdict="altered", reasons=(followed_no(link),), entries=0, signed=0)
    sightings = sightings or Sightings()
    try:
        claims = Claims(folder)
        sizes = sightings.sizes(folder)
    except NotVerified as e:
        return Report(verdict="altered", reasons=(str(e),), entries=0, signed=0)
    wanted = [*claims.sizes, *sizes, *(view.size for view in outside), guard.size if guard else 0]
    reading = Reading(folder, claims.likely_size(keys), wanted, progress)
    reading.read()
    signed = claims.weigh(keys, reading.hand_overs, reading.root)
    if signed.checkpoint and _is_behind(signed, reading) and reading.broken is None and wait_s:
        signed = _await_signature(folder, keys, reading, signed, wait_s)
    seen = sightings.judge(folder, signed.keys)
    views = tuple(view for view in (*outside, *seen.views) if view.size)  # the empty tree is a view of nothing
    twin = next((path.name for path in strays.twins(folder) if strays.differ(path)), "")
    verdict, reasons, seqs = _judge(_Evidence(signed, views, guard, twin), reading)
    if seen.refused and verdict in ("intact", "unanchored"):
        raise NotVerified(seen.refused[0])
    return Report(
        verdict=verdict,
        reasons=(*reasons, *reading.remarks(), *strays.remarks(folder), *seen.remarks, *seen.refused),
        entries=reading.entries,
        signed=signed.checkpoint.size if signed.checkpoint else 0,
        deleted=reading.deletions.count,
        seqs=seqs,
        origin=signed.checkpoint.origin if signed.checkpoint else "",
        newest=reading.newest,
        torn_bytes=reading.torn,
        open_calls=len(reading.open_calls),
        same_account=reading.same_account,
        covered=max(view.size for view in views) if verdict == "intact" else 0,
    )


def followed_no(link: str) -> str:
    """Return why a copy with a link in it is not what was handed over."""
    return f"{link} is a link, and a copy holds files: what it leads to is no part of it, and nothing was read"


def _is_behind(signed: Signed, reading: Reading) -> bool:
    """Say whether a living recorder has still to sign: what it wrote, or with the key that it was given."""
    assert signed.checkpoint is not None
    return reading.entries > signed.checkpoint.size or isinstance(signed.fault, OldKey)


def _await_signature(
    folder: LogFolder, keys: Sequence[VerifierKey], reading: Reading, signed: Signed, wait_s: float
) -> Signed:
    """Return the first signature that covers all that was read, or the one before if none comes."""
    end = time.monotonic() + wait_s
    while time.monotonic() < end:
        try:
            claims = Claims(folder)
        except NotVerified:
            break
        reading.want(claims.sizes)
        newer = claims.weigh(keys, reading.hand_overs, reading.root)
        if (
            newer.checkpoint is not None
            and newer.checkpoint.size >= reading.entries
            and not isinstance(newer.fault, OldKey)
        ):
            reading.read(until=newer.checkpoint.size)
            return claims.weigh(keys, reading.hand_overs, reading.root)
        time.sleep(_POLL_S)
    return signed


# the verdict


@dataclass(frozen=True, slots=True)
class _Evidence:
    signed: Signed
    outside: tuple[Checkpoint, ...]
    guard: Guard | None
    twin: str  # a segment that is there twice, with other lines

    @property
    def checkpoint(self) -> Checkpoint | None:
        return self.signed.checkpoint


_Finding: TypeAlias = tuple[Verdict, list[str], tuple[int, ...]]


def _judge(evidence: _Evidence, reading: Reading) -> _Finding:
    """Return the gravest thing that is wrong; a view from outside is worth nothing before the rest holds."""
    for check in (
        _check_lines,
        _check_twin,
        _check_signed,
        _check_history,
        _check_deletions,
        _check_epochs,
        _check_outside,
        _check_guard,
        _check_newest_key,
        _check_tail,
    ):
        finding = check(evidence, reading)
        if finding is not None:
            return finding
    if not evidence.outside:
        advice = "no view from outside; see onrecord anchor, or keep a checkpoint elsewhere (--checkpoint FILE)"
        return "unanchored", [f"all {reading.entries} entries are validly signed; {advice}"], ()
    covered = max(view.size for view in evidence.outside)
    said = f"all {reading.entries} entries are validly signed, and fit every view from outside"
    if covered < reading.entries:
        left = f"nobody outside stands by the {reading.entries - covered} behind them"
        return "intact", [f"{said}: the newest is of the first {covered} entries, and {left}"], ()
    return "intact", [said], ()


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
        order = reading.order()
        if order is None:
            return "altered", [broken.reason], (broken.seq,)
        verdict, reason, seqs = _judge_order(*order)
        return verdict, [reason, broken.reason], seqs
    if broken.kind == "form":
        return "altered", [broken.reason], (broken.seq,)
    either = tuple(seq for seq in (broken.seq - 1, broken.seq) if seq >= 0)
    off_tile = reading.off_tile
    if off_tile is None:
        return "altered", [broken.reason], either
    seqs = (off_tile,) if off_tile in either else (off_tile, *either)  # the tiles may have been altered too
    return "altered", [f"entry {off_tile} is not what was hashed", broken.reason], seqs


def _check_twin(evidence: _Evidence, _: Reading) -> _Finding | None:
    if not evidence.twin:
        return None
    return "altered", [f"{evidence.twin} is there in compressed form too, and that holds other lines"], ()


def _judge_order(start: int, seqs: Sequence[int]) -> tuple[Verdict, str, tuple[int, ...]]:
    """Say whether lines that are out of order from `start` on are all there."""
    end = start + len(seqs)
    wrong = sorted(seq for place, seq in enumerate(seqs, start) if place != seq >= 0)
    if sorted(seqs) == list(range(start, end)):
        return "reordered", f"all {end} entries are there, {len(wrong)} of them out of place", _some(wrong)
    known = sorted({start - 1, *(seq for seq in seqs if seq >= start)})
    gaps = [range(seq + 1, following) for seq, following in pairwise(known) if following > seq + 1]
    if gaps:
        first = [seq for gap in gaps[:100] for seq in gap[:100]]  # a forger may claim a seq beyond any memory
        count = sum(gap.stop - gap.start for gap in gaps)
        return "altered", f"missing, with no deletion on the record: {_listed(first, count)}", _some(first)
    return "altered", f"out of place, or there twice: {_listed(wrong, len(wrong))}", _some(wrong)


def _check_signed(evidence: _Evidence, reading: Reading) -> _Finding | None:
    signed = evidence.checkpoint
    if signed is None:
        return _doubt_about(evidence.signed.doubt)
    off_tile = reading.off_tile
    if reading.entries < signed.size and off_tile is None and evidence.signed.unfit is None:
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


def _doubt_about(doubt: NotVerified | None) -> _Finding:
    match doubt:
        case NoCheckpoint():
            return "unsigned", ["there is no checkpoint"], ()
        case Unsigned():
            return "unsigned", ["the checkpoint carries no signature"], ()
        case UnknownSigner() | None:
            return "wrong key", [f"the checkpoint is not signed with the given key: {doubt}"], ()
        case BadSignature():
            return "altered", [f"the checkpoint is not what was signed: {doubt}"], ()
        case _:
            return "altered", [f"the checkpoint is malformed: {doubt}"], ()


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


def _check_history(evidence: _Evidence, _: Reading) -> _Finding | None:
    unfit = evidence.signed.unfit
    if unfit is None:
        return None
    return (
        "forked",
        [f"an earlier checkpoint of this log covers the first {unfit.size} entries, and they were others"],
        (),
    )


def _check_epochs(evidence: _Evidence, _: Reading) -> _Finding | None:
    fault = evidence.signed.fault
    if fault is None or isinstance(fault, OldKey):
        return None
    return "altered" if isinstance(fault, BrokenChain) else "wrong key", [fault.reason], fault.seqs


def _check_newest_key(evidence: _Evidence, _: Reading) -> _Finding | None:
    fault = evidence.signed.fault  # after the views: that the log was rolled back says more
    return ("wrong key", [fault.reason], ()) if isinstance(fault, OldKey) else None


def _check_deletions(evidence: _Evidence, reading: Reading) -> _Finding | None:
    seqs, count = reading.deletions.forged(evidence.checkpoint.size if evidence.checkpoint else 0)
    if not seqs:
        return None
    reason = f"gone, and no signed deletion entry names it: {_listed(seqs, count)}"
    return "altered", [reason], tuple(seqs)


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
