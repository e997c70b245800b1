# SPDX-License-Identifier: Apache-2.0
"""Disks that are full, read-only or taken away: a typed error at once, and nothing half done."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.children import started
from tests.ledger.logs import ROOT, Log, check_chain, child, entry, log_in, said

from onrecord.errors import KeyFileError, LedgerBusy, LedgerError, LedgerMoved
from onrecord.ledger.durable import open_private
from onrecord.ledger.keys import open_keys
from onrecord.ledger.ledger import Ledger
from onrecord.ledger.place import Home

pytestmark = pytest.mark.requirement("D3")


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return log_in(tmp_path / "home")


OPENED = """
import sys
from pathlib import Path
from tests.ledger.logs import log_in
from onrecord.errors import LedgerError
try:
    log_in(Path(sys.argv[1])).write(1)
except LedgerError as e:
    print(type(e).__name__, e, flush=True)
else:
    assert sys.argv[2] == "before"
"""


# Taken away


def delete(log: Log) -> None:
    log.file.unlink()


def move_away(log: Log) -> None:
    log.file.rename(log.home.path / "elsewhere")


def replace(log: Log) -> None:
    copy = log.home.path / "copy"
    copy.write_bytes(log.file.read_bytes())
    copy.replace(log.file)


def cut(log: Log) -> None:
    os.truncate(log.file, log.file.stat().st_size - 1)


def empty(log: Log) -> None:
    os.truncate(log.file, 0)


def move_folder(log: Log) -> None:
    log.folder.path.rename(log.home.path / "elsewhere")


def flush(ledger: Ledger) -> object:
    return ledger.flush()


def sign(ledger: Ledger) -> object:
    return ledger.sign(deadline_s=1.0)


def publish(ledger: Ledger) -> object:
    return ledger.publish(deadline_s=1.0)


def append(ledger: Ledger) -> object:
    return ledger.append(entry(), deadline_s=1.0)


@pytest.mark.parametrize("harm", [delete, move_away, replace, cut, empty, move_folder])
@pytest.mark.parametrize("act", [flush, sign, publish])
def test_whoever_waits_for_a_log_that_was_taken_away_is_told(
    log: Log, harm: Callable[[Log], None], act: Callable[[Ledger], object]
) -> None:
    ledger = log.open()
    ledger.append(entry())
    harm(log)
    with pytest.raises(LedgerMoved):
        act(ledger)
    assert not ledger.usable
    for again in (append, flush, sign, publish):  # and from then on everybody
        with pytest.raises(LedgerMoved):
            again(ledger)
    ledger.close()


@pytest.mark.parametrize("harm", [delete, replace, cut, empty])
def test_an_append_to_a_log_that_was_taken_away_or_cut_is_refused(log: Log, harm: Callable[[Log], None]) -> None:
    ledger = log.open()
    ledger.append(entry())
    harm(log)
    with pytest.raises(LedgerMoved):
        append(ledger)
    ledger.close()


def test_an_append_after_a_move_reads_on_in_the_file_that_it_has_open(log: Log) -> None:
    ledger, other = log.open(), log.open()
    other.append(entry())
    move_away(log)
    append(ledger)  # a rename shows only where somebody looks for the name
    with pytest.raises(LedgerMoved, match="moved away"):
        ledger.flush()
    ledger.close()
    other.close()


def test_a_lock_that_was_replaced_is_noticed_before_anything_counts_as_durable(log: Log) -> None:
    ledger = log.open()
    ledger.append(entry())
    log.folder.writer_lock.unlink()
    with pytest.raises(LedgerMoved, match=r"writer\.lock"):
        ledger.flush()
    ledger.close()


# Held by somebody who does not move

HOLDER = """
import sys, time
from pathlib import Path
from tests.ledger.logs import log_in
log_in(Path(sys.argv[1])).open()._writer_lock.acquire(0.0)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_stopped_process_with_the_lock_costs_the_deadline_and_no_more(log: Log) -> None:
    ledger = log.open()
    with child(HOLDER, log.home.path) as process:
        assert said(process) == "held"
        process.send_signal(signal.SIGSTOP)
        for act in (append, sign, publish):
            began = time.monotonic()
            with pytest.raises(LedgerBusy):
                act(ledger)
            assert 0.9 < time.monotonic() - began < 30.0
        assert ledger.usable
        process.kill()  # the lock dies with its holder
        process.wait()
        assert ledger.append(entry()).seq == 1
    ledger.publish()
    ledger.close()
    check_chain(log.lines())


# Unwritable


@pytest.mark.parametrize("place", ["/dev/null/home", "/proc/onrecord"])
def test_a_home_that_cannot_be_made_is_a_typed_error(log: Log, place: str) -> None:
    with pytest.raises(LedgerError, match="cannot sign: cannot read"):
        Ledger.open(Home(Path(place)), log.signer)
    with pytest.raises(KeyFileError, match="cannot make keys"):
        open_keys(Home(Path(place)))


def test_a_folder_where_a_file_belongs_is_a_typed_error(log: Log) -> None:
    log.write(1)
    for path in (log.folder.writer_lock, log.folder.publish_lock, log.file, log.folder.checkpoints):
        kept = path.rename(log.home.path / "kept")
        path.mkdir()
        with pytest.raises(LedgerError):
            log.write(1)
        path.rmdir()
        kept.rename(path)
    log.write(1)
    assert log.verify().verdict == "unanchored"


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("trap", [a_pipe, a_device], ids=lambda trap: trap.__name__)
@pytest.mark.parametrize("name", ["writer.lock", "publish.lock", "checkpoints.ndjson"])
def test_a_pipe_or_a_device_where_a_file_belongs_is_an_error_at_once(
    tmp_path: Path, name: str, trap: Callable[[Path], None]
) -> None:
    with child(OPENED, tmp_path / "home", "before") as process:
        assert process.wait(30) == 0
    path = log_in(tmp_path / "home").folder.path / name
    path.unlink(missing_ok=True)
    trap(path)
    with child(OPENED, tmp_path / "home", "after") as process:
        told = said(process)
        assert told.startswith("LedgerUnwritable")
        assert told.endswith(f"{path}: it is no file")
        assert process.wait(30) == 0


# A device of our own


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """Return a folder on which a child of `on_device` finds a device of 1 MiB; where none can be had, say so."""
    unshare = shutil.which("unshare")
    mount = "mount -t tmpfs -o size=64k none /proc" if unshare else ""
    if unshare is None or subprocess.run([unshare, "-rm", "sh", "-c", mount], capture_output=True).returncode:
        pytest.xfail("this machine lets nobody mount a device: a full and a read-only one are not tried here")
    folder = tmp_path / "device"
    folder.mkdir()
    return folder


def on_device(device: Path, code: str) -> None:
    """Run `code` in another process, with `device` mounted and `room`, `log` and the usual names at hand."""
    setup = """
import errno, os, subprocess, sys
from pathlib import Path
import pytest
from onrecord.errors import *
from tests.ledger.logs import check_chain, entry, log_in, wait_for
device = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", device], check=True)
log = log_in(device / "home")

def remount(how):
    subprocess.run(["mount", "-o", f"remount,{how}", device], check=True)

def fill(leave=0):
    with open(device / "filler", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as e:
            assert e.errno == errno.ENOSPC
        file.truncate(file.tell() - leave)

def make_room():
    (device / "filler").unlink()
"""
    command = ["unshare", "-rm", sys.executable, "-c", setup + code, str(device)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert ran.returncode == 0, ran.stderr


def test_a_full_device_is_a_typed_error_and_nothing_of_the_line_remains(device: Path) -> None:
    on_device(
        device,
        """
ledger = log.open()
for number in range(20):
    ledger.append(entry(number, size=700))
ledger.publish()
fill()
while True:  # the reserve first, which only what is urgent may use
    try:
        ledger.append(entry(size=700), urgent=True)
    except LedgerFull:
        break
refused = 0
for number in range(60):
    before = log.file.read_bytes()
    try:
        ledger.append(entry(number, size=700 + number * 13), urgent=True)
    except LedgerFull:
        refused += 1
        assert log.file.read_bytes() == before
    assert log.file.read_bytes().endswith(b"\\n")
assert refused > 50
assert ledger.usable
with pytest.raises(LedgerFull):
    ledger.publish()
make_room()
ledger.append(entry())
ledger.publish()
ledger.close()
check_chain(log.lines())
assert not list(log.folder.path.glob("torn/*"))
report = log.verify()
assert (report.verdict, report.entries) == ("unanchored", report.signed)
""",
    )


def test_a_signature_that_finds_no_room_is_a_typed_error_at_once_and_comes_later(device: Path) -> None:
    on_device(
        device,
        """
import time
writer = log.writer(deadline_s=60.0)
writer.append(entry(), "signed").wait(60.0)
fill(leave=8192)
errors = []
for number in range(60):
    began = time.monotonic()
    try:
        writer.append(entry(number, size=500), "signed").wait(60.0)
    except LedgerFull as e:
        errors.append(e)
        assert time.monotonic() - began < 30.0
assert errors
writer.spool(entry(size=100, event_id="spooled"))
make_room()
writer.append(entry(), "signed").wait(60.0)
writer.close()
assert writer.unwritten == 0
events = log.events()
assert [event["event_id"] for event in events].count("spooled") == 1
assert [event["detail"] for event in events if event["event_type"] == "gap"][-1] == {
    "entries_spooled": 1, "entries_lost": 0
}
check_chain(log.lines())
report = log.verify()
assert (report.verdict, report.entries) == ("unanchored", report.signed)
""",
    )


def test_a_log_on_a_full_device_opens_when_there_is_room(device: Path) -> None:
    on_device(
        device,
        """
log.write(3)
with log.file.open("ab") as file:
    file.write(b"torn")
fill()
with pytest.raises(LedgerFull):
    log.open()
assert log.file.read_bytes().endswith(b"torn")
make_room()
log.write(1)
assert [event["event_type"] for event in log.events()][4:] == ["log_recovered", "tool_call"]
assert log.verify().verdict == "unanchored"
""",
    )


def test_a_read_only_device_is_a_typed_error_and_heals(device: Path) -> None:
    on_device(
        device,
        """
log.write(3)
remount("ro")
with pytest.raises(LedgerUnwritable):
    log.open()
assert log.verify().verdict == "unanchored"
writer = log.writer()
with pytest.raises(LedgerUnwritable):
    writer.append(entry())
writer.spool(entry(event_id="spooled"))
remount("rw")

def appended():
    try:
        writer.append(entry(), "signed").wait()
    except LedgerUnwritable:
        return False
    return True

wait_for(appended)
writer.close()
assert [event["event_type"] for event in log.events()][4:] == ["gap", "tool_call", "tool_call"]
check_chain(log.lines())
""",
    )


# A limit on the size of a file: short writes and refusals without a device of our own

LIMITED = """
import resource, signal, sys
from pathlib import Path
import pytest
from onrecord.errors import LedgerFull
from tests.ledger.logs import check_chain, entry, log_in
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = log_in(Path(sys.argv[1]))
ledger = log.open()
for number in range(20):
    ledger.append(entry(number, size=700))
ledger.publish()
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
size = log.file.stat().st_size
before = log.file.read_bytes()
for room in (1, 100, 700, 0):  # a short write, and at last EFBIG without a byte
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, hard))
    with pytest.raises(LedgerFull):
        ledger.append(entry(size=700))
    assert log.file.read_bytes() == before
assert ledger.usable
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
ledger.append(entry())
ledger.publish()
ledger.close()
check_chain(log.lines())
report = log.verify()
assert (report.verdict, report.entries, report.signed) == ("unanchored", 22, 22)
print("well", flush=True)
"""


def test_a_write_that_is_cut_short_is_taken_back(log: Log) -> None:
    with child(LIMITED, log.home.path) as process:
        assert said(process) == "well"


@pytest.mark.requirement("D3")
def test_on_a_full_device_refusals_and_ends_are_still_recorded_from_the_reserve(device: Path) -> None:
    on_device(
        device,
        """
from onrecord.config import build_recorder
from onrecord.settings import load
from onrecord.errors import NotRecorded
from onrecord.event.call import Result
from onrecord.event.event import Event
from tests.test_guard import call
(log.home.path / "onrecord.toml").write_text('[ledger]\\nreserve = "64KiB"\\n')
recorder, _ = build_recorder(log.home, load(log.home), print)
recorder.start(Event(), ["server"])
guard = recorder.guard
running = guard.begin(call(guard, tier=3))
running.redeem()
fill()
refused = 0
while refused < 3:  # what was set aside before goes first
    try:
        guard.begin(call(guard, tier=3)).redeem()
    except NotRecorded as e:
        assert "not run" in str(e)
        refused += 1
guard.end(running, Result(status="succeeded"))
events = log.events()
said = [(event["event_type"], event.get("phase", ""), event.get("result_status", ""), event.get("action", ""))
        for event in events[-8:]]
assert said == [
    ("degraded", "", "", "disk_full"),
    ("tool_call", "attempt", "", ""), ("tool_call", "result", "blocked", ""),
    ("tool_call", "attempt", "", ""), ("tool_call", "result", "blocked", ""),
    ("tool_call", "attempt", "", ""), ("tool_call", "result", "blocked", ""),
    ("tool_call", "result", "succeeded", ""),
], said
make_room()
guard.begin(call(guard, tier=3)).redeem()
assert [event.get("action") for event in log.events()[-2:]] == ["disk_has_room", None]
recorder.stop("done", 5)
check_chain(log.lines())
assert log.verify().verdict == "unanchored"
""",
    )


@pytest.mark.parametrize("known", [True, False], ids=["told before", "found out at midnight"])
def test_a_new_day_on_a_full_device_does_not_give_the_reserve_away(device: Path, known: bool) -> None:
    on_device(
        device,
        f"""
day_us = 86_400_000_000
now = [20_000 * day_us + 1]
ledger = log.open(clock=lambda: now[0], reserve_bytes=65536)
for number in range(5):
    ledger.append(entry(number))
ledger.publish()
fill()
while {known}:
    try:
        ledger.append(entry(size=700))
    except LedgerFull:
        break
now[0] += day_us
ledger.append(entry(event_id="the first of a new day"), urgent=True)
with open(device / "more", "wb", buffering=0) as file, pytest.raises(OSError):
    while True:
        file.write(bytes(4096))
for number in range(20):
    ledger.append(entry(number, size=700), urgent=True)
assert len(list(log.folder.segments.iterdir())) == 1
(device / "more").unlink()
make_room()
now[0] += day_us
ledger.append(entry(event_id="when there is room"))
assert len(list(log.folder.segments.iterdir())) == 2
fill()
for number in range(20):
    ledger.append(entry(number, size=700), urgent=True)
ledger.flush()
make_room()
ledger.publish()
ledger.close()
assert log.verify().verdict == "unanchored"
""",
    )


LEASED = """
import fcntl, os, signal, sys, time
fd = os.open(sys.argv[1], os.O_RDONLY)
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
asked = []
signal.signal(signal.SIGIO, lambda number, frame: asked.append(number))
print("leased", flush=True)
while not asked:
    signal.pause()
time.sleep(0.05)
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
signal.pause()
"""


def test_a_file_that_a_file_server_has_a_lease_on_is_waited_for(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"")
    with started([sys.executable, "-c", LEASED, str(path)], stdout=subprocess.PIPE) as server:
        if server.stdout.readline() != b"leased\n":
            pytest.skip("this file system has no leases")
        fd = open_private(path, os.O_RDWR | os.O_CREAT)
        os.close(fd)
