# SPDX-License-Identifier: Apache-2.0
"""Finds the ends of long tokens: what was found reads only so far, and what goes on is part of it.

A value of a page or more is a token, a key or a cookie, and those hold no blanks. So from where the
reading stopped it goes on to the first sign that stands in none.
"""

from collections.abc import Sequence

from onrecord.rules.detection.finding import Finding

LONG = 4_000  # characters of a finding that may have been read only in part
_SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-.:%~"
_STEP = 4_096


def whole(text: str, found: Sequence[Finding]) -> list[Finding]:
    """Return `found`, ascending and without overlaps, with long secrets up to their ends."""
    kept: list[Finding] = []
    done = 0
    for finding in found:
        end = finding.end
        if end <= done:
            continue  # in the tail of the last
        if finding.kind == "secret" and not finding.value and end - finding.start >= LONG:
            end = _end(text, end)
        if end > finding.end or finding.start < done:
            start, label = max(done, finding.start), finding.label
            kept.append(Finding(start, end, label, finding.rule_id, finding.kind, finding.view, finding.value))
        else:
            kept.append(finding)
        done = end
    return kept


def _end(text: str, at: int) -> int:
    """Return where the token ends of which `text[at - 1]` is part."""
    if text[at - 1] not in _SIGNS:
        return at
    while at < len(text):
        piece = text[at : at + _STEP]
        rest = len(piece.lstrip(_SIGNS))
        at += len(piece) - rest
        if rest:
            break
    return at
