# SPDX-License-Identifier: Apache-2.0
"""The ways in which a value may be written: what `echo.py` looks for.

Text keeps the order of what it spells, so of a long value the beginning is enough to find it: each
form is made of its first `HEAD` characters, and the rest is compared where that stands. What an
encoding makes is not followed to its end but taken whole, with the run of characters around it.

Other spellings are not listed but folded away: `folded` keeps letters and digits, without accents,
in small letters. So `Sun-flower 91`, `SUNFLOWER 91` and `sun_flower91` are one.
"""

import html
import json
from base64 import b64encode, b85encode
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias
from unicodedata import normalize
from urllib.parse import quote, quote_plus

from onrecord.rules.detection.labels import Mask
from onrecord.rules.pattern import utf8

HEAD = 200  # characters of a value by which it is found
LEAST = 4  # characters of an encoded text by which it is found, and of what is folded
LOOSE = 8  # folded characters that are found within a longer word

Way: TypeAlias = Callable[[str], str]

_HEX = frozenset("0123456789abcdefABCDEF")
_BASE64_SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BASE64 = frozenset(_BASE64_SIGNS + "-_=")
_UU = frozenset(map(chr, range(33, 97)))
_BASE85_SIGNS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
_BASE85 = frozenset(_BASE85_SIGNS)
_ASCII85 = frozenset(map(chr, range(33, 118)))
_PLAIN: frozenset[str] = frozenset()

_FOR_URLS = str.maketrans("+/", "-_")
_AS_ASCII85 = str.maketrans(_BASE85_SIGNS, "".join(map(chr, range(33, 118))))
_AS_UU = str.maketrans(_BASE64_SIGNS, "`" + "".join(map(chr, range(33, 96))))


class Form:
    """One way to write a value of `size` characters.

    Where it is encoded, `run` is what the code is made of. `text` is what is looked for: all of it, or
    what the first characters of a long value make.
    """

    __slots__ = ("_rest", "run", "size", "stand_in", "text")

    def __init__(
        self, text: str, stand_in: Mask, size: int, run: frozenset[str], rest: Callable[[], str] | None
    ) -> None:
        self.text: Final = text
        self.stand_in: Final = stand_in
        self.size: Final = size
        self.run: Final = run
        self._rest: Callable[[], str] | str | None = rest

    def span(self, text: str, start: int) -> tuple[int, int]:
        """Return where in `text` this form lies that begins at `start`, as far as it goes, with its run."""
        end = start + len(self.text)
        if self._rest is not None:
            if not isinstance(self._rest, str):
                self._rest = self._rest()  # made once, and only where the beginning stands somewhere
            end = start + _alike(text, start, self._rest)
        while start and text[start - 1] in self.run:
            start -= 1
        while end < len(text) and text[end] in self.run:
            end += 1
        return start, end


def _alike(text: str, start: int, other: str) -> int:
    """Return how many characters of `other` stand in `text` at `start`."""
    if text.startswith(other, start):
        return len(other)
    low, high = 0, min(len(other), len(text) - start)
    while low < high:
        middle = (low + high + 1) // 2
        if text[start + low : start + middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


# as it stands


def forms(value: str, stand_in: Mask, *, common: bool = False) -> Iterator[Form]:
    """Yield the forms in which `value` may stand in a text, or only those that are `common`."""
    head = value[:HEAD]
    made: set[str] = set()
    for way in _ways(value):
        text = way(head)
        if text and text not in made:
            made.add(text)
            yield _form(text, stand_in, value, way)
    for text, run in _encoded(head, common=common):
        if len(text) >= LEAST and text not in made:
            made.add(text)
            yield Form(text, stand_in, len(value), run, None)


def _form(text: str, stand_in: Mask, value: str, way: Way) -> Form:
    return Form(text, stand_in, len(value), _PLAIN, None if len(value) <= HEAD else lambda: way(value))


def _ways(value: str) -> list[Way]:
    """Return how texts of all kinds write `value`, those left out that change nothing in it."""
    ways: list[Way] = [str]
    if len(folded(value)) < LEAST:
        ways += _CASES
    if value.isascii() and value.isalnum():
        return ways
    signs = set(value)
    if not _is_plain(value):
        ways += _IN_JSON
        ways += _REPR_BOTH if signs >= {"'", '"'} else _REPR
    if signs - _UNRESERVED:
        ways += _IN_URLS
    if signs & _MARKUP:
        ways += _IN_HTML
    return ways


def _is_plain(value: str) -> bool:
    """Say whether JSON and Python write `value` as it is."""
    return value.isascii() and value.isprintable() and not any(sign in value for sign in "\"\\/'")


def _escaped(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]


def _ascii(value: str) -> str:
    return json.dumps(value)[1:-1]


def _upper_escapes(value: str) -> str:
    r"""Return JSON with `\u00E9` for `\u00e9`."""
    first, *rest = _ascii(value).split("\\u")
    return first + "".join(f"\\u{piece[:4].upper()}{piece[4:]}" for piece in rest)


def _slashes(value: str) -> str:
    return _escaped(value).replace("/", "\\/")


def _lower_escapes(url: str) -> str:
    """Return a URL's `%2F` as `%2f`."""
    first, *rest = url.split("%")
    return first + "".join(f"%{piece[:2].lower()}{piece[2:]}" for piece in rest)


def _after(first: Way, then: Way) -> Way:
    return lambda value: then(first(value))


def _html(*, quotes: bool, single: str = "&#x27;", double: str = "&quot;") -> Way:
    return lambda value: html.escape(value, quote=quotes).replace("&#x27;", single).replace("&quot;", double)


def _with_both_quotes(way: Way) -> Way:
    """Return `way` of what has both kinds of quotes further on."""
    return lambda value: way(value + "'\"")[1 : -len("\\'\"") - 1]


_URL: tuple[Way, ...] = (
    lambda value: quote(utf8(value), safe=""),
    lambda value: quote(utf8(value), safe="/"),
    lambda value: quote_plus(utf8(value)),
)
_JSON: tuple[Way, ...] = (_escaped, _ascii, _upper_escapes, _slashes)
_IN_JSON: tuple[Way, ...] = (*_JSON, *(_after(inner, outer) for inner in _JSON for outer in _JSON))
_IN_URLS: tuple[Way, ...] = (*_URL, *(_after(way, _lower_escapes) for way in _URL))
_IN_HTML: tuple[Way, ...] = (
    _html(quotes=False),
    *(_html(quotes=True, single=single) for single in ("&#x27;", "&#39;", "&apos;")),
    _html(quotes=True, single="&#39;", double="&#34;"),
)
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_MARKUP = frozenset("<>&'\"")
_REPR: tuple[Way, ...] = (lambda value: repr(value)[1:-1], lambda value: ascii(value)[1:-1])
_REPR_BOTH: tuple[Way, ...] = (_with_both_quotes(repr), _with_both_quotes(ascii))
_CASES: tuple[Way, ...] = (str.lower, str.upper, str.title, str.swapcase)  # of what is too short to be folded


# encoded


def _encoded(head: str, *, common: bool) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield what is the same of `head` in each encoding, wherever it stands, and what the code is made of."""
    for data in {utf8(head)} if _is_plain(head) else {utf8(way(head)) for way in (str, *_JSON)}:
        code = data.hex()
        yield code, _HEX
        yield code.upper(), _HEX
        for stable in _in_base64(data):
            yield stable, _BASE64
            yield stable.translate(_FOR_URLS), _BASE64
    if common:
        return
    data = utf8(head)
    for stable in _in_base64(data):
        code = stable.translate(_AS_UU)
        yield code, _UU
        yield code.replace("`", " "), _UU
    for before in range(4):
        inner = data[before:]
        code = b85encode(inner[: len(inner) // 4 * 4]).decode()
        yield code, _BASE85
        yield code.translate(_AS_ASCII85), _ASCII85


def _in_base64(data: bytes) -> Iterator[str]:
    """Yield what is the same of `data` wherever in something longer it stands."""
    for before in range(3):
        code = b64encode(bytes(before) + data).decode()
        yield code[-(-8 * before // 6) : 8 * (before + len(data)) // 6]


# folded


class _Folds(dict[int, str | None]):
    """What each character is when it is folded, None where that is nothing, worked out when it is first met."""

    def __missing__(self, point: int) -> str | None:
        plain = normalize("NFKD", normalize("NFKD", chr(point)).casefold())
        kept = "".join(char for char in plain if char.isalnum()) or None
        if len(self) < 1 << 14:
            self[point] = kept
        return kept


_FOLDS = _Folds()


def folded(text: str) -> str:
    """Return the letters and digits of `text`, small and without accents."""
    return text.translate(_FOLDS)


def unfolded(text: str) -> list[int]:
    """Return which character of `text` each one of `folded(text)` comes from."""
    return [i for i, char in enumerate(text) for _ in _FOLDS[ord(char)] or ""]


def folded_forms(value: str, stand_in: Mask, *, common: bool = False) -> Iterator[Form]:
    """Yield the forms in which `value` may stand in a text that is folded: itself and, unless `common`, as numbers."""
    head = value[:HEAD]
    for way in (folded,) if common else (folded, *_CODES):
        text = way(head)
        if len(text) >= LEAST:
            yield _form(text, stand_in, value, way)


_CODES: tuple[Way, ...] = (
    lambda value: "".join(str(ord(char)) for char in value),
    lambda value: "".join(f"char{ord(char)}" for char in value),
    lambda value: "".join(f"chr{ord(char)}" for char in value),
    lambda value: utf8(value).hex(),
)


def stands_apart(text: str, start: int, end: int, form: Form) -> bool:
    """Say whether `text[start:end]`, which folds to `form`, is it rather than a part of other words.

    What is short must not begin or end within a word, and a number not within a number.
    """
    digits = form.text.isdecimal()
    if len(form.text) >= LOOSE and not digits:
        return True
    around = (text[start - 1 : start], text[end : end + 1])
    return not any(char.isdecimal() if digits else char.isalnum() for char in around)
