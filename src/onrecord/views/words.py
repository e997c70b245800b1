# SPDX-License-Identifier: Apache-2.0
"""Words as the search knows them, the same in every engine: which a text has, and which are asked for.

A word is a run of letters and digits, without case and accents; characters of scripts that put no blanks between words
are words by themselves. What is searched is what the record holds after redaction, so a secret can't be found.
"""

import re
import unicodedata
from dataclasses import dataclass

from onrecord.errors import OnRecordError

LONGEST = 64  # characters of a word that count; no longer one is typed by anybody

_ASCII = re.compile("[a-z0-9]+")
_ALONE = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_ANY = re.compile(f"[{_ALONE}]|(?:(?![{_ALONE}])[^\\W_])+")
_TERM = re.compile(r'"([^"]*)"|(\S+)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrase:
    """Words that stand one behind the other. With `prefix`, the last one is only the beginning of a word."""

    words: tuple[str, ...]
    prefix: bool = False


def words_of(text: str) -> list[str]:
    """Return the words of `text`, in order."""
    if text.isascii():
        found = _ASCII.findall(text.lower())
    else:
        plain = unicodedata.normalize("NFKD", text).casefold()
        plain = "".join(c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c))
        found = _ANY.findall(plain)
    return [word[:LONGEST] for word in found]


def phrases_of(asked: str) -> tuple[Phrase, ...]:
    """Return what somebody asks for: words, "phrases in quotes" and beginnings of words*, all of which must be there.

    Raises OnRecordError where there is no word in it.
    """
    if asked.count('"') % 2:
        raise OnRecordError(f'a quotation mark has no end in {asked!r}; write a phrase as "two words"')
    phrases: list[Phrase] = []
    for quoted, bare in _TERM.findall(asked):
        term: str = quoted or bare
        words = tuple(words_of(term))
        if words:
            phrases.append(Phrase(words=words, prefix=term.endswith("*")))
        elif term.strip():
            raise OnRecordError(f"there is no word to look for in {term!r}; a word is made of letters and digits")
    if not phrases:
        raise OnRecordError('say what to look for: words, which must all be there, or a "phrase", or a beginning*')
    return tuple(phrases)


def has(words: list[str], phrase: Phrase) -> bool:
    """Say whether `phrase` is among the words of a text."""
    *first, last = phrase.words
    for at in range(len(words) - len(first)):
        end = words[at + len(first)]
        if words[at : at + len(first)] == first and (end.startswith(last) if phrase.prefix else end == last):
            return True
    return False
