# SPDX-License-Identifier: Apache-2.0
"""The options of the verbs that prove what is on the record, and keep it provable.

What they do is in modules of their own, which are imported only when they are used.
"""

from pathlib import Path

from onrecord.cli.verbs import Verbs, add_despite, add_log, duration, verb
from onrecord.ledger.place import LOGS


def add_evidence(verbs: Verbs) -> None:
    """Add them all."""
    for add in (
        _add_verify,
        _add_watch,
        _add_prove,
        _add_export,
        _add_anchor,
        _add_witness,
        _add_keys,
        _add_ledger,
    ):
        add(verbs)


def _add_verify(verbs: Verbs) -> None:
    parser = verb(verbs, "verify", "say what became of a log, offline", "verify")
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
        "--max-age", metavar="TIME", help="fail where the newest entry is older than that: 15m, 1h, 2d", type=duration
    )
    parser.add_argument(
        "--witness", action="append", default=[], metavar="VKEY", help="believe what this witness has cosigned"
    )
    parser.add_argument(
        "--tsa-root", action="append", default=[], type=Path, metavar="FILE", help="believe timestamps that lead to it"
    )
    parser.add_argument("--allow-unanchored", action="store_true", help="exit 0 for that verdict too, and only for it")
    parser.add_argument("--json", action="store_true")


def _add_watch(verbs: Verbs) -> None:
    parser = verb(verbs, "watch", "verify the logs again and again, and raise the alarm", "watch")
    parser.description = (
        "An alarm, or a finding (see alerts), is printed, recorded in the security log, and given to the command of "
        "--exec as JSON. Also records the daily review of who looked at the record, and anchors the logs where the "
        "settings name witnesses or timestamp authorities. Exit code 1: there was an alarm."
    )
    parser.add_argument("--every", metavar="TIME", type=duration, default=5, help="between two looks (default: 5s)")
    parser.add_argument(
        "--whole", metavar="TIME", type=duration, default=3600, help="between two whole verifications (default: 1h)"
    )
    parser.add_argument(
        "--anchor", metavar="TIME", type=duration, default=3600, help="between two views from outside (default: 1h)"
    )
    parser.add_argument("--once", action="store_true", help="look once, and end")
    parser.add_argument("--exec", metavar="COMMAND", help="run this at each alarm; the alarm is on its standard input")
    parser.add_argument("--json", action="store_true")


def _add_prove(verbs: Verbs) -> None:
    parser = verb(verbs, "prove", "write one entry with its proof, to check anywhere, offline", "prove")
    parser.add_argument("which", metavar="SEQ|EVENT_ID")
    parser.add_argument("-o", "--out", metavar="FILE", help="where to (default: SEQ.tlog-proof here; - for stdout)")
    add_log(parser)
    parser.add_argument("--json", action="store_true")


def _add_export(verbs: Verbs) -> None:
    parser = verb(verbs, "export", "write chosen entries and their proofs as an evidence bundle", "export")
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
    add_log(parser)
    parser.add_argument("--json", action="store_true")


def _add_anchor(verbs: Verbs) -> None:
    parser = verb(verbs, "anchor", "get views of a log from outside: cosignatures, timestamps", "anchor")
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
    add_log(parser)
    parser.add_argument("--to", type=Path, metavar="FILE", help="put a copy here, if it extends the one that is there")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (default: onrecord.toml in the home)")
    parser.add_argument("--json", action="store_true")


def _add_witness(verbs: Verbs) -> None:
    parser = verb(
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


def _add_keys(verbs: Verbs) -> None:
    parser = verb(verbs, "keys", "show the public keys that verify a log, or make a new pair", "keys")
    parser.add_argument("action", nargs="?", choices=["show", "rotate"], default="show", help="default: show")
    add_despite(parser)
    add_log(parser)
    parser.add_argument("--json", action="store_true")


def _add_ledger(verbs: Verbs) -> None:
    parser = verb(verbs, "ledger", "close a log that can't be written any more, begin another one", "ledger")
    parser.add_argument("action", choices=["reopen"])
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why; it goes on the record")
    parser.add_argument("--json", action="store_true")
