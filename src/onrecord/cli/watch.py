# SPDX-License-Identifier: Apache-2.0
"""`onrecord watch`: verifies the logs of this home again and again, and raises the alarm."""

import math
import shlex
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

import msgspec

from onrecord.cli.ending import Ending, Ends, heeding
from onrecord.cli.findings import Signals, summary_of
from onrecord.cli.terminal import print_json, put, say
from onrecord.config import build_anchor_plan, record_once, review_when_due
from onrecord.errors import Contradicted, OnRecordError, plainly
from onrecord.event.event import Event
from onrecord.ledger.anchoring import AnchorPlan, anchor
from onrecord.ledger.clock import TimeText, now_us, parse_time
from onrecord.ledger.keys import own_verifiers
from onrecord.ledger.place import LOGS, Home
from onrecord.ledger.presence import count_living
from onrecord.ledger.signing import verifier_file
from onrecord.ledger.watcher import Watcher
from onrecord.ledger.whereabouts import read_moved
from onrecord.settings import Loaded, home_folder, load

_COMMAND_S = 30.0  # for the command that is told of an alarm


class Alert(msgspec.Struct, frozen=True):
    """What somebody has to know: which log, what is wrong with it, and the entries that it is about."""

    log: str
    verdict: str
    reasons: tuple[str, ...]
    seqs: tuple[int, ...] = ()


def watch(options: Namespace) -> int:
    """Look until told to stop, and return 1 where there ever was an alarm."""
    with heeding() as stop:
        return _watch(options, stop)


def _watch(options: Namespace, stop: Ending) -> int:
    home = home_folder()
    loaded = load(home)
    _say_what_is_there(home, once=options.once)
    raised = False

    def tell(alert: Alert) -> None:
        nonlocal raised
        raised = True
        if options.json:
            print_json(alert)
        else:
            put(f"{TimeText().of(now_us())}  {alert.log}: {alert.verdict}")
            for reason in alert.reasons:
                put(f"  {reason}")
        sys.stdout.flush()
        if options.exec:
            _run(options.exec, alert)

    def tell_finding(said: Mapping[str, object]) -> None:
        print_json(said) if options.json else put(summary_of(said))
        sys.stdout.flush()
        if options.exec:
            _run(options.exec, said)

    signals = Signals(home, loaded, tell_finding, within_s=math.inf if options.once else options.every)
    if options.once:
        stop.set()
    times = {"every_s": options.every, "whole_s": options.whole, "anchor_s": options.anchor}
    keep_watch(home, loaded, stop, tell, **times, signals=signals)
    return int(raised)


def _say_what_is_there(home: Home, *, once: bool) -> None:
    """Say where there is nothing to look at yet. Raises OnRecordError where nobody would wait for it to come."""
    if any(verifier_file(home, log).is_file() or home.log(log).path.exists() for log in LOGS):
        return
    missing = f"there is no log in {home.path} yet"
    if moved := read_moved(home):
        missing = f"the logs of {home.path} lie in {moved.home} and are kept by {moved.account}"
    if once:
        raise OnRecordError(f"{missing}: nothing was looked at")
    say(f"{missing}: waiting for one")


def keep_watch(
    home: Home,
    loaded: Loaded,
    stop: Ends,
    tell: Callable[[Alert], None],
    *,
    every_s: float,
    whole_s: float,
    anchor_s: float | None = None,
    signals: Signals | None = None,
) -> None:
    """Look at the logs of `home`, at least once and until `stop` is set; each alarm is recorded and told.

    Also records the daily review, gets views from outside every `anchor_s`, where the settings name any, and has
    `signals` look at what is new.
    """
    watching = _Watching(home, loaded, whole_s=whole_s)
    plan = build_anchor_plan(loaded) if anchor_s else AnchorPlan()
    reviewed, anchor_at = None, 0.0
    while True:
        alerts = list(watching.look())
        if plan and anchor_s and time.monotonic() >= anchor_at:
            anchor_at = time.monotonic() + anchor_s
            alerts += _anchor(home, plan)
        for alert in alerts:
            tell(alert)
            recorded = _record(alert, home, loaded)
            if signals is not None and recorded:
                signals.told.add(recorded)
        if (today := datetime.now(UTC).date()) != reviewed:
            reviewed = today
            review_when_due(home, loaded, say)
        if signals is not None:
            signals.look()
        if stop.wait(every_s):
            return


def _anchor(home: Home, plan: AnchorPlan) -> Iterator[Alert]:
    """Show the checkpoints outside, and yield what somebody there contradicts."""
    for log in LOGS:
        if not verifier_file(home, log).is_file() or not home.log(log).checkpoint.exists():
            continue
        try:
            outcomes = anchor(home.log(log), own_verifiers(home, log), plan).outcomes
        except OnRecordError as e:
            say(f"{log} could not be anchored: {e}")
            continue
        for outcome in outcomes:
            if isinstance(outcome.problem, Contradicted):
                yield Alert(log, outcome.problem.verdict, (str(outcome.problem),))
            elif outcome.problem is not None:
                say(f"{log} could not be anchored at {outcome.url}: {outcome.problem}")


class _Watching:
    """All logs of a home, and what was said about each."""

    def __init__(self, home: Home, loaded: Loaded, *, whole_s: float) -> None:
        self._home = home
        self._heartbeat_s = loaded.settings.ledger.heartbeat_s
        self._whole_s = whole_s
        self._watchers: dict[str, Watcher] = {}
        self._said: dict[str, object] = {}  # what was said last of each log, so that it is said once

    def look(self) -> Iterator[Alert]:
        """Yield what has become wrong since the last look."""
        for log in LOGS:
            if log not in self._watchers and verifier_file(self._home, log).is_file():
                self._watchers[log] = self._watcher(log)
            alert = self._look_at(log) if log in self._watchers else self._without_key(log)
            about = alert and (alert.verdict, alert.seqs)
            if alert is not None and self._said.get(log) != about:
                yield alert
            self._said[log] = about

    def _watcher(self, log: str) -> Watcher:
        return Watcher(
            self._home.log(log),
            lambda: own_verifiers(self._home, log),
            guard=self._home.guard(log),
            whole_s=self._whole_s,
        )

    def _without_key(self, log: str) -> Alert | None:
        """Return an alert where there is a log and nothing that tells whose it is."""
        file = verifier_file(self._home, log)
        if not self._home.log(log).path.exists() or file.is_file():  # in this order: the key comes first
            return None
        return Alert(log, "unreadable", (f"there is no key of this log in {file}: nobody can tell who signed it",))

    def _look_at(self, log: str) -> Alert | None:
        try:
            report = self._watchers[log].look()
        except (OnRecordError, OSError) as e:
            return Alert(log, "unreadable", (plainly(e),))
        if report is None:
            return self._silent() if log == "calls" else None
        if report.verdict == "empty" and not report.signed and log != "calls":
            return None  # a key and no event yet
        if report.verdict not in ("intact", "unanchored"):
            return Alert(log, report.verdict, report.reasons, report.seqs)
        return self._silent() if log == "calls" else None

    def _silent(self) -> Alert | None:
        """Return an alert where a recorder lives and the log has said nothing, not even that it is alive."""
        newest = self._watchers["calls"].newest
        age_s = (now_us() - parse_time(newest)) / 1e6 if newest else 0.0
        if age_s < 2 * self._heartbeat_s or not count_living(self._home):
            return None
        return Alert("calls", "silent", (f"a recorder runs, and nothing was recorded since {newest}",))


def _record(alert: Alert, home: Home, loaded: Loaded) -> str:
    """Put an alarm on the security log, unless it is about that one; return its id, "" where it is not there."""
    if alert.log == "security":
        return ""
    event = Event(
        event_type="security",
        action="ledger_alarm",
        detail={"log": alert.log, "verdict": alert.verdict, "seqs": list(alert.seqs)},
    )
    try:
        return record_once(home, loaded, "security", event, {"reason": "; ".join(alert.reasons)})
    except OnRecordError as e:
        say(f"the alarm is not on the record: {e}")
        return ""


def _run(command: str, alert: Alert | Mapping[str, object]) -> None:
    """Give an alarm or a finding to the command that wants to know."""
    try:
        subprocess.run(shlex.split(command), input=msgspec.json.encode(alert), timeout=_COMMAND_S, check=True)
    except (OSError, ValueError, subprocess.SubprocessError) as e:
        say(f"the command that is told of alarms failed: {type(e).__name__}")
