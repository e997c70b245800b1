# SPDX-License-Identifier: Apache-2.0
"""The forms of others that events are given out in, by name."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from onrecord.event.event import Event

if TYPE_CHECKING:
    from onrecord.views.forms.parts import Object

Export: TypeAlias = Literal["ocsf", "ecs", "cloudevents", "otlp", "aat"]
EXPORTS: Final[tuple[Export, ...]] = ("ocsf", "ecs", "cloudevents", "otlp", "aat")
CHAINED: Final = frozenset({"aat"})
"""Those in which each object names the one before it, so that they are wanted oldest first."""


def exported(events: Iterable[Event], form: Export) -> "Iterator[Object]":
    """Yield `events` in a form, each object for one line. Those of a chain are in their order."""
    if form == "aat":
        from onrecord.views.forms.aat import trails

        return trails(events)
    return map(_of_one(form), events)


def _of_one(form: Export) -> "Callable[[Event], Object]":
    """Return what makes a form of one event. It is imported when it is asked for: every verb names the forms."""
    match form:
        case "ocsf":
            from onrecord.views.forms.ocsf import ocsf as made
        case "ecs":
            from onrecord.views.forms.ecs import ecs as made
        case "cloudevents":
            from onrecord.views.forms.cloudevents import cloudevent as made
        case _:
            from onrecord.views.forms.otlp import otlp as made
    return made
