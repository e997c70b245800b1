# SPDX-License-Identifier: Apache-2.0
"""Verifies an evidence bundle: some lines of a log, and the hash tiles that prove them.

    bundle.json          {"format":1,"origin":…,"size":n,"entries":k}
    checkpoint           the signed note over all n entries
    log/<seq>.ndjson     the k chosen lines, byte for byte, in the order of the log
    tile/<L>/<N>         the tiles that lead from them to the root
    checkpoints.ndjson   the last signatures of keys that were replaced, where there are any
    anchors.ndjson       views from outside, where there are any

A bundle says nothing about the entries that it leaves out, not even when it leaves out none: the
best verdict on it is *partial*. Everything in it is an outsider's word: each line must be strictly
one event, its hash must be the leaf that the tiles hold in its place, and the tiles must give the
root that was signed, by a key that the verifier brought or by one that such a key handed over to.
Nothing is held in memory but a tile a level and the hand-overs.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import msgspec

from onrecord.errors import NotVerified
from onrecord.event.event import GENESIS_PREV_HASH, UNREADABLE
from onrecord.ledger.confined import link_in
from onrecord.ledger.epochs import BrokenChain, Epochs, HandOverEntry, WrongEpoch, hand_over_of, who_signed
from onrecord.ledger.history import read_history
from onrecord.ledger.lines import is_compressed, segment_files, torn_bytes, whole_lines
from onrecord.ledger.merkle import HASH_BYTES, leaf_hash
from onrecord.ledger.note import (
    MAX_NOTE,
    Checkpoint,
    UnknownSigner,
    Unsigned,
    VerifierKey,
    open_checkpoint,
    parse_checkpoint,
    parse_note,
)
from onrecord.ledger.place import LogFolder
from onrecord.ledger.reading import Break, strict_event
from onrecord.ledger.sightings import Sightings
from onrecord.ledger.signed import closings_of
from onrecord.ledger.smallfile import read_small
from onrecord.ledger.tiles import TILE_WIDTH, RootedTiles, tile_path
from onrecord.ledger.verify import Report, Verdict, followed_no

MANIFEST = "bundle.json"
ANCHORS = "anchors.ndjson"
ZIP_FOLDER = "evidence"  # what a zip of a bundle unpacks to
FORMAT = 1
MAX_MANIFEST = 4096  # bytes; one of ours takes some 100

_MAX_HANDOVERS = 100_000  # one an hour for eleven years; more are not held in memory


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a bundle says of itself: `entries` chosen lines of a log of `size`."""

    format: int
    origin: str
    size: Annotated[int, msgspec.Meta(ge=0)]
    entries: Annotated[int, msgspec.Meta(ge=0)]


class _Finding(Exception):
    """The first thing that is wrong with a bundle."""

    def __init__(self, verdict: Verdict, reason: str, *seqs: int) -> None:
        super().__init__(reason)
        self.verdict: Verdict = verdict
        self.reason = reason
        self.seqs = seqs


def is_bundle(path: Path) -> bool:
    """Say whether the folder at `path` claims to be an evidence bundle."""
    return (path / MANIFEST).is_file()


def verify_bundle(
    folder: LogFolder,
    keys: Sequence[VerifierKey],
    *,
    outside: Sequence[Checkpoint] = (),
    sightings: Sightings | None = None,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Return the verdict on the bundle in `folder`, never better than *partial*.

    `outside` are checkpoints that were kept elsewhere, their signatures already checked, `sightings`
    views whose signatures are not, those in the bundle among them; each that the tiles of the bundle
    can tell of must fit. `progress` is called with the count of lines.
    Raises NotVerified where a checkpoint that was kept is none of this log, OSError where a file cannot be read.
    """
    lines = _Lines(folder, progress)
    origin, size = "", 0
    try:
        if link := link_in(folder, folder.path):
            raise _Finding("altered", followed_no(link))
        manifest = _read_manifest(folder)
        note, claimed = _read_checkpoint(folder, manifest)
        doubt = _doubt_about(note, keys)
        try:
            lines.read(claimed)
            trusted = _check_signer(note, keys, lines.hand_overs(), folder)
        except _Finding as e:
            raise (doubt or e) from None  # lines under a root that nobody vouches for show nothing
        origin, size = claimed.origin, claimed.size
        _check_count(lines.count, manifest)
        seen = (sightings or Sightings()).judge(folder, trusted)
        remarks = [*_compare(lines.tiles, claimed, [*outside, *seen.views]), *seen.remarks]
        if seen.refused:
            raise NotVerified(seen.refused[0])
    except _Finding as e:
        return Report(
            verdict=e.verdict,
            reasons=(e.reason,),
            entries=lines.count,
            signed=size,
            seqs=e.seqs,
            origin=origin,
            of=size,
        )
    said = f"{lines.count} of the {size} entries of this log are here, and each is what was signed"
    return Report(
        verdict="partial",
        reasons=(said, *remarks),
        entries=lines.count,
        signed=size,
        origin=origin,
        proven=lines.count,
        of=size,
    )


# what the bundle claims


def _read_manifest(folder: LogFolder) -> Manifest:
    try:
        data = read_small(folder.path / MANIFEST, MAX_MANIFEST)
        manifest = msgspec.json.decode(data, type=Manifest)
    except FileNotFoundError:
        raise _Finding("altered", f"there is no {MANIFEST}") from None
    except (NotVerified, *UNREADABLE):
        raise _Finding("altered", f"{MANIFEST} is not what a bundle says of itself") from None
    if manifest.format != FORMAT:
        raise _Finding("altered", f"{MANIFEST} is of format {manifest.format}; this version reads format {FORMAT}")
    if format_manifest(manifest) != data:
        raise _Finding("altered", f"{MANIFEST} is not written the way a bundle is written")
    return manifest


def format_manifest(manifest: Manifest) -> bytes:
    """Return the bytes of a `bundle.json`."""
    return msgspec.json.encode(manifest) + b"\n"


def _read_checkpoint(folder: LogFolder, manifest: Manifest) -> tuple[bytes, Checkpoint]:
    """Return the note and what it says; nobody vouches for it yet."""
    try:
        note = read_small(folder.checkpoint, MAX_NOTE)
        claimed = parse_checkpoint(parse_note(note).text)
    except FileNotFoundError:
        raise _Finding("unsigned", "there is no checkpoint") from None
    except Unsigned:
        raise _Finding("unsigned", "the checkpoint carries no signature") from None
    except NotVerified as e:
        raise _Finding("altered", f"the checkpoint is malformed: {e}") from None
    if (manifest.origin, manifest.size) != (claimed.origin, claimed.size):
        raise _Finding("altered", f"{MANIFEST} and the checkpoint speak of different logs, or of different sizes")
    return note, claimed


def _doubt_about(note: bytes, keys: Sequence[VerifierKey]) -> _Finding | None:
    """Return what speaks against the checkpoint unless a hand-over explains its key."""
    try:
        open_checkpoint(note, keys)
    except UnknownSigner as e:
        return _Finding("wrong key", f"the checkpoint is not signed with the given key: {e}")
    except NotVerified as e:
        raise _Finding("altered", f"the checkpoint is not what was signed: {e}") from None
    return None


# what it proves


class _Lines:
    """One pass over the lines of a bundle, each checked against the tiles under one root."""

    tiles: RootedTiles

    def __init__(self, folder: LogFolder, progress: Callable[[int], None] | None) -> None:
        self._folder = folder
        self._progress = progress
        self._origin = ""
        self._seq = -1
        self._prev_hash = GENESIS_PREV_HASH  # that the entry after `_seq` must name
        self._hand_overs: list[HandOverEntry] = []
        self.count = 0

    def read(self, claimed: Checkpoint) -> None:
        """Prove each line to be in the tree of `claimed`."""
        self._origin = claimed.origin
        try:
            self.tiles = RootedTiles(self._read_tile, claimed.size, claimed.root)
        except NotVerified as e:
            raise _Finding("altered", f"the tiles are not those of the tree that was signed: {e}") from None
        for data in self._all():
            self._take(data)
            self.count += 1
            if self._progress is not None:
                self._progress(self.count)

    def _all(self) -> Iterator[bytes]:
        files = segment_files(self._folder)
        there = {path.name for path in self._folder.segments.iterdir()} if files else set[str]()
        if there != {file.name for file in files} or any(map(is_compressed, files)):
            raise _Finding("altered", "something else than plain lines lies where the lines of the bundle are")
        for file in files:
            try:
                for line in whole_lines(file):
                    yield line.data
            except NotVerified as e:
                raise _Finding("altered", f"line {self.count + 1} of the bundle is not an event: {e}") from None
            if torn_bytes(file):
                raise _Finding("altered", "the last line of the bundle was cut off")

    def _take(self, data: bytes) -> None:
        try:
            event = strict_event(data, self.count + 1)
        except Break as e:
            reason = e.reason.removeprefix(f"entry {e.seq}")
            raise _Finding("altered", f"line {e.seq} of the bundle{reason}") from None
        seq = event.seq
        if not 0 <= seq < self.tiles.size:
            raise _Finding("altered", f"line {self.count + 1} of the bundle claims a place that the log does not have")
        if seq <= self._seq:
            raise _Finding("altered", f"entry {seq} stands behind entry {self._seq}", seq)
        try:
            if seq != self._seq + 1:
                self._prev_hash = self.tiles.leaf(seq - 1).hex()
            leaf = self.tiles.leaf(seq)
        except NotVerified as e:
            raise _Finding("altered", f"entry {seq} cannot be proven: {e}", seq) from None
        if leaf_hash(data) != leaf:
            raise _Finding("altered", f"entry {seq} is not what was signed", seq)
        if event.prev_hash != self._prev_hash:
            raise _Finding("altered", f"entry {seq} does not follow from the entry before it", seq)
        self._seq = seq
        self._prev_hash = leaf.hex()
        hand_over = hand_over_of(event)
        if hand_over is not None and len(self._hand_overs) < _MAX_HANDOVERS:
            self._hand_overs.append(hand_over)

    def _read_tile(self, level: int, index: int, width: int) -> bytes:
        name = tile_path(level, index, width)
        try:
            return read_small(self._folder.path / name, TILE_WIDTH * HASH_BYTES)
        except FileNotFoundError:
            raise NotVerified(f"{name} is missing") from None

    def hand_overs(self) -> list[HandOverEntry]:
        """Return the hand-overs among the lines, in the order of the log, with the roots as far as the tiles tell."""
        return [replace(each, root=_root_at(self.tiles, each.size) or b"") for each in self._hand_overs]


# what that is worth


def _check_signer(
    note: bytes, keys: Sequence[VerifierKey], hand_overs: Sequence[HandOverEntry], folder: LogFolder
) -> Sequence[VerifierKey]:
    """Return the keys that the log had, as far as can be told."""
    epochs = Epochs(keys, hand_overs, closings_of(read_history(folder.checkpoints), hand_overs))
    try:
        checkpoint, signers = who_signed(note, epochs.keys)
        epochs.check(checkpoint, signers)
        return epochs.keys
    except BrokenChain as e:
        raise _Finding("altered", e.reason, *e.seqs) from None
    except WrongEpoch as e:
        raise _Finding("wrong key", e.reason, *e.seqs) from None
    except UnknownSigner as e:
        raise _Finding("wrong key", f"the checkpoint is not signed with a key that counts: {e}") from None
    except NotVerified as e:
        raise _Finding("altered", f"the checkpoint is not what was signed: {e}") from None


def _check_count(count: int, manifest: Manifest) -> None:
    if not count and not manifest.entries:
        raise _Finding("empty", "there are no entries in this bundle")
    if count != manifest.entries:
        raise _Finding("altered", f"the bundle was made of {manifest.entries} entries, and {count} are here")


def _compare(tiles: RootedTiles, claimed: Checkpoint, outside: Sequence[Checkpoint]) -> list[str]:
    """Return what is to be said of the views from outside, where none of them contradicts the bundle."""
    said: list[str] = []
    for view in outside:
        where = f"a checkpoint kept outside, of {view.size} entries,"
        if view.origin != claimed.origin:
            said.append(f"{where} is one of another log")
        elif not 0 < view.size <= claimed.size:
            said.append(f"{where} cannot be compared: this bundle was made when the log had {claimed.size}")
        elif (root := _root_at(tiles, view.size)) is None:
            said.append(f"{where} cannot be compared: this bundle lacks the tiles for that")
        elif root != view.root:
            raise _Finding("forked", f"{where} is of another tree than the one of this bundle")
        else:
            said.append(f"{where} fits this bundle")
    return said


def _root_at(tiles: RootedTiles, size: int) -> bytes | None:
    try:
        return tiles.root(size)
    except NotVerified:
        return None
