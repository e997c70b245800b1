# SPDX-License-Identifier: Apache-2.0
"""A small storm of kills beside questions; `make soak` runs the large one."""

from soak.asking import Storm, examine

from onrecord.ledger.place import Home


def test_what_was_acknowledged_is_found_whoever_is_killed(tmp_path):
    storm = Storm(tmp_path / "home", seed=5)
    storm.run(kills=9)
    examine(Home(tmp_path / "home"), storm.receipts(), storm.outcome)

    assert storm.outcome.problems == []
    assert min(storm.outcome.lookups, storm.outcome.counts, storm.outcome.segments) > 1  # so there was what to ask
