# SPDX-License-Identifier: Apache-2.0
"""What goes into an evidence bundle besides lines and tiles: hand-overs of the key, and views from outside.

The history of checkpoints tells where one key of a log ended and the next began: both have signed
the same size. Of the views from outside a bundle takes, of each kind, the first that covers all
that was chosen, which tells how old that is at least, and the last. Nothing is judged here.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from operator import gt, lt

import msgspec

from onrecord.errors import NotVerified
from onrecord.event.event import UNREADABLE
from onrecord.ledger.history import Published, published_lines
from onrecord.ledger.lines import whole_lines
from onrecord.ledger.note import parse_note
from onrecord.ledger.place import LogFolder
from onrecord.ledger.sparse import ANCHORS

_MAX_VIEWS = 16  # of one size and kind: one of each of so many witnesses


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChange:
    """A size under which two keys of a log have signed, and the lines of the history that say so."""

    size: int
    lines: tuple[bytes, bytes]


def key_changes(folder: LogFolder, size: int) -> list[KeyChange]:
    """Return where one key of the log ended and another began, up to `size` entries."""
    first: dict[bytes, tuple[int, bytes]] = {}
    last: dict[bytes, tuple[int, bytes]] = {}
    for _, line, published in published_lines(folder.checkpoints):
        if published.size > size:
            continue
        for key in _signing_ids(published):
            if key not in first or published.size < first[key][0]:
                first[key] = (published.size, line)
            if key not in last or published.size >= last[key][0]:
                last[key] = (published.size, line)
    found = [
        KeyChange(size=end, lines=(closing, opening))
        for old, (end, closing) in last.items()
        for new, (begin, opening) in first.items()
        if old != new and begin == end > 0
    ]
    return sorted(found, key=lambda change: change.size)


def _signing_ids(published: Published) -> list[bytes]:
    """Return the ids of the keys that claim to have signed in the name of the log."""
    try:
        note = parse_note(published.note.encode())
    except NotVerified:
        return []
    origin = note.text.partition("\n")[0]
    return [signature.key_id for signature in note.signatures if signature.name == origin]


class _Anchor(msgspec.Struct, frozen=True):
    kind: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A line of `anchors.ndjson`, and how many entries it covers."""

    size: int
    line: bytes


def views(folder: LogFolder, covering: int, size: int) -> list[View]:
    """Return, of each kind, the first views that cover `covering` entries, and the last up to `size`."""
    first: dict[str, list[View]] = {}
    last: dict[str, list[View]] = {}
    path = folder.path / ANCHORS
    for line in whole_lines(path) if path.is_file() else ():
        with suppress(*UNREADABLE):
            anchor = msgspec.json.decode(line.data, type=_Anchor)
            if not 0 < anchor.size <= size:
                continue
            view = View(size=anchor.size, line=line.data)
            _keep(last.setdefault(anchor.kind, []), view, gt)
            if anchor.size >= covering:
                _keep(first.setdefault(anchor.kind, []), view, lt)
    kept = {view.line: view for found in (*first.values(), *last.values()) for view in found}
    return sorted(kept.values(), key=lambda view: view.size)


def _keep(kept: list[View], view: View, better: Callable[[int, int], bool]) -> None:
    if not kept or better(view.size, kept[0].size):
        kept[:] = [view]
    elif view.size == kept[0].size and len(kept) < _MAX_VIEWS:
        kept.append(view)
