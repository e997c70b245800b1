# SPDX-License-Identifier: Apache-2.0
"""Which clients there are, where their configurations lie, and under which keys their servers stand.

A client is an entry in this table and nothing else. A place is a template over the folders of `finding.folders`, and
may hold `*`; a place in a project is seen from its folder. `servers` are paths of keys to tables of servers, in which
`*` is any key. The places are those of the clients' own documentation, of 2026:

    Claude Desktop      modelcontextprotocol.io/docs/develop/connect-local-servers (no Linux build is documented there)
    Claude Code         code.claude.com/docs/en/mcp
    Cursor              cursor.com/docs/mcp
    VS Code, Copilot    code.visualstudio.com/docs/agents/reference/mcp-configuration
    Windsurf            docs.windsurf.com/windsurf/cascade/mcp
    Zed                 zed.dev/docs/ai/mcp, and crates/paths of its source
    Codex               developers.openai.com/codex/mcp
    Gemini CLI          geminicli.com/docs/tools/mcp-server
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

FormName: TypeAlias = Literal["json", "toml"]
Keys: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One client: `files` are places for a person, `project` those in a project."""

    name: str
    title: str
    files: tuple[str, ...] = ()
    project: tuple[str, ...] = ()
    form: FormName = "json"
    servers: tuple[Keys, ...] = (("mcpServers",),)


_CODE = ("{config}/Code/User", "{config}/Code - Insiders/User", "{config}/VSCodium/User")

CLIENTS = (
    Client(
        name="claude-desktop",
        title="Claude Desktop",
        files=("{config}/Claude/claude_desktop_config.json",),
    ),
    Client(
        name="claude-code",
        title="Claude Code",
        files=("{claude}/.claude.json",),
        project=(".mcp.json",),
        servers=(("mcpServers",), ("projects", "*", "mcpServers")),
    ),
    Client(
        name="cursor",
        title="Cursor",
        files=("{home}/.cursor/mcp.json",),
        project=(".cursor/mcp.json",),
    ),
    Client(
        name="vscode",
        title="VS Code",
        files=tuple(f"{user}{file}" for user in _CODE for file in ("/mcp.json", "/profiles/*/mcp.json")),
        project=(".vscode/mcp.json",),
        servers=(("servers",),),
    ),
    Client(
        name="copilot",
        title="Copilot",
        files=("{copilot}/mcp-config.json",),
    ),
    Client(
        name="windsurf",
        title="Windsurf",
        files=("{home}/.codeium/windsurf/mcp_config.json",),
    ),
    Client(
        name="zed",
        title="Zed",
        files=("{zed}/settings.json",),
        project=(".zed/settings.json",),
        servers=(("context_servers",),),
    ),
    Client(
        name="codex",
        title="Codex",
        files=("{codex}/config.toml",),
        project=(".codex/config.toml",),
        form="toml",
        servers=(("mcp_servers",),),
    ),
    Client(
        name="gemini",
        title="Gemini CLI",
        files=("{home}/.gemini/settings.json",),
        project=(".gemini/settings.json",),
    ),
)

GENERIC = Client(
    name="generic",
    title="MCP client",
    servers=(("mcpServers",), ("servers",), ("context_servers",), ("mcp", "servers"), ("projects", "*", "mcpServers")),
)
"""What a file that is named by hand is read as, where it lies in no known place."""


def client_of(name: str) -> Client:
    """Return the client of that name. Raises KeyError."""
    return {client.name: client for client in (*CLIENTS, GENERIC)}[name]
