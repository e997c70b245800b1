# SPDX-License-Identifier: Apache-2.0
"""The segment that is written to: one open file, the room kept behind its end, and how it is sealed.

A segment that is full, or of another day, is sealed: its lines are flushed, and the file becomes
read-only, which tells every process that has it open to go on with the next one. So whatever lies
in a segment that is not the last is on the device.

Behind the last line lies a reserve that the file system has set aside. Ordinary lines don't use it.
When the device is full it holds what must still be said: what was refused, and how calls ended. So the
next segment has its reserve before the last one gives its own back; where there is no room for both,
the last one grows longer than it should.

Whoever writes holds the log's writer lock. This file knows lengths and no lines.
"""

import contextlib
import os
import stat
from pathlib import Path

from onrecord.errors import LedgerFull, LedgerMoved
from onrecord.ledger.durable import (
    FILE_MODE,
    check_in_place,
    disk_error,
    open_private,
    preallocate,
    sync_all,
    sync_data,
    sync_folder,
)
from onrecord.ledger.lines import compressed_form, first_seq

SEGMENT = 64 * 1024 * 1024  # bytes after which a segment is sealed; some 130,000 lines
RESERVE = 2 * 1024 * 1024  # bytes kept behind the last line; some 2,000 lines
_STEP = 1024 * 1024  # bytes of room that are set aside at a time
_SHARE = 16  # on a small device the reserve is this part of it, at most
_SEALED_MODE = 0o400


class Segment:
    """One file of lines, open for appending if it is not sealed. Raises OSError where it cannot be opened."""

    def __init__(
        self, path: Path, *, create: bool = False, reserve: int = RESERVE, lies_at: Path | None = None
    ) -> None:
        """Open it where it lies, if that is elsewhere than at `path`, where it belongs."""
        self.path = path
        self.first = first_seq(path)
        self.end = 0  # bytes, behind the last line that this process knows
        self.flushed = 0  # bytes that are known to be on the device
        self.low = False  # the reserve is all that is left
        self.spoiled = False  # a part of a line could not be taken back
        self._fd = _open(lies_at or path, create=create)
        self._room = 0  # bytes up to which ordinary lines have their blocks
        self._reserve = min(reserve, _device_bytes(self._fd) // _SHARE)

    @property
    def fd(self) -> int:
        """The descriptor, for reading."""
        return self._fd

    def look(self, least: int | None = None) -> tuple[int, bool]:
        """Return how long the file is, and whether it is sealed.

        Raises LedgerMoved where it is gone, or cut to less than the lines, or `least` bytes of them.
        """
        least = self.end if least is None else least  # before the look: others may append meanwhile
        held = os.fstat(self._fd)
        sealed = not held.st_mode & stat.S_IWUSR
        if not held.st_nlink and not (sealed and compressed_form(self.path).exists()):
            raise LedgerMoved(f"{self.path} was deleted while it was open")
        if held.st_size < least:
            raise LedgerMoved(f"{self.path} was cut to {held.st_size} bytes while it was open")
        return held.st_size, sealed

    def make_room(self, count: int) -> None:
        """See that an ordinary line of `count` bytes leaves the reserve alone.

        Raises LedgerFull where it wouldn't; `low` then says that the reserve is all that is left.
        """
        if self.end + count <= self._room:
            return
        for step in (_STEP, 0):
            try:
                kept = preallocate(self._fd, self.end, count + step + self._reserve)
            except OSError:
                continue
            self.low = False
            self._room = self.end + count + step if kept else 1 << 62  # a file system that keeps nothing
            return
        self.low = True
        raise LedgerFull(f"only the reserve is left on the device of {self.path}")

    def keep_reserve(self) -> None:
        """Have the reserve set aside, behind the last line. Raises OSError where there is no room for it."""
        preallocate(self._fd, self.end, self._reserve)

    def write(self, data: bytes) -> None:
        """Append `data` whole, or not at all. Raises LedgerFull, LedgerUnwritable.

        `spoiled` then says that a part stays behind, for the next one who opens the log to set aside.
        """
        try:
            written = os.write(self._fd, data)
        except OSError as e:
            raise disk_error(e, "write", self.path) from e
        if written != len(data):
            try:
                self.cut()
            except OSError as e:
                self.spoiled = True
                raise disk_error(e, f"take back {written} bytes of", self.path) from e
            raise LedgerFull(f"no room for another line in {self.path}")
        self.end += len(data)

    def torn(self, count: int) -> bytes:
        """Return `count` bytes behind the last line. Raises OSError."""
        return os.pread(self._fd, count, self.end)

    def cut(self) -> None:
        """Take away whatever lies behind the last line. Raises OSError."""
        os.ftruncate(self._fd, self.end)
        self._room = 0  # the blocks behind the end are gone with it

    def flush(self) -> None:
        """Return once the lines are on the device, in the file that others see. Raises OSError, LedgerMoved."""
        end = self.end  # before the flush: others may append meanwhile
        sync_data(self._fd)
        _, sealed = self.look(end)
        if not sealed:  # a sealed one may be compressed by now
            check_in_place(self._fd, self.path)
        self.flushed = max(self.flushed, end)

    def seal(self) -> None:
        """Flush the lines, and let nobody append any more. Raises OSError."""
        os.ftruncate(self._fd, self.end)  # gives the reserve back
        os.fchmod(self._fd, _SEALED_MODE)
        sync_all(self._fd)

    def unseal(self) -> None:
        """Take a seal back that no successor followed. Raises OSError."""
        os.fchmod(self._fd, FILE_MODE)
        self._room = 0
        with contextlib.suppress(OSError):
            self.keep_reserve()  # which the seal gave back

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def create_segment(path: Path, reserve: int) -> Segment:
    """Create the next segment, durably, or open it where a process that died had created it.

    Raises OSError: then there is none, or `path` is there all the same and must not be passed over.
    """
    segment = Segment(path, create=True, reserve=reserve)
    try:
        sync_folder(path.parent)
    except OSError:
        segment.close()
        path.unlink()
        raise
    with contextlib.suppress(OSError):
        segment.keep_reserve()
    return segment


def prepare_segment(path: Path, reserve: int) -> Segment:
    """Create the next segment beside its place, with its reserve. Raises OSError where there is no room for both."""
    scratch = _scratch_of(path)
    scratch.unlink(missing_ok=True)  # of a process that died
    segment = Segment(path, create=True, reserve=reserve, lies_at=scratch)
    try:
        segment.keep_reserve()
    except OSError:
        drop_segment(segment)
        raise
    return segment


def place_segment(segment: Segment) -> None:
    """Put a prepared segment into its place, durably. Raises OSError: then it is there all the same, or not at all."""
    os.rename(_scratch_of(segment.path), segment.path)
    try:
        sync_folder(segment.path.parent)
    except OSError:
        segment.path.unlink()
        raise


def drop_segment(segment: Segment) -> None:
    """Give up a prepared segment."""
    segment.close()
    with contextlib.suppress(OSError):
        _scratch_of(segment.path).unlink(missing_ok=True)


def _scratch_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.next")


def flush_sealed(path: Path) -> None:
    """Flush a sealed segment that has no successor: who sealed it may have died before that. Raises OSError."""
    fd = open_private(path, os.O_RDONLY)
    try:
        sync_all(fd)
    finally:
        os.close(fd)


def write_again(path: Path, start: int) -> None:
    """Hand what a segment holds from `start` on to the device anew. Raises OSError.

    A flush that failed may leave pages behind that count as written and never were. This changes no byte.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    path.chmod(FILE_MODE)
    fd = open_private(path, os.O_RDWR)  # not for appending: that would ignore the offset
    try:
        while data := os.pread(fd, _STEP, start):
            start += os.pwrite(fd, data, start)
        os.fchmod(fd, mode)
        sync_data(fd)
        sync_all(fd)
    finally:
        os.close(fd)


def _open(path: Path, *, create: bool) -> int:
    flags = os.O_APPEND | (os.O_CREAT if create else 0)
    try:
        return open_private(path, os.O_RDWR | flags)
    except PermissionError:
        if create or stat.S_IMODE(path.stat().st_mode) != _SEALED_MODE:
            raise
        return open_private(path, os.O_RDONLY)  # sealed: there is a next one


def _device_bytes(fd: int) -> int:
    about = os.fstatvfs(fd)
    return about.f_blocks * about.f_frsize
