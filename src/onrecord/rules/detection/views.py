# SPDX-License-Identifier: Apache-2.0
"""Searches what a text says when it is decoded: escapes, URLs, markup, base64, wrapped lines and twenty forms more.

One more pass looks for signs of encoding, all at once, so a text without any costs little more.
Where there is a sign, the form is read into a view (see offsets.py), which is searched as the text
itself was, and in which there may be signs again: base64 of JSON that holds JSON. What is found in
a view is masked in the text, wherever it was written. A value that was found in one of them is
looked for in all.

Nothing here may take long, whatever the text: how much is decoded, how often and how deep has a
limit. A text that needs more is not searched to its end, and so is withheld whole.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from onrecord.rules.detection import blocks, decoding, joins, lookalikes, runs
from onrecord.rules.detection.decoding import Edits, TooMany
from onrecord.rules.detection.finding import Finding
from onrecord.rules.detection.offsets import APART, View, merged
from onrecord.rules.pattern import Offsets, Pattern

DEPTH = 4  # views of views
MOST_VIEWS = 120
MOST_EDITS, MORE_EDITS = 60_000, 20  # places decoded in one view, and one more for so many characters
MOST_OUTPUT, MORE_OUTPUT = 65_536, 4  # characters of all views, and so many for each character of the text
FINDINGS = 1_000  # a long text takes longest where nearly all of it may be something: each finding counts as output
MARGIN = 2_048  # characters around a sign that are decoded
SCRAP = 512  # the same, of what is short
MOST_SIGNS = 32  # signs in a slice that are looked at one by one
MOST_ENDS = 8  # of what was found within one finding in a view that are looked at
REPEATED = 8  # least characters of a value that is looked for in all views
MOST_REPEATED = 32  # values that are
LONGEST_REPEATED = 8_192

Signs: TypeAlias = "dict[int, list[tuple[int, int]]]"  # by number of a form, the parts of a text that have its sign
Search: TypeAlias = Callable[[str], "tuple[list[Finding], Signs] | None"]


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write text: its sign, and what reads it."""

    sign: str  # an expression; what a text has that is written so
    literal: bytes = b""  # what it has in any case
    text: Callable[[str, Edits], None] | None = None
    data: Callable[[bytes, Edits], None] | None = None  # of a text as ASCII, one byte for each character

    def read(self, text: str, parts: list[tuple[int, int]], edits: Edits) -> None:
        """Add to `edits` what this form stands for in `parts` of `text`."""
        for start, end in parts:
            part = text[start:end]
            before = len(edits.made)
            if self.text is not None:
                self.text(part, edits)
            if self.data is not None:
                self.data(part.encode("ascii", "replace"), edits)
            if start:
                edits.made[before:] = [(start + a, start + b, new) for a, b, new in edits.made[before:]]


WRAPPED = "wrapped"
# Forms that are read together, in one view, and the views in the order in which they are made.
_STAGES: tuple[tuple[str, tuple[Form, ...]], ...] = (
    (
        "escapes",
        (
            Form("", b"\\", text=decoding.escapes),
            Form("%(?:[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})", b"%", text=decoding.percents),
            Form(r"&(?:#[0-9xX]|[A-Za-z]{2,31};|quot|amp|lt|gt|apos|nbsp)", b"&", text=decoding.entities),
            Form(lookalikes.TRIGGER, text=lookalikes.lookalikes),
            Form(decoding.TAG, data=decoding.tags),
            Form(decoding.CONTROL, data=decoding.controls),
            Form(decoding.MARKED, data=decoding.marks),
            Form(decoding.DOUBLED, text=decoding.doubled),
        ),
    ),
    ("form", (Form(decoding.FORM, text=decoding.form),)),
    ("quoted-printable", (Form(decoding.QUOTED_PRINTABLE, data=decoding.quoted_printable),)),
    ("joined", (Form(joins.JOINED, data=joins.concatenations),)),
    ("listed", (Form(joins.LISTED, data=joins.lists),)),
    ("blocks", (Form(blocks.BLOCK, data=blocks.blocks),)),
    (WRAPPED, (Form(joins.WRAPPED, data=joins.wraps),)),
    (
        "spaced",
        (Form(joins.SPACED, data=joins.spaced), Form(joins.LETTERS, data=joins.letters)),
    ),
    ("dump", (Form(joins.DUMPED, data=joins.dumps), Form(joins.CELLS, data=joins.cells))),
    (
        "base64",
        (
            Form(runs.TEXT_64, data=runs.base64),
            Form(runs.WIDE_64, data=runs.wide),
            Form(runs.PACKED_64, data=runs.packed),
        ),
    ),
    ("base32", (Form(runs.TEXT_32, data=runs.base32),)),
    (
        "codes",
        (
            Form(runs.CODES_10, data=runs.decimals),
            Form(runs.CODES_16, data=runs.hexadecimals),
            Form(runs.PACKED_16, data=runs.packed_hexadecimals),
            Form(runs.CODES_2, data=runs.binaries),
        ),
    ),
    ("octal", (Form(runs.CODES_8, data=runs.octals),)),
    (
        "armour",
        (
            Form(runs.UUENCODED, data=runs.uuencoded),
            Form(runs.ASCII_85, data=runs.ascii85),
        ),
    ),
)
_WHOLE = frozenset(("base64", "base32", "codes", "octal", "armour"))  # what hides a text altogether


def _numbered() -> tuple[tuple[str, tuple[tuple[int, Form], ...]], ...]:
    stages: list[tuple[str, tuple[tuple[int, Form], ...]]] = []
    count = 0
    for name, forms in _STAGES:
        stages.append((name, tuple(enumerate(forms, count))))
        count += len(forms)
    return tuple(stages)


_NUMBERED = _numbered()
_FORMS = tuple((number, form) for _, forms in _NUMBERED for number, form in forms)
# How signs are looked for. Most stand behind one expression for all; what source code is full of, behind another,
# and there it doesn't matter which it was.
_BY_LITERAL = tuple(
    (n, form.literal, Pattern(form.sign, late=True) if form.sign else None) for n, form in _FORMS if form.literal
)
_LOOKALIKES = next(n for n, form in _FORMS if form.sign == lookalikes.TRIGGER)
_FORM = next(n for n, form in _FORMS if form.sign == decoding.FORM)
_COMMON = tuple(
    n for n, form in _FORMS if form.sign in (decoding.MARKED, decoding.DOUBLED, joins.JOINED, joins.WRAPPED)
)
_RARE = tuple(
    (n, Pattern(form.sign, late=True))
    for n, form in _FORMS
    if not form.literal and n not in (_LOOKALIKES, _FORM) and n not in _COMMON
)
_SIGNS = {n: form.sign for n, form in _FORMS}
_ANY_RARE = Pattern("|".join(f"(?:{_SIGNS[n]})" for n, _ in _RARE), late=True)
_ANY_COMMON = Pattern("|".join(f"(?:{_SIGNS[n]})" for n in _COMMON), late=True)
_ANY = Pattern("|".join(f"(?:{_SIGNS[n]})" for n in (*(n for n, _ in _RARE), *_COMMON)), late=True)
_LOOKALIKE, _FORM_SIGN = Pattern(lookalikes.TRIGGER, late=True), Pattern(decoding.FORM, late=True)


def note(signs: Signs, data: bytes, start: int, end: int) -> None:
    """Add to `signs` those that `data` has, which is UTF-8 of `text[start:end]`."""
    for number, literal, pattern in _BY_LITERAL:
        if literal in data and (pattern is None or pattern.occurs(data)):
            _add(signs, number, start, end)
            if literal == b"%" and b"+" in data and _FORM_SIGN.occurs(data):
                _add(signs, _FORM, start, end)
    if (not data.isascii() or b"\0" in data) and _LOOKALIKE.occurs(data):
        _add(signs, _LOOKALIKES, start, end)
    if _ANY.occurs(data):
        _note_more(signs, data, start, end)


def _note_more(signs: Signs, data: bytes, start: int, end: int) -> None:
    """Add to `signs` which of those it is that one expression can tell to be there."""
    if _ANY_RARE.occurs(data):
        spans, offsets = _around(_ANY_RARE, data)
        for first, last in spans:
            piece = data[max(0, first - 64) : last + 64] if last - first < len(data) else data
            at = (start + max(0, offsets[first] - MARGIN), min(end, start + offsets[last] + MARGIN))
            for number, pattern in _RARE:
                if pattern.occurs(piece):
                    _add(signs, number, *at)
    if _ANY_COMMON.occurs(data):
        spans, offsets = _around(_ANY_COMMON, data)
        for first, last in spans:
            at = (start + max(0, offsets[first] - SCRAP), min(end, start + offsets[last] + SCRAP))
            for number in _COMMON:
                _add(signs, number, *at)


def _around(pattern: Pattern, data: bytes) -> tuple[list[tuple[int, int]], Offsets]:
    """Return where `pattern` matches in `data`, or all of it where that is often, and what turns these into offsets."""
    spans: list[tuple[int, int]] = []
    if len(data) > MARGIN:
        spans = list(islice(pattern.spans(data), MOST_SIGNS + 1))
    if not 0 < len(spans) <= MOST_SIGNS:
        spans = [(0, len(data))]
    return spans, Offsets(data, {at for span in spans for at in span})


def _add(signs: Signs, number: int, start: int, end: int) -> None:
    parts = signs.setdefault(number, [])
    if parts and parts[-1][1] >= start:
        parts[-1] = (parts[-1][0], max(parts[-1][1], end))
    else:
        parts.append((start, end))


def searched(text: str, found: Sequence[Finding], signs: Signs, search: Search) -> list[Finding] | None:
    """Return `found`, of `text` as it is, and what its views show; None where they are more than may be made.

    `signs` is what `note` saw in `text`. `search` returns what is found in a view and the signs in it;
    None where that is too much.
    """
    try:
        views = list(_views(text, signs, search, len(found)))
    except TooMany:
        return None
    if not views:
        return list(found)
    seen = list(found)
    lines = _Lines(text, found)
    values: dict[str, Finding] = {}
    for finding in found:
        _keep(values, text[finding.start : finding.end], finding)
    for view, shown in views:
        for finding in shown:
            if _counts(view, finding.start, finding.end) and not lines.ended(view, finding):
                seen.append(_in_text(view, finding.start, finding.end, finding))
                _keep(values, view.text[finding.start : finding.end], finding)
    for value, finding in values.items():
        for start, end in _places(text, value):
            seen.append(Finding(start, end, finding.label, finding.rule_id, finding.kind))
        for view, _ in views:
            seen.extend(_in_text(view, *place, finding) for place in _places(view.text, value) if _counts(view, *place))
    return seen


def _keep(values: dict[str, Finding], value: str, finding: Finding) -> None:
    if REPEATED <= len(value) <= LONGEST_REPEATED and len(values) < MOST_REPEATED:
        values.setdefault(value, finding)


def _counts(view: View, start: int, end: int) -> bool:
    """Say whether decoding has to do with what stands there, and nothing was left out in it."""
    return view.near(start, end) and APART not in view.text[start:end]


class _Lines:
    """What was found in a text as it is, by where it begins and ends."""

    __slots__ = ("_ends", "_starts", "_text")

    def __init__(self, text: str, found: Sequence[Finding]) -> None:
        self._text = text
        self._starts = {finding.start for finding in found}
        self._ends = sorted({finding.end for finding in found})

    def ended(self, view: View, finding: Finding) -> bool:
        """Say whether a finding that goes on over the end of a line was whole before it.

        So it is where something ends with the line that was found, and the next line begins with something
        else that was found, or with a plain word, at which no text is broken for its width.
        """
        if view.name != WRAPPED or not self._ends:
            return False
        first, last = view.span(finding.start, finding.end)
        at = bisect_right(self._ends, first)
        for end in self._ends[at : at + MOST_ENDS]:
            after = joins.next_line(self._text, end) if end < last else -1
            if after >= 0:
                short = end - self._text.rfind("\n", max(0, end - joins.LINE), end) <= joins.WIDE
                return after in self._starts or (short and joins.is_word(self._text, after))
        return False


def _in_text(view: View, start: int, end: int, finding: Finding) -> Finding:
    value = view.text[start:end]
    return Finding(*view.span(start, end), finding.label, finding.rule_id, finding.kind, view.name, value)


def _places(text: str, value: str) -> Iterator[tuple[int, int]]:
    at = text.find(value)
    while at >= 0:
        yield at, at + len(value)
        at = text.find(value, at + len(value))


def _views(text: str, signs: Signs, search: Search, found: int) -> Iterator[tuple[View, list[Finding]]]:
    """Yield each view of `text` with what was found in it, shallow ones first. Raises TooMany.

    `found` is how many findings there are in `text` itself.
    """
    toll = min(len(text) // FINDINGS, FINDINGS)
    room = MOST_OUTPUT + MORE_OUTPUT * len(text) - toll * found
    made = {hash(text)}
    todo: deque[tuple[str | View, Signs]] = deque([(text, signs)])
    while todo:
        source, signs = todo.popleft()
        for view in _read(source, signs, len(text)):
            if view.depth > DEPTH or len(made) > MOST_VIEWS:
                raise TooMany
            room -= len(view.text)
            if room < 0:
                raise TooMany
            key = hash(view.text)
            if key in made:
                continue
            made.add(key)
            shown = search(view.text)
            if shown is None:
                raise TooMany
            room -= toll * len(shown[0])
            yield view, shown[0]
            if shown[1]:
                todo.append((view, shown[1]))


def _read(source: str | View, signs: Signs, size: int) -> Iterator[View]:
    """Yield the views one step from `source`."""
    text, depth, last = (source.text, source.depth, source.form) if isinstance(source, View) else (source, 0, "")
    most = MOST_EDITS + size // MORE_EDITS
    for name, forms in _NUMBERED:
        if depth >= DEPTH and name not in _WHOLE:
            continue
        edits = Edits(most)
        for number, form in forms:
            parts = signs.get(number)
            if parts:
                form.read(text, parts, edits)
        made = merged(edits.made)
        if isinstance(source, View):
            if depth >= DEPTH:  # what comes now is too deep, unless it stood there before
                made = [edit for edit in made if source.wrote(edit[0], edit[1])]
            made = [edit for edit in made if source.changes(edit[0], edit[1], anew=name == last)]
        if made:
            yield View(source, made, name)
