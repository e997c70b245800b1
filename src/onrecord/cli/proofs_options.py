# SPDX-License-Identifier: Apache-2.0
"""The options of `onrecord approvals` for decisions that are signed. What they do is in `proofs.py`."""

import argparse
from collections.abc import Callable
from pathlib import Path

from onrecord.cli.verbs import Verbs, verb


def add_proofs(actions: Verbs) -> None:
    """Add the actions `options`, `submit` and `send`."""
    asked = verb(actions, "options", "print what a page hands to the browser to have a request signed", "proofs")
    asked.description = (
        "PublicKeyCredentialRequestOptionsJSON; the challenge is the digest of the statement. The browser's answer is "
        "for: onrecord approvals approve ID --assertion FILE"
    )
    asked.add_argument("id", metavar="ID", help="of the request, or how it begins")
    submit = verb(actions, "submit", "take decisions that the service has signed", "proofs")
    submit.description = "FILE holds one signed decision (JWS) a line. Exit code 1: one of them does not count."
    submit.add_argument("file", metavar="FILE", help="or - for standard input")
    send = verb(actions, "send", "ask the service about requests that stand, once, and take what it answers", "proofs")
    send.description = "Exit code 1: it could not be asked, or a decision of it does not count."
    send.add_argument("id", nargs="?", metavar="ID", help="of one request, or how it begins (default: all that stand)")
    for one in (asked, submit, send):
        one.add_argument("--config", type=Path, metavar="FILE", help="settings (default: onrecord.toml in the home)")
    for one in (submit, send):
        one.add_argument("--json", action="store_true")


def add_assertion(parser: argparse.ArgumentParser) -> None:
    """Let `approve` take the answer of an authenticator in place of its own way of knowing who approves."""
    about = "answer of an authenticator that has signed it, which says who approves (- for standard input)"
    parser.add_argument("--assertion", metavar="FILE", help=about)
    otherwise: Callable[[argparse.Namespace], int] = parser.get_default("verb")

    def approve(options: argparse.Namespace) -> int:
        if not options.assertion:
            return otherwise(options)
        from onrecord.cli.proofs import approve_signed

        return approve_signed(options)

    parser.set_defaults(verb=approve)
