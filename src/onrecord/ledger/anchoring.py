# SPDX-License-Identifier: Apache-2.0
"""Gets views of a log from outside: cosignatures, timestamps, and a copy of the checkpoint somewhere else.

What comes back is verified before it is kept, with the keys and roots of the plan. Services are
asked one after the other, each within its own limit; one that fails does not keep the next from
being asked, and nothing of the log waits for any of them. This file keeps no time of its own: the
recorder or a person decides when to anchor.
"""

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from onrecord.errors import Contradicted, NotAnchored, NotVerified, OnRecordError
from onrecord.ledger.anchors import anchor_of, anchors, append_anchor
from onrecord.ledger.clock import NowUs, TimeText, now_us
from onrecord.ledger.cosignature import CosignerKey
from onrecord.ledger.durable import FileLock, replace_file
from onrecord.ledger.history import read_history
from onrecord.ledger.merkle import tree_root
from onrecord.ledger.note import MAX_NOTE, Checkpoint, VerifierKey, open_checkpoint, parse_note
from onrecord.ledger.place import LogFolder
from onrecord.ledger.post import TIMEOUT_S
from onrecord.ledger.published import read_published
from onrecord.ledger.smallfile import NotSmall, read_small
from onrecord.ledger.tiles import reader_over_tiles
from onrecord.ledger.timestamp import ask_tsa, load_roots
from onrecord.ledger.tree import read_tile
from onrecord.ledger.witness import Witness, ask_witness

LOCK_S = 30.0  # for another process that anchors the same log: some services, each with its limit


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorPlan:
    """Whom to ask: witnesses, and timestamp authorities with the certificates (PEM or DER) that they must lead to."""

    witnesses: tuple[Witness, ...] = ()
    tsa_urls: tuple[str, ...] = ()
    tsa_roots: tuple[bytes, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.witnesses or self.tsa_urls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of asking one service, `at` its URL: a view by `by` at `at_us`, or `problem`."""

    kind: Literal["witness", "timestamp"]
    url: str
    by: str = ""
    at_us: int = 0
    problem: OnRecordError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchoring:
    """The checkpoint that was shown outside, as the bytes of its note, and what came of it."""

    checkpoint: Checkpoint
    note: bytes
    outcomes: tuple[Outcome, ...]


def newest_checkpoint(folder: LogFolder, log_keys: Sequence[VerifierKey]) -> tuple[bytes, Checkpoint]:
    """Return the newest published checkpoint of a log, its note and what that says.

    Raises NotAnchored where there is none yet, NotVerified where it is not signed with one of `log_keys`.
    """
    try:
        note, checkpoint = read_published(folder, log_keys)
    except FileNotFoundError:
        raise NotAnchored(f"{folder.path} has no checkpoint yet; the first onrecord run makes one") from None
    except OSError as e:
        raise NotAnchored(f"cannot read {folder.checkpoint}: {os.strerror(e.errno or 0).lower()}") from e
    if not checkpoint.size:
        raise NotAnchored(f"{folder.path} holds no entries yet")
    return note, checkpoint


def anchor(
    folder: LogFolder,
    log_keys: Sequence[VerifierKey],
    plan: AnchorPlan,
    *,
    timeout_s: float = TIMEOUT_S,
    now: NowUs = now_us,
) -> Anchoring:
    """Show the newest checkpoint of a log to all of `plan`, and keep what they answer in its `anchors.ndjson`.

    `timeout_s` is for one service. It may be called from any thread. What goes wrong with a service is
    in its outcome; a `Contradicted` among them means that the log was rolled back or forked. Raises
    NotAnchored or NotVerified where there is nothing to show, LedgerBusy where another process does not
    stop anchoring, LedgerError, ConfigError for a root that is no certificate.
    """
    newest_checkpoint(folder, log_keys)  # before a lock is made in a folder that is not a log
    asking = _Asking(folder, log_keys, plan, timeout_s=timeout_s, now=now)
    lock = FileLock(folder.anchor_lock)
    try:
        lock.acquire(time.monotonic() + LOCK_S)
        return asking.all()
    finally:
        lock.close()


class _Asking:
    """One round of questions."""

    def __init__(
        self, folder: LogFolder, log_keys: Sequence[VerifierKey], plan: AnchorPlan, *, timeout_s: float, now: NowUs
    ) -> None:
        self._folder = folder
        self._keys = log_keys
        self._plan = plan
        self._roots = load_roots(plan.tsa_roots)
        self._timeout_s = timeout_s
        self._now = now
        self._time = TimeText()

    def all(self) -> Anchoring:
        note, checkpoint = newest_checkpoint(self._folder, self._keys)  # again: it may have grown meanwhile
        known = _known_sizes(self._folder, [witness.key for witness in self._plan.witnesses])
        outcomes = [
            _outcome("witness", one.url, partial(self._cosigned, note, checkpoint, one, known.get(one.key, 0)))
            for one in self._plan.witnesses
        ] + [
            _outcome("timestamp", url, partial(self._timestamped, note, checkpoint, url)) for url in self._plan.tsa_urls
        ]
        return Anchoring(checkpoint=checkpoint, note=note, outcomes=tuple(outcomes))

    def _cosigned(self, note: bytes, checkpoint: Checkpoint, witness: Witness, known_size: int) -> tuple[str, int]:
        got = ask_witness(
            self._folder,
            note,
            checkpoint,
            witness,
            known_size=known_size,
            signed_size=lambda: _signed_size(self._folder, self._keys, checkpoint.size),
            timeout_s=self._timeout_s,
        )
        append_anchor(self._folder, anchor_of("witness", checkpoint, got.note, self._time.of(self._now())))
        return witness.key.name, got.cosignature.at_s * 1_000_000

    def _timestamped(self, note: bytes, checkpoint: Checkpoint, url: str) -> tuple[str, int]:
        if not self._roots:
            raise NotAnchored("without a root, no timestamp can be verified; give the authority's root certificate")
        token, said = ask_tsa(url, note, self._roots, timeout_s=self._timeout_s)
        append_anchor(self._folder, anchor_of("timestamp", checkpoint, note, self._time.of(self._now()), token))
        return said.by, said.at_us


def _outcome(kind: Literal["witness", "timestamp"], url: str, ask: Callable[[], tuple[str, int]]) -> Outcome:
    try:
        by, at_us = ask()
    except OnRecordError as e:
        return Outcome(kind=kind, url=url, problem=e)
    return Outcome(kind=kind, url=url, by=by, at_us=at_us)


def _known_sizes(folder: LogFolder, keys: Sequence[CosignerKey]) -> dict[CosignerKey, int]:
    """Return the largest size that each witness cosigned, by our own file: a guess that saves a question."""
    found: dict[CosignerKey, int] = {}
    wanted = {(key.name, key.key_id): key for key in keys}
    with contextlib.suppress(NotVerified, OSError):
        for _, line in anchors(folder):
            if line is None or line.kind != "witness":
                continue
            with contextlib.suppress(NotVerified, ValueError):
                for signature in parse_note(line.note.encode()).signatures:
                    key = wanted.get((signature.name, signature.key_id))
                    if key is not None:
                        found[key] = max(line.size, found.get(key, 0))
    return found


def _signed_size(folder: LogFolder, keys: Sequence[VerifierKey], published: int) -> int:
    """Return the largest size that the history of checkpoints shows to be signed, at least `published`."""
    with contextlib.suppress(OSError):
        for said in read_history(folder.checkpoints):
            if said.size > published:
                with contextlib.suppress(NotVerified):
                    published = max(published, open_checkpoint(said.note, keys).size)
    return published


def keep_copy(folder: LogFolder, log_keys: Sequence[VerifierKey], path: Path) -> Checkpoint:
    """Put the newest checkpoint into the file `path`, durably, if it extends the one that is there.

    So a file on another disk, or in a repository that others pull, is a witness of the simplest kind.
    Raises Contradicted where the file holds a larger or another history of this log, NotAnchored
    where it holds something else, which is left alone, or there is nothing to copy, LedgerError
    where it cannot be written.
    """
    note, checkpoint = newest_checkpoint(folder, log_keys)
    try:
        before = read_small(path, MAX_NOTE)
    except FileNotFoundError:
        before = b""
    except NotSmall as e:
        raise NotAnchored(f"{path} holds something else than a checkpoint of this log, and is left alone: {e}") from e
    except OSError as e:
        raise NotAnchored(f"cannot read {path}: {os.strerror(e.errno or 0).lower()}") from e
    if before:
        kept = _kept(before, log_keys, path)
        if kept.size > checkpoint.size:
            raise _larger(kept.size, checkpoint, _signed_size(folder, log_keys, checkpoint.size), path)
        _check_extends(folder, checkpoint, kept, path)
    replace_file(path, note, durable=True, theirs=True)
    return checkpoint


def _kept(data: bytes, log_keys: Sequence[VerifierKey], path: Path) -> Checkpoint:
    try:
        return open_checkpoint(data, log_keys)
    except NotVerified as e:
        raise NotAnchored(f"{path} holds something else than a checkpoint of this log, and is left alone: {e}") from e


def _larger(size: int, checkpoint: Checkpoint, signed_size: int, path: Path) -> NotVerified | NotAnchored:
    if size <= signed_size:  # a power cut may take back what was published, never what was signed
        return NotAnchored(f"this log has signed {size} entries and not published them again yet; onrecord run does")
    return Contradicted("rolled back", f"{path} covers {size} entries, and this log shows {checkpoint.size}")


def _check_extends(folder: LogFolder, checkpoint: Checkpoint, kept: Checkpoint, path: Path) -> None:
    read = reader_over_tiles(lambda level, index, width: read_tile(folder, level, index, width), checkpoint.size)
    try:
        fits = tree_root(checkpoint.size, read) == checkpoint.root
        same = tree_root(kept.size, read) == kept.root
    except NotVerified as e:
        raise NotAnchored(f"it cannot be told whether the log extends {path}: {e}") from e
    if not fits:
        raise NotAnchored("the tiles do not fit the checkpoint; the next onrecord run mends them")
    if not same:
        raise Contradicted("forked", f"{path} covers the first {kept.size} entries, and they were others")
