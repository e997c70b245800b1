# SPDX-License-Identifier: Apache-2.0
"""The options of `onrecord install` and `onrecord uninstall`. What they do is in `install.py`."""

from argparse import ArgumentParser
from pathlib import Path

from onrecord.cli.verbs import Verbs, verb
from onrecord.clients.known import CLIENTS, GENERIC


def add_install(verbs: Verbs) -> None:
    """Add both verbs."""
    parser = verb(verbs, "install", "put the servers of your MCP clients on the record", "install")
    parser.description = (
        "Finds the configurations of MCP clients, those of this account and of the project in this folder, shows what "
        "would change, and lets onrecord run start each server. What it replaces is kept in the home. Close the "
        "clients first; they read their configuration when they start. Exit code 1: something is left that needs you."
    )
    parser.add_argument(
        "--onrecord",
        metavar="COMMAND",
        help="how configurations start onrecord (default: the whole path of this one)",
    )
    _add_choice(parser)
    parser = verb(verbs, "uninstall", "take the servers of your MCP clients off the record again", "install")
    parser.description = (
        "Restores each configuration byte for byte. Where it was edited since, only what onrecord install wrote is "
        "undone. Exit code 1: something is left that needs you."
    )
    _add_choice(parser)


def _add_choice(parser: ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="show what would change, and change nothing")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this server; repeatable")
    parser.add_argument(
        "--except", action="append", default=[], dest="but", metavar="NAME", help="not this server; repeatable"
    )
    parser.add_argument(
        "--client",
        action="append",
        default=[],
        choices=[client.name for client in (*CLIENTS, GENERIC)],
        metavar="NAME",
        help=f"only of this client; repeatable: {', '.join(client.name for client in CLIENTS)}",
    )
    parser.add_argument(
        "--config", action="append", default=[], type=Path, metavar="FILE", help="this configuration; repeatable"
    )
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="print what is found of each server as JSON")
