# SPDX-License-Identifier: Apache-2.0
"""Cosignatures: what a witness sets under a checkpoint to say that it saw the log grow up to there, and when.

A cosignature (C2SP tlog-cosignature, `cosignature/v1`) is one more signature line under the note:
eight bytes of time, then an Ed25519 signature over that time and the note's text.

    cosignature/v1
    time 1679315147
    example.com/behind-the-sofa
    20852163
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

A witness's key has a kind of its own (0x04), and so a type of its own here: the signature of a log
never counts as a view from outside, nor the other way round. Points and encodings are judged as
`note.py` judges them. Nothing here reads files or a clock; whether a witness is to be believed is
for whoever gives its key.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from onrecord.errors import NotVerified
from onrecord.ledger.note import (
    BadSignature,
    Note,
    Signature,
    UnknownSigner,
    VerifierKey,
    encode_base64,
    key_id_of,
    signature_line,
    split_vkey,
)

KIND = b"\x04"  # C2SP signed-note, "Signature types": timestamped Ed25519
MAX_TIME_S = 253_402_300_799  # the end of the year 9999; a verifier may refuse the future, and calendars end there

_TIME_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class CosignerKey:
    """The public half of a witness's key. One that exists is sound; making an unsound one raises NotVerified."""

    name: str
    key_id: bytes
    public: bytes

    def __post_init__(self) -> None:
        _ = self._ed25519  # name and point are sound
        if self.key_id != key_id_of(self.name, KIND, self.public):
            raise NotVerified("the id of the witness's key does not fit its name and key")

    @classmethod
    def of(cls, name: str, public: bytes) -> "CosignerKey":
        """Return the key of `name` with these 32 bytes."""
        return cls(name=name, key_id=key_id_of(name, KIND, public), public=public)

    @classmethod
    def parse(cls, text: str) -> "CosignerKey":
        """Return the key that `text` spells as `name+id+base64`. Raises NotVerified."""
        name, key_id, key = split_vkey(text)
        if key[:1] != KIND:
            raise NotVerified("the key is not one for Ed25519 cosignatures (type 0x04), as a witness has")
        return cls(name=name, key_id=key_id, public=key[1:])

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(KIND + self.public)}"

    def when_signed(self, text: str, raw: bytes) -> int | None:
        """Return when this witness cosigned `text`, in seconds since the epoch, or None where `raw` does not hold."""
        at_s = int.from_bytes(raw[:_TIME_BYTES], "big")
        if at_s > MAX_TIME_S or not self._ed25519.has_signed(_message(text, at_s), raw[_TIME_BYTES:]):
            return None
        return at_s

    @property
    def _ed25519(self) -> VerifierKey:
        return VerifierKey.of(self.name, self.public)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosigner:
    """A witness's key. Raises NotVerified for a name that no note can carry."""

    name: str
    private: Ed25519PrivateKey = field(repr=False)

    def __post_init__(self) -> None:
        _ = self.vkey

    @property
    def vkey(self) -> CosignerKey:
        """The public half, to give to whoever verifies."""
        return CosignerKey.of(self.name, self.private.public_key().public_bytes_raw())

    def cosign(self, text: str, at_s: int) -> str:
        """Return the signature line under the checkpoint `text`, with its newline.

        `at_s` is in seconds since the epoch; a witness signs only what it has checked and stored.
        """
        if not 0 <= at_s <= MAX_TIME_S:
            raise ValueError("the time of a cosignature is not negative and lies before the year 10000")
        signature = self.private.sign(_message(text, at_s))
        return signature_line(self.name, self.vkey.key_id, at_s.to_bytes(_TIME_BYTES, "big") + signature)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosignature:
    """That `key` cosigned, at `at_s` by its own clock, in seconds since the epoch; `signature` as the note has it."""

    key: CosignerKey
    at_s: int
    signature: Signature


def verify_cosignatures(note: Note, keys: Sequence[CosignerKey]) -> tuple[Cosignature, ...]:
    """Return the cosignatures by `keys`, the latest of each, in the order of the note.

    Raises UnknownSigner where there is none, BadSignature for any bad one, also beside good ones.
    Whether the log itself has signed is for `open_checkpoint`.
    """
    known = {(key.name, key.key_id): key for key in keys}
    if len(known) != len(set(keys)):
        raise NotVerified("two different witness keys with one name and one id were given")
    text = note.text
    verified: dict[CosignerKey, Cosignature] = {}
    for signature in note.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is None:
            continue  # the log's own, or a witness that nobody here knows
        at_s = key.when_signed(text, signature.raw)
        if at_s is None:
            raise BadSignature(f"the cosignature of {key.name}+{key.key_id.hex()} does not hold")
        if key not in verified or at_s > verified[key].at_s:
            verified[key] = Cosignature(key=key, at_s=at_s, signature=signature)
    if not verified:
        raise UnknownSigner("none of the signatures is by a witness whose key was given")
    return tuple(verified.values())


def _message(text: str, at_s: int) -> bytes:
    """C2SP tlog-cosignature, "Ed25519 signed message"."""
    return f"cosignature/v1\ntime {at_s}\n{text}".encode()
