# SPDX-License-Identifier: Apache-2.0
"""What a handler adds to the record of its own call, which only it knows.

It reaches the record with the result of the call, treated like what a manifest says stands there: masked, cut, and
shown as far as the class of the tool allows. It changes nothing of what the caller gets. A thread that a handler
starts by its framework (`anyio.to_thread`, `asyncio.to_thread`) speaks of the same call.

A handler that annotates may have acted already. So what cannot be taken of it is no error of its tool: the event says
that something was not taken, and whoever runs the server is told why.
"""

import json
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from threading import Lock
from typing import ParamSpec

from onrecord.event.call import NOTHING, UNTAKEN, Json, Raw

LARGEST = 16 * 1024  # bytes of all that is added to one call, as JSON
MOST_EXT = 32  # fields of a product's own

_FIELDS = ("resource", "before", "after", "rollback", "content")

_P = ParamSpec("_P")


class Notes:
    """What was added to one call so far. Threads may share it."""

    def __init__(self, untaken: Callable[[str], None]) -> None:
        """`untaken` is told why something could not be taken, without a value of it."""
        self._lock = Lock()
        self._untaken = untaken
        self._said: dict[str, Json] = {}
        self._open = True

    def add(self, said: dict[str, Json]) -> bool:
        """Add fields, and say whether they are on the record: after its end nothing is added to a call.

        Raises ValueError where it is too much.
        """
        with self._lock:
            if not self._open:
                return False
            merged: dict[str, Json] = {**self._said, **said}
            if "ext" in said:
                merged["ext"] = {**_object(self._said.get("ext")), **_object(said["ext"])}
            _check(merged)
            self._said = merged
            return True

    def leave_out(self, why: str) -> bool:
        """Note that something was not taken, and return that it is not on the record."""
        with self._lock:
            if self._open:
                self._said = {**self._said, UNTAKEN: True}
        self._untaken(why)
        return False

    def told(self) -> Raw:
        """Take no more, and return what was added; nothing where nothing was."""
        with self._lock:
            self._open = False
            return Raw(self._said) if self._said else NOTHING


_NOTES: ContextVar[Callable[[], Notes | None]] = ContextVar("onrecord_notes", default=lambda: None)


def _sparing(add: Callable[_P, bool]) -> Callable[_P, bool]:
    """Return `add` so that no call fails by it that is on the record."""

    @wraps(add)
    def added(*args: _P.args, **named: _P.kwargs) -> bool:
        try:
            return add(*args, **named)
        except Exception as e:  # whatever it is, the tool may have acted
            notes = _NOTES.get()()
            if notes is None:
                raise
            ours = isinstance(e, TypeError | ValueError) and str(e).startswith("annotate")
            return notes.leave_out(str(e) if ours else f"annotate: {type(e).__name__}")

    return added


@_sparing
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

    What is not JSON is a TypeError, and more than 16 KiB or 32 fields of `ext` a ValueError, but not within a recorded
    call, which may have acted: there nothing is raised, False is returned, and the event says that something was not
    taken.
    """
    given = (resource, before, after, rollback, content)
    said = dict(zip(_FIELDS, given, strict=True))
    said = _as_json({name: value for name, value in said.items() if value is not None and value != ""})
    if ext is not None:
        said["ext"] = _as_json(dict(ext))
    _check(said)
    notes = _NOTES.get()()
    return notes is not None and notes.add(said)


@contextmanager
def notes_taken(untaken: Callable[[str], None]) -> Generator[Notes]:
    """Take notes of the call that is handled inside of this; see `Notes`."""
    notes = Notes(untaken)
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


def _as_json(said: Mapping[str, Json]) -> dict[str, Json]:
    """Return a copy of `said` that nobody else changes. Raises TypeError for what is not JSON."""
    try:
        text = json.dumps(said, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as e:
        raise TypeError("annotate: give texts, or what JSON can hold") from e
    return json.loads(text)


def _check(said: dict[str, Json]) -> None:
    for name in ("resource", "rollback", "content"):
        if not isinstance(said.get(name, ""), str):
            raise TypeError(f"annotate: {name} must be a text")
    if len(_object(said.get("ext"))) > MOST_EXT:
        raise ValueError(f"annotate: ext must have at most {MOST_EXT} fields")
    if len(json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()) > LARGEST:
        raise ValueError(f"annotate: at most {LARGEST} bytes for one call")


def _object(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}
