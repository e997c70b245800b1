# SPDX-License-Identifier: Apache-2.0
"""A server is asked for its tools: in either era, through bad manners, and within limits."""

import json
import sys
from pathlib import Path

import pytest
from tests.doors.session import SERVER

from onrecord.doors import probe
from onrecord.errors import CommandError

LISTING = Path(__file__).with_name("listing_server.py")
GIT = [str(Path(sys.executable).with_name("mcp-server-git"))]


def ask(mode: str, timeout_s: float = 20) -> probe.Listed:
    return probe.ask([sys.executable, str(LISTING), mode], timeout_s=timeout_s)


def test_a_real_server_of_the_present_era_lists_its_tools() -> None:
    listed = probe.ask(GIT, timeout_s=60)

    assert listed.protocol_version == "2026-07-28"
    assert listed.name == "mcp-git"
    tools = {tool.name: tool for tool in listed.tools}
    assert len(tools) == 12
    assert tools["git_status"].read_only is True
    assert tools["git_reset"].destructive is True


@pytest.mark.requirement("F4")
def test_a_server_that_knows_only_the_handshake_lists_its_tools() -> None:
    listed = probe.ask(SERVER, timeout_s=20)

    assert (listed.name, listed.protocol_version) == ("scripted", "2025-11-25")
    assert [tool.name for tool in listed.tools][:4] == ["echo", "store", "erase", "login"]


@pytest.mark.requirement("F4")
@pytest.mark.parametrize(
    ("mode", "version"),
    [
        ("legacy", "2024-11-05"),
        ("modern", "2026-07-28"),
        ("dies-at-discover", "2024-11-05"),
        ("odd-discover", "2024-11-05"),
        ("ignores-discover", "2024-11-05"),
        ("late-discover", "2026-07-28"),
        ("talks", "2024-11-05"),
    ],
)
def test_the_era_is_found_however_the_server_takes_the_first_question(
    monkeypatch: pytest.MonkeyPatch, mode: str, version: str
) -> None:
    monkeypatch.setattr(probe, "PATIENCE_S", 0.1 if mode in ("ignores-discover", "late-discover") else 10.0)

    listed = ask(mode)

    assert (listed.protocol_version, [tool.name for tool in listed.tools]) == (version, ["one"])


def test_all_pages_are_read() -> None:
    assert [tool.name for tool in ask("pages").tools] == ["t0", "t1", "t2"]


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("refuses", "the server refuses to begin: JSON-RPC error -32000"),
        ("lists-nothing", "the server lists no tools: JSON-RPC error -32601"),
        ("dies-at-list", "the server ended before it listed its tools; it said: out of \\x1b[31mluck"),
        ("closes-at-list", "the server ended before it listed its tools; it said: out of \\x1b[31mluck"),
        ("endless", "does not end within 200 pages"),
    ],
)
def test_a_server_that_does_not_list_its_tools_is_one_clear_error(mode: str, said: str) -> None:
    with pytest.raises(CommandError) as caught:
        ask(mode)

    assert said in str(caught.value)
    assert str(caught.value).isprintable()
    assert caught.value.exit_code == 2


def test_a_server_that_says_nothing_is_given_up_in_time() -> None:
    with pytest.raises(CommandError, match=r"listed no tools within 0\.5 s"):
        ask("silent", timeout_s=0.5)


def test_a_server_that_stays_after_its_input_ended_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_GRACE_S", 0.1)

    assert [tool.name for tool in ask("stays").tools] == ["one"]


def test_a_command_that_is_not_there_is_named() -> None:
    with pytest.raises(CommandError, match="no such command on the PATH"):
        probe.ask(["no-such-command-anywhere"], timeout_s=5)


def test_what_is_odd_about_a_list_is_said_and_the_rest_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    tools = [{"name": "a"}, {"name": "a", "annotations": {"destructiveHint": True}}, {"name": 7}, "b", {"name": "c"}]
    monkeypatch.setenv("TOOLS", json.dumps(tools))

    listed = ask("legacy")

    assert [(tool.name, tool.destructive) for tool in listed.tools] == [("a", None), ("c", None)]
    assert listed.odd == ("2 entries of the list are no tools with a name", "a is listed twice; the first counts")
