# SPDX-License-Identifier: Apache-2.0
"""Cosignatures: known answers of Sunlight and Rekor, and what a forger might try."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from onrecord.errors import NotVerified
from onrecord.ledger.cosignature import MAX_TIME_S, Cosigner, CosignerKey, verify_cosignatures
from onrecord.ledger.note import (
    BadSignature,
    Checkpoint,
    SignerKey,
    UnknownSigner,
    VerifierKey,
    open_checkpoint,
    parse_note,
    sign_checkpoint,
)

pytestmark = pytest.mark.requirement("D2")

VECTORS = Path(__file__).parents[1] / "vectors"
SUNLIGHT = VECTORS / "tlog-tiles/sunlight-mirror"
LOG = "000de184301123b9278c086a7d9f68c9577e83872224c197058fd90784ea9706"
SUNLIGHT_S = 1767139200  # the time that both of its cosignatures carry

WITNESS = Cosigner(name="witness.test/w1", private=Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
SIGNER = SignerKey(name="log.test/calls", private=Ed25519PrivateKey.from_private_bytes(bytes([7] * 32)))
CHECKPOINT = Checkpoint(origin=SIGNER.name, size=5, root=bytes([9] * 32))
NOTE = sign_checkpoint(CHECKPOINT, SIGNER)


def cosigned(*lines: str) -> bytes:
    return NOTE + "".join(lines).encode()


def cosign(at_s: int, by: Cosigner = WITNESS, text: str = "") -> str:
    return by.cosign(text or parse_note(NOTE).text, at_s)


@pytest.mark.parametrize(
    ("folder", "keys"),
    [(LOG, "witness.v0.json"), (f"mirror/{LOG}", "mirror/mirror.v0.json")],
    ids=["witness", "mirror"],
)
def test_the_cosignatures_that_sunlight_made_hold(folder: str, keys: str) -> None:
    (text,) = json.loads((SUNLIGHT / keys).read_text())["verifier_keys"]
    key = CosignerKey.parse(text)
    note = (SUNLIGHT / folder / "checkpoint").read_bytes()

    (found,) = verify_cosignatures(parse_note(note), [key])

    assert (str(key), found.key, found.at_s) == (text, key, SUNLIGHT_S)
    with pytest.raises(BadSignature):
        verify_cosignatures(parse_note(note.replace(b"\n300\n", b"\n301\n")), [key])


def test_the_witness_s_key_of_rekor_s_cosigned_checkpoint_has_the_id_of_its_kind() -> None:
    entries: list[dict[str, Any]] = json.loads((VECTORS / "rekor2/entries.json").read_text())
    entry = next(one for one in entries if one["case"] == "rekor2-checkpoint-cosigned")
    note = parse_note(entry["inclusionProof"]["checkpoint"]["envelope"].encode())
    (signature,) = [one for one in note.signatures if one.name == "witness.example"]
    assert len(signature.raw) == 8 + 64
    with pytest.raises(UnknownSigner):  # its key is not among those that were published
        verify_cosignatures(note, [CosignerKey.of("witness.example", WITNESS.vkey.public)])


def test_what_a_witness_signs_its_key_verifies_with_the_time() -> None:
    key = CosignerKey.parse(str(WITNESS.vkey))
    (found,) = verify_cosignatures(parse_note(cosigned(cosign(1679315147))), [key])
    assert (found.key, found.at_s) == (key, 1679315147)
    assert open_checkpoint(cosigned(cosign(1)), [SIGNER.vkey]) == CHECKPOINT


def test_the_time_is_part_of_what_is_signed() -> None:
    (signature,) = parse_note(cosigned(cosign(1000))).signatures[1:]
    later = (1001).to_bytes(8, "big") + signature.raw[8:]
    assert WITNESS.vkey.when_signed(parse_note(NOTE).text, later) is None
    assert WITNESS.vkey.when_signed(parse_note(NOTE).text, signature.raw) == 1000


@pytest.mark.parametrize("at_s", [MAX_TIME_S + 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_time_after_the_end_of_the_calendar_is_refused(at_s: int) -> None:
    text = parse_note(NOTE).text
    raw = WITNESS.private.sign(f"cosignature/v1\ntime {at_s}\n{text}".encode())
    assert WITNESS.vkey.when_signed(text, at_s.to_bytes(8, "big") + raw) is None
    with pytest.raises(ValueError, match="year 10000"):
        cosign(at_s)


def test_every_time_before_that_can_be_cosigned() -> None:
    for at_s in (0, 1, MAX_TIME_S):
        (found,) = verify_cosignatures(parse_note(cosigned(cosign(at_s))), [WITNESS.vkey])
        assert found.at_s == at_s
    with pytest.raises(ValueError, match="not negative"):
        cosign(-1)


def test_the_latest_of_several_cosignatures_by_one_witness_counts() -> None:
    (found,) = verify_cosignatures(parse_note(cosigned(cosign(5), cosign(9), cosign(7))), [WITNESS.vkey])
    assert found.at_s == 9


def test_a_bad_cosignature_condemns_the_note_even_beside_a_good_one() -> None:
    bad = cosign(5, text="another\n")
    for lines in ([bad], [cosign(5), bad], [bad, cosign(5)]):
        with pytest.raises(BadSignature):
            verify_cosignatures(parse_note(cosigned(*lines)), [WITNESS.vkey])


def test_a_log_s_key_and_a_witness_s_key_are_never_taken_for_one_another() -> None:
    with pytest.raises(NotVerified, match="0x04"):
        CosignerKey.parse(str(SIGNER.vkey))
    with pytest.raises(NotVerified, match="another kind"):
        VerifierKey.parse(str(WITNESS.vkey))
    twin = Cosigner(name=SIGNER.name, private=SIGNER.private)  # the log poses as its own witness, with the same key
    with pytest.raises(UnknownSigner):
        verify_cosignatures(parse_note(NOTE), [twin.vkey])


def test_an_unknown_witness_is_passed_over_even_if_it_bears_a_known_name() -> None:
    stranger = Cosigner(name=WITNESS.name, private=Ed25519PrivateKey.generate())
    with pytest.raises(UnknownSigner):
        verify_cosignatures(parse_note(cosigned(cosign(5, by=stranger))), [WITNESS.vkey])
    with pytest.raises(UnknownSigner):
        verify_cosignatures(parse_note(NOTE), [WITNESS.vkey])


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u2003b"])
def test_a_name_that_no_note_can_carry_is_refused(name: str) -> None:
    with pytest.raises(NotVerified):
        Cosigner(name=name, private=WITNESS.private)


def test_a_key_of_low_order_and_a_wrong_id_are_refused() -> None:
    with pytest.raises(NotVerified, match="low order"):
        CosignerKey.of("w", bytes([1]) + bytes(31))
    with pytest.raises(NotVerified, match="does not fit"):
        CosignerKey.parse(f"w+00000000+{base64.b64encode(bytes([4]) + WITNESS.vkey.public).decode()}")


@given(st.text(max_size=60) | st.from_regex(r"\A[a-z]{1,5}\+[0-9a-f]{8}\+[A-Za-z0-9+/]{40,46}={0,2}\Z"))
def test_whatever_is_not_a_key_is_refused_in_one_way(text: str) -> None:
    try:
        key = CosignerKey.parse(text)
    except NotVerified:
        return
    assert str(key).lower() == text.lower()


@given(st.binary(max_size=90))
def test_no_other_bytes_are_a_cosignature(raw: bytes) -> None:
    assert WITNESS.vkey.when_signed(parse_note(NOTE).text, raw) is None
