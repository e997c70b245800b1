# SPDX-License-Identifier: Apache-2.0
"""The history of signatures: thinned as it grows, read in bounded memory, and what a verifier needs stays."""

import json
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ledger.logs import Log, compact, entry, log_in

from onrecord.ledger.history import NEWEST, Said, read_history, thin, to_keep
from onrecord.ledger.keys import read_keys, read_verifiers
from onrecord.ledger.rotation import rotate
from onrecord.ledger.signing import verifier_file
from onrecord.ledger.verify import verify

pytestmark = pytest.mark.requirement("D2")


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return log_in(tmp_path / "home")


def sign_often(log: Log, count: int) -> None:
    ledger = Log(log.home, read_keys(log.home).signer).open()
    for number in range(count):
        ledger.append(entry(number))
        ledger.sign()
    ledger.publish()
    ledger.close()


def verdict(log: Log) -> str:
    return verify(log.folder, read_verifiers(str(verifier_file(log.home)))).verdict


def sizes(log: Log) -> list[int]:
    return [json.loads(line)["size"] for line in log.folder.checkpoints.read_bytes().splitlines()]


def test_a_long_history_is_thinned_and_the_log_still_verifies(log: Log) -> None:
    for _ in range(3):
        sign_often(log, 900)
        rotate(log.home)
    sign_often(log, 10)
    before = sizes(log)
    thin(log.folder)
    assert sizes(log) == before  # it is not long yet
    thin(log.folder, limit=100_000)
    after = sizes(log)
    assert len(before) > 2700
    assert NEWEST < len(after) < NEWEST + 500
    assert after[-NEWEST:] == before[-NEWEST:]
    ends = [event["seq"] + 1 for event in log.events() if event.get("action") == "rotate"]
    assert [after.count(end) for end in ends] == [2, 2, 2]  # closed by the old key, opened by the new one
    assert verdict(log) == "unanchored"
    sign_often(log, 10)
    assert sizes(log)[: len(after)] == after
    assert verdict(log) == "unanchored"


def test_the_writer_thins_by_itself(log: Log) -> None:
    log.write(1)
    (line,) = log.folder.checkpoints.read_bytes().splitlines(keepends=True)[-1:]
    log.folder.checkpoints.write_bytes(line * (9 * 1024 * 1024 // len(line)))
    log.write(1)
    assert log.folder.checkpoints.stat().st_size < 1024 * 1024
    assert verdict(log) == "unanchored"


@given(st.lists(st.tuples(st.integers(0, 4000), st.booleans()), min_size=1, max_size=200), st.integers(1, 4))
def test_what_stays_is_little_and_spread_over_the_whole_past(steps: list[tuple[int, bool]], times: int) -> None:
    said: list[Said] = []
    size, signer = 1, 0
    for step, rotated in steps * 20:
        size += step
        signer += rotated and step % 50 == 0
        said.append(Said(size, b"", bytes([signer % 256]), b"", len(said)))
    kept = said
    for _ in range(times):
        kept = list(to_keep(kept, len(kept), kept[-1].size))
    rotations = sum(one.signer != other.signer for one, other in pairwise(said))
    assert len(kept) <= NEWEST + 128 * size.bit_length() + 2 * rotations + 2
    assert kept[-1] == said[-1]
    assert kept[0] == said[0]
    assert {(one.size, one.signer) for one in kept} >= {
        (one.size, one.signer) for one, other in pairwise(said) if one.signer != other.signer
    }


def test_a_history_is_read_in_bounded_memory_whatever_is_in_it(log: Log) -> None:
    sign_often(log, 300)
    (line,) = log.folder.checkpoints.read_bytes().splitlines(keepends=True)[-1:]
    forged = compact(json.loads(line) | {"size": 7, "note": "nothing", "root": json.loads(line)["root"]}) + b"\n"
    with log.folder.checkpoints.open("ab") as file:
        for _ in range(50):
            file.write(forged * 2000)
            file.write(line * 1000)
    assert log.folder.checkpoints.stat().st_size > 25_000_000
    tracemalloc.start()
    try:
        assert verdict(log) == "unanchored"
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 100_000_000  # and one that is longer than MAX_HISTORY is refused


def test_a_line_that_was_cut_off_costs_no_signature_before_or_after_it(log: Log) -> None:
    sign_often(log, 3)
    data = log.folder.checkpoints.read_bytes()
    log.folder.checkpoints.write_bytes(data[:-40])
    sign_often(log, 2)
    assert [said.size for said in read_history(log.folder.checkpoints)] == [2, 3, 5, 6]
    assert verdict(log) == "unanchored"
