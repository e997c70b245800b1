# SPDX-License-Identifier: Apache-2.0
"""Finds the value that stands after a telling name in free text: `password=…`, `"api_key": "…"`, `Cookie: …`.

An expression finds the name and the sign after it; where the value ends is worked out by hand,
because no regular expression counts backslashes: in JSON inside JSON a quote is written `\\\\"`, and
the one that closes has as many backslashes as the one that opened. Where no end is to be found, the
value goes on to the end of the line or the text.

What a bare word after a colon means is a guess. Prose and source code are full of `token: string`,
so a value without quotes counts only where it looks like no name that a programmer would give.
"""

from onrecord.rules import names
from onrecord.rules.detection import checks
from onrecord.rules.detection.checks import Span
from onrecord.rules.pattern import Pattern

LEFT = 64  # characters before the telling word that may belong to its name
LONGEST = 4096  # characters of a quoted value in which its end is looked for

# The telling word and the rest of its name, what may close the name, and the sign.
_ANCHOR = Pattern(
    rf"(?im)(?:{names.ANCHORS}|(?:pass|auth|pw)\b)[a-z0-9_-]{{0,40}}"
    r"""(?:[\\]*["'`]|[\])])*[ \t]{0,20}(?:=>|!={1,2}|:{1,3}=|[.?]=|={1,3}|:|>)"""
)
_NAME_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")
_QUOTES = "\"'`"
_PREFIXES = frozenset("rbfuRBFU@$")  # r"…", b"…", @"…"
_HEADERS = frozenset({"authorization", "cookie"})  # labels of names whose value is a whole line
_SCHEMES = frozenset({"bearer", "basic", "token", "digest", "negotiate", "apikey", "api-token", "oauth", "ntlm"})


class Assignment:
    """One value and the label that its name gives it."""

    __slots__ = ("end", "label", "start")

    def __init__(self, start: int, end: int, label: str) -> None:
        self.start = start
        self.end = end
        self.label = label


def anchors(data: bytes) -> list[Span]:
    """Return the byte spans of names followed by a sign."""
    return list(_ANCHOR.spans(data))


def value_after(text: str, start: int, end: int) -> Assignment | None:
    """Return the value that follows the anchor `text[start:end]`, or None where there is none worth hiding."""
    name = _name(text, start, end)
    label = names.label_of(name)
    if not label:
        return None
    quote = _quote(text, end)
    if quote is not None:
        span = _quoted(text, *quote)
        kept = span if span and _counts_quoted(text, *span, label) else None
    elif label in _HEADERS:
        span = _header(text, end)
        kept = span if _counts_header(text, *span) else None
    else:
        kept = _bare_value(text, end, name, label)
    return None if kept is None else Assignment(*kept, label)


def _name(text: str, start: int, end: int) -> str:
    """Return the anchor with what stands before it and belongs to the name."""
    return text[_name_start(text, start) : end]


def _name_start(text: str, start: int) -> int:
    first = start
    while first > 0 and start - first < LEFT and text[first - 1] in _NAME_CHARS:
        first -= 1
    return first


def _quote(text: str, at: int) -> tuple[int, int] | None:
    """Return where the opening quote after a sign stands, and how many backslashes stand before it."""
    while at < len(text) and text[at] in " \t([{":
        at += 1
    if text[at : at + 1] in _PREFIXES and text[at + 1 : at + 2] in ('"', "'"):
        at += 1
    first = at
    while text[at : at + 1] == "\\":
        at += 1
    return (at, at - first) if at < len(text) and text[at] in _QUOTES else None


def _quoted(text: str, at: int, depth: int) -> Span | None:
    """Return what stands between the quote at `at` and the one that closes it."""
    quote, start = text[at], at + 1
    stop = min(len(text), start + LONGEST)
    period = 2 * (depth + 1)  # how often a literal backslash is doubled inside
    i = text.find(quote, start, stop)
    while i >= 0:
        slashes = _backslashes_before(text, start, i)
        if slashes < depth or slashes % period == depth:  # it closes, or what it stands in ends before it
            end = i - min(slashes, depth)
            return (start, end) if end > start else None
        i = text.find(quote, i + 1, stop)
    line = text.find("\n", start)
    return start, len(text) if line < 0 else line


def _backslashes_before(text: str, start: int, at: int) -> int:
    first = at
    while first > start and text[first - 1] == "\\" and at - first < LEFT:
        first -= 1
    return at - first


def _counts_quoted(text: str, start: int, end: int, label: str) -> bool:
    if checks.literal(text, start, end) is None:
        return False
    value = text[start:end]
    blanks = value.count(" ")
    if label == "password":
        return end - start >= 3 and blanks < 6 and not (blanks > 1 and value.endswith("."))
    if label in _HEADERS:
        return _counts_header(text, start, end)
    return end - start >= 5 and not blanks and not value.isalpha()


def _header(text: str, at: int) -> Span:
    """Return the rest of the line, up to a quote that the header did not open: `-H "Authorization: …"`."""
    line = text.find("\n", at)
    stop = len(text) if line < 0 else line
    while at < stop and text[at] in " \t":
        at += 1
    i = at
    while i < stop:
        if text[i] in _QUOTES:
            slashes = _backslashes_before(text, at, i)
            inner = _quoted(text, i, slashes) if text[i - slashes - 1 : i - slashes] == "=" else None
            if inner is None:
                return at, i - slashes
            i = inner[1] + slashes  # response="…" of a digest
        i += 1
    return at, stop


def _counts_header(text: str, start: int, end: int) -> bool:
    """Say whether a header's value carries something: a scheme and a credential, or pairs of a cookie."""
    first, _, rest = text[start:end].strip().partition(" ")
    credential = rest.strip() if first.lower() in _SCHEMES else first
    place = text.find(credential, start) if credential else -1
    if place < 0 or len(credential) < 6:
        return False
    return checks.mixed(text, place, min(end, place + len(credential))) is not None


def _bare_value(text: str, at: int, name: str, label: str) -> Span | None:
    blanks = " \t\r\n" if name.endswith(">") and not name.endswith("=>") else " \t"  # `<password>`, then a line
    blank = text[at : at + 1] in (" ", "\t")
    while at < len(text) and text[at] in blanks:
        at += 1
    end = _bare_end(text, at)
    if end - at < 4 or checks.literal(text, at, end) is None:
        return None
    rest = text[end : end + 4].lstrip()
    if blank and rest.startswith("=") and not rest.startswith("=="):  # `password: str = "…"`
        quote = _quote(text, text.index("=", end) + 1)
        span = _quoted(text, *quote) if quote else None
        return span if span and _counts_quoted(text, *span, label) else None
    closed = text[end : end + 1] in ("", "\n", "\r", ",", "}", "]", "<")
    return (at, end) if _counts_bare(text[at:end], name, label, blank=blank, closed=closed) else None


def _bare_end(text: str, at: int) -> int:
    """Return where a value without quotes ends."""
    i = at
    while i < len(text) and text[i] not in " \t\r\n\"'`<>\\":
        if text[i] in ",;&" and _another_begins(text, i + 1):
            break
        i += 1
    while i > at and text[i - 1] in ",;.:)]}&":
        i -= 1
    return i


def _another_begins(text: str, at: int) -> bool:
    """Say whether a new field begins at `at`: the end, a blank, a quote, or `name=`."""
    if at >= len(text) or text[at] in " \t\r\n\"'":
        return True
    i = at
    while i < len(text) and i - at < 40 and text[i] in _NAME_CHARS:
        i += 1
    return i > at and text[i : i + 1] in ("=", ":")


def _counts_bare(value: str, name: str, label: str, *, blank: bool, closed: bool) -> bool:
    """Say whether a bare word is a secret rather than the name of one."""
    if "(" in value or value.lower().strip("_") in name.lower():
        return False
    digit = any(char.isdigit() for char in value)
    if name.isupper() and not blank:  # MYSQL_PASSWORD=hiqv
        return digit or "." not in value
    if label == "password":
        plain = value.replace("-", "").isalpha() and value.islower() and (closed or not blank)
        return digit or plain or ("." not in value and any(char in "!@#$%^&*?~" for char in value))
    return sum(char.isdigit() for char in value) >= 2 and len(value) >= 8 and not value.startswith("/")
