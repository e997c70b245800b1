# SPDX-License-Identifier: Apache-2.0
"""Verifying: each attack on a log of several tiles, and the verdict that it gets."""

import json
import shutil
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from tests.ledger.logs import Log, compact, entry, leaf_of, log_in, rechained, root_of, root_text

from onrecord.ledger.merkle import EdgeTiles
from onrecord.ledger.note import Checkpoint, SignerKey, open_checkpoint, sign_checkpoint
from onrecord.ledger.place import LogFolder
from onrecord.ledger.signing import key_file, verifier_file, write_signers, write_vkeys
from onrecord.ledger.tree import Guard, guard_of, read_guard, write_guard
from onrecord.ledger.verify import Report, Verdict, verify

pytestmark = pytest.mark.requirement("D2")

LAST = 620  # the seq of the last entry: two full tiles and a part of a third


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Log:
    """Return a log that was signed now and then as it grew."""
    log = log_in(tmp_path_factory.mktemp("original"))
    ledger = log.open(wid="w")
    for number in range(LAST):
        ledger.append(entry(number, phase=""))
        if number % 100 == 42:
            ledger.publish()
    ledger.publish()
    ledger.close()
    return log


@dataclass(frozen=True, slots=True)
class Copy:
    """A log in an attacker's hands."""

    original: Log
    folder: LogFolder

    @property
    def file(self) -> Path:
        return self.folder.first_segment

    def lines(self) -> list[bytes]:
        return self.file.read_bytes().split(b"\n")[:-1]

    def put(self, lines: Sequence[bytes], *, end: bytes = b"\n") -> None:
        self.file.write_bytes(b"".join(line + end for line in lines))

    def verify(self, **options: Any) -> Report:
        report = verify(self.folder, [self.original.signer.vkey], **options)
        assert report.verdict in get_args(Verdict)
        assert report.reasons
        return report

    @property
    def kept(self) -> Checkpoint:
        """The original's checkpoint, as somebody outside keeps it."""
        return self.original.checkpoint()

    @property
    def guard(self) -> Guard | None:
        return read_guard(self.original.guard)


@pytest.fixture
def copy(original: Log, tmp_path: Path) -> Copy:
    shutil.copytree(original.folder.path, tmp_path / "copy")
    return Copy(original, LogFolder(tmp_path / "copy"))


def edited(line: bytes) -> bytes:
    changed = line.replace(b"read_file", b"send_mail")
    assert changed != line
    assert len(changed) == len(line)
    return changed


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


# Attacks without the key. Each is (what is done, the verdict, the entries that it names).


def edit(copy: Copy) -> None:
    lines = copy.lines()
    lines[300] = edited(lines[300])
    copy.put(lines)


def edit_first(copy: Copy) -> None:
    lines = copy.lines()
    copy.put([lines[0].replace(b"onrecord/", b"offrecord"), *lines[1:]])


def edit_last(copy: Copy) -> None:
    lines = copy.lines()
    copy.put([*lines[:-1], edited(lines[-1])])


def edit_and_rechain(copy: Copy) -> None:
    edit(copy)
    copy.put(rechained(copy.lines()))


def edit_rechain_and_remake_tiles(copy: Copy) -> None:
    edit_and_rechain(copy)
    leaves = b"".join(bytes.fromhex(leaf_of(line)) for line in copy.lines())
    for index in range(2):
        (copy.folder.path / f"tile/0/00{index}").write_bytes(leaves[index * 8192 : index * 8192 + 8192])
    for tile in (copy.folder.path / "tile/0/002.p").iterdir():
        tile.write_bytes(leaves[2 * 8192 :][: int(tile.name) * 32])


def swap(copy: Copy) -> None:
    lines = copy.lines()
    lines[300], lines[301] = lines[301], lines[300]
    copy.put(lines)


def swap_far(copy: Copy) -> None:
    lines = copy.lines()
    lines[100], lines[500] = lines[500], lines[100]
    copy.put(lines)


def swap_and_rechain(copy: Copy) -> None:
    swap(copy)
    copy.put(rechained(copy.lines()))


def swap_renumber_and_rechain(copy: Copy) -> None:
    swap(copy)
    copy.put(rechained(copy.lines(), renumber=True))


def delete(copy: Copy) -> None:
    lines = copy.lines()
    copy.put(lines[:300] + lines[303:])


def delete_first(copy: Copy) -> None:
    copy.put(copy.lines()[1:])


def delete_and_rechain(copy: Copy) -> None:
    delete(copy)
    copy.put(rechained(copy.lines()))


def delete_renumber_and_rechain(copy: Copy) -> None:
    delete(copy)
    copy.put(rechained(copy.lines(), renumber=True))


def insert(copy: Copy) -> None:
    lines = copy.lines()
    copy.put(rechained([*lines[:300], edited(lines[300]), *lines[300:]], renumber=True))


def repeat(copy: Copy) -> None:
    lines = copy.lines()
    copy.put([*lines[:300], lines[299], *lines[300:]])


def cut_one(copy: Copy) -> None:
    copy.put(copy.lines()[:-1])


def cut_five(copy: Copy) -> None:
    copy.put(copy.lines()[:-5])


def cut_to_a_tile(copy: Copy) -> None:
    copy.put(copy.lines()[:512])


def cut_within_a_line(copy: Copy) -> None:
    copy.file.write_bytes(copy.file.read_bytes()[:-10])


def empty(copy: Copy) -> None:
    copy.file.write_bytes(b"")


def remove_file(copy: Copy) -> None:
    copy.file.unlink()


def remove_folder(copy: Copy) -> None:
    shutil.rmtree(copy.folder.path)


def leave_a_part_of_the_first_line(copy: Copy) -> None:
    copy.file.write_bytes(copy.file.read_bytes()[:50])


def replace_all(copy: Copy) -> None:
    copy.put(
        rechained([edited(line) if b"read_file" in line else line + b"" for line in copy.lines()[1:]], renumber=True)
    )


def append_forged(copy: Copy) -> None:
    lines = copy.lines()
    forged = json.loads(lines[-1]) | {"seq": LAST + 1, "prev_hash": leaf_of(lines[-1])}
    copy.put([*lines, compact(forged)])


def append_unchained(copy: Copy) -> None:
    lines = copy.lines()
    copy.put([*lines, compact(json.loads(lines[-1]) | {"seq": LAST + 1})])


def append_garbage(copy: Copy) -> None:
    copy.put([*copy.lines(), b"hello"])


def append_an_empty_line(copy: Copy) -> None:
    copy.put([*copy.lines(), b""])


def append_beyond_any_memory(copy: Copy) -> None:
    lines = copy.lines()
    copy.put([*lines, compact(json.loads(lines[-1]) | {"seq": 10**30})])


def append_a_line_without_end(copy: Copy) -> None:
    copy.put([*copy.lines(), bytes(5_000_000)])


def another_segment(copy: Copy) -> None:
    append_forged(copy)
    lines = copy.lines()
    copy.put(lines[:-1])
    (copy.folder.segments / f"{LAST + 1:018d}.ndjson").write_bytes(lines[-1] + b"\n")


def line_300(change: Callable[[bytes], bytes]) -> Callable[[Copy], None]:
    """Return the attack that changes line 300 and computes the chain anew behind it."""

    def attack(copy: Copy) -> None:
        lines = copy.lines()
        lines[300] = change(lines[300])
        before = leaf_of(lines[300])
        for place in range(301, len(lines)):
            lines[place] = compact(json.loads(lines[place]) | {"prev_hash": before})
            before = leaf_of(lines[place])
        copy.put(lines)

    attack.__name__ = change.__name__
    return attack


def a_key_twice(line: bytes) -> bytes:
    return line.replace(b'"tool_name":', b'"tool_name":"send_mail","tool_name":')


def seq_twice(line: bytes) -> bytes:
    return line[:-1] + b',"seq":300}'


def a_key_twice_within_a_value(line: bytes) -> bytes:
    return line[:-1] + b',"ext":{"a":{"b":1,"b":2}}}'


def a_key_twice_in_two_spellings(line: bytes) -> bytes:
    return line.replace(b'"tool_name":', b'"\\u0074ool_name":"send_mail","tool_name":')


def a_key_that_nobody_knows(line: bytes) -> bytes:
    return line[:-1] + b',"surprise":1}'


def a_space(line: bytes) -> bytes:
    return line.replace(b'":"', b'": "', 1)


def another_order(line: bytes) -> bytes:
    fields = json.loads(line)
    return compact({"tool_name": fields.pop("tool_name"), **fields})


def another_escape(line: bytes) -> bytes:
    return line.replace(b"read_file", b"read_\\u0066ile")


def garbage(line: bytes) -> bytes:
    return b"x" * len(line)


def no_utf8(line: bytes) -> bytes:
    return line.replace(b"read_file", b"read_\xff\xfe\xfd\xfc")


def a_lone_surrogate(line: bytes) -> bytes:
    return line.replace(b"read_file", b"\\ud800")


def nesting_without_end(line: bytes) -> bytes:
    return line[:-1] + b',"ext":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}"


def a_number_without_end(line: bytes) -> bytes:
    return line[:-1] + b',"ext":{"a":' + b"1" * 100_000 + b"}}"


def zeros(line: bytes) -> bytes:
    return bytes(len(line))


def a_zero(line: bytes) -> bytes:
    return line + b"\0"


def a_carriage_return(line: bytes) -> bytes:
    return line + b"\r"


def nothing(line: bytes) -> bytes:
    return b""


def a_list(line: bytes) -> bytes:
    return b"[" + line + b"]"


def another_type(line: bytes) -> bytes:
    return line.replace(b'"seq":300', b'"seq":"300"')


def a_byte_order_mark(line: bytes) -> bytes:
    return b"\xef\xbb\xbf" + line


def carriage_returns(copy: Copy) -> None:
    copy.put(copy.lines(), end=b"\r\n")


def no_line_feed(copy: Copy) -> None:
    lines = copy.lines()
    copy.put([*lines[:300], lines[300] + lines[301], *lines[302:]])


FORMS = [
    a_key_twice,
    seq_twice,
    a_key_twice_within_a_value,
    a_key_twice_in_two_spellings,
    a_key_that_nobody_knows,
    a_space,
    another_order,
    another_escape,
    garbage,
    no_utf8,
    a_lone_surrogate,
    nesting_without_end,
    a_number_without_end,
    zeros,
    a_zero,
    a_carriage_return,
    nothing,
    a_list,
    another_type,
    a_byte_order_mark,
]

WITHOUT_THE_KEY: list[tuple[Callable[[Copy], None], Verdict, tuple[int, ...]]] = [
    (edit, "altered", (300,)),
    (edit_first, "altered", (0,)),
    (edit_last, "altered", (LAST,)),
    (edit_and_rechain, "altered", (300,)),
    (edit_rechain_and_remake_tiles, "altered", ()),  # nothing is left that says which
    (swap, "reordered", (300, 301)),
    (swap_far, "reordered", (100, 500)),
    (swap_and_rechain, "reordered", (300, 301)),
    (swap_renumber_and_rechain, "altered", (300,)),
    (delete, "altered", (300, 301, 302)),
    (delete_first, "altered", (0,)),
    (delete_and_rechain, "altered", (300, 301, 302)),
    (delete_renumber_and_rechain, "altered", (300,)),
    (insert, "altered", (300,)),
    (repeat, "altered", tuple(range(299, 399))),
    (cut_one, "truncated", (LAST,)),
    (cut_five, "truncated", tuple(range(LAST - 4, LAST + 1))),
    (cut_to_a_tile, "truncated", tuple(range(512, 612))),
    (cut_within_a_line, "truncated", (LAST,)),
    (empty, "empty", ()),
    (remove_file, "empty", ()),
    (remove_folder, "empty", ()),
    (leave_a_part_of_the_first_line, "empty", ()),
    (replace_all, "altered", (0,)),
    (append_forged, "unsigned", (LAST + 1,)),
    (append_unchained, "altered", (LAST, LAST + 1)),
    (append_garbage, "altered", (LAST + 1,)),
    (append_an_empty_line, "altered", (LAST + 1,)),
    (append_beyond_any_memory, "altered", tuple(range(LAST + 1, LAST + 101))),
    (append_a_line_without_end, "altered", (LAST + 1,)),
    (another_segment, "unsigned", (LAST + 1,)),
    (carriage_returns, "altered", (0,)),
    (no_line_feed, "altered", (300,)),
    *((line_300(change), "altered", (300,)) for change in FORMS),
]


@pytest.mark.parametrize(
    ("attack", "verdict", "seqs"), WITHOUT_THE_KEY, ids=lambda value: getattr(value, "__name__", "")
)
def test_whoever_changes_lines_without_the_key_is_seen(
    copy: Copy, attack: Callable[[Copy], None], verdict: Verdict, seqs: tuple[int, ...]
) -> None:
    attack(copy)
    report = copy.verify()
    assert (report.verdict, report.seqs) == (verdict, seqs)
    for options in ({"outside": [copy.kept]}, {"guard": copy.guard}, {"outside": [copy.kept], "guard": copy.guard}):
        assert copy.verify(**options).verdict not in ("intact", "unanchored")


@pytest.mark.parametrize(
    ("attack", "verdict", "seqs"),
    [
        (edit, "altered", (300, 301)),  # one of the two
        (edit_last, "altered", ()),
        (edit_and_rechain, "altered", ()),
        (delete_renumber_and_rechain, "altered", ()),
        (insert, "altered", ()),
        (cut_one, "truncated", (LAST,)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_attack_is_seen_also_where_no_tile_says_which_entry(
    copy: Copy, attack: Callable[[Copy], None], verdict: Verdict, seqs: tuple[int, ...]
) -> None:
    shutil.rmtree(copy.folder.path / "tile")
    attack(copy)
    report = copy.verify()
    assert (report.verdict, report.seqs) == (verdict, seqs)


def test_tiles_that_were_changed_accuse_nobody_alone(copy: Copy) -> None:
    tile = copy.folder.path / "tile/0/000"
    tile.write_bytes(tile.read_bytes()[:320] + bytes(32) + tile.read_bytes()[352:])
    assert copy.verify().verdict == "unanchored"
    edit(copy)
    report = copy.verify()
    assert report.verdict == "altered"
    assert {300, 301} <= set(report.seqs)


# The checkpoint


def checkpoint_text(copy: Copy) -> str:
    return copy.folder.checkpoint.read_text().partition("\n\n")[0] + "\n"


def signed_by(copy: Copy, signer: SignerKey) -> None:
    text = checkpoint_text(copy)
    copy.folder.checkpoint.write_text(f"{text}\n{signer.sign(text)}")


def stranger(name: str = "") -> SignerKey:
    return SignerKey(name=name or "stranger", private=Ed25519PrivateKey.generate())


def remove_checkpoint(copy: Copy) -> None:
    copy.folder.checkpoint.unlink()


def strip_signature(copy: Copy) -> None:
    copy.folder.checkpoint.write_text(checkpoint_text(copy) + "\n")


def strip_all_but_the_text(copy: Copy) -> None:
    copy.folder.checkpoint.write_text(checkpoint_text(copy))


def sign_as_a_stranger(copy: Copy) -> None:
    signed_by(copy, stranger())


def sign_as_a_stranger_of_the_same_name(copy: Copy) -> None:
    signed_by(copy, stranger(copy.original.signer.name))


def flip_a_bit_of_the_signature(copy: Copy) -> None:
    data = copy.folder.checkpoint.read_bytes()
    at = len(data) - 20
    copy.folder.checkpoint.write_bytes(data[:at] + (b"A" if data[at : at + 1] != b"A" else b"B") + data[at + 1 :])


def change_the_size(copy: Copy) -> None:
    data = copy.folder.checkpoint.read_bytes()
    copy.folder.checkpoint.write_bytes(data.replace(b"\n621\n", b"\n620\n"))


def change_the_root(copy: Copy) -> None:
    text = checkpoint_text(copy)
    root = root_text(root_of(copy.lines()[:-1]))
    copy.folder.checkpoint.write_text(copy.folder.checkpoint.read_text().replace(text.split("\n")[2], root))


def empty_checkpoint(copy: Copy) -> None:
    copy.folder.checkpoint.write_bytes(b"")


def garbled_checkpoint(copy: Copy) -> None:
    copy.folder.checkpoint.write_bytes(b"\xff\xfe\x00")


@pytest.mark.parametrize(
    ("attack", "verdict"),
    [
        (remove_checkpoint, "unsigned"),
        (strip_signature, "unsigned"),
        (strip_all_but_the_text, "unsigned"),
        (sign_as_a_stranger, "wrong key"),
        (sign_as_a_stranger_of_the_same_name, "wrong key"),
        (flip_a_bit_of_the_signature, "altered"),
        (change_the_size, "altered"),
        (change_the_root, "altered"),
        (empty_checkpoint, "altered"),
        (garbled_checkpoint, "altered"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_whoever_changes_the_signature_is_seen(copy: Copy, attack: Callable[[Copy], None], verdict: Verdict) -> None:
    attack(copy)
    for options in ({}, {"outside": [copy.kept]}, {"guard": copy.guard}):
        report = copy.verify(**options)
        assert (report.verdict, report.signed) == (verdict, 0)


def test_a_log_that_somebody_else_signed_throughout_has_the_wrong_key(copy: Copy, tmp_path: Path) -> None:
    forger = SignerKey(name=copy.original.signer.name, private=Ed25519PrivateKey.generate())
    forged = Log(log_in(tmp_path / "forger").home, forger)
    write_signers(key_file(forged.home), [forger])
    write_vkeys(verifier_file(forged.home), [forger.vkey])
    write_guard(forged.home.guard(), guard_of(EdgeTiles(), forger.name), durable=False)
    forged.write(LAST)
    report = verify(forged.folder, [copy.original.signer.vkey])
    assert (report.verdict, report.entries, report.signed) == ("wrong key", LAST + 1, 0)
    assert verify(forged.folder, [forger.vkey]).verdict == "unanchored"  # for whoever took the key from the forger


def test_without_any_key_nothing_counts_as_signed(copy: Copy) -> None:
    assert verify(copy.folder, []).verdict == "wrong key"


# Attacks with the key


@pytest.fixture
def fork(copy: Copy, tmp_path: Path) -> LogFolder:
    """Return a log that a thief of the key made: the same up to 400 entries, another one from there on."""
    thief = Log(log_in(tmp_path / "thief").home, copy.original.signer)
    lines = copy.lines()
    forged = rechained([*lines[:400], *(edited(line) for line in lines[400:])])
    thief.folder.segments.mkdir(parents=True)
    thief.file.write_bytes(b"".join(line + b"\n" for line in forged))
    checkpoint = Checkpoint(origin=copy.original.signer.name, size=len(forged), root=root_of(forged))
    thief.folder.checkpoint.write_bytes(sign_checkpoint(checkpoint, copy.original.signer))
    return thief.folder


def test_a_fork_by_a_thief_of_the_key_is_seen_by_whoever_saw_the_log_before(copy: Copy, fork: LogFolder) -> None:
    keys = [copy.original.signer.vkey]
    assert verify(fork, keys).verdict == "unanchored"  # a key that was stolen proves nothing any more
    assert verify(fork, keys, outside=[copy.kept]).verdict == "forked"
    assert verify(fork, keys, guard=copy.guard).verdict == "forked"
    shutil.copy(copy.folder.checkpoints, fork.checkpoints)
    report = verify(fork, keys)
    assert report.verdict == "forked"
    assert "the first 444 entries" in report.reasons[0]  # the first signature after the fork


@pytest.mark.parametrize("change", FORMS, ids=lambda change: change.__name__)
def test_a_line_that_could_be_read_in_two_ways_does_not_verify_even_if_it_was_signed(
    copy: Copy, change: Callable[[bytes], bytes]
) -> None:
    line_300(change)(copy)
    shutil.rmtree(copy.folder.path / "tile")
    copy.folder.checkpoints.unlink()
    lines = copy.lines()
    checkpoint = Checkpoint(origin=copy.original.signer.name, size=len(lines), root=root_of(lines))
    copy.folder.checkpoint.write_bytes(sign_checkpoint(checkpoint, copy.original.signer))
    report = copy.verify()
    assert (report.verdict, report.seqs) == ("altered", (300,))


def test_a_view_from_before_the_fork_does_not_see_it(copy: Copy, fork: LogFolder) -> None:
    view = Checkpoint(origin=copy.original.signer.name, size=400, root=root_of(copy.lines()[:400]))
    assert verify(fork, [copy.original.signer.vkey], outside=[view]).verdict == "intact"
    assert verify(fork, [copy.original.signer.vkey], outside=[view, copy.kept]).verdict == "forked"


@pytest.fixture
def older(copy: Copy, tmp_path: Path) -> LogFolder:
    """Return the log as it was when it had 344 entries, validly signed."""
    lines = copy.folder.checkpoints.read_bytes().splitlines(keepends=True)
    sizes = [json.loads(line)["size"] for line in lines]
    at = sizes.index(344)
    old = LogFolder(tmp_path / "older")
    old.segments.mkdir(parents=True)
    old.first_segment.write_bytes(b"".join(line + b"\n" for line in copy.lines()[:344]))
    old.checkpoint.write_text(json.loads(lines[at])["note"])
    old.checkpoints.write_bytes(b"".join(lines[: at + 1]))
    return old


def test_a_rollback_to_an_older_state_is_seen_by_whoever_saw_a_newer_one(copy: Copy, older: LogFolder) -> None:
    keys = [copy.original.signer.vkey]
    assert verify(older, keys).verdict == "unanchored"
    for options in ({"outside": [copy.kept]}, {"guard": copy.guard}):
        report = verify(older, keys, **options)  # pyright: ignore[reportArgumentType]
        assert (report.verdict, report.seqs) == ("rolled back", tuple(range(344, 444)))
    shutil.copy(copy.folder.checkpoints, older.checkpoints)  # whoever forgets the history
    assert verify(older, keys).verdict in ("rolled back", "truncated")


def test_an_older_signature_over_a_newer_log_leaves_the_rest_unsigned(copy: Copy, older: LogFolder) -> None:
    shutil.copy(older.checkpoint, copy.folder.checkpoint)
    shutil.copy(older.checkpoints, copy.folder.checkpoints)
    report = copy.verify()
    assert (report.verdict, report.signed, report.seqs) == ("unsigned", 344, tuple(range(344, 444)))


def test_a_signature_that_a_crash_kept_from_being_published_counts_all_the_same(copy: Copy, older: LogFolder) -> None:
    shutil.copy(older.checkpoint, copy.folder.checkpoint)
    assert (copy.verify().verdict, copy.verify().signed) == ("unanchored", LAST + 1)


# The history of signatures


def change_history(copy: Copy, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    lines = copy.folder.checkpoints.read_bytes().splitlines()
    copy.folder.checkpoints.write_bytes(b"".join(compact(change(json.loads(line))) + b"\n" for line in lines))


@pytest.mark.parametrize(
    "change",
    [
        {"size": 5},
        {"size": 10**18},
        {"size": -1},
        {"size": 0},
        {"size": "x"},
        {"root": root_text(bytes(32))},
        {"root": "?"},
        {"note": "nothing"},
        {"note": ""},
        {"surprise": 1},
    ],
    ids=str,
)
def test_a_history_that_was_changed_neither_helps_nor_accuses(
    copy: Copy, fork: LogFolder, change: dict[str, object]
) -> None:
    change_history(copy, lambda fields: fields | change)
    report = copy.verify()
    assert (report.verdict, report.seqs) == ("unanchored", ())
    edit(copy)
    assert copy.verify().verdict == "altered"
    shutil.copy(copy.folder.checkpoints, fork.checkpoints)
    assert verify(fork, [copy.original.signer.vkey], outside=[copy.kept]).verdict == "forked"


@pytest.mark.parametrize("data", [b"", b"garbage\n", b"\xff\n", b"[" * 100_000 + b"\n", bytes(3_000_000) + b"\n"])
def test_a_history_that_cannot_be_read_is_no_alarm(copy: Copy, data: bytes) -> None:
    copy.folder.checkpoints.write_bytes(data)
    assert copy.verify().verdict == "unanchored"
    copy.folder.checkpoints.unlink()
    assert copy.verify().verdict == "unanchored"


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
