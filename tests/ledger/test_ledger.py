# SPDX-License-Identifier: Apache-2.0
"""Appending: one chain, whoever writes, however many at once."""

import json
import os
import shutil
import stat
import subprocess
import threading
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ledger.logs import Log, check_chain, child, compact, entry, leaf_of, log_in, root_of, root_text, said

from onrecord.errors import LedgerBusy, LedgerError, LedgerRefused
from onrecord.event.event import Event, encode
from onrecord.event.redacted import Redacted
from onrecord.ledger.keys import open_keys
from onrecord.ledger.lines import MAX_LINE
from onrecord.ledger.note import Checkpoint, sign_checkpoint
from onrecord.ledger.place import Home

pytestmark = pytest.mark.requirement("D1")

APPENDER = """
import sys
from pathlib import Path
from tests.ledger.logs import entry, log_in
ledger = log_in(Path(sys.argv[1])).open(wid=sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    ledger.append(entry(number, size=number % 3 * 3000), deadline_s=30.0)
    if number % 25 == 0:
        ledger.publish(deadline_s=30.0)
ledger.publish(deadline_s=30.0)
print("done", flush=True)
"""


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return log_in(tmp_path / "home")


# What a line is


def test_each_line_is_one_json_object_that_carries_the_hash_of_the_line_before(log: Log) -> None:
    log.write(20)
    lines = log.lines()
    assert len(lines) == 21
    events = [json.loads(line) for line in lines]
    assert all(isinstance(event, dict) for event in events)
    assert events[0]["prev_hash"] == "0" * 64
    for (before, _), (_, event) in pairwise(zip(lines, events, strict=True)):
        assert event["prev_hash"] == leaf_of(before)
    check_chain(lines)


def test_jq_reads_the_log_as_it_is(log: Log) -> None:
    log.write(20)
    jq = shutil.which("jq")
    if jq is None:
        pytest.xfail("jq is not at hand; the same question is asked of the json module in the test above")
    asked = subprocess.run([jq, "-r", 'select(.phase == "attempt") | .seq', log.file], capture_output=True, text=True)
    assert asked.stdout.split() == [str(seq) for seq in range(1, 21)]


def test_a_log_opens_with_a_line_that_names_it_and_its_key(log: Log) -> None:
    log.write(0)
    (opening,) = log.events()
    assert opening["event_type"] == "log_open"
    assert opening["detail"] == {"origin": log.signer.name, "vkey": str(log.signer.vkey), "format": 1}


def test_a_receipt_says_where_the_entry_stands_and_what_its_hash_is(log: Log) -> None:
    ledger = log.open()
    receipts = [ledger.append(entry(number)) for number in range(5)]
    ledger.close()
    assert [receipt.seq for receipt in receipts] == [1, 2, 3, 4, 5]
    assert [receipt.leaf.hex() for receipt in receipts] == [leaf_of(line) for line in log.lines()[1:]]


@given(
    ext=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs"])),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
            max_leaves=8,
        ),
        max_size=4,
    )
)
def test_whatever_a_product_adds_to_an_event_the_line_reads_back_and_verifies(
    tmp_path_factory: pytest.TempPathFactory, ext: dict[str, object]
) -> None:
    log = log_in(tmp_path_factory.mktemp("home"))
    ledger = log.open()
    ledger.append(entry(ext=ext))
    ledger.publish()
    ledger.close()
    assert log.verify().verdict == "unanchored"
    assert "\n" not in log.lines()[1].decode()


def test_an_entry_that_no_line_can_hold_is_refused_and_nothing_of_it_remains(log: Log) -> None:
    ledger = log.open()
    ledger.append(entry(size=MAX_LINE - 2048))
    with pytest.raises(LedgerError, match="longer than a line may be"):
        ledger.append(entry(size=MAX_LINE))
    ledger.append(entry())
    ledger.close()
    assert [event["wseq"] for event in log.events()] == [0, 1, 2]
    assert all(len(line) <= MAX_LINE for line in log.lines())


def test_an_event_that_claims_a_place_of_its_own_is_never_written() -> None:
    event = Event(event_id="x", seq=7)
    with pytest.raises(ValueError, match="the ledger sets"):
        Redacted(event, encode(event))


# Time


def test_timestamps_never_decrease_when_the_clock_jumps_back(log: Log) -> None:
    times = iter([5_000_000, 9_000_000, 2_000_000, 2_000_001, 8_999_999, 9_000_000, 9_000_001, 10_000_000])
    clock = 1_700_000_000_000_000
    ledger = log.open(clock=lambda: clock)
    written: list[str] = []
    for clock_us in times:
        clock = clock_us
        ledger.append(entry())
        written.append(json.loads(log.lines()[-1])["timestamp"])
    ledger.close()
    assert set(written) == {"2023-11-14T22:13:20.000000Z"}
    check_chain(log.lines())


def test_a_process_whose_clock_is_behind_does_not_take_the_log_back_in_time(log: Log) -> None:
    ahead = log.open(clock=lambda: 1_800_000_000_000_000)
    behind = log.open(clock=lambda: 1_700_000_000_000_000)
    ahead.append(entry())
    behind.append(entry())
    ahead.close()
    behind.close()
    late = log.open(clock=lambda: 1_600_000_000_000_000)
    late.append(entry())
    late.close()
    assert {event["timestamp"] for event in log.events()} == {"2027-01-15T08:00:00.000000Z"}


def test_a_timestamp_is_utc_with_microseconds(log: Log) -> None:
    ledger = log.open(clock=lambda: 1_700_000_000_000_042)
    ledger.append(entry())
    ledger.close()
    assert log.events()[-1]["timestamp"] == "2023-11-14T22:13:20.000042Z"


# Files


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_files_and_folders_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        log = log_in(tmp_path / "home")
        log.write(300)
        with log.file.open("ab") as file:
            file.write(b'{"torn')
        log.write(1)
    finally:
        os.umask(old)
    found = [log.home.path, *log.home.path.rglob("*")]
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in found}
    assert len(found) > 20
    assert {path: mode for path, mode in modes.items() if mode != (0o700 if path.is_dir() else 0o600)} == {}


def test_nothing_but_what_is_named_lies_in_the_home_afterwards(log: Log) -> None:
    log.write(10)
    top = {path.name for path in log.home.path.iterdir()}
    assert top == {"keys", "ledger", "guard"}
    assert {path.name for path in log.folder.path.iterdir()} == {
        "log",
        "tile",
        "checkpoint",
        "checkpoints.ndjson",
        "writer.lock",
        "publish.lock",
    }


# Many at once


def test_threads_that_share_a_ledger_keep_one_chain(log: Log) -> None:
    ledger = log.open(wid="shared")
    seqs: list[int] = []

    def append() -> None:
        for number in range(100):
            seqs.append(ledger.append(entry(number), deadline_s=30.0).seq)  # noqa: PERF401 - two may be here at once

    threads = [threading.Thread(target=append) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.publish()
    ledger.close()
    assert sorted(seqs) == list(range(1, 801))
    check_chain(log.lines())
    assert log.verify().verdict == "unanchored"


def test_threads_that_sign_at_the_same_time_sign_one_tree(log: Log) -> None:
    ledger = log.open()
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(40):
                ledger.append(entry(), deadline_s=30.0)
                if number % 2:
                    ledger.publish(deadline_s=30.0)
                else:
                    ledger.sign(deadline_s=30.0)
        except LedgerError as e:
            errors.append(e)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.publish()
    ledger.close()
    assert errors == []
    assert log.checkpoint().size == 161
    assert log.verify().verdict == "unanchored"


@pytest.mark.requirement("D3")
def test_six_processes_that_append_at_once_keep_one_chain_and_count_without_gaps(log: Log) -> None:
    wids = [f"writer{number}" for number in range(6)]
    children = [child(APPENDER, log.home.path, wid, 150) for wid in wids]
    processes = [each.__enter__() for each in children]
    try:
        assert [said(process) for process in processes] == ["ready"] * 6
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        assert [said(process) for process in processes] == ["done"] * 6
    finally:
        for each in children:
            each.__exit__(None, None, None)
    check_chain(log.lines())
    by_wid = {wid: [event["wseq"] for event in log.events() if event["wid"] == wid] for wid in wids}
    opened = log.events()[0]["wid"]
    assert {wid: len(found) - (wid == opened) for wid, found in by_wid.items()} == dict.fromkeys(wids, 150)
    assert all(found == list(range(len(found))) for found in by_wid.values())
    report = log.verify()
    assert (report.verdict, report.entries, report.signed) == ("unanchored", 901, 901)


def test_two_ledgers_of_one_log_see_each_others_lines(log: Log) -> None:
    one, other = log.open(wid="one"), log.open(wid="other")
    assert [ledger.append(entry()).seq for ledger in (one, other, other, one)] == [1, 2, 3, 4]
    assert one.publish() == 5
    assert other.publish() == 5
    one.close()
    other.close()
    check_chain(log.lines())


# The tree


@pytest.mark.requirement("D2")
@pytest.mark.parametrize("count", [0, 1, 2, 254, 255, 256, 300])
def test_the_signed_root_is_that_of_the_lines(log: Log, count: int) -> None:
    log.write(count)
    checkpoint = log.checkpoint()
    assert (checkpoint.origin, checkpoint.size) == (log.signer.name, count + 1)
    assert checkpoint.root == root_of(log.lines())


@pytest.mark.requirement("D2")
def test_a_log_is_signed_before_its_first_line(log: Log) -> None:
    ledger = log.open()
    assert log.checkpoint().size == 0
    assert log.checkpoint().root == root_of([])
    ledger.close()


@pytest.mark.requirement("D2")
def test_the_history_of_signatures_never_goes_back(log: Log) -> None:
    one, other = log.open(), log.open()
    for number in range(10):
        one.append(entry())
        (one if number % 2 else other).sign()
        other.append(entry())
        (other if number % 3 else one).publish()
    one.close()
    other.close()
    sizes = [json.loads(line)["size"] for line in log.folder.checkpoints.read_bytes().splitlines()]
    assert sizes == sorted(sizes)
    assert sizes[-1] == log.checkpoint().size == 21


@pytest.mark.requirement("D2")
@pytest.mark.parametrize("act", ["sign", "publish"])
def test_a_process_that_is_overtaken_while_it_flushes_reads_on_before_it_signs(
    log: Log, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    one, other = log.open(), log.open()
    one.append(entry())
    real, overtaken = os.fdatasync, False

    def fdatasync(fd: int) -> None:  # the world's edge: a device that takes its time
        nonlocal overtaken
        real(fd)
        if not overtaken:
            overtaken = True
            other.append(entry())
            other.sign()
            other.publish()

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    assert getattr(one, act)() == 3
    monkeypatch.undo()
    one.publish()
    one.close()
    other.close()
    sizes = [json.loads(line)["size"] for line in log.folder.checkpoints.read_bytes().splitlines()]
    assert sizes == sorted(sizes)
    assert log.checkpoint().size == 3
    assert log.verify().verdict == "unanchored"


@pytest.mark.requirement("D2")
def test_a_signature_by_somebody_else_with_our_key_over_another_tree_stops_the_signing(log: Log) -> None:
    ledger = log.open()
    ledger.append(entry())
    ledger.publish()
    ledger.append(entry())
    forged = sign_checkpoint(Checkpoint(origin=log.signer.name, size=3, root=bytes(32)), log.signer)
    log.folder.checkpoint.write_bytes(forged)
    history = {"size": 3, "root": root_text(bytes(32)), "timestamp": "", "note": forged.decode()}
    with log.folder.checkpoints.open("ab") as file:
        file.write(compact(history) + b"\n")
    for act in (ledger.sign, ledger.publish):
        with pytest.raises(LedgerRefused, match="forked"):
            act()
    assert log.folder.checkpoint.read_bytes() == forged
    ledger.close()


# Opening again


def test_a_log_that_is_opened_again_goes_on(log: Log) -> None:
    for count in (3, 300, 0, 1):
        log.write(count)
    assert len(log.lines()) == 305
    assert [event["event_type"] for event in log.events()].count("log_open") == 1
    check_chain(log.lines())
    assert log.verify().verdict == "unanchored"


def test_a_ledger_that_is_opened_anew_goes_on_with_its_count(log: Log) -> None:
    ledger = log.open(wid="me")
    ledger.append(entry())
    ledger.close()
    successor = ledger.again()
    successor.append(entry())
    successor.close()
    assert [(event["wid"], event["wseq"]) for event in log.events()] == [("me", 0), ("me", 1), ("me", 2)]


def test_a_closed_ledger_takes_nothing_more_and_can_be_closed_twice(log: Log) -> None:
    ledger = log.open()
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerError, match="closed"):
        ledger.append(entry())
    with pytest.raises(LedgerError, match="closed"):
        ledger.flush()


def test_the_log_of_another_key_is_refused(log: Log, tmp_path: Path) -> None:
    log.write(3)
    stranger = open_keys(Home(tmp_path / "stranger"))[0].signer
    with pytest.raises(LedgerRefused, match="belongs to another log"):
        Log(log.home, stranger).open()
    log.guard.unlink()
    with pytest.raises(LedgerRefused, match="the right key"):
        Log(log.home, stranger).open()
    log.write(1)


def test_another_process_that_holds_the_lock_is_waited_for_no_longer_than_the_deadline(log: Log) -> None:
    ledger, other = log.open(), log.open()
    other._writer_lock.acquire(0.0)
    for refused in (lambda: ledger.append(entry(), deadline_s=0.1), lambda: log.open(deadline_s=0.1)):
        with pytest.raises(LedgerBusy, match="does not let go"):
            refused()
    other._writer_lock.release()
    ledger.append(entry())
    ledger.close()
    other.close()
    check_chain(log.lines())
