# SPDX-License-Identifier: Apache-2.0
"""The outline of a text: which kind of character stands where. `Tel 030-901820` has `aaa-000-000000`.

Numbers of people and of accounts are told by their form: so many digits, a dash, so many more. As
expressions over digits these are slow to look for, many at a time; as literals in the outline, some
twenty times as fast.
"""

from string import ascii_letters, digits

ALPHABET = "0a-"  # a digit, a letter, what stands between groups
BETWEEN = " -"


def _table() -> bytes:
    table = bytearray(range(256))
    for members, kind in zip((digits, ascii_letters, BETWEEN), ALPHABET, strict=True):
        for char in members:
            table[ord(char)] = ord(kind)
    return bytes(table)


_TABLE = _table()


def outline(data: bytes) -> bytes:
    """Return the outline of `data`, UTF-8, of the same size. What is no ASCII stays, and so do other signs."""
    return data.translate(_TABLE)


def is_outline(literal: str) -> bool:
    """Say whether `literal` could occur in an outline."""
    return literal != "" and outline(literal.encode()) == literal.encode()
