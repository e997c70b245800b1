# SPDX-License-Identifier: Apache-2.0
"""Which words of a command line are secrets: `--token X`, `--password=X`, `-e API_KEY=X`, `-u name:X`.

A command line is a list of words, and what a word means depends on the one before it. `-p` is a
password for some programs and a port for others: what follows is withheld unless it looks like
ports.
"""

from collections.abc import Mapping, Sequence

from onrecord.rules import names

_PORTS = frozenset("0123456789:./-tcpudp")

# Short flags and the label of the word after them.
_SHORT: Mapping[str, str] = {"-p": "password", "-b": "cookie", "--pass": "password"}
_USERS = frozenset({"-u", "--user", "--proxy-user", "-U"})  # name:password


def secret_words(words: Sequence[str]) -> dict[int, tuple[int, str]]:
    """Return, for each word that holds a secret, where in it the secret begins and what it is."""
    found: dict[int, tuple[int, str]] = {}
    for i, word in enumerate(words):
        before = words[i - 1] if i else ""
        name, sign, value = word.partition("=")
        label = names.label_of(name) if sign and value else ""
        if label:
            found[i] = (len(name) + 1, label)
        elif before.startswith("-") and "=" not in before and not word.startswith("--"):
            place = _after(before, word)
            if place is not None:
                found[i] = place
    return found


def _after(flag: str, word: str) -> tuple[int, str] | None:
    if flag in _USERS:
        colon = word.find(":")
        return (colon + 1, "password") if 0 <= colon < len(word) - 1 else None
    if flag == "-p" and set(word) <= _PORTS:
        return None
    label = _SHORT.get(flag) or names.label_of(flag)
    return (0, label) if label and word else None
