# SPDX-License-Identifier: Apache-2.0
"""Verifying: each attack on a log of several tiles, and the verdict that it gets."""

import json
import shutil
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ledger.copies import LAST, Copy, Original, copy_of, original_in
from tests.ledger.logs import Log, compact, entry, leaf_of, log_in, rechained, root_of

from onrecord.ledger.note import Checkpoint, open_checkpoint, sign_checkpoint
from onrecord.ledger.place import LogFolder
from onrecord.ledger.verify import verify

pytestmark = pytest.mark.requirement("D2")


@pytest.fixture(scope="module", params=[1, 2], ids=["one epoch", "two epochs"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Original:
    return original_in(tmp_path_factory.mktemp("original"), request.param)


@pytest.fixture
def copy(original: Original, tmp_path: Path) -> Copy:
    return copy_of(original, tmp_path / "copy")


# Well


def test_a_log_that_nobody_touched_is_unanchored_and_with_a_view_from_outside_intact(copy: Copy) -> None:
    alone = copy.verify()
    assert (alone.verdict, alone.entries, alone.signed, alone.seqs) == ("unanchored", LAST + 1, LAST + 1, ())
    assert alone.origin == copy.original.signer.name
    seen = copy.verify(outside=[copy.kept], guard=copy.guard)
    assert (seen.verdict, seen.seqs) == ("intact", ())


def test_an_older_view_from_outside_is_a_view_too(copy: Copy) -> None:
    lines = copy.lines()
    for size in (1, 256, 257, 600):
        view = Checkpoint(origin=copy.original.signer.name, size=size, root=root_of(lines[:size]))
        assert copy.verify(outside=[view]).verdict == "intact"


def test_a_view_of_the_empty_log_proves_nothing(copy: Copy) -> None:
    view = Checkpoint(origin=copy.original.signer.name, size=0, root=root_of([]))
    assert copy.verify(outside=[view]).verdict == "unanchored"


def test_the_guard_of_the_host_itself_is_no_view_from_outside(copy: Copy) -> None:
    assert copy.verify(guard=copy.guard).verdict == "unanchored"


def test_progress_is_told_in_bytes_up_to_the_last(copy: Copy) -> None:
    told: list[int] = []
    copy.verify(progress=told.append)
    assert told == sorted(told)
    assert len(told) > 1
    assert told[-1] == copy.file.stat().st_size


# Remarks


def test_a_torn_tail_is_no_entry_and_is_mentioned(copy: Copy) -> None:
    with copy.file.open("ab") as file:
        file.write(b'{"torn')
    report = copy.verify()
    assert (report.verdict, report.torn_bytes) == ("unanchored", 6)
    assert any("6 bytes after the last line feed" in reason for reason in report.reasons)


def test_a_torn_tail_of_any_length_is_read_in_bounded_memory(copy: Copy) -> None:
    with copy.file.open("ab") as file:
        file.truncate(copy.file.stat().st_size + 200_000_000)  # a hole: no room is taken
    tracemalloc.start()
    try:
        report = copy.verify()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (report.verdict, report.torn_bytes) == ("unanchored", 200_000_000)
    assert most < 30_000_000


def test_open_calls_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    log = log_in(tmp_path / "home")
    ledger = log.open()
    for call in ("a", "b", "c"):
        ledger.append(entry(call_id=call, phase="attempt"))
    ledger.append(entry(call_id="a", phase="result", result_status="succeeded"))
    ledger.publish()
    ledger.close()
    report = log.verify()
    assert report.open_calls == 2
    assert any("2 calls have no closing event yet, the first at entry 2" in reason for reason in report.reasons)


def test_a_server_that_runs_under_the_account_of_the_recorder_is_mentioned(tmp_path: Path) -> None:
    log = log_in(tmp_path / "home")
    ledger = log.open()
    ledger.append(entry(event_type="recorder_start", phase="", detail={"same_account": True}))
    ledger.publish()
    assert log.verify().same_account
    ledger.append(entry(event_type="recorder_start", phase="", detail={"same_account": False}))
    ledger.publish()
    ledger.close()
    assert not log.verify().same_account


def test_lines_of_a_later_version_are_verified_as_far_as_they_go(tmp_path: Path) -> None:
    """A reader of this version meets keys that it doesn't know: the hashes hold all the same."""
    log = log_in(tmp_path / "home")
    log.write(3)
    lines = log.lines()
    lines[2] = compact(json.loads(lines[2]) | {"schema_version": 2, "quantum_state": {"up": True}})
    lines = rechained(lines)
    log.file.write_bytes(b"".join(line + b"\n" for line in lines))
    checkpoint = Checkpoint(origin=log.signer.name, size=4, root=root_of(lines))
    log.folder.checkpoint.write_bytes(sign_checkpoint(checkpoint, log.signer))
    log.folder.checkpoints.unlink()
    assert verify(log.folder, [log.signer.vkey]).verdict == "unanchored"
    lines[2] = lines[2][:-1] + b',"quantum_state":1}'
    log.file.write_bytes(b"".join(line + b"\n" for line in rechained_raw(lines)))
    assert verify(log.folder, [log.signer.vkey]).seqs == (2,)


def rechained_raw(lines: list[bytes]) -> list[bytes]:
    return [*lines[:3], compact(json.loads(lines[3]) | {"prev_hash": leaf_of(lines[2])})]


# Any byte


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Log:
    log = log_in(tmp_path_factory.mktemp("small"))
    log.write(6)
    return log


@pytest.mark.parametrize("name", ["log", "checkpoint"])
def test_no_byte_can_be_changed_unseen(small: Log, tmp_path: Path, name: str) -> None:
    shutil.copytree(small.folder.path, tmp_path / "copy")
    folder = LogFolder(tmp_path / "copy")
    file = folder.first_segment if name == "log" else folder.checkpoint
    data = file.read_bytes()
    for at in range(len(data)):
        changed = data[at] ^ (1 + at % 255)
        file.write_bytes(data[:at] + bytes([changed]) + data[at + 1 :])
        for outside in ([], [small.checkpoint()]):
            report = verify(folder, [small.signer.vkey], outside=outside)
            assert report.verdict not in ("intact", "unanchored"), (at, changed)


@given(st.data())
def test_no_byte_can_be_changed_added_or_removed_unseen(
    small: Log, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = LogFolder(tmp_path_factory.mktemp("copy"))
    folder.segments.mkdir()
    originals = {folder.first_segment: small.file.read_bytes(), folder.checkpoint: small.folder.checkpoint.read_bytes()}
    target = data.draw(st.sampled_from(sorted(originals)))
    before = originals[target]
    at = data.draw(st.integers(0, len(before) - 1))
    how = data.draw(st.sampled_from(["change", "add", "remove"]))
    byte = data.draw(st.binary(min_size=1, max_size=1).filter(lambda byte: byte != before[at : at + 1]))
    after = {
        "change": before[:at] + byte + before[at + 1 :],
        "add": before[:at] + byte + before[at:],
        "remove": before[:at] + before[at + 1 :],
    }[how]
    for path, content in originals.items():
        path.write_bytes(after if path == target else content)
    report = verify(folder, [small.signer.vkey])
    assert report.verdict not in ("intact", "unanchored")


def test_the_checkpoint_that_is_compared_is_the_one_that_was_signed(small: Log) -> None:
    checkpoint = open_checkpoint(small.folder.checkpoint.read_bytes(), [small.signer.vkey])
    assert checkpoint.root == root_of(small.lines())
