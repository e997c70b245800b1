# SPDX-License-Identifier: Apache-2.0
"""How a verb is added to the command line, options that several have, and the verbs of doors and of people."""

import argparse
import os
from pathlib import Path
from typing import Protocol

from onrecord.ledger.place import LOGS


class Verbs(Protocol):  # what `add_subparsers` returns has no public name
    """Where verbs are added."""

    def add_parser(self, name: str, *, help: str, description: str) -> argparse.ArgumentParser:  # noqa: A002
        """Add one."""
        ...


_MOST_CALLS = 1000  # that a self-test times


def verb(verbs: Verbs, name: str, about: str, module: str, *, home: bool = True) -> argparse.ArgumentParser:
    """Add a verb whose function is `name` in `onrecord.cli.<module>`, imported only when it is used.

    It takes `--home`, which goes before ONRECORD_HOME for all that it does and starts, unless it has no `home`, or an
    option of its own for that.
    """

    def run(options: argparse.Namespace) -> int:
        from importlib import import_module

        if home and options.home is not None:
            os.environ["ONRECORD_HOME"] = str(options.home.absolute())
        return int(getattr(import_module(f"onrecord.cli.{module}"), name)(options))

    parser = verbs.add_parser(name, help=about, description=about)
    parser.set_defaults(verb=run)
    if home:
        parser.add_argument("--home", type=folder, metavar="DIR", help="the home (default: that of ONRECORD_HOME)")
    return parser


def folder(text: str) -> Path:
    """Return the folder that an option names. An empty text, as of a variable that is not set, would be this folder."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty; name a folder")
    return Path(text)


def add_log(parser: argparse.ArgumentParser) -> None:
    """Add the option that says which log."""
    parser.add_argument("--log", default="calls", choices=LOGS, help="which log (default: calls)")


def add_despite(parser: argparse.ArgumentParser) -> None:
    """Add the option that goes on with a log that is not sound."""
    about = "go on with a log that verify finds not to be sound; that goes into the log security"
    parser.add_argument("--despite-verdict", action="store_true", help=about)


def add_gateway(verbs: Verbs) -> None:
    """Add `onrecord gateway`."""
    parser = verb(verbs, "gateway", "put MCP servers that speak Streamable HTTP on the record", "gateway")
    parser.description = (
        "Serves each [[upstream]] of the settings at its path below [gateway] listen, until it is told to end: with "
        "SIGTERM once calls that are open have ended, with a second one at once."
    )
    _add_settings(parser)


def add_init(verbs: Verbs) -> None:
    """Add `onrecord init`."""
    parser = verb(verbs, "init", "write rules for the tools of a server, to be reviewed", "manifest")
    parser.usage = "onrecord init [--out FILE] [--merge | --force] [OPTIONS] URL | -- COMMAND…"
    parser.description = (
        "Asks the server at URL, or starts the one of COMMAND, for its list of tools, and writes one [[tool]] for "
        "each: what is inferred as values, which change nothing, and what is proposed as comments. No tool is called."
    )
    parser.add_argument(
        "--out", "-o", metavar="FILE", help="where to (default: onrecord.toml in the home; - for stdout)"
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--merge", action="store_true", help="add to a file that is there what it leaves unsaid")
    how.add_argument("--force", action="store_true", help="write a file that is there anew; the old one is kept")
    _add_server(parser)


def add_readiness(verbs: Verbs) -> None:
    """Add `onrecord readiness`."""
    parser = verb(verbs, "readiness", "say for each tool of a server what its rule lacks", "manifest")
    parser.usage = "onrecord readiness [--config FILE] [--json] [OPTIONS] URL | -- COMMAND…"
    parser.description = (
        "Asks the server at URL, or starts the one of COMMAND, for its list of tools, and says for each what is set, "
        "what is inferred, what is missing and what to write. No tool is called. Exit code 1: a tool of tier 3 or 4 "
        "lacks something."
    )
    _add_settings(parser)
    parser.add_argument("--json", action="store_true")
    _add_server(parser)


def add_login(verbs: Verbs) -> None:
    """Add `onrecord login`."""
    parser = verb(verbs, "login", "log in at your issuer, by a code and a browser", "login")
    parser.description = (
        "Puts an ID token where wrapped servers' processes read it, and keeps a refresh token in the home, for this "
        "account alone. Exit code 1: a person has to log in, or the ID token does not hold. 2: it could not be done."
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--status", action="store_true", help="say who is logged in, and until when; ask nobody to")
    how.add_argument("--refresh", action="store_true", help="get another ID token, without a person; for a timer")
    how.add_argument("--keep", action="store_true", help="do that whenever one is about to expire, until told to end")
    _add_settings(parser)
    parser.add_argument("--json", action="store_true", help="print how the log-in stands as JSON")


def add_logout(verbs: Verbs) -> None:
    """Add `onrecord logout`."""
    parser = verb(verbs, "logout", "forget the log-in, here and at the issuer", "login")
    _add_settings(parser)


def add_selftest(verbs: Verbs) -> None:
    """Add `onrecord selftest`."""
    parser = verb(verbs, "selftest", "send a canary with planted secrets through each real door", "selftest")
    parser.description = (
        "Starts onrecord run, the gateway and a server on the SDK with a tool of our own behind them, calls it in both "
        "eras of the protocol, and looks whether the calls are on the record, redacted and verified, and what that "
        "cost. They stay there, under the name onrecord-selftest. Exit code 0: all of it holds. 1: something does not, "
        "or could not be looked at. 2: the self-test could not be run."
    )
    about = "only this one; can be said again (default: all that can be tried here)"
    parser.add_argument("--door", action="append", choices=["stdio", "gateway", "sdk"], help=about)
    parser.add_argument(
        "--deadline", metavar="TIME", type=duration, default=30, help="for all answers of a door (default: 30s)"
    )
    _add_token(parser, "for the gateway")
    parser.add_argument(
        "--calls", metavar="N", type=_count, default=10, help="calls that are timed; each is recorded (default: 10)"
    )
    _add_settings(parser)
    parser.add_argument("--json", action="store_true")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 <= int(text) <= _MOST_CALLS:
        raise argparse.ArgumentTypeError(f"give a number from 0 to {_MOST_CALLS}")
    return int(text)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (default: onrecord.toml in the home)")


def _add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--server-id", metavar="ID", help="name of the server on the record (default: its command, or host)"
    )
    parser.add_argument(
        "--timeout", metavar="TIME", type=duration, default=60, help="for the server to answer in (default: 1m)"
    )
    _add_token(parser, "for the URL")
    parser.add_argument("--allow-http", action="store_true", help="ask another host over http, in the clear")
    about = "a server that speaks Streamable HTTP, or the one to start"
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="URL | -- COMMAND…", help=about)
    parser.set_defaults(again=parser.parse_args)  # for what stands after a URL


def _add_token(parser: argparse.ArgumentParser, what_for: str) -> None:
    about = f"environment variable with a bearer token {what_for}"
    parser.add_argument("--token-env", metavar="NAME", help=about)
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="file of your own with one")


def duration(text: str) -> int:
    """Return the seconds that an option says: 15m, 1h, 2d."""
    from onrecord.cli.times import duration_s

    return duration_s(text)
