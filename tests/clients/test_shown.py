# SPDX-License-Identifier: Apache-2.0
"""What is shown of a change never holds a secret of the configuration."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.clients.test_any_configuration import put_on
from tests.clients.writing import documents, jsonc

from onrecord.clients.known import client_of
from onrecord.clients.shown import Masking, difference

pytestmark = pytest.mark.requirement("F3", "B1")

SECRET = "hunter" + "2correct"


def shown(client, text, masking: Masking = list):
    change = put_on(client_of(client), text.encode())
    assert change is not None
    return list(difference(change.form, change.client, text, change.new.decode(), change.servers, masking))


JSON = f"""{{
  // {SECRET}
  "apiKey": "{SECRET}", /* {SECRET} */ "pin": 48151623,
  "mcpServers": {{
    "git": {{
      "command": "npx", "env": {{"KEY": "{SECRET}"}}, // {SECRET}
      "x": ["{SECRET}", 48151623], "args": ["-y"],
      "headers": {{"Authorization": "Bearer {SECRET}"}}
    }},
    "far": {{"url": "https://{SECRET}.example", "headers": {{"A": "{SECRET}"}}}}
  }}
}}"""
TOML = f"""# {SECRET}
key = "{SECRET}" # {SECRET}
pin = 48151623
multi = '''
{SECRET}
'''
[mcp_servers.git]
command = 'npx'
env = {{ KEY = '{SECRET}', "quoted" = "{SECRET}" }}
[mcp_servers.far]
url = "https://{SECRET}.example"
"""


@pytest.mark.parametrize(("client", "text"), [("cursor", JSON), ("codex", TOML)])
def test_values_comments_and_numbers_of_others_are_hidden(client, text):
    lines = shown(client, text)
    assert SECRET not in "\n".join(lines)
    assert "48151623" not in "\n".join(lines)
    assert any(line.startswith("+") and '"--server-id", "git"' in line for line in lines)
    assert any(line.startswith("-") and "npx" in line for line in lines)


def test_a_command_line_is_shown_as_it_may_be():
    text = '{"mcpServers": {"git": {"command": "npx", "args": ["--token", "s3cr3t"]}}}'

    def masking(words):
        return ["[MASKED]" if word == "s3cr3t" else word for word in words]

    assert all("s3cr3t" not in line for line in shown("cursor", text, masking))
    assert any('"[MASKED]"' in line for line in shown("cursor", text, masking))


def test_what_the_masking_leaves_out_is_hidden():
    text = '{"mcpServers": {"git": {"command": "npx", "args": ["s3cr3t"]}}}'
    lines = shown("cursor", text, lambda words: words[:1])
    assert all("s3cr3t" not in line for line in lines)


def test_what_acts_on_a_terminal_is_written_out():
    text = json.dumps(
        {"mcpServers": {"a\x1b[2J": {"command": "npx\x1b]0;x\x07", "args": ["\u202e"]}}}, ensure_ascii=False
    )
    text = text.replace("\x1b", "\\u001b").replace("\x07", "\\u0007")
    lines = "".join(shown("cursor", text))
    assert not set(lines) & {"\x1b", "\x07", "\u202e"}


def test_only_the_lines_around_a_change_are_shown():
    many = ",\n".join(f'"k{i}": {i}' for i in range(500))
    lines = shown(
        "cursor", f'{{\n{many},\n"mcpServers": {{"git":\n{{"command":\n"npx"\n}}}},\n"z": 1,\n{many[:-3]}9\n}}'
    )
    assert len(lines) < 12
    assert lines[0].startswith("@@ -50")


def test_a_change_of_very_many_servers_is_counted_in_place_of_being_shown():
    many = {f"s{i}": {"command": SECRET} for i in range(501)}
    assert shown("cursor", json.dumps({"mcpServers": many})) == ["501 servers change, which are too many to be shown"]


@given(st.data())
def test_no_value_but_those_of_command_lines_is_ever_shown(data):
    value = data.draw(documents())
    value["mcpServers"]["git"] = {"command": "npx", "env": {"K": SECRET}, "t": SECRET}
    value["secret"] = {"deep": [SECRET]}
    assert SECRET not in "\n".join(shown("cursor", data.draw(jsonc(value))))
