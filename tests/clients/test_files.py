# SPDX-License-Identifier: Apache-2.0
"""A configuration is replaced at once or not at all, and stays the file that it was in all but its text."""

import os
import signal
import stat
import subprocess
import sys

import pytest

from onrecord.clients import files
from onrecord.clients.files import check_writable, read, replace
from onrecord.errors import ConfigError

pytestmark = pytest.mark.requirement("F3")

NEW = b'{"new": true}\n'


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "folder" / "mcp.json"
    path.parent.mkdir()
    path.write_bytes(b"{}\n")
    return path


def test_the_mode_stays(file):
    file.chmod(0o640)
    old = os.umask(0o077)
    try:
        replace(read(file), NEW)
    finally:
        os.umask(old)
    assert file.read_bytes() == NEW
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert [path.name for path in file.parent.iterdir()] == ["mcp.json"]


def test_extended_attributes_stay(file):
    try:
        os.setxattr(file, "user.onrecord", b"kept")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    replace(read(file), NEW)
    assert os.getxattr(file, "user.onrecord") == b"kept"


def test_a_link_stays_a_link_and_what_it_leads_to_is_changed(file, tmp_path):
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    inner.symlink_to(file)
    outer.symlink_to("inner")
    replace(read(outer), NEW)
    assert (outer.is_symlink(), inner.is_symlink(), file.is_symlink()) == (True, True, False)
    assert file.read_bytes() == NEW


def test_what_somebody_else_has_written_in_the_meantime_stays(file):
    old = read(file)
    file.write_bytes(b'{"theirs": 1}')
    with pytest.raises(ConfigError, match="in the meantime"):
        replace(old, NEW)
    assert file.read_bytes() == b'{"theirs": 1}'
    assert [path.name for path in file.parent.iterdir()] == ["mcp.json"]


def test_what_was_deleted_in_the_meantime_is_not_made_anew(file):
    old = read(file)
    file.unlink()
    with pytest.raises(ConfigError, match="cannot be replaced"):
        replace(old, NEW)
    assert list(file.parent.iterdir()) == []


def test_what_was_left_of_one_that_was_cut_off_is_no_obstacle(file):
    (file.parent / ".mcp.json.onrecord").write_bytes(b"torn")
    replace(read(file), NEW)
    assert file.read_bytes() == NEW
    assert [path.name for path in file.parent.iterdir()] == ["mcp.json"]


def made(kind, path, monkeypatch):
    """Put something at `path` that is no configuration."""
    if kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a link to nowhere":
        path.symlink_to("nowhere")
    elif kind == "a link to itself":
        path.symlink_to(path.name)
    elif kind == "a file with two names":
        path.write_bytes(b"{}")
        os.link(path, path.with_name("other"))
    elif kind == "no UTF-8":
        path.write_bytes('{"é": 1}'.encode("latin-1"))
    elif kind == "UTF-16":
        path.write_bytes("{}".encode("utf-16"))
    else:
        monkeypatch.setattr(files, "LONGEST", 3)
        path.write_bytes(b"{  }")


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("a folder", "is a folder"),
        ("a pipe", "is a pipe"),
        ("a link to nowhere", "leads nowhere"),
        ("a link to itself", "leads to itself"),
        ("a file with two names", "more than one name"),
        ("no UTF-8", "not UTF-8, at byte 2"),
        ("UTF-16", "not UTF-8, at byte 0"),
        ("huge", "more than 3 bytes"),
    ],
)
def test_what_is_no_configuration_is_refused_in_one_line(tmp_path, monkeypatch, kind, why):
    made(kind, tmp_path / "mcp.json", monkeypatch)
    with pytest.raises(ConfigError) as e:
        read(tmp_path / "mcp.json")
    assert why in str(e.value)
    assert "\n" not in str(e.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything")
def test_what_this_account_may_not_write_is_refused(file):
    file.chmod(0o400)
    with pytest.raises(ConfigError, match="not to be written"):
        check_writable(file)
    file.chmod(0o600)
    file.parent.chmod(0o500)
    try:
        with pytest.raises(ConfigError, match="a folder that this account cannot write"):
            check_writable(file)
    finally:
        file.parent.chmod(0o700)


DYING = """
import os, signal, sys
from pathlib import Path
from onrecord.clients import files
calls, last = 0, int(sys.argv[2])

def dying(function):
    def step(*arguments, **more):
        global calls
        calls += 1
        if calls == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **more)
    return step

old = files.read(Path(sys.argv[1]))
for name in ("unlink", "open", "write", "fchmod", "fsync", "fdatasync", "replace", "close", "rename"):
    if hasattr(os, name):
        setattr(os, name, dying(getattr(os, name)))
files.replace(old, b"n" * 100_000)
"""


def test_who_is_killed_at_any_step_leaves_the_old_file_or_the_new_one(file):
    old, new = b"o" * 50_000, b"n" * 100_000
    seen = set()
    for last in range(1, 40):
        file.write_bytes(old)
        child = subprocess.run([sys.executable, "-c", DYING, str(file), str(last)], capture_output=True)
        data = file.read_bytes()
        assert data in (old, new)
        seen.add(data == new)
        if child.returncode == 0:
            assert data == new
            break
        assert child.returncode == -signal.SIGKILL, child.stderr
        replace(read(file), b"again")  # whatever it left is no obstacle
        assert file.read_bytes() == b"again"
    else:
        pytest.fail("it never got to its end")
    assert seen == {True, False}
