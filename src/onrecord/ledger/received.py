# SPDX-License-Identifier: Apache-2.0
"""Verifies what somebody was handed: a proof, or an evidence bundle in a zip or a folder.

A zip is unpacked into a folder that is gone afterwards, and only if every name in it is one that a
bundle has, each once, and nothing in it is larger than such a file can be: it may have been made to
write elsewhere, or to fill the disk. As everywhere, keys come from whoever verifies.
"""

import errno
import os
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from onrecord.errors import NotVerified
from onrecord.ledger.epochs import Epochs, WrongEpoch, who_signed
from onrecord.ledger.lines import CHUNK, MAX_LINE
from onrecord.ledger.merkle import HASH_BYTES
from onrecord.ledger.note import MAX_NOTE, Checkpoint, UnknownSigner, Unsigned, VerifierKey
from onrecord.ledger.place import LogFolder
from onrecord.ledger.proof import HEADER, check_carried, parse_proof
from onrecord.ledger.reading import strict_event
from onrecord.ledger.sightings import Sightings
from onrecord.ledger.smallfile import read_small
from onrecord.ledger.sparse import (
    ANCHORS,
    MANIFEST,
    MAX_MANIFEST,
    ZIP_FOLDER,
    is_bundle,
    verify_bundle,
)
from onrecord.ledger.tiles import TILE_WIDTH
from onrecord.ledger.verify import Report, Verdict

MAX_PROOF = 2 * MAX_LINE + MAX_NOTE  # bytes; the entry takes four thirds of its length
MAX_UNPACKED = 1 << 32  # bytes; a bundle of some five million entries
MAX_MEMBERS = 100_000  # files; tiles of some 25 million entries
MAX_DIRECTORY = 1 << 24  # bytes; where a zip names its files, some 100 for each of ours

_TILE = "tile/[0-7]/(?:x[0-9]{3}/){0,6}[0-9]{3}(?:\\.p/[0-9]{1,3})?"
_LIMITS: Sequence[tuple[re.Pattern[str], int]] = tuple(
    (re.compile(f"{ZIP_FOLDER}/{name}"), limit)
    for name, limit in (
        (re.escape(MANIFEST), MAX_MANIFEST),
        ("checkpoint", MAX_NOTE),
        (_TILE, TILE_WIDTH * HASH_BYTES),
        (rf"(?:checkpoints\.ndjson|{re.escape(ANCHORS)})", MAX_UNPACKED),
        (r"log/[0-9]{18}\.ndjson", MAX_UNPACKED),
    )
)

# What the standard library raises for a zip that is damaged or was made to be; RuntimeError: it asks for a password.
_DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError)


def verify_file(
    path: Path,
    keys: Sequence[VerifierKey],
    *,
    outside: Sequence[Checkpoint] = (),
    sightings: Sightings | None = None,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Return the verdict on a proof, or on a bundle in a zip or a folder; never better than *partial*.

    `outside`, `sightings` and `progress` are as for `verify_bundle`. Raises NotVerified where `path` is none of
    these, or a zip that is not unpacked, and OSError where it cannot be read.
    """
    if is_bundle(path):
        return verify_bundle(LogFolder(path), keys, outside=outside, sightings=sightings, progress=progress)
    with path.open("rb") as file:
        start = file.read(len(HEADER))
    if start == HEADER.encode():
        seen = (sightings or Sightings()).judge_kept(keys)
        return _verify_proof(path, keys, [*outside, *seen.views], seen.refused)
    if not zipfile.is_zipfile(path):
        raise NotVerified(f"{path}: this is neither a proof nor an evidence bundle")
    with unpacked(path) as folder:
        return verify_bundle(folder, keys, outside=outside, sightings=sightings, progress=progress)


# proofs


def _verify_proof(
    path: Path, keys: Sequence[VerifierKey], outside: Sequence[Checkpoint], refused: Sequence[str]
) -> Report:
    seqs: tuple[int, ...] = ()
    try:
        proof = parse_proof(read_small(path, MAX_PROOF))
        seqs = (proof.index,)
        checkpoint = check_carried(proof, keys)
        Epochs(keys, (), {}).check_newest(*who_signed(proof.note, keys))  # a proof holds no hand-over to follow
        event = strict_event(proof.extra, proof.index)
        if event.seq != proof.index:
            raise NotVerified(f"the entry at place {proof.index} claims to be another one")
    except Unsigned:
        return _refused("unsigned", "the checkpoint of the proof carries no signature", ())
    except WrongEpoch as e:
        return _refused("wrong key", e.reason, ())
    except UnknownSigner:
        reason = "the proof is not signed with the given key; a log whose key was replaced has several, one each line"
        return _refused("wrong key", reason, ())
    except NotVerified as e:
        return _refused("altered", f"the proof does not hold: {e}", seqs)
    if refused:
        raise NotVerified(refused[0])
    said = [f"entry {event.seq} is one of the {checkpoint.size} entries that were signed"]
    for view in outside:
        where = f"a checkpoint kept outside, of {view.size} entries,"
        if (view.origin, view.size) != (checkpoint.origin, checkpoint.size):
            said.append(f"{where} cannot be compared with that of this proof")
        elif view.root != checkpoint.root:
            return _refused("forked", f"{where} is of another tree than the one of this proof", ())
        else:
            said.append(f"{where} fits this proof")
    return Report(
        verdict="partial",
        reasons=tuple(said),
        entries=1,
        signed=checkpoint.size,
        origin=checkpoint.origin,
        proven=1,
        of=checkpoint.size,
    )


def _refused(verdict: Verdict, reason: str, seqs: tuple[int, ...]) -> Report:
    return Report(verdict=verdict, reasons=(reason,), entries=1, signed=0, seqs=seqs)


# zips


class _Zipped(FileIO):
    """A zip whose names are read at once by the standard library, however many there are: these are not."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Return what is there. Raises NotVerified where more is asked for than the names of a bundle take."""
        if size is None or size < 0:
            size = max(0, os.fstat(self.fileno()).st_size - self.tell())
        if size > MAX_DIRECTORY:
            raise NotVerified(f"the zip is damaged, or names more than {MAX_MEMBERS} files, the most that are unpacked")
        return super().read(size)


@contextmanager
def unpacked(path: Path) -> Generator[LogFolder]:
    """Give the bundle in the zip at `path` as a folder, for as long as the block lasts.

    Raises NotVerified where the zip is damaged or holds what a bundle does not, and OSError.
    """
    with tempfile.TemporaryDirectory(prefix="onrecord-") as scratch:
        try:
            with _Zipped(path) as file, zipfile.ZipFile(file) as packed:
                _unpack(packed, Path(scratch))
        except _DAMAGED as e:
            raise NotVerified("the zip cannot be unpacked: it is damaged, or locked with a password") from e
        except OSError as e:
            if e.errno != errno.EINVAL:  # else the zip names a place before its own beginning
                raise
            raise NotVerified("the zip cannot be unpacked: it is damaged") from e
        yield LogFolder(Path(scratch, ZIP_FOLDER))


def _unpack(packed: zipfile.ZipFile, scratch: Path) -> None:
    members = packed.infolist()
    if len(members) > MAX_MEMBERS:
        raise NotVerified(f"the zip holds {len(members)} files; {MAX_MEMBERS} is the most that are unpacked")
    left = MAX_UNPACKED
    for member in members:
        if member.filename.startswith(f"{ZIP_FOLDER}/") and member.filename.endswith("/"):
            continue  # other programs name folders; those that are needed are made for what is in them
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise NotVerified("the zip is packed in a way that is not read here")
        limit = _limit(member.filename)
        path = scratch / member.filename
        if path.exists():
            raise NotVerified("the zip holds a file twice")
        path.parent.mkdir(parents=True, exist_ok=True)
        left -= _copy(packed, member, path, min(limit, left))


def _limit(name: str) -> int:
    """Return how large the file of that name may be. Raises NotVerified where a bundle has none of it."""
    for pattern, limit in _LIMITS:
        if pattern.fullmatch(name):
            return limit
    raise NotVerified("the zip holds a file that is not one of a bundle")


def _copy(packed: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, limit: int) -> int:
    """Unpack one file, and return its length; what the zip says of that is not believed."""
    length = 0
    with packed.open(member) as source, path.open("xb") as target:
        while chunk := source.read(CHUNK):
            length += len(chunk)
            if length > limit:
                raise NotVerified(f"a file in the zip holds more than {limit} bytes")
            target.write(chunk)
    return length
