# SPDX-License-Identifier: Apache-2.0
"""What docs/format.md says is what the program does: its numbers, its worked example, its commands."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ledger.logs import check_chain, leaf_of, log_in, root_of
from tests.peers.peer import need, shell

from onrecord.event.event import Event, encode
from onrecord.event.schema import read_event
from onrecord.ledger.frames import FRAME_LINES
from onrecord.ledger.keys import open_keys
from onrecord.ledger.lines import MAX_LINE
from onrecord.ledger.merkle import leaf_hash, node_hash
from onrecord.ledger.note import MAX_SIGNATURES, MAX_SIZE, VerifierKey, open_checkpoint, sign_checkpoint
from onrecord.ledger.place import Home, LogFolder
from onrecord.ledger.segment import RESERVE, SEGMENT
from onrecord.ledger.tiles import TILE_WIDTH
from onrecord.ledger.verify import verify

PAGE = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
LINES = "log/000000000000000000.ndjson"

pytestmark = pytest.mark.requirement("D2")


def section(title: str) -> str:
    return re.split(r"^## ", PAGE, flags=re.MULTILINE)[
        [part.partition("\n")[0] for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)].index(title)
    ]


def files() -> dict[str, str]:
    """Return the files that the worked example shows, by name."""
    shown = re.findall(r"^`([^`\n]+)`\n\n```\w+\n(.*?)```$", section("Worked example"), re.MULTILINE | re.DOTALL)
    return dict(shown)


def hashes() -> dict[str, str]:
    """Return the hashes that the worked example shows, in hex."""
    return dict(re.findall(r"^\| (.+?) \| `([0-9a-f]{64})` \|$", section("Worked example"), re.MULTILINE))


def rows(title: str) -> list[tuple[str, str]]:
    """Return the first two cells of each row of the tables of a section."""
    return re.findall(r"^\| (?!-)(.+?) \| (.+?) \|$", section(title), re.MULTILINE)


def commands(title: str) -> list[tuple[str, str]]:
    """Return what a person types in a section, a block at a time, and what is printed."""
    blocks = re.findall(r"^```console\n(.*?)```$", section(title), re.MULTILINE | re.DOTALL)
    return [
        (
            "\n".join(line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")),
            "".join(f"{line}\n" for line in block.splitlines() if not line.startswith("$ ")),
        )
        for block in blocks
    ]


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The folder of the log that the page shows."""
    for name, text in files().items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    tile = tmp_path / "tile" / "0" / "000.p" / "3"
    tile.parent.mkdir(parents=True)
    tile.write_bytes(b"".join(bytes.fromhex(hashes()[f"leaf {seq}"]) for seq in range(3)))
    return tmp_path


def lines() -> list[bytes]:
    return files()[LINES].encode().split(b"\n")[:-1]


# The worked example


def test_the_lines_are_what_this_program_writes_for_these_events() -> None:
    assert len(lines()) == 3
    check_chain(lines())
    for line in lines():
        assert encode(read_event(line)) == line


def test_the_hashes_are_those_of_the_lines() -> None:
    leaves = [leaf_hash(line) for line in lines()]
    pair = node_hash(leaves[0], leaves[1])
    assert hashes() == {
        **{f"leaf {seq}": leaf_of(line) for seq, line in enumerate(lines())},
        "node(leaf 0, leaf 1)": pair.hex(),
        "root = node(node(leaf 0, leaf 1), leaf 2)": root_of(lines()).hex(),
    }


def test_the_checkpoint_is_what_the_key_signs(tmp_path: Path) -> None:
    home = Home(tmp_path)
    open_keys(home)
    for suffix in ("key", "vkey"):  # of this home, whatever its files are called
        (path,) = [path for path in home.keys.glob(f"*.{suffix}") if path.name != "digest.key"]
        path.write_text(files()[f"calls.{suffix}"])
    signer = open_keys(home)[0].signer
    assert f"{signer.vkey}\n" == files()["calls.vkey"]
    note = files()["checkpoint"].encode()
    checkpoint = open_checkpoint(note, [signer.vkey])
    assert (checkpoint.size, checkpoint.root) == (3, root_of(lines()))
    assert sign_checkpoint(checkpoint, signer) == note


def test_the_history_holds_the_checkpoint() -> None:
    said = json.loads(files()["checkpoints.ndjson"])
    assert said["note"] == files()["checkpoint"]
    assert list(said) == ["size", "root", "timestamp", "note"]


def test_the_example_verifies(example: Path) -> None:
    key = VerifierKey.parse(files()["calls.vkey"].strip())
    report = verify(LogFolder(example), [key])
    assert (report.verdict, report.entries, report.signed) == ("unanchored", 3, 3)


def test_go_verifies_the_example(example: Path, sumdb: Path) -> None:
    done = subprocess.run([sumdb, example, example / "calls.vkey"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["proven"] == [0, 1, 2]


def test_the_proof_leads_from_the_entry_to_the_root() -> None:
    (text,) = re.findall(r"^(c2sp.org/tlog-proof@v1\n.*?)```$", section("Worked example"), re.MULTILINE | re.DOTALL)
    head, _, note = text.partition("\n\n")
    assert note == files()["checkpoint"]
    version, index, *path = head.split("\n")
    assert (version, index) == ("c2sp.org/tlog-proof@v1", "index 1")
    shown = [msgspec.json.decode(f'"{one}"', type=bytes).hex() for one in path]
    assert shown == [hashes()["leaf 0"], hashes()["leaf 2"]]


# The commands


@pytest.mark.parametrize(("typed", "printed"), commands("By hand"))
def test_what_is_typed_by_hand_prints_what_the_page_shows(example: Path, typed: str, printed: str) -> None:
    need("jq", "openssl", "zstd", "zstdcat")
    assert shell(typed, example) == printed


# The rules


def test_the_numbers_are_those_of_the_program() -> None:
    shown = {name: int(re.sub(r"\D", "", value)) for name, value in rows("Conventions")[1:]}
    assert shown == {
        "longest line, without its line feed": MAX_LINE,
        "lines in a frame of a compressed segment": FRAME_LINES,
        "bytes after which a segment ends": SEGMENT,
        "bytes kept in reserve behind the last line": RESERVE,
        "hashes in a full tile": TILE_WIDTH,
        "signatures that are read under a note": MAX_SIGNATURES,
        "largest size of a tree": MAX_SIZE,
    }


def test_the_keys_that_the_ledger_sets_are_in_the_order_of_the_page(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.write(2)
    named = [key.strip("`") for key, _ in rows("A line") if key.startswith("`")]
    for event in log.events():
        assert list(event)[:7] == [*named[:6], "event_id"]
    opening = log.events()[0]
    assert opening["event_type"] == "log_open"
    assert set(opening["detail"]) == set(named[6:])


@given(
    st.dictionaries(
        st.text(max_size=20),
        st.recursive(
            st.text() | st.integers(-(2**63), 2**63 - 1) | st.booleans(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=8,
        ),
        max_size=5,
    )
)
def test_an_event_is_encoded_as_the_page_says(detail: dict[str, Any]) -> None:
    line = encode(Event(event_id="e", event_type="security", detail=detail))
    assert line.decode() == json.dumps(json.loads(line), ensure_ascii=False, separators=(",", ":"))


def test_the_files_of_a_home_are_those_on_the_page(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.write(300)
    known = [
        r"ledger/calls/log/\d{18}\.ndjson",
        r"ledger/calls/tile/\d+/(x\d{3}/)*\d{3}(\.p/\d+)?",
        r"ledger/calls/(checkpoint|checkpoints\.ndjson|writer\.lock|publish\.lock|seal\.lock)",
        r"guard/calls",
        r"keys/(create\.lock|digest\.key|\w+\.key|\w+\.vkey)",
    ]
    there = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert [name for name in there if not any(re.fullmatch(pattern, name) for pattern in known)] == []
