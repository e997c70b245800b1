# SPDX-License-Identifier: Apache-2.0
"""Which calls of one server are decided on without waiting, by what became of those before.

A call of which somebody else is asked waits for them, be it a policy elsewhere, an issuer for its keys, or people, for
whom files are written. So a call is taken for brief once one of the same tool was, and none of it needed an approval.
"""

from onrecord.doors.protocol import CALLS, meta_of, name_of
from onrecord.doors.wire import Message, Request
from onrecord.event.event import Event
from onrecord.guard import Guard
from onrecord.rules.memory import short
from onrecord.rules.principal import META_KEY

REMEMBERED = 10_000  # tools and prompts


class Brevity:
    """What is known of the calls of one server. Threads may share it."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._brief: dict[tuple[str, str], bool] = {}

    def of(self, message: Message) -> bool:
        """Say whether to decide on `message` is likely to wait for nothing but the ledger's lock."""
        return (
            isinstance(message, Request)
            and self._brief.get(_about(message), False)
            and not self._guard.decides_elsewhere
            and META_KEY not in meta_of(message.params)
        )

    def hear(self, request: Request, attempt: Event) -> None:
        """Learn what was decided on a call."""
        about = _about(request)
        if attempt.policy_decision == "needs_approval":
            self._brief[about] = False
        elif request.method in CALLS and len(self._brief) < REMEMBERED:
            self._brief.setdefault(about, True)


def _about(request: Request) -> tuple[str, str]:
    named = request.method in ("tools/call", "prompts/get")  # of others there may be any number
    return request.method, short(name_of(request.method, request.params)) if named else ""
