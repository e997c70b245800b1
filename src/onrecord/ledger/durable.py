# SPDX-License-Identifier: Apache-2.0
"""How this operating system makes bytes last, keeps them private, and lets one process at a time write.

Everything in the ledger that touches a disk goes through here, so that what "durable" means is
written down once. Reading and verifying need none of it: on a platform without `fcntl` the module
imports, and a step that needs a lock says so.
"""

import contextlib
import ctypes
import errno
import functools
import os
import re
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

from onrecord.errors import LedgerBusy, LedgerError, LedgerFull, LedgerMoved, LedgerUnwritable, NotSupported

try:
    import fcntl
except ImportError:  # Windows: reading and verifying work there, writing does not yet
    fcntl = None

FILE_MODE = 0o600
FOLDER_MODE = 0o700

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # EFBIG: the limit of a process or a file system on one file
_AT_ONCE = getattr(os, "O_NONBLOCK", 0)
_FLAGS = getattr(os, "O_CLOEXEC", 0) | _AT_ONCE
_FALLOC_FL_KEEP_SIZE = 1  # Linux <linux/falloc.h>
_F_FULLFSYNC = 51  # macOS <fcntl.h>: fsync there does not reach the platter
_SCRATCH = re.compile(r"\..+\.[0-9]+\.onrecord", re.DOTALL)  # of `replace_file`, which is done with it in no time
_LEFT_S = 86_400.0  # after which whoever began it is dead, also where that is a process of another container
_cleared: set[Path] = set()  # folders in which this process looked for such files
_SHORT_NAP_S = 0.000_02  # as long as a writer holds the lock; the kernel makes some 75 us of it
_SHORT_NAPS = 100
_LONG_NAP_S = 0.002  # for a holder that takes its time; short against a deadline


def disk_error(error: OSError, doing: str, path: Path) -> LedgerError:
    """Return the typed error for a failed system call on `path`."""
    kind = LedgerFull if error.errno in _NO_ROOM else LedgerUnwritable
    why = "it is no file" if error.errno == errno.ENXIO else os.strerror(error.errno or 0).lower()
    return kind(f"cannot {doing} {path}: {why}")


def make_folder(path: Path, *, durable: bool = True) -> None:
    """Create `path` and its missing parents, readable by this account alone whatever the umask.

    `durable` says whether their names are on the device on return. Raises OSError.
    """
    missing: list[Path] = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        with contextlib.suppress(FileExistsError):  # another process was quicker
            folder.mkdir(FOLDER_MODE)  # never open to others, not even for a moment
            folder.chmod(FOLDER_MODE)  # an umask may have taken more than that
        if durable:
            sync_folder(folder.parent)


def open_private(path: Path, flags: int) -> int:
    """Open `path` and return its descriptor; a file that this creates is mode 0600 whatever the umask.

    Raises OSError at once where a pipe or a device lies there, with which one could wait for ever.
    """
    created = bool(flags & os.O_CREAT) and not path.exists()
    try:
        fd = os.open(path, flags | _FLAGS, FILE_MODE)
    except BlockingIOError:  # a file server has a lease on the file, and gives it up for one who waits
        if not stat.S_ISREG(path.stat().st_mode):
            raise
        fd = os.open(path, (flags | _FLAGS) & ~_AT_ONCE, FILE_MODE)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO), str(path))
    if created and hasattr(os, "fchmod"):
        os.fchmod(fd, FILE_MODE)
    return fd


def sync_data(fd: int) -> None:
    """Return once the file's bytes and length are on the device. Raises OSError."""
    if sys.platform == "darwin" and fcntl is not None:
        fcntl.fcntl(fd, _F_FULLFSYNC)
    elif hasattr(os, "fdatasync"):
        os.fdatasync(fd)
    else:
        os.fsync(fd)


def sync_all(fd: int) -> None:
    """Return once the file's bytes and everything about it are on the device. Raises OSError."""
    if sys.platform == "darwin":
        sync_data(fd)
    else:
        os.fsync(fd)


def preallocate(fd: int, offset: int, length: int) -> bool:
    """Have the file system set blocks aside for a part of the file, without making it longer.

    Returns False where it cannot. Raises OSError where the device has no room for them.
    """
    call = _fallocate()
    if call is None or not call(fd, _FALLOC_FL_KEEP_SIZE, offset, length):
        return call is not None
    error = ctypes.get_errno()
    if error in _NO_ROOM:
        raise OSError(error, os.strerror(error))
    return False  # this file system keeps no blocks


@functools.cache
def _fallocate() -> Callable[[int, int, int, int], int] | None:
    """Return the system call of Linux, which the standard library offers only in a form that lengthens the file."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        call = ctypes.CDLL(None, use_errno=True).fallocate
    except (OSError, AttributeError):
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong)
    return call


def sync_folder(path: Path) -> None:
    """Return once the names in `path` are on the device."""
    if sys.platform == "win32":
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def replace_file(path: Path, data: bytes, *, durable: bool, theirs: bool = False) -> None:
    """Put `data` at `path` so that a reader sees the old bytes or the new ones, never a part.

    `durable` says whether to return only once the new bytes are on the device; `theirs`, that the folder is somebody's
    choice, in which nothing is cleared up. Raises LedgerError.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.onrecord")
    try:
        fd = open_private(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            write_all(fd, data)
            if durable:
                sync_data(fd)
        finally:
            os.close(fd)
        os.replace(scratch, path)
        if durable:
            sync_folder(path.parent)
    except OSError as e:
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise disk_error(e, "replace", path) from e
    if not theirs and hasattr(os, "geteuid"):  # elsewhere nobody could say whose a file is
        _clear_up(path.parent)


def _clear_up(folder: Path) -> None:
    """Remove what was left in `folder` by replacements that were killed; each process does so once."""
    if folder in _cleared:
        return
    _cleared.add(folder)
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _SCRATCH.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(OSError):
                    about = entry.stat(follow_symlinks=False)
                    if about.st_uid == os.geteuid() and about.st_mtime < time.time() - _LEFT_S:
                        os.unlink(entry.path)


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`, in as many writes as it takes. Raises OSError."""
    written = os.write(fd, data)
    if written < len(data):
        rest = memoryview(data)[written:]
        while rest:
            rest = rest[os.write(fd, rest) :]


class FileLock:
    """An exclusive lock between processes, held through an open file; it dies with its holder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._fd = open_private(path, os.O_RDWR | os.O_CREAT)
        except OSError as e:
            raise disk_error(e, "open the lock", path) from e

    def acquire(self, deadline: float) -> None:
        """Take the lock. Raises LedgerBusy when `time.monotonic()` passes `deadline`."""
        if self.try_acquire():
            return
        naps = 0
        while not self.try_acquire():
            if time.monotonic() > deadline:
                raise LedgerBusy(f"another process holds {self._path} and does not let go")
            time.sleep(_SHORT_NAP_S if naps < _SHORT_NAPS else _LONG_NAP_S)
            naps += 1

    def try_acquire(self) -> bool:
        """Take the lock if it is free, and say whether it was."""
        if fcntl is None:
            raise NotSupported("writing a ledger needs POSIX file locks; this platform can read and verify")
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as e:
            raise disk_error(e, "lock", self._path) from e
        return True

    def release(self) -> None:
        """Let others have the lock."""
        if fcntl is not None:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def check_in_place(self) -> None:
        """Raise LedgerMoved unless the locked file is the one that others would lock."""
        check_in_place(self._fd, self._path)

    def close(self) -> None:
        """Release the lock and close the file."""
        os.close(self._fd)


def check_in_place(fd: int, path: Path) -> None:
    """Raise LedgerMoved where `path` is no longer the file behind `fd`."""
    held = os.fstat(fd)
    try:
        named = os.stat(path)
    except OSError as e:
        raise LedgerMoved(f"{path} was deleted or moved away while it was open") from e
    if (held.st_ino, held.st_dev) != (named.st_ino, named.st_dev) or held.st_nlink == 0:
        raise LedgerMoved(f"{path} was replaced by another file while it was open")
