# SPDX-License-Identifier: Apache-2.0
"""The words of a name: `deleteAll`, `delete_all`, `DELETE-ALL` and `delete.all` all read delete, all.

Tool names and argument names are judged by their words, never by substrings: `undeleted` does not
delete, and `tokenizer` holds no token. Digits separate words and are dropped.
"""

import unicodedata

LONGEST = 256  # characters of a name that are read; what is longer is no name


def words(name: str) -> list[str]:
    """Return the words of `name` in lower case, in order; of a very long name, those of its beginning."""
    text = name[:LONGEST]
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)  # full-width letters are letters
    if text.islower() and text.isalpha():
        return [text]  # most names of arguments are one plain word
    return _split(text)


def listed(text: str) -> frozenset[str]:
    """Return the set of words that `text` lists, with blanks between them."""
    return frozenset(text.split())


def _split(text: str) -> list[str]:
    found: list[str] = []
    start = 0
    for i, char in enumerate(text):
        if not char.isalpha():
            _keep(found, text[start:i])
            start = i + 1
        elif char.isupper() and i > start and _turns(text, i):
            _keep(found, text[start:i])
            start = i
    _keep(found, text[start:])
    return found


def _turns(text: str, i: int) -> bool:
    """Say whether a word begins at the capital at `i`: after a small letter, or as the last of several capitals."""
    return text[i - 1].islower() or (i + 1 < len(text) and text[i + 1].islower())


def _keep(found: list[str], word: str) -> None:
    if word:
        found.append(word.lower())
