# SPDX-License-Identifier: Apache-2.0
"""The log: append a line, chained to the one before, under a lock that any number of processes share.

An append is: lock, read what others wrote, write, unlock. It returns when the line is with the
operating system, which survives the death of this process; `flush` returns when it is on the
device, `publish` when a signed checkpoint covers it. The lock is never held across a flush, but
when a segment ends: one flush covers every line that was written before it, whoever wrote it.

The lines are the truth. The tree, its tiles and the checkpoint are made from them and checked
against them. Whatever contradicts what was recorded before is refused, never mended: only bytes
after the last line feed, which are not an entry, are set aside, and that is put on the record.

This file decides nothing about calls, holds no thread, and takes nothing but `Redacted`.
"""

import os
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Protocol, Self, TypeAlias

from onrecord.errors import LedgerBusy, LedgerError, LedgerFull, LedgerMoved, LedgerRefused, NotVerified
from onrecord.event.event import SCHEMA_VERSION
from onrecord.event.ids import uuid7
from onrecord.event.redacted import Redacted, own_fact
from onrecord.ledger.appending import Hand
from onrecord.ledger.clock import NowUs, TimeText, now_us
from onrecord.ledger.durable import FileLock, disk_error, make_folder
from onrecord.ledger.handover import HandOver
from onrecord.ledger.lines import MAX_LINE, segment_files
from onrecord.ledger.note import Checkpoint, SignerKey
from onrecord.ledger.place import Home
from onrecord.ledger.receipt import Receipt
from onrecord.ledger.recovery import begin_log, check_grown, find_stand, rolled_back
from onrecord.ledger.sealing import compress_sealed
from onrecord.ledger.segment import RESERVE, SEGMENT, write_again
from onrecord.ledger.signing import SigningKeys
from onrecord.ledger.tail import HEADER_BYTES, Options, Tail, fits
from onrecord.ledger.tree import Tree, read_checkpoint, read_guard, read_last_signed

DEADLINE_S = 2.0  # an append that takes longer is refused; a person would have given up by then

_Doubtful: TypeAlias = tuple[Path, int] | None  # lines whose flush failed: the file, and where they begin


class _Step(Protocol):
    def __call__(self, leaves: list[bytes], *, at: str, deadline: float) -> int | None: ...


class Ledger:
    """One log, open for appending. Threads may share it; so may processes, each with its own."""

    _writer_lock: FileLock
    _tree: Tree

    def __init__(self, home: Home, signer: SignerKey, options: Options, *, wseq: int, doubtful: _Doubtful) -> None:
        self.folder = home.log(options.log)
        self._own = Hand(options.wid, wseq)
        self._home = home
        self._options = options
        self._guard_path = home.guard(options.log)
        self._signer = signer
        self._keys = SigningKeys(home, options.log, signer.name)
        self._mutex = Lock()
        self._publishing = Lock()  # the lock between processes does not keep two threads of one apart
        self._tail = Tail(self.folder, options)
        self._closed = False
        self._broken: LedgerError | None = None
        self._doubtful = doubtful
        self._times = TimeText()

    @classmethod
    def open(
        cls,
        home: Home,
        signer: SignerKey,
        *,
        log: str = "calls",
        wid: str | None = None,
        clock: NowUs = now_us,
        deadline_s: float = DEADLINE_S,
        segment_bytes: int = SEGMENT,
        reserve_bytes: int = RESERVE,
        seen: Sequence[Checkpoint] = (),
    ) -> Self:
        """Open the log of `home`, or begin it where there is none.

        Lines that a dead process left unsigned are taken in; a torn tail is set aside and recorded.
        A segment ends at `segment_bytes`; `reserve_bytes` are kept for a full disk. The log must go on
        from each checkpoint that was `seen` before. Raises LedgerRefused where the log contradicts its
        checkpoint or its guard, and other LedgerErrors where the disk or a lock stands in the way.
        """
        options = Options(log, wid or os.urandom(8).hex(), clock, segment_bytes, reserve_bytes, tuple(seen))
        self = cls(home, signer, options, wseq=0, doubtful=None)
        self._open(deadline_s)
        return self

    def again(self, *, deadline_s: float = DEADLINE_S) -> Self:
        """Open the log anew in place of this object, and go on with its `wid` and count.

        The log must go on from what this object knew of it. Raises LedgerError.
        """
        return self._continue(deadline_s, self)

    @classmethod
    def _continue(cls, deadline_s: float, former: Self) -> Self:
        known = former._tree.known(former._tail.leaves)
        options = replace(former._options, seen=(known,))
        self = cls(former._home, former._signer, options, wseq=former._own.wseq, doubtful=former._doubtful)
        self._open(deadline_s)
        return self

    def _open(self, deadline_s: float) -> None:
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

    @property
    def size(self) -> int:
        """How many entries this process knows of."""
        return self._tail.size

    @property
    def usable(self) -> bool:
        """Whether an append may still succeed on this object; a broken one has to be opened anew."""
        return self._broken is None

    @property
    def signed(self) -> int:
        """How many of them this process knows to be covered by a signed checkpoint."""
        return self._tree.size

    @property
    def note(self) -> bytes:
        """The latest checkpoint that this process signed, which covers so many; empty before the first."""
        return self._tree.note

    @property
    def rotated(self) -> bool:
        """Whether there are sealed segments that may be compressed."""
        return self._tail.rotated

    def append(
        self, entry: Redacted, *, deadline_s: float = DEADLINE_S, urgent: bool = False, hand: Hand | None = None
    ) -> Receipt:
        """Write `entry` as the next line and return where it stands. As for `append_all`."""
        return self.append_all((entry,), deadline_s=deadline_s, urgent=urgent, hand=hand)[0]

    def append_all(
        self,
        entries: Sequence[Redacted],
        *,
        deadline_s: float = DEADLINE_S,
        urgent: bool = False,
        hand: Hand | None = None,
    ) -> list[Receipt]:
        """Write `entries`, at least one, as the next lines, all or none, and return where they stand.

        They stand in the name of `hand`, if there is one, and survive the death of this process from
        then on; `flush` makes them survive a power cut. An `urgent` one may use the reserve of a full disk.
        Raises a LedgerError where they are not on the record: nothing of them remains.
        """
        deadline = time.monotonic() + deadline_s
        if not self._mutex.acquire(timeout=deadline_s):
            raise LedgerBusy(f"other threads keep {self.folder.path} busy")
        try:
            self._writer_lock.acquire(deadline)
            try:
                self._catch_up()
                return self._write(entries, urgent=urgent, hand=hand)
            finally:
                self._writer_lock.release()
        finally:
            self._mutex.release()

    def compress(self) -> None:
        """Compress the sealed segments whose lines are signed. What goes wrong is left as it is, for verify to name."""
        with suppress(LedgerError):
            compress_sealed(self.folder, self._tree.size)
            self._tail.rotated = False

    def beat(self, after_s: float, *, deadline_s: float = DEADLINE_S) -> bool:
        """Record a heartbeat if no line was written for `after_s`, by whomever, and say whether it was."""
        with self._at_the_end(time.monotonic() + deadline_s):
            if self._options.clock() - self._tail.last_us < after_s * 1_000_000:
                return False
            detail: dict[str, str | int | bool] = {"silent_after_s": round(after_s)}
            self._write([own_fact("heartbeat", event_id=self._new_id(), detail=detail)])
            return True

    def flush(self) -> int:
        """Return once every line so far is on the device, and how many that is.

        Whatever waits for this learns that the log is still the file that others see. Raises
        LedgerMoved, or LedgerUnwritable: the pages of a failed flush may count as clean afterwards,
        so the descriptor is never flushed again, and the log has to be opened anew.
        """
        self._check_usable()
        try:
            size = self._tail.flush()
            self._writer_lock.check_in_place()
        except OSError as e:
            self._doubtful = self._doubtful or self._tail.flushed
            raise self._break(disk_error(e, "flush", self._tail.path)) from e
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
                if self._tail.size < self._tree.wanted:  # lines are written before they are signed
                    raise rolled_back(self.folder, self._tail.size, self._tree.wanted)
                self.flush()  # before the signature: a power cut must never look like a rollback
                size = step(leaves, at=self._times.of(self._options.clock()), deadline=deadline)
                if size is None and time.monotonic() > deadline:
                    raise LedgerBusy(f"other processes keep signing {self.folder.path}")
            with self._mutex:
                known = self._tail.leaves
                del known[: size - (self._tail.size - len(known))]
            return size
        except LedgerRefused as e:
            raise self._break(e) from e
        finally:
            self._publishing.release()

    def _unsigned(self, deadline: float) -> list[bytes]:
        """Return the leaves since the signed ones, those of other processes among them."""
        with self._at_the_end(deadline):
            return list(self._tail.leaves)

    @contextmanager
    def _at_the_end(self, deadline: float) -> Generator[None]:
        """Hold the log, with all that others wrote read. (`append` spells this out: it is the hot path.)"""
        if not self._mutex.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise LedgerBusy(f"other threads keep {self.folder.path} busy")
        try:
            self._writer_lock.acquire(deadline)
            try:
                self._catch_up()
                yield
            finally:
                self._writer_lock.release()
        finally:
            self._mutex.release()

    def close(self) -> None:
        """Close the files. Lines that were not flushed or published stay as they are."""
        with self._publishing, self._mutex:
            if self._closed:
                return
            self._broken = self._broken or LedgerError("the ledger is closed")
            self._closed = True
            self._tail.close()
            self._writer_lock.close()
            self._tree.close()

    # opening

    def _open_under_lock(self) -> None:
        guard = read_guard(self._guard_path)
        if guard is not None and guard.origin != self._signer.name:
            raise LedgerRefused(f"the guard {self._guard_path} belongs to another log: {guard.origin}")
        signed = read_last_signed(self.folder, self._keys)
        checkpoint = read_checkpoint(self.folder, self._keys) or signed
        seen = [each for each in (checkpoint, signed, guard and guard.seen) if each is not None]
        if not segment_files(self.folder):
            checkpoint = begin_log(self.folder, self._guard_path, self._keys, seen)
        seen.extend(self._options.seen)
        try:
            if self._doubtful and self._doubtful[0].exists():
                write_again(*self._doubtful)  # nothing may follow lines that never reached the device
            stand = find_stand(self.folder, checkpoint, guard)
            torn = self._tail.enter(stand.size, stand.leaf, stand.at_us)
            for before in seen:  # nobody has signed the lines behind the stand: what was seen of them decides
                check_grown(self.folder, stand.edge, self._tail.leaves, before)
            hand_over = HandOver(self.folder, self._keys, self.append, self._unsigned, self.flush)
            self._tree = Tree(self.folder, self._guard_path, self._keys, stand.edge, hand_over)
        except NotVerified as e:
            self._tail.close()
            raise LedgerRefused(f"altered: {self.folder.path}, after entry {self._tail.size - 1}: {e}") from e
        except BaseException:
            self._tail.close()
            raise
        try:
            if torn:
                self._set_torn_aside(torn)
            elif not self._tail.size:
                self._write([self._opening()])
        except BaseException:
            self._tail.close()
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
        self._check_usable()
        try:
            torn = self._tail.read_on()
        except (LedgerMoved, LedgerRefused) as e:
            raise self._break(e) from e
        except OSError as e:
            raise disk_error(e, "read", self._tail.path) from e
        if torn:
            self._set_torn_aside(torn)

    def _write(self, entries: Sequence[Redacted], *, urgent: bool = True, hand: Hand | None = None) -> list[Receipt]:
        who, room = hand or self._own, 0
        for entry in entries:
            if not fits(entry.body):
                raise LedgerError(f"an entry of {len(entry.body)} bytes is longer than a line may be ({MAX_LINE})")
            room += len(entry.body) + HEADER_BYTES
        if not urgent:
            self._make_room(room)
        at_us = max(self._options.clock(), self._tail.last_us)  # the clock may jump back; the log's time never does
        try:
            rotated = self._tail.rotate_if_due(at_us)
        except OSError as e:
            self._doubtful = self._doubtful or self._tail.flushed
            raise self._break(disk_error(e, "seal", self._tail.path)) from e
        if rotated and not urgent:
            self._make_room(room)
        first = self._tail.size
        try:
            leaves = self._tail.put([entry.body for entry in entries], at_us, who.wid, who.wseq)
        except LedgerError as e:
            raise self._break(e) if self._tail.spoiled else e from e
        who.wseq += len(leaves)
        return [Receipt(seq, leaf) for seq, leaf in enumerate(leaves, first)]

    def _make_room(self, count: int) -> None:
        """Leave the reserve to what is urgent; the record says when that begins and when it is over."""
        was_low = self._tail.low
        try:
            self._tail.make_room(count)
        except LedgerFull:
            if not was_low:
                self._write([own_fact("degraded", event_id=self._new_id(), action="disk_full")])
            raise
        if was_low:
            self._write([own_fact("degraded", event_id=self._new_id(), action="disk_has_room")])

    def _set_torn_aside(self, count: int) -> None:
        """Keep the bytes that a dying process left after the last line feed, cut them off, and say so."""
        try:
            detail = self._tail.set_torn_aside(count)
        except OSError as e:
            raise disk_error(e, "set a torn line aside in", self.folder.torn) from e
        if not self._tail.size:
            self._write([self._opening()])  # it was this one that was cut off
        self._write([own_fact("log_recovered", event_id=self._new_id(), detail=detail)])

    def _new_id(self) -> str:
        return uuid7(self._options.clock() // 1000, os.urandom(10))
