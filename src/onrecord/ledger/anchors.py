# SPDX-License-Identifier: Apache-2.0
"""`anchors.ndjson`: the views from outside that a log has collected, and which of them count.

One line for each: the checkpoint's note with a witness's cosignature under it, or the note and the
token of a timestamp authority over its bytes. The file lies beside the log and is believed as
little: a view counts when the log itself has signed the note, with a key that the verifier gave,
and a witness or an authority that the verifier trusts stands by it. The other fields of a line are
for readers; where they differ from what was signed, the line is refused.

Nothing here needs a network. Getting new views is for `anchoring.py`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from onrecord.errors import NotSupported, NotVerified
from onrecord.event.event import UNREADABLE
from onrecord.ledger.cosignature import CosignerKey, verify_cosignatures
from onrecord.ledger.history import append_line
from onrecord.ledger.lines import whole_lines
from onrecord.ledger.note import (
    Checkpoint,
    UnknownSigner,
    VerifierKey,
    decode_base64,
    encode_base64,
    open_checkpoint,
    parse_note,
)
from onrecord.ledger.place import LogFolder
from onrecord.ledger.timestamp import check_timestamp, load_roots

if TYPE_CHECKING:
    from cryptography import x509


class Anchor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of `anchors.ndjson`; `timestamp` is when we got it, `token` a TimeStampResp in base64 DER."""

    kind: Literal["witness", "timestamp"]
    size: Annotated[int, msgspec.Meta(ge=0)]
    root: str
    timestamp: str
    note: str
    token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideView:
    """That `by`, outside, stood by `checkpoint` at `at_us`, in microseconds since the epoch, by its own clock.

    `by` is the name of a witness whose key was given, or the subject of a certificate, which its
    issuer chose. `note` is what the log signed; with several epochs of a key it says which one did.
    """

    checkpoint: Checkpoint
    kind: Literal["witness", "timestamp"]
    by: str
    at_us: int
    note: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedView:
    """A line, counted from 1, that claims a view from outside and does not hold."""

    line: int
    reason: str


def append_anchor(folder: LogFolder, anchor: Anchor) -> None:
    """Add a view to the file, durably; one process at a time does this. Raises LedgerError."""
    append_line(folder.anchors, msgspec.json.encode(anchor))


def anchors(folder: LogFolder) -> Iterator[tuple[int, Anchor | None]]:
    """Yield the lines of the file by their number from 1, None for one that is not an anchor; nothing is verified.

    Raises NotVerified where a line has no end in sight, OSError where the file cannot be read.
    """
    if not folder.anchors.is_file():
        return
    for number, line in enumerate(whole_lines(folder.anchors), 1):
        try:
            yield number, msgspec.json.decode(line.data, type=Anchor)
        except UNREADABLE:
            yield number, None


def outside_views(
    folder: LogFolder,
    witnesses: Sequence[CosignerKey],
    tsa_roots: Sequence[bytes],
    log_keys: Sequence[VerifierKey],
    *,
    refused: Callable[[RefusedView], None],
) -> Iterator[OutsideView]:
    """Yield the views from outside that hold, in the order of the file, and tell `refused` of those that do not.

    `tsa_roots` are certificates in PEM or DER. A witness whose key was not given is passed over, and
    so is a timestamp where no root was given. The file is streamed. Whether the log still has what
    was seen is for the caller to compare. Raises ConfigError where a root is not a certificate,
    OSError where the file cannot be read.
    """
    roots = load_roots(tsa_roots)
    number = 0
    try:
        for number, anchor in anchors(folder):
            try:
                if anchor is None:
                    raise NotVerified("it is not of the form of an anchor")
                yield from _views(anchor, witnesses, roots, log_keys)
            except (NotVerified, NotSupported) as e:
                refused(RefusedView(line=number, reason=str(e)))
    except NotVerified as e:
        refused(RefusedView(line=number + 1, reason=str(e)))


def _views(
    anchor: Anchor,
    witnesses: Sequence[CosignerKey],
    roots: Sequence["x509.Certificate"],
    log_keys: Sequence[VerifierKey],
) -> list[OutsideView]:
    """Return the views of one line. Raises NotVerified, NotSupported."""
    if not (witnesses if anchor.kind == "witness" else roots):
        return []
    note = anchor.note.encode()
    checkpoint = open_checkpoint(note, log_keys)
    if (checkpoint.size, checkpoint.root) != (anchor.size, decode_base64(anchor.root, "the root")):
        raise NotVerified("size or root of the line are not those that were signed")
    if anchor.kind == "timestamp":
        said = check_timestamp(decode_base64(anchor.token, "the token"), note, roots)
        return [OutsideView(checkpoint=checkpoint, kind="timestamp", by=said.by, at_us=said.at_us, note=note)]
    try:
        found = verify_cosignatures(parse_note(note), witnesses)
    except UnknownSigner:
        return []
    return [
        OutsideView(checkpoint=checkpoint, kind="witness", by=one.key.name, at_us=one.at_s * 1_000_000, note=note)
        for one in found
    ]


def anchor_of(
    kind: Literal["witness", "timestamp"], checkpoint: Checkpoint, note: bytes, at: str, token: bytes = b""
) -> Anchor:
    """Return the line for a view; `at` is the time for readers."""
    return Anchor(
        kind=kind,
        size=checkpoint.size,
        root=encode_base64(checkpoint.root),
        timestamp=at,
        note=note.decode(),
        token=encode_base64(token),
    )
