# SPDX-License-Identifier: Apache-2.0
"""None is missed and none is doubled: whenever what looks for them dies, and whatever becomes of what it remembers."""

import random
import shutil
import sqlite3
import subprocess
import sys

import pytest
from tests.ledger.logs import ROOT
from tests.views.signalled import DAY, RULES, Record, attempt, of, other, result
from tests.views.test_cold import line, sealed
from tests.views.test_signals import DENIED, LOUD, ordinary_weeks, some_weeks, times

from onrecord.errors import LedgerBusy, LedgerFull, OnRecordError
from onrecord.ledger.entries import entries_at
from onrecord.views.answers import Answers
from onrecord.views.incident.gathering import Asked, Source, gather
from onrecord.views.scan import Scan
from onrecord.views.signals.evaluation import Evaluation
from onrecord.views.signals.queue import items_in
from onrecord.views.signals.state import folder_of

pytestmark = pytest.mark.requirement("E5")

LOOK = """
import signal, sys
from pathlib import Path
from tests.views.signalled import Record
from tests.views.test_signals import LOUD
batch = int(sys.argv[2])
signal.setitimer(signal.ITIMER_REAL, float(sys.argv[3]))  # the kernel then ends it, wherever it is
record = Record(Path(sys.argv[1]))
record.found(rules=LOUD, batch=batch)
print("ended", flush=True)
"""


def ids(record):
    return sorted(event.event_id for event in record.findings())


class Dies(Exception):
    """Stands for the death of a process at one point."""


def dying(record, batch, dies):
    """Look at what is new, and die where `dies` says so: before findings are written, or before that is noted."""

    def put(events):
        if dies():
            raise Dies
        record.put(events)
        if dies():
            raise Dies

    with Evaluation(record.home, LOUD, put, batch=batch) as evaluation:
        for _ in evaluation.run(0):
            if dies():
                raise Dies


@pytest.mark.parametrize("seed", range(6))
def test_wherever_it_dies_each_finding_is_there_once_in_the_end(tmp_path_factory, seed):
    home, _, expected = whole(tmp_path_factory)
    record, chance, deaths = Record(home.path), random.Random(seed), 0
    while True:
        try:
            dying(record, chance.choice([1, 3, 20, 100]), lambda: chance.random() < 0.4)
            break
        except Dies:
            deaths += 1
    assert deaths > 2
    assert ids(record) == expected


def whole(factory):
    """Return a home with all of the log of some weeks, its lines, and what is found in them."""
    home, lines, expected = some_weeks(factory)
    home.log().first_segment.write_bytes(b"".join(line + b"\n" for line in lines))
    return home, lines, expected


def test_killed_at_any_moment_it_goes_on_where_it_was(tmp_path_factory):
    home, _, expected = whole(tmp_path_factory)
    chance, killed = random.Random(7), 0
    for _ in range(12):
        batch, ends_s = chance.choice([1, 2]), 0.001 + chance.random() * 0.02  # of some tenths that it takes
        child = subprocess.Popen(
            [sys.executable, "-c", LOOK, str(home.path), str(batch), str(ends_s)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert child.stdout is not None
        with child:
            rest = child.stdout.read()
        killed += not rest
        if rest:
            break
    assert killed > 2
    record = Record(home.path)
    record.found(rules=LOUD)
    assert ids(record) == expected


def test_what_it_remembers_can_be_deleted_or_spoilt_and_nothing_is_found_anew(tmp_path):
    record = Record(tmp_path)
    record.write(ordinary_weeks(60, random.Random(3)))
    first = record.found(rules=LOUD)
    assert first
    state = folder_of(record.home) / "state.sqlite"
    for harm in (state.unlink, lambda: state.write_bytes(b"no database" * 1000), lambda: state.write_bytes(b"")):
        harm()
        assert record.found(rules=LOUD) == []
    assert len(ids(record)) == len(set(ids(record))) == len(first)


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE place SET next = 'x'",
        "UPDATE place SET known = 'x'",
        "UPDATE kept SET value = 'zz'",
        "UPDATE kept SET value = '[]'",
        'UPDATE kept SET value = \'["a","b","c","d","e","f"]\'',
        "UPDATE kept SET until = 'z'",
    ],
)
def test_what_it_remembers_that_makes_no_sense_is_one_clear_error(tmp_path, harm):
    record = Record(tmp_path)
    record.write(ordinary_weeks(60, random.Random(3)))
    before = [finding.id for finding in record.found(rules=LOUD)]
    spoilt(record, harm)
    record.write(ordinary_weeks(30, random.Random(4)))

    with pytest.raises(OnRecordError, match="delete the folder signals, and ask again"):
        record.found(rules=LOUD)

    shutil.rmtree(folder_of(record.home))
    record.found(rules=LOUD)
    assert all(ids(record).count(finding) == 1 for finding in before)


@pytest.mark.parametrize("harm", ["next = 0, digest = ''", "next = 1", "next = -9", "known = 1000000, next = 0"])
def test_a_place_that_was_moved_finds_nothing_twice(tmp_path, harm):
    record = Record(tmp_path)
    record.write(ordinary_weeks(60, random.Random(3)))
    record.found(rules=LOUD)
    spoilt(record, f"UPDATE place SET {harm}")

    assert record.found(rules=LOUD) == []
    assert len(ids(record)) == len(set(ids(record)))


def spoilt(record, harm):
    file = sqlite3.connect(folder_of(record.home) / "state.sqlite")
    file.executescript(harm)
    file.close()


def test_another_log_in_its_place_is_looked_at_from_its_beginning(tmp_path):
    record = Record(tmp_path)
    record.write(times(9, {**attempt(), **DENIED}))
    assert of("denied-burst", record.found())
    another = Record(tmp_path / "another")
    another.write([*times(20, attempt()), (500, result(error_type="approval_mismatch"))])
    shutil.rmtree(record.home.log().path)
    another.home.log().path.rename(record.home.log().path)
    (found,) = record.found()
    assert found.rule.id == "approval-mismatch"


def test_nothing_is_passed_over_while_findings_cannot_be_written(tmp_path):
    record = Record(tmp_path)
    record.write([(0, result(error_type="approval_mismatch"))])

    def full(_events):
        raise LedgerFull("no room")

    with Evaluation(record.home, LOUD, full) as evaluation, pytest.raises(LedgerFull):
        list(evaluation.run(0))
    (found,) = record.found(rules=LOUD)
    assert found.rule.id == "approval-mismatch"


def test_one_process_looks_at_a_time(tmp_path):
    record = Record(tmp_path)
    record.write([(0, attempt())])
    with Evaluation(record.home, LOUD, record.put), pytest.raises(LedgerBusy):
        record.found()


def test_no_rule_looks_at_findings_or_at_what_is_said_about_them(tmp_path):
    record = Record(tmp_path)
    record.write([(0, other("security", action="ledger_alarm"))], "security")
    (found,) = record.found()
    record.write([(1, other("security", action="closed", detail={"finding": found.id}))], "security")
    assert record.found() == []
    assert [item.state for item in items_in(record.home.log("security")).values()] == ["closed"]


def test_a_finding_says_where_its_last_event_stands(tmp_path):
    record = Record(tmp_path)
    ids = record.write(times(5, {**attempt(), **DENIED}))
    (found,) = of("denied-burst", record.found())
    (line,) = entries_at(record.home.log(), [found.seq]).values()
    assert ids[-1].encode() in line


@pytest.mark.parametrize("time", ["garbage", "", "9999-99-99T00:00:00Z"])
def test_a_line_without_a_time_does_not_keep_rules_from_what_comes_after_it(tmp_path, time):
    home = sealed(
        tmp_path,
        [line(0, {}), line(1, {"timestamp": time}), line(2, {"phase": "result", "error_type": "approval_mismatch"})],
    )

    with Evaluation(home, RULES, lambda _: None) as evaluation:
        found = [finding for some in evaluation.run(0) for finding in some]

    assert of("approval-mismatch", found)


@pytest.mark.requirement("E2")
def test_a_finding_that_was_made_days_after_leads_to_what_it_is_about(tmp_path):
    record = Record(tmp_path)
    record.write([(0, result("pay", error_type="approval_mismatch")), (3 * DAY, attempt())])
    (found,) = record.found()
    logs = {name: record.home.log(name) for name in ("calls", "security")}
    sources = [Source(ledger="", log=name, answers=Answers(folder, [Scan(folder)])) for name, folder in logs.items()]

    gathered = gather(sources, Asked(which=found.id))

    assert gathered is not None
    assert {one.event.tool_name for one in gathered.seen if one.log == "calls"} == {"pay"}
