# SPDX-License-Identifier: Apache-2.0
"""The secrets of one call: values that were found or marked once, and must not come back anywhere else.

A tool that is handed a password may repeat it in its answer, in an error, or in text where nothing
around it gives it away. So each value that was withheld is remembered for the length of its call,
in memory only, and replaced wherever else it stands: as it is, as JSON, Python, HTML and URLs write
it, in hexadecimal, and in base64, alone or within something longer. Of an encoded text that holds
one, the whole run is replaced. A filter, which has no calls, remembers far more, for its own life.
Whoever holds a `Secrets` can ask it to mask; nobody can ask it what it holds.
"""

import html
import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, NoReturn, final
from urllib.parse import quote, quote_plus

from ahocorasick_rs import AhoCorasick

from onrecord.rules import names
from onrecord.rules.detection import views
from onrecord.rules.detection.finding import Finding
from onrecord.rules.detection.labels import OVERFLOW, Mask, label_only, placeholders
from onrecord.rules.growing import Growing, TooMuch
from onrecord.rules.pattern import utf8

FOUND = 8  # least characters of a value that a detector found, to be looked for elsewhere
MARKED = 4  # the same for one that a schema, the manifest or its name marks
MOST = 128  # values; a call with more shows no values at all
LONGEST = 65_536  # characters of one value; a call with a longer one shows none either
ROOM = 1 << 26  # characters of all values, where there may be more of them
_MANY = 64  # forms from which on one search for all of them is quicker than one for each

_HEX = frozenset("0123456789abcdefABCDEF")
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=")
_PLAIN: frozenset[str] = frozenset()


class Place(NamedTuple):
    """`text[start:end]` is to be replaced."""

    start: int
    end: int
    stand_in: Mask


@final
class Secrets:
    """Raw values to be kept off the record. Printing or encoding it shows nothing."""

    __slots__ = (
        "_forms",
        "_labels",
        "_many",
        "_marked",
        "_most",
        "_room",
        "_search",
        "_stand_ins",
        "complete",
        "longest",
        "shut",
    )

    def __init__(self, labels: frozenset[str] = names.LABELS, most: int = MOST) -> None:
        """`labels` are those that may stand for a value, and are not searched; `most` is how many values there may be.

        Where there may be more than `MOST`, a search costs more.
        """
        self._labels = labels
        self._stand_ins: dict[str, Mask] = {}
        self._forms: list[_Form] | None = []
        self._search: AhoCorasick | None = None
        self._many = Growing[_Form]() if most > MOST else None
        self._most = most
        self._room = ROOM
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
        if len(self._stand_ins) == self._most or len(value) > (LONGEST if self._many is None else self._room):
            self.complete = False
            return
        self._stand_ins[value] = stand_in
        self._room -= len(value)
        if self._many is None:
            self._forms = self._search = None
        else:
            for form in _forms(value, stand_in):
                self._many.add(form.text, form)
        self.longest = max(self.longest, len(value))

    def mark(self, value: str, stand_in: Mask) -> None:
        """Remember a value that a schema or the manifest marks, which counts in names as it does in texts."""
        self.add(value, stand_in, MARKED)
        if len(value) < FOUND:
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
        found = self._written(text, least)
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
        places = apart(self._written(view, least))
        return [Finding(place.start, place.end, place.stand_in, "echo", "secret") for place in places]

    def _written(self, text: str, least: int) -> list[Place]:
        """Return where a form of a value stands in `text`."""
        found: list[Place] = []
        runs: dict[frozenset[str], Place] = {}
        for form, start in self._occurrences(text):
            last = runs.get(form.run)
            if form.size < least or (last and last.start <= start < last.end):
                continue
            found.append(form.at(text, start))
            if form.run:
                runs[form.run] = found[-1]  # the next form in it has nothing to add
        return found

    def _occurrences(self, text: str) -> "Iterator[tuple[_Form, int]]":
        """Yield each form that stands in `text`, and where. Raises TooMuch."""
        if self._many is not None:
            yield from self._many.occurrences(text)
            return
        if self._forms is None:
            self._forms = [form for value, stand_in in self._stand_ins.items() for form in _forms(value, stand_in)]
            if len(self._forms) >= _MANY:
                self._search = AhoCorasick([form.text for form in self._forms])
        if self._search is not None:
            for i, start, _ in self._search.find_matches_as_indexes(text, overlapping=True):
                yield self._forms[i], start
            return
        for form in self._forms:
            start = text.find(form.text)
            while start >= 0:
                yield form, start
                start = text.find(form.text, start + len(form.text))


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


class _Form(NamedTuple):
    """One way to write a value of `size` characters; where it is encoded, `run` is what the code is made of."""

    text: str
    stand_in: Mask
    size: int
    run: frozenset[str]

    def at(self, text: str, start: int) -> Place:
        """Return the place of this form that begins at `start`, with all of the run around it."""
        end = start + len(self.text)
        while start and text[start - 1] in self.run:
            start -= 1
        while end < len(text) and text[end] in self.run:
            end += 1
        return Place(start, end, self.stand_in)


def _forms(value: str, stand_in: Mask) -> list[_Form]:
    spelled = _spelled(value)
    data = {utf8(way) for way in (value, *_in_json(value))}
    forms = dict.fromkeys(spelled, _PLAIN)
    for each in data:
        code = each.hex()
        forms |= dict.fromkeys((code, code.upper()), _HEX)
        forms |= dict.fromkeys(_in_base64(each), _BASE64)
    return [_Form(way, stand_in, len(value), run) for way, run in forms.items() if way]


def _spelled(value: str) -> list[str]:
    """Return how texts of all kinds write `value`."""
    ways = [value, *_in_json(value)]
    if value.isascii() and value.isalnum():
        return ways
    ways += [way for inner in _in_json(value) for way in _in_json(inner)]  # JSON in JSON
    ways += [repr(value)[1:-1], ascii(value)[1:-1]]
    for way in (quote(utf8(value), safe=""), quote(utf8(value), safe="/"), quote_plus(utf8(value))):
        ways += [way, _lower_escapes(way)]
    for way in (html.escape(value, quote=False), html.escape(value)):
        ways += [way, way.replace("&#x27;", "&#39;"), way.replace("&#x27;", "&apos;")]
    ways.append(html.escape(value).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"))
    return ways


def _in_json(value: str) -> list[str]:
    escaped, ascii_only = json.dumps(value, ensure_ascii=False)[1:-1], json.dumps(value)[1:-1]
    return list(dict.fromkeys([escaped, ascii_only, _upper_escapes(ascii_only), escaped.replace("/", "\\/")]))


def _lower_escapes(text: str) -> str:
    """Return a URL's `%2F` as `%2f`."""
    first, *rest = text.split("%")
    return first + "".join(f"%{piece[:2].lower()}{piece[2:]}" for piece in rest)


def _upper_escapes(text: str) -> str:
    r"""Return JSON's `\u00e9` as `\u00E9`."""
    first, *rest = text.split("\\u")
    return first + "".join(f"\\u{piece[:4].upper()}{piece[4:]}" for piece in rest)


def _in_base64(data: bytes) -> Iterator[str]:
    """Yield what is the same of `data` wherever in something longer it stands, in both alphabets."""
    for before in range(3):
        code = b64encode(bytes(before) + data).decode()
        stable = code[-(-8 * before // 6) : 8 * (before + len(data)) // 6]
        if len(stable) >= MARKED:
            yield stable
            yield stable.replace("+", "-").replace("/", "_")


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
