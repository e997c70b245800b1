# SPDX-License-Identifier: Apache-2.0
"""Moves ledger, guard and signing keys of a home to another account; nothing is ever only half there.

    1. nobody writes, and nobody can begin to: the locks of every log are held
    2. copy to a place beside the target, durably, owned by the new account
    3. compare every byte, then give the copy its name
    4. say in the old home where the ledger went    the commit point: before it all is undone
    5. remove what was copied; the public keys stay, so that the home can tell another log from its own

A move that died is taken up: a target that holds the same bytes is as good as a copy. The key for digests and
the pseudonyms stay where the doors are. Logs and keys that a successor has ended move along.

The old home belongs to an account that root need not trust: whatever is read or removed there is read and
removed with that account's rights, so a link in it leads nowhere that the account could not go by itself.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from onrecord.errors import KeyFileError, LedgerError, LedgerRefused
from onrecord.ledger.durable import FILE_MODE, FOLDER_MODE, FileLock, disk_error, make_folder, sync_all, sync_folder
from onrecord.ledger.place import Home
from onrecord.ledger.presence import count_living
from onrecord.ledger.whereabouts import Moved, moved_file, read_moved, write_moved

_WHOLE = ("ledger", "guard")  # folders that move with all that they hold
_DIGEST_KEY = "digest.key"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """From where to where, and who will own it there."""

    source: Home
    target: Home
    moved: Moved
    uid: int
    gid: int


def check_movable(move: Move) -> None:
    """Raise LedgerError where the move could not be made: recorders live, or the target holds another log."""
    if living := count_living(move.source):
        raise LedgerRefused(f"{living} recorders write to {move.source.path}; end their clients, and try again")
    if read_moved(move.source) is None and _holds_a_log(move.target) and not _equal(move.source, move.target):
        raise LedgerRefused(f"{move.target.path} holds another log than {move.source.path}; two logs can't become one")
    if read_moved(move.source) not in (None, move.moved):
        raise LedgerRefused(f"{moved_file(move.source)} says that the ledger went elsewhere")


def make_move(move: Move, say: Callable[[str], None]) -> None:
    """Move everything, or take up a move that died. Raises LedgerError and KeyFileError; then nothing has moved."""
    check_movable(move)
    if read_moved(move.source) is None:
        with _locked(move.source):
            check_movable(move)  # somebody may have come before the locks were ours
            created = _copy(move, say)
            try:
                with _rights_of(move.source):
                    write_moved(move.source, move.moved)
            except BaseException:
                if created:
                    shutil.rmtree(move.target.path, ignore_errors=True)
                raise
            say(f"from now on {move.source.path} records through {move.moved.socket}")
    _clear(move, say)


def files_of(home: Home) -> Iterator[Path]:
    """Yield what moves, as paths within the home; a folder comes before what it holds."""
    roots = [home.path / name for name in _WHOLE]
    if home.keys.is_dir():
        yield home.keys.relative_to(home.path)
        for path in sorted(home.keys.iterdir()):
            if path.suffix in (".key", ".vkey") and path.name != _DIGEST_KEY:
                yield path.relative_to(home.path)
        roots.append(home.keys / "retired")
    for root in roots:
        if root.is_dir():
            yield root.relative_to(home.path)
            for path in sorted(root.rglob("*")):
                yield path.relative_to(home.path)


# before the commit point


@contextlib.contextmanager
def _rights_of(home: Home) -> Generator[None]:
    """Do the block with the rights of the account that `home` belongs to, where we are root."""
    owner = os.stat(home.path).st_uid if home.path.exists() else 0
    if os.geteuid() != 0 or owner == 0:
        yield
        return
    os.seteuid(owner)
    try:
        yield
    finally:
        os.seteuid(0)


@contextlib.contextmanager
def _locked(home: Home) -> Generator[None]:
    """Hold every lock under which a log of `home` is written. Raises LedgerRefused where somebody else does."""
    locks: list[FileLock] = []
    try:
        with _rights_of(home):
            for path in sorted((home.path / "ledger").glob("*/*.lock")):
                lock = FileLock(path)
                locks.append(lock)
                if not lock.try_acquire():
                    raise LedgerRefused(f"somebody holds {path}; end what writes there, and try again")
        yield
    finally:
        for lock in locks:
            lock.close()


def _copy(move: Move, say: Callable[[str], None]) -> bool:
    """Make the target, unless it is there already with the same bytes, and say whether it was made."""
    target = move.target.path
    if _holds_a_log(move.target):
        say(f"{target} holds the same bytes already")
        return False
    scratch = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        make_folder(target.parent)
        scratch.mkdir(FOLDER_MODE)
        with _rights_of(move.source):
            names = list(files_of(move.source))
        for name in names:
            _copy_one(move.source, name, scratch / name)
        _write_private(scratch / "keys" / _DIGEST_KEY, os.urandom(32))  # its own: for what the service says of itself
        say(f"copied {move.source.path} to {scratch}")
        _own(scratch, move.uid, move.gid)
        if not _equal(move.source, Home(scratch)):
            raise LedgerError(f"the copy of {move.source.path} differs from it; was somebody writing?")
        if target.exists():
            target.rmdir()  # an empty one, such as a package makes
        os.rename(scratch, target)
        sync_folder(target.parent)
        say(f"the copy has the same bytes, and is {target} now")
        return True
    except OSError as e:
        shutil.rmtree(scratch, ignore_errors=True)
        raise disk_error(e, "move to", Path(e.filename or target)) from e
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _copy_one(source: Home, name: Path, copy: Path) -> None:
    path = source.path / name
    with contextlib.ExitStack() as files:
        with _rights_of(source):
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise LedgerRefused(f"{path} is neither a file nor a folder")
            old = None if path.is_dir() else files.enter_context(path.open("rb"))
        if old is None:
            copy.mkdir(FOLDER_MODE, exist_ok=True)
            return
        new = files.enter_context(copy.open("xb"))
        os.fchmod(new.fileno(), FILE_MODE)
        shutil.copyfileobj(old, new, _CHUNK)
        new.flush()
        sync_all(new.fileno())
    sync_folder(copy.parent)


def _write_private(path: Path, data: bytes) -> None:
    path.parent.mkdir(FOLDER_MODE, exist_ok=True)
    with path.open("xb") as file:
        os.fchmod(file.fileno(), FILE_MODE)
        file.write(data)
        file.flush()
        sync_all(file.fileno())


def _own(folder: Path, uid: int, gid: int) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, uid, gid, follow_symlinks=False)


def _holds_a_log(home: Home) -> bool:
    try:
        return any((home.path / name).exists() for name in ("ledger", "guard"))
    except OSError as e:
        raise disk_error(e, "look into", home.path) from e


def _equal(source: Home, target: Home) -> bool:
    """Say whether all that moves is there twice, byte by byte."""
    try:
        with _rights_of(source):
            there = _digests(source)
        return there == _digests(target)
    except OSError as e:
        raise disk_error(e, "read", Path(e.filename or source.path)) from e


def _digests(home: Home) -> dict[Path, str]:
    """Return the SHA-256 of each file that moves; of a folder it is empty. Raises OSError."""
    found: dict[Path, str] = {}
    for name in files_of(home):
        path = home.path / name
        if path.is_dir():
            found[name] = ""
        else:
            with path.open("rb") as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


# after it


def _clear(move: Move, say: Callable[[str], None]) -> None:
    """Remove from the old home what is in the new one. The public keys stay."""
    source = move.source.path
    with _rights_of(move.source):
        keys = [source / name for name in files_of(move.source) if name.suffix == ".key"]
        folders = [source / name for name in _WHOLE if (source / name).is_dir()]
    if not keys and not folders:
        return
    if not (move.target.keys).is_dir():
        raise KeyFileError(f"{moved_file(move.source)} names {move.target.path}, and there are no keys there")
    try:
        with _rights_of(move.source):
            for path in keys:
                path.unlink()
            for path in folders:
                shutil.rmtree(path)
    except OSError as e:
        raise disk_error(e, "remove", Path(e.filename or source)) from e
    say(f"removed the ledger and the signing keys from {source}")
