# SPDX-License-Identifier: Apache-2.0
"""What somebody tries who does not know the program yet, or whose terminal is not like ours."""

import argparse
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.doors.session import ONRECORD, onrecord
from tests.ledger.logs import PATIENCE_S, Log, entry, log_in

from onrecord.cli.main import _parser, main
from onrecord.ledger.keys import open_keys
from onrecord.ledger.keystore import Keystore
from onrecord.ledger.ledger import Ledger
from onrecord.people import account


@pytest.fixture
def log(tmp_path: Path) -> Log:
    log = log_in(tmp_path / "home")
    log.write(5)
    return log


def test_a_watch_over_nothing_says_so(tmp_path: Path) -> None:
    for home in (tmp_path / "missing", tmp_path):
        done = onrecord(home, "watch", "--once")
        assert (done.returncode, done.stdout) == (2, "")
        assert f"there is no log in {home} yet: nothing was looked at" in done.stderr
    assert not (tmp_path / "missing").exists()


def test_to_end_a_log_that_was_never_begun_makes_nothing(tmp_path: Path) -> None:
    done = onrecord(tmp_path / "home", "ledger", "reopen", "--reason", "curiosity")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no log in" in done.stderr
    assert not (tmp_path / "home").exists()


def test_a_person_is_found_by_name_in_the_tenant_of_the_settings(log: Log, tmp_path: Path) -> None:
    keystore = Keystore(log.home, open_keys(log.home)[0].digest_key)
    person = keystore.pseudonym(tenant="acme", source="os_account", subject=account())
    ledger = log.open()
    ledger.append(entry(7, user_id=person))
    ledger.publish()
    ledger.close()
    log.home.config.write_text('tenant = "acme"\n')
    shown = onrecord(log.home.path, "tail", "--user", account(), "--json")
    assert [json.loads(line)["user_id"] for line in shown.stdout.splitlines()] == [person], shown.stderr
    made = onrecord(log.home.path, "export", str(tmp_path / "out"), "--user", account(), "--json")
    assert json.loads(made.stdout)["entries"] == 1
    log.home.config.write_text('tenant = "other"\n')
    missing = onrecord(log.home.path, "tail", "--user", "nobody-here")
    assert (missing.returncode, "nobody-here of the tenant other" in missing.stderr) == (2, True)


def test_a_terminal_that_knows_ascii_alone_gets_what_it_can_show(log: Log) -> None:
    for verb in (("tail",), ("show", "1"), ("verify",), ("doctor",)):
        done = subprocess.run(
            [*ONRECORD, *verb],
            env=os.environ | {"ONRECORD_HOME": str(log.home.path), "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
            capture_output=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode in (0, 1)
        assert b"Traceback" not in done.stderr
        assert done.stdout.isascii()
        assert done.stdout


@pytest.mark.parametrize("verb", [("tail",), ("keys",), ("doctor",), ("verify", "--json"), ("show", "1")])
def test_a_device_that_takes_nothing_is_one_line(log: Log, verb: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*ONRECORD, *verb],
            env=os.environ | {"ONRECORD_HOME": str(log.home.path)},
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=PATIENCE_S,
        )
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert b"Exception" not in done.stderr
    assert b"onrecord: standard output: no space left on device" in done.stderr


def test_a_reader_that_had_enough_is_no_error(log: Log) -> None:
    with subprocess.Popen(
        [*ONRECORD, "show", "1"],
        env=os.environ | {"ONRECORD_HOME": str(log.home.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("number", ["99999999999999999999", "9" * 100])
def test_a_number_beyond_any_log_asks_for_all_of_it(log: Log, number: str) -> None:
    shown = onrecord(log.home.path, "tail", "-n", number)
    assert (shown.returncode, len(shown.stdout.splitlines())) == (0, 6)


@pytest.mark.parametrize("time", ["999999999d", "999999999h", "1", "-1s", "9" * 5000 + "s"])
def test_a_time_beyond_any_patience_is_refused(log: Log, time: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONRECORD_HOME", str(log.home.path))
    for option in ("--every", "--whole", "--anchor"):
        with pytest.raises(SystemExit) as ended:
            main(["watch", "--once", f"{option}={time}"])
        assert ended.value.code == 2


def test_the_doctor_looks_at_every_log(log: Log) -> None:
    keys, _ = open_keys(log.home, "security")
    ledger = Ledger.open(log.home, keys.signer, log="security")
    ledger.append(entry())
    ledger.publish()
    ledger.close()
    done = onrecord(log.home.path, "doctor")
    assert done.returncode == 0
    assert "security: unanchored, 2 entries" in done.stdout
    file = log.home.log("security").first_segment
    file.write_bytes(file.read_bytes().replace(b"report-0.txt", b"report-1.txt"))
    done = onrecord(log.home.path, "doctor")
    assert done.returncode == 1
    assert "calls: unanchored" in done.stdout
    assert "security: altered" in done.stdout


def test_a_home_that_is_a_file_is_no_home(tmp_path: Path) -> None:
    home = tmp_path / "file"
    home.write_text("")
    done = onrecord(home, "doctor")
    assert (done.returncode, f"FAIL  home        {home} is no folder" in done.stdout) == (1, True)


def test_a_log_of_nothing_is_not_verified_and_the_way_to_begin_one_is_told(tmp_path: Path) -> None:
    for options in ((), ("--log", "calls"), ("--json",)):
        done = onrecord(tmp_path / "home", "verify", *options)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"there is no record in {tmp_path / 'home'} yet, and nothing to verify" in done.stderr
        assert "begin with: onrecord run" in done.stderr
    assert not (tmp_path / "home").exists()


def test_a_copy_without_a_key_is_not_verified_and_what_is_missing_is_told(log: Log, tmp_path: Path) -> None:
    done = onrecord(tmp_path / "other", "verify", str(log.home.log().path))
    assert done.returncode == 2
    assert f"there is no key of the log calls in {tmp_path / 'other' / 'keys'}" in done.stderr
    assert "--key" in done.stderr


def test_a_file_that_is_no_evidence_is_named(log: Log, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("nothing of ours")
    done = onrecord(log.home.path, "verify", str(file))
    assert done.returncode == 2
    assert f"{file}: this is neither a proof nor an evidence bundle" in done.stderr


@pytest.mark.parametrize(
    ("words", "verb"),
    [
        (("tail", "--nope"), "tail"),
        (("verify", "--nope", "--log", "calls"), "verify"),
        (("approvals", "list", "--nope"), "approvals list"),
        (("keys", "rotate", "more"), "keys"),
        (("recorder", "run", "--nope"), "recorder run"),
    ],
)
def test_an_option_that_is_none_is_told_with_the_usage_of_its_verb(
    words: tuple[str, ...], verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith(f"usage: onrecord {verb} [-h]")
    assert f"onrecord {verb}: error: unrecognized arguments: " in said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("quer",),
            "onrecord: error: argument VERB: invalid choice: 'quer'; did you mean query? onrecord --help lists them",
        ),
        (("query", "--format", "ocfs"), "invalid choice: 'ocfs'; did you mean ocsf? (choose from 'table'"),
        (("query", "--limit", "many"), "onrecord query: error: argument --limit: invalid int value: 'many'"),
    ],
)
def test_a_mistyped_word_is_told_in_a_few_lines_with_the_one_that_may_be_meant(
    words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    said = capsys.readouterr().err.splitlines()
    assert (ended.value.code, len(said)) == (2, 2)
    assert told in said[-1]


HOMELESS = {"redact", "witness"}  # which know no home: a filter, and a service for the logs of others


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield the parsers of verbs that do something."""
    inner = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]  # no public way
    if not inner:
        yield parser
    for below in inner:
        for one in below.choices.values():
            yield from leaves(one)


def test_each_verb_can_be_told_its_home() -> None:
    takes = {parser.prog: "--home" in parser._option_string_actions for parser in leaves(_parser())}
    assert len(takes) > 30
    assert {prog.removeprefix("onrecord ") for prog, home in takes.items() if not home} == HOMELESS


@pytest.mark.parametrize(
    "verb",
    ["tail", "show 0", "verify", "keys", "tag", "watch --once", "prove 0 -o -", "export OUT --all", "tools"],
)
def test_the_home_of_an_option_goes_before_that_of_the_environment(log: Log, tmp_path: Path, verb: str) -> None:
    words = [str(tmp_path / "out") if word == "OUT" else word for word in verb.split()]
    there = onrecord(log.home.path, *words)
    here = onrecord(tmp_path / "empty", words[0], "--home", str(log.home.path), *words[1:])
    if words[0] == "export":
        assert "out" in here.stderr  # it is there, as the first has made it
    else:
        assert (here.returncode, here.stdout) == (there.returncode, there.stdout)
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize("verb", [["keys"], ["run"], ["recorder", "install"]], ids=" ".join)
def test_an_option_that_names_no_home_is_not_taken_for_the_folder_one_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    done = onrecord(tmp_path / "other", *verb, "--home", "", "--", "true")
    assert (done.returncode, "--home: it is empty" in done.stderr) == (2, True), done.stderr
    assert not list(tmp_path.iterdir())


def test_the_home_of_an_option_holds_for_what_a_verb_starts(tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    done = onrecord(tmp_path / "other", "selftest", "--home", home, "--door", "stdio", "--calls", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{home}, private" in onrecord(tmp_path / "other", "doctor", "--home", home).stdout
    assert (tmp_path / "home" / "ledger").is_dir()
    assert not (tmp_path / "other").exists()
