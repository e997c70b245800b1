# SPDX-License-Identifier: Apache-2.0
"""A bar on standard error for work that takes long, where a person looks on; nothing anywhere else."""

import sys
import time
from types import TracebackType
from typing import Self

from onrecord.rules.neutral import neutral

_WIDTH = 30  # characters
_FIRST_S = 0.5  # what takes less needs no bar
_EVERY_S = 0.1


class Bar:
    """How much of `total` bytes is done. Call it with the count so far; leaving the block takes it away."""

    def __init__(self, about: str, total: int) -> None:
        self._about = neutral(about)
        self._total = max(1, total)
        self._shown = sys.stderr.isatty()
        self._next_at = time.monotonic() + _FIRST_S
        self._drawn = False

    def __call__(self, done: int) -> None:
        """Show how much is done, from time to time."""
        if not self._shown or time.monotonic() < self._next_at:
            return
        share = min(1.0, done / self._total)  # a living log grows meanwhile
        full = round(share * _WIDTH)
        bar = "#" * full + "." * (_WIDTH - full)
        sys.stderr.write(f"\r{self._about} [{bar}] {share:4.0%} of {self._total / 1e6:.0f} MB")
        sys.stderr.flush()
        self._next_at = time.monotonic() + _EVERY_S
        self._drawn = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
