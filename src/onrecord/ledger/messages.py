# SPDX-License-Identifier: Apache-2.0
"""What a door and the recorder service say to each other: one JSON object a line, at most 64 KiB.

    door                                          service
    hello    version, log, what it knows          welcome  which log, its signed note, a session
    append   id, durability, what it knows,       done     id, seq, leaf; a newer note and its path
             the event                            failed   id, the name of the error, why
    bye      id, what it knows                    done     everything of this door is signed

What a door knows is the size and root of the newest tree that the service vouched for. A note that
comes with an answer is of a tree that extends it, and `path` proves that (RFC 9162, 2.1.4): a ledger
that was rolled back, forked or swapped cannot answer. Where the log has a new key since, `successions`
lead to it from the one that the door knows.

A message has one spelling, the one that `encode` gives it. Whatever else would decode to the same is refused,
so duplicate keys, unknown keys and numbers in disguise need no rule of their own. Nothing
here opens a socket.
"""

import base64
import binascii
from typing import TypeAlias, TypeVar

import msgspec

from onrecord.errors import (
    LedgerBusy,
    LedgerError,
    LedgerFull,
    LedgerMoved,
    LedgerRefused,
    LedgerUnwritable,
    NotVerified,
)
from onrecord.event.event import UNREADABLE, Event
from onrecord.ledger.appending import Durability
from onrecord.ledger.note import Checkpoint

VERSION = 1
MAX_MESSAGE = 64 * 1024  # bytes with the line feed; a line of the log has half of that
NOBODY = -1  # the id of an answer that is for the whole connection
_HASH_BYTES = 32
_MAX_TEXT = 1_000  # characters of an error that are handed on

_ERRORS: dict[str, type[LedgerError]] = {
    kind.__name__: kind for kind in (LedgerError, LedgerBusy, LedgerFull, LedgerUnwritable, LedgerMoved, LedgerRefused)
}


class Succession(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key of the log was handed over: the last `note` of the old one, the `entry` under it, and its inclusion."""

    note: str
    entry: str
    path: tuple[str, ...]


class Hello(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    tag_field="op",
    tag="hello",
):
    """The first message of a connection. `wid` and `token` take up a session that lost its connection."""

    version: int
    log: str
    origin: str = ""  # of the log that the door knows, with the newest key of it, and the tree that it has seen
    vkey: str = ""
    size: int = 0
    root: str = ""
    wid: str = ""
    token: str = ""


class Append(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    tag_field="op",
    tag="append",
):
    """An event for the record, without what the ledger sets."""

    id: int
    durability: Durability
    size: int = 0
    root: str = ""
    urgent: bool = False
    event: Event


class Bye(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="op", tag="bye"
):
    """The door ends well: none of its calls is open."""

    id: int
    size: int = 0
    root: str = ""


class Welcome(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    tag_field="op",
    tag="welcome",
):
    """Which log this is, and the session: its `wid`, and the ids of its newest events on the record.

    `vkeys` are the keys of the log, oldest first. `ledger` and `keys` name the service's folders, so that
    a door can say whether it could write there itself.
    """

    version: int
    log: str
    vkeys: tuple[str, ...]
    wid: str
    token: str
    ledger: str
    keys: str
    successions: tuple[Succession, ...] = ()
    note: str
    path: tuple[str, ...] = ()
    recent: tuple[str, ...] = ()


class Done(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    tag_field="op",
    tag="done",
):
    """The entry stands at `seq` and is as durable as was asked for. `leaf` is in hex."""

    id: int
    seq: int = -1
    leaf: str = ""
    successions: tuple[Succession, ...] = ()
    note: str = ""
    path: tuple[str, ...] = ()


class Failed(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    tag_field="op",
    tag="failed",
):
    """The entry is not on the record; where it has a `seq` it is, but not durable. `error` names a LedgerError."""

    id: int
    error: str
    message: str
    seq: int = -1


Request: TypeAlias = Hello | Append | Bye
Answer: TypeAlias = Welcome | Done | Failed
_M = TypeVar("_M")

_encoder = msgspec.json.Encoder()
_requests: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Hello | Append | Bye)
_answers: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Welcome | Done | Failed)


def encode(message: Request | Answer) -> bytes:
    """Return `message` as a line, with its line feed."""
    return _encoder.encode(message) + b"\n"


def read_request(line: bytes) -> Request:
    """Return what a door says; `line` has no line feed. Raises NotVerified where it has no single reading."""
    return _read(line, _requests)


def read_answer(line: bytes) -> Answer:
    """Return what the service says. Raises NotVerified where it has no single reading."""
    return _read(line, _answers)


def _read(line: bytes, decoder: msgspec.json.Decoder[_M]) -> _M:
    try:
        message = decoder.decode(line)
    except UNREADABLE as e:
        raise NotVerified(f"not a message of this protocol: {type(e).__name__}") from e
    if _encoder.encode(message) != line:
        raise NotVerified("a message that is not written the one way, or with keys that are unknown or there twice")
    return message


def failed(request_id: int, error: LedgerError, *, seq: int = -1) -> Failed:
    """Return the answer that carries `error`, and where the entry stands all the same, if it does."""
    kind = type(error).__name__
    name = kind if kind in _ERRORS else "LedgerError"
    return Failed(id=request_id, error=name, message=str(error)[:_MAX_TEXT], seq=seq)


def error_of(answer: Failed) -> LedgerError:
    """Return the error that an answer carries, by its own type. Its text can't act on a terminal."""
    text = "".join(character if character.isprintable() else "?" for character in answer.message[:_MAX_TEXT])
    return _ERRORS.get(answer.error, LedgerError)(text)


def leaf_of(answer: Done) -> bytes:
    """Return the leaf hash that an answer names, nothing in that to a goodbye. Raises NotVerified."""
    try:
        leaf = bytes.fromhex(answer.leaf)
    except ValueError as e:
        raise NotVerified("a leaf hash that is not hex") from e
    if len(leaf) not in (0, _HASH_BYTES) or (answer.seq >= 0) is not bool(leaf):
        raise NotVerified("a place without a leaf hash, or the other way round")
    return leaf


def known_of(origin: str, size: int, root: str) -> Checkpoint | None:
    """Return the tree that a door says it knows, or None where it knows none. Raises NotVerified."""
    return Checkpoint(origin=origin, size=size, root=hash_of(root)) if size else None


def text_of(one: bytes) -> str:
    """Return a hash as base64."""
    return base64.b64encode(one).decode()


def hash_of(text: str) -> bytes:
    """Return the 32 bytes that `text` spells in base64. Raises NotVerified."""
    try:
        one = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as e:
        raise NotVerified("a hash is not base64") from e
    if len(one) != _HASH_BYTES:
        raise NotVerified(f"a hash has {_HASH_BYTES} bytes, not {len(one)}")
    return one
