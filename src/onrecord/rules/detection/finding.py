# SPDX-License-Identifier: Apache-2.0
"""What a rule found, and where."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

Kind: TypeAlias = Literal["secret", "pii", "flag"]
Span: TypeAlias = tuple[int, int]
Check: TypeAlias = Callable[[str, int, int], Span | None]  # text, start, end: see checks.py


@dataclass(frozen=True, slots=True)
class Finding:
    """`text[start:end]`, in code points, is to be masked."""

    start: int
    end: int
    label: str
    rule_id: str
    kind: Kind
    view: str = ""  # the decoding in which it was found: "" for the text as it is
    value: str = ""  # what the decoding says; "" for what stands in the text


class Recogniser(Protocol):
    """Finds what rules can't describe, such as names; `presidio.py` is one. What it raises withholds the text."""

    @property
    def labels(self) -> frozenset[str]:
        """The labels that it gives."""
        ...

    def recognised(self, text: str) -> list[Finding]:
        """Return what is to be masked in `text`, in any order."""
        ...
