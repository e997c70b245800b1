# SPDX-License-Identifier: Apache-2.0
"""Compiled rules are kept for the next start, believed only from ourselves, and never change what is found."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.doors.session import ONRECORD
from tests.rules.calls import AWS, CARD, GITHUB, PRIVATE_KEY, STRIPE, builtin_detectors

from onrecord import compiled
from onrecord.errors import ConfigError
from onrecord.rules.detection.detectors import Detectors
from onrecord.rules.detection.gate import has_hyperscan

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="nothing is kept where files have no owner")
needs_hyperscan = pytest.mark.skipif(not has_hyperscan(), reason="hyperscan is not installed")

SAMPLE = Path(__file__).parent / "vectors" / "redaction" / "sample.jsonl"
# Of all rules a compilation takes half a minute; of these, a second. Read by each interpreter as it starts.
FEW_RULES = "import onrecord.rules.detection.detectors as d; d.BUILTIN = ('personal.toml',)"
NONE_HERE = "import sys; sys.modules['hyperscan'] = None\n"  # an import of it fails
OWN_RULE = """
[[rule]]
id = "acme-badge"
label = "acme-badge"
class = "pii"
regex = 'ACME-[0-9]{6}'
keywords = ["acme-"]
positive = [["ACME-", "123456"]]
negative = [["ACME-12"]]
"""


@pytest.fixture(scope="session")
def made():
    """What a compilation leaves, made once and kept from one run of the tests to the next."""
    file = compiled.cache_folder() / compiled._name()
    if not file.exists():
        assert python("from onrecord.compiled import main; main()", file.parent).returncode == 0
    return file


@pytest.fixture
def kept(made, tmp_path):
    """A file in a cache of this test's own."""
    file = tmp_path / "cache" / made.name
    file.parent.mkdir(mode=0o700)
    file.write_bytes(made.read_bytes())
    file.chmod(0o600)
    return file


@pytest.fixture
def few(tmp_path):
    """What has an interpreter know few rules."""
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "sitecustomize.py").write_text(FEW_RULES)
    return {"PYTHONPATH": str(tmp_path / "few")}


def python(code, folder, env=None):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "ONRECORD_CACHE": str(folder), **(env or {})},
        capture_output=True,
        text=True,
        timeout=300,
    )


def started(folder, monkeypatch, *added):
    """Start as a recorder does, and have nobody compile."""
    monkeypatch.setattr(compiled, "compile_later", lambda *_: None)
    return compiled.ready(added, {"ONRECORD_CACHE": str(folder)})


def test_what_is_kept_is_private_and_used_at_the_next_start(made, kept, monkeypatch):
    assert made.stat().st_mode & 0o777 == 0o600
    assert made.parent.stat().st_mode & 0o777 == 0o700
    ready = started(kept.parent, monkeypatch)
    assert (ready.gate, ready.why) == (("hyperscan", "") if has_hyperscan() else ("keywords", ready.why))
    assert ready.detectors.find(GITHUB)


@needs_hyperscan
@pytest.mark.parametrize(
    "harm",
    ["garbage", "cut", "flipped", "empty", "foreign", "folder", "pipe", "link", "writable", "writable folder"],
)
def test_what_is_not_ours_alone_or_is_damaged_is_not_believed(kept, monkeypatch, harm):
    data = kept.read_bytes()
    contents = {
        "garbage": b"\x00" * 1000,
        "cut": data[:-1],
        "flipped": data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
        "empty": b"",
        "foreign": compiled.FORMAT + data[len(compiled.FORMAT) : len(compiled.FORMAT) + 32] + b"\x80",
    }
    if harm in contents:
        kept.write_bytes(contents[harm])
    elif harm.startswith("writable"):
        (kept.parent if harm.endswith("folder") else kept).chmod(0o720)
    elif harm == "link":
        kept.rename(kept.with_name("elsewhere"))
        kept.symlink_to("elsewhere")
    else:
        kept.unlink()
        kept.mkdir() if harm == "folder" else os.mkfifo(kept, 0o600)
    ready = started(kept.parent, monkeypatch)
    assert ready.gate == "keywords"
    assert str(kept.parent) in ready.why
    assert ready.detectors.find(f"key {GITHUB}")


@needs_hyperscan
@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to another account")
@pytest.mark.parametrize("part", ["file", "folder"])
def test_what_another_account_has_written_is_not_believed(kept, monkeypatch, part):
    os.chown(kept if part == "file" else kept.parent, 4242, 4242)
    ready = started(kept.parent, monkeypatch)
    assert ready.gate == "keywords"
    assert "another account" in ready.why


@needs_hyperscan
def test_a_first_start_does_not_wait_and_the_next_one_finds_it_done(tmp_path, few):
    folder = tmp_path / "cache"
    code = "from onrecord import compiled; print(compiled.ready().gate)"
    assert python(code, folder, few).stdout == "keywords\n"
    until = time.monotonic() + 300
    while not list(folder.glob("rules-*.bin")):
        assert time.monotonic() < until
    assert python(code, folder, few).stdout == "hyperscan\n"


@needs_hyperscan
def test_of_many_that_start_at_once_one_has_it_compiled(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    won = [compiled._claimed(folder / "rules.claim") for _ in range(3)]
    assert won == [True, False, False]
    os.utime(folder / "rules.claim", (0, 0))
    assert compiled._claimed(folder / "rules.claim")  # whoever had it is long dead


def test_two_that_compile_at_once_leave_one_whole_file(tmp_path, few):
    folder = tmp_path / "cache"
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "onrecord.compiled"], env={**os.environ, "ONRECORD_CACHE": str(folder), **few}
        )
        for _ in range(2)
    ]
    assert [child.wait(timeout=300) for child in both] == [0, 0]
    assert len(list(folder.iterdir())) == 1
    code = "from onrecord import compiled; print(compiled.ready().why)"
    assert python(code, folder, few).stdout in ("\n", "hyperscan is not installed\n")


@pytest.mark.parametrize("state", ["a file", "open to others", "beneath a file"])
def test_where_nothing_can_be_kept_everything_is_found_all_the_same(tmp_path, few, state):
    folder = tmp_path / "cache"
    if state == "open to others":
        folder.mkdir()
        folder.chmod(0o777)
    else:
        folder.write_bytes(b"")
    folder = folder / "beneath" if state == "beneath a file" else folder
    code = f"from onrecord import compiled\nr = compiled.ready()\nprint(r.gate, len(r.detectors.find({GITHUB!r})))"
    done = python(code, folder)
    assert (done.stdout, done.stderr) == ("keywords 1\n", "")
    assert state != "open to others" or not list(folder.iterdir())
    assert python("import sys; from onrecord.compiled import main; sys.exit(main())", folder, few).returncode == 1


def test_without_hyperscan_the_rules_are_kept_and_searched_by_keywords(tmp_path):
    code = NONE_HERE + (
        "import time; from onrecord import compiled\n"
        "r = compiled.ready()\n"
        f"print(r.gate, r.why, len(r.detectors.find({GITHUB!r})), sep='|')"
    )
    for _ in range(2):
        done = python(code, tmp_path / "cache")
        assert (done.stdout, done.stderr) == ("keywords|hyperscan is not installed|1\n", "")
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_other_rules_another_hyperscan_or_another_processor_have_a_file_of_their_own(monkeypatch):
    names = {compiled._name()}
    for name, changed in (
        ("builtin_texts", lambda: {"secrets.toml": ""}),
        ("_hyperscan_version", lambda: "0.0"),
        ("_processor", lambda: b"flags: none"),
        ("__version__", "0.0"),
    ):
        with monkeypatch.context() as context:
            context.setattr(compiled, name, changed)
            names.add(compiled._name())
    assert len(names) == 5


def test_files_of_versions_that_are_gone_are_removed(kept, few):
    for age in range(5):
        old = kept.with_name(f"rules-{age}.bin")
        old.write_bytes(b"")
        os.utime(old, (age, age))
    os.utime(kept, (9, 9))
    assert python("from onrecord.compiled import main; main()", kept.parent, few).returncode == 0
    left = {file.name for file in kept.parent.iterdir()}
    assert len(left) == compiled.KEPT
    assert left > {kept.name, "rules-4.bin"}


# rules that somebody added


def test_added_rules_are_proven_and_named_when_they_fail(kept, monkeypatch):
    added = compiled.RuleText("own.toml", OWN_RULE)
    for bad in (OWN_RULE.replace("ACME-12", "ACME-123456"), OWN_RULE.replace("acme-badge", "github"), "[[rule"):
        with pytest.raises(ConfigError):
            started(kept.parent, monkeypatch, compiled.RuleText("own.toml", bad))
    with pytest.raises(ConfigError, match="two detector rules"):
        started(kept.parent, monkeypatch, added, added)
    plain, more = started(kept.parent, monkeypatch), started(kept.parent, monkeypatch, added)
    assert plain.detectors.digest != more.detectors.digest


PIECES = st.lists(
    st.sampled_from([GITHUB, STRIPE, AWS, CARD, PRIVATE_KEY, "ACME-123456", "acme-", "password=hunter22", "İ", "ß\n"])
    | st.text(max_size=8)
    | st.sampled_from([" ", "\n", "=", ": ", '"', "\\", "token", "key ", "a1B2c3D4e5F6g7H8i9J0"])
)


@pytest.fixture(scope="module")
def gates(made, request):
    """Detectors that search by keywords and by hyperscan, with a rule added."""
    with pytest.MonkeyPatch.context() as context:
        fast = started(made.parent, context, compiled.RuleText("own.toml", OWN_RULE))
    with pytest.MonkeyPatch.context() as context:
        slow = started(made.parent / "none", context, compiled.RuleText("own.toml", OWN_RULE))
    assert (slow.gate, fast.gate) == ("keywords", "hyperscan")
    return slow.detectors, fast.detectors


@needs_hyperscan
@given(pieces=PIECES)
@settings(max_examples=60)
def test_both_gates_find_the_same_in_any_text(gates: tuple[Detectors, Detectors], pieces):
    text = "".join(pieces)
    assert gates[0].find(text) == gates[1].find(text)


@needs_hyperscan
def test_both_gates_find_the_same_in_the_test_strings_of_each_rule(gates):
    for rule in builtin_detectors().rules:
        for pieces in (*rule.positive, *rule.negative):
            text = "".join(pieces)
            assert gates[0].find(text) == gates[1].find(text), rule.id


@needs_hyperscan
def test_both_gates_find_the_same_in_every_text_of_the_sample(gates):
    ours = builtin_detectors()
    for line in SAMPLE.read_text(encoding="utf-8").splitlines():
        text = "".join(json.loads(line)["text"])
        found = gates[0].find(text)
        assert found == gates[1].find(text)
        assert found == ours.find(text)


def test_the_doctor_says_how_it_searches(kept, tmp_path):
    for folder, said in ((kept.parent, "compiled for hyperscan"), (tmp_path / "none", "searched by keywords")):
        done = subprocess.run(
            [*ONRECORD, "doctor"],
            env={**os.environ, "ONRECORD_CACHE": str(folder), "ONRECORD_HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0
        assert said in done.stdout
