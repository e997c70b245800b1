# SPDX-License-Identifier: Apache-2.0
"""What a log hands to a witness: its newest checkpoint, and the proof that it extends the last one.

The body of `add-checkpoint` (C2SP tlog-witness), and the judgement that a witness owes it:

    old 20852014
    PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
    …

    example.com/behind-the-sofa
    20852163
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

    — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5…

Each refusal has a type of its own, because the log does something else about each. Nothing here
touches a network, a disk or a clock: the witness stores the checkpoint, signs and answers.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onrecord.errors import NotVerified
from onrecord.ledger.merkle import EMPTY_ROOT, HASH_BYTES, check_consistency
from onrecord.ledger.note import (
    MAX_SIZE,
    Checkpoint,
    VerifierKey,
    decode_base64,
    encode_base64,
    open_checkpoint,
    parse_checkpoint,
)

MAX_PATH = 63  # hashes; C2SP tlog-witness, "add-checkpoint"
MAX_BODY = 64 * 1024  # bytes; 63 hashes take 2.8 KiB, and a note of 100 signatures some 20 KiB

_OLD = re.compile("old (0|[1-9][0-9]{0,18})")


class UnknownLog(NotVerified):
    """The witness does not know a log of this origin."""


class NotTheLog(NotVerified):
    """The checkpoint is not signed by a key that the witness knows for its log."""


class OtherSize(NotVerified):
    """The proof begins elsewhere than at the checkpoint that the witness cosigned last, whose size is `size`."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the checkpoint that was cosigned last has size {size}")
        self.size = size


class Inconsistent(NotVerified):
    """The log has signed a tree that is not shown to extend the one that the witness cosigned last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A signed checkpoint, as the bytes of its note, and the path from the tree of `old_size` leaves to it."""

    old_size: int
    path: tuple[bytes, ...]
    note: bytes


def format_submission(submission: Submission) -> bytes:
    """Return the body of the request."""
    lines = [f"old {submission.old_size}", *map(encode_base64, submission.path)]
    return "".join(f"{line}\n" for line in lines).encode() + b"\n" + submission.note


def parse_submission(body: bytes) -> Submission:
    """Return the submission that `body` spells; its note is not looked into yet. Raises NotVerified."""
    head, empty, note = body.partition(b"\n\n")
    if not empty:
        raise NotVerified("there is no empty line between proof and checkpoint")
    try:
        first, *rest = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise NotVerified("the proof is not ASCII") from None
    old = _OLD.fullmatch(first)
    if old is None or int(old[1]) > MAX_SIZE:
        raise NotVerified("the first line does not give the old size in decimal, as `old N`")
    if len(rest) > MAX_PATH:
        raise NotVerified(f"the proof has {len(rest)} hashes; {MAX_PATH} is the most that are read")
    path = tuple(decode_base64(line, "a hash of the proof") for line in rest)
    if any(len(one) != HASH_BYTES for one in path):
        raise NotVerified(f"a hash of the proof has another length than {HASH_BYTES} bytes")
    return Submission(old_size=int(old[1]), path=path, note=note)


def origin_of(submission: Submission, logs: Mapping[str, Sequence[VerifierKey]]) -> str:
    """Return which of `logs` the checkpoint claims to be of; nothing is verified by that, not even its signatures.

    Raises UnknownLog, or NotVerified where it is no checkpoint.
    """
    try:
        text = submission.note[: submission.note.rfind(b"\n\n") + 1].decode()
    except UnicodeDecodeError:
        raise NotVerified("the checkpoint is not UTF-8") from None
    origin = parse_checkpoint(text).origin
    if origin not in logs:
        raise UnknownLog("no log of this origin is witnessed here")
    return origin


def judge(submission: Submission, keys: Sequence[VerifierKey], latest: Checkpoint | None) -> Checkpoint:
    """Return the checkpoint, if a witness that has cosigned `latest` of this log may cosign it too.

    `keys` are those of the log that `origin_of` found. Raises NotTheLog, also where the signatures are
    malformed, OtherSize, Inconsistent, or NotVerified where the request makes no sense. The checks
    stand in the order of C2SP tlog-witness, "add-checkpoint".
    """
    try:
        checkpoint = open_checkpoint(submission.note, keys)
    except NotVerified as e:
        raise NotTheLog(str(e)) from e
    if submission.old_size > checkpoint.size:
        raise NotVerified("the old size is larger than the checkpoint")
    size, root = (latest.size, latest.root) if latest else (0, EMPTY_ROOT)
    if submission.old_size != size:
        raise OtherSize(size)
    try:
        check_consistency(size, root, checkpoint.size, checkpoint.root, submission.path)
    except NotVerified as e:
        raise Inconsistent(str(e)) from e
    return checkpoint
