# SPDX-License-Identifier: Apache-2.0
"""What is asked of the record: conditions that must all hold, a span of time, words; and what to make of what is found.

One form for every engine. `FILTERS` are the columns that a condition may name: those that each engine finds without
reading the lines. An engine answers with places (`seq`), newest first unless asked otherwise, or with groups.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from onrecord.views.columns import Value
from onrecord.views.words import Phrase

FILTERS: tuple[str, ...] = (
    "event_type",
    "phase",
    "action",
    "call_id",
    "correlation_id",
    "trace_id",
    "user_id",
    "tenant_id",
    "client_name",
    "client_ip",
    "session_id",
    "server_id",
    "tool_name",
    "resource",
    "risk_tier",
    "data_classification",
    "policy_decision",
    "policy_id",
    "policy_version",
    "approval_id",
    "approval_approver",
    "identity_assurance",
    "result_status",
    "error_type",
    "latency_us",
    "suspicious_signals",
)
"""Columns that conditions and groups may name, in the order in which an index holds them."""

NUMBERS = ("risk_tier", "latency_us")
"""Those of them that are numbers; the others are texts."""

SPANS = {"day": 86_400_000_000, "hour": 3_600_000_000}
"""Spans of time that groups may be of, besides columns, in microseconds."""

_YEAR_1_S = -62_135_596_800  # when the calendar begins

Measure: TypeAlias = Literal["count", "p50", "p95", "max"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A column says one of `values`. Without values: it says something."""

    column: str
    values: tuple[str | int, ...] = ()

    def holds(self, value: Value) -> bool:
        """Say whether it does where the column says `value`."""
        return value in self.values if self.values else value is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which events. `since_us` is included and `until_us` is not, both in microseconds since 1970."""

    conditions: tuple[Condition, ...] = ()
    since_us: int | None = None
    until_us: int | None = None
    phrases: tuple[Phrase, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Up to `limit` of the events that a question is about, newest or oldest first."""

    question: Question
    limit: int = 100
    oldest_first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """Those events in groups that say the same in the columns `by`, the `limit` largest by `measure`.

    All measures but `count` are of `latency_us`, by nearest rank, and only of events that have one.
    """

    question: Question
    by: tuple[str, ...]
    measure: Measure = "count"
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What a group says in the columns asked by, how many events it has, and what was measured."""

    key: tuple[Value, ...]
    count: int
    value: int


def span_text(at_us: int, span: str) -> str:
    """Return the day, as in 2026-11-21, or the hour, as in 2026-11-21T09, that begins at `at_us`."""
    when = datetime.fromtimestamp(max(at_us // 1_000_000, _YEAR_1_S), UTC).isoformat()
    return when[: 10 if span == "day" else 13]
