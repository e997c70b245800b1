# SPDX-License-Identifier: Apache-2.0
"""The demonstration: real servers, a real client, planted secrets, and what is left of them on the record.

`make demo` prepares the environments and runs this. It writes to `.demo/` alone. Every secret in it
is a dummy, made up here.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

from mcp import Client, MCPError, StdioServerParameters

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / ".demo"
HOME = PLACE / "home"
OUTSIDE = PLACE / "outside"
ONRECORD = ROOT / ".venv" / "bin" / "onrecord"

# Dummies of known forms, put together here so that no scanner mistakes this file for a leak.
TOKEN = "ghp_" + "DUMMYdummy0123456789" * 2
PASSWORD = "correct-horse-" + "battery-staple"
CARD = "4111 1111 1111 1111"
AWS_KEY = "AKIA" + "DUMMYDUMMY234567"
SECRETS = [TOKEN, PASSWORD, CARD, CARD.replace(" ", ""), AWS_KEY]

SETTINGS = """\
# What this demonstration says of its tools. Without this file everything is recorded all the same,
# argument values are not kept, and tiers are inferred.

[[tool]]
server = "git"
classification = "low"        # argument values may be logged, redacted and cut

[[tool]]
server = "sqlite"
tool = "read_query"
tier = 1
classification = "low"

[[tool]]
server = "sqlite"
tool = "write_query"
tier = 3                      # durable and signed before it runs
classification = "medium"     # names of arguments, and the values named here
summary = ["/query"]

[[tool]]
server = "files"
classification = "high"       # names of arguments only
"""


def main() -> int:
    """Run all of it; return 1 where a promise did not hold."""
    prepare()
    say("1. Calls through the wrapper, by the official client")
    asyncio.run(drive_git())
    asyncio.run(drive_sqlite())
    files = PLACE / "node" / "node_modules" / ".bin" / "mcp-server-filesystem"
    if files.exists() and shutil.which("node"):
        asyncio.run(drive_files(files))
    else:
        print("   (node is not at hand: the JavaScript server is left out)")
    say("2. What is on the record: onrecord tail")
    onrecord("tail", "-n", "60")
    kept = [show_secrets(), show_verdicts(), show_tampering()]
    say("What to try next")
    print(f"""\
   export ONRECORD_HOME={HOME.relative_to(ROOT)}
   .venv/bin/onrecord show 3                       one event in full
   .venv/bin/onrecord tail -f                      and, in another terminal, run this again
   jq 'select(.event_type == "tool_call" and .result_status == "failed")' \\
       $ONRECORD_HOME/ledger/calls/log/*.ndjson    the record is plain NDJSON
   .venv/bin/onrecord doctor                       is everything as it should be?
   README.md                                       put your own server on the record
""")
    return 0 if all(kept) else 1


def prepare() -> None:
    for folder in (HOME, OUTSIDE, PLACE / "work"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    HOME.chmod(0o700)
    (HOME / "onrecord.toml").write_text(SETTINGS)
    repository = PLACE / "work" / "repository"
    repository.mkdir()
    for command in (
        ["init", "--quiet", "--initial-branch=main"],
        ["config", "user.name", "Demo"],
        ["config", "user.email", "demo@example.com"],
    ):
        subprocess.run(["git", *command], cwd=repository, check=True)
    (repository / "deploy.env").write_text(f"AWS_ACCESS_KEY_ID={AWS_KEY}\n")
    (PLACE / "work" / "files").mkdir()


async def drive_git() -> None:
    repository = str(PLACE / "work" / "repository")
    server = wrapped("git", PLACE / "v2" / "bin" / "mcp-server-git", "--repository", repository)
    async with Client(server) as client:
        await call(client, "git_status", repo_path=repository)
        await call(client, "git_add", repo_path=repository, files=["deploy.env"])
        await call(client, "git_commit", repo_path=repository, message=f"deploy with token {TOKEN}")
        await call(client, "git_show", repo_path=repository, revision="HEAD")  # secrets in the result
        await call(client, "git_checkout", repo_path=repository, branch_name=f"no-such-branch-{TOKEN}")


async def drive_sqlite() -> None:
    server = wrapped("sqlite", PLACE / "v1" / "bin" / "mcp-server-sqlite", "--db-path", str(PLACE / "work" / "demo.db"))
    async with Client(server, mode="legacy") as client:
        await call(client, "create_table", query="create table cards (owner text, number text)")
        await call(client, "write_query", query=f"insert into cards values ('Ada', '{CARD}')")
        await call(client, "read_query", query="select * from cards")  # a card number in the result
        await call(client, "read_query", query=f"select * from users where password = '{PASSWORD}'")  # an error


async def drive_files(program: Path) -> None:
    folder = PLACE / "work" / "files"
    async with Client(wrapped("files", program, str(folder)), mode="legacy") as client:
        await call(client, "write_file", path=str(folder / "note.txt"), content=f"password: {PASSWORD}")
        await call(client, "read_text_file", path=str(folder / "note.txt"))
        await call(client, "read_text_file", path="/etc/shadow")  # refused by the server


def wrapped(name: str, program: Path, *arguments: str) -> StdioServerParameters:
    """Return how to start `program` on the record: the same command, behind `onrecord run`."""
    return StdioServerParameters(
        command=str(ONRECORD),
        args=["run", "--server-id", name, "--", str(program), *arguments],
        env={**os.environ, "ONRECORD_HOME": str(HOME)},
    )


async def call(client: Client, tool: str, **arguments: object) -> None:
    await client.list_tools()  # so that the recorder knows the tool's schema, as a host does first
    try:
        result = await client.call_tool(tool, arguments)
        print(f"   {tool:<16} {'failed, as planned' if result.is_error else 'done'}")
    except MCPError as e:
        print(f"   {tool:<16} refused: {e}")


def show_secrets() -> bool:
    say("3. The planted secrets")
    leaked = 0
    for secret in SECRETS:
        places = [path for path in HOME.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
        leaked += len(places)
        found = f"FOUND in {', '.join(map(str, places))}" if places else "not in any file of the ledger"
        print(f"   {secret[:8]}…  {found}")
    return not leaked


def show_verdicts() -> bool:
    say("4. The verdict: validly signed, and with a checkpoint kept elsewhere, intact")
    first = onrecord("verify", "--allow-unanchored")
    shutil.copy(HOME / "ledger" / "calls" / "checkpoint", OUTSIDE / "checkpoint")
    shutil.copy(HOME / "keys" / "calls.vkey", OUTSIDE / "calls.vkey")
    second = onrecord("verify", "--checkpoint", str(OUTSIDE / "checkpoint"), "--key", str(OUTSIDE / "calls.vkey"))
    return first == 0 and second == 0


def show_tampering() -> bool:
    say("5. The same in a copy in which one byte was changed")
    copy = OUTSIDE / "copy"
    shutil.copytree(HOME / "ledger" / "calls", copy)
    (log,) = (copy / "log").glob("*.ndjson")
    log.write_bytes(log.read_bytes().replace(b'"tool_name":"git_commit"', b'"tool_name":"git_commiX"', 1))
    altered = onrecord("verify", str(copy), "--key", str(OUTSIDE / "calls.vkey"))
    print("   and in one whose last three entries were cut off")
    log.write_bytes(b"".join((HOME / "ledger" / "calls" / "log" / log.name).read_bytes().splitlines(True)[:-3]))
    cut = onrecord("verify", str(copy), "--key", str(OUTSIDE / "calls.vkey"))
    return altered == 1 and cut == 1


def onrecord(*arguments: str) -> int:
    print(f"   $ onrecord {' '.join(a.replace(str(ROOT) + '/', '') for a in arguments)}", flush=True)
    done = subprocess.run(
        [str(ONRECORD), *arguments],
        env={**os.environ, "ONRECORD_HOME": str(HOME)},
        capture_output=True,
        text=True,
        check=False,
    )
    for line in (done.stdout + done.stderr).replace(str(ROOT) + "/", "").splitlines():
        print(f"   {line}")
    return done.returncode


def say(text: str) -> None:
    print(f"\n{text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
