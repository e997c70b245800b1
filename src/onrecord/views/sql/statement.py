# SPDX-License-Identifier: Apache-2.0
"""Reads a statement in SQL before any engine does: one SELECT over `audit_events`, made of known parts.

What is allowed is named; all else is refused. No other table, no function that is not on the list, nothing that writes,
names a file, changes a setting or goes on for ever. A statement-type check would not do: in some engines a SELECT may
hold a DELETE. What is allowed is written anew for the engine from what was understood, so none reads what we did not.

Statements are in the dialect of DuckDB, whose common part is that of PostgreSQL.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from sqlglot import exp, parse
from sqlglot.errors import ParseError, SqlglotError

from onrecord.errors import NotVerified, OnRecordError
from onrecord.ledger.clock import parse_time
from onrecord.views.columns import BY_NAME, COLUMNS
from onrecord.views.question import FILTERS, NUMBERS, Condition, Question
from onrecord.views.sql.allowed import TABLE, check_allowed, refused
from onrecord.views.sql.dialects import Dialect, written
from onrecord.views.sql.meaning import Kind, kinds_of, understood

LONGEST = 20_000  # characters
_DEEPEST = 200  # brackets; the parser goes down for each
_EVER = (-(2**63), 2**63)
_TIME = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d{1,6})?Z?)?")
_BROKEN = (SqlglotError, AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError)
"""What a parser raises for texts that it was not made for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A statement that may be asked: which columns it reads, and which events it can't do without.

    `question` is about all events that the answer can depend on, and perhaps more. `asked` is what was asked, without
    comments; `names` and `kinds` are of the columns of the answer.
    """

    tree: exp.Query
    asked: str
    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    columns: tuple[str, ...]
    question: Question

    @property
    def tables(self) -> frozenset[str]:
        """The names that it gives to tables and subqueries."""
        return frozenset(alias.name for alias in self.tree.find_all(exp.TableAlias))

    def text(self, dialect: Dialect, rows: int | None = None) -> str:
        """Return the statement for an engine, which is to answer with so many rows at most."""
        return written(self.tree, dialect, rows)


def read_statement(text: str) -> Statement:
    """Return the statement that `text` is. Raises OnRecordError, which says what is refused, and why."""
    if len(text) > LONGEST:
        raise OnRecordError(f"the statement has {len(text)} characters, and may have {LONGEST}")
    if "\x00" in text or any("\ud800" <= each <= "\udfff" for each in text):
        raise OnRecordError("the statement is no text: it has a NUL, or bytes that are not UTF-8")
    if _depth(text) > _DEEPEST:
        raise OnRecordError("the statement is nested too deeply")
    asked = _parsed(text)
    try:
        check_allowed(asked)
        _check_columns(asked)
        tree = understood(asked)
        return Statement(
            tree=tree,
            asked=asked.sql(dialect="duckdb", comments=False),
            names=tuple(_names(tree)),
            kinds=tuple(kinds_of(tree)),
            columns=tuple(_columns(tree)),
            question=_question(tree),
        )
    except RecursionError:
        raise OnRecordError("the statement is nested too deeply") from None
    except _BROKEN as e:
        raise refused(
            f"it can't be understood: {str(e).splitlines()[0][:200] if str(e) else type(e).__name__}"
        ) from None


def _depth(text: str) -> int:
    depth = deepest = 0
    for each in text:
        if each in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif each in ")]}":
            depth -= 1
    return deepest


def _parsed(text: str) -> exp.Query:
    try:
        trees = [tree for tree in parse(text, dialect="duckdb") if tree is not None]
    except RecursionError:
        raise OnRecordError("the statement is nested too deeply") from None
    except _BROKEN as e:
        found = e.errors[0].get("highlight") if isinstance(e, ParseError) and e.errors else ""
        near = f", near {found[:60]!r}" if found else ""
        raise OnRecordError(f"this is no SQL that can be read{near}; ask with SELECT … FROM {TABLE}") from None
    if len(trees) != 1:
        raise OnRecordError(f"give one statement, not {len(trees)}")
    tree = trees[0].unnest()
    if not isinstance(tree, exp.Select | exp.SetOperation):
        raise refused(f"{tree.key.upper()} is no question")
    return tree


def _names(tree: exp.Query) -> Iterator[str]:
    """Yield what the columns of an answer are called, no two alike."""
    given: set[str] = set()
    for name in tree.named_selects:
        number, unique = 1, name
        while unique in given:
            number += 1
            unique = f"{name}_{number}"
        given.add(unique)
        yield unique


def _check_columns(tree: exp.Query) -> None:
    """Raise OnRecordError for a column that there isn't, and name one that may be meant."""
    own = {alias.alias.lower() for alias in tree.find_all(exp.Alias)}
    own |= {each.name.lower() for alias in tree.find_all(exp.TableAlias) for each in alias.args.get("columns") or ()}
    for column in tree.find_all(exp.Column):
        name = column.name.lower()
        if name not in BY_NAME and name not in own and not isinstance(column.this, exp.Star):
            near = get_close_matches(name, [*BY_NAME, *own], n=1)
            hint = {"user": "user_id", "tool": "tool_name", "server": "server_id"}.get(name, near[0] if near else "")
            meant = f"; did you mean {hint}?" if hint else ""
            raise OnRecordError(f"there is no column {column.name[:60]} in {TABLE}{meant}")


def _columns(tree: exp.Query) -> Iterator[str]:
    """Yield the columns of the record that a statement reads; perhaps one more that another table has, too."""
    read = {column.name for column in tree.find_all(exp.Column)}
    for each in COLUMNS:
        if each.name in read:
            yield each.name


def _question(tree: exp.Query) -> Question:
    """Return what narrows the events that a statement needs: what its one condition on them demands of each."""
    tables = [table for table in tree.find_all(exp.Table) if table.name == TABLE]
    if len(tables) != 1:
        return Question()
    select = tables[0].find_ancestor(exp.Select)
    if select is None or select.args.get("joins") or not isinstance(where := select.args.get("where"), exp.Where):
        return Question()
    conditions: list[Condition] = []
    since_us, until_us = _EVER
    for part in where.this.flatten() if isinstance(where.this, exp.And) else [where.this]:
        column = part.this
        if not isinstance(column, exp.Column) or column.table != tables[0].alias_or_name:
            continue
        if (found := _condition(part, column.name)) is not None:
            conditions.append(found)
        begin, end = _span(part, column.name)
        since_us, until_us = max(since_us, begin), min(until_us, end)
    return Question(
        conditions=tuple(conditions),
        since_us=None if since_us == _EVER[0] else since_us,
        until_us=None if until_us == _EVER[1] else until_us,
    )


def _span(part: exp.Expr, name: str) -> tuple[int, int]:
    """Return the microseconds since 1970 between which events are that meet a condition on their time.

    A day is added at each end for `timestamp`: texts are compared there, not times, and one may be of another zone.
    """
    if isinstance(part, exp.Between):
        low, high = part.args["low"], part.args["high"]
    elif isinstance(part, exp.GT | exp.GTE):
        low, high = part.expression, None
    elif isinstance(part, exp.LT | exp.LTE):
        low, high = None, part.expression
    else:
        return _EVER
    if name == "ts":
        begin, end = (_number(each) for each in (low, high))
        return (_EVER[0] if begin is None else begin), (_EVER[1] if end is None else end + 1)
    if name != "timestamp":
        return _EVER
    begin, end = (_instant_us(each) for each in (low, high))
    return (_EVER[0] if begin is None else begin - _MARGIN_US), (_EVER[1] if end is None else end + _MARGIN_US)


_MARGIN_US = 86_400_000_000


def _number(literal: object) -> int | None:
    return int(literal.name) if isinstance(literal, exp.Literal) and literal.is_int else None


def _instant_us(literal: object) -> int | None:
    if not isinstance(literal, exp.Literal) or not literal.is_string or not _TIME.fullmatch(literal.name):
        return None
    try:
        return parse_time(literal.name[:10] + (literal.name[10:].removesuffix("Z") or "T00:00:00") + "+00:00")
    except NotVerified:
        return None


def _condition(part: exp.Expr, name: str) -> Condition | None:
    """Return the same as a condition, where it is a column that is one of some texts or numbers."""
    if name not in FILTERS or not isinstance(part, exp.EQ | exp.In):
        return None
    given = [part.expression] if isinstance(part, exp.EQ) else part.expressions
    if not given or not all(isinstance(each, exp.Literal) for each in given):
        return None
    if all(each.is_string for each in given) and name not in NUMBERS:
        return Condition(column=name, values=tuple(each.name for each in given))
    if all(each.is_int for each in given) and name in NUMBERS:
        return Condition(column=name, values=tuple(int(each.name) for each in given))
    return None
