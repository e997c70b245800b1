# SPDX-License-Identifier: Apache-2.0
"""Where the configurations of clients are looked for, on each platform; those of macOS and Windows as documented."""

import os
from pathlib import Path

import pytest

from onrecord.clients.finding import configurations, folders, named, places
from onrecord.clients.known import CLIENTS, client_of

pytestmark = pytest.mark.requirement("F3")

HOME = Path("/home/ada")


def at(platform, name, environ=None):
    known = folders(HOME, environ or {}, platform)
    return [place.replace("\\", "/").removeprefix("/home/ada/") for place in places(client_of(name), known)]


@pytest.mark.parametrize(
    ("name", "linux", "darwin", "win32"),
    [
        (
            "claude-desktop",
            ".config/Claude/claude_desktop_config.json",
            "Library/Application Support/Claude/claude_desktop_config.json",
            "AppData/Roaming/Claude/claude_desktop_config.json",
        ),
        ("claude-code", *(".claude.json",) * 3),
        ("cursor", *(".cursor/mcp.json",) * 3),
        (
            "vscode",
            ".config/Code/User/mcp.json",
            "Library/Application Support/Code/User/mcp.json",
            "AppData/Roaming/Code/User/mcp.json",
        ),
        ("copilot", *(".copilot/mcp-config.json",) * 3),
        ("windsurf", *(".codeium/windsurf/mcp_config.json",) * 3),
        ("zed", ".config/zed/settings.json", ".config/zed/settings.json", "AppData/Roaming/Zed/settings.json"),
        ("codex", *(".codex/config.toml",) * 3),
        ("gemini", *(".gemini/settings.json",) * 3),
    ],
)
def test_each_client_is_looked_for_where_its_documentation_says(name, linux, darwin, win32):
    assert [at(platform, name)[0] for platform in ("linux", "darwin", "win32")] == [linux, darwin, win32]


@pytest.mark.parametrize(
    ("variable", "name", "file"),
    [
        ("XDG_CONFIG_HOME", "claude-desktop", "Claude/claude_desktop_config.json"),
        ("XDG_CONFIG_HOME", "zed", "zed/settings.json"),
        ("CLAUDE_CONFIG_DIR", "claude-code", ".claude.json"),
        ("CODEX_HOME", "codex", "config.toml"),
        ("COPILOT_HOME", "copilot", "mcp-config.json"),
    ],
)
def test_the_variables_of_clients_count(variable, name, file):
    assert at("linux", name, {variable: "/else"})[0] == f"/else/{file}"


def test_what_is_there_is_found_once_and_a_profile_is_found_too(tmp_path):
    home, project = tmp_path / "home", tmp_path / "project"
    for path in (
        home / ".config/Code/User/mcp.json",
        home / ".config/Code/User/profiles/1a/mcp.json",
        home / ".claude.json",
        project / ".mcp.json",
        project / ".vscode/mcp.json",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    (home / ".cursor").mkdir()
    (home / ".cursor/mcp.json").symlink_to(home / ".claude.json")
    found = configurations(home, project, {})
    assert [(one.client.name, os.path.relpath(one.path, tmp_path), one.shared) for one in found] == [
        ("claude-code", "home/.claude.json", False),
        ("claude-code", "project/.mcp.json", True),
        ("vscode", "home/.config/Code/User/mcp.json", False),
        ("vscode", "home/.config/Code/User/profiles/1a/mcp.json", False),
        ("vscode", "project/.vscode/mcp.json", True),
    ]


@pytest.mark.parametrize(
    ("path", "name", "shared"),
    [
        ("/home/ada/.cursor/mcp.json", "cursor", False),
        ("/elsewhere/.cursor/mcp.json", "cursor", True),
        ("/home/ada/.config/Code/User/profiles/7/mcp.json", "vscode", False),
        ("/elsewhere/.vscode/mcp.json", "vscode", True),
        ("/elsewhere/any.json", "generic", False),
        ("/elsewhere/any.toml", "codex", False),
    ],
)
def test_a_file_that_is_named_is_read_as_that_of_the_client_whose_place_it_is(path, name, shared):
    found = named(Path(path), HOME, {})
    assert (found.client.name, found.shared) == (name, shared)


def test_the_names_of_clients_are_their_own():
    assert len({client.name for client in CLIENTS}) == len(CLIENTS)
