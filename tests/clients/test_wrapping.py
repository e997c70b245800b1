# SPDX-License-Identifier: Apache-2.0
"""How each kind of entry is treated, and what is said of those that are left as they are."""

import json

import pytest

from onrecord.clients.document import NotReadable, edited
from onrecord.clients.jsonc import JSONC
from onrecord.clients.wrapping import Gateway, Wrapper, look, passing, undone

pytestmark = pytest.mark.requirement("F3")

MINE = Wrapper(command="/opt/bin/onrecord")
BEHIND = {"https://api.example.com/mcp": "http://127.0.0.1:8765/api"}
GATEWAY = Gateway(url_for=BEHIND.get, is_own=lambda url: url in BEHIND.values())


def looked_at(server, name="s"):
    text = json.dumps({"mcpServers": {name: server}})
    (entry,) = JSONC.entries(text, (("mcpServers",),))
    return text, look(JSONC, text, entry, MINE, GATEWAY)


def said_of(server, name="s"):
    _, found = looked_at(server, name)
    return found.state, found.reason


@pytest.mark.parametrize(
    ("server", "state", "reason"),
    [
        ({"command": "npx", "args": ["-y", "x"]}, "wrap", ""),
        ({"command": "cmd", "args": ["/c", "npx", "-y", "x"]}, "wrap", ""),
        ({"command": "C:\\Program Files\\node.exe", "args": ["x"]}, "wrap", ""),
        ({"command": "/opt/a b/server"}, "wrap", ""),
        ({"command": "npx", "args": ["${input:key}"], "type": "stdio"}, "wrap", ""),
        ({"command": "/opt/bin/onrecord", "args": ["run", "--", "x"]}, "passes", ""),
        ({"command": "/usr/bin/onrecord", "args": ["run", "--", "x"]}, "elsewhere", "another onrecord"),
        ({"command": "uvx", "args": ["onrecord", "run", "--", "x"]}, "elsewhere", "another onrecord"),
        ({"command": "cmd", "args": ["/c", "onrecord.exe", "run", "--", "x"]}, "elsewhere", "another onrecord"),
        ({"command": "python", "args": ["-m", "onrecord.cli.main", "run", "--", "x"]}, "elsewhere", "another onrecord"),
        ({"command": "onrecord", "args": ["verify"]}, "passes", "onrecord itself"),
        ({"command": "npx", "args": ["--", "onrecord", "run"]}, "wrap", ""),
        ({"command": "npx", "url": "https://x.example"}, "unfit", "a command and a URL"),
        ({"command": "npx", "type": "http"}, "unfit", "a command and a URL"),
        ({"command": "npx -y server"}, "unfit", "put its words into args"),
        ({"command": "~/bin/server", "args": ["x"]}, "unfit", "begins with ~"),
        ({"command": ["npx", "x"]}, "unfit", "a command that is no text"),
        ({"command": ""}, "unfit", "a command that is no text"),
        ({"command": "x", "args": "-y"}, "unfit", "no list of texts"),
        ({"command": "x", "args": [1]}, "unfit", "no list of texts"),
        ({"command": "x", "args": ["a\0b"]}, "unfit", "no command line can hold"),
        ({"command": "x", "args": ["\ud800"]}, "unfit", "no command line can hold"),
        ({"command": {"args": []}}, "unfit", "a command that is no text"),
        ({}, "unfit", "neither a command nor a URL"),
        ({"env": {}}, "unfit", "neither a command nor a URL"),
        ("npx", "unfit", "not an object"),
        ({"source": "extension", "settings": {}}, "bypasses", "an extension"),
        ({"url": "https://other.example/mcp"}, "bypasses", "no gateway"),
        ({"type": "sse", "url": "https://other.example/sse"}, "bypasses", "no gateway"),
        ({"url": 5}, "unfit", "a URL that is no text"),
        ({"url": "https://a.example", "httpUrl": "https://b.example"}, "unfit", "more than one URL"),
        ({"url": "https://api.example.com/mcp"}, "point", ""),
        ({"type": "sse", "url": "https://api.example.com/mcp"}, "bypasses", "a transport"),
        ({"url": "https://api.example.com/mcp", "headers": {"A": "b"}}, "bypasses", "credentials"),
        ({"url": "http://127.0.0.1:8765/api"}, "passes", ""),
    ],
)
def test_each_kind_of_entry_has_one_answer(server, state, reason):
    found, why = said_of(server)
    assert found == state
    assert reason in why
    assert bool(reason) == bool(why)


@pytest.mark.parametrize("name", ["${input:x}", "a\0b", "\udcff"])
def test_a_name_that_no_command_line_can_hold_is_left_alone(name):
    assert said_of({"command": "x"}, name)[0] == "unfit"


@pytest.mark.parametrize("name", ["-x", "--home", "a b", "日本", ""])
def test_a_server_keeps_its_name_on_the_record(name):
    text, found = looked_at({"command": "x"}, name)
    server = json.loads(edited(text, found.edits))["mcpServers"][name]
    args = server["args"]
    told = args[1].partition("=")[2] if args[1].startswith("--server-id=") else args[2]
    assert told == name
    assert args[-2:] == ["--", "x"]


def test_a_home_of_its_own_is_named():
    assert Wrapper(command="o", home="/h").words("s") == ["run", "--server-id", "s", "--home", "/h", "--"]


@pytest.mark.parametrize("server", [{"command": "x", "disabled": True}, {"command": "x", "enabled": False}])
def test_a_server_that_is_switched_off_is_put_on_the_record_for_when_it_is_on(server):
    _, found = looked_at(server)
    assert (found.state, found.off) == ("wrap", True)


def test_a_server_behind_the_gateway_is_pointed_at_it_and_back():
    text, found = looked_at({"url": "https://api.example.com/mcp", "type": "http"})
    assert found.done is not None
    new = edited(text, found.edits)
    assert json.loads(new)["mcpServers"]["s"] == {"url": "http://127.0.0.1:8765/api", "type": "http"}
    (entry,) = JSONC.entries(new, (("mcpServers",),))
    back = undone(new, entry, found.done)
    assert back is not None
    assert edited(new, back) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"mcpServers": {"a": {}, "a": {}}}', "twice"),
        ('{"mcpServers": {}, "mcpServers": {}}', "twice"),
        ('{"mcpServers": {"a": {}, "\\u0061": {}}}', "twice"),
        ('{"mcpServers": []}', "not an object"),
        ('{"mcpServers": "x"}', "not an object"),
        ("[]", "not an object"),
        ("{} {}", "something follows the end"),
        ('{"mcpServers": {', "line 1, column 17"),
        ("{\n\n 'a': 1}", "line 3, column 2"),
        ('{"a": 01}', "no value"),
        ('{"a": "\t"}', "not JSON"),
        ("[" * 600 + "]" * 600, "too deep"),
        ('{"mcpServers": {"a": ' + "[" * 90 + "]" * 90 + "}}", "too deep"),
        ("/* never closed", "no value"),
    ],
)
def test_a_configuration_with_no_single_reading_is_refused_with_the_place(text, why):
    with pytest.raises(NotReadable) as e:
        JSONC.entries(text, (("mcpServers",),))
    assert why in str(e.value)


def test_a_key_that_stands_twice_elsewhere_is_none_of_our_business():
    (entry,) = JSONC.entries('{"x": 1, "x": 2, "mcpServers": {"a": {"command": "x"}}}', (("mcpServers",),))
    assert entry.name == "a"


def test_a_key_that_stands_twice_in_a_server_leaves_only_that_server():
    text = '{"mcpServers": {"a": {"command": "x", "command": "y"}, "b": {"command": "x"}}}'
    found = [look(JSONC, text, entry, MINE, GATEWAY) for entry in JSONC.entries(text, (("mcpServers",),))]
    assert [one.state for one in found] == ["unfit", "wrap"]
    assert "twice" in found[0].reason


@pytest.mark.parametrize(
    "text", ["", " \n", "\ufeff", "// nothing\n", "{}", '{"mcpServers": null}', '{"mcpServers": {}}']
)
def test_a_configuration_without_servers_is_fine(text):
    assert JSONC.entries(text, (("mcpServers",),)) == []


def test_an_onrecord_among_the_arguments_of_a_server_does_not_put_it_on_the_record():
    assert passing(["npx", "x", "--", "onrecord", "run"]) == ""
    assert passing(["npx", "onrecord", "show"]) == ""
    assert passing(["npx", "onrecord"]) == ""
