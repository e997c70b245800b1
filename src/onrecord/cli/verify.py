# SPDX-License-Identifier: Apache-2.0
"""`onrecord verify`: the verdict on a log, with keys from the verifier's own hands."""

import os
import re
import time
from argparse import ArgumentTypeError, Namespace
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from onrecord.cli.outsiders import Outsiders, outsiders_of
from onrecord.cli.progress import Bar
from onrecord.cli.terminal import print_json
from onrecord.errors import KeyFileError, NotVerified, OnRecordError
from onrecord.ledger.clock import parse_time
from onrecord.ledger.keys import read_verifiers
from onrecord.ledger.lines import length_of, segment_files
from onrecord.ledger.note import MAX_NOTE, Checkpoint, VerifierKey, open_checkpoint
from onrecord.ledger.place import Home, LogFolder
from onrecord.ledger.received import verify_file
from onrecord.ledger.signing import verifier_file
from onrecord.ledger.smallfile import read_small
from onrecord.ledger.sparse import is_bundle
from onrecord.ledger.tree import read_guard
from onrecord.ledger.verify import SIGNING_S, Report
from onrecord.ledger.verify import verify as verify_log
from onrecord.rules.neutral import neutral
from onrecord.settings import home_folder

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def verify(options: Namespace) -> int:
    """Print a verdict on each log that was asked for, and return 0 only where all of them are good."""
    home = home_folder()
    if options.path and _is_evidence(options.path, home):
        return _verify_evidence(options, home)
    subjects = [_copy(options, home)] if options.path else _in_place(options, home)
    views = [_outside(path, [key for subject in subjects for key in subject.keys]) for path in options.checkpoint]
    if views and not options.log:  # a checkpoint that was given says which log is meant
        subjects = [each for each in subjects if {key.name for key in each.keys} & {view.origin for view in views}]
    outsiders = outsiders_of(options, home)
    good = True
    for number, subject in enumerate(subjects):
        report = _verdict(subject, home, views, outsiders)
        stale = options.max_age is not None and _is_older(report.newest, options.max_age)
        if options.json:
            print_json({"log": subject.log, **msgspec.to_builtins(report), "stale": stale})
        else:
            _print(report, subject, first=number == 0)
            if stale:
                print(f"  stale: the newest entry is of {report.newest or 'no time at all'}")
        excused = options.allow_unanchored and report.verdict == "unanchored"
        good = good and not stale and (report.verdict == "intact" or excused)
    return 0 if good else 1


def duration_s(text: str) -> int:
    """Return the seconds that `text` spells: a number and s, m, h or d. Raises ArgumentTypeError."""
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if match is None:
        raise ArgumentTypeError(f"{text[:20]!r} is no duration; give a number and a unit: 90s, 15m, 1h, 2d")
    return int(match[1]) * _UNITS_S[match[2]]


# what is verified


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    log: str
    folder: LogFolder
    keys: Sequence[VerifierKey]
    in_place: bool


def _copy(options: Namespace, home: Home) -> _Subject:
    """Return the log at the path that was given."""
    log = options.log or "calls"
    folder = _folder(options.path, log)
    for name in _logs_of(home):  # the path may lead to a log of this home
        if _same(folder.path, home.log(name).path):
            return _Subject(log=name, folder=folder, keys=_keys(options.key, home, name), in_place=True)
    return _Subject(log=log, folder=folder, keys=_keys(options.key, home, log), in_place=False)


def _in_place(options: Namespace, home: Home) -> list[_Subject]:
    """Return the logs of this home."""
    logs = [options.log] if options.log else _logs_of(home) or ["calls"]
    subjects = [
        _Subject(log=log, folder=home.log(log), keys=_keys(options.key, home, log), in_place=True) for log in logs
    ]
    meant = [subject for subject in subjects if any(key.name.endswith(f"/{subject.log}") for key in subject.keys)]
    return meant or subjects  # a key that was given says which log is meant


def _logs_of(home: Home) -> list[str]:
    """Return the names of the logs that this home has, or had: of one that is gone, key and guard are left."""
    ledger = home.path / "ledger"
    found = {path.name for path in ledger.iterdir() if path.is_dir()} if ledger.is_dir() else set[str]()
    found |= {path.stem for path in home.keys.glob("*.vkey") if not _never_begun(home, path.stem)}
    return sorted((log for log in found if "." not in log), key=lambda log: (log != "calls", log))


def _never_begun(home: Home, log: str) -> bool:
    guard = read_guard(home.guard(log))
    return guard is not None and not guard.size


def _folder(path: Path, log: str) -> LogFolder:
    """Return the log at `path`, which may be the log itself, a ledger folder, or a home."""
    for candidate in (path, path / log, path / "ledger" / log):
        folder = LogFolder(candidate)
        if folder.segments.is_dir() or folder.checkpoint.is_file() or folder.checkpoints.is_file():
            return folder
    if not path.exists():
        raise OnRecordError(f"there is nothing at {path}")
    if not path.is_dir():
        raise OnRecordError(f"{path} is a file; give the folder of a log, or a home")
    raise OnRecordError(f"there is no log called {log} in {path}: neither lines nor a checkpoint")


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return one == other


# what it is verified with


def _keys(given: list[str], home: Home, log: str) -> list[VerifierKey]:
    if given:
        return [key for text in given for key in read_verifiers(text)]
    file = verifier_file(home, log)
    if not file.is_file():
        raise KeyFileError("no key to verify with; give the recorder's public key with --key (onrecord keys shows it)")
    return read_verifiers(str(file))


def _outside(path: Path, keys: list[VerifierKey]) -> Checkpoint:
    try:
        return open_checkpoint(read_small(path, MAX_NOTE), list(dict.fromkeys(keys)))
    except OSError as e:
        raise OnRecordError(f"cannot read the checkpoint {path}: {os.strerror(e.errno or 0).lower()}") from e
    except NotVerified as e:
        raise OnRecordError(f"the checkpoint {path} is not one of this log: {e}") from e


# the verdict


def _verdict(subject: _Subject, home: Home, views: Sequence[Checkpoint], outsiders: Outsiders) -> Report:
    folder = subject.folder
    origins = {key.name for key in subject.keys}
    try:
        anchored = outsiders.views_of(folder, subject.keys)
        with Bar(f"reading {subject.log}", sum(map(length_of, segment_files(folder)))) as bar:
            report = verify_log(
                folder,
                subject.keys,
                outside=[*(view for view in views if view.origin in origins), *anchored.checkpoints],
                guard=read_guard(home.guard(subject.log)) if subject.in_place else None,
                wait_s=SIGNING_S if subject.in_place else 0.0,
                progress=bar,
            )
            return replace(report, reasons=(*report.reasons, *anchored.remarks))
    except OSError as e:
        raise OnRecordError(f"cannot read {e.filename or folder.path}: {os.strerror(e.errno or 0).lower()}") from e


def _is_evidence(path: Path, home: Home) -> bool:
    """Say whether `path` is a proof or a bundle; a log of this home never is, whatever lies in it."""
    if any(_same(path, home.log(log).path) for log in _logs_of(home)):
        return False
    return path.is_file() or is_bundle(path)


def _verify_evidence(options: Namespace, home: Home) -> int:
    """Print the verdict on a proof or a bundle, which proves a part of a log and never that it is whole."""
    keys = _keys(options.key, home, options.log or "calls")
    views = [_outside(path, keys) for path in options.checkpoint]
    try:
        report = verify_file(options.path, keys, outside=views)
    except OSError as e:
        raise OnRecordError(f"cannot read {e.filename or options.path}: {os.strerror(e.errno or 0).lower()}") from e
    if options.json:
        print_json(report)
    else:
        verdict = f"partial {report.proven} of {report.of}" if report.verdict == "partial" else report.verdict
        print(f"{verdict}: {options.path}")
        for reason in report.reasons:
            print(f"  {neutral(reason)}")
    return 1


def _is_older(newest: str, age_s: int) -> bool:
    """Say whether a log whose newest entry is of that time had nothing to say for so long."""
    with suppress(NotVerified):
        return not newest or parse_time(newest) / 1e6 < time.time() - age_s
    return True


def _print(report: Report, subject: _Subject, *, first: bool) -> None:
    if not first:
        print()
    print(f"{report.verdict}: {subject.folder.path}")
    deleted = f", {report.deleted} of them deleted on the record" if report.deleted else ""
    print(f"  {report.entries} entries read{deleted}; the newest valid signature covers {report.signed}")
    for reason in report.reasons:
        print(f"  {neutral(reason)}")
