# SPDX-License-Identifier: Apache-2.0
"""Lines, one by one, but for those of a private key, which are told only together.

A key begins with its marker and goes on as long as lines look like its body: one word of base64 each,
all of one length but the last. Whatever else comes ends it, so that a stream never waits for long. In
front of each word may stand what a logger or a source file puts there. Armour is described in RFC
7468 and, for headers, in RFC 1421, 4.6 and RFC 9580, 6.2; PuTTY has a form of its own.
"""

import re
from collections.abc import Iterator

KEY_BYTES = 65_536  # of one key; of a longer one no detector sees the end

_BEGINS = re.compile(
    rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----"
)
_ENDS = re.compile(rb"-----END |---- END ")
_HEADER = re.compile(rb"(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset|MessageID|Subject|[Xx]-[A-Za-z-]+): ")
_LINES = re.compile(rb"Private-Lines: ([0-9]{1,4})\s*\Z", re.IGNORECASE)
_MAC = re.compile(rb"\s*Private-(?:MAC|Hash): ", re.IGNORECASE)

_BODY = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
_SEPARATORS = b" \t\"'`|>#*("  # that may stand before the word
_BEFORE = b" \t\"'`|>#*(+,"  # of source code and quoted mail; what else stands there was put there by a logger
_LEAST = 16  # characters of a first word that has something else before it


def passages(lines: Iterator[bytes | None]) -> Iterator[bytes | None]:
    """Yield each line; those of a private key together, as soon as it ends. None, a line too long, passes."""
    held: list[bytes] = []
    key: _Key | None = None
    for line in lines:
        if key is not None and line is not None and key.goes_on(line):
            held.append(line)
            if key.ended:
                yield b"".join(held)
                held, key = [], None
            continue
        if held:
            yield b"".join(held)
            held, key = [], None
        if line is not None and (key := _begun(line)):
            held.append(line)
        else:
            yield line
    if held:
        yield b"".join(held)


class _Key:
    """What is known of a key whose beginning was seen."""

    def __init__(self, size: int, *, lines: int | None) -> None:
        """`size` is that of its first line in bytes; `lines` are those of its body, where it says so."""
        self._size = size
        self._lines = lines
        self._width = 0  # of the first word of the body
        self._before = 0  # words of a logger before it
        self._last = False  # a shorter one was seen
        self.ended = False

    def goes_on(self, line: bytes) -> bool:
        """Say whether `line` is one of this key."""
        self._size += len(line)
        if self._size > KEY_BYTES:
            return False
        if self._lines is not None:
            return self._goes_on_for(line, self._lines)
        if _ENDS.search(line):
            self._width, self._last = 0, False
            self.ended = _begun(line) is None  # else the next key begins on this line
            return True
        bare = line.strip(_BEFORE + b"\r\n")
        return not bare or (not self._width and _HEADER.match(bare) is not None) or self._is_body(line)

    def _goes_on_for(self, line: bytes, lines: int) -> bool:
        self.ended = lines == 0
        self._lines = lines - 1
        return _MAC.match(line) is not None if self.ended else _BODY.issuperset(line.strip())

    def _is_body(self, line: bytes) -> bool:
        before, word = _last_word(line)
        if not word or not _BODY.issuperset(word) or self._last:
            return False
        if not self._width:
            self._width, self._before = len(word), len(before.split())
            return not before or len(word) >= _LEAST
        self._last = len(word) < self._width
        return len(word) <= self._width and self._before == len(before.split())


def words_of(passage: str) -> Iterator[tuple[int, int]]:
    """Yield where in the lines of a key, the first one aside, the words of its body stand."""
    at = passage.find("\n") + 1
    for line in passage[at:].split("\n"):
        data = line.encode("utf-8", "surrogateescape")
        _, word = _last_word(data)
        if word and _BODY.issuperset(word) and not _HEADER.match(data.strip(_BEFORE)):
            start = at + line.rfind(word.decode())
            yield start, start + len(word)
        at += len(line) + 1


def _begun(line: bytes) -> _Key | None:
    """Return the key that begins in `line` and doesn't end there."""
    begins: re.Match[bytes] | None = None
    if b"PRIVATE KEY" in line:
        for begins in _BEGINS.finditer(line):  # noqa: B007  # the last one counts
            pass
        return _Key(len(line), lines=None) if begins and not _ENDS.search(line, begins.end()) else None
    lines = _LINES.search(line[-32:]) if line[-32:].lower().find(b"private-lines") >= 0 else None
    return _Key(len(line), lines=int(lines[1])) if lines else None


def _last_word(line: bytes) -> tuple[bytes, bytes]:
    """Return what of a logger stands before the last word of `line`, and that word, freed from what quotes it."""
    text = line.rstrip(b" \t\r\n,;)\\")
    if text.endswith(b"+") and text[:-1].rstrip().endswith((b'"', b"'")):
        text = text[:-1].rstrip()  # "MIIE…\n" +
    text = text.rstrip(b"\"'`")
    while text.endswith((b"\\n", b"\\r")):
        text = text[:-2]
    start = max(text.rfind(bytes([sign])) for sign in _SEPARATORS) + 1
    return text[:start].strip(_BEFORE), text[start:]
