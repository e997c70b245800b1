# SPDX-License-Identifier: Apache-2.0
"""Rows on standard output: as a table for people, or as JSON, lines of JSON or CSV for programs.

All four are neutral, whoever chose the text: escapes in JSON, no formulas in CSV, no controls in a table.
"""

import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

from onrecord.cli.terminal import put, say, write
from onrecord.event.call import Json
from onrecord.rules.neutral import neutral
from onrecord.rules.rendering import csv_row, json_text

Form: TypeAlias = Literal["table", "json", "ndjson", "csv"]
FORMS: tuple[Form, ...] = ("table", "json", "ndjson", "csv")

_NO_END = 1 << 30
_WIDEST = 60  # characters of a cell in a table; the other forms have the rest


def write_rows(
    names: Sequence[str],
    rows: Iterable[Sequence[Json]],
    form: Form,
    *,
    widest: int = _WIDEST,
    expands: bool = False,
) -> int:
    """Write rows under their `names`, and return how many; a cell of a table has `widest` characters at most.

    A table that `expands` has a line for each column that says something where its rows are wider than the terminal.
    """
    if form == "table":
        return _write_table(names, list(rows), widest, terminal_width() if expands else _NO_END)
    count = 0
    if form == "csv":
        write(csv_row(names))
    elif form == "json":
        write("[")
    for count, row in enumerate(rows, 1):
        if form == "csv":
            write(csv_row(_text(cell) for cell in row))
        elif form == "ndjson":
            write(json_text(dict(zip(names, row, strict=True))) + "\n")
        else:
            write(("," if count > 1 else "") + json_text(dict(zip(names, row, strict=True))))
    if form == "json":
        write("]\n")
    return count


def terminal_width() -> int:
    """Return how many characters of a line the terminal shows; what is no terminal has no end."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _NO_END


def _write_table(names: Sequence[str], rows: Sequence[Sequence[Json]], widest: int, shown: int) -> int:
    cells = [[neutral(_text(cell), limit=widest) for cell in row] for row in rows]
    widths = [max([len(name), *(len(row[at]) for row in cells)]) for at, name in enumerate(names)]
    if rows and sum(widths) + 2 * (len(widths) - 1) > shown:
        return _write_expanded(names, rows, shown)
    numeric = [all(isinstance(row[at], int | float | None) for row in rows) for at in range(len(names))]
    if rows:
        put(_line(names, widths, numeric))
    for row in cells:
        put(_line(row, widths, numeric))
    return len(rows)


def _write_expanded(names: Sequence[str], rows: Sequence[Sequence[Json]], shown: int) -> int:
    """Write each row as lines of a name and a value, as psql does where it has no room; NULL has no line."""
    width = max(map(len, names))
    for number, row in enumerate(rows, 1):
        put(f"-[ row {number} ]".ljust(min(shown, width + _WIDEST), "-"))
        for name, cell in zip(names, row, strict=True):
            if cell is not None:
                put(f"{name:<{width}}  {neutral(_text(cell))}".rstrip())
    say("the rows are wider than this terminal, so each column has its line, and NULL has none; --format csv has rows")
    return len(rows)


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    shown = [
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, numeric, strict=True)
    ]
    return "  ".join(shown).rstrip()


def _text(cell: Json) -> str:
    return "" if cell is None else str(cell)
