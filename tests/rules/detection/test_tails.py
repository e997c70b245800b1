# SPDX-License-Identifier: Apache-2.0
"""Long tokens: masked up to their ends, and nothing after them."""

import pytest
from tests.rules.calls import DETECTORS

from onrecord.rules.detection.detectors import masked

TOKEN = "".join(f"Zk3vQ8mTx1LwR7{i:05}" for i in range(3_000))


@pytest.mark.parametrize("before", ["access_token=", "Cookie: session=", "Authorization: Bearer ", 'password="'])
@pytest.mark.parametrize("size", [4_500, 30_000, 57_000])
def test_a_long_token_is_masked_to_its_end_and_what_follows_stays(before: str, size: int) -> None:
    text = masked(DETECTORS, f"say {before}{TOKEN[:size]}\nand then")

    assert "Zk3v" not in text
    assert text.startswith("say ")
    assert text.endswith("\nand then")


def test_what_is_found_in_the_tail_of_a_token_is_part_of_it() -> None:
    text = masked(DETECTORS, f"access_token={TOKEN[:5_000]}AKIA{'Q2W3E4R5T6Y7U8I9'}{TOKEN[:5_000]} end")

    assert text.count("[REDACTED:") == 1
    assert text.endswith(" end")
