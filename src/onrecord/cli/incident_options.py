# SPDX-License-Identifier: Apache-2.0
"""The verb `incident`, and its options."""

from pathlib import Path

from onrecord.cli.verbs import Verbs, verb


def add_incident(verbs: Verbs) -> None:
    """Add `onrecord incident`."""
    about = "show what happened: a timeline, and six questions answered"
    parser = verb(verbs, "incident", about, "incident", home=False)
    parser.description = (
        "Who started it, what was proposed, was it allowed, did a person approve it, what changed, was prompt "
        "injection involved: each answer with the events that it rests on, and what the record does not say as not "
        "known. Exit code 1: nothing on the record is called so. Each look goes on the access log."
    )
    about = "id of a request (correlation), trace, session, approval, call or event; or a person: account or pseudonym"
    parser.add_argument("which", metavar="ID|USER", help=about)
    parser.add_argument("--since", metavar="TIME", help="events of this time or later: 30d, 12h, 2026-11-21, yesterday")
    parser.add_argument("--until", metavar="TIME", help="events before this time")
    parser.add_argument(
        "--limit", type=int, default=1000, metavar="N", help="events of what is asked for, the newest (default: 1000)"
    )
    parser.add_argument(
        "--home",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="a home, or a copy of a ledger folder; can be said again, and then they are read as one",
    )
    forms = ["text", "json", "markdown", "html"]
    parser.add_argument("--format", choices=forms, default="text", help="(default: text; html: one page by itself)")
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="as --format json")
    parser.add_argument("--out", "-o", metavar="FILE", help="where to (default: standard output)")
