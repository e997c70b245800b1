# SPDX-License-Identifier: Apache-2.0
"""Finds the value that stands after a telling name in free text: `password=…`, `"api_key": "…"`, `Cookie: …`.

An expression finds the name and the sign after it; where the value ends is worked out by hand,
because no regular expression counts backslashes: in JSON inside JSON a quote is written `\\\\"`, and
the one that closes has as many backslashes as the one that opened. Where no end is to be found, the
value goes on to the end of the line or the text.

What counts as a value is judged in worth.py; what people write in sentences is found by rules.
"""

from onrecord.rules import names
from onrecord.rules.detection import worth
from onrecord.rules.detection.checks import Span
from onrecord.rules.detection.handles import in_resource, of_request
from onrecord.rules.pattern import Pattern

LEFT = 64  # characters before the telling word that may belong to its name
LONGEST = 4096  # characters of a value in which its end is looked for
MOST_IN_ONE = 64  # telling names in one run without blanks that are read; with more, the run is masked
TALLEST = 200  # lines of a value of several lines

# The telling word and the rest of its name.
_NAME = rf"(?:{names.TEXT_ANCHORS}|(?:pass|auth|pw|mdp)\b)[a-z0-9_-]{{0,40}}"
# A name and a value as two fields: key="…" value="…", "name": "…", "value": "…", <name>…</name><value>.
_FIELDS = (
    r"""(?:[\\]*["'][ \t]*,?\s{0,40}|\s{1,40})(?:[\\]*["']?type[\\]*["']?[ \t]*[:=][ \t]*[\\]*["']?[a-z]{1,12}"""
    r"""[\\]*["']?[ \t]*,?\s{0,40})?[\\]*["']?(?:default|string|secret)?_?value[\\]*["']?[ \t]*[:=]"""
    r"""|["'](?:[ \t][a-z]+=["'][^"'<>\n]{0,24}["'])?[ \t]*>\s{0,40}<(?:value|string)>"""
    r"|</(?:key|name)>\s{0,40}<(?:string|value|member)>"
)
# A type before the sign: `var token string = "…"`, `char secret[25] = "…"`, `password: Optional[str] = "…"`.
_TYPED = (
    r"""(?:\[[0-9]{0,5}\]|(?:[ \t]+|[ \t]?:[ \t]*)[&*]?[a-z'][a-z0-9.&*? ']{0,20}(?:[<\[][a-z&' ]{0,16}[>\]])?\??)"""
    r"""[ \t]*:?=[ \t]*[\\]*["'`]"""
)
_SIGN = (
    r"""(?:[\\]*["'`”’]|[\])*]|&quot;)*[ \t]{0,20}"""
    r"(?:=>|!={1,2}|:{1,3}=|[.?+|]{1,2}=|={1,3}|:|>|：|＝)"
)
_ANCHOR = Pattern(f"(?i){_NAME}(?:{_TYPED}|{_FIELDS}|{_SIGN})")

_NAME_CHARS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
_BARE_CHARS = "".join(chr(i) for i in range(33, 127) if chr(i) not in "\"'`<>\\")
_QUOTES = "\"'`"
_OPENERS = "\"'`“‘„«「"
_CLOSER = {"“": "”", "‘": "’", "„": "“", "«": "»", "「": "」"}
_SIGNS = frozenset("=:\"'&?|;@")
_PREFIXES = frozenset("rbfuRBFUN@$")  # r"…", b"…", @"…", N'…'


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


class Reader:
    """Reads the values of one text, from left to right."""

    __slots__ = ("_begun", "_done", "_in_one", "_run", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._done = 0  # where the value ends that was found last
        self._run = 0  # where the run without blanks ends that was looked at last
        self._begun = 0
        self._in_one = 0

    def value_after(self, start: int, end: int) -> Assignment | None:
        """Return the value that follows the anchor `text[start:end]`, or None where there is none worth hiding."""
        text = self._text
        if end <= self._done and start >= self._begun:
            return None  # it is part of a value that was found
        name = _name(text, start, end)
        label = names.label_of(name.rstrip(" \t:=>\"'"))
        if not label or (name[:4] in ("PASS", "Pass") and name.strip("-= ") in ("PASS:", "Pass:")):
            return None  # "PASS: test_one" is what a run of tests says
        if in_resource(text, end - len(name)):
            return None  # arn:aws:secretsmanager:…:secret:name
        digest = name.lower().find(": digest ")
        if digest > 0:  # and not a type: Authorization: Digest username="…"
            name, end = name[: digest + 1], end - len(name) + digest + 1
        elif text[end - 1] in _QUOTES:  # a type stood before the sign
            end = end - 1 - _backslashes_before(text, start, end - 1)
        kept = self._kept(name, label, end)
        if kept is None or (label == "token" and of_request(text[slice(*kept)], name)):
            return None
        self._begun, self._done = kept
        return Assignment(*kept, label)

    def _kept(self, name: str, label: str, end: int) -> Span | None:
        text = self._text
        if name.endswith(":"):
            end = _untagged(text, end)
        quote = _quote(text, end)
        if quote is not None:
            if quote[0] == end and _closes(text, end, name):
                return None
            span = _quoted(text, *quote)
            if span is None or span[0] >= span[1]:
                return None
            if "{" in text[end : quote[0]] and text[span[1] : span[1] + 8].lstrip("\\\"' ")[:1] == ":":
                return None  # the name of what stands inside
            return span if worth.quoted(text, *span, name, label) else None
        if label in worth.HEADERS and name.endswith(":"):
            span = _header(text, end)
            return span if worth.header(text, *span) else None
        if name.endswith(">") and not name.endswith(("=>", "->")):
            inside = "<" in name or _in_tag(text, end - len(name))
            return _element(text, end, name, label) if inside else None
        return self._bare(end, name, label)

    def _bare(self, at: int, name: str, label: str) -> Span | None:
        text = self._text
        first = _skipped(text, at, " \t*")
        if text[first : first + 1] in ("", "\n", "\r", "|", ">"):
            return _below(text, first, name, label)
        limit = min(len(text), first + LONGEST)
        if first < self._run:
            self._in_one += 1
            if self._in_one > MOST_IN_ONE:
                return first, self._run
            end = self._run
        else:
            self._in_one = 0
            end = self._run = _run_end(text, first, limit)
        end = _bare_end(text, first, end)
        if end - first < 4:
            return None
        if _in_tuple(text, at - len(name)):
            return None
        return (first, end) if worth.bare(text, first, end, name, label, blank=first > at) else None


def _name(text: str, start: int, end: int) -> str:
    """Return the anchor with what stands before it and belongs to the name."""
    low = max(0, start - LEFT)
    before = text[low:start]
    first = low + len(before.rstrip(_NAME_CHARS))
    if first and text[first - 1] == "\\" and text[first] in "nrt":
        first += 1  # a line that ends with \\n before the name
    return text[first:end]


def _untagged(text: str, at: int) -> int:
    """Return where an anchor or a tag of YAML ends that stands at `at`: `password: &main x`, `password: !!str x`."""
    first = _skipped(text, at, " ")
    if first == at or not (text.startswith("&", first) or text.startswith("!!str", first)):
        return at
    last = _skipped(text, first + 1, _NAME_CHARS + "!")
    return last if last - first > 1 and text[last : last + 1] == " " else at


def _closes(text: str, at: int, name: str) -> bool:
    """Say whether the quote at `at` closes a text that ends with the name and its sign: `"Password:"`."""
    before = at - len(name) - 1
    return before >= 0 and text[before] == text[at] and text[at] not in name  # "password":"…" closes the name alone


def _in_tuple(text: str, at: int) -> bool:
    """Say whether the name before `at` is one of several that a program assigns to: `user, password = split(line)`."""
    line = text[max(0, at - LEFT, text.rfind("\n", 0, at) + 1) : at].strip()
    return len(line) > 1 and line[-1] == "," and not _SIGNS.intersection(line)


def _in_tag(text: str, at: int) -> bool:
    """Say whether `at` stands inside an opening tag."""
    before = text[max(0, at - 200) : at]
    opened = before.rfind("<")
    if opened <= before.rfind(">") or before[opened + 1 : opened + 2] == "/":
        return False
    return not before[opened - 1 : opened].isalnum()  # C<name> in the documentation of Perl


def _skipped(text: str, at: int, chars: str) -> int:
    while at < len(text) and text[at] in chars:
        at += 1
    return at


def _quote(text: str, at: int) -> tuple[int, int] | None:
    """Return where the opening quote after a sign stands, and how many backslashes stand before it."""
    at = _skipped(text, at, " \t([{")
    char = text[at : at + 1]
    if char in _PREFIXES and text[at + 1 : at + 2] in ('"', "'"):
        at += 1
    elif char == "&" and text.startswith("&quot;", at):
        return at + 5, 0
    first = at
    while text[at : at + 1] == "\\":
        at += 1
    return (at, at - first) if at < len(text) and text[at] in _OPENERS else None


def _quoted(text: str, at: int, depth: int) -> Span | None:
    """Return what stands between the quote at `at` and the one that closes it."""
    quote, start = text[at], at + 1
    if quote == ";":
        quote = "&quot;"
    elif quote in _QUOTES and text.startswith(quote * 2, at):
        width = len(text[at : at + 17]) - len(text[at : at + 17].lstrip(quote))
        if width == 3:
            quote, start = quote * 3, at + 3
        elif text[at + width : at + width + 1] not in ("", ",", ")", "]", "}", ";", " ", "\n", "\r", "\\"):
            start = at + width  # ''…'', as SQL writes a quote inside quotes
    quote = _CLOSER.get(quote, quote)
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


def _header(text: str, at: int) -> Span:
    """Return the rest of the line, up to a quote that the header did not open: `-H "Authorization: …"`."""
    line = text.find("\n", at, at + LONGEST)
    stop = min(len(text), at + LONGEST) if line < 0 else line
    at = min(_skipped(text, at, " \t"), stop)
    i = _next_quote(text, at, stop)
    while i < stop:
        slashes = _backslashes_before(text, at, i)
        inner = _quoted(text, i, slashes) if text[i - slashes - 1 : i - slashes] == "=" else None
        if inner is None:
            return at, i - slashes
        i = _next_quote(text, inner[1] + slashes + 1, stop)  # response="…" of a digest
    return at, stop


def _next_quote(text: str, at: int, stop: int) -> int:
    found = [i for i in (text.find(quote, at, stop) for quote in _QUOTES) if i >= 0]
    return min(found, default=stop)


def _element(text: str, at: int, name: str, label: str) -> Span | None:
    """Return the content of an XML element, whose name or whose sign stands before `at`."""
    at = _skipped(text, at, " \t\r\n")
    if text.startswith("<![CDATA[", at):
        at += 9
    end = text.find("<", at, at + LONGEST)
    if end < 0:
        end = _run_end(text, at, min(len(text), at + LONGEST))
    span = at, at + len(text[at:end].rstrip(" \t\r\n]"))
    if "\n" in text[at : span[1]] and label != "private-key":
        return None
    blank = " " in text[at : span[1]]
    if end - at > 3 and (worth.quoted if blank else worth.element)(text, *span, name, label):
        return span
    return None


def _below(text: str, at: int, name: str, label: str) -> Span | None:
    """Return the value on the lines after a name: a YAML block, or what stands alone on the next line."""
    line = text.find("\n", at, at + 16)
    if line < 0 or not name.rstrip().endswith((":", "：")):
        return None
    first = _skipped(text, line + 1, " \t")
    stop = text.find("\n", first, first + LONGEST)
    end = len(text[: first + LONGEST]) if stop < 0 else stop
    if text[at] in "|>":
        return _block(text, line + 1, first - line - 1, label)
    end = first + len(text[first:end].rstrip())
    if text.startswith("- ", first) and name.rstrip(" :：").endswith(("s", "S")):
        return _items(text, first, label)
    alone = text[first:end].strip("\"'`")
    if not alone or " " in alone or ":" in alone or not worth.alone(alone, label):
        return None
    first = text.index(alone, first)
    return first, first + len(alone)


def _items(text: str, at: int, label: str) -> Span | None:
    """Return the items of a list of YAML whose first one stands at `at`, where that is a secret; one after another."""
    indent = at - text.rfind("\n", 0, at) - 1
    first, end = at + 2, 0
    for _ in range(TALLEST):
        stop = text.find("\n", at, at + LONGEST)
        line = text[at : len(text) if stop < 0 else stop].rstrip()
        item = line[2:].strip(" \"'")
        if not line.startswith("- ") or not item or " " in item or ":" in item:
            break
        chosen = label == "password" and any(map(str.isdigit, item)) and any(map(str.isalpha, item))
        if not end and not chosen and not worth.alone(item, label):
            return None
        end = at + len(line)
        if stop < 0 or text[stop + 1 : stop + 1 + indent].strip(" "):
            break
        at = stop + 1 + indent
    return (first, end) if end else None


def _block(text: str, at: int, indent: int, label: str) -> Span | None:
    """Return the lines from `at` on that are indented by at least `indent`."""
    first = end = at + indent
    for _ in range(TALLEST):
        if not indent or text[at : at + indent].strip(" \t"):
            break
        stop = text.find("\n", at)
        end = len(text) if stop < 0 else stop
        if stop < 0:
            break
        at = stop + 1
    end = first + len(text[first:end].rstrip())
    return (first, end) if end > first and worth.block(text, first, end, label) else None


def _run_end(text: str, at: int, limit: int) -> int:
    """Return where the run without blanks, quotes and angles ends that begins at `at`."""
    i = at
    while i < limit:
        i = limit - len(text[i:limit].lstrip(_BARE_CHARS))
        if i >= limit or not (
            text[i].isalnum()
            or (
                text[i] == ">"
                and text[i + 1 : i + 2] not in ("", " ", "\n", "\r", "\t", "<", "/", '"', "'", ")", ";", ",")
            )
        ):
            if i < limit and text[i] > "\x7f" and not text[i].isspace() and text[i] not in "，。；、”’»）」":
                i += 1
                continue
            break
        i += 1
    return i


def _bare_end(text: str, at: int, end: int) -> int:
    """Return where a value without quotes ends, in the run without blanks that goes on to `end`."""
    i = at
    while i < end:
        i = min((j for j in (text.find(char, i, end) for char in ",;&|") if j >= 0), default=end)
        if i >= end or _another_begins(text, i + 1):
            break
        i += 1
    ended = i
    while i > at and text[i - 1] in ",;:)]}&":
        if text[i - 1] in ")]}" and text.count("([{"[")]}".index(text[i - 1])], at, i):
            break  # it was opened inside
        i -= 1
    if i > at + 1 and text[i - 1] == "." and text[i - 2] != "." and ended == i:
        i -= 1  # the end of a sentence
    return i


def _another_begins(text: str, at: int) -> bool:
    """Say whether a new field begins at `at`: the end, a blank, a quote, or `name=`."""
    if at >= len(text) or text[at] in " \t\r\n\"'":
        return True
    rest = text[at : at + 40]
    size = len(rest) - len(rest.lstrip(_NAME_CHARS))
    return rest[:1].isalpha() and text[at + size : at + size + 1] in ("=", ":")
