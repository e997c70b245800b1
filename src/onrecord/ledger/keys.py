# SPDX-License-Identifier: Apache-2.0
"""The keys of one home: the log's signing key, its public half, and the key for digests.

    keys/ledger.key    PRIVATE+KEY+<name>+<id>+<base64>, the form of Go's sumdb/note; signs checkpoints
    keys/ledger.vkey   <name>+<id>+<base64> (C2SP signed-note); give it to whoever verifies
    keys/digest.key    32 random bytes; digests of values and the look-up of pseudonyms are keyed with it

A private key that other accounts can read is refused: it proves nothing. A verifier takes its keys
from here or from its own hands, never from the ledger.
"""

import base64
import binascii
import os
import stat
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from onrecord.errors import KeyFileError, LedgerError, NotVerified
from onrecord.ledger.durable import FileLock, make_folder, replace_file
from onrecord.ledger.merkle import EdgeTiles
from onrecord.ledger.note import SignerKey, VerifierKey
from onrecord.ledger.place import Home
from onrecord.ledger.tree import guard_of, write_guard

_PREFIX = "PRIVATE+KEY+"
_ED25519 = b"\x01"  # C2SP signed-note, signature types
_SEED_BYTES = 32
DEADLINE_S = 2.0  # for another process that makes the keys at the same moment


@dataclass(frozen=True, slots=True)
class Keys:
    """What a recorder needs to write."""

    signer: SignerKey
    digest_key: bytes

    def __repr__(self) -> str:
        return f"<keys of {self.signer.name}>"


def open_keys(home: Home) -> tuple[Keys, bool]:
    """Return the keys of `home`, made now if there are none, and whether they were.

    Raises KeyFileError where one is missing beside others, malformed, or readable by other accounts.
    """
    try:
        created = bool(_missing(home)) and _complete(home)
    except (LedgerError, OSError) as e:
        raise KeyFileError(f"cannot make keys in {home.keys}: {e}") from e
    return read_keys(home), created


def read_keys(home: Home) -> Keys:
    """Return the keys of `home`. Raises KeyFileError, also where one is missing."""
    if missing := _missing(home):
        names = ", ".join(map(str, missing))
        raise KeyFileError(f"missing: {names}; restore it from a backup")
    return Keys(signer=_read_signer(_key_file(home)), digest_key=_read_digest_key(_digest_file(home)))


def open_digest_key(home: Home) -> bytes:
    """Return the key for digests of a home whose log another account keeps, made now if there is none.

    Raises KeyFileError.
    """
    try:
        make_folder(home.keys)
        lock = FileLock(home.keys / "create.lock")
        try:
            lock.acquire(time.monotonic() + DEADLINE_S)
            if not _digest_file(home).exists():
                replace_file(_digest_file(home), os.urandom(_SEED_BYTES), durable=True)
        finally:
            lock.close()
    except (LedgerError, OSError) as e:
        raise KeyFileError(f"cannot make a key in {home.keys}: {e}") from e
    return _read_digest_key(_digest_file(home))


def retire_signer(home: Home, stamp: str) -> None:
    """Destroy the signing key, and keep its public half under `stamp`, so that the next open makes a new pair.

    Destroying is best effort: a file system may keep old blocks. Raises KeyFileError.
    """
    public = verifier_file(home)
    try:
        make_folder(home.keys / "retired")
        if public.exists():
            os.rename(public, home.keys / "retired" / f"ledger-{stamp}.vkey")
        _key_file(home).unlink(missing_ok=True)
    except OSError as e:
        raise KeyFileError(f"cannot retire the key in {home.keys}: {os.strerror(e.errno or 0).lower()}") from e


def verifier_file(home: Home) -> Path:
    """Return where the public key of `home` lies."""
    return home.keys / "ledger.vkey"


def read_verifier(text_or_file: str) -> VerifierKey:
    """Return the public key that is given as text or as the path of a file. Raises KeyFileError."""
    text = text_or_file
    path = Path(text_or_file)
    try:
        if path.is_file():
            text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as e:
        raise KeyFileError(f"cannot read the key {path}: {type(e).__name__}") from e
    try:
        return VerifierKey.parse(text)
    except NotVerified as e:
        raise KeyFileError(f"neither a file nor a verifier key of the form name+id+base64: {e}") from e


def _missing(home: Home) -> list[Path]:
    return [path for path in (_key_file(home), verifier_file(home), _digest_file(home)) if not path.exists()]


def _has_signer(home: Home) -> bool:
    """Say whether this home ever had a signing pair; half a pair counts, and is refused when it is read."""
    return _key_file(home).exists() or verifier_file(home).exists()


def _complete(home: Home) -> bool:
    """Make what is missing and can be made, and say whether it was a new pair."""
    make_folder(home.keys)
    lock = FileLock(home.keys / "create.lock")
    try:
        lock.acquire(time.monotonic() + DEADLINE_S)
        if not _has_signer(home):  # unless another process made them meanwhile
            _create(home)
            return True
        if _key_file(home).exists() and not verifier_file(home).exists():
            _write_public_half(home, _read_signer(_key_file(home)))
        return False
    finally:
        lock.close()


def _create(home: Home) -> None:
    """Make a pair, and the key for digests. The public half comes last: it can be made again from the private one."""
    name = f"onrecord/{os.urandom(6).hex()}/calls"  # the log's origin: unique, and says nothing of the host
    signer = SignerKey(name=name, private=Ed25519PrivateKey.generate())
    key_id = signer.vkey.key_id.hex()
    seed = base64.b64encode(_ED25519 + signer.private.private_bytes_raw()).decode()
    if not _digest_file(home).exists():  # it outlives a signing key: pseudonyms depend on it
        replace_file(_digest_file(home), os.urandom(_SEED_BYTES), durable=True)
    if not home.guard().exists():  # so that a log that is gone later on is not taken for one that never was
        make_folder(home.guard().parent)
        write_guard(home.guard(), guard_of(EdgeTiles(), name), durable=True)
    replace_file(_key_file(home), f"{_PREFIX}{name}+{key_id}+{seed}\n".encode(), durable=True)
    _write_public_half(home, signer)


def _write_public_half(home: Home, signer: SignerKey) -> None:
    replace_file(verifier_file(home), f"{signer.vkey}\n".encode(), durable=True)


def _read_signer(path: Path) -> SignerKey:
    text = _read_private(path).decode(errors="replace").strip()
    if not text.startswith(_PREFIX):
        raise KeyFileError(f"{path} is not a signing key: it does not begin with {_PREFIX}")
    try:
        name, key_id, encoded = text.removeprefix(_PREFIX).split("+", 2)
        seed = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error) as e:
        raise KeyFileError(f"{path} is not a signing key of the form {_PREFIX}name+id+base64") from e
    if seed[:1] != _ED25519 or len(seed) != 1 + _SEED_BYTES:
        raise KeyFileError(f"{path} is not an Ed25519 key")
    try:
        signer = SignerKey(name=name, private=Ed25519PrivateKey.from_private_bytes(seed[1:]))
    except NotVerified as e:
        raise KeyFileError(f"{path}: {e}") from e
    if signer.vkey.key_id.hex() != key_id:
        raise KeyFileError(f"{path}: the id does not belong to the name and the key; was the name edited?")
    return signer


def _read_digest_key(path: Path) -> bytes:
    key = _read_private(path)
    if len(key) != _SEED_BYTES:
        raise KeyFileError(f"{path} holds {len(key)} bytes; a key for digests has {_SEED_BYTES}")
    return key


def _read_private(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        if sys.platform != "win32" and stat.S_IMODE(mode) & 0o077:
            raise KeyFileError(f"{path} can be read by other accounts (mode {stat.S_IMODE(mode):04o}); chmod 600 it")
        return path.read_bytes()
    except OSError as e:
        raise KeyFileError(f"cannot read {path}: {os.strerror(e.errno or 0).lower()}") from e


def _key_file(home: Home) -> Path:
    return home.keys / "ledger.key"


def _digest_file(home: Home) -> Path:
    return home.keys / "digest.key"
