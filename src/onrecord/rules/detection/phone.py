# SPDX-License-Identifier: Apache-2.0
"""Phone numbers: after a plus by country and length, without one by how they are written, or announced by a word.

The lengths per country are facts from the metadata of libphonenumber (Apache-2.0, see NOTICE). Numbers
of the same shape that are something else (dates, versions, addresses, amounts) are left.
"""

from collections.abc import Mapping

from onrecord.rules.detection.digits import calendar
from onrecord.rules.detection.figures import numbered, outnumbered
from onrecord.rules.detection.finding import Span
from onrecord.rules.detection.online import is_address
from onrecord.rules.pattern import Pattern

# Country calling codes of ITU-T E.164, each with the least and the most digits that may follow.
_LENGTHS = """
1:10 7:10 20:8-10 27:5-10 30:10-12 31:5-11 32:8-9 33:9 34:9 36:8-9 39:6-12 40:6-9 41:9-12 43:4-13 44:7-10 45:8
46:6-12 47:5-8 48:6-10 49:4-15 51:8-9 52:10 53:6-10 54:10-11 55:8-11 56:9-11 57:8-11 58:10 60:8-10 61:5-12 62:7-17
63:6-13 64:5-10 65:8-11 66:8-13 81:8-17 82:5-14 84:7-10 86:7-12 90:7-13 91:8-13 92:8-12 93:9 94:9 95:6-10 98:4-10
211:9 212:9 213:8-9 216:8 218:9 220:7-9 221:9 222:8 223:8 224:8-9 225:10 226:8 227:8 228:8 229:10 230:7-10 231:7-9
232:8 233:8-9 234:10-14 235:8 236:8 237:8-9 238:7 239:7 240:9 241:7-8 242:9 243:7-10 244:9 245:7-9 246:7 247:5-6
248:7 249:9 250:8-9 251:9 252:6-9 253:8 254:7-10 255:9 256:9 257:8 258:8-9 260:9 261:9 262:9 263:7-10 264:8-9
265:7-9 266:8 267:7-10 268:8-9 269:7 290:4-5 291:7 297:7 298:6 299:6 350:8 351:9 352:4-11 353:7-10 354:7-9 355:6-9
356:8 357:8 358:5-12 359:6-12 370:8 371:8 372:7-10 373:8 374:8 375:6-11 376:6-9 377:8-9 378:8-10 380:9-10 381:6-12
382:8-9 383:8-12 385:7-9 386:5-8 387:8-9 389:8 420:9-12 421:6-9 423:7-9 500:5 501:7-11 502:8-11 503:7-11 504:8-11
505:8 506:8-10 507:7-11 508:6-9 509:8 590:9 591:8-9 592:7 593:8-11 594:9 595:6-11 596:9 597:6-7 598:4-13 599:7-8
670:7-8 672:6 673:7 674:7 675:7-8 676:5-7 677:5-7 678:5-7 679:7-11 680:7 681:6-9 682:5 683:4-7 685:5-10 686:5-8
687:6 688:5-7 689:6-9 690:4-7 691:7 692:7 800:8 808:8 850:8-10 852:5-11 853:7-8 855:8-10 856:8-10 870:9-12 878:12
880:6-10 881:9-10 882:7-12 883:8-12 886:7-11 888:11 960:7-10 961:7-8 962:8-9 963:8-9 964:8-10 965:7-8 966:9-10
967:7-9 968:7-9 970:8-10 971:5-12 972:7-12 973:8 974:7-11 975:7-8 976:8-10 977:8-11 979:9 992:9 993:8 994:9 995:9
996:9-10 998:9
"""
_MOST = 15  # digits of a number with its country, ITU-T E.164
_ROWS = ("0123456789", "0987654321", "01234567890")  # an alphabet, not a number
_TO_BLANKS = str.maketrans(dict.fromkeys(" +.-/()\u00a0\t\n", " "))
_DROPPED = str.maketrans(dict.fromkeys(" +.-/()\u00a0\t\n"))
_BARE = Pattern(r"\A(?:0[467]\d{8}|0[789]\d{9}|01[567]\d{8,9}|010\d{8})\z")  # as in personal.toml
_HEX = "0123456789abcdefABCDEF"
_MOST_OTHERS = 0.4  # of the numbers in a list of phone numbers that may be none
_EXTENSIONS = ("extension", "ext.", "ext", "x.", "x", "#")


def _lengths() -> dict[str, tuple[int, int]]:
    table: dict[str, tuple[int, int]] = {}
    for entry in _LENGTHS.split():
        code, _, span = entry.partition(":")
        least, _, most = span.partition("-")
        table[code] = int(least), int(most or least)
    return table


_LENGTH: Mapping[str, tuple[int, int]] = _lengths()


def international(text: str, start: int, end: int) -> Span | None:
    """Keep a number after `+` or `00` that has as many digits as those of its country."""
    before = text[start - 1 : start]
    if before.isalnum() or before in ("+", ".", "_"):
        return None
    plus = text[start] == "+"
    if plus and _is_position(text[start:end]):
        return None
    if not plus and (text[start:end].isdigit() or _groups(text[start:end])[0][2:] not in ("", *_LENGTH)):
        return None  # 0012345678 may as well be a padded number
    stop = end
    while stop > start:
        digits = text[start:stop].replace("(0)", "").translate(_DROPPED)
        if _fits(digits[0 if plus else 2 :], trunk=plus) and _ends(text, stop):
            return start, _extended(text, stop)
        stop = _last_group(text, start, stop)
    return None


def _is_position(written: str) -> bool:
    """Say whether `written` is a latitude north and a longitude west in degrees and minutes. ISO 6709: +4734-05243."""
    parts = written[1:].split("-")
    if [len(part) for part in parts] not in ([4, 5], [6, 7]) or not "".join(parts).isdigit():
        return False
    return parts[0][:2] <= "90" and parts[1][:3] <= "180" and max(parts[0][2:4], parts[1][3:5]) < "60"


def _fits(digits: str, *, trunk: bool) -> bool:
    """Say whether `digits` are those of a country; with `trunk`, a 0 may follow its code."""
    for size in (3, 2, 1):
        bounds = _LENGTH.get(digits[:size])
        if bounds is not None:
            return (
                (trunk or digits[size : size + 1] != "0")
                and bounds[0] <= len(digits) - size <= bounds[1]
                and 7 <= len(digits) <= _MOST
            )
    return False


def _last_group(text: str, start: int, stop: int) -> int:
    """Return where the last group of digits before `stop` is left out."""
    at = stop
    while at > start and text[at - 1].isdigit():
        at -= 1
    while at > start and not text[at - 1].isdigit():
        at -= 1
    return at


def _ends(text: str, stop: int) -> bool:
    """Say whether the number ends at `stop`: no word, no decimal, no time goes on there."""
    after = text[stop : stop + 2]
    if after[:1] in (".", ":", "-", "/", ",") and after[1:].isdigit():
        return False
    return not (after[:1].isalnum() or after[:1] == "_") or after[:1] in "xX" or text[stop : stop + 3].lower() == "ext"


def _extended(text: str, stop: int) -> int:
    """Return where the number ends with the extension that follows it, if one does."""
    at = stop
    while text[at : at + 1] in (" ", ",") and at - stop < 2:
        at += 1
    rest = text[at : at + 10].lower()
    for word in _EXTENSIONS:
        if rest.startswith(word):
            at += len(word)
            at += text[at : at + 1] in (" ", ":")
            end = at
            while end < len(text) and end - at < 7 and text[end].isdigit():
                end += 1
            return end if 1 <= end - at <= 6 else stop
    return stop


def _groups(written: str) -> list[str]:
    return written.translate(_TO_BLANKS).split()


def _something_else(text: str, start: int, stop: int, groups: list[str]) -> bool:
    """Say whether the digits are a date, a time, an IP address, or go on before or after."""
    before = text[max(0, start - 2) : start]
    if (before[-1:].isascii() and before[-1:].isalnum()) or before[-1:] in ("_", "$", "€", "£", "#", "=", "+"):
        return before[-1:] != "="
    if before[-1:] in (".", "-", "/", ":", ",") and before[:1].isdigit():
        return True
    if len(groups) >= 3:
        sizes = [len(group) for group in groups[:3]]
        if sizes == [4, 2, 2] and groups[0][:2] in ("19", "20") and calendar(0, int(groups[1]), int(groups[2])):
            return True
        if sizes == [2, 2, 4] and groups[2][:2] in ("19", "20") and min(int(groups[0]), int(groups[1])) <= 12:
            return True
    return not _ends(text, stop) or is_address(text[start:stop])


def national(text: str, start: int, end: int) -> Span | None:
    """Keep a number that is written as one country or another writes them, and stands among none of other kinds."""
    span = _national(text, start, end)
    if span is None or numbered(text, start, person=not text[start:end].isdigit()) or _in_dump(text, start, end):
        return None
    return None if outnumbered(text, start, end, _is_national, most=_MOST_OTHERS) else span


def _is_national(text: str, start: int, end: int) -> bool:
    written = text[start:end]
    if written.isdigit():
        return _BARE.fits(written.encode())
    return _national(text, start, end) is not None


def _in_dump(text: str, start: int, end: int) -> bool:
    """Say whether groups stand in a row of bytes in hexadecimal."""
    return any(
        len(token) == 2 and token.isascii() and token.isalnum() and not token.isdigit() and not token.strip(_HEX)
        for token in (*text[max(0, start - 4) : start].split()[-1:], *text[end : end + 4].split()[:1])
        if " " in text[start:end]
    )


def _national(text: str, start: int, end: int) -> Span | None:
    written = text[start:end]
    groups = _groups(written)
    digits = "".join(groups)
    if _something_else(text, start, end, groups) or len(set(digits)) < 3 or digits in _ROWS or _isbn(text, start):
        return None
    before = text[max(0, start - 2) : start]
    if written.count(".") == len(groups) - 1 == 1:
        return None  # a decimal
    if digits[0] == "0" and written[0] != "(" and before[-1:] == " " and before[:1].isdigit():
        return None  # groups of a longer number
    short = written[0] == "(" or _swedish(written, groups) or (len(groups) > 3 and "-" not in written)
    if not (9 if digits[0] == "0" and short else 10) <= len(digits) <= 11 + (digits[0] == "1"):
        return None
    if (
        digits[0] not in "01"
        and [len(group) for group in groups] == [3, 3, 4]
        and written[0] != "("
        and digits[3] in "01"
    ):
        return None  # no exchange of North America begins so
    if written[3:4] == "." and written[7:8] == "-":
        return None  # a clause of a regulation: 252.227-7013
    if len(groups) > 2 and all(len(group) == 4 and group[:2] in ("19", "20") for group in groups[-2:]):
        return None  # 12 2024-2025
    return start, _extended(text, end)


def _swedish(written: str, groups: list[str]) -> bool:
    """Say whether groups are set off as in 08-806 23 93: a hyphen after the area, two digits at the end."""
    return len(groups) > 2 and written[len(groups[0])] == "-" and written.count("-") == 1 and len(groups[-1]) == 2


def _isbn(text: str, start: int) -> bool:
    return "isbn" in text[max(0, start - 16) : start].lower()


def announced(text: str, start: int, end: int) -> Span | None:
    """Keep what may be a number, where a word says that it is one."""
    groups = _groups(text[start:end])
    size = sum(map(len, groups))
    if len(set("".join(groups))) < 3:
        return None
    if len(groups) > 1 and text[start:end].count(".") == len(groups) - 1 == 1:
        return None  # a decimal
    if all(len(group) == 4 and group[:2] in ("19", "20") for group in groups):
        return None  # years
    if not 6 <= size <= _MOST or _something_else(text, start, end, groups):
        return None
    if len(groups) == 1 and (size < 7 or text[end : end + 1] == "."):
        return (start, end) if size >= 7 and not text[end + 1 : end + 2].isdigit() else None
    return start, _extended(text, end)


def mentioned(text: str, start: int, end: int) -> Span | None:
    """Keep what is grouped as a number, where a word says that somebody is to be reached."""
    groups = _groups(text[start:end])
    if (
        len(set("".join(groups))) < 3
        or not 8 <= sum(map(len, groups)) <= 12
        or _something_else(text, start, end, groups)
        or _in_dump(text, start, end)
        or all(len(group) == 4 and group[0] == "0" for group in groups)  # weights of Unicode collation
    ):
        return None
    return start, _extended(text, end)
