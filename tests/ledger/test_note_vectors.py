# SPDX-License-Identifier: Apache-2.0
"""Notes and signatures against what others published: Go, C2SP, Rekor, Wycheproof, CCTV."""

import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from onrecord.errors import NotVerified
from onrecord.ledger.merkle import leaf_hash
from onrecord.ledger.note import (
    BadSignature,
    UnknownSigner,
    Unsigned,
    VerifierKey,
    open_checkpoint,
    parse_checkpoint,
    parse_note,
    verify_note,
)

pytestmark = pytest.mark.requirement("D2")

VECTORS = Path(__file__).parents[1] / "vectors"
SUNLIGHT = VECTORS / "tlog-tiles/sunlight-mirror"
MIRRORED_LOG = "000de184301123b9278c086a7d9f68c9577e83872224c197058fd90784ea9706"

# Go refuses a list of keys that holds one twice. That is its own rule, not the specification's: here the
# same key given twice is one key, and only two *different* keys with one name and id are refused.
SAME_KEY_TWICE = "ambiguous duplicated verifier used"


def load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text())


# golang.org/x/mod/sumdb/note and c2sp.org/signed-note

NOTES: dict[str, Any] = load("note/signed_note.json")
ERRORS = {
    "no verifiable signatures": UnknownSigner,
    "invalid signature": BadSignature,
    "malformed note": NotVerified,
    "malformed (implementation limit)": NotVerified,
}


@pytest.mark.parametrize(
    "case",
    [case for case in NOTES["notes"] if case["name"] != SAME_KEY_TWICE],
    ids=lambda case: case["name"],
)
def test_a_note_is_judged_as_go_judges_it(case: dict[str, Any]) -> None:
    data, keys = base64.b64decode(case["msg"]), [VerifierKey.parse(key) for key in case["keys"]]
    if not case["ok"]:
        with pytest.raises(ERRORS[case["error"]]):
            verify_note(parse_note(data), keys)
        return
    note = parse_note(data)
    verified = verify_note(note, keys)
    known = {(key.name, key.key_id) for key in keys}
    others = [one.name for one in note.signatures if (one.name, one.key_id) not in known]
    assert [signature.name for signature in verified] == case["verified"]
    assert others == case["unverified"]


@pytest.mark.parametrize("text", NOTES["bad_vkeys"])
def test_a_verifier_key_that_go_refuses_is_refused(text: str) -> None:
    with pytest.raises(NotVerified):
        VerifierKey.parse(text)


def test_the_checkpoint_of_go_s_checksum_database_is_read_but_its_signer_has_another_name() -> None:
    case = next(case for case in NOTES["notes"] if case["name"].startswith("real sum.golang.org"))
    data, keys = base64.b64decode(case["msg"]), [VerifierKey.parse(key) for key in case["keys"]]
    assert parse_checkpoint(parse_note(data).text).size == 35225469
    with pytest.raises(UnknownSigner):  # signed by sum.golang.org, origin "go.sum database tree"
        open_checkpoint(data, keys)


BODIES: dict[str, Any] = load("note/checkpoint_body.json")


@pytest.mark.parametrize("case", BODIES["good"], ids=lambda case: str(case["size"]))
def test_a_checkpoint_body_is_read_as_go_reads_it(case: dict[str, Any]) -> None:
    checkpoint = parse_checkpoint(case["text"])
    assert checkpoint.size == case["size"]
    assert checkpoint.root == leaf_hash(case["root_is_leafhash_of"].encode())


@pytest.mark.parametrize("text", BODIES["bad"])
def test_a_checkpoint_body_that_go_refuses_is_refused(text: str) -> None:
    with pytest.raises(NotVerified):
        parse_checkpoint(text)


# github.com/sigstore/sigstore-conformance: the signature of the log, among those of witnesses

REKOR: list[dict[str, Any]] = [entry for entry in load("rekor2/entries.json") if entry["inclusionProof"]]
REKOR_LOGS = ("log2025-alpha1.rekor.sigstage.dev", "log2025-alpha3.rekor.sigstage.dev")
REFUSED = {
    "rekor2-checkpoint-missing-log-signature_fail": Unsigned,
    "rekor2-checkpoint-missing-origin_fail": BadSignature,
    "rekor2-checkpoint-missing-root-hash_fail": BadSignature,
    "rekor2-checkpoint-missing-size_fail": BadSignature,
    "rekor2-checkpoint-no-matching-signature_fail": UnknownSigner,
}


def rekor_keys(entry: dict[str, Any]) -> list[VerifierKey]:
    """Return the Ed25519 keys of the case; it doesn't say which is whose, and the id in the note does."""
    loaded = [load_der_public_key(base64.b64decode(key["spki_b64"])) for key in entry["tlog_keys"]]
    public = [key.public_bytes_raw() for key in loaded if isinstance(key, Ed25519PublicKey)]
    return [VerifierKey.of(name, one) for name in REKOR_LOGS for one in public]


@pytest.mark.parametrize("entry", REKOR, ids=lambda entry: entry["case"])
def test_a_checkpoint_of_the_public_rekor_log_opens_unless_it_was_spoiled(entry: dict[str, Any]) -> None:
    proof = entry["inclusionProof"]
    data = proof["checkpoint"]["envelope"].encode()
    if refusal := REFUSED.get(entry["case"]):
        with pytest.raises(refusal):
            open_checkpoint(data, rekor_keys(entry))
        return
    checkpoint = open_checkpoint(data, rekor_keys(entry))
    assert checkpoint.origin in REKOR_LOGS
    assert checkpoint.size == int(proof["treeSize"])
    assert checkpoint.root == base64.b64decode(proof["rootHash"])


def test_every_spoiled_checkpoint_is_among_the_cases() -> None:
    assert REFUSED.keys() <= {entry["case"] for entry in REKOR}


# github.com/FiloSottile/sunlight: signatures of other kinds


@pytest.mark.parametrize("folder", [MIRRORED_LOG, f"mirror/{MIRRORED_LOG}"], ids=["log and witness", "mirror"])
def test_signatures_of_kinds_that_are_not_read_here_are_passed_over(folder: str) -> None:
    data = (SUNLIGHT / folder / "checkpoint").read_bytes()
    checkpoint = parse_checkpoint(parse_note(data).text)
    assert (checkpoint.origin, checkpoint.size) == ("rome2026h1.example.org", 300)
    with pytest.raises(UnknownSigner):
        open_checkpoint(data, [VerifierKey.of(checkpoint.origin, bytes([5] * 32))])


@pytest.mark.parametrize("name", ["witness.v0.json", "mirror/mirror.v0.json"])
def test_a_key_for_cosignatures_is_refused_as_a_key_for_notes(name: str) -> None:
    for text in json.loads((SUNLIGHT / name).read_text())["verifier_keys"]:
        with pytest.raises(NotVerified, match="another kind"):
            VerifierKey.parse(text)


# github.com/C2SP/wycheproof

WYCHEPROOF = [
    pytest.param(group["publicKey"]["pk"], case, id=f"{case['tcId']} {' '.join(case['flags'])}")
    for group in load("wycheproof/ed25519_test.json")["testGroups"]
    for case in group["tests"]
]


@pytest.mark.parametrize(("public", "case"), WYCHEPROOF)
def test_a_signature_is_judged_as_wycheproof_judges_it(public: str, case: dict[str, Any]) -> None:
    key = VerifierKey.of("log", bytes.fromhex(public))
    signed = key.has_signed(bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
    assert signed == (case["result"] == "valid")


# github.com/C2SP/CCTV: signatures on which libraries disagree

DISPUTED = {"low_order_A", "low_order_R", "non_canonical_A", "non_canonical_R", "low_order_residue", "reencoded_k"}


def holds(case: dict[str, Any]) -> str:
    """Return what becomes of a case: its key is refused, or its signature is, or both are taken."""
    try:
        key = VerifierKey.of("log", bytes.fromhex(case["key"]))
    except NotVerified:
        return "key refused"
    signed = key.has_signed(case["msg"].encode(), bytes.fromhex(case["sig"]))
    return "accepted" if signed else "signature refused"


def test_only_signatures_on_which_all_libraries_agree_are_accepted() -> None:
    cases: list[dict[str, Any]] = load("cctv-ed25519/ed25519vectors.json")
    for case in cases:
        flags = set(case["flags"] or [])
        assert (holds(case) == "accepted") == (not flags & DISPUTED), case["number"]
        assert (holds(case) == "key refused") == bool(flags & {"low_order_A", "non_canonical_A"})
    assert Counter(map(holds, cases)) == {"key refused": 526, "signature refused": 345, "accepted": 43}
