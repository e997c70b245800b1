# SPDX-License-Identifier: Apache-2.0
"""What a call hands over: which of its arguments exceed a limit, and what of it a client signs.

Nothing here shows a value.
"""

from collections.abc import Sequence

from onrecord.event.call import Call, Json
from onrecord.rules import pointer

ANSWERS = "inputResponses"  # the member in which a further round brings answers to a server's questions
WITH_ARGUMENTS = ("tools/call", "prompts/get")  # whose arguments are a member of their own
_OF_A_ROUND = {"arguments", ANSWERS}


def signed(method: str, arguments: Json, brought: Json) -> Json:
    """Return what the digest that a client signs has as `arguments`; see docs/identity.md."""
    if brought is None:
        return arguments
    if method in WITH_ARGUMENTS or not isinstance(arguments, dict):
        return {"arguments": arguments, ANSWERS: brought}
    return {**arguments, ANSWERS: brought}


def is_signed_as_round(method: str, arguments: Json, brought: Json) -> bool:
    """Say whether `signed` returns what it would return for a further round, though this is none."""
    like = isinstance(arguments, dict) and arguments.keys() == _OF_A_ROUND
    return like and brought is None and method in WITH_ARGUMENTS


def exceeded_in(call: Call, limits: Sequence[tuple[str, float]]) -> tuple[str, ...]:
    """Return what `exceeded` says of the arguments of `call`."""
    return exceeded(limits, call.arguments.open()) if limits else ()


def exceeded(limits: Sequence[tuple[str, float]], arguments: Json) -> tuple[str, ...]:
    """Return the pointers of `limits` at which an argument is larger, or is no number, so that nobody can tell."""
    return tuple(
        text
        for text, most in limits
        if any(
            not _within(pointer.value_at(arguments, place), most)
            for place in pointer.places(pointer.parse(text), arguments, in_texts=True)
        )
    )


def _within(value: Json, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value <= most
