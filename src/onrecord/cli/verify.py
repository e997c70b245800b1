# SPDX-License-Identifier: Apache-2.0
"""`onrecord verify`: the verdict on a log, with keys from the verifier's own hands."""

import os
import re
import time
from argparse import Namespace
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from onrecord.cli.outsiders import sightings_of
from onrecord.cli.progress import Bar
from onrecord.cli.terminal import print_json, put
from onrecord.errors import KeyFileError, NotVerified, OnRecordError
from onrecord.ledger.clock import parse_time
from onrecord.ledger.confined import link_on_the_way
from onrecord.ledger.keys import read_verifiers
from onrecord.ledger.lines import length_of, segment_files
from onrecord.ledger.note import VerifierKey
from onrecord.ledger.place import LOGS, Home, LogFolder
from onrecord.ledger.received import verify_file
from onrecord.ledger.sightings import Sightings
from onrecord.ledger.signing import verifier_file
from onrecord.ledger.sparse import is_bundle
from onrecord.ledger.tree import read_guard
from onrecord.ledger.verify import SIGNING_S, Report
from onrecord.ledger.verify import verify as verify_log
from onrecord.settings import home_folder

PARTIAL = 3  # the exit code for a proof or a bundle of which all holds

_ORIGIN = re.compile(r"onrecord/[0-9a-f]{12}/(.+)")


def verify(options: Namespace) -> int:
    """Print a verdict on each log that was asked for, and return 0 only where all of them are good."""
    home = home_folder()
    if options.path and _is_evidence(options.path, home):
        return _verify_evidence(options, home)
    subjects = _copies(options, home) if options.path else _in_place(options, home)
    sightings = sightings_of(options, home)
    if sightings.kept and not options.log:  # a checkpoint that was given says which log is meant
        origins = {kept.claim.origin for kept in sightings.kept}
        subjects = [each for each in subjects if origins & each.origins]
        if not subjects:
            raise OnRecordError(f"the checkpoint {sightings.kept[0].source} is not one of a log that is verified here")
    good = True
    for number, subject in enumerate(subjects):
        report = _verdict(subject, home, sightings)
        stale = options.max_age is not None and _is_older(report.newest, options.max_age)
        if options.json:
            print_json({"log": subject.log, **msgspec.to_builtins(report), "stale": stale})
        else:
            _print(report, subject, first=number == 0)
            if stale:
                put(f"  stale: the newest entry is of {report.newest or 'no time at all'}")
        excused = options.allow_unanchored and report.verdict == "unanchored"
        good = good and not stale and (report.verdict == "intact" or excused)
    return 0 if good else 1


# what is verified


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    log: str
    folder: LogFolder
    keys: Sequence[VerifierKey]
    within: Path | None = None  # what was handed over; None where the log lies in this home
    named: bool = True  # the folder is where the log of that name belongs, or the name was given

    @property
    def origins(self) -> set[str]:
        return {key.name for key in self.keys}


def _copies(options: Namespace, home: Home) -> list[_Subject]:
    """Return the logs at the path that was given, which may be a log, a ledger folder, or a home."""
    path: Path = options.path
    if _is_log(path):
        name = options.log or (path.name if path.name in LOGS else "")
        return [_subject(LogFolder(path), name or "calls", options, home, named=bool(name))]
    if _same(path, home.path) or _same(path, home.path / "ledger"):
        return _in_place(options, home)
    found = {log: folder / log for folder in (path / "ledger", path) for log in _folders_in(folder)}
    logs = [options.log] if options.log else _in_order(found)
    there = [log for log in logs if log in found and _is_log(found[log])]
    if there:
        return _meant([_subject(LogFolder(found[log]), log, options, home) for log in there])
    if not path.exists():
        raise OnRecordError(f"there is nothing at {path}")
    if not path.is_dir():
        raise OnRecordError(f"{path} is a file; give the folder of a log, or a home")
    raise OnRecordError(f"there is no log called {options.log or 'calls'} in {path}: neither lines nor a checkpoint")


def _subject(folder: LogFolder, log: str, options: Namespace, home: Home, *, named: bool = True) -> _Subject:
    if not link_on_the_way(folder, options.path):
        for name in _logs_of(home):  # the path may lead to a log of this home
            if _same(folder.path, home.log(name).path):
                return _Subject(log=name, folder=folder, keys=_keys(options.key, home, name))
    return _Subject(log=log, folder=folder, keys=_keys(options.key, home, log), within=options.path, named=named)


def _in_place(options: Namespace, home: Home) -> list[_Subject]:
    """Return the logs of this home. Raises OnRecordError where there is none, and none is asked for by its key."""
    found = _logs_of(home)
    if not found and not options.key:
        raise OnRecordError(
            f"there is no record in {home.path} yet, and nothing to verify; begin with: onrecord run -- COMMAND…; what "
            "lies elsewhere takes its path, and the public key of who recorded it: onrecord verify PATH --key VKEY"
        )
    logs = [options.log] if options.log else found or ["calls"]
    return _meant([_Subject(log=log, folder=home.log(log), keys=_keys(options.key, home, log)) for log in logs])


def _meant(subjects: list[_Subject]) -> list[_Subject]:
    """Return the logs whose keys were given, if there are any: a key says which log is meant."""
    meant = [subject for subject in subjects if any(name.endswith(f"/{subject.log}") for name in subject.origins)]
    return meant or subjects


def _logs_of(home: Home) -> list[str]:
    """Return the names of the logs that this home has, or had: of one that is gone, key and guard are left."""
    found = {path.stem for path in home.keys.glob("*.vkey") if not _never_begun(home, path.stem)}
    return _in_order({*found, *_folders_in(home.path / "ledger")})


def _folders_in(ledger: Path) -> list[str]:
    return [path.name for path in ledger.iterdir() if path.is_dir()] if ledger.is_dir() else []


def _in_order(logs: Iterable[str]) -> list[str]:
    """Return the names of logs, that of calls first, without what was set aside."""
    return sorted((log for log in logs if "." not in log), key=lambda log: (log != "calls", log))


def _never_begun(home: Home, log: str) -> bool:
    guard = read_guard(home.guard(log))
    return guard is not None and not guard.size


def _is_log(path: Path) -> bool:
    folder = LogFolder(path)
    return folder.segments.is_dir() or folder.checkpoint.is_file() or folder.checkpoints.is_file()


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
        raise KeyFileError(
            f"there is no key of the log {log} in {home.keys}; give that of who recorded it with --key (onrecord keys "
            "shows it there)"
        )
    return read_verifiers(str(file))


# the verdict


def _verdict(subject: _Subject, home: Home, sightings: Sightings) -> Report:
    folder = subject.folder
    kept = tuple(kept for kept in sightings.kept if kept.claim.origin in subject.origins) or sightings.kept
    try:
        with Bar(f"reading {subject.log}", sum(map(length_of, segment_files(folder)))) as bar:
            report = verify_log(
                folder,
                subject.keys,
                sightings=replace(sightings, kept=kept),
                guard=None if subject.within else read_guard(home.guard(subject.log)),
                wait_s=0.0 if subject.within else SIGNING_S,
                within=subject.within,
                progress=bar,
            )
    except OSError as e:
        raise OnRecordError(f"cannot read {e.filename or folder.path}: {os.strerror(e.errno or 0).lower()}") from e
    return _of_the_log(report, subject.log) if subject.named else report


def _of_the_log(report: Report, log: str) -> Report:
    """Return the verdict on what should be the log of that name: another one in its place has the wrong key."""
    match = _ORIGIN.fullmatch(report.origin)
    if match is None or match[1] == log:
        return report
    reason = f"this is signed as the log {match[1]}, and not as {log}: {report.origin}"
    return replace(report, verdict="wrong key", reasons=(reason, *report.reasons), covered=0, proven=0)


def _is_evidence(path: Path, home: Home) -> bool:
    """Say whether `path` is a proof or a bundle; a log of this home never is, whatever lies in it."""
    if any(_same(path, home.log(log).path) for log in _logs_of(home)):
        return False
    return path.is_file() or is_bundle(path)


def _verify_evidence(options: Namespace, home: Home) -> int:
    """Print the verdict on a proof or a bundle, which proves a part of a log and never that it is whole."""
    keys = _keys(options.key, home, options.log or "calls")
    try:
        report = verify_file(options.path, keys, sightings=sightings_of(options, home))
    except OSError as e:
        raise OnRecordError(f"cannot read {e.filename or options.path}: {os.strerror(e.errno or 0).lower()}") from e
    if options.log:
        report = _of_the_log(report, options.log)
    if options.json:
        print_json(report)
    else:
        put(f"{report.headline}: {options.path}")
        if report.origin:
            put(f"  of {report.origin}")
        for reason in report.reasons:
            put(f"  {reason}")
    return PARTIAL if report.verdict == "partial" else 1


def _is_older(newest: str, age_s: int) -> bool:
    """Say whether a log whose newest entry is of that time had nothing to say for so long."""
    with suppress(NotVerified):
        return not newest or parse_time(newest) / 1e6 < time.time() - age_s
    return True


def _print(report: Report, subject: _Subject, *, first: bool) -> None:
    if not first:
        put("")
    put(f"{report.headline}: {subject.folder.path}")
    if report.origin:
        put(f"  of {report.origin}")
    deleted = f", {report.deleted} of them deleted on the record" if report.deleted else ""
    put(f"  {report.entries} entries read{deleted}; the newest valid signature covers {report.signed}")
    for reason in report.reasons:
        put(f"  {reason}")
