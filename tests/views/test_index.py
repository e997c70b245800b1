# SPDX-License-Identifier: Apache-2.0
"""The index: the same answers as the lines give, whatever becomes of its files, and while it is written."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from subprocess import PIPE

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ledger.logs import log_in
from tests.views.logs import events, fed, hot, made, places, questions, scan
from tests.views.test_cold import line, sealed

from onrecord.errors import OnRecordError
from onrecord.ledger.clock import parse_time
from onrecord.ledger.lines import segment_files
from onrecord.ledger.pruning import delete
from onrecord.views.index.layout import files_of, first_of, folder_of
from onrecord.views.question import FILTERS, Condition, Grouping, Question
from onrecord.views.tiers import answers
from onrecord.views.words import phrases_of

ALL = Question()


@pytest.fixture(scope="module")
def weeks(tmp_path_factory):
    home = made(tmp_path_factory.mktemp("weeks"))
    fed(home)
    return home, events(home), hot(home), scan(home)


@pytest.mark.requirement("E1")
@settings(max_examples=150)
@given(st.data())
def test_the_index_and_the_lines_give_the_same_answers(weeks, data):
    _, those, index, lines = weeks
    question = data.draw(questions(those))
    oldest_first = data.draw(st.booleans())

    found = places(lines, question, oldest_first=oldest_first)

    assert places(index, question, oldest_first=oldest_first) == found
    assert places(index, question, oldest_first=oldest_first, limit=3) == found[:3]
    assert index.count(question) == lines.count(question) == len(found)
    assert not index.differing


@settings(max_examples=60)
@given(st.data())
def test_groups_are_the_same_too(weeks, data):
    _, those, index, lines = weeks
    grouping = Grouping(
        question=data.draw(questions(those)),
        by=tuple(data.draw(st.lists(st.sampled_from([*FILTERS, "day", "hour"]), max_size=2, unique=True))),
        measure=data.draw(st.sampled_from(["count", "p50", "p95", "max"])),
        limit=data.draw(st.integers(1, 20)),
    )

    assert index.group(grouping) == lines.group(grouping)


def test_there_is_a_file_for_each_month(weeks):
    home, *_ = weeks

    assert [path.name[:7] for path in files_of(folder_of(home, "calls"))] == ["2026-10", "2026-11"]


def test_what_was_appended_since_is_found_at_once(tmp_path):
    log = log_in(tmp_path)
    log.write(3)
    with answers(log.home, "calls") as source:
        before = source.count(ALL)
    log.write(2)

    with answers(log.home, "calls") as source:
        assert source.count(ALL) == before + 2 == len(places(source, ALL))


HOLDER = """
import fcntl, sys
with open(sys.argv[1]) as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""


def test_what_the_index_could_not_take_in_is_read_from_the_lines(tmp_path):
    home = made(tmp_path, 300)
    fed(home, batch=7)
    newest = files_of(folder_of(home, "calls"))[-1]
    (folder_of(home, "calls") / newest.name).unlink()
    lock = str(newest.parent / "feed.lock")
    with subprocess.Popen([sys.executable, "-c", HOLDER, lock], stdin=PIPE, stdout=PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with answers(home, "calls") as source:
            assert places(source, ALL) == places(scan(home), ALL)
        holder.communicate()


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_period_that_is_gone_is_made_anew(tmp_path, which):
    home = made(tmp_path, 300, days=80)
    fed(home)
    files = files_of(folder_of(home, "calls"))
    files[which].unlink()

    with answers(home, "calls") as source:
        assert places(source, ALL) == places(scan(home), ALL)
    assert files_of(folder_of(home, "calls")) == files


@pytest.mark.requirement("E1")
def test_an_index_made_anew_gives_the_same_answers(weeks, tmp_path):
    home, _, index, _ = weeks
    grouping = Grouping(question=ALL, by=("tool_name", "policy_decision"), limit=10_000)
    before = index.group(grouping), places(index, ALL)
    copy = type(home)(tmp_path)
    shutil.copytree(home.log().path, copy.log().path)

    assert fed(copy, batch=101) == len(before[1])
    assert (hot(copy).group(grouping), places(hot(copy), ALL)) == before


FEEDER = """
import sys
from pathlib import Path
from onrecord.ledger.place import Home
from onrecord.views.index.feed import Feed
with Feed(Home(Path(sys.argv[1])), "calls", deadline_s=20, batch=9) as feed:
    for _ in feed.run():
        print(feed.next, flush=True)
"""


def test_a_feed_that_is_killed_misses_and_doubles_nothing(tmp_path):
    home = made(tmp_path, 900)
    chance = random.Random(3)
    for _ in range(8):
        with subprocess.Popen([sys.executable, "-c", FEEDER, str(tmp_path)], stdout=PIPE) as feeder:
            assert feeder.stdout is not None
            for _ in range(chance.randrange(1, 12)):
                feeder.stdout.readline()
            feeder.send_signal(signal.SIGKILL)
    left = fed(home)

    assert 0 < left < len(events(home))
    assert places(hot(home), ALL) == places(scan(home), ALL)


@pytest.mark.parametrize("harm", ["emptied", "cut", "overwritten", "of another version", "half built"])
def test_a_damaged_index_never_gives_a_wrong_answer(tmp_path, harm):
    home = made(tmp_path, 400)
    fed(home)
    expected = places(scan(home), ALL)
    path = files_of(folder_of(home, "calls"))[-1]
    data = path.read_bytes()
    match harm:
        case "emptied":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(data[: len(data) // 2])
        case "overwritten":
            path.write_bytes(os.urandom(len(data)))
        case "of another version":
            with sqlite3.connect(path) as file:
                file.execute("PRAGMA user_version = 99")
        case _:
            with sqlite3.connect(path) as file:
                file.execute("DROP TABLE m")

    try:
        with answers(home, "calls") as source:
            assert places(source, ALL) == expected
    except OnRecordError as e:
        assert "delete it, and ask again" in str(e)  # noqa: PT017
        path.unlink()
        with answers(home, "calls") as source:
            assert places(source, ALL) == expected


def test_a_row_that_the_record_does_not_bear_out_is_not_shown(tmp_path):
    home = made(tmp_path, 300)
    fed(home)
    path = files_of(folder_of(home, "calls"))[-1]
    denied = Question(conditions=(Condition(column="policy_decision", values=("deny",)),))
    expected = places(scan(home), denied)
    with sqlite3.connect(path) as file:
        file.execute("UPDATE e SET policy_decision = (SELECT id FROM d WHERE v = 'deny') WHERE tool_name IS NOT NULL")

    index = hot(home)

    assert places(index, denied) == expected
    assert index.differing


@pytest.mark.requirement("E1")
def test_what_is_older_than_the_index_shall_have_is_answered_from_the_lines(tmp_path):
    home = made(tmp_path, 600, days=80)
    fed(home)
    those = events(home)
    since_us = parse_time(those[-1].timestamp) - 20 * 86_400_000_000

    with answers(home, "calls", since_us=since_us) as source:
        assert places(source, ALL) == places(scan(home), ALL)
    files = files_of(folder_of(home, "calls"))
    assert first_of(files[0]) > 0
    shutil.rmtree(folder_of(home, "calls"))
    with answers(home, "calls", since_us=since_us) as source:
        assert source.count(ALL) == len(those)
    assert parse_time(those[first_of(files_of(folder_of(home, "calls"))[0])].timestamp) <= since_us


def test_another_log_in_its_place_gets_an_index_of_its_own(tmp_path):
    home = made(tmp_path / "one", 300)
    fed(home)
    other = made(tmp_path / "other", 200, days=20)
    shutil.rmtree(home.log().path)
    shutil.copytree(other.log().path, home.log().path)

    with answers(home, "calls") as source:
        assert places(source, ALL) == places(scan(other), ALL)


def test_a_file_of_another_log_among_those_of_this_one_is_made_anew(tmp_path):
    home, other = made(tmp_path / "one", 1_000), made(tmp_path / "other", 900, days=35)
    for each in (home, other):
        fed(each)
    (ours, *_), (theirs, *_) = (files_of(folder_of(each, "calls")) for each in (home, other))
    assert ours.name == theirs.name
    shutil.copy(theirs, ours)
    by_tool = Grouping(question=ALL, by=("tool_name",), limit=1_000)

    with answers(home, "calls") as found:
        assert found.group(by_tool) == scan(home).group(by_tool)
        for tool in [group.key[0] for group in scan(home).group(by_tool)]:
            of_tool = Question(conditions=(Condition(column="tool_name", values=() if tool is None else (tool,)),))
            assert places(found, of_tool) == places(scan(home), of_tool)
        assert not found.differing
    before = ours.stat().st_mtime_ns
    assert fed(home) == 0
    assert ours.stat().st_mtime_ns == before


def test_a_torn_last_line_is_no_event(tmp_path):
    home = made(tmp_path, 200)
    newest = segment_files(home.log())[-1]
    with newest.open("ab") as file:
        file.write(b'{"schema_version":1,"seq":')

    with answers(home, "calls") as source:
        assert len(places(source, ALL)) == len(events(home))


def test_what_was_deleted_on_the_record_is_not_shown(tmp_path):
    log = log_in(tmp_path)
    log.write(9, segment_bytes=2_000)
    with answers(log.home, "calls") as source:
        before = source.count(ALL)
    deleted = delete(log.home, [(2, 3)], "too-old")
    assert deleted.count == 2

    with answers(log.home, "calls") as source:
        assert not {2, 3} & set(places(source, ALL))
        assert source.count(ALL) == len(places(source, ALL)) == before - 2 + len(deleted.entries)
    file = sqlite3.connect(files_of(folder_of(log.home, "calls"))[0])
    assert file.execute("SELECT count(*) FROM e WHERE seq IN (2, 3)").fetchone() == (0,)
    file.close()


def test_readers_are_not_disturbed_by_the_feed(tmp_path):
    home = made(tmp_path, 1200)
    seen = []
    with subprocess.Popen([sys.executable, "-c", FEEDER, str(tmp_path)], stdout=PIPE) as feeder:
        assert feeder.stdout is not None
        feeder.stdout.readline()
        while feeder.poll() is None:
            seen.append(hot(home).count(ALL))

    assert seen == sorted(seen)
    assert hot(home).count(ALL) == len(events(home))


THAI = "\u0e17\u0e35\u0e48\u0e19\u0e35\u0e48 \u0e2f\u0e25\u0e2f \u0e3f100"
OTHER = "\u0e17\u0e33\u0e19\u0e32 \u0e81\u0eb1\u0e9a"


@pytest.mark.parametrize(
    "asked", ["\u0e17\u0e35\u0e48", "\u0e17", "\u0e35", "\u0e2f", "\u0e3f", "\u0e81\u0eb1\u0e9a", "\u0eb1"]
)
def test_words_of_scripts_without_blanks_are_counted_as_in_the_lines(tmp_path, asked):
    home = sealed(tmp_path, [line(seq, {"input_summary": text}) for seq, text in enumerate((THAI, OTHER, "100"))])
    question = Question(phrases=phrases_of(asked))

    with answers(home, "calls") as found:
        assert found.count(question) == scan(home).count(question) > 0
        assert places(found, question) == places(scan(home), question)
        assert not found.differing


def test_a_file_that_says_it_has_what_the_next_one_has_is_made_anew(tmp_path):
    home = made(tmp_path, 1_000)
    fed(home)
    first, *_ = files_of(folder_of(home, "calls"))
    harmed(first, "UPDATE m SET v = 100000000 WHERE k = 'end'")

    with answers(home, "calls") as found:
        assert found.count(ALL) == scan(home).count(ALL)
        assert places(found, ALL) == places(scan(home), ALL)


@pytest.mark.parametrize(
    "harm",
    [
        "DELETE FROM d",
        "UPDATE m SET v = 'x' WHERE k = 'end'",
        "UPDATE e SET risk_tier = 'x', latency_us = 'y'",
        "UPDATE e SET ts = 'z'",
        "UPDATE e SET ts = ts * 1000",
        "UPDATE e SET session_id = 1000000000, call_id = 1.5",
        "UPDATE d SET v = CAST(id AS BLOB)",
    ],
)
@pytest.mark.parametrize("by", ["user_id", "risk_tier", "call_id", "session_id", "day"])
def test_an_index_that_holds_what_no_event_says_is_one_clear_error(tmp_path, harm, by):
    home = made(tmp_path, 300)
    fed(home)
    for path in files_of(folder_of(home, "calls")):
        harmed(path, harm)

    for measure in ("count", "max"):
        grouping = Grouping(question=Question(since_us=1), by=(by,), measure=measure)
        with answers(home, "calls") as found:
            try:
                found.group(grouping)
            except OnRecordError as e:
                assert "delete it, and ask again" in str(e)  # noqa: PT017


def harmed(path, harm):
    file = sqlite3.connect(path)
    file.executescript(harm)
    file.close()


def test_a_log_in_which_a_place_comes_twice_is_answered_from_its_lines(tmp_path):
    home = sealed(tmp_path, [line(seq, {}) for seq in (0, 1, 1, 2)])

    with answers(home, "calls") as found:
        assert found.count(ALL) == scan(home).count(ALL)
        assert "the lines answer" in found.remarks[0]


HUGE = [
    {"latency_us": 2**63},
    {"latency_us": -(2**70)},
    {"timestamp": "no time"},
    {"timestamp": "0001-01-01T00:00:00+23:59"},
]


@pytest.mark.parametrize("fields", HUGE)
def test_a_line_that_no_recorder_wrote_is_no_reason_not_to_answer(tmp_path, fields):
    home = sealed(tmp_path, [line(0, {}), line(1, fields), line(2, {"latency_us": 5})])

    with answers(home, "calls") as found:
        assert found.count(ALL) == scan(home).count(ALL) == 4
        assert places(found, ALL) == places(scan(home), ALL)
    slowest = Grouping(question=ALL, by=("tool_name",), measure="max")
    for grouping in (slowest, Grouping(question=ALL, by=("day",))):
        with answers(home, "calls") as found:
            try:
                assert found.group(grouping)
            except OnRecordError as e:
                assert "is no" in str(e)  # noqa: PT017


def test_what_was_deleted_from_a_log_that_came_in_the_place_of_another_is_not_counted(tmp_path):
    log = log_in(tmp_path)
    log.write(9, segment_bytes=2_000)
    folder = folder_of(log.home, "calls")
    folder.mkdir(parents=True)
    (folder / "deleted").write_text("100000")  # as the index of a longer log has left it
    with answers(log.home, "calls") as source:
        before = source.count(ALL)
    deleted = delete(log.home, [(2, 3)], "too-old")

    with answers(log.home, "calls") as source:
        assert source.count(ALL) == before - 2 + len(deleted.entries)
