# SPDX-License-Identifier: Apache-2.0
"""`onrecord://policy`: clients read by which settings they are recorded, and the server hears nothing of it."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp import Client, MCPError, StdioServerParameters
from msgspec.structs import replace
from tests.doors.piped import Piped
from tests.doors.session import ONRECORD, Session, onrecord, record
from tests.ledger.logs import wait_for
from tests.services import Running, short_folder

from onrecord.approval_settings import ApproverSettings
from onrecord.config import build_recorder
from onrecord.declaring import build_declared
from onrecord.doors.conversation import Conversation
from onrecord.doors.definitions import Definitions
from onrecord.doors.wire import DENIED, INVALID_PARAMS, NO_RESOURCE, Request, Response
from onrecord.gateway_settings import UpstreamSettings
from onrecord.ledger.durable import FileLock
from onrecord.ledger.keys import own_verifiers
from onrecord.ledger.place import Home
from onrecord.ledger.whereabouts import own_socket
from onrecord.recorder import Recorder
from onrecord.rules.classify import ToolRule
from onrecord.rules.declaration import schema_text
from onrecord.settings import Loaded, Settings, WitnessSettings, load

pytestmark = pytest.mark.requirement("D6")

URI = "onrecord://policy"
MODERN = {"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}}
SERVER = str(Path(__file__).with_name("resource_server.py"))
SCHEMA: dict[str, Any] = json.loads(files("onrecord.rules").joinpath("declaration.schema.json").read_text())
SETTINGS = """
[redaction]
cut = 60
off = ["columns"]

[[tool]]
tool = "get_current_time"
tier = 3
classification = "high"
retention_class = "seven-years"
"""


def session(home: Path, **more: Any) -> Session:
    return Session(home, command=[sys.executable, SERVER, str(home)], **more)


def read(home: Path) -> list[dict[str, Any]]:
    """Return the messages that the server has read."""
    return [json.loads(line) for line in (home / "read").read_bytes().splitlines()]


def told(answer: Any) -> dict[str, Any]:
    (content,) = answer["result"]["contents"]
    assert (content["uri"], content["mimeType"]) == (URI, "application/json")
    policy = json.loads(content["text"])
    jsonschema.Draft202012Validator(SCHEMA).validate(policy)
    return policy


def reads(home: Path) -> list[dict[str, Any]]:
    return [e for e in record(home) if e["event_type"] == "resource_read"]


def lines(home: Path, cursors: list[str | None], command: list[str]) -> list[bytes]:
    """Return what a client gets when it lists resources through `command`, page by page."""
    asked = [
        {"jsonrpc": "2.0", "id": n, "method": "resources/list", "params": {} if cursor is None else {"cursor": cursor}}
        for n, cursor in enumerate(cursors)
    ]
    said = "".join(json.dumps(one) + "\n" for one in asked).encode()
    env = {**os.environ, "ONRECORD_HOME": str(home)}
    return subprocess.run(command, input=said, capture_output=True, env=env, timeout=60).stdout.splitlines(
        keepends=True
    )


# a real client


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_reads_its_settings_from_a_server_that_has_no_resources(tmp_path: Path, mode: Any) -> None:
    (tmp_path / "onrecord.toml").write_text(SETTINGS)
    command = [*ONRECORD, "run", "--server-id", "time", "--", sys.executable, "-m", "mcp_server_time"]
    server = StdioServerParameters(
        command=command[0], args=command[1:], env={**os.environ, "ONRECORD_HOME": str(tmp_path)}
    )
    async with Client(server, mode=mode) as client:
        await client.list_tools()
        answer = await client.read_resource(URI)
        with pytest.raises(MCPError) as unknown:
            await client.read_resource("onrecord://else")

    assert (answer.ttl_ms, answer.cache_scope) == (0, "private")
    policy = json.loads(answer.contents[0].text)  # type: ignore[union-attr]
    assert policy["redaction"]["longest_text"] == 60
    assert policy["redaction"]["rules_off"] == ["columns"]
    assert policy["retention"]["enforced"] is False
    assert set(policy["retention"]["classes"]) == {"critical", "standard", "seven-years"}
    tools = {tool["name"]: tool for tool in policy["tools"]["listed"]}
    assert (tools["get_current_time"]["tier"], tools["get_current_time"]["tier_from"]) == (3, "manifest")
    assert tools["get_current_time"]["classification"] == "high"
    assert (tools["convert_time"]["tier"], tools["convert_time"]["tier_from"]) == (1, "annotations")
    vkeys = [str(key) for key in own_verifiers(Home(tmp_path))]
    assert [key["vkey"] for key in policy["ledger"]["keys"]] == vkeys
    assert (tmp_path / "ledger/calls/checkpoint").read_text().splitlines()[0] == policy["ledger"]["origin"]
    assert unknown.value.error.code == (NO_RESOURCE if mode == "legacy" else INVALID_PARAMS)
    of_policy = [e for e in reads(tmp_path) if e["resource_uri"] == URI]
    assert [(e["phase"], e.get("result_status")) for e in of_policy] == [("attempt", None), ("result", "succeeded")]
    assert of_policy[1]["output_source"] == "onrecord"
    assert {e["redaction_policy"] for e in of_policy} == {policy["redaction"]["policy"]}
    assert {e["policy_version"] for e in of_policy} == {policy["policy"]["version"]}


async def test_a_client_of_the_newer_protocol_is_told_by_whom_it_is_answered(tmp_path: Path) -> None:
    with session(tmp_path, listed=False) as client:
        result = client.ask("resources/read", uri=URI, **MODERN)["result"]
        older = client.ask("resources/read", uri=URI)["result"]
        client.end()

    assert (result["resultType"], result["ttlMs"], result["cacheScope"]) == ("complete", 0, "private")
    assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "onrecord"
    assert set(older) == {"contents"}


# who answers


def test_the_server_hears_nothing_of_it_even_where_it_has_a_resource_of_that_name(tmp_path: Path) -> None:
    with session(tmp_path) as client:
        assert told(client.ask("resources/read", uri=URI))["product"]["name"] == "onrecord"
        for uri in ("onrecord://policy/", "ONRECORD://policy", "onrecord:policy", "onrecord://else?x=1"):
            error = client.ask("resources/read", uri=uri)["error"]
            assert (error["code"], error["data"]) == (NO_RESOURCE, {"uri": uri})
            assert client.ask("resources/read", uri=uri, **MODERN)["error"]["code"] == INVALID_PARAMS
        other = client.ask("resources/read", uri="notes://1")
        client.end()

    assert other["result"]["contents"][0]["text"] == "of the server"
    assert [one["params"].get("uri") for one in read(tmp_path)] == [None, "notes://1"]
    ends = [e for e in reads(tmp_path) if e["phase"] == "result"]
    assert len(ends) == 10
    assert [e["output_source"] for e in ends] == ["onrecord"] * 9 + ["server"]


def test_while_its_record_waits_for_the_device_nobody_else_answers_it_or_hears_of_it(tmp_path: Path) -> None:
    rule = '[[tool]]\ntool = "onrecord://*"\ntier = 4\nallow_duplicates = true\n'
    (tmp_path / "onrecord.toml").write_text(f'{rule}[ledger]\nappend_deadline = "30s"\n')
    home = Home(tmp_path)
    recorder, actor = build_recorder(home, load(home), lambda text: None)
    piped = Piped(recorder, actor)

    def answered() -> bool:
        return all(thread.name != "onrecord-own-resource" for thread in threading.enumerate())

    piped.client(id=1, method="resources/read", params={"uri": URI})
    wait_for(answered)
    lock = FileLock(home.log().publish_lock)
    lock.acquire(time.monotonic() + 10)
    piped.client(id=7, method="resources/read", params={"uri": URI})
    assert not answered()
    piped.server(id=7, result={"contents": [{"uri": URI, "text": "of the server"}]})
    piped.client(method="notifications/cancelled", params={"requestId": 7})
    lock.close()
    wait_for(answered)
    reached, heard = piped.end()
    recorder.stop("the test ended", 2)

    assert reached == []
    assert [(one["id"], told(one)["product"]["name"]) for one in heard] == [(1, "onrecord"), (7, "onrecord")]
    (refused,) = [e for e in record(tmp_path) if e.get("action") == "message_refused"]
    assert refused["policy_reason"] == "from the server: an answer to nothing that is open"


def test_tools_are_told_once_they_were_listed(tmp_path: Path) -> None:
    with session(tmp_path, listed=False) as client:
        before = told(client.ask("resources/read", uri=URI))
        client.ask("tools/list")
        after = told(client.ask("resources/read", uri=URI))
        client.end()

    assert before["tools"] == {"listed": [], "more": 0}
    assert {(one["name"], one["tier"]) for one in after["tools"]["listed"]} == {
        ("erase", 3),
        ("look", 1),
        ("half ? a pair", 2),
    }


def test_what_a_server_lists_to_one_client_is_not_told_to_another(tmp_path: Path) -> None:
    home = Home(tmp_path)
    recorder, actor = build_recorder(home, load(home), lambda text: None)
    definitions = Definitions(recorder.pins, "shared")
    one, two = (Conversation(actor, "shared", "http", recorder.guard.new_id, definitions) for _ in range(2))

    def listed(names: str, **result: Any) -> Response:
        return Response(id=1, result={"tools": [{"name": name} for name in names], **result})

    first = Request(id=1, method="tools/list", params={})
    one.hear_server(first, listed("ab", nextCursor="2"))
    two.hear_server(first, listed("bc", nextCursor="2"))
    assert (one.tool_names(), two.tool_names()) == (["a", "b"], ["b", "c"])
    one.hear_server(first, listed("a"))
    assert one.tool_names() == ["a"]


# what is decided about it

PERMITS = """
@id("tools") permit (principal, action == MCP::Action::"tools/call", resource);
"""
READS = """
@id("reads") permit (principal, action == MCP::Action::"resources/read", resource == MCP::Resource::"onrecord://policy");
"""


@pytest.mark.parametrize("more", ["", READS])
def test_a_policy_that_is_enforced_decides_on_it_too(tmp_path: Path, more: str) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "team.cedar").write_text(PERMITS + more)
    (tmp_path / "onrecord.toml").write_text('[policy]\nengine = "cedar"\n')
    with session(tmp_path) as client:
        answer = client.ask("resources/read", uri=URI)
        client.end()

    if more:
        policy = told(answer)
        assert (policy["policy"]["mode"], policy["approvals"]["in_force"]) == ("enforce", True)
    else:
        assert answer["error"]["code"] == DENIED
    attempt, end = reads(tmp_path)
    assert attempt["policy_decision"] == ("allow" if more else "deny")
    assert (end["result_status"], end.get("error_type")) == (("succeeded", None) if more else ("blocked", "denied"))
    assert "resources/read" not in [one["method"] for one in read(tmp_path)]


def test_what_must_be_signed_first_is_answered_once_it_is(tmp_path: Path) -> None:
    (tmp_path / "onrecord.toml").write_text('[[tool]]\ntool = "onrecord://*"\ntier = 4\nallow_duplicates = true\n')
    with session(tmp_path) as client:
        ids = [client.begin("resources/read", uri=URI) for _ in range(20)]
        answers = [client.receive() for _ in ids]
        client.end()

    assert sorted(answer["id"] for answer in answers) == ids
    assert all(told(answer)["tiers"]["4"]["attempt"] == "signed" for answer in answers)
    assert sorted(e["phase"] for e in reads(tmp_path)) == ["attempt"] * 20 + ["result"] * 20


def test_it_is_not_answered_where_it_must_be_recorded_and_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "onrecord.toml").write_text('[[tool]]\ntool = "onrecord://*"\ntier = 2\n')
    with session(tmp_path) as client:
        log = tmp_path / "ledger" / "calls" / "log"
        for file in log.iterdir():
            file.rename(tmp_path / file.name)
        error = client.ask("resources/read", uri=URI)["error"]
        client.end()

    assert "not recorded" in error["message"]


def test_it_can_take_an_approval(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    asks = """
    permit (principal, action, resource);
    @obligation("approval") forbid (principal, action == MCP::Action::"resources/read", resource);
    """
    (tmp_path / "policies" / "team.cedar").write_text(asks)
    (tmp_path / "onrecord.toml").write_text('[policy]\nengine = "cedar"\n')
    with session(tmp_path) as client:
        client.begin("resources/read", uri=URI)
        wait_for(lambda: bool(list((tmp_path / "approvals").glob("*.json"))))
        (request,) = (tmp_path / "approvals").glob("*.json")
        assert onrecord(tmp_path, "approvals", "approve", request.stem, "--yes").returncode == 0
        policy = told(client.receive())
        client.end()

    assert policy["approvals"]["tiers"]["1"]["another_person"] is False
    assert [e["phase"] for e in reads(tmp_path)][-1] == "result"
    assert "resources/read" not in [one["method"] for one in read(tmp_path)]


def test_the_key_of_a_log_that_a_service_keeps_is_told_where_it_lies_and_elsewhere_not_made_up(tmp_path: Path) -> None:
    place = short_folder()
    keys: list[list[str]] = []
    (tmp_path / "door").mkdir()
    with Running(place, own_socket(Home(place))) as service:
        for home in (service.home, tmp_path / "door"):
            with session(home, env={"ONRECORD_SOCKET": str(service.path)}) as client:
                ledger = told(client.ask("resources/read", uri=URI))["ledger"]
                client.end()
            assert [key["name"] for key in ledger["keys"]] == [ledger["origin"]] * bool(ledger["origin"])
            keys.append([key["vkey"] for key in ledger["keys"]])
    assert keys == [[str(key) for key in own_verifiers(Home(place))], []]
    shutil.rmtree(place)


# the list

PAGES = [None, "two", "none", "ours", "odd", "bad"]


def test_the_list_of_the_server_is_as_it_came_unless_settings_say_more(tmp_path: Path) -> None:
    server = [sys.executable, SERVER, str(tmp_path)]
    plain = lines(tmp_path, PAGES, server)
    wrapped = [*ONRECORD, "run", "--server-id", "pages", "--", *server]
    assert len(plain) == len(PAGES)
    assert lines(tmp_path, PAGES, wrapped) == plain

    (tmp_path / "onrecord.toml").write_text("[policy_resource]\nlisted = true\n")
    first, last, empty, *rest = lines(tmp_path, PAGES, wrapped)
    assert [first, *rest] == [plain[0], *plain[3:]]
    for before, after in ((plain[1], last), (plain[2], empty)):
        *kept, entry = json.loads(after)["result"]["resources"]
        assert (entry["uri"], entry["mimeType"]) == (URI, "application/json")
        assert kept == json.loads(before)["result"]["resources"]
        start = next(at for at, (a, b) in enumerate(zip(before, after, strict=False)) if a != b)
        assert before[start:] == after[start + len(after) - len(before) :]
    assert {one["method"] for one in read(tmp_path)} == {"resources/list"}


# what is not told

TOLD = {"redaction.off", "redaction.actions", "approvals.escalate_roles", "tool.retention_class"}
LISTS = {
    "tool": ToolRule(),
    "witness": WitnessSettings(url="", vkey=""),
    "approver": ApproverSettings(roles=()),
    "upstream": UpstreamSettings(name="", url=""),
}
MARKS = st.text("QXZJKV", min_size=8, max_size=8)  # no word of the product


def planted(table: Any, where: str, mark: str, secrets: dict[str, str]) -> Any:
    """Return `table` with a text of ours wherever one may stand that is no word of the product and no measure."""
    for field in msgspec.structs.fields(table):
        name, value = f"{where}{field.name}", getattr(table, field.name)
        text = f"{mark}_{name.replace('.', '_')}_end"
        if isinstance(value, msgspec.Struct):
            table = replace(table, **{field.name: planted(value, f"{name}.", mark, secrets)})
        elif name in LISTS:
            table = replace(table, **{field.name: (planted(LISTS[name], f"{name}.", mark, secrets),)})
        elif field.type is str and not value[:1].isdigit():
            table = put(table, name, (text, f"/{text}"), secrets)
        elif "tuple[str" in str(field.type):
            table = put(table, name, ((text,), (f"/{text}",)), secrets)
        elif name == "redaction.actions":
            table = put(table, name, ({text: "mask"},), secrets)
    return table


def put(table: Any, name: str, texts: tuple[Any, ...], secrets: dict[str, str]) -> Any:
    """Return `table` with the first of `texts` that its setting `name` can be."""
    for text in texts:
        with suppress(ValueError):
            changed = replace(table, **{name.rpartition(".")[2]: text})
            secrets[name] = next(iter(text)) if isinstance(text, tuple | dict) else text
            return changed
    return table


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Recorder]:
    home = Home(tmp_path_factory.mktemp("home"))
    return home, build_recorder(home, load(home), lambda text: None)[0]


@given(MARKS)
@settings(max_examples=20, deadline=None)
def test_nothing_that_names_a_place_a_person_or_a_secret_is_told(recorder: tuple[Home, Recorder], mark: str) -> None:
    secrets: dict[str, str] = {}
    home, made = recorder
    said = planted(Settings(), "", mark, secrets)
    del secrets["approvals.escalate_after"]
    said = replace(said, approvals=replace(said.approvals, escalate_after="1m"))
    loaded = Loaded(said, Path(f"/{mark}/onrecord.toml"), "0" * 64)
    text = msgspec.json.encode(build_declared(home, loaded, made.redactor, made.guard).content()).decode()

    assert {name for name, one in secrets.items() if one in text} == TOLD
    assert {"tenant", "webhook.secret_file", "identity.jwks", "approver.account", "tool.tool"} <= set(secrets)
    assert {"witness.url", "policy.spicedb.token_file", "tool.sensitive", "timestamp.roots"} <= set(secrets)
    assert {"upstream.url", "gateway.public_url"} <= set(secrets)
    assert text.count(mark) == len(TOLD)
    assert str(home.path) not in text


def test_the_published_schema_is_that_of_the_program() -> None:
    text = files("onrecord.rules").joinpath("declaration.schema.json").read_text(encoding="utf-8")
    assert text == schema_text(), "run: make schema"


def test_the_page_names_every_key_of_the_first_level() -> None:
    page = (Path(__file__).parents[2] / "docs" / "policy-resource.md").read_text(encoding="utf-8")
    rows = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")}
    assert rows == set(SCHEMA["$defs"]["Declaration"]["properties"])
