# SPDX-License-Identifier: Apache-2.0
"""The options of `onrecord approvals`. What it does is in `approvals.py`, which is imported only when it is used."""

import argparse
from pathlib import Path

from onrecord.cli.proofs_options import add_assertion, add_proofs
from onrecord.cli.verbs import Verbs, verb


def add_approvals(verbs: Verbs) -> None:
    """Add `approvals` and its actions."""
    about = "see which calls wait for an approval, and decide on them"
    parser = verbs.add_parser("approvals", help=about, description=about)
    actions: Verbs = parser.add_subparsers(metavar="ACTION", required=True)
    listed = verb(actions, "list", "show the requests that stand", "approvals")
    listed.description = "Exit code 1: something waits to be decided, or is not what was written."
    listed.add_argument("--all", action="store_true", help="those too that were used, rejected or have just expired")
    shown = verb(actions, "show", "show what is to be approved, as approvers see it", "approvals")
    for each in (listed, shown, *(_deciding(actions, name, about) for name, about in _DECISIONS)):
        each.add_argument("--config", type=Path, metavar="FILE", help="settings (default: onrecord.toml in the home)")
        each.add_argument("--json", action="store_true")
    shown.add_argument("id", metavar="ID", help="of the request, or how it begins, 8 characters at least")
    add_proofs(actions)


_DECISIONS = (
    ("approve", "say yes to exactly this call"),
    ("reject", "say no to it; of your own call, withdraw it"),
)


def _deciding(actions: Verbs, name: str, about: str) -> argparse.ArgumentParser:
    parser = verb(actions, name, about, "approvals")
    parser.description = (
        "Who decides is proven as callers are: by an ID token where the settings name an issuer, else by the account. "
        "On a terminal, the end of the id is asked for. Exit code 1: the decision does not count, and why is said."
    )
    parser.add_argument("id", metavar="ID", help="of the request, or how it begins, 8 characters at least")
    if name == "approve":
        add_assertion(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask; for scripts, which give the whole id")
    return parser
