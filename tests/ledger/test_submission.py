# SPDX-License-Identifier: Apache-2.0
"""What a witness makes of a submission: the exchanges that litewitness had, and every malformed body."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.errors import NotVerified
from onrecord.ledger.note import VerifierKey
from onrecord.ledger.submission import (
    Inconsistent,
    NotTheLog,
    OtherSize,
    Submission,
    UnknownLog,
    format_submission,
    parse_submission,
)
from onrecord.ledger.witness_state import WitnessState

pytestmark = pytest.mark.requirement("D2")

EXCHANGES: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors/witness/litewitness_exchanges.json").read_text()
)
STATUS = {UnknownLog: 404, NotTheLog: 403, OtherSize: 409, Inconsistent: 422, NotVerified: 400}
UNKNOWN_ORIGIN = 2  # the third call: the draft of 2025 said 403, version 1 of the specification says 404


def test_each_exchange_of_litewitness_ends_as_it_did_there(tmp_path: Path) -> None:
    origin = EXCHANGES["log_origin"]
    key = VerifierKey.of(origin, bytes.fromhex(EXCHANGES["log_ed25519_pub_hex"]))
    state = WitnessState(tmp_path, "witness.test", {origin: [key]})
    statuses: list[int] = []
    for call in EXCHANGES["calls"]:
        try:
            state.cosign(parse_submission(base64.b64decode(call["request_b64"])))
            statuses.append(200)
        except NotVerified as e:
            statuses.append(STATUS[type(e)])
    expected = [call["status"] for call in EXCHANGES["calls"]]
    expected[UNKNOWN_ORIGIN] = 404
    assert statuses == expected
    assert state.latest(origin) is not None
    assert state.latest(origin).size == 5  # type: ignore[union-attr]
    state.close()


NOTE = b"log\n1\n" + base64.b64encode(bytes(32)) + b"\n\n\xe2\x80\x94 log " + base64.b64encode(bytes(68)) + b"\n"
HASH = base64.b64encode(bytes(32))


@given(st.integers(0, 2**63 - 1), st.lists(st.binary(min_size=32, max_size=32), max_size=63))
def test_what_is_formatted_is_read_back(old_size: int, path: list[bytes]) -> None:
    submission = Submission(old_size=old_size, path=tuple(path), note=NOTE)
    assert parse_submission(format_submission(submission)) == submission


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"old",
        b"old ",
        b"old -1",
        b"old 01",
        b"old  1",
        b"old 1 ",
        b"Old 1",
        b"old 9223372036854775808",
        b"old 1\r",
        "old ١".encode(),
        b"old 1\n" + HASH[:-4],
        b"old 1\n" + HASH + b"\r",
        b"old 1\n" + base64.b64encode(bytes(33)),
        b"old 1\n" + HASH.replace(b"A=", b"B="),
        b"old 1\n" + b"\n".join([HASH] * 64),
        HASH,
    ],
)
def test_a_malformed_proof_is_refused(head: bytes) -> None:
    with pytest.raises(NotVerified):
        parse_submission(head + b"\n\n" + NOTE)


@pytest.mark.parametrize("body", [b"", b"old 0\n", b"old 0\nlog\n", b"\n\n", NOTE])
def test_a_body_without_both_parts_is_refused(body: bytes) -> None:
    with pytest.raises(NotVerified):
        parse_submission(body)


@given(st.binary(max_size=200) | st.binary(max_size=80).map(lambda tail: b"old 0\n\nlog\n1\n" + tail))
def test_a_witness_refuses_any_other_bytes_in_one_way(tmp_path_factory: Any, body: bytes) -> None:
    from onrecord.ledger.submission import origin_of

    with pytest.raises(NotVerified):
        origin_of(parse_submission(body), {})
