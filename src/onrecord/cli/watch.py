# SPDX-License-Identifier: Apache-2.0
"""`onrecord watch`: verifies the logs of this home again and again, and raises the alarm."""

import shlex
import signal
import subprocess
import sys
import threading
from argparse import Namespace
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from onrecord.cli.terminal import print_json, say
from onrecord.config import record_once, review_when_due
from onrecord.errors import OnRecordError
from onrecord.event.event import Event
from onrecord.ledger.clock import TimeText, now_us, parse_time
from onrecord.ledger.keys import read_verifiers
from onrecord.ledger.place import LOGS, Home
from onrecord.ledger.presence import count_living
from onrecord.ledger.signing import verifier_file
from onrecord.ledger.watcher import Watcher
from onrecord.rules.neutral import neutral
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
    stop = threading.Event()

    def end(_number: int, _frame: object) -> None:
        stop.set()

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    home = home_folder()
    loaded = load(home)
    watching = _Watching(home, loaded, whole_s=float(options.whole))
    raised, reviewed = False, None
    while True:
        for alert in watching.look():
            raised = True
            _raise(alert, options, home, loaded)
        if (today := datetime.now(UTC).date()) != reviewed:
            reviewed = today
            review_when_due(home, loaded, say)
        if options.once or stop.wait(options.every):
            return int(raised)


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
            if log not in self._watchers:
                if not verifier_file(self._home, log).is_file():
                    continue
                self._watchers[log] = self._watcher(log)
            alert = self._look_at(log)
            about = alert and (alert.verdict, alert.seqs)
            if alert is not None and self._said.get(log) != about:
                yield alert
            self._said[log] = about

    def _watcher(self, log: str) -> Watcher:
        file = str(verifier_file(self._home, log))
        return Watcher(
            self._home.log(log),
            lambda: read_verifiers(file),
            guard=self._home.guard(log),
            whole_s=self._whole_s,
        )

    def _look_at(self, log: str) -> Alert | None:
        try:
            report = self._watchers[log].look()
        except (OnRecordError, OSError) as e:
            return Alert(log, "unreadable", (str(e),))
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


def _raise(alert: Alert, options: Namespace, home: Home, loaded: Loaded) -> None:
    """Say what is wrong: here, in the security log, and to the command that wants to know."""
    if options.json:
        print_json(alert)
    else:
        at = TimeText().of(now_us())
        print(f"{at}  {alert.log}: {alert.verdict}")
        for reason in alert.reasons:
            print(f"  {neutral(reason)}")
    sys.stdout.flush()
    if alert.log != "security":
        event = Event(
            event_type="security",
            action="ledger_alarm",
            detail={"log": alert.log, "verdict": alert.verdict, "seqs": list(alert.seqs)},
        )
        try:
            record_once(home, loaded, "security", event, {"reason": "; ".join(alert.reasons)})
        except OnRecordError as e:
            say(f"the alarm is not on the record: {e}")
    if options.exec:
        try:
            subprocess.run(shlex.split(options.exec), input=msgspec.json.encode(alert), timeout=_COMMAND_S, check=True)
        except (OSError, ValueError, subprocess.SubprocessError) as e:
            say(f"the command that is told of alarms failed: {type(e).__name__}")
