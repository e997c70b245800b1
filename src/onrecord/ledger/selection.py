# SPDX-License-Identifier: Apache-2.0
"""Chooses entries of a log by what they say: a call, a person, a tool, a kind, a span of time or of places.

Every condition that is given must hold. A condition that is not given holds for every entry, so who
wants all of them says so by giving none. Deleted entries say nothing, and are counted.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from onrecord.errors import NotVerified
from onrecord.event.event import Event
from onrecord.event.schema import read_event
from onrecord.ledger.lines import first_seq, is_tombstone, segment_files, whole_lines
from onrecord.ledger.place import LogFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Conditions on an entry. `since` and `until` are timestamps as the log writes them, the second excluded."""

    places: tuple[range, ...] = ()
    call_id: str = ""
    user_id: str = ""
    tool_name: str = ""
    event_type: str = ""
    since: str = ""
    until: str = ""

    def has_place(self, seq: int) -> bool:
        """Say whether the place of an entry is one of those asked for."""
        return not self.places or any(seq in places for places in self.places)

    def fits(self, event: Event) -> bool:
        """Say whether what an entry says is asked for."""
        return (
            (not self.call_id or event.call_id == self.call_id)
            and (not self.user_id or event.user_id == self.user_id)
            and (not self.tool_name or event.tool_name == self.tool_name)
            and (not self.event_type or event.event_type == self.event_type)
            and (not self.since or event.timestamp >= self.since)
            and (not self.until or event.timestamp < self.until)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """The chosen entries, ascending.

    `unsigned` more are not signed yet; `deleted` count the places asked for whose entry is gone.
    """

    seqs: Sequence[int]
    unsigned: int
    deleted: int


def select(folder: LogFolder, selection: Selection, signed: int) -> Selected:
    """Return the chosen ones among the entries of a log of which the first `signed` are signed.

    Raises NotVerified where a line is not the entry of its place, or nobody has read it right.
    """
    seqs = array("q")
    unsigned = deleted = 0
    for seq, line in _placed(folder, selection):
        if is_tombstone(line):
            deleted += 1
            continue
        event = read_event(line)
        if event.seq != seq:
            raise NotVerified(f"entry {event.seq} stands where entry {seq} belongs; run: onrecord verify")
        if not selection.fits(event):
            continue
        if seq < signed:
            seqs.append(seq)
        else:
            unsigned += 1
    return Selected(seqs=seqs, unsigned=unsigned, deleted=deleted)


def _placed(folder: LogFolder, selection: Selection) -> Iterator[tuple[int, bytes]]:
    end = max((places.stop for places in selection.places), default=None)
    for file in segment_files(folder):
        for seq, line in enumerate(whole_lines(file), first_seq(file)):
            if seq == end:
                return
            if selection.has_place(seq):
                yield seq, line.data
