# SPDX-License-Identifier: Apache-2.0
"""The labels that stand in the record where a value stood: `[REDACTED:github-token#7f3a91c2]`.

What follows the `#` is a tag, keyed and per tenant: the same value has the same tag, so that one can
ask where else a leaked key was used, and nobody without the key can try values against it. What
follows a `*` is the end of a card or account number, where the settings let it stand.
`[WITHHELD:…]` stands for what was not understood.
"""

from collections.abc import Callable, Iterable
from typing import TypeAlias

from onrecord.rules.detection.finding import Finding, Kind
from onrecord.rules.pattern import Offsets, Pattern, utf8

OVERFLOW = "overflow"
PLACEHOLDERS = Pattern(r"\[(?:REDACTED|WITHHELD):[a-z0-9-]{1,40}(?:#[0-9a-f]{4,16}|\*[0-9A-Za-z]{4})?\]")

StandIn: TypeAlias = Callable[[str, Kind, str], str]  # label, kind, value → what stands in its place


def placeholders(text: str) -> list[tuple[int, int]]:
    """Return where the labels that stand for values lie in `text`."""
    if "[REDACTED:" not in text and "[WITHHELD:" not in text:
        return []
    data = utf8(text)
    spans = list(PLACEHOLDERS.spans(data))
    offsets = Offsets(data, {offset for span in spans for offset in span})
    return [(offsets[start], offsets[end]) for start, end in spans]


def label_only(label: str, kind: Kind = "secret", value: str = "") -> str:
    """Return the label alone, whatever the value."""
    _ = kind, value
    return f"[{'WITHHELD' if label == OVERFLOW else 'REDACTED'}:{label}]"


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
