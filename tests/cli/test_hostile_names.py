# SPDX-License-Identifier: Apache-2.0
"""Names of files, folders and logs are chosen by anybody: no verb prints one that acts on a terminal."""

import ast
import getpass
import json
import shutil
from pathlib import Path

import pytest
from tests.doors.session import SERVER, Session, onrecord

from onrecord.cli import main

HOSTILE = "a\x1b[2J\x1b]0;owned\x07\u202eb\nc"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("homes") / HOSTILE
    with Session(home) as session:
        session.call("echo", text="hello")
        session.end()
    log = home / "ledger" / "calls"
    shutil.copytree(log, home / HOSTILE)
    shutil.copytree(log, home / "ledger" / f"x{HOSTILE}")
    (home / f"{HOSTILE}.txt").write_text("no proof\n")
    (home / f"{HOSTILE}.toml").write_text("[[rule]]\nid = 1\n")
    servers = {HOSTILE: {"command": HOSTILE, "args": [HOSTILE]}, f"far{HOSTILE}": {"url": HOSTILE}}
    (home / f"{HOSTILE}.json").write_text(json.dumps({"mcpServers": servers}))
    return home


VERBS = [
    ("query",),
    ("query", "--user", HOSTILE),
    ("query", "--tool", HOSTILE),
    ("query", "--json"),
    ("query", "--format", "csv"),
    ("query", "--by", HOSTILE),
    ("query", "--format", "ocsf"),
    ("search", HOSTILE),
    ("search", "a*", "--json"),
    ("stats",),
    ("stats", "--json"),
    ("sql", "SELECT server_id, tool_name FROM audit_events"),
    ("sql", f"SELECT '{HOSTILE}' FROM audit_events", "--json"),
    ("sql", HOSTILE),
    ("index",),
    ("index", "--json"),
    ("alerts",),
    ("alerts", "show", HOSTILE),
    ("tail",),
    ("tail", "--user", HOSTILE),
    ("tail", "--json"),
    ("show", HOSTILE),
    ("show", "0"),
    ("show", "0", "--json"),
    ("verify",),
    ("verify", "--json"),
    ("verify", "{home}"),
    ("verify", "{home}/" + HOSTILE),
    ("verify", "{home}/" + HOSTILE, "--json"),
    ("verify", "{home}/" + HOSTILE + ".txt"),
    ("verify", "{home}/" + HOSTILE + ".txt", "--json"),
    ("verify", "{home}/nothing" + HOSTILE),
    ("verify", "--log", HOSTILE),
    ("verify", "--key", HOSTILE),
    ("verify", "--checkpoint", "{home}/" + HOSTILE + ".txt"),
    ("watch", "--once"),
    ("watch", "--once", "--json"),
    ("prove", "0", "-o", "{home}/p" + HOSTILE),
    ("prove", "0", "-o", "{home}/q" + HOSTILE, "--json"),
    ("prove", "0", "-o", "{home}/" + HOSTILE + ".txt"),
    ("prove", HOSTILE),
    ("export", "--all", "-o", "{home}/e" + HOSTILE),
    ("export", "--all", "-o", "{home}/f" + HOSTILE, "--json"),
    ("export", "--tool", HOSTILE, "-o", "{home}/g" + HOSTILE),
    ("keys",),
    ("keys", "--json"),
    ("keys", "--log", HOSTILE),
    ("doctor",),
    ("doctor", "--json"),
    ("install", "--dry-run", "--config", "{home}/" + HOSTILE + ".json"),
    ("install", "--dry-run", "--json", "--config", "{home}/" + HOSTILE + ".json"),
    ("install", "--yes", "--config", "{home}/" + HOSTILE + ".json", "--config", "{home}/" + HOSTILE + ".txt"),
    ("install", "--dry-run", "--config", "{home}/" + HOSTILE + ".json", "--only", HOSTILE + HOSTILE),
    ("uninstall", "--dry-run"),
    ("uninstall", "--dry-run", "--json"),
    ("ledger", "reopen", "--log", HOSTILE),
    ("anchor",),
    ("anchor", "--json"),
    ("anchor", "--to", "{home}/c" + HOSTILE),
    ("anchor", "--to", "{home}/d" + HOSTILE, "--json"),
    ("witness", "--listen", HOSTILE),
    ("recorder", "install", "--" + HOSTILE),
    ("redact", "{home}/nothing" + HOSTILE),
    ("redact", "--rules", "{home}/" + HOSTILE + ".toml"),
    ("redact", "--schema", "{home}/" + HOSTILE + ".txt"),
    ("redact", "--explain", HOSTILE),
    ("run", "--", HOSTILE),
    ("init", "--", HOSTILE),
    ("init", "-o", "-", "--server-id", HOSTILE, "--", *SERVER),
    ("init", "-o", "{home}/" + HOSTILE + ".toml", "--", *SERVER),
    ("init", "-o", "{home}/i" + HOSTILE, "--server-id", HOSTILE, "--", *SERVER),
    ("readiness", "--", HOSTILE),
    ("readiness", "--server-id", HOSTILE, "--", *SERVER),
    ("readiness", "--server-id", HOSTILE, "--json", "--", *SERVER),
    ("readiness", "--config", "{home}/" + HOSTILE + ".toml", "--", *SERVER),
    ("login", "--config", "{home}/" + HOSTILE + ".toml"),
    ("login", "--config", "{home}/nothing" + HOSTILE),
    ("login", "--status", "--json"),
    ("login", HOSTILE),
    ("logout", "--config", "{home}/" + HOSTILE + ".toml"),
    ("incident", HOSTILE),
    ("incident", HOSTILE, "--json"),
    ("incident", "x", "--since", HOSTILE),
    ("incident", "x", "--home", "{home}/nothing" + HOSTILE),
    ("incident", "x", "--out", "{home}/" + HOSTILE + ".txt"),
    ("incident", getpass.getuser(), "--home", "{home}"),
    ("incident", getpass.getuser(), "--format", "html", "--out", "{home}/h" + HOSTILE),
    ("policy", "check", HOSTILE),
    ("policy", "check", "{home}/" + HOSTILE + ".txt"),
    ("policy", "replay", "--policy", "{home}/" + HOSTILE),
    ("approvals", "list"),
    ("approvals", "show", HOSTILE),
    ("approvals", "approve", HOSTILE, "--yes"),
    ("approvals", "submit", "{home}/" + HOSTILE + ".txt"),
    ("authenticators",),
    ("authenticators", "enrol", "{home}/" + HOSTILE + ".txt"),
    ("authenticators", "remove", HOSTILE),
    ("tools", "list"),
    ("tools", "list", "--json"),
    ("tools", "diff", HOSTILE),
    ("tools", "accept", HOSTILE),
    ("gateway",),
    ("gateway", "--config", "{home}/" + HOSTILE),
    ("selftest", "--deadline", HOSTILE),
    (HOSTILE,),
    ("tail", "--" + HOSTILE),
    ("tail", "-n", HOSTILE),
]


@pytest.mark.requirement("B7")
@pytest.mark.parametrize("verb", VERBS, ids=[str(i) for i in range(len(VERBS))])
def test_no_verb_prints_a_name_that_acts(home, verb):
    done = onrecord(home, *(word.replace("{home}", str(home)) for word in verb))

    for printed in (done.stdout, done.stderr):
        assert [c for c in printed if not c.isprintable() and c != "\n"] == []
        assert "\u202e" not in printed
        assert "b\nc" not in printed
    assert done.stdout + done.stderr or verb[0] == "watch"  # which has nothing to say where all is well
    assert "Traceback" not in done.stderr
    if "--json" in verb and done.returncode < 2:
        for line in done.stdout.splitlines():
            json.loads(line)


def test_every_verb_is_among_those_that_are_tried():
    listed = onrecord(Path(), "--help").stdout.partition("\nput calls on the record:\n")[2].partition("new here?")[0]
    verbs = {line.split()[0] for line in listed.splitlines() if line.startswith("  ")}

    assert len(verbs) > 30
    assert verbs - {"tag"} <= {verb[0] for verb in VERBS}  # a tag is digits, whatever it is of


def test_what_people_see_is_printed_in_one_place():
    elsewhere: list[str] = []
    for path in sorted(Path(main.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and path.name != "terminal.py":
                called = ast.unparse(node.func)
                if called in ("print", "sys.stdout.write"):
                    elsewhere.append(f"{path.name}: {ast.unparse(node)}")

    assert elsewhere == ["anchor.py: sys.stdout.write(note.decode())"]  # a signed note, to be kept as it is
