# SPDX-License-Identifier: Apache-2.0
"""What a statement means: each name resolved, each part of one kind, each group said by what it is grouped by.

Engines guess where a statement leaves something open, and each guesses otherwise: what a text and a number have in
common, which row of a group a column is of, which of several rows a subquery stands for. So nothing may be open.
"""

from typing import Literal, TypeAlias

from sqlglot import exp
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, traverse_scope

from onrecord.views.columns import COLUMNS
from onrecord.views.sql.allowed import TABLE, refused

Kind: TypeAlias = Literal["text", "integer", "number", "truth", "nothing"]

_DECLARED = {"text": "VARCHAR", "json": "VARCHAR", "integer": "BIGINT", "boolean": "BOOLEAN"}
_SCHEMA: dict[str, object] = {TABLE: {column.name: _DECLARED[column.kind] for column in COLUMNS}}
_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("VARCHAR", "TEXT", "CHAR", "NVARCHAR"), "text"),
    **dict.fromkeys(("INT", "BIGINT", "SMALLINT", "TINYINT", "INT128", "UBIGINT", "UINT", "HUGEINT"), "integer"),
    **dict.fromkeys(("DOUBLE", "DECIMAL", "FLOAT"), "number"),
    "BOOLEAN": "truth",
    "NULL": "nothing",
}
_NUMBERS = frozenset({"integer", "number"})
_LONGEST_NAME = 60
_LARGEST = 5_000  # columns that one may stand for
_KEPT = (exp.Min, exp.Max, exp.PercentileDisc, exp.Lag, exp.Lead, exp.Nullif, exp.Abs, exp.Sum, exp.Round)
_COMPARED = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)
_COUNTED = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Neg, exp.Abs, exp.Round, exp.Sum, exp.Avg)
_WRITTEN = (exp.Lower, exp.Upper, exp.Length, exp.Substring, exp.Trim, exp.Like, exp.ILike, exp.DPipe, exp.Concat)


def understood(tree: exp.Query) -> exp.Query:
    """Return a statement with each name resolved, and checked. Raises OnRecordError, SqlglotError."""
    tree = tree.copy()
    tree.transform(_positive, copy=False)  # never the statement itself, so it stays in its place
    for select in tree.find_all(exp.Select):
        select.set("expressions", [_named(each) for each in select.expressions])
    tree = qualify(tree, schema=_SCHEMA, dialect="duckdb", quote_identifiers=True)
    _check_growth(tree)
    tree = annotate_types(tree, schema=_SCHEMA, dialect="duckdb")
    for node in tree.walk():
        _check_kinds(node)
        if isinstance(node, exp.Select):
            _check_groups(node)
        if isinstance(node, exp.Subquery):
            _check_single(node)
    return tree


def _check_growth(tree: exp.Query) -> None:
    """Raise OnRecordError where columns that stand for others become too much, as an engine writes them out."""
    sizes: dict[int, list[int]] = {}

    def size_of(node: exp.Expr, scope: Scope) -> int:
        size = 1
        for column in node.find_all(exp.Column):
            source = scope.sources.get(column.table)
            of = source.expression if isinstance(source, Scope) else None
            if isinstance(of, exp.Query) and column.name in of.named_selects:
                size += sizes.get(id(of), [1] * len(of.selects))[of.named_selects.index(column.name)]
            else:
                size += 1
        if size > _LARGEST:
            raise refused("columns that stand for others stand for too much")
        return size

    for scope in traverse_scope(tree):
        query = scope.expression
        if isinstance(query, exp.Select):
            sizes[id(query)] = [size_of(each, scope) for each in query.expressions]
            for name in ("where", "group", "having", "order"):
                if (part := query.args.get(name)) is not None:
                    size_of(part, scope)
        elif isinstance(query, exp.SetOperation):
            sides = [sizes.get(id(side.unnest()), [1] * len(query.selects)) for side in (query.this, query.expression)]
            sizes[id(query)] = [max(pair) for pair in zip(*sides, strict=False)]


def kinds_of(tree: exp.Query) -> list[Kind]:
    """Return the kinds of the columns of an answer."""
    return [kind_of(each) for each in tree.selects]


def kind_of(node: exp.Expr) -> Kind:
    """Return what kind of value a part has. Raises OnRecordError where that can't be told."""
    if isinstance(node, exp.Null):
        return "nothing"
    if isinstance(node, exp.Alias | exp.Paren | exp.Filter):
        return kind_of(node.this)
    if isinstance(node, exp.Subquery):
        return kind_of(node.selects[0])
    if isinstance(node, exp.Window) and not isinstance(node.this, exp.Window):
        return kind_of(node.this)
    if isinstance(node, exp.Case | exp.Coalesce):
        return _common([kind_of(each) for each in _choices(node)], node)
    if isinstance(node, exp.Rank | exp.DenseRank | exp.RowNumber | exp.Count | exp.Length):
        return "integer"
    if isinstance(node, _KEPT):
        return kind_of(node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this)
    kind = _KINDS.get(node.type.this.name) if node.type is not None else None
    if kind is None:
        raise refused(f"it can't be told what kind of value {_shown(node)} has; write it with CAST")
    return kind


def _choices(node: exp.Case | exp.Coalesce) -> list[exp.Expr]:
    if isinstance(node, exp.Coalesce):
        return [node.this, *node.expressions]
    default = node.args.get("default")
    return [*(each.args["true"] for each in node.args["ifs"]), *([default] if default is not None else [])]


def _positive(node: exp.Expr) -> exp.Expr:
    """Return NOT in front of what is negated by itself."""
    if isinstance(node, exp.Is | exp.Like | exp.ILike) and node.args.get("negate"):
        node.set("negate", None)
        return exp.Not(this=node)
    return node


def _named(node: exp.Expr) -> exp.Expr:
    """Return a part of a SELECT with a name: what it is called, or what it says."""
    if isinstance(node, exp.Alias | exp.Column | exp.Star):
        return node
    name = node.sql(dialect="duckdb", normalize_functions="lower", comments=False)[:_LONGEST_NAME]
    if isinstance(node, exp.Subquery) and node.alias:
        name = node.alias
        node.set("alias", None)
    return exp.Alias(this=node, alias=exp.to_identifier(name, quoted=True))


def _shown(node: exp.Expr) -> str:
    return node.sql(dialect="duckdb", comments=False)[:_LONGEST_NAME]


def _common(kinds: list[Kind], node: exp.Expr) -> Kind:
    """Return the one kind that all have. Raises OnRecordError where there is none."""
    found: set[Kind] = {kind for kind in kinds if kind != "nothing"}
    if len(found) > 1 and found <= _NUMBERS:
        return "number"
    if len(found) > 1:
        raise refused(f"{_shown(node)} brings {' and '.join(sorted(found))} together; write one of them with CAST")
    return found.pop() if found else "nothing"


def _demand(node: exp.Expr, parts: list[exp.Expr], kinds: "frozenset[Kind]") -> None:
    for part in parts:
        if (kind := kind_of(part)) not in kinds and kind != "nothing":
            raise refused(f"{_shown(part)} in {_shown(node)} is of the kind {kind}, not {' or '.join(sorted(kinds))}")


_TRUTH: "frozenset[Kind]" = frozenset({"truth"})
_TEXT: "frozenset[Kind]" = frozenset({"text"})
_INTEGER: "frozenset[Kind]" = frozenset({"integer"})
_NUMBER: "frozenset[Kind]" = frozenset({"integer", "number"})


def _check_kinds(node: exp.Expr) -> None:
    """Raise OnRecordError unless a part brings together what can be."""
    _demand(node, _tested(node), _TRUTH)
    match node:
        case exp.Case():
            if node.this is not None:
                _common([kind_of(each) for each in (node.this, *(part.this for part in node.args["ifs"]))], node)
            kind_of(node)
        case exp.In():
            _check_in(node)
        case exp.Between():
            _common([kind_of(each) for each in (node.this, node.args["low"], node.args["high"])], node)
        case exp.Coalesce():
            kind_of(node)
        case exp.Nullif():
            _common([kind_of(node.this), kind_of(node.expression)], node)
        case exp.Lag() | exp.Lead() if node.args.get("default") is not None:
            _common([kind_of(node.this), kind_of(node.args["default"])], node)
        case exp.IntDiv() | exp.Mod():
            _demand(node, [node.this, node.expression], _INTEGER)
        case exp.Cast():
            _check_cast(node)
        case exp.SetOperation():
            _check_sides(node)
        case _:
            _check_operands(node)


def _tested(node: exp.Expr) -> list[exp.Expr]:
    """Return the parts of a part that have to be true or false."""
    match node:
        case exp.And() | exp.Or():
            return [node.this, node.expression]
        case exp.Not() | exp.Where() | exp.Having():
            return [node.this]
        case exp.Join() if node.args.get("on") is not None:
            return [node.args["on"]]
        case exp.Filter():
            return [node.expression.this]
        case exp.Is() if isinstance(node.expression, exp.Boolean):
            return [node.this]
        case exp.Case() if node.this is None:
            return [each.this for each in node.args["ifs"]]
        case _:
            return []


def _check_operands(node: exp.Expr) -> None:
    operands = [part for part in (node.this, node.args.get("expression")) if isinstance(part, exp.Expr)]
    if isinstance(node, _COMPARED):
        _common([kind_of(each) for each in operands], node)
    elif isinstance(node, _COUNTED):
        _demand(node, [part.expressions[0] if isinstance(part, exp.Distinct) else part for part in operands], _NUMBER)
    elif isinstance(node, _WRITTEN):
        _demand(node, [*operands, *node.expressions], _TEXT)


def _check_in(node: exp.In) -> None:
    query = node.args.get("query")
    if query is None:
        _common([kind_of(each) for each in (node.this, *node.expressions)], node)
    elif len(query.selects) != 1:
        raise refused("a subquery behind IN has one column")
    else:
        _common([kind_of(node.this), kind_of(query.selects[0])], node)


def _check_cast(node: exp.Cast) -> None:
    kind, wanted = kind_of(node.this), _KINDS[node.to.this.name]
    if kind not in ("nothing", wanted) and (kind == "text" or (kind == "truth" and wanted != "integer")):
        raise refused(f"{_shown(node)}: what is of the kind {kind} is not made {wanted} here")


def _check_sides(node: exp.SetOperation) -> None:
    left, right = node.this.selects, node.expression.selects
    if len(left) != len(right):
        raise refused(f"{node.key.upper()} of {len(left)} columns and of {len(right)}")
    for one, other in zip(left, right, strict=True):
        _common([kind_of(one), kind_of(other)], node)


def _check_single(node: exp.Subquery) -> None:
    """Raise OnRecordError where a subquery stands for a value, and may have several."""
    if isinstance(node.parent, exp.From | exp.Join | exp.SetOperation | exp.In | exp.Exists | exp.CTE | None):
        return
    query = node.this
    if len(query.selects) != 1:
        raise refused(f"{_shown(node)} stands for one value, and has {len(query.selects)} columns")
    limit = query.args.get("limit")
    if limit is not None and limit.expression.name in ("0", "1"):
        return
    if not isinstance(query, exp.Select) or query.args.get("group") or not _is_grouped(query):
        raise refused(f"{_shown(node)} stands for one value, and may have several; write LIMIT 1 in it")


def _is_grouped(select: exp.Select) -> bool:
    """Say whether a SELECT answers with groups, be it one of all rows."""
    parts = [
        *select.expressions,
        *(part for name in ("having", "order") if (part := select.args.get(name)) is not None),
    ]
    return select.args.get("group") is not None or any(_has_aggregate(part) for part in parts)


def _has_aggregate(node: exp.Expr) -> bool:
    if isinstance(node, exp.Query):
        return False
    if isinstance(node, exp.AggFunc) and not _in_window(node):
        return True
    return any(_has_aggregate(child) for child in node.iter_expressions())


def _in_window(node: exp.Expr) -> bool:
    parent = node.parent.parent if isinstance(node.parent, exp.Filter) else node.parent
    return isinstance(parent, exp.Window)


def _check_groups(select: exp.Select) -> None:
    """Raise OnRecordError where a group would have to say what only its events do."""
    if not _is_grouped(select):
        if select.args.get("having") is not None:
            raise refused("HAVING is of groups; use WHERE")
        return
    group = select.args.get("group")
    keys = {each.unnest() for each in group.expressions} if group is not None else set[exp.Expr]()
    mine = {source.alias_or_name for name in ("from_", "joins") for source in _sources(select.args.get(name))}
    for name in ("having", "order"):
        if (part := select.args.get(name)) is not None:
            _check_group(part, keys, mine)
    for each in select.expressions:
        _check_group(each, keys, mine)


def _sources(part: "exp.Expr | list[exp.Expr] | None") -> list[exp.Expr]:
    parts = part if isinstance(part, list) else [part] if part is not None else []
    return [each.this for each in parts]


def _check_group(node: exp.Expr, keys: set[exp.Expr], mine: set[str]) -> None:
    of_group = node.this if isinstance(node, exp.Filter) else node
    if node in keys or (isinstance(of_group, exp.AggFunc) and not _in_window(of_group)):
        return
    if isinstance(node, exp.Column) and node.table in mine:
        raise refused(f"{_shown(node)} is not said in GROUP BY, nor in a function over the group")
    for child in node.iter_expressions():
        _check_group(child, keys, mine)
