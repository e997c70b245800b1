# SPDX-License-Identifier: Apache-2.0
"""Whatever a client puts where params, arguments, `_meta`, ids, states and answers belong, with a policy in force.

Each message gets at most one answer, and one event says so if it does not pass; what passes is what came, and what is
refused reaches nobody. What stands where an identity belongs is in `test_identity_any.py`; a client that answers a
question badly, in `test_asking_by_hand.py`.
"""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.doors.piped import Piped

from onrecord.config import build_recorder
from onrecord.doors import protocol, wire
from onrecord.doors.protocol import QUIET
from onrecord.event.call import Actor
from onrecord.ledger.place import Home
from onrecord.settings import load

pytestmark = pytest.mark.requirement("C1", "C2")

POLICY = """
@id("echoes") permit (principal, action == MCP::Action::"tools/call", resource == MCP::Tool::"echo");
@id("pays") permit (principal, action == MCP::Action::"tools/call", resource == MCP::Tool::"pay");
@id("much") forbid (principal, action, resource) when { context.input has amount && context.input.amount > 100 };
@id("stores") permit (principal, action == MCP::Action::"tools/call", resource == MCP::Tool::"store");
@id("approval") @obligation("approval") forbid (principal, action, resource == MCP::Tool::"store");
"""
SETTINGS = """
[policy]
engine = "cedar"
[approvals]
channels = ["cli", "elicitation"]
[trace]
propagate = true
[[tool]]
tool = "store"
tier = 3
[[tool]]
tool = "pay"
tier = 1
policy_input = { "/amount" = "long" }
[[tool]]
tool = "echo"
tier = 1
"""
NONE = object()
LIGHT = settings(max_examples=80)
NOT_RUN = {wire.AMBIGUOUS, wire.PARSE_ERROR, wire.INVALID_PARAMS, wire.DENIED, wire.SERVER_GONE, wire.NOT_RECORDED}
DECIDED = {"erase": "deny", "store": "needs_approval", "echo": "allow"}
MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
}

text = st.text(max_size=12) | st.text(st.characters(), max_size=3)  # of which the second may be half a character
leaf = st.none() | st.booleans() | st.integers() | st.floats() | text | st.just(10**400)
JSON = st.recursive(
    leaf,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=10,
)
DEEP = st.integers(100, 200).map(lambda depth: json.loads("[" * depth + "]" * depth))
IDS = st.integers(-(2**53), 2**53) | text
PARAMS = ["name", "arguments", "uri", "_meta", "inputResponses", "requestState", "requestId", "task", "ref", "cursor"]
ALMOST = ["Name", "ARGUMENTS", "_Meta", "requeſtState", "inputresponses", "URI"]  # which some readers take for others
ODD = [*ALMOST, "\N{KELVIN SIGN}", "__proto__", ""]
METHODS = st.sampled_from(
    ["tools/call", "prompts/get", "resources/read", "completion/complete", "tasks/get", "tools/list", "initialize"]
)
NOTICES = st.sampled_from(
    [f"notifications/{name}" for name in ("cancelled", "progress", "initialized", "message", "other")]
)
OBJECTS = st.dictionaries(
    st.sampled_from(PARAMS) | st.sampled_from(PARAMS) | st.sampled_from(ODD), JSON | st.just("echo")
)


class Door:
    """One client and one server that never answers, with a real relay and guard between them."""

    def __init__(self, recorder, home):
        self._log = Home(home).log().first_segment
        self._read = self._log.stat().st_size if self._log.exists() else 0
        actor = Actor(user_id="u_1", identity_source="os_account", identity_assurance="os_account")
        self._piped = Piped(recorder, actor)

    @property
    def mark(self) -> str:
        """What begins a state of ours."""
        return self._piped.rounds._bound.decode()

    def question(self, approval: str) -> str:
        """Return the name of a question of ours."""
        return self._piped.rounds._name(approval)

    def send(self, message) -> None:
        self._piped.client(**message)

    def end(self):
        """Let both sides go; return what the server heard, what the client heard, and the events."""
        reached, heard = self._piped.end()
        with self._log.open("rb") as file:
            file.seek(self._read)
            events = [json.loads(line) for line in file.read().splitlines()]
        return reached, heard, [e for e in events if e["event_type"] not in ("connection", "tool_definition")]


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    (home / "policies").mkdir()
    (home / "policies" / "team.cedar").write_text(POLICY)
    (home / "onrecord.toml").write_text(SETTINGS)
    recorder, _ = build_recorder(Home(home), load(Home(home)), lambda text: None)
    yield lambda: Door(recorder, home)
    recorder.stop("the test ended", 0)


def check(message, reached, heard, events):
    """One answer and one event for what does not pass, none for what does but is no call; return the attempt."""
    refused = [e for e in events if e.get("action") == "message_refused"]
    attempts, ends = ([e for e in events if e.get("phase") == phase] for phase in ("attempt", "result"))
    assert len(refused) + len(attempts) <= 1
    assert [e["call_id"] for e in ends] == [e["call_id"] for e in attempts]
    assert len(reached) <= 1
    assert len(reached) + len(heard) + len(refused) >= 1
    for line in reached:
        assert refused == []
        assert all(e["policy_decision"] == "allow" for e in attempts)
        method, params = line.get("method"), line.get("params", {})
        harmless = method is None or method in QUIET or method in protocol.NOTICES
        assert harmless != bool(attempts)
        assert set(ALMOST).isdisjoint(params)
        assert harmless or (method == "tools/call" and params["name"] in ("echo", "pay"))
    if [e["error_type"] for e in refused] == ["unknown_notification"]:
        assert (reached, heard, "id" in message) == ([], [], False)
    elif [e["policy_reason"] for e in refused] == ["an answer to nothing that is open"]:
        assert (reached, heard, "method" in message) == ([], [], False)
    elif refused or attempts:
        (answer,) = heard
        assert answer["id"] in (message.get("id"), None)
        check_refusal(answer, refused, attempts)
    else:
        assert heard == []
    return attempts[0] if attempts else None


def check_refusal(answer, refused, attempts):
    """What is told of what did not run is short, and in words of ours."""
    for event in refused:
        assert event["policy_reason"] in answer["error"]["message"]
    if "error" in answer:
        assert answer["error"]["code"] in NOT_RUN
        assert answer["error"]["message"].isascii()
        assert len(answer["error"]["message"]) < 200
    elif answer["result"].get("resultType") != "input_required":
        assert answer["result"]["isError"]
        assert answer["result"]["content"][0]["text"].isascii()
        assert attempts[0]["policy_decision"] != "allow"


def sent(door, message):
    """Send one message; return the attempt that it made, if it did, and what reached the server."""
    here = door()
    here.send(message)
    reached, heard, events = here.end()
    return check(message, reached, heard, events), reached


@LIGHT
@example("tools/call", {"name": "echo", "arguments": {}}, 2**53)
@example("tools/call", {"name": "echo", "arguments": {}}, 1.0)
@example("tools/call", {"name": "echo", "arguments": {}}, True)
@example("tools/call", {"name": "\ud800", "arguments": {}}, 1)
@example("tools/call", {"name": "echo", "requestState": 7, "inputResponses": {"a": []}}, "")
@example("tools/call", {"name": "echo", "inputResponses": {"\x00": [1e308]}}, "\x00")
@example("tools/call", {"name": ["echo"], "arguments": {}}, 1)
@example("resources/read", {"uri": None}, 1)
@given(METHODS | NOTICES | text, OBJECTS | OBJECTS | JSON, IDS | JSON)
def test_any_params_and_any_id(door, method, params, request_id):
    sent(door, {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})
    sent(door, {"jsonrpc": "2.0", "method": method, "params": params})


@LIGHT
@example({"id": 0, "result": None, "params": {"Name": "echo"}}, {})
@example({"id": None, "error": {}, "params": None}, {})
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "jsonrpc": st.just("2.0") | st.just("2.0") | JSON,
            "id": IDS | JSON,
            "method": METHODS | JSON,
            "params": OBJECTS | JSON,
            "result": JSON,
            "error": OBJECTS | JSON,
            "more": JSON,
        },
    ),
    st.dictionaries(st.sampled_from(["JSONRPC", "Id", "METHOD", "parAms", "Result", "ERROR", "iD"]), JSON, max_size=1),
)
def test_any_envelope(door, envelope, odd):
    sent(door, envelope)
    sent(door, {"jsonrpc": "2.0", **envelope})
    sent(door, {"jsonrpc": "2.0", **envelope, **odd})


@LIGHT
@given(JSON | DEEP)
def test_any_arguments_reach_nobody_unless_the_call_may_run_and_then_as_they_came(door, arguments):
    for name in ("erase", "store", "echo"):
        params = {"name": name, "arguments": arguments, "_meta": MODERN}
        attempt, reached = sent(door, {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
        assert [line["params"]["arguments"] for line in reached] == ([arguments] if name == "echo" and attempt else [])
        assert attempt is None or attempt["policy_decision"] == DECIDED[name]


@LIGHT
@example({"amount": 101})
@example({"amount": 2**63})
@example({"amount": 100.5})
@example({"amount": [1]})
@example([{"amount": 500}])
@given(JSON | st.fixed_dictionaries({"amount": JSON | st.integers(0, 200) | st.floats(0, 200)}))
def test_any_arguments_that_a_policy_reads_pass_only_if_it_could_read_them(door, arguments):
    params = {"name": "pay", "arguments": arguments}
    _, reached = sent(door, {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    for line in reached:
        given = line["params"]["arguments"]
        amount = given.get("amount") if isinstance(given, dict) else None
        assert given is None or isinstance(given, dict)
        assert amount is None or (isinstance(amount, int | float) and amount == int(amount) <= 100)


# what comes with a trace

CAPS = {"traceparent": (512, 1), "tracestate": (8_192, 32), "baggage": (8_192, 180)}  # characters, members
ids = st.text("0123456789abcdef", min_size=32, max_size=32)
parents = (
    st.builds("00-{}-{}-01".format, ids, ids.map(lambda one: one[:16])) | text | st.integers(56, 2_000).map("0".__mul__)
)
members = st.lists(st.builds("{}={}".format, text, text), max_size=4).map(",".join)
states = (
    members
    | st.integers(0, 60).map(lambda n: ",".join(f"k{i}=v" for i in range(n)))
    | st.integers(8_000, 9_000).map("a".__mul__)
)
bags = (
    members
    | st.integers(150, 250).map(lambda n: ",".join(f"k{i}=v" for i in range(n)))
    | st.integers(8_000, 12_000).map(lambda n: "audit.corr_id=" + "a" * n)
    | st.sampled_from(["audit.corr_id=%ff%00%0a", "audit.agent_id=%1b[31m", "a=1;b=%", "audit.corr_id=" + "%41" * 90])
)
metas = st.fixed_dictionaries(
    {},
    optional={
        "traceparent": parents | JSON,
        "tracestate": states | JSON,
        "baggage": bags | JSON,
        "io.modelcontextprotocol/protocolVersion": JSON,
        "io.modelcontextprotocol/clientInfo": JSON | st.fixed_dictionaries({"name": JSON, "version": JSON}),
        "io.modelcontextprotocol/clientCapabilities": JSON,
        "progressToken": JSON,
        "other": JSON,
    },
)


@pytest.mark.requirement("A5")
@LIGHT
@given(metas | JSON)
def test_any_meta_of_a_call_that_passes_goes_on_as_it_came_but_for_a_trace_that_cannot_be_read(door, meta):
    params = {"name": "echo", "arguments": {}, "_meta": meta}
    attempt, reached = sent(door, {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    if attempt is None:
        return  # somewhere in it is what no reader can be sure of
    (line,) = reached
    onward, faults = line["params"]["_meta"], attempt.get("trace_faults", [])
    assert len(json.dumps(attempt)) < 8_000
    if not isinstance(meta, dict):
        assert (onward, faults) == (meta, ["_meta"])
        return
    assert {key: onward[key] for key in onward if key not in CAPS} == {k: meta[k] for k in meta if k not in CAPS}
    assert set(faults) <= {*CAPS, "aiInvocation"}
    assert {key for key in CAPS if key in meta and is_too_much(key, meta[key])} <= set(faults)
    if attempt["trace_source"] == "client":
        assert onward == meta
        assert meta["traceparent"].startswith(f"00-{attempt['trace_id']}-{attempt['span_id']}")
    else:
        assert onward["traceparent"] == f"00-{attempt['trace_id']}-{attempt['span_id']}-01"
        assert "tracestate" not in onward
        assert onward.get("baggage") == (None if "baggage" in faults else meta.get("baggage"))


def is_too_much(key, value):
    """Say whether what stands at `key` is no text, or longer than may be carried."""
    longest, most = CAPS[key]
    return not isinstance(value, str) or len(value) > longest or len([one for one in value.split(",") if one]) > most


# what comes back with a question


@pytest.mark.requirement("C5")
@LIGHT
@given(st.data(), st.sampled_from(["store", "echo"]), st.booleans())
def test_any_state_and_any_answers_run_nothing_that_needs_an_approval(door, data, name, modern):
    here = door()
    ours = text.map(here.mark.__add__) | st.binary(max_size=60).map(lambda raw: here.mark + raw.hex())
    questions = st.sampled_from([here.question(""), here.question("x"), here.question("\ud800"), "theirs"]) | text
    yes = st.just({"action": "accept", "content": {"approve": True}})
    back = {
        "requestState": st.just(NONE) | st.just(here.mark) | ours | JSON,
        "inputResponses": st.just(NONE) | st.dictionaries(questions, yes | JSON, min_size=1, max_size=3) | JSON,
    }
    drawn = {key: data.draw(value) for key, value in back.items()}
    params = {"name": name, "arguments": {}, **{key: value for key, value in drawn.items() if value is not NONE}}
    params |= {"_meta": MODERN} if modern else {}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    here.send(message)
    reached, heard, events = here.end()
    check(message, reached, heard, events)

    state, answers = params.get("requestState"), params.get("inputResponses")
    mine = isinstance(state, str) and state.startswith(here.mark)
    named = isinstance(answers, dict) and any(one.startswith(here.question("")) for one in answers)
    for line in reached:
        assert name == "echo"
        assert not mine
        assert not named
        assert {key: line["params"].get(key) for key in params if key != "_meta"} == {
            key: params[key] for key in params if key != "_meta"
        }
