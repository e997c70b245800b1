# SPDX-License-Identifier: Apache-2.0
"""What outsiders are said to have seen of a log, until it is known which keys may have signed it.

Checkpoints that a verifier kept, and the views that lie beside a log, name sizes. What they are worth is
told when the lines were read: the hand-overs among them may lead from the verifier's keys to the one
that signed a view. Who outside is believed comes from the verifier, never from the log; what lies
beside the log and does not hold is said, and counts for nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from onrecord.errors import NotVerified
from onrecord.ledger.anchors import OutsideView, RefusedView, anchors, outside_views
from onrecord.ledger.clock import TimeText
from onrecord.ledger.cosignature import CosignerKey
from onrecord.ledger.note import Checkpoint, UnknownSigner, VerifierKey, open_checkpoint, parse_checkpoint, parse_note
from onrecord.ledger.place import LogFolder

_SHOWN = 5  # lines of anchors.ndjson that are named
_MAX_SIZES = 1 << 20  # of views beside one log: one a minute for two years


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A checkpoint that was kept elsewhere; `source` says where, for whoever is told of it."""

    source: str
    note: bytes

    @property
    def claim(self) -> Checkpoint:
        """What it says, unverified. Raises NotVerified."""
        return parse_checkpoint(parse_note(self.note).text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The views that count, what is to be said of them, and which of those that were kept don't count."""

    views: tuple[Checkpoint, ...] = ()
    remarks: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sightings:
    """What was kept elsewhere, and who is believed of those who stand by what lies beside a log."""

    kept: tuple[Kept, ...] = ()
    witnesses: tuple[CosignerKey, ...] = ()
    tsa_roots: tuple[bytes, ...] = ()

    def sizes(self, folder: LogFolder) -> set[int]:
        """Return the sizes that they speak of. Raises NotVerified where those are too many to be held; OSError."""
        found: set[int] = set()
        for kept in self.kept:
            with suppress(NotVerified):
                found.add(kept.claim.size)
        if self.witnesses or self.tsa_roots:
            with suppress(NotVerified):
                for _, anchor in anchors(folder):
                    if anchor is not None:
                        found.add(anchor.size)
                    if len(found) > _MAX_SIZES:
                        break
        if len(found) > _MAX_SIZES:
            raise NotVerified(f"anchors.ndjson names more than {_MAX_SIZES} sizes: what it says was not compared")
        return found

    def judge(self, folder: LogFolder, keys: Sequence[VerifierKey]) -> Judged:
        """Return what counts with the `keys` of the log. Raises ConfigError for a root that is none, OSError."""
        views, refused = self._kept(keys)
        denied: list[RefusedView] = []
        newest: dict[str, OutsideView] = {}
        for view in outside_views(folder, self.witnesses, self.tsa_roots, keys, refused=denied.append):
            views[view.checkpoint] = None
            before = newest.get(view.by)
            if before is None or view.checkpoint.size >= before.checkpoint.size:
                newest[view.by] = view
        return Judged(views=tuple(views), remarks=(*_said(newest), *_denied(denied)), refused=refused)

    def judge_kept(self, keys: Sequence[VerifierKey]) -> Judged:
        """As `judge`, for what has no folder of its own."""
        views, refused = self._kept(keys)
        return Judged(views=tuple(views), refused=refused)

    def _kept(self, keys: Sequence[VerifierKey]) -> tuple[dict[Checkpoint, None], tuple[str, ...]]:
        views: dict[Checkpoint, None] = {}
        refused: list[str] = []
        for kept in self.kept:
            try:
                views[open_checkpoint(kept.note, list(dict.fromkeys(keys)))] = None
            except UnknownSigner:
                refused.append(
                    f"the checkpoint {kept.source} is not one of this log, as far as the keys that were given tell: "
                    "none of them signed it; if the log's key was replaced since, give the one before too, older "
                    "first: --key OLD --key NEW"
                )
            except NotVerified as e:
                refused.append(f"the checkpoint {kept.source} is not one of this log: {e}")
        return views, tuple(refused)


def _said(newest: dict[str, OutsideView]) -> Iterator[str]:
    times = TimeText()
    for view in newest.values():
        did = "cosigned" if view.kind == "witness" else "timestamped"
        yield f"{did} by {view.by}: the first {view.checkpoint.size} entries, at {times.of(view.at_us)}"


def _denied(denied: Sequence[RefusedView]) -> Iterator[str]:
    for each in denied[:_SHOWN]:
        yield f"line {each.line} of anchors.ndjson counts for nothing: {each.reason}"
    if len(denied) > _SHOWN:
        yield f"so do {len(denied) - _SHOWN} more lines of anchors.ndjson"
