# SPDX-License-Identifier: Apache-2.0
"""Whether what stands after a telling name is a secret rather than the name of one, a type, or prose.

What a bare word after a colon means is a guess. Prose and source code are full of `token: string`,
so a value without quotes counts only where it looks like no name that a programmer would give.
"""

from contextlib import suppress

from onrecord.rules import names
from onrecord.rules.detection import checks
from onrecord.rules.detection.likeness import drawn, is_path, named, odd, worded
from onrecord.rules.words import listed, words

HEADERS = frozenset({"authorization", "cookie"})  # labels of names whose value is a whole line
_READ = 128  # characters that are judged; a value that goes on is judged by its beginning
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
    """Say whether a value is a telling name itself, or what the form or the country so named is called."""
    lowered = value.lower()
    if lowered in names.WORDS or lowered in names.FOREIGN or value.endswith(("。", "？")):
        return True
    if _echoes(value, name) or _is_heading(value, name):
        return True
    return name[:3] in ('PW"', "PW'") and not any(char.isdigit() or char in _MARKS for char in value)


def _echoes(value: str, name: str) -> bool:
    """Say whether a value says what its name says: `PASSWORD_BANNED = "passwordBanned"`, `PWD_START = "/pwd/start"`."""
    said = words(value)
    common = set(said).intersection(words(name))
    return (len(common) > 1 and 3 * sum(map(len, common)) >= sum(map(len, said))) or (
        value[0] == "/" and value.count("/") > 1 and worded(value)
    )


def _is_heading(value: str, name: str) -> bool:
    """Say whether a value is a text of a form, in whatever language: `"ui.login.password": "Wachtwurd"`."""
    if name.count(".") < 2 or any(char.isdigit() or char in "@#$%^&*~_" for char in value):
        return False
    return " " in value or not value.isascii() or value.istitle()


def _goes_on(value: str) -> bool:
    """Say whether a quote closed a text that ends with a name and its sign, and code goes on: `"Password: ")`."""
    return value[0] in "\n " or value[1:2] in ("", " ", ",", ";", ")", "\n") or not value.strip()


def _is_colour(value: str) -> bool:
    """Say whether a word is a colour: `#ffcc00`."""
    return value[0] == "#" and len(value) in (4, 7, 9)


def _is_code(value: str) -> bool:
    """Say whether a word is an expression of a program: `self->name`, `key[:16]`, `Secret{1}`, `0x1015`."""
    if any(sign in value for sign in ("->", "::", "(?", "[^", "[a-z", "[A-Z", "[0-9")):
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
    if _is_expression(value, name, blank=blank):
        return False
    if "(" in value or value.lower().strip("_") in name.lower():
        return odd(value)
    digit = any(map(str.isdigit, value))
    if name.isupper() and not blank:  # MYSQL_PASSWORD=hiqv
        return (digit or "." not in value) and not (value[0] == "/" and "PWD" in name)
    if odd(value):
        return True
    if label == "password":
        return _bare_password(text, end, value, name, blank=blank)
    if value.startswith("/") or len(value) < 8 or (value.isidentifier() and names.label_of(value)):
        return False
    if sum(char.isdigit() for char in value) >= 2:
        return not worded(value) and not named(value) and not (value.count(".") == 1 and _is_dotted(value))
    return drawn(value)


def _bare_password(text: str, end: int, value: str, name: str, *, blank: bool) -> bool:
    """Say whether a bare word after the name of a password is one; people choose plain words too."""
    if _is_type(text, end, value, name) or (value[0] == "/" and name.lower().rstrip(" :=\"'").endswith("pwd")):
        return False
    if any(map(str.isdigit, value)):
        return not (value.isidentifier() and names.label_of(value) and not value[0].isdigit())
    if value.replace("-", "").isalpha() and value.islower() and (not blank or _closed(text, end)):
        return text[end : end + 1] != ":"  # :meth:`password`
    return ("." not in value and not _MARKS.isdisjoint(value)) or drawn(value, 8)


def _is_expression(value: str, name: str, *, blank: bool) -> bool:
    """Say whether a bare word is an object, a constant, a variable of a program: `{type:x}`, `Pass::Kind`."""
    if (value[0] == ":" and not blank) or (value[0] == "{" and ":" in value):
        return True
    if "(" in value and worded(value.partition("(")[0]):
        return True
    if value.isdigit():
        return blank and _goes_past(name)
    quoted_name = name.rstrip(" \t:=")[-1:] in ("'", '"')  # {'password': password_of_user}
    return quoted_name and value.isidentifier() and not any(map(str.isdigit, value))


def _is_type(text: str, end: int, value: str, name: str) -> bool:
    """Say whether a value is a type: `type NewPasswordResult = SignInStateV2 | …`, `password: AttributeOfUserV2;`."""
    if not value.isidentifier() or not value[0].isupper() or len(words(value)) < 3 or not worded(value):
        return False
    return text[end : end + 8].lstrip()[:1] in tuple(";|<[&{,") or (name[0].isupper() and not name.isupper())


def _goes_past(name: str) -> bool:
    """Say whether words follow the telling one: `SIGN_UP_WITH_PASSWORD_START`."""
    return len(words(name)) > 1 and not names.label_of(words(name)[-1])


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
    digit = any(map(str.isdigit, value))
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
    if (
        place < 0
        or checks.literal(text, place, place + len(credential)) is None
        or (not scheme and (_is_code(first) or "(" in first))
    ):
        return False
    if credential[:1] in ("{", "<") and "(" in credential:
        return False  # basic {base64(user:password)}
    if credential.isdigit() and not scheme:
        return False  # "authorization_code": 864000
    return any(char.isdigit() for char in credential) or any(drawn(word) for word in credential.split())
