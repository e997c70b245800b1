# SPDX-License-Identifier: Apache-2.0
"""`onrecord doctor` says how the gateway stands, and which of the servers behind it can be reached."""

import json
import socket

import pytest
from tests.doors.session import onrecord
from tests.gateway.running import Gateway
from tests.gateway.scripted import Scripted, answered
from tests.without import without


def looked(home, env=None):
    """Return what the doctor says of the gateway: states and words."""
    said = onrecord(home, "doctor", "--json", env=env)
    assert "Traceback" not in said.stderr
    found = [(one["state"], one["text"]) for one in json.loads(said.stdout) if one["about"] == "gateway"]
    assert said.returncode == int("fail" in [state for state, _ in found]), said.stdout
    return found


def settled(home, *servers, listen="127.0.0.1:0"):
    text = "".join(f"[[upstream]]\n{one}\n" for one in servers)
    (home / "onrecord.toml").write_text(f'[gateway]\ntokens = "off"\nlisten = "{listen}"\n{text}')


def fixed(status):
    return Scripted(lambda connection, _: answered(connection, b"", status=status, location="http://127.0.0.1:1/"))


def test_where_no_server_is_behind_a_gateway_nothing_is_said_of_one(tmp_path):
    (tmp_path / "onrecord.toml").write_text("")
    assert looked(tmp_path) == []


@pytest.mark.parametrize("name", ["h11", "httpcore2", "httpx2", "uvicorn"])
def test_where_a_package_of_the_gateway_is_missing_the_way_to_get_it_is_told(tmp_path, name):
    settled(tmp_path, 'name = "a"\nurl = "http://127.0.0.1:1/mcp"')
    env = without(tmp_path / "more", name)
    why = f"needs {name}: pip install 'onrecord[gateway]'"
    assert looked(tmp_path, env) == [("fail", f"it {why}")]
    started = onrecord(tmp_path, "gateway", env=env)
    assert (started.returncode, started.stderr) == (2, f"onrecord: the gateway {why}\n")
    assert not (tmp_path / "ledger").exists()


def test_each_server_is_said_to_be_there_or_not(tmp_path):
    with (
        fixed(405) as there,
        fixed(404) as missing,
        fixed(307) as moved,
        socket.create_server(("127.0.0.1", 0)) as mute,
    ):
        urls = {
            "there": there.url,
            "missing": missing.url,
            "moved": moved.url,
            "mute": f"http://127.0.0.1:{mute.getsockname()[1]}/mcp",
            "gone": "http://127.0.0.1:1/mcp?key=k",
        }
        settled(tmp_path, *(f'name = "{name}"\nurl = "{url}"' for name, url in urls.items()))
        count, listens, *found = looked(tmp_path)
    assert count == ("ok", "5 servers behind it: there, missing, moved, mute, gone")
    assert listens[0] == "ok"
    words = {text.split(":")[0]: (state, text) for state, text in found}
    assert {name: state for name, (state, _) in words.items()} == {
        "there": "ok",
        "missing": "warn",
        **dict.fromkeys(("moved", "mute", "gone"), "fail"),
    }
    assert "does not answer within 3 s" in words["mute"][1]
    assert "http://127.0.0.1:1/mcp cannot be reached" in words["gone"][1]
    assert not any("key=k" in text for _, text in found)
    assert [one.header("authorization") for one in there.reached] == [None]


def test_secrets_that_cannot_be_read_are_told(tmp_path):
    with fixed(405) as server:
        lacking = f'name = "a"\nurl = "{server.url}"\ntoken_file = "no-such-file"'
        unset = f'name = "b"\nurl = "{server.url}"\ntoken_env = "NO_SUCH_VARIABLE_IS_SET"'
        settled(tmp_path, lacking, unset)
        found = looked(tmp_path)
    assert [(state, text.partition("upstream ")[2]) for state, text in found if "token" in text] == [
        ("fail", "a: token_file cannot be read: no such file or directory"),
        ("warn", "b: token_env: NO_SUCH_VARIABLE_IS_SET holds nothing here"),
    ]


def test_where_it_listens_is_free_or_its_own_or_anothers(tmp_path):
    with fixed(405) as server, socket.create_server(("127.0.0.1", 0)) as other:
        one = f'name = "s"\nurl = "{server.url}"'
        with Gateway(tmp_path, {"s": server.url}) as gateway:
            running = f"127.0.0.1:{gateway.port}"
            settled(tmp_path, one, listen=running)
            assert ("ok", f"it runs at {running}") in looked(tmp_path)
        assert ("ok", f"{running} is free; it does not run: onrecord gateway") in looked(tmp_path)
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        settled(tmp_path, one, listen=taken)
        assert ("fail", f"something else listens at {taken}") in looked(tmp_path)
