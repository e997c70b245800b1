# SPDX-License-Identifier: Apache-2.0
"""Deleting lines: only what a signed entry names goes, the rest stays proven, and a crash costs nothing."""

import itertools
import json
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ledger.logs import PATIENCE_S, Log, child, entry, leaf_of, log_in, new_id

from onrecord.errors import LedgerError, LedgerRefused
from onrecord.event.redacted import deletion
from onrecord.ledger.deletions import without
from onrecord.ledger.keys import read_verifiers
from onrecord.ledger.lines import is_compressed, last_seq, lines_from, read_tombstone, segment_files
from onrecord.ledger.note import open_checkpoint
from onrecord.ledger.pruning import _merged, delete
from onrecord.ledger.rotation import rotate
from onrecord.ledger.signing import verifier_file
from onrecord.ledger.verify import verify

pytestmark = pytest.mark.requirement("D2")

SMALL = 4096  # bytes: some nine lines

KILLED = """
import os, signal, sys
from pathlib import Path
from onrecord.ledger.place import Home
from onrecord.ledger.pruning import delete
left = int(sys.argv[2])
def counted(call):
    def step(*arguments, **options):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return call(*arguments, **options)
    return step
for name in ("write", "replace", "fdatasync", "fsync", "unlink"):  # the world's edge: whatever reaches the disk
    setattr(os, name, counted(getattr(os, name)))
delete(Home(Path(sys.argv[1])), [(5, 30)], "after-a-year")
"""


@pytest.fixture
def log(tmp_path: Path) -> Log:
    log = log_in(tmp_path / "home")
    log.write(100, segment_bytes=SMALL)
    return log


def lines(log: Log) -> list[bytes]:
    return [line.data for line in lines_from(log.folder)]


def gone(log: Log) -> list[int]:
    return [seq for seq, line in enumerate(lines(log)) if read_tombstone(line)]


def deletions(log: Log) -> list[dict[str, Any]]:
    events = (json.loads(line) for line in lines(log))
    return [event for event in events if event.get("event_type") == "retention"]


def check(log: Log) -> None:
    keys = read_verifiers(str(verifier_file(log.home)))
    view = open_checkpoint(log.folder.checkpoint.read_bytes(), keys)
    report = verify(log.folder, keys, outside=[view])
    assert (report.verdict, report.deleted) == ("intact", len(gone(log))), report.reasons


def test_what_is_deleted_is_gone_from_the_disk_and_everything_else_stays_proven(log: Log) -> None:
    before = lines(log)
    done = delete(log.home, [(5, 7), (20, 20)], "after-a-year")
    assert (done.count, done.ranges, done.entries) == (4, ((5, 7), (20, 20)), (101,))
    (said,) = deletions(log)
    assert said["detail"] == {"ranges": [[5, 7], [20, 20]], "count": 4, "rule": "after-a-year"}
    assert gone(log) == [5, 6, 7, 20]
    after = lines(log)
    leaf = leaf_of(before[5])
    assert json.loads(after[5]) == {"seq": 5, "pruned": {"leaf": leaf, "rule": "after-a-year", "entry": 101}}
    assert [line for seq, line in enumerate(after[:101]) if seq not in (5, 6, 7, 20)] == [
        line for seq, line in enumerate(before) if seq not in (5, 6, 7, 20)
    ]
    files = [path.read_bytes() for path in log.home.path.rglob("*") if path.is_file()]
    event_id = json.loads(before[5])["event_id"].encode()
    assert not any(event_id in data for data in files)
    assert len(lines(log)) == last_seq(log.folder) + 1
    check(log)


def test_a_log_with_deleted_lines_goes_on_and_more_can_be_deleted(log: Log) -> None:
    delete(log.home, [(5, 12)], "one")
    log.write(30, segment_bytes=SMALL)
    assert delete(log.home, [(10, 15)], "two").ranges == ((13, 15),)
    rotate(log.home)
    assert delete(log.home, [(5, 15)], "three").count == 0
    assert gone(log) == list(range(5, 16))
    for path in (log.folder.path / "tile").rglob("*"):
        if path.is_file():
            path.unlink()
    log.folder.checkpoint.unlink()
    log.write(1)  # the tree is made again from what stands there
    check(log)


def test_whole_segments_may_go(log: Log) -> None:
    second, third = segment_files(log.folder)[1:3]
    first, last = int(second.name[:18]), int(third.name[:18]) - 1
    delete(log.home, [(first, last)], "all")
    assert gone(log) == list(range(first, last + 1))
    check(log)


def test_what_others_rest_on_stays_whatever_is_asked_for(log: Log) -> None:
    rotate(log.home)
    delete(log.home, [(3, 4)], "one")
    log.write(30, segment_bytes=SMALL)
    assert [event["seq"] for event in deletions(log)] == [102]
    done = delete(log.home, [(0, 105)], "everything")
    assert done.ranges == ((1, 2), (5, 100), (103, 105))  # how it began, the key, the first deletion
    check(log)


def test_what_is_not_sealed_is_refused_and_nothing_goes(log: Log) -> None:
    before = lines(log)
    with pytest.raises(LedgerError, match="entry 100 is not in a sealed segment"):
        delete(log.home, [(5, 7), (100, 100)], "one")
    assert lines(log) == before
    log.write(0)
    check(log)


@pytest.mark.parametrize("ranges", [[(7, 5)], [(-1, 3)]])
def test_what_is_no_range_is_refused(log: Log, ranges: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="no range"):
        delete(log.home, ranges, "one")
    with pytest.raises(ValueError, match="rule"):
        delete(log.home, [(5, 5)], "no\nrule")
    assert not gone(log)


def test_an_altered_log_is_not_tidied_up(log: Log) -> None:
    log.write(40, segment_bytes=SMALL)
    path = next(path for path in segment_files(log.folder) if not is_compressed(path))
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"read_file", b"send_mail", 1))
    path.chmod(0o400)
    with pytest.raises(LedgerRefused, match="altered"):
        delete(log.home, [(5, 7)], "one")
    assert not gone(log)


def test_ranges_beyond_a_line_are_said_in_several_entries(tmp_path: Path) -> None:
    log = log_in(tmp_path / "home")
    log.write(1500, segment_bytes=100_000)
    done = delete(log.home, [(seq, seq) for seq in range(2, 1400, 2)], "every-other")
    assert (done.count, len(done.entries)) == (699, 2)
    assert gone(log) == list(range(2, 1400, 2))
    check(log)


def test_a_recorder_that_lives_goes_on_beside_a_deletion(log: Log) -> None:
    living = log.open(segment_bytes=SMALL)
    for number in range(20):
        living.append(entry(number))
    delete(log.home, [(5, 90)], "one")
    for number in range(20):
        living.append(entry(number))
    living.publish()
    living.close()
    assert gone(log) == list(range(5, 91))
    check(log)


def test_a_deletion_that_is_killed_at_any_step_is_finished_by_the_next(tmp_path: Path) -> None:
    step = 0
    for step in itertools.count():
        log = log_in(tmp_path / str(step))
        log.write(60, segment_bytes=SMALL)
        before = lines(log)
        with child(KILLED, log.home.path, step) as process:
            process.wait(PATIENCE_S)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
        log.write(1)
        report = log.verify()
        assert report.verdict == "unanchored", report.reasons  # in between, too
        assert not gone(log) or deletions(log)
        assert [line for line in lines(log)[:61] if not read_tombstone(line)] == [
            line for seq, line in enumerate(before) if seq not in gone(log)
        ]
        delete(log.home, [(5, 30)], "after-a-year")
        assert gone(log) == list(range(5, 31))
        assert not [path for path in log.folder.segments.iterdir() if path.name.startswith(".")]
        check(log)
    assert step > 20


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 6)), max_size=8))
def test_what_a_deletion_entry_says_is_what_was_asked_for(spans: list[tuple[int, int]]) -> None:
    ranges = [(first, first + more) for first, more in spans]
    asked = {seq for first, last in ranges for seq in range(first, last + 1)}
    merged = _merged(ranges)
    assert [seq for first, last in merged for seq in range(first, last + 1)] == sorted(asked)
    kept = _merged([(3, 5), (8, 8), (20, 30)])
    left = [seq for first, last in without(merged, kept) for seq in range(first, last + 1)]
    assert left == sorted(asked - {3, 4, 5, 8, *range(20, 31)})


def test_the_entry_of_a_deletion_fits_a_line() -> None:
    ranges = [(10**17 + 2 * number, 10**17 + 2 * number) for number in range(600)]
    assert len(deletion(event_id=new_id(), ranges=ranges, rule="x" * 64).body) < 32_000
