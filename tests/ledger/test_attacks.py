# SPDX-License-Identifier: Apache-2.0
"""Each attack on a log, of one epoch and of two: the verdict that it gets, and the entries that are named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.ledger.copies import HANDED, LAST, Copy, Original, copy_of, edited, original_in
from tests.ledger.logs import Log, compact, leaf_of, log_in, new_id, rechained, root_of, root_text

from onrecord.event.event import Event, encode
from onrecord.event.redacted import deletion
from onrecord.ledger.history import MAX_HISTORY
from onrecord.ledger.lines import segment_files, write_tombstone
from onrecord.ledger.note import Checkpoint, SignerKey, VerifierKey, sign_checkpoint
from onrecord.ledger.place import LogFolder
from onrecord.ledger.signing import key_file, verifier_file, write_signers, write_vkeys
from onrecord.ledger.tiles import EdgeTiles
from onrecord.ledger.tree import guard_of, write_guard
from onrecord.ledger.verify import Verdict, verify

GOLDEN = Path(__file__).parents[1] / "vectors/golden-ndjson"

pytestmark = pytest.mark.requirement("D2")


@pytest.fixture(scope="module", params=[1, 2], ids=["one epoch", "two epochs"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Original:
    return original_in(tmp_path_factory.mktemp("original"), request.param)


@pytest.fixture
def copy(original: Original, tmp_path: Path) -> Copy:
    return copy_of(original, tmp_path / "copy")


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
    report = verify(forged.folder, copy.original.keys)
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
    history = copy.folder.checkpoints.read_bytes().splitlines(keepends=True)
    thief.folder.checkpoints.write_bytes(b"".join(line for line in history if json.loads(line)["size"] <= 400))
    return thief.folder


def test_a_fork_by_a_thief_of_the_key_is_seen_by_whoever_saw_the_log_before(copy: Copy, fork: LogFolder) -> None:
    keys = copy.original.keys
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
    assert verify(fork, copy.original.keys, outside=[view]).verdict == "intact"
    assert verify(fork, copy.original.keys, outside=[view, copy.kept]).verdict == "forked"


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
    keys = copy.original.keys
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
    if copy.original.epochs == 2 and report.verdict != "unanchored":  # the last signature of the old key is needed
        assert (report.verdict, report.seqs) == ("wrong key", (HANDED,))
    else:
        assert (report.verdict, report.seqs) == ("unanchored", ())
    edit(copy)
    assert copy.verify().verdict == "altered"
    shutil.copy(copy.folder.checkpoints, fork.checkpoints)
    verdict = "forked" if report.verdict == "unanchored" else "wrong key"
    assert verify(fork, copy.original.keys, outside=[copy.kept]).verdict == verdict


@pytest.mark.parametrize("data", [b"", b"garbage\n", b"\xff\n", b"[" * 100_000 + b"\n", bytes(3_000_000) + b"\n"])
def test_a_history_that_cannot_be_read_is_no_alarm(copy: Copy, data: bytes) -> None:
    verdict = "unanchored" if copy.original.epochs == 1 else "wrong key"  # the old key's last signature is needed
    copy.folder.checkpoints.write_bytes(data)
    assert copy.verify().verdict == verdict
    copy.folder.checkpoints.unlink()
    assert copy.verify().verdict == verdict
    assert verify(copy.folder, copy.original.keys[-1:]).verdict == "unanchored"  # for whoever trusts the new key


# Lines that are gone


def tombstone(copy: Copy, seq: int, entry: int, *, line: bytes | None = None, rule: str = "r") -> None:
    """Put a tombstone in place of the line at `seq` that names the deletion `entry`."""
    lines = copy.lines()
    leaf = bytes.fromhex(leaf_of(lines[seq] if line is None else line))
    lines[seq] = write_tombstone(seq, leaf, rule=rule, entry=entry)
    copy.put(lines)


def a_tombstone_that_names_nothing(copy: Copy) -> None:
    tombstone(copy, 300, LAST + 5)


def a_tombstone_that_names_a_call(copy: Copy) -> None:
    tombstone(copy, 300, 400)


def a_tombstone_that_names_an_entry_before_it(copy: Copy) -> None:
    tombstone(copy, 300, 200)


def a_tombstone_that_names_itself(copy: Copy) -> None:
    tombstone(copy, 300, 300)


def a_tombstone_over_the_hand_over(copy: Copy) -> None:
    tombstone(copy, HANDED, 400)


def a_tombstone_with_another_leaf(copy: Copy) -> None:
    tombstone(copy, 300, 400, line=b"another")


def a_tombstone_of_another_entry(copy: Copy) -> None:
    lines = copy.lines()
    lines[300] = write_tombstone(301, bytes.fromhex(leaf_of(lines[300])), rule="r", entry=400)
    copy.put(lines)


def a_tombstone_with_more_in_it(copy: Copy) -> None:
    tombstone(copy, 300, 400)
    lines = copy.lines()
    lines[300] = lines[300][:-1] + b',"x":1}'
    copy.put(lines)


def a_tombstone_in_another_spelling(copy: Copy) -> None:
    tombstone(copy, 300, 400)
    lines = copy.lines()
    lines[300] = lines[300].replace(b'"r"', b'"\\u0072"')
    copy.put(lines)


def forged_deletion(copy: Copy) -> None:
    """Somebody without the key writes the deletion entry himself."""
    lines = copy.lines()
    fields = json.loads(lines[-1]) | {"seq": LAST + 1, "prev_hash": leaf_of(lines[-1])}
    fields |= {"event_type": "retention", "action": "delete", "detail": {"ranges": [[300, 300]], "rule": "r"}}
    copy.put([*lines, rewritten(fields)])
    tombstone(copy, 300, LAST + 1)


def forged_deletion_in_place_of_an_entry(copy: Copy) -> None:
    lines = copy.lines()
    fields = json.loads(lines[400]) | {"event_type": "retention", "action": "delete"}
    lines[400] = rewritten(fields | {"detail": {"ranges": [[300, 300]], "rule": "r"}})
    copy.put(lines)
    tombstone(copy, 300, 400)


def rewritten(fields: dict[str, Any]) -> bytes:
    """Return a line with its keys in the order in which ours are written."""
    return encode(msgspec.convert(fields, Event))


@pytest.mark.parametrize(
    ("attack", "seqs"),
    [
        (a_tombstone_that_names_nothing, (300,)),
        (a_tombstone_that_names_a_call, (300,)),
        (a_tombstone_that_names_an_entry_before_it, (300,)),
        (a_tombstone_that_names_itself, (300,)),
        (a_tombstone_over_the_hand_over, (HANDED,)),
        (a_tombstone_with_another_leaf, (300,)),
        (a_tombstone_of_another_entry, (300,)),
        (a_tombstone_with_more_in_it, (300,)),
        (a_tombstone_in_another_spelling, (300,)),
        (forged_deletion, (300,)),
        (forged_deletion_in_place_of_an_entry, (400,)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_line_that_is_gone_without_a_signed_deletion_is_missed(
    copy: Copy, attack: Callable[[Copy], None], seqs: tuple[int, ...]
) -> None:
    attack(copy)
    for options in ({}, {"outside": [copy.kept]}, {"guard": copy.guard}):
        report = copy.verify(**options)
        assert (report.verdict, set(report.seqs)) == ("altered", set(seqs)), report.reasons


def test_a_deletion_that_the_log_has_signed_covers_what_it_names_and_no_more(tmp_path: Path) -> None:
    original = original_in(tmp_path / "home", 1)
    ledger = original.log.open()
    entry = ledger.append(deletion(event_id=new_id(), ranges=[(10, 12), (300, 300)], rule="r")).seq
    ledger.publish()
    ledger.close()
    copy = copy_of(original, tmp_path / "copy")
    for seq in (10, 11, 12, 300):
        tombstone(copy, seq, entry)
        assert copy.verify(outside=[copy.kept]).verdict == "intact"
    assert copy.verify().deleted == 4
    tombstone(copy, 13, entry)
    tombstone(copy, 9, entry)
    report = copy.verify()
    assert (report.verdict, report.seqs) == ("altered", (9, 13))  # and none of the honest ones beside them


def test_a_tombstone_gives_the_rule_that_the_log_has_signed(tmp_path: Path) -> None:
    original = original_in(tmp_path / "home", 1)
    ledger = original.log.open()
    entry = ledger.append(deletion(event_id=new_id(), ranges=[(10, 12)], rule="r")).seq
    ledger.publish()
    ledger.close()
    copy = copy_of(original, tmp_path / "copy")
    tombstone(copy, 10, entry)
    tombstone(copy, 12, entry)
    tombstone(copy, 11, entry, rule="court-order")
    report = copy.verify()
    assert (report.verdict, report.seqs) == ("altered", (11,))
    for rule in ("", "r" * 65, "no\nrule", "a b"):
        copy = copy_of(original, tmp_path / f"copy of {len(rule)}")
        tombstone(copy, 11, entry, rule=rule)
        report = copy.verify()
        assert (report.verdict, report.seqs) == ("altered", (11,))
        assert "neither an event nor a tombstone" in report.reasons[0]


def test_a_segment_that_is_gone_is_named_by_its_entries(tmp_path: Path) -> None:
    log = log_in(tmp_path / "home")
    log.write(100, segment_bytes=4096)
    files = segment_files(log.folder)
    for number in (0, 3, len(files) - 1):
        first = int(files[number].name[:18])
        end = int(files[number + 1].name[:18]) if number + 1 < len(files) else 101
        kept = files[number].read_bytes()
        files[number].unlink()
        report = log.verify()
        assert report.verdict == ("truncated" if end == 101 else "altered")
        assert report.seqs == tuple(range(first, end))
        files[number].write_bytes(kept)
    assert log.verify().verdict == "unanchored"


# Attacks that hide what was signed


def junk_line(size: int, root: bytes, *, more: str = "") -> bytes:
    return compact({"size": size, "root": root_text(root), "timestamp": "", "note": "junk" + more}) + b"\n"


def junk_before(copy: Copy) -> bytes:
    return b"".join(junk_line(size % 444 + 1, bytes([size % 256] * 32)) for size in range(3_000))


def huge_sizes_before(copy: Copy) -> bytes:
    return b"".join(junk_line(10**15 + size, bytes(32)) for size in range(3_000))


def the_same_size_before(copy: Copy) -> bytes:
    return junk_line(444, bytes(32)) * 3_000


def a_line_without_end_before(copy: Copy) -> bytes:
    return b"x" * 3_000_000 + b"\n"


def a_line_with_a_tail_before(copy: Copy) -> bytes:
    return b"y" * 65_536 + junk_line(444, bytes(32))


HIDING = [
    junk_before,
    huge_sizes_before,
    the_same_size_before,
    a_line_without_end_before,
    a_line_with_a_tail_before,
]


@pytest.mark.parametrize("hide", HIDING, ids=lambda hide: hide.__name__)
def test_a_signed_fork_is_found_whatever_stands_around_it(
    copy: Copy, fork: LogFolder, hide: Callable[[Copy], bytes]
) -> None:
    history = copy.folder.checkpoints.read_bytes()
    for around in (hide(copy) + history, history + hide(copy)):
        fork.checkpoints.write_bytes(around)
        assert verify(fork, copy.original.keys).verdict == "forked"


@pytest.mark.parametrize("hide", HIDING, ids=lambda hide: hide.__name__)
def test_a_signature_over_a_tail_that_is_gone_is_found_whatever_stands_around_it(
    copy: Copy, older: LogFolder, hide: Callable[[Copy], bytes]
) -> None:
    copy.put(copy.lines()[:600])
    shutil.copy(older.checkpoint, copy.folder.checkpoint)
    history = copy.folder.checkpoints.read_bytes()
    for around in (hide(copy) + history, history + hide(copy)):
        copy.folder.checkpoints.write_bytes(around)
        assert copy.verify().verdict == "truncated"


def test_a_line_of_the_history_with_more_signatures_under_its_note_is_seen_as_well(stolen: Copy) -> None:
    sign(stolen, 400, stolen.original.first, publish=False)
    lines = [json.loads(line) for line in stolen.folder.checkpoints.read_bytes().splitlines()]
    for said in lines:
        said["note"] += stranger().sign(said["note"].partition("\n\n")[0] + "\n")
    stolen.folder.checkpoints.write_bytes(b"".join(compact(said) + b"\n" for said in lines))
    report = stolen.verify()
    assert report.verdict == "wrong key"
    assert "size 400" in report.reasons[0]


def test_a_history_that_is_longer_than_any_of_ours_is_not_passed_over(copy: Copy) -> None:
    with copy.folder.checkpoints.open("r+b") as file:
        file.truncate(MAX_HISTORY + 1)
    report = copy.verify()
    assert report.verdict == "altered"
    assert "was not compared" in report.reasons[0]


# Attacks on the epochs


@pytest.fixture(scope="module")
def handed(tmp_path_factory: pytest.TempPathFactory) -> Original:
    return original_in(tmp_path_factory.mktemp("handed"), 2)


@pytest.fixture
def stolen(handed: Original, tmp_path: Path) -> Copy:
    return copy_of(handed, tmp_path / "copy")


def sign(copy: Copy, size: int, signer: SignerKey, *, publish: bool = True) -> None:
    """Sign the first `size` lines as they lie there, into the history, in order, and as the published one."""
    checkpoint = Checkpoint(origin=signer.name, size=size, root=root_of(copy.lines()[:size]))
    note = sign_checkpoint(checkpoint, signer)
    said = {"size": size, "root": root_text(checkpoint.root), "timestamp": "", "note": note.decode()}
    lines = [json.loads(line) for line in copy.folder.checkpoints.read_bytes().splitlines()]
    lines = sorted([*lines, said], key=lambda line: line["size"])
    copy.folder.checkpoints.write_bytes(b"".join(compact(line) + b"\n" for line in lines))
    if publish:
        copy.folder.checkpoint.write_bytes(note)


def forget(copy: Copy, wanted: Callable[[int], bool]) -> None:
    """Take out of the history what is not of a wanted size."""
    lines = copy.folder.checkpoints.read_bytes().splitlines(keepends=True)
    copy.folder.checkpoints.write_bytes(b"".join(line for line in lines if wanted(json.loads(line)["size"])))


def verdicts(copy: Copy) -> list[Verdict]:
    """Return the verdicts with all keys, with the oldest, and with the newest."""
    keys = copy.original.keys
    return [verify(copy.folder, given).verdict for given in (keys, keys[:1], keys[-1:])]


def test_a_log_of_two_epochs_verifies_with_either_key(stolen: Copy) -> None:
    assert verdicts(stolen) == ["unanchored"] * 3


def test_an_old_key_that_signs_beyond_its_epoch_is_the_wrong_one(stolen: Copy) -> None:
    sign(stolen, LAST + 1, stolen.original.first)
    report = stolen.verify()
    assert (report.verdict, report.seqs) == ("wrong key", tuple(range(HANDED + 1, HANDED + 101)))
    assert report.reasons[0] == f"size {LAST + 1} is signed with a key whose last size was {HANDED + 1}"
    assert verdicts(stolen) == ["wrong key"] * 3


def test_an_old_key_that_signs_beyond_its_epoch_in_the_history_is_seen_too(stolen: Copy) -> None:
    sign(stolen, 400, stolen.original.first, publish=False)
    assert verdicts(stolen)[:2] == ["wrong key"] * 2
    assert "size 400 is signed with a key whose last size was 251" in stolen.verify().reasons[0]


def test_a_new_key_that_signs_before_its_epoch_is_the_wrong_one(stolen: Copy) -> None:
    sign(stolen, 100, stolen.original.signer, publish=False)
    assert verdicts(stolen) == ["wrong key"] * 3
    assert stolen.verify().reasons[0] == f"size 100 is signed with a key whose first size is {HANDED + 1}"


def test_entries_of_an_old_epoch_that_are_signed_anew_with_the_new_key_do_not_verify(stolen: Copy) -> None:
    lines = stolen.lines()
    stolen.put(rechained([*lines[:100], edited(lines[100]), *lines[101:]]))
    shutil.rmtree(stolen.folder.path / "tile")
    sign(stolen, LAST + 1, stolen.original.signer)
    assert verdicts(stolen) == ["forked", "wrong key", "forked"]
    stolen.folder.checkpoints.write_bytes(stolen.folder.checkpoints.read_bytes().splitlines(keepends=True)[-1])
    assert verdicts(stolen)[:2] == ["wrong key"] * 2
    assert stolen.verify().seqs == (HANDED,)
    assert verdicts(stolen)[2] == "unanchored"  # who only knows the stolen key cannot tell


def test_a_log_that_was_made_anew_with_the_new_key_alone_does_not_verify(stolen: Copy) -> None:
    lines = stolen.lines()
    stolen.put(rechained([*lines[:HANDED], *lines[HANDED + 1 :]], renumber=True))
    stolen.folder.checkpoints.unlink()
    stolen.folder.checkpoints.touch()
    sign(stolen, LAST, stolen.original.signer)
    report = stolen.verify()
    assert report.verdict == "wrong key"
    assert "no hand-over leads to it" in report.reasons[0]
    assert verify(stolen.folder, stolen.original.keys[:1]).verdict == "wrong key"


def test_without_the_last_signature_of_the_old_key_the_new_one_is_not_trusted(stolen: Copy) -> None:
    forget(stolen, lambda size: size != HANDED + 1)
    report = stolen.verify()
    assert (report.verdict, report.seqs) == ("wrong key", (HANDED,))
    assert verdicts(stolen) == ["wrong key", "wrong key", "unanchored"]


def test_a_last_signature_over_other_lines_does_not_close_an_epoch(stolen: Copy) -> None:
    forget(stolen, lambda size: size != HANDED + 1)
    signer = stolen.original.first
    checkpoint = Checkpoint(origin=signer.name, size=HANDED + 1, root=bytes(32))
    note = sign_checkpoint(checkpoint, signer).decode()
    said = {"size": HANDED + 1, "root": root_text(bytes(32)), "timestamp": "", "note": note}
    with stolen.folder.checkpoints.open("ab") as file:
        file.write(compact(said) + b"\n")
    assert stolen.verify().verdict in ("forked", "wrong key")


def forged_hand_over(copy: Copy, old: str, new: str) -> bytes:
    lines = copy.lines()
    fields = json.loads(lines[-1]) | {"seq": len(lines), "prev_hash": leaf_of(lines[-1]), "event_type": "key"}
    return rewritten(fields | {"action": "rotate", "detail": {"epoch": 2, "old_vkey": old, "new_vkey": new}})


def test_a_hand_over_by_somebody_without_the_key_is_worth_nothing(stolen: Copy) -> None:
    keys, thief = stolen.original.keys, stranger(stolen.original.signer.name)
    lines = stolen.lines()
    for old in (*keys, thief.vkey, "nothing"):
        stolen.put(lines)
        stolen.put([*lines, forged_hand_over(stolen, str(old), str(thief.vkey))])
        assert verdicts(stolen) == ["unsigned"] * 3
    sign(stolen, LAST + 2, thief)
    assert verdicts(stolen) == ["wrong key"] * 3


def test_a_branch_by_who_stole_the_old_key_is_told_from_the_log_by_who_has_the_new_one(stolen: Copy) -> None:
    first, thief = stolen.original.first, stranger(stolen.original.signer.name)
    stolen.put(stolen.lines()[:200])
    forget(stolen, lambda size: size <= 200)
    stolen.put([*stolen.lines(), forged_hand_over(stolen, str(first.vkey), str(thief.vkey))])
    sign(stolen, 201, first)
    sign(stolen, 201, thief)
    assert stolen.verify().verdict == "wrong key"
    assert verdicts(stolen)[1] == "unanchored"  # a key that was stolen in time proves nothing after that
    assert stolen.verify(outside=[stolen.kept]).verdict != "unanchored"


@pytest.mark.parametrize("names", [("new", "first"), ("new", "new"), ("first", "other"), ("other", "new"), ("", "")])
def test_a_chain_of_keys_that_goes_back_or_branches_is_altered(stolen: Copy, names: tuple[str, str]) -> None:
    signer = stolen.original.signer
    first, new = map(str, stolen.original.keys)
    keys = {"first": first, "new": new, "other": str(stranger(signer.name).vkey), "": "nothing"}
    stolen.put([*stolen.lines(), forged_hand_over(stolen, *(keys[name] for name in names))])
    sign(stolen, LAST + 2, signer)
    report = stolen.verify()
    assert report.verdict == "altered"
    assert report.seqs == (LAST + 1,)
    assert report.signed == LAST + 2


def test_an_older_copy_from_before_the_hand_over_has_the_wrong_key_for_who_has_the_new_one(stolen: Copy) -> None:
    stolen.put(stolen.lines()[:144])
    forget(stolen, lambda size: size <= 144)
    lines = stolen.folder.checkpoints.read_bytes().splitlines()
    stolen.folder.checkpoint.write_text(json.loads(lines[-1])["note"])
    assert verdicts(stolen)[:2] == ["wrong key", "unanchored"]  # who has both keys knows that the old one is over
    for options in ({"outside": [stolen.kept]}, {"guard": stolen.guard}):
        assert stolen.verify(**options).verdict == "rolled back"


def test_a_branch_by_who_stole_the_old_key_is_told_also_where_it_hands_nothing_over(stolen: Copy) -> None:
    lines = stolen.lines()
    stolen.put(rechained([*lines[:100], *(edited(line) for line in lines[100:200])]))
    forget(stolen, lambda size: size <= 100)
    shutil.rmtree(stolen.folder.path / "tile")
    sign(stolen, 200, stolen.original.first)
    report = stolen.verify()
    assert (report.verdict, report.signed) == ("wrong key", 200)
    assert "older key than the newest that was given" in report.reasons[0]
    assert stolen.verify(outside=[stolen.kept]).verdict == "rolled back"


def test_a_branch_by_who_stole_the_old_key_is_told_also_where_it_names_the_new_one(stolen: Copy) -> None:
    first, new = stolen.original.first, stolen.original.signer
    thief = stranger(new.name)
    stolen.put(stolen.lines()[:200])
    forget(stolen, lambda size: size <= 200)
    stolen.put([*stolen.lines(), forged_hand_over(stolen, str(first.vkey), str(new.vkey))])
    sign(stolen, 201, first)
    assert stolen.verify().verdict == "wrong key"
    stolen.put(stolen.lines()[:200])
    forget(stolen, lambda size: size <= 200)
    for old, to in ((first, thief), (thief, new)):
        stolen.put([*stolen.lines(), forged_hand_over(stolen, str(old.vkey), str(to.vkey))])
        sign(stolen, len(stolen.lines()), old)
    sign(stolen, 201, thief)
    assert stolen.verify().verdict == "wrong key"


# The log of lines that other verifiers were tried with


@pytest.mark.parametrize("attack", sorted(path.stem for path in (GOLDEN / "attacks").glob("*.ndjson")))
def test_lines_of_another_form_are_never_taken_for_a_log_of_ours(tmp_path: Path, attack: str) -> None:
    folder = LogFolder(tmp_path)
    folder.segments.mkdir()
    shutil.copy(GOLDEN / f"attacks/{attack}.ndjson", folder.first_segment)
    shutil.copy(GOLDEN / "checkpoint", folder.checkpoint)
    shutil.copytree(GOLDEN / "tile", tmp_path / "tile")
    key = VerifierKey.parse((GOLDEN / "log.vkey").read_text().strip())
    assert verify(folder, [key]).verdict == "altered"


def test_lines_that_somebody_with_the_key_took_away_before_signing_leave_a_gap_in_their_writers_count(
    tmp_path: Path,
) -> None:
    """No signature was ever over them; that they were there is in the numbers of the lines around them."""
    log = log_in(tmp_path / "home")
    log.write(10, wid="a")
    log.write(10, wid="b")
    assert not any("counted" in reason for reason in log.verify().reasons)
    lines = log.lines()
    kept = rechained([*lines[:5], *lines[7:]], renumber=True)
    folder = LogFolder(tmp_path / "home" / "ledger" / "calls")
    folder.first_segment.write_bytes(b"".join(line + b"\n" for line in kept))
    note = sign_checkpoint(Checkpoint(origin=log.signer.name, size=len(kept), root=root_of(kept)), log.signer)
    folder.checkpoint.write_bytes(note)
    folder.checkpoints.unlink()
    report = verify(folder, [log.signer.vkey])
    assert report.verdict == "unanchored"
    assert any("that are not there: 2, the first before entry 5" in reason for reason in report.reasons)
