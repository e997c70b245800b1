# SPDX-License-Identifier: Apache-2.0
"""Programs that we didn't write, and what to install where one is missing: their absence is a failure."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SUMDB_SOURCE = HERE / "sumdb" / "main.go"
GO_PATH = Path("/usr/share/gocode")  # where Debian puts the source of Go packages
MOD = "src/golang.org/x/mod/sumdb"
TIMEOUT_S = 300  # of a first build, on a busy machine

_PACKAGES = {"go": "golang-go", "zstd": "zstd", "zstdcat": "zstd", "jq": "jq", "openssl": "openssl"}


def need(*programs: str) -> None:
    """Fail with the names of the Debian packages where a program is missing."""
    missing = sorted({_PACKAGES.get(name, name) for name in programs if shutil.which(name) is None})
    if missing:
        pytest.fail(f"apt-get install {' '.join(missing)}", pytrace=False)


def build_sumdb(folder: Path) -> Path:
    """Build the verifier over Go's sumdb in `folder` and return it."""
    if shutil.which("go") is None or not (GO_PATH / MOD).is_dir():
        pytest.fail(
            "the independent verifier needs two Debian packages: apt-get install golang-go golang-golang-x-mod-dev",
            pytrace=False,
        )
    program = folder / "sumdb"
    cache = {} if "HOME" in os.environ or "GOCACHE" in os.environ else {"GOCACHE": str(folder / "cache")}
    env = {**os.environ, **cache, "GO111MODULE": "off", "GOPATH": str(GO_PATH), "GOFLAGS": ""}
    built = subprocess.run(
        ["go", "build", "-o", str(program), str(SUMDB_SOURCE)],
        env=env,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert built.returncode == 0, built.stderr
    return program


def shell(command: str, folder: Path, **env: str) -> str:
    """Run `command` in `folder` as a person would, and return what it prints; it must succeed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env={**os.environ, **env, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout
