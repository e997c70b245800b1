# SPDX-License-Identifier: Apache-2.0
"""Evidence bundles: what is chosen is proven, what was changed is named, and no bundle is ever a whole log."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from tests.ledger.logs import Log, compact, leaf_of, log_in, rechained, root_of

from onrecord.errors import LedgerUnwritable, NotVerified
from onrecord.event.event import Event, encode
from onrecord.ledger.enclosures import key_changes, views
from onrecord.ledger.export import export_bundle
from onrecord.ledger.frames import compress
from onrecord.ledger.keys import read_keys
from onrecord.ledger.merkle import leaf_hash
from onrecord.ledger.note import Checkpoint, SignerKey, VerifierKey, sign_checkpoint
from onrecord.ledger.place import LogFolder
from onrecord.ledger.rotation import rotate
from onrecord.ledger.sparse import is_bundle, verify_bundle
from onrecord.ledger.tiles import EdgeTiles, RootedTiles, needed_tiles, tile_path
from onrecord.ledger.tree import append_history, write_tiles
from onrecord.ledger.verify import Report, verify

pytestmark = pytest.mark.requirement("D2")

LAST = 620  # the seq of the last entry: two full tiles and a part of a third
CHOSEN = [0, 1, 7, 41, 255, 256, 300, 301, 512, LAST]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    log = log_in(tmp_path_factory.mktemp("log"))
    log.write(LAST)
    return log


@pytest.fixture(scope="module")
def made(log: Log, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "bundle"
    export_bundle(log.folder, [log.signer.vkey], CHOSEN, out)
    return out


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle in an attacker's hands."""

    log: Log
    path: Path

    @property
    def file(self) -> Path:
        (file,) = (self.path / "log").iterdir()
        return file

    def lines(self) -> list[bytes]:
        return self.file.read_bytes().split(b"\n")[:-1]

    def put(self, lines: Sequence[bytes]) -> None:
        self.file.write_bytes(b"".join(line + b"\n" for line in lines))

    def claim(self, **fields: Any) -> None:
        file = self.path / "bundle.json"
        file.write_bytes(compact(json.loads(file.read_bytes()) | fields) + b"\n")

    def verify(self, *keys: VerifierKey, **options: Any) -> Report:
        report = verify_bundle(LogFolder(self.path), keys or [self.log.signer.vkey], **options)
        assert report.reasons
        assert report.verdict != "intact"
        return report

    def told(self, *keys: VerifierKey) -> tuple[str, tuple[int, ...]]:
        report = self.verify(*keys)
        assert report.proven == 0 or report.verdict == "partial"
        return report.verdict, report.seqs


@pytest.fixture
def bundle(log: Log, made: Path, tmp_path: Path) -> Bundle:
    return Bundle(log, Path(shutil.copytree(made, tmp_path / "bundle")))


def files(path: Path) -> set[str]:
    return {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}


# Well


def test_a_bundle_holds_the_chosen_lines_and_no_more_than_proves_them(log: Log, bundle: Bundle) -> None:
    assert bundle.lines() == [log.lines()[seq] for seq in CHOSEN]
    assert bundle.file.name == f"{0:018d}.ndjson"
    assert json.loads((bundle.path / "bundle.json").read_bytes()) == {
        "format": 1,
        "origin": log.signer.name,
        "size": LAST + 1,
        "entries": len(CHOSEN),
    }
    assert files(bundle.path) == {
        "bundle.json",
        "checkpoint",
        f"log/{0:018d}.ndjson",
        "tile/0/000",
        "tile/0/001",
        "tile/0/002.p/109",
        "tile/1/000.p/2",
    }


def test_what_a_bundle_holds_is_proven_and_the_verdict_is_partial(log: Log, bundle: Bundle) -> None:
    told: list[int] = []
    report = bundle.verify(progress=told.append)
    assert (report.verdict, report.proven, report.of, report.seqs) == ("partial", len(CHOSEN), LAST + 1, ())
    assert (report.entries, report.signed, report.origin) == (len(CHOSEN), LAST + 1, log.signer.name)
    assert told == list(range(1, len(CHOSEN) + 1))


def test_a_bundle_of_all_entries_is_partial_too(log: Log, tmp_path: Path) -> None:
    export_bundle(log.folder, [log.signer.vkey], range(LAST + 1), tmp_path / "all")
    report = verify_bundle(LogFolder(tmp_path / "all"), [log.signer.vkey], outside=[log.checkpoint()])
    assert (report.verdict, report.proven, report.of) == ("partial", LAST + 1, LAST + 1)


@given(st.sets(st.integers(0, LAST), min_size=1, max_size=5))
def test_any_choice_is_proven(log: Log, tmp_path_factory: pytest.TempPathFactory, seqs: set[int]) -> None:
    out = tmp_path_factory.mktemp("any") / "bundle"
    export_bundle(log.folder, [log.signer.vkey], seqs, out)
    report = verify_bundle(LogFolder(out), [log.signer.vkey])
    assert (report.verdict, report.proven) == ("partial", len(seqs))
    shutil.rmtree(out.parent)


def test_a_log_of_one_entry_and_of_exactly_one_tile_can_be_exported(tmp_path: Path) -> None:
    for count in (1, 256, 257):
        log = log_in(tmp_path / f"home {count}")
        log.write(count - 1)
        assert log.checkpoint().size == count
        out = tmp_path / f"bundle {count}"
        export_bundle(log.folder, [log.signer.vkey], [count - 1], out)
        assert Bundle(log, out).verify().of == count


def test_the_verifier_of_whole_logs_never_calls_a_bundle_intact(log: Log, bundle: Bundle) -> None:
    report = verify(LogFolder(bundle.path), [log.signer.vkey], outside=[log.checkpoint()])
    assert report.verdict == "altered"


def test_a_bundle_does_not_change_what_is_there_and_does_not_show_before_it_is_whole(log: Log, bundle: Bundle) -> None:
    before = files(bundle.path)
    with pytest.raises(NotVerified, match="is there already"):
        export_bundle(log.folder, [log.signer.vkey], [1], bundle.path)
    out = bundle.path.with_name("other")
    for seqs in ([], [LAST + 1], [-1, 3]):
        with pytest.raises(NotVerified):
            export_bundle(log.folder, [log.signer.vkey], seqs, out)
    with pytest.raises(NotVerified, match="there is no folder"):
        export_bundle(log.folder, [log.signer.vkey], [1], bundle.path / "no" / "such")
    assert files(bundle.path) == before
    assert [path.name for path in bundle.path.parent.iterdir()] == ["bundle"]


# Where the log itself is damaged


@pytest.fixture
def own(tmp_path: Path) -> Log:
    log = log_in(tmp_path / "home")
    log.write(300)
    return log


@pytest.mark.parametrize("name", ["tile/0/000", "tile/0/001.p/45", "tile/1/000.p/1"])
@pytest.mark.parametrize("harm", ["gone", "another"])
def test_tiles_that_are_lost_or_damaged_are_made_again_from_the_lines(
    own: Log, tmp_path: Path, name: str, harm: str
) -> None:
    keys = [own.signer.vkey]
    export_bundle(own.folder, keys, [7, 299], tmp_path / "whole")
    tile = own.folder.path / name
    if harm == "gone":
        tile.unlink()
    else:
        tile.write_bytes(bytes(len(tile.read_bytes())))
    export_bundle(own.folder, keys, [7, 299], tmp_path / "mended")
    assert files(tmp_path / "mended") == files(tmp_path / "whole")
    for file in files(tmp_path / "whole"):
        assert (tmp_path / "mended" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_a_bundle_that_would_not_verify_is_not_made(own: Log, tmp_path: Path) -> None:
    own.file.write_bytes(own.file.read_bytes().replace(b"report-6.txt", b"report-9.txt"))
    with pytest.raises(NotVerified, match="entry 7 is not what was signed"):
        export_bundle(own.folder, [own.signer.vkey], [7], tmp_path / "out")
    stranger = log_in(tmp_path / "stranger").signer.vkey
    with pytest.raises(NotVerified, match="checkpoint"):
        export_bundle(own.folder, [stranger], [8], tmp_path / "out")
    own.file.write_bytes(b"".join(line + b"\n" for line in own.lines()[:200]))
    with pytest.raises(NotVerified, match="entry 250 was signed and is gone"):
        export_bundle(own.folder, [own.signer.vkey], [8, 250], tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


# Attacks on the lines


def edited(line: bytes) -> bytes:
    changed = line.replace(b"read_file", b"send_mail")
    assert changed != line
    return changed


def test_an_edited_line_is_named(bundle: Bundle) -> None:
    lines = bundle.lines()
    for place in (2, 3, len(lines) - 1):
        bundle.put([*lines[:place], edited(lines[place]), *lines[place + 1 :]])
        assert bundle.told() == ("altered", (CHOSEN[place],))


def test_a_line_that_was_edited_and_chained_anew_is_named(log: Log, bundle: Bundle) -> None:
    lines = log.lines()
    lines[300] = edited(lines[300])
    forged = rechained(lines)
    bundle.put([forged[seq] for seq in CHOSEN])
    assert bundle.told() == ("altered", (300,))


def test_swapped_and_repeated_lines_are_named(bundle: Bundle) -> None:
    lines = bundle.lines()
    bundle.put([lines[0], lines[2], lines[1], *lines[3:]])
    assert bundle.told() == ("altered", (CHOSEN[1],))
    bundle.put([*lines[:3], lines[2], *lines[3:]])
    assert bundle.told() == ("altered", (CHOSEN[2],))


def test_a_line_renumbered_into_another_place_is_named(bundle: Bundle) -> None:
    lines = bundle.lines()
    for place in (1, LAST - 1):
        moved = compact(json.loads(lines[3]) | {"seq": place})
        bundle.put(sorted([*lines[:3], moved, *lines[4:]], key=lambda line: json.loads(line)["seq"]))
        assert bundle.told() == ("altered", (place,))


@pytest.mark.parametrize("seq", [LAST + 1, -1, 2**63, 10**300])
def test_a_line_of_a_place_that_the_log_does_not_have_is_refused(bundle: Bundle, seq: int) -> None:
    lines = bundle.lines()
    bundle.put([*lines, compact(json.loads(lines[-1]) | {"seq": seq})])
    assert bundle.told() == ("altered", ())


def test_a_line_of_another_log_is_named(bundle: Bundle, tmp_path: Path) -> None:
    other = log_in(tmp_path / "other")
    other.write(50)
    lines = bundle.lines()
    bundle.put([*lines[:3], other.lines()[41], *lines[4:]])
    assert bundle.told() == ("altered", (41,))


def test_lines_may_be_taken_out_only_if_the_bundle_says_how_many_are_left(bundle: Bundle) -> None:
    lines = bundle.lines()
    bundle.put(lines[:4])
    assert bundle.told() == ("altered", ())
    bundle.claim(entries=4)
    report = bundle.verify()
    assert (report.verdict, report.proven, report.of) == ("partial", 4, LAST + 1)  # the count tells what is shown
    bundle.claim(entries=LAST + 1)
    assert bundle.told() == ("altered", ())


def test_a_line_that_was_cut_off_is_not_passed_over(bundle: Bundle) -> None:
    data = bundle.file.read_bytes()
    for cut in (1, 2, 100):
        bundle.file.write_bytes(data[:-cut])
        assert bundle.told()[0] == "altered"
    bundle.file.write_bytes(data + b'{"schema')
    assert bundle.told()[0] == "altered"


@pytest.mark.parametrize("line", [b"", b"{}", b"null", b"\xff\xfe", b"[" * 20_000, b"x" * 2_000_000, b'{"seq":1}'])
def test_a_line_that_is_no_event_is_refused(bundle: Bundle, line: bytes) -> None:
    lines = bundle.lines()
    bundle.put([*lines[:3], line, *lines[3:]])
    report = bundle.verify()
    assert (report.verdict, report.seqs) == ("altered", ())
    assert "line 4 of the bundle" in report.reasons[0]


def test_a_bundle_without_lines_is_empty(bundle: Bundle) -> None:
    bundle.put([])
    assert bundle.told() == ("altered", ())
    bundle.claim(entries=0)
    assert bundle.told() == ("empty", ())
    shutil.rmtree(bundle.path / "log")
    assert bundle.told() == ("empty", ())


def rewritten(line: bytes, **fields: Any) -> bytes:
    """Return a line with other values, as one of ours would be written."""
    return encode(msgspec.structs.replace(msgspec.json.decode(line, type=Event), **fields))


# A signer who lies: lines that are in a signed tree, and no event of a log


def signed_by_hand(log: Log, lines: Sequence[bytes], out: Path) -> Bundle:
    """Return a bundle of all `lines`, signed with the key of `log`, whatever they say."""
    folder = LogFolder(out)
    edge = EdgeTiles()
    for line in lines:
        edge.push(leaf_hash(line))
    (out / "log").mkdir(parents=True)
    write_tiles(folder, edge)
    checkpoint = Checkpoint(origin=log.signer.name, size=len(lines), root=edge.root())
    folder.checkpoint.write_bytes(sign_checkpoint(checkpoint, log.signer))
    folder.first_segment.write_bytes(b"".join(line + b"\n" for line in lines))
    claims = {"format": 1, "origin": log.signer.name, "size": len(lines), "entries": len(lines)}
    (out / "bundle.json").write_bytes(compact(claims) + b"\n")
    return Bundle(log, out)


def test_what_is_signed_by_hand_is_a_bundle_if_its_lines_are_a_log(log: Log, tmp_path: Path) -> None:
    report = signed_by_hand(log, log.lines()[:300], tmp_path / "well").verify()
    assert (report.verdict, report.proven, report.of) == ("partial", 300, 300)


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line.replace(b'"tool_name":', b'"tool_name":"harmless","tool_name":'),
        lambda line: line.replace(b'{"schema_version":1,', b'{"schema_version":1,"seq":0,'),
        lambda line: line.replace(b'{"schema_version":1,"seq":0', b'{"schema_version":2,"seq":0,"seq":0'),
        lambda line: line.replace(b'"seq":', b'"seq": '),
        lambda line: line.replace(b'"seq":', b'"se\\u0071":'),
        lambda line: line + b" ",
        lambda line: line + b"\r",
    ],
)
def test_a_signed_line_with_a_second_reading_is_refused(
    log: Log, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    line = rewritten(log.lines()[0], tool_name="destroy")
    assert signed_by_hand(log, [line], tmp_path / "well").told()[0] == "partial"
    assert change(line) != line
    assert signed_by_hand(log, [change(line)], tmp_path / "out").told()[0] == "altered"


def test_a_signed_line_that_does_not_name_the_one_before_it_is_named(log: Log, tmp_path: Path) -> None:
    lines = log.lines()[:300]
    for seq, prev in ((0, "1" * 64), (7, "0" * 64), (256, leaf_of(lines[254]))):
        changed = [*lines[:seq], compact(json.loads(lines[seq]) | {"prev_hash": prev}), *lines[seq + 1 :]]
        assert signed_by_hand(log, changed, tmp_path / f"out {seq}").told() == ("altered", (seq,))


# Attacks on tiles, checkpoint and claims


@pytest.mark.parametrize("name", ["tile/0/000", "tile/0/001", "tile/0/002.p/109", "tile/1/000.p/2"])
def test_a_forged_tile_never_carries_a_forged_line(log: Log, bundle: Bundle, name: str) -> None:
    tile = bundle.path / name
    data = tile.read_bytes()
    for at in (0, len(data) - 1):
        tile.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert bundle.told()[0] == "altered"
    tile.write_bytes(data + bytes(32))
    assert bundle.told()[0] == "altered"
    tile.write_bytes(data[:-32])
    assert bundle.told()[0] == "altered"
    tile.unlink()
    assert bundle.told()[0] == "altered"
    tile.mkdir()
    assert bundle.told()[0] == "altered"


def test_an_edited_line_with_its_tile_adjusted_is_named(log: Log, bundle: Bundle) -> None:
    lines = bundle.lines()
    forged = edited(lines[3])
    bundle.put([*lines[:3], forged, *lines[4:]])
    tile = bundle.path / "tile/0/000"
    data = bytearray(tile.read_bytes())
    data[41 * 32 : 42 * 32] = leaf_hash(forged)
    tile.write_bytes(data)
    assert bundle.told()[0] == "altered"


def test_a_tree_forged_up_to_the_root_is_not_signed(log: Log, bundle: Bundle, tmp_path: Path) -> None:
    lines = log.lines()
    lines[41] = edited(lines[41])
    stranger = replace(log, signer=SignerKey(name=log.signer.name, private=Ed25519PrivateKey.generate()))
    forged = signed_by_hand(stranger, rechained(lines), tmp_path / "forged")
    assert forged.told(log.signer.vkey) == ("wrong key", ())
    for signature in (b"", (bundle.path / "checkpoint").read_bytes().partition(b"\n\n")[2]):
        text = (forged.path / "checkpoint").read_bytes().partition(b"\n\n")[0]
        (forged.path / "checkpoint").write_bytes(text + b"\n\n" + signature)
        assert forged.told(log.signer.vkey) == ("altered" if signature else "unsigned", ())


def test_a_checkpoint_of_another_time_or_log_does_not_fit(log: Log, bundle: Bundle, tmp_path: Path) -> None:
    checkpoint = bundle.path / "checkpoint"
    for size in (LAST, 256):
        earlier = Checkpoint(origin=log.signer.name, size=size, root=root_of(log.lines()[:size]))
        checkpoint.write_bytes(sign_checkpoint(earlier, log.signer))
        assert bundle.told() == ("altered", ())
        bundle.claim(size=size)
        assert bundle.told()[0] == "altered"
    other = log_in(tmp_path / "other")
    other.write(LAST)
    shutil.copy(other.folder.checkpoint, checkpoint)
    assert bundle.told() == ("altered", ())
    bundle.claim(size=LAST + 1, origin=other.signer.name)
    assert bundle.told() == ("wrong key", ())
    assert bundle.told(log.signer.vkey, other.signer.vkey) == ("altered", ())


def test_a_checkpoint_without_worth_is_told_apart(bundle: Bundle, tmp_path: Path) -> None:
    checkpoint = bundle.path / "checkpoint"
    note = checkpoint.read_bytes()
    assert bundle.told(log_in(tmp_path / "stranger").signer.vkey) == ("wrong key", ())
    checkpoint.write_bytes(note.partition(b"\n\n")[0] + b"\n")
    assert bundle.told() == ("unsigned", ())
    checkpoint.write_bytes(note[:-20] + (b"B" if note[-20:-19] == b"A" else b"A") + note[-19:])
    assert bundle.told()[0] == "altered"
    checkpoint.write_bytes(b"\xff" + note)
    assert bundle.told()[0] == "altered"
    checkpoint.write_bytes(note + b"x" * 70_000)
    assert bundle.told()[0] == "altered"
    checkpoint.unlink()
    assert bundle.told() == ("unsigned", ())


@pytest.mark.parametrize(
    "claims",
    [
        {"format": 2},
        {"format": "1"},
        {"size": LAST},
        {"size": -1},
        {"origin": "another"},
        {"entries": -1},
        {"verdict": "intact"},
    ],
)
def test_claims_that_do_not_fit_are_refused(bundle: Bundle, claims: dict[str, Any]) -> None:
    bundle.claim(**claims)
    assert bundle.told() == ("altered", ())


def test_claims_have_one_spelling(bundle: Bundle) -> None:
    file = bundle.path / "bundle.json"
    data = file.read_bytes()
    for changed in (
        data.replace(b"{", b'{"entries":1,'),
        data.replace(b",", b", "),
        data + b"\n",
        data[:-1],
        b"",
        b"{}" * 3000,
        b"[" * 4000,
    ):
        file.write_bytes(changed)
        assert bundle.told() == ("altered", ())
    file.unlink()
    assert bundle.told() == ("altered", ())


def test_a_whole_ledger_that_calls_itself_a_bundle_is_no_more_than_partial(log: Log, tmp_path: Path) -> None:
    shutil.copytree(log.folder.path, tmp_path / "copy")
    copy = Bundle(log, tmp_path / "copy")
    assert not is_bundle(copy.path)
    claims = {"format": 1, "origin": log.signer.name, "size": LAST + 1, "entries": LAST + 1}
    (copy.path / "bundle.json").write_bytes(compact(claims) + b"\n")
    assert is_bundle(copy.path)
    report = copy.verify(outside=[log.checkpoint()])
    assert (report.verdict, report.proven, report.of) == ("partial", LAST + 1, LAST + 1)
    copy.put(copy.lines()[:-1])
    assert copy.told() == ("altered", ())
    log_lines = log.lines()
    copy.put([*log_lines, rechained([*log_lines, log_lines[-1]], renumber=True)[-1]])
    assert copy.told()[0] == "altered"


# Views from outside


def test_views_from_outside_must_fit_as_far_as_the_tiles_tell(log: Log, bundle: Bundle) -> None:
    def view(size: int, lines: Sequence[bytes]) -> Checkpoint:
        return Checkpoint(origin=log.signer.name, size=size, root=root_of(list(lines[:size])))

    lines = log.lines()
    for size in (1, 40, 256, 300, 512, 600, LAST + 1):
        report = bundle.verify(outside=[view(size, lines)])
        assert report.verdict == "partial"
        assert "fits this bundle" in report.reasons[1]
        forked = bundle.verify(outside=[log.checkpoint(), view(size, [edited(lines[1]), *lines[1:]])])
        assert (forked.verdict, forked.proven) == ("forked", 0)
    beyond = Checkpoint(origin=log.signer.name, size=LAST + 2, root=bytes(32))
    elsewhere = Checkpoint(origin="another", size=LAST + 1, root=bytes(32))
    report = bundle.verify(outside=[beyond, elsewhere])
    assert report.verdict == "partial"
    assert "cannot be compared" in report.reasons[1]
    assert "another log" in report.reasons[2]


def test_where_the_tiles_do_not_tell_of_a_view_that_is_said(log: Log, tmp_path: Path) -> None:
    export_bundle(log.folder, [log.signer.vkey], [LAST], tmp_path / "out")
    view = Checkpoint(origin=log.signer.name, size=40, root=bytes(32))
    report = Bundle(log, tmp_path / "out").verify(outside=[view])
    assert report.verdict == "partial"
    assert "lacks the tiles" in report.reasons[1]


def test_the_first_and_last_views_go_with_a_bundle_and_the_tiles_that_tell_of_them(log: Log, tmp_path: Path) -> None:
    shutil.copytree(log.folder.path, tmp_path / "copy")
    folder = LogFolder(tmp_path / "copy")
    sizes = (5, 100, 100, 300, 620, 700)
    anchors = [
        compact({"kind": kind, "size": size, "note": f"{number}"})
        for number, size in enumerate(sizes)
        for kind in ("witness", "timestamp")
    ]
    (folder.path / "anchors.ndjson").write_bytes(b"".join([b"rubbish\n", *(line + b"\n" for line in anchors)]))
    export_bundle(folder, [log.signer.vkey], [41], tmp_path / "out")
    kept = [json.loads(line) for line in (tmp_path / "out" / "anchors.ndjson").read_bytes().splitlines()]
    assert sorted({(view["kind"], view["size"], view["note"]) for view in kept}) == [
        (kind, size, note) for kind in ("timestamp", "witness") for size, note in ((100, "1"), (100, "2"), (620, "4"))
    ]
    for size in (100, 620):
        view = Checkpoint(origin=log.signer.name, size=size, root=root_of(log.lines()[:size]))
        assert "fits" in Bundle(log, tmp_path / "out").verify(outside=[view]).reasons[1]
    assert [view.size for view in views(folder, 621, 621)] == [620, 620]


# Tiles


@given(st.integers(1, 1400), st.data())
def test_needed_tiles_are_enough_and_any_other_is_never_read(size: int, data: st.DataObject) -> None:
    edge = EdgeTiles()
    leaves = [leaf_hash(b"%d" % number) for number in range(size)]
    for leaf in leaves:
        edge.push(leaf)
    tiles = {(level, index, 256): tile for level, index, tile in edge.take_full()}
    tiles |= {(level, index, width): tile for level, index, width, tile in edge.partials()}
    seqs = data.draw(st.sets(st.integers(0, size - 1), max_size=4))
    sizes = data.draw(st.sets(st.integers(1, size), max_size=3))
    needed = needed_tiles(size, seqs, sizes)
    assert needed <= set(tiles)

    def read(level: int, index: int, width: int) -> bytes:
        assert (level, index, width) in needed
        return tiles[level, index, width]

    rooted = RootedTiles(read, size, edge.root())
    for seq in sorted(seqs):
        assert rooted.leaf(seq) == leaves[seq]
        assert rooted.leaf(max(seq - 1, 0)) == leaves[max(seq - 1, 0)]
    for earlier in sizes:
        smaller = EdgeTiles()
        for leaf in leaves[:earlier]:
            smaller.push(leaf)
        assert rooted.root(earlier) == smaller.root()


def test_each_tile_is_read_once_in_the_order_of_the_log() -> None:
    edge = EdgeTiles()
    for number in range(3000):
        edge.push(leaf_hash(b"%d" % number))
    tiles = {(level, index): tile for level, index, tile in edge.take_full()}
    tiles |= {(level, index): tile for level, index, _, tile in edge.partials()}
    reads: list[str] = []

    def read(level: int, index: int, width: int) -> bytes:
        reads.append(tile_path(level, index, width))
        return tiles[level, index][: width * 32]

    rooted = RootedTiles(read, 3000, edge.root())
    for seq in range(3000):
        rooted.leaf(seq)
    assert sorted(reads) == sorted(set(reads))
    for level, index in ((0, 12), (1, 1), (2, 0), (0, 11_000)):
        with pytest.raises(ValueError, match="not a tile"):
            rooted.read(level, index, 256)
    with pytest.raises(ValueError, match="no leaf"):
        rooted.leaf(3000)


# Keys that were replaced


@dataclass(frozen=True, slots=True)
class Rotated:
    """A log whose key was handed over twice."""

    log: Log
    signers: list[SignerKey]
    handovers: list[int]


@pytest.fixture(scope="module")
def rotated(tmp_path_factory: pytest.TempPathFactory) -> Rotated:
    log = log_in(tmp_path_factory.mktemp("rotated"))
    signers = [log.signer]
    for _ in range(2):
        log.write(300)
        rotate(log.home)
        signers.append(read_keys(log.home).signer)
    log.write(300)
    handovers = [event["seq"] for event in log.events() if event["event_type"] == "key"]
    return Rotated(replace(log, signer=signers[-1]), signers, handovers)


@pytest.fixture
def chain(rotated: Rotated, tmp_path: Path) -> Bundle:
    export_bundle(rotated.log.folder, [rotated.signers[-1].vkey], [41, 500], tmp_path / "chain")
    return Bundle(rotated.log, tmp_path / "chain")


def test_hand_overs_go_with_a_bundle_so_that_the_first_key_is_enough(rotated: Rotated, chain: Bundle) -> None:
    assert [json.loads(line)["seq"] for line in chain.lines()] == sorted([41, 500, *rotated.handovers])
    assert [change.size for change in key_changes(rotated.log.folder, 10_000)] == [seq + 1 for seq in rotated.handovers]
    for keys in (
        [rotated.signers[0].vkey],
        [rotated.signers[1].vkey],
        [rotated.signers[2].vkey],
        [signer.vkey for signer in rotated.signers],
    ):
        report = chain.verify(*keys)
        assert (report.verdict, report.proven) == ("partial", 4)
    assert chain.told(log_in(chain.path.parent / "stranger").signer.vkey) == ("wrong key", ())


def test_a_key_reaches_no_further_than_its_hand_overs_are_proven(rotated: Rotated, chain: Bundle) -> None:
    first, second, third = (signer.vkey for signer in rotated.signers)
    history = chain.path / "checkpoints.ndjson"
    lines = history.read_bytes().splitlines(keepends=True)
    assert len(lines) == 4
    history.write_bytes(b"".join(lines[2:]))  # the end of the first key is gone
    assert chain.told(first) == ("wrong key", ())
    assert chain.told(second)[0] == "partial"
    history.unlink()
    assert chain.told(second) == ("wrong key", ())
    assert chain.told(third)[0] == "partial"


def test_without_the_hand_over_lines_only_the_signing_key_counts(rotated: Rotated, chain: Bundle) -> None:
    lines = [line for line in chain.lines() if json.loads(line)["seq"] not in rotated.handovers]
    chain.put(lines)
    chain.claim(entries=2)
    assert chain.told(rotated.signers[0].vkey) == ("wrong key", ())
    assert chain.told(rotated.signers[2].vkey)[0] == "partial"


def test_a_hand_over_that_nobody_signed_hands_nothing_over(rotated: Rotated, chain: Bundle, tmp_path: Path) -> None:
    thief = SignerKey(name=rotated.log.signer.name, private=Ed25519PrivateKey.generate())
    detail = {"epoch": 1, "old_vkey": str(rotated.signers[0].vkey), "new_vkey": str(thief.vkey)}
    line = rewritten(rotated.log.lines()[0], event_type="key", action="rotate", detail=detail)
    forged = signed_by_hand(replace(rotated.log, signer=thief), [line], tmp_path / "forged")
    assert forged.told(thief.vkey)[0] == "partial"  # its own key says so
    assert forged.told(rotated.signers[0].vkey) == ("wrong key", ())
    closing = Checkpoint(origin=thief.name, size=1, root=leaf_hash(line))
    append_history(LogFolder(forged.path), closing, sign_checkpoint(closing, thief), "")
    shutil.copy(chain.path / "checkpoints.ndjson", forged.path / "more")
    with (forged.path / "checkpoints.ndjson").open("ab") as file:
        file.write((forged.path / "more").read_bytes())
    assert forged.told(rotated.signers[0].vkey) == ("wrong key", ())


def test_a_key_that_was_replaced_signs_nothing_more(rotated: Rotated, chain: Bundle) -> None:
    first = rotated.signers[0]
    late = sign_checkpoint(rotated.log.checkpoint(), first)
    (chain.path / "checkpoint").write_bytes(late)
    report = chain.verify(*(signer.vkey for signer in rotated.signers))
    assert (report.verdict, report.seqs[0]) == ("wrong key", rotated.handovers[0] + 1)
    assert "is signed with a key whose last size was" in report.reasons[0]


def test_a_thief_of_an_old_key_cannot_go_on_with_a_key_of_his_own(rotated: Rotated, tmp_path: Path) -> None:
    first, second, third = rotated.signers
    thief = SignerKey(name=first.name, private=Ed25519PrivateKey.generate())
    detail = {"epoch": 1, "old_vkey": str(first.vkey), "new_vkey": str(thief.vkey)}
    line = rewritten(rotated.log.lines()[0], event_type="key", action="rotate", detail=detail)
    forged = signed_by_hand(replace(rotated.log, signer=thief), [line], tmp_path / "forged")
    closing = Checkpoint(origin=thief.name, size=1, root=leaf_hash(line))
    append_history(LogFolder(forged.path), closing, sign_checkpoint(closing, first), "")
    assert forged.told(first.vkey)[0] == "partial"  # who knows no newer key cannot tell
    assert forged.told(first.vkey, second.vkey) == ("wrong key", ())
    assert forged.told(first.vkey, third.vkey) == ("wrong key", ())


def test_a_bundle_that_an_old_key_signed_has_the_wrong_key_for_who_knows_the_newer_one(
    rotated: Rotated, tmp_path: Path
) -> None:
    first, second, third = (signer.vkey for signer in rotated.signers)
    lines = rotated.log.lines()[:100]
    early = signed_by_hand(replace(rotated.log, signer=rotated.signers[0]), lines, tmp_path / "early")
    assert early.verify(first).verdict == "partial"  # it may be from before the change: who says so believes that
    report = early.verify(first, second, third)
    assert report.verdict == "wrong key"
    assert "give the older key alone" in report.reasons[0]
    assert early.told(first, third)[0] == "wrong key"


def test_an_old_key_that_hands_over_to_the_newer_one_by_itself_has_no_more_weight(
    rotated: Rotated, tmp_path: Path
) -> None:
    first, second = rotated.signers[:2]
    detail = {"epoch": 1, "old_vkey": str(first.vkey), "new_vkey": str(second.vkey)}
    line = rewritten(rotated.log.lines()[0], event_type="key", action="rotate", detail=detail)
    forged = signed_by_hand(replace(rotated.log, signer=first), [line], tmp_path / "forged")
    closing = Checkpoint(origin=first.name, size=1, root=leaf_hash(line))
    append_history(LogFolder(forged.path), closing, sign_checkpoint(closing, first), "")
    assert forged.told(first.vkey)[0] == "partial"
    assert forged.told(first.vkey, second.vkey)[0] == "wrong key"


def test_a_history_that_cannot_be_read_line_by_line_is_read_as_far_as_it_can(rotated: Rotated, chain: Bundle) -> None:
    history = chain.path / "checkpoints.ndjson"
    data = history.read_bytes()
    history.write_bytes(b'rubbish\n{"size":"x"}\n\xff\n{"size":1}\n' + data)
    assert chain.told(rotated.signers[0].vkey)[0] == "partial"


def test_what_cannot_be_written_or_read_is_told_apart(own: Log, tmp_path: Path) -> None:
    keys = [own.signer.vkey]
    (tmp_path / "n").mkdir()
    with pytest.raises(LedgerUnwritable, match="cannot write"):
        export_bundle(own.folder, keys, [7], tmp_path / "n" / ("x" * 250))
    own.file.unlink()
    own.file.mkdir()
    with pytest.raises(OSError, match="directory"):
        export_bundle(own.folder, keys, [7], tmp_path / "n" / "out")
    assert list((tmp_path / "n").iterdir()) == []


@pytest.mark.parametrize("name", ["000000000000000000.ndjson.zst", "notes.ndjson", "lines.txt"])
def test_what_a_reader_could_take_for_a_line_of_the_bundle_and_is_none_is_refused(bundle: Bundle, name: str) -> None:
    (bundle.path / "log" / name).write_bytes(b"".join(compress([b'{"forged":1}\n'])))
    assert bundle.told()[0] == "altered"
