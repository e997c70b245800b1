# SPDX-License-Identifier: Apache-2.0
"""The secrets of one call: values that were found or marked once, and must not come back anywhere else.

A tool that is handed a password may repeat it in its answer, in an error, or in text where nothing
around it gives it away. So each value that was withheld is remembered for the length of its call,
in memory only, and replaced wherever else it stands: as it is, in other capitals, with other blanks
and hyphens or broken over lines, as JSON, Python, HTML and URLs write it, in hexadecimal, base64,
base85 and as numbers of characters, alone or within something longer (`spelling.py`). Of an encoded
text that holds one, the whole run is replaced. Whoever holds a `Secrets` can ask it to mask; nobody
can ask it what it holds.

How much is remembered has a limit, in values and in characters, and so has the work of one search.
A filter, which has no calls, remembers far more, for its own life, and looks for common forms only.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, NoReturn, TypeAlias, final

from ahocorasick_rs import AhoCorasick

from onrecord.rules import names
from onrecord.rules.detection import views
from onrecord.rules.detection.finding import Finding
from onrecord.rules.detection.labels import OVERFLOW, Mask, label_only, placeholders
from onrecord.rules.growing import Growing, TooMuch
from onrecord.rules.pattern import utf8
from onrecord.rules.spelling import Form, folded, folded_forms, forms, stands_apart, unfolded

FOUND = 8  # least characters of a value that a detector found, to be looked for elsewhere
MARKED = 4  # the same for one that a schema, the manifest or its name marks
MOST = 128  # values; a call with more shows no values at all
LONGEST = 65_536  # characters of one value; a call with a longer one shows none either
ROOM = 262_144  # characters of all values together; the same
MORE_ROOM = 1 << 26  # the same, where there may be more values

_MANY = 64  # forms from which on one search for all of them is quicker than one for each
_BEGINNING = 16  # characters of a form by which that search finds it
_WINDOW = 8_192  # characters that it looks at at once
_WORK, _MORE = 4_096, 8  # forms that are compared in one text, and so many more for each of its characters


class Place(NamedTuple):
    """`text[start:end]` is to be replaced."""

    start: int
    end: int
    stand_in: Mask


@final
class Secrets:
    """Raw values to be kept off the record. Printing or encoding it shows nothing."""

    __slots__ = (
        *("_folded", "_labels", "_many", "_marked", "_most", "_new", "_room", "_stand_ins", "_written"),
        *("complete", "longest", "shut"),
    )

    def __init__(self, labels: frozenset[str] = names.LABELS, most: int = MOST) -> None:
        """`labels` are those that may stand for a value, and are not searched; `most` is how many values there may be.

        Where there may be more than `MOST`, a search costs more.
        """
        self._labels = labels
        self._stand_ins: dict[str, Mask] = {}
        self._new: list[str] = []  # values whose forms are not made yet
        self._many = most > MOST
        self._written = _Index(many=self._many)
        self._folded = _Index(many=self._many)
        self._most = most
        self._room = MORE_ROOM if self._many else ROOM
        self._marked: Secrets | None = None  # those that a schema or the manifest marks, too short to count as found
        self.longest = 0  # characters
        self.complete = True  # False: some could not be noted, so no value of this call may be shown
        self.shut = False  # what was found is such that beside it no value may be shown

    def __bool__(self) -> bool:
        return bool(self._stand_ins)

    def __repr__(self) -> str:
        return "<secrets>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("secrets cannot be serialised")

    def add(self, value: str, stand_in: Mask, least: int) -> None:
        """Remember `value`, and what stands in for it, if it has at least `least` characters."""
        value = readable(value).strip()
        if len(value) < least or value in self._stand_ins:
            return
        if len(self._stand_ins) >= self._most or len(value) > (self._room if self._many else min(LONGEST, self._room)):
            self.complete = False
            return
        self._room -= len(value)
        self._stand_ins[value] = stand_in
        self._new.append(value)
        self.longest = max(self.longest, len(value))

    def mark(self, value: str, stand_in: Mask) -> None:
        """Remember a value that a schema or the manifest marks, which counts in names as it does in texts."""
        self.add(value, stand_in, MARKED)
        if len(value.strip()) < FOUND:
            self._marked = self._marked or Secrets(self._labels)
            self._marked.add(value, stand_in, MARKED)

    def lend(self, other: "Secrets") -> None:
        """Have `other` remember what this remembers; where that is not all, neither has `other` all."""
        for value, stand_in in list(self._stand_ins.items()):  # while another thread may add more
            other.add(value, stand_in, MARKED)
        if self._marked is not None:
            self._marked.lend_marked(other)
        other.complete &= self.complete
        other.shut |= self.shut

    def lend_marked(self, other: "Secrets") -> None:
        """Have `other` remember all of these as marked."""
        for value, stand_in in list(self._stand_ins.items()):
            other.mark(value, stand_in)

    def masked(self, text: str, least: int = MARKED) -> str:
        """Return `text` with each value of at least `least` characters replaced by what stands in for it."""
        return replaced(text, self.places(text, least))

    def occur(self, text: str, least: int = MARKED, *, decoded: bool = True) -> bool:
        """Say whether any value of at least `least` characters stands in `text`, labels aside."""
        return bool(self.places(text, least, decoded=decoded))

    def places(self, text: str, least: int = MARKED, *, decoded: bool = True) -> list[Place]:
        """Return where values of at least `least` characters stand in `text`, in order, without overlaps.

        With `decoded`, those in what `text` says when it is decoded as well. A lone surrogate in `text`
        reads as `?`.
        """
        if not self._stand_ins:
            return []
        text = readable(text)
        try:
            return self._places(text, least, decoded=decoded)
        except TooMuch:
            return [Place(0, len(text), label_only(OVERFLOW))]

    def _places(self, text: str, least: int, *, decoded: bool) -> list[Place]:
        """See `places`. Raises TooMuch."""
        found = self._found(text, least)
        signs = _signs(text) if decoded else None
        if signs:
            seen = views.searched(text, [], signs, lambda view: (self._in_view(view, least), _signs(view)))
            if seen is None:  # more than may be decoded
                raise TooMuch
            found.extend(Place(finding.start, finding.end, Mask(finding.label)) for finding in seen)
        return apart(found, placeholders(text, self._labels)) if found else found

    def in_name(self, text: str, *, decoded: bool = True) -> list[Place]:
        """Return where values stand in a name: those that are marked, and longer ones. Short words are often both."""
        found = self.places(text, FOUND, decoded=decoded)
        return apart([*found, *self._marked.places(text, decoded=decoded)]) if self._marked else found

    def _in_view(self, view: str, least: int) -> list[Finding]:
        """Return where values stand in `view`; the label of each is what stands in for it."""
        places = apart(self._found(view, least))
        return [Finding(place.start, place.end, place.stand_in, "echo", "secret") for place in places]

    def _found(self, text: str, least: int) -> list[Place]:
        """Return where a form of a value stands in `text`, or in what it is when it is folded."""
        new, self._new = self._new, []
        for value in new:
            stand_in = self._stand_ins[value]
            self._written.add(forms(value, stand_in, common=self._many))
            self._folded.add(folded_forms(value, stand_in, common=self._many))
        found = [Place(start, end, form.stand_in) for form, start, end in self._written.spans(text, least)]
        origins: list[int] = []

        def apart_in_text(form: Form, first: int, last: int) -> bool:
            nonlocal origins
            origins = origins or unfolded(text)
            return stands_apart(text, origins[first], origins[last - 1] + 1, form)

        for form, first, last in self._folded.spans(folded(text), least, apart_in_text):
            found.append(Place(origins[first], origins[last - 1] + 1, form.stand_in))
        return found


_Alike: TypeAlias = "dict[int, dict[str, Form]]"  # forms that begin alike, by their length and text


class _Index:
    """Forms, and where they stand in a text."""

    __slots__ = ("_alike", "_built", "_growing", "_new", "_search")

    def __init__(self, *, many: bool) -> None:
        """`many`: there may be more forms than one search can hold."""
        self._growing = Growing[Form]() if many else None
        self._new: list[Form] = []  # those that are looked for one by one
        self._alike: dict[str, _Alike] = {}  # the others, by how they begin
        self._built: list[_Alike] = []  # the same in the order in which the search names them
        self._search: AhoCorasick | None = None

    def add(self, forms: Iterable[Form]) -> None:
        """Look for `forms` from now on."""
        if self._growing is not None:
            for form in forms:
                self._growing.add(form.text, form)
            return
        self._new.extend(forms)
        if len(self._new) < max(_MANY, len(self._alike)):
            return
        for form in self._new:
            alike = self._alike.setdefault(form.text[:_BEGINNING], {})
            alike.setdefault(len(form.text), {}).setdefault(form.text, form)
        self._new = []
        self._built = list(self._alike.values())
        self._search = AhoCorasick(list(self._alike))

    def spans(
        self, text: str, least: int, fits: Callable[[Form, int, int], bool] | None = None
    ) -> Iterator[tuple[Form, int, int]]:
        """Yield each form of a value of `least` characters that stands in `text` and `fits`, and where, with its run.

        Of places of one form that overlap, only the first counts. Raises TooMuch.
        """
        runs: dict[frozenset[str], tuple[int, int]] = {}
        ends: dict[Form, int] = {}
        for form, at in self._starts(text):
            first, last = runs.get(form.run, (0, 0))
            if form.size < least or at < ends.get(form, 0) or (form.run and first <= at < last):
                continue  # in a run that is taken whole, the next form has nothing to add
            start, end = form.span(text, at)
            if fits is not None and not fits(form, start, end):
                continue
            ends[form] = end
            if form.run:
                runs[form.run] = start, end
            yield form, start, end

    def _starts(self, text: str) -> Iterator[tuple[Form, int]]:
        """Yield each form that stands in `text`, and where it starts. Raises TooMuch."""
        if self._growing is not None:
            yield from self._growing.occurrences(text)
            return
        work = _WORK + _MORE * len(text)
        for form in self._new:
            start = text.find(form.text)
            while start >= 0:
                work -= 1
                if work < 0:
                    raise TooMuch
                yield form, start
                start = text.find(form.text, start + 1)
        if self._search is None:
            return
        for at in range(0, len(text), _WINDOW):
            window = text[at : at + _WINDOW + _BEGINNING - 1]
            for i, start, _ in self._search.find_matches_as_indexes(window, overlapping=True):
                if start >= _WINDOW:
                    continue  # the next window has it
                for size, alike in self._built[i].items():
                    work -= 1
                    if work < 0:
                        raise TooMuch
                    form = alike.get(text[at + start : at + start + size])
                    if form is not None:
                        yield form, at + start


def _signs(text: str) -> views.Signs:
    signs: views.Signs = {}
    views.note(signs, utf8(text), 0, len(text))
    return signs


def readable(text: str) -> str:
    """Return `text` with lone surrogates, which no file can hold, as `?`."""
    return text if text.isascii() else utf8(text).decode()


def replaced(text: str, places: Iterable[Place]) -> str:
    """Return `text` with what stands at `places`, which are in order, replaced."""
    pieces: list[str] = []
    at = 0
    for place in places:
        pieces.append(text[at : place.start])
        pieces.append(place.stand_in)
        at = place.end
    pieces.append(text[at:])
    return "".join(pieces)


def apart(found: list[Place], labels: Sequence[tuple[int, int]] = ()) -> list[Place]:
    """Return `found` in order, overlaps joined, what lies within a label left out."""
    kept: list[Place] = []
    first = 0
    for place in sorted(found, key=lambda place: (place.start, -place.end)):
        start, end, stand_in = place
        while first < len(labels) and labels[first][1] <= start:
            first += 1
        if first < len(labels) and labels[first][0] <= start and end <= labels[first][1]:
            continue
        near = first
        while near < len(labels) and labels[near][0] < end:  # a label is never cut in two
            start, end = min(start, labels[near][0]), max(end, labels[near][1])
            near += 1
        if kept and start < kept[-1].end:
            kept[-1] = Place(kept[-1].start, max(end, kept[-1].end), kept[-1].stand_in)
        else:
            kept.append(Place(start, end, stand_in))
    return kept
