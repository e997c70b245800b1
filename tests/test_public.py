# SPDX-License-Identifier: Apache-2.0
"""The public face: few names, all of them there on every platform."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import onrecord

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

NAMES = {
    "Call",
    "Event",
    "Guard",
    "Ledger",
    "LogFolder",
    "OnRecordError",
    "Result",
    "VerifierKey",
    "__version__",
    "annotate",
    "asgi",
    "instrument",
    "middleware",
    "verify",
}


def test_the_public_names_are_these_and_no_others():
    assert set(onrecord.__all__) == NAMES
    assert all(hasattr(onrecord, name) for name in NAMES)


def test_what_only_servers_need_is_not_imported_before_it_is_used():
    script = "import sys, onrecord; print(sorted({'anyio', 'mcp', 'onrecord.config'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_version_is_said_once():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert onrecord.__version__ == project["version"]
    assert f"## [{project['version']}]" in (ROOT / "CHANGELOG.md").read_text() or project["version"].startswith("0.1.0")


def test_the_readme_has_every_verb_and_no_other():
    command = [sys.executable, "-m", "onrecord.cli.main", "--help"]
    helped = subprocess.run(command, capture_output=True, text=True).stdout
    listed = helped.partition("\nput calls on the record:\n")[2].partition("new here?")[0]
    verbs = set(re.findall(r"^  ([a-z]+) ", listed, re.MULTILINE))
    table = README.partition("| verb | what it does |")[2].partition("\n\n")[0]
    shown = {
        named.split()[0] for verb in re.findall(r"^\| (.+?) \|", table, re.MULTILINE) for named in verb.split("`")[1::2]
    }
    assert len(verbs) > 20
    assert shown == verbs


def test_what_the_readme_links_to_is_there():
    linked = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", README) if "://" not in link]
    assert len(linked) > 10
    assert [link for link in linked if not (ROOT / link).is_file()] == []


def test_without_posix_locks_the_library_imports_and_verifies(tmp_path):
    script = """
import sys
sys.modules["fcntl"] = sys.modules["resource"] = sys.modules["pwd"] = None  # as on Windows
from pathlib import Path
import onrecord
from onrecord.errors import NotSupported
from onrecord.ledger.durable import FileLock
from onrecord.ledger.note import SignerKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
key = SignerKey(name="x/calls", private=Ed25519PrivateKey.generate()).vkey
folder = Path(sys.argv[1])
report = onrecord.verify(onrecord.LogFolder(folder), [key])
assert report.verdict == "empty" or report.verdict == "unsigned", report
try:
    FileLock(folder / "lock").try_acquire()
except NotSupported as e:
    print(e)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "this platform can read and verify" in done.stdout
