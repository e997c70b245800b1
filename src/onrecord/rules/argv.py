# SPDX-License-Identifier: Apache-2.0
"""Which words of a command line are secrets: `--token X`, `-e API_KEY=X`, `-u name:X`, `-pX`, `X-Api-Key: X`.

A command line is a list of words, and what a word means depends on the one before it. `-p` is a
password for some programs and a port for others: what follows is withheld unless it looks like
ports. What only refers to a secret (`${TOKEN}`, `<password>`) is none.
"""

from collections.abc import Mapping, Sequence

from onrecord.event.call import Json
from onrecord.rules import names
from onrecord.rules.words import listed, words

LONGEST = 1_024  # words; a longer list is no command line

_Place = tuple[int, str]  # where in a word the secret begins, and what it is

_PORTS = frozenset("0123456789:./-tcpudp")

# Short flags and the label of the word after them.
_SHORT: Mapping[str, str] = {"-p": "password", "-b": "cookie", "--pass": "password"}
_USERS = frozenset({"-u", "--user", "--proxy-user", "-U"})  # name:password, name%password
_HEADERS = frozenset({"-H", "--header", "--headers"})
# The same where one program means it so.
_FLAGS_OF: Mapping[str, str] = {
    **dict.fromkeys(("redis-cli", "valkey-cli"), "-a"),
    **dict.fromkeys(("ldapsearch", "ldapadd", "ldapmodify", "ldapdelete", "ldapwhoami"), "-w"),
    **dict.fromkeys(("zip", "unzip", "mosquitto_pub", "mosquitto_sub"), "-P"),
}

# In the name of a flag these announce a secret only where the value looks like one.
_LOOSE = listed("access auth key pass login pw pin")


def secret_words(given: Sequence[str], *, ours: bool = False) -> dict[int, _Place]:
    """Return, for each word that holds a secret, where in it the secret begins and what it is.

    With `ours`, `given` is known to be a command line; else it may be any list of texts, and counts as
    one where there is a flag in it.
    """
    command = ours or any(word[:1] == "-" for word in given)
    program = given[0].rpartition("/")[2] if given else ""
    special = _FLAGS_OF.get(program, "")
    found: dict[int, _Place] = {}
    for i, word in enumerate(given):
        before = given[i - 1] if i else ""
        place = _assigned(word)
        if place is None and command:
            place = _header(word, before, ours=ours) or _announced(before, word, special) or _attached(word)
        if place is not None and not _refers(word[place[0] :]):
            found[i] = place
    if len(given) == 2 and given[1] and (label := names.label_of(given[0])):
        found[1] = (0, label)  # ["Authorization", "…"]
    return found


def words_of(items: Sequence[Json]) -> list[str]:
    """Return the items of a list as words where they can be those of a command line, else nothing."""
    if len(items) > LONGEST:
        return []
    given: list[str] = []
    for item in items:
        if isinstance(item, str):
            given.append(item)
        elif isinstance(item, int | float):
            given.append(repr(item) if not isinstance(item, bool) and abs(item) < 2**64 else "")
        else:
            return []
    return given


def _assigned(word: str) -> _Place | None:
    """Return the place of a value after a name and `=`."""
    name, sign, value = word.partition("=")
    if not sign or not value:
        return None
    label = names.label_of(name) or (_loosely(name, value) if name[:1] == "-" else "")
    return (len(name) + 1, label) if label else None


def _header(word: str, before: str, *, ours: bool) -> _Place | None:
    """Return the place of a value after a name and a colon: `X-Api-Key: …`; an image has a tag without a blank."""
    name, sign, rest = word.partition(":")
    value = rest.lstrip()
    if not sign or not value or not name.replace("-", "").replace("_", "").isalnum():
        return None
    if value == rest and not ours and before not in _HEADERS:
        return None
    label = names.label_of(name)
    return (len(word) - len(value), label) if label else None


def _announced(before: str, word: str, special: str) -> _Place | None:
    """Return the place of a value that the word before announces."""
    if not word or word.startswith("--"):
        return None
    if before[-6:].lower() == "bearer" and (len(before) == 6 or before[-7] in " :="):
        return 0, "token"
    if before[-1:] == ":" and (label := names.label_of(before[:-1])):
        return 0, label
    if before[:1] != "-" or "=" in before:
        return None
    if before in _USERS:
        return _after_user(word)
    if before == "-p" and set(word) <= _PORTS:
        return None
    label = "password" if before == special else _SHORT.get(before) or names.label_of(before) or _loosely(before, word)
    return (0, label) if label else None


def _attached(word: str) -> _Place | None:
    """Return the place of a password in `-pX` or `-uname:X`."""
    if word[:2] == "-u" and ":" in word:
        place = _after_user(word[2:])
        return place and (place[0] + 2, place[1])
    value = word[2:]
    if word[:2] != "-p" or set(value) <= _PORTS:
        return None
    return (2, "password") if _looks_drawn(value) else None


def _after_user(word: str) -> _Place | None:
    """Return the place of a password after a name; numbers of a user and a group are none."""
    at = word.find(":") if ":" in word else word.find("%")
    if not 0 <= at < len(word) - 1 or word.replace(":", "").isdecimal():
        return None
    return at + 1, "password"


def _loosely(name: str, value: str) -> str:
    """Return the label of what a name announces that may just as well be one of a setting: `--access X`."""
    if not _looks_drawn(value) or _LOOSE.isdisjoint(parts := words(name)) or parts[-1] in names.ABOUT:
        return ""
    return "credential"


def _looks_drawn(value: str) -> bool:
    """Say whether a word is neither a number nor a place nor a plain word: letters and digits, in one piece."""
    return (
        len(value) >= 6
        and not any(sign in value for sign in "/\\ ")
        and any(map(str.isdigit, value))
        and any(map(str.isalpha, value))
    )


def _refers(value: str) -> bool:
    """Say whether a word stands for a secret that is somewhere else."""
    bare = value.strip("\"'")
    if not bare.strip("xX*."):
        return True
    if bare.startswith(("${", "$(", "{{", "%(")):
        return True
    return (bare[0] == "<" and bare[-1] == ">") or (bare[0] == "$" and bare[1:].isidentifier() and bare.isupper())
