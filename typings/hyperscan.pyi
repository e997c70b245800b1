# SPDX-License-Identifier: Apache-2.0
"""The part of hyperscan that OnRecord uses; the package ships no types."""

from collections.abc import Callable, Sequence
from typing import Any

HS_FLAG_SINGLEMATCH: int
HS_FLAG_UTF8: int
HS_MODE_BLOCK: int
__version__: str

class HyperscanError(Exception): ...

class Database:
    def compile(
        self, expressions: Sequence[bytes], ids: Sequence[int] | None = None, *, flags: Sequence[int] | int = 0
    ) -> None: ...
    def scan(
        self,
        data: bytes,
        match_event_handler: Callable[[int, int, int, int, Any], object],
        flags: int = 0,
        context: object = None,
        scratch: Scratch | None = None,
    ) -> None: ...
    def info(self) -> bytes: ...

class Scratch:
    def __init__(self, database: Database | None = None) -> None: ...

def dumpb(database: Database) -> bytes: ...
def loadb(data: bytes, mode: int) -> Database: ...
