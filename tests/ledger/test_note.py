# SPDX-License-Identifier: Apache-2.0
"""Notes, keys and checkpoints: what is signed can be opened, and nothing else can."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from onrecord.errors import NotVerified
from onrecord.ledger.note import (
    MAX_SIGNATURES,
    MAX_SIZE,
    BadSignature,
    Checkpoint,
    Note,
    Signature,
    SignerKey,
    UnknownSigner,
    Unsigned,
    VerifierKey,
    format_checkpoint,
    open_checkpoint,
    parse_checkpoint,
    parse_note,
    sign_checkpoint,
    verify_note,
)

pytestmark = pytest.mark.requirement("D2")


def signer(name: str, seed: int = 1) -> SignerKey:
    return SignerKey(name=name, private=Ed25519PrivateKey.from_private_bytes(bytes([seed] * 32)))


LOG = signer("example.com/log")
WITNESS = signer("witness.example", 2)
ROOT = bytes(range(32))
CHECKPOINT = Checkpoint(origin=LOG.name, size=42, root=ROOT)
SIGNED = sign_checkpoint(CHECKPOINT, LOG)
TEXT = format_checkpoint(CHECKPOINT)


def note(text: str, *lines: str) -> bytes:
    return f"{text}\n{''.join(lines)}".encode()


names = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Zs", "Zl", "Zp"], exclude_characters="+"), min_size=1
)
checkpoints = st.builds(
    Checkpoint, origin=names, size=st.integers(0, MAX_SIZE), root=st.binary(min_size=32, max_size=32)
)


# Checkpoints


@given(checkpoints, st.binary(min_size=32, max_size=32))
def test_a_checkpoint_that_its_log_signed_can_be_opened_with_the_public_key(
    checkpoint: Checkpoint, seed: bytes
) -> None:
    key = SignerKey(name=checkpoint.origin, private=Ed25519PrivateKey.from_private_bytes(seed))
    public = VerifierKey.parse(str(key.vkey))
    assert public == key.vkey
    assert open_checkpoint(sign_checkpoint(checkpoint, key), [public]) == checkpoint


def test_a_signed_checkpoint_reads_as_the_specification_shows_it() -> None:
    origin, size, root, empty, signature, end = SIGNED.decode().split("\n")
    assert (origin, size, empty, end) == ("example.com/log", "42", "", "")
    assert base64.b64decode(root) == ROOT
    dash, name, raw = signature.split(" ")
    assert (dash, name) == ("\u2014", "example.com/log")
    assert base64.b64decode(raw)[:4] == LOG.vkey.key_id


def test_one_wrong_bit_anywhere_in_a_checkpoint_is_noticed() -> None:
    for at in range(len(SIGNED) * 8):
        byte, bit = divmod(at, 8)
        changed = bytearray(SIGNED)
        changed[byte] ^= 1 << bit
        with pytest.raises(NotVerified):
            open_checkpoint(bytes(changed), [LOG.vkey])


def test_a_checkpoint_cut_anywhere_is_noticed() -> None:
    for end in range(len(SIGNED)):
        with pytest.raises(NotVerified):
            open_checkpoint(SIGNED[:end], [LOG.vkey])


def test_a_checkpoint_without_its_signature_is_unsigned() -> None:
    for stripped in (note(TEXT), TEXT.encode()):
        with pytest.raises(Unsigned):
            open_checkpoint(stripped, [LOG.vkey])


def test_a_checkpoint_signed_by_a_stranger_says_so() -> None:
    for keys in ([WITNESS.vkey], [signer(LOG.name, 3).vkey], []):
        with pytest.raises(UnknownSigner):
            open_checkpoint(SIGNED, keys)


def test_a_checkpoint_with_another_text_under_the_signature_says_so() -> None:
    with pytest.raises(BadSignature):
        open_checkpoint(SIGNED.replace(b"\n42\n", b"\n43\n"), [LOG.vkey])


def test_the_three_reasons_are_told_apart_from_a_malformed_note() -> None:
    with pytest.raises(NotVerified) as caught:
        open_checkpoint(b"not a note", [LOG.vkey])
    assert type(caught.value) is NotVerified


def test_a_checkpoint_that_only_a_witness_signed_does_not_speak_for_the_log() -> None:
    cosigned = note(TEXT, WITNESS.sign(TEXT))
    with pytest.raises(UnknownSigner, match="name of its origin"):
        open_checkpoint(cosigned, [WITNESS.vkey, LOG.vkey])


def test_a_log_does_not_speak_for_another_log() -> None:
    other = format_checkpoint(Checkpoint(origin="example.com/other", size=42, root=ROOT))
    with pytest.raises(UnknownSigner):
        open_checkpoint(note(other, LOG.sign(other)), [LOG.vkey])


@pytest.mark.parametrize(
    "lines",
    [[LOG.sign(TEXT), WITNESS.sign(TEXT)], [WITNESS.sign(TEXT), LOG.sign(TEXT)]],
    ids=["the log first", "the witness first"],
)
def test_a_cosigned_checkpoint_opens_whoever_signed_first(lines: list[str]) -> None:
    for keys in ([LOG.vkey], [LOG.vkey, WITNESS.vkey], [WITNESS.vkey, LOG.vkey]):
        assert open_checkpoint(note(TEXT, *lines), keys) == CHECKPOINT


def test_a_log_that_changes_its_key_signs_with_both_and_either_opens_the_checkpoint() -> None:
    successor = signer(LOG.name, 9)
    both = note(TEXT, LOG.sign(TEXT), successor.sign(TEXT))
    assert open_checkpoint(both, [LOG.vkey]) == open_checkpoint(both, [successor.vkey]) == CHECKPOINT


def test_extension_lines_are_signed_and_mean_nothing() -> None:
    text = f"{TEXT}extension\nanother one\n"
    assert open_checkpoint(note(text, LOG.sign(text)), [LOG.vkey]) == CHECKPOINT


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("log\n42\n", id="no root"),
        pytest.param(TEXT[:-1], id="no final newline"),
        pytest.param("\n" + TEXT.split("\n", 1)[1], id="empty origin"),
        pytest.param(TEXT + "\n", id="empty extension line"),
        *[
            pytest.param(TEXT.replace("42", size), id=f"size {size[:10]!r}")
            for size in ("042", "00", "-1", "+1", "0x2a", "4_2", " 42", "42 ", "", "4.2", "٤٢", "9" * 5000)
        ],
        pytest.param(TEXT.replace("42", str(MAX_SIZE + 1)), id="size beyond int64"),
        pytest.param("log\n42\n" + base64.b64encode(bytes(31)).decode() + "\n", id="short root"),
        pytest.param("log\n42\n" + base64.b64encode(bytes(33)).decode() + "\n", id="long root"),
        pytest.param("log\n42\n" + "A" * 42 + "B=\n", id="root in another spelling"),
        pytest.param("log\n42\n" + "A" * 43 + "\n", id="root without padding"),
        pytest.param("log\n42\n" + ROOT.hex() + "\n", id="root in hex"),
        pytest.param("log\n42\n" + "_" * 43 + "=\n", id="root in the alphabet for URLs"),
    ],
)
def test_a_malformed_checkpoint_is_refused_even_when_it_is_signed(text: str) -> None:
    with pytest.raises(NotVerified):
        parse_checkpoint(text)
    raw = signer("log").private.sign(text.encode())
    line = "— log " + base64.b64encode(signer("log").vkey.key_id + raw).decode() + "\n"
    with pytest.raises(NotVerified):
        open_checkpoint(note(text, line), [signer("log").vkey])


@pytest.mark.parametrize(
    "checkpoint",
    [
        Checkpoint(origin="", size=1, root=ROOT),
        Checkpoint(origin="two\n7", size=1, root=ROOT),
        Checkpoint(origin=TEXT[:-1], size=1, root=ROOT),
        Checkpoint(origin="log", size=-1, root=ROOT),
        Checkpoint(origin="log", size=MAX_SIZE + 1, root=ROOT),
        Checkpoint(origin="log", size=1, root=ROOT[1:]),
    ],
    ids=[
        "no origin",
        "origin of two lines",
        "origin that is a checkpoint",
        "negative size",
        "size beyond int64",
        "short root",
    ],
)
def test_a_checkpoint_that_could_not_be_read_back_is_never_written(checkpoint: Checkpoint) -> None:
    with pytest.raises(ValueError, match="no such checkpoint"):
        format_checkpoint(checkpoint)


def test_a_key_does_not_sign_a_checkpoint_of_another_log() -> None:
    with pytest.raises(ValueError, match="name of its origin"):
        sign_checkpoint(CHECKPOINT, WITNESS)


# Notes


def test_signatures_come_back_one_for_each_key_in_the_order_of_the_note() -> None:
    lines = [WITNESS.sign(TEXT), LOG.sign(TEXT), signer("stranger", 5).sign(TEXT), LOG.sign(TEXT)]
    verified = verify_note(parse_note(note(TEXT, *lines)), [LOG.vkey, WITNESS.vkey])
    assert [signature.name for signature in verified] == [WITNESS.name, LOG.name]


def test_a_bad_signature_of_a_known_key_condemns_a_note_that_others_signed_well() -> None:
    forged = LOG.sign("another text\n")
    with pytest.raises(BadSignature):
        verify_note(parse_note(note(TEXT, WITNESS.sign(TEXT), forged)), [LOG.vkey, WITNESS.vkey])


def test_a_good_signature_does_not_cover_up_a_bad_one_by_the_same_key() -> None:
    for lines in ([LOG.sign(TEXT), LOG.sign("other\n")], [LOG.sign("other\n"), LOG.sign(TEXT)]):
        with pytest.raises(BadSignature):
            verify_note(parse_note(note(TEXT, *lines)), [LOG.vkey])


def test_a_signature_of_an_unknown_key_that_shares_the_name_is_passed_over() -> None:
    namesake = signer(LOG.name, 7)
    assert len(verify_note(parse_note(note(TEXT, namesake.sign("x\n"), LOG.sign(TEXT))), [LOG.vkey])) == 1


def test_a_key_given_twice_is_one_key() -> None:
    assert open_checkpoint(SIGNED, [LOG.vkey, VerifierKey.parse(str(LOG.vkey))]) == CHECKPOINT


def test_two_different_keys_with_one_name_and_id_verify_nothing() -> None:
    twins = [VerifierKey.of("log", y.to_bytes(32, "little")) for y in (64581, 116126)]  # found by search
    assert twins[0].key_id == twins[1].key_id
    with pytest.raises(NotVerified, match="tell them apart"):
        open_checkpoint(SIGNED, [LOG.vkey, *twins])


def test_a_note_made_by_hand_without_signatures_is_unsigned() -> None:
    with pytest.raises(Unsigned):
        verify_note(Note(text=TEXT, signatures=()), [LOG.vkey])


@pytest.mark.parametrize("count", [16, MAX_SIGNATURES])
def test_a_note_may_carry_many_signatures(count: int) -> None:
    lines = [signer(f"witness{i}", i).sign(TEXT) for i in range(count)]
    assert len(parse_note(note(TEXT, *lines)).signatures) == count


def test_a_note_with_too_many_signatures_is_refused_before_they_are_read() -> None:
    with pytest.raises(NotVerified, match="101 signatures"):
        parse_note(note(TEXT, LOG.sign(TEXT) * (MAX_SIGNATURES + 1)))


def test_the_text_of_a_note_may_hold_empty_lines_and_any_script() -> None:
    text = "Ognuno sta solo\n\ned è subito sera 夜\n\n\n"
    parsed = parse_note(note(text, LOG.sign(text)))
    assert parsed.text == text
    assert verify_note(parsed, [LOG.vkey])


def test_a_parsed_signature_is_apart_from_the_id_of_its_key() -> None:
    (signature,) = parse_note(SIGNED).signatures
    raw = LOG.private.sign(TEXT.encode())
    assert signature == Signature(name=LOG.name, key_id=LOG.vkey.key_id, raw=raw)


@pytest.mark.parametrize(
    "line",
    [
        "— name\n",
        "— name \n",
        "—  AAAAAAAA\n",
        "- name AAAAAAAA\n",
        "— na+me AAAAAAAA\n",
        "— na\u00a0me AAAAAAAA\n",
        "— name AAAAAA==\n",
        "— name AAAA\n",
        "— name AAAAAAB=\n",
        "— name AAAAAAAA AAAA\n",
        "— name AAAAAAAA\n\n",
        "— name AAAAAAAA",
        "— name AAAAAAAA\r\n",
        "— name\tAAAAAAAA\n",
    ],
)
def test_a_line_that_is_no_signature_spoils_the_note(line: str) -> None:
    with pytest.raises(NotVerified):
        parse_note(note(TEXT, LOG.sign(TEXT), line))


@given(st.one_of(st.binary(), st.text().map(lambda text: text.encode(errors="replace"))))
def test_no_bytes_whatever_make_the_parser_fail_in_another_way(data: bytes) -> None:
    for attempt in (data, SIGNED + data, data + SIGNED, TEXT.encode() + b"\n" + data):
        try:
            open_checkpoint(attempt, [LOG.vkey])
        except NotVerified:
            continue
        assert attempt == SIGNED


@given(st.text())
def test_no_text_whatever_makes_a_checkpoint_or_a_key_fail_in_another_way(text: str) -> None:
    for parse in (parse_checkpoint, VerifierKey.parse):
        for attempt in (text, f"log\n{text}\n", f"name+00000000+{text}", f"{text}+00000000+AAAA"):
            with pytest.raises(NotVerified):
                parse(attempt)


def test_a_text_that_no_note_can_hold_is_not_signed() -> None:
    for text in ("", "no newline", "a\tb\n", "a\r\n", "\x00\n"):
        with pytest.raises(ValueError, match="ends in a newline"):
            LOG.sign(text)


# Keys


def test_a_key_is_spelled_as_the_specification_shows_it() -> None:
    text = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
    key = VerifierKey.parse(text)
    assert (key.name, key.key_id.hex(), str(key)) == ("example.com/foo", "530d903a", text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u2003b", "a\x85", "\x00", "a\x1f", "\ud800"])
def test_a_name_that_no_note_can_carry_gets_no_key(name: str) -> None:
    with pytest.raises(NotVerified):
        signer(name)
    with pytest.raises(NotVerified):
        VerifierKey.of(name, LOG.vkey.public)


def test_a_key_whose_id_belongs_to_another_name_is_refused() -> None:
    with pytest.raises(NotVerified, match="id"):
        VerifierKey(name="example.com/other", key_id=LOG.vkey.key_id, public=LOG.vkey.public)


def test_a_key_never_shows_its_private_half() -> None:
    assert "private" not in repr(LOG)


P = 2**255 - 19
SIGN = 2**255


def test_keys_for_which_anything_counts_as_signed_are_refused() -> None:
    y8 = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
    low = [0, 1, P - 1, y8, P - y8]
    for y in [*low, P, P + 1]:
        for encoded in (y, y + SIGN):
            with pytest.raises(NotVerified, match="low order"):
                VerifierKey.of("log", encoded.to_bytes(32, "little"))


def test_keys_with_a_second_spelling_are_refused_in_that_spelling() -> None:
    for y in (P + 2, P + 18):
        for encoded in (y, y + SIGN):
            with pytest.raises(NotVerified, match="canonical"):
                VerifierKey.of("log", encoded.to_bytes(32, "little"))


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_key_of_the_wrong_length_is_refused(length: int) -> None:
    with pytest.raises(NotVerified, match="32 bytes"):
        VerifierKey.of("log", LOG.vkey.public[:1] * length)


def test_a_signature_holds_for_its_message_alone() -> None:
    raw = LOG.private.sign(b"message")
    assert LOG.vkey.has_signed(b"message", raw)
    assert not LOG.vkey.has_signed(b"massage", raw)
    assert not WITNESS.vkey.has_signed(b"message", raw)


def test_a_key_that_is_no_point_of_the_curve_has_signed_nothing() -> None:
    stray = VerifierKey.of("log", (2).to_bytes(32, "little"))  # y = 2 has no x
    assert not stray.has_signed(b"message", LOG.private.sign(b"message"))
