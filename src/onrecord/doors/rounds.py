# SPDX-License-Identifier: Apache-2.0
"""A question of ours to the person behind a client, and how its answer is told from everything else. Pure.

Up to 2025-11-25 a question is a request to the client while its own request waits: `question_line`, with an id that
only this process knows.

From 2026-07-28 on nobody asks a client. A server ends a request with questions and `requestState`, and the client
sends the request again, with the answers and that state. Here the question is ours: `asked_line` ends the request in
place of the server, which has not seen it; `Rounds.take` finds what is ours in the request that comes back, and takes
it out. What goes on is the request as it was: the members that the client added for us are gone, and those that it
had brought for the server, an earlier state and answers, are back, as the same text.

    client                      here                                       server
      call, state S, answers A ─▶ held: not forwarded
      ◀─ question, state [S A]
      call, state [S A], yes ───▶ call, state S, answers A ────────────────▶

Our state is a text that the client must not read and could change: AES-256-GCM under a key of this process, so that
nothing in it is believed unless we wrote it. It carries what the client would not send again. It names the statement
that the question was about (`rules/approval.py`), and so the person, the call, its answers, the definition, the policy
and the time; that the request is still that of the statement, and that it counts once, is for the guard to see. A
state that another wrapper inside of this one has sealed bears the mark of its own key, and passes as the server's.

An answer counts as a yes only where a person must have given it: a form that was sent off empty is none.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from onrecord.doors import wire
from onrecord.doors.metadata import member_text, with_members
from onrecord.doors.wire import Object, Request, is_object
from onrecord.errors import MessageRefused
from onrecord.event.call import Answer, Confirmation, Json, RequestId

METHODS = frozenset({"tools/call", "resources/read", "prompts/get"})  # whose results may ask: 2026-07-28, MRTR
LARGEST_STATE = 256 * 1024  # characters; a client sends it back, and HTTP servers take some MiB
NONCE, SECRET = 12, 32  # bytes

PLACES = ("/params/inputResponses", "/params/requestState")  # of what is ours, as JSON Pointers

_STATE, _ANSWERS = "requestState", "inputResponses"
_PREFIX = "onrecord1."
_MARK = 6  # bytes that tell one key from another
_APPROVE = "approve"
_FORM: Final[Mapping[str, Json]] = {
    "type": "object",
    "properties": {_APPROVE: {"type": "boolean", "title": "Approve", "description": "Run exactly this call, once"}},
    "required": [_APPROVE],
}


class Carried(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a state of ours says. `state` and `answers` are JSON texts, "" where the request had none."""

    approval_id: str
    statement: str
    expires_us: int
    state: str = ""
    answers: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A request that was `sent` again, without what is ours: what is judged, and the same as the line that goes on."""

    sent: Request
    request: Request
    line: bytes
    confirmation: Confirmation


class Rounds:
    """Seals what is asked in one round, and opens it in the next."""

    def __init__(self, secret: bytes) -> None:
        """`secret` has `SECRET` bytes or more. Who has another asks other questions."""
        key = hmac.digest(secret, b"onrecord rounds", "sha256")
        self._key = AESGCM(key)
        self._mark = _text(hashlib.sha256(b"onrecord rounds mark " + key).digest()[:_MARK])
        self._bound = (_PREFIX + self._mark).encode()

    def sealed(self, line: bytes, approval_id: str, statement: str, expires_us: int, nonce: bytes) -> str:
        """Return the state for a question about the request `line`; "" where it would be too large to carry.

        `nonce` has `NONCE` random bytes. What stood in the request for the server comes along.
        """
        carried = Carried(
            approval_id=approval_id,
            statement=statement,
            expires_us=expires_us,
            state=member_text(line, _STATE),
            answers=member_text(line, _ANSWERS),
        )
        closed = self._key.encrypt(nonce, msgspec.json.encode(carried), self._bound)
        token = self._bound.decode() + _text(nonce + closed)
        return token if len(token) <= LARGEST_STATE else ""

    def asked_line(self, request_id: RequestId, approval_id: str, message: str, state: str) -> bytes:
        """Return the result that asks: the view of what is to run, as one form."""
        question = {"method": "elicitation/create", "params": {"mode": "form", **_question(message)}}
        result = {"resultType": "input_required", "inputRequests": {self._name(approval_id): question}, _STATE: state}
        return _line(id=request_id, result=result)

    def take(self, request: Request, line: bytes, now_us: int) -> Taken | None:
        """Return the request `line` without what is ours, and what that says; None where nothing of it is.

        A fault is told in the confirmation, and then the request must not go on. Raises MessageRefused where what is
        ours can't be taken out.
        """
        state, answers = request.params.get(_STATE), request.params.get(_ANSWERS)
        ours = isinstance(state, str) and state.startswith(self._bound.decode())
        named = is_object(answers) and any(name.startswith(self._name("")) for name in answers)
        if not ours:
            return self._faulty(request, line, "the answer to the question came without its state") if named else None
        carried = self._opened(str(state))
        if carried is None:
            return self._faulty(request, line, "the state of the question was changed")
        if now_us >= carried.expires_us:
            return self._faulty(request, line, "the question has expired")
        given = answers.get(self._name(carried.approval_id)) if is_object(answers) else None
        confirmation = Confirmation(
            approval_id=carried.approval_id,
            statement=carried.statement,
            answer=answer_in(given),
            key=key_of(str(state)),
        )
        onward, rest = _restored(request, line, carried)
        return Taken(sent=request, request=rest, line=onward, confirmation=confirmation)

    def _name(self, approval_id: str) -> str:
        return f"onrecord/{self._mark}/{approval_id}"

    def _faulty(self, request: Request, line: bytes, fault: str) -> Taken:
        return Taken(sent=request, request=request, line=line, confirmation=Confirmation(fault=fault))

    def _opened(self, state: str) -> Carried | None:
        """Return what a state with our mark says; None where we have not written it."""
        try:
            closed = _bytes(state[len(self._bound) :])
            return msgspec.json.decode(self._key.decrypt(closed[:NONCE], closed[NONCE:], self._bound), type=Carried)
        except (ValueError, InvalidTag):
            return None


def key_of(state: str) -> str:
    """Return what links a request that brings `state` to the one that was answered with it."""
    return hashlib.sha256(f"ours:{state}".encode()).hexdigest()


def answer_in(result: Json) -> Answer:
    """Return what the answer to a question of ours says. What is neither yes nor no is no answer."""
    if not is_object(result):
        return "none"
    if result.get("action") == "decline":
        return "rejected"
    content = result.get("content")
    choice = content.get(_APPROVE) if result.get("action") == "accept" and is_object(content) else None
    if choice is True:
        return "approved"
    return "rejected" if choice is False else "none"


def question_line(question_id: str, message: str) -> bytes:
    """Return the request that asks a client of a revision before 2026-07-28."""
    return _line(id=question_id, method="elicitation/create", params=_question(message))


def withdrawal_line(question_id: str, reason: str) -> bytes:
    """Return the notification that the question needs no answer any more."""
    return _line(method="notifications/cancelled", params={"requestId": question_id, "reason": reason})


def _question(message: str) -> Object:
    return {"message": message, "requestedSchema": dict(_FORM)}


def _restored(request: Request, line: bytes, carried: Carried) -> tuple[bytes, Request]:
    """Return the request as the server is to get it: with what the client had brought for it, and nothing else."""
    texts = {_STATE: carried.state, _ANSWERS: carried.answers}
    back = {name: text for name, text in texts.items() if text}
    onward = with_members(line, back, texts)
    params = {name: value for name, value in request.params.items() if name not in texts}
    rest = replace(request, params=params | {name: json.loads(text) for name, text in back.items()})
    again = wire.decode(onward)
    if not isinstance(again, Request) or again != rest:
        raise MessageRefused("what is not to be handed on cannot be taken out of it", wire.AMBIGUOUS)
    return onward, again


def _line(**members: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **members}, separators=(",", ":")).encode() + b"\n"


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    """Return what `text` encodes. Raises ValueError, also where it is another spelling of the same."""
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _text(raw) != text:
        raise ValueError("not in canonical form")
    return raw
