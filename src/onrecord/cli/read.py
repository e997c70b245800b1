# SPDX-License-Identifier: Apache-2.0
"""`onrecord tail` and `onrecord show`: the record, for people."""

import sys
import time
from argparse import Namespace
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from onrecord.cli.terminal import full, one_line, print_line, say
from onrecord.config import home_folder
from onrecord.errors import KeyFileError, NotVerified, OnRecordError
from onrecord.event.event import Event
from onrecord.event.schema import read_event
from onrecord.ledger.keys import read_keys
from onrecord.ledger.keystore import Keystore
from onrecord.ledger.lines import Line, offset_of, segment_files, whole_lines
from onrecord.ledger.place import Home, LogFolder

_POLL_S = 0.2


def tail(options: Namespace) -> int:
    """Print the newest events, and go on if asked to."""
    home = home_folder()
    folder = home.log()
    user = pseudonym(home, options.user) if options.user else ""
    newest: deque[tuple[Line, Event]] = deque(maxlen=max(options.lines, 0))
    files = _segments(folder)
    end = 0
    for file in files:
        for line in whole_lines(file):
            event = _event(line, file)
            end = line.offset + len(line.data) + 1
            if _wanted(event, user, options.tool):
                newest.append((line, event))
    for line, event in newest:
        _print(line, event, as_json=options.json)
    sys.stdout.flush()
    while options.follow:
        time.sleep(_POLL_S)
        if not files[-1].exists():
            raise OnRecordError(f"{files[-1]} is gone; run: onrecord verify")
        for line in whole_lines(files[-1], end):
            event = _event(line, files[-1])
            end = line.offset + len(line.data) + 1
            if _wanted(event, user, options.tool):
                _print(line, event, as_json=options.json)
        sys.stdout.flush()
    return 0


def show(options: Namespace) -> int:
    """Print one event in full, or all events of a call."""
    folder = home_folder().log()
    found = 0
    for line, event in _find(folder, options.which):
        if options.json:
            print_line(line.data)
        else:
            print("\n".join([*([""] if found else []), *full(event)]))
        found += 1
    if not found:
        say(f"nothing on the record is called {options.which}")
    return 0 if found else 1


def _find(folder: LogFolder, which: str) -> Iterator[tuple[Line, Event]]:
    files = _segments(folder)
    if which.isdecimal():
        for file in files:
            line = next(iter(whole_lines(file, offset_of(file, int(which)))), None)
            if line is not None and (event := _event(line, file)).seq == int(which):
                yield line, event
        return
    needle = which.encode()
    for file in files:
        for line in whole_lines(file):
            if needle in line.data and which in ((event := _event(line, file)).event_id, event.call_id):
                yield line, event


def _segments(folder: LogFolder) -> list[Path]:
    files = segment_files(folder)
    if not files:
        raise OnRecordError(f"there is no record in {folder.path} yet; begin with: onrecord run -- COMMAND…")
    return files


def _event(line: Line, file: Path) -> Event:
    try:
        return read_event(line.data)
    except NotVerified as e:
        raise OnRecordError(f"{file}, byte {line.offset}: {e}; run: onrecord verify") from e


def _wanted(event: Event, user: str, tool: str | None) -> bool:
    return (not user or event.user_id == user) and (not tool or event.tool_name == tool)


def _print(line: Line, event: Event, *, as_json: bool) -> None:
    if as_json:
        print_line(line.data)
    else:
        print(one_line(event))


def pseudonym(home: Home, name: str) -> str:
    """Return the pseudonym of an account of this host; a pseudonym stands for itself."""
    if name.startswith("u_"):
        return name
    found = Keystore(home, read_keys(home).digest_key).find(tenant="", source="os_account", subject=name)
    if found is None:
        raise KeyFileError(f"nobody called {name} is on this record")
    return found
