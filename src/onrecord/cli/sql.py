# SPDX-License-Identifier: Apache-2.0
"""`onrecord sql`: one SELECT over the record, which can change nothing."""

import sys
from argparse import Namespace

from onrecord.cli.accessed import accessed, answered
from onrecord.cli.index import answers
from onrecord.cli.output import write_rows
from onrecord.cli.query import say_remarks
from onrecord.cli.read import log_of
from onrecord.cli.terminal import say
from onrecord.errors import NotSupported, OnRecordError
from onrecord.settings import home_folder
from onrecord.views.tiers import Wide

_MOST_ROWS = 10_000_000
_LONGEST_S = 86_400
_WIDE = Wide(rows=50_000)  # a statement may read columns that the index does not have


def sql(options: Namespace) -> int:
    """Answer a statement."""
    try:
        from onrecord.views.sql import on_duckdb, on_sqlite
        from onrecord.views.sql.answer import Bounds
        from onrecord.views.sql.statement import LONGEST, read_statement
    except ModuleNotFoundError as e:
        raise NotSupported(f"onrecord sql needs {e.name}; install onrecord[sql], or onrecord[analytics]") from e
    if not 1 <= options.limit <= _MOST_ROWS or not 0 < options.timeout <= _LONGEST_S:
        raise OnRecordError(
            f"give a --limit of 1 to {_MOST_ROWS:,} rows, and a --timeout above 0 and up to {_LONGEST_S:,} seconds"
        )
    statement = read_statement(_standard_input(4 * LONGEST) if options.statement == "-" else options.statement)
    home = home_folder()
    log_of(home, options.log)
    bounds = Bounds(rows=options.limit, seconds=options.timeout)
    recorded = {"log": options.log, "statement": statement.asked}
    with answers(home, options.log, wide=_WIDE) as source:
        found = answered(
            [home],
            "sql",
            lambda: on_duckdb.answer(statement, source, bounds) or on_sqlite.answer(statement, source, bounds),
            **recorded,
        )
    accessed(home, "sql", **recorded, count=str(len(found.rows)))
    write_rows(found.names, found.rows, options.format, expands=True)
    say_remarks(source)
    if found.more:
        say(f"there is more; this is the limit of {options.limit} rows that --limit changes")
    return 0


def _standard_input(longest: int) -> str:
    """Return what comes there, and not more than one byte too many."""
    return sys.stdin.buffer.read(longest + 1).decode(errors="surrogateescape")
