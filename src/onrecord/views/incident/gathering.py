# SPDX-License-Identifier: Apache-2.0
"""Gathers the events of an incident from any number of logs and ledgers, each by its own engine.

It begins with what was asked for, and expands once: from an event to its call, from a call to the other calls of the
same request and to what was said of their approvals. Beside them it takes what they name or what bears on them: the
calls before whose output was flagged, those that came after, the one that is repeated or repeats, the definitions of
the tools, the session's connection and security events, the policy's version. It follows nothing from there on.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Protocol

from onrecord.event.event import Event
from onrecord.ledger.clock import parse_time
from onrecord.ledger.deletions import ranges_of
from onrecord.views.answers import Found
from onrecord.views.incident.model import Gone, SubjectKind
from onrecord.views.incident.seen import Gathered, Seen
from onrecord.views.incident.spans import spans_behind
from onrecord.views.question import Condition, Listing, Question
from onrecord.views.signals.finding import is_finding

LIMIT = 1_000  # events of what is asked for
BESIDE = 200  # events of one kind beside it
_NAMED = 20  # events of a finding
_OF_CALL = 100  # events of one call
_AT_ONCE = 200  # ids in one question
_SECOND_US = 1_000_000
_RETRY_US = 900 * _SECOND_US  # clients that retry do so within minutes
_SLACK_US = 24 * 3600 * _SECOND_US  # by which a clock may have been set back, or most lines have waited
_IDS: tuple[tuple[SubjectKind, str], ...] = (
    ("correlation", "correlation_id"),
    ("trace", "trace_id"),
    ("approval", "approval_id"),
    ("call", "call_id"),
    ("session", "session_id"),
)
_ALARMS = (Condition(column="event_type", values=("security",)),)
_OF_SESSION = ("connection", "authentication", "configuration")
_MISSING = ("gap", "degraded", "log_recovered")
_GAPS = (Condition(column="event_type", values=("gap",)),)
_WRITING_US = 60 * _SECOND_US  # in which what has waited is written behind its gap


class Asks(Protocol):
    """What answers questions about one log (`views/answers.py`, or a federation of others)."""

    def list(self, listing: Listing) -> Iterator[Found]:
        """Yield what is asked for."""
        ...

    def count(self, question: Question) -> int:
        """Return how many events a question is about."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One log of one ledger. `ledger` is what it is called in the report, empty where there is only one."""

    ledger: str
    log: str
    answers: Asks


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked for: an id, or pseudonyms of a person, and the time that it is about."""

    which: str
    users: tuple[str, ...] = ()
    since_us: int | None = None
    until_us: int | None = None
    limit: int = LIMIT


def gather(sources: Sequence[Source], asked: Asked) -> Gathered | None:
    """Return the events of what is asked for, None where there are none. Raises OnRecordError, OSError."""
    gathering = _Gathering(sources, asked)
    kind = gathering.begin()
    if kind is None:
        return None
    gathering.expand(kind)
    gathering.look_beside()
    return gathering.gathered(kind)


def deleted(sources: Sequence[Source]) -> int:
    """Return how many lines of these logs were deleted on the record, by the entries that say so."""
    question = Question(conditions=_deletions())
    found = (each.event for source in sources for each in source.answers.list(Listing(question=question)))
    return sum(last - first + 1 for event in found for first, last in ranges_of(event) or ())


def _deletions() -> tuple[Condition, ...]:
    return (Condition(column="event_type", values=("retention",)), Condition(column="action", values=("delete",)))


class _Gathering:
    """Events that are being gathered, each once."""

    def __init__(self, sources: Sequence[Source], asked: Asked) -> None:
        self._sources = sources
        self._asked = asked
        self._seen: dict[tuple[str, str, int], Seen] = {}
        self._left = 0
        self._is_cut = False  # there may be more than was taken
        self._narrows = True  # ids tell from when on there can be events
        self._remarks: list[str] = []

    # what is asked for

    def begin(self) -> SubjectKind | None:
        """Take what is asked for by its id or person, and return what it is."""
        which = self._asked.which
        for kind, column in _IDS if which else ():
            if self._take(self._primary(column, (which,))):
                return kind
        if which and self._narrows and time_in(which) is not None:
            self._narrows = False  # its clock was another one than that of the log
            return self.begin()
        if which and self._event(which):
            return "event"
        if self._asked.users and self._take(self._primary("user_id", self._asked.users)):
            return "user"
        return None

    def _primary(self, column: str, said: tuple[str, ...]) -> Question:
        about, since_us = self._about(column, said), self._asked.since_us
        earliest = [each for each in (about.since_us, since_us) if each is not None]
        return replace(about, since_us=max(earliest) if earliest else None, until_us=self._asked.until_us)

    def _about(self, column: str, said: tuple[str, ...]) -> Question:
        """Return the question for events that say one of these ids; before an id was made, none can."""
        times = [time_in(each) for each in said] if column != "trace_id" and self._narrows else [None]
        known = [at_us for at_us in times if at_us is not None]
        since_us = min(known) - _SLACK_US if len(known) == len(times) else None
        return Question(conditions=(Condition(column=column, values=said),), since_us=since_us)

    def _take(self, question: Question) -> bool:
        """Take the newest events of a question, and count those that are too many."""
        found = [each for source in self._sources for each in self._list(source, question, self._asked.limit)]
        found.sort(key=lambda one: one.event.timestamp, reverse=True)
        if len(found) >= self._asked.limit:
            total = sum(source.answers.count(question) for source in self._sources)
            self._left = max(0, total - self._asked.limit)
        self._put(found[: self._asked.limit])
        return bool(found)

    def _event(self, which: str) -> bool:
        """Take the event with this id, which carries its own time; a finding carries that of what it is about."""
        at_us = time_in(which)
        if at_us is None:
            return False
        near = Question(since_us=at_us - _SECOND_US, until_us=at_us + _SECOND_US)
        far = Question(since_us=at_us - _SLACK_US, until_us=at_us + _SLACK_US)
        found_later = Question(conditions=_ALARMS, since_us=at_us - _SLACK_US)
        looks = [(source, question) for question in (near, far) for source in self._sources]
        looks += [(source, found_later) for source in self._logs("security")]
        for source, question in chain(looks, self._behind_gaps(at_us)):
            for one in self._list(source, question, 1 << 62):
                if one.event.event_id == which:
                    self._put([one])
                    return True
        return False

    def _behind_gaps(self, at_us: int) -> Iterator[tuple[Source, Question]]:
        """Yield where an event may be that waited long to be written: what has waited comes behind a gap."""
        later = Question(conditions=_GAPS, since_us=at_us + _SLACK_US - _WRITING_US)  # the rest was looked at
        for source in self._sources:
            gaps = self._list(source, later, 1 << 62, oldest_first=True)
            for begin_us, end_us in spans_behind((parse_time(gap.event.timestamp) for gap in gaps), _WRITING_US):
                yield source, Question(since_us=begin_us, until_us=end_us)

    def _logs(self, name: str) -> Iterator[Source]:
        return (source for source in self._sources if source.log == name)

    # what belongs to it

    def expand(self, kind: SubjectKind) -> None:
        """Take the whole of the calls that were found; of one call, also the other calls of the same request."""
        if kind == "event":
            self._named()
        if kind in ("event", "call", "approval"):
            self._own("correlation_id", self._ids("correlation_id") or self._requests())
        self._own("call_id", self._ids("call_id"))
        self._own("approval_id", self._ids("approval_id"))
        self._own("call_id", self._ids("call_id"))  # of calls that used an approval of these
        if kind == "user":
            self._set_others_apart()

    def _set_others_apart(self) -> None:
        """Put beside what is of calls of other people: those that this person has approved."""
        users = set(self._asked.users)
        asked = {one.event.call_id for one in self._seen.values() if one.event.user_id in users and _is_of_call(one)}
        for place, one in self._seen.items():
            if one.event.user_id not in users and one.event.call_id not in asked:
                self._seen[place] = replace(one, beside=True)

    def _named(self) -> None:
        """Take the events that a finding names."""
        found = [one.event for one in self._seen.values() if is_finding(one.event)]
        for named in [str(each) for event in found for each in event.detail.get("events", ())][:_NAMED]:
            self._event(named)

    def _requests(self) -> set[str]:
        """Return the requests that the calls belong to, of which an event names only the call."""
        calls = self._ids("call_id")
        self._own("call_id", calls)
        return self._ids("correlation_id")

    def _own(self, column: str, ids: Iterable[str]) -> None:
        for said in _some(ids):
            self._put(self._whole(column, said))

    def _whole(self, column: str, said: tuple[str, ...]) -> Iterator[Seen]:
        """Yield all events that say one of these ids; of a call, never a part of what there may reasonably be."""
        limit = max(self._asked.limit, _OF_CALL * len(said))
        for source in self._sources:
            found = list(self._list(source, self._about(column, said), limit))
            self._is_cut |= len(found) == limit
            yield from found

    def _ids(self, column: str, *, beside: bool = False) -> set[str]:
        return {getattr(one.event, column) for one in self._seen.values() if beside or not one.beside} - {""}

    # what bears on it

    def look_beside(self) -> None:
        """Take what the calls name and what bears on them."""
        own = list(self._seen.values())
        begin_us = min(parse_time(one.event.timestamp) for one in own)
        end_us = max(parse_time(one.event.timestamp) for one in own)
        named = {call for one in own for call in (*one.event.suspicious_before, one.event.repeats) if call}
        self._also("call_id", named - self._ids("call_id"))
        self._followers(begin_us, end_us)
        self._session(begin_us, end_us)
        self._definitions(end_us)
        self._policies(end_us)
        self._missing(begin_us, end_us)

    def _also(self, column: str, ids: Iterable[str]) -> None:
        for said in _some(ids):
            self._put(_beside(self._whole(column, said)))

    def _followers(self, begin_us: int, end_us: int) -> None:
        """Take the calls that name one of these: as flagged before them, or as what they repeat."""
        own = self._ids("call_id")
        found: set[str] = set()
        for some in self._where_followers_are():
            attempts = (Condition(column="phase", values=("attempt",)), *some)
            question = Question(conditions=attempts, since_us=begin_us, until_us=end_us + _RETRY_US)
            for source in self._sources:
                looked = list(self._list(source, question, BESIDE, oldest_first=True))
                self._is_cut |= len(looked) == BESIDE
                for one in looked:
                    if one.event.repeats in own or own.intersection(one.event.suspicious_before):
                        found.add(one.event.call_id)
        self._also("call_id", found - own)

    def _where_followers_are(self) -> Iterator[tuple[Condition, ...]]:
        """Yield where they may be: in sessions in which something was flagged, and among calls of the same tool."""
        own = [one.event for one in self._seen.values() if not one.beside]
        for said in _some({event.session_id for event in own if event.session_id and event.suspicious_signals}):
            yield (Condition(column="session_id", values=said),)
        tools = {(e.server_id, e.tool_name, e.user_id) for e in own if e.phase == "attempt" and e.tool_name}
        for server, tool, user in sorted(tools)[:BESIDE]:
            names = {"server_id": server, "tool_name": tool, "user_id": user}
            yield tuple(Condition(column=name, values=(said,)) for name, said in names.items() if said)

    def _session(self, begin_us: int, end_us: int) -> None:
        """Take the connection of the calls, how it was authenticated, and what alarmed, also if it was found later."""
        types = Condition(column="event_type", values=_OF_SESSION)
        alarms = Condition(column="event_type", values=("security",))
        for said in _some(self._ids("session_id")):
            session = Condition(column="session_id", values=said)
            self._context(Question(conditions=(session, alarms)), BESIDE)
            question = Question(conditions=(session, types))
            self._context(replace(question, until_us=begin_us + 1), BESIDE)
            self._context(replace(question, since_us=begin_us + 1, until_us=end_us + _RETRY_US), BESIDE)

    def _definitions(self, end_us: int) -> None:
        """Take what is known of the definitions of the tools that were called."""
        own = [one.event for one in self._seen.values() if one.event.phase == "attempt" and not one.beside]
        tools = {event.tool_name for event in own if event.tool_name}
        servers = {event.server_id for event in own if event.tool_name and event.server_id}
        kind = Condition(column="event_type", values=("tool_definition",))
        for said in _some(servers):
            question = Question(
                conditions=(kind, Condition(column="server_id", values=said)), until_us=end_us + _RETRY_US
            )
            for source in self._sources:
                found = self._list(source, question, BESIDE)
                self._put(_beside(one for one in found if _is_about(one.event, tools)))

    def _policies(self, end_us: int) -> None:
        """Take where each version of the policy was loaded last before the end, where the session does not say."""
        known = {one.event.policy_version for one in self._seen.values() if one.event.event_type == "configuration"}
        kind = Condition(column="event_type", values=("configuration",))
        for version in sorted(self._ids("policy_version") - known)[:BESIDE]:
            version_is = Condition(column="policy_version", values=(version,))
            self._context(Question(conditions=(kind, version_is), until_us=end_us + 1), 1)

    def _missing(self, begin_us: int, end_us: int) -> None:
        """Take what says that the record itself is not whole in this time."""
        kind = Condition(column="event_type", values=_MISSING)
        before = len(self._seen)
        self._context(Question(conditions=(kind,), since_us=begin_us, until_us=end_us + _RETRY_US), BESIDE)
        if len(self._seen) > before:
            self._remarks.append("something is missing from the record in this time: see gap, degraded, log_recovered")

    def _context(self, question: Question, limit: int) -> None:
        for source in self._sources:
            self._put(_beside(self._list(source, question, limit)))

    # the whole

    def gathered(self, kind: SubjectKind) -> Gathered:
        """Return all that was found, in the order of time."""
        seen = sorted(self._seen.values(), key=lambda one: (one.event.timestamp, one.place))
        ledgers = tuple(dict.fromkeys(source.ledger for source in self._sources))
        if self._left:
            self._remarks.append(
                f"only the newest {self._asked.limit} events of what was asked for are here, {self._left} older ones "
                "are not; narrow it by time, or raise the limit"
            )
        if self._is_cut:
            self._remarks.append("there was more than was looked at, so what belongs to these calls may be incomplete")
        if len({one.ledger for one in seen}) > 1:
            self._remarks.append(
                "times are those of each ledger's own clock, so their order across ledgers may be wrong"
            )
        return Gathered(
            kind=kind,
            subject=", ".join(self._asked.users) if kind == "user" else self._asked.which,
            seen=seen,
            ledgers=ledgers,
            left=self._left,
            gone=tuple(self._gone(seen)),
            remarks=tuple(self._remarks),
        )

    def _gone(self, seen: Sequence[Seen]) -> Iterator[Gone]:
        """Yield what was deleted on the record between the first and the last event of each log."""
        question = Question(conditions=_deletions())
        for source in self._sources:
            own = [one.event.seq for one in seen if (one.ledger, one.log) == (source.ledger, source.log)]
            for one in self._list(source, question, BESIDE) if own else ():
                for first, last in ranges_of(one.event) or ():
                    if first <= max(own) and last >= min(own):
                        rule = str(one.event.detail.get("rule", ""))
                        yield Gone(ledger=one.ledger, log=one.log, first=first, last=last, rule=rule, cite=one.cite)

    def _list(self, source: Source, question: Question, limit: int, *, oldest_first: bool = False) -> Iterator[Seen]:
        listing = Listing(question=question, limit=limit, oldest_first=oldest_first)
        for found in source.answers.list(listing):
            yield Seen(ledger=source.ledger, log=source.log, event=found.event)

    def _put(self, found: Iterable[Seen]) -> None:
        for one in found:
            known = self._seen.get(one.place)
            if known is None or (known.beside and not one.beside):
                self._seen[one.place] = one


def time_in(text: str) -> int | None:
    """Return the microseconds since 1970 that a UUIDv7 carries (RFC 9562, 5.7), None where `text` is none."""
    digits = text.replace("-", "")
    if len(text) != 36 or len(digits) != 32 or digits[12] != "7":
        return None
    try:
        return int(digits[:12], 16) * 1000
    except ValueError:
        return None


def _some(ids: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Yield ids in as many as one question may name."""
    listed = sorted(ids)
    for at in range(0, len(listed), _AT_ONCE):
        yield tuple(listed[at : at + _AT_ONCE])


def _beside(found: Iterable[Seen]) -> Iterator[Seen]:
    return (replace(one, beside=True) for one in found)


def _is_of_call(one: Seen) -> bool:
    """Say whether an event is by who asked for a call, and not by who approves it."""
    return one.event.phase in ("attempt", "decision", "result")


def _is_about(event: Event, tools: set[str]) -> bool:
    """Say whether an event about definitions has to do with `tools`; one that pins tells also what else was listed."""
    return event.action == "pinned" or event.tool_name in tools or str(event.detail.get("was", "")) in tools
