# SPDX-License-Identifier: Apache-2.0
"""Asks a witness to cosign the newest checkpoint of a log (C2SP tlog-witness, `add-checkpoint`).

A witness remembers the last checkpoint that it cosigned, and cosigns a newer one only with the
proof that the log has merely grown since. So a witness that refuses for that reason knows of a
history that is no longer there: that is the alarm for which it is asked, and it has a type of its
own. Everything else that can go wrong is the service's affair, and may be tried again.

Nothing that a witness says is believed but its signature, made with the key that the caller gave.
Refusals are not signed: the proof behind an alarm is the evidence that the witness keeps.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from onrecord.errors import ConfigError, Contradicted, NotAnchored, NotVerified
from onrecord.ledger.cosignature import Cosignature, CosignerKey, verify_cosignatures
from onrecord.ledger.merkle import HashReader, check_consistency, consistency_path, tree_root
from onrecord.ledger.note import Checkpoint, parse_note, signature_line
from onrecord.ledger.place import LogFolder
from onrecord.ledger.post import TIMEOUT_S, Answer, check_url, post
from onrecord.ledger.submission import Submission, format_submission
from onrecord.ledger.tiles import reader_over_tiles
from onrecord.ledger.tree import read_tile

_SIZE_BODY = re.compile(rb"(0|[1-9][0-9]{0,18})\n?")
_SIZE_TYPE = "text/x.tlog.size"
_TRIES = 3  # another process of ours may have been to the witness between our question and our answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """A witness: where it takes checkpoints (`url` is the prefix before `/add-checkpoint`), and its key."""

    url: str
    key: CosignerKey

    def __post_init__(self) -> None:
        check_url(self.url, plain=False)

    @classmethod
    def parse(cls, text: str) -> "Witness":
        """Return the witness that `text` spells as `URL=VKEY`. Raises ConfigError."""
        url, equals, vkey = text.partition("=")
        if not equals:
            raise ConfigError("a witness is given as URL=VKEY")
        try:
            return cls(url=url, key=CosignerKey.parse(vkey))
        except NotVerified as e:
            raise ConfigError(f"the key of the witness: {e}") from e


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosigned:
    """A checkpoint's note with the cosignature of one witness under it, and that cosignature, verified."""

    note: bytes
    cosignature: Cosignature


def ask_witness(
    folder: LogFolder,
    note: bytes,
    checkpoint: Checkpoint,
    witness: Witness,
    *,
    known_size: int = 0,
    signed_size: Callable[[], int] = lambda: 0,
    timeout_s: float = TIMEOUT_S,
) -> Cosigned:
    """Return `note`, which spells `checkpoint` and is signed, with the cosignature of `witness`.

    `known_size` is that of the checkpoint that this witness cosigned last, as far as we know; if it
    says otherwise, it is asked again. `signed_size` gives the largest size that this log is known to
    have signed, which may not be published yet. The proof comes from the tiles in `folder`.

    Raises Contradicted where the witness has seen a larger or another history, NotAnchored where it
    does not answer, does not know the log, or answers what does not hold.
    """
    read = _checked_tiles(folder, checkpoint)
    old_size = min(known_size, checkpoint.size)
    for _ in range(_TRIES):
        submission = Submission(old_size=old_size, path=_path(old_size, checkpoint, read), note=note)
        answer = post(
            f"{witness.url.rstrip('/')}/add-checkpoint",
            format_submission(submission),
            "text/plain; charset=utf-8",
            timeout_s=timeout_s,
        )
        if answer.status == 200:
            return _cosigned(note, answer, witness)
        if answer.status != 409:
            raise _refusal(answer.status, checkpoint, old_size, witness)
        size = _size_named(answer, witness)
        if size > checkpoint.size:
            raise _larger(size, checkpoint, signed_size(), witness)
        if size == old_size:
            raise _contradiction(size, checkpoint, witness)
        old_size = size
    raise NotAnchored(f"the witness {witness.key.name} names another size each time")


def _checked_tiles(folder: LogFolder, checkpoint: Checkpoint) -> HashReader:
    """Return a reader of the tiles, which hold what was signed: a proof of ours must not raise a false alarm."""
    read = reader_over_tiles(lambda level, index, width: read_tile(folder, level, index, width), checkpoint.size)
    try:
        fits = tree_root(checkpoint.size, read) == checkpoint.root
    except NotVerified as e:
        raise NotAnchored(f"there can be no proof for a witness: {e}; the next onrecord run mends the tiles") from e
    if not fits:
        raise NotAnchored("there can be no proof for a witness: the tiles do not fit the checkpoint")
    return read


def _path(old_size: int, checkpoint: Checkpoint, read: HashReader) -> tuple[bytes, ...]:
    try:
        path = consistency_path(old_size, checkpoint.size, read)
        if old_size:
            check_consistency(old_size, tree_root(old_size, read), checkpoint.size, checkpoint.root, path)
    except NotVerified as e:
        raise NotAnchored(f"there can be no proof for a witness: {e}; the next onrecord run mends the tiles") from e
    return tuple(path)


def _cosigned(note: bytes, answer: Answer, witness: Witness) -> Cosigned:
    """Return the note with the one line that counts; lines by others are left out."""
    try:
        (found,) = verify_cosignatures(parse_note(note + answer.body), [witness.key])
    except NotVerified as e:
        raise NotAnchored(f"the answer of the witness {witness.key.name} does not hold: {e}") from e
    line = signature_line(found.signature.name, found.signature.key_id, found.signature.raw)
    return Cosigned(note=note + line.encode(), cosignature=found)


def _size_named(answer: Answer, witness: Witness) -> int:
    """Return the size that a conflict names. C2SP tlog-witness: a decimal and a line feed, of a type of its own."""
    match = _SIZE_BODY.fullmatch(answer.body)
    if answer.content_type != _SIZE_TYPE or match is None:
        raise NotAnchored(f"the witness {witness.key.name} reports a conflict, and not at which size")
    return int(match[1])


def _larger(size: int, checkpoint: Checkpoint, signed_size: int, witness: Witness) -> NotVerified | NotAnchored:
    if size <= signed_size:  # a power cut may take back what was published, never what was signed
        return NotAnchored(
            f"the witness {witness.key.name} has seen {size} entries, which this log has signed and not published "
            "again yet; the next onrecord run does"
        )
    reason = f"the witness {witness.key.name} has cosigned {size} entries, and this log shows {checkpoint.size}"
    return Contradicted("rolled back", reason)


def _contradiction(size: int, checkpoint: Checkpoint, witness: Witness) -> NotVerified | NotAnchored:
    """Return what it means that a witness finds a conflict at the very size that it names.

    Drafts of the specification answer so where the tree has the same size and another root.
    """
    if size == checkpoint.size:
        return Contradicted("forked", f"the witness {witness.key.name} has cosigned another tree of {size} entries")
    return NotAnchored(f"the witness {witness.key.name} names the size that it was asked about as another")


def _refusal(status: int, checkpoint: Checkpoint, old_size: int, witness: Witness) -> NotVerified | NotAnchored:
    name = witness.key.name
    match status:
        case 422 if old_size:  # nothing contradicts an empty tree
            reason = (
                f"the witness {name} has cosigned {old_size} entries, and the {checkpoint.size} of this log "
                "do not begin with them"
            )
            return Contradicted("forked", reason)
        case 404:
            return NotAnchored(f"the witness {name} does not know the log {checkpoint.origin}, or the URL is wrong")
        case 403:
            return NotAnchored(
                f"the witness {name} does not know the key of {checkpoint.origin}; give it: onrecord keys"
            )
        case _:
            return NotAnchored(f"the witness {name} refused, with HTTP status {status}")
