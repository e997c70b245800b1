# SPDX-License-Identifier: Apache-2.0
"""Proofs of inclusion as a file: one entry, and what it takes to check it offline (C2SP tlog-proof).

    c2sp.org/tlog-proof@v1
    extra eyJzY2hlbWFfdmVyc2lvbiI6MSwic2VxIjo0MSw…        the entry itself, base64
    index 41
    gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=          from the leaf's sibling to the root's child
    B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=

    onrecord/0123456789ab/calls                           the checkpoint, a signed note, verbatim
    301
    …

The extra data is nobody's word: what counts is the leaf hash that is made from it. A reader who
has the entry from elsewhere needs no extra data.

A proof says that the entry is in the tree that was signed. It says nothing of other entries, and
nothing of what was signed later. Keys are given by the caller, and nothing here reads files.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from onrecord.errors import NotVerified
from onrecord.ledger.merkle import HASH_BYTES, check_inclusion, leaf_hash
from onrecord.ledger.note import MAX_SIZE, Checkpoint, VerifierKey, open_checkpoint

SUFFIX = ".tlog-proof"
HEADER = "c2sp.org/tlog-proof@v1"

_MAX_PATH = 63  # hashes; no tree of MAX_SIZE leaves is deeper
_INDEX = re.compile("index (0|[1-9][0-9]{0,18})")
_EXTRA = "extra "


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """That an entry stands at `index` of a log.

    `path` is the inclusion proof, 32 bytes a hash, from leaf to root; `note` the signed checkpoint as
    its log wrote it; `extra` is empty, or the entry without its line feed.
    """

    index: int
    path: tuple[bytes, ...]
    note: bytes
    extra: bytes = b""


def parse_proof(data: bytes) -> Proof:
    """Return the proof that `data` spells. Nothing is verified yet. Raises NotVerified."""
    head, found, note = data.partition(b"\n\n")
    if not found:
        raise NotVerified("no empty line divides the proof from its checkpoint")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise NotVerified("the proof above its checkpoint is not ASCII") from None
    if lines.pop(0) != HEADER:
        raise NotVerified(f"a proof begins with the line {HEADER}")
    extra = b""
    if lines and lines[0].startswith(_EXTRA):
        extra = _decode(lines.pop(0).removeprefix(_EXTRA), "the extra data")
        if not extra:
            raise NotVerified("a proof without extra data has no line for it")
    index = _INDEX.fullmatch(lines.pop(0)) if lines else None
    if index is None or int(index[1]) >= MAX_SIZE:
        raise NotVerified("the index of the proof is not a decimal number without leading zeros")
    if len(lines) > _MAX_PATH:
        raise NotVerified(f"the path of the proof has {len(lines)} hashes; {_MAX_PATH} is the most there can be")
    return Proof(index=int(index[1]), path=tuple(map(_hash, lines)), note=note, extra=extra)


def format_proof(proof: Proof) -> bytes:
    """Return the bytes of a proof. Raises ValueError if they could not be read back."""
    lines = [HEADER]
    if proof.extra:
        lines.append(_EXTRA + _encode(proof.extra))
    lines += [f"index {proof.index}", *map(_encode, proof.path)]
    data = "\n".join(lines).encode() + b"\n\n" + proof.note
    try:
        readable = parse_proof(data) == proof
    except NotVerified as e:
        raise ValueError(f"there is no such proof: {e}") from e
    if not readable:
        raise ValueError("there is no such proof: it would be read as another one")
    return data


def check_proof(proof: Proof, leaf: bytes, keys: Sequence[VerifierKey]) -> Checkpoint:
    """Return the checkpoint of `proof`, where it is signed by one of `keys` and `leaf` is in its tree.

    `leaf` is 32 bytes. Raises Unsigned, UnknownSigner or BadSignature for the checkpoint, NotVerified
    where it is malformed or the path does not lead from `leaf` to its root.
    """
    checkpoint = open_checkpoint(proof.note, keys)
    check_inclusion(leaf, proof.index, checkpoint.size, proof.path, checkpoint.root)
    return checkpoint


def check_carried(proof: Proof, keys: Sequence[VerifierKey]) -> Checkpoint:
    """Return the checkpoint of `proof`, where it proves the entry that it carries. Raises NotVerified."""
    if not proof.extra:
        raise NotVerified("the proof does not carry its entry")
    return check_proof(proof, leaf_hash(proof.extra), keys)


def _hash(line: str) -> bytes:
    raw = _decode(line, "a hash of the proof")
    if len(raw) != HASH_BYTES:
        raise NotVerified(f"a hash of the proof has {len(raw)} bytes, not {HASH_BYTES}")
    return raw


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _decode(text: str, what: str) -> bytes:
    """Return the bytes of RFC 4648 base64, in the one spelling that encodes them."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raise NotVerified(f"{what} is not base64") from None
    if _encode(raw) != text:
        raise NotVerified(f"{what} is not in canonical base64")
    return raw
