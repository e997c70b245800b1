# SPDX-License-Identifier: Apache-2.0
"""Groups of events that are being counted, and which of them are the largest."""

from array import array
from collections.abc import Sequence

from onrecord.errors import OnRecordError
from onrecord.views.columns import Value
from onrecord.views.question import Group, Grouping, Measure


class Groups:
    """Groups that are being counted, also over several engines. `timed` ones keep the latency of each event."""

    def __init__(self, *, timed: bool) -> None:
        self.timed = timed
        self.counts: dict[tuple[Value, ...], int] = {}
        self.latencies: dict[tuple[Value, ...], array[int]] = {}

    def add(self, key: tuple[Value, ...], number: int) -> None:
        """Count `number` more events of a group; of a timed one, one more, which took so many microseconds."""
        if self.timed:
            try:
                self.latencies.setdefault(key, array("q")).append(number)
            except OverflowError as e:
                raise OnRecordError(f"{number} is no latency that was measured; run: onrecord verify") from e
        else:
            self.counts[key] = self.counts.get(key, 0) + number

    def take(self, others: "Groups") -> None:
        """Count in what another engine has counted."""
        for key, count in others.counts.items():
            self.counts[key] = self.counts.get(key, 0) + count
        for key, latencies in others.latencies.items():
            self.latencies.setdefault(key, array("q")).extend(latencies)

    def largest(self, grouping: Grouping) -> list[Group]:
        """Return what is asked for, the largest first; of those that are alike, in the order of what they say."""
        if self.timed:
            found = [
                Group(key=key, count=len(all_us), value=_measured(all_us, grouping.measure))
                for key, all_us in self.latencies.items()
            ]
        else:
            found = [Group(key=key, count=count, value=count) for key, count in self.counts.items()]
        found.sort(key=lambda group: (-group.value, [(said is not None, said) for said in group.key]))
        return found[: grouping.limit]


_PERCENT = {"p50": 50, "p95": 95, "max": 100}


def _measured(latencies: "array[int]", measure: Measure) -> int:
    return nearest_rank(sorted(latencies), _PERCENT[measure])


def nearest_rank(ordered: Sequence[int], percent: int) -> int:
    """Return the smallest of `ordered` that at least `percent` of a hundred of them do not exceed."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
