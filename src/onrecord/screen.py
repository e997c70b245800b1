# SPDX-License-Identifier: Apache-2.0
"""Looks at each result on its way to the caller, decides what the caller gets, and remembers what was flagged.

Where nothing asks for more, a result passes as it came and its event says which flags it has. The
calls of a session that come after a flagged result carry the ids of the latest such calls: what the
model does next may be its doing. So do those of the same person's other sessions with that server, else beginning
another would be enough to forget it. This memory is bounded, and holds no value from a result. What a
server asks of the client, a message for its model or a question for its user, is looked at as well;
it passes as it came, and its flags stand on its attempt.

A result that could not be looked at is flagged `unchecked`, and withheld where flags withhold.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar

from msgspec.structs import replace

from onrecord.event.call import Call, Connection, Json, Raw, Result
from onrecord.event.event import Event
from onrecord.rules.called import is_own
from onrecord.rules.classify import Output, Treatment
from onrecord.rules.detection.flagging import UNCHECKED, Flagger
from onrecord.rules.sanitising import Ambiguous, labelled, signals, without_hidden

LATEST = 8  # flagged calls that later ones name
REMEMBERED = 1_000  # sessions, and people


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Screened:
    """What was seen in a result, and what the caller gets: it as it is, `body` in its place, or nothing of it."""

    flags: tuple[str, ...] = ()
    withheld: bool = False
    body: Raw | None = None

    @property
    def changed(self) -> bool:
        """Whether the caller gets something else than came."""
        return self.withheld or self.body is not None

    @property
    def reason(self) -> str:
        """Why nothing of it is handed on, in words of our own."""
        return f"the output was withheld: flagged {', '.join(self.flags)}"


AS_IT_IS = Screened()


@dataclass(slots=True)
class _Seen:
    """What was flagged in one session, or of one person: the latest calls, and all kinds of signs, which are few."""

    calls: deque[str] = field(default_factory=lambda: deque(maxlen=LATEST))
    flags: tuple[str, ...] = ()


class Screen:
    """What every result of one process passes. Threads may share it."""

    def __init__(self, flagger: Flagger, output: Output) -> None:
        """`output` holds where no rule about the tool says otherwise."""
        self._flagger = flagger
        self._output: Output = output
        self._lock = Lock()
        self._sessions: OrderedDict[str, _Seen] = OrderedDict()
        self._people: OrderedDict[tuple[str, ...], _Seen] = OrderedDict()  # by server and owner

    def judge(self, call: Call, treatment: Treatment, result: Result) -> Screened:
        """Return what is seen in `result`, and what is to be handed on."""
        body = result.body.open()
        if body is None:
            return AS_IT_IS
        output = self._output if treatment.output is None else treatment.output
        try:
            flags = signals(body, self._flagger)
            if call.direction == "client_to_server" and output != "annotate":
                return _acted_on(body, flags, output)
        except Ambiguous:
            return Screened(flags=("hidden-unicode",), withheld=True)
        except Exception:  # noqa: BLE001  # whatever went wrong, it was not looked at
            return Screened(flags=(UNCHECKED,), withheld=output != "annotate")
        return Screened(flags=flags) if flags else AS_IT_IS

    def asked(self, call: Call, call_id: str) -> tuple[str, ...]:
        """Return what is seen in what a server asks of the client, and remember it.

        Of what a client asks, it is what is known of the description of what it calls.
        """
        if call.direction == "client_to_server":
            return call.signals
        try:
            flags = signals(call.arguments.open(), self._flagger)
        except Exception:  # noqa: BLE001  # as in judge
            flags = (UNCHECKED,)
        if flags:
            self._remember(call.connection, call_id, flags)
        return flags

    def told(self, base: Event, call: Call, screened: Screened) -> Event:
        """Return `base`, the event of a result, with what was seen, and remember it."""
        if screened.flags:
            self._remember(call.connection, base.call_id, screened.flags)
        return replace(
            base,
            output_source=_source(call),
            output_sanitised=True if screened.changed else None,
            suspicious_signals=screened.flags,
            policy_decision="deny" if screened.withheld else "",
            policy_reason=screened.reason if screened.withheld else "",
        )

    def _remember(self, connection: Connection, call_id: str, flags: tuple[str, ...]) -> None:
        with self._lock:
            _note(self._sessions, connection.session_id, call_id, flags)
            _note(self._people, _person(connection), call_id, flags)

    def before(self, connection: Connection) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the latest calls whose output was flagged, oldest first, and all flags, by name.

        They are those of a session, and of the person's others with that server.
        """
        if not self._sessions:
            return (), ()
        with self._lock:
            found = self._sessions.get(connection.session_id), self._people.get(_person(connection))
            seen = [one for one in found if one is not None]
            if not seen:
                return (), ()
            calls = sorted({call for one in seen for call in one.calls})[-LATEST:]  # ids say when they were made
            return tuple(calls), tuple(sorted({flag for one in seen for flag in one.flags}))


_Key = TypeVar("_Key")


def _note(known: OrderedDict[_Key, _Seen], key: _Key, call_id: str, flags: tuple[str, ...]) -> None:
    seen = known.setdefault(key, _Seen())
    known.move_to_end(key)
    if call_id not in seen.calls:
        seen.calls.append(call_id)
    if not seen.flags or not set(flags) <= set(seen.flags):
        seen.flags = tuple(sorted({*seen.flags, *flags}))
    if len(known) > REMEMBERED:
        known.popitem(last=False)


def _person(connection: Connection) -> tuple[str, ...]:
    """Return who is behind a connection, and with which server; where nobody is known, the session stands in."""
    return (connection.server_id, *connection.owner)


def _source(call: Call) -> str:
    """Return whose word the answer to `call` is."""
    if call.direction != "client_to_server":
        return "client"
    return "onrecord" if is_own(call.method, call.name) else "server"


def _acted_on(body: Json, flags: tuple[str, ...], output: Output) -> Screened:
    if output == "block":
        return Screened(flags=flags, withheld=True) if flags else AS_IT_IS
    clean = without_hidden(body)
    if output == "label":
        clean = labelled(clean, flags)
    return Screened(flags=flags, body=Raw(clean) if clean != body else None)
