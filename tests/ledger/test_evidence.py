# SPDX-License-Identifier: Apache-2.0
"""Single entries of a log: how they are found and chosen, across segments, and where some were deleted."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.ledger.logs import Log, compact, entry, leaf_of, log_in, new_id

from onrecord.errors import NotVerified
from onrecord.ledger.evidence import Deleted, chosen_lines, find_entry, newest_signed, prove
from onrecord.ledger.export import export_bundle
from onrecord.ledger.place import LogFolder
from onrecord.ledger.proof import check_carried
from onrecord.ledger.selection import Selection, select
from onrecord.ledger.sparse import verify_bundle

pytestmark = pytest.mark.requirement("D2")

LAST = 600
STARTS = [0, 100, 101, 400]  # a segment of one line among them
GONE = [41, 100, 599]


@dataclass(frozen=True, slots=True)
class Cut:
    """A log in segments, from which some entries were deleted."""

    log: Log
    folder: LogFolder


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Cut:
    log = log_in(tmp_path_factory.mktemp("log"))
    log.write(LAST)
    folder = LogFolder(tmp_path_factory.mktemp("cut") / "calls")
    shutil.copytree(log.folder.path, folder.path)
    lines = log.lines()
    for seq in GONE:
        lines[seq] = compact({"seq": seq, "pruned": {"leaf": leaf_of(lines[seq]), "rule": "a-year", "entry": LAST}})
    for start, end in zip(STARTS, [*STARTS[1:], LAST + 1], strict=True):
        data = b"".join(line + b"\n" for line in lines[start:end])
        (folder.segments / f"{start:018d}.ndjson").write_bytes(data)
    return Cut(log, folder)


def test_lines_are_found_in_whatever_segment_they_are(cut: Cut) -> None:
    lines = cut.log.lines()
    for seqs in ([0], [99, 101], [101, 102, 399, 400, 598, 600], [600], [601], [3, 700], []):
        assert list(chosen_lines(cut.folder, seqs)) == [(seq, lines[seq]) for seq in seqs if seq <= LAST]
    for seq in (0, 99, 101, 400, 600):
        assert find_entry(cut.folder, str(seq)) == seq
        assert find_entry(cut.folder, json.loads(lines[seq])["event_id"]) == seq
    for which in ("601", "9" * 30, "-1", "", "no-such-id", json.loads(lines[7])["call_id"], new_id()):
        assert find_entry(cut.folder, which) is None


def test_a_deleted_entry_is_told_apart_from_one_that_is_lost(cut: Cut) -> None:
    for seq in GONE:
        assert find_entry(cut.folder, str(seq)) == seq
        with pytest.raises(Deleted, match=f"entry {seq} was deleted"):
            list(chosen_lines(cut.folder, [seq]))
        with pytest.raises(Deleted):
            export_bundle(cut.folder, [cut.log.signer.vkey], [7, seq], cut.folder.path / "out")
    assert not list(cut.folder.path.glob("*out*"))


@pytest.mark.parametrize("tiles", ["there", "gone"])
def test_deleted_entries_do_not_keep_the_others_from_being_proven(cut: Cut, tmp_path: Path, tiles: str) -> None:
    keys = [cut.log.signer.vkey]
    folder = LogFolder(tmp_path / "copy")
    shutil.copytree(cut.folder.path, folder.path)
    if tiles == "gone":
        shutil.rmtree(folder.path / "tile")
    signed = newest_signed(folder, keys)
    assert signed is not None
    for seq in (40, 42, 101, 600):
        assert check_carried(prove(folder, signed, seq, keys), keys).size == LAST + 1
    rest = [seq for seq in range(LAST + 1) if seq not in GONE]
    export_bundle(folder, keys, rest, tmp_path / "out")
    report = verify_bundle(LogFolder(tmp_path / "out"), keys)
    assert (report.verdict, report.proven, report.of) == ("partial", LAST + 1 - len(GONE), LAST + 1)


def test_a_line_in_another_place_than_its_own_is_not_handed_out(cut: Cut, tmp_path: Path) -> None:
    folder = LogFolder(tmp_path / "copy")
    shutil.copytree(cut.folder.path, folder.path)
    segment = folder.segments / f"{101:018d}.ndjson"
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(lines[1:]))
    for ask in (
        lambda: list(chosen_lines(folder, [200])),
        lambda: select(folder, Selection(), LAST),
        lambda: export_bundle(folder, [cut.log.signer.vkey], [200], tmp_path / "out"),
    ):
        with pytest.raises(NotVerified, match="onrecord verify"):
            ask()


# Choosing


def test_entries_are_chosen_by_what_they_say(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    ledger = log.open()
    call = new_id()
    for number in range(20):
        ledger.append(
            entry(
                number,
                call_id=call if number in (3, 4) else new_id(),
                tool_name="send_mail" if number % 5 == 0 else "read_file",
                user_id="u_anna" if number < 10 else "u_ben",
                event_type="tool_call" if number != 7 else "resource_read",
            )
        )
    ledger.publish()
    ledger.close()
    events = log.events()
    offset = events[-1]["seq"] - 19  # the log's own first entries

    def chosen(signed: int = 100, **conditions: object) -> list[int]:
        found = select(log.folder, Selection(**conditions), signed)  # type: ignore[arg-type]
        assert found.deleted == 0
        return [seq - offset for seq in found.seqs]

    assert chosen(call_id=call) == [3, 4]
    assert chosen(tool_name="send_mail") == [0, 5, 10, 15]
    assert chosen(tool_name="send_mail", user_id="u_anna") == [0, 5]
    assert chosen(event_type="resource_read") == [7]
    assert chosen(places=(range(offset + 4, offset + 6), range(offset + 19, offset + 30))) == [4, 5, 19]
    assert chosen(places=(range(offset + 4, offset + 6),), call_id=call) == [4]
    times = [event["timestamp"] for event in events]
    since, until = times[offset + 8], times[offset + 12]
    expected = [place - offset for place, time in enumerate(times) if since <= time < until]
    assert chosen(since=since, until=until) == expected
    assert chosen(user_id="u_nobody") == []
    assert select(log.folder, Selection(), 0).unsigned == len(events)
    assert chosen(signed=offset + 4, call_id=call) == [3]


def test_deleted_entries_are_counted_where_they_were_asked_for(cut: Cut) -> None:
    assert select(cut.folder, Selection(), LAST + 1).deleted == len(GONE)
    found = select(cut.folder, Selection(places=(range(40, 43),)), LAST + 1)
    assert (list(found.seqs), found.deleted, found.unsigned) == ([40, 42], 1, 0)
