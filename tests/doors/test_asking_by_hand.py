# SPDX-License-Identifier: Apache-2.0
"""A client that answers badly, late, twice or to another call: nothing runs that was not confirmed."""

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.doors.session import Session, onrecord, record
from tests.identity.issuing import AUDIENCE, ISSUER, call_token, shown

pytestmark = pytest.mark.requirement("C5")

SERVER = str(Path(__file__).with_name("definitions_server.py"))
POLICY = """
@id("all") permit (principal, action, resource);
@id("asks") @obligation("approval") forbid (principal, action == MCP::Action::"tools/call", resource);
"""
SETTINGS = """
[policy]
engine = "cedar"
[approvals]
channels = {channels}
{more}
[[tool]]
tool = "pay"
tier = 3
"""
LOCAL = '[webauthn]\nrp_id = "localhost"\norigins = ["https://localhost"]'
YES = {"action": "accept", "content": {"approve": True}}
NEW, OLD = "2026-07-28", "2025-11-25"
FORMS = {"elicitation": {}}


class Client(Session):
    """A client of either era, whose user is asked."""

    def __init__(
        self,
        home,
        era,
        *,
        more="",
        policy=POLICY,
        capabilities=FORMS,
        ready=True,
        channels=("cli", "elicitation"),
    ):
        (home / "policies").mkdir(parents=True, exist_ok=True)
        (home / "policies" / "team.cedar").write_text(policy)
        (home / "onrecord.toml").write_text(SETTINGS.format(more=more, channels=list(channels)))
        self.plan = home / "plan.json"
        self.plan.write_text(json.dumps({"pages": [[{"name": "pay", "inputSchema": {"type": "object"}}]]}))
        super().__init__(home, command=[sys.executable, SERVER, str(self.plan)], listed=False)
        self.era = era
        self.meta = {}
        if era == OLD:
            self.ask(
                "initialize", protocolVersion=OLD, capabilities=capabilities, clientInfo={"name": "c", "version": "1"}
            )
            if ready:
                self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        else:
            names = {"protocolVersion": NEW, "clientCapabilities": capabilities}
            self.meta = {"_meta": {f"io.modelcontextprotocol/{name}": value for name, value in names.items()}}
        self.ask("tools/list", **self.meta)

    def pay(self, amount=5, **back):
        """Ask for a payment and return what comes: its answer, or a question."""
        return self.ask("tools/call", name="pay", arguments={"amount": amount}, **back, **self.meta)

    def question(self, amount=5, **back):
        """Ask for a payment; return the id or the name of the question that comes, and the state."""
        message = self.pay(amount, **back)
        if self.era == OLD:
            assert message["method"] == "elicitation/create"
            return message["id"], ""
        assert message["result"]["resultType"] == "input_required"
        return next(iter(message["result"]["inputRequests"])), message["result"]["requestState"]

    def answer(self, question, result):
        """Answer a question of a client of the older revision."""
        self.send({"jsonrpc": "2.0", "id": question, "result": result})

    def answered(self, result, amount=5):
        """Ask for a payment, answer the question that comes with `result`, and return what comes then."""
        question, state = self.question(amount)
        if self.era == OLD:
            self.answer(question, result)
            return self.receive()
        return self.pay(amount, inputResponses={question: result}, requestState=state)

    @property
    def ran(self):
        """How often the tool ran."""
        file = Path(f"{self.plan}.ran")
        return len(file.read_text().splitlines()) if file.exists() else 0


def said(message):
    return message["result"]["content"][0]["text"]


def ends(home):
    """Return why each of the calls that were not made ended."""
    made = [e for e in record(home) if e["event_type"] == "tool_call" and e["phase"] == "result"]
    return [e["error_type"] for e in made if e["result_status"] in ("blocked", "cancelled")]


def approvals(home):
    return [e["action"] for e in record(home) if e["event_type"] == "approval"]


@pytest.mark.parametrize("era", [OLD, NEW])
@pytest.mark.parametrize(
    ("answer", "stands"),
    [
        ({"action": "decline"}, False),
        ({"action": "accept", "content": {"approve": False}}, False),
        ({"action": "cancel"}, True),
        ({"action": "accept", "content": {}}, True),
    ],
    ids=["declined", "unticked", "dismissed", "sent off empty"],
)
def test_what_is_not_a_yes_never_reaches_the_server(tmp_path, era, answer, stands):
    with Client(tmp_path, era, more=f'wait = "{"500ms" if stands else "60s"}"') as client:
        told = client.answered(answer)
        client.end()

    assert told["result"]["isError"]
    assert client.ran == 0
    assert approvals(tmp_path) == ["requested", *([] if stands else ["withdrawn"])]
    assert ends(tmp_path) == ["approval_pending" if stands else "approval_rejected"]
    asked = next(e for e in record(tmp_path) if e["event_type"] == "approval")
    assert (asked["approval_id"] in said(told)) == stands


@pytest.mark.parametrize(
    ("era", "how"),
    [
        (NEW, {"capabilities": {}}),
        (NEW, {"capabilities": {"elicitation": {"url": {}}}}),
        (OLD, {"capabilities": {}}),
        (OLD, {"capabilities": {"elicitation": None}}),
        (OLD, {"ready": False}),
        (OLD, {"more": "four_eyes_from = 3"}),
        (NEW, {"more": "four_eyes_from = 3"}),
        (NEW, {"more": f"step_up_from = 3\n{LOCAL}", "channels": ["elicitation", "webauthn"]}),
        (NEW, {"more": "quorum = 2"}),
        (NEW, {"policy": POLICY.replace("@obligation", '@approvers("treasurer") @obligation')}),
    ],
)
def test_a_user_who_cannot_be_asked_or_whose_word_is_not_enough_is_not_asked(tmp_path, era, how):
    how = dict(how)
    terms = 'wait = "300ms"\n' + how.pop("more", "")
    with Client(tmp_path, era, more=terms, **how) as client:
        told = client.pay()
        client.end()

    assert "needs an approval" in said(told)
    assert client.ran == 0
    assert ends(tmp_path) == ["approval_pending"]


def drop_state(client):
    question, _ = client.question()
    return client.pay(inputResponses={question: YES})


def drop_answer(client):
    _, state = client.question()
    return client.pay(requestState=state)


def swap_arguments(client):
    question, state = client.question()
    return client.pay(500, inputResponses={question: YES}, requestState=state)


def swap_states(client):
    question, _ = client.question(5)
    _, state = client.question(500)
    return client.pay(500, inputResponses={question: YES}, requestState=state)


def change_state(client):
    question, state = client.question()
    changed = state[:-9] + ("A" if state[-9] != "A" else "B") + state[-8:]
    return client.pay(inputResponses={question: YES}, requestState=changed)


def swap_the_tool(client):
    question, state = client.question()
    params = {"name": "pay2", "arguments": {"amount": 5}, "inputResponses": {question: YES}, "requestState": state}
    return client.ask("tools/call", **params, **client.meta)


def bring_more(client):
    question, state = client.question()
    answers = {question: {"action": "decline"}, "theirs": YES}
    return client.pay(inputResponses=answers, requestState=state)


FAULTS = {
    "drops the state": (drop_state, "approval_refused", "without its state"),
    "drops the answer": (drop_answer, "approval_pending", "needs an approval"),
    "swaps the arguments": (swap_arguments, "approval_mismatch", "not what was answered"),
    "swaps the tool": (swap_the_tool, "approval_mismatch", "not what was answered"),
    "swaps the states": (swap_states, "approval_pending", "needs an approval"),
    "changes the state": (change_state, "approval_refused", "was changed"),
    "answers another question too": (bring_more, "approval_rejected", "rejected"),
}


@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_client_that_does_otherwise_than_it_was_told_gets_nothing_run(tmp_path, fault):
    act, error_type, why = FAULTS[fault]
    with Client(tmp_path, NEW) as client:
        told = act(client)
        client.end()

    assert told["result"]["isError"]
    assert why in said(told)
    assert client.ran == 0
    assert ends(tmp_path) == [error_type]
    alarms = [e for e in record(tmp_path) if e["event_type"] == "security"]
    assert [e["action"] for e in alarms] == ["approval_refused"] * (
        error_type in ("approval_refused", "approval_mismatch")
    )


def test_a_confirmation_is_used_once_by_whichever_request_brings_it_first(tmp_path):
    with Client(tmp_path, NEW) as client:
        question, state = client.question()
        back = {"inputResponses": {question: YES}, "requestState": state}
        for _ in range(4):
            client.begin("tools/call", name="pay", arguments={"amount": 5}, **back, **client.meta)
        answers = [client.receive() for _ in range(4)]
        client.end()

    assert client.ran == 1
    assert sorted("isError" in answer["result"] for answer in answers) == [False, True, True, True]
    assert approvals(tmp_path) == ["requested", "approved"]
    assert len([e for e in record(tmp_path) if e.get("phase") == "decision"]) == 1


ANSWERS = {"yes": YES, "no": {"action": "decline"}, "nothing": {"action": "cancel"}, "a word": "yes"}
STEPS = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 9), st.integers(0, 9), st.sampled_from(["yes", "yes", *ANSWERS])),
    min_size=10,
    max_size=40,
)


@settings(max_examples=6, deadline=None)
@given(STEPS)
def test_whatever_a_client_mixes_each_run_is_that_of_one_yes_to_its_own_question(tmp_path_factory, steps):
    asked, decided, runs = [], set(), 0
    with Client(tmp_path_factory.mktemp("mixed"), NEW) as client:
        for amount, one, other, answer in steps:
            told = client.pay(amount)
            asked.append((amount, next(iter(told["result"]["inputRequests"])), told["result"]["requestState"]))
            _, name, _ = asked[one % len(asked)]
            about, question, state = asked[other % len(asked)]
            told = client.pay(amount, inputResponses={name: ANSWERS[answer]}, requestState=state)
            counts = name == question and about == amount and question not in decided
            assert ("isError" not in told["result"]) == (counts and answer == "yes")
            runs += "isError" not in told["result"]
            decided |= {question} if counts and answer in ("yes", "no") else set()
        client.end()
    assert client.ran == runs


def test_a_confirmation_goes_with_its_call_through_each_event(tmp_path):
    with Client(tmp_path, NEW) as client:
        assert said(client.answered(YES)) == "ran"
        client.end()

    call = [e for e in record(tmp_path) if e["event_type"] == "tool_call"]
    assert [(e["phase"], e.get("round", 0)) for e in call] == [
        ("attempt", 0),
        ("result", 0),
        ("attempt", 1),
        ("decision", 1),
        ("result", 1),
    ]
    assert len({e["call_id"] for e in call}) == len({e["approval_id"] for e in call[:4]}) == 1
    assert call[2]["forwarded_without"] == ["/params/inputResponses", "/params/requestState"]
    assert "repeats" not in call[2]


def test_a_call_that_is_given_up_takes_its_question_back_and_a_late_yes_runs_nothing(tmp_path):
    with Client(tmp_path, OLD) as client:
        question, _ = client.question()
        client.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": client.next_id}})
        told = client.receive()
        client.answer(question, YES)
        assert client.ask("tools/list")["result"]
        client.end()

    assert (told["method"], told["params"]["requestId"]) == ("notifications/cancelled", question)
    assert client.ran == 0
    assert ends(tmp_path) == ["approval_pending"]
    assert approvals(tmp_path) == ["requested"]


def approve(home):
    """Approve the only request of `home` on the command line."""
    [asked] = [e for e in record(home) if e.get("action") == "requested"]
    told = onrecord(home, "approvals", "approve", asked["approval_id"], "--yes")
    assert told.returncode == 0, told.stderr


def test_who_declines_in_their_client_is_heeded_although_it_was_approved_meanwhile(tmp_path):
    with Client(tmp_path, NEW) as client:
        question, state = client.question()
        approve(tmp_path)
        told = client.pay(inputResponses={question: {"action": "decline"}}, requestState=state)
        client.end()

    assert told["result"]["isError"]
    assert client.ran == 0
    assert ends(tmp_path) == ["approval_rejected"]


def test_a_call_that_is_approved_elsewhere_runs_and_its_question_is_taken_back(tmp_path):
    with Client(tmp_path, OLD) as client:
        question, _ = client.question()
        approve(tmp_path)
        messages = [client.receive(), client.receive()]
        client.end()

    [taken_back] = [m["params"]["requestId"] for m in messages if m.get("method") == "notifications/cancelled"]
    assert taken_back == question
    assert [said(m) for m in messages if "result" in m] == ["ran"]
    assert client.ran == 1


ALL = POLICY.replace('action == MCP::Action::"tools/call"', "action")


def test_a_prompt_is_confirmed_as_a_tool_is(tmp_path):
    with Client(tmp_path, NEW, policy=ALL) as client:
        about = {"name": "greet", **client.meta}
        asked = client.ask("prompts/get", **about)["result"]
        [question] = asked["inputRequests"]
        back = {"inputResponses": {question: YES}, "requestState": asked["requestState"]}
        told = client.ask("prompts/get", **about, **back)
        client.end()

    assert told["result"] == {"messages": []}
    assert approvals(tmp_path) == ["requested", "approved"]


def test_in_the_result_of_a_request_that_cannot_ask_nothing_is_asked(tmp_path):
    with Client(tmp_path, NEW, policy=ALL, more='wait = "300ms"') as client:
        told = client.ask("completion/complete", ref={"type": "ref/prompt", "name": "greet"}, **client.meta)
        client.end()

    assert "needs an approval" in told["error"]["message"]


def test_an_answer_goes_to_nobody_but_us_and_counts_once(tmp_path):
    with Client(tmp_path, OLD) as client:
        question, _ = client.question()
        client.answer(question, YES)
        assert said(client.receive()) == "ran"
        client.answer(question, YES)
        client.answer(question, {"action": "decline"})
        client.ask("tools/list")
        client.end()

    assert client.ran == 1
    assert approvals(tmp_path) == ["requested", "approved"]
    assert not [e for e in record(tmp_path) if e["event_type"] == "security"]


def test_a_client_that_cannot_answer_leaves_the_call_waiting(tmp_path):
    with Client(tmp_path, OLD, more='wait = "500ms"') as client:
        question, _ = client.question()
        client.send({"jsonrpc": "2.0", "id": question, "error": {"code": -32601, "message": "no"}})
        told = client.receive()
        client.end()

    assert "needs an approval" in said(told)
    assert client.ran == 0


def test_a_question_takes_nothing_from_other_messages_of_the_connection(tmp_path):
    with Client(tmp_path, OLD) as client:
        question, _ = client.question()
        waits = client.next_id
        assert client.ask("tools/list")["result"]["tools"]
        client.answer(question, YES)
        done = client.receive()
        client.end()

    assert (done["id"], said(done)) == (waits, "ran")


@pytest.mark.requirement("C3")
@pytest.mark.parametrize("subject", ["ada@people.example", "eve@people.example"])
def test_only_who_asked_confirms_and_their_token_covers_the_answer(tmp_path, subject):
    (tmp_path / "keys.json").write_bytes(shown())
    about = f'[identity]\nissuer = "{ISSUER}"\naudience = "{AUDIENCE}"\njwks = "keys.json"\nrequired = true\n'
    with Client(tmp_path, NEW, more=about) as client:
        meta = client.meta["_meta"]

        def signed(arguments, subject="ada@people.example"):
            return {"_meta": {**meta, "io.onrecord/identity": call_token("pay", arguments, sub=subject)}}

        client.meta = signed({"amount": 5})
        question, state = client.question()
        answers = {question: YES}
        client.meta = signed({"arguments": {"amount": 5}, "inputResponses": answers}, subject)
        told = client.pay(inputResponses=answers, requestState=state)
        client.end()

    assert client.ran == (subject == "ada@people.example")
    assert ends(tmp_path) == ([] if client.ran else ["approval_mismatch"])
    assert ("not what was answered" in said(told)) == (not client.ran)
    [attempt] = [e for e in record(tmp_path) if e.get("round") == 1 and e["phase"] == "attempt"] or [{}]
    assert client.ran == ("/params/_meta/io.onrecord~1identity" in attempt.get("forwarded_without", ()))


def test_the_record_of_confirmed_calls_verifies(tmp_path):
    for era in (OLD, NEW):
        with Client(tmp_path, era) as client:
            assert said(client.answered(YES)) == "ran"
            client.end()
    assert onrecord(tmp_path, "verify", "--allow-unanchored").returncode == 0


def test_what_a_question_shows_is_a_block_of_code_where_markdown_is_rendered(tmp_path):
    with Client(tmp_path, era=NEW) as client:
        told = client.ask("tools/call", name="pay", arguments={"**approved**": 5}, **client.meta)
        (asked,) = told["result"]["inputRequests"].values()
        head, _, *view = asked["params"]["message"].split("\n")
        client.end()
    assert head.startswith("OnRecord asks")
    assert any("**approved**" in line for line in view)
    assert all(line.startswith("    ") for line in view)
