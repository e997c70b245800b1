# SPDX-License-Identifier: Apache-2.0
"""One Parquet file for each sealed segment, with every column of the record.

    <home>/index/<log>/cold/<first seq>.<segment>.<size>.v2.parquet

Pages are of version 1, which every reader has, compressed with zstd. Events of one call stand together. A file names
the segment that it was made of by size and time, and carries that time itself. So one whose segment was rewritten
since, as when lines are deleted, and one that was changed after it was made, are not used, and are made again.

DuckDB reads the lines itself, and stores what is in them as it stands. Lines that it would read otherwise than we do
are read here first: those of an older version, those that this version would write otherwise, and those with escapes or
with numbers in `detail` that are not whole. Nothing here is evidence, and all of it can be deleted.
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from onrecord.errors import NotVerified, OnRecordError
from onrecord.event.event import Event, encode
from onrecord.event.schema import read_event
from onrecord.ledger.clock import parse_time
from onrecord.ledger.durable import FileLock, disk_error, make_folder
from onrecord.ledger.lines import first_seq, is_compressed, is_tombstone, segment_files, whole_lines
from onrecord.ledger.place import Home
from onrecord.views.cold.form import LONG_WORD, MADE_OF, VERSION, stored, types_of
from onrecord.views.columns import SEARCHED, text_of, value_of
from onrecord.views.index.layout import folder_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_END = f".v{VERSION}.parquet"
_LARGEST_EXACT = 2**53  # of a number; DuckDB may take a larger one for a fraction
_LONGEST_LINE = 1 << 20
_SPILLS = re.compile(rf"[A-Za-z0-9]{{{LONG_WORD}}}")
_COPY = (
    "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 9, PARQUET_VERSION v1, "
    "DICTIONARY_SIZE_LIMIT 500"  # a larger one takes more than it saves
)
_encode = msgspec.json.Encoder().encode


class NotMade(OnRecordError):
    """No file can be made of a segment; others can."""


class Part(NamedTuple):
    """A Parquet file, and the places that it has, the second excluded."""

    path: Path
    begin: int
    end: int


def cold_folder(home: Home, log: str) -> Path:
    """Return where the files of a log lie."""
    return folder_of(home, log) / "cold"


def parts_of(home: Home, log: str) -> list[Part]:
    """Return the files that are of segments as they are now, oldest first."""
    made = _made(cold_folder(home, log))
    files = segment_files(home.log(log)) if made else []
    found: list[Part] = []
    for path, after in pairwise(files):
        if is_compressed(path) and (key := _key(path)) in made:
            found.append(Part(made[key], first_seq(path), first_seq(after)))
    return found


def forget(home: Home, log: str) -> None:
    """Take away the files of segments that are otherwise by now, or gone: lines may have been deleted there."""
    folder = cold_folder(home, log)
    if folder.exists():
        wanted = {_key(path) for path in segment_files(home.log(log))}
        for path in folder.glob("*.parquet"):
            if _key_of(path) not in wanted:
                with suppress(FileNotFoundError):
                    path.unlink()


def make_parts(
    home: Home,
    log: str,
    segments: Sequence[Path] | None = None,
    *,
    told: Callable[[int], None] | None = None,
    deadline_s: float = 10.0,
) -> None:
    """Make the files that are missing of `segments`, or of all that are sealed.

    `told` hears after each file up to which place there is one. Raises NotMade behind the last, where one could not be
    made, LedgerBusy where another process is at it all that time, OnRecordError and OSError.
    """
    duck = open_duckdb()
    folder = cold_folder(home, log)
    make_folder(folder)
    lock = FileLock(folder / "make.lock")
    try:
        lock.acquire(time.monotonic() + deadline_s)
        _clear(folder)
        files = segment_files(home.log(log))[:-1] if segments is None else segments
        made = _made(folder)
        failed: list[NotMade] = []
        for path in files:
            if is_compressed(path) and _key(path) not in made:
                try:
                    with minding_ctrl_c():
                        _make(duck, path, folder)
                except NotMade as e:
                    failed.append(e)
                if told is not None:
                    told(first_seq(path))
        if failed:
            raise failed[0]
    finally:
        lock.close()
        duck.close()


def is_installed() -> bool:
    """Say whether DuckDB is there; it is not loaded for that."""
    try:
        return find_spec("duckdb") is not None
    except (ImportError, ValueError):
        return False


def open_duckdb(memory: str = "2GB") -> "DuckDBPyConnection":
    """Return a database in memory that keeps nothing on disk. Raises OnRecordError where DuckDB is not installed."""
    try:
        import duckdb
    except ModuleNotFoundError as e:
        raise OnRecordError("this needs DuckDB; install onrecord[analytics]") from e
    return duckdb.connect(
        ":memory:",
        config={
            "threads": 2,
            "memory_limit": memory,
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
        },
    )


@contextmanager
def minding_ctrl_c() -> Generator[None]:
    """Raise KeyboardInterrupt where a person's Ctrl-C ends what DuckDB is at, which says RuntimeError for that."""
    try:
        yield
    except RuntimeError as e:
        if "interrupted" in str(e):
            raise KeyboardInterrupt from e
        raise


def _key(segment: Path) -> str:
    """Return what names a segment as it is now; nothing where it is gone."""
    try:
        about = segment.stat()
    except FileNotFoundError:
        return ""
    return f"{first_seq(segment):018d}.{about.st_size:x}-{about.st_mtime_ns:x}"


def _key_of(made: Path) -> str:
    return ".".join(made.name.split(".")[:2])


def _made(folder: Path) -> dict[str, Path]:
    """Return the files that are as they were made, by the segments that they were made of."""
    found: dict[str, Path] = {}
    for path in folder.glob(f"*{_END}"):
        key, size = _key_of(path), path.name.split(".")[2]
        with suppress(FileNotFoundError):
            about = path.stat()
            if f"{about.st_size:x}" == size and key.endswith(f"-{about.st_mtime_ns:x}"):
                found[key] = path
    return found


def _clear(folder: Path) -> None:
    """Take away what a process that died has left."""
    for path in folder.glob(".*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _make(duck: "DuckDBPyConnection", segment: Path, folder: Path) -> None:
    """Write the file of one segment, whole or not at all."""
    import duckdb

    key, about = _key(segment), segment.stat()
    with tempfile.TemporaryDirectory(dir=folder, prefix=".make-") as scratch:
        made = Path(scratch) / "made.parquet"
        try:
            try:
                _write(duck, segment, made, plain=True)
            except (duckdb.InvalidInputException, duckdb.ConversionException):
                _write(duck, segment, made, plain=False)  # a line is there that DuckDB cannot read at all
        except duckdb.IOException as e:
            raise OnRecordError(f"no Parquet file can be written into {folder}: {e}") from e
        except (duckdb.Error, NotVerified) as e:
            raise NotMade(f"no Parquet file can be made of {segment}: {e}") from e
        except OSError as e:
            raise disk_error(e, "write", made) from e
        os.utime(made, ns=(about.st_atime_ns, about.st_mtime_ns))
        made.chmod(0o600)
        if _key(segment) == key:
            made.rename(folder / f"{key}.{made.stat().st_size:x}{_END}")


def _write(duck: "DuckDBPyConnection", segment: Path, made: Path, *, plain: bool) -> None:
    words, read = made.with_name("words.ndjson"), made.with_name("read.ndjson")
    count = _sort_out(segment, words, read, plain=plain)
    both = {**types_of(), "words": "VARCHAR"}
    sources = [f"SELECT *, epoch_us(timestamp::TIMESTAMPTZ) AS ts FROM {_json(read, both)}"]
    if plain:
        asked = f"FROM {_json(segment, types_of())} lines JOIN {_json(words, _WORDS)} words ON lines.seq = words.seq"
        sources.append(f"SELECT lines.*, words.words, epoch_us(lines.timestamp::TIMESTAMPTZ) AS ts {asked}")
    rows = duck.execute(
        f"COPY (SELECT {stored()} FROM ({' UNION ALL BY NAME '.join(sources)}) "
        f"ORDER BY min(seq) OVER (PARTITION BY coalesce(call_id, event_id)), seq) TO '{quoted(made)}' ({_COPY})"
    ).fetchall()
    if rows[0][0] != count:
        raise NotMade(f"{segment} has {count} events, and {rows[0][0]} of them came into a Parquet file")


_WORDS = {"seq": "BIGINT", "words": "VARCHAR"}


def _json(lines: Path, columns: dict[str, str]) -> str:
    types = ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items())
    return (
        f"read_json('{quoted(lines)}', format='newline_delimited', maximum_object_size={_LONGEST_LINE}, "
        f"columns={{{types}}})"
    )


def quoted(path: Path) -> str:
    """Return a path for a text in SQL."""
    return str(path).replace("'", "''")


def _sort_out(segment: Path, words: Path, read: Path, *, plain: bool) -> int:
    """Write what DuckDB is to take from the lines themselves, and what it is not, and return how many events there are.

    Of the former, the place and the words that have to be stored; of the latter, all columns.
    """
    count = 0
    with words.open("wb") as left, read.open("wb") as right:
        for line in whole_lines(segment):
            if is_tombstone(line.data):
                continue
            try:
                event = read_event(line.data)
            except NotVerified:
                continue
            count += 1
            if not plain or not _is_plain(event, line.data):
                right.write(_encode(_read(event)) + b"\n")
            elif said := _words(event):
                left.write(_encode({"seq": event.seq, "words": said}) + b"\n")
            else:
                left.write(b'{"seq":%d}\n' % event.seq)
    return count


def _is_plain(event: Event, line: bytes) -> bool:
    """Say whether DuckDB reads a line as we do."""
    if b"\\u" in line or not (_is_simple(event.detail) and _is_simple(event.ext)):
        return False
    return encode(event) == line


def _is_simple(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_simple(each) for each in cast("dict[str, Any]", value).values())
    if isinstance(value, list):
        return all(_is_simple(each) for each in cast("list[Any]", value))
    return not isinstance(value, float) and (not isinstance(value, int) or abs(value) < _LARGEST_EXACT)


def _words(event: Event) -> str | None:
    """Return the words of an event where they have to be stored."""
    said = " ".join([value for name in SEARCHED if (value := getattr(event, name))])
    return text_of(event) if not said.isascii() or _SPILLS.search(said) else None


def _read(event: Event) -> dict[str, str | int | None]:
    parse_time(event.timestamp)  # what has no time is in no file
    return {column.name: value_of(event, column) for column in MADE_OF} | {"words": _words(event)}


def spread(parts: Sequence[Part]) -> Iterator[str]:
    """Yield the paths of files as texts in SQL."""
    for part in parts:
        yield f"'{quoted(part.path)}'"
