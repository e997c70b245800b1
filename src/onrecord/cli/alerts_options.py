# SPDX-License-Identifier: Apache-2.0
"""The options of `onrecord alerts`. What it does is in `alerts.py`, which is imported only when it is used."""

import argparse
from pathlib import Path

from onrecord.cli.verbs import Verbs, verb

STATES = ("open", "acknowledged", "closed", "all")
SEVERITIES = ("low", "medium", "high", "critical")
_SAYING = (
    ("acknowledge", "say that somebody looks at it"),
    ("close", "say that it is settled, and why"),
    ("reopen", "say that it is not settled after all"),
)


def add_alerts(verbs: Verbs) -> None:
    """Add `onrecord alerts` and its actions."""
    parser = verb(verbs, "alerts", "show what somebody should look at, and say what became of it", "alerts")
    parser.description = (
        "Looks at what is new, and shows the findings that are not closed, oldest first. Exit code 1: one of those "
        "that are shown is open."
    )
    parser.add_argument("--state", choices=STATES, help="only those that stand so (default: what is not closed)")
    parser.add_argument("--rule", action="append", default=[], metavar="ID", help="only of this rule; repeatable")
    parser.add_argument("--severity", choices=SEVERITIES, help="only so severe, or more")
    parser.add_argument("--since", metavar="TIME", help="only of this time or later: 30d, 12h, 2026-11-21, yesterday")
    parser.add_argument("--limit", type=int, default=100, metavar="N", help="the newest N (default: 100)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (default: onrecord.toml in the home)")
    parser.add_argument("--json", action="store_true")
    actions: Verbs = parser.add_subparsers(metavar="ACTION", required=False)
    _add_action(actions, "show", "show one finding, what it is about, and what was said")
    for name, about in _SAYING:
        saying = _add_action(actions, name, about)
        saying.add_argument("--reason", required=name == "close", metavar="TEXT", help="why; it goes on the record")


def _add_action(actions: Verbs, name: str, about: str) -> argparse.ArgumentParser:
    """Add an action. What it shares with the verb has no default of its own: it would undo what stands before it."""
    parser = verb(actions, name, about, "alerts", home=False)
    parser.add_argument("id", metavar="ID", help="of the finding, or how it begins, 8 characters at least")
    parser.add_argument(
        "--home", type=Path, metavar="DIR", default=argparse.SUPPRESS, help="the home (default: that of ONRECORD_HOME)"
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", default=argparse.SUPPRESS, help="settings (default: onrecord.toml there)"
    )
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
    return parser
