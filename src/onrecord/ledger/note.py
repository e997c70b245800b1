# SPDX-License-Identifier: Apache-2.0
"""Signed notes and checkpoints: the texts in which a log stands by its size and root.

A note (C2SP signed-note) is a text and the signatures under it. A checkpoint (C2SP tlog-checkpoint)
is a note whose text says which log, how many leaves, and under which root:

    example.com/log
    3
    Wqx3HImawpLnS/Gv4ubjAvi1WIOy0b8Ze0amvqbavKk=

    — example.com/log M9e0lvAQRtH832pk2RTbeSeZMkp4FZSdJYFBUjO5SKxuRbywPUF3cx+HUrb50kjd3rUWW/…

Signatures of keys that nobody here knows are passed over, so keys can rotate and witnesses can
cosign. A bad signature of a known key condemns the note. Only Ed25519 is read (type 0x01), and
strictly: keys and signatures on which libraries disagree are refused, because a dishonest signer
could use them to make a checkpoint that holds for one verifier and not for the next.

Keys are given by the caller, never taken from a note, and nothing here reads files or a clock.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from onrecord.errors import NotVerified

MAX_SIGNATURES = 100  # the limit of Go's sumdb/note; the specification asks for at least 16
MAX_NOTE = 65536  # bytes; one with a signature takes some 250
MAX_SIZE = 2**63 - 1  # leaves; tree sizes are int64 in Go's sumdb/tlog

_ED25519 = b"\x01"  # C2SP signed-note, "Signature types"
_KEY_BYTES = 32
_KEY_ID_BYTES = 4
_SIGNATURE_BYTES = 64
_ROOT_BYTES = 32
_DASH = "— "  # U+2014 and a space open a signature line
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f]")  # all below U+0020 but the newline
_KEY_ID = re.compile("[0-9a-fA-F]{8}")
_SIZE = re.compile("0|[1-9][0-9]{0,18}")


class Unsigned(NotVerified):
    """There is a text, and no signature at all."""


class UnknownSigner(NotVerified):
    """There are signatures, and none is by a key that was given for this text."""


class BadSignature(NotVerified):
    """A key that was given did not make the signature that bears its name: text or signature is altered."""


# Keys


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """The public half of a signer's key. One that exists is sound; making an unsound one raises NotVerified."""

    name: str
    key_id: bytes
    public: bytes

    def __post_init__(self) -> None:
        _check_public_key(self.public)
        if self.key_id != _key_id(self.name, self.public):
            raise NotVerified("the id of the verifier key does not fit its name and key")

    @classmethod
    def of(cls, name: str, public: bytes) -> "VerifierKey":
        """Return the key of `name` with these 32 bytes."""
        return cls(name=name, key_id=_key_id(name, public), public=public)

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Return the key that `text` spells as `name+id+base64`. Raises NotVerified."""
        name, key_id, key = split_vkey(text)
        if key[:1] != _ED25519:
            raise NotVerified("the verifier key is of another kind than Ed25519")
        return cls(name=name, key_id=key_id, public=key[1:])

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(_ED25519 + self.public)}"

    def has_signed(self, message: bytes, raw: bytes) -> bool:
        """Say whether `raw`, 64 bytes, is a signature by this key that every library accepts."""
        if len(raw) != _SIGNATURE_BYTES or _is_low_order(raw[:_KEY_BYTES]):
            return False
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(raw, message)
        except (InvalidSignature, ValueError):  # ValueError: the key is not a point of the curve
            return False
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerKey:
    """A key that signs texts in the name of `name`. Raises NotVerified for a name that no note can carry."""

    name: str
    private: Ed25519PrivateKey = field(repr=False)

    def __post_init__(self) -> None:
        _check_name(self.name)

    @property
    def vkey(self) -> VerifierKey:
        """The public half, to give to whoever verifies."""
        return VerifierKey.of(self.name, self.private.public_key().public_bytes_raw())

    def sign(self, text: str) -> str:
        """Return the signature line under `text`, with its newline. Raises ValueError if a note cannot hold it."""
        if not text.endswith("\n") or _CONTROL.search(text):
            raise ValueError("a note's text ends in a newline and has no other control characters")
        return signature_line(self.name, self.vkey.key_id, self.private.sign(text.encode()))


def split_vkey(text: str) -> tuple[str, bytes, bytes]:
    """Return name, id and key of a `name+id+base64`, the key with the byte of its kind first. Raises NotVerified."""
    parts = text.split("+", 2)
    if len(parts) != 3 or not _KEY_ID.fullmatch(parts[1]):
        raise NotVerified("a verifier key has the form name+id+base64, the id in 8 hex digits")
    return parts[0], bytes.fromhex(parts[1]), decode_base64(parts[2], "a verifier key")


def key_id_of(name: str, kind: bytes, public: bytes) -> bytes:
    """Return the id of a key: 4 bytes that tell keys of one name apart. C2SP signed-note, "Signatures"."""
    return sha256(_check_name(name) + b"\n" + kind + public).digest()[:_KEY_ID_BYTES]


def _key_id(name: str, public: bytes) -> bytes:
    return key_id_of(name, _ED25519, public)


def _check_name(name: str) -> bytes:
    """Return the name as bytes. C2SP signed-note, "Format": not empty, no Unicode space, no plus."""
    if not name or "+" in name or _CONTROL.search(name) or any(map(str.isspace, name)):
        raise NotVerified("a key's name is empty or holds a space, a plus sign or a control character")
    try:
        return name.encode()
    except UnicodeEncodeError:
        raise NotVerified("a key's name is not Unicode text") from None


# The five y of the eight points whose order divides 8. As a key, such a point lets one signature stand
# under many messages. libsodium refuses it as the first half of a signature too, OpenSSL does not.
# https://eprint.iacr.org/2020/823
_P = 2**255 - 19
_Y_BITS = 2**255 - 1  # the bit above y is the sign of x
_Y8 = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
_LOW_ORDER_Y = frozenset({0, 1, _P - 1, _Y8, _P - _Y8})


def _y(point: bytes) -> int:
    return int.from_bytes(point, "little") & _Y_BITS


def _is_low_order(point: bytes) -> bool:
    return _y(point) % _P in _LOW_ORDER_Y


def _check_public_key(public: bytes) -> None:
    if len(public) != _KEY_BYTES:
        raise NotVerified(f"an Ed25519 key has {_KEY_BYTES} bytes, not {len(public)}")
    if _is_low_order(public):
        raise NotVerified("the Ed25519 key is a point of low order, whose signatures prove nothing")
    if _y(public) >= _P:  # RFC 8032, 5.1.3; the other case, a zero x with a sign, is of low order
        raise NotVerified("the Ed25519 key is not in its canonical encoding")


# Notes


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A line under a note: who claims to have signed, and the signature without the key's id."""

    name: str
    key_id: bytes
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A text with its final newline, and the signatures under it, each once. Nothing is verified yet."""

    text: str
    signatures: tuple[Signature, ...]


def parse_note(data: bytes) -> Note:
    """Return the note that `data` spells.

    Raises Unsigned where a text has no signature under it, NotVerified where the form is wrong.
    C2SP signed-note, "Format".
    """
    try:
        whole = data.decode()
    except UnicodeDecodeError:
        raise NotVerified("the note is not UTF-8") from None
    if _CONTROL.search(whole):
        raise NotVerified("the note holds a control character")
    if not whole.endswith("\n"):
        raise NotVerified("the note does not end in a newline")
    split = whole.rfind("\n\n")  # the last empty line: the text may hold others
    if split < 0 or split + 2 == len(whole):
        raise Unsigned("there is no signature under the note")
    lines = whole[split + 2 : -1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NotVerified(f"the note has {len(lines)} signatures; {MAX_SIGNATURES} is the most that are read")
    signatures = dict.fromkeys(map(_parse_signature, lines))  # a repeated line says nothing new
    return Note(text=whole[: split + 1], signatures=tuple(signatures))


def _parse_signature(line: str) -> Signature:
    if not line.startswith(_DASH):
        raise NotVerified("a line under the note is not a signature")
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    _check_name(name)
    raw = decode_base64(encoded, "a signature")
    if len(raw) <= _KEY_ID_BYTES:
        raise NotVerified("a signature under the note is empty")
    return Signature(name=name, key_id=raw[:_KEY_ID_BYTES], raw=raw[_KEY_ID_BYTES:])


def signature_line(name: str, key_id: bytes, raw: bytes) -> str:
    """Return the line under a note that carries a signature, with its newline."""
    return f"{_DASH}{name} {encode_base64(key_id + raw)}\n"


def verify_note(note: Note, keys: Sequence[VerifierKey]) -> tuple[Signature, ...]:
    """Return the signatures by `keys`, one of each key, in the order of the note.

    Raises Unsigned, UnknownSigner or BadSignature; the last for any bad one, also beside good ones.
    C2SP signed-note, "Signatures".
    """
    if not note.signatures:
        raise Unsigned("there is no signature under the note")
    known = _by_name_and_id(keys)
    text = note.text.encode()
    verified: dict[VerifierKey, Signature] = {}
    for signature in note.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is None:
            continue  # MUST be ignored, even if it shares a name or an id with a known key
        if not key.has_signed(text, signature.raw):
            raise BadSignature(f"the signature of {key.name}+{key.key_id.hex()} does not hold")
        verified.setdefault(key, signature)
    if not verified:
        raise UnknownSigner(f"none of the {len(note.signatures)} signatures is by a key that was given")
    return tuple(verified.values())


def _by_name_and_id(keys: Sequence[VerifierKey]) -> dict[tuple[str, bytes], VerifierKey]:
    known = {(key.name, key.key_id): key for key in keys}
    if len(known) != len(set(keys)):  # the same key given twice is still one key
        raise NotVerified("two different keys with one name and one id were given; no signature can tell them apart")
    return known


# Checkpoints


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """That the log `origin` had `size` leaves under `root`, 32 bytes."""

    origin: str
    size: int
    root: bytes


def parse_checkpoint(text: str) -> Checkpoint:
    """Return what the text of a checkpoint says. Raises NotVerified.

    Extension lines are allowed and left out: they are signed, and nobody can check them against the
    log. C2SP tlog-checkpoint, "Note text".
    """
    if not text.endswith("\n"):
        raise NotVerified("the checkpoint does not end in a newline")
    lines = text[:-1].split("\n")
    if len(lines) < 3 or not all(lines):
        raise NotVerified("a checkpoint has three lines, origin, size and root, and none is empty")
    origin, size, root = lines[:3]
    if not _SIZE.fullmatch(size) or int(size) > MAX_SIZE:
        raise NotVerified("the size of the checkpoint is not a decimal number without leading zeros")
    decoded = decode_base64(root, "the root of the checkpoint")
    if len(decoded) != _ROOT_BYTES:
        raise NotVerified(f"the root of the checkpoint has {len(decoded)} bytes, not {_ROOT_BYTES}")
    return Checkpoint(origin=origin, size=int(size), root=decoded)


def format_checkpoint(checkpoint: Checkpoint) -> str:
    """Return the text of a checkpoint. Raises ValueError if it could not be read back."""
    text = f"{checkpoint.origin}\n{checkpoint.size}\n{encode_base64(checkpoint.root)}\n"
    try:
        readable = parse_checkpoint(text) == checkpoint
    except NotVerified as e:
        raise ValueError(f"there is no such checkpoint: {e}") from e
    if not readable:
        raise ValueError("there is no such checkpoint: its origin has more than one line")
    return text


def sign_checkpoint(checkpoint: Checkpoint, signer: SignerKey) -> bytes:
    """Return `checkpoint` as a note signed by its log. Raises ValueError unless `signer` bears the log's name."""
    if signer.name != checkpoint.origin:
        raise ValueError("a checkpoint is signed by the key that bears the name of its origin")
    text = format_checkpoint(checkpoint)
    return f"{text}\n{signer.sign(text)}".encode()


def open_checkpoint(data: bytes, keys: Sequence[VerifierKey]) -> Checkpoint:
    """Return the checkpoint that `data` spells, signed by one of `keys` that bears the log's name.

    Raises Unsigned, UnknownSigner (also where only others than the log have signed), BadSignature,
    or NotVerified where note or checkpoint is malformed.
    """
    note = parse_note(data)
    verified = verify_note(note, keys)  # first: the text means nothing until somebody stands by it
    checkpoint = parse_checkpoint(note.text)
    if all(signature.name != checkpoint.origin for signature in verified):
        raise UnknownSigner("the checkpoint is signed, but not by a key that bears the name of its origin")
    return checkpoint


def encode_base64(raw: bytes) -> str:
    """Return RFC 4648 base64 with its padding, as notes and proofs carry it."""
    return base64.b64encode(raw).decode()


def decode_base64(text: str, what: str) -> bytes:
    """Return the bytes of RFC 4648 base64, in the one spelling that encodes them. Raises NotVerified about `what`."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raise NotVerified(f"{what} is not base64") from None
    if encode_base64(raw) != text:
        raise NotVerified(f"{what} is not in canonical base64")
    return raw
