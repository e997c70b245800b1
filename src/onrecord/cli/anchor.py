# SPDX-License-Identifier: Apache-2.0
"""`onrecord anchor`: views of the log from outside, so that nobody has to take its word for what it said before."""

import sys
from argparse import Namespace
from pathlib import Path

from onrecord.cli.outsiders import read_root
from onrecord.cli.terminal import print_json, put, say
from onrecord.config import build_anchor_plan
from onrecord.errors import ConfigError, OnRecordError
from onrecord.ledger.anchoring import AnchorPlan, Outcome, keep_copy, newest_checkpoint
from onrecord.ledger.anchoring import anchor as anchor_log
from onrecord.ledger.clock import TimeText
from onrecord.ledger.keys import own_verifiers
from onrecord.ledger.note import Checkpoint, VerifierKey
from onrecord.ledger.place import LogFolder
from onrecord.ledger.post import check_url
from onrecord.ledger.witness import Witness
from onrecord.settings import home_folder, load


def anchor(options: Namespace) -> int:
    """Ask all who were named, say what came of it, and return 0 only where all of it was done."""
    home = home_folder()
    plan = _plan(options, build_anchor_plan(load(home, options.config)))
    folder, keys = home.log(options.log), own_verifiers(home, options.log)
    if not plan and not options.to:
        return _show(folder, keys, as_json=options.json)
    checkpoint, outcomes = None, ()
    if plan:
        done = anchor_log(folder, keys, plan)
        checkpoint, outcomes = done.checkpoint, done.outcomes
    problems = [outcome.problem for outcome in outcomes if outcome.problem]
    copied = False
    if options.to:
        try:
            checkpoint = keep_copy(folder, keys, options.to)
            copied = True
        except OnRecordError as e:
            problems.append(e)
    if options.json:
        print_json(_as_json(checkpoint, outcomes, str(options.to) if copied else "", problems))
    else:
        _print(checkpoint, outcomes, options.to if copied else None)
    for problem in problems:
        say(str(problem))
    return int(bool(problems))


def _plan(options: Namespace, configured: AnchorPlan) -> AnchorPlan:
    """Return whom to ask: those of the command line, or where it names none, those of the settings."""
    for url in options.timestamp:
        try:
            check_url(url, plain=True)
        except ConfigError as e:
            raise ConfigError(f"--timestamp: {e}") from e
    roots = (*configured.tsa_roots, *map(read_root, options.tsa_root))
    if options.timestamp and not roots:
        raise ConfigError("--timestamp needs --tsa-root FILE (or timestamp.roots): without a root nothing is verified")
    if not (options.witness or options.timestamp):
        return configured
    try:
        witnesses = tuple(map(Witness.parse, options.witness))
    except ConfigError as e:
        raise ConfigError(f"--witness: {e}") from e
    return AnchorPlan(witnesses=witnesses, tsa_urls=tuple(options.timestamp), tsa_roots=roots)


def _show(folder: LogFolder, keys: list[VerifierKey], *, as_json: bool) -> int:
    """Print the checkpoint, for people who have nothing else than a place to keep a text."""
    note, checkpoint = newest_checkpoint(folder, keys)
    if as_json:
        print_json(_as_json(checkpoint, (), "", []) | {"note": note.decode()})
    else:
        sys.stdout.write(note.decode())
    say(
        "no witness and no timestamp authority is configured; this is the checkpoint: print it, mail it, or commit it "
        "where this machine cannot change it (onrecord anchor --to FILE), and verify later with --checkpoint FILE"
    )
    return 0


def _print(checkpoint: Checkpoint | None, outcomes: tuple[Outcome, ...], copy: Path | None) -> None:
    times = TimeText()
    size = checkpoint.size if checkpoint else 0
    for outcome in outcomes:
        if outcome.problem is None:
            did = "cosigned by" if outcome.kind == "witness" else "timestamped by"
            put(f"{size} entries {did} {outcome.by} at {times.of(outcome.at_us)}")
    if copy is not None:
        put(f"{size} entries: the checkpoint is in {copy}")


def _as_json(
    checkpoint: Checkpoint | None, outcomes: tuple[Outcome, ...], copy: str, problems: list[OnRecordError]
) -> dict[str, object]:
    times = TimeText()
    views = [
        {"kind": one.kind, "url": one.url, "by": one.by, "at": times.of(one.at_us)}
        for one in outcomes
        if one.problem is None
    ]
    return {
        "origin": checkpoint.origin if checkpoint else "",
        "size": checkpoint.size if checkpoint else 0,
        "root": checkpoint.root.hex() if checkpoint else "",
        "views": views,
        "copy": copy,
        "problems": [{"kind": type(one).__name__, "reason": str(one)} for one in problems],
    }
