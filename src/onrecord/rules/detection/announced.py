# SPDX-License-Identifier: Apache-2.0
"""Tests for what a rule found near telling words: in calls, commands, sentences, tables and manifests.

Each looks at the word itself and at what stands around it. Words with a digit or a mark in them are
taken more readily than plain ones, because `password is required` is said more often than a password.
"""

from collections.abc import Mapping

from onrecord.rules import names
from onrecord.rules.detection import pem
from onrecord.rules.detection.checks import Check, Span, literal, value
from onrecord.rules.detection.handles import of_request
from onrecord.rules.detection.likeness import drawn, is_path, named, odd
from onrecord.rules.detection.surroundings import joined
from onrecord.rules.words import listed, words

_READ = 128  # characters of a value that are judged
_AROUND = 4096  # characters around a line in which a manifest says what it is
_MARKS = frozenset("!@#$%^&*?~")
_NAME_CHARS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.$"
_ASKS = listed("""
    get read has is check find parse load fetch validate verify decode require required need needs missing contains
    include includes expect assert type label test describe it by input field click fill print log raise error create
    make next match scan accept skip unexpected emit
""")
_AUXILIARIES = frozenset({"is", "are", "be", "was", "were", "been", "being", "uniquely"})
# What people say about passwords without saying one.
_SAID = listed("""
    required needed correct incorrect wrong invalid valid missing empty set not changed reset weak strong too
    expired secure safe stored hashed encrypted used the a an your my his her their our this that case same one
    known unknown given provided shown hidden visible protected blank optional mandatory on in at for and or if
    argon2i argon2id argon2d bcrypt scrypt pbkdf2 sha1 sha256 sha-256 sha512 sha-512 md5 base64 utf-8
    never always only also just still now stored sent asked entered
""")


# Codes that everyone may know.
_NO_SECRETS = listed("""
    zip postal post area country dialing dial error exit status return response promo promotional discount coupon
    voucher referral colour color product item sort swift department course source http key bar store stock order
    tracking qr
""")


_PLACEHOLDERS = frozenset({"value", "example", "placeholder", "your", "changeme"})


def said(text: str, start: int, end: int) -> Span | None:
    """Keep the word of a sentence that is a password: it stands in quotes, or holds what words don't."""
    inside = text[start - 1] in "\"'`“‘«„"
    end = start + len(text[start:end].rstrip(",;:)]}"))
    if text[end - 1 : end] in (".", "!", "?") and not inside and (end == len(text) or text[end : end + 1].isspace()):
        end -= 1  # the end of the sentence
    value = text[start : min(end, start + _READ)]
    if len(value) < 3 or literal(text, start, end) is None or value.lower() in _SAID or value[:1] in "([{<":
        return None
    if "." in value and names.label_of(value) and value.replace(".", "").isidentifier():
        return None  # options.auth.password
    if inside:
        return (start, end) if text[end : end + 1] in "\"'`”’»“" else None
    marked = any(char in _MARKS for char in value[:-1]) and any(map(str.isalpha, value))
    if any(map(str.isdigit, value)) and any(map(str.isalpha, value)):
        return None if named(value) and not marked else (start, end)
    return (start, end) if marked or drawn(value, 8) else None


def word(text: str, start: int, end: int) -> Span | None:
    """Keep a word that no one would call a name: letters and digits in it, or marks, or letters drawn at random."""
    value = text[start : min(end, start + _READ)]
    if literal(text, start, end) is None or is_path(value) or ("(" in value and not odd(value)):
        return None
    if odd(value) or drawn(value, 8):
        return start, end
    digit = any(map(str.isdigit, value))
    marked = any(char in _MARKS for char in value)
    if not (digit or marked) or named(value) or (value.isidentifier() and names.label_of(value)):
        return None
    return start, end


def typed(text: str, start: int, end: int) -> Span | None:
    """Keep what someone may have chosen as a password: letters of both cases and digits, or letters and marks."""
    end = start + len(text[start:end].rstrip(",;:.!?)]}"))
    value = text[start : min(end, start + _READ)]
    if len(value) < 6 or literal(text, start, end) is None or is_path(value) or "://" in value:
        return None
    if value[0] in "([{<" or ("." in value and names.label_of(value)):
        return None
    return (start, end) if _strong(value) or odd(value) or drawn(value, 8) else None


def given(text: str, start: int, end: int) -> Span | None:
    """Keep what a sentence says to be typed as a password; see `said` and `typed`."""
    return said(text, start, end) or typed(text, start, end)


def field(text: str, start: int, end: int) -> Span | None:
    """Keep what stands in a field for a password: any literal but the words and types that describe one."""
    value = text[start : min(end, start + _READ)]
    if literal(text, start, end) is None or is_path(value) or value.lower() in _SAID or names.label_of(value):
        return None
    if value.count(" ") > 3 or (value.endswith(")") and "(" in value and not odd(value)):  # varchar(255)
        return None
    return start, end


def fact(text: str, start: int, end: int) -> Span | None:
    """Keep what stands in the cell after one that says `Password`: a word with digits or marks among its letters."""
    marked = any(char in _MARKS for char in text[start:end])
    if not (marked or any(map(str.isdigit, text[start:end]))) or not any(map(str.isalpha, text[start:end])):
        return None
    return field(text, start, end)


def data(text: str, start: int, end: int) -> Span | None:
    """Keep a value of `stringData` in the manifest of a Kubernetes Secret: a line deeper than that one."""
    at = text.rfind("stringData:", max(0, start - _AROUND), start)
    value = text[start:end]
    if at < 0 or literal(text, start, end) is None or not _PLACEHOLDERS.isdisjoint(words(value)):
        return None
    indent = at - text.rfind("\n", 0, at) - 1
    lines = text[at:start].split("\n")[1:]
    return (start, end) if all(len(line) - len(line.lstrip(" ")) > indent for line in lines if line) else None


def one_time(text: str, start: int, end: int) -> Span | None:
    """Keep the digits of `your … code is 4829`, but for codes that are no secrets: of an area, an error, a discount."""
    before = text[max(0, start - 64) : start].lower()
    named_so = words(before[: before.rfind("code")])[-3:] if "code" in before else []
    return None if not _NO_SECRETS.isdisjoint(named_so) or joined(text, start, end) else (start, end)


def argument(text: str, start: int, end: int) -> Span | None:
    """Keep a text that a telling name is called with or stands beside: `setPassword("…")`, `put("TOKEN", "…")`."""
    before = text[max(0, start - 80) : start].rstrip("\"'`\\ \t([{@rbf")
    aside = before.endswith(",")
    if aside:
        before = before.rstrip(", \t").rstrip("\"'`\\")
    name = before[len(before.rstrip(_NAME_CHARS)) :]
    label = names.label_of(name)
    parts = words(name)
    if not label or parts[0] in _ASKS or (not aside and parts[-1] in _ASKS):
        return None
    value = text[start:end]
    if aside and not drawn(value, 8) and not (len(value) > 5 and _strong(value)):
        return None
    return word(text, start, end)


def _strong(value: str) -> bool:
    """Say whether a word holds letters of both cases and digits, or marks."""
    digit = any(map(str.isdigit, value))
    return digit and any(char in _MARKS or char.isupper() for char in value) and any(map(str.islower, value))


def manifest(text: str, start: int, end: int) -> Span | None:
    """Keep base64 in the data of a Kubernetes Secret; a manifest says what it is before or after its data."""
    around = text[max(0, start - _AROUND) : end + _AROUND].lower()
    kind = around.find("kind:")
    while kind >= 0:
        if around[kind + 5 : kind + 24].split("\n")[0].strip(" \t\"'\r") == "secret":
            break
        kind = around.find("kind:", kind + 5)
    if kind < 0 or "data:" not in around:
        return None
    value = text[start:end]
    return (start, end) if len(value) % 4 == 0 and not (value.isalpha() and value.islower()) else None


def option(text: str, start: int, end: int) -> Span | None:
    """Keep the value of an option whose name announces one: `--api-key …`; not of `--next-token`, nor a path."""
    name = text[max(0, start - 64) : start].rstrip("\"'`\\=$ ").split(" ")[-1]
    written = text[start:end]
    if not names.label_of(name) or of_request(written, "client") or (written.count("/") > 1 and named(written)):
        return None
    return value(text, start, end)


def netrc(text: str, start: int, end: int) -> Span | None:
    """Keep the password of a line of .netrc; not the word after `login and password`, nor an anonymous one."""
    login = text[max(0, start - 160) : start].lower().rpartition("login")[2].split()
    return None if login[:1] in (["and"], ["or"], ["with"], ["your"], ["anonymous"]) else literal(text, start, end)


def identified(text: str, start: int, end: int) -> Span | None:
    """Keep the password of `create user me identified by …`; not what a sentence says that something is known by."""
    before = text[max(0, start - 40) : start].lower().rpartition("identified")[0].split()
    return None if before[-1:] and before[-1] in _AUXILIARIES else word(text, start, end)


def mnemonic(text: str, start: int, end: int) -> Span | None:
    """Keep 12, 15, 18, 21 or 24 words. BIP-39."""
    return (start, end) if len(text[start:end].replace(",", " ").split()) in (12, 15, 18, 21, 24) else None


ANNOUNCED: Mapping[str, Check] = {
    "pem": pem.block,
    "pem64": pem.encoded,
    "said": said,
    "option": option,
    "netrc": netrc,
    "identified": identified,
    "word": word,
    "typed": typed,
    "given": given,
    "field": field,
    "fact": fact,
    "string-data": data,
    "one-time": one_time,
    "argument": argument,
    "manifest": manifest,
    "mnemonic": mnemonic,
}
