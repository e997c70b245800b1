# SPDX-License-Identifier: Apache-2.0
"""Other tools, each in an environment of its own, asked about the same texts in the same run."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.redaction.scoring import Found

HERE = Path(__file__).parent
UV = HERE.parents[1] / ".tools" / "bin" / "uv"
INSTALL_S, RUN_S = 600, 1_800

# Name, package, and the script that asks it.
PEERS = (
    ("detect-secrets", "detect-secrets", "detect_secrets_peer.py"),
    ("CredSweeper", "credsweeper", "credsweeper_peer.py"),
    ("Presidio", "presidio-analyzer", "presidio_peer.py"),
)


class NotThere(Exception):
    """A tool could not be installed or started; the message says why, in a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a tool found in one text, and how long that took."""

    found: tuple[Found, ...]
    took_us: float


def installed(package: str, folder: Path) -> Path:
    """Return the interpreter that has `package`, installed below `folder` if it isn't yet. Raises NotThere."""
    python = folder / package / "bin" / "python"
    if python.exists():
        return python
    if not UV.exists():
        raise NotThere("there is no uv; make setup")
    for command in (
        [UV, "venv", "--quiet", "--python", "python3", folder / package],
        [UV, "pip", "install", "--quiet", "--python", python, package],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        except subprocess.TimeoutExpired:
            raise NotThere(f"installing took more than {INSTALL_S} s") from None
        if done.returncode:
            python.unlink(missing_ok=True)
            raise NotThere(f"does not install: {(done.stderr.strip() or 'no reason given').splitlines()[-1]}")
    return python


def asked(python: Path, script: str, texts: Sequence[str]) -> list[Answer]:
    """Return what a tool answers to each text. Raises NotThere."""
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    command = [python, HERE / "peers" / script]
    try:
        done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=RUN_S, check=False)
    except subprocess.TimeoutExpired:
        raise NotThere(f"took more than {RUN_S} s") from None
    if done.returncode:
        raise NotThere(f"fails: {(done.stderr.strip() or 'no reason given').splitlines()[-1]}")
    return [
        Answer(
            found=tuple(Found(start=start, end=end, kind=kind) for start, end, kind in answer["spans"]),
            took_us=answer["us"],
        )
        for answer in map(json.loads, done.stdout.splitlines())
    ]
