# SPDX-License-Identifier: Apache-2.0
"""A question of ours travels through the client and back, and nothing of it reaches the server."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.doors import wire
from onrecord.doors.rounds import LARGEST_STATE, NONCE, Rounds, Taken, answer_in, question_line, withdrawal_line
from onrecord.doors.wire import Request
from onrecord.errors import MessageRefused

pytestmark = pytest.mark.requirement("C5", "F2")

ROUNDS, OTHERS = Rounds(b"a secret of thirty-two bytes, yes"), Rounds(b"another secret of thirty-two byte")
APPROVAL, STATEMENT = "0199-an-approval", "ab" * 32
EXPIRES = 1_000
YES = {"action": "accept", "content": {"approve": True}}

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def message(number: int = 1, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": "pay", **params}}


def encoded(value: dict[str, Any], indent: Any = None, *, ascii_only: bool = True) -> bytes:
    return json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()


def asked(line: bytes, rounds: Rounds = ROUNDS, nonce: bytes = bytes(NONCE)) -> tuple[str, str]:
    """Ask about the request `line`; return the name of the question and the state, as the client gets them."""
    state = rounds.sealed(line, APPROVAL, STATEMENT, EXPIRES, nonce)
    result = json.loads(rounds.asked_line(1, APPROVAL, "pay 5?", state))["result"]
    [(name, question)] = result["inputRequests"].items()
    assert result["resultType"] == "input_required"
    assert question["method"] == "elicitation/create"
    assert question["params"]["message"] == "pay 5?"
    return name, result["requestState"]


def taken(line: bytes, rounds: Rounds = ROUNDS, now_us: int = EXPIRES - 1) -> Taken | None:
    request = wire.decode(line)
    assert isinstance(request, Request)
    return rounds.take(request, line, now_us)


def fault_of(line: bytes, now_us: int = EXPIRES - 1) -> str:
    found = taken(line, now_us=now_us)
    assert found is not None
    assert found.confirmation.approval_id == found.confirmation.statement == ""
    assert found.confirmation.answer == "none"
    return found.confirmation.fault


def test_a_confirmed_call_goes_on_as_it_came_the_first_time() -> None:
    first = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"pay","arguments":{"amount":5.10}}}\n'
    name, state = asked(first)
    again = (
        b'{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"pay","arguments":{"amount":5.10},'
        + f'"inputResponses":{json.dumps({name: YES})},"requestState":{json.dumps(state)}}}}}\n'.encode()
    )
    found = taken(again)
    assert found is not None
    assert found.line == first.replace(b'"id":1', b'"id":2')
    assert (found.confirmation.approval_id, found.confirmation.statement) == (APPROVAL, STATEMENT)
    assert (found.confirmation.answer, found.confirmation.fault) == ("approved", "")


@given(
    st.dictionaries(st.text(max_size=6), JSON, max_size=3),
    st.none() | st.text(max_size=20),
    st.none() | st.dictionaries(st.text(max_size=6), JSON, max_size=3),
    st.sampled_from([None, 1, "\t"]),
    st.booleans(),
    st.dictionaries(st.text(max_size=6), JSON, max_size=2),
)
def test_what_the_client_had_brought_for_the_server_is_back_in_the_request(
    more: dict[str, Any],
    state: str | None,
    answers: dict[str, Any] | None,
    indent: Any,
    ascii_only: bool,
    smuggled: dict[str, Any],
) -> None:
    brought: dict[str, Any] = {} if state is None else {"requestState": state}
    brought |= {} if answers is None else {"inputResponses": answers}
    rest = {key: value for key, value in more.items() if key not in ("requestState", "inputResponses")}
    first = encoded(message(1, **rest, **brought), indent, ascii_only=ascii_only)
    try:
        wire.decode(first)
    except MessageRefused:
        return
    assert taken(first) is None

    name, ours = asked(first)
    retry = {**rest, "requestState": ours, "inputResponses": {**smuggled, name: YES}}
    found = taken(encoded(message(2, **retry), indent, ascii_only=ascii_only))
    assert found is not None
    assert found.confirmation.answer == "approved"
    assert found.request == wire.decode(found.line)
    assert found.request == wire.decode(encoded(message(2, **rest, **brought)))


@given(st.data())
def test_a_state_that_was_changed_is_never_believed(data: st.DataObject) -> None:
    line = encoded(message(arguments={"amount": 5}))
    name, state = asked(line)
    at = data.draw(st.integers(0, len(state) - 1))
    letter = data.draw(st.sampled_from("abcXYZ019-_.=é \\\n"))
    changed = data.draw(
        st.sampled_from([state[:at] + letter + state[at + 1 :], state[:at], state + letter, letter + state])
    )
    if changed == state:
        return
    found = taken(encoded(message(2, requestState=changed, inputResponses={name: YES})))
    assert found is not None  # the answer alone is seen
    assert found.confirmation.fault
    assert found.confirmation.answer == "none"


def test_an_answer_without_the_state_of_its_question_is_worth_nothing() -> None:
    name, _ = asked(encoded(message()))
    assert fault_of(encoded(message(2, inputResponses={name: YES}))) == (
        "the answer to the question came without its state"
    )
    assert fault_of(encoded(message(2, inputResponses={name: YES}, requestState="the server's")))


def test_an_answer_to_one_question_does_not_answer_another() -> None:
    first = encoded(message())
    _, state = asked(first)
    other = ROUNDS.asked_line(
        1, "another-approval", "", ROUNDS.sealed(first, "another-approval", "", EXPIRES, bytes(12))
    )
    [name] = json.loads(other)["result"]["inputRequests"]
    found = taken(encoded(message(2, inputResponses={name: YES}, requestState=state)))
    assert found is not None
    assert found.confirmation.answer == "none"
    assert b"inputResponses" not in found.line


def test_a_question_that_has_expired_is_not_answered() -> None:
    name, state = asked(encoded(message()))
    again = encoded(message(2, inputResponses={name: YES}, requestState=state))
    assert fault_of(again, now_us=EXPIRES) == "the question has expired"


def test_a_state_that_another_wrapper_has_sealed_passes_as_the_servers() -> None:
    name, state = asked(encoded(message()), OTHERS)
    assert taken(encoded(message(2, inputResponses={name: YES}, requestState=state))) is None


def test_two_wrappers_around_one_server_each_get_their_answer() -> None:
    first = encoded(message(arguments={"amount": 5}))
    inner_name, inner_state = asked(first, OTHERS)
    second = encoded(message(2, arguments={"amount": 5}, inputResponses={inner_name: YES}, requestState=inner_state))
    outer_name, outer_state = asked(second)
    third = encoded(message(3, arguments={"amount": 5}, inputResponses={outer_name: YES}, requestState=outer_state))
    outer = taken(third)
    assert outer is not None
    inner = taken(outer.line, OTHERS)
    assert inner is not None
    assert inner.confirmation.answer == "approved"
    assert wire.decode(inner.line) == wire.decode(encoded(message(3, arguments={"amount": 5})))


def test_the_state_shows_nothing_of_what_it_carries() -> None:
    _, state = asked(encoded(message(requestState="of the server", inputResponses={"who": "ann"})))
    for text in ("server", "ann", APPROVAL, STATEMENT):
        assert text not in state


def test_what_is_too_large_to_be_carried_is_not_asked_about() -> None:
    line = encoded(message(inputResponses={"text": "x" * LARGEST_STATE}))
    assert ROUNDS.sealed(line, APPROVAL, STATEMENT, EXPIRES, bytes(NONCE)) == ""


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        (YES, "approved"),
        ({"action": "accept", "content": {"approve": True, "more": 1}}, "approved"),
        ({"action": "accept", "content": {"approve": False}}, "rejected"),
        ({"action": "decline"}, "rejected"),
        ({"action": "decline", "content": {"approve": True}}, "rejected"),
        ({"action": "cancel"}, "none"),
        ({"action": "cancel", "content": {"approve": True}}, "none"),
        ({"action": "accept"}, "none"),
        ({"action": "accept", "content": {}}, "none"),
        ({"action": "accept", "content": {"approve": 1}}, "none"),
        ({"action": "accept", "content": {"approve": "true"}}, "none"),
        ({"action": "accept", "content": [True]}, "none"),
        ({"content": {"approve": True}}, "none"),
        ([], "none"),
        (None, "none"),
    ],
)
def test_only_a_form_that_somebody_filled_in_is_a_yes(result: Any, answer: str) -> None:
    assert answer_in(result) == answer


@given(JSON)
def test_any_answer_is_read(result: Any) -> None:
    assert answer_in(result) in ("rejected", "none")


def test_an_older_client_is_asked_by_a_request_and_told_when_that_is_over() -> None:
    question = json.loads(question_line("onrecord-1", "pay 5?"))
    assert (question["id"], question["method"]) == ("onrecord-1", "elicitation/create")
    assert question["params"]["requestedSchema"]["required"] == ["approve"]
    assert "mode" not in question["params"]
    told = json.loads(withdrawal_line("onrecord-1", "decided"))
    assert told["method"] == "notifications/cancelled"
    assert told["params"] == {"requestId": "onrecord-1", "reason": "decided"}
