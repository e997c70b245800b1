# SPDX-License-Identifier: Apache-2.0
"""Asks the user of one client to confirm a call that waits, in the client itself, and takes the answer.

Whether a client can be asked is its own word: that it shows forms, given in `initialize` or with each request. Nothing
is asked of a client of an older revision before it has said that it is initialised, and nothing where the revision
that the two ends agreed on knows no questions. How a question looks, and how it comes back, is in `rounds.py`.

The answer is the user's confirmation, as the client tells it. It is a vote like any other, by who asked
(`rules/approval.py`), and counts only where the terms ask for nobody else. Nothing here sends, and nothing here makes
a call run: an answer changes how its request stands, and that is looked at. Threads may share it.
"""

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from threading import Lock

from onrecord.approving import Approver, Look
from onrecord.doors import protocol, rounds
from onrecord.doors.rounds import NONCE, Rounds, Taken
from onrecord.doors.ways import Ready
from onrecord.doors.wire import Notification, Request, Response
from onrecord.errors import Denied, LedgerError
from onrecord.event.call import Answer, RequestId
from onrecord.guard import Guard
from onrecord.permits import Held, Refusal
from onrecord.rules.approval import VoteRefused, is_confirmable

REMEMBERED = 1_000  # questions that are over; a late answer to one of them goes nowhere

_VERSIONS = frozenset({"2025-06-18", "2025-11-25"})  # in which a server may send a client elicitation/create
_HEAD = "OnRecord asks before this call runs. Approve exactly this, once?"


class Asking:
    """Questions to one client."""

    def __init__(self, guard: Guard, rounds: Rounds, random: Callable[[int], bytes]) -> None:
        """`random` returns as many random bytes as it is asked for."""
        self._guard = guard
        self._random = random
        self._rounds = rounds
        self._shows_forms = False
        self._initialised = False
        self._lock = Lock()
        self._open: dict[RequestId, Held] = {}
        self._over: OrderedDict[RequestId, None] = OrderedDict()
        self._answers: dict[Held, Answer] = {}

    def hear(self, message: Request | Notification) -> None:
        """Learn what the client says of itself."""
        if message.method == "initialize":
            self._shows_forms = protocol.shows_forms(message.params)
        elif message.method == "notifications/initialized":
            self._initialised = True

    def take(self, request: Request, line: bytes) -> Taken | None:
        """Return a request of the client without the answer to a question of ours, None where it has none."""
        return self._rounds.take(request, line, self._guard.now_us()) if request.method in rounds.METHODS else None

    # questions

    def in_result(self, held: Held, request: Request, line: bytes) -> Ready | None:
        """End `request`, which is `line`, with a question about it; None where that can't be, and it waits on."""
        about, params = held.statement, request.params
        ends = protocol.is_modern(params) and request.method in rounds.METHODS and protocol.shows_forms(params)
        if not ends or not _is_to_be_asked(held):
            return None
        state = self._rounds.sealed(line, about.id, about.digest(), about.expires_us, self._random(NONCE))
        ending = self._guard.ask(held, rounds.key_of(state)) if state else None
        if ending is None:
            return None
        question = self._rounds.asked_line(request.id, about.id, _message(held), state)
        return lambda: _recorded(ending, question)

    def by_request(self, held: Held, request: Request, version: str) -> bytes | None:
        """Return a request that asks about `request`, which waits; None where the client can't be asked.

        `version` is the revision that the two ends agreed on. The answer is known by `answered`.
        """
        can = (
            self._initialised and self._shows_forms and version in _VERSIONS and not protocol.is_modern(request.params)
        )
        if not can or not _is_to_be_asked(held):
            return None
        question_id = f"onrecord-{self._guard.new_id()}"
        with self._lock:
            self._open[question_id] = held
        return rounds.question_line(question_id, _message(held))

    def withdrawn(self, held: Held) -> bytes | None:
        """Return what tells the client that a question needs no answer any more; None where none is open."""
        with self._lock:
            self._answers.pop(held, None)
            question_id = next((name for name, other in self._open.items() if other is held), None)
            if question_id is None:
                return None
            self._close(question_id)
        return rounds.withdrawal_line(str(question_id), "the call no longer waits")

    # answers

    def answered(self, response: Response) -> bool:
        """Say whether a message of the client is an answer to a question of ours, and keep it until `look`.

        An error is neither yes nor no.
        """
        with self._lock:
            if response.id is None or response.id in self._over:
                return response.id is not None
            held = self._open.get(response.id)
            if held is not None:
                self._close(response.id)
                self._answers[held] = rounds.answer_in(response.result)
        return held is not None

    def look(self, held: Held) -> Look:
        """Return how the request of a call stands, once the answer to its question, if there is one, is counted."""
        with self._lock:
            answer = self._answers.pop(held, "none")
        if held.call.confirmation is not None:
            answer = held.call.confirmation.answer
        approving = self._guard.approving
        if answer == "none" or approving is None:
            return held.look()
        with suppress(VoteRefused, LedgerError):  # on the record, or not counted: how the request stands is what counts
            by = Approver(actor=held.call.connection.actor)
            approving.cast(held.statement.id, answer, by, "elicitation")
        look = held.look()
        return "rejected" if answer == "rejected" and look == "approved" else look  # by somebody else, meanwhile

    def _close(self, question_id: RequestId) -> None:
        del self._open[question_id]
        self._over[question_id] = None
        if len(self._over) > REMEMBERED:
            self._over.popitem(last=False)


def _is_to_be_asked(held: Held) -> bool:
    """Say whether the user's word counts, and is not known yet."""
    unknown = held.call.confirmation is None and not held.kept.votes
    return unknown and is_confirmable(held.statement) and held.call.direction == "client_to_server"


def _message(held: Held) -> str:
    """Return what is asked; indented, as clients that render Markdown then show the view as it is."""
    return "\n".join((_HEAD, "", *(f"    {line}" for line in held.kept.view)))


def _recorded(ending: Refusal, line: bytes) -> bytes:
    """Return `line` once the end of the request that it answers is durable, or cannot become so."""
    with suppress(Denied):
        ending.redeem()
    return line
