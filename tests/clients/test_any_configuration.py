# SPDX-License-Identifier: Apache-2.0
"""Whatever a configuration looks like: what is put on the record can be taken off again, and nothing else changes."""

import json
import tempfile
import tomllib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.clients.writing import documents, jsonc, plain, servers, toml, wrapped

from onrecord.clients.changing import installed, survey, uninstalled
from onrecord.clients.document import NotReadable
from onrecord.clients.files import Text
from onrecord.clients.finding import Configuration
from onrecord.clients.jsonc import JSONC
from onrecord.clients.known import client_of
from onrecord.clients.tables import TOML
from onrecord.clients.wrapping import Gateway, Wrapper

pytestmark = pytest.mark.requirement("F3")

MINE = Wrapper(command="/opt/on record/bin/onrecord", home='/srv/ho"me')
NONE = Gateway(url_for=lambda url: None, is_own=lambda url: False)
NAMES = st.sampled_from(["git", "a b", "-x", 'quo"te', "日本", "run"])


def words(name):
    return [MINE.command, *MINE.words(name)]


def put_on(client, data, chosen=lambda look: True, state=None):
    """Return the change that puts the chosen servers of a configuration on the record, or None."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "configuration")
        file.write_bytes(data)
        return installed(survey(Configuration(client=client, path=file), MINE, NONE), chosen, state)


def taken_off(change, data=None, chosen=lambda path: True, state=None, before=None):
    """Return the change that takes the chosen servers off the record, of the file as it is or as `data` says."""
    data = change.new if data is None else data
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "configuration")
        file.write_bytes(data)
        old = Text(file=file, data=data, text=data.decode())
        return uninstalled(old, state or change.state, change.before if before is None else before, chosen)


@given(st.data())
def test_what_is_installed_says_the_same_but_for_its_servers_and_is_undone_byte_for_byte(data):
    key = data.draw(st.sampled_from(["mcpServers", "servers", "context_servers"]))
    value = data.draw(documents(key))
    text = data.draw(jsonc(value))
    assert plain(text) == value
    change = put_on(client_of("generic"), text.encode())
    if change is None:
        assert value[key] == {}
        return
    assert plain(change.new.decode()) == wrapped(value, key, words)
    assert change.before == text.encode()
    back = taken_off(change)
    assert back.new == text.encode()
    assert back.state is None
    assert taken_off(change, before=b"lost", state=replace_after(change)).new == text.encode()  # by edits alone


def replace_after(change):
    """Return the state of a change as if the file had been edited since."""
    state = change.state
    return type(state)(file=state.file, client=state.client, after="", servers=state.servers)


@given(st.data())
def test_to_install_twice_is_to_install_once(data):
    value = data.draw(documents())
    change = put_on(client_of("cursor"), data.draw(jsonc(value)).encode())
    if change is not None:
        assert put_on(client_of("cursor"), change.new, state=change.state) is None


@given(st.data())
def test_servers_can_be_put_on_and_taken_off_one_by_one_in_any_order(data):
    value = data.draw(documents())
    text = data.draw(jsonc(value)).encode()
    names = data.draw(st.permutations(list(value["mcpServers"])))
    now, state, change = text, None, None
    for name in names:
        change = put_on(client_of("cursor"), now, lambda look, name=name: look.entry.name == name, state)
        assert change is not None
        now, state = change.new, change.state
        assert change.before == text
    if change is None:
        return
    before = change.before
    for name in data.draw(st.permutations(names)):
        change = taken_off(change, now, lambda path, name=name: path[-1] == name, state, before)
        now, state, before = change.new, change.state, change.before
    assert now == text
    assert state is None


@given(st.data())
def test_what_somebody_has_edited_since_stays_when_the_rest_is_undone(data):
    value = data.draw(documents())
    text = data.draw(jsonc(value))
    change = put_on(client_of("cursor"), text.encode())
    if change is None:
        return
    more = {"zz-theirs": {"command": "other"}}
    edited = add_server(change.new.decode(), more)
    back = taken_off(change, edited.encode())
    assert plain(back.new.decode()) == {**value, "mcpServers": {**value["mcpServers"], **more}}
    assert back.new.decode() == add_server(text, more)


def add_server(text, more):
    """Put a server in front of the others, as an editor would."""
    entries = JSONC.entries(text, (("mcpServers",),))
    first = text.rindex("{", 0, entries[0].value.start)
    opening = next(at for at in range(first, -1, -1) if text[at] == "{" and is_table_of_servers(text, at))
    return f"{text[: opening + 1]}{json.dumps(more)[1:-1]},{text[opening + 1 :]}"


def is_table_of_servers(text, at):
    with suppress(NotReadable, AssertionError, IndexError):
        trial = f'{text[: at + 1]}"\\u0007":{{}},{text[at + 1 :]}'
        return any(entry.name == "\x07" for entry in JSONC.entries(trial, (("mcpServers",),)))
    return False


@given(st.data())
def test_a_configuration_in_toml_is_installed_and_undone_too(data):
    found = data.draw(st.dictionaries(NAMES, servers(), max_size=3))
    text = data.draw(toml(found))
    said = tomllib.loads(text)
    change = put_on(client_of("codex"), text.encode())
    if change is None:
        assert not found
        return
    assert tomllib.loads(change.new.decode()) == wrapped(said, "mcp_servers", words)
    assert change.before == text.encode()
    assert taken_off(change).new == text.encode()
    assert put_on(client_of("codex"), change.new, state=change.state) is None


@given(st.data())
def test_what_is_no_json_is_refused_and_what_is_json_is_read(data):
    text = data.draw(jsonc(data.draw(documents())))
    at = data.draw(st.integers(0, len(text)))
    mangled = (
        text[:at] + data.draw(st.sampled_from(["", "}", "{", '"', ",", "[", "/", "\n", "1", "\0"])) + text[at + 1 :]
    )
    try:
        entries = JSONC.entries(mangled, (("mcpServers",),))
    except NotReadable:
        return
    value = plain(mangled) if mangled.strip("\ufeff \t\r\n") else {}
    assert {entry.name for entry in entries} == set(value.get("mcpServers") or {})


@given(st.text())
def test_any_text_is_read_or_refused(text):
    for form in (JSONC, TOML):
        with suppress(NotReadable):
            form.entries(text, (("mcpServers",), ("projects", "*", "mcpServers")))
        assert all(0 <= start < end <= len(text) for start, end in form.scalars(text))
