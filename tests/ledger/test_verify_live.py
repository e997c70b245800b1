# SPDX-License-Identifier: Apache-2.0
"""Verifying a log while others write to it: never a wrong verdict."""

from pathlib import Path

import pytest
from tests.ledger.logs import PATIENCE_S, Log, check_chain, child, entry, log_in, said

from onrecord.ledger.verify import verify

pytestmark = pytest.mark.requirement("D2")

WRITING = """
import sys, threading
from pathlib import Path
from tests.ledger.logs import entry, log_in
writer = log_in(Path(sys.argv[1])).writer(wid=sys.argv[2], deadline_s=30.0)
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
writer.append(entry())
print("writing", flush=True)
number = 0
while not stop.wait(0.001):
    ticket = writer.append(entry(number, size=number % 5 * 5000), ("written", "flushed", "signed")[number % 3])
    if number % 7 == 0:
        ticket.wait(30.0)
    number += 1
writer.close()
print("closed", flush=True)
"""


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return log_in(tmp_path / "home")


def test_a_log_that_grows_is_verified_as_it_stands(log: Log) -> None:
    with child(WRITING, log.home.path, "one") as one, child(WRITING, log.home.path, "two") as two:
        assert [said(one), said(two)] == ["writing", "writing"]
        verdicts: list[str] = []
        sizes: list[int] = []
        for _ in range(20):
            report = log.verify(wait_s=PATIENCE_S)
            verdicts.append(report.verdict)
            sizes.append(report.entries)
            assert report.signed == report.entries, report.reasons
        assert set(verdicts) == {"unanchored"}
        assert sizes == sorted(sizes)
        assert sizes[-1] > sizes[0]
        kept = log.checkpoint()
        assert log.verify(outside=[kept], wait_s=PATIENCE_S).verdict == "intact"
        for process in (one, two):
            assert process.stdin is not None
            process.stdin.close()
            assert said(process) == "closed"
    check_chain(log.lines())
    assert log.verify().verdict == "unanchored"


def test_a_log_of_a_moment_ago_is_waited_for(log: Log) -> None:
    ledger = log.open()
    ledger.append(entry())
    with child(WRITING, log.home.path, "one") as process:
        assert said(process) == "writing"
        assert log.verify(wait_s=PATIENCE_S).verdict == "unanchored"
    ledger.close()


def test_what_nobody_signs_is_unsigned_when_the_patience_is_over(log: Log) -> None:
    log.write(3)
    ledger = log.open()
    ledger.append(entry())
    report = log.verify(wait_s=0.1)
    assert (report.verdict, report.entries, report.signed, report.seqs) == ("unsigned", 5, 4, (4,))
    ledger.close()


def test_a_reader_without_patience_sees_a_signed_part_and_an_unsigned_tail_at_worst(log: Log) -> None:
    with child(WRITING, log.home.path, "one") as process:
        assert said(process) == "writing"
        for _ in range(50):
            report = verify(log.folder, [log.signer.vkey])
            assert report.verdict in ("unanchored", "unsigned")
            assert report.verdict == "unanchored" or report.seqs[0] == report.signed
