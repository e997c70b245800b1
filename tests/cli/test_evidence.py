# SPDX-License-Identifier: Apache-2.0
"""`onrecord prove` and `onrecord export`: from a real record to evidence that stands alone."""

import json
import shutil
import stat

import pytest
from tests.doors.session import Session, onrecord, record

from onrecord.ledger.keys import read_verifiers
from onrecord.ledger.proof import parse_proof
from onrecord.ledger.received import verify_file
from onrecord.people import account

pytestmark = pytest.mark.requirement("D2")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    with Session(home) as session:
        session.call("echo", text="hello")
        session.call("store", text="hello")
        session.call("store", text="again")
        session.end()
    return home


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def judged(home, path):
    return verify_file(path, read_verifiers(str(home / "keys" / "calls.vkey")))


def test_prove_writes_a_proof_into_the_current_folder_by_seq_or_by_event_id(home, here):
    event = next(event for event in record(home) if event.get("tool_name") == "store")
    seq = event["seq"]

    done = onrecord(home, "prove", str(seq))
    assert (done.returncode, done.stdout) == (0, f"{seq}.tlog-proof\n")
    assert f"onrecord verify {seq}.tlog-proof" in done.stderr
    file = here / f"{seq}.tlog-proof"
    report = judged(home, file)
    assert (report.verdict, report.proven, report.of) == ("partial", 1, len(record(home)))
    assert json.loads(parse_proof(file.read_bytes()).extra) == event
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    named = onrecord(home, "prove", event["event_id"], "-o", "named", "--json")
    assert json.loads(named.stdout) == {
        "file": "named",
        "seq": seq,
        "leaf": record(home)[seq + 1]["prev_hash"],
        "size": len(record(home)),
    }
    shown = onrecord(home, "prove", str(seq), "-o", "-")
    assert shown.stdout.encode() == file.read_bytes() == (here / "named").read_bytes()
    assert shown.stderr == ""


def test_prove_says_what_it_cannot_do(home, here):
    (here / "0.tlog-proof").write_bytes(b"mine")
    for which, said in (("0", "is there already"), ("999999", "no entry"), ("no\x1b[2Jsuch", "no entry")):
        done = onrecord(home, "prove", which)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
        assert "\x1b" not in done.stderr
        assert "Traceback" not in done.stderr
    assert [path.name for path in here.iterdir()] == ["0.tlog-proof"]
    assert (here / "0.tlog-proof").read_bytes() == b"mine"


def test_an_entry_that_is_not_signed_yet_is_not_proven(home, here):
    log = home / "ledger" / "calls"
    later = here / "home"
    (later / "ledger" / "calls" / "log").mkdir(parents=True)
    (later / "keys").mkdir()
    (later / "keys" / "calls.vkey").write_bytes((home / "keys" / "calls.vkey").read_bytes())
    (segment,) = (log / "log").iterdir()
    (later / "ledger" / "calls" / "log" / segment.name).write_bytes(segment.read_bytes())

    done = onrecord(later, "prove", "1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "not signed yet" in done.stderr
    done = onrecord(later, "export", "out", "--all")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{len(record(home))} that are not signed yet" in done.stderr
    assert not (here / "out").exists()


def test_a_log_whose_segments_are_gone_proves_nothing(home, here):
    shutil.copytree(home, here / "home")
    shutil.rmtree(here / "home" / "ledger" / "calls" / "log")
    for arguments in (["prove", "1"], ["export", "out", "--seq", "1"], ["export", "out", "--all"]):
        done = onrecord(here / "home", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert "Traceback" not in done.stderr


def test_export_writes_what_was_chosen_and_says_how_much_that_is(home, here):
    events = record(home)
    size, origin = len(events), (home / "keys" / "calls.vkey").read_text().partition("+")[0]
    store = [event["seq"] for event in events if event.get("tool_name") == "store"]
    call = events[store[0]]["call_id"]
    noon = events[3]["timestamp"]
    for number, (options, expected) in enumerate(
        (
            (["--tool", "store"], store),
            (["--tool", "store", "--seq", f"0-{store[0]}"], store[:1]),
            (["--call", call], [event["seq"] for event in events if event.get("call_id") == call]),
            (["--user", account()], [event["seq"] for event in events if "user_id" in event]),
            (["--type", "recorder_start"], [e["seq"] for e in events if e["event_type"] == "recorder_start"]),
            (["--seq", "0,2-3", "--seq", "1"], [0, 1, 2, 3]),
            (["--since", noon], [event["seq"] for event in events if event["timestamp"] >= noon]),
            (["--until", noon], [event["seq"] for event in events if event["timestamp"] < noon]),
            (["--since", "2020-01-01", "--until", "2999-01-01T00:00:00+02:00"], range(size)),
            (["--all"], range(size)),
        )
    ):
        out = f"bundle {number}" + ".zip" * (number % 2)
        done = onrecord(home, "export", out, *options)
        assert (done.returncode, done.stdout) == (0, f"{out}: {len(expected)} of {size} entries of {origin}\n")
        assert f"onrecord verify {out}" in done.stderr
        report = judged(home, here / out)
        assert (report.verdict, report.proven, report.of) == ("partial", len(expected), size)
        if not number % 2:
            (file,) = (here / out / "log").iterdir()
            assert [json.loads(line)["seq"] for line in file.read_text().splitlines()] == list(expected)
    answer = json.loads(onrecord(home, "export", "last", "--all", "--json").stdout)
    assert answer == {"path": "last", "entries": size, "size": size, "origin": origin}


def test_export_says_what_it_cannot_do(home, here):
    (here / "mine").mkdir()
    for arguments, said in (
        (["out"], "say which entries"),
        (["out", "--tool", "no-such-tool"], "no entry is chosen"),
        (["out", "--type", "no-such-type"], "there is no event_type"),
        (["out", "--seq", "3-1"], "3-17,40"),
        (["out", "--seq", "rubbish"], "3-17,40"),
        (["out", "--since", "some day"], "not a time"),
        (["out", "--user", "nobody-of-that-name"], "nobody"),
        (["out", "--seq", "999999"], "no entry is chosen"),
        (["mine", "--all"], "is there already"),
        (["no/such/folder/out", "--all"], "there is no folder"),
    ):
        done = onrecord(home, "export", *arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
        assert "Traceback" not in done.stderr
    assert [path.name for path in here.iterdir()] == ["mine"]


def test_with_no_record_each_verb_says_what_to_do(here):
    for verb in (("prove", "1"), ("export", "out", "--all")):
        done = onrecord(here / "home", *verb)
        assert (done.returncode, done.stdout) == (2, "")
        assert "onrecord run" in done.stderr
        assert "Traceback" not in done.stderr
