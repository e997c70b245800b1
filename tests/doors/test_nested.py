# SPDX-License-Identifier: Apache-2.0
"""What a server asks while it works on a call is part of that call: so are the secrets in questions and answers."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.doors.session import Session, record

pytestmark = pytest.mark.requirement("B1", "B2")

CODE, DOOR, NICK = "Jasper-9-quilt", "opal-Zebra-" + "5561", "topaz"  # found by what a schema says, and by nothing else

SERVER = """
import json, sys
def out(**message): print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)
def ask(id, method, **params):
    out(id=id, method=method, params=params)
    return json.loads(sys.stdin.readline())["result"]
def text(value): return {"type": "text", "text": value}
FORM = {"properties": {"door": {"type": "string", "format": "password"}, "nick": {"writeOnly": True}, "floor": {}}}
TOOL = {"name": "t", "inputSchema": {"type": "object", "properties": {"code": {"sensitive": True}}}}
for line in sys.stdin:
    request = json.loads(line)
    params, method = request.get("params", {}), request.get("method")
    if method == "tools/list":
        result = {"tools": [TOOL]}
    elif method == "tools/call":
        given, said = params.get("arguments", {}), "done"
        if given.get("do") == "form":
            content = ask("e1", "elicitation/create", message="which door?", requestedSchema=FORM)["content"]
            said = json.dumps(content)
            ask("s1", "sampling/createMessage", messages=[{"role": "user", "content": text("open " + content["door"])}])
        if given.get("do") == "sample":
            ask("s2", "sampling/createMessage", messages=[{"role": "user", "content": text("say " + given["code"])}])
        result = {"content": [text(said)]}
        if given.get("do") == "ask" and "inputResponses" not in params:
            questions = {"q": {"method": "elicitation/create", "params": {"message": "?", "requestedSchema": FORM}}}
            result = {"resultType": "input_required", "inputRequests": questions}
            result |= {"requestState": "st-1"} if given["state"] else {}
        elif given.get("do") == "ask":
            result = {"content": [text(json.dumps(params["inputResponses"]))]}
    if "id" in request:
        out(id=request["id"], result=result)
"""


def session(home: Path) -> Session:
    (home / "onrecord.toml").write_text('[[tool]]\nclassification = "low"\ntier = 2\n', encoding="utf-8")
    return Session(home, command=[sys.executable, "-c", SERVER])


def assert_kept_off(home: Path, *secrets: str) -> None:
    written = [path.read_bytes() for path in home.rglob("*") if path.is_file()]
    assert not [secret for secret in secrets for data in written if secret.encode() in data]


def last(home: Path, event_type: str, field: str) -> Any:
    return json.loads([event for event in record(home) if event["event_type"] == event_type][-1][field])


def test_a_secret_of_a_call_is_withheld_in_what_the_server_asks_meanwhile(tmp_path: Path) -> None:
    with session(tmp_path) as client:
        client.begin("tools/call", name="t", arguments={"do": "sample", "code": CODE})
        asked = client.receive()
        said = {"role": "assistant", "model": "m", "content": {"type": "text", "text": f"said {CODE}"}}
        client.send({"jsonrpc": "2.0", "id": asked["id"], "result": said})
        assert "result" in client.receive()
        client.end()

    assert_kept_off(tmp_path, CODE)
    assert last(tmp_path, "sampling", "output_summary")["content"]["text"] == "said [REDACTED:sensitive]"


def test_what_the_form_of_an_elicitation_marks_is_withheld_there_and_in_its_call(tmp_path: Path) -> None:
    with session(tmp_path) as client:
        client.begin("tools/call", name="t", arguments={"do": "form"})
        form = client.receive()
        content = {"door": DOOR, "nick": NICK, "floor": 3}
        client.send({"jsonrpc": "2.0", "id": form["id"], "result": {"action": "accept", "content": content}})
        asked = client.receive()
        assert DOOR in json.dumps(asked)
        client.send({"jsonrpc": "2.0", "id": asked["id"], "result": {"content": {"type": "text", "text": DOOR}}})
        assert DOOR in json.dumps(client.receive())
        client.end()

    assert_kept_off(tmp_path, DOOR, NICK)
    shown = {"door": "[REDACTED:sensitive]", "nick": "[REDACTED:sensitive]", "floor": 3}
    assert last(tmp_path, "elicitation", "output_summary")["content"] == shown


@pytest.mark.parametrize("state", [True, False])
def test_what_a_question_in_a_result_marks_is_withheld_in_its_answer(tmp_path: Path, state: bool) -> None:
    with session(tmp_path) as client:
        arguments = {"do": "ask", "state": state}
        asked = client.ask("tools/call", name="t", arguments=arguments)["result"]
        answers = {"q": {"action": "accept", "content": {"door": DOOR, "nick": NICK, "floor": 3}}}
        more = {"requestState": asked["requestState"]} if state else {}
        said = client.ask("tools/call", name="t", arguments=arguments, inputResponses=answers, **more)
        assert DOOR in json.dumps(said)
        client.end()

    assert_kept_off(tmp_path, DOOR, NICK)
    attempt = [event for event in record(tmp_path) if event["event_type"] == "tool_call"][-2]
    shown = json.loads(attempt["answers_summary"])["q"]["content"]
    assert shown == {"door": "[REDACTED:sensitive]", "nick": "[REDACTED:sensitive]", "floor": 3}
