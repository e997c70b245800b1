# SPDX-License-Identifier: Apache-2.0
"""The forms of others that events are given out in, by name."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Literal, TypeAlias

from onrecord.event.event import Event
from onrecord.views.forms.aat import trails
from onrecord.views.forms.cloudevents import cloudevent
from onrecord.views.forms.ecs import ecs
from onrecord.views.forms.ocsf import ocsf
from onrecord.views.forms.otlp import otlp
from onrecord.views.forms.parts import Object

Export: TypeAlias = Literal["ocsf", "ecs", "cloudevents", "otlp", "aat"]
EXPORTS: Final[tuple[Export, ...]] = ("ocsf", "ecs", "cloudevents", "otlp", "aat")
CHAINED: Final = frozenset({"aat"})
"""Those in which each object names the one before it, so that they are wanted oldest first."""

_OF_ONE: Final[Mapping[str, Callable[[Event], Object]]] = {
    "ocsf": ocsf,
    "ecs": ecs,
    "cloudevents": cloudevent,
    "otlp": otlp,
}


def exported(events: Iterable[Event], form: Export) -> Iterator[Object]:
    """Yield `events` in a form, each object for one line. Those of a chain are in their order."""
    return trails(events) if form in CHAINED else map(_OF_ONE[form], events)
