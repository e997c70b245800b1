# SPDX-License-Identifier: Apache-2.0
"""What a statement may be made of: each kind of part, and what may be said of it. All else is refused.

Both matter: a part that is allowed may have a property that is not, such as SELECT … INTO. So the properties are named
too. Counts and depth are limited, since a short text can be worked out for ever.
"""

import math

from sqlglot import exp

from onrecord.errors import OnRecordError

TABLE = "audit_events"
_MOST_TABLES, _MOST_STARS, _MOST_NODES, _MOST_NAMES = 12, 3, 6_000, 40
_DEEPEST = 100
_LONGEST_NUMBER = 18  # digits; more may not fit into 64 bits
_HOW = ("this", "expression", "expressions")
_QUERY = ("with_", "order", "limit", "offset")

_SHAPE: dict[type[exp.Expr], tuple[str, ...]] = {
    exp.Select: (*_QUERY, "expressions", "distinct", "from_", "joins", "where", "group", "having"),
    exp.Union: (*_QUERY, "this", "expression", "distinct"),
    exp.Except: (*_QUERY, "this", "expression", "distinct"),
    exp.Intersect: (*_QUERY, "this", "expression", "distinct"),
    exp.Subquery: (*_QUERY, "this", "alias"),
    exp.With: ("expressions",),
    exp.CTE: ("this", "alias"),
    exp.From: _HOW,
    exp.Where: _HOW,
    exp.Group: ("expressions",),
    exp.Having: _HOW,
    exp.Order: ("expressions",),
    exp.Ordered: ("this", "desc", "nulls_first"),
    exp.Limit: ("expression",),
    exp.Offset: ("expression",),
    exp.Distinct: ("expressions",),
    exp.Join: ("this", "on", "using", "side", "kind"),
    exp.Table: ("this", "alias", "joins"),
    exp.TableAlias: ("this", "columns"),
    exp.Alias: ("this", "alias"),
    exp.Column: ("this", "table"),
    exp.Identifier: ("this", "quoted"),
    exp.Star: (),
    exp.Literal: ("this", "is_string"),
    exp.Null: (),
    exp.Boolean: _HOW,
    exp.Paren: _HOW,
    exp.Window: ("this", "partition_by", "order", "spec", "over"),
    exp.WindowSpec: ("kind", "start", "start_side", "end", "end_side"),
    exp.Filter: _HOW,
}
_OPERATORS: dict[type[exp.Expr], tuple[str, ...]] = {
    **dict.fromkeys((exp.And, exp.Or, exp.Not, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE), _HOW),
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul, exp.IntDiv, exp.Mod, exp.Neg), _HOW),
    **dict.fromkeys((exp.Is, exp.Like, exp.ILike), ("this", "expression", "negate")),
    exp.DPipe: ("this", "expression", "safe"),
    exp.Div: ("this", "expression", "typed", "safe"),
    exp.In: ("this", "expressions", "query"),
    exp.Between: ("this", "low", "high"),
    exp.Exists: _HOW,
    exp.Case: ("this", "ifs", "default"),
    exp.If: ("this", "true", "false"),
    exp.Cast: ("this", "to"),
    exp.TryCast: ("this", "to", "safe", "requires_string"),
    exp.DataType: ("this", "nested"),
}
FUNCTIONS: dict[type[exp.Func], tuple[str, ...]] = {
    exp.Count: ("this", "big_int"),
    **dict.fromkeys((exp.Sum, exp.Avg, exp.Min, exp.Max), ("this",)),
    **dict.fromkeys((exp.Lower, exp.Upper, exp.Abs, exp.Nullif), _HOW),
    exp.Coalesce: _HOW,
    exp.Length: ("this",),
    exp.Substring: ("this", "start", "length"),
    exp.Trim: ("this", "expression", "position"),
    exp.Round: ("this", "decimals", "casts_non_integer_decimals"),
    exp.Concat: ("expressions", "safe", "coalesce"),
    exp.RowNumber: (),
    exp.Rank: (),
    exp.DenseRank: (),
    exp.Lag: ("this", "offset", "default"),
    exp.Lead: ("this", "offset", "default"),
    exp.PercentileDisc: _HOW,
}
_ALLOWED: dict[type[exp.Expr], tuple[str, ...]] = {**_SHAPE, **_OPERATORS, **FUNCTIONS}
_TYPES = frozenset({"INT", "BIGINT", "DOUBLE", "VARCHAR", "TEXT"})
_JOINS = frozenset(
    {("", ""), ("", "INNER"), ("LEFT", ""), ("LEFT", "OUTER"), ("", "CROSS"), ("RIGHT", ""), ("FULL", "")}
)


def refused(why: str) -> OnRecordError:
    """Return the error for what is not allowed."""
    return OnRecordError(f"refused: {why}; only SELECT over {TABLE} is answered, and nothing is ever changed")


def check_allowed(tree: exp.Query) -> None:
    """Raise OnRecordError unless a statement is made of what is allowed only."""
    names = {cte.alias for cte in tree.find_all(exp.CTE)}
    counts: dict[type[exp.Expr], int] = {}
    for number, node in enumerate(tree.walk()):
        if number > _MOST_NODES or node.depth > _DEEPEST:
            raise OnRecordError("the statement is too long, or nested too deeply")
        counts[type(node)] = counts.get(type(node), 0) + 1
        _check(node)
        if isinstance(node, exp.Table):
            _check_table(node, names)
    if counts.get(exp.Table, 0) > _MOST_TABLES:
        raise refused(f"it names {counts[exp.Table]} tables, and may name {_MOST_TABLES}")
    if sum(_is_all(star) for star in tree.find_all(exp.Star)) > _MOST_STARS:
        raise refused(f"it asks for * more than {_MOST_STARS} times")
    for select in tree.find_all(exp.Select):
        _check_names(select)


def _is_all(star: exp.Star) -> bool:
    return isinstance(star.parent, exp.Select | exp.Column)


def _called(name: str) -> str:
    """Return what a function is called in the dialect that statements are in."""
    return "quantile_disc" if name == "percentile_disc" else name


def _check(node: exp.Expr) -> None:
    allowed = _ALLOWED.get(type(node))
    if allowed is None:
        if isinstance(node, exp.Func):
            name = node.name if isinstance(node, exp.Anonymous) else node.sql_name()
            known = ", ".join(sorted(_called(each.sql_name().lower()) for each in FUNCTIONS))
            raise refused(f"the function {name[:40].lower()} is not on the list: {known}")
        raise refused(f"{node.key.upper()} is not on the list of what may be used")
    for name, value in node.args.items():
        if name not in allowed and value not in (None, False, [], ""):
            raise refused(f"{name.upper().rstrip('_')} may not be said of {node.key.upper()}")
    why = _fault(node) or _set_fault(node) or _call_fault(node)
    if why is not None:
        raise refused(why)


def _fault(node: exp.Expr) -> str | None:
    """Say what is wrong with a part whose kind is allowed."""
    match node:
        case exp.CTE() if not isinstance(node.this, exp.Select | exp.SetOperation):
            return f"{node.this.key.upper()} in WITH is no question"
        case exp.CTE() if node.alias.lower() == TABLE:
            return f"WITH may not give another meaning to {TABLE}"
        case exp.DataType() if node.this.name not in _TYPES:
            return f"the type {node.sql()[:40]} is not known here; there are: {', '.join(sorted(_TYPES))}"
        case exp.Join() if (node.side, node.kind) not in _JOINS:
            return f"{f'{node.side} {node.kind}'.strip()} is no join that may be used"
        case exp.Limit() | exp.Offset() if not _is_number(node.expression):
            return "LIMIT and OFFSET take a number"
        case exp.Select() if not node.expressions:
            return "SELECT names nothing"
        case exp.Literal() if not node.is_string and not _is_short(node.name):
            return f"a number may have {_LONGEST_NUMBER} digits, and be as large as 64 bits hold"
        case exp.Distinct() if isinstance(node.parent, exp.Func) and len(node.expressions) != 1:
            return "DISTINCT in a function is of one column"
        case exp.Is() if not isinstance(node.expression, exp.Null | exp.Boolean):
            return "IS is followed by NULL, TRUE or FALSE"
        case exp.TableAlias() if node.columns and isinstance(node.parent, exp.Table):
            return "a table here has no other names for its columns"
        case _:
            return None


def _set_fault(node: exp.Expr) -> str | None:
    """Say what is wrong with a part of a statement that joins the rows of several."""
    if isinstance(node, exp.Except | exp.Intersect) and not node.args.get("distinct"):
        return f"{node.key.upper()} ALL is not known to all engines"
    if isinstance(node, exp.Subquery) and isinstance(node.parent, exp.SetOperation):
        return f"what {node.parent.key.upper()} joins stands in no brackets, which not all engines read; use WITH"
    return None


def _call_fault(node: exp.Expr) -> str | None:
    """Say what is wrong with a function, or an operator that is taken for one, that is on the list."""
    match node:
        case exp.Like() | exp.ILike() if not _is_text(node.expression):
            return "LIKE takes a text in quotes"
        case exp.Substring() if not all(_is_number(node.args.get(name), least) for name, least in _FROM_TO):
            return "substring takes numbers, the first of them at least 1"
        case exp.Round() if not _is_number(node.args.get("decimals")):
            return "round takes a number of digits"
        case exp.Trim() if node.args.get("position"):
            return "trim is of both ends"
        case exp.Count() if node.this is None:
            return "count takes a column or *"
        case exp.PercentileDisc() if not _is_share(node.expression) or isinstance(node.parent, exp.Window):
            return "quantile_disc takes a column and a number from 0 to 1, without OVER"
        case exp.PercentileDisc() if isinstance(node.this, exp.Distinct):
            return "quantile_disc is of all values"
        case exp.Lag() | exp.Lead() if not _is_number(node.args.get("offset")):
            return "lag and lead take a number of rows"
        case _:
            return None


_FROM_TO = (("start", 1), ("length", 0))


def _is_short(number: str) -> bool:
    return sum(map(str.isdigit, number)) <= _LONGEST_NUMBER and math.isfinite(float(number))


def _is_number(node: object, least: int = 0) -> bool:
    if node is None:
        return True
    return isinstance(node, exp.Literal) and node.is_int and int(node.name) >= least


def _is_text(node: object) -> bool:
    return isinstance(node, exp.Literal) and node.is_string


def _is_share(node: object) -> bool:
    return isinstance(node, exp.Literal) and node.is_number and 0 <= float(node.name) <= 1


def _check_table(node: exp.Table, names: set[str]) -> None:
    if node.args.get("db") or node.args.get("catalog") or not isinstance(node.this, exp.Identifier):
        raise refused(f"{node.sql(dialect='duckdb')[:60]} is not a table here")
    if node.name.lower() != TABLE and node.name not in names:
        raise refused(f"there is no table {node.name[:60]}")


def _check_names(select: exp.Select) -> None:
    """Refuse names that stand for what stands before them in the same list: engines differ, and they multiply."""
    given: set[str] = set()
    for each in select.expressions:
        for column in each.find_all(exp.Column):
            if not column.table and column.name.lower() in given:
                raise refused(
                    f"{column.name[:40]} stands for two things; write the name of the table before the column"
                )
        if isinstance(each, exp.Alias):
            given.add(each.alias.lower())
    later = [select.args.get(name) for name in ("where", "group", "having", "order")]
    used = [column for part in later if part is not None for column in part.find_all(exp.Column)]
    if sum(not column.table and column.name.lower() in given for column in used) > _MOST_NAMES:
        raise refused("the names that it gives are used too often")
