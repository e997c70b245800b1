# SPDX-License-Identifier: Apache-2.0
"""What a call hands over, as a policy and the record look at it: the tool's own arguments, and what exceeds a limit.

Nothing here shows a value.
"""

from collections.abc import Sequence

from onrecord.event.call import Call, Json
from onrecord.rules import pointer

_BESIDE_ANSWERS = {"arguments", "inputResponses"}


def own_arguments(arguments: Json) -> Json:
    """Return the arguments of the tool itself: a call that brings answers to questions holds them one level deeper."""
    if isinstance(arguments, dict) and arguments.keys() == _BESIDE_ANSWERS:
        return arguments["arguments"]
    return arguments


def exceeded_in(call: Call, limits: Sequence[tuple[str, float]]) -> tuple[str, ...]:
    """Return what `exceeded` says of the arguments of `call`."""
    return exceeded(limits, own_arguments(call.arguments.open())) if limits else ()


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
