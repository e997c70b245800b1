# SPDX-License-Identifier: Apache-2.0
"""Segments: how they end, how they are compressed, and how a log goes on across them."""

import errno
import itertools
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.ledger.logs import Log, check_chain, child, entry, log_in, new_id, said, wait_for

from onrecord.errors import LedgerError, LedgerMoved, LedgerRefused, NotVerified
from onrecord.ledger import frames, sealing, segment
from onrecord.ledger.lines import lines_from, offset_of, segment_files, whole_lines
from onrecord.ledger.segment import RESERVE
from onrecord.ledger.writer import Writer

DAY_US = 24 * 60 * 60 * 1_000_000
SMALL = 4096  # bytes: some nine lines


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return log_in(tmp_path / "home")


def all_lines(log: Log) -> list[bytes]:
    return [line.data for line in lines_from(log.folder)]


def names(log: Log) -> list[str]:
    return sorted(path.name for path in log.folder.segments.iterdir())


@pytest.mark.requirement("D1")
def test_a_full_segment_ends_and_the_chain_goes_on_in_the_next(log: Log) -> None:
    log.write(100, segment_bytes=SMALL)
    files = segment_files(log.folder)
    assert len(files) > 8
    assert all(path.stat().st_size >= SMALL for path in files[:-1])
    lines = all_lines(log)
    check_chain(lines)
    assert len(lines) == 101
    seq = 0
    for path in files:
        assert int(path.name[:18]) == seq
        seq += len(list(whole_lines(path)))
    report = log.verify()
    assert (report.verdict, report.entries, report.signed) == ("unanchored", 101, 101)


def test_a_segment_ends_with_the_utc_day(log: Log) -> None:
    times = itertools.count(20 * DAY_US - 3_000_000, 1_000_000)
    log.write(6, clock=lambda: next(times))
    days = [[line.data[:200] for line in whole_lines(path)] for path in segment_files(log.folder)]
    assert len(days) == 2
    assert all(b'"timestamp":"1970-01-20T' in line for line in days[0])
    assert all(b'"timestamp":"1970-01-21T' in line for line in days[1])


def test_sealed_segments_are_read_only_and_lie_on_the_device_before_the_next_exists(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync = os.fsync

    def watched(fd: int) -> None:
        done.append(os.readlink(f"/proc/self/fd/{fd}"))
        fsync(fd)

    ledger = log.open(segment_bytes=SMALL)
    monkeypatch.setattr(os, "fsync", watched)
    for number in range(12):
        ledger.append(entry(number))
    first, second = segment_files(log.folder)
    assert first.stat().st_mode & 0o777 == 0o400
    assert second.stat().st_mode & 0o777 == 0o600
    assert done == [str(first), str(first.parent)]
    ledger.close()


def test_many_processes_and_threads_write_across_segments(log: Log) -> None:
    log.write(1)
    code = """
import sys, threading
from pathlib import Path
from tests.ledger.logs import entry, log_in
log = log_in(Path(sys.argv[1]))
ledger = log.open(wid=sys.argv[2], segment_bytes=4096)
def work():
    for number in range(25):
        ledger.append(entry(number))
        if number % 9 == 0:
            ledger.publish(deadline_s=20.0)
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
ledger.close()
print("done", flush=True)
"""
    with (
        child(code, log.home.path, "a") as a,
        child(code, log.home.path, "b") as b,
        child(code, log.home.path, "c") as c,
    ):
        assert [said(a), said(b), said(c)] == ["done"] * 3
    log.write(1, segment_bytes=SMALL)
    lines = all_lines(log)
    assert len(lines) == 1 + 1 + 3 * 50 + 1
    check_chain([line for line in lines if True])
    assert log.verify().verdict == "unanchored"


@pytest.mark.requirement("D1")
def test_a_compressed_segment_is_the_same_lines_for_us_and_for_zstdcat(log: Log) -> None:
    log.write(1200, segment_bytes=300_000)
    before = all_lines(log)
    assert sealing.compress_sealed(log.folder, len(before)) == len(segment_files(log.folder)) - 1 > 0
    assert [name.endswith(".zst") for name in names(log)] == [True] * (len(names(log)) - 1) + [False]
    assert all_lines(log) == before
    for seq in (0, 1, 255, 256, 257, 600, 1199, 1200):
        assert next(lines_from(log.folder, seq)).data == before[seq]
    assert next(lines_from(log.folder, 1201), None) is None
    for path in segment_files(log.folder)[:-1]:
        plain = subprocess.run(["zstdcat", path], capture_output=True, check=True).stdout
        assert plain.split(b"\n")[:-1] == [line.data for line in whole_lines(path)]
        assert path.stat().st_mode & 0o777 == 0o400
    report = log.verify()
    assert (report.verdict, report.entries) == ("unanchored", 1201)
    log.write(3)  # and it goes on
    assert log.verify().entries == 1204


def test_one_old_line_is_read_without_the_rest(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log.write(2000, segment_bytes=700_000)
    sealing.compress_sealed(log.folder, 2001)
    (path,) = (path for path in segment_files(log.folder) if path.suffix == ".zst")
    read: list[int] = []
    frames_chunks = frames.chunks

    def counted(path: Path, offset: int = 0):
        for chunk in frames_chunks(path, offset):
            read.append(len(chunk))
            yield chunk

    monkeypatch.setattr(frames, "chunks", counted)
    assert b'"seq":1000,' in next(lines_from(log.folder, 1000)).data
    assert sum(read) < 0.5 * frames.read_table(path).plain[-1]


def test_a_process_that_lags_reads_on_through_segments_that_are_compressed_by_now(log: Log) -> None:
    log.write(1)
    late = log.open(wid="late", segment_bytes=SMALL)
    log.write(60, wid="busy", segment_bytes=SMALL)
    assert sealing.compress_sealed(log.folder, 62) > 4
    late.append(entry())
    late.flush()
    late.publish()
    late.close()
    check_chain(all_lines(log))
    assert log.verify().verdict == "unanchored"


def test_nothing_is_compressed_that_is_not_signed_or_not_what_was_signed(log: Log) -> None:
    ledger = log.open(segment_bytes=SMALL)
    for number in range(40):
        ledger.append(entry(number))
    assert sealing.compress_sealed(log.folder, ledger.signed) == 0
    ledger.publish()
    ledger.close()
    first = segment_files(log.folder)[0]
    first.chmod(0o600)
    first.write_bytes(first.read_bytes().replace(b"report-3", b"report-4"))
    with pytest.raises(LedgerRefused, match="altered"):
        sealing.compress_sealed(log.folder, 41)
    assert first.exists()
    assert not [name for name in names(log) if name.endswith(".zst")]


@pytest.mark.parametrize("step", range(6))
def test_a_crash_while_compressing_loses_nothing_and_the_next_run_goes_on(log: Log, step: int) -> None:
    log.write(60, segment_bytes=SMALL)
    before = all_lines(log)
    code = """
import os, signal, sys
from pathlib import Path
from onrecord.ledger import sealing
from tests.ledger.logs import log_in
steps = [0]
def dying(module, name):
    whole = getattr(module, name)
    def step(*arguments, **named):
        if steps[0] == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        steps[0] += 1
        return whole(*arguments, **named)
    setattr(module, name, step)
dying(sealing, "write_all"); dying(sealing, "sync_all"); dying(sealing, "_check"); dying(sealing, "sync_folder")
log = log_in(Path(sys.argv[1]))
sealing.compress_sealed(log.folder, 61)
"""
    with child(code, log.home.path, step) as process:
        assert process.wait(30) == -9
    assert all_lines(log) == before
    assert log.verify().verdict == "unanchored"
    sealing.compress_sealed(log.folder, 61)
    assert all_lines(log) == before
    assert not [name for name in names(log)[:-1] if not name.endswith(".zst")]
    assert log.verify().verdict == "unanchored"


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_segment_that_was_sealed_by_a_process_that_died_gets_its_successor(log: Log, mode: int) -> None:
    log.write(5)
    log.file.chmod(mode)
    log.write(1)
    assert len(segment_files(log.folder)) == (2 if mode == 0o400 else 1)
    check_chain(all_lines(log))
    assert log.verify().verdict == "unanchored"


def test_a_copy_whose_files_lost_their_modes_goes_on_at_its_end(log: Log) -> None:
    log.write(40, segment_bytes=SMALL)
    for path in segment_files(log.folder):
        path.chmod(0o600)
    log.write(2, segment_bytes=SMALL)
    check_chain(all_lines(log))
    assert log.verify().verdict == "unanchored"


def test_a_sealed_segment_with_something_behind_its_last_line_is_refused(log: Log) -> None:
    ledger = log.open(segment_bytes=SMALL)
    log.write(1, wid="other")
    with log.file.open("ab") as file:
        file.write(b"torn")
    log.file.chmod(0o400)
    with pytest.raises(LedgerRefused, match="does not end with a line"):
        ledger.append(entry())
    ledger.close()


def test_the_newest_segment_deleted_under_a_process_is_noticed(log: Log) -> None:
    log.write(1)
    late = log.open(wid="late", segment_bytes=SMALL)
    log.write(40, wid="busy", segment_bytes=SMALL)
    segment_files(log.folder)[-1].unlink()
    late.append(entry())
    with pytest.raises(LedgerError):
        late.publish()
    late.close()
    with pytest.raises(LedgerRefused, match="rolled back"):
        log.open()
    assert log.verify().verdict in ("truncated", "altered")


def test_a_compressed_segment_that_is_cut_or_changed_is_altered(log: Log) -> None:
    log.write(60, segment_bytes=SMALL)
    sealing.compress_sealed(log.folder, 61)
    path = segment_files(log.folder)[1]
    whole = path.read_bytes()
    path.chmod(0o600)
    for damaged in (
        whole[:-25],  # without the seek table
        whole[:100],
        whole[:60] + bytes([whole[60] ^ 1]) + whole[61:],
        whole + bytes.fromhex("502a4d1804000000") + b"evil",  # a skippable frame, which zstd tools pass over
        b"",
    ):
        path.write_bytes(damaged)
        assert log.verify().verdict == "altered"
    with pytest.raises(NotVerified):
        offset_of(path, 20)


def test_the_writer_has_sealed_segments_compressed_by_itself(log: Log) -> None:
    writer = log.writer(segment_bytes=SMALL)
    for number in range(60):
        writer.append(entry(number), "flushed").wait()
    wait_for(lambda: any(name.endswith(".zst") for name in names(log)))
    writer.close()
    check_chain(all_lines(log))
    assert log.verify().verdict == "unanchored"


def test_a_log_that_nobody_writes_to_says_that_it_is_alive(log: Log) -> None:
    times = itertools.count(0, 1_000_000)  # each look at the clock is a second later
    writer = Writer(
        lambda: log.open(clock=lambda: next(times)),
        gap=lambda: entry(event_id=new_id()),
        heartbeat_s=0.05,
    )
    writer.append(entry()).wait()
    wait_for(lambda: b'"heartbeat"' in log.file.read_bytes())
    writer.close()
    assert log.verify().verdict == "unanchored"


def test_a_heartbeat_is_written_once_however_many_processes_wait_for_it(log: Log) -> None:
    one, other = log.open(wid="one"), log.open(wid="other")
    assert not one.beat(3600.0)
    assert one.beat(0.0)
    assert not other.beat(3600.0)
    one.close()
    other.close()


def test_the_reserve_lies_behind_the_last_line_and_takes_no_length(log: Log) -> None:
    ledger = log.open()
    ledger.append(entry())
    about = log.file.stat()
    assert about.st_blocks * 512 >= RESERVE > about.st_size
    ledger.close()


def test_threads_append_flush_and_rotate_at_once(log: Log) -> None:
    ledger = log.open(segment_bytes=SMALL)
    failed: list[BaseException] = []
    stop = threading.Event()

    def flush() -> None:
        try:
            while not stop.is_set():
                assert ledger.flush() <= ledger.size
        except BaseException as e:  # noqa: BLE001
            failed.append(e)

    threads = [threading.Thread(target=flush) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(400):
        ledger.append(entry(number))
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed
    ledger.publish()
    ledger.close()
    check_chain(all_lines(log))


def test_a_moved_live_segment_is_noticed_by_the_flush(log: Log) -> None:
    ledger = log.open(segment_bytes=SMALL)
    for number in range(12):
        ledger.append(entry(number))
    newest = segment_files(log.folder)[-1]
    newest.rename(newest.with_name("elsewhere"))
    with pytest.raises(LedgerMoved):
        ledger.flush()
    ledger.close()


def _plain(path: Path) -> Path:
    """Put the plain file of a compressed segment beside it."""
    plain = path.with_suffix("")
    plain.write_bytes(b"".join(frames.chunks(path)))
    return plain


def _edited_plain_beside(path: Path) -> None:
    plain = _plain(path)
    plain.write_bytes(plain.read_bytes().replace(b"report-3", b"report-4"))


def _something_behind_the_last_line(path: Path) -> None:
    data = b"".join(frames.chunks(path)) + b"garbage"
    path.chmod(0o600)
    path.write_bytes(b"".join(frames.compress([data])))


def _something_behind_the_last_line_of_a_plain_one(path: Path) -> None:
    plain = _plain(path)
    plain.write_bytes(plain.read_bytes() + b"garbage")
    path.unlink()


def _another_frame_behind_the_table(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(path.read_bytes() + b"".join(frames.compress([b'{"evil":1}\n'])))


def _another_name(path: Path) -> None:
    path.rename(path.with_name("000000000000000001.ndjson.zst"))


def _a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _a_bomb(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(b"".join(frames.compress([bytes(1 << 28)])))


@pytest.mark.requirement("D2")
@pytest.mark.parametrize(
    "harm",
    [
        _edited_plain_beside,
        _something_behind_the_last_line,
        _something_behind_the_last_line_of_a_plain_one,
        _another_frame_behind_the_table,
        _another_name,
        _a_pipe,
        _a_bomb,
    ],
    ids=lambda harm: harm.__name__,
)
def test_what_is_done_to_a_sealed_segment_is_altered(log: Log, harm: Callable[[Path], None]) -> None:
    log.write(60, segment_bytes=SMALL)
    sealing.compress_sealed(log.folder, 61)
    harm(segment_files(log.folder)[0])
    assert log.verify().verdict == "altered"


def test_what_lies_beside_the_segments_and_holds_no_line_of_the_log_changes_nothing(log: Log) -> None:
    log.write(60, segment_bytes=SMALL)
    sealing.compress_sealed(log.folder, 61)
    _plain(segment_files(log.folder)[0])
    (log.folder.segments / "notes.ndjson").write_bytes(b"junk\n")
    report = log.verify()
    assert report.verdict == "unanchored"
    assert any("notes.ndjson" in reason for reason in report.reasons)  # and it is said


@pytest.mark.requirement("D3")
def test_lines_of_a_segment_whose_sealing_broke_off_are_flushed_before_anything_follows_them(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = log.open(segment_bytes=SMALL)
    while log.file.stat().st_size < SMALL:
        ledger.append(entry())
    fsync, failing = os.fsync, True
    flushed: list[str] = []

    def broken(fd: int) -> None:  # the world's edge: a device that fails while the segment is sealed
        if failing:
            raise OSError(errno.EIO, "i/o error")
        flushed.append(os.readlink(f"/proc/self/fd/{fd}"))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(LedgerError):
        ledger.append(entry())
    failing = False
    again = ledger.again()
    again.append(entry())
    again.publish()
    assert flushed[0] == str(log.file)  # before its successor has a name
    assert len(segment_files(log.folder)) == 2
    again.close()
    ledger.close()
    assert log.verify().verdict == "unanchored"


@pytest.mark.requirement("D3")
def test_a_segment_that_could_not_be_made_durable_leaves_nothing_behind(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = log.open(segment_bytes=SMALL)
    while log.file.stat().st_size < SMALL:
        ledger.append(entry())
    real = segment.sync_folder

    def full(path: Path) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(segment, "sync_folder", full)
    for _ in range(3):
        ledger.append(entry())  # it grows longer than it should
    assert len(segment_files(log.folder)) == 1
    monkeypatch.setattr(segment, "sync_folder", real)
    ledger.append(entry())
    assert len(segment_files(log.folder)) == 2
    ledger.publish()
    ledger.close()
    assert log.verify().verdict == "unanchored"
