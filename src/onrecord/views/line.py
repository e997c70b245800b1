# SPDX-License-Identifier: Apache-2.0
"""A line of the record as the views take it: its event, where it still has one, and whether it bears an answer out."""

from hashlib import sha256

from onrecord.errors import NotVerified
from onrecord.event.event import Event
from onrecord.event.schema import read_event
from onrecord.ledger.lines import is_tombstone
from onrecord.views.matching import fits
from onrecord.views.question import Question


def event_of(line: bytes) -> Event | None:
    """Return the event of a line, or None where it is none, which is for verify, or no longer."""
    if is_tombstone(line):
        return None
    try:
        return read_event(line)
    except NotVerified:
        return None


def borne_out(line: bytes | None, question: Question) -> Event | None:
    """Return the event of a line that an engine has named, or None where it was deleted on the record since.

    Raises NotVerified where the line says something else than what was asked for.
    """
    if line is None or is_tombstone(line):
        return None
    event = read_event(line)
    if not fits(event, question):
        raise NotVerified("the line is not one that was asked for")
    return event


def digest_of(line: bytes) -> str:
    """Return by what a reader that comes back knows the line again: half its SHA-256, in hex."""
    return sha256(line).hexdigest()[:32]
