# SPDX-License-Identifier: Apache-2.0
"""The options of `onrecord tools`. What it does is in `tools.py`, which is imported only when it is used."""

from argparse import ArgumentParser
from pathlib import Path


def add_options(parser: ArgumentParser) -> None:
    """Give `parser` the actions of the verb."""
    parser.description = (
        "A definition is pinned when its tool is first listed. Another one waits until it is accepted, and with "
        '[definitions] changed = "block" its tool is not called until then. list: all pins. diff: what changed. '
        "accept: believe what the server lists now. forget: pin anew what is listed next. Exit code 1: something waits."
    )
    parser.add_argument("action", choices=["list", "diff", "accept", "forget"])
    parser.add_argument("names", nargs="*", metavar="TOOL", help="(default for list and diff: all)")
    parser.add_argument("--server", metavar="ID", help="only tools of this server")
    parser.add_argument("--all", action="store_true", help="accept or forget all of them")
    parser.add_argument("--digest", metavar="HEX", help="accept only the definition whose digest begins so")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (default: onrecord.toml in the home)")
    parser.add_argument("--json", action="store_true")
