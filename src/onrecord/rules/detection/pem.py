# SPDX-License-Identifier: Apache-2.0
"""Where a private key ends that begins with `-----BEGIN … PRIVATE KEY-----`.

A rule finds the beginning; the end may lie far behind, be written with `\\n` on one line, stand in
pieces between quotes, or be cut off. Armour is described in RFC 7468, and for PGP in RFC 9580, 6.2.
"""

from base64 import b64decode

from onrecord.rules.detection.checks import Span

LONGEST = 65_536  # characters from the beginning of a key to the end of it
_LEAST = 4  # different characters in a key
_CUT = 16_384  # characters of a key without an end that are looked at
_BODY = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
_AROUND = " \t\r\n\"'`+,;|>#*()\\"  # what may stand around a line of a key: quotes, comment signs, escapes


def block(text: str, start: int, end: int) -> Span | None:
    """Return the whole key that begins with the marker `text[start:end]`; None where nothing stands in it."""
    mark = text.find("-----", end, end + LONGEST)
    if mark >= 0 and text.startswith(("-----END", "----- END"), mark):
        if len(_BODY.intersection(text[end:mark].replace("\\n", ""))) < _LEAST:
            return None  # a program that looks for the marks
        stop = text.find("-----", mark + 8, mark + 80)
        return start, mark + 8 if stop < 0 else stop + 5
    mark = text.find("---- END", end, end + LONGEST) if text.startswith("---- ", start) else -1
    if mark >= 0:
        stop = text.find("----", mark + 8, mark + 80)
        return start, mark + 8 if stop < 0 else stop + 4
    return start, _cut_off(text, end)


def _cut_off(text: str, end: int) -> int:
    """Return where the lines end that look like a key, from `end` on."""
    limit = min(len(text), end + _CUT)
    at = last = end
    while at < limit:
        stop, width = _line_end(text, at, limit)
        line = text[at:stop].strip(_AROUND)
        if line and not _is_body(line):
            word = line.replace("\t", " ").partition(" ")[0].rstrip(",.;")
            return at + text[at:stop].index(word) + len(word) if len(word) > 7 and _is_body(word) else last
        if line:
            last = stop - (len(text[at:stop]) - len(text[at:stop].rstrip(_AROUND)))
        at = stop + width
    return last


def _line_end(text: str, at: int, limit: int) -> tuple[int, int]:
    """Return where the line ends that begins at `at`, and how many characters end it: a line feed, or `\\n`."""
    feed = text.find("\n", at, limit)
    stop = limit if feed < 0 else feed
    escape = text.find("\\n", at, stop)
    return (stop, 1) if escape < 0 else (escape, 2)


def _is_body(line: str) -> bool:
    name, sign, _ = line.partition(": ")
    if sign:
        return name.replace("-", "").isalpha()  # Proc-Type: 4,ENCRYPTED
    return _BODY.issuperset(line)


def encoded(text: str, start: int, end: int) -> Span | None:
    """Keep base64 of a private key's armour; that of certificates and public keys begins alike."""
    head = text[start : start + 80]
    try:
        plain = b64decode(head[: len(head) // 4 * 4], validate=False)
    except ValueError:  # cut off, or written in another form again
        plain = b"PRIVATE"
    return (start, end) if b"PRIVATE" in plain else None
