# SPDX-License-Identifier: Apache-2.0
"""Reads runs that stand for text as a whole: base64, base32, hexadecimal, lists of character codes, compressed data.

Most runs of this kind in ordinary text are hashes, identifiers and images. So a run is looked for
by what only encoded text has: of twelve bytes in a row each is printable ASCII, which in base64 and
in hexadecimal shows in the characters themselves. One run of random bytes in 40,000 passes. What
passes is decoded, and kept if it reads as text.
"""

import zlib
from base64 import a85decode, b32decode, b64decode
from binascii import Error as BinasciiError
from binascii import a2b_uu
from collections.abc import Iterator

from onrecord.rules.detection.decoding import Edits, TooMany
from onrecord.rules.pattern import Pattern

_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_BASE32 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567abcdefghijklmnopqrstuvwxyz"
_HEX = b"0123456789abcdefABCDEF"
_PRINTABLE = bytes((9, 10, 13, 27, *range(32, 127)))
_STANDARD = bytes.maketrans(b"-_", b"+/")
TEXT = 0.75  # least share of printable bytes in a text
_STEP = 4_096

# Three bytes of printable ASCII are four characters of base64: the high bits of each byte decide which.
TEXT_64 = r"(?:[I-Za-f][C-HS-Xi-nyz0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_-]){4,}"
# The same in UTF-16, where every other byte is zero: six bytes in eight characters.
WIDE_64 = r"(?:[I-Za-f][AQgw][AB][A-Za-z0-9+/_-]A[C-H][AEIMQUYcgkosw048]A){2,}"
# What gzip and zlib begin with.
PACKED_64 = r"(?:\A|[^A-Za-z0-9+/_-])(H4sI[A-Za-z0-9+/_-]{16,}|e(?:J[w-z]|N[o-r]|AE|F[4-7])[A-Za-z0-9+/_-]{16,})"
PACKED_16 = r"(?i)(?:\A|[^0-9a-z])(1f8b0800[0-9a-f]{24,}|78(?:01|5e|9c|da)[0-9a-f]{28,})"
# Five bytes are eight characters of base32.
TEXT_32 = (
    r"(?:(?:[E-P][ABEFIJMNQRUVYZ45][A-Z2-7][C-HS-X][ACEGIKMOQSUWY246][A-Z2-7][BCDJKLRSTZ23][A-Z2-7]){2,}"
    r"|(?:[e-p][abefijmnqruvyz45][a-z2-7][c-hs-x][acegikmoqsuwy246][a-z2-7][bcdjklrstz23][a-z2-7]){2,})"
)
_BREAK = Pattern(r"(?:\\?\r?\n|\\r\\n|\\n)[ \t]{0,40}(?:[>#*|+-] ?|// ?)?")


def base64(data: bytes, edits: Edits) -> None:
    """Read base64 of text: either alphabet, padded or not, in lines or not."""
    _base64(data, _TEXT_64.spans(data), edits)


def wide(data: bytes, edits: Edits) -> None:
    """Read base64 of UTF-16."""
    _base64(data, _WIDE_64.spans(data), edits)


def packed(data: bytes, edits: Edits) -> None:
    """Read base64 of what gzip or zlib compressed."""
    _base64(data, _PACKED_64.spans(data, 1), edits)


def _base64(data: bytes, matches: Iterator[tuple[int, int]], edits: Edits) -> None:
    done = 0
    for match, _ in matches:
        if match < done:
            continue
        start = _left(data, match, _BASE64)
        done, run = _lines(data, start, match)
        body = run[(match - start) % 4 :].translate(_STANDARD)
        body = body[: len(body) - (len(body) % 4 == 1)]
        text = text_of(b64decode(body + b"=" * (-len(body) % 4)), edits)
        if text:
            edits.add(start, done, text)


def _left(data: bytes, at: int, alphabet: bytes) -> int:
    """Return where the run of characters from `alphabet` begins that goes on at `at`."""
    while at > 0:
        piece = data[max(0, at - _STEP) : at]
        kept = len(piece) - len(piece.rstrip(alphabet))
        at -= kept
        if kept < len(piece):
            break
    return at


def _right(data: bytes, at: int, alphabet: bytes) -> int:
    while at < len(data):
        piece = data[at : at + _STEP]
        kept = len(piece) - len(piece.lstrip(alphabet))
        at += kept
        if kept < len(piece):
            break
    return at


def _lines(data: bytes, start: int, at: int) -> tuple[int, bytes]:
    """Return where a run ends that begins at `start` and may go on in the lines that follow, and its characters."""
    end = _right(data, at, _BASE64)
    parts = [data[start:end]]
    width = end - start
    while width >= 16 and end - start >= 16 and data[end : end + 1] in (b"\n", b"\r", b"\\"):
        line = _BREAK.first(data, end, end + 64)
        if line is None or line[0] != end:
            break
        stop = _right(data, line[1], _BASE64)
        size = stop - line[1]
        closed = data[stop : stop + 1] in (b"", b"\n", b"\r", b"=", b"\\", b'"', b"'", b"<", b"`")
        if not size or not closed or (size > width + 2 and len(parts) > 1):
            break
        parts.append(data[line[1] : stop])
        end, width = stop, max(width, size)
        if size < width - 2:
            break
    while data[end : end + 1] == b"=":
        end += 1
    if data[end : end + 3].upper() == b"%3D":
        end += 6 if data[end + 3 : end + 6].upper() == b"%3D" else 3
    return end, b"".join(parts)


def text_of(raw: bytes, edits: Edits) -> str:
    """Return the text that `raw` holds, unpacked where it is compressed; "" where it holds none."""
    if raw[:3] == b"\x1f\x8b\x08" or (raw[:1] == b"\x78" and raw[1:2] in b"\x01\x5e\x9c\xda"):
        raw = _unpacked(raw, edits) or raw  # `x^` may begin a text too
    if not raw:
        return ""
    zeros = raw.count(0)
    if zeros * 3 > len(raw):
        big = raw[:2] == b"\xfe\xff" or (raw[:2] != b"\xff\xfe" and raw[::2].count(0) > raw[1::2].count(0))
        text = raw[: len(raw) & ~1].decode("utf-16-be" if big else "utf-16-le", "replace").lstrip("\ufeff")
        return text if _reads(text.encode("ascii", "replace")) else ""
    if not _reads(raw[:512]) or not _reads(raw):
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            return ""
        return text if _reads(text.encode("ascii", "replace")) else ""
    return raw.decode("utf-8", "replace")


def _reads(raw: bytes) -> bool:
    return len(raw.translate(None, _PRINTABLE)) <= (1 - TEXT) * len(raw)


def _unpacked(raw: bytes, edits: Edits) -> bytes:
    """Return what was compressed, at most what `edits` has room for. Raises TooMany where a text is longer."""
    unpacker = zlib.decompressobj(47)  # gzip or zlib, whichever it is
    try:
        head = unpacker.decompress(raw, 1_024)
        if not _reads(head[:512]) and not head.count(0) * 3 > len(head):
            return b""
        rest = unpacker.decompress(unpacker.unconsumed_tail, edits.inflated) if unpacker.unconsumed_tail else b""
    except zlib.error:
        return b""
    edits.inflated -= len(rest)
    if unpacker.unconsumed_tail or edits.inflated < 1:  # for zlib, a limit of 0 is none
        raise TooMany
    return head + rest


def base32(data: bytes, edits: Edits) -> None:
    """Read base32, in capitals or small letters. RFC 4648."""
    done = 0
    for match, _ in _TEXT_32.spans(data):
        if match < done:
            continue
        start, done = _left(data, match, _BASE32), _right(data, match, _BASE32)
        body = data[start + (match - start) % 8 : done]
        body = body[: len(body) - (len(body) % 8 in (1, 3, 6))]
        try:
            text = text_of(b32decode(body + b"=" * (-len(body) % 8), casefold=True), edits)
        except BinasciiError:
            continue
        while data[done : done + 1] == b"=":
            done += 1
        if text:
            edits.add(start, done, text)


# character codes

_BETWEEN = (
    r"""(?:[ \t,;:|.+&-]{1,4}|,?\\?\r?\n[ \t]{0,40}|["'][ \t]{0,4},[ \t]{0,4}["']"""
    r"|\)[ \t\r\n]{0,8}[.+&|,~]{1,2}[ \t\r\n]{0,8}(?i:chrw?|chrb|n?char|rune|cast)\("
    r"|[ \t]?[+,][ \t\r\n]{0,8}(?i:\[char\]|\(byte\)) ?)"
)
_CODE_10 = r"(?:3[2-9]|[4-9][0-9]|1[01][0-9]|12[0-6]|10|13|9)"
_CODE_8 = r"\\?0?(?:0[4-7][0-7]|1[0-7][0-7]|01[125])"
_CODE_16 = r"(?:0[xX]|\\x|\\\\x|[x$#]|U\+00)?(?:[2-7][0-9a-fA-F]|0[9aAdD])"
CODES_10 = rf"(?:\A|[^0-9.])({_CODE_10}(?:{_BETWEEN}{_CODE_10}){{7,}})"
_RUN_8 = rf"(?:\A|[^0-9.])({_CODE_8}(?:(?:{_BETWEEN}|\r?\n[0-7]{{7}}[ \t]{{1,4}}){_CODE_8}){{7,}})"
CODES_8 = r"(?:\\?0?(?:0[4-7][0-7]|1[0-7][0-7]|01[125])[^0-9A-Za-z]{1,4}){6}"
CODES_16 = rf"{_CODE_16}(?:(?:{_BETWEEN})?{_CODE_16}){{7,}}"
CODES_2 = r"(?:0[01]{7}[ ,.\r\n-]{0,2}){8,}"
_NUMBERS_10 = bytes(byte if byte in b"0123456789" else 32 for byte in range(256))
_NUMBERS_8 = bytes(byte if byte in b"01234567" else 32 for byte in range(256))
_NO_HEX = bytes(byte for byte in range(256) if byte not in _HEX)
_CALL = Pattern(
    r"""(?i)(?:\{[ \t]{0,2}"type": ?"buffer", ?"data": ?\[[ \t\r\n]{0,20}|(?:new )?"""
    r"(?:\b(?:string\.)?(?:chr[wb]?|n?char|rune|cast|fromcharcode|fromcodepoint|bytes|bytearray|uint8array|buffer|from"
    r"|\[\]byte|\[\]rune|byte\[\])[ \t]?(?:\.from)?)?[\[({][\[({ \t\r\n]{0,12}|\[char\])(?:\(byte\) ?)?(?:0x|\\x)?\z"
)
_CLOSE = Pattern(r"[ \t\r\n,;]{0,12}[)\]}]{1,3}")
_LEADS = Pattern(r"[xXU(\[]")
_PAIR = Pattern(r"(?:[2-7][0-9a-fA-F]|0[9aAdD])")


def decimals(data: bytes, edits: Edits) -> None:
    """Read `65, 75, 73`, `chr(65).chr(75)` and the like."""
    for start, end in _CODES_10.spans(data, 1):
        codes = map(int, data[start:end].translate(_NUMBERS_10).split())
        edits.add(*_called(data, start, end), bytes(codes).decode())  # none is past 126


def _called(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Return where a list of codes begins and ends with the brackets around it and what makes a text of it.

    So a name in front of `bytes([104, 117])` and `String.fromCharCode(104, 117)` is one in front of the text.
    """
    before = data[max(0, start - 64) : start]
    lead = _CALL.first(before, 0, len(before))
    if lead is None:
        return start, end
    close = _CLOSE.here(data, end, end + 24)
    return start - len(before) + lead[0], close[1] if close else end


def octals(data: bytes, edits: Edits) -> None:
    """Read `101 113 111`, as `od -b` prints it."""
    for start, end in _CODES_8.spans(data, 1):
        codes = [int(word, 8) for word in data[start:end].translate(_NUMBERS_8).split() if len(word) < 5]
        edits.add(start, end, bytes(code for code in codes if code < 128).decode())


def hexadecimals(data: bytes, edits: Edits) -> None:
    """Read `414b4941`, `41:4b:49`, `0x41, 0x4b` and the like."""
    left = right = 0  # of the last run without anything between its digits, which is judged once
    read = False
    for start, end in _CODES_16.spans(data):
        if start >= right:
            left, right = _left(data, start, _HEX), _right(data, end if _one_run(data, start, end) else start, _HEX)
            read = right >= end and _read_run(data, left, right, edits)
        alone = end - start >= 16 and right >= end
        if alone and (read or right - left - (end - start) > (end - start) // 2):
            continue
        edits.add(*_called(data, start, end), _pairs(data[start:end]).decode("ascii"))


def _pairs(piece: bytes) -> bytes:
    """Return what pairs of digits with something between them stand for."""
    if _LEADS.occurs(piece):  # 0x41, \\x41, U+0041, chr(0x41)
        return bytes(int(piece[a:b], 16) for a, b in _PAIR.spans(piece))
    return bytes.fromhex(piece.translate(None, _NO_HEX).decode())


def _one_run(data: bytes, start: int, end: int) -> bool:
    return not data[start:end].strip(_HEX)


def _read_run(data: bytes, left: int, right: int, edits: Edits) -> bool:
    """Read `data[left:right]`, hexadecimal digits without anything between them; return whether that is text."""
    run = data[left:right]
    text = text_of(bytes.fromhex(run[: len(run) & ~1].decode()), edits) if len(run) >= 16 else ""
    if text:
        edits.add(left, right, text)
    return bool(text)


def packed_hexadecimals(data: bytes, edits: Edits) -> None:
    """Read hexadecimal of what gzip or zlib compressed."""
    for start, end in _PACKED_16.spans(data, 1):
        run = data[start:end]
        text = text_of(bytes.fromhex(run[: len(run) & ~1].decode()), edits)
        if text:
            edits.add(start, end, text)


def binaries(data: bytes, edits: Edits) -> None:
    """Read `01000001 01001011`."""
    for start, end in _CODES_2.spans(data):
        digits = data[start:end].translate(None, b" ,.\r\n-")
        edits.add(start, end, int(digits, 2).to_bytes(len(digits) // 8, "big").decode("ascii"))


# what stands in armour

UUENCODED = r"(?m)^begin [0-7]{3,4} [^\r\n]{1,200}\r?\n((?:[#-`][ -`]{4,64}\r?\n)+)(?:[ `]?\r?\n)?(?:end)?"
ASCII_85 = r"<~([!-uz\s]{10,})~>"


def uuencoded(data: bytes, edits: Edits) -> None:
    """Read what uuencode writes."""
    for start, end in _UUENCODED.spans(data, 1):
        try:
            raw = b"".join(a2b_uu(line) for line in data[start:end].splitlines())
        except BinasciiError:
            continue
        text = text_of(raw, edits)
        if text:
            edits.add(start, end, text)


def ascii85(data: bytes, edits: Edits) -> None:
    """Read Ascii85 between `<~` and `~>`."""
    for start, end in _ASCII_85.spans(data, 1):
        try:
            text = text_of(a85decode(data[start:end]), edits)
        except ValueError:
            continue
        if text:
            edits.add(start, end, text)


_TEXT_64, _WIDE_64, _PACKED_64 = Pattern(TEXT_64), Pattern(WIDE_64), Pattern(PACKED_64)
_TEXT_32, _PACKED_16 = Pattern(TEXT_32), Pattern(PACKED_16)
_CODES_10, _CODES_8, _CODES_16, _CODES_2 = Pattern(CODES_10), Pattern(_RUN_8), Pattern(CODES_16), Pattern(CODES_2)
_UUENCODED, _ASCII_85 = Pattern(UUENCODED), Pattern(ASCII_85)
