# SPDX-License-Identifier: Apache-2.0
"""`onrecord install` and `onrecord uninstall`, as somebody uses them who has clients configured."""

import io
import json
import os
import pty
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import get_default_environment
from tests.doors.session import record

from onrecord.cli.main import main
from onrecord.ledger.durable import FileLock

pytestmark = pytest.mark.requirement("F3")

PROGRAM = str(Path(sysconfig.get_path("scripts")) / "onrecord")
SECRET = "hunter" + "2correct"

CURSOR = """{
  // mine
  "mcpServers": {
    "git": {"command": "uvx", "args": ["mcp-server-git"], "env": {"TOKEN": "SECRET"}},
    "time": {"command": "uvx"},
    "far": {"url": "https://mcp.example.com/mcp"}
  },
}
""".replace("SECRET", SECRET)


class Machine:
    """A person's account: their home, a project, and onrecord."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, printed: pytest.CaptureFixture[str]) -> None:
        self.home = folder / "home"
        self.project = folder / "project"
        self.record = self.home / ".local" / "share" / "onrecord"
        self.home.mkdir()
        self.project.mkdir()
        for name in [name for name in os.environ if name.startswith("XDG_") or name == "ONRECORD_HOME"]:
            patch.delenv(name)
        patch.setenv("HOME", str(self.home))
        patch.chdir(self.project)
        patch.setattr(sys, "stdin", io.StringIO())  # nobody is there to be asked
        self.patch, self.printed = patch, printed

    def write(self, place, text):
        """Put a configuration into the home, and return its path."""
        path = self.home / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def run(self, *arguments):
        """Run a verb in this process, and say how it ended and what it printed."""
        self.printed.readouterr()
        code = main(arguments)
        return subprocess.CompletedProcess(arguments, code, *self.printed.readouterr())

    def start(self, *words, **more):
        """Start a program of its own."""
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)

    def states(self, *arguments):
        """Run a verb with --json and return what it says of each server and each file."""
        done = self.run(*arguments, "--json")
        found = [json.loads(line) for line in done.stdout.splitlines()]
        return done.returncode, {one["server"] or Path(one["file"]).name: one["state"] for one in found}

    def events(self):
        return [event for event in record(self.record) if event["event_type"] in ("install", "uninstall")]


@pytest.fixture
def machine(tmp_path, monkeypatch, capsys):
    return Machine(tmp_path, monkeypatch, capsys)


def servers(path, key="mcpServers"):
    """Return what a configuration without comments says of its servers."""
    return json.loads(path.read_text())[key]


def test_what_is_installed_is_on_the_record_and_comes_off_byte_for_byte(machine):
    path = machine.write(".cursor/mcp.json", CURSOR)
    done = machine.run("install", "--yes")
    assert (done.returncode, "written" in done.stderr) == (0, True)
    now = path.read_text()
    assert f'"command": "{PROGRAM}", "args": ["run", "--server-id", "git", "--", "uvx", "mcp-server-git"]' in now
    assert now.count(PROGRAM) == 2
    done = machine.run("uninstall", "--yes")
    assert done.returncode == 0
    assert path.read_text() == CURSOR
    assert [file.name for file in (machine.record / "clients").iterdir()] == ["lock"]


def test_a_server_over_http_is_asked_through_the_gateway_that_has_credentials_for_it(machine):
    path = machine.write(".cursor/mcp.json", CURSOR)
    machine.record.mkdir(parents=True)
    upstream = '[[upstream]]\nname = "far"\nurl = "https://mcp.example.com/mcp"\n'
    (machine.record / "onrecord.toml").write_text(f'[gateway]\ntokens = "off"\n{upstream}')
    assert machine.states("install", "--dry-run")[1]["far"] == "bypasses"  # nothing says with what it goes on
    (machine.record / "onrecord.toml").write_text(f'[gateway]\ntokens = "off"\n{upstream}credentials = "none"\n')
    assert machine.run("install", "--yes").returncode == 0
    assert '"far": {"url": "http://127.0.0.1:8300/far"}' in path.read_text()
    assert machine.states("install", "--dry-run")[1]["far"] == "passes"
    assert machine.run("uninstall", "--yes").returncode == 0
    assert path.read_text() == CURSOR


def test_a_change_is_shown_without_the_secrets_around_it(machine):
    machine.write(".cursor/mcp.json", CURSOR.replace('"mcp-server-git"', '"--token", "s3cr3t-s3cr3t"'))
    for verb in (("install", "--dry-run"), ("install", "--yes"), ("uninstall", "--yes")):
        done = machine.run(*verb)
        assert done.returncode == 0
        assert "\n+" in done.stdout
        assert SECRET not in done.stdout + done.stderr
        assert "s3cr3t" not in done.stdout + done.stderr
    assert SECRET.encode() not in b"".join(file.read_bytes() for file in machine.record.rglob("*.ndjson"))


def test_a_dry_run_changes_nothing_and_leaves_nothing(machine):
    path = machine.write(".cursor/mcp.json", CURSOR)
    assert machine.run("install", "--dry-run").returncode == 0
    assert path.read_text() == CURSOR
    assert not machine.record.exists()


def test_nothing_is_changed_while_nobody_has_said_so(machine):
    path = machine.write(".cursor/mcp.json", CURSOR)
    done = machine.run("install")
    assert done.returncode == 2
    assert "say --yes" in done.stderr
    assert path.read_text() == CURSOR
    assert not machine.record.exists()


@pytest.mark.parametrize(("answer", "code"), [(b"n\n", 2), (b"\n", 2), (b"y\n", 0)])
def test_a_person_at_a_terminal_is_asked(machine, answer, code):
    path = machine.write(".cursor/mcp.json", CURSOR)
    ours, theirs = pty.openpty()
    child = machine.start(PROGRAM, "install", stdin=theirs)
    os.close(theirs)
    os.write(ours, answer)
    child.communicate(timeout=60)
    os.close(ours)
    assert child.returncode == code
    assert (path.read_text() == CURSOR) == (code != 0)


def test_to_install_again_changes_nothing(machine):
    path = machine.write(".cursor/mcp.json", CURSOR)
    machine.run("install", "--yes")
    now = path.read_bytes()
    code, states = machine.states("install", "--yes")
    assert (code, states) == (0, {"git": "passes", "time": "passes", "far": "bypasses"})
    assert path.read_bytes() == now
    assert len(machine.events()) == 1


def test_one_server_at_a_time(machine):
    path = machine.write(".cursor/mcp.json", CURSOR)
    machine.run("install", "--yes", "--only", "git")
    assert path.read_text().count(PROGRAM) == 1
    machine.run("install", "--yes", "--except", "git")
    assert path.read_text().count(PROGRAM) == 2
    machine.run("uninstall", "--yes", "--only", "git")
    assert '"git": {"command": "uvx", "args": ["mcp-server-git"]' in path.read_text()
    assert path.read_text().count(PROGRAM) == 1
    machine.run("uninstall", "--yes", "--except", "git")
    assert path.read_text() == CURSOR


@pytest.mark.parametrize("verb", ["install", "uninstall"])
def test_a_server_that_is_named_and_is_nowhere_is_an_error(machine, verb):
    machine.write(".cursor/mcp.json", CURSOR)
    done = machine.run(verb, "--yes", "--only", "gti")
    assert done.returncode == 2
    assert "no configuration names a server 'gti'" in done.stderr


def test_only_the_client_that_is_named_is_touched(machine):
    cursor = machine.write(".cursor/mcp.json", CURSOR)
    codex = machine.write(".codex/config.toml", '[mcp_servers.a]\ncommand = "uvx"\n')
    machine.run("install", "--yes", "--client", "codex")
    assert (PROGRAM in codex.read_text(), PROGRAM in cursor.read_text()) == (True, False)
    machine.run("install", "--yes")
    machine.run("uninstall", "--yes", "--client", "cursor")
    assert (PROGRAM in codex.read_text(), cursor.read_text()) == (True, CURSOR)


def test_a_file_that_is_named_is_changed_whatever_its_place(machine):
    cursor = machine.write(".cursor/mcp.json", CURSOR)
    other = machine.write("any/where.json", '{"servers": {"a": {"command": "uvx"}}}')
    machine.run("install", "--yes", "--config", str(other))
    assert servers(other, "servers")["a"]["command"] == PROGRAM
    assert cursor.read_text() == CURSOR
    machine.run("uninstall", "--yes", "--config", str(other))
    assert other.read_text() == '{"servers": {"a": {"command": "uvx"}}}'


def test_a_file_that_is_named_and_is_not_there_is_said(machine):
    done = machine.run("install", "--yes", "--config", "nowhere.json")
    assert done.returncode == 1
    assert "cannot be read: no such file" in done.stdout


BAD = {
    ".cursor/mcp.json": '{"mcpServers": {"a": {"command": "x"}, "a": {"command": "y"}}}',
    ".gemini/settings.json": "{ not json",
    ".codex/config.toml": f'key = "{SECRET}',
    ".codeium/windsurf/mcp_config.json": b"\xff\xfe{\x00}\x00",
    ".claude.json": '{"mcpServers": {"b": {"command": "npx -y x"}, "c": {"env": {}}, "d": {"command": "uvx"}}}',
}


def test_a_bad_configuration_does_not_stop_the_others_and_the_exit_code_says_so(machine):
    paths = [machine.write(place, text) for place, text in BAD.items()]
    held = [path.read_bytes() for path in paths[:-1]]
    (machine.home / ".config/zed").mkdir(parents=True)
    (machine.home / ".config/zed/settings.json").symlink_to("nowhere")
    done = machine.run("install", "--yes")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stdout + done.stderr
    for place in (*list(BAD)[:-1], ".config/zed/settings.json"):
        (line,) = [line for line in done.stdout.splitlines() if place in line and not line.startswith(("-", "+"))]
        assert line.endswith("it is left as it is")
    assert [path.read_bytes() for path in paths[:-1]] == held
    now = servers(paths[-1])
    assert [server.get("command") for server in now.values()] == ["npx -y x", None, PROGRAM]


def test_projects_of_claude_code_and_of_this_folder_are_found(machine):
    user = machine.write(".claude.json", '{"projects": {"/w": {"mcpServers": {"a": {"command": "uvx"}}}}}')
    project = machine.project / ".mcp.json"
    project.write_text('{"mcpServers": {"b": {"command": "uvx"}}}')
    done = machine.run("install", "--yes")
    assert done.returncode == 0
    assert json.loads(user.read_text())["projects"]["/w"]["mcpServers"]["a"]["command"] == PROGRAM
    assert servers(project)["b"]["command"] == PROGRAM
    assert "who shares this file" in done.stderr
    again = machine.run("install", "--yes", "--onrecord", "onrecord", "--config", str(project))
    assert "another onrecord starts it" in again.stdout


def test_the_command_of_onrecord_can_be_chosen(machine):
    path = machine.write(".cursor/mcp.json", CURSOR)
    machine.run("install", "--yes", "--onrecord", "onrecord")
    assert path.read_text().count('"command": "onrecord"') == 2
    machine.run("uninstall", "--yes")
    assert path.read_text() == CURSOR


def test_what_was_edited_since_stays_and_what_we_wrote_goes(machine):
    path = machine.write(".cursor/mcp.json", CURSOR)
    machine.run("install", "--yes")
    more = path.read_text().replace("// mine", "// theirs").replace('"mcp-server-git"', '"mcp-server-git", "--more"')
    path.write_text(more.replace('"--server-id", "time"', '"--server-id", "clock"'))
    code, states = machine.states("uninstall", "--yes")
    assert (code, states) == (1, {"git": "undo", "time": "changed"})
    now = path.read_text()
    assert "// theirs" in now
    assert '"git": {"command": "uvx", "args": ["mcp-server-git", "--more"]' in now
    assert '"--server-id", "clock"' in now


def test_a_server_that_came_later_is_put_on_the_record_too_and_stays_when_all_is_undone(machine):
    path = machine.write(".cursor/mcp.json", CURSOR)
    machine.run("install", "--yes")
    later = '"later": {"command": "new"},\n    '
    path.write_text(path.read_text().replace('"git":', f'{later}"git":'))
    machine.run("install", "--yes")
    assert path.read_text().count(PROGRAM) == 3
    assert machine.run("uninstall", "--yes").returncode == 0
    assert path.read_text() == CURSOR.replace('"git":', f'{later}"git":')


def test_a_file_that_somebody_else_has_restored_is_left_alone(machine):
    path = machine.write(".cursor/mcp.json", CURSOR)
    machine.run("install", "--yes")
    path.write_text(CURSOR)
    assert machine.states("uninstall", "--yes") == (0, {"mcp.json": "restored"})
    machine.run("install", "--yes")
    assert path.read_text().count(PROGRAM) == 2
    assert machine.run("uninstall", "--yes").returncode == 0
    assert path.read_text() == CURSOR


def test_a_file_that_is_gone_is_nothing_to_undo(machine):
    path = machine.write(".cursor/mcp.json", CURSOR)
    machine.run("install", "--yes")
    path.unlink()
    assert machine.states("uninstall", "--yes") == (0, {"mcp.json": "gone"})
    assert not path.exists()
    assert machine.states("uninstall", "--yes") == (0, {})


def test_a_file_that_can_no_longer_be_read_is_left_and_its_backup_is_named(machine):
    path = machine.write(".cursor/mcp.json", CURSOR)
    machine.run("install", "--yes")
    path.write_text("{")
    done = machine.run("uninstall", "--yes")
    assert done.returncode == 1
    backup = Path(done.stderr.strip().rpartition(" is in ")[2])
    assert backup.read_text() == CURSOR
    assert path.read_text() == "{"


def test_what_is_kept_is_for_this_account_alone(machine):
    machine.write(".cursor/mcp.json", CURSOR)
    old = os.umask(0)
    try:
        machine.run("install", "--yes")
    finally:
        os.umask(old)
    kept = [machine.record / "clients", *(machine.record / "clients").rglob("*")]
    assert len(kept) == 5
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in kept)


def test_each_change_is_on_the_record_before_it_is_made(machine):
    path = machine.write(".cursor/mcp.json", CURSOR)
    machine.run("install", "--yes")
    machine.run("uninstall", "--yes")
    on, off = machine.events()
    assert [one["event_type"] for one in (on, off)] == ["install", "uninstall"]
    assert on["detail"]["client"] == "cursor"
    assert on["detail"]["names"] == "git, time"
    assert on["detail"]["file"] == str(path)
    assert (on["detail"]["before"], on["detail"]["after"]) == (off["detail"]["after"], off["detail"]["before"])
    assert on["detail"]["before"] != on["detail"]["after"]
    assert on["user_id"].startswith("u_")


def test_what_cannot_be_recorded_is_not_done(machine):
    path = machine.write(".cursor/mcp.json", CURSOR)
    machine.run("install", "--yes", "--only", "git")
    now = path.read_bytes()
    segments = machine.record / "ledger" / "calls" / "log"
    shutil.rmtree(segments)
    segments.write_text("no folder")
    done = machine.run("install", "--yes")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert path.read_bytes() == now


def test_two_installs_do_not_meet(machine):
    path = machine.write(".cursor/mcp.json", CURSOR)
    (machine.record / "clients").mkdir(parents=True)
    lock = FileLock(machine.record / "clients" / "lock")
    lock.acquire(time.monotonic() + 5)
    child = machine.start(PROGRAM, "install", "--yes")
    assert child.stdout is not None
    while not child.stdout.readline().startswith("---"):
        pass
    path.write_text(CURSOR + "\n")  # while it waits, the client writes
    lock.close()
    _, err = child.communicate(timeout=60)
    assert child.returncode == 1, err
    assert path.read_text() == CURSOR + "\n"
    assert [one["action"] for one in machine.events()] == ["change", "not_changed"]
    assert machine.states("uninstall", "--yes") == (0, {})


@pytest.mark.parametrize("step", range(1, 10))
def test_who_is_killed_in_the_middle_can_begin_again(machine, step):
    machine.write(".gemini/settings.json", '{"mcpServers": {"a": {"command": "uvx"}}}')
    machine.run("install", "--yes")  # there is a record
    path = machine.write(".cursor/mcp.json", CURSOR)
    dying = (
        "import os, signal, sys\nfrom onrecord.cli.main import main\nreal, calls = os.replace, 0\n"
        "def dying(*arguments):\n    global calls\n    calls += 1\n"
        f"    if calls == {step}: os.kill(os.getpid(), signal.SIGKILL)\n    return real(*arguments)\n"
        f"os.replace = dying\nsys.exit(main(['install', '--yes', '--onrecord', {PROGRAM!r}]))\n"
    )
    child = machine.start(sys.executable, "-c", dying)
    child.communicate(timeout=60)
    assert child.returncode in (0, -signal.SIGKILL)
    assert path.read_text() == CURSOR or path.read_text().count(PROGRAM) == 2
    assert machine.run("install", "--yes").returncode == 0
    assert path.read_text().count(PROGRAM) == 2
    assert machine.run("uninstall", "--yes").returncode == 0
    assert path.read_text() == CURSOR
    assert not list((machine.record / "clients").glob("*/*"))


def doctored(machine):
    """Return what doctor says of clients: each text with its state."""
    done = machine.run("doctor", "--json")
    return {one["text"]: one["state"] for one in json.loads(done.stdout) if one["about"] == "clients"}


def test_doctor_names_the_servers_that_bypass_the_record_and_says_how_to_mend_it(machine):
    assert list(doctored(machine).values()) == ["ok"]
    path = machine.write(".cursor/mcp.json", CURSOR)
    machine.write(".gemini/settings.json", "{")
    found = doctored(machine)
    title = f"Cursor ({path})"
    assert found[f"{title}: git bypasses the record; onrecord install --only 'git' puts it there"] == "warn"
    assert sorted(found.values()) == ["warn"] * 4
    machine.run("install", "--yes")
    found = doctored(machine)
    assert found[f"{title}: git is on the record"] == "ok"
    assert found[f"{title}: time is on the record"] == "ok"
    (far,) = [text for text in found if "far" in text]
    assert (found[far], "over HTTP" in far) == ("warn", True)
    path.write_text(path.read_text().replace(PROGRAM, "/gone/onrecord"))
    assert doctored(machine)[
        f"{title}: git cannot start: there is no /gone/onrecord; onrecord install, or mend the path"
    ]


@pytest.mark.parametrize("moved", [False, True])
async def test_a_client_that_starts_what_the_configuration_says_is_on_the_record(machine, tmp_path, moved):
    """The client passes on no more of the environment than the official one does, as an editor might."""
    home = tmp_path / "a home" if moved else machine.record
    said = {"command": sys.executable, "args": ["-m", "mcp_server_time"], "env": {"HOME": str(machine.home)}}
    path = machine.write(".cursor/mcp.json", json.dumps({"mcpServers": {"clock": said}}))
    if moved:
        machine.patch.setenv("ONRECORD_HOME", str(home))
    done = machine.run("install", "--yes")
    machine.patch.delenv("ONRECORD_HOME", raising=False)
    assert done.returncode == 0, done.stderr
    server = servers(path)["clock"]
    environ = {**get_default_environment(), "HOME": str(machine.home), **server["env"]}
    parameters = StdioServerParameters(command=server["command"], args=server["args"], env=environ)
    async with Client(parameters) as client:
        answer = await client.call_tool("get_current_time", {"timezone": "UTC"})
        assert not answer.is_error
    made = [event for event in record(home) if event["event_type"] == "tool_call"]
    assert [(event["server_id"], event["phase"]) for event in made] == [("clock", "attempt"), ("clock", "result")]
    assert record(home)[1]["event_type"] == "install"
