# SPDX-License-Identifier: Apache-2.0
"""What a self-test says of a door: one conversation with it, and one thing that was looked at."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from onrecord.event.call import Json

State: TypeAlias = Literal["ok", "fail", "none"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at, of the door of that name. `none`: it could not be, and why."""

    state: State
    about: str
    text: str
    door: str = ""


@dataclass(slots=True, kw_only=True)
class Spoken:
    """One conversation with the door: what was sent, and what came of it.

    `sent` says that the secrets were. `refusal` is why the tool did not answer, `fault` why the door did not, `code`
    how the door ended, `told` its last words on standard error, fit for a terminal. `token` is whose bearer sent it.
    """

    era: str
    run: str
    trace_id: str
    token: str = ""
    sent: bool = False
    answer: Json = None
    refusal: str = ""
    fault: str = ""
    code: int = 0
    errors: bytes = b""
    told: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """What a call takes, in microseconds: straight to the server, and through the door; medians of so many calls."""

    calls: int
    direct_us: float
    recorded_us: float
