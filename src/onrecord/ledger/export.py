# SPDX-License-Identifier: Apache-2.0
"""Writes an evidence bundle: chosen entries of a log, with no more of it than proves them.

A bundle is written under a scratch name, read back and verified, and only then given its name, so
what has that name was whole once and held. Form and verdict are those of `sparse.py`.

With the chosen lines go the entries that handed the signing key over, with what both keys signed at
that moment, so that the first key of a log is enough to verify with; and a few views from outside.
"""

import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from onrecord.errors import NotVerified
from onrecord.ledger.durable import FILE_MODE, disk_error, make_folder, open_private, replace_file
from onrecord.ledger.enclosures import key_changes, views
from onrecord.ledger.evidence import Signed, chosen_lines, leaves, newest_signed, tiles_of
from onrecord.ledger.note import VerifierKey
from onrecord.ledger.place import LogFolder
from onrecord.ledger.reading import strict_event
from onrecord.ledger.sparse import ANCHORS, FORMAT, MANIFEST, ZIP_FOLDER, Manifest, format_manifest, verify_bundle
from onrecord.ledger.tiles import TILE_WIDTH, EdgeTiles, RootedTiles, needed_tiles, tile_path

_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can tell: the same bundle is the same bytes
_TAKE = 4096  # leaves; full tiles pile up in memory in between


def export_bundle(folder: LogFolder, keys: Sequence[VerifierKey], seqs: Iterable[int], out: Path) -> Manifest:
    """Write the entries `seqs` of a log to `out`, a folder, or a zip if so named, and say what is in it.

    Raises NotVerified where `out` is there already, where an entry is not signed yet, gone, or not
    what was signed, or where the log's checkpoint is not signed by one of `keys`; a LedgerError
    where the disk refuses, and OSError where the log cannot be read.
    """
    signed = newest_signed(folder, keys)
    if signed is None:
        raise NotVerified(f"nothing in {folder.path} is signed yet")
    chosen = sorted(set(seqs))
    if chosen and not 0 <= chosen[0] <= chosen[-1] < signed.checkpoint.size:
        raise NotVerified(f"the log is signed for entries 0 to {signed.checkpoint.size - 1}, and others were chosen")
    if os.path.lexists(out):
        raise NotVerified(f"{out} is there already; name another place")
    if not out.parent.is_dir():
        raise NotVerified(f"there is no folder {out.parent} to write to")
    scratch = out.with_name(f".{out.name}.{os.getpid()}")
    made, packed = scratch / ZIP_FOLDER, scratch / "packed"
    try:
        shutil.rmtree(scratch, ignore_errors=True)  # of a process of the same number that was killed
        make_folder(made, durable=False)
        manifest = _write(folder, signed, chosen, LogFolder(made))
        report = verify_bundle(LogFolder(made), keys)
        if report.verdict != "partial":
            raise NotVerified(f"what the log holds does not verify: {report.reasons[0]}; run: onrecord verify")
        if out.suffix == ".zip":
            _pack(made, packed)
            made = packed
        os.rename(made, out)
    except OSError as e:
        if e.filename is not None and not str(e.filename).startswith(str(scratch)):
            raise  # it is the log that cannot be read
        raise disk_error(e, "write", out) from e
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return manifest


def _write(folder: LogFolder, signed: Signed, chosen: Sequence[int], bundle: LogFolder) -> Manifest:
    checkpoint = signed.checkpoint
    if not chosen:
        raise NotVerified("no entry was chosen")
    changes = key_changes(folder, checkpoint.size)
    handovers = [change.size - 1 for change in changes if _hands_over(folder, change.size - 1)]
    seqs = sorted({*chosen, *handovers})
    outside = views(folder, seqs[-1] + 1, checkpoint.size)
    sizes = {change.size for change in changes} | {view.size for view in outside}
    _write_lines(bundle, seqs, chosen_lines(folder, seqs))
    _write_tiles(folder, signed, needed_tiles(checkpoint.size, seqs, sizes), bundle)
    for path, lines in (
        (bundle.checkpoints, [line for change in changes for line in change.lines]),
        (bundle.path / ANCHORS, [view.line for view in outside]),
    ):
        if lines:
            replace_file(path, b"".join(line + b"\n" for line in lines), durable=False, theirs=True)
    replace_file(bundle.checkpoint, signed.note, durable=False, theirs=True)
    manifest = Manifest(format=FORMAT, origin=checkpoint.origin, size=checkpoint.size, entries=len(seqs))
    replace_file(bundle.path / MANIFEST, format_manifest(manifest), durable=False, theirs=True)
    return manifest


# lines


def _write_lines(bundle: LogFolder, seqs: Sequence[int], lines: Iterator[tuple[int, bytes]]) -> None:
    make_folder(bundle.segments, durable=False)
    count = 0
    with os.fdopen(
        open_private(bundle.segments / f"{seqs[0]:018d}.ndjson", os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb"
    ) as file:
        for seq, line in lines:
            if seq != seqs[count]:
                raise NotVerified(f"entry {seqs[count]} was signed and is gone; run: onrecord verify")
            file.write(line + b"\n")
            count += 1
    if count < len(seqs):
        raise NotVerified(f"entry {seqs[count]} was signed and is gone; run: onrecord verify")


# tiles


def _write_tiles(folder: LogFolder, signed: Signed, needed: set[tuple[int, int, int]], bundle: LogFolder) -> None:
    """Write the needed tiles from those of the log, or from its lines where they don't hold."""
    checkpoint = signed.checkpoint
    try:
        tiles = RootedTiles(tiles_of(folder), checkpoint.size, checkpoint.root)
        for level, index, width in sorted(needed):
            _write_tile(bundle, level, index, width, tiles.read(level, index, width))
    except NotVerified:
        _rebuild_tiles(folder, signed, needed, bundle)


def _rebuild_tiles(folder: LogFolder, signed: Signed, needed: set[tuple[int, int, int]], bundle: LogFolder) -> None:
    edge = EdgeTiles()

    def take() -> None:
        for level, index, data in edge.take_full():
            if (level, index, TILE_WIDTH) in needed:
                _write_tile(bundle, level, index, TILE_WIDTH, data)

    for leaf in leaves(folder, signed.checkpoint.size):
        edge.push(leaf)
        if edge.size % _TAKE == 0:
            take()
    take()
    for level, index, width, data in edge.partials():
        _write_tile(bundle, level, index, width, data)
    if edge.root() != signed.checkpoint.root:
        raise NotVerified("neither the tiles nor the lines give the tree that was signed; run: onrecord verify")


def _write_tile(bundle: LogFolder, level: int, index: int, width: int, data: bytes) -> None:
    path = bundle.path / tile_path(level, index, width)
    make_folder(path.parent, durable=False)
    replace_file(path, data, durable=False, theirs=True)


def _hands_over(folder: LogFolder, seq: int) -> bool:
    for _, line in chosen_lines(folder, [seq]):
        event = strict_event(line, seq)
        return event.event_type == "key" and event.action == "rotate"
    return False


# a zip


def _pack(folder: Path, out: Path) -> None:
    """Write a bundle as a zip, the same bytes for the same bundle."""
    with (
        os.fdopen(open_private(out, os.O_RDWR | os.O_CREAT | os.O_TRUNC), "w+b") as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as packed,
    ):
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            member = zipfile.ZipInfo(f"{ZIP_FOLDER}/{path.relative_to(folder).as_posix()}", _ZIP_TIME)
            member.external_attr = FILE_MODE << 16
            member.file_size = path.stat().st_size
            with path.open("rb") as source, packed.open(member, "w") as target:
                shutil.copyfileobj(source, target)
