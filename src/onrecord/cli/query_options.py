# SPDX-License-Identifier: Apache-2.0
"""The verbs that ask the record: `query`, `search`, `stats` and `sql`, and their options."""

import argparse
from pathlib import Path
from typing import get_args

from onrecord.cli.alerts_options import add_alerts
from onrecord.cli.incident_options import add_incident
from onrecord.cli.output import FORMS
from onrecord.cli.verbs import Verbs, add_log, verb
from onrecord.views.forms.offered import EXPORTS
from onrecord.views.question import Measure
from onrecord.views.shipped import BY_ID, LIST

# option: the column that it is about, what stands for its value, and what events it asks for
CONDITIONS = {
    "user": ("user_id", "NAME", "of this person: an account name or a pseudonym"),
    "tool": ("tool_name", "TOOL", "of this tool"),
    "server": ("server_id", "SERVER", "at this server"),
    "resource": ("resource", "RESOURCE", "that read or acted on this resource"),
    "status": ("result_status", "STATUS", "that ended so: succeeded, failed, blocked, cancelled, timed_out…"),
    "decision": ("policy_decision", "DECISION", "decided so: allow, deny or needs_approval"),
    "tier": ("risk_tier", "TIER", "of this risk tier, 0 to 4"),
    "type": ("event_type", "TYPE", "of this kind: tool_call, resource_read, approval, security…"),
    "phase": ("phase", "PHASE", "in this phase of a call: attempt, decision, approval or result"),
    "client": ("client_name", "CLIENT", "from this client"),
    "tenant": ("tenant_id", "TENANT", "of this tenant"),
    "session": ("session_id", "ID", "of this connection"),
    "call": ("call_id", "ID", "of this call"),
    "correlation": ("correlation_id", "ID", "of this request of a user"),
    "trace": ("trace_id", "ID", "of this trace"),
    "approval": ("approval_id", "ID", "of this approval"),
    "error": ("error_type", "TYPE", "that failed so: tool_error, a JSON-RPC code…"),
}


def add_query(verbs: Verbs) -> None:
    """Add the verbs that ask the record, and those that tell what should be looked at."""
    add_alerts(verbs)
    parser = verb(verbs, "query", "show the events that are asked for, or count them", "query")
    parser.description = (
        "Every condition that is given must hold. Newest first. Exit code 1: there is nothing like that. Each answer "
        "goes on the access log, with what was asked."
    )
    _add_listing(parser)
    parser.add_argument(
        "--shipped",
        choices=[LIST, *BY_ID],
        metavar="ID",
        help=f"a question that auditors ask, which other options narrow; {LIST} shows them",
    )
    parser = verb(verbs, "search", "show the events that have words in them", "query")
    parser.description = (
        'Words must all be there; a "phrase" stands as it is, and a beginning* is enough. What was redacted is not '
        "found. The options of query narrow it."
    )
    parser.add_argument("words", nargs="+", metavar="WORDS")
    _add_listing(parser)
    parser = verb(verbs, "stats", "show the record in numbers", "query")
    _add_question(parser)
    parser.add_argument("--limit", type=int, default=10, metavar="N", help="rows of each table (default: 10)")
    add_log(parser)
    _add_sources(parser)
    parser.add_argument("--json", action="store_true")
    parser = verb(verbs, "sql", "answer one SELECT over the record", "sql")
    parser.description = (
        "The table is audit_events: a row for each event, a column for each of its fields, and ts, the time in "
        "microseconds. In the dialect of DuckDB. Nothing can be changed, and no other table or file be read."
    )
    parser.add_argument("statement", metavar="SELECT", help="- reads it from standard input")
    parser.add_argument("--limit", type=int, default=1000, metavar="N", help="rows, at most (default: 1000)")
    parser.add_argument("--timeout", type=float, default=30.0, metavar="SECONDS", help="(default: 30)")
    parser.add_argument("--format", choices=FORMS, default="table", help="(default: table)")
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="as --format json")
    add_log(parser)
    parser = verb(verbs, "index", "bring the index that questions are answered from up to date", "sending")
    parser.description = (
        "Every question does so first, and what the index lacks is read from the record. So this is needed by nobody "
        "but those who want the first question to be quick, too. What is in the index can be deleted at any time."
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on as events come")
    parser.add_argument("--rebuild", action="store_true", help="delete it, and make it anew; or send all of it again")
    parser.add_argument(
        "--to",
        type=_named,
        metavar="URL",
        help="send the events to this store instead, clickhouse://… or postgresql://…; store: the one of the settings",
    )
    parser.add_argument("--json", action="store_true")
    add_incident(verbs)


def _add_question(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which events are asked for."""
    for option, (_, metavar, about) in CONDITIONS.items():
        parser.add_argument(
            f"--{option}", action="append", default=[], metavar=metavar, help=f"events {about}; one of several by comma"
        )
    parser.add_argument("--since", metavar="TIME", help="events of this time or later: 30d, 12h, 2026-11-21, yesterday")
    parser.add_argument("--until", metavar="TIME", help="events before this time")


def _add_listing(parser: argparse.ArgumentParser) -> None:
    _add_question(parser)
    parser.add_argument("--limit", type=int, default=100, metavar="N", help="rows, at most (default: 100)")
    parser.add_argument("--oldest-first", action="store_true", help="the other way round")
    parser.add_argument("--count", action="store_true", help="print how many there are, and nothing else")
    parser.add_argument(
        "--by", type=_named, metavar="COLUMN,…", help="in groups that say the same there; day and hour are columns too"
    )
    parser.add_argument(
        "--measure",
        choices=get_args(Measure),
        help="of groups: how many, or the latency that so many percent do not exceed (default: count)",
    )
    parser.add_argument(
        "--columns",
        type=_named,
        metavar="COLUMN,…",
        help=f"which columns to show (default: the usual ones); {LIST} shows their names",
    )
    parser.add_argument(
        "--format",
        choices=(*FORMS, *EXPORTS),
        default="table",
        help="(default: table; ndjson: lines as on the record; ocsf and those behind it: in the form of a standard)",
    )
    add_log(parser)
    _add_sources(parser)
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="as --format json")


def _add_sources(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is asked."""
    parser.add_argument(
        "--also", action="append", default=[], type=Path, metavar="DIR", help="ask this home, or copy of a log, too"
    )
    parser.add_argument("--federated", action="store_true", help="ask the homes of federation.homes, too")
    parser.add_argument(
        "--from",
        dest="store",
        type=_named,
        metavar="URL",
        help="ask this store in place of the home; store: the one of the settings",
    )


def _named(text: str) -> str:
    """Return what an option names; one that names nothing, as an empty variable of a shell does, is an error."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"{text!r} names nothing; leave it out, or say what is meant")
    return text
