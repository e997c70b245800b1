# SPDX-License-Identifier: Apache-2.0
"""Reads a text that came in pieces: blocks of content, deltas of a stream, chunks, as the JSON that carries them.

Two pieces are the values of one key that follow each other with nothing but structure between them.
Where a word is torn between them, or a name stands at the end of one, they are read as one; and so
are all of a stream, whose pieces are too short to tell.
"""

from collections.abc import Iterator

from onrecord.rules.detection.decoding import Edits
from onrecord.rules.pattern import Pattern

GAP = 700  # most characters between two pieces
PIECE = 32  # most characters of a piece of a stream, as a model writes it
STREAM = 3  # least pieces of one
DEEPEST = 15  # most backslashes before its quote: JSON in JSON, four times over
EDGE = 48  # characters beside a seam that are looked at

_PIECE = "text|content|delta|partial_json|chunk|data|response|token|arguments|stdout|log"
_CARRIER = f"{_PIECE}|role|choices|candidates|parts"  # what a block begins with
BLOCK = (
    rf"""\}}[\s,{{}}\[\]]{{2,80}}["'](?:(?:{_CARRIER})["']\s?:|type["']\s?:\s?["'](?:text|[a-z_.]{{0,30}}delta)["'])"""
    rf"""|\}}\r?\n\{{\s?["'](?:model|id|seq|index|stream|jsonrpc|type)["']\s?:[^\n]{{0,200}}["'](?:{_PIECE})["']\s?:"""
    rf"""|\}}\s{{1,4}}(?:event: ?[\w.]{{1,40}}\s{{1,2}})?data: ?[{{\[]"""
    r"""|, TextContent\(type=|\n\r?\ndata: ?[^{\[\s]"""
)
# The other keys hold whole messages as often as pieces.
_OPENS = Pattern(
    rf"""\\*["'](?:{_PIECE}|message|value|body|output)\\*["']\s?:\s?\\*["']|type=["']text["'], text=["']"""
)
_WHOLE = (b"message", b"value", b"body", b"output")
_LINES = Pattern(r"\r?\n\r?\n(?:(?:event|id): ?[\w.-]{1,40}\r?\n){0,2}data: ?")  # a stream of plain text
_ANNOUNCES = Pattern(r"""(?i)(?:[:=]|\b(?:bearer|basic|token))\s*(?:\\*["']\s*)?\z""")
_BLANK = b" \t\r\n"
_TOKEN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-.:@%$!~"
_DIGITS = b"0123456789"

_Seam = tuple[int, int, int, bool]  # where a piece begins and ends, where the next begins, whether it may be whole


def blocks(data: bytes, edits: Edits) -> None:
    """Read the text of two pieces of content that follow each other as one: `"text":"ab"},{"text":"cd"`."""
    seams = list(_seams(data))
    streams = _streams(seams)
    for i, (start, end, after, whole) in enumerate(seams):
        if i in streams or (_torn(data, end, after) if whole else _goes_on(data, start, end, after)):
            edits.add(end, after, "")
    for start, end in _LINES.spans(data):
        if data[end : end + 1] not in (b"{", b"[") and _torn(data, start, end):
            edits.add(start, end, "")


def _seams(data: bytes) -> Iterator[_Seam]:
    latest: dict[tuple[int, bytes], tuple[bytes, int]] = {}  # by how it is quoted: what opened a piece, where it begins
    for start, end in _OPENS.spans(data):
        opening = data[start:end]
        level = len(opening) - 1 - len(opening[:-1].rstrip(b"\\"))
        quoting = level, opening[-1:]
        before, begin = latest.get(quoting, (b"", 0))
        if opening == before:
            close = _close(data, begin, start, *quoting)
            gap = data[close:start]
            if close >= 0 and len(gap) <= GAP and (b"}" in gap or b")" in gap):
                yield begin, close, end, any(name in opening for name in _WHOLE)
        if level <= DEEPEST:
            latest[quoting] = opening, end


def _close(data: bytes, start: int, stop: int, level: int, quote: bytes) -> int:
    """Return where the string from `start` on ends, by its quote and as many backslashes; -1 for nowhere."""
    at = data.find(quote, start, stop)
    while at >= 0:
        first = at
        while first > start and data[first - 1] == 0x5C and at - first < 16:
            first -= 1
        slashes = at - first
        if slashes == level or (not level and slashes % 2 == 0):
            return first if level else at
        at = data.find(quote, at + 1, stop)
    return -1


def _streams(seams: list[_Seam]) -> set[int]:
    """Return which seams lie in a stream: several short pieces, each right behind the one before."""
    kept: set[int] = set()
    run: list[int] = []
    for i, (start, end, _, whole) in enumerate(seams):
        if run and seams[run[-1]][2] != start:
            run = []
        if whole or end - start > PIECE:
            run = []
            continue
        run.append(i)
        if len(run) >= STREAM:
            kept.update(run if len(run) == STREAM else run[-1:])
    return kept


def _goes_on(data: bytes, start: int, end: int, after: int) -> bool:
    """Say whether a word is torn between what ends at `end` and what begins at `after`, or a name announces it."""
    left, right = data[max(start, end - EDGE) : end], data[after : after + 2]
    if not right.strip() or right[:1] in b"\"'\\":
        return False
    if _ANNOUNCES.occurs(left):
        return True
    if not left or right[:1] in _BLANK:
        return False
    return left[-1:] not in _BLANK and left[-2:] not in (b"\\n", b"\\r", b"\\t")


def _torn(data: bytes, start: int, end: int) -> bool:
    """Say whether what stands before `start` and after `end` may be halves of a token: there is a digit in it."""
    left, right = data[max(0, start - EDGE) : start], data[end : end + EDGE]
    left, right = left[len(left.rstrip(_TOKEN)) :], right[: len(right) - len(right.lstrip(_TOKEN))]
    whole = left + right
    return bool(left and right) and len(whole) > 7 and whole.translate(None, _DIGITS) != whole
