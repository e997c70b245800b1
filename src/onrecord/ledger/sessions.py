# SPDX-License-Identifier: Apache-2.0
"""The doors of a recorder service: whose lines are whose, and which calls of each are open.

A session is one door, from its first connection to its goodbye. It has a `wid` of the service's
making and a count of its own, both kept over a connection that broke: the door shows a token and goes
on. A door that does not come back within `RETURN_S` is dead, and its open calls are closed as unknown.

As with every recorder (`presence.py`), a file `run/<wid>`, locked by the service, says that it lives.
A service that starts takes over the sessions of one that was killed, and gives their doors the same
time to come back. This file writes no lines.
"""

import hmac
import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import msgspec

from onrecord.errors import LedgerBusy, LedgerError, LedgerMoved, NotVerified, plainly
from onrecord.event.event import UNREADABLE, Event
from onrecord.event.schema import read_event
from onrecord.ledger.appending import Hand
from onrecord.ledger.durable import FileLock, disk_error, make_folder
from onrecord.ledger.lines import lines_from
from onrecord.ledger.place import Home, LogFolder
from onrecord.ledger.smallfile import MAX_STATE, read_small

RETURN_S = 15.0  # how long a door whose connection broke may take to come back, on a busy machine, too
OPEN_CALLS = 4_096  # of one door; some 8 MB
RECENT = 512  # ids of a door's newest events; more than it may have under way
_SAVED_AFTER = 1_000  # lines of a door; as many are read again, at most, by a service that starts

_WID_BYTES, _TOKEN_BYTES = 8, 16


class _Saved(msgspec.Struct, frozen=True, kw_only=True):
    """The file of a session. Nothing that is open stands before `seq`, where its count was at least `wseq`."""

    wid: str
    seq: int
    wseq: int = 0
    token: str = ""  # its SHA-256, in hex
    uid: int | None = None


class _Brief(msgspec.Struct, frozen=True):
    """What of a line says whose it is. A line that was pruned is nobody's."""

    wid: str = ""
    wseq: int = -1
    event_id: str = ""
    phase: str = ""
    call_id: str = ""
    round: int = 0


_saved = msgspec.json.Decoder(_Saved)
_brief = msgspec.json.Decoder(_Brief)


@dataclass(slots=True)
class Session:
    """One door. `lost_at` is when its connection broke, by time.monotonic()."""

    hand: Hand
    uid: int | None
    token: str
    seq: int
    lock: FileLock
    open_calls: dict[tuple[str, int], tuple[int, Event]] = field(
        default_factory=dict[tuple[str, int], tuple[int, Event]]
    )
    recent: deque[str] = field(default_factory=lambda: deque[str](maxlen=RECENT))
    lost_at: float | None = None
    unsaved: int = 0

    def check_room(self, event: Event) -> None:
        """Raise LedgerBusy where this door has as many open calls as are followed."""
        if event.phase == "attempt" and len(self.open_calls) >= OPEN_CALLS:
            raise LedgerBusy(f"{OPEN_CALLS} calls of this door are open; no more are followed")

    def note(self, seq: int, event: Event) -> None:
        """Take in that `event` stands at `seq`."""
        self.recent.append(event.event_id)
        self.unsaved += 1
        key = (event.call_id, event.round)
        if event.phase == "attempt":
            self.open_calls[key] = (seq, event)
        elif event.phase == "result":
            self.open_calls.pop(key, None)


class Sessions:
    """All doors of one service. Only its thread may use them."""

    def __init__(self, home: Home, *, return_s: float = RETURN_S) -> None:
        self._home = home
        self._return_s = return_s
        self._all: dict[str, Session] = {}

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._all.values()))

    def take_over(self, log: LogFolder) -> int:
        """Take over the sessions of a service that died, and return how many. Raises LedgerError.

        Comes before `presence.dead_recorders`, which would take them for recorders of another kind.
        """
        now = time.monotonic()
        for path in sorted(self._home.running.glob("*")) if self._home.running.is_dir() else ():
            session = _claimed(path)
            if session is not None:
                session.lost_at = now
                self._all[session.hand.wid] = session
        if self._all:
            _read_back(log, self._all)
        return len(self._all)

    def begin(self, *, uid: int | None, seq: int) -> tuple[Session, str]:
        """Return a new session, whose lines begin at `seq` or later, and its token. Raises LedgerError."""
        token = os.urandom(_TOKEN_BYTES).hex()
        wid = os.urandom(_WID_BYTES).hex()
        path = self._home.running / wid
        try:
            make_folder(path.parent)
        except OSError as e:
            raise disk_error(e, "create", path.parent) from e
        lock = FileLock(path)
        session = Session(Hand(wid), uid, _digest(token), seq, lock)
        try:
            if not lock.try_acquire():
                raise LedgerBusy(f"somebody else holds {path}")
            lock.check_in_place()
            self._save(session)
        except LedgerError:
            lock.close()
            raise
        self._all[wid] = session
        return session, token

    def resume(self, wid: str, token: str, *, uid: int | None) -> Session | None:
        """Return the session that a door shows the token of, or None where there is none such."""
        session = self._all.get(wid)
        if session is None or session.uid != uid or not hmac.compare_digest(session.token, _digest(token)):
            return None
        session.lost_at = None
        return session

    def lose(self, session: Session) -> None:
        """Take in that the connection of a door broke."""
        session.lost_at = time.monotonic()

    def gone(self) -> list[Session]:
        """Return the sessions whose doors did not come back in time."""
        now = time.monotonic()
        return [each for each in self if each.lost_at is not None and now > each.lost_at + self._return_s]

    def end(self, session: Session) -> None:
        """Forget a session: none of its calls is open."""
        self._all.pop(session.hand.wid, None)
        with suppress(OSError):
            (self._home.running / session.hand.wid).unlink()
        session.lock.close()

    def save_due(self, session: Session, size: int) -> None:
        """Write down where a session stands, now and then; the log has `size` entries."""
        if session.unsaved >= _SAVED_AFTER:
            session.seq = min([seq for seq, _ in session.open_calls.values()], default=size)
            with suppress(LedgerError):  # the file only saves reading
                self._save(session)

    def _save(self, session: Session) -> None:
        path = self._home.running / session.hand.wid
        saved = _Saved(
            wid=session.hand.wid, seq=session.seq, wseq=session.hand.wseq, token=session.token, uid=session.uid
        )
        try:
            path.write_bytes(msgspec.json.encode(saved))  # in place: the lock is on this very file
        except OSError as e:
            raise disk_error(e, "write", path) from e
        session.unsaved = 0


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def _claimed(path: Path) -> Session | None:
    """Return the session that a dead service left at `path`, locked; None where it is something else."""
    lock = FileLock(path)
    try:
        if lock.try_acquire():
            lock.check_in_place()
            saved = _saved.decode(read_small(path, MAX_STATE))
            if saved.token and saved.wid == path.name:
                return Session(Hand(saved.wid, saved.wseq), saved.uid, saved.token, saved.seq, lock)
    except (OSError, LedgerMoved, NotVerified, *UNREADABLE):
        pass  # another recorder's, or cut off: whoever looks for dead recorders clears it up
    lock.close()
    return None


def _read_back(log: LogFolder, sessions: dict[str, Session]) -> None:
    """Read from the log what `sessions` wrote since they were saved."""
    try:
        for line in lines_from(log, min(each.seq for each in sessions.values())):
            brief = _brief.decode(line.data)
            session = sessions.get(brief.wid)
            if session is not None:
                session.hand.wseq = max(session.hand.wseq, brief.wseq + 1)
                event = read_event(line.data)
                session.note(event.seq, event)
            elif brief.phase == "result":  # a closing that was cut off
                for each in sessions.values():
                    each.open_calls.pop((brief.call_id, brief.round), None)
    except (OSError, NotVerified, *UNREADABLE) as e:
        raise LedgerError(f"cannot look for open calls in {log.path}: {plainly(e)}") from e
