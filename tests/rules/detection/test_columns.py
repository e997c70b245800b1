# SPDX-License-Identifier: Apache-2.0
"""Tables: what stands under a telling heading is found however far below it stands."""

from contextlib import suppress
from time import thread_time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rules.calls import DETECTORS

from onrecord.rules.detection import columns
from onrecord.rules.detection.detectors import SLICE, masked


def passwords(rows: int) -> list[str]:
    return [f"Tr0ub{row:06}dor&{row * 7919 % 1000:03}" for row in range(rows)]


@pytest.mark.requirement("B1")
@pytest.mark.parametrize(
    ("before", "heading", "row"),
    [
        ("", "user,password,role", "user-{},{},admin"),
        ("", "user\tpassword\trole", "user-{}\t{}\tadmin"),
        ("", "| user | password |\n|------|----------|", "| user-{} | {} |"),
        ("", '"user";"password"', '"user-{}";"{}"'),
        ("naïve — ünïcödé\n\n", "user,password,role", "üser-{},{},admin"),
        ("", "INSERT INTO users (name, password) VALUES", "('user-{}', '{}'),"),
    ],
)
def test_a_table_longer_than_a_slice_is_masked_to_its_end(before: str, heading: str, row: str) -> None:
    given = passwords(700)
    text = before + "\n".join([heading, *(row.format(i, value) for i, value in enumerate(given))])
    assert len(text) > 3 * SLICE

    shown = masked(DETECTORS, text)

    assert [value for value in given if value in shown] == []
    assert shown.count("user-" if "üser" not in row else "üser-") == len(given)


def test_a_table_below_many_headings_is_found() -> None:
    text = "user,password\n\n" * 40 + "user,password\nme,correct-horse\n"

    assert "correct-horse" not in masked(DETECTORS, text)


def test_a_text_with_more_cells_than_are_read_is_withheld() -> None:
    rows = "".join(f"u,a{i}b\n" for i in range(100_000, 100_000 + columns.MOST + 1))

    assert masked(DETECTORS, "user,password\n" + rows) == "[WITHHELD:overflow]"


@pytest.mark.parametrize("piece", ["(a,password)values(", "(user,password) values ('a", "(password,", "a,password\n"])
def test_a_text_made_of_headings_comes_to_an_end(piece: str) -> None:
    data = piece.encode() * (1_000_000 // len(piece))
    before = thread_time()

    with suppress(columns.TooMuch):
        assert all(end <= len(data) for _, end in columns.cells(data))

    assert thread_time() - before < 2  # of which ten pieces for each byte would be a hundred


@given(
    st.lists(st.sampled_from(["user", ",", "|", "password", "(", ")", "values", "\n", "'", '"', "ab1c2d", " ", "ü"]))
)
def test_cells_lie_within_the_text_in_order_and_apart(pieces: list[str]) -> None:
    data = "".join(pieces).encode()

    spans = list(columns.cells(data))

    ends = [0, *(end for _, end in spans)]
    assert all(before <= start < end <= len(data) for before, (start, end) in zip(ends, spans, strict=False))
