# SPDX-License-Identifier: Apache-2.0
"""One line of what was measured, and the clocks that it is measured with.

Machines differ and are shared, so a figure stands beside one for the least that could be done, taken
in the same run; the best of several rounds counts, as every disturbance only adds.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A figure, and how many times `against` it is; how much of either is allowed, where that is said."""

    name: str
    value: float
    unit: str
    budget: float | None
    ratio: float
    against: str
    at_most: float | None = None  # times
    at_least: float | None = None  # times

    @property
    def kept(self) -> bool:
        """Whether figure and ratio are within their budgets, as far as they have one."""
        return (
            (self.budget is None or self.value <= self.budget)
            and (self.at_most is None or self.ratio <= self.at_most)
            and (self.at_least is None or self.ratio >= self.at_least)
        )


def cpu_us(work: Callable[[], object], count: int) -> float:
    """Return the microseconds of CPU that this process spends on each of `count` things that `work` does."""
    began = time.process_time_ns()
    work()
    return (time.process_time_ns() - began) / 1000 / count


def wall_us(work: Callable[[], object]) -> float:
    """Return the microseconds that pass while `work` is done once."""
    began = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - began) / 1000


def median(values: list[float]) -> float:
    """Return the middle of `values`."""
    return statistics.median(values)
