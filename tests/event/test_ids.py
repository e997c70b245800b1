# SPDX-License-Identifier: Apache-2.0
"""Identifiers carry their time, and sort by it."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from onrecord.event.ids import uuid7

times = st.integers(0, 2**48 - 1)
randoms = st.binary(min_size=10, max_size=10)


@given(times, randoms)
def test_an_id_is_a_uuid_of_version_7_in_its_one_spelling(unix_ms: int, random: bytes) -> None:
    text = uuid7(unix_ms, random)
    read = uuid.UUID(text)
    assert str(read) == text
    assert (read.version, read.variant) == (7, uuid.RFC_4122)


@given(times, randoms)
def test_an_id_carries_its_time(unix_ms: int, random: bytes) -> None:
    assert int(uuid7(unix_ms, random).replace("-", "")[:12], 16) == unix_ms


@given(st.tuples(times, randoms), st.tuples(times, randoms))
def test_ids_sort_by_their_time(one: tuple[int, bytes], other: tuple[int, bytes]) -> None:
    if one[0] < other[0]:
        assert uuid7(*one) < uuid7(*other)


@given(times, st.integers(0, 2**80 - 1))
def test_as_many_bits_of_chance_count_as_the_format_has_room_for(unix_ms: int, random: int) -> None:
    one = uuid7(unix_ms, random.to_bytes(10, "big"))
    others = {uuid7(unix_ms, (random ^ 1 << bit).to_bytes(10, "big")) for bit in range(80)}
    assert len(others - {one}) == 74  # RFC 9562, 5.7: 12 of rand_a, 62 of rand_b


def test_the_example_of_the_specification_comes_out_as_it_is_printed_there() -> None:
    # RFC 9562, appendix A.6; the last byte gives the two bits beside the variant
    assert uuid7(0x017F22E279B0, bytes.fromhex("cc38c4dc0c0c07398f01")) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
