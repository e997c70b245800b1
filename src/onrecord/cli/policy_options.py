# SPDX-License-Identifier: Apache-2.0
"""The options of `onrecord policy`. Nothing else is imported, so that other verbs start as fast as before."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Protocol


class _Verbs(Protocol):
    def add_parser(self, name: str, *, help: str, description: str) -> argparse.ArgumentParser: ...  # noqa: A002


Add = Callable[[_Verbs, str, str, str], argparse.ArgumentParser]


def add_policy(verbs: _Verbs, add: Add) -> None:
    """Add `policy` and its actions; `add` makes a verb of a name, a help text and a module."""
    about = "ask the policy about a call, or about those on the record"
    parser = verbs.add_parser("policy", help=about, description=about)
    actions: _Verbs = parser.add_subparsers(metavar="ACTION", required=True)

    check = add(actions, "check", "say what the policy decides on one call, and why", "policy")
    check.description = (
        "CALL is a file of JSON, or - for standard input: a request as a client sends it, or an attempt as it is on "
        "the record. Exit code 0: it may run. 1: it may not, or needs an approval. 2: it could not be told. Nothing is "
        "recorded, and nothing is called. Of a tool its pinned definition is known, but for its schemas, which --tools "
        "gives."
    )
    check.add_argument("call", metavar="CALL", help="file of JSON, or -")
    check.add_argument("--server-id", default="", metavar="ID", help="whose tool it is, as for run")
    check.add_argument("--user", default="", metavar="PSEUDONYM", help="who asks (default: nobody who is known)")
    check.add_argument("--subject", default="", metavar="NAME", help="their name in a verified token, for SpiceDB")
    check.add_argument("--tenant", metavar="NAME", help="for whom (default: that of onrecord.toml)")
    check.add_argument(
        "--assurance",
        default="none",
        choices=["none", "asserted", "os_account", "token", "token_mfa", "phishing_resistant"],
        help="how well that is known (default: none)",
    )
    check.add_argument("--tools", type=Path, metavar="FILE", help="what the server answers to tools/list, as JSON")
    check.add_argument("--kind", default="", choices=["human", "workload", "unknown"], help="what the token says of it")
    check.add_argument("--role", action="append", default=[], metavar="ROLE", help="of the caller; repeatable")
    check.add_argument("--tainted-by", action="append", default=[], metavar="FLAG", help="seen before; repeatable")
    check.add_argument("--scope", action="append", default=[], metavar="SCOPE", help="that the caller has; repeatable")

    replay = add(actions, "replay", "say which decisions on the record would change", "replay")
    replay.description = (
        "Asks the policies in a folder about each call on the record, as it was then: tier, class and scopes are those "
        "of the record, or with --manifest those that follow from other rules for tools. What the record does not "
        "hold is counted, not guessed. Exit code 0: nothing would change. 1: something would, or may. 2: it could "
        "not be told."
    )
    replay.add_argument("--policy", type=Path, metavar="DIR", help="of .cedar files (default: that of onrecord.toml)")
    replay.add_argument("--manifest", type=Path, metavar="FILE", help="an onrecord.toml; its [[tool]] count, no more")
    replay.add_argument("--since", default="", metavar="WHEN", help="as 30d, 12h, 45m, or a date as 2026-11-01")
    replay.add_argument("--examples", type=int, default=3, metavar="N", help="of each change (default: 3)")
    for one in (check, replay):
        one.add_argument("--config", type=Path, metavar="FILE", help="settings (default: onrecord.toml in the home)")
        one.add_argument("--json", action="store_true")
