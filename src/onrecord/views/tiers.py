# SPDX-License-Identifier: Apache-2.0
"""Which engine has which part of a log for a question.

Single events, and counts of few of them, come from the hot index, which is brought up to date first. Where another
process is at that, or it may not be written, nothing is missing: what it doesn't have is read from the Parquet files
that there are, and else from the lines themselves.

Counts and groups over long spans come from the Parquet files of sealed segments, which are made where they are missing,
and from the others for all that is not in those. Where that fails, as on a full disk, the index answers alone.
"""

from bisect import bisect_left
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from onrecord.errors import LedgerBusy, NotVerified, OnRecordError, plainly
from onrecord.ledger.clock import parse_time
from onrecord.ledger.lines import first_seq, is_tombstone, read_header, segment_files, whole_lines
from onrecord.ledger.place import Home
from onrecord.views.answers import Answers
from onrecord.views.cold.duck import Cold
from onrecord.views.cold.parquet import Part, forget, is_installed, make_parts, parts_of
from onrecord.views.engine import Engine
from onrecord.views.index.feed import catch_up
from onrecord.views.index.layout import IDS, files_of, first_of, folder_of
from onrecord.views.index.period import Period
from onrecord.views.question import SPANS, Question
from onrecord.views.scan import Scan

FEED_S = 2.0  # to wait for another process that feeds the index
_NARROW = frozenset({*IDS, "user_id", "resource"})  # what the hot index looks up
_NO_END = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Wide:
    """From where on the files of the past answer: so many events, or so many days with a tenth of those."""

    rows: int = 1_000_000
    days: int = 62


@contextmanager
def answers(
    home: Home,
    log: str,
    *,
    since_us: int = 0,
    told: Callable[[int], None] | None = None,
    wide: Wide | None = None,
) -> Generator[Answers]:
    """Give what answers questions about a log, with an index from about `since_us` on.

    `told` hears how far it is with what it makes first. Raises OnRecordError, OSError.
    """
    with suppress(OSError):
        forget(home, log)
    with ExitStack() as stack:
        yield Answers(home.log(log), _Tiers(home, log, stack, since_us=since_us, told=told, wide=wide or Wide()))


class _Tiers:
    """The plan for one log, as it was when it was first asked."""

    def __init__(
        self,
        home: Home,
        log: str,
        stack: ExitStack,
        *,
        since_us: int,
        told: Callable[[int], None] | None,
        wide: Wide,
    ) -> None:
        self._home, self._log = home, log
        self._folder = home.log(log)
        self._stack = stack
        self._since_us = since_us
        self._told = told
        self._wide, self._few = wide, wide.rows // 20
        self._fed = False
        self._hot: dict[tuple[int, int], list[Engine]] = {}
        self._usable = is_installed()
        self.remarks: list[str] = []

    def engines(self, question: Question) -> Sequence[Engine]:
        """Return the hot index, and what there is for what it does not have."""
        self._feed()
        span = self._span(question)
        if span not in self._hot:
            older = first_of(files[0]) if (files := files_of(folder_of(self._home, self._log))) else _NO_END
            if self._usable and min(older, span[1]) - span[0] >= self._few:
                self._make(span[0], min(older, span[1]))
            self._hot[span] = list(self._indexed(*span))
        return self._hot[span]

    def past(self, question: Question) -> tuple[Cold, Sequence[Engine]] | None:
        """Return the files of the past and what has all the rest, or None where those are not the way."""
        if not self._usable or question.phrases:
            return None
        if any(each.values and each.column in _NARROW for each in question.conditions):
            return None
        begin, end = self._span(question)
        if not self._is_wide(begin, end):
            return None
        self._make(begin, end)
        parts = [part for part in parts_of(self._home, self._log) if begin <= part.begin and part.end <= end]
        return (self._cold(parts), list(self._around(parts, begin, end))) if parts else None

    def fails(self, why: str) -> None:
        """Do without the files of the past from here on."""
        self._usable, self._hot = False, {}
        self.remarks.append(f"answered without the Parquet files: {why}")

    def _span(self, question: Question) -> tuple[int, int]:
        """Return the first of the places that a question may be about, and the one behind the last."""
        files = segment_files(self._folder)
        begin, end = 0, _NO_END
        if question.since_us is not None and (low := _first_from(files, question.since_us) - 1) > 0:
            begin = first_seq(files[low])
        if question.until_us is not None and (high := _first_from(files, question.until_us)) < len(files):
            end = first_seq(files[high])
        return begin, end

    def _is_wide(self, begin: int, end: int) -> bool:
        files = [path for path in segment_files(self._folder) if begin <= first_seq(path) < end]
        if len(files) < 2:
            return False
        rows = first_seq(files[-1]) - first_seq(files[0])
        if rows >= self._wide.rows or rows < self._wide.rows // 10:
            return rows >= self._wide.rows
        return _begins_us(files, len(files) - 1) - _begins_us(files, 0) >= self._wide.days * SPANS["day"]

    def _make(self, begin: int, end: int) -> None:
        """Make the Parquet files that are missing of the segments between two places."""
        files = segment_files(self._folder)
        inside = [path for path, after in pairwise(files) if begin <= first_seq(path) and first_seq(after) <= end]
        try:
            make_parts(self._home, self._log, inside, told=self._told)
        except (OnRecordError, OSError) as e:
            self.remarks.append(f"some Parquet files are missing, and the lines answer for them: {plainly(e)}")

    def _feed(self) -> None:
        if not self._fed:
            self._fed = True
            try:
                catch_up(self._home, self._log, deadline_s=FEED_S, since_us=self._since_us, told=self._told)
            except (LedgerBusy, PermissionError):
                pass  # somebody else feeds it, or it belongs to another account
            except (OnRecordError, OSError) as e:
                self.remarks.append(f"the index lacks what is new, and the lines answer for it: {plainly(e)}")

    def _indexed(self, begin: int, end: int) -> Iterator[Engine]:
        """Yield engines for the places from `begin` to before `end`: files of the index, and what there is else."""
        for path in files_of(folder_of(self._home, self._log)):
            try:
                period = Period(path)
            except FileNotFoundError:
                continue  # too old since it was listed; what it had is read from the lines
            self._stack.callback(period.close)
            period.cut(begin, end)
            if period.begin >= period.end:
                continue
            if period.begin > begin:
                yield from self._without_index(begin, period.begin)
            yield period
            begin = period.end
        if begin < end:
            yield from self._without_index(begin, end)

    def _without_index(self, begin: int, end: int) -> Iterator[Engine]:
        """Yield engines for places that no file of the index has: Parquet files that there are, and the lines."""
        parts = parts_of(self._home, self._log) if self._usable and end - begin >= self._few else []
        at = begin
        for run in _runs([part for part in parts if part.begin < end and part.end > begin]):
            if at < run[0].begin:
                yield Scan(self._folder, at, run[0].begin)
            yield self._cold(run, at, end)
            at = run[-1].end
        if at < end:
            yield Scan(self._folder, at, end)

    def _around(self, parts: Sequence[Part], begin: int, end: int) -> Iterator[Engine]:
        """Yield engines for the places from `begin` to before `end` that `parts` do not have."""
        edges = [begin, *(edge for part in parts for edge in (part.begin, part.end)), end]
        gaps = [(low, high) for low, high in zip(edges[::2], edges[1::2], strict=True) if low < high]
        if (
            files_of(folder_of(self._home, self._log))
            or sum(high - low for low, high in gaps if high < _NO_END) > self._few
        ):
            self._feed()
        for low, high in gaps:
            yield from self._indexed(low, high)

    def _cold(self, parts: Sequence[Part], begin: int = 0, end: int = _NO_END) -> Cold:
        cold = Cold(parts, begin, end)
        self._stack.callback(cold.close)
        return cold


def _runs(parts: Sequence[Part]) -> list[list[Part]]:
    """Return parts in runs that have all places from their first to their last."""
    runs: list[list[Part]] = []
    for part in parts:
        if runs and runs[-1][-1].end == part.begin:
            runs[-1].append(part)
        else:
            runs.append([part])
    return runs


def _first_from(files: list[Path], at_us: int) -> int:
    """Return the number of the first segment that begins at a time or later: times never decrease in a log."""
    return bisect_left(range(len(files)), at_us, key=lambda number: _begins_us(files, number))


def _begins_us(files: list[Path], number: int) -> int:
    """Return the time of the first event in a segment, or behind it where all of them were deleted."""
    for path in files[number:]:
        for line in whole_lines(path):
            if not is_tombstone(line.data):
                with suppress(NotVerified):
                    return parse_time(read_header(line.data).timestamp)
    return _NO_END
