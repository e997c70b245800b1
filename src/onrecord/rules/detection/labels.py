# SPDX-License-Identifier: Apache-2.0
"""The labels that stand in the record where a value stood: `[REDACTED:github-token#7f3a91c2]`.

What follows the `#` is a tag, keyed and per tenant: the same value has the same tag, so that one can
ask where else a leaked key was used, and nobody without the key can try values against it. What
follows a `*` is the end of a card or account number, where the settings let it stand.
`[WITHHELD:…]` stands for what was not understood.

Anybody can write brackets. What looks like a label and does not bear a name that we give, with a tag
as long as ours, is text like any other: a secret in it is searched for and masked.
"""

from collections.abc import Callable, Collection, Iterable
from typing import NewType, TypeAlias

from onrecord.rules.detection.finding import Finding, Kind
from onrecord.rules.pattern import Offsets, Pattern, utf8

OVERFLOW = "overflow"  # more than may be looked at
BUDGET = "budget"  # longer, or later, than may be looked at
SENSITIVE = "sensitive"  # what is marked and whose name says nothing
CLASS = "class"  # what the classification of a call does not show; of all reasons the one that may bear a tag
REASONS = frozenset(
    {OVERFLOW, BUDGET, CLASS, "binary", "marked", "number"}
)  # why something is withheld, whatever it is
# Personal data that is known by its last four characters without being given away.
PARTIAL = frozenset({"card-number", "iban", "phone", "phone-number"})
PLACEHOLDERS = Pattern(r"\[(?:REDACTED|WITHHELD):[a-z0-9-]{1,40}(?:#[0-9a-f]{8}|\*[0-9A-Za-z]{4})?\]")

Mask = NewType("Mask", str)  # what stands in the place of a value; a label alone is none
StandIn: TypeAlias = Callable[[str, Kind, str], Mask]  # label, kind, value → what stands in its place


def placeholders(text: str, labels: Collection[str]) -> list[tuple[int, int]]:
    """Return where the labels that stand for values lie in `text`; `labels` are those that are given."""
    if "[REDACTED:" not in text and "[WITHHELD:" not in text:
        return []
    data = utf8(text)
    spans = list(PLACEHOLDERS.spans(data))
    offsets = Offsets(data, {offset for span in spans for offset in span})
    found = ((offsets[start], offsets[end]) for start, end in spans)
    return [(start, end) for start, end in found if _is_ours(text[start:end], labels)]


def _is_ours(written: str, labels: Collection[str]) -> bool:
    label = label_in(written)
    if written.startswith("[WITHHELD"):
        return label in REASONS and (label == CLASS or written.endswith(f":{label}]")) and "*" not in written
    return label in labels and ("*" not in written or label in PARTIAL)


def label_in(stand_in: str) -> str:
    """Return which label a `[REDACTED:label#tag]` bears."""
    return stand_in[1:-1].partition(":")[2].partition("#")[0].partition("*")[0]


def label_only(label: str, kind: Kind = "secret", value: str = "") -> Mask:
    """Return the label alone, in brackets, whatever the value."""
    _ = kind, value
    return Mask(f"[{'WITHHELD' if label in REASONS else 'REDACTED'}:{label}]")


def masks(text: str, findings: Iterable[Finding], stand_in: StandIn = label_only) -> str:
    """Return `text` with each finding replaced by what stands in for it, by default its label."""
    pieces: list[str] = []
    at = 0
    for finding in findings:
        pieces.append(text[at : finding.start])
        pieces.append(stand_in(finding.label, finding.kind, finding.value or text[finding.start : finding.end]))
        at = finding.end
    pieces.append(text[at:])
    return "".join(pieces)


def cut(text: str, limit: int) -> str:
    """Return at most `limit` characters of `text`; a label that stands for a value is never cut in two."""
    if len(text) <= limit:
        return text
    kept = text[: limit - 1]
    opened = kept.rfind("[")
    if opened > kept.rfind("]") and text.startswith(("[REDACTED:", "[WITHHELD:"), opened):
        kept = kept[:opened]
    return f"{kept}…"
