# SPDX-License-Identifier: Apache-2.0
"""A text masked until nothing more is found in it, and all that was found, where it stood in the text.

Masking brings together what stood apart: with the name of an account gone, what follows it may look
like the password that it is. So the masked text is searched again, and what is found then is traced
back to the text that came in.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace

from onrecord.rules.detection.detectors import ROUNDS, Detectors
from onrecord.rules.detection.finding import Finding
from onrecord.rules.detection.labels import OVERFLOW, masks


def masked_whole(detectors: Detectors, text: str, *, low: bool) -> tuple[str, list[Finding]]:
    """Return `text` masked, and what was masked in it, in order, without overlaps."""
    shown, found = text, list[Finding]()
    for _ in range(ROUNDS):
        more = [finding for finding in detectors.find(shown, low=low) if finding.kind != "flag"]
        if not more:
            return shown, found
        found = _joined([*found, *_traced(text, found, more)]) if found else more
        shown = masks(text, found)
    if not any(finding.kind != "flag" for finding in detectors.find(shown, low=low)):
        return shown, found
    all_of_it = [Finding(0, len(text), OVERFLOW, OVERFLOW, "secret")]
    return masks(text, all_of_it), all_of_it


def _traced(text: str, found: Sequence[Finding], more: Sequence[Finding]) -> Iterator[Finding]:
    """Yield each of `more`, which lie in `text` with `found` masked, as it lies in `text`.

    An end that lies within a label becomes that of the value for which the label stands.
    """
    starts: list[int] = []  # of each label in the masked text
    ends: list[int] = []
    grown = [0]  # how much longer the labels up to each one are than what they stand for
    for finding in found:
        size = finding.end - finding.start
        label = masks(text[finding.start : finding.end], [replace(finding, start=0, end=size)])
        starts.append(finding.start + grown[-1])
        ends.append(starts[-1] + len(label))
        grown.append(grown[-1] + len(label) - size)
    for finding in more:
        first, last = bisect_right(starts, finding.start), bisect_left(starts, finding.end)
        start, end = finding.start - grown[first], finding.end - grown[last]
        if first and finding.start < ends[first - 1]:
            start = found[first - 1].start
        if last and finding.end <= ends[last - 1]:
            end = found[last - 1].end
        yield replace(finding, start=start, end=end)


def _joined(findings: Sequence[Finding]) -> list[Finding]:
    """Return `findings` in order; what overlaps is one, under the name of what begins first."""
    joined: list[Finding] = []
    for finding in sorted(findings, key=lambda finding: finding.start):
        if joined and finding.start < joined[-1].end:
            joined[-1] = replace(joined[-1], end=max(joined[-1].end, finding.end))
        else:
            joined.append(finding)
    return joined
