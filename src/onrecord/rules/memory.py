# SPDX-License-Identifier: Apache-2.0
"""What stands for a text in a table that is kept in memory: how many entries it has is bounded, so each must be."""

import hashlib

LONGEST = 256  # characters that stand for themselves


def short(text: str) -> str:
    """Return `text`, or of a long one the beginning and a digest; the same of no two texts.

    The digest has no key, so it must not be written down.
    """
    if len(text) <= LONGEST:
        return text
    return text[:LONGEST] + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
