# SPDX-License-Identifier: Apache-2.0
"""Group commit: a ticket means what it says, what nobody waits for happens all the same, and a broken log heals."""

import errno
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ledger.logs import Log, check_chain, child, entry, leaf_of, log_in, rechained, said, wait_for

from onrecord.errors import LedgerBusy, LedgerError, LedgerMoved, LedgerRefused, LedgerUnwritable
from onrecord.ledger import writer as writer_module
from onrecord.ledger.note import open_checkpoint
from onrecord.ledger.spool import SPOOL
from onrecord.ledger.writer import FLUSH_S, PUBLISH_S, RETRY_S, Durability, Writer

pytestmark = pytest.mark.requirement("D3")

BOUND_S = 20 * (FLUSH_S + PUBLISH_S)  # generous: the machine may be busy, the promise is that it happens


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return log_in(tmp_path / "home")


@pytest.fixture
def writer(log: Log) -> Iterator[Writer]:
    writer = log.writer()
    yield writer
    try:
        writer.close()
    except LedgerError:
        pass  # a test that breaks the log leaves it broken


def signed_size(log: Log) -> int:
    """Return how many entries the newest signature covers, by the history of signatures."""
    lines = log.folder.checkpoints.read_bytes().splitlines() if log.folder.checkpoints.exists() else []
    return json.loads(lines[-1])["size"] if lines else 0


# Tickets


def test_a_written_entry_is_in_the_file_when_append_returns(log: Log, writer: Writer) -> None:
    for number in range(20):
        ticket = writer.append(entry(number))
        assert json.loads(log.lines()[-1])["seq"] == ticket.receipt.seq == number + 1
        assert ticket.settled
        ticket.wait()


@pytest.mark.parametrize("durability", ["flushed", "signed"])
def test_a_ticket_is_not_settled_before_somebody_has_waited(writer: Writer, durability: Durability) -> None:
    ticket = writer.append(entry(), durability)
    assert not ticket.settled
    ticket.wait()


def test_a_flushed_or_signed_entry_is_on_the_device_when_the_wait_is_over(tmp_path: Path) -> None:
    syncs = tmp_path / "syncs"
    code = """
import os, sys
from pathlib import Path
from tests.ledger.logs import entry, log_in
log = log_in(Path(sys.argv[1]))
real = os.fdatasync
synced = {}
def fdatasync(fd):
    size = os.fstat(fd).st_size
    real(fd)
    synced[os.fstat(fd).st_ino] = size
os.fdatasync = fdatasync  # the world's edge: what the device was told
writer = log.writer()
for number in range(50):
    writer.append(entry(number), "flushed").wait()
    held = os.stat(log.file)
    assert synced[held.st_ino] == held.st_size
for number in range(50):
    writer.append(entry(number), "signed").wait()
    for path in (log.file, log.folder.checkpoints):
        held = os.stat(path)
        assert synced[held.st_ino] == held.st_size
writer.close()
print("well", flush=True)
"""
    with child(code, syncs) as process:
        assert said(process) == "well"


@pytest.mark.requirement("D2")
def test_a_signed_entry_is_covered_by_a_signature_when_the_wait_is_over(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "PUBLISH_S", 3600.0)  # it is signed for whoever waits, not when it is due
    writer = log.writer()
    for number in range(30):
        ticket = writer.append(entry(number), "signed")
        ticket.wait()
        assert signed_size(log) > ticket.receipt.seq
    writer.close()


def test_the_time_that_a_process_stands_still_is_not_the_disk_s(tmp_path: Path) -> None:
    code = """
import asyncio, os, sys, time
from pathlib import Path
from tests.ledger.logs import entry, log_in
from onrecord.ledger.looping import LoopWriter
log = log_in(Path(sys.argv[1]))
real = os.fdatasync
def fdatasync(fd):
    for _ in range(30):  # of which a pause takes one at most
        time.sleep(0.02)
    real(fd)
writer = log.writer()
writer.append(entry(), "flushed").wait()
os.fdatasync = fdatasync  # the world's edge: a device that takes its time
writer.deadline_s = 6.0
print("waiting", flush=True)
if sys.argv[2] == "thread":
    writer.append(entry(), "flushed").wait()
else:
    async def append():
        await LoopWriter(writer).append(entry(), "flushed")
    asyncio.run(append())
print("well", flush=True)
os.fdatasync = real
writer.deadline_s = 60.0
writer.close()
"""
    for way in ("thread", "loop"):
        with child(code, tmp_path / way, way) as process:
            assert said(process) == "waiting"
            time.sleep(0.2)
            process.send_signal(signal.SIGSTOP)
            time.sleep(6.5)  # longer than it would wait
            process.send_signal(signal.SIGCONT)
            assert said(process) == "well"


def test_one_flush_serves_many_who_wait(log: Log, writer: Writer) -> None:
    tickets = [writer.append(entry(number), "signed") for number in range(100)]
    for ticket in tickets:
        ticket.wait()
    assert len(log.folder.checkpoints.read_bytes().splitlines()) < 50


def test_sixty_four_appenders_at_once_all_get_what_they_asked_for(log: Log, writer: Writer) -> None:
    durabilities: tuple[Durability, ...] = ("written", "flushed", "signed")
    seqs: list[int] = []
    errors: list[LedgerError] = []

    def work(number: int) -> None:
        try:
            for round_number in range(10):
                durability = durabilities[(number + round_number) % 3]
                ticket = writer.append(entry(number), durability)
                ticket.wait(30.0)
                if durability == "signed":
                    assert signed_size(log) > ticket.receipt.seq
                seqs.append(ticket.receipt.seq)
        except LedgerError as e:
            errors.append(e)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    assert errors == []
    assert sorted(seqs) == list(range(1, 641))
    check_chain(log.lines())
    report = log.verify()
    assert (report.verdict, report.signed) == ("unanchored", 641)


# What nobody waits for


@pytest.mark.requirement("D2")
def test_what_nobody_waits_for_is_signed_and_published_soon(log: Log, writer: Writer) -> None:
    for _ in range(3):
        began = time.monotonic()
        seq = writer.append(entry()).receipt.seq
        wait_for(lambda: log.checkpoint().size > seq)  # noqa: B023 - called at once
        assert time.monotonic() - began < BOUND_S
        assert signed_size(log) > seq


def test_what_nobody_waits_for_is_flushed_soon_also_between_two_publications(tmp_path: Path) -> None:
    code = """
import os, sys, time
from pathlib import Path
from tests.ledger.logs import entry, log_in, wait_for
log = log_in(Path(sys.argv[1]))
real = os.fdatasync
synced = {}
def fdatasync(fd):
    size = os.fstat(fd).st_size
    real(fd)
    synced[os.fstat(fd).st_ino] = size
os.fdatasync = fdatasync
from onrecord.ledger import writer as module
module.PUBLISH_S = 3600.0  # from the first publication on only the flush is due
writer = log.writer()
writer.append(entry())
wait_for(lambda: log.checkpoint().size == 2)
for _ in range(5):
    writer.append(entry())
    held = os.stat(log.file)
    began = time.monotonic()
    wait_for(lambda: synced.get(held.st_ino, 0) >= held.st_size)
    assert time.monotonic() - began < 30.0
assert log.checkpoint().size == 2
writer.close()
print("well", flush=True)
"""
    with child(code, tmp_path / "home") as process:
        assert said(process) == "well"


def test_closing_makes_everything_durable_and_signed(log: Log) -> None:
    writer = log.writer()
    for number in range(100):
        writer.append(entry(number))
    writer.close()
    assert signed_size(log) == log.checkpoint().size == len(log.lines()) == 101
    with pytest.raises(LedgerError, match="closing"):
        writer.append(entry())
    writer.close()


def test_a_writer_that_was_never_used_writes_nothing(log: Log) -> None:
    log.writer().close()
    assert not log.folder.path.exists()


def test_two_writers_that_close_at_the_same_time_both_see_their_last_entry_signed(log: Log) -> None:
    for _ in range(10):
        writers = [log.writer(wid=f"w{number}") for number in range(4)]
        for each in writers:
            each.append(entry())
        errors: list[LedgerError] = []

        def close(writer: Writer, errors: list[LedgerError] = errors) -> None:
            try:
                writer.append(entry())
                writer.close()
            except LedgerError as e:
                errors.append(e)

        threads = [threading.Thread(target=close, args=(each,)) for each in writers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert signed_size(log) == len(log.lines())


def test_a_receipt_for_a_signed_entry_carries_the_checkpoint_that_covers_it(log: Log, writer: Writer) -> None:
    for durability in ("signed", "flushed"):
        ticket = writer.append(entry(), durability)
        ticket.wait()
        receipt = ticket.receipt
        assert leaf_of(log.lines()[receipt.seq]) == receipt.leaf.hex()
        if durability == "signed":
            assert open_checkpoint(receipt.note, [log.signer.vkey]).size > receipt.seq
        else:
            assert receipt.note == b""


# Failure and healing


@pytest.mark.requirement("D3")
def test_lines_whose_flush_failed_are_handed_to_the_device_anew_before_they_count(
    log: Log, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed flush may leave pages behind that count as clean: the next one would say yes to lost lines."""
    writer.append(entry(), "signed").wait()
    safe = log.file.stat().st_size
    failing = True
    written: list[tuple[int, bytes]] = []
    fdatasync, pwrite = os.fdatasync, os.pwrite

    def failing_sync(fd: int) -> None:  # the world's edge: a device that fails
        if failing and os.readlink(f"/proc/self/fd/{fd}") == str(log.file):
            raise OSError(errno.EIO, "i/o error")
        fdatasync(fd)

    def watched_write(fd: int, data: bytes, offset: int) -> int:
        if os.readlink(f"/proc/self/fd/{fd}") == str(log.file):
            written.append((offset, data))
        return pwrite(fd, data, offset)

    monkeypatch.setattr(os, "fdatasync", failing_sync)
    monkeypatch.setattr(os, "pwrite", watched_write)
    doubtful = writer.append(entry(event_id="doubtful"), "flushed")
    with pytest.raises(LedgerUnwritable):
        doubtful.wait()
    whole = log.file.read_bytes()
    failing = False
    time.sleep(RETRY_S)
    writer.append(entry(), "signed").wait()
    assert written == [(safe, whole[safe:])]
    assert b"doubtful" in whole[safe:]
    assert log.verify().verdict == "unanchored"


def test_what_nobody_foresaw_in_the_committing_thread_fails_those_who_wait_at_once_and_not_the_thread(
    log: Log, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.append(entry(), "flushed").wait()
    fdatasync = os.fdatasync

    def confused(fd: int) -> None:
        raise ValueError("what is this")

    monkeypatch.setattr(os, "fdatasync", confused)
    began = time.monotonic()
    with pytest.raises(LedgerError, match="cannot commit: ValueError"):
        writer.append(entry(), "flushed").wait(60.0)
    assert time.monotonic() - began < 30.0
    monkeypatch.setattr(os, "fdatasync", fdatasync)
    writer.append(entry(), "signed").wait(30.0)


def test_a_log_that_is_another_when_it_is_opened_again_is_refused(log: Log, writer: Writer) -> None:
    """Whoever writes knows what the log was, and is a witness of it: the guard and the signatures say nothing here."""
    writer.append(entry(), "signed").wait()
    for _ in range(3):
        writer.append(entry(), "written")
    lines = log.lines()
    forged = rechained([*lines[:-2], lines[-2].replace(b"read_file", b"delete_it"), lines[-1]])
    log.file.rename(log.home.path / "elsewhere")
    log.file.write_bytes(b"\n".join(forged) + b"\n")
    log.file.chmod(0o600)

    def refused() -> bool:
        try:
            writer.append(entry(), "flushed").wait()
        except LedgerError as e:
            return isinstance(e, LedgerRefused)  # forked, or rolled back where more was written to the old file
        return False

    wait_for(refused)


def test_a_log_that_was_taken_away_fails_those_who_wait_at_once(log: Log, writer: Writer) -> None:
    writer.append(entry(), "signed").wait()
    log.file.rename(log.home.path / "elsewhere")
    began = time.monotonic()
    with pytest.raises(LedgerMoved):
        writer.append(entry(), "flushed").wait(60.0)
    assert time.monotonic() - began < 30.0
    with pytest.raises(LedgerError):
        writer.append(entry())


def test_a_signature_that_cannot_be_written_fails_those_who_wait_for_it_at_once_and_nobody_else(
    log: Log, writer: Writer
) -> None:
    writer.append(entry(), "signed").wait()
    history = log.folder.checkpoints.rename(log.home.path / "history")
    log.folder.checkpoints.mkdir()
    flushed, signed = writer.append(entry(), "flushed"), writer.append(entry(), "signed")
    began = time.monotonic()
    with pytest.raises(LedgerUnwritable):
        signed.wait(60.0)
    flushed.wait(60.0)
    assert time.monotonic() - began < 40.0
    log.folder.checkpoints.rmdir()
    history.rename(log.folder.checkpoints)
    signed.wait()  # the entry itself was written all the while
    assert signed_size(log) > signed.receipt.seq


def test_a_rolled_back_log_keeps_being_refused(log: Log, writer: Writer) -> None:
    writer.append(entry(), "signed").wait()
    wait_for(lambda: log.checkpoint().size == 2)
    os.truncate(log.file, 0)
    with pytest.raises(LedgerMoved):
        writer.append(entry())
    reasons: list[str] = []
    while len(reasons) < 2:
        try:
            writer.append(entry())
        except LedgerRefused as e:
            reasons.append(str(e))
        except LedgerMoved:
            pass  # the ledger is opened anew at most once a second
    assert all("rolled back" in reason for reason in reasons)
    assert log.file.read_bytes() == b""


def test_a_broken_log_that_is_put_back_heals_and_what_was_spooled_comes_on_record(log: Log, writer: Writer) -> None:
    writer.append(entry(), "signed").wait()
    elsewhere = log.home.path / "elsewhere"
    log.file.rename(elsewhere)
    with pytest.raises(LedgerMoved):
        writer.append(entry(), "flushed").wait()
    for number in range(5):
        writer.spool(entry(event_id=f"spooled {number}"))
    assert writer.unwritten == 5
    elsewhere.rename(log.file)

    def appended() -> bool:
        try:
            writer.append(entry(event_id="after"), "signed").wait()
        except LedgerMoved:
            return False
        return True

    wait_for(appended)
    assert writer.unwritten == 0
    writer.close()
    events = log.events()
    (gap,) = [event["seq"] for event in events if event["event_type"] == "gap"]
    assert events[gap]["detail"] == {"entries_spooled": 5, "entries_lost": 0}
    assert [event["event_id"] for event in events[gap + 1 :]] == [*(f"spooled {n}" for n in range(5)), "after"]
    check_chain(log.lines())  # the count of the process goes on over the break
    assert log.verify().verdict == "unanchored"


def test_a_ticket_of_a_broken_log_is_never_honoured_by_the_one_that_follows(log: Log, writer: Writer) -> None:
    ticket = writer.append(entry(), "signed")
    wait_for(lambda: log.checkpoint().size == 2)
    late = writer.append(entry(), "signed")
    elsewhere = log.home.path / "elsewhere"
    log.file.rename(elsewhere)
    with pytest.raises(LedgerMoved):
        late.wait()
    elsewhere.rename(log.file)
    wait_for(lambda: _appends(writer))
    writer.append(entry(), "signed").wait()
    for each in (ticket, late):
        with pytest.raises(LedgerError):
            each.wait()


def _appends(writer: Writer) -> bool:
    try:
        writer.append(entry())
    except LedgerError:
        return False
    return True


def test_the_spool_is_bounded_and_what_it_could_not_hold_is_counted(log: Log, writer: Writer) -> None:
    for number in range(SPOOL + 7):
        writer.spool(entry(number))
    assert writer.unwritten == SPOOL + 7
    writer.append(entry(event_id="after"), "signed").wait()
    assert writer.unwritten == 0
    events = log.events()
    assert events[1]["event_type"] == "gap"
    assert events[1]["detail"] == {"entries_spooled": SPOOL, "entries_lost": 7}
    assert len(events) == 1 + 1 + SPOOL + 1
    assert events[-1]["event_id"] == "after"


def test_an_entry_that_no_line_can_hold_does_not_block_those_behind_it(log: Log, writer: Writer) -> None:
    writer.spool(entry(size=100_000))
    writer.spool(entry(event_id="behind"))
    writer.append(entry(), "signed").wait()
    assert [event["detail"] for event in log.events() if event["event_type"] == "gap"] == [
        {"entries_spooled": 1, "entries_lost": 1}
    ]
    assert "behind" in {event["event_id"] for event in log.events()}


def test_closing_puts_the_spool_on_record_if_it_can(log: Log) -> None:
    writer = log.writer()
    writer.spool(entry(event_id="spooled"))
    writer.close()
    assert writer.unwritten == 0
    assert [event["event_type"] for event in log.events()] == ["log_open", "gap", "tool_call"]
    assert signed_size(log) == 3


def test_a_lock_that_is_never_let_go_costs_each_appender_a_bounded_time(log: Log) -> None:
    writer = log.writer()
    writer.append(entry(), "signed").wait()
    writer.deadline_s = 1.0
    other = log.open()
    other._writer_lock.acquire(0.0)
    for number in range(3):
        writer.spool(entry(number))
    took: list[float] = []

    def work() -> None:
        began = time.monotonic()
        with pytest.raises(LedgerBusy):
            writer.append(entry()).wait(1.0)
        took.append(time.monotonic() - began)

    threads = [threading.Thread(target=work) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other._writer_lock.release()
    assert len(took) == 40
    assert max(took) < 20.0  # not one deadline after the other
    writer.deadline_s = 30.0
    writer.append(entry()).wait()
    writer.close()
    other.close()
    assert writer.unwritten == 0
    check_chain(log.lines())


def test_a_log_that_cannot_be_opened_costs_each_appender_a_bounded_time(log: Log) -> None:
    holder = log.open()
    holder._writer_lock.acquire(0.0)
    writer = log.writer(deadline_s=3.0)  # longer than the pause between two attempts
    took: list[float] = []

    def work() -> None:
        began = time.monotonic()
        with pytest.raises(LedgerBusy):
            writer.append(entry())
        took.append(time.monotonic() - began)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(took) < 15.0  # eight attempts one after the other would take 24 s
    holder._writer_lock.release()
    holder.close()
    wait_for(lambda: _appends(writer))
    writer.close()
