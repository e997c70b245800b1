# SPDX-License-Identifier: Apache-2.0
"""Opening a log after a crash, a loss or a rollback: what is mended, what is refused, and what is never lost."""

import hashlib
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.ledger.logs import Log, check_chain, child, entry, leaf_of, log_in, rechained, said

from onrecord.errors import LedgerRefused
from onrecord.event.redacted import own_fact

pytestmark = pytest.mark.requirement("D3")


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return log_in(tmp_path / "home")


class Snapshot:
    """The files of a log at one time, to go back to."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._files = {path: path.read_bytes() for path in self._paths() if path.is_file()}

    def _paths(self) -> list[Path]:
        return [*self._log.folder.path.rglob("*"), self._log.guard]

    def restore(self) -> None:
        for path in self._paths():
            if path.is_file() and path not in self._files:
                path.unlink()
        for path, data in self._files.items():
            if not path.exists() or path.read_bytes() != data:
                path.write_bytes(data)


def append_short(log: Log, count: int) -> None:
    """Append short entries that nobody signs."""
    ledger = log.open(wid="w")
    for _ in range(count):
        ledger.append(own_fact("heartbeat", event_id="e"))
    ledger.close()


def torn_files(log: Log) -> list[bytes]:
    return [path.read_bytes() for path in sorted(log.folder.torn.glob("*"))] if log.folder.torn.exists() else []


# Torn tails


def test_a_log_cut_at_any_byte_behind_its_signed_part_recovers_every_whole_line(log: Log) -> None:
    log.write(3)
    signed = log.file.stat().st_size
    append_short(log, 3)
    snapshot = Snapshot(log)
    data = log.file.read_bytes()
    for cut in range(signed, len(data) + 1):
        snapshot.restore()
        os.truncate(log.file, cut)
        whole = data[:cut].rfind(b"\n") + 1
        log.write(0, wid="next")
        lines = log.lines()
        assert log.file.read_bytes().startswith(data[:whole])
        torn = data[whole:cut]
        assert torn_files(log) == ([torn] if torn else [])
        added = [json.loads(line) for line in lines[data[:whole].count(b"\n") :]]
        assert [event["event_type"] for event in added] == (["log_recovered"] if torn else [])
        if torn:
            assert added[0]["detail"]["torn_bytes"] == len(torn)
            assert added[0]["detail"]["torn_sha256"] == hashlib.sha256(torn).hexdigest()
            assert (log.folder.path / added[0]["detail"]["kept_as"]).read_bytes() == torn
        check_chain(lines)
        report = log.verify()
        assert (report.verdict, report.signed, report.torn_bytes) == ("unanchored", len(lines), 0)


def test_a_log_cut_at_any_byte_of_its_first_line_still_opens_with_the_line_that_names_it(log: Log) -> None:
    ledger = log.open(wid="w")
    ledger.close()  # nobody signed the first line
    snapshot = Snapshot(log)
    data = log.file.read_bytes()
    for cut in range(len(data)):
        snapshot.restore()
        os.truncate(log.file, cut)
        log.write(0)
        expected = ["log_open", "log_recovered"] if cut else ["log_open"]
        assert [event["event_type"] for event in log.events()] == expected
        assert log.verify().verdict == "unanchored"


def test_a_torn_tail_is_set_aside_by_a_writer_that_is_already_there(log: Log) -> None:
    ledger = log.open(wid="w")
    ledger.append(entry())
    with log.file.open("ab") as file:
        file.write(b'{"schema_version":1,"seq":2,"prev')
    assert ledger.append(entry()).seq == 3
    ledger.publish()
    ledger.close()
    assert [event["event_type"] for event in log.events()][2:] == ["log_recovered", "tool_call"]
    assert torn_files(log) == [b'{"schema_version":1,"seq":2,"prev']
    check_chain(log.lines())
    assert log.verify().verdict == "unanchored"


def test_a_long_torn_tail_of_zeros_is_set_aside_too(log: Log) -> None:
    log.write(2)
    with log.file.open("ab") as file:
        file.write(bytes(3_000_000))  # as a file system leaves it that had made room in advance
    log.write(1)
    assert [event["event_type"] for event in log.events()][3:] == ["log_recovered", "tool_call"]
    assert torn_files(log) == [bytes(3_000_000)]
    assert log.verify().verdict == "unanchored"


def test_garbage_that_ends_like_a_line_is_refused_and_not_mended(log: Log) -> None:
    log.write(2)
    data = log.file.read_bytes()
    for garbage in (b"\n", b"not json\n", b"\xff\xfe\n", b"[" * 100_000 + b"\n", bytes(2_000_000) + b"\n"):
        log.file.write_bytes(data + garbage)
        with pytest.raises(LedgerRefused, match="altered"):
            log.open()
        assert log.file.read_bytes() == data + garbage
    assert torn_files(log) == []


def test_a_line_that_does_not_follow_is_refused_by_whoever_meets_it(log: Log) -> None:
    ledger = log.open()
    ledger.append(entry())
    with log.file.open("ab") as file:
        file.write(log.lines()[-1] + b"\n")
    with pytest.raises(LedgerRefused, match="altered"):
        ledger.append(entry())
    assert not ledger.usable
    with pytest.raises(LedgerRefused, match="altered"):
        ledger.again()
    ledger.close()


KILLED = """
import sys
from pathlib import Path
from tests.ledger.logs import entry, log_in
ledger = log_in(Path(sys.argv[1])).open(wid="killed")
while True:
    print(ledger.append(entry()).seq, flush=True)
"""


def test_what_a_killed_process_has_written_is_there_when_the_log_is_opened_again(log: Log) -> None:
    with child(KILLED, log.home.path) as process:
        for _ in range(49):
            said(process)
        last = int(said(process))
        process.send_signal(signal.SIGKILL)
        assert process.stdout is not None
        for line in process.stdout.read().splitlines(keepends=True):  # what it said between that and its end
            last = int(line) if line.endswith("\n") else last
    before = log.lines()
    assert len(before) >= last + 1
    log.write(1)
    assert log.lines()[: len(before)] == before
    check_chain(log.lines())
    report = log.verify()
    assert (report.verdict, report.entries) == ("unanchored", report.signed)


# Below what was signed


def test_a_log_cut_at_any_byte_of_its_signed_part_is_refused_and_left_as_it_is(log: Log) -> None:
    log.write(3)
    snapshot = Snapshot(log)
    data = log.file.read_bytes()
    last = data[:-1].rfind(b"\n") + 1
    for cut in [0, 1, 100, *range(last - 2, len(data))]:
        snapshot.restore()
        os.truncate(log.file, cut)
        with pytest.raises(LedgerRefused, match="rolled back"):
            log.open()
        assert log.file.read_bytes() == data[:cut]
        assert torn_files(log) == []


def test_a_line_of_the_signed_part_that_was_changed_is_refused_when_it_is_the_last(log: Log) -> None:
    log.write(3)
    data = log.file.read_bytes()
    log.file.write_bytes(data[:-3] + b"?" + data[-2:])
    with pytest.raises(LedgerRefused, match="altered"):
        log.open()


def test_a_deleted_log_is_refused_and_not_begun_anew(log: Log) -> None:
    log.write(3)
    log.file.unlink()
    with pytest.raises(LedgerRefused, match="rolled back"):
        log.open()
    assert not log.file.exists()
    log.guard.unlink()
    with pytest.raises(LedgerRefused, match="rolled back"):
        log.open()
    log.folder.checkpoint.unlink()
    with pytest.raises(LedgerRefused, match="rolled back"):  # the history knows
        log.open()


def test_an_older_copy_of_the_ledger_folder_is_refused_as_rolled_back(log: Log, tmp_path: Path) -> None:
    log.write(5)
    shutil.copytree(log.home.path / "ledger", tmp_path / "backup")
    log.write(5)
    shutil.rmtree(log.home.path / "ledger")
    shutil.copytree(tmp_path / "backup", log.home.path / "ledger")
    with pytest.raises(LedgerRefused, match=r"rolled back: .* holds 6 entries, and 11 had been written"):
        log.open()


def test_an_older_copy_with_a_torn_tail_is_refused_before_anything_is_written_to_it(log: Log, tmp_path: Path) -> None:
    log.write(5)
    shutil.copytree(log.home.path / "ledger", tmp_path / "backup")
    log.write(1)
    shutil.rmtree(log.home.path / "ledger")
    shutil.copytree(tmp_path / "backup", log.home.path / "ledger")
    with log.file.open("ab") as file:
        file.write(b"torn")
    before = log.file.read_bytes()
    with pytest.raises(LedgerRefused, match="rolled back"):  # the line of a recovery must not make up the number
        log.open()
    assert log.file.read_bytes() == before
    assert torn_files(log) == []


@pytest.mark.requirement("D2")
def test_lines_that_were_rewritten_behind_an_older_checkpoint_are_refused_and_never_signed(log: Log) -> None:
    log.write(5)
    old = Snapshot(log)
    log.write(5)
    guard, lines = log.guard.read_bytes(), log.lines()
    old.restore()
    log.guard.write_bytes(guard)  # all that the forger can't reach
    lines[8] = lines[8].replace(b"report-2", b"report-9")
    log.file.write_bytes(b"".join(line + b"\n" for line in rechained(lines)))
    with pytest.raises(LedgerRefused, match="forked"):
        log.open()


def test_a_tail_that_was_cut_with_its_guard_is_still_missed_by_the_history(log: Log) -> None:
    log.write(5)
    snapshot = Snapshot(log)
    log.write(5)
    history = log.folder.checkpoints.read_bytes()
    snapshot.restore()
    log.folder.checkpoints.write_bytes(history)
    log.guard.unlink()
    with pytest.raises(LedgerRefused, match="rolled back"):
        log.open()


# What can be made again


def derived(log: Log) -> list[Path]:
    return [log.folder.checkpoint, *sorted(path for path in (log.folder.path / "tile").rglob("*") if path.is_file())]


def delete(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble(path: Path) -> None:
    path.write_bytes(bytes(byte ^ 0x55 for byte in path.read_bytes()))


@pytest.mark.parametrize("harm", [delete, empty, halve, garble])
@pytest.mark.parametrize("count", [10, 300])
def test_each_derived_file_that_is_lost_or_garbled_is_made_again(
    log: Log, count: int, harm: Callable[[Path], None]
) -> None:
    log.write(count)
    snapshot = Snapshot(log)
    names = [path.relative_to(log.folder.path) for path in derived(log)]
    assert len(names) >= 2
    for path in derived(log):
        snapshot.restore()
        harm(path)
        log.write(1)
        check_chain(log.lines())
        report = log.verify()
        assert (report.verdict, report.entries) == ("unanchored", count + 2)
        assert log.checkpoint().size == count + 2


def test_tiles_and_checkpoint_may_all_be_lost_at_once(log: Log) -> None:
    log.write(600)
    before = {path: path.read_bytes() for path in derived(log)}
    shutil.rmtree(log.folder.path / "tile")
    log.folder.checkpoint.unlink()
    log.write(0)
    log.open().close()
    assert {path: path.read_bytes() for path in derived(log)} == before
    assert log.verify().verdict == "unanchored"


def test_a_guard_that_is_lost_comes_back_with_the_next_signature(log: Log) -> None:
    log.write(5)
    log.guard.unlink()
    log.write(1)
    assert json.loads(log.guard.read_bytes())["size"] == 7
    assert log.verify().verdict == "unanchored"


def test_a_guard_behind_its_checkpoint_is_no_alarm(log: Log) -> None:
    log.write(5)
    guard = log.guard.read_bytes()
    log.write(300)
    log.guard.write_bytes(guard)  # as a crash between the two leaves it
    log.write(1)
    log.guard.write_bytes(guard)
    shutil.rmtree(log.folder.path / "tile")
    log.write(1)
    assert log.verify().verdict == "unanchored"


@pytest.mark.parametrize(
    "text",
    [b"", b"{}", b"\xff", b"[" * 100_000, b'{"origin":"o","size":-1,"root":""}', b'{"origin":"o","size":1,"root":"?"}'],
)
def test_a_guard_that_cannot_be_read_is_refused(log: Log, text: bytes) -> None:
    log.write(5)
    log.guard.write_bytes(text)
    with pytest.raises(LedgerRefused, match="guard"):
        log.open()


def test_a_log_without_checkpoint_history_and_guard_is_refused(log: Log) -> None:
    log.write(5)
    log.folder.checkpoint.unlink()
    log.guard.unlink()
    snapshot = Snapshot(log)
    log.write(1)  # the history of signatures still speaks for the lines
    assert log.verify().verdict == "unanchored"
    snapshot.restore()
    log.folder.checkpoint.unlink(missing_ok=True)
    log.guard.unlink(missing_ok=True)
    log.folder.checkpoints.unlink()
    with pytest.raises(LedgerRefused, match="neither a checkpoint of ours nor a guard"):
        log.open()


def test_a_line_of_the_history_that_was_cut_off_costs_nothing_but_itself(log: Log) -> None:
    log.write(5)
    history = log.folder.checkpoints
    os.truncate(history, history.stat().st_size - 20)
    log.write(1)
    lines = history.read_bytes().splitlines()
    assert json.loads(lines[-1])["size"] == 7
    assert log.verify().verdict == "unanchored"


def test_a_beginning_that_was_broken_off_is_begun_again(log: Log) -> None:
    ledger = log.open()
    ledger.close()
    snapshot = Snapshot(log)
    for lost in ([log.file], [log.file, log.guard], [log.file, log.folder.checkpoint]):
        snapshot.restore()
        for path in lost:
            path.unlink()
        log.write(1)
        assert [event["event_type"] for event in log.events()] == ["log_open", "tool_call"]
        assert log.verify().verdict == "unanchored"


def test_a_foreign_checkpoint_without_lines_is_not_written_over(log: Log, tmp_path: Path) -> None:
    stranger = log_in(tmp_path / "stranger")
    stranger.write(5)
    log.folder.path.mkdir(parents=True)
    log.folder.checkpoint.write_bytes(stranger.folder.checkpoint.read_bytes())
    with pytest.raises(LedgerRefused, match="not ours"):
        log.open()


def test_opening_again_reads_the_end_of_the_log_and_not_the_rest(log: Log) -> None:
    log.write(600)
    data = log.file.read_bytes()
    log.file.write_bytes(b"?" * 1000 + data[1000:])  # what a verifier is there to find
    ledger = log.open()
    assert ledger.append(entry()).seq == 601
    ledger.close()
    before, line = log.lines()[-2:]
    assert json.loads(line)["prev_hash"] == leaf_of(before)


@pytest.mark.requirement("D2", "D3")
def test_a_log_that_is_gone_with_its_guard_is_not_begun_anew_under_the_same_key(log: Log) -> None:
    log.write(5)
    shutil.rmtree(log.folder.path)
    log.home.guard().unlink()

    with pytest.raises(LedgerRefused, match="rolled back"):
        log.open()


@pytest.mark.parametrize(
    "junk",
    [b"\n", b"\n\n\n", b"junk\n", b"x" * 200_000 + b"\n", b'{"size":1,"root":"","timestamp":"","note":"x"}\n', b"torn"],
    ids=["a blank line", "blank lines", "junk", "a long line", "a note by nobody", "a torn line"],
)
def test_what_others_write_behind_the_history_does_not_hide_what_was_signed_last(
    log: Log, tmp_path: Path, junk: bytes
) -> None:
    log.write(5)
    shutil.copytree(log.folder.path, tmp_path / "older")
    guard = log.guard.read_bytes()
    log.write(5)
    history = log.folder.checkpoints.read_bytes()
    shutil.rmtree(log.folder.path)
    shutil.copytree(tmp_path / "older", log.folder.path)
    log.guard.write_bytes(guard)  # the guard was rolled back too
    log.folder.checkpoints.write_bytes(history + junk)
    with pytest.raises(LedgerRefused, match="rolled back"):
        log.open()
