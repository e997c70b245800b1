# SPDX-License-Identifier: Apache-2.0
"""The options of `onrecord authenticators`. What it does is in `authenticators.py`, imported only when it is used."""

from pathlib import Path

from onrecord.cli.verbs import Verbs, verb


def add_authenticators(verbs: Verbs) -> None:
    """Add `onrecord authenticators`."""
    about = "enrol, list and remove the authenticators that approve calls"
    parser = verb(verbs, "authenticators", about, "authenticators")
    parser.description = (
        "list: those that are enrolled. options: what a page hands to the browser to make a new one, or, with --for or "
        "--remove, to have one that is enrolled sign for that. enrol: take the browser's answer in FILE (- for stdin). "
        "remove: the one whose digest begins so. The first authenticator of a person is taken on the word of who "
        "enrols it; any other one, and removing one, needs the answer of one that is enrolled (--assertion)."
    )
    parser.add_argument("action", nargs="?", choices=["list", "options", "enrol", "remove"], default="list")
    parser.add_argument("what", nargs="?", metavar="FILE|DIGEST", help="what to enrol, or to remove")
    parser.add_argument("--label", default="", metavar="TEXT", help="what you call a new one")
    parser.add_argument("--for", dest="new", metavar="FILE", help="options to sign for the new one in FILE")
    parser.add_argument("--remove", metavar="DIGEST", help="options to sign for the removal of that one")
    parser.add_argument("--assertion", metavar="FILE", help="answer of one that is enrolled")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (default: onrecord.toml in the home)")
    parser.add_argument("--json", action="store_true")
