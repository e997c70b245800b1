# SPDX-License-Identifier: Apache-2.0
"""What is found in labelled texts, and what is found wrongly, counted as tests/vectors/redaction/README.md says.

A row is a text and what must be masked in it. It counts as found where at least nine tenths of the
characters of all its spans are covered: a secret of which a part is left is a secret that is left.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ENOUGH = 0.9  # of the characters to be masked
CORE = ("CARD", "IBAN", "SSN", "PHONE", "EMAIL", "IP_ADDRESS", "MAC")  # in the name of a kind of personal data
STRICT = ("corpus", "creddata", "curated")  # rows without a secret that count against precision

Span = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A text and what is known of it."""

    id: str
    text: str
    category: str  # secret, pii, or neg: nothing is to be found
    kind: str
    spans: tuple[Span, ...]
    negative: str = ""  # where a text without anything comes from: corpus, creddata, curated…
    pii_free: bool = True
    counted: bool = True  # False: masking it is harmless, or it holds names and addresses


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A span that a tool would mask, and whether it takes it for a secret or for personal data."""

    start: int
    end: int
    kind: str


def read(path: Path) -> list[Labelled]:
    """Return the rows of a file; where one doesn't say what it is, its kind and source do."""
    with path.open(encoding="utf-8") as file:
        return [_labelled(json.loads(line)) for line in file]


def _labelled(row: dict[str, Any]) -> Labelled:
    text = row["text"] if isinstance(row["text"], str) else "".join(row["text"])
    category = row.get("category") or ("pii" if row["kind"].startswith("pii") else "secret")
    return Labelled(
        id=row["id"],
        text=text,
        category=category if row["label"] else "neg",
        kind=row["kind"],
        spans=tuple((start, end) for start, end in row["spans"]),
        negative="" if row["label"] else row.get("neg_type") or row["source"].partition(":")[0],
        pii_free=row.get("pii_free", True),
        counted=not row.get("tolerable") and not row.get("soft_pii"),
    )


def covered(spans: Iterable[Span], found: Sequence[Found]) -> float:
    """Return the share of the characters in `spans` that `found` covers."""
    masked = {at for one in found for at in range(one.start, one.end)}
    wanted = [at for start, end in spans for at in range(start, end)]
    return sum(at in masked for at in wanted) / len(wanted) if wanted else 1.0


@dataclass(slots=True)
class Share:
    """So many of so many."""

    hits: int = 0
    of: int = 0

    def add(self, hit: bool) -> None:  # noqa: FBT001  # what is counted
        self.hits += hit
        self.of += 1

    def __str__(self) -> str:
        return f"{self.hits / self.of:.1%} of {self.of}" if self.of else "–"


@dataclass(slots=True)
class Score:
    """What one tool did with all rows."""

    secrets: Share = field(default_factory=Share)
    unseen: Share = field(default_factory=Share)  # secrets of kinds that no rule was tuned on
    corpus: Share = field(default_factory=Share)  # real traffic in which something was found
    strict: Share = field(default_factory=Share)  # texts without a secret in which one was found
    core: Share = field(default_factory=Share)  # personal data of the common kinds
    personal: Share = field(default_factory=Share)
    personal_false: Share = field(default_factory=Share)  # texts without personal data in which some was found
    kinds: dict[str, Share] = field(default_factory=dict)

    @property
    def precision(self) -> float:
        """Found secrets, of them and of the texts in which one was found wrongly."""
        return self.secrets.hits / max(1, self.secrets.hits + self.strict.hits)

    @property
    def kinds_found(self) -> Share:
        """Kinds of secrets of which at least nine tenths are found."""
        whole = [share.hits >= ENOUGH * share.of for share in self.kinds.values()]
        return Share(sum(whole), len(whole))


def score(
    rows: Iterable[Labelled], find: Callable[[Labelled], Sequence[Found]], tuned: frozenset[str] = frozenset()
) -> Score:
    """Return how `find` does on `rows`; `tuned` are the kinds that its rules were tuned on."""
    result = Score()
    for row in rows:
        found = find(row)
        if row.category == "neg":
            _score_negative(row, found, result)
            continue
        hit = covered(row.spans, found) >= ENOUGH
        if row.category == "pii":
            result.personal.add(hit)
            if any(name in row.kind for name in CORE):
                result.core.add(hit)
            continue
        result.secrets.add(hit)
        result.kinds.setdefault(row.kind, Share()).add(hit)
        if row.kind not in tuned:
            result.unseen.add(hit)
    return result


def _score_negative(row: Labelled, found: Sequence[Found], result: Score) -> None:
    secret = any(one.kind == "secret" for one in found)
    personal = any(one.kind == "pii" for one in found)
    if row.negative == "corpus" and row.counted:
        result.corpus.add(secret or (personal and row.pii_free))
    if row.negative in STRICT and row.counted:
        result.strict.add(secret)
    if row.pii_free and row.counted and row.negative in STRICT:
        result.personal_false.add(personal)


def kinds_of(rows: Iterable[Labelled]) -> frozenset[str]:
    """Return the kinds of the rows in which something is to be found."""
    return frozenset(row.kind for row in rows if row.category != "neg")


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of `values` lie, by the nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def counted(rows: Iterable[Labelled]) -> str:
    """Say how many rows of what there are."""
    counts = Counter(row.category for row in rows)
    return ", ".join(f"{counts[name]} {name}" for name in ("secret", "pii", "neg"))
