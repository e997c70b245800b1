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
from onrecord.cli.install_options import add_install
from onrecord.cli.policy_options import add_policy
from onrecord.cli.query_options import add_query
from onrecord.cli.terminal import Parser, say
from onrecord.cli.tools_options import add_options
from onrecord.cli.verbs import Verbs as _Verbs
from onrecord.cli.verbs import add_gateway, add_init, add_login, add_logout, add_readiness, add_selftest, folder
from onrecord.cli.verbs import verb as _verb
from onrecord.errors import CommandError, OnRecordError
from onrecord.ledger.place import LOGS
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
    parser = Parser(
        prog="onrecord",
        description="The audit layer for MCP: every call on the record, redacted, chained, signed.",
        epilog="ONRECORD_HOME, or --home of a verb, names the folder of ledger and keys (default: the platform's data "
        "folder), ONRECORD_CACHE that of compiled rules (default: its cache folder).",
    )
    parser.add_argument("--version", action="version", version=f"onrecord {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB")
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
        _add_verify,
        _add_watch,
        _add_prove,
        _add_export,
        _add_keys,
        _add_recorder,
        _add_doctor,
        add_selftest,
        _add_ledger,
        _add_anchor,
        _add_witness,
        _add_redact,
        _add_tools,
    ):
        add(verbs)
    add_query(verbs)
    add_policy(verbs, _verb)
    add_approvals(verbs)
    add_authenticators(verbs)
    add_install(verbs)
    return parser


def _add_log(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--log", default="calls", choices=LOGS, help="which log (default: calls)")


def _add_despite(parser: argparse.ArgumentParser) -> None:
    about = "go on with a log that verify finds not to be sound; that goes into the log security"
    parser.add_argument("--despite-verdict", action="store_true", help=about)


def _add_run(verbs: _Verbs) -> None:
    parser = _verb(verbs, "run", "put a stdio MCP server on the record", "run", home=False)
    parser.usage = "onrecord run [--server-id ID] [--home DIR] [--config FILE] [--despite-verdict] -- COMMAND…"
    parser.add_argument("--server-id", metavar="ID", help="name of the server on the record (default: its command)")
    parser.add_argument("--home", type=folder, metavar="DIR", help="the home (default: that of ONRECORD_HOME)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (default: onrecord.toml in the home)")
    _add_despite(parser)
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
    _add_log(parser)
    parser.add_argument("--json", action="store_true", help="the lines as they are on the record")


def _add_show(verbs: _Verbs) -> None:
    parser = _verb(verbs, "show", "show one event, or all events of one call or approval", "read")
    parser.add_argument("which", metavar="SEQ|EVENT_ID|CALL_ID|APPROVAL_ID")
    _add_log(parser)
    parser.add_argument("--json", action="store_true", help="the lines as they are on the record")


def _add_tag(verbs: _Verbs) -> None:
    parser = _verb(verbs, "tag", "print the tag that a value has on the record", "tag")
    parser.description = (
        "Reads the value from standard input, never from the command line, which others can see. "
        "Then: onrecord tail --tag TAG"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (default: onrecord.toml in the home)")


def _add_verify(verbs: _Verbs) -> None:
    parser = _verb(verbs, "verify", "say what became of a log, offline", "verify")
    parser.description = (
        "Exit code 0: intact. 3: a proof or a bundle of which all holds: partial, as it is a part of a log. "
        "1: anything else, and the verdict says what. 2: it could not be told. Without a view from outside the best "
        "verdict on a log is unanchored; with one, intact, and how far that view reaches."
    )
    parser.add_argument(
        "path", nargs="?", type=Path, help="a log, a home, a proof or a bundle (default: all of this home)"
    )
    parser.add_argument("--log", choices=LOGS, help="only this log, and no other one in its place")
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="VKEY",
        help="public key, or a file of them, oldest first (default: this home's)",
    )
    parser.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a checkpoint kept elsewhere",
    )
    parser.add_argument(
        "--max-age", metavar="TIME", help="fail where the newest entry is older than that: 15m, 1h, 2d", type=_duration
    )
    parser.add_argument(
        "--witness", action="append", default=[], metavar="VKEY", help="believe what this witness has cosigned"
    )
    parser.add_argument(
        "--tsa-root", action="append", default=[], type=Path, metavar="FILE", help="believe timestamps that lead to it"
    )
    parser.add_argument("--allow-unanchored", action="store_true", help="exit 0 for that verdict too, and only for it")
    parser.add_argument("--json", action="store_true")


def _duration(text: str) -> int:
    from onrecord.cli.times import duration_s

    return duration_s(text)


def _add_watch(verbs: _Verbs) -> None:
    parser = _verb(verbs, "watch", "verify the logs of this home again and again, and raise the alarm", "watch")
    parser.description = (
        "An alarm, or a finding (see alerts), is printed, recorded in the security log, and given to the command of "
        "--exec as JSON. Also records the daily review of who looked at the record, and anchors the logs where the "
        "settings name witnesses or timestamp authorities. Exit code 1: there was an alarm."
    )
    parser.add_argument("--every", metavar="TIME", type=_duration, default=5, help="between two looks (default: 5s)")
    parser.add_argument(
        "--whole", metavar="TIME", type=_duration, default=3600, help="between two whole verifications (default: 1h)"
    )
    parser.add_argument(
        "--anchor", metavar="TIME", type=_duration, default=3600, help="between two views from outside (default: 1h)"
    )
    parser.add_argument("--once", action="store_true", help="look once, and end")
    parser.add_argument("--exec", metavar="COMMAND", help="run this at each alarm; the alarm is on its standard input")
    parser.add_argument("--json", action="store_true")


def _add_prove(verbs: _Verbs) -> None:
    parser = _verb(verbs, "prove", "write one entry with its proof, to be checked anywhere, offline", "prove")
    parser.add_argument("which", metavar="SEQ|EVENT_ID")
    parser.add_argument("-o", "--out", metavar="FILE", help="where to (default: SEQ.tlog-proof here; - for stdout)")
    _add_log(parser)
    parser.add_argument("--json", action="store_true")


def _add_export(verbs: _Verbs) -> None:
    parser = _verb(verbs, "export", "write chosen entries with their proofs, as an evidence bundle", "export")
    parser.description = (
        "What is chosen must fit every option that is given. Entries that are not signed yet are left out."
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="a folder to make, or a file that ends in .zip")
    parser.add_argument("--all", action="store_true", help="every entry, unless others are chosen")
    parser.add_argument("--seq", action="append", default=[], metavar="A-B,C", help="entries in these places")
    parser.add_argument("--call", metavar="CALL_ID", help="entries of this call")
    parser.add_argument("--user", metavar="NAME", help="entries of this person; an account name or a pseudonym")
    parser.add_argument("--tool", metavar="TOOL", help="entries of this tool")
    parser.add_argument("--type", metavar="EVENT_TYPE", help="entries of this kind")
    parser.add_argument("--since", metavar="TIME", help="entries of this time or later (UTC unless it says otherwise)")
    parser.add_argument("--until", metavar="TIME", help="entries before this time")
    _add_log(parser)
    parser.add_argument("--json", action="store_true")


def _add_keys(verbs: _Verbs) -> None:
    parser = _verb(verbs, "keys", "show the public keys that verify this home's log, or make a new pair", "keys")
    parser.add_argument("action", nargs="?", choices=["show", "rotate"], default="show", help="default: show")
    _add_despite(parser)
    _add_log(parser)
    parser.add_argument("--json", action="store_true")


def _add_recorder(verbs: _Verbs) -> None:
    about = "keep the ledger for other processes, under an account of its own if wanted"
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


def _add_ledger(verbs: _Verbs) -> None:
    parser = _verb(verbs, "ledger", "close a log that can no longer be written, and begin a successor", "ledger")
    parser.add_argument("action", choices=["reopen"])
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why; it goes on the record")
    parser.add_argument("--json", action="store_true")


def _add_anchor(verbs: _Verbs) -> None:
    parser = _verb(verbs, "anchor", "get views of the log from outside: cosignatures, timestamps, a copy", "anchor")
    parser.description = (
        "Shows the newest checkpoint to witnesses and timestamp authorities, and keeps what they sign beside the log. "
        "Without options, those of onrecord.toml ([[witness]], [timestamp]); with none at all, prints the checkpoint. "
        "Exit code 0: all of it was done. 1: some was not, or the log was rolled back or forked."
    )
    parser.add_argument(
        "--witness", action="append", default=[], metavar="URL=VKEY", help="ask this witness to cosign; repeatable"
    )
    parser.add_argument(
        "--timestamp", action="append", default=[], metavar="URL", help="ask this authority (RFC 3161); repeatable"
    )
    parser.add_argument(
        "--tsa-root", action="append", default=[], type=Path, metavar="FILE", help="certificate it must lead to"
    )
    _add_log(parser)
    parser.add_argument("--to", type=Path, metavar="FILE", help="put a copy here, if it extends the one that is there")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (default: onrecord.toml in the home)")
    parser.add_argument("--json", action="store_true")


def _add_witness(verbs: _Verbs) -> None:
    parser = _verb(
        verbs, "witness", "be a witness: cosign the checkpoints of logs that only grow", "witness", home=False
    )
    parser.add_argument("--listen", default="127.0.0.1:8474", metavar="HOST:PORT", help="(default: 127.0.0.1:8474)")
    parser.add_argument("--state", required=True, type=Path, metavar="DIR", help="its key and what it has seen")
    parser.add_argument(
        "--log",
        action="append",
        required=True,
        metavar="VKEY_OR_FILE",
        help="public key of a log, or its file; repeatable, also for keys of one log",
    )
    parser.add_argument("--name", default="", metavar="NAME", help="of a new witness, as witness.example.com/w1")


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
    add_options(_verb(verbs, "tools", "show pinned tool definitions and what changed, and accept changes", "tools"))


if __name__ == "__main__":
    sys.exit(main())
