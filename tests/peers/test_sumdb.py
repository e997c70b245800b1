# SPDX-License-Identifier: Apache-2.0
"""A log of ours before the code that checks Go's own checksum database.

The verifier (sumdb/main.go) shares nothing with this project but the files: notes, tree, proofs and
tiles are read by `golang.org/x/mod/sumdb`. It must accept what we wrote, and refuse whatever was
touched.
"""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.ledger.logs import Log, compact, entry, leaf_of, log_in
from tests.peers.peer import need, shell

from onrecord.event.redacted import Redacted
from onrecord.ledger.frames import compress
from onrecord.ledger.place import LogFolder
from onrecord.ledger.rotation import rotate

SIZES = (1, 255, 256, 257, 700)  # of the log at each signature: before, at and behind the edge of a tile


@dataclass(frozen=True, slots=True)
class Judge:
    """The verifier, and the key that it is given."""

    program: Path
    key: Path

    def run(self, folder: LogFolder, *seqs: int) -> subprocess.CompletedProcess[str]:
        command = [str(self.program), str(folder.path), str(self.key), *map(str, seqs)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def accepts(self, folder: LogFolder, *seqs: int) -> dict[str, Any]:
        done = self.run(folder, *seqs)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def refuses(self, folder: LogFolder) -> str:
        done = self.run(folder)
        assert done.returncode == 1, done.stdout
        assert "goroutine" not in done.stderr
        return done.stderr


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Log:
    """A log that was signed at several sizes. Not to be changed."""
    log = log_in(tmp_path_factory.mktemp("master"))
    ledger = log.open()
    for size in SIZES:
        while ledger.size < size:
            ledger.append(entry(ledger.size, tool_name="größer <&> 数"))
        ledger.publish()
    ledger.close()
    return log


@pytest.fixture
def copy(master: Log, tmp_path: Path) -> LogFolder:
    shutil.copytree(master.folder.path, tmp_path / "copy")
    return LogFolder(tmp_path / "copy")


@pytest.fixture
def judge(sumdb: Path, master: Log, tmp_path: Path) -> Judge:
    key = tmp_path / "given.vkey"
    key.write_text(f"{master.signer.vkey}\n")
    return Judge(sumdb, key)


@pytest.mark.requirement("D2")
@pytest.mark.requirement("D1")
def test_go_accepts_a_log_of_ours_and_proves_what_is_asked(judge: Judge, master: Log) -> None:
    said = judge.accepts(master.folder, 0, 1, 254, 255, 256, 511, 512, 699)
    checkpoint = master.checkpoint()
    assert said["origin"] == checkpoint.origin
    assert (said["size"], said["lines"], said["torn_bytes"]) == (700, 700, 0)
    assert said["proven"] == [0, 1, 254, 255, 256, 511, 512, 699]
    assert said["checkpoints"] == len(SIZES)
    assert said["consistency_proofs"] == len(SIZES) - 1


@pytest.mark.requirement("D2")
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_go_accepts_the_smallest_logs(judge: Judge, tmp_path: Path, size: int) -> None:
    log = log_in(tmp_path / "small")
    judge.key.write_text(f"{log.signer.vkey}\n")
    log.write(size - 1)
    assert judge.accepts(log.folder, 0, size - 1)["size"] == size


@pytest.mark.requirement("D2")
def test_go_accepts_a_log_of_many_segments_and_several_keys(judge: Judge, tmp_path: Path) -> None:
    need("zstdcat")
    log = log_in(tmp_path / "long")
    for _ in range(3):
        ledger = log.open(segment_bytes=100_000)
        for number in range(400):
            ledger.append(entry(number))
        ledger.publish()
        ledger.compress()
        ledger.close()
        rotate(log.home)
    judge.key.write_text((log.home.keys / "calls.vkey").read_text())
    assert len(judge.key.read_text().splitlines()) == 4
    assert len(list(log.folder.segments.glob("*.zst"))) > 2
    said = judge.accepts(log.folder)
    assert said["size"] == said["lines"] == 1 + 3 * 400 + 3

    judge.key.write_text(judge.key.read_text().split("\n", 1)[1])  # without the first key
    assert "checkpoint 0 of the history" in judge.refuses(log.folder)


def test_go_accepts_a_torn_tail_as_what_it_is(judge: Judge, copy: LogFolder) -> None:
    with copy.first_segment.open("ab") as file:
        file.write(b'{"schema_version":1,"seq":700')
    assert judge.accepts(copy)["torn_bytes"] == 29


def by_zstd(frames: list[bytes]) -> bytes:
    need("zstd")
    return b"".join(subprocess.run(["zstd", "-q"], input=frame, capture_output=True).stdout for frame in frames)


def by_us(frames: list[bytes]) -> bytes:
    return b"".join(compress(frames))


@pytest.mark.requirement("D2")
@pytest.mark.parametrize("compressed", [by_zstd, by_us])
def test_go_accepts_sealed_segments_of_many_frames(
    judge: Judge, copy: LogFolder, compressed: Callable[[list[bytes]], bytes]
) -> None:
    seal_by_hand(copy, [300, 550], compressed)
    assert sorted(path.name for path in copy.segments.iterdir()) == [
        f"{0:018d}.ndjson.zst",
        f"{300:018d}.ndjson.zst",
        f"{550:018d}.ndjson",
    ]
    assert judge.accepts(copy, 0, 299, 300, 699)["lines"] == 700


@pytest.mark.requirement("D1")
def test_the_tools_of_zstd_and_jq_read_compressed_segments_of_ours(copy: LogFolder) -> None:
    need("zstd", "zstdcat", "jq")
    plain = copy.first_segment.read_bytes()
    seal_by_hand(copy, [300, 550])
    sealed = b"".join(plain.splitlines(keepends=True)[:550])
    shell("zstd -q --test *.zst", copy.segments)
    assert shell("zstdcat *.zst", copy.segments).encode() == sealed
    assert shell("zstdcat *.zst | jq -s 'map(.seq) == [range(550)]'", copy.segments) == "true\n"
    assert shell("(zstdcat *.zst; cat *.ndjson) | sha256sum", copy.segments).split()[0] == sha256(plain).hexdigest()


@pytest.mark.requirement("D2")
def test_go_accepts_a_deletion_that_is_on_the_record_and_no_other(judge: Judge, tmp_path: Path) -> None:
    log = log_in(tmp_path / "pruned")
    judge.key.write_text(f"{log.signer.vkey}\n")
    log.write(9)
    ledger = log.open()
    ledger.append(deletion([[3, 4], [7, 7]]))
    ledger.publish()
    ledger.close()
    put_tombstones(log.folder, {3: 10, 4: 10, 7: 10})
    assert judge.accepts(log.folder)["tombstones"] == 3

    put_tombstones(log.folder, {5: 10})
    assert "entry 5 is gone, and no signed deletion entry names it" in judge.refuses(log.folder)


# What was touched


def flip(name: str, place: float) -> Callable[[LogFolder], None]:
    """Return a harm that changes one bit of the file `name`, at `place` of its length."""

    def harm(folder: LogFolder) -> None:
        path = folder.path / name
        data = bytearray(path.read_bytes())
        data[int(place * len(data))] ^= 1
        path.write_bytes(data)

    return harm


def cut_a_line(folder: LogFolder) -> None:
    lines = folder.first_segment.read_bytes().splitlines(keepends=True)
    folder.first_segment.write_bytes(b"".join(lines[:-1]))


def take_a_line_out(folder: LogFolder) -> None:
    lines = folder.first_segment.read_bytes().splitlines(keepends=True)
    folder.first_segment.write_bytes(b"".join(lines[:300] + lines[301:]))


def swap_two_lines(folder: LogFolder) -> None:
    lines = folder.first_segment.read_bytes().splitlines(keepends=True)
    lines[300], lines[301] = lines[301], lines[300]
    folder.first_segment.write_bytes(b"".join(lines))


def rewrite_and_chain_anew(folder: LogFolder) -> None:
    lines = folder.first_segment.read_bytes().splitlines()
    fields = json.loads(lines[300])
    lines[300] = compact({**fields, "tool_name": "harmless"})
    for seq in range(301, len(lines)):
        lines[seq] = compact({**json.loads(lines[seq]), "prev_hash": leaf_of(lines[seq - 1])})
    folder.first_segment.write_bytes(b"\n".join(lines) + b"\n")


def strip_the_signature(folder: LogFolder) -> None:
    text = folder.checkpoint.read_text().partition("\n\n")[0]
    folder.checkpoint.write_text(f"{text}\n")


def empty(folder: LogFolder) -> None:
    folder.first_segment.write_bytes(b"")


HARMS = {
    "a flipped bit in the first line": flip("log/000000000000000000.ndjson", 0),
    "a flipped bit in the middle of the lines": flip("log/000000000000000000.ndjson", 0.5),
    "a flipped bit in the last line": flip("log/000000000000000000.ndjson", 0.9999),
    "a flipped bit in the checkpoint's text": flip("checkpoint", 0.1),
    "a flipped bit in the checkpoint's signature": flip("checkpoint", 0.9),
    "a flipped bit in the history's notes": flip("checkpoints.ndjson", 0.9),
    "a flipped bit in a full tile": flip("tile/0/000", 0.5),
    "a flipped bit in a partial tile": flip("tile/0/002.p/188", 0.5),
    "a flipped bit in a tile of level 1": flip("tile/1/000.p/2", 0.5),
    "the last line cut off": cut_a_line,
    "a line taken out": take_a_line_out,
    "two lines swapped": swap_two_lines,
    "a line rewritten and the chain made anew": rewrite_and_chain_anew,
    "the signature taken away": strip_the_signature,
    "the log emptied": empty,
}


@pytest.mark.requirement("D2")
@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_go_refuses_whatever_was_touched(judge: Judge, copy: LogFolder, harm: Callable[[LogFolder], None]) -> None:
    judge.accepts(copy)
    harm(copy)
    assert judge.refuses(copy)


@pytest.mark.requirement("D2")
def test_go_refuses_a_log_that_another_key_signed(judge: Judge, copy: LogFolder, tmp_path: Path) -> None:
    judge.key.write_text(f"{log_in(tmp_path / 'other').signer.vkey}\n")
    assert "note has no verifiable signatures" in judge.refuses(copy)


def test_go_refuses_a_flipped_byte_in_a_sealed_segment(judge: Judge, copy: LogFolder) -> None:
    seal_by_hand(copy, [300, 550])
    flip("log/000000000000000300.ndjson.zst", 0.5)(copy)
    assert judge.refuses(copy)


# Made by hand, from the description of the format alone


def seal_by_hand(folder: LogFolder, firsts: list[int], compressed: Callable[[list[bytes]], bytes] = by_us) -> None:
    """Cut the log into segments, and compress all but the last, in frames of 256 lines each."""
    lines = folder.first_segment.read_bytes().splitlines(keepends=True)
    folder.first_segment.unlink()
    edges = [0, *firsts]
    for first, end in pairwise(edges):
        frames = [b"".join(lines[at : min(at + 256, end)]) for at in range(first, end, 256)]
        (folder.segments / f"{first:018d}.ndjson.zst").write_bytes(compressed(frames))
    (folder.segments / f"{edges[-1]:018d}.ndjson").write_bytes(b"".join(lines[edges[-1] :]))


def put_tombstones(folder: LogFolder, entries: dict[int, int]) -> None:
    """Take lines away, each in favour of a deletion entry."""
    lines = folder.first_segment.read_bytes().splitlines()
    for seq, by in entries.items():
        pruned = {"leaf": leaf_of(lines[seq]), "rule": "calls: 30 days", "entry": by}
        lines[seq] = compact({"seq": seq, "pruned": pruned})
    folder.first_segment.write_bytes(b"\n".join(lines) + b"\n")


def deletion(ranges: list[list[int]]) -> Redacted:
    """Return the entry that puts a deletion on the record."""
    detail = {"ranges": ranges, "count": sum(last - first + 1 for first, last in ranges), "rule": "calls: 30 days"}
    return entry(event_type="retention", action="delete", phase="", detail=detail)
