# SPDX-License-Identifier: Apache-2.0
"""Keeps the requests for approval of one home, a small file each, and sees to it that each is used once.

Each is a sealed file (`ledger/sealedfile.py`), changed under a lock that all processes share. What was edited, renamed
or opened to others is not believed: it is set aside, and nothing in it counts. What is deleted is asked again. Nothing
here ever makes a call run.

A file that is put back as it was before would be believed, as its seal holds. So what was used is also noted beside
the keys, in a list with a seal of its own, for as long as it could be used again; and the log is looked at
(`trail.py`), which is the one of the three that cannot be put back unnoticed.

Nothing here writes an event, and nothing decides: `rules.approval` does.
"""

import hmac
import os
import re
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from onrecord.errors import LedgerError, NotVerified
from onrecord.ledger.durable import FileLock, make_folder
from onrecord.ledger.place import Home
from onrecord.ledger.sealedfile import SealedFiles
from onrecord.ledger.smallfile import MAX_STATE
from onrecord.rules.approval import MOST_VOTES, Statement, Vote

MOST = 1_000  # requests at a time; past it no further one is taken
DEADLINE_S = 2.0  # for the lock
_LONGEST = 8 * MAX_STATE  # bytes of one file: a view, and `MOST_VOTES` votes
_SPENT = 1 << 22  # bytes of the list of what was used

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Cast(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A vote, and the event that says so."""

    vote: Vote
    event_id: str


class Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request and what became of it. `view` is what approvers see; its hash stands in the statement.

    The events about it stand at `seq` of the log or later; -1 where the log is out of reach. `redeemed` is the event
    of the decision by which it was used, "" where it was not.
    """

    statement: Statement
    view: tuple[str, ...]
    fields: tuple[str, ...]
    hidden: int
    seq: int
    votes: tuple[Cast, ...] = ()
    redeemed: str = ""
    escalated: bool = False

    @property
    def cast(self) -> list[Vote]:
        """The votes, in the order in which they were cast."""
        return [one.vote for one in self.votes]


class _Spent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which approvals were used, until when each could be used again, and how many ever were."""

    count: int = 0
    until_us: dict[str, int] = {}


class Approvals:
    """The requests for approval of one home. Threads and processes may share it."""

    def __init__(self, home: Home, digest_key: bytes) -> None:
        self._folder = home.approvals
        self._spent = home.keys / "approvals-spent.json"
        key = hmac.digest(digest_key, b"onrecord approvals v1", "sha256")
        self._files = SealedFiles(key, limit=_LONGEST)
        self._list = SealedFiles(key, limit=_SPENT)

    def read(self, approval_id: str) -> Kept | None:
        """Return a request, None where there is none. Raises NotVerified for one that can't be believed."""
        if not _ID.fullmatch(approval_id):
            return None
        try:
            kept = self._files.read(self._path(approval_id), Kept)
        except FileNotFoundError:
            return None
        except OSError as e:
            raise NotVerified(f"it cannot be read: {os.strerror(e.errno or 0).lower()}") from e
        if kept.statement.id != approval_id or len(kept.votes) > MOST_VOTES:
            raise NotVerified("it is the file of another request")
        return kept

    def all(self) -> tuple[list[Kept], list[str]]:
        """Return the requests, the oldest first, and the ids of those that can't be believed."""
        found: list[Kept] = []
        broken: list[str] = []
        with suppress(FileNotFoundError):
            for name in sorted(path.stem for path in self._folder.glob("*.json")):
                try:
                    kept = self.read(name)
                except NotVerified:
                    broken.append(name)
                    continue
                if kept is not None:
                    found.append(kept)
        return found, broken

    @contextmanager
    def locked(self) -> Generator[None]:
        """Let no other process or thread change any request meanwhile. Raises LedgerError."""
        try:
            make_folder(self._folder)
        except OSError as e:
            raise LedgerError(f"cannot make {self._folder}: {os.strerror(e.errno or 0).lower()}") from e
        lock = FileLock(self._folder / "lock")
        try:
            lock.acquire(time.monotonic() + DEADLINE_S)
            yield
        finally:
            lock.close()

    def write(self, kept: Kept) -> None:
        """Put a request in place, or in that of the one before. Needs `locked`. Raises LedgerError."""
        path = self._path(kept.statement.id)
        if not path.exists() and sum(1 for _ in self._folder.glob("*.json")) >= MOST:
            raise LedgerError(f"{MOST} requests for approval wait already")
        self._files.write(path, kept)

    def remove(self, approval_id: str) -> None:
        """Forget a request that is over. Needs `locked`."""
        with suppress(OSError):
            self._path(approval_id).unlink()

    def set_aside(self, approval_id: str) -> bool:
        """Keep a file that can't be believed for a person to look at; return whether nobody else has done so before."""
        path = self._path(approval_id)
        try:
            os.replace(path, path.with_suffix(".broken"))
        except FileNotFoundError:
            return False
        except OSError:
            return True  # it stays where it is, and does not count there
        return True

    def spend(self, kept: Kept, decision: str, now_us: int) -> Kept:
        """Note that an approval is used, by the event `decision`. Needs `locked`.

        Raises NotVerified where it was before, or nobody can tell, and LedgerError.
        """
        approval_id = kept.statement.id
        spent = self._read_spent()
        if kept.redeemed or approval_id in spent.until_us:
            raise NotVerified("it was used before")
        until_us = {key: until for key, until in spent.until_us.items() if until > now_us}
        until_us[approval_id] = kept.statement.expires_us
        self._list.write(self._spent, _Spent(count=spent.count + 1, until_us=until_us))
        used = msgspec.structs.replace(kept, redeemed=decision)
        self.write(used)
        return used

    def _read_spent(self) -> _Spent:
        try:
            return self._list.read(self._spent, _Spent)
        except FileNotFoundError:
            return _Spent()
        except OSError as e:
            raise NotVerified("whether it was used before cannot be told") from e

    def _path(self, approval_id: str) -> Path:
        return self._folder / f"{approval_id}.json"
