# SPDX-License-Identifier: Apache-2.0
"""What `onrecord` says of itself: which verbs there are, and what is said to who gets one wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.doors.session import onrecord

from onrecord.cli.overview import GROUPS

NAMES = [name for _, names in GROUPS for name in names.split()]
STARTED = """
import json, sys
from onrecord.cli.main import main
try:
    main(["--version"])
except SystemExit:
    print(json.dumps(sorted(sys.modules)))
"""


def test_help_has_every_verb_once_in_a_group_on_one_line():
    said = onrecord(Path(), "--help").stdout
    groups = {title: said.partition(f"\n{title}:\n")[2].partition("\n\n")[0].splitlines() for title, _ in GROUPS}

    assert [line.split()[0] for lines in groups.values() for line in lines] == NAMES
    assert "what is in no group" not in said
    assert len(NAMES) == len(set(NAMES))
    assert [line for line in said.splitlines() if len(line) > 80] == []
    assert all(len(line.split()) > 2 for lines in groups.values() for line in lines)


def test_without_a_verb_all_of_them_are_told_and_it_is_an_error():
    done = onrecord(Path())

    assert done.returncode == 2
    assert done.stdout == ""
    assert all(f"\n  {name} " in done.stderr for name in NAMES)


@pytest.mark.parametrize(
    ("typed", "told"),
    [("verfy", "did you mean verify? onrecord --help lists them"), ("zzz", "invalid choice: 'zzz'; onrecord --help")],
)
def test_a_verb_that_is_none_is_told_in_two_lines_with_the_one_that_was_meant(typed, told):
    done = onrecord(Path(), typed)

    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 2
    assert "authenticators" not in done.stderr


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (("query", "--tol", "x"), "unrecognized arguments: --tol x; did you mean --tool?"),
        (("verify", "--allow-unanchord"), "--allow-unanchord; did you mean --allow-unanchored?"),
        (("tail", "--zzz"), "unrecognized arguments: --zzz\n"),
        (("tail", "extra"), "unrecognized arguments: extra\n"),
    ],
)
def test_an_option_that_is_none_is_told_with_the_one_that_was_meant(typed, told):
    done = onrecord(Path(), *typed)

    assert done.returncode == 2
    assert told in done.stderr


def test_an_action_that_is_none_is_told_with_those_that_there_are():
    assert "'acknowledge', 'close', 'reopen'" in onrecord(Path(), "alerts", "shut").stderr


def test_it_starts_without_what_only_some_verbs_need():
    done = subprocess.run([sys.executable, "-c", STARTED], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    needless = {
        "onrecord.views.forms.ocsf",
        "onrecord.rules.detection.rule",
        "onrecord.settings",
        "onrecord.ledger.ledger",
        "asyncio",
        "difflib",
        "http.client",
        "sqlite3",
        "ssl",
        "subprocess",
    }

    assert loaded & needless == set()
    assert len([name for name in loaded if name.startswith("onrecord")]) < 44
