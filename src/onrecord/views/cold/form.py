# SPDX-License-Identifier: Apache-2.0
"""How each column of the record lies in a Parquet file, in the SQL of DuckDB: written so, and read back as it was.

Half of an event is chance: ids and digests, which no compression makes smaller. So those are the bytes that they stand
for: UUIDs, hex digits as a BLOB, and of `event_id` what its time does not tell already. What is not in the form that
this product writes is a text of its own column, `<name>_text`. `words` are stored only where they cannot be worked out
from the columns that are searched, because a text is not ASCII or has a word of more than 64 characters.
"""

from onrecord.views.columns import COLUMNS, SEARCHED
from onrecord.views.question import NUMBERS, SPANS, Condition, Question
from onrecord.views.words import LONGEST, Phrase

VERSION = 2  # of what follows; a file of another one is made again
MADE_OF = tuple(column for column in COLUMNS if column.name not in ("resource", "ts"))
"""The columns that are read from lines; the other two are made of them."""

_UUIDS = ("call_id", "correlation_id", "session_id", "approval_id", "repeats")
_HEX = ("trace_id", "span_id", "input_hash", "answers_hash", "prompt_hash")
_TYPES = {"integer": "BIGINT", "boolean": "INTEGER", "text": "VARCHAR", "json": "VARCHAR"}
_TIME = "strftime(make_timestamp(ts), '%Y-%m-%dT%H:%M:%S.%fZ')"
_SAID = f"concat_ws(' ', {', '.join(SEARCHED)})"
_WORDS = f"' ' || regexp_replace(lower({_SAID}), '[^a-z0-9]+', ' ', 'g') || ' '"

LONG_WORD = LONGEST + 1
"""Letters and digits in a row that make it necessary to store the words of a text."""


def types_of() -> dict[str, str]:
    """Return the columns of a line as DuckDB is to read them."""
    return {column.name: _TYPES[column.kind] for column in MADE_OF}


def stored() -> str:
    """Return what a SELECT writes of rows that have `ts`, `words` and the columns of a line."""
    parts = ["ts", "words", f"CASE WHEN {_TIME} <> timestamp THEN timestamp END AS timestamp_text"]
    for name in (column.name for column in MADE_OF):
        if name == "event_id":
            parts += _stored_event_id()
        elif name == "wseq":
            parts.append("wseq - seq AS wseq_less_seq")
        elif name in _UUIDS or name in _HEX:
            ours = (
                _is_uuid(name) if name in _UUIDS else f"coalesce(regexp_full_match({name}, '([0-9a-f]{{2}})+'), false)"
            )
            made = f"{name}::UUID" if name in _UUIDS else f"unhex({name})"
            parts.append(f"CASE WHEN {ours} THEN {made} END AS {name}")
            parts.append(f"CASE WHEN NOT {ours} THEN {name} END AS {name}_text")
        elif name != "timestamp":
            parts.append(name)
    return ", ".join(parts)


def _is_uuid(name: str) -> str:
    return f"coalesce(TRY_CAST({name} AS UUID)::VARCHAR = {name}, false)"


def _stored_event_id() -> list[str]:
    """Return the parts of a UUIDv7: its milliseconds behind those of `ts`, and the ten bytes that follow."""
    later = "TRY_CAST('0x' || substr(event_id, 1, 8) || substr(event_id, 10, 4) AS BIGINT) - ts // 1000"
    ours = f"({_is_uuid('event_id')} AND {later} BETWEEN -2147483647 AND 2147483647)"
    rest = "unhex(substr(event_id, 15, 4) || substr(event_id, 20, 4) || substr(event_id, 25, 12))"
    return [
        f"CASE WHEN {ours} THEN ({later})::INTEGER END AS event_id_ms",
        f"CASE WHEN {ours} THEN {rest} END AS event_id_rest",
        f"CASE WHEN NOT {ours} THEN event_id END AS event_id_text",
    ]


def shown(name: str) -> str:
    """Return what a column says, as an expression over a file."""
    if name == "timestamp":
        return f"coalesce(timestamp_text, {_TIME})"
    if name == "resource":
        return "coalesce(downstream_resource, resource_uri)"
    if name == "wseq":
        return "wseq_less_seq + seq"
    if name == "event_id":
        time, rest = "format('{:012x}', ts // 1000 + event_id_ms)", "lower(hex(event_id_rest))"
        parts = [f"substr({time}, 1, 8)", f"substr({time}, 9, 4)"]
        parts += [f"substr({rest}, {at}, {length})" for at, length in ((1, 4), (5, 4), (9, 12))]
        joined = " || '-' || ".join(parts)
        return f"coalesce({joined}, event_id_text)"
    if name in _UUIDS:
        return f"coalesce({name}::VARCHAR, {name}_text)"
    if name in _HEX:
        return f"coalesce(lower(hex({name})), {name}_text)"
    if name in SPANS:
        return f"ts // {SPANS[name]}"
    return name


def where(question: Question) -> tuple[str, list[str | int]]:
    """Return the condition on rows of a file that a question makes, and its values."""
    parts: list[str] = ["true"]
    values: list[str | int] = []
    for sql, given in [*map(_met, question.conditions), *map(_has, question.phrases)]:
        parts.append(sql)
        values += given
    for at_us, compared in ((question.since_us, ">="), (question.until_us, "<")):
        if at_us is not None:
            parts.append(f"ts {compared} ?")
            values.append(_bounded(at_us))
    return " AND ".join(parts), values


def _bounded(number: int) -> int:
    return max(-(2**63), min(number, 2**63 - 1))


def _met(condition: Condition) -> tuple[str, list[str | int]]:
    name = condition.column
    if not condition.values:
        return f"{shown(name)} IS NOT NULL", []
    if name in NUMBERS:
        numbers = [value for value in condition.values if isinstance(value, int) and _bounded(value) == value]
        return f"{name} IN ({_marks(numbers)})" if numbers else "false", [*numbers]
    texts = [value for value in condition.values if isinstance(value, str)]
    marks = _marks(texts)
    if name in _UUIDS:
        stored = f"{name} IN ({', '.join(['TRY_CAST(? AS UUID)'] * len(texts))})"
        return f"({stored} AND {name}::VARCHAR IN ({marks}) OR {name}_text IN ({marks}))", [*texts * 3]
    return f"{shown(name)} IN ({marks})", [*texts]


def _has(phrase: Phrase) -> tuple[str, list[str | int]]:
    """Return the condition that the words of a row have a phrase: first what is quick, and then what is exact."""
    asked = f" {' '.join(phrase.words)}{'' if phrase.prefix else ' '}"
    quick = " AND ".join([f"contains(lower({_SAID}), ?)"] * len(phrase.words))
    exact = f"contains(CASE WHEN words IS NULL THEN {_WORDS} ELSE ' ' || words || ' ' END, ?)"
    return f"(words IS NOT NULL OR ({quick})) AND {exact}", [*phrase.words, asked]


def _marks(values: list[str] | list[int]) -> str:
    return ", ".join("?" * len(values))
