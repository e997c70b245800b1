# SPDX-License-Identifier: Apache-2.0
"""Whether a server behind the gateway can be reached, told once when it no longer can, and once when it can again.

Clients learn that a request of theirs did not run, and nothing of where the server is. Whoever keeps the gateway learns
it here, on standard error and on the record, whatever was asked for: a call, or no more than a list.
"""

from collections.abc import Callable, Mapping
from typing import Final

from onrecord.doors.gateway.talk import Pool
from onrecord.doors.gateway.upstream import UpstreamFailed
from onrecord.event.event import Event
from onrecord.recorder import Recorder

_SAID: Final[Mapping[str, str]] = {
    "upstream_unreachable": "cannot be reached",
    "redirected": "redirects to another place, which is not followed: is its url right?",
    "http_404": "answers with HTTP status 404: is its url right?",
}
_UNTRIED = frozenset({"no_credentials"})  # the server was not asked, so nothing is known


class Reach:
    """Whether one server can be reached. For the event loop's thread."""

    def __init__(self, name: str, url: str, recorder: Recorder, pool: Pool, say: Callable[[str], None]) -> None:
        """`url` is where the server is."""
        self._name = name
        self._url = url.partition("?")[0].partition("#")[0]  # what follows may be a key
        self._recorder = recorder
        self._pool = pool
        self._say = say
        self._trouble = ""

    async def answered(self) -> None:
        """Take it that the server has answered."""
        await self._turn("", "")

    async def failed(self, failure: UpstreamFailed) -> None:
        """Take it that a request to the server has failed; some failures do not mean that it cannot be reached."""
        if failure.error_type not in _UNTRIED:
            trouble = failure.error_type if failure.error_type in _SAID else ""
            await self._turn(trouble, str(failure.__cause__ or ""))

    async def _turn(self, trouble: str, why: str) -> None:
        if trouble == self._trouble:
            return
        self._trouble = trouble
        said = _SAID[trouble] if trouble else "can be reached again"
        self._say(f"{self._name}: the server at {self._url} {said}{f' ({why})' if why else ''}")
        await self._pool.run(self._note, trouble, why)

    def _note(self, trouble: str, why: str) -> None:
        guard = self._recorder.guard
        base = Event(
            event_id=guard.new_id(),
            event_type="connection",
            action="upstream_unreachable" if trouble else "upstream_reachable",
            server_id=self._name,
            transport="http",
            error_type=trouble,
            policy_version=guard.policy_version,
        )
        outside: dict[str, str | list[str]] = {"url": self._url, **({"reason": why} if why else {})}
        guard.note(self._recorder.redactor.fact(base, outside))
