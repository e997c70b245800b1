# SPDX-License-Identifier: Apache-2.0
"""An event as a row of the index."""

from binascii import Error, unhexlify
from collections.abc import Mapping
from operator import attrgetter
from typing import Any, TypeAlias

import msgspec

from onrecord.event.event import Event
from onrecord.views.columns import resource_of
from onrecord.views.index.layout import IDS, SPELLED
from onrecord.views.question import NUMBERS

Cell: TypeAlias = str | int | bytes | None

_ids, _numbers = attrgetter(*IDS), attrgetter(*NUMBERS)
_MADE = ("session_id", "resource", "suspicious_signals")
_texts = attrgetter(*(name for name in SPELLED if name not in _MADE))
_DASHED = tuple(name != "trace_id" for name in IDS)
_json = msgspec.json.Encoder().encode


def row_of(event: Event, at_us: int, spelled: Mapping[str | bytes, int | None]) -> tuple[Cell, ...]:
    """Return the row of an event of the time `at_us`: `seq`, `ts`, and what `layout.STORED` names.

    `spelled` has the number of each text, and None for the empty one.
    """
    signals = _json(event.suspicious_signals).decode() if event.suspicious_signals else ""
    texts: tuple[Any, ...] = _texts(event)
    return (
        event.seq,
        at_us,
        *[id_cell(each, dashed=dashed) if each else None for each, dashed in zip(_ids(event), _DASHED, strict=True)],
        *_numbers(event),
        *[spelled[each] for each in texts],
        spelled[id_cell(event.session_id)],
        spelled[resource_of(event)],
        spelled[signals],
    )


def id_cell(text: str, *, dashed: bool = True) -> bytes | str:
    """Return the sixteen bytes of an id in the form that this product writes; any other text as it is."""
    digits = text
    if dashed:
        if len(text) != 36 or not text[8] == text[13] == text[18] == text[23] == "-":
            return text
        digits = text.replace("-", "")
    if len(digits) != 32:
        return text
    try:
        found = unhexlify(digits)
    except (Error, ValueError):
        return text
    return found if found.hex() == digits else text


def id_text(cell: bytes | str, *, dashed: bool) -> str:
    """Return the id that `id_cell` was given."""
    if isinstance(cell, str):
        return cell
    digits = cell.hex()
    if not dashed:
        return digits
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
