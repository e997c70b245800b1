# SPDX-License-Identifier: Apache-2.0
"""A question as SQL, the same for each store but for what `Writing` writes.

What the truth is says `matching.fits`. Groups come measured, sorted and cut from the store; what makes two groups of
one size stand in order is the same as everywhere: the order of what they say.
"""

from collections.abc import Iterator, Sequence

from onrecord.views.columns import BY_NAME, Value
from onrecord.views.question import SPANS, Condition, Grouping, Listing, Question
from onrecord.views.stores.store import Writing
from onrecord.views.stores.table import FIRST


def places(listing: Listing, log: str, writing: Writing) -> str:
    """Return a statement for up to `limit` places: `ts`, `origin` and `seq`, in the order that is asked for."""
    order = "ASC" if listing.oldest_first else "DESC"
    chosen = f"SELECT ts, origin, seq FROM {writing.table} WHERE {_chosen(listing.question, log, writing)}"
    if listing.question.phrases:
        chosen = writing.sorted_first(chosen)
    return f"{chosen} ORDER BY ts {order}, origin {order}, seq {order} LIMIT {listing.limit}"


def whole(found: Sequence[tuple[int, str, int]], columns: Sequence[str], writing: Writing) -> str:
    """Return a statement for what the rows of some places say: `origin`, `seq` and `columns`."""
    begin, end = min(found)[0], max(found)[0]
    marks = ", ".join(
        f"({writing.value(ts)}, {writing.value(origin)}, {writing.value(seq)})" for ts, origin, seq in found
    )
    return (
        f"SELECT {', '.join(('origin', 'seq', *columns))} FROM {writing.table} "
        f"WHERE (ts, origin, seq) IN ({marks}) AND ts BETWEEN {begin} AND {end}"
    )


def count(question: Question, log: str, writing: Writing) -> str:
    """Return a statement for how many events a question is about."""
    return f"SELECT count(*) FROM {writing.table} WHERE {_chosen(question, log, writing)}"


def groups(grouping: Grouping, log: str, writing: Writing) -> str:
    """Return a statement for groups, the largest first: what they say, how many events, and what was measured."""
    by = [writing.span(SPANS[name]) if name in SPANS else name for name in grouping.by]
    keys = [f"k{number}" for number in range(len(by))]
    timed = grouping.measure != "count"
    measured = writing.measured(grouping.measure) if timed else "count(*)"
    chosen = _chosen(grouping.question, log, writing) + (" AND latency_us IS NOT NULL" if timed else "")
    cells = [f"{each} AS {key}" for each, key in zip(by, keys, strict=True)]
    cells += ["count(*) AS events", f"{measured} AS measured"]
    sql = f"SELECT {', '.join(cells)} FROM {writing.table} WHERE {chosen}"
    if by:
        sql += f" GROUP BY {', '.join(keys)}"
    order = ", ".join(["measured DESC", *(f"{key} ASC NULLS FIRST" for key in keys)])
    return f"SELECT * FROM ({sql}) AS found WHERE events > 0 ORDER BY {order} LIMIT {grouping.limit}"


def rows(question: Question, log: str, columns: Sequence[str], writing: Writing) -> str:
    """Return a statement for what events say in `columns`, oldest first."""
    chosen = _chosen(question, log, writing)
    return f"SELECT {', '.join(columns) or '1'} FROM {writing.table} WHERE {chosen} ORDER BY ts, origin, seq"


def _chosen(question: Question, log: str, writing: Writing) -> str:
    return " AND ".join(_parts(question, log, writing))


def _parts(question: Question, log: str, writing: Writing) -> Iterator[str]:
    yield f"log = {writing.value(log)}"
    if question.since_us is not None:
        yield f"ts >= {writing.value(question.since_us)}"
    if question.until_us is not None:
        yield f"ts < {writing.value(question.until_us)}"
    for condition in question.conditions:
        yield _met(condition, writing)
    for phrase in question.phrases:
        yield writing.has(phrase)


def _met(condition: Condition, writing: Writing) -> str:
    name = condition.column
    if not condition.values:
        return writing.says(name)
    if BY_NAME[name].kind == "integer":
        values = [value for value in condition.values if isinstance(value, int) and -(2**63) <= value < 2**63]
    else:
        values = [value for value in condition.values if isinstance(value, str) and _is_text(value)]
    return writing.is_one_of(name, values) if values else "1 = 0"


def _is_text(value: str) -> bool:
    """Say whether an event could say that: no event says nothing, or half of a character."""
    try:
        return bool(value.encode())
    except UnicodeEncodeError:
        return False


def said(name: str, cell: Value) -> Value:
    """Return what a cell says: an empty text says nothing."""
    return None if cell == "" and name not in FIRST else cell
