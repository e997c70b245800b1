# SPDX-License-Identifier: Apache-2.0
"""What a caller gets for an entry: where it stands, and, once that is signed, the proof that it was taken."""

from dataclasses import dataclass


@dataclass(slots=True)
class Receipt:
    """Where an entry came to stand: its place in the log and its leaf hash.

    A receipt for a signed entry also carries the signed note that covers it, with size and root.
    """

    seq: int
    leaf: bytes
    note: bytes = b""
