# SPDX-License-Identifier: Apache-2.0
"""What the canaries of a self-test left behind: their lines on the record, and no secret in any file.

Looks at what is new since the self-test began, so a long log takes no longer than a short one. The lines are found by
the trace that the client began, and proven one by one against the newest signed checkpoint; whether all the rest of the
log is what was signed is for `onrecord verify`. Nothing is written.
"""

import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal, TypeAlias

from onrecord.errors import NotVerified, OnRecordError
from onrecord.event.call import Json
from onrecord.event.event import Event
from onrecord.event.schema import read_event
from onrecord.ledger import frames
from onrecord.ledger.evidence import newest_signed, tiles_of
from onrecord.ledger.keys import own_verifiers
from onrecord.ledger.lines import is_compressed, last_seq, lines_from, segment_files
from onrecord.ledger.merkle import inclusion_path, leaf_hash
from onrecord.ledger.note import Checkpoint, VerifierKey
from onrecord.ledger.place import Home, LogFolder
from onrecord.ledger.proof import Proof, check_proof
from onrecord.ledger.tiles import reader_over_tiles
from onrecord.ledger.tree import read_guard
from onrecord.ledger.verify import SIGNING_S
from onrecord.ledger.whereabouts import own_socket, read_moved, way_of
from onrecord.rules.canary import ANSWERED, ASKED, SERVER_ID, TOOL, disguises, planted
from onrecord.settings import Loaded

State: TypeAlias = Literal["ok", "fail", "none"]

CHUNK = 4 << 20  # bytes that are searched at once
OVERLAP = 1 << 10  # bytes; no disguise of a secret is longer
_LARGE = 1 << 20  # bytes; a larger file that grew where it lies is read from where it ended
_TRIES = 5  # at a tree that others go on writing
_SHOWN = 3  # places of a leak
_UNPINNED = ""  # in place of a trace


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `none`: it could not be, and why."""

    state: State
    about: str
    text: str


@dataclass(slots=True, kw_only=True)
class Spoken:
    """One conversation with the door: what was sent, and what came of it.

    `sent` says that the secrets were. `refusal` is why the tool did not answer, `fault` why the door did not, `code`
    how the door ended, `told` its last words on standard error, fit for a terminal.
    """

    era: str
    run: str
    trace_id: str
    sent: bool = False
    answer: Json = None
    refusal: str = ""
    fault: str = ""
    code: int = 0
    errors: bytes = b""
    told: str = ""


Entry: TypeAlias = tuple[bytes, Event]


class Before:
    """How a home was before a self-test: where its log ended, and which files there were."""

    def __init__(self, home: Home, loaded: Loaded) -> None:
        self.home = home
        self.loaded = loaded
        moved = read_moved(home)
        self.kept_by = "" if moved is None else moved.account
        self.kept_in = home if moved is None else Home(Path(moved.home))
        self.files = dict(_files({home.path, self.kept_in.path}))
        self.fault = ""
        self.next_seq = 0
        try:
            self.next_seq = last_seq(self.folder) + 1 if segment_files(self.folder) else 0
        except (OnRecordError, OSError) as e:
            self.fault = _said(e)

    @property
    def folder(self) -> LogFolder:
        """The log that the canaries go to."""
        return self.kept_in.log()


def examine(before: Before, spoken: Sequence[Spoken], ends: float) -> Iterator[Check]:
    """Yield what holds of the record and of the files of a home after `spoken`."""
    try:
        found = _found(before, {one.trace_id for one in spoken})
    except (OnRecordError, OSError) as e:
        found = {}
        yield Check("fail", "recorded", f"the record cannot be read: {_said(e)}{_elsewhere(before)}")
    else:
        for one in spoken:
            yield _recorded(before, one, found.get(one.trace_id, []))
    yield _masked(found)
    yield _searched(before, spoken, ends)
    yield _verified(before, found, ends)


# on the record


def _found(before: Before, traces: set[str]) -> dict[str, list[Entry]]:
    """Return the lines of each canary, by its trace, and those that say why its tool is not pinned.

    Raises NotVerified, OSError.
    """
    found: dict[str, list[Entry]] = {}
    if before.fault:
        raise NotVerified(before.fault)
    if not segment_files(before.folder):
        return found
    mark = f'"{SERVER_ID}"'.encode()
    for line in lines_from(before.folder, before.next_seq):
        if mark in line.data:
            event = read_event(line.data)
            if event.trace_id in traces and event.phase:
                found.setdefault(event.trace_id, []).append((line.data, event))
            elif event.event_type == "tool_definition" and event.action == "unpinned":
                found.setdefault(_UNPINNED, []).append((line.data, event))
    return found


def _of_calls(found: dict[str, list[Entry]]) -> list[Entry]:
    return [entry for trace, entries in found.items() if trace != _UNPINNED for entry in entries]


def _recorded(before: Before, one: Spoken, entries: Sequence[Entry]) -> Check:
    """Say whether attempt and result are there, in order, and what was decided."""
    about = "recorded"
    events = [event for _, event in entries]
    if not events:
        return Check("fail", about, f"{one.era}: nothing of the call is on the record{_elsewhere(before)}")
    phases = [event.phase for event in events]
    if phases[0] != "attempt" or phases[-1] != "result" or phases.count("result") != 1:
        return Check("fail", about, f"{one.era}: on the record are, in this order, {', '.join(phases)}")
    first, last = events[0], events[-1]
    if any((e.call_id, e.server_id, e.tool_name) != (first.call_id, SERVER_ID, TOOL) for e in events):
        return Check("fail", about, f"{one.era}: the events of the call do not say that they are of one canary")
    where = f"{one.era}: attempt {first.seq}, result {last.seq}"
    if first.policy_decision in ("deny", "needs_approval"):
        does = "denies the canary" if first.policy_decision == "deny" else "wants an approval for the canary"
        why = " ".join(filter(None, (first.policy_id, first.policy_reason)))
        return Check(
            "fail",
            "policy",
            f"{where}: the policy {does} ({why}): that is on the record as it should be, and "
            f"what follows it was not tested; let it allow {TOOL} of server {SERVER_ID}",
        )
    if one.refusal or one.fault:
        return Check("fail", about, f"{where}: it ended {last.result_status} ({last.error_type})")
    if last.result_status != "succeeded":
        return Check("fail", about, f"{where}: the tool answered, and the result says {last.result_status}")
    return Check("ok", about, f"{where}, in order, {_latency(last)}")


def _latency(event: Event) -> str:
    return f"{event.policy_decision or 'allow'}, tier {event.risk_tier}, {event.data_classification}"


def _elsewhere(before: Before) -> str:
    """Return where else the record may be, and who can look there."""
    if before.kept_by:
        return f"; {before.kept_by} keeps it in {before.kept_in.path}: run this as one who may read that"
    with suppress(OnRecordError):
        way = way_of(before.home, named=before.loaded.settings.recorder.socket, environ=os.environ)
        if way is not None and way.socket != own_socket(before.home):
            return f"; the service at {way.socket} keeps it in a home of its own, which this one does not name"
    return ""


# redacted


def _masked(found: dict[str, list[Entry]]) -> Check:
    """Say whether the values are on the record, with a stand-in for each secret."""
    about = "redacted"
    events = [event for _, event in _of_calls(found)]
    if not events:
        return Check("none", about, "nothing is on the record to look at")
    unpinned = "".join(
        f"; its tool was not pinned: {event.detail.get('why')}" for _, event in found.get(_UNPINNED, [])[:1]
    )
    if any(event.redaction_error for event in events):
        return Check("fail", about, "redaction failed, and the values were withheld")
    for event in events:
        if event.phase == "attempt" or event.result_status == "succeeded":
            places = ASKED if event.phase == "attempt" else ANSWERED
            withheld = len(event.sensitive_fields)
            if not (event.input_summary or event.output_summary):
                text = f"entry {event.seq} has no values of the call, so nothing shows how they are redacted{unpinned}"
                return Check("fail", about, text)
            if withheld < len(places):
                text = f"entry {event.seq} names {withheld} of {len(places)} places with a secret as withheld"
                return Check("fail", about, text)
    kinds = sorted({kind for event in events for kind in event.data_kinds})
    return Check("ok", about, f"withheld: {', '.join(kinds)}; by {events[0].redaction_policy}")


def _searched(before: Before, spoken: Sequence[Spoken], ends: float) -> Check:
    """Say whether a secret of the canaries, in any disguise, is in a file that changed, or in what the door said."""
    about = "secrets"
    if not any(one.sent for one in spoken):
        return Check("none", about, "none were sent")
    sought = {
        form: f"{place} of {one.era}"
        for one in spoken
        for place in (*ASKED, *ANSWERED)
        for form in disguises(planted(one.run, place))
    }
    leaks = [f"{sought[form]} in what the door said" for one in spoken for form in sought if form in one.errors]
    count = 0
    try:
        for path in _changed(before):
            count += 1
            for block in _blocks(path, before.files.get(path)):
                leaks += [f"{sought[form]} in {path}" for form in sought if form in block]
                if time.monotonic() > ends:
                    return Check("fail", about, f"not all files were searched in time; {count} were{_some(leaks)}")
    except (OnRecordError, OSError) as e:
        return Check("fail", about, f"a file that changed cannot be searched: {_said(e)}{_some(leaks)}")
    if leaks:
        return Check("fail", about, f"a planted secret got out{_some(leaks)}")
    places = len(ASKED) + len(ANSWERED)
    return Check(
        "ok", about, f"{places} planted in each call, none in the {count} files that changed, or in what the door said"
    )


def _some(leaks: Sequence[str]) -> str:
    different = list(dict.fromkeys(leaks))
    more = f", and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
    return f": {'; '.join(different[:_SHOWN])}{more}" if different else ""


def _files(folders: Iterable[Path]) -> Iterator[tuple[Path, tuple[int, int, int]]]:
    """Yield each regular file below `folders`, with what tells whether it has changed."""
    for at, _, names in chain.from_iterable(map(os.walk, folders)):
        for name in names:
            with suppress(OSError):  # gone meanwhile
                about = os.lstat(path := Path(at, name))
                if stat.S_ISREG(about.st_mode):
                    yield path, (about.st_ino, about.st_size, about.st_mtime_ns)


def _changed(before: Before) -> Iterator[Path]:
    for path, about in _files({before.home.path, before.kept_in.path}):
        if before.files.get(path) != about:
            yield path


def _blocks(path: Path, known: tuple[int, int, int] | None) -> Iterator[bytes]:
    """Yield what is new in a file, opened where it is compressed; a block begins with the end of the one before."""
    try:
        about = path.lstat()
    except FileNotFoundError:
        return
    grew = known is not None and known[0] == about.st_ino and _LARGE < known[1] <= about.st_size
    rest = b""
    # one that is being compressed cannot be opened yet, and its plain one is still there
    if path.name.endswith(".zst") and is_compressed(path) and not path.name.startswith("."):
        for part in frames.chunks(path):
            yield rest + part
            rest = part[-OVERLAP:]
        return
    with path.open("rb") as file:
        file.seek(known[1] - OVERLAP if grew and known is not None else 0)
        while part := file.read(CHUNK):
            yield rest + part
            rest = part[-OVERLAP:]


# verified


def _verified(before: Before, found: dict[str, list[Entry]], ends: float) -> Check:
    """Say whether each line of the canaries is in the tree that is signed."""
    about = "verified"
    lines = sorted((event.seq, data) for data, event in _of_calls(found))
    if not lines:
        return Check("none", about, "nothing is on the record to prove")
    try:
        keys = own_verifiers(before.kept_in)
        checkpoint = _proven(before.folder, keys, lines, ends)
        guard = read_guard(before.kept_in.guard())
        if guard is not None and guard.size > checkpoint.size and guard.origin == checkpoint.origin:
            text = f"the checkpoint covers {checkpoint.size} entries, and {guard.size} had been there"
            return Check("fail", about, f"{text}; run: onrecord verify")
    except (OnRecordError, OSError) as e:
        return Check("fail", about, _said(e))
    text = f"{len(lines)} lines are in the tree of {checkpoint.size} entries that {checkpoint.origin} has signed"
    return Check("ok", about, text)


def _proven(
    folder: LogFolder, keys: Sequence[VerifierKey], lines: Sequence[tuple[int, bytes]], ends: float
) -> Checkpoint:
    """Return a signed checkpoint whose tree has each of `lines` in its place. Raises NotVerified, OSError."""
    last = lines[-1][0]
    wait_s = max(0.0, min(2 * SIGNING_S, ends - time.monotonic()))
    for left in reversed(range(_TRIES)):
        signed = newest_signed(folder, keys, covering=last + 1, wait_s=wait_s)
        if signed is None or signed.checkpoint.size <= last:
            raise NotVerified(f"entry {last} is on the record, and no checkpoint covers it; run: onrecord verify")
        size = signed.checkpoint.size
        try:
            for seq, data in lines:
                path = inclusion_path(seq, size, reader_over_tiles(tiles_of(folder), size))
                check_proof(Proof(index=seq, path=tuple(path), note=signed.note), leaf_hash(data), keys)
            return signed.checkpoint
        except NotVerified as e:
            if not left:  # until then a recorder may have replaced a tile of that tree by a larger one
                raise NotVerified(f"the canary's lines are not proven: {e}; run: onrecord verify") from e
    raise AssertionError


def _said(error: OnRecordError | OSError) -> str:
    if isinstance(error, OSError):
        return f"cannot read {error.filename}: {os.strerror(error.errno or 0).lower()}"
    return str(error)
