# SPDX-License-Identifier: Apache-2.0
"""`onrecord`: the verbs, their options, and how they end.

Standard output is data, standard error is talk. Exit codes: 0 well, 1 the answer is bad news, 2 it
could not be done as asked; `run` ends as the wrapped server ends. An error is one line that says
what, where and what to do; a traceback is a defect of ours.
"""

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from onrecord.cli import streams
from onrecord.cli.approvals_options import add_approvals
from onrecord.cli.authenticators_options import add_authenticators
from onrecord.cli.evidence_options import add_evidence
from onrecord.cli.install_options import add_install
from onrecord.cli.overview import Overview
from onrecord.cli.policy_options import add_policy
from onrecord.cli.query_options import add_query
from onrecord.cli.terminal import say
from onrecord.cli.tools_options import add_options
from onrecord.cli.verbs import Verbs as _Verbs
from onrecord.cli.verbs import (
    add_despite,
    add_gateway,
    add_init,
    add_log,
    add_login,
    add_logout,
    add_readiness,
    add_selftest,
    folder,
)
from onrecord.cli.verbs import verb as _verb
from onrecord.errors import CommandError, OnRecordError
from onrecord.version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    streams.fill()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a character gets its number
    try:
        try:
            code = _run(arguments)
        except SystemExit:  # of argparse, which may have printed its help
            _flush()
            raise
        _flush()
        return code
    except CommandError as e:
        say(str(e))
        return e.exit_code
    except OnRecordError as e:
        say(str(e))
        return 2
    except BrokenPipeError:
        _forget_output()  # the reader had enough, as with `| head`
        return 0
    except OSError as e:
        _forget_output()
        say(f"{str(e.filename or 'standard output')[:200]}: {(e.strerror or type(e).__name__).lower()}")
        return 2
    except KeyboardInterrupt:
        return 130


def _run(arguments: Sequence[str] | None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    verb: Callable[[argparse.Namespace], int] | None = getattr(options, "verb", None)
    if verb is None:
        parser.print_help(sys.stderr)
        return 2
    return verb(options)


def _flush() -> None:
    """Write what is not yet written, while there is somebody who can say that it went wrong."""
    if not sys.stdout.closed:
        sys.stdout.flush()


def _forget_output() -> None:
    """Let what could not be written go nowhere, so that the interpreter does not try again at its end."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        return
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _parser() -> argparse.ArgumentParser:
    parser = Overview(prog="onrecord")
    parser.add_argument("--version", action="version", version=f"onrecord {__version__}")
    verbs = parser.verbs()
    for add in (
        _add_run,
        add_gateway,
        add_init,
        add_readiness,
        add_login,
        add_logout,
        _add_tail,
        _add_show,
        _add_tag,
        _add_recorder,
        _add_doctor,
        add_selftest,
        _add_redact,
        _add_tools,
    ):
        add(verbs)
    add_evidence(verbs)
    add_query(verbs)
    add_policy(verbs, _verb)
    add_approvals(verbs)
    add_authenticators(verbs)
    add_install(verbs)
    return parser


def _add_run(verbs: _Verbs) -> None:
    parser = _verb(verbs, "run", "put a stdio MCP server on the record", "run", home=False)
    parser.usage = "onrecord run [--server-id ID] [--home DIR] [--config FILE] [--despite-verdict] -- COMMAND…"
    parser.add_argument("--server-id", metavar="ID", help="name of the server on the record (default: its command)")
    parser.add_argument("--home", type=folder, metavar="DIR", help="the home (default: that of ONRECORD_HOME)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (default: onrecord.toml in the home)")
    add_despite(parser)
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND…", help="the server to start")


def _add_tail(verbs: _Verbs) -> None:
    parser = _verb(verbs, "tail", "show the newest events", "read")
    parser.add_argument("-n", "--lines", type=int, default=20, metavar="N", help="how many (default: 20)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on as events come")
    parser.add_argument("--user", metavar="NAME", help="only of this person; an account name or a pseudonym")
    parser.add_argument("--tool", metavar="TOOL", help="only of this tool")
    parser.add_argument(
        "--tag", metavar="TAG", help="only where a value with this tag was withheld (see: onrecord tag)"
    )
    add_log(parser)
    parser.add_argument("--json", action="store_true", help="the lines as they are on the record")


def _add_show(verbs: _Verbs) -> None:
    parser = _verb(verbs, "show", "show one event, or all events of one call or approval", "read")
    parser.add_argument("which", metavar="SEQ|EVENT_ID|CALL_ID|APPROVAL_ID")
    add_log(parser)
    parser.add_argument("--json", action="store_true", help="the lines as they are on the record")


def _add_tag(verbs: _Verbs) -> None:
    parser = _verb(verbs, "tag", "print the tag that a value has on the record", "tag")
    parser.description = (
        "Reads the value from standard input, never from the command line, which others can see. "
        "Then: onrecord tail --tag TAG"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (default: onrecord.toml in the home)")


def _add_recorder(verbs: _Verbs) -> None:
    about = "keep the ledger for other processes, by an account of its own"
    parser = verbs.add_parser("recorder", help=about, description=about)
    actions: _Verbs = parser.add_subparsers(metavar="ACTION", required=True)
    run = _verb(actions, "run", "accept entries over a socket until it is told to stop", "recorder")
    run.add_argument("--socket", type=Path, metavar="PATH", help="where to listen (default: recorder.sock in the home)")
    run.add_argument("--shared", action="store_true", help="let the group of this account connect too")
    run.add_argument("--config", type=Path, metavar="FILE", help="settings (default: onrecord.toml in the home)")
    install = _verb(
        actions, "install", "move ledger and key to an account that wrapped servers can't write", "recorder", home=False
    )
    install.description = (
        "As root. Moves the ledger and the signing keys of a home to an account of their own, and sets up a systemd "
        "service that keeps them. Pseudonyms and the key for digests stay. Without it the account of the wrapped "
        "servers can write the ledger, and every verdict says so."
    )
    install.add_argument("--home", type=folder, metavar="DIR", help="whose ledger (default: that of ONRECORD_HOME)")
    install.add_argument("--account", default="onrecord", metavar="NAME", help="made if missing (default: onrecord)")
    install.add_argument("--state", type=Path, default=Path("/var/lib/onrecord"), metavar="DIR", help="the new place")
    install.add_argument(
        "--units", type=Path, default=Path("/etc/systemd/system"), metavar="DIR", help="where systemd looks for units"
    )
    install.add_argument(
        "--python", type=Path, metavar="FILE", help="the interpreter (default: the one that runs this)"
    )
    install.add_argument("--dry-run", action="store_true", help="say each step, and take none")


def _add_doctor(verbs: _Verbs) -> None:
    parser = _verb(verbs, "doctor", "check this installation, and say what to mend", "doctor")
    parser.add_argument("--json", action="store_true")


def _add_redact(verbs: _Verbs) -> None:
    parser = _verb(verbs, "redact", "mask secrets and personal data in text, as the record would", "redact", home=False)
    parser.description = (
        "A filter: text comes in, and goes out with a label in place of each finding, line for line. Exit code 2: a "
        "line or a file could not be read, and the message says which; what came before it was written."
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help="(default: standard input, which is also -)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--fields", action="store_true", help="each line is JSON, and stays JSON; names tell of values")
    how.add_argument(
        "--explain",
        nargs="?",
        const="",
        action="append",
        metavar="TEXT",
        help="say what is found in TEXT, or in the input, and why",
    )
    how.add_argument("--list-rules", action="store_true", help="say which rules there are, and where they come from")
    how.add_argument("--check", action="store_true", help="say whether the rules of --rules are fine, and read nothing")
    parser.add_argument(
        "--json", action="store_true", help='lines of {"id", "text"} in; out, what is found in each, and where'
    )
    parser.add_argument(
        "--schema", type=Path, metavar="FILE", help="a JSON Schema that marks values, or a tool's definition"
    )
    parser.add_argument(
        "--class",
        dest="classification",
        choices=["low", "medium", "high", "critical"],
        help="low leaves personal data that is not sensitive by itself; the others find alike (default: medium)",
    )
    parser.add_argument(
        "--rules", action="append", default=[], type=Path, metavar="FILE", help="rules of your own, in TOML; repeatable"
    )


def _add_tools(verbs: _Verbs) -> None:
    add_options(_verb(verbs, "tools", "show pinned tool definitions and changes, and accept them", "tools"))


if __name__ == "__main__":
    sys.exit(main())
