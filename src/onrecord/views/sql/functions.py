# SPDX-License-Identifier: Apache-2.0
"""What functions in a statement mean: as DuckDB has them, and given to SQLite, whose own ones differ or are missing.

Those of SQLite end a text at its first NUL, know the letters of ASCII only, and round what they write.
"""

import math
import sqlite3
from collections.abc import Callable
from functools import lru_cache

import re2

Number = int | float

_MOST_VALUES = 10_000_000  # that a quantile is of; they are held in memory
_DEFAULT_PLACES = 0
_BLANKS = " \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
"""What TRIM takes away where no letters are named: blanks (Zs), as in DuckDB."""


def lower(text: str) -> str:
    """Return a text in lower case, letter by letter."""
    return text.lower() if text.isascii() else "".join(map(_lower, text))


def upper(text: str) -> str:
    """Return a text in upper case, letter by letter."""
    return text.upper() if text.isascii() else "".join(map(_upper, text))


def _lower(letter: str) -> str:
    return "i" if letter == "\u0130" else low if len(low := letter.lower()) == 1 else letter


def _upper(letter: str) -> str:
    if letter == "\u00df":
        return "\u1e9e"
    forms = (letter.upper(), letter.title(), letter)
    return next(form for form in forms if len(form) == 1)


@lru_cache(maxsize=64)
def like_pattern(pattern: str) -> str:
    """Return what LIKE asks for as a pattern of RE2, which takes linear time."""
    made = {"%": ".*", "_": "."}
    return "(?s)" + "".join(made.get(each) or re2.escape(each) for each in pattern)


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> Callable[[str], object]:
    return re2.compile(like_pattern(pattern)).fullmatch


def _like(pattern: str | None, text: str | None) -> bool | None:
    return None if pattern is None or text is None else _compiled(pattern)(text) is not None


def _round(value: Number | None, places: int = _DEFAULT_PLACES) -> Number | None:
    """Round half away from zero, in binary."""
    if value is None or isinstance(value, int):
        return value
    scale = 10.0**places
    scaled = value * scale
    if not math.isfinite(scaled):
        return value
    whole = math.floor(abs(scaled))
    return math.copysign(whole + (abs(scaled) - whole >= 0.5), scaled) / scale


def _substring(text: str | None, start: int, length: int | None = None) -> str | None:
    return None if text is None else text[start - 1 : None if length is None else start - 1 + length]


def _trim(text: str | None, letters: str | None = _BLANKS) -> str | None:
    return None if text is None or letters is None else text.strip(letters) if letters else text


def _int_div(one: int | None, other: int | None) -> int | None:
    if one is None or not other:
        return None
    return abs(one) // abs(other) * (1 if (one < 0) == (other < 0) else -1)


def _to_integer(value: Number | None) -> int | None:
    return None if value is None else round(value)  # half to even


def _try_to_integer(value: Number | None) -> int | None:
    if value is None or (isinstance(value, float) and not -(2.0**63) <= value < 2.0**63):
        return None
    return round(value)


def _to_number(value: Number | None) -> float | None:
    return None if value is None else float(value)


def _to_text(value: Number | None) -> str | None:
    return None if value is None else repr(value)


def _concat(*texts: str | None) -> str:
    return "".join(text for text in texts if text is not None)


def _of_text(function: Callable[[str], str | int]) -> Callable[[str | None], str | int | None]:
    return lambda text: None if text is None else function(text)


class _PercentileDisc:
    """quantile_disc(x, p): the smallest value that a share p of all does not exceed."""

    def __init__(self) -> None:
        self._values: list[int | float | str] = []
        self._share = 0.5

    def step(self, value: int | float | str | None, share: float) -> None:
        """Take in a value."""
        self._share = share
        if value is not None:
            self._values.append(value)
        if len(self._values) > _MOST_VALUES:
            raise ValueError("a quantile of too many values")

    def finalize(self) -> int | float | str | None:
        """Return the quantile."""
        if not self._values:
            return None
        place = math.ceil(round(len(self._values) * self._share, 9)) - 1  # 0.07 * 100 is a little more than 7
        return sorted(self._values)[max(0, place)]  # type: ignore[type-var]


_FUNCTIONS: dict[tuple[str, int], Callable[..., str | int | float | None]] = {
    ("lower", 1): _of_text(lower),
    ("upper", 1): _of_text(upper),
    ("length", 1): _of_text(len),
    ("like", 2): _like,
    ("round", 1): _round,
    ("round", 2): _round,
    ("substring", 2): _substring,
    ("substring", 3): _substring,
    ("trim", 1): _trim,
    ("trim", 2): _trim,
    ("concat", -1): _concat,
    ("int_div", 2): _int_div,
    ("to_integer", 1): _to_integer,
    ("try_to_integer", 1): _try_to_integer,
    ("to_number", 1): _to_number,
    ("to_text", 1): _to_text,
}
MAY_CALL = frozenset(
    {name for name, _ in _FUNCTIONS}
    | {"count", "sum", "avg", "min", "max", "coalesce", "nullif", "abs", "percentile_disc"}
    | {"row_number", "rank", "dense_rank", "lag", "lead"}
)
"""Functions of SQLite that a statement may call."""


def give(file: sqlite3.Connection) -> None:
    """Give these functions to a connection, in place of its own of these names."""
    for (name, count), function in _FUNCTIONS.items():
        file.create_function(name, count, function, deterministic=True)
    file.create_aggregate("percentile_disc", 2, _PercentileDisc)  # type: ignore[arg-type]
