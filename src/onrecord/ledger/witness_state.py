# SPDX-License-Identifier: Apache-2.0
"""What a witness remembers: its key, the last checkpoint that it cosigned of each log, and what contradicted it.

    DIR/witness.key            PRIVATE+KEY+<name>+<id>+<base64>, readable by this account alone
    DIR/witness.vkey           <name>+<id>+<base64>; give it to whoever runs or verifies a log
    DIR/latest/<hash>          the last checkpoint of a log, as it was submitted, with our cosignature
    DIR/evidence/<hash>.ndjson two trees of one size that a log signed: proof of a fork, to anyone
    DIR/evidence/<hash>.unproven.ndjson
                               what a log signed and did not prove to extend the last one; a stranger can cause these
    DIR/witness.lock           held while a witness runs: two would cosign two histories

<hash> is the SHA-256 of the log's origin in hex. A witness that has lost its memory would cosign
whatever it is shown, so one whose folder is not whole refuses to start: it is to be retired, key
and all. What is on disk here is trusted; whoever can write it is the witness.
"""

import os
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from onrecord.errors import KeyFileError, LedgerRefused, NotVerified
from onrecord.ledger.clock import TimeText, now_us
from onrecord.ledger.cosignature import KIND, Cosigner, verify_cosignatures
from onrecord.ledger.durable import (
    FileLock,
    disk_error,
    make_folder,
    open_private,
    replace_file,
    sync_data,
    sync_folder,
    write_all,
)
from onrecord.ledger.merkle import EMPTY_ROOT
from onrecord.ledger.note import (
    MAX_NOTE,
    Checkpoint,
    VerifierKey,
    encode_base64,
    parse_checkpoint,
    parse_note,
    signature_line,
    verify_note,
)
from onrecord.ledger.signing import PRIVATE, check_key_id, parse_private, read_private
from onrecord.ledger.smallfile import NotSmall, read_small
from onrecord.ledger.submission import Inconsistent, Submission, judge, origin_of

MAX_EVIDENCE = 1 << 20  # bytes a file; one contradiction is enough, and a log must not fill the disk

_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the evidence: two notes that one log signed, and the path that should lead from one to the other."""

    timestamp: str
    origin: str
    reason: str
    latest: str
    submitted: str
    old_size: int
    path: tuple[str, ...]


class WitnessState:
    """The memory of one witness, and its voice: it stores a checkpoint first and signs it then."""

    def __init__(self, folder: Path, name: str, logs: Mapping[str, Sequence[VerifierKey]]) -> None:
        """Open the memory in `folder`, or begin it there; `logs` gives the keys of each origin.

        `name` is that of a new witness, made up where it is empty; one that exists keeps its own.
        Raises KeyFileError, also where it has another name, LedgerError, or NotVerified for a name
        that no note can carry.
        """
        self._folder = folder
        self._logs = {origin: tuple(keys) for origin, keys in logs.items()}
        self._locks = {origin: threading.Lock() for origin in logs}
        self._time = TimeText()
        self._is_new = False  # there was no key before
        try:
            make_folder(folder)
        except OSError as e:
            raise disk_error(e, "make", folder) from e
        self._lock = FileLock(folder / "witness.lock")
        try:
            if not self._lock.try_acquire():
                raise LedgerRefused(f"another witness runs on {folder}")
            self.cosigner = self._open(name)
            self._latest = {origin: self._read(origin) for origin in logs}
        except BaseException:
            self._lock.close()
            raise

    def cosign(self, submission: Submission) -> str:
        """Return our signature line under the submitted checkpoint, which is on disk by then.

        Raises UnknownLog, NotTheLog, OtherSize, Inconsistent or NotVerified as `judge` does, and
        LedgerError where it cannot be stored; then nothing is signed.
        """
        origin = origin_of(submission, self._logs)
        keys = self._logs[origin]
        with self._locks[origin]:  # look, store and sign are one step for each log
            latest = self._latest[origin]
            try:
                checkpoint = judge(submission, keys, latest)
            except Inconsistent as e:
                self._keep_evidence(submission, latest or Checkpoint(origin=origin, size=0, root=EMPTY_ROOT), str(e))
                raise
            line = self.cosigner.cosign(parse_note(submission.note).text, time.time_ns() // 1_000_000_000)
            if checkpoint != latest:  # kept with the log's own signatures: what strangers added is theirs
                note = parse_note(submission.note)
                own = (signature_line(one.name, one.key_id, one.raw) for one in verify_note(note, keys))
                kept = f"{note.text}\n{''.join(own)}{line}"
                replace_file(self._latest_file(origin), kept.encode(), durable=True)
                self._latest[origin] = checkpoint
            return line  # the commit point is behind us: from here on we stand by it

    def latest(self, origin: str) -> Checkpoint | None:
        """Return the last checkpoint of a log that was cosigned here."""
        return self._latest[origin]

    def close(self) -> None:
        """Wait for what is being stored, and let another witness have the folder."""
        for lock in self._locks.values():
            lock.acquire()  # never released: nothing is signed from here on
        self._lock.close()

    def abandon(self) -> None:
        """Close, and take away what was made in this life: for a witness that never got to serve."""
        if self._is_new:
            for path in (self._folder / "witness.key", self._folder / "witness.vkey"):
                path.unlink(missing_ok=True)
            for folder in (self._folder / "latest", self._folder / "evidence"):
                with suppress(OSError):
                    folder.rmdir()
        self.close()

    # the key

    def _open(self, name: str) -> Cosigner:
        key_file, latest = self._folder / "witness.key", self._folder / "latest"
        if not key_file.exists() and not latest.exists():
            self._is_new = True
            self._create(name or f"onrecord/{os.urandom(6).hex()}/witness")
        if not key_file.exists():
            raise KeyFileError(f"missing: {key_file}; restore it, or begin a new witness in another folder")
        if not latest.is_dir():
            raise KeyFileError(f"missing: {latest}; a witness without its memory must not sign: begin a new one")
        cosigner = _read_key(key_file)
        if name and name != cosigner.name:
            raise KeyFileError(f"the witness in {self._folder} has the name {cosigner.name}; a key keeps its name")
        replace_file(self._folder / "witness.vkey", f"{cosigner.vkey}\n".encode(), durable=False)
        return cosigner

    def _create(self, name: str) -> None:
        cosigner = Cosigner(name=name, private=Ed25519PrivateKey.generate())
        seed = encode_base64(KIND + cosigner.private.private_bytes_raw())
        text = f"{PRIVATE}{name}+{cosigner.vkey.key_id.hex()}+{seed}\n"
        try:
            make_folder(self._folder / "evidence")
            replace_file(self._folder / "witness.key", text.encode(), durable=True)
            make_folder(self._folder / "latest")  # last: where it is missing, something was lost
        except OSError as e:
            raise disk_error(e, "make a key in", self._folder) from e

    # the memory

    def _read(self, origin: str) -> Checkpoint | None:
        """Return the last checkpoint of a log. Raises LedgerRefused where it is not what we stored.

        Our own signature is what counts: the key that the log used then may be retired by now.
        """
        path = self._latest_file(origin)
        try:
            data = read_small(path, MAX_NOTE)
        except FileNotFoundError:
            return None
        except NotSmall as e:
            raise LedgerRefused(f"{path} is not what this witness stored: {e}") from e
        except OSError as e:
            raise LedgerRefused(f"cannot read {path}: {os.strerror(e.errno or 0).lower()}") from e
        try:
            note = parse_note(data)
            verify_cosignatures(note, [self.cosigner.vkey])
            checkpoint = parse_checkpoint(note.text)
        except NotVerified as e:
            raise LedgerRefused(f"{path} is not what this witness stored: {e}") from e
        if checkpoint.origin != origin:
            raise LedgerRefused(f"{path} is of another log; files were moved")
        return checkpoint

    def _keep_evidence(self, submission: Submission, latest: Checkpoint, reason: str) -> None:
        theirs = parse_checkpoint(parse_note(submission.note).text)
        proven = theirs.size == latest.size and theirs.root != latest.root
        kind = "ndjson" if proven else "unproven.ndjson"
        path = self._folder / "evidence" / f"{_hash(latest.origin)}.{kind}"
        ours = self._latest_file(latest.origin)
        line = Evidence(
            timestamp=self._time.of(now_us()),
            origin=latest.origin,
            reason=reason,
            latest=read_small(ours, MAX_NOTE).decode() if ours.exists() else "",
            submitted=submission.note.decode(),
            old_size=submission.old_size,
            path=tuple(map(encode_base64, submission.path)),
        )
        data = msgspec.json.encode(line) + b"\n"
        try:
            created = not path.exists()
            if not created and path.stat().st_size + len(data) > MAX_EVIDENCE:
                return
            fd = open_private(path, _APPEND)
            try:
                write_all(fd, data)
                sync_data(fd)
            finally:
                os.close(fd)
            if created:
                sync_folder(path.parent)
        except OSError as e:
            raise disk_error(e, "append to", path) from e

    def _latest_file(self, origin: str) -> Path:
        return self._folder / "latest" / _hash(origin)


def _hash(origin: str) -> str:
    return sha256(origin.encode()).hexdigest()  # an origin may hold what a file's name may not


def _read_key(path: Path) -> Cosigner:
    name, key_id, private = parse_private(read_private(path).decode(errors="replace").strip(), path, kind=KIND)
    try:
        cosigner = Cosigner(name=name, private=private)
    except NotVerified as e:
        raise KeyFileError(f"{path} is not the key of a witness: {e}") from e
    check_key_id(cosigner.vkey.key_id, key_id, path)
    return cosigner
