# SPDX-License-Identifier: Apache-2.0
"""Templates that name what a tool acts on: `github:{owner}/{repo}`, filled from the arguments of a call.

What stands in braces is the name of an argument, or a JSON Pointer into the arguments where it begins
with `/`. A doubled brace is one brace. Every place that is named must be there: a resource of which a
part is missing is not known, and says nothing rather than something else.
"""

from functools import lru_cache
from typing import NamedTuple

from onrecord.rules import pointer
from onrecord.rules.pointer import Tokens

MOST = 16  # places in one template


class Piece(NamedTuple):
    """Text as it stands, or the place that it is filled from."""

    text: str = ""
    place: Tokens | None = None


@lru_cache(maxsize=1_024)  # a manifest has few, and each call asks for its own
def parse(text: str) -> tuple[Piece, ...]:
    """Return the pieces of a template. Raises ValueError where it is none."""
    pieces: list[Piece] = []
    at, said = 0, ""
    while at < len(text):
        char = text[at]
        if char in "{}" and text[at : at + 2] == char * 2:
            said, at = said + char, at + 2
        elif char == "}":
            raise ValueError(f"{text!r}: a '}}' without its '{{'; write '}}}}' for the character itself")
        elif char == "{":
            end = text.find("}", at)
            named = text[at + 1 : end] if end > 0 else ""
            if not named or "{" in named:
                raise ValueError(f"{text!r}: name an argument between '{{' and '}}'")
            pieces += [Piece(said), Piece(place=_place(named))]
            said, at = "", end + 1
        else:
            said, at = said + char, at + 1
    pieces.append(Piece(said))
    if sum(piece.place is not None for piece in pieces) > MOST:
        raise ValueError(f"{text!r}: names more than {MOST} places")
    return tuple(piece for piece in pieces if piece.text or piece.place is not None)


def _place(named: str) -> Tokens:
    return pointer.parse(named) if named.startswith("/") else (named,)
