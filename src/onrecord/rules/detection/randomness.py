# SPDX-License-Identifier: Apache-2.0
"""Finds values that look drawn at random, near a word that announces a key: `Using Key=Aa0DLvVt…`.

Most services are unknown to the rules, and many write a key where no exact name stands before it: in
a log line, in a sentence, under a bare `key:`. What gives such a value away is that no person would
have written it, and what stands to its left. Random values that are no secrets (digests, ids,
cursors, revisions) are more frequent than keys, so the nearest word decides. Where no
word announces a key, only what stands right after a sign counts (`acme = 'Zk3v…'`), must be more
plainly random, and no digest, id or encoded picture.
"""

from collections.abc import Iterator

from onrecord.rules import names
from onrecord.rules.detection.finding import Span
from onrecord.rules.detection.handles import is_handle, of_request
from onrecord.rules.detection.likeness import worded
from onrecord.rules.detection.services import SERVICES
from onrecord.rules.pattern import Pattern, utf8
from onrecord.rules.words import listed, words

LEFT = 64  # characters before a value in which it may be announced
SHORTEST = 16  # characters of a value
SHORTEST_HEX = 20  # the same where it is hexadecimal
LONGEST = 512

# Words that announce a key, and the label that they give: in the name of the value, or in a sentence.
ANNOUNCES = {
    "key": "api-key",
    "keys": "api-key",
    "apikey": "api-key",
    "token": "token",
    "tokens": "token",
    "tok": "token",
    "secret": "secret",
    "secrets": "secret",
    "credential": "credential",
    "credentials": "credential",
    "creds": "credential",
    "password": "password",
    "passwd": "password",
    "pwd": "password",
}
# The same, in the name only.
NAMES = {
    **ANNOUNCES,
    "auth": "token",
    "authorization": "token",
    "authtoken": "token",
    "accesskey": "api-key",
    "accesstoken": "token",
    "access": "token",
    "private": "secret",
    "pat": "token",
    "webhook": "secret",
    "license": "api-key",
    "jwt": "token",
}
SERVICE = "service-token"
LABELS = frozenset((*NAMES.values(), SERVICE))
# Words that say that a random value is none, or no secret one.
DENIES = listed("""
    hash hashes sha md crc checksum chksum digest fingerprint thumbprint integrity commit rev revision h v
    id ids uuid guid oid etag nonce cursor page continuation next prev trace span request correlation event version
    public pub verification verify cert certificate x509 ref reference blob tree parent index chunk file filename path
    url uri href src image cache primary foreign sort partition row column table object storage bucket idempotency
    react component css class label metric tokenizer eos bos pad unk vocab encrypted ciphertext signature sig mod
    code state marker kid gpg pgp bh pk progress identifier identifiers resource
""")
_SPOKEN_OF = ("error", "errors", "exception")  # KeyError: '9f86…'
_SAYS = listed("is was are be now set to ist lautet est es è é")  # verbs before a value in a sentence
UNANNOUNCED = 3.2  # characters of an average run of digits, of capitals or of small letters in what looks drawn
ANNOUNCED = 4.0  # the same where a word announces a key
FARTHEST = 5  # words between an announcing word and its value
NEAREST = 1  # the same, of one in hexadecimal that no sign and no verb announces
_WORDS = (
    "(?:key|tok|token|secret|auth|authorization|access|cred|credential|passwd|password|pwd|private|webhook|license|jwt)s?"
    "|[^a-z]pat"
)
_ANNOUNCER = Pattern(f"(?i:(?:{_WORDS})[^a-z])")
# Where one of the words stands near the beginning of a value with a digit in it.
NEAR = rf"(?i:{_WORDS})[^a-zA-Z][\x01-\x09\x0b-\x7f]{{0,64}}[0-9][A-Za-z0-9_~+/.-]{{8}}"
_VALUE = Pattern(r"[^A-Za-z0-9_~+/.-]([A-Za-z0-9_~+/-][A-Za-z0-9_~+/.-]{15,}={0,2})")
_DIRECT = Pattern(r"[._-]([A-Za-z0-9][A-Za-z0-9_~+/.-]{15,}={0,2})")  # PRIVATE.9f86…
# A value after a sign, whatever its name.
_AFTER_SIGN = (
    r"""(?:=>|[=:])[ \t]{0,3}["'`]?([A-Za-z0-9_~+-][A-Za-z0-9_~+/-]{19,}={0,2})(?:[^A-Za-z0-9_~+/.=:(\[-]|\z)"""
)
_ASSIGNED = Pattern(_AFTER_SIGN)
# What a gate looks for: there is a digit near the beginning of most, and a letter that is no hexadecimal digit.
ASSIGNED = (
    r"""(?:=>|[=:])[ \t]{0,3}["'`]?(?:[A-Za-z_~+-]{0,24}[g-zG-Z][A-Za-z_~+-]{0,24}[0-9][0-9_~+/-]{0,12}[A-Za-z]"""
    r"""|[a-fA-F_~+-]{0,24}[0-9][0-9a-fA-F_~+/-]{0,24}[g-zG-Z])[A-Za-z0-9_~+/-]{6}"""
)
# The same, of a hexadecimal one, which counts only where it is named after a service.
ASSIGNED_HEX = r"""(?:=>|[=:])[ \t]{0,3}["'`]?[0-9a-fA-F][0-9a-fA-F-]{19}"""
_LONGEST_ASSIGNED = 128
_ENCODED = ("iVBOR", "/9j/", "R0lGOD", "UklGR", "eyJ", "sha1-", "sha256-", "sha384-", "sha512-", "data")
_SHA1 = 40  # hexadecimal digits of a digest
_HEX = frozenset("0123456789abcdefABCDEF-")
_HEX_END = _HEX | {"."}
_DENIES_ASSIGNED = DENIES | listed("""
    data body content text description private protected image icon name title user build job task run node pod
    container session message msg thread channel account order invoice device model tag
    base binary bytes blob hex shape type rtype kind class transaction payment charge customer subscription product
    refund receipt intent
""")
_PRIVATE_PART = Pattern(r"""(?:\A|["' {,])d\\*["']?\s*:""")
_APART = frozenset("_~+/=.-")
_KINDS = bytes(48 if chr(b).isdigit() and b < 128 else 97 if chr(b).islower() and b < 128 else 65 for b in range(256))
_CHANGES = (b"0a", b"0A", b"a0", b"aA", b"A0")  # where one run ends and another begins: a capital begins a word


def values(data: bytes) -> Iterator[Span]:
    """Yield where in `data`, UTF-8, words stand that could be a value: after a word that could announce one."""
    seen = 0
    for _, after in _ANNOUNCER.spans(data):
        at = after - 1  # what ends the word may be what stands before the value
        if at < seen:
            continue
        stop = at + LEFT + LONGEST
        span = _DIRECT.here(data, at, stop, 1) or _VALUE.first(data, at, stop, 1)
        if span is None or span[0] > at + LEFT:
            continue
        yield span
        seen = span[1]


def assigned(data: bytes) -> Iterator[Span]:
    """Yield where in `data`, UTF-8, words stand after a sign that could be a value."""
    return _ASSIGNED.spans(data, 1)


def label_at(text: str, start: int, end: int) -> str:
    """Return what `text[start:end]` would be if it is a key, or ""."""
    value = text[start:end]
    if not SHORTEST <= len(value) <= LONGEST or not is_random(value, ANNOUNCED):
        return ""
    if "..." in value or (len(value) < SHORTEST_HEX and set(value) <= _HEX) or is_handle(text, start, end):
        return ""
    left = text[max(0, start - LEFT) : start]
    if _is_key_of(value, left):
        return ""
    # Digests and ids are what sentences speak of more often.
    return _announced(left, NEAREST if _HEX_END.issuperset(value) and not _said(left) else FARTHEST)


def _is_key_of(value: str, left: str) -> bool:
    """Say whether `left` ends with a name under which `value` is the key of a thing or of a request."""
    name = (_parts(left) or [""])[-1]
    return of_request(value, name) or (len(value) == _SHA1 and _HEX.issuperset(value) and words(name) == ["key"])


def _said(left: str) -> bool:
    """Say whether `left` ends with a sign or a verb, so that what follows is a value."""
    left = left.rstrip(" \t\"'`([{<>*\\")
    return left.endswith((":", "=", "：")) or left[left.rfind(" ") + 1 :].lower() in _SAYS


def _announced(left: str, farthest: int = FARTHEST) -> str:
    """Return the label that the end of `left` gives to what follows it."""
    written = _parts(left)[-farthest - 2 :]
    parts = [words(part) for part in written]
    for i in range(len(parts) - 1, max(-1, len(parts) - farthest - 2), -1):
        if not DENIES.isdisjoint(parts[i]) or (parts[i] and parts[i][-1] in _SPOKEN_OF and len(parts[i]) > 1):
            return ""
        announcing = NAMES if i == len(parts) - 1 else ANNOUNCES
        label = next((announcing[word] for word in reversed(parts[i]) if word in announcing), "")
        if not label and i == len(parts) - 1 and not SERVICES.isdisjoint(parts[i]):
            label = SERVICE
        if label:
            denied = i > 0 and written[i - 1][-1].isalnum()  # "idempotency key"
            denied = denied and any(len(word) > 1 and word in DENIES for word in parts[i - 1])
            return "" if denied or _is_about(written[i]) else label
    return ""


def _is_about(part: str) -> bool:
    """Say whether the last name in `part` speaks about a key: `key_name`, `progressToken`."""
    name = words(part[max(map(part.rfind, "\"',{=")) + 1 :])
    return len(name) > 1 and (name[-1] in names.ABOUT or not names.OF_TEXT.isdisjoint(name))


def _parts(left: str) -> list[str]:
    """Return what stands between blanks in the last line of `left`; of a query, each last name."""
    begun = max(left.rfind("\n") + 1, left.rfind("\\n") + 2 if "\\n" in left else 0)
    line = left[begun:].rstrip(" \t\"'`=:>({[,\\._-").replace('","', '" "')  # fields of JSON without blanks
    return [part[max(map(part.rfind, "?&;")) + 1 :] for part in line.split()]


def is_assigned(text: str, start: int, end: int) -> bool:
    """Say whether `text[start:end]`, which stands after a sign, is a key though nothing announces it."""
    value = text[start:end]
    if end - start > _LONGEST_ASSIGNED or value.startswith(_ENCODED) or ("/" in value and value[-1] != "="):
        return False
    if sum(map(str.isdigit, value)) < 2 or not is_random(value, shortest=20):
        return False
    left = text[max(0, start - LEFT) : start]
    if (set(value) <= _HEX and _announced(left) == "") or _is_key_of(value, left) or is_handle(text, start, end):
        return False
    before = [words(part) for part in _parts(left)[-2:]]
    if before and all(len(word) < 2 for word in before[-1]):
        return _in_private_key(text, start, end)  # the coordinates of a public key, the parts of a signature
    if before and before[-1] == ["value"] and _in_header(left):
        return False
    return DENIES.isdisjoint(word for part in before for word in part) and (
        not before or _DENIES_ASSIGNED.isdisjoint(before[-1])
    )


def _in_private_key(text: str, start: int, end: int) -> bool:
    """Say whether a JSON Web Key around `text[start:end]` has a private part. RFC 7517."""
    near = text[max(0, start - LONGEST) : end + LONGEST]
    return "kty" in near and _PRIVATE_PART.occurs(utf8(near))


def _in_header(left: str) -> bool:
    """Say whether `left` ends with the name of a message's own header, which announces nothing: `X-Received`."""
    at = left.rfind("X-")
    return at > 0 and not left[at - 1].isalnum() and names.label_of(left[at:].split("\n", maxsplit=1)[0]) == ""


def is_random(value: str, longest_run: float = UNANNOUNCED, shortest: int = 12) -> bool:
    """Say whether part of `value` looks drawn at random: letters of both cases and digits in turn, or long hex.

    `longest_run` is how many characters its runs of one kind may have on average, `shortest` how many the
    part must have.
    """
    if len(value) == 36 and set(value) <= _HEX and value[8] == value[13] == value[18] == value[23] == "-":
        return True  # a UUID
    start = 0
    for i, char in enumerate(value):
        if char in _APART:
            if i - start >= shortest and _is_drawn(value[start:i], longest_run):
                return True
            start = i + 1
    return len(value) - start >= shortest and _is_drawn(value[start:], longest_run)


def _is_drawn(chunk: str, longest_run: float) -> bool:
    """Say whether `chunk` falls into many short runs: digits, capitals, or small letters after one capital."""
    kinds = chunk.encode("ascii", "replace").translate(_KINDS)
    runs = 2 + sum(map(kinds.count, _CHANGES))
    return len(chunk) <= runs * (longest_run if b"0" in kinds else 2.2) and not worded(chunk)
