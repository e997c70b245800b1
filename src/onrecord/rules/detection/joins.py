# SPDX-License-Identifier: Apache-2.0
"""Puts together what was taken apart: wrapped lines, strings that are joined, dumps, spaced letters.

A decoder here mostly leaves out what stands between two pieces.
"""

from onrecord.rules.detection.decoding import Edits
from onrecord.rules.detection.likeness import surprise
from onrecord.rules.pattern import Pattern

SHORT = 4_096  # characters of a text in which any line may be one that was wrapped
FAR = 160  # characters between two seams of one text
LITERAL = 400  # characters of a string in which its beginning is looked for
WIDE = 56  # characters of a line from which on it may be one of a text that was broken at a width
LONGEST_WRAP = 128  # characters between the end of a line and what goes on in the next
LINE = 1_000  # characters of a line in which its beginning is looked for

# strings

_OPERATOR = r"(?:\+{1,2}|\.{1,2}|&|\|\||<>|~|\^|//|<<)"
_SPACE = r"(?:[ \t]|\\?\r?\n)"
_AGAIN = rf";?{_SPACE}{{1,40}}[$A-Za-z_][A-Za-z0-9_.$]{{0,40}}[ \t]?(?:\+|\.|\|\||&)=[ \t]?"
_CALL = rf"\){_SPACE}{{0,40}}\.(?:append|concat|Append|add)\([ \t]?"  # .append("a").append("b")
_SEAM = (
    r"""["'`](?:"""
    rf"{_SPACE}{{0,40}}{_OPERATOR}[ \t]?[_`]?{_SPACE}{{0,40}}|[ \t]*\\?\r?\n[ \t]{{0,80}}|[ \t]{{1,4}}|{_AGAIN}|{_CALL}"
    r""")[rbfuLRBFU@$]{0,2}["'`]"""
)
_PART = "[!#-&*+./0-9:=?@A-Z^_a-z|~-]"  # what two parts of a token have at a seam; between words is a blank
_WORD = "[A-Za-z0-9+/_.@%$!~-]"
_SIGN = r"(?:[+.&|<~^/]{1,2}|<>)"
JOINED = (
    rf"""{_PART}["'`][ \t]{{0,2}}(?:{_SIGN}|[+.&|<~^/\\]{{0,2}}[ _`]{{0,2}}\r?\n|[ \t])"""
    rf"""(?:[ \t]{{0,60}}(?:{_SIGN}[ \t])?)[rbfuLRBFU@$]?["'`]{_PART}|{_WORD}["']["']{_WORD}"""
    rf"""|(?:[:=]|earer|asic) ["'][ \t]?{_SIGN}[ \t\r\n]{{0,8}}["']{_PART}"""
    rf"""|{_PART}["']\)[ \t\r\n]{{0,20}}\.(?:append|concat|Append|add)\(["']{_PART}"""
    rf"""|{_PART}["'];?[ \t\r\n]{{1,8}}[$A-Za-z_][A-Za-z0-9_.$]{{0,20}} ?[+.|&]=.?["']"""
)
_LISTING = r"""(?:["'][^"'\n]{0,2}["'],\s?)?(?:\[\]string|array|list|@)?[\[({\s]{0,40}"""
LISTED = (
    rf"""(?i)(?:join|concat|strcat|concat_ws|implode|paste0)[ \t]?\({_LISTING}["']|["'][ \t\r\n]*\][ \t\r\n]*\.join"""
    r"""|["'](?:chunks|pieces|parts|deltas|fragments|segments)["']\s?:\s?\[\s{0,20}["']"""
)
_COMMA = r"""["'`][ \t]*(?:,|\.concat\()[ \t]*(?:\r?\n[ \t]*)?["'`]"""
_LEAD = (  # what stands between a name and the first of the strings, as in `token = "".join([`
    rf"""(?:(?:["']{{2}}|[a-z]{{1,12}})\.)?\b(?:join|concat|strcat|concat_ws|implode|paste0)[ \t]?\({_LISTING}["']"""
    r"""|[:=][ \t]?\[[ \t\r\n]*["']"""
)
_BETWEEN = Pattern(f"(?i)(?:{_COMMA}|{_LEAD})")
_NO_QUOTES = Pattern(r"""""|''""")

_PARTS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-.:@%$!~"
_DIGITS = b"0123456789"
_BLANK, _QUOTE = b" \t\r\n", b"\"'`"
_NO_PART = _BLANK + _QUOTE
_INSIDE = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-/"
_LINE_END, _BACK_QUOTE = frozenset((b"\\n", b"\\r", b"\\t")), ord("`")
_VALUE = Pattern(r"""[=:(,][ \t]{0,4}(?:\\?\r?\n[ \t]{0,40})?[rbfuLRBFU@$]{0,2}["'`]\z""")
_ANNOUNCES = Pattern(r"""(?i)(?:[:=]|\b(?:bearer|basic))[ ]?\z""")


def _torn(data: bytes, low: int, start: int, end: int, *, inside: bool) -> bool:
    """Say whether the strings that end at `start` and begin at `end` may be halves of a token, or a name and its value.

    The first of them does not begin before `low`.
    Strings with only blanks between them are often a list; then there is a digit in it, or they are `inside` a value.
    """
    before, after = data[start - 1 : start] if start else b"", data[end : end + 1]
    if after in _NO_PART or before in _QUOTE or not before:
        return False
    if before in _BLANK:
        return _ANNOUNCES.occurs(data[max(0, start - 12) : start])
    if inside:
        return data[start - 2 : start] not in _LINE_END
    left, right = data[max(low, start - 48) : start], data[end : end + 48]
    first, last = len(left.rstrip(_PARTS)), len(right) - len(right.lstrip(_PARTS))
    if first == len(left) or not last or len(left) - first + last < 8:
        return False
    whole = left[first:] + right[:last]
    return whole.translate(None, _DIGITS) != whole


def _joined(data: bytes, seams: list[tuple[int, int]]) -> list[int]:
    """Return which of `seams` tear a token.

    Between two strings is an operator or the end of a line, or a value begins with the first of them.
    """
    torn: list[int] = []
    done, inside = 0, False
    for i, (start, end) in enumerate(seams):
        quote, glue = data[start], data[start + 1 : end - 1]
        opening = -1
        if quote != data[end - 1] or quote == _BACK_QUOTE:
            inside = False
        elif glue.strip(b" \t") and (b"\n" in glue or glue.strip(_NO_PART)):
            inside = True
        else:
            opening = data.rfind(data[start : start + 1], max(0, start - LITERAL), start)
            if opening + 1 != done or not done:  # else it is what the string before it is
                inside = opening > 0 and _VALUE.occurs(data[max(0, opening - 48) : opening + 1])
        if _torn(data, done, start, end, inside=inside):
            torn.append(i)
        done = end
    return torn


def _with_neighbours(data: bytes, seams: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the seams that tear a token, and those not far from one that does."""
    torn = _joined(data, seams)
    kept = set(torn)
    for step in (1, -1):
        for i in torn if step > 0 else reversed(torn):
            j = i + step
            while 0 <= j < len(seams) and j not in kept and abs(seams[j][0] - seams[j - step][0]) < FAR:
                kept.add(j)
                j += step
    return [seams[i] for i in sorted(kept)]


def concatenations(data: bytes, edits: Edits) -> None:
    """Read `"a" + "b"`, `'a' 'b'` and what other languages write for it."""
    for start, end in _with_neighbours(data, list(_JOINED.spans(data))):
        edits.add(start, end, "")
    for start, end in _NO_QUOTES.spans(data):
        if start and data[start - 1] in _INSIDE and data[end : end + 1].strip(_INSIDE) == b"" != data[end : end + 1]:
            edits.add(start, end, "")


def lists(data: bytes, edits: Edits) -> None:
    """Read `["a", "b"].join("")` and `CONCAT('a', 'b')`."""
    done = 0
    for at, end in _LISTED.spans(data):
        first = max(done, at - LINE)
        done = min(end + LINE, len(data))
        for start, stop in _BETWEEN.spans(data, 0, first, done):
            if data[start] in _QUOTE and data[start + 1] != data[start]:
                edits.add(start, stop, "")
            else:
                edits.add(start + (data[start] in b":="), stop - 1, "")


# lines

_TOKEN = rb"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-.~%$@!&:"
_PREFIX = r"(?:(?:>[ \t]?){1,4}|\#[ \t]?|//[ \t]?|\*[ \t]?|\+[ \t]?|--?[ \t]?|\|[ \t]?|;[ \t]?|rem[ \t])?"
_WRAP = rf"(?:[ \t]?\\)?\r?\n[ \t]{{0,80}}{_PREFIX}[ \t]{{0,40}}"
_OUTER = "[A-Za-z0-9_+=]{4}"  # a token of some length has this beyond its digit
WRAPPED = (
    rf"(?:[A-Za-z0-9_+=-]{{5}}[0-9][A-Za-z_+/=-]{{0,12}}|{_OUTER}[a-z][A-Z][A-Za-z_+/=-]{{0,6}}){_WRAP}[A-Za-z0-9_+/=-]"
    rf"|[A-Za-z0-9_+/=-]{_WRAP}[A-Za-z_+/=-]{{0,16}}[0-9]{_OUTER}|[A-Z]{{6}}{_WRAP}[A-Z]{{4}}"
    rf"|(?:://[!-.0-?A-Z_a-z]{{1,60}}|[A-Za-z0-9]@[A-Za-z0-9-]{{2,40}}){_WRAP}[A-Za-z0-9.@-]"
)


def wraps(data: bytes, edits: Edits) -> None:
    """Read a word that goes on in the next line as one, indented, quoted or commented as it may be.

    In a long text only a word with a digit near its end counts; a new field or an entry of a log never does.
    """
    short = len(data) <= SHORT
    for start, end in (_ANY_WRAP if short else _WRAPPED).spans(data):
        span = (start, end) if short else _ANY_WRAP.first(data, start, end + 1)
        if span is None:
            continue
        if not _goes_on(data, *span):  # what looks like a mark may be a character of the word
            span = _BARE_WRAP.first(data, span[0], span[1] + 1) or span
            if data[span[1] : span[1] + 1] not in _MARKS or not _goes_on(data, *span):
                continue
        edits.add(*span, "")


def _goes_on(data: bytes, start: int, end: int) -> bool:
    if data[start - 1 : start] not in _ENDS or not start or data[end : end + 1] not in _STARTS:
        return False
    mark = data[start:end].strip(b" \t\r\n\\")
    if mark:
        line = data[max(data.rfind(b"\n", max(0, start - LINE), start) + 1, start - LINE) : start].lstrip(b" \t")
        if not line.startswith(mark[:1]):
            return False
    if data[max(0, start - 12) : start].rpartition(b".")[2] in _FILES:
        return False  # a list of files
    head = data[end : end + 48]
    if head[:4].isdigit() and head[4:5] in (b"-", b"/"):
        return False
    word = head.lstrip(_FIELD)
    if word[:1] in (b" ", b"\t"):
        begins = head[: len(head) - len(word)].isalpha()
        return not (word.lstrip(b" \t")[:1] in (b":", b"=") or begins)  # a new field, or a word of a sentence
    if word[:1] == b":":
        return False
    if word[:1] != b"=" or not head[:1].isalpha():
        return True
    return word[1:2] in b"=\r\n" or (word[1:2] in b"\"'" and word[2:3] in b" ,;)]}\r\n")  # what fills up base64


_FILES = frozenset(
    b"bin c cfg conf css csv go gz h html java js json jsx log md pem php py rb rs rst sh sql toml ts tsx txt xml yaml"
    b" yml".split()
)


def next_line(text: str, at: int) -> int:
    """Return where the line goes on that is wrapped at `text[at]`; -1 where none is."""
    data = text[at : at + 2 * LONGEST_WRAP].encode("ascii", "replace")  # one byte for each character
    wrap = _ANY_WRAP.here(data, 0, len(data))
    return -1 if wrap is None else at + wrap[1]


def is_word(text: str, at: int) -> bool:
    """Say whether a word of some language stands at `text[at]`, or a file's name of one: `README.md`."""
    word = text[at : at + 24].split(maxsplit=1)[:1]
    stem, _, ending = word[0].rstrip(",;:!?)").partition(".") if word else ("", "", "")
    if not 3 < len(stem) < 16 or not stem.isascii() or not stem.isalpha():
        return False
    if ending:
        return ending.encode() in _FILES
    return (stem.islower() or stem.istitle()) and surprise(stem) <= len(stem) // 6  # which few random letters are


_ENDS = frozenset(_TOKEN[i : i + 1] for i in range(len(_TOKEN)))
_STARTS = _ENDS
_MARKS = frozenset((b"+", b"-"))
_FIELD = rb"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-."


# letters

_LETTER = "[A-Za-z0-9+/=_.:@!~-]"
_SPACED_OUT = (
    rf"(?:\A|[^!-~])([A-Za-z0-9](?: [ -~\n]){{11,}}|[A-Za-z0-9](?: {{2,3}}{_LETTER}){{11,}})"
    r"|(?:\A|[^A-Za-z0-9-])([A-Za-z0-9](?:-[A-Za-z0-9_]){11,})|(?:\A|[^A-Za-z0-9.])([A-Za-z0-9](?:\.[A-Za-z0-9_-]){11,})"
    r"|(?:\A|[^A-Za-z0-9,])([A-Za-z0-9](?:, ?[A-Za-z0-9_-]){11,})|(?:\A|\n)([A-Za-z0-9](?:\n[ -~\n]){11,})"
)
_AN = "[A-Za-z0-9_+/=-]"
SPACED = (
    rf"(?:{_AN} ){{8}}|(?:{_AN} {{2,3}}){{8}}|(?:{_AN}-){{8}}|(?:{_AN}\.){{8}}|(?:{_AN}, ?){{8}}|(?:{_AN}\r?\n){{8}}"
)
_QUOTED = r"""["'](?:[ -~]|\\.)["']"""
LETTERS = rf"{_QUOTED}(?:[ \t]?[,+.&][ \t\n]{{0,9}}{_QUOTED}){{7,}}"


def spaced(data: bytes, edits: Edits) -> None:
    """Read `A K I A` and `A-K-I-A` as words."""
    for group in range(1, 6):
        for start, end in _SPACED.spans(data, group):
            gap = data[start + 1 : start + 2]
            word = data[start:end:2] if gap != b"," else data[start:end].translate(None, b", ")
            if data[start + 1 : start + 3] == b"  " and data[start + 3 : start + 4] != b" ":
                word = data[start:end].translate(None, b" ")
            edits.add(start, end, word.decode("ascii"))


def letters(data: bytes, edits: Edits) -> None:
    """Read `"A", "K", "I", "A"` as a word."""
    for start, end in _LETTERS.spans(data):
        edits.add(start, end, "".join(_letter(data, start + last - 2) for _, last in _LETTER_OF.spans(data[start:end])))


def _letter(data: bytes, at: int) -> str:
    return "\n" if data[at - 1 : at + 1] == b"\\n" else chr(data[at])


# dumps

DUMPED = (
    r"(?m)^[ \t]{0,8}(?:0x)?[0-9a-fA-F]{4,8}:?[ \t]+"
    r"((?:[0-9a-fA-F]{2} ?){1,8} ?(?:[0-9a-fA-F]{2} ?){0,8}|(?:[0-9a-fA-F]{4} ?){1,8})(?:[ \t].{0,60})?\r?$"
)
CELLS = r"(?m)^[0-7]{7}((?: {3}[!-~]| {2}\\[0abfnrtv]| [0-7]{3}| {4}){2,16})[ \t]{0,4}$"


def dumps(data: bytes, edits: Edits) -> None:
    """Read what xxd, hexdump and od print, a line of sixteen bytes after the other."""
    lines = list(_DUMPED.spans(data))
    begins = {start for start, _ in lines}
    for (start, end), (first, last) in zip(lines, _DUMPED.spans(data, 1), strict=True):
        digits = data[first:last].replace(b" ", b"")
        raw = bytes.fromhex(digits[: len(digits) & ~1].decode())
        words = data[first:last].split()
        if b":" not in data[start:first] and all(len(word) == 4 for word in words):  # words, low byte first
            raw = b"".join(raw[i : i + 2][::-1] for i in range(0, len(raw), 2))
        if sum(32 <= byte < 127 or byte in (9, 10, 13) for byte in raw) * 4 < len(raw) * 3:
            continue
        edits.add(start, end + (end + 1 in begins), raw.strip(b"\0").decode("latin-1"))


def cells(data: bytes, edits: Edits) -> None:
    """Read what `od -c` prints."""
    rows = list(_CELLS.spans(data))
    for (start, end), (first, last) in zip(rows, _CELLS.spans(data, 1), strict=True):
        row = data[first:last].decode("ascii")
        text = "".join(_CELL.get(row[i : i + 4].strip(), row[i + 3]) for i in range(0, len(row) - 3, 4))
        edits.add(start, end + (data[end : end + 1] == b"\n"), text)


_CELL = {"\\n": "\n", "\\r": "\r", "\\t": "\t", "\\0": "", "": " "}
_JOINED, _LISTED = Pattern(_SEAM), Pattern(LISTED)
_WRAPPED, _ANY_WRAP = Pattern(WRAPPED), Pattern(_WRAP)
_BARE_WRAP = Pattern(r"(?:[ \t]?\\)?\r?\n[ \t]{0,80}")
_SPACED, _LETTERS, _LETTER_OF = Pattern(_SPACED_OUT), Pattern(LETTERS), Pattern(_QUOTED)
_DUMPED, _CELLS = Pattern(DUMPED), Pattern(CELLS)
