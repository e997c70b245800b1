# SPDX-License-Identifier: Apache-2.0
"""Searches what a text says when it is decoded: escapes, URLs, markup, base64, wrapped lines and twenty forms more.

The gate that looks for secrets looks for signs of encoding in the same pass, so a text without any
costs nothing more. Where there is a sign, the form is read into a view (see offsets.py) which is
searched as the text itself was, and in which there may be signs again: base64 of JSON that holds
JSON. What is found in a view is masked in the text, wherever it was written. A value that was found
in one of them is looked for in all.

Nothing here may take long, whatever the text: how much is decoded, how often and how deep has a
limit. A text that needs more is not searched to its end, and so is withheld whole.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from onrecord.rules.detection import decoding, joins, lookalikes, runs
from onrecord.rules.detection.decoding import Edits, TooMany
from onrecord.rules.detection.finding import Finding
from onrecord.rules.detection.gate import Expression
from onrecord.rules.detection.offsets import CUT, View, merged

DEPTH = 4  # views of views
MOST_VIEWS = 40
MOST_EDITS, MORE_EDITS = 100_000, 10  # places decoded in one view, and one more for so many characters
MOST_OUTPUT, MORE_OUTPUT = 65_536, 4  # characters of all views, and so many for each character of the text
REPEATED = 8  # least characters of a value that is looked for in all views
MOST_REPEATED = 32  # values that are
LONGEST_REPEATED = 8_192

Search: TypeAlias = Callable[[str], "tuple[list[Finding], Collection[int]] | None"]


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write text: its sign, which a gate looks for, and what reads it."""

    sign: Expression
    text: Callable[[str, Edits], None] | None = None
    data: Callable[[bytes, Edits], None] | None = None  # of a text as ASCII, one byte for each character

    def read(self, text: str, data: bytes, edits: Edits) -> None:
        """Add to `edits` what this form stands for in `text`."""
        if self.text is not None:
            self.text(text, edits)
        if self.data is not None:
            self.data(data, edits)


# Forms that are read together, in one view, and the views in the order in which they are made.
_STAGES: tuple[tuple[str, tuple[Form, ...]], ...] = (
    (
        "escapes",
        (
            Form(Expression(r"\\", ("\\",)), text=decoding.escapes),
            Form(Expression(r"%(?:[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})", ("%",)), text=decoding.percents),
            Form(Expression(r"&(?:#[0-9xX]|[A-Za-z]{2,31};|quot|amp|lt|gt|apos|nbsp)", ("&",)), text=decoding.entities),
            Form(Expression(lookalikes.TRIGGER), text=lookalikes.lookalikes),
            Form(Expression(decoding.TAG, ("<", "]]>")), data=decoding.tags),
            Form(Expression(decoding.CONTROL), data=decoding.controls),
            Form(Expression(decoding.MARKED), data=decoding.marks),
            Form(Expression(decoding.DOUBLED), text=decoding.doubled),
        ),
    ),
    ("form", (Form(Expression(decoding.FORM, ("%",)), text=decoding.form),)),
    ("quoted-printable", (Form(Expression(decoding.QUOTED_PRINTABLE, ("=",)), data=decoding.quoted_printable),)),
    ("joined", (Form(Expression(joins.JOINED), data=joins.concatenations),)),
    ("listed", (Form(Expression(joins.LISTED, ("(", "].")), data=joins.lists),)),
    ("blocks", (Form(Expression(joins.BLOCK), data=joins.blocks),)),
    ("wrapped", (Form(Expression(joins.WRAPPED), data=joins.wraps),)),
    (
        "spaced",
        (Form(Expression(joins.SPACED), data=joins.spaced), Form(Expression(joins.LETTERS), data=joins.letters)),
    ),
    ("dump", (Form(Expression(joins.DUMPED), data=joins.dumps), Form(Expression(joins.CELLS), data=joins.cells))),
    (
        "base64",
        (
            Form(Expression(runs.TEXT_64), data=runs.base64),
            Form(Expression(runs.WIDE_64), data=runs.wide),
            Form(Expression(runs.PACKED_64), data=runs.packed),
        ),
    ),
    ("base32", (Form(Expression(runs.TEXT_32), data=runs.base32),)),
    (
        "codes",
        (
            Form(Expression(runs.CODES_10), data=runs.decimals),
            Form(Expression(runs.CODES_16), data=runs.hexadecimals),
            Form(Expression(runs.PACKED_16, ("1f8b",)), data=runs.packed_hexadecimals),
            Form(Expression(runs.CODES_2), data=runs.binaries),
        ),
    ),
    ("octal", (Form(Expression(runs.CODES_8), data=runs.octals),)),
    (
        "armour",
        (
            Form(Expression(runs.UUENCODED, ("begin ",)), data=runs.uuencoded),
            Form(Expression(runs.ASCII_85, ("<~",)), data=runs.ascii85),
        ),
    ),
)
_WHOLE = frozenset(("base64", "base32", "codes", "octal", "armour"))  # what hides a text altogether
SIGNS = tuple(form.sign for _, forms in _STAGES for form in forms)


def _numbered() -> tuple[tuple[str, tuple[tuple[int, Form], ...], frozenset[int]], ...]:
    stages: list[tuple[str, tuple[tuple[int, Form], ...], frozenset[int]]] = []
    count = 0
    for name, forms in _STAGES:
        numbered = tuple(enumerate(forms, count))
        stages.append((name, numbered, frozenset(i for i, _ in numbered)))
        count += len(forms)
    return tuple(stages)


_NUMBERED = _numbered()


def searched(text: str, found: Sequence[Finding], signs: Collection[int], search: Search) -> list[Finding] | None:
    """Return `found`, of `text` as it is, and what its views show; None where they are more than may be made.

    `signs` are indexes into `SIGNS`, of what a gate saw in `text`. `search` returns what is found in a
    view and the signs in it; None where that is too much.
    """
    try:
        views = list(_views(text, signs, search))
    except TooMany:
        return None
    if not views:
        return list(found)
    seen = list(found)
    values: dict[str, Finding] = {}
    for finding in found:
        _keep(values, text[finding.start : finding.end], finding)
    for view, shown in views:
        for finding in shown:
            if _counts(view, finding.start, finding.end):
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
    return view.near(start, end) and CUT not in view.text[start:end]


def _in_text(view: View, start: int, end: int, finding: Finding) -> Finding:
    return Finding(*view.span(start, end), finding.label, finding.rule_id, finding.kind, view.name)


def _places(text: str, value: str) -> Iterator[tuple[int, int]]:
    at = text.find(value)
    while at >= 0:
        yield at, at + len(value)
        at = text.find(value, at + len(value))


def _views(text: str, signs: Collection[int], search: Search) -> Iterator[tuple[View, list[Finding]]]:
    """Yield each view of `text` with what was found in it, shallow ones first. Raises TooMany."""
    room = MOST_OUTPUT + MORE_OUTPUT * len(text)
    made = {hash(text)}
    todo: deque[tuple[str | View, Collection[int]]] = deque([(text, signs)])
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
            yield view, shown[0]
            if shown[1]:
                todo.append((view, shown[1]))


def _read(source: str | View, signs: Collection[int], size: int) -> Iterator[View]:
    """Yield the views one step from `source`."""
    text, depth = (source.text, source.depth) if isinstance(source, View) else (source, 0)
    data = text.encode("ascii", "replace")
    most = MOST_EDITS + size // MORE_EDITS
    for name, forms, numbers in _NUMBERED:
        if numbers.isdisjoint(signs) or (depth >= DEPTH and name not in _WHOLE):
            continue
        edits = Edits(most)
        for number, form in forms:
            if number in signs:
                form.read(text, data, edits)
        made = merged(edits.made)
        if isinstance(source, View):
            made = [edit for edit in made if source.near(edit[0], edit[1])]
        if made:
            yield View(source, made, name)
