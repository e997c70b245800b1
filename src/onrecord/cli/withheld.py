# SPDX-License-Identifier: Apache-2.0
"""What a filter withheld because it could not look at it, counted by lines, and said once at its end."""

from collections import Counter

from onrecord.cli.terminal import say
from onrecord.rules.detection.labels import BUDGET, OVERFLOW

NUMBER = "number"

_WHY = {
    BUDGET: "too long, too deep, or more than can be looked at",
    OVERFLOW: "more was found in a text than can be looked at, or a test of it failed",
    NUMBER: "a number without end",
}


class Withheld:
    """Counts the lines in which something was withheld, by its label."""

    def __init__(self) -> None:
        self._lines: Counter[str] = Counter()

    def count(self, label: str) -> None:
        """Note one line more."""
        self._lines[label] += 1

    def compare(self, given: str, shown: str) -> None:
        """Note a line whose answer withholds more than stood in it."""
        for label in _WHY:
            mark = f"[WITHHELD:{label}]"
            if shown.count(mark) > given.count(mark):
                self._lines[label] += 1

    def say(self) -> None:
        """Say what was withheld, and why."""
        for label, lines in self._lines.items():
            say(f"withheld in {lines:,} {'line' if lines == 1 else 'lines'}, [WITHHELD:{label}]: {_WHY[label]}")
