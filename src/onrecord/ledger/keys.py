# SPDX-License-Identifier: Apache-2.0
"""The keys of one home: a signing key for each log, its public halves, and the key for digests.

    keys/<log>.key     signs the checkpoints of that log (`signing.py`)
    keys/<log>.vkey    its public half, a line for each epoch; give it to whoever verifies
    keys/digest.key    32 random bytes; digests of values and the look-up of pseudonyms are keyed with it

The name of a key is the origin of its log, `onrecord/<12 hex digits>/<log>`. The digits are random,
say nothing of the host, and are the same for all logs of a home, but for the successor of a log
that ended: no two logs may share a name.

A private key that other accounts can read is refused: it proves nothing. A verifier takes its keys
from here or from its own hands, never from the ledger.
"""

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from onrecord.errors import KeyFileError, LedgerError, NotVerified, plainly
from onrecord.ledger.durable import FileLock, make_folder, replace_file
from onrecord.ledger.note import SignerKey, VerifierKey
from onrecord.ledger.place import Home
from onrecord.ledger.signing import (
    key_file,
    read_private,
    read_signers,
    read_vkeys,
    verifier_file,
    write_signers,
    write_vkeys,
)
from onrecord.ledger.tiles import EdgeTiles
from onrecord.ledger.tree import guard_of, read_guard, write_guard
from onrecord.ledger.whereabouts import read_moved

_DIGEST_KEY_BYTES = 32
_ORIGIN = re.compile(r"onrecord/([0-9a-f]{12})/.+")
DEADLINE_S = 2.0  # for another process that makes the keys at the same moment


@dataclass(frozen=True, slots=True)
class Keys:
    """What a recorder needs to write."""

    signer: SignerKey
    digest_key: bytes

    def __repr__(self) -> str:
        return f"<keys of {self.signer.name}>"


def open_keys(home: Home, log: str = "calls") -> tuple[Keys, bool]:
    """Return the keys of `log`, made now if there are none, and whether they were.

    Raises KeyFileError where one is missing beside others, malformed, or readable by other accounts.
    """
    if moved := read_moved(home):
        raise KeyFileError(f"the logs of {home.path} lie in {moved.home}; the keys are with {moved.account}")
    try:
        created = bool(_missing(home, log)) and _complete(home, log)
    except (LedgerError, OSError) as e:
        raise KeyFileError(f"cannot make keys in {home.keys}: {plainly(e, home.keys)}") from e
    return read_keys(home, log), created


def read_keys(home: Home, log: str = "calls") -> Keys:
    """Return the keys of `log`. Raises KeyFileError, also where one is missing."""
    if missing := _missing(home, log):
        names = ", ".join(map(str, missing))
        raise KeyFileError(f"missing: {names}; restore it from a backup")
    signer, *_ = read_signers(key_file(home, log))  # a ledger asks `SigningKeys` which key signs at the moment
    return Keys(signer=signer, digest_key=_read_digest_key(_digest_file(home)))


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
                replace_file(_digest_file(home), os.urandom(_DIGEST_KEY_BYTES), durable=True)
        finally:
            lock.close()
    except (LedgerError, OSError) as e:
        raise KeyFileError(f"cannot make a key in {home.keys}: {plainly(e, home.keys)}") from e
    return _read_digest_key(_digest_file(home))


def read_digest_key(home: Home) -> bytes:
    """Return the key for digests. Raises KeyFileError, also where there is none, and so no record either."""
    if not _digest_file(home).exists():
        raise KeyFileError(f"there is no record in {home.path} yet; begin with: onrecord run -- COMMAND…")
    return _read_digest_key(_digest_file(home))


def retire_signer(home: Home, stamp: str, log: str = "calls") -> None:
    """Destroy the signing key, and keep its public halves under `stamp`, so that the next open makes a new pair.

    Destroying is best effort: a file system may keep old blocks. Raises KeyFileError.
    """
    public = verifier_file(home, log)
    try:
        make_folder(home.keys / "retired")
        if public.exists():
            os.rename(public, home.keys / "retired" / f"{log}-{stamp}.vkey")
        key_file(home, log).unlink(missing_ok=True)
    except OSError as e:
        raise KeyFileError(f"cannot retire the key in {home.keys}: {os.strerror(e.errno or 0).lower()}") from e


def read_verifiers(text_or_file: str) -> list[VerifierKey]:
    """Return the public key that is given as text, or those in a file, oldest first. Raises KeyFileError."""
    path = Path(text_or_file)
    try:
        if path.is_file():
            return read_vkeys(path)
    except (OSError, ValueError):
        pass  # no file can have such a name
    try:
        return [VerifierKey.parse(text_or_file)]
    except NotVerified as e:
        if "+" in text_or_file:
            raise KeyFileError(f"the key that was given is none: {e}") from e
    raise KeyFileError(f"{text_or_file[:60]!r} is neither a file nor a verifier key of the form name+id+base64")


def own_verifiers(home: Home, log: str = "calls") -> list[VerifierKey]:
    """Return the public keys of one log of this home, oldest first. Raises KeyFileError where it has none yet."""
    file = verifier_file(home, log)
    if not file.is_file():
        raise KeyFileError(f"there is no key {file} yet; the first onrecord run makes one")
    return read_vkeys(file)


def _missing(home: Home, log: str) -> list[Path]:
    return [path for path in (key_file(home, log), verifier_file(home, log), _digest_file(home)) if not path.exists()]


def _has_signer(home: Home, log: str) -> bool:
    """Say whether the log ever had a signing pair; half a pair counts, and is refused when it is read."""
    return key_file(home, log).exists() or verifier_file(home, log).exists()


def _complete(home: Home, log: str) -> bool:
    """Make what is missing and can be made, and say whether it was a new pair."""
    make_folder(home.keys)
    lock = FileLock(home.keys / "create.lock")
    try:
        lock.acquire(time.monotonic() + DEADLINE_S)
        if not _has_signer(home, log):  # unless another process made them meanwhile
            _create(home, log)
            return True
        if key_file(home, log).exists() and not verifier_file(home, log).exists():
            write_vkeys(verifier_file(home, log), [signer.vkey for signer in read_signers(key_file(home, log))])
        return False
    finally:
        lock.close()


def _create(home: Home, log: str) -> None:
    """Make a pair, and the key for digests. The public half comes last: it can be made again from the private one."""
    name = _new_origin(home, log)
    signer = SignerKey(name=name, private=Ed25519PrivateKey.generate())
    digest_file = _digest_file(home)
    if not digest_file.exists() and not any(home.keys.glob("*.key")):  # it outlives a signing key: pseudonyms need it
        replace_file(digest_file, os.urandom(_DIGEST_KEY_BYTES), durable=True)
    if not home.guard(log).exists():  # so that a log that is gone later on is not taken for one that never was
        make_folder(home.guard(log).parent)
        write_guard(home.guard(log), guard_of(EdgeTiles(), name), durable=True)
    write_signers(key_file(home, log), [signer])
    write_vkeys(verifier_file(home, log), [signer.vkey])


def _new_origin(home: Home, log: str) -> str:
    """Return a name for a log that no other log has or had; one that was cut off before it had a key keeps its own."""
    used = {key.name for path in (home.keys / "retired").glob("*.vkey") for key in read_vkeys(path)}
    begun = read_guard(home.guard(log))
    if begun is not None and begun.size == 0 and begun.origin not in used:
        return begun.origin
    for path in sorted(home.keys.glob("*.vkey")):
        match = _ORIGIN.fullmatch(read_vkeys(path)[0].name)
        if match and (name := f"onrecord/{match[1]}/{log}") not in used:
            return name
    return f"onrecord/{os.urandom(6).hex()}/{log}"


def _read_digest_key(path: Path) -> bytes:
    key = read_private(path)
    if len(key) != _DIGEST_KEY_BYTES:
        raise KeyFileError(f"{path} holds {len(key)} bytes; a key for digests has {_DIGEST_KEY_BYTES}")
    return key


def _digest_file(home: Home) -> Path:
    return home.keys / "digest.key"
