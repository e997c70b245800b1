# SPDX-License-Identifier: Apache-2.0
"""Which key may sign what: the epochs of a log, as its own entries tell them.

A hand-over at seq h names the old key and the new one. The old key is valid for sizes up to h+1,
the new one from h+1 on; the old one signs exactly h+1 as its last, and so stands by its successor.
"""

from dataclasses import dataclass

from onrecord.event.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOverEntry:
    """What an entry says of a hand-over; `old` and `new` are verifier keys as text, unverified."""

    seq: int
    old: str
    new: str


def hand_over_of(event: Event) -> HandOverEntry | None:
    """Return what `event` says of a hand-over, if it is one; keys that it does not name are empty."""
    if event.event_type != "key" or event.action != "rotate":
        return None
    old, new = event.detail.get("old_vkey"), event.detail.get("new_vkey")
    return HandOverEntry(
        seq=event.seq, old=old if isinstance(old, str) else "", new=new if isinstance(new, str) else ""
    )
