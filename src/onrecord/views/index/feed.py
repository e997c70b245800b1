# SPDX-License-Identifier: Apache-2.0
"""Feeds the index of a log with the lines that are new.

The cursor lies in the index: rows, words and the place behind them come in one transaction. So no line is missed or
doubled, whenever the process dies. Before it goes on, the feed looks whether the line that it took last is still the
same. Where the log is another one by now, or a file is of another version or damaged, what does not fit is deleted and
made again, and so is a file whose lines were deleted on the record, one that is missing between two others, and one of
another log among them.

A line that is no event gets no row. One process feeds a log at a time.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import TracebackType

from onrecord.errors import NotVerified, OnRecordError
from onrecord.event.event import Event
from onrecord.ledger.clock import TimeText, parse_time
from onrecord.ledger.deletions import ranges_of
from onrecord.ledger.durable import FileLock, make_folder, replace_file
from onrecord.ledger.entries import entries_at
from onrecord.ledger.lines import (
    Line,
    first_seq,
    is_tombstone,
    lines_from,
    read_header,
    read_seq,
    segment_files,
    whole_lines,
)
from onrecord.ledger.place import Home, LogFolder
from onrecord.ledger.smallfile import MAX_STATE, read_small
from onrecord.views.columns import text_of
from onrecord.views.index.layout import (
    LARGEST,
    STORED,
    create,
    files_of,
    first_of,
    folder_of,
    month_of,
    name_of,
    open_for_reading,
    open_for_writing,
    remove,
)
from onrecord.views.index.rows import Cell, row_of
from onrecord.views.line import digest_of, event_of

BATCH = 5_000  # lines a transaction; fewer cost more a line, more hold up readers' checkpoints
_SPELLED_IN_MEMORY = 200_000  # texts whose numbers are remembered
_NO_END = 2**63

_INSERT = f"INSERT INTO e VALUES ({', '.join('?' * (2 + len(STORED)))})"


class Feed:
    """Brings the index of one log up to date. One at a time holds the lock of the index."""

    def __init__(self, home: Home, log: str, *, deadline_s: float, since_us: int = 0, batch: int = BATCH) -> None:
        """What is older than `since_us` need not be there; `batch` lines come in one transaction.

        Raises LedgerError where another process feeds the index until the deadline.
        """
        self._batch = batch
        self._since_us = since_us
        self._log: LogFolder = home.log(log)
        self._folder = folder_of(home, log)
        make_folder(self._folder)
        self._lock = FileLock(self._folder / "feed.lock")
        self._lock.acquire(time.monotonic() + deadline_s)
        self._path: Path | None = None
        self._file: sqlite3.Connection | None = None
        self._numbers = _Numbers(None)
        self._times = TimeText()
        self._begin = 0
        self.next = 0  # seq of the line that comes next

    def __enter__(self) -> "Feed":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file and of the lock."""
        self._leave()
        self._lock.close()

    def run(self) -> Iterator[int]:
        """Bring the index up to date, and yield how many lines each step takes in. Raises OnRecordError, OSError."""
        self._begin = self._first_kept()
        self._forget_old()
        self.enter()
        while count := self.step():
            yield count
        if self.forget_deleted():
            self.enter()
            while count := self.step():
                yield count
        yield from self.mend()

    def enter(self) -> None:
        """Go to where the index ends, and take away what is not an index of this log. Raises OnRecordError, OSError."""
        for path in reversed(files_of(self._folder)):
            if self._goes_on(path):
                return
            self._leave()
            remove(path)
        (self._folder / "deleted").unlink(missing_ok=True)  # it may be of another log, and says nothing of what comes
        self.next = self._begin

    def _first_kept(self) -> int:
        """Return the first place that the index has: where the segment begins that holds the oldest it must have."""
        begin = 0
        for path in segment_files(self._log) if self._since_us else ():
            line = next(whole_lines(path), None)
            if line is None or is_tombstone(line.data) or parse_time(read_header(line.data).timestamp) > self._since_us:
                break
            begin = first_seq(path)
        return begin

    def _forget_old(self) -> None:
        """Take away the files that end before that place."""
        for path in files_of(self._folder):
            if first_of(path) < self._begin and _end_of(path, _marks(path)) <= self._begin:
                remove(path)

    def _goes_on(self, path: Path) -> bool:
        """Open `path` if it ends with a line of the log that is still there."""
        try:
            self._open(open_for_writing(path), path)
            end, digest = self._mark("end"), self._mark("digest")
        except sqlite3.Error:
            return False
        if not isinstance(end, int):
            return False
        self.next = end
        return self._is_there(end - 1, digest)

    def forget_deleted(self) -> bool:
        """Take away the files of which lines were deleted on the record since, and say whether there were any."""
        marker = self._folder / "deleted"
        try:
            done = int(read_small(marker, MAX_STATE))
        except (FileNotFoundError, ValueError, NotVerified):
            done = -1
        forgotten = False
        files = files_of(self._folder)
        entries = [seq for path in files for seq in _deletions(path) if seq > done]
        for seq, line in sorted(entries_at(self._log, entries).items()):
            event = event_of(line)
            ranges = ranges_of(event) if event is not None else None
            if ranges and not self._is_gone(ranges[0][0]):
                break  # it is said, and not yet done; whoever asks before that sees what is still there
            for path in _touched(files, ranges or []):
                self._leave()
                remove(path)
                forgotten = True
            replace_file(marker, str(seq).encode(), durable=False)
        return forgotten

    def step(self) -> int:
        """Take in the next lines, and return how many; 0 where there are no more. Raises OnRecordError, OSError."""
        return self._take(_NO_END)

    def mend(self) -> Iterator[int]:
        """Make anew what is missing before a file, or of another log, and yield how many lines each step takes in."""
        self._leave()
        end = self._begin  # of what is there
        for path, behind in self._of_this_log():
            self.next = end
            while self.next < first_of(path) and (count := self._take(first_of(path))):
                yield count
            self._leave()
            end = max(end, behind)

    def _of_this_log(self) -> list[tuple[Path, int]]:
        """Return the files and the place behind what each has taken in. One that is of another log is taken away.

        Each must end with the line that its successor says stood before it, or with one that stands in the log.
        """
        found: list[tuple[Path, int]] = []
        begin, before = _NO_END, ""  # of the file behind
        for path in reversed(files_of(self._folder)):
            marks = _marks(path)
            end = _end_of(path, marks, begin)
            is_next = end == begin and before and marks.get("digest") == before
            if end == first_of(path) or is_next or self._is_there(end - 1, marks.get("digest")):
                found.append((path, end))
                begin, before = first_of(path), str(marks.get("before", ""))
            else:
                remove(path)
                begin, before = _NO_END, ""
        return found[::-1]

    def _is_there(self, seq: int, digest: object) -> bool:
        """Say whether a line of that digest stands, or stood, in that place of the log."""
        line = entries_at(self._log, [seq]).get(seq)
        return line is not None and (digest == digest_of(line) or is_tombstone(line))

    def _take(self, end: int) -> int:
        """Take in the next lines before `end`."""
        lines = list(islice(lines_from(self._log, self.next), min(self._batch, end - self.next)))
        try:
            left = lines
            while left:
                left = self._take_month(left)
        except (sqlite3.Error, OverflowError) as e:
            raise OnRecordError(f"the index in {self._folder} cannot be written: {e}; delete it, and ask again") from e
        return len(lines)

    def _take_month(self, lines: list[Line]) -> list[Line]:
        """Write what belongs into one file, and return the rest."""
        events = [(line, event_of(line.data)) for line in lines]
        month = next((event.timestamp[:7] for _, event in events if event is not None), None)
        if month is None:
            month = month_of(self._path) if self._path else "1970-01"
        file = self._file_for(month)
        count = 0
        for _, event in events:
            if event is not None and event.timestamp[:7] != month:
                break
            count += 1
        self._write(file, events[:count])
        return lines[count:]

    def _file_for(self, month: str) -> sqlite3.Connection:
        if self._file is not None and self._path is not None:
            if month_of(self._path) == month and self.next - first_of(self._path) < LARGEST:
                return self._file
            self._leave()
        path = self._folder / name_of(month, self.next)
        remove(path)
        file = self._open(create(path), path)
        before = entries_at(self._log, [self.next - 1]).get(self.next - 1)
        file.execute("INSERT INTO m VALUES ('before', ?)", ("" if before is None else digest_of(before),))
        return file

    def _write(self, file: sqlite3.Connection, events: list[tuple[Line, Event | None]]) -> None:
        rows: list[tuple[Cell, ...]] = []
        texts: list[tuple[int, str]] = []
        times: list[tuple[int, str]] = []
        file.execute("BEGIN IMMEDIATE")
        try:
            for _, event in events:
                if event is not None:
                    at_us = parse_time(event.timestamp)
                    rows.append(row_of(event, at_us, self._numbers))
                    if text := text_of(event):
                        texts.append((event.seq, text))
                    if event.timestamp != self._times.of(at_us):
                        times.append((event.seq, event.timestamp))
            file.executemany(_INSERT, rows)
            file.executemany("INSERT INTO f(rowid, text) VALUES (?, ?)", texts)
            file.executemany("INSERT INTO t VALUES (?, ?)", times)
            last = events[-1][0].data
            end = read_seq(last) + 1
            file.execute("INSERT OR REPLACE INTO m VALUES ('end', ?), ('digest', ?)", (end, digest_of(last)))
            file.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                file.execute("ROLLBACK")
            self._numbers = _Numbers(file)  # some of those there were are not kept
            raise
        self.next = end

    def _is_gone(self, seq: int) -> bool:
        line = entries_at(self._log, [seq]).get(seq)
        return line is None or is_tombstone(line)

    def _open(self, file: sqlite3.Connection, path: Path) -> sqlite3.Connection:
        self._leave()
        self._file, self._path, self._numbers = file, path, _Numbers(file)
        return file

    def _mark(self, key: str) -> object:
        assert self._file is not None
        found = self._file.execute("SELECT v FROM m WHERE k = ?", (key,)).fetchone()
        return found[0] if found else None

    def _leave(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._path = None, None


class _Numbers(dict[str | bytes, int | None]):
    """What stands for each text in one file, and None for the empty one. A text that has no number gets one."""

    def __init__(self, file: sqlite3.Connection | None) -> None:
        super().__init__({"": None})
        self._file = file

    def __missing__(self, text: str | bytes) -> int:
        assert self._file is not None
        if len(self) > _SPELLED_IN_MEMORY:
            self.clear()
            self[""] = None
        made = self._file.execute("INSERT OR IGNORE INTO d(v) VALUES (?)", (text,))
        number = made.lastrowid if made.rowcount else None
        if number is None:  # it had one
            (number,) = self._file.execute("SELECT id FROM d WHERE v = ?", (text,)).fetchone()
        self[text] = number
        return number


def catch_up(
    home: Home, log: str, *, deadline_s: float, since_us: int = 0, told: Callable[[int], None] | None = None
) -> None:
    """Bring the index of a log up to date; `told` hears how far it is. Raises LedgerError, OnRecordError, OSError."""
    with Feed(home, log, deadline_s=deadline_s, since_us=since_us) as feed:
        for _ in feed.run():
            if told is not None:
                told(feed.next)


def _end_of(path: Path, marks: Mapping[str, object], after: int = _NO_END) -> int:
    """Return the place behind what a file has taken in.

    One that cannot be read, or says that it has what the next one has, from `after` on, is taken away.
    """
    end = marks.get("end")
    if isinstance(end, int) and first_of(path) <= end <= after:
        return end
    remove(path)
    return first_of(path)


def _marks(path: Path) -> dict[str, object]:
    """Return what a file says of itself: `end`, `digest` of the line before that, and of the one `before` its first."""
    try:
        file = open_for_reading(path)
        try:
            return dict(file.execute("SELECT k, v FROM m"))
        finally:
            file.close()
    except (sqlite3.Error, TypeError, ValueError):
        return {}


def _deletions(path: Path) -> list[int]:
    """Return where in a file entries are that delete others."""
    sql = "SELECT e.seq FROM e JOIN d ON d.id = e.event_type WHERE d.v = 'retention'"
    try:
        file = open_for_reading(path)
        try:
            return [seq for (seq,) in file.execute(sql)]
        finally:
            file.close()
    except sqlite3.Error:
        return []  # it is damaged, and made anew when its turn comes


def _touched(files: list[Path], ranges: list[tuple[int, int]]) -> Iterator[Path]:
    """Yield the files that have a place of `ranges`."""
    for number, path in enumerate(files):
        end = first_of(files[number + 1]) if number + 1 < len(files) else _NO_END
        if any(first < end and last >= first_of(path) for first, last in ranges):
            yield path
