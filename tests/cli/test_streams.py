# SPDX-License-Identifier: Apache-2.0
"""Standard streams that are closed: a line that says so, and never a traceback."""

import os
import shlex
import subprocess

import pytest
from tests.doors.session import ONRECORD, Session


def shell(home, line):
    environ = {**os.environ, "ONRECORD_HOME": str(home)}
    command = f"{shlex.join(map(str, ONRECORD))} {line}"
    return subprocess.run(["bash", "-c", command], env=environ, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    with Session(home) as session:
        session.call("echo", text="hello")
        session.end()
    return home


@pytest.mark.parametrize("verb", ["redact", "redact --json", "redact --fields", "redact --explain", "tag"])
def test_a_closed_standard_input_is_said(home, verb):
    done = shell(home, f"{verb} <&-")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "onrecord: standard input: is closed\n")


PRINTING = [
    *("redact", "redact --json", "redact --fields", "redact --explain x", "redact --list-rules", "redact --help"),
    *("tag", "doctor", "doctor --json", "keys", "tail", "tail --json", "show 0", "verify --json", "--version"),
]


@pytest.mark.parametrize("verb", PRINTING)
def test_a_closed_standard_output_is_said_and_nothing_is_written_elsewhere(home, verb):
    given = """<<< '{"text": "x"}'"""
    before = {file: file.read_bytes() for file in (home / "ledger" / "calls").rglob("*") if file.is_file()}
    done = shell(home, f"{verb} {given} >&-")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, "onrecord: standard output: is closed")
    assert "Traceback" not in done.stderr
    assert {file: file.read_bytes() for file in before} == before


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("verb", [*PRINTING, "--help", "verify --help", "policy check --help"])
def test_a_full_device_behind_standard_output_is_said(home, verb, buffered, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", "" if buffered else "1")
    done = shell(home, f"""{verb} <<< '{{"text": "x"}}' > /dev/full""")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, "onrecord: standard output: no space left on device")
    assert "Traceback" not in done.stderr


def test_talk_for_which_there_is_no_stream_goes_nowhere_and_never_among_the_data(home):
    done = shell(home, "tag --config /nowhere <<< x 2>&-")
    assert (done.returncode, done.stdout) == (2, "")
    assert shell(home, "redact <<< word 2>&-").stdout == "word\n"
