# SPDX-License-Identifier: Apache-2.0
"""Logs to ask questions about: a few weeks of a company's agents, made by the generator of the benchmarks."""

from pathlib import Path

from bench.generate import generate
from hypothesis import strategies as st

from onrecord.event.schema import read_event
from onrecord.ledger.clock import parse_time
from onrecord.ledger.lines import lines_from
from onrecord.ledger.place import Home
from onrecord.views.answers import Answers
from onrecord.views.columns import BY_NAME, text_of, value_of
from onrecord.views.federation import Federation
from onrecord.views.index.feed import Feed
from onrecord.views.index.layout import files_of, folder_of
from onrecord.views.index.period import Period
from onrecord.views.question import FILTERS, Condition, Listing, Question
from onrecord.views.scan import Scan
from onrecord.views.stores.answers import StoreAnswers
from onrecord.views.words import Phrase


def made(path: Path, count: int = 1500, days: int = 40) -> Home:
    """Return a home with a log of about `count` events, over two months."""
    home = Home(path)
    generate(home, count, days=days)
    return home


def events(home: Home) -> list:
    return [read_event(line.data) for line in lines_from(home.log())]


def fed(home: Home, **options: int) -> int:
    """Bring the index up to date, and return how many lines it took in."""
    with Feed(home, "calls", deadline_s=5, **options) as feed:
        return sum(feed.run())


def hot(home: Home) -> Answers:
    return Answers(home.log(), [Period(path) for path in files_of(folder_of(home, "calls"))])


def scan(home: Home) -> Answers:
    return Answers(home.log(), [Scan(home.log())])


def places(
    answers: Answers | Federation | StoreAnswers, question: Question, *, limit: int = 10_000, oldest_first: bool = False
) -> list[int]:
    listing = Listing(question=question, limit=limit, oldest_first=oldest_first)
    return [found.event.seq for found in answers.list(listing)]


@st.composite
def questions(draw, of: list) -> Question:
    """Questions of which most have an answer: what they ask for is said by some event."""
    place = st.integers(0, len(of) - 1)
    event, other = of[draw(place)], of[draw(place)]
    conditions = []
    for name in draw(st.lists(st.sampled_from(FILTERS), max_size=3, unique=True)):
        said = [value_of(each, BY_NAME[name]) for each in (event, other)]
        one, both = draw(st.booleans()), draw(st.booleans())
        values = tuple({value for value in (said if both else said[one:][:1]) if value is not None})
        conditions.append(Condition(column=name, values=values))
    at_us = parse_time(event.timestamp)
    span = draw(st.sampled_from([0, 1, 3_600_000_000, 10 * 86_400_000_000]))
    words = text_of(event).split()
    begin, length = draw(st.integers(0, 9)), draw(st.integers(0, 3))
    some = tuple(words[begin : begin + length])
    phrases = []
    if some:
        prefix = draw(st.booleans())
        phrases.append(Phrase(words=(*some[:-1], some[-1][:3]), prefix=True) if prefix else Phrase(words=some))
    return Question(
        conditions=tuple(conditions),
        since_us=draw(st.sampled_from([None, at_us - span])),
        until_us=draw(st.sampled_from([None, at_us + span])),
        phrases=tuple(phrases),
    )
