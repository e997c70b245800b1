# SPDX-License-Identifier: Apache-2.0
"""What a handler adds to the record of its own call, which only it knows.

It reaches the record with the result of the call, treated like what a manifest says stands there: masked, cut, and
shown as far as the class of the tool allows. It changes nothing of what the caller gets. A thread that a handler
starts by its framework (`anyio.to_thread`, `asyncio.to_thread`) speaks of the same call.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock

import msgspec

from onrecord.event.call import NOTHING, Json, Raw

LARGEST = 16 * 1024  # bytes of all that is added to one call, as JSON
MOST_EXT = 32  # fields of a product's own

_FIELDS = ("resource", "before", "after", "rollback", "content")


class Notes:
    """What was added to one call so far. Threads may share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._said: dict[str, Json] = {}
        self._open = True

    def add(self, said: dict[str, Json]) -> bool:
        """Add fields, and say whether they are on the record: after its end nothing is added to a call."""
        with self._lock:
            if not self._open:
                return False
            merged: dict[str, Json] = {**self._said, **said}
            if "ext" in said:
                merged["ext"] = {**_object(self._said.get("ext")), **_object(said["ext"])}
            _check(merged)
            self._said = merged
            return True

    def told(self) -> Raw:
        """Take no more, and return what was added; nothing where nothing was."""
        with self._lock:
            self._open = False
            return Raw(self._said) if self._said else NOTHING


_NOTES: ContextVar[Callable[[], Notes | None]] = ContextVar("onrecord_notes", default=lambda: None)


def annotate(
    *,
    resource: str = "",
    before: Json = None,
    after: Json = None,
    rollback: str = "",
    content: str = "",
    ext: Mapping[str, Json] | None = None,
) -> bool:
    """Add to the record of the call that is being handled what only its handler knows, and say whether that is so.

    `resource` is what the call acts on behind the server, `before` and `after` its state, `rollback` how to undo it,
    `content` a reference to content that another system governs, `ext` fields of your own. What is said twice is
    replaced. Outside of a recorded call this does nothing and returns False.

    Raises TypeError for what is not JSON, and ValueError for more than 16 KiB or 32 fields of `ext`.
    """
    given = (resource, before, after, rollback, content)
    said: dict[str, Json] = {name: value for name, value in zip(_FIELDS, given, strict=True) if value not in ("", None)}
    if ext:
        said["ext"] = dict(ext)
    _check(said)
    notes = _NOTES.get()()
    return notes is not None and notes.add(said)


@contextmanager
def notes_taken() -> Generator[Notes]:
    """Take notes of the call that is handled inside of this."""
    notes = Notes()
    with notes_of(lambda: notes):
        yield notes


@contextmanager
def notes_of(call: Callable[[], Notes | None]) -> Generator[None]:
    """Take notes inside of this of many calls; `call` returns those of the one that is handled where it is called."""
    token = _NOTES.set(call)
    try:
        yield
    finally:
        _NOTES.reset(token)


def _check(said: dict[str, Json]) -> None:
    for name in ("resource", "rollback", "content"):
        if not isinstance(said.get(name, ""), str):
            raise TypeError(f"annotate: {name} must be a text")
    ext = _object(said.get("ext"))
    if len(ext) > MOST_EXT:
        raise ValueError(f"annotate: ext must have at most {MOST_EXT} fields")
    try:
        size = len(msgspec.json.encode(said))
    except (TypeError, msgspec.MsgspecError, RecursionError, UnicodeEncodeError) as e:
        raise TypeError("annotate: give texts, or what JSON can hold") from e
    if size > LARGEST:
        raise ValueError(f"annotate: {size} bytes are more than {LARGEST} for one call")


def _object(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}
