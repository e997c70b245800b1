# SPDX-License-Identifier: Apache-2.0
"""Secrets planted in everything that a client and a server can say: none of them reaches the disk."""

import json
import sys

import pytest
from tests.doors.session import Session, onrecord, record

from onrecord.people import account

pytestmark = pytest.mark.requirement("B1")

TOKEN = "ghp_" + "DUMMYdummy0123456789" * 2  # a dummy of a known form
PASSWORD = "correct-horse-" + "battery-staple"
MARKED = "7431-not-a-known-form"

SERVER = """
import json, sys
_, TOKEN, _, PASSWORD = sys.argv[1:]
def text(value): return {"type": "text", "text": value}
ANSWERS = {
    "content": {"content": [text(f"the token is {TOKEN}, mind it")]},
    "adjacent": {"content": [text("password: "), text(f"password={PASSWORD}")]},
    "structured": {"content": [text(json.dumps({"password": PASSWORD}))], "structuredContent": {"password": PASSWORD}},
    "resource": {"content": [{"type": "resource", "resource": {"uri": f"db://u:{PASSWORD}@h/x", "text": TOKEN}}]},
    "link": {"content": [{"type": "resource_link", "uri": f"https://h/?token={TOKEN}", "name": TOKEN}]},
    "meta": {"content": [], "_meta": {"authorization": f"Bearer {TOKEN}"}},
    "error": {"content": [text(f"login failed for {TOKEN}")], "isError": True},
    "echo": None,
}
schema = {"type": "object", "properties": {"code": {"type": "string", "x-sensitive": True}}}
for line in sys.stdin:
    request = json.loads(line)
    params, method = request.get("params", {}), request.get("method")
    result, error = {}, None
    if method == "initialize":
        info = {"name": f"server {TOKEN}", "version": f"1 {TOKEN}"}
        result = {"protocolVersion": "2025-11-25", "serverInfo": info, "capabilities": {}}
    elif method == "tools/list":
        result = {"tools": [{"name": name, "inputSchema": schema} for name in ANSWERS]}
    elif method == "tools/call" and params["name"] == "echo":
        result = {"content": [text(json.dumps(params["arguments"]))]}
    elif method == "tools/call":
        result = ANSWERS.get(params["name"])
    elif method == "prompts/get":
        result = {"messages": [{"role": "user", "content": text(f"use {TOKEN}")}]}
    if result is None or method == "resources/read":
        error = {"code": -32602, "message": f"bad {TOKEN}", "data": {"password": PASSWORD}}
    if "id" in request:
        answer = {"error": error} if error else {"result": result}
        print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer}), flush=True)
"""

CALLS = [
    ("tools/call", {"name": "content", "arguments": {}}),
    ("tools/call", {"name": "adjacent", "arguments": {}}),
    ("tools/call", {"name": "structured", "arguments": {}}),
    ("tools/call", {"name": "resource", "arguments": {}}),
    ("tools/call", {"name": "link", "arguments": {}}),
    ("tools/call", {"name": "meta", "arguments": {}}),
    ("tools/call", {"name": "error", "arguments": {}}),
    ("tools/call", {"name": "no-such-tool", "arguments": {"password": PASSWORD}}),
    ("tools/call", {"name": TOKEN, "arguments": {}}),
    ("tools/call", {"name": "echo", "arguments": {"password": PASSWORD, "note": f"key {TOKEN} end"}}),
    ("tools/call", {"name": "echo", "arguments": {"code": MARKED, "again": f"it was {MARKED}"}}),
    ("tools/call", {"name": "echo", "arguments": {TOKEN: 1, "deep": [{"list": [{"api_key": PASSWORD}]}]}}),
    ("tools/call", {"name": "echo", "arguments": {"json": json.dumps({"password": PASSWORD})}}),
    ("tools/call", {"name": "echo", "arguments": {}, "_meta": {"token": TOKEN, "progressToken": PASSWORD + TOKEN}}),
    ("resources/read", {"uri": f"https://user:{PASSWORD}@example.com/{TOKEN}"}),
    ("prompts/get", {"name": f"p {TOKEN}", "arguments": {"password": PASSWORD}}),
    ("completion/complete", {"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "a", "value": TOKEN}}),
    (f"vendor/{TOKEN}", {"password": PASSWORD}),
]


@pytest.mark.requirement("B2", "B4", "B6")
@pytest.mark.parametrize("classification", ["low", "medium", "high", "critical"])
def test_no_planted_secret_is_in_any_file(tmp_path, classification):
    (tmp_path / "onrecord.toml").write_text(f'[[tool]]\nclassification = "{classification}"\ntier = 2\n')
    # the command line is a carrier as well
    command = [sys.executable, "-c", SERVER, "--api-token", TOKEN, "--password", PASSWORD]
    with Session(tmp_path, command=command, listed=False) as session:
        info = {"name": f"client {TOKEN}", "version": TOKEN}
        session.ask("initialize", protocolVersion="2025-11-25", clientInfo=info, capabilities={})
        session.ask("tools/list")
        for method, params in CALLS:
            assert session.ask(method, **params)["id"] == session.next_id
        session.send(b'{"jsonrpc":"2.0","id":990,"method":"x","method":"%s"}' % TOKEN.encode())
        session.receive()
        session.send(b"password=%s" % PASSWORD.encode())
        session.receive()
        hung = {"jsonrpc": "2.0", "id": TOKEN, "method": "tools/call", "params": {"name": "echo", "arguments": {}}}
        session.send(hung)
        session.receive()
        session.end()

    events = record(tmp_path)
    assert len([e for e in events if e.get("phase") == "result"]) == len(CALLS) + 1
    for secret in (TOKEN, PASSWORD, MARKED):
        for path in tmp_path.rglob("*"):
            if path.is_file():
                assert secret.encode() not in path.read_bytes(), f"{secret} in {path}"
        assert secret.encode() not in session.errors
    assert all(e["redaction_policy"] for e in events if e.get("phase"))
    assert onrecord(tmp_path, "verify", "--allow-unanchored").returncode == 0


@pytest.mark.requirement("B4")
def test_what_is_named_depends_on_the_class(tmp_path):
    kept = {}
    for classification in ("low", "medium", "high", "critical"):
        home = tmp_path / classification
        home.mkdir()
        (home / "onrecord.toml").write_text(
            f'[[tool]]\nclassification = "{classification}"\ntier = 2\nsummary = ["/path"]\n'
        )
        with Session(home) as session:
            session.call("store", path="/srv/report", text="plain words")
            session.end()
        kept[classification], _ = [e for e in record(home) if e.get("tool_name") == "store"]

    assert "plain words" in kept["low"]["input_summary"]
    assert json.loads(kept["medium"]["input_summary"]) == {"path": "/srv/report"}
    assert kept["medium"]["arg_keys"] == kept["high"]["arg_keys"] == ["path", "text"]
    assert "input_summary" not in kept["high"]
    assert not {"input_summary", "arg_keys"} & set(kept["critical"])
    assert all(len(event["input_hash"]) == 64 for event in kept.values())


@pytest.mark.requirement("B2")
def test_a_value_that_the_schema_marks_is_withheld_and_its_path_is_named(tmp_path):
    (tmp_path / "onrecord.toml").write_text('[[tool]]\nclassification = "low"\n')
    with Session(tmp_path) as session:
        answer = session.call("login", user="ada", code="1234-5678")
        assert "1234-5678" in answer["result"]["content"][0]["text"]  # the tool gets the real value
        session.end()

    attempt, result = [e for e in record(tmp_path) if e.get("tool_name") == "login"]
    assert attempt["sensitive_fields"] == ["/arguments/code"]
    assert "ada" in attempt["input_summary"]
    assert "[REDACTED:" in attempt["input_summary"]
    assert "1234-5678" not in json.dumps([attempt, result])


@pytest.mark.requirement("B5")
def test_no_raw_account_name_is_on_the_record(tmp_path):
    with Session(tmp_path) as session:
        session.call("store", text="x")
        session.end()
    with Session(tmp_path) as session:
        session.call("store", text="x")
        session.end()

    events = [e for e in record(tmp_path) if "user_id" in e]
    assert len({e["user_id"] for e in events}) == 1
    assert account() not in {value for e in events for value in e.values() if isinstance(value, str)}
