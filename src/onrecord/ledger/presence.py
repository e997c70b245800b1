# SPDX-License-Identifier: Apache-2.0
"""Which recorders live, and what those that died left open.

A recorder holds a lock on a file of its own, `run/<wid>`, for as long as it lives; the file names
the place in the log where its entries begin. A file that nobody locks belongs to a recorder that
was killed: its attempts without a result can be found from that place on, without reading the
whole log. The files are a convenience; a verifier finds open attempts in the lines alone.
"""

import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from onrecord.errors import LedgerError, LedgerMoved, NotVerified, plainly
from onrecord.event.event import UNREADABLE, Event
from onrecord.event.schema import read_event
from onrecord.ledger.durable import FileLock, disk_error, make_folder
from onrecord.ledger.lines import lines_from
from onrecord.ledger.place import Home, LogFolder
from onrecord.ledger.smallfile import MAX_STATE, read_small

DEADLINE_S = 2.0  # for somebody who looks whether we live


class _Start(msgspec.Struct, frozen=True):
    wid: str
    seq: int


@dataclass(slots=True)
class Presence:
    """The sign that a recorder lives."""

    home: Home
    wid: str
    _lock: FileLock | None = None

    def begin(self, seq: int) -> None:
        """Say that this recorder lives and that its entries begin at `seq`; once. Raises LedgerError."""
        if self._lock is not None:
            return
        path = self.home.running / self.wid
        try:
            make_folder(self.home.running)
            self._lock = _lock_in_place(path)
            path.write_bytes(msgspec.json.encode(_Start(self.wid, seq)))
        except OSError as e:
            raise disk_error(e, "write", path) from e

    def end(self) -> None:
        """Take the sign away: every call of this recorder is closed."""
        if self._lock is not None:
            with suppress(OSError):
                (self.home.running / self.wid).unlink()
            self._lock.close()
            self._lock = None


def _lock_in_place(path: Path) -> FileLock:
    """Create and lock `path`, also where somebody who looks for the dead was quicker. Raises LedgerError."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        lock = FileLock(path)
        try:
            lock.acquire(deadline)
            lock.check_in_place()
            return lock
        except LedgerMoved:
            lock.close()  # it was cleared away while it was empty; the next one is ours
        except BaseException:
            lock.close()
            raise


@contextmanager
def dead_recorders(home: Home) -> Generator[list[tuple[str, int]]]:
    """Yield `(wid, seq)` of each recorder that died, and forget them when the block ends well.

    While the block runs nobody else gets the same ones.
    """
    held: list[tuple[FileLock, Path, _Start]] = []
    try:
        for path in sorted(home.running.glob("*")) if home.running.is_dir() else ():
            lock = FileLock(path)
            if not lock.try_acquire():
                lock.close()
                continue
            try:
                lock.check_in_place()
                held.append((lock, path, msgspec.json.decode(read_small(path, MAX_STATE), type=_Start)))
            except LedgerMoved:
                lock.close()  # somebody else cleared it up, and the name may be a living one's by now
            except (OSError, NotVerified, *UNREADABLE):
                with suppress(OSError):
                    path.unlink()  # it died before it had written anything
                lock.close()
        yield [(start.wid, start.seq) for _, _, start in held]
        for _, path, _ in held:
            with suppress(OSError):
                path.unlink()
    finally:
        for lock, _, _ in held:
            lock.close()


def open_attempts(folder: LogFolder, wid: str, seq: int) -> list[Event]:
    """Return the attempts that the recorder `wid` wrote at `seq` or later and that have no result.

    Raises LedgerError where the lines cannot be read.
    """
    attempts: dict[tuple[str, int], Event] = {}
    try:
        for line in lines_from(folder, seq):
            if b'"phase":' not in line.data:
                continue
            event = read_event(line.data)
            if event.phase == "attempt" and event.wid == wid:
                attempts[event.call_id, event.round] = event
            elif event.phase == "decision" and (event.call_id, event.round) in attempts:
                key = event.call_id, event.round  # it was let through after all
                attempts[key] = msgspec.structs.replace(attempts[key], policy_decision=event.policy_decision)
            elif event.phase == "result":
                attempts.pop((event.call_id, event.round), None)
    except (OSError, NotVerified) as e:
        raise LedgerError(f"cannot look for open calls in {folder.path}: {plainly(e)}") from e
    return list(attempts.values())


def count_living(home: Home) -> int:
    """Return how many recorders live."""
    count = 0
    for path in sorted(home.running.glob("*")) if home.running.is_dir() else ():
        lock = FileLock(path)
        count += not lock.try_acquire()
        lock.close()
    return count
