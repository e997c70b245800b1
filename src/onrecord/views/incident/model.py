# SPDX-License-Identifier: Apache-2.0
"""`Incident`: what the record says of one request, session, person or call, as data that each form of a report shows.

A statement says which events it rests on, and what it is worth: a `fact` was seen or decided here, a `claim` is
somebody's word, a `sign` may mean an attack and never proves one. What the record does not say is `NotKnown`, with why.
Texts may quote what somebody else chose; whoever shows them makes them neutral for the place (`rules/rendering.py`).
"""

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

Worth: TypeAlias = Literal["fact", "claim", "sign"]
SubjectKind: TypeAlias = Literal["correlation", "trace", "session", "user", "approval", "call", "event"]
QuestionName: TypeAlias = Literal["who", "chosen", "allowed", "approved", "changed", "injected"]

QUESTIONS: dict[QuestionName, str] = {
    "who": "Who started it, and how sure is that?",
    "chosen": "Was the right tool chosen, and what was proposed?",
    "allowed": "Was it allowed, by which policy, and why?",
    "approved": "Did a person approve it, what did they see, and did what ran match?",
    "changed": "What changed, and how is it rolled back?",
    "injected": "Was prompt injection involved?",
}


class Citation(msgspec.Struct, frozen=True, kw_only=True):
    """Where an event stands. `ledger` is what its home or folder is called, and empty where there is only one."""

    ledger: str
    log: str
    seq: int
    event_id: str


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the record says, and of which calls, by their numbers in the incident."""

    topic: Annotated[str, Meta(description="what it is about, in one word, the same for the same thing")]
    worth: Worth
    text: str
    calls: tuple[int, ...]
    cites: tuple[Citation, ...]


class NotKnown(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the record does not say, and why."""

    topic: str
    text: str
    why: str
    calls: tuple[int, ...]
    cites: tuple[Citation, ...]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the record says to one of the six questions."""

    name: QuestionName
    question: str
    statements: tuple[Statement, ...]
    not_known: tuple[NotKnown, ...]


class CallLine(msgspec.Struct, frozen=True, kw_only=True):
    """One call. `beside`: it is no part of what was asked for, and has to do with it."""

    number: int
    call_id: str
    ledger: str
    server: str
    name: str
    begun: str
    decision: str
    status: str
    beside: bool


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One event in time. `call` is the number of its call, 0 where it has none."""

    at: str
    cite: Citation
    call: int
    text: str
    beside: bool


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """Lines that stood in the time of the incident and were deleted on the record, `first` to `last`, by a rule."""

    ledger: str
    log: str
    first: int
    last: int
    rule: str
    cite: Citation


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """All that the record says. Times are RFC 3339 in UTC, each by the clock of its ledger."""

    kind: SubjectKind
    subject: str
    begun: str
    ended: str
    ledgers: tuple[str, ...]
    events: int
    calls: tuple[CallLine, ...]
    answers: tuple[Answer, ...]
    timeline: tuple[Entry, ...]
    gone: tuple[Gone, ...]
    remarks: tuple[str, ...]
