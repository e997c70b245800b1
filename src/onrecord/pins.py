# SPDX-License-Identifier: Apache-2.0
"""Keeps the definitions that were pinned, a small file for each server, and says what is another one now.

Each is a sealed file (`ledger/sealedfile.py`): what was edited, cut or opened to others is not believed. It is
set aside, that goes on the record, and nothing counts as accepted then until a person says so.
So it is where a book is gone, which a file beside it tells (`.known`). Whoever can read the keys of the
home can forge a book, and whoever can remove both files can begin anew; the events about it are in the log.

Names of tools are looked up by keyed digest, and texts are masked before they are kept.
"""

import hashlib
import hmac
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from dataclasses import replace as changed_to
from functools import lru_cache
from pathlib import Path
from threading import Lock

from msgspec.structs import replace

from onrecord.errors import KeyFileError, LedgerError, NotVerified, plainly
from onrecord.event.call import Definition, Standing
from onrecord.ledger.durable import FileLock, make_folder
from onrecord.ledger.place import Home
from onrecord.ledger.sealedfile import SealedFiles
from onrecord.rules import definitions as rules
from onrecord.rules.definitions import Book, Change, Pin, Version
from onrecord.rules.detection.flagging import UNCHECKED, Flagger
from onrecord.rules.pattern import utf8
from onrecord.rules.sanitising import signals

MOST = 32 << 20  # bytes of one file; `TOOLS` tools with two versions each fit
KNOWN = ".known"  # of the file that tells of a book, also when that is gone
DEADLINE_S = 2.0  # for the lock

Stamp = tuple[int, int, int]  # inode, time and size of a file that was read


@dataclass(frozen=True, slots=True, repr=False)
class Pages:
    """What was heard of one listing: the keys of its tools, and the names of those that were not pinned before."""

    keys: frozenset[str] = frozenset()
    new: dict[str, str] = field(default_factory=dict[str, str])


class Pins:
    """The pinned definitions of one home. Threads and processes may share it."""

    def __init__(
        self,
        home: Home,
        digest_key: bytes,
        shown: Callable[[str, int], str],
        flagger: Flagger,
        *,
        changed: str = "note",
        flagged: str = "note",
    ) -> None:
        """`shown` masks a text and cuts it. `changed` and `flagged` are those of the settings."""
        self._folder = home.pins
        self._key = hmac.digest(digest_key, b"onrecord pins v1", "sha256")
        self._files = SealedFiles(hmac.digest(self._key, b"seal", "sha256"), limit=MOST)
        self._shown = shown
        self.flagger = flagger
        self._changed = changed
        self._flagged = flagged
        self._lock = Lock()
        self._books: dict[str, tuple[Path, Stamp | None, Book]] = {}
        self._known_key = lru_cache(rules.TOOLS)(self.key_of)  # each call asks for that of its tool

    # of a connection

    def hear(
        self, server: str, listed: Sequence[Definition], before: Pages, *, complete: bool
    ) -> tuple[list[Change], Pages]:
        """Learn one page of a listing; return what is new in it, and all of the listing that was heard so far.

        `before` are the pages before it. `complete`: it is the last one, and all before it were heard.
        """
        keys, new = set(before.keys), dict(before.new)
        try:
            with self._open(server) as (there, known):
                book, moved = self._moved(there, listed)
                changes, pins = [*known, *moved], dict(book.pins)
                for one in sorted(listed, key=lambda one: self._is_pinned(pins, one)):  # of doubles, another one first
                    key = self._key_of(one.name)
                    for change in self._pinned(pins, one, again=key in keys, doubtful=book.doubtful):
                        changes.append(change)
                        if change.action == "pinned":
                            new[key] = one.name
                    keys.add(key)
                after = replace(book, pins=pins)
                pages = Pages(frozenset(keys), new)
                if complete:
                    after, gone = _without(after, pages)
                    changes += gone
                if after != there:
                    self._write(after)
                return rules.together(changes, self._shown), pages
        except LedgerError as e:
            keys |= {self._key_of(one.name) for one in listed}
            why = [Change(action="unpinned", count=len(listed), why=str(e))] if listed else []
            return why, Pages(frozenset(keys), new)

    def _moved(self, book: Book, listed: Sequence[Definition]) -> tuple[Book, list[Change]]:
        """Return the pins of a server that is new here: those of one of another name that lists the same, if there is.

        So what a person accepted is accepted, and what waits for a person waits, under the name that it has now.
        """
        if book.pins or book.doubtful:
            return book, []
        digests = {self._key_of(one.name): one.digest for one in listed}
        with suppress(KeyFileError):  # of a book that can't be believed, nothing is taken over
            alike = [other for other in self.books() if rules.is_listed_alike(other, digests)]
            if alike:
                old = max(alike, key=lambda other: sum(pin.listed is not None for pin in other.pins.values()))
                told = Change(action="renamed", kind="server", name=book.server, was=old.server, count=len(digests))
                return replace(old, server=book.server), [told]
        return book, []

    def _is_pinned(self, pins: dict[str, Pin], definition: Definition) -> bool:
        pin = pins.get(self._key_of(definition.name))
        return pin is not None and pin.accepted is not None and pin.accepted.digest == definition.digest

    def _pinned(self, pins: dict[str, Pin], definition: Definition, *, again: bool, doubtful: bool) -> Iterator[Change]:
        """Put what `definition` is into `pins`, and yield what is new about it."""
        key = self._key_of(definition.name)
        old = pins.get(key)
        if old is None and len(pins) >= rules.TOOLS:
            why = f"{rules.TOOLS} tools of this server are pinned, and no more can be"
            yield Change(action="unpinned", name=definition.name, after=definition.digest, count=1, why=why)
            return
        version = self._version(old, definition)
        pin, action = rules.judged(old, version, doubtful=doubtful, again=again)
        pins[key] = replace(pin, name=pin.name or self._shown(definition.name, rules.NAME))
        if action is None:
            return
        known = old and (old.accepted or old.listed)
        yield Change(
            action=action,
            name=definition.name,
            before=known.digest if known else "",
            after=definition.digest,
            flags=version.flags if action in ("pinned", "changed") else (),
            places=tuple(one.place for one in rules.differences(known, version)) if known else (),
        )

    def _version(self, pin: Pin | None, definition: Definition) -> Version:
        """Return what is kept of a definition: as it was kept before, or worked out now."""
        for known in (pin.accepted, pin.listed) if pin else ():
            if known is not None and known.digest == definition.digest:
                return known
        whole = definition.whole.open()
        try:
            flags = signals(whole, self.flagger)
        except Exception:  # noqa: BLE001  # whatever went wrong, it was not looked at
            flags = (UNCHECKED,)
        said, cut = rules.kept(whole, self._shown)
        return Version(
            digest=definition.digest,
            rest=definition.rest,
            destructive=definition.destructive is True,
            flags=flags,
            said=said,
            cut=cut,
        )

    def standing(self, server: str, definition: Definition) -> Definition:
        """Return `definition` as far as it may be believed now, with why it must not be called, if it must not."""
        pin = self._book(server).pins.get(self._key_of(definition.name))
        of = rules.standing(pin, definition.digest)
        of = definition.standing if of == "accepted" else of
        flags = () if pin is None or (pin.by == "person" and of == "accepted") else self._flags(pin, definition)
        refused = rules.refusal(of, flags, changed=self._changed, flagged=self._flagged)
        return believed(definition, of, pin, refused)

    def unlisted(self, server: str, name: str) -> Definition | None:
        """Return what is known of a tool that was not listed here: what was pinned and what waits for a person warn.

        It has no digest and no schemas, and nothing in it makes a call look less risky.
        """
        book = self._book(server)
        pin = book.pins.get(self._key_of(name))
        if pin is None and book.doubtful:
            refused = rules.refusal("unconfirmed", (), changed=self._changed, flagged=self._flagged)
            return believed(Definition(name=name, digest=""), "unconfirmed", None, refused)
        versions = [one for one in (pin.accepted, pin.listed) if one is not None] if pin else []
        if pin is None or not versions:
            return None
        of: Standing = "unconfirmed" if pin.accepted is None else "changed" if pin.listed is not None else "accepted"
        warned = any(one.destructive for one in versions)
        kept = Definition(name=name, digest="", destructive=True if warned else None)
        flags = () if pin.by == "person" and of == "accepted" else self._flags(pin, kept)
        return believed(kept, of, pin, rules.refusal(of, flags, changed=self._changed, flagged=self._flagged))

    def known(self, server: str, name: str) -> Definition | None:
        """Return what is kept of the definition that a tool was last listed with: all but its schemas."""
        pin = self._book(server).pins.get(self._key_of(name))
        version = None if pin is None else rules.current(pin)
        if version is None:
            return None
        hint = version.said.get("/annotations/readOnlyHint")
        kept = Definition(
            name=name,
            digest=version.digest,
            rest=version.rest,
            read_only=None if hint is None else hint == "true",
            destructive=True if version.destructive else None,
        )
        return self.standing(server, kept)

    def flags(self, server: str, definition: Definition) -> tuple[str, ...]:
        """Return the flags of a definition that no person has accepted."""
        pin = self._book(server).pins.get(self._key_of(definition.name))
        if pin is None or (pin.by == "person" and pin.listed is None):
            return ()
        return self._flags(pin, definition)

    def _flags(self, pin: Pin, definition: Definition) -> tuple[str, ...]:
        """Return the flags of a definition; where it was not listed here, those of the one that was listed last."""
        if not definition.digest:
            version = rules.current(pin)
            return () if version is None else version.flags
        found = [v.flags for v in (pin.accepted, pin.listed) if v and v.digest == definition.digest]
        return found[0] if found else ()

    # of a person

    def books(self) -> list[Book]:
        """Return the books of all servers, by name. Raises KeyFileError for one that can't be believed."""
        books: list[Book] = []
        with suppress(FileNotFoundError):
            for path in sorted(self._folder.glob("*.json")):
                try:
                    books.append(self._read(path))
                except (NotVerified, OSError) as e:
                    raise KeyFileError(f"{path}: {plainly(e, path)}; the next listing sets it aside") from e
        return sorted(books, key=lambda book: book.server)

    def write(self, book: Book, seen: Book) -> None:
        """Put `book` in the place of `seen`. Raises LedgerError; also where the file has become another since."""
        with self._open(book.server) as (now, _):
            if now != seen:
                raise LedgerError("the pins have changed meanwhile; look at them again")
            self._write(book)

    def key_of(self, name: str) -> str:
        """Return the key of a tool by its name."""
        return hmac.digest(self._key, b"name " + utf8(name), "sha256").hex()[:32]

    def _key_of(self, name: str) -> str:
        return self._known_key(name) if len(name) <= rules.NAME else self.key_of(name)

    # files

    def _path(self, server: str) -> Path:
        return self._folder / f"{hashlib.sha256(utf8(server)).hexdigest()[:32]}.json"

    def _book(self, server: str) -> Book:
        """Return the book of a server, read again where the file is another one."""
        with self._lock:
            path, stamp, book = self._books.get(server) or (self._path(server), None, None)
            now = _stamp(path)
            if book is None or now != stamp:
                try:
                    book = self._read(path) if _was_written(path) else Book(server=server)
                except (NotVerified, OSError):
                    book = Book(server=server, doubtful=True)  # the next listing sets it aside, and says so
                self._books[server] = path, now, book
            return book

    @contextmanager
    def _open(self, server: str) -> Generator[tuple[Book, list[Change]]]:
        """Lock the pins, and yield the book of a server; what can't be believed is set aside. Raises LedgerError."""
        path = self._path(server)
        try:
            make_folder(self._folder)
        except OSError as e:
            raise LedgerError(f"cannot make {self._folder}: {os.strerror(e.errno or 0).lower()}") from e
        lock = FileLock(self._folder / "lock")
        try:
            lock.acquire(time.monotonic() + DEADLINE_S)
            changes: list[Change] = []
            try:
                book = self._read(path) if _was_written(path) else Book(server=server)
            except (NotVerified, OSError) as e:
                gone = "it is gone" if isinstance(e, FileNotFoundError) else "it cannot be read"
                why = str(e) if isinstance(e, NotVerified) else gone
                book = Book(server=server, doubtful=True)
                _set_aside(path)
                self._write(book)
                changes.append(Change(action="set_aside", why=why))
            yield book, changes
        finally:
            lock.close()

    def _read(self, path: Path) -> Book:
        """Return the book at `path`. Raises NotVerified for one that can't be believed, and OSError."""
        book = self._files.read(path, Book)
        if self._path(book.server) != path:
            raise NotVerified("it is the book of another server")
        return book

    def _write(self, book: Book) -> None:
        path = self._path(book.server)
        self._files.write(path, book)
        _make_known(path)


def _without(book: Book, pages: Pages) -> tuple[Book, list[Change]]:
    """Return `book` with what is gone marked as gone, and what that is: removed, or under another name now."""
    gone = rules.missing(book, pages.keys)
    pins = {**book.pins, **{key: replace(book.pins[key], gone=True) for key in gone}}
    book = replace(book, pins=pins)
    changes: list[Change] = []
    renamed: set[str] = set()
    for key, name in pages.new.items() if any(pin.gone for pin in pins.values()) else ():
        old = rules.same_under_another_name(book, key) if key in pins else None
        if old is not None and old not in renamed:
            renamed.add(old)
            pins[key] = rules.renamed(pins[key], pins[old])
            changes.append(_of(pins[old], "renamed", name=name, was=pins[old].name, after=rules.current(pins[key])))
    changes += [_of(pins[key], "removed", name=pins[key].name) for key in gone if key not in renamed]
    return book, changes


def believed(definition: Definition, of: Standing, pin: Pin | None, refused: str) -> Definition:
    """Return `definition` with what may be believed of it: where it is not the pinned one, only what warns."""
    if of == "accepted":
        return definition if not refused else changed_to(definition, refused=refused)
    warned = definition.destructive is True or bool(pin and pin.accepted and pin.accepted.destructive)
    return changed_to(definition, standing=of, read_only=None, destructive=True if warned else None, refused=refused)


def _of(pin: Pin, action: rules.Action, *, name: str, was: str = "", after: Version | None = None) -> Change:
    known = pin.accepted or pin.listed
    digest = after.digest if after else ""
    return Change(action=action, name=name, was=was, before=known.digest if known else "", after=digest)


def _stamp(path: Path) -> Stamp | None:
    try:
        about = os.lstat(path)
    except OSError:
        return None
    return about.st_ino, about.st_mtime_ns, about.st_size


def _was_written(path: Path) -> bool:
    """Say whether a book was written at `path`, though it may be gone."""
    return _stamp(path) is not None or _stamp(path.with_suffix(KNOWN)) is not None


def _make_known(path: Path) -> None:
    """Leave word that a book is written at `path`."""
    try:
        os.close(os.open(path.with_suffix(KNOWN), os.O_CREAT | os.O_WRONLY, 0o600))
    except OSError as e:
        raise LedgerError(f"cannot write beside {path}: {os.strerror(e.errno or 0).lower()}") from e


def _set_aside(path: Path) -> None:
    """Keep what can't be believed, where it is there, for a person to look at; the one before it goes."""
    try:
        with suppress(FileNotFoundError):
            os.replace(path, path.with_suffix(".broken"))
    except OSError as e:
        raise LedgerError(f"cannot set {path} aside: {os.strerror(e.errno or 0).lower()}") from e
