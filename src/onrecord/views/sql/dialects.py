# SPDX-License-Identifier: Apache-2.0
"""A statement written for an engine, so that each means the same by it.

Fractions are binary in all of them, what is divided by nothing is NULL, LIKE takes no more time than the text is long,
and what SQLite lacks, or does in its own way, has the name of a function that `functions.py` gives it.
"""

from typing import Literal, TypeAlias

from sqlglot import ErrorLevel, exp

from onrecord.views.sql.functions import like_pattern, lower
from onrecord.views.sql.meaning import kind_of

Dialect: TypeAlias = Literal["sqlite", "duckdb", "clickhouse", "postgres"]


def written(tree: exp.Query, dialect: Dialect, rows: int | None = None) -> str:
    """Return a statement for an engine, which is to answer with so many rows at most."""
    tree = tree.copy()
    if rows is not None:
        limit = tree.args.get("limit")
        if limit is None or int(limit.expression.name) > rows:
            tree.set("limit", exp.Limit(expression=exp.Literal.number(rows)))
    made: exp.Expr = tree.transform(_alike, copy=False)
    if dialect == "sqlite":
        made = made.transform(_for_sqlite, copy=False)
    elif dialect == "duckdb":
        made = made.transform(_for_duckdb, copy=False)
    return made.sql(dialect=dialect, comments=False, unsupported_level=ErrorLevel.RAISE)


def _alike(node: exp.Expr) -> exp.Expr:
    """Return a part in the form that all engines take alike."""
    if isinstance(node, exp.Literal) and node.is_number and not node.is_int:
        text = repr(float(node.name))
        return exp.Literal.number(text if "e" in text else f"{text}e0")
    if isinstance(node, exp.ILike):
        return exp.Like(this=exp.Lower(this=node.this), expression=exp.Literal.string(lower(node.expression.name)))
    return node


def _for_duckdb(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Div | exp.IntDiv | exp.Mod) and not isinstance(node.expression, exp.Nullif):
        node.set("expression", exp.Nullif(this=node.expression, expression=exp.Literal.number(0)))
    if isinstance(node, exp.Like) and "_" in node.expression.name and node.expression.name.count("%") > 1:
        pattern = exp.Literal.string(like_pattern(node.expression.name))
        return exp.Anonymous(this="regexp_full_match", expressions=[node.this, pattern])
    if isinstance(node, exp.DataType) and node.this == exp.DataType.Type.INT:
        return exp.DataType.build("BIGINT")
    return node


def _for_sqlite(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.IntDiv):
        return exp.Anonymous(this="int_div", expressions=[node.this, node.expression])
    if isinstance(node, exp.Cast):
        if kind_of(node.this) in ("truth", "text", "nothing"):
            return exp.Paren(this=node.this)
        made = {"DOUBLE": "to_number", "VARCHAR": "to_text", "TEXT": "to_text"}.get(node.to.this.name, "to_integer")
        if made == "to_integer" and isinstance(node, exp.TryCast):
            made = "try_to_integer"
        return exp.Anonymous(this=made, expressions=[node.this])
    return node
