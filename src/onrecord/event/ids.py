# SPDX-License-Identifier: Apache-2.0
"""Identifiers: UUIDv7, so that an id carries its own time bound. RFC 9562, section 5.7.

Clock and randomness are arguments; nothing here reads either.
"""


def uuid7(unix_ms: int, random: bytes) -> str:
    """Return a UUIDv7 as text, from milliseconds since the epoch and 10 random bytes."""
    time, tail = f"{unix_ms & 0xFFFF_FFFF_FFFF:012x}", random.hex()
    variant = "89ab"[random[9] & 3]  # two fixed bits, two random ones
    return f"{time[:8]}-{time[8:]}-7{tail[:3]}-{variant}{tail[3:6]}-{tail[6:18]}"
