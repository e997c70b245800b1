# SPDX-License-Identifier: Apache-2.0
"""The signing key of one log, as its files say it at this moment.

    keys/<log>.key     PRIVATE+KEY+<name>+<id>+<base64>, the form of Go's sumdb/note; signs checkpoints
    keys/<log>.vkey    <name>+<id>+<base64> (C2SP signed-note), a line for each epoch, oldest first

Two lines in the first file say that a hand-over is under way: the old key, then the new one. A
recorder holds its key in memory, so it asks here before each signature, and under the publish lock,
whether the file is still the one that it read. What a hand-over consists of is in `handover.py`.
"""

import base64
import binascii
import contextlib
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from onrecord.errors import KeyFileError, LedgerError, LedgerRefused, NotVerified
from onrecord.ledger.durable import replace_file
from onrecord.ledger.note import SignerKey, VerifierKey
from onrecord.ledger.place import Home
from onrecord.ledger.smallfile import MAX_KEYS, MAX_STATE, NotSmall, read_small

PRIVATE = "PRIVATE+KEY+"
_ED25519 = b"\x01"  # C2SP signed-note, signature types
_SEED_BYTES = 32

_Stat: TypeAlias = tuple[int, int, int]


def key_file(home: Home, log: str = "calls") -> Path:
    """Return where the private key of a log lies."""
    return home.keys / f"{log}.key"


def verifier_file(home: Home, log: str = "calls") -> Path:
    """Return where the public keys of a log lie, one for each epoch."""
    return home.keys / f"{log}.vkey"


class SigningKeys:
    """The keys of the log `origin`, read again whenever their files have changed.

    Making one, and every method, raises LedgerError where a file cannot be read, and LedgerRefused where
    it is of another log.
    """

    def __init__(self, home: Home, log: str, origin: str) -> None:
        self.origin = origin
        self._key_file = key_file(home, log)
        self._verifier_file = verifier_file(home, log)
        self._key_stat: _Stat | None = None
        self._verifier_stat: _Stat | None = None
        self._signers: tuple[SignerKey, ...] = ()
        self._vkeys: tuple[VerifierKey, ...] = ()
        self._read()  # the key of another log is refused before anything is written

    def signer(self) -> SignerKey:
        """Return the key that signs now; while a hand-over is under way, the old one."""
        return self._read()[0]

    def handing_over(self) -> tuple[SignerKey, SignerKey] | None:
        """Return the old key and the new one while a hand-over is under way."""
        signers = self._read()
        return (signers[0], signers[1]) if len(signers) > 1 else None

    def vkeys(self) -> tuple[VerifierKey, ...]:
        """Return the public key of each epoch, oldest first."""
        now = _stat_of(self._verifier_file)
        if now != self._verifier_stat or now is None:
            try:
                self._vkeys = tuple(read_vkeys(self._verifier_file))
            except KeyFileError as e:
                raise LedgerError(f"cannot tell who may sign: {e}") from e
            self._verifier_stat = now
        return self._vkeys

    def begin(self, old: SignerKey, new: SignerKey) -> None:
        """Say, durably, that `old` is being handed over to `new`."""
        write_signers(self._key_file, [old, new])

    def settle(self, new: SignerKey) -> None:
        """Give the log over to `new`: its public half first, so that nobody meets a signature by a stranger.

        The old private key is destroyed. That is best effort: a file system may keep old blocks.
        """
        if new.vkey not in self.vkeys():
            write_vkeys(self._verifier_file, [*self.vkeys(), new.vkey])
        write_signers(self._key_file, [new])
        for scratch in self._key_file.parent.glob(f".{self._key_file.name}.*"):  # of somebody who was killed
            with contextlib.suppress(OSError):
                scratch.unlink()

    def _read(self) -> tuple[SignerKey, ...]:
        now = _stat_of(self._key_file)  # before the reading: what changes in between is read again next time
        if now != self._key_stat or now is None:
            try:
                signers = read_signers(self._key_file)
            except KeyFileError as e:
                raise LedgerError(f"cannot sign: {e}") from e
            if any(signer.name != self.origin for signer in signers):
                raise LedgerRefused(
                    f"{self._key_file} belongs to another log than {self.origin}: is this the right key?"
                )
            self._signers, self._key_stat = signers, now
        return self._signers


def _stat_of(path: Path) -> _Stat | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def read_signers(path: Path) -> tuple[SignerKey, ...]:
    """Return the key in `path`, or the old one and the new one. Raises KeyFileError."""
    lines = read_private(path).decode(errors="replace").strip().split("\n")
    signers = tuple(_parse_signer(line, path) for line in lines)
    if len(signers) > 2 or len({signer.vkey for signer in signers}) < len(signers):
        raise KeyFileError(f"{path} holds {len(signers)} keys; one signs, and two differ while one hands over")
    return signers


def write_signers(path: Path, signers: Sequence[SignerKey]) -> None:
    """Put `signers` in place of what `path` holds, durably. Raises LedgerError."""
    replace_file(path, "".join(map(_format_signer, signers)).encode(), durable=True)


def read_vkeys(path: Path) -> list[VerifierKey]:
    """Return the public keys in a file, one a line. Raises KeyFileError."""
    try:
        lines = read_small(path, MAX_KEYS).decode("ascii").split("\n")
    except NotSmall as e:
        raise KeyFileError(f"{path} is not a file of verifier keys: {e}") from e
    except OSError as e:
        raise KeyFileError(f"cannot read {path}: {os.strerror(e.errno or 0).lower()}") from e
    except UnicodeDecodeError as e:
        raise KeyFileError(f"{path} is not a file of verifier keys") from e
    keys: list[VerifierKey] = []
    for number, line in enumerate(lines, 1):
        if text := line.strip():
            try:
                keys.append(VerifierKey.parse(text))
            except NotVerified as e:
                raise KeyFileError(f"{path}, line {number}: {e}") from e
    if not keys:
        raise KeyFileError(f"{path} holds no verifier key")
    return keys


def write_vkeys(path: Path, keys: Sequence[VerifierKey]) -> None:
    """Put the public `keys`, oldest first, in place of what `path` holds, durably. Raises LedgerError."""
    replace_file(path, "".join(f"{key}\n" for key in keys).encode(), durable=True)


def read_private(path: Path) -> bytes:
    """Return what a private file holds. Raises KeyFileError, also where other accounts can read it."""
    try:
        mode = path.stat().st_mode
        if sys.platform != "win32" and stat.S_IMODE(mode) & 0o077:
            raise KeyFileError(f"{path} can be read by other accounts (mode {stat.S_IMODE(mode):04o}); chmod 600 it")
        return read_small(path, MAX_STATE)
    except NotSmall as e:
        raise KeyFileError(f"{path} is not a key: {e}") from e
    except OSError as e:
        raise KeyFileError(f"cannot read {path}: {os.strerror(e.errno or 0).lower()}") from e


def _parse_signer(text: str, path: Path) -> SignerKey:
    name, key_id, private = parse_private(text, path, kind=_ED25519)
    try:
        signer = SignerKey(name=name, private=private)
    except NotVerified as e:
        raise KeyFileError(f"{path}: {e}") from e
    check_key_id(signer.vkey.key_id, key_id, path)
    return signer


def parse_private(text: str, path: Path, *, kind: bytes) -> tuple[str, str, Ed25519PrivateKey]:
    """Return name, id in hex and key of what `path` spells as a private key of that kind. Raises KeyFileError."""
    if not text.startswith(PRIVATE):
        raise KeyFileError(f"{path} is not a signing key: it does not begin with {PRIVATE}")
    try:
        name, key_id, encoded = text.removeprefix(PRIVATE).split("+", 2)
        seed = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error) as e:
        raise KeyFileError(f"{path} is not a signing key of the form {PRIVATE}name+id+base64") from e
    if seed[:1] != kind or len(seed) != 1 + _SEED_BYTES:
        raise KeyFileError(f"{path} is not an Ed25519 key of the kind that signs here")
    return name, key_id, Ed25519PrivateKey.from_private_bytes(seed[1:])


def check_key_id(found: bytes, key_id: str, path: Path) -> None:
    """Raise KeyFileError unless the id in a key file is that of its name and key."""
    if found.hex() != key_id:
        raise KeyFileError(f"{path}: the id does not belong to the name and the key; was the name edited?")


def _format_signer(signer: SignerKey) -> str:
    seed = base64.b64encode(_ED25519 + signer.private.private_bytes_raw()).decode()
    return f"{PRIVATE}{signer.name}+{signer.vkey.key_id.hex()}+{seed}\n"
