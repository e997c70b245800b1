# SPDX-License-Identifier: Apache-2.0
"""JSON Pointers (RFC 6901): how the record names a place in a value without showing what is there.

In a manifest the token `*` stands for any key or index. Clients do send objects as JSON text, so a
pointer may lead into a string, where nothing can be pointed at: what is to be withheld there is the
whole string, and what is to be shown is nothing.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TypeAlias

from onrecord.event.call import Json

Tokens: TypeAlias = tuple[str, ...]

ANY = "*"
MOST_PLACES = 10_000  # that one pointer with `*` may name; past this the whole value is the place


@lru_cache(maxsize=4_096)  # those of a manifest come with each call
def parse(text: str) -> Tokens:
    """Return the tokens of a pointer. Raises ValueError where it is none."""
    if not text:
        return ()
    if not text.startswith("/"):
        raise ValueError(f"{text!r} is not a JSON Pointer; it must start with '/'")
    tokens = text[1:].split("/")
    if "~" in text and any("~" in token.replace("~0", "").replace("~1", "") for token in tokens):
        raise ValueError(f"{text!r} is not a JSON Pointer; '~' must be written '~0'")
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in tokens)


def written(tokens: Sequence[str]) -> str:
    """Return the pointer that `tokens` make; of no tokens, the empty one."""
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in tokens)


def places(tokens: Tokens, value: Json, *, in_texts: bool) -> list[Tokens]:
    """Return the places in `value` that `tokens` name; none where there is nothing.

    With `in_texts`, a string that `tokens` lead into is a place.
    """
    found: list[Tokens] = []
    for place in _places(tokens, value, (), in_texts=in_texts):
        if len(found) == MOST_PLACES:
            return [()]
        found.append(place)
    return found


def value_at(value: Json, place: Sequence[str]) -> Json:
    """Return what lies at `place` in `value`, which is one of its places; of none, None."""
    for token in place:
        if isinstance(value, dict):
            value = value.get(token)
        else:
            value = value[int(token)] if isinstance(value, list) else None
    return value


def _places(tokens: Tokens, value: Json, path: Tokens, *, in_texts: bool) -> Iterator[Tokens]:
    if not tokens or (in_texts and isinstance(value, str)):
        yield path
        return
    first, rest = tokens[0], tokens[1:]
    for key, child in _children(value, first):
        yield from _places(rest, child, (*path, key), in_texts=in_texts)


def _children(value: Json, token: str) -> list[tuple[str, Json]]:
    if isinstance(value, dict):
        if token == ANY:
            return list(value.items())
        return [(token, value[token])] if token in value else []
    if isinstance(value, list):
        if token == ANY:
            return [(str(i), child) for i, child in enumerate(value)]
        if token.isascii() and token.isdigit() and len(token) < 10 and int(token) < len(value):
            return [(str(int(token)), value[int(token)])]
    return []
