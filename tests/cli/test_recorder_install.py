# SPDX-License-Identifier: Apache-2.0
"""`onrecord recorder install`: what the unit says, what is refused, and, where we are root, the whole of it."""

import configparser
import os
import pwd
import shlex
import sys
from pathlib import Path

import pytest
from tests.doors.session import Session, onrecord
from tests.services import short_folder

from onrecord.cli.installing import unit_text
from onrecord.errors import CommandError
from onrecord.ledger.place import Home
from onrecord.ledger.whereabouts import SYSTEM_SOCKET, UNIT, read_moved

pytestmark = pytest.mark.requirement("D2")

ACCOUNT = "nobody"  # every system has it


def parsed(text):
    """Read a unit the way systemd does where it is this plain: sections, keys, no continuation."""
    unit = configparser.RawConfigParser(comment_prefixes=("#", ";"), delimiters=("=",), strict=True)
    unit.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]
    unit.read_string(text)
    return unit


def test_the_unit_runs_the_service_apart_from_everything_else():
    unit = parsed(unit_text("onrecord", Path("/var/lib/onrecord"), Path("/opt/onrecord/bin/python")))
    assert set(unit.sections()) == {"Unit", "Service", "Install"}
    service = dict(unit["Service"])
    assert shlex.split(service.pop("ExecStart")) == [
        "/opt/onrecord/bin/python",
        *("-I", "-m", "onrecord.cli.main", "recorder", "run", "--shared", "--socket", str(SYSTEM_SOCKET)),
    ]
    assert shlex.split(service.pop("Environment")) == ["ONRECORD_HOME=/var/lib/onrecord"]
    assert shlex.split(service.pop("ReadWritePaths")) == ["/var/lib/onrecord"]
    assert service.pop("SystemCallFilter") == "@system-service"
    for name, value in {
        "Type": "notify",
        "User": "onrecord",
        "Group": "onrecord",
        "Restart": "always",
        "UMask": "0077",
        "CPUSchedulingPolicy": "rr",
        "CPUSchedulingPriority": "1",
        "RuntimeDirectory": "onrecord",
        "RuntimeDirectoryMode": "0755",
        "CapabilityBoundingSet": "",
        "ProtectSystem": "strict",
        "RestrictAddressFamilies": "AF_UNIX",
    }.items():
        assert service[name] == value, name
    for name in (
        *("NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateNetwork", "PrivateDevices", "LockPersonality"),
        *("MemoryDenyWriteExecute", "RestrictNamespaces", "RestrictSUIDSGID", "ProtectKernelTunables"),
    ):
        assert service[name] == "yes", name
    assert unit["Install"]["WantedBy"] == "multi-user.target"
    assert SYSTEM_SOCKET.parent == Path("/run") / service["RuntimeDirectory"]


def test_a_path_keeps_its_meaning_in_the_unit():
    unit = parsed(unit_text("onrecord", Path("/srv/100% ours"), Path("/opt/a b/python")))
    assert shlex.split(unit["Service"]["Environment"]) == ["ONRECORD_HOME=/srv/100%% ours"]  # %% is a % to systemd
    assert shlex.split(unit["Service"]["ExecStart"])[0] == "/opt/a b/python"
    for path in ("/a\nExecStartPost=/bin/sh", '/a"b', "/a\\b", "/a$b", "/a\x1b"):
        with pytest.raises(CommandError):
            unit_text("onrecord", Path(path), Path("/usr/bin/python3"))
        with pytest.raises(CommandError):
            unit_text("onrecord", Path("/var/lib/onrecord"), Path(path))


@pytest.fixture
def place():
    import shutil

    folder = short_folder()
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def install(place, *more, account=ACCOUNT, python=None):
    """Run the installation with everything of the system but the account in `place`."""
    if python is None:
        python = place / "python"
        python.write_text("#!/bin/sh\nexit 0\n")
        python.chmod(0o755)
    return onrecord(
        place / "home",
        *("recorder", "install", "--account", account, "--state", str(place / "kept")),
        *("--units", str(place), "--python", str(python), *more),
    )


def recorded(place):
    with Session(place / "home") as session:
        session.call("store", text="before")
        session.end()


def everything(place):
    return {path: path.read_bytes() for path in place.rglob("*") if path.is_file() and path.name != "python"}


def root_or(place, refusal):
    """Say whether we are root; where we are not, check that the installation says so and changes nothing."""
    if os.geteuid() == 0:
        return True
    before = everything(place)
    refused = install(place)
    assert refused.returncode == 2
    assert refusal in refused.stderr
    assert everything(place) == before
    return False


def test_an_installation_moves_the_ledger_and_writes_the_unit_and_does_so_once(place):
    recorded(place)
    if not root_or(place, "only root"):
        return
    done = install(place)
    assert done.returncode == 0, done.stderr
    assert (place / "kept").stat().st_uid == pwd.getpwnam(ACCOUNT).pw_uid
    assert (place / "kept").stat().st_mode & 0o777 == 0o700
    assert not (place / "home" / "ledger").exists()
    assert (place / "home" / "keys" / "digest.key").exists()
    assert str(place / "python") in (place / UNIT).read_text()
    assert (place / UNIT).stat().st_mode & 0o777 == 0o644
    assert "systemctl daemon-reload" in done.stderr
    moved = read_moved(Home(place / "home"))
    assert moved is not None
    assert moved.home == str(place / "kept")
    assert onrecord(place / "kept", "verify", "--allow-unanchored").returncode == 0

    before = everything(place)
    again = install(place)
    assert again.returncode == 0, again.stderr
    assert everything(place) == before

    with Session(place / "home") as session:
        assert "systemctl start" in session.call("store", text="after")["error"]["message"]
        session.end()


def test_a_dry_run_says_every_step_and_takes_none(place):
    recorded(place)
    before = everything(place)
    said = install(place, "--dry-run", account="no-such-account")
    assert said.returncode == 0, said.stderr
    for step in ("would make the system account no-such-account", "would move", f"would write {place / UNIT}"):
        assert step in said.stderr
    assert everything(place) == before
    with pytest.raises(KeyError):
        pwd.getpwnam("no-such-account")


def test_an_interpreter_that_somebody_else_can_change_is_refused(place):
    recorded(place)
    python = place / "python"
    python.write_text("#!/bin/sh\nexit 0\n")
    python.chmod(0o777)
    refused = install(place, "--dry-run", python=python)
    assert refused.returncode == 2
    assert f"{python} can be changed by other accounts" in refused.stderr


def test_an_interpreter_that_the_account_cannot_run_is_refused(place):
    recorded(place)
    if not root_or(place, "only root"):
        return
    python = place / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    before = everything(place)
    refused = install(place, python=python)
    assert refused.returncode == 2
    assert "can't run onrecord" in refused.stderr
    assert everything(place) == before


def test_a_living_recorder_stops_the_installation(place):
    with Session(place / "home") as session:
        session.call("store", text="before")
        refused = install(place, "--dry-run")
        assert refused.returncode == 2
        assert "recorders write to" in refused.stderr
        assert "result" in session.call("store", text="after")
        session.end()


@pytest.mark.parametrize("account", ["root"])
def test_root_is_no_account_of_its_own(place, account):
    recorded(place)
    refused = install(place, "--dry-run", account=account)
    assert refused.returncode == 2
    assert "root" in refused.stderr


def test_a_home_that_is_not_there_is_named(place):
    refused = install(place, "--dry-run")
    assert refused.returncode == 2
    assert str(place / "home") in refused.stderr


def test_the_help_says_what_it_is_for():
    said = onrecord(Path("/nowhere"), "recorder", "install", "--help")
    assert said.returncode == 0
    assert "As root" in said.stdout
    assert sys.platform != "linux" or "systemd" in said.stdout
