# SPDX-License-Identifier: Apache-2.0
"""`onrecord tail` and `onrecord show`: the record, for people."""

import re
import sys
import time
from argparse import Namespace
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress

from onrecord.cli.accessed import accessed
from onrecord.cli.tag import read_tag
from onrecord.cli.terminal import full, one_line, print_line, put, say
from onrecord.errors import KeyFileError, NotVerified, OnRecordError
from onrecord.event.event import Event
from onrecord.event.schema import read_event
from onrecord.ledger.keys import read_keys
from onrecord.ledger.keystore import Keystore
from onrecord.ledger.lines import Line, last_seq, lines_from, read_seq, read_tombstone, segment_files
from onrecord.ledger.place import LOGS, Home, LogFolder
from onrecord.settings import home_folder, load

_POLL_S = 0.2
_SEQ = re.compile("[0-9]{1,18}")


def tail(options: Namespace) -> int:
    """Print the newest events, and go on if asked to."""
    if options.lines < 0:
        raise OnRecordError(f"-n {options.lines} asks for less than nothing; give a number of events")
    home = home_folder()
    tag = read_tag(options.tag) if options.tag is not None else ""
    folder = log_of(home, options.log)
    user = pseudonym(home, options.user) if options.user else ""
    accessed(home, "tail", log=options.log, user=user, tool=options.tool or "", tag=tag)
    filtered = user or options.tool or tag
    following = last_seq(folder) + 1  # the first seq that was not read yet
    wanted = min(options.lines, sys.maxsize)
    newest: deque[tuple[Line, Event]] = deque(maxlen=wanted)
    for line, event in events_of(folder, 0 if filtered else max(0, following - wanted)):
        following = event.seq + 1
        if _wanted(event, user, options.tool, tag):
            newest.append((line, event))
    for line, event in newest:
        _print(line, event, as_json=options.json)
    sys.stdout.flush()
    while options.follow:
        time.sleep(_POLL_S)
        if last_seq(folder) + 1 < following:
            raise OnRecordError(f"the log in {folder.path} is smaller than it was; run: onrecord verify")
        for line, event in events_of(folder, following):
            following = event.seq + 1
            if _wanted(event, user, options.tool, tag):
                _print(line, event, as_json=options.json)
        sys.stdout.flush()
    return 0


def show(options: Namespace) -> int:
    """Print one event in full, or all events of a call or of an approval."""
    home = home_folder()
    folder = log_of(home, options.log)
    accessed(home, "show", log=options.log, which=options.which)
    found = 0
    for line, event in _find(folder, options.which):
        if options.json:
            print_line(line.data)
        else:
            for text in [*([""] if found else []), *full(event)]:
                put(text)
        found += 1
    if not found:
        elsewhere = next(_other_logs(home, options), "")
        where = f"in the log {options.log}" if elsewhere else "on the record"
        hint = f"; the log {elsewhere} has it: --log {elsewhere}" if elsewhere else ""
        say(f"nothing {where} is called {options.which[:80]!r}{hint}")
    return 0 if found else 1


def _other_logs(home: Home, options: Namespace) -> Iterator[str]:
    """Yield the other logs that have what was asked for; a place is one of each log, and says nothing."""
    if _SEQ.fullmatch(options.which):
        return
    for log in LOGS:
        with suppress(OnRecordError, OSError):  # what is wrong with a log that nobody asked about is no answer
            if log != options.log and any(True for _ in _find(home.log(log), options.which)):
                yield log


def _find(folder: LogFolder, which: str) -> Iterator[tuple[Line, Event]]:
    if _SEQ.fullmatch(which):
        for line, event in events_of(folder, int(which), stop=int(which) + 1):
            yield line, event
        return
    if not which:
        return  # what belongs to no call has an empty one
    needle = which.encode(errors="surrogateescape")
    for line in lines_from(folder):
        if needle in line.data:
            event = _event(line, folder)
            if which in (event.event_id, event.call_id, event.approval_id):
                yield line, event


def log_of(home: Home, log: str) -> LogFolder:
    """Return the folder of a log of `home`. Raises OnRecordError where nothing was put on it yet."""
    folder = home.log(log)
    if not segment_files(folder):
        if home.path.exists() and not home.path.is_dir():
            raise OnRecordError(f"{home.path} is no folder; ONRECORD_HOME or --home names that of ledger and keys")
        if log != "calls":
            raise OnRecordError(f"there is no {log} log in {home.path} yet: nothing was put on it")
        raise OnRecordError(f"there is no record in {folder.path} yet; begin with: onrecord run -- COMMAND…")
    return folder


def events_of(folder: LogFolder, seq: int, stop: int | None = None) -> Iterator[tuple[Line, Event]]:
    """Yield the events from `seq` on that are still there; what was deleted on the record is said on the terminal."""
    for line in lines_from(folder, seq):
        if stop is not None and read_seq(line.data) >= stop:
            return
        tombstone = read_tombstone(line.data)
        if tombstone is None:
            yield line, _event(line, folder)
        elif stop is not None:
            pruned = tombstone.pruned
            say(f"entry {tombstone.seq} was deleted under the rule {pruned.rule}; see entry {pruned.entry}")


def _event(line: Line, folder: LogFolder) -> Event:
    try:
        return read_event(line.data)
    except NotVerified as e:
        raise OnRecordError(f"{folder.path}, byte {line.offset} of its segment: {e}; run: onrecord verify") from e


def _wanted(event: Event, user: str, tool: str | None, tag: str) -> bool:
    if (user and event.user_id != user) or (tool and event.tool_name != tool):
        return False
    return not tag or any(each.rpartition("#")[2] == tag for each in event.value_tags)


def _print(line: Line, event: Event, *, as_json: bool) -> None:
    if as_json:
        print_line(line.data)
    else:
        put(one_line(event))


def pseudonym(home: Home, name: str, tenants: Sequence[str] = ()) -> str:
    """Return the pseudonym of a person by the name of their account, or in tokens; a pseudonym stands for itself.

    It is looked for among `tenants`, or without any in that of the settings.
    """
    if name.startswith("u_"):
        return name
    keystore, settings = Keystore(home, read_keys(home).digest_key), load(home).settings
    issuers = filter(None, (settings.identity.issuer, settings.identity.call_issuer))
    sources = ("os_account", *issuers)
    asked = tenants or (settings.tenant,)
    found = {
        found
        for tenant in asked
        for source in sources
        if (found := keystore.find(tenant=tenant, source=source, subject=name))
    }
    if not found:
        whose = f" of the tenant {' or '.join(asked)}" if any(asked) else ""
        claimed = settings.identity.tenant_claim and not tenants
        other = "; tokens name the tenant here: say which with onrecord query --user NAME --tenant TENANT"
        raise KeyFileError(f"nobody called {name}{whose} is on this record{other if claimed else ''}")
    if len(found) > 1:
        raise KeyFileError(f"several are called {name} on this record; say which: {' or '.join(sorted(found))}")
    return found.pop()
