# SPDX-License-Identifier: Apache-2.0
"""`onrecord anchor` and `onrecord witness` as people run them: what they print, and how they end."""

import json
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.doors.session import ONRECORD, onrecord
from tests.ledger.logs import Log, log_in
from tests.ledger.outside import Authority, scripted

from onrecord.config import build_anchor_plan
from onrecord.errors import ConfigError
from onrecord.ledger.anchors import RefusedView, outside_views
from onrecord.ledger.cosignature import CosignerKey
from onrecord.ledger.note import open_checkpoint
from onrecord.ledger.place import Home
from onrecord.settings import load

pytestmark = pytest.mark.requirement("D2")


@pytest.fixture
def log(tmp_path: Path) -> Log:
    log = log_in(tmp_path / "home")
    log.write(10)
    return log


@contextmanager
def witness(state: Path, *options: object, end: int = signal.SIGTERM) -> Iterator[tuple[str, str]]:
    """Run `onrecord witness`, and yield its URL and key; it must end as the signal says."""
    process = subprocess.Popen(
        [*ONRECORD, "witness", "--listen", "127.0.0.1:0", "--state", str(state), *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        vkey = process.stdout.readline().strip()
        listening = process.stderr.readline().split()
        assert vkey, (listening, process.stderr.read())
        yield listening[-1], vkey
        process.send_signal(end)
        _, errors = process.communicate(timeout=20)
        expected = -signal.SIGKILL if end == signal.SIGKILL else 0
        assert (process.returncode, "Traceback" in errors) == (expected, False), errors
    finally:
        process.kill()
        process.communicate()


def vkey_file(log: Log) -> Path:
    return log.home.keys / "calls.vkey"


def test_a_witness_cosigns_and_the_view_counts_offline(log: Log, tmp_path: Path) -> None:
    state = tmp_path / "witness"
    with witness(state, "--log", vkey_file(log), "--name", "witness.test/w1") as (url, vkey):
        done = onrecord(log.home.path, "anchor", "--witness", f"{url}={vkey}")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("11 entries cosigned by witness.test/w1 at 20")
    refused: list[RefusedView] = []
    key = CosignerKey.parse(vkey)
    found = list(outside_views(log.folder, [key], [], [log.signer.vkey], refused=refused.append))
    assert refused == []
    assert [(one.by, one.checkpoint) for one in found] == [("witness.test/w1", log.checkpoint())]
    assert stat.S_IMODE((state / "witness.key").stat().st_mode) == 0o600
    assert (state / "witness.vkey").read_text().strip() == vkey


def test_settings_name_whom_to_ask_and_a_copy_can_be_kept(log: Log, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tsa")
    shutil.copy(authority.root_file, log.home.path / "root.pem")
    with (
        witness(tmp_path / "w", "--log", log.signer.vkey, end=signal.SIGINT) as (url, vkey),
        scripted(authority.reply) as tsa,
    ):
        log.home.config.write_text(
            f'[[witness]]\nurl = "{url}"\nvkey = "{vkey}"\n\n[timestamp]\nurls = ["{tsa}"]\nroots = ["root.pem"]\n'
        )
        done = onrecord(log.home.path, "anchor", "--json", "--to", str(tmp_path / "kept"))
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert [(one["kind"], one["url"]) for one in said["views"]] == [("witness", url), ("timestamp", tsa)]
        assert (said["size"], said["copy"], said["problems"]) == (11, str(tmp_path / "kept"), [])
    assert open_checkpoint((tmp_path / "kept").read_bytes(), [log.signer.vkey]) == log.checkpoint()
    verified = onrecord(log.home.path, "verify", "--checkpoint", str(tmp_path / "kept"))
    assert (verified.returncode, verified.stdout.split(":")[0]) == (0, "intact")


def test_one_service_that_fails_is_named_and_ends_with_1(log: Log, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tsa")
    root = str(authority.root_file)
    with scripted(authority.reply) as tsa:
        asked = ("--timestamp", tsa, "--timestamp", "http://127.0.0.1:9/", "--tsa-root", root)
        done = onrecord(log.home.path, "anchor", *asked)
    assert done.returncode == 1
    assert "timestamped by CN=Test TSA" in done.stdout
    assert "127.0.0.1:9 cannot be reached" in done.stderr


def test_a_log_that_was_rolled_back_is_found_out(log: Log, tmp_path: Path) -> None:
    shutil.copytree(log.home.path, tmp_path / "backup")
    log.write(5)
    with witness(tmp_path / "w", "--log", vkey_file(log)) as (url, vkey):
        assert onrecord(log.home.path, "anchor", "--witness", f"{url}={vkey}").returncode == 0
        done = onrecord(tmp_path / "backup", "anchor", "--witness", f"{url}={vkey}", "--json")
    assert done.returncode == 1
    assert "rolled back" in done.stderr
    assert json.loads(done.stdout)["problems"][0]["kind"] == "Contradicted"


def test_with_nothing_configured_the_checkpoint_is_printed_with_advice(log: Log) -> None:
    done = onrecord(log.home.path, "anchor")
    assert done.returncode == 0
    assert done.stdout == log.folder.checkpoint.read_text()
    assert "--to FILE" in done.stderr
    assert json.loads(onrecord(log.home.path, "anchor", "--json").stdout)["note"] == done.stdout


@pytest.mark.parametrize(
    "options",
    [
        ("--witness", "rubbish"),
        ("--witness", "https://w.test=rubbish"),
        ("--witness", "http://w.test=w+00000000+AAAA"),
        ("--timestamp", "http://tsa.test"),
        ("--timestamp", "rubbish", "--tsa-root", "/dev/null"),
        ("--tsa-root", "/no/such/file"),
        ("--config", "/no/such/file"),
    ],
)
def test_what_cannot_be_done_as_asked_ends_with_2(log: Log, options: tuple[str, ...]) -> None:
    done = onrecord(log.home.path, "anchor", *options)
    assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (2, "", False), done.stderr


def test_with_no_log_at_all_it_says_what_to_do(tmp_path: Path) -> None:
    done = onrecord(tmp_path, "anchor")
    assert (done.returncode, done.stdout) == (2, "")
    assert "onrecord run" in done.stderr


# settings


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('[[witness]]\nurl = "https://w.test"\n', "vkey"),
        ('[[witness]]\nurl = "http://w.test"\nvkey = "{vkey}"\n', "witness 1: the URL must be https"),
        ('[[witness]]\nurl = "https://w.test"\nvkey = "x"\n', "witness 1: a verifier key has the form"),
        ('[[witness]]\nurl = "https://w.test"\nvkey = "{vkey}"\nname = "w"\n', "witness 1: name"),
        ('[timestamp]\nurls = ["tsa.test"]\nroots = ["x"]\n', "timestamp.urls 1: the URL"),
        ('[timestamp]\nurls = ["https://tsa.test"]\n', "timestamp.roots is empty"),
        ('[timestamp]\nurl = ["https://tsa.test"]\n', "timestamp.url; did you mean timestamp.urls"),
    ],
)
def test_a_setting_that_cannot_work_is_named_with_file_and_place(tmp_path: Path, text: str, error: str) -> None:
    vkey = CosignerKey.of("w", bytes([5] * 32))
    home = Home(tmp_path)
    home.config.write_text(text.replace("{vkey}", str(vkey)))
    with pytest.raises(ConfigError) as raised:
        load(home)
    assert str(home.config) in str(raised.value)
    assert error in str(raised.value)


@pytest.mark.parametrize("content", [None, b"rubbish"])
def test_a_root_that_is_missing_or_no_certificate_is_named(tmp_path: Path, content: bytes | None) -> None:
    home = Home(tmp_path)
    home.config.write_text('[timestamp]\nurls = ["https://tsa.test"]\nroots = ["root.pem"]\n')
    if content is not None:
        (tmp_path / "root.pem").write_bytes(content)
    with pytest.raises(ConfigError, match=r"timestamp\.roots 1: .*root\.pem"):
        build_anchor_plan(load(home))


# the witness


def test_a_witness_goes_on_where_it_ended_even_when_it_was_killed(log: Log, tmp_path: Path) -> None:
    with witness(tmp_path / "w", "--log", vkey_file(log), end=signal.SIGKILL) as (url, vkey):
        assert onrecord(log.home.path, "anchor", "--witness", f"{url}={vkey}").returncode == 0
    log.write(3)
    with witness(tmp_path / "w", "--log", vkey_file(log)) as (url, same):
        assert same == vkey
        assert onrecord(log.home.path, "anchor", "--witness", f"{url}={vkey}").returncode == 0


def test_several_keys_of_one_log_may_be_given_in_one_file_or_apart(log: Log, tmp_path: Path) -> None:
    other = log_in(tmp_path / "other")
    epochs = tmp_path / "epochs.vkey"
    epochs.write_text(f"{log.signer.vkey}\n{log.signer.vkey}\n")
    with witness(tmp_path / "w", "--log", epochs, "--log", other.signer.vkey) as (url, vkey):
        assert onrecord(log.home.path, "anchor", "--witness", f"{url}={vkey}").returncode == 0


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--log", "rubbish"), "neither a file nor a verifier key"),
        (("--log", "/dev/null", "--log", "/no/such"), "--log"),
        (("--log", "{log}", "--listen", "8474"), "HOST:PORT"),
        (("--log", "{log}", "--listen", "127.0.0.1:99999"), "cannot listen"),
        (("--log", "{log}", "--listen", "203.0.113.1:8474"), "cannot listen"),
        (("--log", "{log}", "--name", "a b"), "space"),
        ((), "--log"),
    ],
)
def test_a_witness_that_cannot_start_says_why(log: Log, tmp_path: Path, options: tuple[str, ...], error: str) -> None:
    given = [option.replace("{log}", str(log.signer.vkey)) for option in options]
    done = onrecord(log.home.path, "witness", "--state", str(tmp_path / "w"), *given)
    assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (2, "", False), done.stderr
    assert error in done.stderr
    assert not list(tmp_path.glob("w/*.*key"))  # nor does it leave a key behind


def test_a_port_that_is_taken_and_a_state_that_is_taken_are_told(log: Log, tmp_path: Path) -> None:
    with witness(tmp_path / "w", "--log", log.signer.vkey) as (url, _):
        again = ("witness", "--log", str(log.signer.vkey), "--listen", url.removeprefix("http://"))
        assert "in use" in onrecord(log.home.path, *again, "--state", str(tmp_path / "other")).stderr
        assert "another witness" in onrecord(log.home.path, *again, "--state", str(tmp_path / "w")).stderr
    assert os.listdir(tmp_path / "w" / "latest") == []
