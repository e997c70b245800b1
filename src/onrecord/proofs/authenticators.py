# SPDX-License-Identifier: Apache-2.0
"""The authenticators that people have enrolled in this home, in one sealed file, and what they sign.

The first one of a person is taken on the word of who enrols it. Any other one, and taking one away, has to be signed
by one that is there, so that whoever gets hold of an account later can't add their own. Who can read the keys of the
home can forge the file; `only`, which the settings say, counts nothing but what it names, whatever stands there.
Enrolling and removing are events, which the caller writes first.

    enrol_options → page → enrolling → enrol        a new one
    options(challenge) → page → check               a signature over a challenge, such as a statement's digest
"""

import hashlib
import hmac
import os
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec.structs import replace

from onrecord.errors import KeyFileError, NotAuthenticated, NotVerified
from onrecord.event.call import Actor, Json
from onrecord.ledger.durable import FileLock, make_folder
from onrecord.ledger.place import Home
from onrecord.ledger.sealedfile import SealedFiles
from onrecord.proofs.ceremony import (
    Answer,
    Authenticator,
    Created,
    RelyingParty,
    check_asserted,
    check_created,
    creation_options,
    read_answer,
    request_options,
)

MOST = 1_000  # authenticators of one home
LABEL = 64  # characters
ENROL_S = 900  # between the options and the answer
DEADLINE_S = 2.0  # for the lock

_LIMIT = 4 << 20  # bytes; one takes up to 2 KiB, an RSA key and a long id included
_NONCE = 16


class _Book(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    authenticators: tuple[Authenticator, ...] = ()


class Authenticators:
    """Those of one home. Processes may share it."""

    def __init__(
        self,
        home: Home,
        digest_key: bytes,
        party: RelyingParty,
        *,
        only: frozenset[str] = frozenset(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`only` holds digests of those that count; where it is empty, all do. `clock` tells the time of day."""
        self._path = home.keys / "authenticators.json"
        self._key = hmac.digest(digest_key, b"onrecord authenticators v1", "sha256")
        self._files = SealedFiles(hmac.digest(self._key, b"seal", "sha256"), limit=_LIMIT)
        self._party = party
        self._only = only
        self._clock = clock

    def all(self) -> tuple[Authenticator, ...]:
        """Return all that are enrolled. Raises KeyFileError where the file can't be believed."""
        return self._read().authenticators

    def counting(self, person: str = "") -> list[Authenticator]:
        """Return those that count, of everybody or of one person. Raises KeyFileError."""
        return [
            one for one in self.all() if (not self._only or one.digest in self._only) and person in ("", one.person)
        ]

    # enrolling

    def enrol_options(self, person: str, label: str) -> dict[str, Json]:
        """Return the options by which a page has a new authenticator made for `person`. Raises KeyFileError."""
        nonce, expires = os.urandom(_NONCE), int(self._clock()) + ENROL_S
        about = nonce + expires.to_bytes(8, "big")
        return creation_options(
            self._party,
            about + self._mac(b"enrol", person.encode(), about),
            handle=self._handle(person),
            label=label,
            known=[one.id for one in self.all() if one.person == person],
        )

    def enrolling(self, text: bytes, actor: Actor, label: str) -> Authenticator:
        """Return the authenticator that has answered in `text`, not enrolled yet. Raises NotAuthenticated.

        An agent enrols none for the person that it acts for: what it signed would pass for them.
        """
        if actor.agent_id or actor.act_chain:
            raise NotAuthenticated("an agent acts for the person, and only they themselves enrol an authenticator")
        answer = read_answer(text, self._party, "webauthn.create")
        about, mac = answer.challenge[: _NONCE + 8], answer.challenge[_NONCE + 8 :]
        if not hmac.compare_digest(mac, self._mac(b"enrol", actor.user_id.encode(), about)):
            raise NotAuthenticated("the authenticator has answered options that were not made here for this person")
        if self._clock() >= int.from_bytes(about[_NONCE:], "big"):
            raise NotAuthenticated("the options for a new authenticator have expired; get new ones")
        made: Created = check_created(answer, self._party, answer.challenge)
        return Authenticator(
            id=made.id,
            public_key=made.public_key,
            sign_count=made.sign_count,
            synced=made.synced,
            person=actor.user_id,
            tenant=actor.tenant_id,
            source=actor.identity_source,
            issuer=actor.identity_issuer,
            kind=actor.principal_type,
            assurance=actor.identity_assurance,
            label=label[:LABEL],
            enrolled_us=int(self._clock() * 1e6),
        )

    def vouching_challenge(self, new: Authenticator) -> bytes:
        """Return what an authenticator of the same person signs for a new one."""
        return hashlib.sha256(b"onrecord enrol v1\n" + new.id.encode() + b"\n" + new.public_key).digest()

    def enrol(self, new: Authenticator, record: Callable[[], None], vouched: bytes | None = None) -> None:
        """Enrol `new`, once `record` has put it on the record; `vouched` is the answer of another of the same person.

        Raises NotAuthenticated where it is needed and does not hold, KeyFileError, LedgerError.
        """
        with self._open() as before:
            if any(one.id == new.id for one in before.authenticators):
                raise NotAuthenticated("this authenticator is enrolled already")
            if len(before.authenticators) >= MOST:
                raise NotAuthenticated(f"{MOST} authenticators are enrolled here, and no more can be")
            first = all(one.person != new.person for one in before.authenticators)
            book = before if first else self._signed(before, vouched, self.vouching_challenge(new), new.person)
            record()
            self._write(_Book(authenticators=(*book.authenticators, new)))

    def removal_challenge(self, old: Authenticator) -> bytes:
        """Return what an authenticator of the same person signs, so that `old` is removed."""
        return hashlib.sha256(f"onrecord remove v1\n{old.id}\n{old.enrolled_us}".encode()).digest()

    def remove(self, old: Authenticator, record: Callable[[], None], vouched: bytes | None) -> None:
        """Remove `old`, once `record` has put that on the record. Errors as in `enrol`."""
        with self._open() as before:
            book = self._signed(before, vouched, self.removal_challenge(old), old.person)
            record()
            self._write(_Book(authenticators=tuple(one for one in book.authenticators if one.id != old.id)))

    def _signed(self, book: _Book, text: bytes | None, challenge: bytes, person: str) -> _Book:
        """Return `book` after one of the person's authenticators has signed `challenge`. Raises NotAuthenticated."""
        if text is None:
            raise NotAuthenticated("another authenticator of the same person has to sign this")
        after, by = self._checked(book, read_answer(text, self._party, "webauthn.get"), challenge)
        if by.person != person:
            raise NotAuthenticated("it was signed by an authenticator of another person")
        return after

    # signing

    def options(self, challenge: bytes, person: str = "") -> dict[str, Json]:
        """Return the options by which a page has `challenge` signed. Raises KeyFileError."""
        return request_options(self._party, challenge, [one.id for one in self.counting(person)])

    def check(self, text: bytes, challenge: bytes) -> Authenticator:
        """Return the authenticator that has signed `challenge`. Raises NotAuthenticated, KeyFileError, LedgerError.

        Its count of signatures is kept before this returns: the same answer does not hold twice where it counts.
        """
        answer = read_answer(text, self._party, "webauthn.get")
        with self._open() as before:
            after, by = self._checked(before, answer, challenge)
            self._write(after)
        return by

    def _checked(self, book: _Book, answer: Answer, challenge: bytes) -> tuple[_Book, Authenticator]:
        found = [one for one in book.authenticators if one.id == answer.id]
        if not found:
            raise NotAuthenticated("the authenticator is not enrolled here")
        if self._only and found[0].digest not in self._only:
            raise NotAuthenticated("the authenticator is enrolled, but webauthn.only does not name it")
        count = check_asserted(answer, self._party, challenge, found[0], handle=self._handle(found[0].person))
        now = replace(found[0], sign_count=count)
        return _Book(authenticators=tuple(now if one.id == now.id else one for one in book.authenticators)), now

    # the file

    def _handle(self, person: str) -> bytes:
        return self._mac(b"handle", person.encode())

    def _mac(self, *parts: bytes) -> bytes:
        return hmac.digest(self._key, b"\n".join(parts), "sha256")

    @contextmanager
    def _open(self) -> Generator[_Book]:
        make_folder(self._path.parent)
        lock = FileLock(self._path.with_suffix(".lock"))
        try:
            lock.acquire(time.monotonic() + DEADLINE_S)
            yield self._read()
        finally:
            lock.close()

    def _read(self) -> _Book:
        path: Path = self._path
        try:
            return self._files.read(path, _Book)
        except FileNotFoundError:
            return _Book()
        except (NotVerified, OSError) as e:
            why = str(e) if isinstance(e, NotVerified) else "it cannot be read"
            raise KeyFileError(f"{path}: {why}; remove it, and enrol the authenticators again") from e

    def _write(self, book: _Book) -> None:
        self._files.write(self._path, book)
