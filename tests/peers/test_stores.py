# SPDX-License-Identifier: Apache-2.0
"""Stores in ClickHouse and PostgreSQL: the same answers as the lines give, however often an event was sent."""

import shutil
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as changed
from tests.ledger.logs import entry, log_in
from tests.peers.stores import clickhouse, postgres
from tests.views.logs import events, hot, made, places, questions, scan
from tests.views.logs import fed as take_in

from onrecord.errors import OnRecordError
from onrecord.ledger.clock import parse_time
from onrecord.ledger.pruning import delete
from onrecord.views import tiers
from onrecord.views.columns import COLUMNS, text_of
from onrecord.views.question import FILTERS, Condition, Grouping, Listing, Question
from onrecord.views.shipped import SHIPPED
from onrecord.views.stores.answers import StoreAnswers
from onrecord.views.stores.feeding import Sink
from onrecord.views.stores.opening import open_store
from onrecord.views.stores.table import NAMES, origin_of, row_of
from onrecord.views.tiers import Wide
from onrecord.views.words import Phrase

ALL = Question()
MEASURES = ("count", "p50", "p95", "max")


@pytest.fixture(scope="module", params=["clickhouse", "postgresql"])
def store(request):
    if request.param == "clickhouse":
        with clickhouse() as apart:
            apart.prepare()
            apart.prepare()  # again: nothing is made twice
            yield apart
        return
    with postgres() as server:
        opened = open_store(server.address)
        opened.prepare()
        opened.prepare()
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def weeks(tmp_path_factory, store):
    home = made(tmp_path_factory.mktemp("weeks"))
    fed(home, store)
    origin = origin_of(home.log(), "calls")
    return home, events(home), Only(store, origin), scan(home)


class Only(StoreAnswers):
    """Answers of a store in which other tests put other logs, about one of them; its lines are not at hand."""

    def __init__(self, store, origin):
        super().__init__(store, "calls", {})
        self._origin = origin

    def _ask(self, sql, writing):
        # the name of the log is written for the engine, in front of all other conditions
        mark = f"origin = '{self._origin}' AND log = "
        return self._store.ask(sql.replace("log = ", mark, 1), writing.values)


def fed(home, store, **options):
    with Sink(home, "calls", store, deadline_s=5, **options) as sink:
        return sum(sink.run())


@pytest.mark.requirement("E1")
@settings(max_examples=60)
@given(st.data())
def test_a_store_and_the_lines_give_the_same_answers(weeks, data):
    _, those, stored, lines = weeks
    question = data.draw(questions(those))
    oldest_first = data.draw(st.booleans())

    found = places(lines, question, oldest_first=oldest_first)

    assert places(stored, question, oldest_first=oldest_first) == found
    assert places(stored, question, oldest_first=oldest_first, limit=3) == found[:3]
    assert stored.count(question) == len(found)


@settings(max_examples=40)
@given(st.data())
def test_groups_of_a_store_are_the_same_too(weeks, data):
    _, those, stored, lines = weeks
    grouping = Grouping(
        question=data.draw(questions(those)),
        by=tuple(data.draw(st.lists(st.sampled_from([*FILTERS, "day", "hour"]), max_size=2, unique=True))),
        measure=data.draw(st.sampled_from(MEASURES)),
        limit=data.draw(st.integers(1, 20)),
    )

    assert stored.group(grouping) == lines.group(grouping)


def test_an_event_comes_out_as_it_went_in(weeks):
    _, those, stored, lines = weeks
    listing = Listing(question=ALL, limit=len(those), oldest_first=True)

    assert [found.event for found in stored.list(listing)] == [changed(event, prev_hash="") for event in those]
    names = [column.name for column in COLUMNS]
    assert list(stored.rows(ALL, names)) == list(lines.rows(ALL, names))


HOSTILE = (
    "'; DROP TABLE audit_events; --",
    "\\' OR 1=1 --",
    "%s {x:String} %",
    "a\0b\t\n\r",
    "\ue000\ue001é\U0001f600",
    "x" * 9000,
)


def test_text_that_tries_to_be_sql_is_text(store, tmp_path):
    log = log_in(tmp_path)
    ledger = log.open()
    for text in HOSTILE:
        ledger.append(entry(tool_name=text, input_summary=f"one {text} two", downstream_resource=text))
    ledger.close()
    fed(log.home, store)
    stored = Only(store, origin_of(log.folder, "calls"))

    for text in HOSTILE:
        for name in ("tool_name", "resource"):
            question = Question(conditions=(Condition(column=name, values=(text, "none")),))
            assert [found.event.tool_name for found in stored.list(Listing(question=question))] == [text]
    by_tool = Grouping(question=Question(conditions=(Condition(column="tool_name"),)), by=("tool_name",))
    assert stored.group(by_tool) == scan(log.home).group(by_tool)
    unheard = Condition(column="tool_name", values=("", "\udc80"))
    assert stored.count(Question(conditions=(unheard,))) == 0


def test_words_of_any_script_are_found(store, tmp_path):
    log = log_in(tmp_path)
    ledger = log.open()
    for text in ("Grüße aus Köln 1e5 a1b2", "東京 タワー", "กรุงเทพ 2026-11-21 v1.2.3", "नमस्ते दुनिया", "x" * 80):
        ledger.append(entry(input_summary=text))
    ledger.close()
    fed(log.home, store)
    stored, lines = Only(store, origin_of(log.folder, "calls")), scan(log.home)
    words = {word for event in events(log.home) for word in text_of(event).split()}

    for word in words:
        for phrase in (Phrase(words=(word,)), Phrase(words=(word[:2],), prefix=True)):
            question = Question(phrases=(phrase,))
            assert places(stored, question) == places(lines, question), phrase


def test_an_event_that_is_sent_again_counts_once(store, tmp_path):
    log = log_in(tmp_path)
    log.write(5)
    fed(log.home, store)
    origin = origin_of(log.folder, "calls")
    store.put([row_of(origin, event) for event in events(log.home)])
    with Sink(log.home, "calls", store, deadline_s=5, batch=2) as sink:
        sink.restart()
        assert sum(sink.run()) == len(events(log.home))

    stored, lines = Only(store, origin), scan(log.home)
    by_type = Grouping(question=ALL, by=("event_type",))
    assert places(stored, ALL) == places(lines, ALL)
    assert stored.count(ALL) == lines.count(ALL)
    assert stored.group(by_type) == lines.group(by_type)
    assert fed(log.home, store) == 0


def test_two_ledgers_lie_in_one_store(store, tmp_path):
    one, other = log_in(tmp_path / "one"), log_in(tmp_path / "other")
    for log in (one, other):
        log.write(3)
        fed(log.home, store)
    names = [origin_of(log.folder, "calls") for log in (one, other)]

    everything = StoreAnswers(store, "calls", {names[0]: one.folder})
    found = [each for each in everything.list(Listing(question=ALL, limit=10_000)) if each.ledger in names]

    assert len(found) == len(events(one.home)) + len(events(other.home))
    assert {each.ledger for each in found if each.line} == {names[0]}
    assert [each.line for each in found if each.ledger == names[0]] == [*reversed(one.lines())]
    assert StoreAnswers(store, "access", {}).count(ALL) == 0


def test_what_was_deleted_on_the_record_is_deleted_in_the_store(store, tmp_path):
    log = log_in(tmp_path)
    log.write(9, segment_bytes=2_000)
    fed(log.home, store)
    deleted = delete(log.home, [(2, 3)], "too-old")
    assert deleted.count == 2

    fed(log.home, store)

    stored = Only(store, origin_of(log.folder, "calls"))
    assert places(stored, ALL) == places(scan(log.home), ALL)
    assert not {2, 3} & set(places(stored, ALL))


def test_a_store_that_was_emptied_gets_all_of_it_again(store, tmp_path):
    log = log_in(tmp_path)
    log.write(4)
    fed(log.home, store)
    origin = origin_of(log.folder, "calls")
    store.forget(origin, [(0, 1000)])
    assert store.newest(origin) is None

    assert fed(log.home, store) == len(events(log.home))


def test_a_log_that_was_rolled_back_is_refused_and_so_is_another_one_of_its_name(store, tmp_path):
    log = log_in(tmp_path)
    log.write(4)
    fed(log.home, store)
    lines = log.lines()

    log.file.write_bytes(b"\n".join(lines[:-2]) + b"\n")
    with pytest.raises(OnRecordError, match="rolled back"):
        fed(log.home, store)
    log.file.write_bytes(b"\n".join([*lines[:-1], lines[-1].replace(b'"timestamp":"20', b'"timestamp":"19')]) + b"\n")
    with pytest.raises(OnRecordError, match="another entry"):
        fed(log.home, store)


def test_what_a_store_says_of_a_line_that_is_here_is_not_believed(store, tmp_path):
    log = log_in(tmp_path)
    log.write(3)
    fed(log.home, store)
    origin = origin_of(log.folder, "calls")
    event = changed(events(log.home)[-1], tool_name="never_called")
    store.forget(origin, [(event.seq, event.seq)])
    store.put([row_of(origin, event)])
    asked = Listing(question=Question(conditions=(Condition(column="tool_name", values=("never_called",)),)))

    answers = StoreAnswers(store, "calls", {origin: log.folder})

    assert [found.event.seq for found in answers.list(asked) if found.ledger == origin] == []
    assert answers.differing == [event.seq]
    assert len(list(StoreAnswers(store, "calls", {}).list(replace(asked, limit=5)))) == 1


def test_a_row_that_is_none_of_an_event_is_left_out_and_said(store, tmp_path):
    log = log_in(tmp_path)
    log.write(3)
    origin = origin_of(log.folder, "calls")
    good, bad, worse = (row_of(origin, event) for event in events(log.home)[-3:])
    store.put([good, told(bad, arg_keys="[1"), told(worse, phase="never")])
    stored = Only(store, origin)

    assert [found.event.seq for found in stored.list(Listing(question=ALL))] == [good[NAMES.index("seq")]]
    assert len(stored.differing) == 2


def told(row, **changes):
    return tuple(changes.get(name, cell) for name, cell in zip(NAMES, row, strict=True))


@pytest.mark.requirement("E1")
def test_shipped_questions_have_equal_answers_on_all_engines(weeks, tmp_path):
    home, those, stored, lines = weeks
    copy = type(home)(tmp_path)
    shutil.copytree(home.log().path, copy.log().path)
    kept = indexed(copy)
    since_us = parse_time(those[len(those) // 3].timestamp)
    user = Condition(column="user_id", values=(those[-1].user_id,))
    answered = 0
    with tiers.answers(copy, "calls", wide=Wide(rows=1, days=0)) as past:
        assert past.past(ALL, ()) is not None
        for shipped in SHIPPED:
            question = Question(conditions=(user,) if shipped.needs else (), since_us=since_us)
            groups = shipped.grouping(question, limit=1_000)
            expected = lines.group(groups)
            for engine in (kept, past, stored):
                assert engine.group(groups) == expected, (shipped.id, engine)
            found = places(lines, shipped.asked(question))
            for engine in (kept, past, stored):
                assert places(engine, shipped.asked(question)) == found, (shipped.id, engine)
                assert engine.count(shipped.asked(question)) == len(found)
            answered += bool(found)
    assert answered > len(SHIPPED) // 2


def indexed(home):
    """Return the answers of the hot index."""
    take_in(home)
    return hot(home)
