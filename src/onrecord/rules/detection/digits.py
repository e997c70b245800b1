# SPDX-License-Identifier: Apache-2.0
"""Check digits: the sums by which numbers that people copy by hand are told from numbers that merely look like them.

Each function says whether the last digit (or digits) of `number` agree with those before. Numbers come
without separators, and hold nothing but ASCII digits unless said otherwise.
"""

from collections.abc import Sequence

# The tables of J. Verhoeff, "Error Detecting Decimal Codes" (1969): the group D5, and its permutation.
_D5 = (
    *("0123456789", "1234067895", "2340178956", "3401289567", "4012395678"),
    *("5987604321", "6598710432", "7659821043", "8765932104", "9876543210"),
)
_TURN = (
    *("0123456789", "1576283094", "5803796142", "8916043527"),
    *("9453126870", "4286573901", "2793806415", "7046913258"),
)
_DOUBLED = (
    bytes(48) + bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)) + bytes(198)
)  # by character: a digit twice, and the digits of that added


def luhn(number: str) -> bool:
    """ISO/IEC 7812-1, annex B: every second digit doubled, from the right."""
    data = number.encode()
    once = sum(data[-1::-2]) - ord("0") * ((len(data) + 1) // 2)
    return (once + sum(data[-2::-2].translate(_DOUBLED))) % 10 == 0


def verhoeff(number: str) -> bool:
    """Catches each single wrong digit and each swap of neighbours."""
    state = 0
    for i, digit in enumerate(reversed(number)):
        state = int(_D5[state][int(_TURN[i % 8][int(digit)])])
    return state == 0


def weighted(number: str, weights: Sequence[int]) -> int:
    """Return the sum of the leading digits, each times its weight."""
    return sum(int(digit) * weight for digit, weight in zip(number, weights, strict=False))


def mod_11_10(number: str) -> bool:
    """ISO/IEC 7064, MOD 11,10."""
    product = 10
    for digit in number[:-1]:
        product = (int(digit) + product) % 10 or 10
        product = product * 2 % 11
    return (product + int(number[-1])) % 10 == 1


def mod_11_2(number: str) -> bool:
    """ISO/IEC 7064, MOD 11-2; the last may be X."""
    total = 0
    for digit in number[:-1]:
        total = (total + int(digit)) * 2 % 11
    return (total + (10 if number[-1] == "X" else int(number[-1]))) % 11 == 1


def ean(number: str) -> bool:
    """GS1: weights 3 and 1 in turn, from the right."""
    return sum(int(digit) * (3 if i % 2 else 1) for i, digit in enumerate(reversed(number))) % 10 == 0


def calendar(year: int, month: int, day: int) -> bool:
    """Say whether there is such a day; each fourth year counts as a leap year."""
    if not 1 <= month <= 12:
        return False
    longest = 30 if month in (4, 6, 9, 11) else 31
    if month == 2:
        longest = 28 if year % 4 else 29
    return 1 <= day <= longest


def yymmdd(number: str) -> bool:
    """Say whether `number` begins with a date, year first."""
    return calendar(int(number[:2]), int(number[2:4]), int(number[4:6]))


def ddmmyy(number: str) -> bool:
    """Say whether `number` begins with a date, day first."""
    return calendar(int(number[4:6]), int(number[2:4]), int(number[:2]))
