# SPDX-License-Identifier: Apache-2.0
"""What a statement answers: names, rows, and whether there were more than were wanted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from onrecord.errors import OnRecordError
from onrecord.event.call import Json
from onrecord.views.sql.meaning import Kind
from onrecord.views.sql.statement import Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much an answer may take: rows of it, and seconds for the statement itself."""

    rows: int = 1_000
    seconds: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The rows of an answer. `more` says that it goes on."""

    names: tuple[str, ...]
    rows: list[tuple[Json, ...]]
    more: bool


def answered(statement: Statement, rows: Sequence[Sequence[Any]], bounds: Bounds) -> Answer:
    """Return the rows that an engine gives as the answer. Raises OnRecordError where a number is too large for it."""
    made = [tuple(map(_value, row, statement.kinds)) for row in rows[: bounds.rows]]
    return Answer(names=statement.names, rows=made, more=len(rows) > bounds.rows)


def _value(value: Any, kind: Kind) -> Json:
    if value is None:
        return None
    if kind == "truth":
        return bool(value)
    if kind == "number":
        value = float(value)
    if isinstance(value, float) and (kind == "integer" or not math.isfinite(value)):
        raise OnRecordError("the statement cannot be answered: a number becomes too large")
    return value


def too_slow(bounds: Bounds) -> OnRecordError:
    """Return the error for a statement that takes too long."""
    return OnRecordError(
        f"the statement took longer than {bounds.seconds:g} s; narrow it, or give it a longer --timeout"
    )


def failed(why: str) -> OnRecordError:
    """Return the error for what an engine says of a statement."""
    return OnRecordError(f"the statement cannot be answered: {why.splitlines()[0] if why else 'no reason is given'}")
