# SPDX-License-Identifier: Apache-2.0
"""The values that may be shown, as one short piece of JSON: masked, each text cut, all of it bounded.

What does not fit shows as `…`, so the text can always be read as JSON (`jq '.input_summary|fromjson'`).
Declared places come out as objects within objects, indices of arrays as keys.
"""

from collections.abc import Sequence

import msgspec

from onrecord.event.call import Call, Json
from onrecord.rules import pointer
from onrecord.rules.arguments import ANSWERS
from onrecord.rules.detection.labels import cut
from onrecord.rules.disclosure import Disclosure
from onrecord.rules.gathering import LONG_NUMBER, digits
from onrecord.rules.inspection import BINARY, Inspection
from onrecord.rules.outcome import is_binary
from onrecord.rules.pointer import Tokens

SIZE = 4_096  # bytes of one summary
MOST_PLACES = 64  # declared places that are shown
MORE = "…"

_encode = msgspec.json.Encoder().encode


def summary(
    shown: Disclosure, value: Json, root: Tokens, declared: Sequence[str], inspection: Inspection, limit: int
) -> str:
    """Return of `value`, which was inspected under `root`, what `shown` allows: all, what is declared, or nothing."""
    if shown.values == "all":
        return summary_of_all(value, root, inspection, limit)
    if shown.values == "declared" and declared:
        return summary_of_places(value, root, declared, inspection, limit)
    return ""


def summaries(
    shown: Disclosure, call: Call, declared: Sequence[str], inspection: Inspection, limit: int
) -> dict[str, str]:
    """Return the summaries of what `call` hands over, by field of its attempt. What is declared is in the arguments."""
    arguments, brought = call.arguments.open(), call.brought.open()
    return {
        "input_summary": summary(shown, arguments, ("arguments",), declared, inspection, limit),
        "answers_summary": summary(shown, brought, (ANSWERS,), (), inspection, limit),
    }


def summary_of_all(value: Json, root: Tokens, inspection: Inspection, limit: int) -> str:
    """Return all of `value`, which was inspected under `root`, as JSON; "" where there is nothing."""
    if value in (None, {}, []):
        return ""
    room = SIZE
    while room > 0:
        encoded = _encode(_Copy(inspection, limit, room).of(value, root))
        if len(encoded) <= SIZE:
            return encoded.decode()
        room //= 2
    return ""


def summary_of_places(value: Json, root: Tokens, declared: Sequence[str], inspection: Inspection, limit: int) -> str:
    """Return the places in `value` that `declared` names, as JSON; "" where there are none."""
    pointers = map(pointer.parse, declared)
    places = [place for tokens in pointers for place in pointer.places(tokens, value, in_texts=False)]
    room = SIZE
    while places and room > 0:
        copy = _Copy(inspection, limit, room)
        shown: dict[str, Json] = {}
        for place in places[:MOST_PLACES]:
            _put(shown, copy, value, root, place)
        encoded = _encode(shown)
        if shown and len(encoded) <= SIZE:
            return encoded.decode()
        room //= 2
    return ""


def text_at(body: Json, root: str, place: Tokens, inspection: Inspection, limit: int) -> str:
    """Return what may be shown of the text at `place` in `body`, which was inspected under `root`."""
    value, path = body, (root,)
    for token in (*place, ""):
        if path in inspection.held:
            return inspection.held[path]
        if not token:
            break
        value = _child(value, token)
        path = (*path, token)
    return cut(inspection.text(value, path), limit) if isinstance(value, str) else ""


def shown_at(body: Json, root: Tokens, place: Tokens, inspection: Inspection) -> str:
    """Return what may be shown at `place` in `body`, which was inspected under `root`: text as it is, else JSON."""
    value: Json = body
    path = root
    for token in place:
        if path in inspection.held:
            return inspection.held[path]
        value, path = _child(value, token), (*path, token)
    shown = _Copy(inspection, SIZE, SIZE).of(value, path)
    return shown if isinstance(shown, str) else _encode(shown).decode()


def plain_at(body: Json, place: Tokens) -> str:
    """Return what lies at `place` in `body`, as `shown_at` would show it if nothing were withheld or too long."""
    value = pointer.value_at(body, place)
    if isinstance(value, str):
        return value
    try:
        return _encode(value).decode()
    except (ValueError, OverflowError, RecursionError):  # lone surrogates, very large integers
        return ""


def _child(value: Json, token: str) -> Json:
    if isinstance(value, dict):
        return value[token]
    return value[int(token)] if isinstance(value, list) else None


def _put(shown: dict[str, Json], copy: "_Copy", value: Json, root: Tokens, place: Tokens) -> None:
    """Add what may be shown of the value at `place`; where something around it is withheld, that it is."""
    if not place:
        return  # all of it: no pointer of a manifest is empty, so too many places to show
    for i in range(len(place)):
        if (*root, *place[:i]) in copy.inspection.held:
            return
    parent: Json = None
    inner: Json = value
    for token in place:
        parent, inner = inner, _child(inner, token)
    at = shown
    for token in place[:-1]:
        child = at.setdefault(copy.inspection.key(token), {})
        if not isinstance(child, dict):
            return  # a shorter pointer already shows this place
        at = child
    at[copy.inspection.key(place[-1])] = copy.of_child(parent, place[-1], inner, (*root, *place))


class _Copy:
    """Copies values as they may be shown, until its room is used up."""

    __slots__ = ("_limit", "_room", "inspection")

    def __init__(self, inspection: Inspection, limit: int, room: int) -> None:
        self.inspection = inspection
        self._limit = limit
        self._room = room

    def of(self, value: Json, path: Tokens) -> Json:
        """Return what may be shown of `value`, which lies at `path`."""
        self._room -= 4
        if self._room < 0:
            return MORE
        held = self.inspection.held.get(path)
        if held is not None:
            return self._spent(held)
        if isinstance(value, str):
            return self._spent(cut(self.inspection.text(value, path), self._limit))
        if isinstance(value, dict):
            return self._object(value, path)
        if isinstance(value, list):
            return self._array(value, path)
        return self._scalar(value, path)

    def of_child(self, parent: Json, key: str, child: Json, path: Tokens) -> Json:
        """Return what may be shown of `parent[key]`, which lies at `path`."""
        if self.inspection.binary and isinstance(child, str) and isinstance(parent, dict) and is_binary(parent, key):
            return BINARY
        return self.of(child, path)

    def _object(self, value: dict[str, Json], path: Tokens) -> Json:
        shown: dict[str, Json] = {}
        for key, child in value.items():
            if self._room < 0:
                shown[MORE] = MORE
                break
            shown[self._spent(self.inspection.key(key))] = self.of_child(value, key, child, (*path, key))
        return shown

    def _array(self, value: list[Json], path: Tokens) -> Json:
        shown: list[Json] = []
        for i, child in enumerate(value):
            if self._room < 0:
                shown.append(MORE)
                break
            shown.append(self.of(child, (*path, str(i))))
        return shown

    def _scalar(self, value: float | None, path: Tokens) -> Json:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            return MORE  # no reader of JSON would take it back unchanged
        if self.inspection.whole:
            return value
        text = digits(value)
        shown = self.inspection.text(text, path) if abs(value) > LONG_NUMBER else self.inspection.secrets.masked(text)
        return value if shown == text else shown

    def _spent(self, text: str) -> str:
        self._room -= len(text)
        return text
