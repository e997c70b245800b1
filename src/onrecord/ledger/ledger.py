# SPDX-License-Identifier: Apache-2.0
"""The log: append a line, chained to the one before, under a lock that any number of processes share.

An append is: lock, read what others wrote, write, unlock. It returns when the line is with the
operating system, which survives the death of this process; `flush` returns when it is on the
device, `publish` when a signed checkpoint covers it. The lock is never held across a flush: one
flush covers every line that was written to the file before it, whoever wrote it.

The lines are the truth. The tree, its tiles and the checkpoint are made from them and checked
against them. Whatever contradicts what was recorded before is refused, never mended: only bytes
after the last line feed, which are not an entry, are set aside, and that is put on the record.

This file decides nothing about calls, holds no thread, and takes nothing but `Redacted`.
"""

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Protocol, Self

from onrecord.errors import LedgerBusy, LedgerError, LedgerFull, LedgerMoved, LedgerRefused, NotVerified
from onrecord.event.event import GENESIS_PREV_HASH, SCHEMA_VERSION
from onrecord.event.ids import uuid7
from onrecord.event.redacted import Redacted, own_fact
from onrecord.ledger.clock import NowUs, TimeText, now_us, parse_time
from onrecord.ledger.durable import (
    FileLock,
    check_in_place,
    disk_error,
    make_folder,
    open_private,
    replace_file,
    sync_data,
)
from onrecord.ledger.handover import HandOver
from onrecord.ledger.lines import MAX_LINE, read_header, whole_lines
from onrecord.ledger.merkle import leaf_hash
from onrecord.ledger.note import SignerKey
from onrecord.ledger.place import Home
from onrecord.ledger.recovery import begin_log, check_grown, find_stand
from onrecord.ledger.signing import SigningKeys
from onrecord.ledger.tree import Tree, read_checkpoint, read_guard, read_last_signed

DEADLINE_S = 2.0  # an append that takes longer is refused; a person would have given up by then
_HEADER_BYTES = 512  # at most, of what the ledger sets on a line; it takes some 200
_APPEND = os.O_RDWR | os.O_APPEND


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where an entry came to stand: its place in the log and its leaf hash."""

    seq: int
    leaf: bytes


def fits(entry: Redacted) -> bool:
    """Say whether a line can hold `entry`."""
    return len(entry.body) <= MAX_LINE - _HEADER_BYTES


class _Step(Protocol):
    def __call__(self, leaves: list[bytes], *, at: str, deadline: float) -> int | None: ...


class Ledger:
    """One log, open for appending. Threads may share it; so may processes, each with its own."""

    _path: Path
    _fd: int
    _writer_lock: FileLock
    _tree: Tree

    def __init__(self, home: Home, signer: SignerKey, *, log: str, wid: str, wseq: int, clock: NowUs) -> None:
        self.folder = home.log(log)
        self.wid = wid
        self._home = home
        self._log = log
        self._guard_path = home.guard(log)
        self._signer = signer
        self._keys = SigningKeys(home, log, signer.name)
        self._clock = clock
        self._mutex = Lock()
        self._publishing = Lock()  # the lock between processes does not keep two threads of one apart
        self._wseq = wseq
        self._size = self._end = self._last_us = 0  # entries, bytes, microseconds
        self._last_leaf = GENESIS_PREV_HASH
        self._leaves: list[bytes] = []  # of the lines from tree.size to self._size
        self._fd = -1
        self._broken: LedgerError | None = None
        self._times = TimeText()

    @classmethod
    def open(
        cls,
        home: Home,
        signer: SignerKey,
        *,
        log: str = "calls",
        wid: str | None = None,
        wseq: int = 0,
        clock: NowUs = now_us,
        deadline_s: float = DEADLINE_S,
    ) -> Self:
        """Open the log of `home`, or begin it where there is none.

        Lines that a dead process left unsigned are taken in; a torn tail is set aside and recorded.
        `wseq` is how many lines `wid` has written before. Raises LedgerRefused where the log
        contradicts its checkpoint or its guard, and other LedgerErrors where the disk or a lock
        stands in the way.
        """
        self = cls(home, signer, log=log, wid=wid or os.urandom(8).hex(), wseq=wseq, clock=clock)
        try:
            for folder in (self.folder.segments, self._guard_path.parent):
                make_folder(folder)
        except OSError as e:
            raise disk_error(e, "create", Path(e.filename or self.folder.path)) from e
        self._writer_lock = FileLock(self.folder.writer_lock)
        try:
            self._writer_lock.acquire(time.monotonic() + deadline_s)
            self._open_under_lock()
        except OSError as e:
            self._writer_lock.close()
            raise disk_error(e, "open", Path(e.filename or self.folder.path)) from e
        except BaseException:
            self._writer_lock.close()
            raise
        self._writer_lock.release()
        return self

    def again(self, *, deadline_s: float = DEADLINE_S) -> Self:
        """Open the log anew in place of this object, and go on with its `wid` and count. Raises LedgerError."""
        return self.open(
            self._home,
            self._signer,
            log=self._log,
            wid=self.wid,
            wseq=self._wseq,
            clock=self._clock,
            deadline_s=deadline_s,
        )

    @property
    def size(self) -> int:
        """How many entries this process knows of."""
        return self._size

    @property
    def usable(self) -> bool:
        """Whether an append may still succeed on this object; a broken one has to be opened anew."""
        return self._broken is None

    @property
    def signed(self) -> int:
        """How many of them this process knows to be covered by a signed checkpoint."""
        return self._tree.size

    def append(self, entry: Redacted, *, deadline_s: float = DEADLINE_S) -> Receipt:
        """Write `entry` as the next line and return where it stands.

        The line survives the death of this process from then on; `flush` makes it survive a power
        cut. Raises a LedgerError where the line is not on the record: nothing of it remains.
        """
        deadline = time.monotonic() + deadline_s
        if not self._mutex.acquire(timeout=deadline_s):
            raise LedgerBusy(f"other threads keep {self.folder.path} busy")
        try:
            self._writer_lock.acquire(deadline)
            try:
                self._catch_up()
                return self._write(entry)
            finally:
                self._writer_lock.release()
        finally:
            self._mutex.release()

    def flush(self) -> int:
        """Return once every line so far is on the device, and how many that is.

        Whatever waits for this learns that the log is still the file that others see. Raises
        LedgerMoved, or LedgerUnwritable: the pages of a failed flush may count as clean afterwards,
        so the descriptor is never flushed again, and the log has to be opened anew.
        """
        size = self._size
        end = self._end  # in this order: it is never less than the end of those entries
        self._check_usable()
        try:
            sync_data(self._fd)
            check_in_place(self._fd, self._path)
            self._writer_lock.check_in_place()
            self._check_length(os.fstat(self._fd), end)
        except OSError as e:
            raise self._break(disk_error(e, "flush", self._path)) from e
        except LedgerMoved as e:
            raise self._break(e) from e
        return size

    def sign(self, *, deadline_s: float = DEADLINE_S) -> int:
        """Flush and sign every line so far, durably, and return how many that is."""
        return self._cover(self._tree.sign, deadline_s)

    def publish(self, *, deadline_s: float = DEADLINE_S) -> int:
        """Flush and sign every line so far, and write tiles and checkpoint for whoever reads the log."""
        return self._cover(self._tree.publish, deadline_s)

    def _cover(self, step: _Step, deadline_s: float) -> int:
        deadline = time.monotonic() + deadline_s
        if not self._publishing.acquire(timeout=deadline_s):
            raise LedgerBusy(f"another thread is signing {self.folder.path} and does not get done")
        try:
            size = None
            while size is None:  # another process was quicker, and knows lines that we have still to read
                leaves = self._unsigned(deadline)
                self.flush()  # before the signature: a power cut must never look like a rollback
                size = step(leaves, at=self._times.of(self._clock()), deadline=deadline)
                if size is None and time.monotonic() > deadline:
                    raise LedgerBusy(f"other processes keep signing {self.folder.path}")
            with self._mutex:
                del self._leaves[: size - (self._size - len(self._leaves))]
            return size
        except LedgerRefused as e:
            raise self._break(e) from e
        finally:
            self._publishing.release()

    def _unsigned(self, deadline: float) -> list[bytes]:
        """Return the leaves since the signed ones, those of other processes among them."""
        if not self._mutex.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise LedgerBusy(f"other threads keep {self.folder.path} busy")
        try:
            self._writer_lock.acquire(deadline)
            try:
                self._catch_up()
            finally:
                self._writer_lock.release()
            return list(self._leaves)
        finally:
            self._mutex.release()

    def close(self) -> None:
        """Close the files. Lines that were not flushed or published stay as they are."""
        with self._publishing, self._mutex:
            if self._fd < 0:
                return
            self._broken = self._broken or LedgerError("the ledger is closed")
            os.close(self._fd)
            self._fd = -1
            self._writer_lock.close()
            self._tree.close()

    # opening

    def _open_under_lock(self) -> None:
        guard = read_guard(self._guard_path)
        if guard is not None and guard.origin != self._signer.name:
            raise LedgerRefused(f"the guard {self._guard_path} belongs to another log: {guard.origin}")
        self._path = self.folder.first_segment
        signed = read_last_signed(self.folder, self._keys)
        checkpoint = read_checkpoint(self.folder, self._keys) or signed
        seen = [each for each in (checkpoint, signed, guard and guard.seen) if each is not None]
        if not self._path.exists():
            checkpoint = begin_log(self.folder, self._guard_path, self._keys, seen)
        self._fd = open_private(self._path, _APPEND)
        try:
            stand = find_stand(self.folder, self._path, checkpoint, guard)
            self._size, self._end, self._last_leaf, self._last_us = stand.size, stand.end, stand.leaf, stand.at_us
            torn = self._read_on()
            for before in seen:  # nobody has signed the lines behind the stand: what was seen of them decides
                check_grown(self.folder, self._path, stand.edge, self._leaves, before)
            hand_over = HandOver(self.folder, self._keys, self.append, self._unsigned, self.flush)
            self._tree = Tree(self.folder, self._guard_path, self._keys, stand.edge, hand_over)
        except BaseException:
            os.close(self._fd)
            raise
        try:
            if torn:
                self._set_torn_tail_aside(torn)
            elif not self._size:
                self._write(self._opening())
        except BaseException:
            os.close(self._fd)
            self._tree.close()
            raise

    def _opening(self) -> Redacted:
        return own_fact(
            "log_open",
            event_id=self._new_id(),
            detail={"origin": self._signer.name, "vkey": str(self._signer.vkey), "format": SCHEMA_VERSION},
        )

    # appending; the caller holds the mutex and the writer lock

    def _check_usable(self) -> None:
        if self._broken is not None:
            raise self._broken

    def _break(self, error: LedgerError) -> LedgerError:
        self._broken = error
        return error

    def _catch_up(self) -> None:
        """Read what other processes wrote since, and set a torn tail aside."""
        if torn := self._read_on():
            self._set_torn_tail_aside(torn)

    def _read_on(self) -> int:
        """Take in the lines that other processes wrote since, and return how many bytes lie behind the last."""
        self._check_usable()
        held = os.fstat(self._fd)
        if held.st_size == self._end and held.st_nlink:
            return 0
        try:
            self._check_length(held, self._end)
            for line in whole_lines(self._fd, self._end, held.st_size):
                self._take(line.data)
        except LedgerMoved as e:
            raise self._break(e) from e
        except NotVerified as e:
            raise self._break(LedgerRefused(f"altered: {self._path}, after entry {self._size - 1}: {e}")) from e
        except OSError as e:
            raise disk_error(e, "read", self._path) from e
        return held.st_size - self._end

    def _check_length(self, held: os.stat_result, end: int) -> None:
        if held.st_nlink == 0:
            raise LedgerMoved(f"{self._path} was deleted while it was open")
        if held.st_size < end:
            raise LedgerMoved(f"{self._path} was cut to {held.st_size} bytes while it was open")

    def _take(self, line: bytes) -> None:
        header = read_header(line)
        if header.seq != self._size or header.prev_hash != self._last_leaf:
            raise NotVerified(f"a line says seq {header.seq}, or does not follow the line before it")
        self._advance(line, parse_time(header.timestamp))

    def _advance(self, line: bytes, at_us: int) -> bytes:
        leaf = leaf_hash(line)
        self._leaves.append(leaf)
        self._last_leaf = leaf.hex()
        self._last_us = at_us
        self._end += len(line) + 1
        self._size += 1  # after the end: see `flush`
        return leaf

    def _write(self, entry: Redacted) -> Receipt:
        at_us = max(self._clock(), self._last_us)  # the clock may jump back; the log's time never does
        line = b'{"schema_version":%d,"seq":%d,"prev_hash":"%s","timestamp":"%s","wid":"%s","wseq":%d,%s' % (
            SCHEMA_VERSION,
            self._size,
            self._last_leaf.encode(),
            self._times.of(at_us).encode(),
            self.wid.encode(),
            self._wseq,
            entry.body[1:],
        )
        if not fits(entry):
            raise LedgerError(f"an entry of {len(line)} bytes is longer than a line may be ({MAX_LINE})")
        try:
            written = os.write(self._fd, line + b"\n")
        except OSError as e:
            raise disk_error(e, "write", self._path) from e
        if written != len(line) + 1:
            self._undo(written)
        leaf = self._advance(line, at_us)
        self._wseq += 1
        return Receipt(self._size - 1, leaf)

    def _undo(self, written: int) -> None:
        """Take back a short write: the device is full."""
        try:
            os.ftruncate(self._fd, self._end)
        except OSError as e:
            raise self._break(disk_error(e, f"take back {written} bytes of", self._path)) from e
        raise LedgerFull(f"no room for another line in {self._path}")

    def _set_torn_tail_aside(self, count: int) -> None:
        """Keep the bytes that a dying process left after the last line feed, cut them off, and say so."""
        kept = self.folder.torn / f"{self._size:018d}-{os.urandom(4).hex()}"
        try:
            torn = os.pread(self._fd, count, self._end)
            make_folder(kept.parent)
            replace_file(kept, torn, durable=True)  # before the cut: nothing is ever dropped unseen
            os.ftruncate(self._fd, self._end)
        except OSError as e:
            raise disk_error(e, "set a torn line aside in", kept.parent) from e
        if not self._size:
            self._write(self._opening())  # it was this one that was cut off
        detail: dict[str, str | int | bool] = {
            "torn_bytes": count,
            "torn_sha256": hashlib.sha256(torn).hexdigest(),
            "kept_as": f"torn/{kept.name}",
        }
        self._write(own_fact("log_recovered", event_id=self._new_id(), detail=detail))

    def _new_id(self) -> str:
        return uuid7(self._clock() // 1000, os.urandom(10))
