# SPDX-License-Identifier: Apache-2.0
"""Views from outside: how they are had and kept, and which of them count."""

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from tests.ledger.logs import Log, child, log_in, said
from tests.ledger.outside import Authority, Running, running_witness, scripted

from onrecord.errors import ConfigError, Contradicted, NotAnchored, NotVerified
from onrecord.ledger import sightings
from onrecord.ledger.anchoring import AnchorPlan, anchor, keep_copy
from onrecord.ledger.anchors import Anchor, OutsideView, RefusedView, anchor_of, append_anchor, outside_views
from onrecord.ledger.cosignature import Cosigner, CosignerKey
from onrecord.ledger.export import export_bundle
from onrecord.ledger.keys import read_keys
from onrecord.ledger.note import Checkpoint, SignerKey, parse_note, sign_checkpoint
from onrecord.ledger.place import LogFolder
from onrecord.ledger.rotation import rotate
from onrecord.ledger.sightings import Sightings
from onrecord.ledger.sparse import verify_bundle
from onrecord.ledger.timestamp import load_roots
from onrecord.ledger.tree import append_history
from onrecord.ledger.verify import verify
from onrecord.ledger.witness import Witness

pytestmark = pytest.mark.requirement("D2")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tsa") / "tsa")


@pytest.fixture(scope="module")
def tsa(authority: Authority) -> Iterator[str]:
    with scripted(authority.reply) as url:
        yield url


@pytest.fixture
def log(tmp_path: Path) -> Log:
    log = log_in(tmp_path / "home")
    log.write(10)
    return log


@pytest.fixture
def outside(tmp_path: Path, log: Log) -> Iterator[Running]:
    with running_witness(tmp_path / "witness", log) as running:
        yield running


def plan(outside: Running, authority: Authority, tsa: str) -> AnchorPlan:
    return AnchorPlan(witnesses=(outside.witness,), tsa_urls=(tsa,), tsa_roots=(authority.root,))


def views(
    log: Log, witnesses: list[CosignerKey] | None = None, roots: list[bytes] | None = None, **options: Any
) -> tuple[list[OutsideView], list[RefusedView]]:
    refused: list[RefusedView] = []
    keys = options.get("keys", [log.signer.vkey])
    found = list(outside_views(log.folder, witnesses or [], roots or [], keys, refused=refused.append))
    return found, refused


def lines(folder: LogFolder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in folder.anchors.read_text().splitlines()]


def put(folder: LogFolder, *fields: dict[str, Any]) -> None:
    folder.anchors.write_text("".join(json.dumps(one) + "\n" for one in fields))


def test_views_are_had_kept_and_hold_offline(log: Log, outside: Running, authority: Authority, tsa: str) -> None:
    done = anchor(log.folder, [log.signer.vkey], plan(outside, authority, tsa))
    assert [one.problem for one in done.outcomes] == [None, None]

    found, refused = views(log, [outside.witness.key], [authority.root])

    assert refused == []
    assert [(one.kind, one.by, one.checkpoint) for one in found] == [
        ("witness", outside.witness.key.name, log.checkpoint()),
        ("timestamp", "CN=Test TSA", log.checkpoint()),
    ]
    assert [one.at_us for one in found] == [one.at_us for one in done.outcomes]


def test_each_anchoring_adds_a_line_and_the_form_is_as_documented(
    log: Log, outside: Running, authority: Authority, tsa: str
) -> None:
    for _ in range(2):
        anchor(log.folder, [log.signer.vkey], plan(outside, authority, tsa))
        log.write(1)
    witness, timestamp, *more = lines(log.folder)
    assert [one["size"] for one in more] == [12, 12] or len(more) == 2
    assert set(witness) == {"kind", "size", "root", "timestamp", "note"}
    assert set(timestamp) == {"kind", "size", "root", "timestamp", "note", "token"}
    assert len(parse_note(witness["note"].encode()).signatures) == 2
    assert base64.b64decode(timestamp["token"])[:1] == b"\x30"
    assert log.folder.anchors.stat().st_mode & 0o077 == 0


def test_one_that_fails_does_not_keep_the_next_from_being_asked(
    log: Log, outside: Running, authority: Authority, tsa: str
) -> None:
    nobody = Witness(url="http://127.0.0.1:9", key=outside.witness.key)
    asked = AnchorPlan(
        witnesses=(nobody, outside.witness), tsa_urls=("http://127.0.0.1:9/", tsa), tsa_roots=(authority.root,)
    )
    done = anchor(log.folder, [log.signer.vkey], asked)
    assert [type(one.problem) for one in done.outcomes] == [NotAnchored, type(None), NotAnchored, type(None)]
    assert len(lines(log.folder)) == 2


def test_a_rollback_is_an_outcome_of_its_own(log: Log, outside: Running, tmp_path: Path) -> None:
    shutil.copytree(log.home.path, tmp_path / "backup")
    log.write(5)
    asked = AnchorPlan(witnesses=(outside.witness,))
    anchor(log.folder, [log.signer.vkey], asked)
    old = log_in(tmp_path / "backup")

    (outcome,) = anchor(old.folder, [old.signer.vkey], asked).outcomes

    assert isinstance(outcome.problem, Contradicted)
    assert outcome.problem.verdict == "rolled back"
    assert not old.folder.anchors.exists()


def test_a_checkpoint_that_a_power_cut_took_back_is_no_rollback(log: Log, outside: Running) -> None:
    before = log.folder.checkpoint.read_bytes()
    log.write(5)
    asked = AnchorPlan(witnesses=(outside.witness,))
    anchor(log.folder, [log.signer.vkey], asked)
    log.folder.checkpoint.write_bytes(before)  # the history of checkpoints is flushed, the published one is not

    (outcome,) = anchor(log.folder, [log.signer.vkey], asked).outcomes

    assert isinstance(outcome.problem, NotAnchored)
    assert "not published" in str(outcome.problem)


def test_there_is_nothing_to_show_before_there_is_a_log(tmp_path: Path, log: Log) -> None:
    with pytest.raises(NotAnchored, match="no checkpoint yet"):
        anchor(LogFolder(tmp_path / "none"), [log.signer.vkey], AnchorPlan())
    assert not (tmp_path / "none").exists()
    stranger = SignerKey(name="stranger", private=Ed25519PrivateKey.generate())
    with pytest.raises(NotVerified):
        anchor(log.folder, [stranger.vkey], AnchorPlan())
    with pytest.raises(ConfigError):
        anchor(log.folder, [log.signer.vkey], AnchorPlan(tsa_roots=(b"rubbish",)))


def test_processes_that_anchor_at_once_wait_for_one_another(log: Log, outside: Running) -> None:
    code = """
import sys
from pathlib import Path
from onrecord.ledger.anchoring import AnchorPlan, anchor
from onrecord.ledger.note import VerifierKey
from onrecord.ledger.place import LogFolder
from onrecord.ledger.verify import verify
from onrecord.ledger.witness import Witness
plan = AnchorPlan(witnesses=(Witness.parse(sys.argv[3]),))
for _ in range(5):
    done = anchor(LogFolder(Path(sys.argv[1])), [VerifierKey.parse(sys.argv[2])], plan)
    assert done.outcomes[0].problem is None, done
print("done")
"""
    witness = f"{outside.witness.url}={outside.witness.key}"
    with (
        child(code, log.folder.path, log.signer.vkey, witness) as one,
        child(code, log.folder.path, log.signer.vkey, witness) as other,
    ):
        assert (said(one), said(other)) == ("done", "done")
    found, refused = views(log, [outside.witness.key])
    assert (len(found), refused) == (10, [])


# what counts

WITNESS = Cosigner(name="witness.test", private=Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


def cosigned_line(log: Log, by: Cosigner = WITNESS, at_s: int = 5, **changes: Any) -> dict[str, Any]:
    note = log.folder.checkpoint.read_text()
    text = parse_note(note.encode()).text
    checkpoint = log.checkpoint()
    root = base64.b64encode(checkpoint.root).decode()
    fields = {
        "kind": "witness",
        "size": checkpoint.size,
        "root": root,
        "timestamp": "",
        "note": note + by.cosign(text, at_s),
    }
    return fields | changes


def test_an_unknown_witness_is_passed_over_and_so_is_a_timestamp_without_a_root(
    log: Log, outside: Running, authority: Authority, tsa: str
) -> None:
    anchor(log.folder, [log.signer.vkey], plan(outside, authority, tsa))
    assert views(log) == ([], [])
    assert views(log, [WITNESS.vkey]) == ([], [])


def test_a_timestamp_of_an_authority_that_is_not_trusted_is_refused(
    log: Log, outside: Running, authority: Authority, tsa: str, tmp_path: Path
) -> None:
    anchor(log.folder, [log.signer.vkey], plan(outside, authority, tsa))
    found, (refused,) = views(log, [], [Authority(tmp_path / "other").root])
    assert found == []
    assert (refused.line, "does not lead" in refused.reason) == (2, True)


def test_a_token_under_another_note_is_refused(log: Log, outside: Running, authority: Authority, tsa: str) -> None:
    anchor(log.folder, [log.signer.vkey], plan(outside, authority, tsa))
    old = lines(log.folder)[1]
    log.write(1)
    put(log.folder, cosigned_line(log, kind="timestamp", token=old["token"]))
    found, (refused,) = views(log, [], [authority.root])
    assert found == []
    assert "another message" in refused.reason


def test_a_witness_of_a_note_that_the_log_did_not_sign_is_refused(log: Log) -> None:
    other = SignerKey(name=log.signer.name, private=Ed25519PrivateKey.generate())
    note = sign_checkpoint(log.checkpoint(), other).decode()
    line = cosigned_line(log, note=note + WITNESS.cosign(parse_note(note.encode()).text, 5))
    put(log.folder, line)
    found, (refused,) = views(log, [WITNESS.vkey])
    assert (found, refused.line) == ([], 1)
    assert len(views(log, [WITNESS.vkey], keys=[log.signer.vkey, other.vkey])[0]) == 1  # a key of another epoch


def test_a_bad_cosignature_and_a_line_that_says_otherwise_are_refused(log: Log) -> None:
    good = cosigned_line(log)
    put(
        log.folder,
        good | {"note": good["note"].replace("\n11\n", "\n12\n"), "size": 12},
        good | {"size": 12},
        good | {"root": base64.b64encode(bytes(32)).decode()},
        good | {"root": "rubbish"},
        good | {"kind": "rubbish"},
        good | {"kind": "timestamp", "token": "rubbish"},
        {"kind": "witness"},
        good,
    )
    found, refused = views(log, [WITNESS.vkey], [])
    assert [one.line for one in refused] == [1, 2, 3, 4, 5, 7]
    assert [one.at_us for one in found] == [5_000_000]


def test_a_note_with_two_witnesses_gives_two_views(log: Log) -> None:
    second = Cosigner(name="second.test", private=Ed25519PrivateKey.generate())
    line = cosigned_line(log)
    line["note"] += second.cosign(parse_note(line["note"].encode()).text, 9)
    put(log.folder, line)
    found, refused = views(log, [WITNESS.vkey, second.vkey])
    assert [(one.by, one.at_us) for one in found] == [("witness.test", 5_000_000), ("second.test", 9_000_000)]
    assert refused == []


def test_without_the_extra_a_timestamp_is_refused_and_a_witness_still_counts(
    log: Log, outside: Running, authority: Authority, tsa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    anchor(log.folder, [log.signer.vkey], plan(outside, authority, tsa))
    monkeypatch.setitem(__import__("sys").modules, "rfc3161_client", None)
    found, (refused,) = views(log, [outside.witness.key], [authority.root])
    assert [one.kind for one in found] == ["witness"]
    assert "pip install" in refused.reason


def test_a_line_that_was_cut_off_does_not_spoil_the_next(log: Log) -> None:
    good = Anchor(**cosigned_line(log))
    append_anchor(log.folder, good)
    with log.folder.anchors.open("ab") as file:
        file.write(b'{"kind":"wit')
    append_anchor(log.folder, good)
    found, refused = views(log, [WITNESS.vkey])
    assert (len(found), [one.line for one in refused]) == (2, [2])


def test_a_line_without_an_end_is_refused_in_bounded_memory(log: Log) -> None:
    with log.folder.anchors.open("wb") as file:
        for _ in range(40):
            file.write(b" " * (1 << 17))
        file.write(b"\n")
    found, (refused,) = views(log, [WITNESS.vkey])
    assert (found, refused.line) == ([], 1)


@given(
    st.lists(st.binary(max_size=80) | st.just(b'{"kind":"witness","size":1,"root":"","timestamp":"","note":"\\ud800"}'))
)
def test_whatever_lies_in_the_file_is_refused_and_breaks_nothing(tmp_path_factory: Any, data: list[bytes]) -> None:
    folder = LogFolder(tmp_path_factory.mktemp("log"))
    whole = b"".join(one.replace(b"\n", b"") + b"\n" for one in data)
    folder.anchors.write_bytes(whole)
    refused: list[RefusedView] = []
    assert list(outside_views(folder, [WITNESS.vkey], [], [], refused=refused.append)) == []
    assert len(refused) == len(data)


# a copy somewhere else


def test_a_copy_is_replaced_only_by_a_checkpoint_that_extends_it(log: Log, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(log.home.path, tmp_path / "backup")
    for _ in range(3):
        assert keep_copy(log.folder, [log.signer.vkey], copy) == log.checkpoint()
        assert copy.read_bytes() == log.folder.checkpoint.read_bytes()
        log.write(300)
    kept = copy.read_bytes()
    with pytest.raises(Contradicted, match="rolled back"):
        keep_copy(LogFolder(tmp_path / "backup/ledger/calls"), [log.signer.vkey], copy)
    assert copy.read_bytes() == kept


def test_a_copy_of_another_history_is_left_alone_and_told(log: Log, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    backup = log_in(shutil.copytree(log.home.path, tmp_path / "backup"))
    backup.write(3)
    log.write(3)
    keep_copy(backup.folder, [log.signer.vkey], copy)
    for _ in range(2):
        with pytest.raises(Contradicted, match="forked"):
            keep_copy(log.folder, [log.signer.vkey], copy)
        log.write(5)
    assert copy.read_bytes() == backup.folder.checkpoint.read_bytes()


def test_a_file_that_holds_something_else_is_left_alone(log: Log, tmp_path: Path) -> None:
    copy = tmp_path / "letter.txt"
    copy.write_text("dear reader\n")
    with pytest.raises(NotAnchored, match="left alone"):
        keep_copy(log.folder, [log.signer.vkey], copy)
    with pytest.raises(NotAnchored, match="is a folder"):
        keep_copy(log.folder, [log.signer.vkey], tmp_path)
    assert copy.read_text() == "dear reader\n"


def test_a_copy_ahead_of_what_is_published_but_not_of_what_was_signed_is_no_rollback(log: Log, tmp_path: Path) -> None:
    before = log.folder.checkpoint.read_bytes()
    log.write(4)
    keep_copy(log.folder, [log.signer.vkey], tmp_path / "copy")
    append_history(log.folder, log.checkpoint(), log.folder.checkpoint.read_bytes(), "")
    log.folder.checkpoint.write_bytes(before)
    with pytest.raises(NotAnchored, match="not published"):
        keep_copy(log.folder, [log.signer.vkey], tmp_path / "copy")
    assert load_roots([]) == ()


def test_a_view_of_what_a_newer_key_signed_counts_for_who_has_the_first_one(log: Log, tmp_path: Path) -> None:
    first = log.signer.vkey
    rotate(log.home)
    new = Log(log.home, read_keys(log.home).signer)
    with running_witness(tmp_path / "witness", new) as running:
        done = anchor(log.folder, [first, new.signer.vkey], AnchorPlan(witnesses=(running.witness,)))
        assert done.outcomes[0].problem is None
    believed = Sightings(witnesses=(running.witness.key,))
    report = verify(log.folder, [first], sightings=believed)
    assert (report.verdict, report.covered) == ("intact", 12)
    assert "cosigned by" in report.reasons[-1]
    export_bundle(log.folder, [first, new.signer.vkey], [7], tmp_path / "bundle")
    report = verify_bundle(LogFolder(tmp_path / "bundle"), [first], sightings=believed)
    assert report.verdict == "partial"
    assert any("cosigned by" in reason for reason in report.reasons)
    assert any("of 12 entries, fits this bundle" in reason for reason in report.reasons)
    assert not any("cosigned" in reason for reason in verify_bundle(LogFolder(tmp_path / "bundle"), [first]).reasons)
    (tmp_path / "bundle" / "checkpoints.ndjson").unlink()  # nothing leads to the newer key
    assert verify_bundle(LogFolder(tmp_path / "bundle"), [first], sightings=believed).verdict == "wrong key"


def test_a_witness_that_has_seen_another_log_contradicts_a_bundle(log: Log, tmp_path: Path) -> None:
    export_bundle(log.folder, [log.signer.vkey], [7], tmp_path / "bundle")
    forged = Checkpoint(origin=log.signer.name, size=11, root=bytes(32))
    witness = Cosigner(name="witness", private=Ed25519PrivateKey.generate())
    note = sign_checkpoint(forged, log.signer).decode()
    note += witness.cosign(note.partition("\n\n")[0] + "\n", 1_800_000_000)
    append_anchor(LogFolder(tmp_path / "bundle"), anchor_of("witness", forged, note.encode(), ""))
    believed = Sightings(witnesses=(witness.vkey,))
    assert verify_bundle(LogFolder(tmp_path / "bundle"), [log.signer.vkey], sightings=believed).verdict == "forked"
    assert verify_bundle(LogFolder(tmp_path / "bundle"), [log.signer.vkey]).verdict == "partial"


def test_more_sizes_than_any_memory_holds_are_not_passed_over(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sightings, "_MAX_SIZES", 100)
    put(log.folder, *[{"kind": "witness", "size": n, "root": "", "timestamp": "", "note": ""} for n in range(200)])
    key = Cosigner(name="witness", private=Ed25519PrivateKey.generate()).vkey
    report = verify(log.folder, [log.signer.vkey], sightings=Sightings(witnesses=(key,)))
    assert (report.verdict, "was not compared" in report.reasons[0]) == ("altered", True)
    assert verify(log.folder, [log.signer.vkey]).verdict == "unanchored"
