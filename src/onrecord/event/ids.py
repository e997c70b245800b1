# SPDX-License-Identifier: Apache-2.0
"""Identifiers: UUIDv7, so that an id carries its own time bound. RFC 9562, section 5.7.

Clock and randomness are arguments; nothing here reads either.
"""


def uuid7(unix_ms: int, random: bytes) -> str:
    """Return a UUIDv7 as text, from milliseconds since the epoch and 10 random bytes."""
    tail = int.from_bytes(random, "big")
    value = (unix_ms & 0xFFFF_FFFF_FFFF) << 80 | tail
    value = value & ~(0xF << 76) | 0x7 << 76  # version 7
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant 10
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def unix_ms_of(identifier: str) -> int:
    """Return the milliseconds since the epoch that a UUIDv7 carries."""
    return int(identifier[:8] + identifier[9:13], 16)
