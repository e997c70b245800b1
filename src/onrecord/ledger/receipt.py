# SPDX-License-Identifier: Apache-2.0
"""What a caller gets for an entry: where it stands, and, once that is signed, the proof that it was taken."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where an entry came to stand: its place in the log and its leaf hash.

    A receipt for a signed entry also carries the checkpoint that covers it: how many entries, the
    root over them, and the signed note that says so.
    """

    seq: int
    leaf: bytes
    size: int = 0
    root: bytes = b""
    note: bytes = b""
