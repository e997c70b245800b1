# SPDX-License-Identifier: Apache-2.0
"""Whether what stands after a telling name is a secret rather than the name of one, a type, or prose.

What a bare word after a colon means is a guess. Prose and source code are full of `token: string`,
so a value without quotes counts only where it looks like no name that a programmer would give.
"""

from contextlib import suppress

from onrecord.rules import names
from onrecord.rules.detection import checks
from onrecord.rules.detection.likeness import drawn, is_path, named, odd, worded
from onrecord.rules.words import listed

HEADERS = frozenset({"authorization", "cookie"})  # labels of names whose value is a whole line
_READ = 256  # characters that are judged; a value that goes on is judged by its beginning
_MARKS = frozenset("!@#$%^&*?~")
_KEY_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_SCHEMES = listed(
    """
    bearer basic token digest negotiate apikey api-token oauth ntlm key hawk sharedkey sharedkeylite signature jwt dpop
    genie-key geniekey splunk sso-key ssws aws4-hmac-sha256 sharedaccesssignature googlelogin bot pre client-id
    """
)


def quoted(text: str, start: int, end: int, name: str, label: str) -> bool:
    """Say whether what stands between quotes is a secret of kind `label`."""
    value = _unescaped(text[start : min(end, start + _READ)])
    if label == "private-key" and value.startswith("-----"):
        return True
    if value[0] in "\n);,+ " and _goes_on(value):
        return False
    if checks.literal(text, start, end) is None or is_path(value) or _is_name(value, name):
        return False
    if label in HEADERS:
        return header(text, start, end)
    blanks = value.count(" ")
    if label == "password":
        if name[-12:].lower().startswith("pwd") and ("/" in value or text[start - 1] == "`"):
            return False  # the folder that a shell works in
        return end - start >= 3 and not (blanks and (blanks > 5 or value.endswith(".") or names.label_of(value)))
    if end - start < 5 or blanks or not _KEY_CHARS.intersection(value):
        return False
    if odd(value) and "(?" not in value and "[^" not in value:
        return True
    if _is_code(value):
        return False
    if _is_colour(value):
        return False
    if any(char.isdigit() for char in value):
        return not named(value) and not (value.isidentifier() and names.label_of(value))
    return any(char in _MARKS for char in value) or drawn(value, 10)


def _unescaped(value: str) -> str:
    """Return `value` with what JSON wrote as `\\u00fc` in it."""
    if "\\u" in value and value.isascii():
        with suppress(UnicodeDecodeError):
            return value.encode().decode("unicode_escape")
    return value


def _is_name(value: str, name: str) -> bool:
    """Say whether a value is a telling name itself, as in a translation, or what a country is called: `"PW": "Palau"`."""
    lowered = value.lower()
    if lowered in names.WORDS or lowered in names.FOREIGN or value.endswith(("。", "？")):
        return True
    return name[:3] in ('PW"', "PW'") and not any(char.isdigit() or char in _MARKS for char in value)


def _goes_on(value: str) -> bool:
    """Say whether a quote closed a text that ends with a name and its sign, and code goes on: `"Password: ")`."""
    return value[0] in "\n " or value[1:2] in ("", " ", ",", ";", ")", "\n") or not value.strip()


def _is_colour(value: str) -> bool:
    """Say whether a word is a colour: `#ffcc00`."""
    return value[0] == "#" and len(value) in (4, 7, 9)


def _is_code(value: str) -> bool:
    """Say whether a word is an expression of a program: `self->name`, `key[:16]`, `Secret{1}`, `0x1015`."""
    if any(sign in value for sign in ("->", "::", "(?", "[^")):
        return True
    if value[:1] in ("!", "$", "&") and value[1:2].isalpha() and "." in value:
        return True
    if value[:2] == "0x" and len(value) <= 10:
        return True
    for i, char in enumerate(value):
        if char in "[{" and i and (value[i - 1].isalnum() or value[i - 1] == "_"):
            return not odd(value)
    return False


def bare(text: str, start: int, end: int, name: str, label: str, *, blank: bool) -> bool:
    """Say whether a bare word is a secret rather than the name of one."""
    value = text[start : min(end, start + _READ)]
    if checks.literal(text, start, end) is None or is_path(value) or _is_code(value):
        return False
    if "(" in value or value.lower().strip("_") in name.lower():
        return odd(value)
    if value[0] == ":" and not blank:
        return False  # Pass::Kind
    if name.rstrip(" \t:=")[-1:] in ("'", '"') and value.isidentifier() and not any(map(str.isdigit, value)):
        return False  # {'password': password_of_user}
    digit = any(char.isdigit() for char in value)
    if name.isupper() and not blank:  # MYSQL_PASSWORD=hiqv
        return (digit or "." not in value) and not (value[0] == "/" and "PWD" in name)
    if odd(value):
        return True
    if label == "password":
        if value[0] == "/" and name.lower().rstrip(" :=\"'").endswith("pwd"):
            return False
        if digit:
            return not (value.isidentifier() and names.label_of(value) and not value[0].isdigit())
        if value.replace("-", "").isalpha() and value.islower() and (not blank or _closed(text, end)):
            return text[end : end + 1] != ":"  # :meth:`password`
        return ("." not in value and any(char in _MARKS for char in value)) or drawn(value, 8)
    if value.startswith("/") or len(value) < 8 or (value.isidentifier() and names.label_of(value)):
        return False
    if sum(char.isdigit() for char in value) >= 2:
        return not worded(value) and not named(value) and not (value.count(".") == 1 and _is_dotted(value))
    return drawn(value)


def _is_dotted(value: str) -> bool:
    """Say whether a word is a name of a program with a dot in it: `x25519.PrivateKey`."""
    first, _, last = value.partition(".")
    return first.isidentifier() and last.isidentifier() and not (drawn(first, 8) or drawn(last, 8))


def _closed(text: str, end: int) -> bool:
    """Say whether nothing but the end of a line or of a list follows."""
    rest = text[end : end + 8].lstrip(" \t")
    return not rest or rest[0] in "\n\r,}]<;"


def element(text: str, start: int, end: int, name: str, label: str) -> bool:
    """Say whether the content of an XML element is a secret."""
    return bare(text, start, end, name, label, blank=False)


def alone(value: str, label: str) -> bool:
    """Say whether a word that stands alone on the line below a name is a secret."""
    if checks.literal(value, 0, len(value)) is None or is_path(value) or len(value) < 6:
        return False
    digit = any(char.isdigit() for char in value)
    if label == "password":
        return digit and not named(value)
    return drawn(value)


def block(text: str, start: int, end: int, label: str) -> bool:
    """Say whether several lines of text under a name are a secret."""
    value = text[start : min(end, start + _READ)]
    if label in ("password", "private-key"):
        return checks.literal(text, start, end) is not None and value.count(" ") < 12
    return any(drawn(word) for word in value.split())


def header(text: str, start: int, end: int) -> bool:
    """Say whether a header's value carries something: a scheme and a credential, or pairs of a cookie."""
    value = text[start : min(end, start + _READ)].strip()
    first, _, rest = value.partition(" ")
    rest = rest.strip()
    scheme = first.lower() in _SCHEMES
    if not scheme and rest and first.replace("-", "").isalnum() and len(first) < 24:
        scheme = drawn(rest.partition(" ")[0])
    credential = rest if scheme else value if "=" in first else first
    place = text.find(credential, start, end) if len(credential) >= 6 else -1
    if place < 0 or checks.literal(text, place, place + len(credential)) is None or (not scheme and _is_code(first)):
        return False
    if credential.isdigit() and not scheme:
        return False  # "authorization_code": 864000
    return any(char.isdigit() for char in credential) or any(drawn(word) for word in credential.split())
