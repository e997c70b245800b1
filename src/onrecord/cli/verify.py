# SPDX-License-Identifier: Apache-2.0
"""`onrecord verify`: the verdict on a log, with keys from the verifier's own hands."""

import os
from argparse import Namespace
from pathlib import Path

from onrecord.cli.terminal import print_json
from onrecord.config import home_folder
from onrecord.errors import KeyFileError, NotVerified, OnRecordError
from onrecord.ledger.keys import read_verifiers
from onrecord.ledger.note import Checkpoint, VerifierKey, open_checkpoint
from onrecord.ledger.place import Home, LogFolder
from onrecord.ledger.signing import verifier_file
from onrecord.ledger.tree import read_guard
from onrecord.ledger.verify import SIGNING_S, Report
from onrecord.ledger.verify import verify as verify_log
from onrecord.rules.neutral import neutral


def verify(options: Namespace) -> int:
    """Print the verdict, and return 0 only where it is good."""
    home = home_folder()
    folder = _folder(options.path) if options.path else home.log()
    in_place = _same(folder.path, home.log().path)
    keys = _keys(options.key, home)
    try:
        report = verify_log(
            folder,
            keys,
            outside=[_outside(path, keys) for path in options.checkpoint],
            guard=read_guard(home.guard()) if in_place else None,
            wait_s=SIGNING_S if in_place else 0.0,
        )
    except OSError as e:
        raise OnRecordError(f"cannot read {e.filename or folder.path}: {os.strerror(e.errno or 0).lower()}") from e
    if options.json:
        print_json(report)
    else:
        _print(report, folder)
    good = report.verdict == "intact" or (options.allow_unanchored and report.verdict == "unanchored")
    return 0 if good else 1


def _folder(path: Path) -> LogFolder:
    """Return the log at `path`, which may be the log itself, a ledger folder, or a home."""
    for candidate in (path, path / "calls", path / "ledger" / "calls"):
        if (candidate / "log").is_dir() or (candidate / "checkpoint").is_file():
            return LogFolder(candidate)
    if not path.exists():
        raise OnRecordError(f"there is nothing at {path}")
    return LogFolder(path)


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return one == other


def _keys(given: list[str], home: Home) -> list[VerifierKey]:
    if given:
        return [key for text in given for key in read_verifiers(text)]
    file = verifier_file(home)
    if not file.is_file():
        raise KeyFileError("no key to verify with; give the recorder's public key with --key (onrecord keys shows it)")
    return read_verifiers(str(file))


def _outside(path: Path, keys: list[VerifierKey]) -> Checkpoint:
    try:
        return open_checkpoint(path.read_bytes(), keys)
    except OSError as e:
        raise OnRecordError(f"cannot read the checkpoint {path}: {os.strerror(e.errno or 0).lower()}") from e
    except NotVerified as e:
        raise OnRecordError(f"the checkpoint {path} is not one of this log: {e}") from e


def _print(report: Report, folder: LogFolder) -> None:
    print(f"{report.verdict}: {folder.path}")
    print(f"  {report.entries} entries read; the newest valid signature covers {report.signed}")
    for reason in report.reasons:
        print(f"  {neutral(reason)}")
