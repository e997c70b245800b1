# SPDX-License-Identifier: Apache-2.0
"""The machine-readable zone of passports and identity cards. ICAO 9303, parts 3 to 6.

Two lines of 44 or 36 characters, or three of 30. Digits check the number, the birthday and the end of validity; a
zone in which two of the three are wrong is none, or was read so badly that nobody would use it.
"""

from onrecord.rules.detection.finding import Span

_VALUE = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_WEIGHTS = (7, 3, 1)
# By the length of a line: which line, and where in it what is checked begins and ends; the check digit follows.
_CHECKED = {
    44: ((1, 0, 9), (1, 13, 19), (1, 21, 27)),
    36: ((1, 0, 9), (1, 13, 19), (1, 21, 27)),
    30: ((0, 5, 14), (1, 0, 6), (1, 8, 14)),
}


def zone(text: str, start: int, end: int) -> Span | None:
    """Keep a zone of which two check digits or more are right."""
    lines = text[start:end].split()
    checked = _CHECKED.get(len(lines[0]), ())
    right = sum(_right(lines[line][first:last], lines[line][last]) for line, first, last in checked)
    return (start, end) if right >= 2 else None


def _right(field: str, digit: str) -> bool:
    total = sum(max(0, _VALUE.find(char)) * _WEIGHTS[i % 3] for i, char in enumerate(field))
    return digit == str(total % 10)
