# SPDX-License-Identifier: Apache-2.0
"""A small storm of kills; `make soak` runs the large one."""

from pathlib import Path

import pytest
from soak.run import storm


@pytest.mark.requirement("D3")
@pytest.mark.requirement("D1")
def test_no_acknowledged_entry_is_lost_when_writers_are_killed(tmp_path: Path) -> None:
    outcome = storm(tmp_path / "home", kills=12, writers=6)
    assert outcome.problems == []
    assert outcome.verdict == "unanchored"
    assert set(outcome.acknowledged) == {"written", "flushed", "signed"}
    assert outcome.entries > sum(outcome.acknowledged.values()) > 100
