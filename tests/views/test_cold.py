# SPDX-License-Identifier: Apache-2.0
"""The Parquet files of sealed segments: the same answers as the lines give, whatever stands on those."""

import json
import os
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ledger.logs import child, log_in, said
from tests.views.logs import events, made, places, questions, scan

from onrecord.event.event import encode
from onrecord.event.schema import read_event
from onrecord.ledger.clock import parse_time
from onrecord.ledger.frames import FRAME_LINES, compress
from onrecord.ledger.lines import segment_files, whole_lines
from onrecord.ledger.place import Home, segment_name
from onrecord.ledger.pruning import delete
from onrecord.ledger.sealing import compress_sealed
from onrecord.views.answers import Answers
from onrecord.views.cold.duck import Cold
from onrecord.views.cold.parquet import cold_folder, make_parts, parts_of
from onrecord.views.columns import BY_NAME, value_of
from onrecord.views.index.layout import IDS, files_of, first_of, folder_of
from onrecord.views.question import FILTERS, Condition, Grouping, Listing, Question
from onrecord.views.scan import Scan
from onrecord.views.tiers import Wide, answers
from onrecord.views.words import Phrase, words_of

pytest.importorskip("duckdb")
ALL = Question()


def cold(home: Home) -> tuple[Cold, Scan]:
    """Return what the files of a log answer, and what the lines in them do."""
    make_parts(home, "calls")
    parts = parts_of(home, "calls")
    return Cold(parts), Scan(home.log(), parts[0].begin, parts[-1].end)


@pytest.fixture(scope="module")
def weeks(tmp_path_factory):
    home = made(tmp_path_factory.mktemp("weeks"), 1500)
    index, lines = cold(home)
    return home, events(home), Answers(home.log(), [index]), Answers(home.log(), [lines]), index, lines


@pytest.mark.requirement("E1")
@settings(max_examples=100)
@given(st.data())
def test_the_files_and_the_lines_give_the_same_answers(weeks, data):
    _, those, files, lines, *_ = weeks
    question = data.draw(questions(those))
    oldest_first = data.draw(st.booleans())

    found = places(lines, question, oldest_first=oldest_first)

    assert places(files, question, oldest_first=oldest_first) == found
    assert files.count(question) == lines.count(question) == len(found)
    assert not files.differing


@settings(max_examples=60)
@given(st.data())
def test_groups_are_the_same_too(weeks, data):
    _, those, files, lines, index, _ = weeks
    grouping = Grouping(
        question=data.draw(questions(those)),
        by=tuple(data.draw(st.lists(st.sampled_from([*FILTERS, "day", "hour"]), max_size=2, unique=True))),
        measure=data.draw(st.sampled_from(["count", "p50", "p95", "max"])),
        limit=data.draw(st.integers(1, 20)),
    )

    expected = lines.group(grouping)

    assert files.group(grouping) == expected
    assert index.largest(grouping, []) == expected


def test_every_column_says_what_the_lines_say(weeks):
    *_, index, scanned = weeks
    names = tuple(BY_NAME)

    assert list(index.rows(ALL, names)) == list(scanned.rows(ALL, names))


def sealed(path, lines: list[bytes]) -> Home:
    """Return a home with a log of `lines`, all but the last in a sealed segment."""
    home = Home(path)
    folder = home.log().segments
    folder.mkdir(parents=True)
    frames = [
        b"".join(line + b"\n" for line in lines[at : at + FRAME_LINES]) for at in range(0, len(lines), FRAME_LINES)
    ]
    (folder / f"{segment_name(0)}.zst").write_bytes(b"".join(compress(frames)))
    (folder / segment_name(len(lines))).write_bytes(line(len(lines), {}) + b"\n")
    return home


def line(seq: int, fields: dict, **options) -> bytes:
    """Return a line as somebody might have written it, whose fields are in any order."""
    event = {
        "schema_version": 1,
        "seq": seq,
        "prev_hash": "0" * 64,
        "timestamp": f"2026-11-21T09:00:{seq % 60:02d}.000001Z",
        "wid": "w",
        "wseq": seq,
        "event_id": f"01a20063-f42b-7820-883f-{seq:012x}",
        "event_type": "tool_call",
        **fields,
    }
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"), **options).encode()


ODD = [
    {},
    {"output_type": ["te\x01xt", 'a"b', "\x1b[31m", "\x7f", "\b\f\n", "/"], "phase": "attempt"},
    {"detail": {"n": 2**70, "m": -(2**63), "f": 1e16, "g": 0.1, "h": 1.0, "z": None, "l": [1, {"y": [True]}]}},
    {"detail": {"n": 2**53 - 1, "text": "é\u2028</script>"}, "ext": {"org.example": "ü"}},
    {"input_summary": "Überweisung an São Paulo, 患者の記録, straße \u212a"},
    {"input_summary": "nul \x00 in it", "tool_name": "a\x00b"},
    {"input_summary": "x" * 70 + " Short (WORDS)", "output_summary": "_under_score_ -9"},
    {"tool_name": "", "round": 0, "late": False, "arg_keys": [], "detail": {}, "error_type": "e'; DROP TABLE e; --"},
    {"late": True, "trace_propagated": True, "output_sanitised": False, "approval_execution_match": True},
    {"timestamp": "2026-11-21T11:00:00+02:00"},
    {"timestamp": "2026-11-21T09:00:00Z"},
    {"event_id": "mine", "call_id": "CALL-1", "trace_id": "ABCDEF", "span_id": "abc", "session_id": "x" * 36},
    {"event_id": "01A20063-F42B-7820-883F-000000000001", "call_id": "01A20063-F42B-7820-883F-C0E970DA3366"},
    {"event_id": "00000000-0000-7000-8000-000000000000", "call_id": "01a20063f42b7820883fc0e970da3366"},
    {"event_id": "ffffffff-ffff-ffff-ffff-ffffffffffff", "call_id": "{01a20063-f42b-7820-883f-c0e970da3366}"},
    {"call_id": "01a20063-f42b-7820-883f-c0e970da3366", "trace_id": "01a20063f42b7820883fc0e970da3366"},
    {"latency_us": 2**62, "risk_tier": 4, "input_size": 0},
    {"schema_version": 2, "of_the_future": {"a": 1}},
    {"value_tags": [], "suspicious_signals": ["instructions"]},
    {"input_summary": "\u00a0ที่นี่ \u0e3f100 ฯลฯ \u0e81\u0eb1\u0e9a\u3000", "tool_name": "\u2003a"},
]  # fmt: skip


@pytest.fixture(scope="module", params=["as written", "with blanks", "with a line that nobody can read"])
def odd(request, tmp_path_factory):
    lines = [line(seq, fields) for seq, fields in enumerate(ODD)]
    if request.param == "with blanks":
        lines = [json.dumps(json.loads(each)).encode() for each in lines]
    if request.param == "with a line that nobody can read":
        lines.append(b'{"schema_version":1,"seq":%d,"event_id":"\\ud800","event_type":"tool_call"}' % len(lines))
        lines.append(b'{"schema_version":1,"seq":%d,"event_id":"\xff","event_type":"tool_call"}' % len(lines))
    lines.append(b'{"seq":%d,"pruned":{"leaf":"%s","rule":"r","entry":99}}' % (len(lines), b"0" * 64))
    return cold(sealed(tmp_path_factory.mktemp("odd"), lines))


def test_odd_lines_are_in_the_files_as_they_are_on_the_record(odd):
    index, scanned = odd
    names = tuple(BY_NAME)

    found = list(index.rows(ALL, names))

    assert found == list(scanned.rows(ALL, names))
    assert len(found) == len(ODD)


@pytest.mark.parametrize("name", FILTERS)
def test_odd_values_are_found(odd, name):
    index, scanned = odd
    said = {value_of(read_event(line(0, fields)), BY_NAME[name]) for fields in ODD} - {None}

    for values in [(), *[(value,) for value in said], tuple(said) or ("none",)]:
        listing = Listing(question=Question(conditions=(Condition(column=name, values=values),)))
        assert list(index.find(listing)) == list(scanned.find(listing))


def test_odd_words_are_found(odd):
    index, scanned = odd
    words = {word for fields in ODD for value in fields.values() if isinstance(value, str) for word in words_of(value)}

    for word in words:
        for phrase in (Phrase(words=(word,)), Phrase(words=(word[:2],), prefix=True), Phrase(words=("short", word))):
            question = Question(phrases=(phrase,))
            assert index.count(question) == scanned.count(question)


_TEXTS = st.text(st.characters(codec="utf-8"), max_size=30)
_SAID = st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS


@settings(max_examples=12)
@given(st.data())
def test_any_text_is_in_the_files_as_it_is_on_the_record(tmp_path_factory, data):
    fields = st.fixed_dictionaries(
        {},
        optional={
            "call_id": _TEXTS | st.uuids().map(str),
            "trace_id": _TEXTS | st.from_regex(r"[0-9a-f]{0,32}\Z"),
            "event_id": _TEXTS | st.uuids().map(str),
            "tool_name": _TEXTS,
            "input_summary": _TEXTS,
            "arg_keys": st.lists(_TEXTS, max_size=2),
            "detail": st.dictionaries(_TEXTS, _SAID, max_size=2),
            "latency_us": st.integers(0, 2**63 - 1),
        },
    )  # fmt: skip
    lines = [line(seq, each) for seq, each in enumerate(data.draw(st.lists(fields, min_size=1, max_size=40)))]
    if data.draw(st.booleans()):
        lines = [encode(read_event(each)) for each in lines]
    index, scanned = cold(sealed(tmp_path_factory.mktemp("any"), lines))
    names = tuple(BY_NAME)

    assert list(index.rows(ALL, names)) == list(scanned.rows(ALL, names))
    word = data.draw(_TEXTS.filter(words_of))
    for prefix in (False, True):
        question = Question(phrases=(Phrase(words=tuple(words_of(word)), prefix=prefix),))
        assert index.count(question) == scanned.count(question)


# the tiers

NARROWEST = Wide(rows=1, days=0)


@pytest.fixture(scope="module")
def tiered(tmp_path_factory):
    """A log of which some segments are in Parquet files, one is not compressed, and the newest is open."""
    home = made(tmp_path_factory.mktemp("tiered"), 1200, days=30)
    path = segment_files(home.log())[-3]
    plain = b"".join(each.data + b"\n" for each in whole_lines(path))
    path.unlink()
    path.with_suffix("").write_bytes(plain)
    return home, events(home), scan(home)


def asked(those: list, data) -> Question:
    """Questions that the hot index alone would not answer quickest."""
    question = data.draw(questions(those))
    kept = tuple(each for each in question.conditions if each.column not in ("user_id", "resource", *IDS))
    return Question(conditions=kept, since_us=question.since_us, until_us=question.until_us)


@pytest.mark.requirement("E1")
@settings(max_examples=60)
@given(st.data())
def test_the_tiers_together_answer_as_the_lines_do(tiered, data):
    home, those, lines = tiered
    question = asked(those, data)
    grouping = Grouping(
        question=question,
        by=tuple(data.draw(st.lists(st.sampled_from([*FILTERS, "day", "hour"]), max_size=2, unique=True))),
        measure=data.draw(st.sampled_from(["count", "p50", "p95", "max"])),
        limit=data.draw(st.integers(1, 20)),
    )

    with answers(home, "calls", wide=NARROWEST) as source:
        assert source.count(question) == lines.count(question)
        assert source.group(grouping) == lines.group(grouping)
        assert places(source, question) == places(lines, question)
        assert not source.remarks


def test_long_spans_come_from_the_files_and_single_events_do_not(tmp_path):
    home = made(tmp_path, 400)
    with answers(home, "calls", wide=Wide(rows=100)) as source:
        source.count(Question(conditions=(Condition(column="user_id", values=("u_1",)),)))
        assert not cold_folder(home, "calls").exists()
        source.count(ALL)
    assert len(parts_of(home, "calls")) == len(segment_files(home.log())) - 1


def test_only_the_files_of_the_span_that_is_asked_for_are_made(tmp_path):
    home = made(tmp_path, 400)
    those = events(home)
    question = Question(since_us=parse_time(those[100].timestamp), until_us=parse_time(those[200].timestamp))

    with answers(home, "calls", wide=NARROWEST) as source:
        assert source.count(question) == 100
    files = parts_of(home, "calls")
    assert 0 < len(files) < len(segment_files(home.log())) - 1
    assert files[0].begin <= 100
    assert files[-1].end >= 200


@pytest.mark.requirement("A7")
def test_what_was_deleted_on_the_record_is_in_no_file(tmp_path):
    log = log_in(tmp_path)
    for _ in range(3):
        log.write(9, segment_bytes=2_000)
    compress_sealed(log.folder, log.checkpoint().size)
    with answers(log.home, "calls", wide=NARROWEST) as source:
        before = source.count(ALL)
    files = {part.begin: part.path.read_bytes() for part in parts_of(log.home, "calls")}
    deleted = delete(log.home, [(2, 3)], "too-old")
    assert deleted.count == 2

    with answers(log.home, "calls", wide=NARROWEST) as source:
        assert not any(path.read_bytes() == files[0] for path in cold_folder(log.home, "calls").glob("*.parquet"))
        assert source.count(ALL) == scan(log.home).count(ALL) == before - 2 + len(deleted.entries)
        grouping = Grouping(question=ALL, by=("event_type",))
        assert source.group(grouping) == scan(log.home).group(grouping)


@pytest.mark.parametrize(
    "harm", ["emptied", "cut", "overwritten", "overwritten, and as old as before", "gone", "half made"]
)
def test_damaged_files_never_give_a_wrong_answer(tmp_path, harm):
    home = made(tmp_path, 400)
    make_parts(home, "calls")
    path = parts_of(home, "calls")[1].path
    data, about = path.read_bytes(), path.stat()
    match harm:
        case "emptied":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(data[: len(data) // 2])
        case "gone":
            path.unlink()
        case "half made":
            path.rename(path.with_name(f".{path.name}"))
            (path.parent / ".make-1").mkdir()
        case _:
            path.write_bytes(os.urandom(len(data)))
            if harm.endswith("before"):
                os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    grouping = Grouping(question=ALL, by=("tool_name",))

    for _ in range(2):
        with answers(home, "calls", wide=NARROWEST) as source:
            assert source.count(ALL) == scan(home).count(ALL)
            assert source.group(grouping) == scan(home).group(grouping)
            assert bool(source.remarks) == harm.endswith("before")
        harm = "mended"
    assert not list(path.parent.glob(".*"))


def test_where_no_file_can_be_made_the_others_answer_and_it_is_said(tmp_path):
    home = made(tmp_path, 400)
    cold_folder(home, "calls").parent.mkdir(parents=True)
    cold_folder(home, "calls").write_bytes(b"no folder")

    with answers(home, "calls", wide=NARROWEST) as source:
        assert source.count(ALL) == scan(home).count(ALL)
        assert source.remarks


MAKER = """
import sys
from pathlib import Path
from onrecord.ledger.place import Home
from onrecord.views.cold.parquet import make_parts
make_parts(Home(Path(sys.argv[1])), "calls", told=lambda seq: print(seq, flush=True), deadline_s=60)
"""


def test_two_that_make_files_at_once_do_not_disturb_each_other_nor_does_one_that_dies(tmp_path):
    home = made(tmp_path, 600)
    with child(MAKER, tmp_path) as one, child(MAKER, tmp_path) as other:
        assert said(one) or said(other)
        one.kill()
        other.wait(60)

    assert len(parts_of(home, "calls")) == len(segment_files(home.log())) - 1
    assert cold(home)[0].count(ALL) == cold(home)[1].count(ALL)


@settings(max_examples=30)
@given(st.data())
def test_what_is_older_than_the_index_comes_from_the_files(tiered, data):
    home, those, lines = tiered
    newest = parse_time(those[-300].timestamp)
    question = data.draw(questions(those))
    shutil.rmtree(folder_of(home, "calls"), ignore_errors=True)

    with answers(home, "calls", since_us=newest, wide=Wide(rows=100)) as source:
        assert places(source, question) == places(lines, question)
        assert list(source.rows(question, ("call_id", "tool_name"))) == list(
            lines.rows(question, ("call_id", "tool_name"))
        )
        assert not source.remarks
    assert first_of(files_of(folder_of(home, "calls"))[0]) > 0
