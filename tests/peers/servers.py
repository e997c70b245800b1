# SPDX-License-Identifier: Apache-2.0
"""Servers that we did not write, in both languages and of both lines of the SDK, each with something to work on."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
HERE = Path(sys.executable).parent
OLDER = ROOT / ".demo/v1/bin"
FETCHED = ROOT / ".conformance/node_modules"
NODE = str(FETCHED / ".bin/node")
INSPECTOR = FETCHED / "@modelcontextprotocol/inspector/clients/launcher/build/index.js"

WHEN = "2026-01-02T03:04:05+00:00"


@dataclass(frozen=True)
class RealServer:
    """A server, what it is started with, and calls whose answers are the same each time.

    `arrange` makes what it works on, in a folder; `command` starts it there.
    """

    name: str
    program: Path
    made_by: str
    command: Callable[[Path], list[str]]
    arrange: Callable[[Path], None]
    calls: tuple[tuple[str, Callable[[Path], dict[str, Any]]], ...]
    env: Callable[[Path], dict[str, str]] = field(default=lambda folder: {})

    @property
    def starts_fast(self) -> bool:
        """Whether it is cheap to start it often."""
        return self.program.suffix == ".js"

    def ready(self, folder: Path) -> Path:
        """Make the folder anew, with all that the server works on."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self.arrange(folder)
        return folder


def _repository(folder: Path) -> None:
    (folder / "letter.txt").write_text("dear reader\n")
    dated = {"GIT_AUTHOR_DATE": WHEN, "GIT_COMMITTER_DATE": WHEN, "GIT_CONFIG_GLOBAL": os.devnull}
    who = ["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q", "-b", "main"], ["add", "."], [*who, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], cwd=folder, env={**os.environ, **dated}, check=True)
    (folder / "letter.txt").write_text("dear reader,\nsecond thoughts\n")


def _database(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "a.db")) as database:
        database.execute("CREATE TABLE pets (name TEXT, legs INTEGER)")
        database.execute("INSERT INTO pets VALUES ('Ada', 4), ('Bob', 2)")
        database.commit()


def _files(folder: Path) -> None:
    (folder / "notes").mkdir()
    (folder / "notes" / "a.txt").write_text("héllo\nsecond line\n", encoding="utf-8")


def _nothing(_folder: Path) -> None:
    pass


def _fetched(name: str) -> Path:
    return FETCHED / "@modelcontextprotocol" / name / "dist/index.js"


REAL = (
    RealServer(
        "git",
        HERE / "mcp-server-git",
        "make setup",
        lambda folder: [str(HERE / "mcp-server-git"), "--repository", str(folder)],
        _repository,
        (
            ("git_diff_unstaged", lambda folder: {"repo_path": str(folder)}),
            ("git_log", lambda folder: {"repo_path": str(folder), "max_count": 3}),
            ("git_show", lambda folder: {"repo_path": str(folder), "revision": "none-such"}),  # fails
        ),
    ),
    RealServer(
        "time",
        HERE / "mcp-server-time",
        "make setup",
        lambda folder: [str(HERE / "mcp-server-time"), "--local-timezone", "UTC"],
        _nothing,
        (
            (
                "convert_time",
                lambda folder: {"source_timezone": "UTC", "time": "12:30", "target_timezone": "Asia/Tokyo"},
            ),
            ("get_current_time", lambda folder: {"timezone": "Nowhere/Land"}),  # fails
        ),
    ),
    RealServer(
        "sqlite",
        OLDER / "mcp-server-sqlite",
        "make .demo/v1/.ready",
        lambda folder: [str(OLDER / "mcp-server-sqlite"), "--db-path", str(folder / "a.db")],
        _database,
        (
            ("read_query", lambda folder: {"query": "SELECT name, legs FROM pets ORDER BY name"}),
            ("write_query", lambda folder: {"query": "DELETE FROM pets WHERE legs = 2"}),
            ("read_query", lambda folder: {"query": "SELECT FROM"}),  # fails
        ),
    ),
    RealServer(
        "filesystem",
        _fetched("server-filesystem"),
        "make suite",
        lambda folder: [NODE, str(_fetched("server-filesystem")), str(folder)],
        _files,
        (
            ("read_text_file", lambda folder: {"path": str(folder / "notes" / "a.txt")}),
            ("write_file", lambda folder: {"path": str(folder / "b.txt"), "content": "new"}),
            ("read_text_file", lambda folder: {"path": "/etc/passwd"}),  # which it refuses
        ),
    ),
    RealServer(
        "everything",
        _fetched("server-everything"),
        "make suite",
        lambda folder: [NODE, str(_fetched("server-everything")), "stdio"],
        _nothing,
        (
            ("echo", lambda folder: {"message": 'quotes " and – dashes'}),
            ("get-sum", lambda folder: {"a": 2, "b": 40}),
            ("get-tiny-image", lambda folder: {}),
            ("get-structured-content", lambda folder: {"location": "Chicago"}),
        ),
    ),
    RealServer(
        "memory",
        _fetched("server-memory"),
        "make suite",
        lambda folder: [NODE, str(_fetched("server-memory"))],
        _nothing,
        (
            (
                "create_entities",
                lambda folder: {"entities": [{"name": "Ada", "entityType": "person", "observations": ["likes tea"]}]},
            ),
            ("read_graph", lambda folder: {}),
        ),
        lambda folder: {"MEMORY_FILE_PATH": str(folder / "memory.jsonl")},
    ),
)
