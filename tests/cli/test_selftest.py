# SPDX-License-Identifier: Apache-2.0
"""`onrecord selftest`: what it says of a door that works, and of each one that does not."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.doors.session import Session, onrecord, record
from tests.doors.test_carrier_table import contents, forms
from tests.doors.test_policy import configured
from tests.services import Running, short_folder

from onrecord.errors import ConfigError
from onrecord.instrumenting import middleware
from onrecord.ledger.place import Home
from onrecord.ledger.presence import count_living
from onrecord.rules.canary import ANSWERED, ASKED, SERVER_ID, disguises, planted

pytestmark = pytest.mark.requirement("F5")

ALLOWED = "permit (principal, action, resource);\n"
UNREDACTED = '[redaction]\noff = ["github", "github-pat", "randomness", "unannounced", "assignment", "columns"]\n'


class Verdict:
    """What a self-test of a home said."""

    def __init__(self, home, *options, env=None):
        options = options if "--door" in options else ("--door", "stdio", *options)
        done = onrecord(home, "selftest", "--json", "--deadline", "2m", "--calls", "2", *options, env=env)
        assert "Traceback" not in done.stderr, done.stderr
        assert done.stdout, done.stderr
        self.code = done.returncode
        self.said = json.loads(done.stdout)
        self.checks = self.said["checks"]
        assert self.said["holds"] == (self.code == 0)
        assert running(home) == []

    @staticmethod
    def of_all(home, env=None):
        """Return what a self-test says that is told nothing of doors, where all holds."""
        done = onrecord(home, "selftest", "--json", "--deadline", "2m", "--calls", "0", env=env)
        assert done.returncode == 0, done.stdout + done.stderr
        assert running(home) == []
        return json.loads(done.stdout)

    @property
    def failed(self):
        """What does not hold, by what it is about."""
        return {check["about"]: check["text"] for check in self.checks if check["state"] == "fail"}

    @property
    def holds(self):
        return [check["about"] for check in self.checks if check["state"] == "ok"]


def running(home):
    """Return the doors and canaries of a home that still run, where the system tells that."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, env = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:
            continue
        if any(name in command for name in (b"onrecord-selftest", b"onrecord.canary", b"onrecord.cli.canary")):
            found += [command] if f"ONRECORD_HOME={home}\0".encode() in env else []
    return found


def canaries(home, phase):
    """Return the events of the calls that carry secrets."""
    events = [e for e in record(home) if e.get("server_id") == SERVER_ID and e.get("phase") == phase]
    return [e for e in events if "nested" in e.get("arg_keys", ()) or e.get("trace_source") == "client"]


def sabotaged(folder, code):
    """Return an environment in which the server of a self-test does something else: `code`."""
    folder.mkdir()
    only = 'import sys\nif sys.orig_argv[1:] == ["-P", "-m", "onrecord.canary"]:\n'
    (folder / "sitecustomize.py").write_text(only + "".join(f"    {line}\n" for line in code.splitlines()))
    return {"PYTHONPATH": str(folder)}


def test_an_operator_sends_a_canary_through_the_real_door_and_sees_it_recorded_redacted_and_verified(tmp_path):
    with Session(tmp_path) as session:
        session.call("store", text="beside a recorder that lives")
        tested = Verdict(tmp_path)
        assert "result" in session.call("store", text="and lives on")
        session.end()
    assert tested.failed == {}
    assert tested.code == 0
    about = ["door 2025", "door 2026", "recorded", "recorded", "redacted", "indexed", "secrets", "verified", "latency"]
    assert tested.holds == about
    assert [check["about"] for check in tested.checks if check["state"] == "none"] == ["delivered"]
    assert tested.said["latency"]["stdio"]["calls"] == 2
    assert tested.said["latency"]["stdio"]["direct_us"] > 0
    assert count_living(Home(tmp_path)) == 0

    attempts, results = canaries(tmp_path, "attempt"), canaries(tmp_path, "result")
    assert [e["protocol_version"] for e in attempts] == ["2025-11-25", "2026-07-28"]
    assert [e["result_status"] for e in results] == ["succeeded", "succeeded"]
    marked = {e["server_id"] for e in record(tmp_path) if e["wid"] in {a["wid"] for a in attempts} and "server_id" in e}
    assert marked == {SERVER_ID}
    files = contents(tmp_path)
    for attempt in attempts:
        run = json.loads(attempt["input_summary"])["run"]
        for secret in (planted(run, place) for place in (*ASKED, *ANSWERED)):
            assert [name for name, data in files.items() if any(form in data for form in forms(secret))] == []
    assert onrecord(tmp_path, "verify", "--allow-unanchored").returncode == 0


def test_people_read_a_line_for_each_thing_that_was_looked_at(tmp_path):
    done = onrecord(tmp_path, "selftest", "--calls", "0", "--deadline", "2m")
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    of_a_door = ["ok  "] * 6 + ["--  "] + ["ok  "] * 2 + ["--  "]
    assert [line[:4] for line in lines] == of_a_door * 3
    assert [line.split()[1] for line in lines] == ["stdio"] * 10 + ["gateway"] * 10 + ["sdk"] * 10
    assert "latency      no calls were asked for" in lines[-1]
    assert "delivered    no store is set (store.url)" in lines[6]


def test_no_rule_of_the_settings_makes_the_canary_fail_and_none_can_name_it(tmp_path):
    (tmp_path / "onrecord.toml").write_text('[[tool]]\ntier = 4\nclassification = "critical"\nsensitive = ["/*"]\n')
    assert Verdict(tmp_path).failed == {}
    assert {(e["risk_tier"], e["data_classification"]) for e in canaries(tmp_path, "attempt")} == {(2, "low")}

    (tmp_path / "onrecord.toml").write_text(f'[[tool]]\nserver = "{SERVER_ID}"\ntier = 0\n')
    done = onrecord(tmp_path, "selftest")
    assert done.returncode == 2
    assert f"{SERVER_ID} is kept for onrecord selftest" in done.stderr


def test_no_other_server_gets_the_name_of_the_canary(tmp_path):
    done = onrecord(tmp_path, "run", "--server-id", SERVER_ID, "--", sys.executable, "-c", "pass")
    assert done.returncode == 2
    assert "is kept for onrecord selftest" in done.stderr
    assert not (tmp_path / "ledger").exists()


def test_no_gateway_and_no_server_on_an_sdk_gets_the_name_of_the_canary(tmp_path):
    upstream = f'[[upstream]]\nname = "{SERVER_ID}"\nurl = "http://127.0.0.1:9/mcp"\n'
    (tmp_path / "onrecord.toml").write_text(f'[gateway]\ntokens = "off"\n{upstream}')
    done = onrecord(tmp_path, "gateway")
    assert done.returncode == 2
    assert f"name: {SERVER_ID} is kept for onrecord selftest" in done.stderr
    with pytest.raises(ConfigError, match="is kept for onrecord selftest"):
        middleware(home=tmp_path / "home", server_id=SERVER_ID)


def test_a_secret_that_redaction_lets_through_fails_it_and_is_told_by_its_place(tmp_path):
    (tmp_path / "onrecord.toml").write_text(UNREDACTED)
    tested = Verdict(tmp_path)
    assert tested.code == 1
    assert {"redacted", "secrets"} == tested.failed.keys()
    assert "argument of 2025-11-25 in " in tested.failed["secrets"]
    assert str(tmp_path / "ledger" / "calls" / "log") in tested.failed["secrets"]


def test_the_search_finds_a_secret_in_each_disguise():
    secret = planted("a run", "a place")
    for form in forms(secret) - {secret[::-1].encode(), secret.upper().encode()}:
        assert any(one in form for one in disguises(secret)), form
    assert secret[::-1].encode()[6:-6] in disguises(secret)


def test_a_policy_that_denies_the_canary_is_told_and_its_denial_is_on_the_record(tmp_path):
    configured(tmp_path, policy=ALLOWED + '@id("no echo") forbid (principal, action, resource == MCP::Tool::"echo");')
    tested = Verdict(tmp_path)
    assert tested.code == 1
    assert tested.failed.keys() == {"door 2025", "door 2026", "policy"}
    assert "denies the canary (team.cedar#no echo" in tested.failed["policy"]
    assert {"redacted", "indexed", "secrets", "verified"} <= set(tested.holds)
    assert [e["result_status"] for e in canaries(tmp_path, "result")] == ["blocked", "blocked"]

    configured(tmp_path, policy=ALLOWED)
    assert Verdict(tmp_path).failed == {}


def test_a_server_that_never_answers_fails_it_in_bounded_time(tmp_path):
    env = sabotaged(tmp_path / "more", "import sys, time\nsys.stdin.buffer.read()")
    tested = Verdict(tmp_path / "home", "--deadline", "8s", env=env)
    assert tested.code == 1
    assert "no answer came in time" in tested.failed["door 2025"]


def test_a_door_that_is_killed_while_the_tool_works_fails_it(tmp_path):
    killing = """
import json, os, signal
from onrecord import canary
honest = canary._answer
def serve(lines, out):
    for line in lines:
        request = json.loads(line)
        if request["method"] == "tools/call":
            os.kill(os.getppid(), signal.SIGKILL)
        if "id" in request:
            answer = {"jsonrpc": "2.0", "id": request["id"], **honest(request["method"], request["params"])}
            out.write(json.dumps(answer).encode() + b"\\n")
            out.flush()
serve(sys.stdin.buffer, sys.stdout.buffer)
sys.exit()
"""
    tested = Verdict(tmp_path / "home", env=sabotaged(tmp_path / "more", killing))
    assert tested.code == 1
    assert "it ended by signal 9 before it answered" in tested.failed["door 2025"]
    assert "recorded" in tested.failed


def test_a_tool_that_gets_another_value_fails_it(tmp_path):
    deaf = "import onrecord.rules.canary as canary\ncanary.digest_of = lambda arguments, note: '0' * 64"
    tested = Verdict(tmp_path / "home", env=sabotaged(tmp_path / "more", deaf))
    assert tested.failed.keys() == {"door 2025", "door 2026"}
    assert "did not get the values" in tested.failed["door 2026"]


def test_a_rolled_back_ledger_is_told_in_the_words_of_the_door(tmp_path):
    home, backup = tmp_path / "home", tmp_path / "backup"
    with Session(home) as session:
        session.end()
    shutil.copytree(home / "ledger", backup)
    with Session(home) as session:
        session.call("store", text="more")
        session.end()
    shutil.rmtree(home / "ledger")
    shutil.copytree(backup, home / "ledger")
    tested = Verdict(home)
    assert tested.code == 1
    assert "not recorded, so not run" in tested.failed["door 2025"]
    assert "rolled back" in tested.failed["door 2025"]
    assert "nothing of the call is on the record" in tested.failed["recorded"]


def test_a_checkpoint_by_another_key_fails_it():
    home, other = short_folder(), short_folder()
    for each in (home, other):
        with Session(each) as session:
            session.end()
    with Running(home, home / "recorder.sock"):
        shutil.copy(other / "keys" / "calls.vkey", home / "keys" / "calls.vkey")
        tested = Verdict(home)
    assert tested.code == 1
    assert tested.failed.keys() == {"verified"}
    assert "does not hold" in tested.failed["verified"]
    refused = Verdict(home)  # the door alone looks at its log before it begins
    assert "the log calls is wrong key" in refused.failed["door 2026"]
    for each in (home, other):
        shutil.rmtree(each)


def on_device(folder, code):
    """Run a self-test in a home on a device of its own, after `code` of a shell; return what it said."""
    command = f"""
mount -t tmpfs -o size=8m none {folder} && export ONRECORD_HOME={folder}/home || exit 99
{sys.executable} -m onrecord.cli.main run -- true </dev/null
{code}
{sys.executable} -m onrecord.cli.main selftest --json --door stdio --calls 0 --deadline 2m
"""
    folder.mkdir()
    done = subprocess.run(["unshare", "-rm", "sh", "-c", command], capture_output=True, text=True)
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.xfail("this machine lets nobody mount a device: a full and a read-only one are not tried here")
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return {one["about"]: one["text"] for one in json.loads(done.stdout)["checks"] if one["state"] == "fail"}


def test_a_home_that_can_only_be_read_is_told_in_the_words_of_the_door(tmp_path):
    failed = on_device(tmp_path / "device", f"mount -o remount,ro {tmp_path}/device")
    assert "it ended with code 2 before it answered; it said: " in failed["door 2025"]
    assert "read-only file system" in failed["door 2025"]
    assert "nothing of the call is on the record" in failed["recorded"]


def test_a_full_device_is_told_in_the_words_of_the_door(tmp_path):
    device = tmp_path / "device"
    without_room_kept = f"cd {device} && cp -a home copy && rm -r home && mv copy home"
    failed = on_device(device, f"{without_room_kept}\ncat /dev/zero >{device}/filler")
    assert "not recorded, so not run" in failed["door 2025"]
    assert "only the reserve is left on the device" in failed["door 2025"]


def test_a_home_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    done = onrecord(tmp_path / "file" / "home", "selftest")
    assert done.returncode == 2
    assert "not a directory" in done.stderr


def test_settings_that_cannot_be_read_keep_it_from_being_run(tmp_path):
    (tmp_path / "onrecord.toml").write_text("[redaction]\ncat = 1\n")
    done = onrecord(tmp_path, "selftest")
    assert (done.returncode, done.stdout) == (2, "")
    assert "unknown key redaction.cat" in done.stderr


def test_it_goes_through_the_recorder_service_and_says_where_that_is_down():
    folder = short_folder()
    with Running(folder, folder / "recorder.sock") as service:
        assert Verdict(folder).failed == {}
        assert {e["peer_pid"] for e in canaries(folder, "attempt")} != {service.child.pid}
        service.kill()
        tested = Verdict(folder, env={"ONRECORD_SOCKET": str(folder / "recorder.sock")})
    assert tested.code == 1
    assert "start it with: onrecord recorder run" in tested.failed["door 2025"]
    shutil.rmtree(folder)


def test_a_service_that_keeps_another_home_is_told():
    folder = short_folder()
    with Running(folder / "a", folder / "s"):
        tested = Verdict(folder / "b", env={"ONRECORD_SOCKET": str(folder / "s")})
    assert tested.code == 1
    assert "keeps it in a home of its own" in tested.failed["recorded"]
    shutil.rmtree(folder)
