# SPDX-License-Identifier: Apache-2.0
"""Tasks of an event loop append as a group, and each learns what became of its own entry."""

import asyncio
import os
from pathlib import Path

import pytest
from tests.ledger.logs import Log, check_chain, entry, leaf_of, log_in

from onrecord.errors import LedgerBusy, LedgerError, LedgerMoved
from onrecord.ledger.appending import Durability
from onrecord.ledger.looping import LoopWriter
from onrecord.ledger.note import open_checkpoint

pytestmark = pytest.mark.requirement("D3")


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return log_in(tmp_path / "home")


async def test_each_task_gets_the_receipt_of_its_own_entry_and_one_turn_is_one_group(log: Log) -> None:
    writer = log.writer()
    appender = LoopWriter(writer)
    receipts = await asyncio.gather(*(appender.append(entry(event_id=f"e{number}"), "flushed") for number in range(50)))
    lines = log.lines()
    check_chain(lines)
    for number, receipt in enumerate(receipts):
        assert f'"event_id":"e{number}"'.encode() in lines[receipt.seq]
        assert leaf_of(lines[receipt.seq]) == receipt.leaf.hex()
    assert [receipt.seq for receipt in receipts] == list(range(1, 51))
    writer.close()


async def test_tasks_that_ask_for_more_and_for_less_share_a_group(log: Log) -> None:
    writer = log.writer()
    appender = LoopWriter(writer)
    asked: list[Durability] = ["written", "signed", "flushed", "signed", "written"]
    receipts = await asyncio.gather(*(appender.append(entry(), durability) for durability in asked))
    for durability, receipt in zip(asked, receipts, strict=True):
        if durability == "signed":
            assert open_checkpoint(receipt.note, [log.signer.vkey]).size > receipt.seq
    writer.close()
    assert log.verify().verdict == "unanchored"


async def test_an_entry_that_no_line_can_hold_fails_alone(log: Log) -> None:
    writer = log.writer()
    appender = LoopWriter(writer)
    done = await asyncio.gather(
        appender.append(entry(), "flushed"),
        appender.append(entry(size=40_000), "flushed"),
        appender.append(entry(), "flushed"),
        return_exceptions=True,
    )
    assert [isinstance(one, LedgerError) for one in done] == [False, True, False]
    writer.close()


async def test_a_log_that_was_cut_fails_everybody_who_waits(log: Log) -> None:
    writer = log.writer()
    appender = LoopWriter(writer)
    await appender.append(entry(), "signed")
    os.truncate(log.file, 10)
    done = await asyncio.gather(*(appender.append(entry(), "flushed") for _ in range(5)), return_exceptions=True)
    assert all(isinstance(one, LedgerMoved) for one in done)
    with pytest.raises(LedgerError):
        writer.close()


async def test_a_device_that_stands_still_is_given_up_by_the_deadline_and_the_loop_goes_on(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    writer = log.writer(deadline_s=6.0)
    appender = LoopWriter(writer)
    await appender.append(entry(), "flushed")
    stuck = threading.Event()
    fdatasync = os.fdatasync

    def slow(fd: int) -> None:  # the world's edge: a device that does not answer
        stuck.wait(60.0)
        fdatasync(fd)

    monkeypatch.setattr(os, "fdatasync", slow)
    turns = 0
    waiting = asyncio.ensure_future(appender.append(entry(), "flushed"))
    while not waiting.done():
        await asyncio.sleep(0.01)
        turns += 1
    with pytest.raises(LedgerBusy):
        await waiting
    assert 10 < turns < 2_000
    stuck.set()
    monkeypatch.undo()
    writer.deadline_s = 60.0
    writer.close()


async def test_a_task_that_is_gone_takes_nothing_with_it(log: Log) -> None:
    writer = log.writer()
    appender = LoopWriter(writer)
    gone = asyncio.ensure_future(appender.append(entry(event_id="gone"), "flushed"))
    stays = asyncio.ensure_future(appender.append(entry(), "flushed"))
    await asyncio.sleep(0)
    gone.cancel()
    await stays
    assert b'"gone"' in log.file.read_bytes()
    writer.close()
