# SPDX-License-Identifier: Apache-2.0
"""Numbers that measure, count or tell things apart: what their name says, and what stands in the same list or column.

One random number of ten has a right Luhn digit. So a number that could be a card is none where it
stands under a name like `offset` or `orderId`, and none in a column of numbers of its length most of
which have a wrong digit; a column of cards stays a column of cards.
"""

from collections.abc import Callable, Hashable, Iterator

from onrecord.rules.detection.finding import Span
from onrecord.rules.words import listed, words

_NEAR = 1_200  # characters before or after a number in which others of its kind are looked for
_MOST = 20  # of which that many are, on either side
_CLOSE = 2_048  # characters in which one list of them is, or one column
_LEAST = 3  # numbers that make a list
_ENOUGH = 9  # that tell what kind of list it is
_GLUE = 8  # characters between a number and its name
_NAME = 40  # characters of a name
_TOKEN = 24  # characters of what stands beside a number in a table

_BLANKS = " \t\u00a0\u202f"
_IN_ROW = " \u00a0\u202f"  # a tab begins another cell
_DIGITS = "0123456789"
_BETWEEN = _BLANKS + ".-:"  # of the groups of one number
_PARTS = ",;|\t\n\r[(<"  # what parts the cells of a list or a table
_ENDS = ",;|\t\n\r])}<\"'"
_GLUED = _BLANKS + "\"'`=:#/>([{\\&?*"  # what stands between a name and its number
_CURRENCIES = ("$", "€", "£", "¥", "₽", "₹", "%")
_ABBREVIATED = listed("no nr num number numbers nummer is was are of id s")  # of which the word before says more

MEASURES = listed("""
    lat latitude lng lon longitude alt altitude elevation depth coordinate coordinates price prices amount amounts
    total subtotal sum cost balance size sizes length len width height bytes byte offset offsets count counts cnt
    timestamp timestamps ts epoch duration elapsed latency millis nanos micros ms us ns mtime ctime atime btime exp iat
    nbf hash hashes crc crc32 adler checksum checksums digest fingerprint seed nonce version versions build revision rev
    loss weight weights seq sequence percent percentile mean median std stddev variance min max avg score rate qps rx tx
    counter population quantity qty
""")
_MEASURES_SAID = MEASURES - listed("us ms ns exp iat rx tx rev total sum")
_CLIENTS = listed("customer client member employee article user")  # that have numbers, but also phones
_THINGS = listed("""
    id ids uid gid tid oid xid zxid rid vid sid txid zxids pid fid fbid eid mid req reqid uuid guid snowflake order
    orders invoice invoices trace span tweet ticket job jobs isbn ean upc gtin asin sku skus barcode tracking parcel
    shipment waybill awb fed fedex ups usps dhl serial serials part parts item items batch lot thread threads po
""")
# The same, where a sign such as = or : sets the name off.
_THINGS_SET = _THINGS | listed("""
    transaction transactions txn tx session channel guild run task
    product model ref reference row node block shard partition instance pod volume snapshot
    process cursor generation inode address pointer ptr handle time start end created updated uptime job
""")
_PEOPLE = listed("""
    card cards cc visa maestro mastercard amex carte karte tarjeta carta kort pan credit debit payment phone phones tel
    telephone mobile fax cell msisdn sms whatsapp contact ssn sin national personal citizen patient tax iban account
    passport identity licence license
""")

Valid = Callable[[str, int, int], bool]


class Searched(str):
    """A text of which it is remembered, for the length of one search, what was already looked at.

    `lists` says of what kind its lists of numbers are, `token` where the last token goes on to that hangs on to a
    secret: a run of many secrets is walked once, not once for each.
    """

    __slots__ = ("lists", "token")
    lists: dict[tuple[int, int, Hashable], bool]
    token: Span

    def __new__(cls, text: str) -> "Searched":
        """Return `text`, of which nothing is known yet."""
        self = super().__new__(cls, text)
        self.lists = {}
        self.token = 0, 0
        return self


def measured(text: str, start: int) -> bool:
    """Say whether the name of the number at `start` says that it measures or counts: `offset=…`, `"lat": …`."""
    name, set_off = _name(text, start)
    return not (MEASURES if set_off else _MEASURES_SAID).isdisjoint(name) and _PEOPLE.isdisjoint(name)


def numbered(text: str, start: int, *, person: bool = False) -> bool:
    """Say whether the name of the number at `start` says that it measures, counts or tells things apart.

    With `person`, a mere `id` does not say that: people have them too.
    """
    name, set_off = _name(text, start)
    if not name or not _PEOPLE.isdisjoint(name):
        return False
    if set_off and len(name) > 1 and name[-1] in _ABBREVIATED and not _CLIENTS.isdisjoint(name):
        return True
    things = _THINGS_SET if set_off else _THINGS
    if person and things.isdisjoint(set(name) - _ABBREVIATED):
        return not MEASURES.isdisjoint(name)
    return not (things.isdisjoint(name) and MEASURES.isdisjoint(name))


def _name(text: str, start: int) -> tuple[list[str], bool]:
    """Return the words of the name before `start`, and whether a sign sets it off."""
    at = start - 1 if text[start - 1 : start] in ("-", "+") else start
    low = max(0, at - _GLUE)
    stop = at
    while stop > low and text[stop - 1] in _GLUED:
        stop -= 1
    set_off = any(char in "=:>/" for char in text[stop:at])
    if stop == at:
        return [], False
    name, first = _word(text, stop)
    if name and name[-1] in _ABBREVIATED and not set(name) - _ABBREVIATED:
        last = first
        while last > 0 and first - last < 3 and text[last - 1] in " #.:":
            last -= 1
        name = [*_word(text, last)[0], *name] if last < first else name
    return name, set_off


def _word(text: str, stop: int) -> tuple[list[str], int]:
    """Return the words of the name that ends at `stop`, and where it begins."""
    if text[stop - 1 : stop] == ".":
        stop -= 1  # no.
    first = stop
    while first > 0 and stop - first < _NAME and (text[first - 1].isalnum() or text[first - 1] in "_.-"):
        first -= 1
    return words(text[first:stop]), first


def crowded(text: str, start: int, end: int) -> bool:
    """Say whether groups with blanks between them stand in a longer row of numbers: `815 577 523 894 454 101`."""
    return _is_figure(_beside(text, start, -1)) or _is_figure(_beside(text, end, 1))


def enclosed(text: str, start: int, end: int) -> bool:
    """Say whether a number without groups stands in a row, with others before and after it."""
    return _is_figure(_beside(text, start, -1)) and _is_figure(_beside(text, end, 1))


def grouped_amount(text: str, start: int, end: int) -> bool:
    """Say whether groups of three with blanks between them are an amount: what is counted follows, as in `1 000 km`."""
    if [len(part) for part in text[start:end].split(" ")] != [3, 3, 3]:
        return False
    before, after = text[max(0, start - 2) : start].strip(), text[end : end + 2]
    return before[-1:] in _CURRENCIES or (after[:1] in _IN_ROW and (after[1:].islower() or after[1:] in _CURRENCIES))


def _beside(text: str, at: int, step: int) -> str:
    """Return what stands before or after `at` behind blanks, up to the next blank."""
    limit = max(0, at - _TOKEN) if step < 0 else min(len(text), at + _TOKEN)
    i = at if step > 0 else at - 1
    if not (min(limit, at) <= i < max(limit, at) and text[i] in _IN_ROW):
        return ""
    while i != limit and 0 <= i < len(text) and text[i] in _IN_ROW:
        i += step
    first = i
    while i != limit and 0 <= i < len(text) and not text[i].isspace():
        i += step
    return text[first:i] if step > 0 else text[i + 1 : first + 1]


def _is_figure(token: str) -> bool:
    """Say whether a token is a number of a table, or bytes in hexadecimal; a date and `12.` are none."""
    token = token.lower()
    if not token or not any(map(str.isdigit, token)) or token[-1:] in (".", ")", ":"):
        return False
    if "-" in token[1:] and "e" not in token:
        return False
    if token.strip("0123456789.,-+%e") == "":
        return True
    return len(token) in (2, 4) and not token.strip("0123456789abcdef")


def outnumbered(
    text: str, start: int, end: int, valid: Valid, *, most: float = 0.5, kind: Hashable | None = None
) -> bool:
    """Say whether more than the share `most` of the numbers of this form in the same list or column are not `valid`.

    Of numbers of one kind and length that stand close to each other, the first decides for all; the kind
    is `valid`, unless it is said.
    """
    if not isinstance(text, Searched):
        return _outnumbered(text, start, end, valid, most)
    key = (start // _CLOSE, end - start, valid if kind is None else kind)
    if key not in text.lists:
        text.lists[key] = _outnumbered(text, start, end, valid, most)
    return text.lists[key]


def _outnumbered(text: str, start: int, end: int, valid: "Valid", most: float) -> bool:
    mine = _form(text, start, end)
    if mine is None or not mine[1]:
        return False
    total = right = 1
    for first, last in (*_runs_before(text, start, len(mine[1])), *_runs_after(text, end, len(mine[1]))):
        form = _form(text, first, last)
        if form is None or form[0] != mine[0] or not _alike(form[1], mine[1]):
            continue
        total += 1
        right += valid(text, first, last)
        if total == _ENOUGH:
            break
    return total >= _LEAST and total - right > most * total


_Form = tuple[tuple[str, str, str], list[int]]


def _alike(sizes: list[int], mine: list[int]) -> bool:
    most = 1 if len(mine) == 1 else 2
    return len(sizes) == len(mine) and all(abs(a - b) <= most for a, b in zip(sizes, mine, strict=True))


def _form(text: str, start: int, end: int) -> _Form | None:
    """Return how `text[start:end]` is set among other things, and the lengths of its groups; None in a sentence."""
    inner = "".join("0" if char.isdigit() else char for char in text[start:end])
    sizes = [len(part) for part in "".join(char if char == "0" else " " for char in inner).split()]
    glue = "".join(dict.fromkeys(inner.replace("0", "")))
    at = start
    while at > 0 and start - at < _GLUE and not text[at - 1].isalnum():
        at -= 1
    before = text[at:start]
    if at == 0 or any(char in _PARTS for char in before) or (before.strip(_BLANKS) == "" and text[at - 1].isdigit()):
        if at > 0 and before in ("-", ""):
            return None
        after = text[end : end + 3].lstrip(" \t-")[:1]
        ended = after == "" or after in _ENDS or after in "\r\n" or after.isdigit() or text[end : end + 1] in _BLANKS
        return (("", glue, "|"), sizes) if ended else None
    named = _word(text, at)[0] if before else []
    if named and text[end : end + 1] in (",", ";"):  # the first of a list
        named = []
    return ((".".join(named), glue, before.strip(_BLANKS)[:1] if named else "|"), sizes) if named or before else None


def _runs_before(text: str, start: int, count: int) -> Iterator[Span]:
    """Yield the spans of `count` runs of digits that follow each other and end before `start`, the nearest first."""
    yield from _grouped(_runs(text, start, -1), text, count)


def _runs_after(text: str, end: int, count: int) -> Iterator[Span]:
    yield from _grouped(_runs(text, end, 1), text, count)


def _grouped(runs: Iterator[Span], text: str, count: int) -> Iterator[Span]:
    held: list[Span] = []
    found = 0
    for run in runs:
        held.append(run)
        if len(held) < count:
            continue
        first, last = min(held[0][0], run[0]), max(held[0][1], run[1])
        if not text[first:last].strip(_DIGITS + _BETWEEN):
            yield first, last
            found += 1
            held = []
            if found == _MOST:
                return
        else:
            del held[0]


def _runs(text: str, at: int, step: int) -> Iterator[Span]:
    """Yield the runs of digits before or after `at`, the nearest first."""
    limit = max(0, at - _NEAR) if step < 0 else min(len(text), at + _NEAR)
    i = at
    while i != limit:
        if text[i if step > 0 else i - 1] not in _DIGITS:
            i += step
            continue
        first = i
        while i != limit and text[i if step > 0 else i - 1] in _DIGITS:
            i += step
        yield (first, i) if step > 0 else (i, first)
